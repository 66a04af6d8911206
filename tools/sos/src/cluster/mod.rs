//! Several nodes on one LAN: what each of them runs, with which keys, and how they are spoken to.
//!
//! [`plan`] divides an image among nodes, [`keys`] keeps the secrets of a project, [`Cluster`] is the
//! running machines with their [`crate::lan`] or on a network of the host ([`Wiring`]), [`Order`] what can be done to them from outside,
//! [`Screen`] and [`Typing`] join their consoles to one terminal. [`remote`] speaks to a node over the network.

mod bridge;
mod consoles;
pub mod keys;
mod orders;
mod plan;
pub mod remote;
mod running;
mod typing;
mod windows;

pub use crate::manifest::Placement;
pub use bridge::Wiring;
pub use consoles::{Screen, View};
pub use orders::Order;
pub use plan::{Ground, NODES_MAX, NodePlan, plan};
pub use running::{Cluster, Network, Options};
pub use typing::{Addressed, KEYS_HELP, Keystroke, Lines, Target, Typing};
pub use windows::{Windows, attend as attend_console, enter as enter_tmux};

/// What happens while nodes run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A node has printed something.
    Printed {
        /// The node's index.
        node: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// A node's machine has ended; all that it printed was reported before.
    Ended {
        /// The node's index.
        node: usize,
        /// Which of its lives.
        life: u32,
    },
}
