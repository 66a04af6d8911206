//! Guests as plain data: what comes back is what was captured, and what could not be is refused.
//!
//! Every test of the host calls is one of these too: [`World::retry`] captures and restores the guest
//! before each attempt at a call that waits.

mod hostile;

use super::*;
use crate::files::{Create, Follow, OpenOptions};
use crate::host::tests::{A, ADDRESS, B, BUFFER, Instance, MEMORY_BYTES, TEXT, TestClock, World};
use crate::host::tests::{SOCKETS, WALL_NANOS, interface, setup};
use crate::instance::{HostState, Outcome};
use crate::net::stack::{
    Allowance, CloneNetwork, RevivedPort, StackLimits, StackRevival, StackState,
};
use sos_abi::CallId;
use sos_abi::wasi::WasiCall;

/// Restores a state in a place like that in which the guests of these tests start.
fn restore(
    state: GuestState,
    clock: Arc<TestClock>,
    stack: Stack,
    revival: Revival,
) -> Result<Guest, RestoreError> {
    let setup = setup(clock, stack);
    let streams = match state.streams.pipes {
        None => StreamsTo::Console,
        Some(_) => StreamsTo::Pipes,
    };
    let revival = GuestRevival {
        identity: setup.identity,
        revival,
        random_seed: [9; 32],
        log_bytes: setup.log_bytes,
        files: state.files.limits(),
        sockets: setup.sockets,
        streams,
        stack: setup.stack,
        clock: setup.clock,
        find_blob: &mut |_| None,
    };
    Guest::restore(state, revival)
}

/// A state through bytes.
fn through_bytes(state: &GuestState) -> GuestState {
    let bytes = postcard::to_allocvec(state).unwrap();
    let back = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(*state, back);
    back
}

impl World {
    /// Captures a guest and puts the one in its place that comes back from the bytes.
    pub(in crate::host) fn cut(&mut self, who: usize) {
        self.revive(who, Revival::Continued);
    }

    fn revive(&mut self, who: usize, revival: Revival) {
        let state = self.guest(who).capture();
        let paused = self.guest(who).clock.is_paused();
        let stack = self.take_stack(who);
        let mut guest = restore(through_bytes(&state), self.clock.clone(), stack, revival).unwrap();
        if revival == Revival::Continued {
            // What it is told of its revival is the only difference.
            guest.revivals = state.revivals;
        }
        self.instances[who].guest = guest;
        if revival == Revival::Continued {
            assert!(
                self.guest(who).capture() == state,
                "another guest came back"
            );
        }
        if !paused {
            self.guest(who).clock.resume();
        }
    }

    /// Captures a guest with its stack, lets time pass, and puts the pair in their place that comes
    /// back from the bytes.
    fn cut_whole(&mut self, who: usize, revival: Revival) {
        let port = self.ports[who];
        let state = through_bytes(&self.guest(who).capture());
        let captured = self.guest(who).stack.capture();
        let bytes = postcard::to_allocvec(&captured).unwrap();
        let mut stack_state: StackState = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(stack_state, captured);
        self.advance(Duration::from_millis(3));
        if revival == Revival::Cloned {
            let last = 20 + who as u8;
            let config = interface(port, &self.fabric, last);
            stack_state = stack_state
                .into_clone(CloneNetwork::alone(&[config]))
                .unwrap();
        }
        let revived = RevivedPort {
            port,
            properties: self.fabric.properties(port),
        };
        let limits = StackLimits {
            sockets: SOCKETS,
            ..StackLimits::default()
        };
        let old = self.take_stack(who);
        old.detach();
        let stack = Stack::restore(
            &stack_state,
            StackRevival {
                limits,
                seed: 99,
                allowance: Allowance::unlimited(),
                ports: &[revived],
                now: state.guest_time(),
            },
        )
        .unwrap();
        let mut guest = restore(state, self.clock.clone(), stack, revival).unwrap();
        guest.clock.resume();
        self.instances[who].guest = guest;
    }

    fn take_stack(&mut self, who: usize) -> Stack {
        let empty = Stack::new(StackLimits::default(), 0);
        core::mem::replace(&mut self.guest(who).stack, empty)
    }

    /// A world whose A has something of everything and waits in `tcp_read`, and its state.
    fn rich() -> (World, GuestState) {
        let mut world = World::new();
        let (listener, server, _) = world.connected();
        world.write_address(A, ADDRESS, "0.0.0.0:53");
        world.done(A, CallId::UdpBind, &[ADDRESS.into()]).unwrap();
        world.done(A, CallId::Close, &[listener]).unwrap();
        let guest = world.guest(A);
        guest.open_directory("/", InodeId::ROOT).unwrap();
        let files = &mut guest.files;
        files.create_directory(InodeId::ROOT, b"d", 1).unwrap();
        let options = OpenOptions {
            create: Create::Exclusive,
            ..OpenOptions::default()
        };
        let file = files.open(InodeId::ROOT, b"d/f", options, 1).unwrap();
        files.write_at(file, 5000, b"text", 1).unwrap();
        files.release(file);
        files.symbolic_link(b"d/f", InodeId::ROOT, b"l", 1).unwrap();
        let (root, follow) = (InodeId::ROOT, Follow::Follow);
        files.link(root, b"d/f", follow, root, b"h", 1).unwrap();
        world.write(A, TEXT, b"one line");
        world.done(A, CallId::Log, &[1, TEXT.into(), 8]).unwrap();
        let write = [TEXT.into(), 8];
        world.done(A, CallId::ConsoleWrite, &write).unwrap();
        world.guest(A).streams.feed(b"typed");
        world.done(A, CallId::Random, &[BUFFER.into(), 10]).unwrap();
        let read = [server, BUFFER.into(), 100, 0];
        assert_eq!(world.call(A, CallId::TcpRead, &read), Outcome::Blocked);
        let state = world.guest(A).capture();
        (world, state)
    }
}

#[test]
fn a_sleep_ends_on_time_however_often_it_is_captured() {
    let mut world = World::new();
    let begin = world.guest(A).clock.now();
    let second = [1_000_000_000];
    assert_eq!(world.call(A, CallId::Sleep, &second), Outcome::Blocked);
    for _ in 0..99 {
        world.advance(Duration::from_millis(10));
        assert_eq!(world.retry(A), Outcome::Blocked);
    }
    world.advance(Duration::from_millis(10));
    assert_eq!(world.retry(A), Outcome::Done(0));
    let passed = world.guest(A).clock.now().since(begin);
    assert_eq!(passed, Duration::from_secs(1));
}

#[test]
fn guest_time_stands_between_capture_and_restore_and_wall_time_goes_on() {
    let mut world = World::new();
    world.call(A, CallId::Sleep, &[5_000]);
    world.advance(Duration::from_nanos(2_000));
    let state = world.guest(A).capture();
    let stack = world.take_stack(A);
    world.advance(Duration::from_secs(3600));
    let mut guest = restore(state, world.clock.clone(), stack, Revival::Restored).unwrap();
    assert!(guest.clock.is_paused());
    guest.clock.resume();
    world.instances[A].guest = guest;
    assert_eq!(world.retry(A), Outcome::Blocked);
    world.advance(Duration::from_nanos(2_999));
    assert_eq!(world.retry(A), Outcome::Blocked);
    world.advance(Duration::from_nanos(1));
    assert_eq!(world.retry(A), Outcome::Done(0));
    let wall_nanos = world.guest(A).clock.wall_nanos();
    assert!(wall_nanos > WALL_NANOS + 3_600_000_000_000);
}

#[test]
fn large_transfers_go_on_through_a_hundred_captures() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    let sent: Vec<u8> = (0..0x20000_u32).map(|byte| (byte % 251) as u8).collect();
    world.write(B, BUFFER, &sent);
    let (mut written, mut received, mut cuts) = (0, Vec::new(), 0);
    while received.len() < sent.len() {
        if written < sent.len() {
            let (at, left) = (BUFFER as usize + written, sent.len() - written);
            let write = [client, at as i64, left as i64, 0];
            written += world.wait(B, CallId::TcpWrite, &write).unwrap() as usize;
        }
        world.cut(B);
        let read = [server, BUFFER.into(), 1200, 0];
        let read = world.wait(A, CallId::TcpRead, &read).unwrap();
        world.cut(A);
        cuts += 2;
        received.extend_from_slice(world.read(A, BUFFER, read as usize));
    }
    assert!(received == sent && cuts > 100);
}

#[test]
fn connections_carry_every_byte_through_captures_of_guest_and_stack() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    let sent: Vec<u8> = (0..0x8000_u32).map(|byte| (byte % 251) as u8).collect();
    world.write(B, BUFFER, &sent);
    let (mut written, mut received, mut cuts) = (0, Vec::new(), 0);
    while received.len() < sent.len() {
        if written < sent.len() {
            let (at, left) = (BUFFER as usize + written, sent.len() - written);
            let write = [client, at as i64, left.min(2000) as i64, 0];
            written += world.wait(B, CallId::TcpWrite, &write).unwrap() as usize;
        }
        world.cut_whole(B, Revival::Continued);
        world.run(Duration::from_millis(5));
        world.cut_whole(A, Revival::Continued);
        cuts += 2;
        let read = [server, BUFFER.into(), 1200, 0];
        let read = world.wait(A, CallId::TcpRead, &read).unwrap();
        received.extend_from_slice(world.read(A, BUFFER, read as usize));
    }
    assert!(received == sent);
    assert!(cuts > 30, "{cuts}");
}

#[test]
fn a_clone_keeps_its_listener_and_sees_its_connection_end() {
    let mut world = World::new();
    let (listener, server, _) = world.connected();
    let read = [server, BUFFER.into(), 100, 0];
    assert_eq!(world.call(A, CallId::TcpRead, &read), Outcome::Blocked);
    world.cut_whole(A, Revival::Cloned);
    // The call that waited is due at once, and learns that the connection is the original's.
    let now = world.guest(A).clock.node_now();
    assert!(world.guest(A).call_deadline().unwrap() <= now);
    let outcome = world.retry(A);
    let reset = sos_abi::ErrorCode::ConnectionReset.code();
    assert_eq!(outcome, Outcome::Done(u64::from(reset as u32)));
    world.done(A, CallId::Close, &[server]).unwrap();
    // It serves under its own address.
    world.write_address(B, ADDRESS, "10.0.0.20:80");
    let connect = world.wait(B, CallId::TcpConnect, &[ADDRESS.into(), 0]);
    assert!(connect.is_ok(), "{connect:?}");
    let accepted = world.wait(A, CallId::TcpAccept, &[listener, 0, 0]);
    assert!(accepted.is_ok(), "{accepted:?}");
}

#[test]
fn a_call_that_waits_is_tried_after_a_pause_since_wall_time_went_on() {
    let mut world = World::new();
    // A subscription of `poll_oneoff`: wall time in ten seconds.
    let mut subscription = [0; 48];
    let due = world.guest(A).clock.wall_nanos() + 10_000_000_000;
    subscription[24..32].copy_from_slice(&due.to_le_bytes());
    subscription[40] = 1;
    world.write(A, TEXT, &subscription);
    let poll = [TEXT.into(), BUFFER.into(), 1, ADDRESS.into()];
    assert_eq!(world.call(A, WasiCall::PollOneoff, &poll), Outcome::Blocked);
    world.guest(A).clock.pause();
    world.advance(Duration::from_secs(3600));
    assert_eq!(world.guest(A).call_deadline(), None);
    world.guest(A).resume();
    let now = world.guest(A).clock.node_now();
    assert!(world.guest(A).call_deadline().unwrap() <= now);
    assert_eq!(world.retry(A), Outcome::Done(0));
    assert_eq!(world.guest(A).call_deadline(), None);
}

#[test]
fn random_bytes_in_pieces_are_the_same_with_captures_and_without() {
    let fill = |cuts: usize| {
        let mut world = World::new();
        let length = MEMORY_BYTES as i64 - i64::from(BUFFER);
        let mut outcome = world.call(A, WasiCall::RandomGet, &[BUFFER.into(), length]);
        while outcome == Outcome::Blocked {
            (0..cuts).for_each(|_| world.cut(A));
            let Instance { guest, memory } = &mut world.instances[A];
            outcome = guest.retry(memory);
        }
        assert_eq!(outcome, Outcome::Done(0));
        world.read(A, BUFFER, length as usize).to_vec()
    };
    let plain = fill(0);
    assert!(fill(1) == plain);
    assert!(fill(50) == plain);
}

#[test]
fn a_clone_and_an_older_cut_draw_other_random_numbers() {
    let draw = |revival: Option<Revival>| {
        let mut world = World::new();
        world.done(A, CallId::Random, &[BUFFER.into(), 10]).unwrap();
        if let Some(revival) = revival {
            world.revive(A, revival);
        }
        world.done(A, CallId::Random, &[BUFFER.into(), 32]).unwrap();
        world.read(A, BUFFER, 32).to_vec()
    };
    let original = draw(None);
    assert_eq!(draw(Some(Revival::Continued)), original);
    assert_ne!(draw(Some(Revival::Restored)), original);
    assert_ne!(draw(Some(Revival::Cloned)), original);
}

#[test]
fn a_program_can_ask_what_became_of_it() {
    let mut world = World::new();
    let ask = |world: &mut World| {
        [0, 1, 2, 3, 4, u32::MAX]
            .map(|kind| world.call(A, CallId::Revivals, &[kind.into()]))
            .map(|outcome| match outcome {
                Outcome::Done(count) => count,
                other => panic!("{other:?}"),
            })
    };
    let generation = |world: &mut World| world.call(A, CallId::Generation, &[]);
    assert_eq!(ask(&mut world), [0; 6]);
    let guest = world.guest(A);
    guest.resume();
    guest.clock.pause();
    guest.resume();
    assert_eq!(ask(&mut world), [1, 1, 0, 0, 0, 0]);
    let first = generation(&mut world);
    for (revival, told) in [
        (Revival::Restored, [2, 1, 1, 0, 0, 0]),
        (Revival::Cloned, [3, 1, 1, 1, 0, 0]),
    ] {
        world.guest(A).identity.generation = 1;
        world.revive(A, revival);
        assert_eq!(ask(&mut world), told);
        assert_eq!(generation(&mut world), first);
    }
    // The generation of one that goes on is its own, whatever the node offers.
    world.guest(A).identity.generation = 1;
    let state = world.guest(A).capture();
    let stack = world.take_stack(A);
    let guest = restore(state, world.clock.clone(), stack, Revival::Continued).unwrap();
    world.instances[A].guest = guest;
    assert_eq!(generation(&mut world), Outcome::Done(1));
    assert_eq!(ask(&mut world), [4, 2, 1, 1, 0, 0]);
}

#[test]
fn a_guest_with_something_of_everything_comes_back() {
    let (mut world, state) = World::rich();
    world.cut(A);
    assert_eq!(world.guest(A).capture(), state);
    let call = state.pending().and_then(PendingState::call);
    assert_eq!(call, Some(CallId::TcpRead.into()));
    assert_eq!(world.guest(A).log.since(0).count(), 1);
    assert_eq!(world.guest(A).streams.console.since(0), b"one line");
    assert!(world.guest(A).capture_bytes() > 4096);
}

#[test]
fn lines_of_the_log_keep_their_wall_time_on_a_node_that_started_later() {
    let mut world = World::new();
    world.write(A, TEXT, b"line");
    world.done(A, CallId::Log, &[1, TEXT.into(), 4]).unwrap();
    world.advance(Duration::from_secs(2));
    let log = world.guest(A).capture().log;
    // Written at 5 s, which is 3 s ago on a node that runs for four seconds.
    let now = Time::from_nanos(4_000_000_000);
    let times = |capacity| {
        let log = LogRing::restore(log.clone(), capacity, now, WALL_NANOS + 8_000_000_000);
        let log = log.unwrap();
        let times: Vec<Time> = log.since(0).map(|line| line.time).collect();
        times
    };
    assert_eq!(times(4096), [Time::from_nanos(1_000_000_000)]);
    assert_eq!(times(0), []);
}

#[test]
fn a_pipe_and_its_bytes_come_back_or_go_to_the_console() {
    let mut streams = Streams::new(StreamsTo::Pipes);
    streams.write(crate::host::OutputStream::Error, b"to read");
    streams.feed(b"typed");
    streams.end_input();
    let state = streams.capture();
    let back = Streams::restore(state.clone(), StreamsTo::Pipes).unwrap();
    assert!(!back.is_console());
    assert_eq!(back.capture(), state);
    // Nobody takes from pipes where there is no operator any more.
    let mut console = Streams::restore(state, StreamsTo::Console).unwrap();
    assert!(console.is_console());
    assert_eq!(console.console.since(0), b"to read");
    let mut typed = [0; 8];
    assert_eq!(console.read(&mut typed), crate::host::Input::Bytes(5));
    let pipes = Streams::restore(console.capture(), StreamsTo::Pipes).unwrap();
    assert!(!pipes.is_console());
}
