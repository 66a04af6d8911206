//! Who the instance is and where it runs.

use alloc::string::String;

use crate::sys;

/// The instance's name.
pub fn instance_name() -> String {
    sys::instance_name().unwrap_or_default()
}

/// The name of the node that runs the instance now.
pub fn node_name() -> String {
    sys::node_name().unwrap_or_default()
}

/// A number that changes when the instance has become a copy of another: secrets that were drawn
/// before are then no longer its own alone.
pub fn generation() -> u64 {
    sys::generation()
}
