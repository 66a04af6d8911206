//! A host call that waits, as plain data (D4), and the steps of a call.

use serde::{Deserialize, Serialize};
use sos_abi::{ErrorCode, HostCall};

use super::handles::Handle;
use crate::machine::Time;
use crate::net::stack::SocketId;

/// Most arguments of a call in the tables (`path_open` has them).
pub const ARGUMENTS: usize = 9;

/// A blocked call: all that is needed to go on with it, on this node or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The call.
    pub call: HostCall,
    /// Its arguments, raw; those that it does not have are 0.
    pub arguments: [u64; ARGUMENTS],
    /// How far it came.
    pub wait: Wait,
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// The socket or the console that its arguments name.
    Event,
    /// The others' turn.
    Turn,
    /// A moment of guest time, or what its arguments name if that comes first.
    Until(Time),
    /// The handshake of this new connection.
    Connection(Handle),
    /// The answer to this query.
    Lookup(SocketId),
    /// The others' turn, since so many bytes were moved; more follow.
    Piece {
        /// Bytes moved so far.
        moved: u32,
    },
    /// What its arguments name, after so many bytes were moved.
    Rest {
        /// Bytes moved so far.
        moved: u32,
    },
    /// The others' turn, while a directory is listed.
    Listing {
        /// Where the listing goes on.
        cookie: u64,
        /// Bytes of the buffer that are used so far.
        used: u32,
    },
    /// One of several things that its arguments name.
    OneOf {
        /// Guest time at which the call was made: its relative times count from here.
        since: Time,
        /// The earliest moment of guest time among them.
        deadline: Option<Time>,
    },
}

/// What one attempt at a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is over with an `i32`.
    Done(i32),
    /// It is over with an `i64`.
    DoneLong(i64),
    /// It waits.
    Wait(Wait),
    /// The guest ends with this status.
    Exit(i32),
}

/// The outcome of one attempt.
pub type StepResult = Result<Step, ErrorCode>;

/// Counts bytes that a call bounded by [`crate::limits::HOST_CALL_BYTES`] has moved.
pub fn done_bytes(bytes: usize) -> Step {
    Step::Done(i32::try_from(bytes).unwrap_or(i32::MAX))
}
