//! [`Context`]: what a machine has around it in one step.

use super::ledger::{Ledger, Role, Settled, Verdict};
use super::{BootId, ConnectionId, Effect, HandoverId, Message, NodeId};
use crate::machine::Time;
use alloc::collections::VecDeque;

/// A connection with a node whose greeting came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub connection: ConnectionId,
    pub boot: BootId,
    /// What both ends of it speak.
    pub version: u16,
}

/// What a machine has around it in one step.
pub(super) struct Context<'a> {
    pub now: Time,
    /// The latest connection with the other node.
    pub link: Option<Link>,
    pub role: Role,
    pub effects: &'a mut VecDeque<Effect>,
    pub ledger: &'a mut Ledger,
}

impl Context<'_> {
    pub fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub fn dial(&mut self, peer: NodeId) {
        self.push(Effect::Dial { peer });
    }

    pub fn send(&mut self, connection: ConnectionId, message: Message<'static>) {
        self.push(Effect::Send {
            connection,
            message,
        });
    }

    /// Sends by the latest connection, if there is one: who wants an answer asks again.
    pub fn send_by_link(&mut self, message: Message<'static>) {
        if let Some(link) = self.link {
            self.send(link.connection, message);
        }
    }

    pub fn write(&mut self, id: HandoverId, peer: NodeId, verdict: Verdict, settled: Settled) {
        self.ledger.write(self.role, id, peer, verdict, settled);
    }

    pub fn settle(&mut self, id: HandoverId, peer: NodeId) {
        self.ledger.settle(self.role, id, peer);
    }
}
