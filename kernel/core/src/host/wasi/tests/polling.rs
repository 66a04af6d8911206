//! `poll_oneoff`.

use super::super::rights;
use super::*;
use crate::host::streams::{OutputStream, Streams, StreamsTo};
use crate::host::tests::{MEMORY_BYTES, WALL_NANOS};
use crate::limits;
use alloc::vec;

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
const ABSOLUTE: u16 = 1;

/// A subscription as programs write it; its place in the list is its user data.
#[derive(Clone, Copy)]
enum Wanted {
    Clock(u32, u64, u16),
    Read(u32),
    Write(u32),
}

/// User data, error, type, bytes, flags.
type Event = (u64, Errno, u8, u64, u16);

fn subscribe(world: &mut World, wanted: &[Wanted]) {
    for (index, wanted) in wanted.iter().enumerate() {
        let mut bytes = [0; 48];
        bytes[..8].copy_from_slice(&(100 + index as u64).to_le_bytes());
        match *wanted {
            Wanted::Clock(clock, timeout, flags) => {
                bytes[16..20].copy_from_slice(&clock.to_le_bytes());
                bytes[24..32].copy_from_slice(&timeout.to_le_bytes());
                bytes[40..42].copy_from_slice(&flags.to_le_bytes());
            }
            Wanted::Read(fd) => {
                bytes[8] = 1;
                bytes[16..20].copy_from_slice(&fd.to_le_bytes());
            }
            Wanted::Write(fd) => {
                bytes[8] = 2;
                bytes[16..20].copy_from_slice(&fd.to_le_bytes());
            }
        }
        world.write(A, SUBSCRIPTIONS + 48 * index as u32, &bytes);
    }
}

fn arguments(wanted: &[Wanted]) -> [i64; 4] {
    [
        SUBSCRIPTIONS.into(),
        EVENTS.into(),
        wanted.len() as i64,
        OUT.into(),
    ]
}

/// The events of a call that is over.
fn events(world: &World) -> Vec<Event> {
    (0..world.read_u32(A, OUT))
        .map(|index| {
            let at = EVENTS + 32 * index;
            let head = world.read_u32(A, at + 8);
            (
                world.read_u64(A, at),
                Errno::from_number(head as u16).unwrap(),
                (head >> 16) as u8,
                world.read_u64(A, at + 16),
                world.read_u32(A, at + 24) as u16,
            )
        })
        .collect()
}

/// Polls something that is ready at once.
fn poll(world: &mut World, wanted: &[Wanted]) -> Vec<Event> {
    subscribe(world, wanted);
    let outcome = world.wasi(A, WasiCall::PollOneoff, &arguments(wanted));
    assert_eq!(outcome, Errno::Success);
    events(world)
}

/// Polls something that is not: guest time of the deadline.
fn begin(world: &mut World, wanted: &[Wanted]) {
    subscribe(world, wanted);
    let outcome = world.call(A, WasiCall::PollOneoff, &arguments(wanted));
    assert_eq!(outcome, Outcome::Blocked);
}

const CLOCK: Event = (100, Errno::Success, 0, 0, 0);

#[test]
fn a_relative_time_counts_from_the_call_however_often_it_is_tried() {
    for clock in [MONOTONIC, REALTIME] {
        let mut world = World::new();
        let start = world.guest(A).clock.node_now();
        begin(&mut world, &[Wanted::Clock(clock, 10_000_000, 0)]);
        let due = start + Duration::from_millis(10);
        for _ in 0..9 {
            assert_eq!(world.guest(A).call_deadline(), Some(due));
            world.advance(Duration::from_millis(1));
            assert_eq!(world.retry(A), Outcome::Blocked);
        }
        world.advance(Duration::from_millis(1));
        assert_eq!(errno(world.retry(A)), Errno::Success);
        assert_eq!(events(&world), [CLOCK]);
    }
}

#[test]
fn absolute_times_are_those_of_their_clock() {
    let mut world = World::new();
    world.advance(Duration::from_secs(1));
    let past = [Wanted::Clock(MONOTONIC, 999_999_999, ABSOLUTE)];
    assert_eq!(poll(&mut world, &past), [CLOCK]);
    let now = world.guest(A).clock.node_now();
    begin(
        &mut world,
        &[Wanted::Clock(MONOTONIC, 1_000_000_500, ABSOLUTE)],
    );
    assert_eq!(
        world.guest(A).call_deadline(),
        Some(now + Duration::from_nanos(500))
    );
    world.advance(Duration::from_nanos(500));
    assert_eq!(errno(world.retry(A)), Errno::Success);
    let wall = WALL_NANOS + 6_000_000_500;
    assert_eq!(
        poll(&mut world, &[Wanted::Clock(REALTIME, wall, ABSOLUTE)]),
        [CLOCK]
    );
    begin(&mut world, &[Wanted::Clock(REALTIME, wall + 7, ABSOLUTE)]);
    world.advance(Duration::from_nanos(7));
    assert_eq!(errno(world.retry(A)), Errno::Success);
}

#[test]
fn wall_time_that_passed_while_the_guest_was_paused_counts_for_absolute_wall_times() {
    let mut world = World::new();
    let wall = WALL_NANOS + 5_000_000_000 + 60_000_000_000;
    begin(&mut world, &[Wanted::Clock(REALTIME, wall, ABSOLUTE)]);
    world.guest(A).clock.pause();
    assert_eq!(world.guest(A).call_deadline(), None);
    world.advance(Duration::from_secs(60));
    world.guest(A).clock.resume();
    assert_eq!(errno(world.retry(A)), Errno::Success);
    begin(&mut world, &[Wanted::Clock(MONOTONIC, 60_000_000_000, 0)]);
    world.guest(A).clock.pause();
    world.advance(Duration::from_secs(60));
    world.guest(A).clock.resume();
    assert_eq!(world.retry(A), Outcome::Blocked);
}

#[test]
fn a_timeout_of_zero_is_over_at_once_and_an_endless_one_is_not() {
    let mut world = World::new();
    assert_eq!(poll(&mut world, &[Wanted::Clock(MONOTONIC, 0, 0)]), [CLOCK]);
    begin(&mut world, &[Wanted::Clock(MONOTONIC, u64::MAX, 0)]);
    world.advance(Duration::from_secs(1_000_000));
    assert_eq!(world.retry(A), Outcome::Blocked);
}

#[test]
fn the_earliest_of_several_times_wakes() {
    let mut world = World::new();
    let now = world.guest(A).clock.node_now();
    let times = [30, 10, 20].map(|nanos| Wanted::Clock(MONOTONIC, nanos, 0));
    begin(&mut world, &times);
    assert_eq!(
        world.guest(A).call_deadline(),
        Some(now + Duration::from_nanos(10))
    );
    world.advance(Duration::from_nanos(25));
    assert_eq!(errno(world.retry(A)), Errno::Success);
    let ready: Vec<u64> = events(&world).iter().map(|event| event.0).collect();
    assert_eq!(ready, [101, 102]);
}

#[test]
fn all_that_are_ready_are_told_together() {
    let (mut world, fd, client) = World::with_connection();
    world.client_writes(client, b"12345");
    world.guest(A).streams.feed(b"typed");
    let fd = fd as u32;
    let wanted = [
        Wanted::Clock(MONOTONIC, 1_000_000, 0),
        Wanted::Read(0),
        Wanted::Write(1),
        Wanted::Read(fd),
        Wanted::Write(fd),
        Wanted::Read(LISTENER as u32),
        Wanted::Write(2),
    ];
    let room = limits::HOST_CALL_BYTES as u64;
    let expected = [
        (101, Errno::Success, 1, 5, 0),
        (102, Errno::Success, 2, room, 0),
        (103, Errno::Success, 1, 5, 0),
        (104, Errno::Success, 2, limits::TCP_BUFFER_BYTES as u64, 0),
        (106, Errno::Success, 2, room, 0),
    ];
    assert_eq!(poll(&mut world, &wanted), expected);
}

#[test]
fn input_and_connections_wake_a_poll_without_a_time() {
    let (mut world, fd, client) = World::with_connection();
    let wanted = [
        Wanted::Read(0),
        Wanted::Read(fd as u32),
        Wanted::Read(LISTENER as u32),
    ];
    begin(&mut world, &wanted);
    assert_eq!(world.guest(A).call_deadline(), None);
    world.client_writes(client, b"x");
    assert_eq!(errno(world.retry(A)), Errno::Success);
    assert_eq!(events(&world), [(101, Errno::Success, 1, 1, 0)]);
    assert_eq!(world.fd_read(A, fd, 1), Ok(b"x".to_vec()));
    begin(&mut world, &wanted);
    let connect = [crate::host::tests::ADDRESS.into(), 0];
    world
        .wait(B, sos_abi::CallId::TcpConnect, &connect)
        .unwrap();
    assert_eq!(world.wasi_finish(A), Errno::Success);
    assert_eq!(events(&world), [(102, Errno::Success, 1, 0, 0)]);
}

#[test]
fn the_other_ends_leaving_is_told() {
    let (mut world, fd, client) = World::with_connection();
    world.client_writes(client, b"rest");
    world.client_closes(client);
    let wanted = [Wanted::Read(fd as u32)];
    assert_eq!(poll(&mut world, &wanted), [(100, Errno::Success, 1, 4, 0)]);
    assert_eq!(world.fd_read(A, fd, 10), Ok(b"rest".to_vec()));
    assert_eq!(poll(&mut world, &wanted), [(100, Errno::Success, 1, 0, 1)]);
    world.guest(A).streams.end_input();
    assert_eq!(
        poll(&mut world, &[Wanted::Read(0)]),
        [(100, Errno::Success, 1, 0, 1)]
    );
}

#[test]
fn a_full_pipe_is_not_writable_until_it_is_read() {
    let mut world = World::new();
    world.guest(A).streams = Streams::new(StreamsTo::Pipes);
    world
        .fd_write(A, 1, &vec![0; limits::STREAM_BYTES])
        .unwrap();
    begin(&mut world, &[Wanted::Write(1)]);
    world.guest(A).streams.take(OutputStream::Output, 10);
    assert_eq!(errno(world.retry(A)), Errno::Success);
    assert_eq!(events(&world), [(100, Errno::Success, 2, 10, 0)]);
}

#[test]
fn what_is_wrong_with_one_is_told_in_its_event() {
    let (mut world, fd, _) = World::with_connection();
    let rights = rights::CONNECTION & !rights::POLL_FD_READWRITE;
    let set = [fd, rights as i64, 0];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &set),
        Errno::Success
    );
    let wanted = [
        Wanted::Read(77),
        Wanted::Write(u32::MAX),
        Wanted::Write(0),
        Wanted::Read(1),
        Wanted::Read(fd as u32),
        Wanted::Write(LISTENER as u32),
        Wanted::Clock(2, 1, 0),
        Wanted::Clock(3, 1, 1),
        Wanted::Clock(9, 1, 0),
        Wanted::Clock(MONOTONIC, 1, 2),
        Wanted::Clock(MONOTONIC, 1_000, 0),
    ];
    let errors = [
        (Errno::BadF, 1),
        (Errno::BadF, 2),
        (Errno::NotCapable, 2),
        (Errno::NotCapable, 1),
        (Errno::NotCapable, 1),
        (Errno::NotCapable, 2),
        (Errno::NotSup, 0),
        (Errno::NotSup, 0),
        (Errno::Inval, 0),
        (Errno::Inval, 0),
    ];
    let expected: Vec<Event> = (100..)
        .zip(errors)
        .map(|(user_data, (error, kind))| (user_data, error, kind, 0, 0))
        .collect();
    assert_eq!(poll(&mut world, &wanted), expected);
}

#[test]
fn the_number_of_subscriptions_is_bounded() {
    let mut world = World::new();
    let call = |world: &mut World, count: i64| {
        let arguments = [SUBSCRIPTIONS.into(), 0x20000, count, OUT.into()];
        world.wasi(A, WasiCall::PollOneoff, &arguments)
    };
    assert_eq!(call(&mut world, 0), Errno::Inval);
    assert_eq!(
        call(&mut world, limits::POLL_ENTRIES as i64 + 1),
        Errno::Inval
    );
    assert_eq!(call(&mut world, -1), Errno::Inval);
    // All zeros: timeouts of zero by the wall clock.
    assert_eq!(
        call(&mut world, limits::POLL_ENTRIES as i64),
        Errno::Success
    );
    assert_eq!(world.read_u32(A, OUT), limits::POLL_ENTRIES as u32);
}

#[test]
fn a_subscription_to_nothing_known_is_refused() {
    let mut world = World::new();
    world.write(A, SUBSCRIPTIONS + 8, &[3]);
    let arguments = [SUBSCRIPTIONS.into(), EVENTS.into(), 1, OUT.into()];
    assert_eq!(
        world.wasi(A, WasiCall::PollOneoff, &arguments),
        Errno::Inval
    );
}

#[test]
fn arrays_past_the_memory_are_a_fault() {
    let mut world = World::new();
    let end = MEMORY_BYTES as i64;
    for (subscriptions, events, out) in [
        (end - 47, EVENTS.into(), OUT.into()),
        (SUBSCRIPTIONS.into(), end - 31, OUT.into()),
        (SUBSCRIPTIONS.into(), EVENTS.into(), end - 3),
        (-1, -1, -1),
    ] {
        let arguments = [subscriptions, events, 1, out];
        assert_eq!(
            world.wasi(A, WasiCall::PollOneoff, &arguments),
            Errno::Fault
        );
    }
}
