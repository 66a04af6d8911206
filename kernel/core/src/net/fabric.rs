//! The virtual Ethernet of one node: ports, links, learning switches and uplinks.

use super::frame::Frame;
use alloc::string::String;
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
        }
    }
}

/// Carries a frame out of a NIC.
pub type UplinkFrame = (usize, Frame);
