//! Snapshots: a running instance as data that this node or another one continues.
//!
//! [`Cut`] is the instance in memory; `format` is the file: a container of checked sections, written and read in steps.

mod cut;
pub mod format;

pub use cut::Cut;
