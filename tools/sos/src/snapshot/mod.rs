//! Snapshot files on this host: what is in one ([`Inspection`]), and their way from a node and to one
//! ([`transfer`]).

pub mod inspect;
pub mod transfer;

pub use inspect::Inspection;
