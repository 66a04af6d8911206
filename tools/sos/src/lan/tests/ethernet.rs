//! Ports, learning, faults and the socket's life.

use std::time::Duration;

use smoltcp::wire::EthernetAddress;

use super::{PATIENCE, start, until};
use crate::lan::{FRAME_BYTES_MAX, Faults, Lan, LanConfig, LinkState, Tap};

const ONE: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const TWO: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
/// Time in which a frame would have come if it came.
const QUIET: Duration = Duration::from_millis(50);

fn frame(to: EthernetAddress, from: EthernetAddress, len: usize, fill: u8) -> Vec<u8> {
    let mut bytes = vec![fill; len];
    bytes[..6].copy_from_slice(to.as_bytes());
    bytes[6..12].copy_from_slice(from.as_bytes());
    bytes[12..14].copy_from_slice(&[0x88, 0xb5]);
    bytes
}

fn taps(lan: &Lan, count: usize) -> Vec<Tap> {
    let taps = (0..count).map(|_| lan.tap().unwrap()).collect();
    until("all taps are plugged in", || {
        lan.ports().unwrap().len() == count
    });
    taps
}

#[test]
fn frames_of_any_length_pass_between_ports() {
    let (lan, _) = start(LanConfig::default());
    let mut taps = taps(&lan, 2);
    for len in [14, 60, 1514, 9014, 65_535, FRAME_BYTES_MAX] {
        let sent = frame(TWO, ONE, len, 7);
        taps[0].send(&sent).unwrap();
        assert_eq!(taps[1].recv(PATIENCE).unwrap().unwrap(), sent);
    }
}

#[test]
fn a_learnt_station_alone_gets_its_frames_and_follows_its_port() {
    let (lan, _) = start(LanConfig::default());
    let mut taps = taps(&lan, 3);
    taps[1]
        .send(&frame(EthernetAddress::BROADCAST, TWO, 60, 0))
        .unwrap();
    assert!(taps[0].recv(PATIENCE).unwrap().is_some());
    assert!(taps[2].recv(PATIENCE).unwrap().is_some());

    taps[0].send(&frame(TWO, ONE, 60, 1)).unwrap();
    assert!(taps[1].recv(PATIENCE).unwrap().is_some());
    assert!(taps[2].recv(QUIET).unwrap().is_none());

    // The station moves to the third port, as an instance does that migrates.
    taps[2]
        .send(&frame(EthernetAddress::BROADCAST, TWO, 60, 2))
        .unwrap();
    assert!(taps[0].recv(PATIENCE).unwrap().is_some());
    assert!(taps[1].recv(PATIENCE).unwrap().is_some());
    taps[0].send(&frame(TWO, ONE, 60, 3)).unwrap();
    assert!(taps[2].recv(PATIENCE).unwrap().is_some());
    assert!(taps[1].recv(QUIET).unwrap().is_none());
}

#[test]
fn a_slow_port_loses_frames_and_holds_up_nobody() {
    let (lan, _) = start(LanConfig::default());
    let mut taps = taps(&lan, 3);
    // The second port never reads; the third gets every frame.
    let count = 200;
    for number in 0..count {
        let sent = frame(EthernetAddress::BROADCAST, ONE, 65_000, number as u8);
        taps[0].send(&sent).unwrap();
        let came = taps[2].recv(PATIENCE).unwrap().unwrap();
        assert_eq!((came.len(), came[100]), (65_000, number as u8));
    }
    let ports = lan.ports().unwrap();
    assert!(ports[1].counters.dropped_full > 0);
    assert_eq!(ports[2].counters.dropped_full, 0);
}

#[test]
fn a_cut_port_is_silent_until_it_is_mended() {
    let (lan, _) = start(LanConfig::default());
    let mut taps = taps(&lan, 2);
    let port = lan.ports().unwrap()[1].id;
    lan.set_link(port, LinkState::Cut).unwrap();
    taps[0].send(&frame(TWO, ONE, 60, 1)).unwrap();
    taps[1].send(&frame(ONE, TWO, 60, 1)).unwrap();
    assert!(taps[1].recv(QUIET).unwrap().is_none());
    assert!(taps[0].recv(QUIET).unwrap().is_none());
    lan.set_link(port, LinkState::Up).unwrap();
    taps[0].send(&frame(TWO, ONE, 60, 2)).unwrap();
    assert_eq!(taps[1].recv(PATIENCE).unwrap().unwrap()[20], 2);
    assert_eq!(lan.ports().unwrap()[1].counters.lost_cut, 2);
}

#[test]
fn faults_lose_double_and_delay_as_the_seed_says() {
    let (lan, _) = start(LanConfig::default());
    let mut taps = taps(&lan, 2);
    let faults = Faults {
        loss_per_mille: 200,
        duplicate_per_mille: 200,
        delay_per_mille: 200,
        delay: Duration::from_millis(1),
        seed: 3,
    };
    let mut runs = Vec::new();
    for _ in 0..2 {
        lan.set_faults(faults).unwrap();
        for number in 0..100 {
            taps[0].send(&frame(TWO, ONE, 60, number)).unwrap();
        }
        let mut came = Vec::new();
        while let Some(frame) = taps[1].recv(QUIET * 4).unwrap() {
            came.push(frame[20]);
        }
        came.sort_unstable();
        runs.push(came);
    }
    assert_eq!(runs[0], runs[1]);
    let distinct = runs[0].chunk_by(|a, b| a == b).count();
    assert!(distinct < 95 && distinct < runs[0].len());
}

#[test]
fn a_port_that_speaks_nonsense_is_unplugged_alone() {
    use std::io::Write;
    let (lan, log) = start(LanConfig::default());
    let mut taps = taps(&lan, 2);
    let mut broken = std::os::unix::net::UnixStream::connect(lan.socket_path()).unwrap();
    until("it is plugged in", || lan.ports().unwrap().len() == 3);
    broken.write_all(&[0xff; 64]).unwrap();
    until("it is unplugged", || lan.ports().unwrap().len() == 2);
    assert!(log.holds("unplugged"));
    taps[0].send(&frame(TWO, ONE, 60, 1)).unwrap();
    assert!(taps[1].recv(PATIENCE).unwrap().is_some());
}

#[test]
fn the_socket_is_gone_when_the_lan_is() {
    let (lan, _) = start(LanConfig::default());
    let path = lan.socket_path();
    assert!(path.exists());
    drop(lan);
    assert!(!path.exists() && !path.parent().unwrap().exists());
}

#[test]
fn a_recording_holds_every_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lan.pcap");
    let (lan, _) = start(LanConfig {
        pcap: Some(path.clone()),
        ..LanConfig::default()
    });
    let mut taps = taps(&lan, 2);
    taps[0].send(&frame(TWO, ONE, 100, 5)).unwrap();
    assert!(taps[1].recv(PATIENCE).unwrap().is_some());
    drop(lan);
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes[..4], 0xa1b2_3c4d_u32.to_le_bytes());
    assert_eq!(bytes.len(), 24 + 16 + 100);
    assert_eq!(bytes[40..], frame(TWO, ONE, 100, 5)[..]);
}
