//! Nodes among nodes: who they are, whom they trust, and how they speak to each other.
//!
//! - `identity`: keys, and what nodes are called; - `trust`: whose keys count, and for what;
//! - `channel`: messages over a byte stream, secret and from a peer that has proved who it is;
//! - `discovery`: what nodes tell everybody on their LAN; - `tunnel`: private networks that have ends on several nodes.

pub mod channel;
pub mod discovery;
mod identity;
mod trust;
pub mod tunnel;

pub use identity::{BootId, NodeId, NodeKey, NotAKey, PublicKey, station_address};
pub use trust::{Listed, Role, Trust, TrustError};
