//! Why a channel is over.

use super::{Protocol, Versions};
use crate::cluster::PublicKey;
use core::fmt;

/// Why a channel is over. Nothing of it is said to the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelError {
    /// The first bytes are not those of such a channel: a stranger, or a scanner.
    NotOurs,
    /// The first message was not made with a key that is trusted.
    WrongKey,
    /// A key that has proved itself is not listed.
    Untrusted(PublicKey),
    /// It proved to be another than was asked for.
    AnotherNode(PublicKey),
    /// The other end has this node's own key.
    OwnKey,
    /// A listed key is not good for this.
    NotAllowed(Protocol),
    /// Bytes that were changed, repeated, or out of order on the way, or were never a message.
    Malformed,
    /// A message of the handshake has another length than it can have.
    BadLength,
    /// The ends speak no common version.
    Version(Versions),
    /// The other end opened the channel for something else.
    AnotherProtocol(Protocol),
    /// The handshake takes too long.
    Overdue,
    /// There is nothing to prove oneself with, or to.
    NoTrust,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::NotOurs => f.write_str("not a peer of this cluster"),
            ChannelError::WrongKey => f.write_str("the peer has another cluster key, or none"),
            ChannelError::Untrusted(key) => {
                write!(f, "key {key} is not listed; list it if it is to be trusted")
            }
            ChannelError::AnotherNode(key) => write!(
                f,
                "key {key} answers where another was expected; check the address"
            ),
            ChannelError::OwnKey => {
                f.write_str("the peer has this node's own key; give each node a secret of its own")
            }
            ChannelError::NotAllowed(protocol) => write!(
                f,
                "the peer's key is not good for {protocol}; list it as {}",
                protocol.role()
            ),
            ChannelError::Malformed => f.write_str("what came is no message of this channel"),
            ChannelError::BadLength => f.write_str("a message of the handshake has a wrong length"),
            ChannelError::Version(theirs) => write!(
                f,
                "the peer speaks versions {} to {}; use kernels that are nearer to each other",
                theirs.least, theirs.most
            ),
            ChannelError::AnotherProtocol(protocol) => {
                write!(f, "the peer answers with {protocol}")
            }
            ChannelError::Overdue => f.write_str("the handshake took too long"),
            ChannelError::NoTrust => {
                f.write_str("no cluster key, and no listed key to expect; give one of them")
            }
        }
    }
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// So much waits to be sent: try again when some of it is.
    Full,
    /// It is longer than a message may be.
    TooLong,
    /// The channel is not open.
    NotOpen,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full => "too much waits to be sent; try again later",
            SendError::TooLong => "the message is too long",
            SendError::NotOpen => "the channel is not open",
        })
    }
}
