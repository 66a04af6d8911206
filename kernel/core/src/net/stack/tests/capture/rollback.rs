//! Cuts that are restored after their original ran on: what moved on is reset, what did not goes on.

use super::*;

/// A pair, and the state of A with the connection idle.
fn with_cut(seed: u64) -> (World, SocketId, SocketId, StackState) {
    let limits = StackLimits::default();
    let mut world = World::relayed(limits, Faults::default(), seed, Checksums::Computed);
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
