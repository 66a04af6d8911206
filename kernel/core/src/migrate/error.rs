//! Why hand-overs do not happen, and what is not known about them.

use crate::limits;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Why an attempt was given up or refused: said to the other node and to operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// An operator cancelled it.
    Cancelled,
    /// The connection was lost before the instance was committed.
    LinkLost,
    /// The other node did not answer in time.
    TimedOut,
    /// The instance ended, or was stopped, while it was copied.
    Ended,
    /// It changes its memory faster than the link carries it, though it was slowed down.
    NotConverging,
    /// The target has an instance of this identity already.
    AlreadyHere,
    /// The target knows of a later hand-over of this instance.
    Stale,
    /// The target takes part in all the migrations that it can.
    TooMany,
    /// A message came that does not belong there.
    Protocol,
    /// The instance runs elsewhere by an operator's word.
    Superseded,
    /// An operator gave the copy up.
    Dropped,
    /// What the node says in its own words: no memory, a name that is taken, a module that it cannot run.
    Local(String),
}

impl Reason {
    /// A node's own words, cut to what a message may carry, in one line.
    pub fn local(text: &str) -> Reason {
        let mut end = text.len().min(limits::MIGRATION_TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        // No control character is shorter than the space.
        Reason::Local(text[..end].replace(char::is_control, " "))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Cancelled => "an operator cancelled it",
            Reason::LinkLost => "the connection between the nodes was lost",
            Reason::TimedOut => "the other node did not answer in time",
            Reason::Ended => "the instance ended while it was copied",
            Reason::NotConverging => {
                "the instance changes its memory faster than the link carries it; allow a longer \
                 downtime or migrate it cold"
            }
            Reason::AlreadyHere => "the target has this instance already",
            Reason::Stale => "the target knows of a later hand-over of this instance",
            Reason::TooMany => {
                "the target takes part in all the migrations that it can; try again later"
            }
            Reason::Protocol => "a message came that does not belong there",
            Reason::Superseded => "the instance runs on the source by an operator's word",
            Reason::Dropped => "an operator gave the copy up",
            Reason::Local(text) => text,
        })
    }
}

/// Why it is not known whether the other node runs the instance. This node's copy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// The connection was lost in the commit window, and there is no other yet.
    LinkLost,
    /// The other node is connected and does not answer.
    NoAnswer,
    /// The other node was reset since: its copy is gone, and nobody knows how far it had come.
    PeerReset,
    /// The other node remembers nothing of the hand-over.
    PeerForgot,
    /// The source runs the instance by an operator's word, and so did this node: it was stopped here.
    Fenced,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doubt::LinkLost => "the connection was lost while it was handed over",
            Doubt::NoAnswer => "the other node does not answer",
            Doubt::PeerReset => {
                "the other node was reset while it was handed over; decide with migrate --resolve"
            }
            Doubt::PeerForgot => {
                "the other node does not remember the hand-over; decide with migrate --resolve"
            }
            Doubt::Fenced => {
                "it runs on the other node too by an operator's word, and was stopped here; decide \
                 with migrate --resolve"
            }
        })
    }
}

/// Why an operator's wish is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrateError {
    /// It is being migrated already.
    UnderWay,
    /// It is not being migrated.
    NotUnderWay,
    /// The instance is committed to the target, which runs it or will.
    TooLate,
    /// The other node is connected and will answer, or nothing is in doubt.
    NotInDoubt,
    /// The target is this node.
    ToItself,
    /// The node takes part in all the migrations that it can.
    TooMany,
    /// The instance has used all its epochs.
    NoEpochs,
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MigrateError::UnderWay => f.write_str("it is being migrated already"),
            MigrateError::NotUnderWay => f.write_str("it is not being migrated"),
            MigrateError::TooLate => f.write_str(
                "it is committed to the other node; if that does not answer, use migrate --resolve",
            ),
            MigrateError::NotInDoubt => f.write_str("nothing about it is in doubt"),
            MigrateError::ToItself => f.write_str("it is on this node already"),
            MigrateError::TooMany => write!(
                f,
                "the node takes part in {} migrations, as many as it can; wait, or resolve those \
                 in doubt",
                limits::MIGRATIONS
            ),
            MigrateError::NoEpochs => f.write_str("the instance has used all its epochs"),
        }
    }
}

/// A breach of the protocol: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A message is longer than messages may be.
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// The bytes are no message.
    NoMessage,
    /// A list or text in a message is longer than it may be, no name, or not to be shown.
    OutOfBounds,
    /// The first message is not the greeting, or another one came.
    NoHello,
    /// The other end speaks no version that this one does.
    Version {
        /// The latest that it speaks.
        theirs: u16,
    },
    /// The node at the other end was reset since, and has another connection.
    OldBoot,
    /// There are as many connections as can be.
    TooManyConnections,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TooLong { bytes } => write!(
                f,
                "a message of {bytes} bytes; at most {} are allowed",
                limits::MIGRATION_MESSAGE_BYTES
            ),
            Violation::NoMessage => f.write_str("bytes that are no message"),
            Violation::OutOfBounds => f.write_str("a message with a list or text out of bounds"),
            Violation::NoHello => f.write_str("the conversation did not begin with one greeting"),
            Violation::Version { theirs } => write!(
                f,
                "the other node speaks version {theirs} of the migration protocol at most, this \
                 one {} to {}; use kernels that share one",
                super::VERSIONS.least,
                super::VERSIONS.most
            ),
            Violation::OldBoot => f.write_str("the other node was reset since it was opened"),
            Violation::TooManyConnections => {
                f.write_str("too many connections between nodes; close some")
            }
        }
    }
}
