//! [`Opening`]: the first message of both ends, once they know each other.

use super::ChannelError;
use crate::cluster::{BootId, Role};
use crate::image;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// First bytes of an opening.
const MAGIC: [u8; 4] = *b"SOSo";
/// The versions of what goes over a channel that this kernel speaks: 2 brought private networks between nodes,
/// 3 what nodes tell of each other's instances.
pub const VERSIONS: Versions = Versions { least: 1, most: 3 };

/// What a channel is for. Numbers are append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// The operator's protocol (`crate::operator`), as a stream of bytes.
    Control,
    /// Migration of instances, a message in each message.
    Migration,
    /// A private link of instances on two nodes, a frame in each message.
    Tunnel,
}

impl Protocol {
    /// What a listed key must be good for.
    pub fn role(self) -> Role {
        match self {
            Protocol::Control => Role::Operator,
            Protocol::Migration | Protocol::Tunnel => Role::Node,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Control => "control",
            Protocol::Migration => "migration",
            Protocol::Tunnel => "tunnel",
        })
    }
}

/// A range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The earliest.
    pub least: u16,
    /// The latest.
    pub most: u16,
}

impl Versions {
    /// The latest version that both speak.
    pub fn common(self, other: Versions) -> Option<u16> {
        let most = self.most.min(other.most);
        (most >= self.least.max(other.least)).then_some(most)
    }
}

/// What an end says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// What the channel is for; the end that accepted repeats it.
    pub protocol: Protocol,
    /// What it speaks.
    pub versions: Versions,
    /// What the node or operator is called.
    pub name: String,
    /// The node's boot; an operator draws one for each channel.
    pub boot: BootId,
}

impl Opening {
    /// What a node of this name says.
    pub fn new(protocol: Protocol, name: &str, boot: BootId) -> Opening {
        Opening {
            protocol,
            versions: VERSIONS,
            name: name.into(),
            boot,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // An allocating sink takes everything and every field has a known length.
        postcard::to_extend(self, MAGIC.to_vec()).unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Opening, ChannelError> {
        let body = bytes.strip_prefix(&MAGIC).ok_or(ChannelError::Malformed)?;
        match postcard::take_from_bytes::<Opening>(body) {
            Ok((opening, [])) if image::is_name(&opening.name) => Ok(opening),
            Ok(_) | Err(_) => Err(ChannelError::Malformed),
        }
    }
}
