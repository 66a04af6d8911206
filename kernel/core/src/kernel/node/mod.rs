//! The node among others: its own network stack, its connections with other nodes and with operators.
//!
//! - `links`: messages between nodes, for the migrations.

mod links;

pub use links::{Full, LinkEvent, LinkedNode, Links};

use super::Kernel;
use crate::migrate::{BootId, NodeId};

/// The node among others.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Node {
    /// What its key is known by: none without a secret.
    id: Option<NodeId>,
    boot: BootId,
    /// Connections with other nodes.
    pub links: Links,
}

impl Node {
    /// What the node's key is known by: none when it was given no secret.
    pub fn id(&self) -> Option<NodeId> {
        self.id
    }

    /// This boot.
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// A node that is known by a name, or by the digits that its number begins with.
    pub fn find(&self, _name: &str) -> Option<NodeId> {
        None
    }
}

impl Kernel {
    /// The connections with other nodes, for a machine that carries their messages itself.
    pub fn links(&mut self) -> &mut Links {
        &mut self.node.links
    }
}
