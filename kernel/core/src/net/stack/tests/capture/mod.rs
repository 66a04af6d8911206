//! Cuts: stacks that go on from plain data, and peers that notice nothing.

mod clone;
mod hostile;
mod lease;
mod parts;
mod property;
mod rollback;

use super::*;
use crate::net::stack::{RestoreError, RevivedPort, StackRevival, StackState};

/// What becomes of the frames that wait in the port of a stack that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Kept,
    Lost,
}

/// A state by way of bytes, as it lies in a file.
fn through_bytes(state: &StackState) -> StackState {
    let bytes = postcard::to_allocvec(state).unwrap();
    let read: StackState = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(&read, state);
    read
}

fn revive(
    state: &StackState,
    ports: &[RevivedPort],
    seed: u64,
    now: Time,
) -> Result<Stack, RestoreError> {
    let revival = StackRevival {
        limits: StackLimits::default(),
        seed,
        allowance: Allowance::unlimited(),
        ports,
        now,
    };
    Stack::restore(state, revival)
}

impl World {
    /// Ends a stack without a word, and returns what it was.
    fn cut(&mut self, side: usize, waiting: Waiting) -> (StackState, Vec<Vec<u8>>) {
        let now = self.now;
        self.stacks[side].poll(now, &mut self.fabric);
        let bound = self.stacks[side].capture_bytes();
        let state = self.stacks[side].capture();
        let bytes = postcard::to_allocvec(&state).unwrap().len();
        assert!(bytes <= bound, "{bytes} > {bound}");
        let port = self.stacks[side].interfaces[0].port;
        let frames = match waiting {
            Waiting::Kept => self.fabric.waiting_frames(port),
            Waiting::Lost => Vec::new(),
        };
        self.fabric.detach(port);
        let empty = Stack::new(StackLimits::default(), 0);
        core::mem::replace(&mut self.stacks[side], empty).detach();
        (through_bytes(&state), frames)
    }

    /// Brings a stack back at a new port of the segment where it was.
    fn resume(&mut self, side: usize, state: &StackState, frames: &[Vec<u8>], seed: u64) {
        let name = if self.relay.is_some() {
            alloc::format!("segment{side}")
        } else {
            String::from("link")
        };
        let segment = self.fabric.find(&name).unwrap();
        let mac = state.interfaces[0].mac;
        let port = self.fabric.attach(segment, "port", mac).unwrap();
        self.fabric.put_frames(port, frames);
        let ports = [RevivedPort {
            port,
            properties: self.fabric.properties(port),
        }];
        let mut stack = revive(state, &ports, seed, self.now).unwrap();
        let mut again = stack.capture();
        again.now = state.now;
        assert_eq!(&again, state, "a second cut differs");
        self.stacks[side] = stack;
    }

    /// Cuts a stack and brings it back at once.
    fn recut(&mut self, side: usize) {
        let (state, frames) = self.cut(side, Waiting::Kept);
        self.resume(side, &state, &frames, 99);
    }
}
