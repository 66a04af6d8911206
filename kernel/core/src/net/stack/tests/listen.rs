//! Listeners: accept order, bounds, SYNs beyond them.

use super::*;

#[test]
fn connections_are_accepted_in_the_order_of_their_establishment() {
    let mut world = World::linked(StackLimits::default());
    let listener = world.stacks[A].tcp_listen(None, 80, 16).unwrap();
    let mut expected = Vec::new();
    for _ in 0..5 {
        let client = world.stacks[B]
            .tcp_connect(address(10, 80), world.now)
            .unwrap();
        expected.push(world.stacks[B].local_address(client).unwrap());
        world.run(|world| world.stacks[B].tcp_connected(client) == Ok(true));
    }
    world.run_for(Duration::from_millis(50));
    let mut accepted = Vec::new();
    while let Some((_, peer)) = world.stacks[A].tcp_accept(listener).unwrap() {
        accepted.push(peer);
    }
    assert_eq!(accepted, expected);
}

#[test]
fn syns_beyond_the_pool_are_dropped_without_a_reset_and_come_through_later() {
    let limits = StackLimits {
        listen_pool: 4,
        ..StackLimits::default()
    };
    let faults = Faults::default();
    let mut world = World::relayed(limits, faults, 1, Checksums::Computed);
    let listener = world.stacks[A].tcp_listen(None, 80, 64).unwrap();
    // Something is known of each other, so that no SYN waits for ARP.
    world.stacks[B]
        .tcp_connect(address(10, 80), world.now)
        .unwrap();
    world.run(|world| world.stacks[A].tcp_accept(listener).unwrap().is_some());
    let clients: Vec<SocketId> = (0..20)
        .map(|_| {
            world.stacks[B]
                .tcp_connect(address(10, 80), world.now)
                .unwrap()
        })
        .collect();
    // All SYNs arrive in one poll of A.
    let now = world.now;
    world.stacks[B].poll(now, &mut world.fabric);
    let mut relay = world.relay.take().unwrap();
    relay.relay(&mut world.fabric, now);
    world.relay = Some(relay);
    world.stacks[A].poll(now, &mut world.fabric);
    assert_eq!(world.stacks[A].dropped_syns(), 16);
    world.run(|world| {
        while world.stacks[A].tcp_accept(listener).unwrap().is_some() {}
        clients
            .iter()
            .all(|client| world.stacks[B].tcp_connected(*client) == Ok(true))
    });
    assert_eq!(world.resets(), 0);
}

#[test]
fn a_full_accept_queue_drops_syns() {
    let mut world = World::linked(StackLimits::default());
    let listener = world.stacks[A].tcp_listen(None, 80, 2).unwrap();
    let clients: Vec<SocketId> = (0..3)
        .map(|_| {
            let client = world.stacks[B]
                .tcp_connect(address(10, 80), world.now)
                .unwrap();
            world.run_for(Duration::from_millis(200));
            client
        })
        .collect();
    let connected = |world: &mut World| {
        let stack = &mut world.stacks[B];
        clients
            .iter()
            .filter(|id| stack.tcp_connected(**id) == Ok(true))
            .count()
    };
    assert_eq!(connected(&mut world), 2);
    assert!(world.stacks[A].tcp_accept(listener).unwrap().is_some());
    world.run(|world| connected(world) == 3);
}

#[test]
fn half_open_connections_of_a_flood_are_forgotten() {
    let limits = StackLimits {
        listen_pool: 3,
        ..StackLimits::default()
    };
    let mut world = World::linked(limits);
    let listener = world.stacks[A].tcp_listen(None, 80, 64).unwrap();
    for _ in 0..3 {
        world.stacks[B]
            .tcp_connect(address(10, 80), world.now)
            .unwrap();
    }
    // B asks for A's station, sends its SYNs, and is gone before it can go on.
    for side in [B, A, B] {
        let now = world.now;
        world.stacks[side].poll(now, &mut world.fabric);
    }
    world.stacks.remove(B);
    world.run(|world| world.stacks[A].connections.iter().count() == 3);
    assert_eq!(
        world.stacks[A]
            .handles
            .listener_mut(listener)
            .unwrap()
            .half_open,
        3
    );
    world.run_for(Duration::from_secs(12));
    assert_eq!(world.stacks[A].connections.iter().count(), 0);
    assert_eq!(
        world.stacks[A]
            .handles
            .listener_mut(listener)
            .unwrap()
            .half_open,
        0
    );
}

#[test]
fn closing_a_listener_breaks_off_what_was_not_accepted_and_refuses_the_next() {
    let mut world = World::linked(StackLimits::default());
    let listener = world.stacks[A].tcp_listen(None, 80, 16).unwrap();
    let waiting = world.stacks[B]
        .tcp_connect(address(10, 80), world.now)
        .unwrap();
    world.run(|world| world.stacks[A].readiness(listener).readable);
    world.stacks[A].close(listener);
    world.run(|world| world.stacks[B].readiness(waiting).failed);
    let next = world.stacks[B]
        .tcp_connect(address(10, 80), world.now)
        .unwrap();
    world.run(|world| world.stacks[B].readiness(next).failed);
    assert_eq!(
        world.stacks[B].tcp_connected(next),
        Err(NetError::ConnectionRefused)
    );
    assert!(world.stacks[A].tcp_listen(None, 80, 16).is_ok());
}

#[test]
fn a_listener_at_one_address_does_not_serve_another() {
    let mut world = World::linked(StackLimits::default());
    let v6: IpAddr = "fd00::a".parse().unwrap();
    world.stacks[A].tcp_listen(Some(v6), 80, 16).unwrap();
    let wrong = world.stacks[B]
        .tcp_connect(address(10, 80), world.now)
        .unwrap();
    let right = world.stacks[B]
        .tcp_connect(SocketAddr::new(v6, 80), world.now)
        .unwrap();
    world.run(|world| {
        world.stacks[B].readiness(wrong).failed && world.stacks[B].tcp_connected(right) == Ok(true)
    });
    assert!(
        world.stacks[A]
            .tcp_listen(Some("10.0.0.10".parse().unwrap()), 80, 1)
            .is_ok()
    );
}

#[test]
fn sockets_and_buffers_are_used_again() {
    let mut world = World::linked(StackLimits::default());
    let listener = world.stacks[A].tcp_listen(None, 80, 16).unwrap();
    for _ in 0..100 {
        let client = world.stacks[B]
            .tcp_connect(address(10, 80), world.now)
            .unwrap();
        let mut server = None;
        world.run(|world| {
            server = server.or(world.stacks[A].tcp_accept(listener).unwrap());
            server.is_some()
        });
        let (server, _) = server.unwrap();
        world.stacks[A].tcp_write(server, b"hello").unwrap();
        world.run(|world| world.stacks[B].tcp_read(client, &mut [0; 9]) == Ok(Some(5)));
        world.stacks[B].close(client);
        world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 9]) == Ok(Some(0)));
        world.stacks[A].close(server);
        world.run_for(Duration::from_millis(1));
    }
    assert_eq!(world.stacks[A].connections.slots(), 1);
    assert_eq!(world.stacks[B].time_wait.len(), 100);
}
