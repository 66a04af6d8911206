//! Connections: bytes under faults, half-close, ends of every kind.

use super::*;

/// Moves `length` bytes each way at once and checks them.
fn exchange(world: &mut World, ends: [SocketId; 2], length: usize) {
    let sent = [pattern(1, length), pattern(2, length)];
    let mut written = [0, 0];
    let mut got = [Vec::new(), Vec::new()];
    let mut buffer = vec![0; 30_000];
    world.run(|world| {
        for side in [A, B] {
            let stack = &mut world.stacks[side];
            let rest = &sent[side][written[side]..];
            if !rest.is_empty() {
                let part = rest.len().min(20_011);
                written[side] += stack
                    .tcp_write(ends[side], &rest[..part])
                    .unwrap()
                    .unwrap_or(0);
            }
            if let Some(read) = stack.tcp_read(ends[side], &mut buffer).unwrap() {
                got[side].extend_from_slice(&buffer[..read]);
            }
        }
        got[A].len() >= length && got[B].len() >= length
    });
    assert!(got[A] == sent[B] && got[B] == sent[A], "bytes differ");
}

#[test]
fn a_megabyte_each_way_arrives_over_a_link() {
    let mut world = World::linked(StackLimits::default());
    let (server, client, _) = world.connected();
    exchange(&mut world, [server, client], 1 << 20);
}

#[test]
fn a_megabyte_each_way_survives_loss_duplication_and_reordering() {
    for (seed, checksums) in [(1, Checksums::Omitted), (2, Checksums::Computed)] {
        let faults = Faults {
            lost: 2,
            doubled: 2,
            delayed: 5,
        };
        let mut world = World::relayed(StackLimits::default(), faults, seed, checksums);
        let (server, client, _) = world.connected();
        exchange(&mut world, [server, client], 1 << 20);
    }
}

#[test]
fn a_reader_in_place_takes_what_it_says_and_the_rest_stays() {
    let mut world = World::linked(StackLimits::default());
    let (server, client, _) = world.connected();
    assert_eq!(world.stacks[B].tcp_write(client, b"abcdef"), Ok(Some(6)));
    world.run(|world| world.stacks[A].tcp_peek(server, &mut [0; 16]) == Ok(Some(6)));
    let stack = &mut world.stacks[A];
    let mut seen = Vec::new();
    let read = stack.tcp_read_with(server, |bytes| {
        seen = bytes.to_vec();
        4
    });
    assert_eq!((read, &seen[..]), (Ok(Some(4)), &b"abcdef"[..]));
    let mut rest = [0; 16];
    assert_eq!(stack.tcp_read(server, &mut rest), Ok(Some(2)));
    assert_eq!(&rest[..2], b"ef");
    assert_eq!(stack.tcp_read_with(server, <[u8]>::len), Ok(None));
}

#[test]
fn the_same_seed_gives_the_same_frames() {
    let run = || {
        let faults = Faults {
            lost: 5,
            doubled: 5,
            delayed: 5,
        };
        let mut world = World::relayed(StackLimits::default(), faults, 7, Checksums::Computed);
        let (server, client, _) = world.connected();
        exchange(&mut world, [server, client], 50_000);
        world.relay.unwrap().seen
    };
    assert!(run() == run());
}

#[test]
fn nothing_of_a_reused_buffer_is_sent() {
    // Pooled buffers held other instances' frames: what smoltcp leaves unwritten would leak them.
    let run = |stale: u8| {
        let faults = Faults::default();
        let mut world = World::relayed(StackLimits::default(), faults, 7, Checksums::Omitted);
        for _ in 0..limits::POOL_SMALL_FRAMES {
            world.fabric.recycle(Frame::from_bytes(vec![stale; 1536]));
            world.fabric.recycle(Frame::from_bytes(vec![stale; 20_000]));
        }
        let (server, client, _) = world.connected();
        exchange(&mut world, [server, client], 50_000);
        let ping = world.stacks[A].ping_start("10.0.0.11".parse().unwrap(), 5);
        let ping = ping.unwrap();
        world.stacks[A].ping_send(ping, 1, 56, world.now).unwrap();
        world.run(|world| world.stacks[A].ping_receive(ping).unwrap().is_some());
        world.relay.unwrap().seen
    };
    assert!(run(0x55) == run(0xAA));
}

#[test]
fn large_segments_go_over_links_and_ordinary_ones_beside_an_uplink() {
    for (checksums, longest) in [
        (Checksums::Omitted, limits::PRIVATE_MTU + 14),
        (Checksums::Computed, limits::UPLINK_MTU + 14),
    ] {
        let faults = Faults::default();
        let mut world = World::relayed(StackLimits::default(), faults, 1, checksums);
        let (server, client, _) = world.connected();
        exchange(&mut world, [server, client], 200_000);
        let seen = world.relay.unwrap().seen;
        assert_eq!(seen.iter().map(Vec::len).max(), Some(longest));
        // The TCP checksum of the first segment that carries data.
        let data = seen.iter().find(|frame| frame.len() > 200).unwrap();
        assert_eq!(data[50..52] == [0, 0], checksums == Checksums::Omitted);
    }
}

#[test]
fn each_direction_closes_by_itself() {
    let mut world = World::linked(StackLimits::default());
    let (server, client, _) = world.connected();
    let mut buffer = [0; 16];
    world.stacks[B].tcp_write(client, b"last").unwrap();
    world.stacks[B]
        .tcp_shutdown(client, Shutdown::Write)
        .unwrap();
    assert_eq!(
        world.stacks[B].tcp_write(client, b"x"),
        Err(NetError::Closed)
    );
    world.run(|world| world.stacks[A].tcp_peek(server, &mut [0; 16]) == Ok(Some(4)));
    assert_eq!(world.stacks[A].tcp_read(server, &mut buffer), Ok(Some(4)));
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 16]) == Ok(Some(0)));
    // The other direction still works.
    world.stacks[A].tcp_write(server, b"answer").unwrap();
    world.run(|world| world.stacks[B].tcp_peek(client, &mut [0; 16]) == Ok(Some(6)));
    assert_eq!(world.stacks[B].tcp_read(client, &mut buffer), Ok(Some(6)));
    world.stacks[A].close(server);
    world.run(|world| world.stacks[B].tcp_read(client, &mut [0; 16]) == Ok(Some(0)));
    world.run(|world| world.stacks[B].readiness(client).closed);
    assert!(!world.stacks[B].readiness(client).failed);
}

#[test]
fn bytes_that_came_before_both_ends_closed_can_be_read_much_later() {
    let mut world = World::linked(StackLimits::default());
    let (server, client, _) = world.connected();
    world.stacks[A]
        .tcp_shutdown(server, Shutdown::Write)
        .unwrap();
    world.run_for(Duration::from_millis(100));
    world.stacks[B].tcp_write(client, b"parting words").unwrap();
    world.stacks[B].close(client);
    world.run_for(Duration::from_secs(60));
    let mut buffer = [0; 7];
    assert_eq!(world.stacks[A].tcp_read(server, &mut buffer), Ok(Some(7)));
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.stacks[A].tcp_read(server, &mut buffer), Ok(Some(6)));
    assert_eq!(world.stacks[A].tcp_read(server, &mut buffer), Ok(Some(0)));
}

#[test]
fn a_port_without_listener_refuses() {
    let mut world = World::linked(StackLimits::default());
    let client = world.stacks[B]
        .tcp_connect(address(10, 81), world.now)
        .unwrap();
    assert_eq!(world.stacks[B].tcp_connected(client), Ok(false));
    world.run(|world| world.stacks[B].readiness(client).failed);
    let refused = Err(NetError::ConnectionRefused);
    assert_eq!(world.stacks[B].tcp_connected(client), refused);
    assert_eq!(
        world.stacks[B].tcp_write(client, b"x"),
        Err(NetError::ConnectionRefused)
    );
}

#[test]
fn an_absent_peer_times_out_and_a_foreign_network_is_unreachable() {
    let mut world = World::linked(StackLimits::default());
    let absent = world.stacks[B]
        .tcp_connect(address(99, 80), world.now)
        .unwrap();
    world.run(|world| world.stacks[B].readiness(absent).failed);
    assert_eq!(
        world.stacks[B].tcp_connected(absent),
        Err(NetError::TimedOut)
    );
    let foreign = SocketAddr::from(([192, 0, 2, 1], 80));
    assert_eq!(
        world.stacks[B].tcp_connect(foreign, world.now),
        Err(NetError::Unreachable)
    );
}

#[test]
fn an_abort_resets_the_peer_after_its_bytes_were_read() {
    let mut world = World::linked(StackLimits::default());
    let (server, client, _) = world.connected();
    world.stacks[A].tcp_write(server, b"abc").unwrap();
    world.run(|world| world.stacks[B].readiness(client).readable);
    world.stacks[A].abort(server);
    world.run(|world| world.stacks[B].readiness(client).failed);
    let mut buffer = [0; 16];
    assert_eq!(world.stacks[B].tcp_read(client, &mut buffer), Ok(Some(3)));
    assert_eq!(
        world.stacks[B].tcp_read(client, &mut buffer),
        Err(NetError::ConnectionReset)
    );
    assert_eq!(world.stacks[A].connections.iter().count(), 0);
}

#[test]
fn a_dead_peer_is_noticed_while_bytes_wait_and_by_keepalive_but_not_when_idle() {
    let mut world = World::linked(StackLimits::default());
    let (_, idle, listener) = world.connected();
    let connect = |world: &mut World| {
        let client = world.stacks[B]
            .tcp_connect(address(10, 80), world.now)
            .unwrap();
        world.run(|world| world.stacks[A].tcp_accept(listener).unwrap().is_some());
        client
    };
    let (writing, probing) = (connect(&mut world), connect(&mut world));
    world.run_for(Duration::from_secs(1));
    world.stacks.remove(A);
    let survivor = &mut world.stacks[0];
    survivor.tcp_write(writing, b"anyone?").unwrap();
    survivor
        .tcp_set_keepalive(probing, Some(Duration::from_secs(5)))
        .unwrap();
    world.run_for(Duration::from_secs(300));
    let failures = [idle, writing, probing].map(|id| world.stacks[0].tcp_connected(id));
    let timed_out = Err(NetError::TimedOut);
    assert_eq!(failures, [Ok(true), timed_out, timed_out]);
}

#[test]
fn closed_connections_leave_records_that_answer_late_fins_and_then_go() {
    let faults = Faults::default();
    let mut world = World::relayed(StackLimits::default(), faults, 3, Checksums::Computed);
    let (server, client, _) = world.connected();
    // A closes first, so A keeps the record. B's FIN comes again, as if the answer was lost.
    world.stacks[A].close(server);
    world.run(|world| world.stacks[B].tcp_read(client, &mut [0; 4]) == Ok(Some(0)));
    world.stacks[B].close(client);
    world.run(|world| world.stacks[A].time_wait.len() == 1);
    assert_eq!(world.stacks[A].connections.iter().count(), 0);
    world.run_for(Duration::from_millis(50));
    let relay = world.relay.as_mut().unwrap();
    let fin = relay
        .seen
        .iter()
        .rfind(|frame| frame[6..12] == MAC_B && frame[47] & 1 != 0)
        .unwrap()
        .clone();
    let (to, before) = (relay.ends[0], relay.seen.len());
    world.stacks.remove(B);
    world.fabric.transmit(to, Frame::from_bytes(fin), world.now);
    world.run_for(Duration::from_millis(50));
    let relay = world.relay.as_ref().unwrap();
    let answer = relay.seen[before..]
        .iter()
        .find(|frame| frame[6..12] == MAC_A);
    assert_eq!(answer.unwrap()[47], 0x10, "an acknowledgement");
    assert_eq!(world.resets(), 0);
    world.run_for(Duration::from_secs(11));
    world.stacks[A].time_wait.expire(world.now);
    assert_eq!(world.stacks[A].time_wait.len(), 0);
}

#[test]
fn lingering_connections_are_bounded_and_not_the_guests() {
    let limits = StackLimits {
        sockets: 4,
        tcp_buffer_bytes: 2048,
        listen_pool: 8,
    };
    let mut world = World::linked(limits);
    let listener = world.stacks[A].tcp_listen(None, 80, 16).unwrap();
    for _ in 0..limits::LINGERING_CONNECTIONS + 20 {
        let client = world.stacks[B]
            .tcp_connect(address(10, 80), world.now)
            .unwrap();
        let mut server = None;
        world.run(|world| {
            server = server.or(world.stacks[A].tcp_accept(listener).unwrap());
            server.is_some()
        });
        // A closes; B's guest keeps silent, so that A waits for its FIN.
        world.stacks[A].close(server.unwrap().0);
        world.stacks[B]
            .tcp_shutdown(client, Shutdown::Read)
            .unwrap();
        world.run_for(Duration::from_millis(1));
        if let Ok(slot) = world.stacks[B].handles.connection(client) {
            world.stacks[B].connections.remove(slot);
            let _ = world.stacks[B].handles.remove(client);
        }
    }
    let lingering = world.stacks[A].connections.iter().count();
    assert!(lingering <= limits::LINGERING_CONNECTIONS, "{lingering}");
    world.run_for(Duration::from_secs(61));
    assert_eq!(world.stacks[A].connections.iter().count(), 0);
}

/// Both sides write, shut their direction down in either order, read to the end and close.
fn part(seed: u64, faults: Faults) {
    let limits = StackLimits::default();
    let mut world = World::relayed(limits, faults, seed, Checksums::Computed);
    let (server, client, listener) = world.connected();
    let ends = [server, client];
    let first = seed as usize % 2;
    let lengths = [scramble(seed) as usize % 60_000, seed as usize % 3 * 10_000];
    let sent = [0, 1].map(|side| pattern(side as u64, lengths[side]));
    let mut written = [0, 0];
    let mut shut = [false, false];
    let mut got = [Vec::new(), Vec::new()];
    let mut ended = [false, false];
    let mut buffer = vec![0; 5000];
    let begin = world.now;
    world.run(|world| {
        for side in [first, 1 - first] {
            let stack = &mut world.stacks[side];
            let rest = &sent[side][written[side]..];
            if !rest.is_empty() {
                written[side] += stack.tcp_write(ends[side], rest).unwrap().unwrap_or(0);
            } else if !shut[side] {
                stack.tcp_shutdown(ends[side], Shutdown::Write).unwrap();
                shut[side] = true;
            }
            // Small reads make window updates: acknowledgements that look like duplicates.
            match stack.tcp_read(ends[side], &mut buffer).unwrap() {
                Some(0) => ended[side] = true,
                Some(read) => got[side].extend_from_slice(&buffer[..read]),
                None => {}
            }
        }
        ended == [true, true]
    });
    assert!(got[A] == sent[B] && got[B] == sent[A], "seed {seed}");
    for side in [A, B] {
        assert_eq!(
            world.stacks[side].tcp_connected(ends[side]),
            Ok(true),
            "seed {seed}"
        );
        world.stacks[side].close(ends[side]);
    }
    world.run(|world| {
        let left = world
            .stacks
            .iter()
            .map(|stack| stack.connections.iter().count());
        left.sum::<usize>() == 0
    });
    // A FIN that was forgotten for ever would end with the bound on lingering, 60 s.
    let took = world.now.since(begin);
    assert!(took < Duration::from_secs(50), "seed {seed}: {took:?}");
    world.stacks[A].close(listener);
}

#[test]
fn connections_end_both_ways_whatever_is_lost() {
    for seed in 0..400 {
        let faults = Faults {
            lost: 1 + seed % 5,
            doubled: seed / 5 % 4 * 5,
            delayed: seed / 20 % 3 * 5,
        };
        part(seed, faults);
    }
}

/// Acknowledgements that repeat while only the FIN is out (RFC 5681 section 3.2 counts three).
#[test]
fn a_lost_fin_comes_again_after_duplicate_acknowledgements() {
    let faults = Faults::default();
    let mut world = World::relayed(StackLimits::default(), faults, 1, Checksums::Omitted);
    let (server, client, _) = world.connected();
    world.stacks[B].tcp_write(client, b"last words").unwrap();
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 16]) == Ok(Some(10)));
    world.run_for(Duration::from_millis(500));
    let relay = world.relay.as_mut().unwrap();
    let is_acknowledgement = |frame: &&Vec<u8>| frame[6..12] == MAC_A && frame[47] == 0x10;
    let acknowledgement = relay.seen.iter().rfind(is_acknowledgement).unwrap().clone();
    let to = relay.ends[B];
    relay.faults.lost = 100;
    world.stacks[B]
        .tcp_shutdown(client, Shutdown::Write)
        .unwrap();
    world.step();
    for _ in 0..5 {
        let frame = Frame::from_bytes(acknowledgement.clone());
        world.fabric.transmit(to, frame, world.now);
    }
    world.run_for(Duration::from_millis(1));
    world.relay.as_mut().unwrap().faults.lost = 0;
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.stacks[A].tcp_read(server, &mut [0; 16]), Ok(Some(0)));
}

#[test]
fn a_peer_that_dies_before_the_fin_is_noticed() {
    let mut world = World::linked(StackLimits::default());
    let (_, client, _) = world.connected();
    world.run_for(Duration::from_secs(1));
    world.stacks.remove(A);
    let survivor = &mut world.stacks[0];
    survivor.tcp_shutdown(client, Shutdown::Write).unwrap();
    world.run_for(Duration::from_secs(200));
    let status = world.stacks[0].tcp_connected(client);
    assert_eq!(status, Err(NetError::TimedOut));
}

#[test]
fn a_stop_sends_what_was_written_and_breaks_the_rest_off() {
    let mut world = World::linked(StackLimits::default());
    let (server, client, listener) = world.connected();
    let other = world.stacks[B]
        .tcp_connect(address(10, 80), world.now)
        .unwrap();
    world.run(|world| world.stacks[A].tcp_accept(listener).unwrap().is_some());
    world.stacks[A].tcp_write(server, b"bye").unwrap();
    world.stacks[A].shutdown_all();
    let now = world.now;
    world.stacks[A].poll(now, &mut world.fabric);
    world.run(|world| world.stacks[B].readiness(other).failed);
    let mut buffer = [0; 8];
    assert_eq!(world.stacks[B].tcp_read(client, &mut buffer), Ok(Some(3)));
    world.run(|world| world.stacks[B].tcp_read(client, &mut [0; 8]) == Ok(Some(0)));
    assert!(world.stacks[A].handles.iter().next().is_none());
}
