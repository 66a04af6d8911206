//! The protocol's messages: plain data, in postcard. Numbers of variants are append-only.
//!
//! One message is one message of the channel that carries it. What it says is a claim: lengths and names
//! are checked here, what it means by the machines, what it carries by those who store it.

use super::{BootId, HandoverId, NodeId, Reason, Role, Violation};
use crate::image::{self, BlobHash};
use crate::limits;
use crate::net::fabric::NetworkId;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// First bytes of the greeting.
pub const MAGIC: [u8; 4] = *b"SOSm";
/// The versions that this kernel speaks.
pub const VERSIONS: Versions = Versions { least: 1, most: 2 };
/// The version that brought [`Message::Origin`], [`Message::Undecided`] and [`NetworkKind::Uplinked`]: an end that speaks
/// an earlier one is told none of them.
pub const ORIGINS_VERSION: u16 = 2;

/// A range of versions of the protocol.
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

/// What one node says to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<'a> {
    /// The first word of both.
    Hello {
        /// [`MAGIC`].
        magic: [u8; 4],
        /// What the sender speaks; both use the latest that they share.
        versions: Versions,
        /// The sender's boot.
        boot: BootId,
    },

    // -- from the source to the target, in this order on one connection
    /// May this instance come? [`Message::Object`]s of its description follow.
    Offer {
        /// The attempt.
        handover: HandoverId,
        /// What comes.
        offer: Offer,
    },
    /// The next bytes of a module or file that the target does not have.
    Blob {
        /// The attempt.
        handover: HandoverId,
        /// SHA-256 of all of its bytes.
        hash: BlobHash,
        /// Whether these are the last ones.
        last: bool,
        /// The bytes.
        #[serde(serialize_with = "crate::plain::serialize")]
        bytes: &'a [u8],
    },
    /// All blobs that were missing were sent: make the program ready.
    BlobsEnd {
        /// The attempt.
        handover: HandoverId,
    },
    /// A memory's present size; its pages follow.
    Memory {
        /// The attempt.
        handover: HandoverId,
        /// Its number among the instance's memories.
        memory: u32,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Pages, as the payload of a section of pages of a snapshot (`kernel/SNAPSHOT.md`). A page that
    /// does not come is as it was in the round before, zero in the first.
    Pages {
        /// The attempt.
        handover: HandoverId,
        /// The payload's checksum.
        checksum: u64,
        /// The payload.
        #[serde(serialize_with = "crate::plain::serialize")]
        payload: &'a [u8],
    },
    /// All changes up to one instant were sent: [`Message::RoundDone`] is asked for.
    RoundEnd {
        /// The attempt.
        handover: HandoverId,
        /// Rounds count from 0.
        round: u32,
    },
    /// The next bytes of an object of a snapshot: the description, or the state at the end.
    Object {
        /// The attempt.
        handover: HandoverId,
        /// Its kind's number.
        kind: u16,
        /// Its payload's version.
        version: u16,
        /// Whether these are its last bytes.
        last: bool,
        /// The bytes.
        #[serde(serialize_with = "crate::plain::serialize")]
        bytes: &'a [u8],
    },
    /// The instance stands, and everything was sent: be prepared.
    StateEnd {
        /// The attempt.
        handover: HandoverId,
    },

    // -- from the source to the target, on any connection
    /// The instance is the target's: run it. Said again until the answer comes.
    Commit {
        /// The attempt.
        handover: HandoverId,
    },
    /// The attempt is void: drop the copy.
    Abandon {
        /// The attempt.
        handover: HandoverId,
        /// Why.
        reason: Reason,
    },
    /// A frame that reached the source after the instance stopped there.
    Frame {
        /// The attempt.
        handover: HandoverId,
        /// The instance's port.
        port: u32,
        /// The Ethernet frame.
        #[serde(serialize_with = "crate::plain::serialize")]
        bytes: &'a [u8],
    },
    /// The source heard that the instance runs, and has let go of it.
    Released {
        /// The attempt.
        handover: HandoverId,
    },

    // -- from the target to the source
    /// Blobs that the target does not have, some of them.
    Missing {
        /// The attempt.
        handover: HandoverId,
        /// Their hashes.
        hashes: Vec<BlobHash>,
    },
    /// The instance may come. All missing blobs were named before.
    Accept {
        /// The attempt.
        handover: HandoverId,
    },
    /// The program is translated, so that nothing long is left to do once the instance stands.
    Ready {
        /// The attempt.
        handover: HandoverId,
    },
    /// A round is stored.
    RoundDone {
        /// The attempt.
        handover: HandoverId,
        /// Which.
        round: u32,
    },
    /// The copy is complete and will run on COMMIT.
    Prepared {
        /// The attempt.
        handover: HandoverId,
    },
    /// The target does not run this epoch, has not, and never will.
    Refused {
        /// The attempt.
        handover: HandoverId,
        /// Why.
        reason: Reason,
    },
    /// The target runs the instance. Said again until [`Message::Released`] comes.
    Running {
        /// The attempt.
        handover: HandoverId,
    },
    /// The target is prepared, or was told to run it: what became of the attempt?
    Status {
        /// The attempt.
        handover: HandoverId,
    },

    // -- either way
    /// The sender remembers nothing of the attempt.
    Unknown {
        /// The attempt.
        handover: HandoverId,
        /// What the sender was asked as.
        asked: Role,
    },

    // -- from the source to the target, between the offer and the description
    /// The networks that the instance's ports are on.
    Networks {
        /// The attempt.
        handover: HandoverId,
        /// Those of them that are.
        networks: Vec<PortNetwork>,
    },
    /// The node whose instance it was first, if that is not the source.
    Origin {
        /// The attempt.
        handover: HandoverId,
        /// That node.
        origin: NodeId,
    },

    // -- from the source to the target
    /// In answer to [`Message::Status`]: it is not decided yet, and will be.
    Undecided {
        /// The attempt.
        handover: HandoverId,
    },
}

/// What kind of segment a port is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkKind {
    /// A switch without an uplink.
    Switch,
    /// A point-to-point link.
    Link,
    /// A switch with an uplink, which is called nothing on other nodes.
    Uplinked,
}

impl fmt::Display for NetworkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NetworkKind::Switch => "switch",
            NetworkKind::Link => "link",
            NetworkKind::Uplinked => "switch with an uplink",
        })
    }
}

/// The network that a port is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortNetwork {
    /// The port's number.
    pub port: u32,
    /// What the network is called on all nodes.
    pub network: NetworkId,
    /// What it is.
    pub kind: NetworkKind,
    /// Its largest packet.
    pub mtu_bytes: u32,
}

/// What a source says of an instance before anything of it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The instance's name.
    pub name: String,
    /// The version of the source's kernel.
    pub kernel: String,
    /// Present size of its memories.
    pub memory_bytes: u64,
    /// Bytes of its pages that are not zero.
    pub resident_bytes: u64,
    /// Bytes of its state besides the memories, about.
    pub state_bytes: u64,
}

/// What a message brings that the driver stores, before it looks at the next effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// As [`Message::Blob`]; the bytes have not been compared with the hash.
    Blob {
        /// SHA-256 of all of its bytes.
        hash: BlobHash,
        /// Whether these are the last ones.
        last: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// As [`Message::Memory`].
    Memory {
        /// Its number.
        memory: u32,
        /// Its size in bytes.
        bytes: u64,
    },
    /// As [`Message::Pages`].
    Pages {
        /// The payload's checksum, not compared yet.
        checksum: u64,
        /// The payload.
        payload: &'a [u8],
    },
    /// As [`Message::Object`].
    Object {
        /// Its kind's number.
        kind: u16,
        /// Its payload's version.
        version: u16,
        /// Whether these are its last bytes.
        last: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// As [`Message::Frame`]: keep it until the instance runs, then hand it over.
    Frame {
        /// The instance's port.
        port: u32,
        /// The frame.
        bytes: &'a [u8],
    },
    /// As [`Message::Missing`].
    Missing {
        /// The blobs that the target wants.
        hashes: Vec<BlobHash>,
    },
    /// As [`Message::Networks`].
    Networks {
        /// Those that its ports are on.
        networks: Vec<PortNetwork>,
    },
    /// As [`Message::Origin`].
    Origin {
        /// The node whose instance it was first.
        origin: NodeId,
    },
}

impl<'a> Message<'a> {
    /// The greeting of a node.
    pub fn hello(boot: BootId) -> Message<'static> {
        Message::Hello {
            magic: MAGIC,
            versions: VERSIONS,
            boot,
        }
    }

    /// A message from all of its bytes.
    ///
    /// # Errors
    /// [`Violation`] when they are none, or more than a message may be.
    pub fn decode(bytes: &'a [u8]) -> Result<Message<'a>, Violation> {
        if bytes.len() > limits::MIGRATION_MESSAGE_BYTES {
            return Err(Violation::TooLong { bytes: bytes.len() });
        }
        let message = match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => message,
            Ok(_) | Err(_) => return Err(Violation::NoMessage),
        };
        match is_in_bounds(&message) {
            true => Ok(message),
            false => Err(Violation::OutOfBounds),
        }
    }

    /// The bytes of a message.
    ///
    /// # Errors
    /// [`Violation::TooLong`] when the sender put too much into it.
    pub fn encode(&self) -> Result<Vec<u8>, Violation> {
        // An allocating sink takes everything and every message has a known length.
        let bytes = postcard::to_allocvec(self).map_err(|_| Violation::NoMessage)?;
        match bytes.len() <= limits::MIGRATION_MESSAGE_BYTES {
            true => Ok(bytes),
            false => Err(Violation::TooLong { bytes: bytes.len() }),
        }
    }
}

/// Whether a text may be shown: a terminal obeys control characters.
fn is_text(text: &str) -> bool {
    text.len() <= limits::MIGRATION_TEXT_BYTES && !text.contains(char::is_control)
}

/// Whether lists and texts are no longer than they may be.
fn is_in_bounds(message: &Message<'_>) -> bool {
    match message {
        Message::Offer { handover, offer } => {
            handover.epoch < u64::MAX && image::is_name(&offer.name) && is_text(&offer.kernel)
        }
        Message::Missing { hashes, .. } => hashes.len() <= limits::MIGRATION_MISSING_BLOBS,
        Message::Networks { networks, .. } => {
            networks.len() <= limits::PORTS_PER_INSTANCE
                && networks
                    .iter()
                    .all(|it| it.mtu_bytes as usize <= limits::PRIVATE_MTU)
        }
        Message::Frame { bytes, port, .. } => {
            bytes.len() <= limits::FRAME_BYTES && (*port as usize) < limits::PORTS_PER_INSTANCE
        }
        Message::Abandon { reason, .. } | Message::Refused { reason, .. } => match reason {
            Reason::Local(text) => is_text(text),
            Reason::Cancelled
            | Reason::LinkLost
            | Reason::TimedOut
            | Reason::Ended
            | Reason::NotConverging
            | Reason::AlreadyHere
            | Reason::Stale
            | Reason::TooMany
            | Reason::Protocol
            | Reason::Superseded
            | Reason::Dropped => true,
        },
        Message::Hello { .. }
        | Message::Blob { .. }
        | Message::BlobsEnd { .. }
        | Message::Ready { .. }
        | Message::Memory { .. }
        | Message::Pages { .. }
        | Message::RoundEnd { .. }
        | Message::Object { .. }
        | Message::StateEnd { .. }
        | Message::Commit { .. }
        | Message::Released { .. }
        | Message::Accept { .. }
        | Message::RoundDone { .. }
        | Message::Prepared { .. }
        | Message::Running { .. }
        | Message::Status { .. }
        | Message::Origin { .. }
        | Message::Undecided { .. }
        | Message::Unknown { .. } => true,
    }
}
