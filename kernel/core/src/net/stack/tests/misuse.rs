//! Wrong handles, wrong addresses, limits, and frames of garbage.

use super::*;

#[test]
fn a_handle_of_another_kind_or_a_closed_one_is_told_apart() {
    let mut world = World::linked(StackLimits::default());
    let stack = &mut world.stacks[A];
    let udp = stack.udp_bind(None, 53).unwrap();
    let listener = stack.tcp_listen(None, 80, 1).unwrap();
    let mut buffer = [0; 4];
    let wrong = NetError::WrongSocketKind;
    assert_eq!(stack.tcp_read(udp, &mut buffer), Err(wrong));
    assert_eq!(stack.tcp_write(listener, &buffer), Err(wrong));
    assert_eq!(stack.tcp_accept(udp), Err(wrong));
    assert_eq!(stack.udp_receive_from(listener, &mut buffer), Err(wrong));
    assert_eq!(stack.ping_receive(udp), Err(wrong));
    assert_eq!(stack.dns_poll(udp), Err(wrong));
    stack.close(udp);
    let bad = NetError::BadHandle;
    assert_eq!(stack.udp_receive_from(udp, &mut buffer), Err(bad));
    assert_eq!(stack.local_address(udp), Err(bad));
    assert_eq!(stack.tcp_connected(SocketId(u32::MAX)), Err(bad));
    assert_eq!(stack.readiness(udp), Readiness::default());
    stack.close(udp);
    // The next user of the slot is not reached by the old handle.
    let next = stack.udp_bind(None, 54).unwrap();
    assert_ne!(next, udp);
    assert_eq!(stack.udp_receive_from(udp, &mut buffer), Err(bad));
}

#[test]
fn the_guests_sockets_are_bounded() {
    let limits = StackLimits {
        sockets: 2,
        ..StackLimits::default()
    };
    let mut world = World::linked(limits);
    let stack = &mut world.stacks[A];
    let first = stack.udp_bind(None, 0).unwrap();
    stack.tcp_listen(None, 80, 1).unwrap();
    let full = NetError::TooManySockets;
    assert_eq!(stack.udp_bind(None, 0), Err(full));
    assert_eq!(stack.tcp_listen(None, 81, 1), Err(full));
    assert_eq!(stack.tcp_connect(address(11, 80), world.now), Err(full));
    assert_eq!(stack.dns_start("10.0.0.1", world.now), Err(full));
    assert_eq!(stack.ping_start(address(11, 0).ip(), 1), Err(full));
    stack.close(first);
    assert!(stack.udp_bind(None, 0).is_ok());
}

#[test]
fn ports_and_addresses_are_checked() {
    let mut world = World::linked(StackLimits::default());
    let now = world.now;
    let stack = &mut world.stacks[A];
    stack.tcp_listen(None, 80, 1).unwrap();
    let in_use = NetError::AddressInUse;
    assert_eq!(stack.tcp_listen(None, 80, 1), Err(in_use));
    assert_eq!(
        stack.tcp_listen(Some(address(10, 0).ip()), 80, 1),
        Err(in_use)
    );
    let absent = NetError::AddressNotAvailable;
    assert_eq!(
        stack.tcp_listen(Some(address(77, 0).ip()), 81, 1),
        Err(absent)
    );
    let invalid = NetError::InvalidAddress;
    assert_eq!(stack.tcp_listen(None, 0, 1), Err(invalid));
    assert_eq!(stack.tcp_connect(address(11, 0), now), Err(invalid));
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 80));
    assert_eq!(stack.tcp_connect(unspecified, now), Err(invalid));
    let group = SocketAddr::from(([224, 0, 0, 1], 80));
    assert_eq!(stack.tcp_connect(group, now), Err(invalid));
    stack.udp_bind(None, 53).unwrap();
    assert_eq!(stack.udp_bind(None, 53), Err(in_use));
}

#[test]
fn interfaces_with_impossible_configuration_are_refused() {
    let mut stack = Stack::new(StackLimits::default(), 1);
    let port = PortId(1);
    let good = config(port, LinkProperties::PRIVATE, 10);
    let with = |address: &str, prefix_length| {
        let mut config = good.clone();
        config.addresses = vec![AddressSpec::Static {
            address: address.parse().unwrap(),
            prefix_length,
        }];
        config
    };
    let mut group = good.clone();
    group.mac = [1, 0, 0, 0, 0, 0];
    let mut crowd = good.clone();
    crowd.addresses = vec![crowd.addresses[0]; 20];
    let bad = [
        with("10.0.0.1", 33),
        with("0.0.0.0", 0),
        with("224.0.0.1", 4),
        with("ff02::1", 16),
        group,
        crowd,
    ];
    for config in bad {
        let added = stack.add_interface(config, Time::ZERO);
        assert_eq!(added, Err(NetError::InvalidAddress));
    }
    assert!(stack.add_interface(good, Time::ZERO).is_ok());
}

/// Frames that were seen on the wire, each with some bytes changed, cut or lengthened.
#[test]
fn mangled_frames_do_no_harm() {
    for checksums in [Checksums::Omitted, Checksums::Computed] {
        let faults = Faults::default();
        let mut world = World::relayed(StackLimits::default(), faults, 5, checksums);
        let (server, client, listener) = world.connected();
        world.stacks[A].udp_bind(None, 7).unwrap();
        let query = world.stacks[B].udp_bind(None, 0).unwrap();
        for to in ["10.0.0.10:7", "10.0.0.10:9", "[fd00::a]:9"] {
            let to = to.parse().unwrap();
            world.stacks[B].udp_send_to(query, b"datagram", to).unwrap();
        }
        let ping = world.stacks[B]
            .ping_start("fd00::a".parse().unwrap(), 1)
            .unwrap();
        world.stacks[B].ping_send(ping, 1, 8, world.now).unwrap();
        world.stacks[B]
            .tcp_write(client, &pattern(3, 3000))
            .unwrap();
        world.run_for(Duration::from_millis(1500));
        let relay = world.relay.take().unwrap();
        let mut random = 99;
        let mut next = move |bound: usize| {
            random = scramble(random);
            (random % bound as u64) as usize
        };
        let to_a: Vec<_> = relay
            .seen
            .iter()
            .filter(|frame| frame[..6] != MAC_B)
            .collect();
        for _ in 0..20_000 {
            let mut frame = to_a[next(to_a.len())].clone();
            for _ in 0..1 + next(3) {
                let at = 12 + next(frame.len().min(90) - 12);
                frame[at] = [0, 0xFF, next(256) as u8][next(3)];
            }
            match next(4) {
                0 => frame.truncate(next(frame.len())),
                1 => frame.extend([0; 9]),
                _ => {}
            }
            world
                .fabric
                .transmit(relay.ends[0], Frame::from_bytes(frame), world.now);
            world.now = world.now + Duration::from_micros(50);
            let now = world.now;
            world.stacks[A].poll(now, &mut world.fabric);
            while let Some((id, _)) = world.stacks[A].tcp_accept(listener).unwrap() {
                world.stacks[A].close(id);
            }
            while let Some(frame) = world.fabric.take_received(relay.ends[0]) {
                world.fabric.recycle(frame);
            }
        }
        let _ = world.stacks[A].tcp_read(server, &mut [0; 64]);
        // A still serves.
        world.relay = Some(relay);
        world.stacks[A].close(listener);
        world.run_for(Duration::from_secs(90));
        world.connected();
    }
}

#[test]
fn the_nodes_allowance_bounds_buffers_and_spares_need_none() {
    let limits = StackLimits {
        tcp_buffer_bytes: 4096,
        ..StackLimits::default()
    };
    let mut world = World::linked(limits);
    let allowance = Allowance::new(2 * 3 * 4096 + 100);
    let client = world.stacks.remove(B).with_allowance(allowance.clone());
    world.stacks.push(client);
    let now = world.now;
    let connect = |world: &mut World| world.stacks[B].tcp_connect(address(10, 80), now);
    let first = connect(&mut world).unwrap();
    connect(&mut world).unwrap();
    assert_eq!(connect(&mut world), Err(NetError::TooManySockets));
    let bound = world.stacks[B].udp_bind(None, 0);
    assert_eq!(bound, Err(NetError::TooManySockets));
    assert_eq!(allowance.left_bytes(), 100);
    // A listener needs no buffers, but each SYN does.
    world.stacks[B].tcp_listen(None, 81, 4).unwrap();
    let unheard = world.stacks[A].tcp_connect(address(11, 81), now).unwrap();
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[A].tcp_connected(unheard), Ok(false));
    // The refused connection's buffers serve the next one.
    assert!(world.stacks[B].readiness(first).failed);
    world.stacks[B].close(first);
    connect(&mut world).unwrap();
    allowance.renew(1 << 20);
    assert!(world.stacks[B].udp_bind(None, 0).is_ok());
    world.run(|world| world.stacks[A].tcp_connected(unheard) == Ok(true));
}
