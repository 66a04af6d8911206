//! Cuts that are restored after their original ran on: what moved on is reset, what did not goes on.

use super::*;

/// A pair, and the state of A with the connection idle.
fn with_cut(seed: u64) -> (World, SocketId, SocketId, StackState) {
    with_cut_over(seed, Checksums::Computed)
}

/// The same over segments of this kind.
fn with_cut_over(seed: u64, checksums: Checksums) -> (World, SocketId, SocketId, StackState) {
    let limits = StackLimits::default();
    let mut world = World::relayed(limits, Faults::default(), seed, checksums);
    let (server, client, _) = world.connected();
    world.stacks[A].tcp_write(server, b"before").unwrap();
    world.run(|world| world.stacks[B].tcp_read(client, &mut [0; 6]) == Ok(Some(6)));
    world.run_for(Duration::from_millis(100));
    let state = through_bytes(&world.stacks[A].capture());
    (world, server, client, state)
}

/// Ends A as it is now and brings the old one back.
fn roll_back(world: &mut World, state: &StackState) {
    let _ = world.cut(A, Waiting::Lost);
    world.resume(A, state, &[], 5);
    world.stacks[A].distrust_peers(&Default::default());
}

#[test]
fn a_connection_whose_peer_knows_later_bytes_is_reset_at_both_ends() {
    let (mut world, server, client, state) = with_cut(1);
    world.stacks[A].tcp_write(server, b"later").unwrap();
    world.run(|world| world.stacks[B].tcp_read(client, &mut [0; 5]) == Ok(Some(5)));
    world.run_for(Duration::from_millis(100));
    roll_back(&mut world, &state);
    // Bytes of this past would take the place of those of the other.
    assert_eq!(world.stacks[A].tcp_write(server, b"other"), Ok(None));
    world.run(|world| world.stacks[A].readiness(server).failed);
    let reset = Err(NetError::ConnectionReset);
    assert_eq!(world.stacks[A].tcp_read(server, &mut [0; 5]), reset);
    world.run(|world| world.stacks[B].readiness(client).failed);
    // Nothing of the other past arrived.
    assert_eq!(world.stacks[B].tcp_read(client, &mut [0; 5]), reset);
}

#[test]
fn a_connection_whose_peer_forgot_bytes_fails_for_the_guest() {
    let (mut world, server, client, state) = with_cut(2);
    world.stacks[B].tcp_write(client, b"gone for ever").unwrap();
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 16]) == Ok(Some(13)));
    world.run_for(Duration::from_millis(100));
    roll_back(&mut world, &state);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[A].tcp_read(server, &mut [0; 16]), Ok(None));
    world.stacks[B].tcp_write(client, b"next").unwrap();
    world.run(|world| world.stacks[A].readiness(server).failed);
    let reset = Err(NetError::ConnectionReset);
    assert_eq!(world.stacks[A].tcp_read(server, &mut [0; 16]), reset);
}

/// The last segment from B as a bare acknowledgement that follows it.
fn bare_acknowledgement(world: &World) -> Vec<u8> {
    let mut seen = world.relay.as_ref().unwrap().seen.iter().rev();
    let last = seen.find(|frame| frame[6..12] == MAC_B && frame[12..14] == [8, 0]);
    // Ethernet 14 bytes, IPv4 20, TCP 20 without options (RFC 9293 section 3.1).
    let mut frame = last.unwrap().clone();
    let payload_bytes = (frame.len() - 54) as u32;
    let sequence = u32::from_be_bytes(frame[38..42].try_into().unwrap());
    frame[38..42].copy_from_slice(&(sequence + payload_bytes).to_be_bytes());
    frame[16..18].copy_from_slice(&40u16.to_be_bytes());
    frame.truncate(54);
    frame
}

#[test]
fn a_connection_whose_peer_forgot_bytes_and_only_answers_fails_for_the_guest() {
    let (mut world, server, client, state) = with_cut_over(6, Checksums::Omitted);
    world.stacks[B].tcp_write(client, b"a question").unwrap();
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 16]) == Ok(Some(10)));
    let answer = bare_acknowledgement(&world);
    world.run_for(Duration::from_millis(100));
    roll_back(&mut world, &state);
    // As Linux does, and smoltcp does not, this peer answers each question by where it stands.
    world.relay.as_mut().unwrap().deaf = Some(A);
    let port = world.stacks[A].interfaces[0].port;
    let asked = |world: &World| world.relay.as_ref().unwrap().seen.len();
    let (begin, mut answered) = (world.now, asked(&world));
    world.run(|world| {
        if asked(world) > answered {
            answered = asked(world);
            let answer = core::slice::from_ref(&answer);
            world.fabric.put_frames(port, answer);
        }
        world.stacks[A].readiness(server).failed
            || world.now.since(begin) > Duration::from_secs(1000)
    });
    let reset = Err(NetError::ConnectionReset);
    assert_eq!(world.stacks[A].tcp_read(server, &mut [0; 16]), reset);
    let lasted = world.now.since(begin);
    assert!(lasted < Duration::from_secs(200), "{lasted:?}");
}

#[test]
fn a_connection_whose_peer_has_ended_its_direction_since_fails_at_both_ends() {
    let (mut world, server, client, state) = with_cut(7);
    world.stacks[B]
        .tcp_shutdown(client, Shutdown::Write)
        .unwrap();
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 4]) == Ok(Some(0)));
    world.run_for(Duration::from_millis(100));
    roll_back(&mut world, &state);
    world.run(|world| world.stacks[A].readiness(server).failed);
    world.run(|world| world.stacks[B].readiness(client).failed);
}

#[test]
fn bytes_that_are_under_way_when_their_receiver_is_rolled_back_still_arrive() {
    let (mut world, server, client, state) = with_cut(8);
    // They are lost; what the peer answers until it sends them again comes from behind them.
    world.relay.as_mut().unwrap().deaf = Some(B);
    world.stacks[B].tcp_write(client, b"once more").unwrap();
    world.run_for(Duration::from_millis(300));
    roll_back(&mut world, &state);
    world.run_for(Duration::from_secs(20));
    world.relay.as_mut().unwrap().deaf = None;
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 16]) == Ok(Some(9)));
    world.run_for(Duration::from_secs(300));
    assert_eq!(world.stacks[A].tcp_connected(server), Ok(true));
    assert_eq!(world.resets(), 0);
}

#[test]
fn a_connection_that_stood_still_goes_on() {
    let (mut world, server, client, state) = with_cut(3);
    world.run_for(Duration::from_secs(30));
    roll_back(&mut world, &state);
    assert!(!world.stacks[A].readiness(server).writable);
    world.run(|world| world.stacks[A].readiness(server).writable);
    world.run_for(Duration::from_secs(300));
    world.stacks[A].tcp_write(server, b"still").unwrap();
    world.run(|world| world.stacks[B].tcp_read(client, &mut [0; 5]) == Ok(Some(5)));
    world.stacks[B].tcp_write(client, b"there").unwrap();
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 5]) == Ok(Some(5)));
    assert_eq!(world.resets(), 0);
}

#[test]
fn a_peer_that_is_never_heard_of_again_fails_the_connection() {
    let (mut world, server, _, state) = with_cut(5);
    world.stacks[B] = Stack::new(StackLimits::default(), 1);
    roll_back(&mut world, &state);
    let begin = world.now;
    world.run(|world| world.stacks[A].readiness(server).failed);
    assert_eq!(
        world.stacks[A].tcp_connected(server),
        Err(NetError::TimedOut)
    );
    assert!(world.now.since(begin) < Duration::from_secs(150));
}

#[test]
fn a_connection_that_ended_meanwhile_is_refused_by_its_peer() {
    let (mut world, server, client, state) = with_cut(4);
    world.stacks[B].close(client);
    world.run(|world| world.stacks[A].tcp_read(server, &mut [0; 4]) == Ok(Some(0)));
    world.stacks[A].close(server);
    world.run_for(Duration::from_secs(30));
    roll_back(&mut world, &state);
    world.run(|world| world.stacks[A].readiness(server).failed);
    assert_eq!(
        world.stacks[A].tcp_connected(server),
        Err(NetError::ConnectionReset)
    );
}
