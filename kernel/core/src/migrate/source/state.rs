//! What a source goes through, and what happens to it.

use crate::machine::{Duration, Time};
use crate::migrate::{ConnectionId, Done, Doubt, Outcome, Reason};

/// How far a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Rounds that were begun.
    pub rounds: u32,
    /// Bytes of messages with pages and states so far.
    pub sent_bytes: u64,
    /// Bytes that the last look found to be different from what was sent.
    pub dirty_bytes: u64,
    /// Bytes a second that the instance changes.
    pub dirty_rate: u64,
    /// Bytes a second that the link carries; none before the first round.
    pub bandwidth: Option<u64>,
    /// For how long the instance would stand if it were stopped now.
    pub expected_downtime: Duration,
    /// The instance's share of its CPU time, in parts of a million.
    pub share_ppm: u32,
}

/// What happens to a source.
#[derive(Debug)]
pub(in crate::migrate) enum Event<'m> {
    /// There is a connection to the target: `Context::link`.
    Linked,
    /// A connection is lost.
    Unlinked(ConnectionId),
    /// The target said something.
    Heard(Heard<'m>),
    /// The driver did something.
    Done(&'m Done),
    /// Time went by.
    Tick,
    /// The instance is about to run on this node by a later hand-over.
    Superseded,
}

/// What a target says to a source.
#[derive(Debug)]
pub(in crate::migrate) enum Heard<'m> {
    /// It lacks so many blobs.
    Missing(usize),
    Accept,
    Ready,
    RoundDone(u32),
    Prepared,
    Refused(&'m Reason),
    Running,
    Status,
    Unknown,
}

/// Where the source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for a connection.
    Dialing,
    /// It waits for the target's word on the offer.
    Offered(ConnectionId),
    /// The instance runs, and is copied.
    Copying(ConnectionId, Step),
    /// The instance stands; the rest is on its way to the connection.
    Freezing(ConnectionId),
    /// All is sent; the target prepares.
    Frozen(ConnectionId),
    /// The target is prepared; others of the group are not.
    Ready(ConnectionId),
    /// COMMIT was said.
    Committed {
        doubt: Option<Doubt>,
        asked: u32,
    },
    /// The target runs the instance; late frames are passed on.
    Forwarding,
    Over(Outcome),
}

/// What a copy waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Blobs,
    Ready,
    Measure,
    Queue {
        began: Time,
    },
    Stored {
        began: Time,
        bytes: u64,
    },
    /// It may be frozen; others of the group may not. It was looked at then.
    Gate {
        since: Time,
    },
}
