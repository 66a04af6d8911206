//! Several interfaces, full NICs, cables that come and go.

use super::*;

/// M has an interface on each of two links; A and B are at the far ends.
/// M is 10.0.0.1 towards A (10.0.0.10) and 10.0.1.1 towards B (10.0.1.11).
fn forked() -> World {
    let mut world = World::empty();
    let mut middle = Stack::new(StackLimits::default(), 3);
    for (number, last) in [10u8, 11].into_iter().enumerate() {
        let link = world
            .fabric
            .add_link(&alloc::format!("link{number}"))
            .unwrap();
        let far = world
            .fabric
            .attach(link, "far", [2, 0, 0, 0, 0, last])
            .unwrap();
        let near = world
            .fabric
            .attach(link, "near", [2, 0, 0, 0, 1, last])
            .unwrap();
        let properties = world.fabric.properties(far);
        let placed = |port, station: [u8; 6], host: u8| {
            let mut config = config(port, properties, last);
            config.mac = station;
            config.addresses = vec![AddressSpec::Static {
                address: IpAddr::from([10, 0, number as u8, host]),
                prefix_length: 24,
            }];
            config
        };
        let mut stack = Stack::new(StackLimits::default(), number as u64);
        let mut distant = placed(far, [2, 0, 0, 0, 0, last], last);
        distant.gateway = vec![IpAddr::from([10, 0, number as u8, 1])];
        stack.add_interface(distant, world.now).unwrap();
        world.stacks.push(stack);
        let nearby = placed(near, [2, 0, 0, 0, 1, last], 1);
        middle.add_interface(nearby, world.now).unwrap();
    }
    world.stacks.push(middle);
    world
}

const M: usize = 2;

#[test]
fn a_listener_serves_every_interface_and_connects_leave_by_the_right_one() {
    let mut world = forked();
    let listener = world.stacks[M].tcp_listen(None, 80, 16).unwrap();
    for (side, network) in [(A, 0), (B, 1)] {
        let middle = SocketAddr::from(([10, 0, network, 1], 80));
        let inward = world.stacks[side].tcp_connect(middle, world.now).unwrap();
        world.run(|world| world.stacks[side].tcp_connected(inward) == Ok(true));
        world.run(|world| world.stacks[M].readiness(listener).readable);
        let (_, peer) = world.stacks[M].tcp_accept(listener).unwrap().unwrap();
        assert_eq!(peer, world.stacks[side].local_address(inward).unwrap());
        world.stacks[side].tcp_listen(None, 81, 16).unwrap();
        let last = [10, 11][side];
        let distant = SocketAddr::from(([10, 0, network, last], 81));
        let outward = world.stacks[M].tcp_connect(distant, world.now).unwrap();
        world.run(|world| world.stacks[M].tcp_connected(outward) == Ok(true));
        let local = world.stacks[M].local_address(outward).unwrap();
        assert_eq!(local.ip(), middle.ip());
    }
}

#[test]
fn an_instance_does_not_answer_for_its_other_networks() {
    // A's packets for 10.0.1.1 reach M by A's gateway, M itself; that address is not on that link.
    let mut world = forked();
    world.stacks[M].tcp_listen(None, 80, 16).unwrap();
    let crossing = SocketAddr::from(([10, 0, 1, 1], 80));
    let attempt = world.stacks[A].tcp_connect(crossing, world.now).unwrap();
    world.run(|world| world.stacks[A].readiness(attempt).failed);
    assert_eq!(
        world.stacks[A].tcp_connected(attempt),
        Err(NetError::TimedOut)
    );
}

#[test]
fn a_datagram_socket_hears_every_interface_in_turn() {
    let mut world = forked();
    let server = world.stacks[M].udp_bind(None, 7).unwrap();
    let mut senders = Vec::new();
    for (side, network) in [(A, 0), (B, 1)] {
        let client = world.stacks[side].udp_bind(None, 0).unwrap();
        let middle = SocketAddr::from(([10, 0, network, 1], 7));
        for _ in 0..2 {
            world.stacks[side]
                .udp_send_to(client, b"hello", middle)
                .unwrap();
        }
        senders.push(middle.ip());
    }
    world.run_for(Duration::from_secs(3));
    let mut networks = Vec::new();
    while let Some((_, from)) = world.stacks[M].udp_receive_from(server, &mut []).unwrap() {
        networks.push(from.ip());
    }
    let [a, b] = [[10, 0, 0, 10], [10, 0, 1, 11]].map(IpAddr::from);
    assert_eq!(networks, [a, b, a, b]);
}

#[test]
fn a_full_nic_holds_segments_back_instead_of_losing_them() {
    let faults = Faults::default();
    let mut world = World::relayed(StackLimits::default(), faults, 1, Checksums::Computed);
    let (server, _, _) = world.connected();
    // Another sender fills the queue of the NIC.
    let relay = world.relay.as_ref().unwrap().ends[0];
    for _ in 0..limits::UPLINK_QUEUE_FRAMES {
        let mut bytes = vec![0; 60];
        bytes[..12].copy_from_slice(&[2, 9, 9, 9, 9, 9, 2, 2, 2, 2, 2, 2]);
        let filler = Frame::from_bytes(bytes);
        world.fabric.transmit(relay, filler, world.now);
    }
    let now = world.now;
    let bytes = pattern(1, 40_000);
    world.stacks[A].tcp_write(server, &bytes).unwrap();
    let port = world.stacks[A].interfaces[0].port;
    while world.fabric.take_received(port).is_some() {}
    let before = world.fabric.counters(port).sent_frames;
    world.stacks[A].poll(now, &mut world.fabric);
    assert_eq!(world.fabric.counters(port).sent_frames, before);
    // It asks for another poll, but not at once: the NIC may stay full.
    let next = world.stacks[A].next_poll(now).unwrap();
    assert!(next > now && next <= now + limits::STACK_RETRY);
    while world.fabric.next_uplink_frame(0).is_some() {
        world.fabric.pop_uplink_frame(0);
    }
    world.stacks[A].poll(next, &mut world.fabric);
    assert!(world.fabric.counters(port).sent_frames > before);
}

#[test]
fn a_connection_outlives_an_unplugged_cable() {
    use crate::net::fabric::PortState;
    let mut world = World::linked(StackLimits::default());
    let (server, client, _) = world.connected();
    let port = world.stacks[A].interfaces[0].port;
    world.fabric.set_port_up(port, PortState::Down);
    world.stacks[B].tcp_write(client, b"through").unwrap();
    world.run_for(Duration::from_secs(5));
    assert!(!world.stacks[A].readiness(server).readable);
    world.fabric.set_port_up(port, PortState::Up);
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 9]) == Ok(Some(7)));
}
