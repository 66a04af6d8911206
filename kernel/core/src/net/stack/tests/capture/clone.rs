//! Clones: another station with the same sockets, and none of the original's connections.

use super::*;

fn clone_config(port: PortId, properties: LinkProperties) -> InterfaceConfig {
    let mut config = config(port, properties, 0x2A);
    config.hostname = String::from("web-2");
    config
}

#[test]
fn a_clone_serves_under_its_own_address_beside_the_original_and_knows_no_peer() {
    let mut world = World::empty();
    let switch = world.fabric.add_switch("lan", None).unwrap();
    for (number, mac) in [MAC_A, MAC_B].into_iter().enumerate() {
        let port = world.fabric.attach(switch, "port", mac).unwrap();
        world.add_stack(StackLimits::default(), number as u64, port, mac[5]);
    }
    let (server, client, listener) = world.connected();
    let waiting = world.stacks[B].tcp_connect(address(10, 80), world.now);
    let waiting = waiting.unwrap();
    let bound = Some(address(10, 0).ip());
    let fixed = world.stacks[A].tcp_listen(bound, 81, 4).unwrap();
    let udp = world.stacks[A].udp_bind(bound, 7).unwrap();
    let sender = world.stacks[B].udp_bind(None, 0).unwrap();
    world.stacks[B]
        .udp_send_to(sender, b"kept", address(10, 7))
        .unwrap();
    world.run(|world| {
        let stack = &mut world.stacks[A];
        stack.readiness(udp).readable && stack.readiness(listener).readable
    });
    world.stacks[A].tcp_write(server, b"unheard").unwrap();
    let state = through_bytes(&world.stacks[A].capture());

    let port = world.fabric.attach(switch, "clone", [2, 0, 0, 0, 0, 0x2A]);
    let port = port.unwrap();
    let properties = world.fabric.properties(port);
    let config = clone_config(port, properties);
    let cloned = state
        .clone()
        .into_clone(CloneNetwork::alone(&[config]))
        .unwrap();
    let ports = [RevivedPort { port, properties }];
    let clone = revive(&cloned, &ports, 3, world.now).unwrap();
    world.stacks.push(clone);
    let clone = world.stacks.len() - 1;
    world.run_for(Duration::from_secs(2));

    // In the clone the handle is there, and fails.
    let reset = Err(NetError::ConnectionReset);
    assert_eq!(world.stacks[clone].tcp_read(server, &mut [0; 9]), reset);
    assert_eq!(world.stacks[clone].tcp_write(server, b"x"), reset);
    assert!(world.stacks[clone].tcp_accept(listener).unwrap().is_none());
    // The original's goes on.
    assert_eq!(world.stacks[B].tcp_read(client, &mut [0; 9]), Ok(Some(7)));
    assert_eq!(world.stacks[B].tcp_connected(waiting), Ok(true));
    assert!(world.stacks[A].tcp_accept(listener).unwrap().is_some());
    // What was received before is in both.
    for side in [A, clone] {
        let mut bytes = [0; 8];
        let got = world.stacks[side].udp_receive_from(udp, &mut bytes);
        assert_eq!((got.unwrap().unwrap().0, &bytes[..4]), (4, &b"kept"[..]));
    }
    // Listeners serve, the one at the original's address at the clone's.
    for port in [80, 81] {
        let listener = if port == 80 { listener } else { fixed };
        let again = world.stacks[B].tcp_connect(address(0x2A, port), world.now);
        let again = again.unwrap();
        world.run(|world| world.stacks[B].tcp_connected(again) == Ok(true));
        world.run(|world| world.stacks[clone].tcp_accept(listener).unwrap().is_some());
    }
    assert_eq!(
        world.stacks[clone].interfaces()[0].mac,
        [2, 0, 0, 0, 0, 0x2A]
    );
}

#[test]
fn a_clone_does_not_take_what_is_the_originals() {
    let mut world = World::linked(StackLimits::default());
    let state = world.stacks[A].capture();
    let (port, properties) = (PortId(9), LinkProperties::PRIVATE);
    let own = config(port, properties, MAC_A[5]);
    let refused = state
        .clone()
        .into_clone(CloneNetwork::alone(core::slice::from_ref(&own)));
    assert_eq!(refused, Err(RestoreError::AddressOfOriginal));
    let mut other_mac = own.clone();
    other_mac.mac = [2, 0, 0, 0, 0, 0x2A];
    let refused = state.clone().into_clone(CloneNetwork::alone(&[other_mac]));
    assert_eq!(refused, Err(RestoreError::AddressOfOriginal));
    let mut other_address = clone_config(port, properties);
    other_address.mac = MAC_A;
    let refused = state
        .clone()
        .into_clone(CloneNetwork::alone(&[other_address]));
    assert_eq!(refused, Err(RestoreError::AddressOfOriginal));
    let refused = state.into_clone(CloneNetwork::alone(&[]));
    let count = RestoreError::Interfaces {
        given: 0,
        wanted: 1,
    };
    assert_eq!(refused, Err(count));
}

#[test]
fn sockets_of_a_clone_by_dhcp_move_to_all_addresses_unless_they_would_share_a_port() {
    let mut world = World::linked(StackLimits::default());
    let v6: IpAddr = "fd00::a".parse().unwrap();
    let stack = &mut world.stacks[A];
    let first = stack.tcp_listen(Some(address(10, 0).ip()), 80, 4).unwrap();
    let second = stack.tcp_listen(Some(v6), 80, 4).unwrap();
    let state = stack.capture();
    let mut config = clone_config(PortId(9), LinkProperties::PRIVATE);
    config.addresses = vec![AddressSpec::Dhcp];
    let cloned = state.into_clone(CloneNetwork::alone(&[config])).unwrap();
    let ports = [RevivedPort {
        port: PortId(9),
        properties: LinkProperties::PRIVATE,
    }];
    let clone = revive(&cloned, &ports, 3, world.now).unwrap();
    let any = "0.0.0.0:80".parse().unwrap();
    assert_eq!(clone.local_address(first), Ok(any));
    assert_eq!(clone.local_address(second), Ok(SocketAddr::new(v6, 80)));
    assert_eq!(clone.interfaces()[0].dhcp, DhcpState::Searching);
}
