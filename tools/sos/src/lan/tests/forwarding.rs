//! TCP between the host and services on the LAN.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use super::guest::{Address, Guest, GuestConfig, Role, pattern};
use super::{PATIENCE, start, until};
use crate::lan::{Faults, Forward, Lan, LanConfig};

const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 9));

fn forwarding() -> LanConfig {
    LanConfig {
        forwards: vec![Forward::to_address(SERVICE, 80)],
        ..LanConfig::default()
    }
}

fn connect(lan: &Lan) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, lan.forward_port(0))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(pattern).collect()
}

/// Sends `bytes` and ends; returns what comes back until the service ends too.
fn exchange(stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut reader = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        let back = scope.spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).map(|_| back)
        });
        (&*stream).write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        back.join().unwrap().unwrap()
    })
}

#[test]
fn ten_megabytes_go_out_and_back_byte_exact() {
    let (lan, _) = start(forwarding());
    let _guest = Guest::start(&lan, GuestConfig::new(Role::Echo));
    let sent = data(10 << 20);
    assert!(exchange(&connect(&lan), &sent) == sent);
    until("the connection is gone", || {
        lan.counters().unwrap().open == 0
    });
    assert_eq!(lan.counters().unwrap().reset, 0);
}

#[test]
fn jumbo_frames_carry_the_same_bytes() {
    let (lan, _) = start(LanConfig {
        mtu: 65_535,
        ..forwarding()
    });
    let _guest = Guest::start(
        &lan,
        GuestConfig {
            mtu: 65_535,
            ..GuestConfig::new(Role::Echo)
        },
    );
    let sent = data(10 << 20);
    assert!(exchange(&connect(&lan), &sent) == sent);
}

#[test]
fn lost_doubled_and_delayed_frames_leave_the_bytes_exact() {
    let (lan, _) = start(forwarding());
    let _guest = Guest::start(&lan, GuestConfig::new(Role::Echo));
    let faults = Faults {
        loss_per_mille: 10,
        duplicate_per_mille: 10,
        delay_per_mille: 10,
        delay: Duration::from_millis(2),
        seed: 11,
    };
    lan.set_faults(faults).unwrap();
    let sent = data(256 << 10);
    let stream = connect(&lan);
    let mut back = vec![0; sent.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&sent).unwrap());
        (&stream).read_exact(&mut back).unwrap();
    });
    assert!(back == sent);
}

#[test]
fn the_clients_end_reaches_the_service_and_the_answer_still_comes() {
    let (lan, _) = start(forwarding());
    let _guest = Guest::start(&lan, GuestConfig::new(Role::Count));
    let answer = exchange(&connect(&lan), &data(100_000));
    assert_eq!(answer, 100_000_u64.to_be_bytes());
}

#[test]
fn the_services_end_reaches_the_client() {
    let (lan, _) = start(forwarding());
    let _guest = Guest::start(&lan, GuestConfig::new(Role::Send(3 << 20)));
    let mut came = Vec::new();
    connect(&lan).read_to_end(&mut came).unwrap();
    assert!(came == data(3 << 20));
}

#[test]
fn a_client_that_does_not_read_stops_the_service_and_not_the_lan() {
    let (lan, _) = start(forwarding());
    let _guest = Guest::start(&lan, GuestConfig::new(Role::Send(64 << 20)));
    let mut slow = connect(&lan);
    let mut first = [0; 1];
    slow.read_exact(&mut first).unwrap();
    for _ in 0..3 {
        let mut came = vec![0; 1 << 20];
        connect(&lan).read_exact(&mut came).unwrap();
        assert!(came == data(1 << 20));
    }
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len() + 1, 64 << 20);
}

#[test]
fn many_connections_at_once_are_kept_apart() {
    let (lan, _) = start(forwarding());
    let config = GuestConfig {
        listeners: 128,
        ..GuestConfig::new(Role::Echo)
    };
    let _guest = Guest::start(&lan, config);
    let streams: Vec<TcpStream> = (0..100).map(|_| connect(&lan)).collect();
    until("all are open", || lan.counters().unwrap().open == 100);
    for (number, mut stream) in streams.iter().enumerate() {
        stream.write_all(&[number as u8; 1000]).unwrap();
    }
    for (number, mut stream) in streams.iter().enumerate() {
        let mut back = [0; 1000];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [number as u8; 1000]);
    }
    drop(streams);
    until("all are gone", || lan.counters().unwrap().open == 0);
}

#[test]
fn a_refused_port_resets_the_client() {
    let (lan, log) = start(forwarding());
    let _guest = Guest::start(
        &lan,
        GuestConfig {
            port: 81,
            ..GuestConfig::new(Role::Echo)
        },
    );
    let error = connect(&lan).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(log.holds("refused the connection to port 80"));
}

#[test]
fn an_unknown_service_is_waited_for_and_given_up() {
    let config = LanConfig {
        forwards: vec![Forward::to_name("nobody", 80)],
        connect_wait: Duration::from_millis(300),
        ..LanConfig::default()
    };
    let (lan, log) = start(config);
    let error = connect(&lan).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(log.holds("service nobody did not appear"));
    assert_eq!(lan.counters().unwrap().unreachable, 1);
}

#[test]
fn a_service_that_comes_late_answers_who_waits() {
    let config = LanConfig {
        forwards: vec![Forward::to_name("web", 80)],
        ..LanConfig::default()
    };
    let (lan, _) = start(LanConfig {
        connect_wait: PATIENCE,
        ..config
    });
    let stream = connect(&lan);
    until("it was accepted", || lan.counters().unwrap().open == 1);
    let config = GuestConfig {
        address: Address::Dhcp("web"),
        ..GuestConfig::new(Role::Echo)
    };
    let _guest = Guest::start(&lan, config);
    assert_eq!(exchange(&stream, b"late but there"), b"late but there");
}

#[test]
fn a_peer_that_vanishes_ends_the_connection() {
    let (lan, _) = start(LanConfig {
        silence: Duration::from_millis(500),
        ..forwarding()
    });
    let guest = Guest::start(&lan, GuestConfig::new(Role::Echo));
    let mut stream = connect(&lan);
    stream.write_all(b"there?").unwrap();
    stream.read_exact(&mut [0; 6]).unwrap();
    drop(guest);
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_client_that_resets_frees_the_service() {
    let (lan, _) = start(forwarding());
    let _guest = Guest::start(
        &lan,
        GuestConfig {
            listeners: 1,
            ..GuestConfig::new(Role::Echo)
        },
    );
    for _ in 0..3 {
        let mut stream = connect(&lan);
        stream.write_all(b"first").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        drop(stream);
        until("the connection is gone", || {
            lan.counters().unwrap().open == 0
        });
    }
    assert_eq!(lan.counters().unwrap().reset, 3);
}

#[test]
fn connections_beyond_the_bound_wait_their_turn() {
    let (lan, _) = start(LanConfig {
        connections_max: 2,
        ..forwarding()
    });
    let _guest = Guest::start(&lan, GuestConfig::new(Role::Echo));
    let streams: Vec<TcpStream> = (0..4).map(|_| connect(&lan)).collect();
    until("two are open", || lan.counters().unwrap().open == 2);
    for (number, stream) in streams.into_iter().enumerate() {
        assert_eq!(exchange(&stream, &[number as u8]), [number as u8]);
    }
}

#[test]
fn a_service_that_comes_back_as_another_station_is_found_there() {
    use super::guest::Address::Static;
    let (lan, _) = start(forwarding());
    let guest = Guest::start(&lan, GuestConfig::new(Role::Echo));
    assert_eq!(exchange(&connect(&lan), b"one"), b"one");
    drop(guest);
    let mac = smoltcp::wire::EthernetAddress([2, 0, 0, 0, 0, 99]);
    let address = Static(Ipv4Addr::new(10, 0, 2, 9));
    let _guest = Guest::start(
        &lan,
        GuestConfig {
            mac,
            address,
            ..GuestConfig::new(Role::Echo)
        },
    );
    assert_eq!(exchange(&connect(&lan), b"two"), b"two");
}

#[test]
fn a_guest_reaches_an_exposed_port_of_the_host() {
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = host.local_addr().unwrap().port();
    let (lan, _) = start(LanConfig {
        expose: vec![port],
        ..LanConfig::default()
    });
    let config = GuestConfig {
        listeners: 1,
        ..GuestConfig::new(Role::Call(port))
    };
    let _guest = Guest::start(&lan, config);
    let (mut stream, _) = host.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    let sent = data(1 << 20);
    assert!(exchange(&stream, &sent) == sent);
    assert_eq!(lan.counters().unwrap().exposed, 1);
}
