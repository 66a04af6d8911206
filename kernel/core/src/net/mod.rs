//! Virtual Ethernet: frames, segments (links, switches, uplinks) and each instance's TCP/IP stack.
//!
//! [`fabric::Fabric`] carries frames between ports and NICs; [`stack::Stack`] is one instance's
//! interfaces and sockets. The kernel moves frames between them.

pub mod fabric;
pub mod frame;
pub mod stack;
