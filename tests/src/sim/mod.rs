//! The simulated machine: the kernel's core on virtual time, with faulty wires, from one seed.
//!
//! [`machine::SimMachine`] is one node's hardware ([`memory`]: its memory); [`cluster::Cluster`] joins several by wires
//! that lose, delay, repeat and reorder frames, and runs them until something is true; [`peer`] puts
//! clients beside them, [`operator`] types at their shells, and [`channel`] speaks to their kernels. Nothing here
//! reads a clock or draws a random number that does not come from the seed, so that a failing seed
//! replays exactly.

pub mod channel;
pub mod cluster;
pub mod image;
pub mod machine;
pub mod memory;
pub mod operator;
pub mod peer;
pub mod wires;
