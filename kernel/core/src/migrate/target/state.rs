//! What a target goes through, and what happens to it.

use crate::image::BlobHash;
use crate::machine::Time;
use crate::migrate::{ConnectionId, Done, Doubt, Offer, Outcome, Reason};

/// What happens to a target.
#[derive(Debug)]
pub(in crate::migrate) enum Event<'m> {
    /// There is a connection to the source: `Context::link`.
    Linked,
    /// A connection is lost.
    Unlinked(ConnectionId),
    /// The source said something.
    Heard(Heard<'m>),
    /// The driver did something.
    Done(&'m Done),
    /// Time went by.
    Tick,
    /// The instance is offered, runs or is migrated on in this epoch, so that this attempt is over.
    Superseded { by: u64 },
}

/// What a source says to a target.
#[derive(Debug)]
pub(in crate::migrate) enum Heard<'m> {
    BlobsEnd,
    RoundEnd(u32),
    StateEnd,
    Commit,
    Abandon(&'m Reason),
    Released,
    /// It has not decided yet.
    Undecided,
    Unknown,
}

/// What a source sends that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::migrate) enum Data {
    /// Of the description; the last bytes of it or not.
    Description {
        last: bool,
    },
    /// Of a blob; the last bytes of it or not.
    Blob {
        hash: BlobHash,
        last: bool,
    },
    /// Memories, pages and states.
    Contents,
    Frame,
}

/// Where the target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The description comes.
    Describing(ConnectionId, Offer),
    /// The driver judges it.
    Admitting(ConnectionId),
    /// Blobs, pages and states come.
    Receiving(ConnectionId),
    /// The driver makes the instance.
    Preparing(ConnectionId),
    /// The copy is complete and stands.
    Prepared {
        doubt: Option<Doubt>,
        asked: u32,
    },
    /// COMMIT came, or an operator's word: the driver lets it run.
    Starting(Authority),
    /// It runs; the source is told until it has heard.
    Running {
        by: Authority,
        until: Time,
        asked: u32,
    },
    /// It runs, and the source has let go of it; late frames still come from there.
    Tailing,
    /// It ran here, and stands since the source runs it too, by an operator's word.
    Fenced,
    Over(Outcome),
}

/// What a copy runs by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authority {
    /// The source's COMMIT: it asks until it has heard that the instance runs.
    Commit,
    /// An operator's word: the source may run the instance itself, and then does not ask.
    Operator,
}
