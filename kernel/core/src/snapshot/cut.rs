//! [`Cut`]: one instance at one instant, in parts that need nothing of the kernel it was made by.

use crate::host::GuestState;
use crate::image::InstanceSpec;
use crate::instance::engine::ExecutionState;
use crate::machine::FrozenMemory;
use crate::net::stack::StackState;
use alloc::vec::Vec;

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
}
