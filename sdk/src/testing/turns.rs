//! Turns: of all instances of a node, each a thread, exactly one computes at a time, and gives way
//! only in a host call. So a test goes the same way each time it runs.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::any::Any;
use core::cell::RefCell;
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::panicking;

use sos_abi::ErrorCode;

use super::End;
use super::state::{Phase, State};
use crate::log::Level;

/// Calls after which an instance gives way though it need not: it may be waiting in a loop of its
/// own.
const CALLS_PER_TURN: u32 = 64;
/// How far the time moves when an instance gives way without waiting, so that loops that look at
/// the clock come to an end.
const TURN_NS: u64 = 10_000;

/// A node's state, and whose turn it is to change it.
pub struct Turns {
    state: Mutex<State>,
}

/// An instance, as its thread knows it.
#[derive(Clone)]
pub struct Seat {
    pub turns: Arc<Turns>,
    pub guest: usize,
}

/// How an instance's thread is unwound when it ends in a call.
pub struct Stop(pub End);

std::thread_local! {
    static SEAT: RefCell<Option<Seat>> = const { RefCell::new(None) };
}

/// The instance of this thread.
pub fn seat() -> Option<Seat> {
    // None also while the thread's variables are dropped.
    SEAT.try_with(|seat| seat.borrow().clone()).ok().flatten()
}

/// Makes this thread an instance, or no longer one.
pub fn set_seat(seat: Option<Seat>) {
    SEAT.with(|place| *place.borrow_mut() = seat);
}

impl Turns {
    pub fn new(state: State) -> Turns {
        Turns {
            state: Mutex::new(state),
        }
    }

    /// The state, outside of a call.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panics holds no lock; and if one did, the test fails anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Makes a call that does not wait.
    pub fn call<T>(&self, act: impl FnOnce(&mut State, usize) -> T) -> T {
        let mut state = self.enter();
        let result = act(&mut state, self.guest);
        state.settle();
        result
    }

    /// Makes a call that waits until `attempt` has an answer or `timeout_ns` are over; gives nothing
    /// then.
    pub fn wait<T>(
        &self,
        call: &'static str,
        timeout_ns: Option<u64>,
        mut attempt: impl FnMut(&mut State, usize) -> Result<Option<T>, ErrorCode>,
    ) -> Result<Option<T>, ErrorCode> {
        let mut state = self.enter();
        let until_ns = timeout_ns.map(|timeout_ns| state.now_ns.saturating_add(timeout_ns));
        loop {
            let answer = attempt(&mut state, self.guest);
            state.settle();
            if let Some(answer) = answer? {
                return Ok(Some(answer));
            }
            if until_ns.is_some_and(|until_ns| state.now_ns >= until_ns) {
                return Ok(None);
            }
            if panicking() {
                // A destructor must not wait for others: the thread is to end.
                return Err(ErrorCode::Unsupported);
            }
            state.guests[self.guest].phase = Phase::Waiting {
                call,
                seen_changes: state.changes,
                until_ns,
            };
            state = self.give_way(state);
            state.guests[self.guest].phase = Phase::Ready;
        }
    }

    /// Lets the others have a turn.
    pub fn yield_turn(&self) {
        let state = self.enter();
        drop(self.pass_by(state));
    }

    /// A call begins: the thread has the turn.
    fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = self.turns.lock();
        if panicking() {
            return state;
        }
        state.calls += 1;
        if state.calls >= CALLS_PER_TURN {
            state = self.pass_by(state);
        }
        self.stop_if_condemned(state)
    }

    fn pass_by<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.now_ns += TURN_NS;
        self.give_way(state)
    }

    /// Gives the turn to whoever can go on and comes back with it.
    fn give_way<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        hand_on(&mut state, self.guest);
        state = self.await_turn(state);
        if let Some(waits) = state.deadlock.take() {
            drop(state);
            panic!("nobody can go on: {waits}");
        }
        self.stop_if_condemned(state)
    }

    fn await_turn<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let turn = state.guests[self.guest].turn.clone();
        while state.running != self.guest {
            state = turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn stop_if_condemned<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.guests[self.guest].is_condemned && !panicking() {
            drop(state);
            resume_unwind(Box::new(Stop(End::Killed)));
        }
        state
    }

    /// The instance's thread: waits for its first turn, runs `entry`, and leaves.
    pub fn live(self, entry: impl FnOnce() -> i32) {
        drop(self.await_turn(self.turns.lock()));
        set_seat(Some(self.clone()));
        let guarded = std::panic::AssertUnwindSafe(|| {
            drop(self.stop_if_condemned(self.turns.lock()));
            entry()
        });
        let end = match std::panic::catch_unwind(guarded) {
            Ok(status) => End::Exited(status),
            Err(payload) => match payload.downcast::<Stop>() {
                Ok(stop) => stop.0,
                Err(payload) => End::Panicked(message(&*payload)),
            },
        };
        set_seat(None);
        let mut state = self.turns.lock();
        if let End::Panicked(message) = &end {
            state.log(self.guest, Level::Error, message.as_bytes());
        }
        state.guests[self.guest].phase = Phase::Ended(end);
        state.network.leave(self.guest);
        hand_on(&mut state, self.guest);
    }

    /// Ends the given instances, which wait or have not begun; for the test's own thread, also while
    /// it panics.
    pub fn end_all(&self, guests: impl Iterator<Item = usize>) {
        for guest in guests {
            let mut state = self.turns.lock();
            state.guests[guest].is_condemned = true;
            if matches!(state.guests[guest].phase, Phase::Ended(_)) {
                continue;
            }
            while !matches!(state.guests[guest].phase, Phase::Ended(_)) {
                // It unwinds in its turn; nothing keeps it from going on.
                state.guests[self.guest].phase = Phase::Ready;
                state.pass_turn(guest);
                state = self.await_turn(state);
            }
        }
    }
}

impl State {
    fn pass_turn(&mut self, to: usize) {
        self.calls = 0;
        self.running = to;
        self.guests[to].turn.notify_one();
    }
}

/// Gives the turn to whoever can go on after `me`, else to the test, which is told.
fn hand_on(state: &mut State, me: usize) {
    let next = state.next_turn(me);
    if next.is_none() {
        state.deadlock = Some(state.describe_waits());
    }
    state.pass_turn(next.unwrap_or(0));
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_string();
    }
    match payload.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => "a panic without a message".to_string(),
    }
}
