//! What goes wrong in a conversation with an operator.

use crate::image::BlobHash;
use crate::limits;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A breach of the protocol: the conversation is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Violation {
    /// A frame is longer than frames may be.
    FrameTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// More bytes were handed over than there is room for.
    Flood,
    /// A frame's bytes are no message.
    NoMessage,
    /// The first message is not the greeting's answer, or another one came again.
    NoHello,
    /// The other end speaks another version.
    Version {
        /// Its version.
        theirs: u16,
    },
    /// A message belongs to nothing that is under way.
    Unexpected {
        /// What it is.
        message: String,
    },
    /// More was sent than was given leave for.
    BeyondRoom {
        /// The request.
        request: u32,
    },
    /// More requests are under way than may be.
    TooManyRequests,
    /// A request's number is in use.
    NumberInUse {
        /// The number.
        request: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::FrameTooLong { bytes } => write!(
                f,
                "a frame of {bytes} bytes; at most {} are allowed",
                limits::OPERATOR_FRAME_BYTES
            ),
            Violation::Flood => f.write_str("more bytes than there is room for"),
            Violation::NoMessage => f.write_str("a frame that is no message"),
            Violation::NoHello => f.write_str("the conversation did not begin with a greeting"),
            Violation::Version { theirs } => write!(
                f,
                "the other end speaks version {theirs} of the protocol and this one {}; use the \
                 tool and the kernel of one build",
                super::VERSION
            ),
            Violation::Unexpected { message } => {
                write!(f, "a message that belongs to nothing: {message}")
            }
            Violation::BeyondRoom { request } => {
                write!(f, "request {request} got more bytes than it gave leave for")
            }
            Violation::TooManyRequests => write!(
                f,
                "too many requests at once; at most {} are allowed",
                limits::OPERATOR_RUNS
            ),
            Violation::NumberInUse { request } => {
                write!(f, "request {request} is under way already")
            }
        }
    }
}

impl core::error::Error for Violation {}

/// Why a request was not carried out; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// What the operator asked for cannot be had; the text says why.
    Control(String),
    /// The request's own bytes do not decode or are too many.
    Malformed,
    /// A blob is larger than a blob may be.
    BlobTooLarge {
        /// Its bytes.
        bytes: u64,
    },
    /// The node has no room for a blob.
    BlobsFull {
        /// The bytes that it has room for.
        room_bytes: u64,
        /// The bytes of the blob.
        bytes: u64,
    },
    /// The bytes that came are not those of the hash.
    WrongHash {
        /// The promised hash.
        promised: BlobHash,
    },
    /// Blobs are missing ([`super::ToOperator::Missing`] named them).
    MissingBlobs,
    /// The instance is not sound; the text says what is wrong.
    Unsound(String),
    /// The node has as many instances as it may have.
    TooManyInstances,
    /// The report is too long; ask for less.
    ReportTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// The request goes with an instance that ended, and it runs, or the other way around.
    WrongTime,
    /// No file or directory of that name, or one that cannot be listed.
    NoDirectory(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Control(text) | Refusal::Unsound(text) => f.write_str(text),
            Refusal::Malformed => f.write_str("the request does not decode"),
            Refusal::BlobTooLarge { bytes } => write!(
                f,
                "a file of {bytes} bytes; at most {} are allowed",
                limits::BLOB_BYTES
            ),
            Refusal::BlobsFull { room_bytes, bytes } => write!(
                f,
                "a file of {bytes} bytes and the node has room for {room_bytes}; give the node \
                 more memory"
            ),
            Refusal::WrongHash { promised } => {
                write!(f, "the bytes that came are not those of {promised}")
            }
            Refusal::MissingBlobs => f.write_str("files are missing that were not sent"),
            Refusal::TooManyInstances => write!(
                f,
                "the node has {} instances, which is all that it may have",
                limits::INSTANCES
            ),
            Refusal::ReportTooLong { bytes } => write!(
                f,
                "the answer has {bytes} bytes, more than {}; ask for less",
                limits::OPERATOR_REPORT_BYTES
            ),
            Refusal::WrongTime => f.write_str("the program has not ended, or has ended already"),
            Refusal::NoDirectory(path) => write!(f, "there is no directory '{path}'"),
        }
    }
}
