//! Snapshot files on this host: what is in one ([`Inspection`]), how one is written and checked
//! ([`files`]), whose it is ([`key`]), and their way from a node and to one ([`transfer`], with a [`progress::Bar`]).

pub mod files;
pub mod inspect;
pub mod key;
pub mod progress;
mod state;
pub mod transfer;

pub use inspect::Inspection;
