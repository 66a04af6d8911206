//! Each part of a stack by itself: before and after a cut it is the same.

use super::*;
use crate::net::stack::state::{EntryState, Phase};
use smoltcp::socket::tcp::State;

fn relayed(seed: u64) -> World {
    let limits = StackLimits::default();
    World::relayed(limits, Faults::default(), seed, Checksums::Computed)
}

/// TCP's state behind a handle.
fn state_of(world: &World, side: usize, id: SocketId) -> State {
    let slot = world.stacks[side].handles.connection(id).unwrap();
    world.stacks[side].connections.get(slot).unwrap().state()
}

/// Sends `length` bytes from one side to the other and checks them.
fn send(world: &mut World, from: (usize, SocketId), to: (usize, SocketId), length: usize) {
    let bytes = pattern(length as u64, length);
    let (mut written, mut got) = (0, Vec::new());
    let mut buffer = [0; 4000];
    world.run(|world| {
        let rest = &bytes[written..];
        if !rest.is_empty() {
            let taken = world.stacks[from.0].tcp_write(from.1, rest).unwrap();
            written += taken.unwrap_or(0);
        }
        if let Some(read) = world.stacks[to.0].tcp_read(to.1, &mut buffer).unwrap() {
            got.extend_from_slice(&buffer[..read]);
        }
        got.len() >= length
    });
    assert!(got == bytes);
}

#[test]
fn a_look_at_a_stack_changes_nothing_that_it_says() {
    let run = |cuts: bool| {
        let faults = Faults {
            lost: 5,
            doubled: 5,
            delayed: 5,
        };
        let limits = StackLimits::default();
        let mut world = World::relayed(limits, faults, 7, Checksums::Computed);
        let (server, client, _) = world.connected();
        let sent = pattern(1, 60_000);
        let (mut written, mut got) = (0, 0);
        world.run(|world| {
            if cuts {
                for stack in &mut world.stacks {
                    let state = stack.capture();
                    assert!(state == stack.capture());
                }
            }
            let part = &sent[written..(written + 900).min(sent.len())];
            let stack = &mut world.stacks[A];
            written += stack.tcp_write(server, part).unwrap().unwrap_or(0);
            let read = world.stacks[B].tcp_read(client, &mut [0; 700]);
            got += read.unwrap().unwrap_or(0);
            got == sent.len()
        });
        world.relay.unwrap().seen
    };
    assert!(run(false) == run(true));
}

#[test]
fn a_stack_that_is_let_go_of_says_nothing() {
    let mut world = relayed(1);
    let (server, client, _) = world.connected();
    world.stacks[A].tcp_write(server, b"on its way").unwrap();
    world.run(|world| world.stacks[B].readiness(client).readable);
    world.run_for(Duration::from_millis(50));
    let seen = |world: &World| {
        let seen = &world.relay.as_ref().unwrap().seen;
        seen.iter().filter(|frame| frame[6..12] == MAC_A).count()
    };
    let before = seen(&world);
    let (_state, _) = world.cut(A, Waiting::Lost);
    world.run_for(Duration::from_secs(30));
    assert_eq!(seen(&world), before);
    assert_eq!(world.stacks[B].tcp_connected(client), Ok(true));
}

#[test]
fn every_state_of_a_connection_comes_back_and_leads_to_its_end() {
    // Which side shuts its direction down, in turn, and whether the network is dead by then.
    let ways: [(&[usize], bool, State); 8] = [
        (&[], false, State::Established),
        (&[A], true, State::FinWait1),
        (&[A], false, State::FinWait2),
        (&[B], false, State::CloseWait),
        (&[B, A], false, State::Closed),
        (&[A, B], false, State::TimeWait),
        (&[B, A], true, State::LastAck),
        (&[A, B], true, State::Closing),
    ];
    for (number, (order, is_dead, expected)) in ways.into_iter().enumerate() {
        let mut world = relayed(number as u64);
        let (server, client, _) = world.connected();
        let ids = [server, client];
        world.stacks[B].tcp_write(client, b"unread").unwrap();
        world.run(|world| world.stacks[A].readiness(server).readable);
        for (turn, &side) in order.iter().enumerate() {
            let is_last = turn + 1 == order.len();
            let kills = is_dead && (is_last || expected == State::Closing);
            if kills {
                // What A says is lost from here on; B is heard, if its acknowledgement is not the point.
                world.relay.as_mut().unwrap().deaf = Some(A);
            }
            if side == A {
                world.stacks[A].tcp_write(server, b"last").unwrap();
            }
            let stack = &mut world.stacks[side];
            stack.tcp_shutdown(ids[side], Shutdown::Write).unwrap();
            world.run_for(Duration::from_millis(200));
        }
        assert_eq!(state_of(&world, A, server), expected, "way {number}");
        world.recut(A);
        assert_eq!(state_of(&world, A, server), expected, "way {number}");
        world.relay.as_mut().unwrap().deaf = None;
        for side in [A, B] {
            let _ = world.stacks[side].tcp_shutdown(ids[side], Shutdown::Write);
        }
        let mut got = [Vec::new(), Vec::new()];
        let mut ended = [false, false];
        world.run(|world| {
            for side in [A, B] {
                let mut buffer = [0; 16];
                match world.stacks[side].tcp_read(ids[side], &mut buffer) {
                    Ok(Some(0)) => ended[side] = true,
                    Ok(Some(read)) => got[side].extend_from_slice(&buffer[..read]),
                    Ok(None) => {}
                    Err(error) => panic!("way {number}: {error}"),
                }
            }
            ended == [true, true]
        });
        assert_eq!(got[A], b"unread", "way {number}");
        let expected: &[u8] = if order.contains(&A) { b"last" } else { b"" };
        assert_eq!(got[B], expected, "way {number}");
        assert_eq!(world.resets(), 0, "way {number}");
    }
}

#[test]
fn a_connection_over_ipv6_goes_on() {
    let mut world = relayed(2);
    let listener = world.stacks[A].tcp_listen(None, 80, 4).unwrap();
    let to = SocketAddr::new("fd00::a".parse().unwrap(), 80);
    let client = world.stacks[B].tcp_connect(to, world.now).unwrap();
    let mut server = None;
    world.run(|world| {
        server = server.or(world.stacks[A].tcp_accept(listener).unwrap());
        server.is_some() && world.stacks[B].tcp_connected(client) == Ok(true)
    });
    let server = server.unwrap().0;
    for side in [A, B] {
        world.recut(side);
        send(&mut world, (A, server), (B, client), 30_000);
        send(&mut world, (B, client), (A, server), 30_000);
    }
}

#[test]
fn neighbours_need_not_be_asked_for_again() {
    for to in ["10.0.0.11:7", "[fd00::b]:7"] {
        let mut world = relayed(3);
        let sender = world.stacks[A].udp_bind(None, 9).unwrap();
        let receiver = world.stacks[B].udp_bind(None, 7).unwrap();
        let to: SocketAddr = to.parse().unwrap();
        let heard = |world: &mut World| {
            world.run(|world| {
                let got = world.stacks[B].udp_receive_from(receiver, &mut [0; 8]);
                got.unwrap().is_some()
            });
        };
        world.stacks[A].udp_send_to(sender, b"one", to).unwrap();
        heard(&mut world);
        // The announcement of its own address is no question.
        let questions = |world: &World| {
            let seen = &world.relay.as_ref().unwrap().seen;
            let is_question = |frame: &&Vec<u8>| {
                let is_arp = frame[12..14] == [8, 6] && frame[28..32] != frame[38..42];
                let is_solicitation = frame[12..14] == [0x86, 0xDD] && frame[54] == 135;
                frame[6..12] == MAC_A && (is_arp || is_solicitation)
            };
            seen.iter().filter(is_question).count()
        };
        let before = questions(&world);
        assert!(before > 0, "{to}");
        world.recut(A);
        world.stacks[A].udp_send_to(sender, b"two", to).unwrap();
        // It goes out with the first poll.
        world.step();
        let seen = &world.relay.as_ref().unwrap().seen;
        assert!(seen.last().unwrap().ends_with(b"two"), "{to}");
        heard(&mut world);
        assert_eq!(questions(&world), before, "{to}");
    }
}

#[test]
fn handles_keep_their_numbers_and_closed_ones_stay_closed() {
    let mut world = World::linked(StackLimits::default());
    let stack = &mut world.stacks[A];
    let ids = [1, 2, 3, 4].map(|port| stack.tcp_listen(None, port, 4).unwrap());
    stack.close(ids[1]);
    stack.close(ids[3]);
    let state = stack.capture();
    let again = stack.tcp_listen(None, 5, 4).unwrap();
    let ports = [RevivedPort {
        port: PortId(9),
        properties: LinkProperties::PRIVATE,
    }];
    let mut restored = revive(&state, &ports, 77, world.now).unwrap();
    assert_eq!(restored.socket_kind(ids[0]), stack.socket_kind(ids[0]));
    assert_eq!(restored.socket_kind(ids[1]), None);
    assert_eq!(restored.tcp_listen(None, 5, 4), Ok(again));
    assert_eq!(restored.tcp_listen(None, 1, 4), Err(NetError::AddressInUse));
}

#[test]
fn a_listeners_queue_and_its_handshakes_go_on() {
    let mut world = relayed(4);
    let listener = world.stacks[A].tcp_listen(None, 80, 8).unwrap();
    let connect = |world: &mut World| {
        let client = world.stacks[B].tcp_connect(address(10, 80), world.now);
        client.unwrap()
    };
    let queued = connect(&mut world);
    world.run(|world| world.stacks[A].readiness(listener).readable);
    // The next one is cut between its SYN and its acknowledgement.
    let late = connect(&mut world);
    world.run(|world| {
        let mut states = world.stacks[A].connections.iter();
        states.any(|(_, connection)| connection.state() == State::SynReceived)
    });
    let (state, frames) = world.cut(A, Waiting::Kept);
    let Some(EntryState::Listener(entry)) = &state.handles[0].entry else {
        panic!("no listener");
    };
    assert_eq!((entry.queue.len(), entry.handshakes.len()), (1, 1));
    world.resume(A, &state, &frames, 8);
    for client in [queued, late] {
        world.run(|world| world.stacks[A].readiness(listener).readable);
        let (server, _) = world.stacks[A].tcp_accept(listener).unwrap().unwrap();
        send(&mut world, (B, client), (A, server), 5000);
        send(&mut world, (A, server), (B, client), 5000);
    }
    assert_eq!(world.resets(), 0);
}

#[test]
fn a_connection_that_is_begun_is_begun_with_the_same_number() {
    let mut world = relayed(5);
    let listener = world.stacks[A].tcp_listen(None, 80, 8).unwrap();
    // Its SYN is lost.
    world.stacks[B].ping_start(address(10, 0).ip(), 1).unwrap();
    let first = world.stacks[B].tcp_connect(address(10, 80), world.now);
    let first = first.unwrap();
    world.run(|world| world.stacks[A].readiness(listener).readable);
    world.relay.as_mut().unwrap().deaf = Some(B);
    let client = world.stacks[B].tcp_connect(address(10, 80), world.now);
    let client = client.unwrap();
    world.run_for(Duration::from_millis(5));
    world.relay.as_mut().unwrap().deaf = None;
    let (state, frames) = world.cut(B, Waiting::Kept);
    let sequence = state.handles.iter().find_map(|place| match &place.entry {
        Some(EntryState::Connection(connection)) => match connection.phase {
            Phase::Connecting { sequence } => sequence,
            _ => None,
        },
        _ => None,
    });
    world.resume(B, &state, &frames, 6);
    world.run(|world| world.stacks[B].tcp_connected(client) == Ok(true));
    let slot = world.stacks[B].handles.connection(client).unwrap();
    let connection = world.stacks[B].connections.get(slot).unwrap();
    assert_eq!(connection.facts.sequence, sequence);
    assert_eq!(world.stacks[B].tcp_connected(first), Ok(true));
    assert_eq!(world.resets(), 0);
}

#[test]
fn datagrams_and_lookups_that_wait_are_there_afterwards() {
    let mut world = relayed(6);
    let receiver = world.stacks[A].udp_bind(None, 7).unwrap();
    let sender = world.stacks[B].udp_bind(None, 9).unwrap();
    for number in 0..5u8 {
        let sent = world.stacks[B].udp_send_to(sender, &[number; 100], address(10, 7));
        sent.unwrap();
        world.run_for(Duration::from_millis(2));
    }
    for _ in 0..3 {
        world.recut(A);
    }
    for number in 0..5 {
        let mut bytes = [9; 100];
        let got = world.stacks[A].udp_receive_from(receiver, &mut bytes);
        assert_eq!(got, Ok(Some((100, address(11, 9)))));
        assert_eq!(bytes, [number; 100]);
    }
    let got = world.stacks[A].udp_receive_from(receiver, &mut [0; 4]);
    assert_eq!(got, Ok(None));
}

#[test]
fn a_lookup_is_asked_again() {
    let mut world = relayed(7);
    let (port, properties) = {
        let interface = &world.stacks[A].interfaces[0];
        (interface.port, interface.properties)
    };
    let mut with_server = config(port, properties, MAC_A[5]);
    with_server.dns = vec![address(11, 0).ip()];
    world.stacks[A] = Stack::new(StackLimits::default(), 3);
    world.stacks[A]
        .add_interface(with_server, world.now)
        .unwrap();
    let server = world.stacks[B].udp_bind(None, 53).unwrap();
    let query = world.stacks[A].dns_start("store.sos", world.now).unwrap();
    world.run(|world| world.stacks[B].readiness(server).readable);
    // Neither question is answered before the cut.
    world.run_for(Duration::from_millis(20));
    while let Ok(Some(_)) = world.stacks[B].udp_receive_from(server, &mut [0; 64]) {}
    world.recut(A);
    let mut bytes = [0; 600];
    world.run(|world| {
        while let Ok(Some((length, from))) = world.stacks[B].udp_receive_from(server, &mut bytes) {
            let answer = super::super::services::dns_answer(
                &bytes[..length],
                Some([10, 0, 0, 9]),
                Some([7; 16]),
            );
            world.stacks[B].udp_send_to(server, &answer, from).unwrap();
        }
        world.stacks[A].dns_poll(query) != Ok(None)
    });
    let found = world.stacks[A].dns_poll(query).unwrap().unwrap();
    assert_eq!(found, [address(9, 0).ip(), IpAddr::from([7; 16])]);
    // What was found stays found.
    world.recut(A);
    assert_eq!(world.stacks[A].dns_poll(query), Ok(Some(found)));
}

#[test]
fn a_lookup_that_a_clone_cannot_go_on_with_fails_and_does_not_hinder_another_cut() {
    let mut world = relayed(8);
    let (port, properties) = {
        let interface = &world.stacks[A].interfaces[0];
        (interface.port, interface.properties)
    };
    let mut with_server = config(port, properties, MAC_A[5]);
    with_server.dns = vec![address(11, 0).ip()];
    world.stacks[A] = Stack::new(StackLimits::default(), 3);
    world.stacks[A]
        .add_interface(with_server, world.now)
        .unwrap();
    let query = world.stacks[A].dns_start("store.sos", world.now).unwrap();
    world.run_for(Duration::from_millis(20));
    let state = world.stacks[A].capture();
    // Nobody asks for the answer before the clone is cut in its turn.
    world.run_for(Duration::from_secs(60));
    let ports = [RevivedPort { port, properties }];
    let interfaces = [config(port, properties, 0x2A)];
    let cloned = state.into_clone(CloneNetwork::alone(&interfaces)).unwrap();
    let mut clone = revive(&cloned, &ports, 1, world.now).unwrap();
    let again = through_bytes(&clone.capture());
    let mut clone = revive(&again, &ports, 1, world.now).unwrap();
    world.run(|world| {
        clone.poll(world.now, &mut world.fabric);
        clone.dns_poll(query) != Ok(None)
    });
    assert_eq!(clone.dns_poll(query), Err(NetError::NameServerFailed));
}

#[test]
fn a_closed_connections_record_still_answers() {
    let mut world = relayed(8);
    let (server, client, _) = world.connected();
    world.stacks[A].close(server);
    world.run(|world| world.stacks[B].tcp_read(client, &mut [0; 4]) == Ok(Some(0)));
    world.stacks[B].close(client);
    world.run(|world| world.stacks[A].time_wait.len() == 1);
    world.run_for(Duration::from_millis(50));
    world.recut(A);
    assert_eq!(world.stacks[A].time_wait.len(), 1);
    world.run_for(Duration::from_secs(11));
    let now = world.now;
    world.stacks[A].time_wait.expire(now);
    assert_eq!(world.stacks[A].time_wait.len(), 0);
}

#[test]
fn the_nodes_probe_is_not_the_guests() {
    let mut world = World::linked(StackLimits::default());
    let probe = world.fabric.attach_loopback("probe", [2, 0, 0, 0, 0, 1]);
    let now = world.now;
    let stack = &mut world.stacks[A];
    stack.add_probe(probe, now).unwrap();
    let listener = stack.tcp_listen(None, 80, 4).unwrap();
    stack.probe_connect(80, now).unwrap();
    world.run(|world| world.stacks[A].readiness(listener).readable);
    let (taken, _) = world.stacks[A].tcp_accept(listener).unwrap().unwrap();
    let state = through_bytes(&world.stacks[A].capture());
    assert_eq!(state.interfaces.len(), 1);
    let ports = [RevivedPort {
        port: PortId(9),
        properties: LinkProperties::PRIVATE,
    }];
    let mut restored = revive(&state, &ports, 1, world.now).unwrap();
    // For the guest its peer has gone in peace.
    let sockets = restored.sockets();
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    assert_eq!(restored.tcp_read(taken, &mut [0; 4]), Ok(Some(0)));
    let now = world.now;
    restored.poll(now, &mut world.fabric);
    restored.add_probe(PortId(10), now).unwrap();
    restored.probe_connect(80, now).unwrap();
    restored.poll(now, &mut world.fabric);
    restored.close(taken);
}

#[test]
fn the_last_bytes_reach_a_peer_that_was_full_when_the_other_end_closed() {
    let limits = StackLimits {
        tcp_buffer_bytes: 4096,
        ..StackLimits::default()
    };
    for is_cut in [false, true] {
        let mut world = World::relayed(limits, Faults::default(), 7, Checksums::Omitted);
        let (server, client, _) = world.connected();
        world.stacks[B]
            .tcp_shutdown(client, Shutdown::Write)
            .unwrap();
        world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 16]) == Ok(Some(0)));
        let stream = pattern(1, 8000);
        let mut written = 0;
        world.run(|world| {
            let taken = world.stacks[A].tcp_write(server, &stream[written..]);
            written += taken.unwrap().unwrap_or(0);
            written == stream.len()
        });
        // The client has not read a byte: its buffer is full, and more waits.
        world.run_for(Duration::from_millis(300));
        world.stacks[A]
            .tcp_shutdown(server, Shutdown::Write)
            .unwrap();
        assert_eq!(state_of(&world, A, server), State::LastAck);
        assert!(world.stacks[A].readiness(server).closed);
        let again = world.stacks[A].tcp_write(server, b"x");
        assert_eq!(again, Err(NetError::Closed));
        world.run_for(Duration::from_secs(2));
        if is_cut {
            world.recut(A);
            assert_eq!(state_of(&world, A, server), State::LastAck);
        }
        world.run_for(Duration::from_secs(1));
        // It empties its buffer, and says so in a segment that acknowledges nothing new.
        let begin = world.now;
        let mut got = Vec::new();
        world.run(|world| {
            let mut buffer = [0; 4096];
            let read = world.stacks[B].tcp_read(client, &mut buffer).unwrap();
            got.extend_from_slice(&buffer[..read.unwrap_or(0)]);
            read == Some(0)
        });
        assert!(got == stream, "bytes differ");
        let took = world.now.since(begin);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
