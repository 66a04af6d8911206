//! Wakes the LAN's thread from other threads (eventfd(2)).

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};

/// A counter that epoll sees.
pub(super) struct Waker {
    event: OwnedFd,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { event })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.event
    }

    /// Makes the thread's next or current wait return. Fails only when it is woken already.
    pub(super) fn wake(&self) {
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Takes all wakes so far.
    pub(super) fn drain(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.event, &mut count[..]);
    }
}
