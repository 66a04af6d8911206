//! Snapshots: a running instance as data that this node or another one continues.
//!
//! `format` is the file: a container of checked sections, written and read in steps.

pub mod format;
