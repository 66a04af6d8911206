//! Instances: lifecycle and the engine seam.

pub mod engine;
mod host_state;

pub use host_state::{HostFault, HostState, Outcome};
