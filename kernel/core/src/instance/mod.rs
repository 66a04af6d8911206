//! Instances: lifecycle and the engine seam.

mod host_state;

pub use host_state::{HostFault, HostState, Outcome};
