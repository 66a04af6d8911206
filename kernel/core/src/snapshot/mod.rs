//! Snapshots: a running instance as data that this node or another one continues.
//!
//! [`Cut`] is the instance at one instant, in memory; `format` is the file: a container of checked
//! sections, written and read in steps; [`About`] and `parts` are what a cut is in it. A [`Group`]
//! is several cuts of one instant.

mod about;
mod cut;
pub mod format;
mod group;
pub mod parts;

pub use about::{About, Taken};
pub use cut::{Cut, StationError};
pub use group::{Group, GroupError, GroupMember, GroupSegment, GroupSegmentKind, is_snapshot_name};
