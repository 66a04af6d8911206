//! The node's end of the channel: a Unix socket pair for each host's program, one at a time.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;

use super::poll;

/// What the kernel waits for in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    No,
    Yes,
}

/// The channel as the machine has it.
#[derive(Debug)]
pub(super) struct Channel {
    stream: Option<UnixStream>,
    connections: u64,
    reader: Waits,
    writer: Waits,
    /// Events that the present turn began with and the kernel has not looked at.
    offered: PollFlags,
}

impl Channel {
    /// A channel without a host.
    pub(super) fn new() -> Channel {
        Channel {
            stream: None,
            connections: 0,
            reader: Waits::Yes,
            writer: Waits::No,
            offered: PollFlags::empty(),
        }
    }

    /// The number of the present connection.
    pub(super) fn connection(&self) -> Option<u64> {
        self.stream.as_ref().map(|_| self.connections)
    }

    /// What to wait for, and where.
    pub(super) fn interest(&self) -> Option<(&UnixStream, PollFlags)> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.reader == Waits::Yes);
        flags.set(PollFlags::OUT, self.writer == Waits::Yes);
        // That the host has gone is told without asking.
        self.stream.as_ref().map(|stream| (stream, flags))
    }

    /// Whether a turn would find something new.
    pub(super) fn has_events(&self) -> bool {
        !self.ready().is_empty()
    }

    fn ready(&self) -> PollFlags {
        self.interest()
            .map_or(PollFlags::empty(), |(stream, flags)| {
                poll::now(stream, flags)
            })
    }

    /// Each turn begins with it: lets go a host that has left; `next` gives the one that waits.
    pub(super) fn begin_turn(&mut self, next: impl FnOnce() -> Option<UnixStream>) {
        let ready = self.ready();
        if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            self.stream = None;
        }
        if self.stream.is_none()
            && let Some(stream) = next()
        {
            self.stream = Some(stream);
            self.connections += 1;
            self.reader = Waits::Yes;
            self.writer = Waits::No;
        }
        self.offered = ready;
    }

    /// Each turn ends with it: what the kernel did not look at, it does not want now.
    pub(super) fn end_turn(&mut self) {
        let offered = std::mem::replace(&mut self.offered, PollFlags::empty());
        if offered.contains(PollFlags::IN) {
            self.reader = Waits::No;
        }
        if offered.contains(PollFlags::OUT) {
            self.writer = Waits::No;
        }
    }

    /// Takes bytes that came.
    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        self.offered.remove(PollFlags::IN);
        let mut filled = 0;
        while let Some(stream) = self.stream.as_mut().filter(|_| filled < out.len()) {
            match stream.read(&mut out[filled..]) {
                Ok(0) => self.stream = None,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.stream = None,
            }
        }
        self.reader = waits(filled < out.len());
        filled
    }

    /// Sends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        self.offered.remove(PollFlags::OUT);
        let mut taken = 0;
        while let Some(stream) = self.stream.as_mut().filter(|_| taken < bytes.len()) {
            match stream.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.stream = None,
            }
        }
        self.writer = waits(taken < bytes.len());
        taken
    }
}

fn waits(is_waiting: bool) -> Waits {
    if is_waiting { Waits::Yes } else { Waits::No }
}
