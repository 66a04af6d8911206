//! The fabric's plain types: names, counters, properties, errors.

use super::port::PortState;
use super::remote::{NetworkId, RemoteInfo};
use super::switch::Location;
use crate::limits;
use crate::machine::Duration;
use crate::net::frame::MacAddress;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Names a port for its lifetime; numbers are not reused within one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u32);

/// Names a switch or a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u32);

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// A learning switch; `uplink` is the index of the NIC joined to it.
    Switch {
        /// Index of the machine's NIC.
        uplink: Option<usize>,
    },
    /// A point-to-point Ethernet between two ports.
    Link,
}

/// Frames and bytes that passed a port, and those that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortCounters {
    /// Frames towards the instance.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames that did not fit the queue towards the instance.
    pub received_drops: u64,
    /// Frames from the instance.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames from the instance that went nowhere.
    pub sent_drops: u64,
}

/// Why the fabric was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FabricError {
    /// The name is taken by another segment.
    NameTaken(String),
    /// No segment has that name.
    NoSuchSegment(String),
    /// The link has both its ends already.
    LinkFull(String),
    /// A bound of `limits` is reached.
    TooMany(&'static str),
    /// The switch or link still has ports.
    InUse(String),
    /// The NIC is joined to another switch already.
    UplinkTaken(usize),
    /// The segment is a link, which has no uplink.
    NotASwitch(String),
    /// Less than IPv6 needs.
    MtuTooSmall(usize),
}

impl fmt::Display for FabricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FabricError::NameTaken(name) => {
                write!(f, "a switch or link named '{name}' exists already")
            }
            FabricError::NoSuchSegment(name) => {
                write!(
                    f,
                    "no switch or link named '{name}'; `switch` and `link` list them"
                )
            }
            FabricError::LinkFull(name) => {
                write!(
                    f,
                    "link '{name}' has two ends already; use a switch to join more"
                )
            }
            FabricError::TooMany(what) => write!(f, "this node has all the {what} it can hold"),
            FabricError::InUse(name) => {
                write!(f, "'{name}' still has ports; stop their instances first")
            }
            FabricError::UplinkTaken(nic) => {
                write!(f, "nic{nic} is the uplink of another switch already")
            }
            FabricError::MtuTooSmall(mtu) => {
                let least = limits::LEAST_MTU;
                write!(f, "an MTU of {mtu} is too small; give at least {least}")
            }
            FabricError::NotASwitch(name) => {
                write!(f, "'{name}' is a link; only a switch can have an uplink")
            }
        }
    }
}

/// Who computes and checks checksums of frames on a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// Senders compute them, receivers check them: the frames may leave the node.
    Computed,
    /// Nobody does: both ends are this kernel's, and memory does not flip bits unnoticed.
    Omitted,
}

/// What an interface must know of the segment it is on. Fixed while the segment has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkProperties {
    /// Largest IP packet, bytes.
    pub mtu: usize,
    /// Whether checksums are computed and checked.
    pub checksums: Checksums,
}

impl LinkProperties {
    /// Of a segment from which frames may reach a NIC.
    pub const UPLINKED: LinkProperties = LinkProperties {
        mtu: limits::UPLINK_MTU,
        checksums: Checksums::Computed,
    };
    /// Of a segment that ends within the node (D12).
    pub const PRIVATE: LinkProperties = LinkProperties {
        mtu: limits::PRIVATE_MTU,
        checksums: Checksums::Omitted,
    };
}

/// One port, for listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// Its number.
    pub id: PortId,
    /// Its name.
    pub name: String,
    /// Its station address.
    pub mac: MacAddress,
    /// Whether its cable is plugged in.
    pub state: PortState,
    /// What passed it.
    pub counters: PortCounters,
    /// Frames that wait for the instance.
    pub queued: usize,
}

/// A station that a switch has learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnedAddress {
    /// The station.
    pub mac: MacAddress,
    /// Where it was last heard.
    pub location: Location,
    /// How long ago.
    pub age: Duration,
}

/// One switch or link, for listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub id: SegmentId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: SegmentKind,
    /// What its interfaces must know.
    pub properties: LinkProperties,
    /// Whether it carries frames.
    pub state: PortState,
    /// Its ports, in the order of their attachment.
    pub ports: Vec<PortInfo>,
    /// What a switch has learned, in order of address.
    pub learned: Vec<LearnedAddress>,
    /// Frames that no port and no NIC took.
    pub drops: u64,
    /// What it is called on all nodes, if it is private and was named.
    pub network: Option<NetworkId>,
    /// The other nodes that have ends of it.
    pub remotes: Vec<RemoteInfo>,
}
