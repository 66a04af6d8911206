//! [`About`]: what a snapshot file says of its instance, for those who list, inspect and restore it.

use crate::image::InstanceSpec;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The first object of a snapshot file, in postcard. A change of it or of the manifest's types raises the
/// version of its section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What the snapshot was called on its node.
    pub name: String,
    /// The node.
    pub node: String,
    /// The version of the node's kernel.
    pub kernel: String,
    /// Wall time of the snapshot: nanoseconds since 1970-01-01 00:00:00 UTC.
    pub wall_nanos: u64,
    /// Whether the instance went on.
    pub taken: Taken,
    /// Station addresses of its ports, in order.
    pub macs: Vec<[u8; 6]>,
    /// The instance.
    pub spec: InstanceSpec,
}

/// How a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// The instance went on: its connections have moved since.
    Running,
    /// It ended there, without a word to its peers: its connections can go on.
    Stopping,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Taken::Running => "running",
            Taken::Stopping => "stopping",
        })
    }
}
