//! What the tests share: [`sim`], the simulated machine and cluster.

pub mod sim;
