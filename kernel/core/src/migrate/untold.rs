//! Void attempts of which the other node may not know: when nobody else has a reason to connect with it, this does.
//!
//! After a wrong `here` of an operator two copies run until the nodes meet. A target that waits for a word connects by
//! itself; one that runs by an operator's word, or has been told nothing for long, does not.

use super::migrations::Migrations;
use super::{Effect, NodeId, timing};
use crate::machine::Time;
use alloc::vec::Vec;

/// When nodes are connected with next to be told.
#[derive(Debug, Default)]
pub(super) struct Untold {
    pub due: Option<Time>,
    tried: u32,
}

impl Migrations {
    /// Nodes that are to be told and are not linked.
    fn untold(&self) -> Vec<NodeId> {
        let peers = self.ledger.untold().into_iter();
        peers.filter(|&peer| self.link_to(peer).is_none()).collect()
    }

    /// Something became void, or a connection was lost.
    pub(super) fn watch_untold(&mut self, now: Time) {
        if self.untold.due.is_none() && !self.untold().is_empty() {
            self.untold = Untold {
                due: Some(now + timing::question(0)),
                tried: 0,
            };
        }
    }

    /// Time went by.
    pub(super) fn dial_untold(&mut self, now: Time) {
        if self.untold.due.is_none_or(|due| due > now) {
            return;
        }
        let peers = self.untold();
        self.untold.tried = self.untold.tried.saturating_add(1);
        self.untold.due = (!peers.is_empty()).then(|| now + timing::question(self.untold.tried));
        let dials = peers.into_iter().map(|peer| Effect::Dial { peer });
        self.effects.extend(dials);
    }
}
