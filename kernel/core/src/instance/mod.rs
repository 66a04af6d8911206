//! Instances: lifecycle and the engine seam.

pub mod call_name;
pub mod engine;
mod host_state;
mod limit;

pub use host_state::{HostFault, HostState, Outcome};
pub use limit::{Limit, LimitSet};
