//! Outlets with names: their cables, and services that move from one to another.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::Duration;

use super::guest::{Guest, GuestConfig, Role, pattern};
use super::{PATIENCE, start, until};
use crate::lan::{Cable, Faults, Forward, Lan, LanConfig, LinkState, PortCounters, Tap};

const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 9));

fn forwarding() -> LanConfig {
    LanConfig {
        forwards: vec![Forward::to_address(SERVICE, 80)],
        ..LanConfig::default()
    }
}

fn plug(lan: &Lan, outlet: &str) -> Tap {
    Tap::connect(&lan.outlet(outlet).unwrap()).unwrap()
}

fn counters(lan: &Lan, outlet: &str) -> PortCounters {
    let ports = lan.ports().unwrap();
    let port = ports
        .iter()
        .find(|port| port.outlet.as_deref() == Some(outlet));
    port.unwrap().counters
}

fn connect(lan: &Lan) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, lan.forward_port(0))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends and gets back bytes that depend on where in the session they are.
fn talk(mut stream: &TcpStream, from: usize, bytes: usize) {
    let sent: Vec<u8> = (from..from + bytes).map(pattern).collect();
    let mut back = vec![0; bytes];
    std::thread::scope(|scope| {
        let (mut writer, sent) = (stream, &sent);
        scope.spawn(move || writer.write_all(sent).unwrap());
        stream.read_exact(&mut back).unwrap();
    });
    assert!(back == sent, "wrong bytes after {from}");
}

#[test]
fn a_session_goes_on_while_its_service_moves_from_node_to_node() {
    let (lan, _) = start(forwarding());
    let sockets = ["node1", "node2"].map(|name| lan.outlet(name).unwrap());
    let guest = Guest::start_at(
        Tap::connect(&sockets[0]).unwrap(),
        GuestConfig::new(Role::Echo),
    );
    let stream = connect(&lan);
    talk(&stream, 0, 100_000);
    for turn in 1..=6 {
        guest.move_to(Tap::connect(&sockets[turn % 2]).unwrap());
        talk(&stream, turn * 100_000, 100_000);
    }
    // What opens after a move finds the service as well.
    talk(&connect(&lan), 7, 1000);
    let counted = lan.counters().unwrap();
    assert_eq!((counted.accepted, counted.reset), (2, 0));
}

#[test]
fn a_cut_cable_delays_its_node_alone_and_survives_a_reset_of_the_node() {
    let (lan, _) = start(LanConfig::default());
    let socket = lan.outlet("node2").unwrap();
    let mut one = plug(&lan, "node1");
    let mut two = Tap::connect(&socket).unwrap();
    until("both are plugged in", || lan.ports().unwrap().len() == 2);
    let cut = Cable {
        link: LinkState::Cut,
        ..Cable::default()
    };
    lan.set_cable("node2", cut).unwrap();
    let frame = [[0xff; 6], [2, 0, 0, 0, 0, 1], [0; 6]].concat();
    one.send(&frame).unwrap();
    until("it is lost", || counters(&lan, "node2").lost_cut == 1);
    drop(two);
    until("node2 is gone", || lan.ports().unwrap().len() == 1);
    two = Tap::connect(&socket).unwrap();
    until("node2 is back", || lan.ports().unwrap().len() == 2);
    one.send(&frame).unwrap();
    until("the cable is still cut", || {
        counters(&lan, "node2").lost_cut == 1
    });
    lan.set_cable("node2", Cable::default()).unwrap();
    one.send(&frame).unwrap();
    assert_eq!(two.recv(PATIENCE).unwrap().unwrap(), frame);
}

#[test]
fn bytes_stay_exact_on_a_long_slow_and_lossy_cable() {
    let (lan, _) = start(forwarding());
    let _guest = Guest::start_at(plug(&lan, "node1"), GuestConfig::new(Role::Echo));
    let faults = Faults {
        loss_per_mille: 5,
        duplicate_per_mille: 5,
        delay_per_mille: 500,
        delay: Duration::from_millis(2),
        seed: 5,
    };
    lan.set_cable(
        "node1",
        Cable {
            faults,
            bandwidth_bits_per_s: Some(20_000_000),
            ..Cable::default()
        },
    )
    .unwrap();
    talk(&connect(&lan), 0, 128 << 10);
    assert!(lan.counters().unwrap().lost_faults > 0);
}
