//! Waiting for many sockets at once.
//!
//! ```no_run
//! use sos_sdk::net::{Blocking, TcpListener};
//! use sos_sdk::poll::{Interest, Poller, Token};
//!
//! # fn main() -> sos_sdk::Result<()> {
//! let listener = TcpListener::bind("0.0.0.0:80")?;
//! listener.set_blocking(Blocking::Never);
//! let mut poller = Poller::new();
//! poller.add(&listener, Token(0), Interest::READABLE);
//! let mut events = Vec::new();
//! loop {
//!     poller.wait(&mut events, None)?;
//!     for event in &events {
//!         sos_sdk::info!("{:?} is ready", event.token);
//!     }
//! }
//! # }
//! ```

use alloc::vec::Vec;
use core::ops::BitOr;
use core::time::Duration;

use sos_abi::{POLL_CLOSED, POLL_FAILED, POLL_READABLE, POLL_WRITABLE, PollEntry};

use crate::error::Result;
use crate::net::AsHandle;
use crate::sys;
use crate::time::saturating_nanos;

/// The author's name for a socket: a small number, such as an index; the poller keeps a table as
/// long as the largest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub usize);

/// What to wait for on a socket. Its failure and its end are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Only failure and end.
    pub const NONE: Interest = Interest(0);
    /// A read, an accept or a receive would not wait.
    pub const READABLE: Interest = Interest(POLL_READABLE);
    /// A write or a send would not wait; a connection is established.
    pub const WRITABLE: Interest = Interest(POLL_WRITABLE);
}

impl BitOr for Interest {
    type Output = Interest;
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// A socket that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Which.
    pub token: Token,
    ready: u32,
}

impl Event {
    /// Whether a read, an accept or a receive would not wait.
    pub fn is_readable(self) -> bool {
        self.ready & POLL_READABLE != 0
    }

    /// Whether a write or a send would not wait.
    pub fn is_writable(self) -> bool {
        self.ready & POLL_WRITABLE != 0
    }

    /// Whether both directions are over.
    pub fn is_closed(self) -> bool {
        self.ready & POLL_CLOSED != 0
    }

    /// Whether the socket failed; its next call tells how.
    pub fn is_failed(self) -> bool {
        self.ready & POLL_FAILED != 0
    }
}

/// No entry has this position.
const ABSENT: u32 = u32::MAX;

/// A set of sockets to wait for, at most [`Poller::CAPACITY`]. Changing one costs the same however
/// many there are.
#[derive(Debug, Default)]
pub struct Poller {
    entries: Vec<PollEntry>,
    /// Tokens of the entries.
    tokens: Vec<Token>,
    /// Where the entry of a token is.
    positions: Vec<u32>,
}

impl Poller {
    /// Most sockets of one poller.
    pub const CAPACITY: usize = sos_abi::POLL_ENTRIES;

    /// An empty set.
    pub const fn new() -> Poller {
        Poller {
            entries: Vec::new(),
            tokens: Vec::new(),
            positions: Vec::new(),
        }
    }

    /// Adds a socket; one that had the token before is replaced. Remove a socket before it closes.
    pub fn add(&mut self, socket: &impl AsHandle, token: Token, interest: Interest) {
        let entry = PollEntry {
            handle: socket.as_handle().0,
            interest: interest.0,
            ready: 0,
        };
        if let Some(position) = self.position(token) {
            self.entries[position] = entry;
            return;
        }
        if self.positions.len() <= token.0 {
            self.positions.resize(token.0 + 1, ABSENT);
        }
        self.positions[token.0] = self.entries.len() as u32;
        self.entries.push(entry);
        self.tokens.push(token);
    }

    /// Changes what to wait for; does nothing for an unknown token.
    pub fn set_interest(&mut self, token: Token, interest: Interest) {
        if let Some(position) = self.position(token) {
            self.entries[position].interest = interest.0;
        }
    }

    /// Takes a socket out; does nothing for an unknown token.
    pub fn remove(&mut self, token: Token) {
        let Some(position) = self.position(token) else {
            return;
        };
        self.positions[token.0] = ABSENT;
        self.entries.swap_remove(position);
        self.tokens.swap_remove(position);
        if let Some(moved) = self.tokens.get(position) {
            self.positions[moved.0] = position as u32;
        }
    }

    /// How many sockets are watched.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Waits until a socket is ready or the time is over (`None`: no limit; zero: look only), and
    /// replaces the content of `events`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when there are more than [`Self::CAPACITY`] sockets.
    pub fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        events.clear();
        let timeout_ns = timeout.map_or(-1, saturating_nanos);
        let mut left = sys::poll(&mut self.entries, timeout_ns)?;
        crate::identity::run_hooks();
        for (entry, &token) in self.entries.iter().zip(&self.tokens) {
            if left == 0 {
                break;
            }
            if entry.ready != 0 {
                events.push(Event {
                    token,
                    ready: entry.ready,
                });
                left -= 1;
            }
        }
        Ok(())
    }

    fn position(&self, token: Token) -> Option<usize> {
        let position = *self.positions.get(token.0)?;
        (position != ABSENT).then_some(position as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Handle;

    struct Fake(u32);

    impl AsHandle for Fake {
        fn as_handle(&self) -> Handle {
            Handle(self.0)
        }
    }

    fn handles(poller: &Poller) -> Vec<(usize, u32)> {
        let pairs = poller.tokens.iter().zip(&poller.entries);
        let mut pairs: Vec<_> = pairs
            .map(|(token, entry)| (token.0, entry.handle))
            .collect();
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn sockets_are_found_by_token_after_others_left() {
        let mut poller = Poller::new();
        for index in 0..5 {
            poller.add(
                &Fake(100 + index),
                Token(index as usize * 2),
                Interest::READABLE,
            );
        }
        poller.remove(Token(2));
        poller.remove(Token(0));
        poller.remove(Token(7));
        poller.set_interest(Token(8), Interest::WRITABLE);
        assert_eq!(handles(&poller), [(4, 102), (6, 103), (8, 104)]);
        let last = poller.position(Token(8)).unwrap();
        assert_eq!(poller.entries[last].interest, POLL_WRITABLE);
    }

    #[test]
    fn a_token_that_is_added_again_is_replaced() {
        let mut poller = Poller::new();
        poller.add(&Fake(1), Token(3), Interest::READABLE);
        poller.add(&Fake(2), Token(3), Interest::READABLE | Interest::WRITABLE);
        assert_eq!(handles(&poller), [(3, 2)]);
        assert_eq!(poller.len(), 1);
    }
}
