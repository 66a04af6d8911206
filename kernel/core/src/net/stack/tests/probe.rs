//! The node's own way in: it finds what a peer would, sees who took the connection, and leaves no trace
//! in what the guest knows.

use super::*;
use crate::net::stack::Answer;
use core::net::IpAddr;

/// A stack with one interface, 10.0.0.1, and a probe.
struct Probed {
    fabric: Fabric,
    stack: Stack,
    now: Time,
}

impl Probed {
    fn new(sockets: u32) -> Probed {
        let mut fabric = Fabric::new();
        let segment = fabric.add_switch("lan", None).unwrap();
        let port = fabric.attach(segment, "a.eth0", MAC_A).unwrap();
        let limits = StackLimits {
            sockets,
            ..StackLimits::default()
        };
        let mut stack = Stack::new(limits, 7);
        let config = InterfaceConfig {
            name: "eth0".to_string(),
            port,
            mac: MAC_A,
            properties: fabric.properties(port),
            addresses: vec![AddressSpec::Static {
                address: "10.0.0.1".parse().unwrap(),
                prefix_length: 24,
            }],
            gateway: vec![],
            dns: vec![],
            hostname: String::new(),
        };
        stack.add_interface(config, Time::ZERO).unwrap();
        let probe = fabric.attach_loopback("a.probe", super::super::probe::PROBE_MAC);
        stack.add_probe(probe, Time::ZERO).unwrap();
        Probed {
            fabric,
            stack,
            now: Time::ZERO,
        }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.now = self.now + Duration::from_micros(100);
            self.stack.poll(self.now, &mut self.fabric);
        }
    }

    fn answer(&mut self, port: u16) -> Result<Answer, NetError> {
        let id = self.stack.probe_connect(port, self.now)?;
        self.settle();
        self.stack.probe_answer(id)
    }
}

#[test]
fn the_probe_sees_whether_the_guest_took_the_connection() {
    for local in [None, Some("10.0.0.1"), Some("fe80::ff:fe00:a")] {
        let mut world = Probed::new(8);
        let local: Option<IpAddr> = local.map(|text| text.parse().unwrap());
        let listener = world.stack.tcp_listen(local, 80, 4).unwrap();
        let id = world.stack.probe_connect(80, world.now).unwrap();
        assert_eq!(world.stack.probe_answer(id), Ok(Answer::Handshaking));
        world.settle();
        assert_eq!(
            world.stack.probe_answer(id),
            Ok(Answer::Queued),
            "{local:?}"
        );
        let (taken, _) = world.stack.tcp_accept(listener).unwrap().unwrap();
        assert_eq!(world.stack.probe_answer(id), Ok(Answer::Accepted));
        world.stack.tcp_write(id, b"ping").unwrap();
        world.settle();
        let mut bytes = [0; 8];
        assert_eq!(world.stack.tcp_read(taken, &mut bytes), Ok(Some(4)));
        world.stack.tcp_write(taken, b"pong").unwrap();
        world.stack.close(taken);
        world.settle();
        assert_eq!(world.stack.tcp_read(id, &mut bytes), Ok(Some(4)));
        assert_eq!(&bytes[..4], b"pong");
        world.stack.probe_close(id);
    }
}

#[test]
fn a_port_without_a_listener_is_refused() {
    let mut world = Probed::new(8);
    assert_eq!(world.answer(80), Err(NetError::ConnectionRefused));
}

#[test]
fn the_guest_knows_nothing_of_the_probe() {
    let mut world = Probed::new(2);
    assert_eq!(world.stack.interfaces().len(), 1);
    let local = Some("127.0.0.1".parse().unwrap());
    assert_eq!(
        world.stack.tcp_listen(local, 80, 4),
        Err(NetError::AddressNotAvailable)
    );
    let to = SocketAddr::new("127.0.0.1".parse().unwrap(), 80);
    assert_eq!(
        world.stack.tcp_connect(to, world.now),
        Err(NetError::Unreachable)
    );
    // The probe's connection is none of the two sockets that the guest may have.
    world.stack.tcp_listen(None, 80, 4).unwrap();
    let id = world.stack.probe_connect(80, world.now).unwrap();
    world.stack.tcp_listen(None, 81, 4).unwrap();
    assert_eq!(
        world.stack.tcp_listen(None, 82, 4),
        Err(NetError::TooManySockets)
    );
    world.stack.probe_close(id);
    assert_eq!(
        world.stack.tcp_listen(None, 82, 4),
        Err(NetError::TooManySockets)
    );
}

#[test]
fn a_hundred_probes_leave_nothing_behind() {
    let mut world = Probed::new(8);
    let listener = world.stack.tcp_listen(None, 80, 4).unwrap();
    for round in 0..100 {
        let id = world.stack.probe_connect(80, world.now).unwrap();
        world.settle();
        let (taken, _) = world.stack.tcp_accept(listener).unwrap().unwrap();
        assert_eq!(
            world.stack.probe_answer(id),
            Ok(Answer::Accepted),
            "{round}"
        );
        world.stack.close(taken);
        world.settle();
        world.stack.probe_close(id);
        world.settle();
    }
    assert_eq!(
        world.stack.sockets().len(),
        1,
        "{:?}",
        world.stack.sockets()
    );
    let sent = world.fabric.segments(world.now).next().unwrap();
    let queued = sent.ports[0].counters.sent_frames;
    assert!(queued < 10, "no probe went to the wire: {queued} frames");
}
