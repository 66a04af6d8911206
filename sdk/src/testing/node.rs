//! [`Node`]: what a test makes first.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;
use core::net::IpAddr;
use core::time::Duration;
use std::thread::{JoinHandle, panicking};

use sos_abi::ErrorCode;

use super::instance::{End, Instance, InstanceBuilder};
use super::state::{Phase, State};
use super::turns::{Seat, Turns, seat, set_seat};
use crate::error::Result;
use crate::net::{TcpStream, ToSocketAddrs};
use crate::runtime::Termination;
use crate::time;

/// The name of the test among the instances.
const TEST_NAME: &str = "test";
/// How long [`Node::connect`] tries.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// And how often.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// A simulated node. The test's thread is its instance `test` until the node is dropped, which ends
/// all other instances.
///
/// # Panics
/// Dropping it panics when an instance has panicked and [`Instance::join`] did not tell the test.
pub struct Node {
    pub(super) seat: Seat,
    threads: RefCell<Vec<JoinHandle<()>>>,
    /// The node belongs to the thread that made it.
    not_send: PhantomData<*const ()>,
}

impl Default for Node {
    fn default() -> Node {
        Node::new()
    }
}

impl Node {
    /// A node whose random numbers come from the seed 0.
    ///
    /// # Panics
    /// When the thread is an instance of another node already.
    pub fn new() -> Node {
        Node::with_seed(0)
    }

    /// A node with other random numbers.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_seed(seed: u64) -> Node {
        assert!(
            seat().is_none(),
            "this thread has a node already: drop that one first"
        );
        let mut state = State::new(seed);
        let guest = state.add_guest(TEST_NAME);
        let seat = Seat {
            turns: Arc::new(Turns::new(state)),
            guest,
        };
        set_seat(Some(seat.clone()));
        Node {
            seat,
            threads: RefCell::default(),
            not_send: PhantomData,
        }
    }

    /// Begins to describe an instance; [`InstanceBuilder::spawn`] starts it.
    ///
    /// # Panics
    /// When an instance has the name already, or there are 250.
    pub fn instance(&self, name: &str) -> InstanceBuilder<'_> {
        InstanceBuilder::new(self, name)
    }

    /// Starts an instance without configuration and arguments.
    ///
    /// # Panics
    /// As [`Self::instance`].
    pub fn spawn<T: Termination>(
        &self,
        name: &str,
        entry: impl FnOnce() -> T + Send + 'static,
    ) -> Instance {
        self.instance(name).spawn(entry)
    }

    /// Connects the test to a service such as `web:80`. While nobody listens there it tries again,
    /// since the service may still be starting.
    ///
    /// # Errors
    /// Those of [`TcpStream::connect`] after ten seconds of the node's time.
    pub fn connect(&self, address: impl ToSocketAddrs) -> Result<TcpStream> {
        let began = time::Instant::now();
        loop {
            match TcpStream::connect(&address) {
                Err(error)
                    if error.code() == ErrorCode::ConnectionRefused
                        && began.elapsed() < CONNECT_PATIENCE =>
                {
                    time::sleep(CONNECT_INTERVAL);
                }
                result => return result,
            }
        }
    }

    /// Lets the instances compute until each waits for time, for the test or for another; takes no
    /// time of the node.
    pub fn settle(&self) {
        while self.others_can_go_on() {
            self.seat.yield_turn();
        }
    }

    fn others_can_go_on(&self) -> bool {
        let state = self.seat.turns.lock();
        (1..state.guests.len()).any(|guest| state.is_ready(guest))
    }

    /// Makes a name known, beside those of the instances.
    pub fn add_name(&self, name: &str, addresses: &[IpAddr]) {
        let mut state = self.seat.turns.lock();
        state.network.add_name(name, addresses.to_vec());
    }

    /// Sets the wall clock to a time since 1970-01-01 00:00:00 UTC. It starts with the year 2026.
    pub fn set_wall_clock(&self, since_epoch: Duration) {
        let mut state = self.seat.turns.lock();
        let wall_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        state.start_wall_ns = wall_ns.saturating_sub(state.now_ns);
    }

    pub(super) fn keep_thread(&self, thread: JoinHandle<()>) {
        self.threads.borrow_mut().push(thread);
    }

    /// Names of instances that panicked without the test being told.
    fn unseen_panics(&self) -> Vec<String> {
        let state = self.seat.turns.lock();
        let unseen = state.guests.iter().filter(|guest| {
            !guest.is_end_seen && matches!(guest.phase, Phase::Ended(End::Panicked(_)))
        });
        unseen.map(|guest| guest.name.clone()).collect()
    }

    fn print_logs(&self) {
        for guest in &self.seat.turns.lock().guests {
            for line in &guest.log {
                std::eprintln!("{}: {line}", guest.name);
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let count = self.seat.turns.lock().guests.len();
        self.seat.end_all(1..count);
        crate::task::clear();
        set_seat(None);
        for thread in self.threads.take() {
            // Its panics were caught and are known as ends.
            let _ = thread.join();
        }
        if panicking() {
            return self.print_logs();
        }
        let panics = self.unseen_panics();
        if !panics.is_empty() {
            self.print_logs();
            panic!("panicked: {}", panics.join(", "));
        }
    }
}
