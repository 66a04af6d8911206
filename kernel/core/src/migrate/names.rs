//! What instances, nodes, boots and hand-overs are called: random bits, drawn by others.

pub use crate::cluster::{BootId, NodeId};
use crate::plain::shown_in_hex;
use core::fmt;
use serde::{Deserialize, Serialize};

/// An instance wherever it runs: drawn once, kept through suspension, restore in place and migration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct InstanceId(pub [u8; 16]);

/// One attempt to hand an instance over. No two attempts have the same: each raises the instance's
/// epoch, whether it succeeds or not.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct HandoverId {
    /// The instance.
    pub instance: InstanceId,
    /// The epoch in which it runs on the target, if it comes to that.
    pub epoch: u64,
}

shown_in_hex!(InstanceId);

impl fmt::Display for HandoverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.instance, self.epoch)
    }
}
