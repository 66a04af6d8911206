//! Waiting for many sockets.

use super::*;
use sos_abi::{POLL_CLOSED, POLL_FAILED, POLL_READABLE, POLL_WRITABLE, PollEntry};

fn write_entries(world: &mut World, who: usize, entries: &[(i64, u32)]) {
    for (index, &(handle, interest)) in entries.iter().enumerate() {
        let entry = PollEntry {
            handle: handle as u32,
            interest,
            ready: 0xffff_ffff,
        };
        let at = ENTRIES + (index * PollEntry::BYTES) as u32;
        world.write(who, at, &entry.encode());
    }
}

fn ready(world: &World, who: usize, index: usize) -> u32 {
    let at = ENTRIES + (index * PollEntry::BYTES) as u32;
    PollEntry::decode(world.read(who, at, PollEntry::BYTES).try_into().unwrap()).ready
}

#[test]
fn each_socket_is_told_for_what_it_is_ready() {
    let mut world = World::new();
    let (listener, server, client) = world.connected();
    write_entries(
        &mut world,
        A,
        &[
            (listener, POLL_READABLE),
            (server, POLL_READABLE | POLL_WRITABLE),
            (12345, 0),
        ],
    );
    let poll = |count| [i64::from(ENTRIES), count, 0];
    assert_eq!(world.done(A, CallId::Poll, &poll(3)), Ok(2));
    assert_eq!(ready(&world, A, 0), 0);
    assert_eq!(ready(&world, A, 1), POLL_WRITABLE);
    assert_eq!(ready(&world, A, 2), POLL_FAILED);
    world
        .done(B, CallId::TcpWrite, &[client, TEXT.into(), 3, 0])
        .unwrap();
    world.run(Duration::from_millis(20));
    assert_eq!(world.done(A, CallId::Poll, &poll(2)), Ok(1));
    assert_eq!(ready(&world, A, 1), POLL_READABLE | POLL_WRITABLE);
}

#[test]
fn a_poll_waits_for_the_first_event() {
    let mut world = World::new();
    let listener = world.listen();
    write_entries(&mut world, A, &[(listener, POLL_READABLE)]);
    let poll = [ENTRIES.into(), 1, -1];
    assert_eq!(world.call(A, CallId::Poll, &poll), Outcome::Blocked);
    assert_eq!(world.guest(A).call_deadline(), None);
    world.run(Duration::from_millis(20));
    assert_eq!(world.retry(A), Outcome::Blocked);
    world.write_address(B, ADDRESS, "10.0.0.10:80");
    world
        .wait(B, CallId::TcpConnect, &[ADDRESS.into(), 0])
        .unwrap();
    assert_eq!(world.finish(A), Ok(1));
    assert_eq!(ready(&world, A, 0), POLL_READABLE);
}

#[test]
fn a_poll_ends_with_its_time() {
    let mut world = World::new();
    let listener = world.listen();
    write_entries(&mut world, A, &[(listener, POLL_READABLE)]);
    let poll = [ENTRIES.into(), 1, 50_000_000];
    assert_eq!(world.call(A, CallId::Poll, &poll), Outcome::Blocked);
    let deadline = world.clock.now() + Duration::from_millis(50);
    assert_eq!(world.guest(A).call_deadline(), Some(deadline));
    world.advance(Duration::from_millis(49));
    assert_eq!(world.retry(A), Outcome::Blocked);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.retry(A), Outcome::Done(0));
    assert_eq!(ready(&world, A, 0), 0);
}

#[test]
fn a_poll_of_nothing_is_a_sleep() {
    let mut world = World::new();
    assert_eq!(world.done(A, CallId::Poll, &[0, 0, 0]), Ok(0));
    assert_eq!(
        world.call(A, CallId::Poll, &[0, 0, 1_000]),
        Outcome::Blocked
    );
    world.advance(Duration::from_micros(1));
    assert_eq!(world.retry(A), Outcome::Done(0));
}

#[test]
fn the_end_of_a_connection_is_told_whatever_is_waited_for() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    world.done(A, CallId::TcpShutdown, &[server, 1]).unwrap();
    world.done(B, CallId::Close, &[client]).unwrap();
    world.run(Duration::from_millis(50));
    write_entries(&mut world, A, &[(server, 0)]);
    assert_eq!(world.done(A, CallId::Poll, &[ENTRIES.into(), 1, 0]), Ok(1));
    assert_eq!(ready(&world, A, 0) & POLL_CLOSED, POLL_CLOSED);
}

#[test]
fn a_refused_connection_is_ready_so_that_its_status_is_asked() {
    let mut world = World::new();
    world.write_address(B, ADDRESS, "10.0.0.10:81");
    let client: i64 = world
        .done(B, CallId::TcpConnect, &[ADDRESS.into(), 1])
        .unwrap()
        .into();
    write_entries(&mut world, B, &[(client, POLL_WRITABLE)]);
    assert_eq!(world.wait(B, CallId::Poll, &[ENTRIES.into(), 1, -1]), Ok(1));
    assert_eq!(ready(&world, B, 0) & POLL_FAILED, POLL_FAILED);
    let status = world.done(B, CallId::TcpConnectStatus, &[client]);
    assert_eq!(status, Err(ErrorCode::ConnectionRefused));
}

#[test]
fn an_established_connection_is_writable() {
    let mut world = World::new();
    world.listen();
    world.write_address(B, ADDRESS, "10.0.0.10:80");
    let client: i64 = world
        .done(B, CallId::TcpConnect, &[ADDRESS.into(), 1])
        .unwrap()
        .into();
    write_entries(&mut world, B, &[(client, POLL_WRITABLE)]);
    assert_eq!(world.done(B, CallId::Poll, &[ENTRIES.into(), 1, 0]), Ok(0));
    assert_eq!(world.wait(B, CallId::Poll, &[ENTRIES.into(), 1, -1]), Ok(1));
    assert_eq!(ready(&world, B, 0), POLL_WRITABLE);
}

#[test]
fn too_many_entries_and_unknown_interests_are_refused() {
    let mut world = World::new();
    let too_many = [ENTRIES.into(), sos_abi::POLL_ENTRIES as i64 + 1, 0];
    assert_eq!(
        world.done(A, CallId::Poll, &too_many),
        Err(ErrorCode::InvalidArgument)
    );
    let listener = world.listen();
    write_entries(&mut world, A, &[(listener, POLL_CLOSED)]);
    let poll = [ENTRIES.into(), 1, 0];
    assert_eq!(
        world.done(A, CallId::Poll, &poll),
        Err(ErrorCode::InvalidArgument)
    );
}

#[test]
fn many_entries_cost_more_than_few() {
    let mut world = World::new();
    world
        .done(A, CallId::Poll, &[ENTRIES.into(), 1, 0])
        .unwrap();
    let one = world.guest(A).cost();
    world
        .done(A, CallId::Poll, &[ENTRIES.into(), 1024, 0])
        .unwrap();
    assert!(world.guest(A).cost() > 100 * one);
}
