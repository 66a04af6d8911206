//! [`Cut`]: one instance at one instant, in parts that need nothing of the kernel it was made by.

use crate::host::GuestState;
use crate::image::InstanceSpec;
use crate::instance::engine::ExecutionState;
use crate::machine::FrozenMemory;
use crate::net::stack::StackState;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// What the state of a program takes in memory at most, by what it takes in a file: a value has 2 bytes there
/// at least.
const VALUE_GROWTH: u64 = 24;

/// One instance at one instant. Everything but the memories is plain data; they are shared with the
/// instance, which goes on, until either writes.
#[derive(Debug, Clone)]
pub struct Cut {
    /// What the manifest said of it: name, modules, limits, ports.
    pub spec: InstanceSpec,
    /// Station addresses of its ports.
    pub macs: Vec<[u8; 6]>,
    /// Wall time of the cut: nanoseconds since 1970-01-01 00:00:00 UTC.
    pub wall_nanos: u64,
    /// Where its program was.
    pub execution: ExecutionState,
    /// What its host calls work on.
    pub guest: GuestState,
    /// Its network.
    pub stack: StackState,
    /// The frames that waited in each port.
    pub frames: Vec<Vec<Vec<u8>>>,
    /// Its memories, in the order in which its modules define them.
    pub memories: Vec<FrozenMemory>,
    /// Those of its modules and files that operators sent to this node: they stay as long as it does.
    pub blobs: Vec<Arc<[u8]>>,
}

impl Cut {
    /// Heap that a copy takes, about: the memories, the modules and the bytes of files that the image has are shared.
    pub fn copy_bytes(&self) -> u64 {
        let execution = postcard::experimental::serialized_size(&self.execution);
        let frames = self.frames.iter().flatten();
        let parts = [
            (execution.unwrap_or(0) as u64).saturating_mul(VALUE_GROWTH),
            self.guest.copy_bytes(),
            self.stack.copy_bytes(),
            frames.map(|frame| frame.len() as u64).sum(),
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Whether it names one station address for each port, no two the same, and its network has those. Only what
    /// it names is held against other instances; only what its network has is used.
    ///
    /// # Errors
    /// [`StationError`].
    pub fn check_stations(&self) -> Result<(), StationError> {
        if self.macs.len() != self.spec.ports.len() {
            return Err(StationError::OtherCount);
        }
        let has = self.stack.interfaces.iter().map(|interface| interface.mac);
        if !has.eq(self.macs.iter().copied()) {
            return Err(StationError::Differ);
        }
        let mut seen = BTreeSet::new();
        let mut ports = self.spec.ports.iter().zip(&self.macs);
        match ports.find(|(_, mac)| !seen.insert(**mac)) {
            Some((port, _)) => Err(StationError::Twice(port.name.clone())),
            None => Ok(()),
        }
    }
}

/// Why the station addresses of a cut are not those of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StationError {
    /// More or fewer than ports.
    OtherCount,
    /// Not those that its network has.
    Differ,
    /// This port has that of another one.
    Twice(String),
}

impl fmt::Display for StationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StationError::OtherCount => {
                f.write_str("the snapshot has another number of station addresses than ports")
            }
            StationError::Differ => f.write_str(
                "the snapshot names other station addresses than its network has; take it anew",
            ),
            StationError::Twice(port) => write!(
                f,
                "port '{port}' of the snapshot has the station address of another of its ports; take it anew"
            ),
        }
    }
}
