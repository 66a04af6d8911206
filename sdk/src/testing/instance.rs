//! One instance of a [`Node`]: how it is described, and what a test may ask of it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;
use std::thread;

use super::node::Node;
use super::state::{Phase, State};
use super::turns::Seat;
use crate::identity::RevivalKind;
use crate::log::Level;
use crate::runtime::{Termination, run_to_status};

/// An instance that has not started.
pub struct InstanceBuilder<'n> {
    node: &'n Node,
    guest: usize,
}

impl<'n> InstanceBuilder<'n> {
    pub(super) fn new(node: &'n Node, name: &str) -> InstanceBuilder<'n> {
        let mut state = node.seat.turns.lock();
        let is_taken = state.guests.iter().any(|guest| guest.name == name);
        if is_taken {
            drop(state);
            panic!("the node has an instance `{name}` already");
        }
        let guest = state.add_guest(name);
        // It is nobody's turn until it starts.
        state.guests[guest].phase = Phase::Ended(End::Killed);
        drop(state);
        InstanceBuilder { node, guest }
    }

    /// Sets a value of its configuration.
    pub fn config(self, key: &str, value: impl fmt::Display) -> Self {
        let value = alloc::format!("{value}");
        self.change(|state, me| {
            state.guest(me).config.insert(key.to_owned(), value);
        })
    }

    /// Adds an argument.
    pub fn argument(self, argument: &str) -> Self {
        self.change(|state, me| state.guest(me).arguments.push(argument.to_owned()))
    }

    /// Bounds how many sockets it may have open (256).
    pub fn sockets(self, most: usize) -> Self {
        self.change(|state, me| state.network.set_sockets(me, most))
    }

    fn change(self, change: impl FnOnce(&mut State, usize)) -> Self {
        change(&mut self.node.seat.turns.lock(), self.guest);
        self
    }

    /// Starts it: `entry` is what the service gives to [`main!`](crate::main).
    ///
    /// # Panics
    /// When the machine has no thread left.
    pub fn spawn<T: Termination>(self, entry: impl FnOnce() -> T + Send + 'static) -> Instance {
        let seat = Seat {
            turns: self.node.seat.turns.clone(),
            guest: self.guest,
        };
        let instance = Instance { seat: seat.clone() };
        let mut state = seat.turns.lock();
        let now_ns = state.now_ns;
        let guest = state.guest(self.guest);
        guest.phase = Phase::Ready;
        guest.started_ns = now_ns;
        let name = guest.name.clone();
        drop(state);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || seat.live(|| run_to_status(entry)));
        self.node
            .keep_thread(thread.expect("a thread for the instance"));
        instance
    }
}

/// An instance that was started. Dropping this leaves it running.
pub struct Instance {
    seat: Seat,
}

impl Instance {
    /// Its IPv4 address; its name leads to it too.
    pub fn address(&self) -> Ipv4Addr {
        let state = self.seat.turns.lock();
        state.network.address(self.seat.guest)
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        !matches!(self.look(|guest| guest.phase.clone()), Phase::Ended(_))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Outside of the node's instances.
    pub fn join(&self) -> End {
        let me = self.seat.guest;
        let end = caller().wait("join", None, |state, _| {
            let guest = state.guest(me);
            let Phase::Ended(end) = &guest.phase else {
                return Ok(None);
            };
            guest.is_end_seen = true;
            Ok(Some(end.clone()))
        });
        end.ok().flatten().unwrap_or(End::Killed)
    }

    /// Ends it at once, as `kill` in the shell does: its connections break off.
    ///
    /// # Panics
    /// Outside of the node's test thread.
    pub fn kill(&self) {
        let caller = caller();
        assert!(caller.guest == 0, "only the test may kill instances");
        caller.end_all(core::iter::once(self.seat.guest));
    }

    /// Makes it a copy of itself, as restoring a snapshot does: its generation changes.
    pub fn change_generation(&self) {
        self.revive(RevivalKind::Restored);
    }

    /// Tells it that it went on in this way, as the kernel would after a pause, a restored snapshot or
    /// a clone. Everything else stays as it is.
    pub fn revive(&self, kind: RevivalKind) {
        self.look(|guest| {
            guest.revivals[kind as usize] += 1;
            match kind {
                RevivalKind::Resumed => {}
                RevivalKind::Restored | RevivalKind::Cloned => {
                    guest.generation = guest.random.next();
                }
            }
        });
    }

    /// Types on its console.
    pub fn type_text(&self, text: &str) {
        let mut state = self.seat.turns.lock();
        let guest = state.guest(self.seat.guest);
        guest.console_input.extend(text.as_bytes());
        state.changes += 1;
    }

    /// Everything that it wrote to its console.
    pub fn console(&self) -> String {
        self.look(|guest| String::from_utf8_lossy(&guest.console_output).into_owned())
    }

    /// Its log so far.
    pub fn log(&self) -> Vec<LogLine> {
        self.look(|guest| guest.log.clone())
    }

    /// Whether a line of its log contains `text`.
    pub fn has_logged(&self, text: &str) -> bool {
        self.look(|guest| guest.log.iter().any(|line| line.text.contains(text)))
    }

    fn look<T>(&self, get: impl FnOnce(&mut super::state::Guest) -> T) -> T {
        get(self.seat.turns.lock().guest(self.seat.guest))
    }
}

/// The instance that calls.
fn caller() -> Seat {
    super::turns::seat().expect("called on the node's own thread")
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It returned, or called [`exit`](crate::exit); 0 means success.
    Exited(i32),
    /// It panicked, with this message; under the kernel it traps.
    Panicked(String),
    /// The test ended it.
    Killed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exited(status) => write!(f, "exited with status {status}"),
            End::Panicked(message) => write!(f, "panicked: {message}"),
            End::Killed => f.write_str("been ended"),
        }
    }
}

/// A line of an instance's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, in nanoseconds since the node started.
    pub time_ns: u64,
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time_ns as f64 / 1e9;
        write!(f, "{seconds:.6} {:?}: {}", self.level, self.text)
    }
}
