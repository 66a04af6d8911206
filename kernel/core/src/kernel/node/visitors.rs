//! [`Visitors`]: what a node tells another of the instances that were first the other's and are here now.
//!
//! It goes between the messages of a migration channel, led by a byte that none of them begins with: first of all on
//! each link, at once when one has come, and again when it has changed. A node that has lost its power has forgotten what it handed over; it hears it here before it starts the
//! instances of its image again (`kernel/migration/home.rs`).

use super::Node;
use super::connection::{Connection, Stage};
use super::listing::is_link_local;
use super::network::Network;
use crate::image;
use crate::limits;
use crate::migrate::{InstanceId, NodeId};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// First byte of a message that is one.
const MARK: u8 = 0xfd;
/// The version of what follows.
const VERSION: u8 = 1;
/// The version of channels from which on the other end knows of these messages.
pub(in crate::kernel) const VISITORS_VERSION: u16 = 3;

/// An instance that is away from the node whose it was first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::kernel) struct Visitor {
    /// Which.
    pub instance: InstanceId,
    /// What it is called.
    pub name: String,
}

/// All instances of one node that are on another: a later list takes the place of an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::kernel) struct Visitors(pub Vec<Visitor>);

impl Visitors {
    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        // An allocating sink takes everything and every field has a known length.
        postcard::to_extend(self, [MARK, VERSION].to_vec()).unwrap_or_default()
    }

    /// Whether a message is one, sound or not.
    pub fn is_one(message: &[u8]) -> bool {
        message.first() == Some(&MARK)
    }

    /// From a message; none if it is spoiled, or a later version's.
    pub fn decode(message: &[u8]) -> Option<Visitors> {
        let body = message.strip_prefix(&[MARK, VERSION])?;
        let (visitors, []) = postcard::take_from_bytes::<Visitors>(body).ok()? else {
            return None;
        };
        let Visitors(list) = &visitors;
        let are_names = list.iter().all(|visitor| image::is_name(&visitor.name));
        (are_names && list.len() <= limits::VISITORS).then_some(visitors)
    }
}

/// What a node tells each of the others, and hears of them.
#[derive(Default)]
pub(in crate::kernel) struct Lodgings {
    /// What each linked node is to be told, and how often that has changed.
    told: BTreeMap<NodeId, (u64, Visitors)>,
    /// Whether there may be others by now.
    pub has_changed: bool,
    /// What came in this turn.
    pub heard: Vec<(NodeId, Visitors)>,
}

impl Node {
    /// The nodes that are linked, in order.
    pub(in crate::kernel) fn linked_nodes(&self) -> Vec<NodeId> {
        let linked = self.connections.values();
        let linked = linked.filter(|it| matches!(it.stage, Stage::Migration(_)));
        let mut linked: Vec<NodeId> = linked.filter_map(|it| it.peer).collect();
        linked.sort_unstable();
        linked.dedup();
        linked
    }

    /// An instance of another node is here: that one hears of it in the same turn, before anybody hears that it is prepared.
    pub(in crate::kernel) fn note_visitor(&mut self) {
        self.lodgings.has_changed = true;
    }

    /// What others have told of this node's instances.
    pub(in crate::kernel) fn take_visitors(&mut self) -> Vec<(NodeId, Visitors)> {
        core::mem::take(&mut self.lodgings.heard)
    }

    /// Says what each linked node is to be told.
    pub(in crate::kernel) fn set_visitors(&mut self, visitors: Vec<(NodeId, Visitors)>) {
        let lodgings = &mut self.lodgings;
        let is_linked = |peer: &NodeId| visitors.iter().any(|(id, _)| id == peer);
        lodgings.told.retain(|peer, _| is_linked(peer));
        for (peer, visitors) in visitors {
            let told = lodgings.told.entry(peer).or_default();
            if told.1 != visitors || told.0 == 0 {
                *told = (told.0 + 1, visitors);
            }
        }
    }

    /// Tells a linked node what of its own is here, if it was not told.
    pub(super) fn tell_visitors(&self, connection: &mut Connection) {
        let known = connection
            .peer
            .and_then(|peer| self.lodgings.told.get(&peer));
        let (Some((version, visitors)), Stage::Migration(channel)) = (known, &mut connection.stage)
        else {
            return;
        };
        let knows = channel
            .peer()
            .is_some_and(|it| it.version >= VISITORS_VERSION);
        if knows && connection.told_visitors != *version && channel.send(&visitors.encode()).is_ok()
        {
            connection.told_visitors = *version;
        }
    }

    /// Whether a linked node tells what of this one's is there.
    pub(in crate::kernel) fn tells_visitors(&self, peer: NodeId) -> bool {
        let mut links = self.connections.values().filter(|it| it.peer == Some(peer));
        links.any(|connection| match &connection.stage {
            Stage::Migration(channel) => {
                let known = channel.peer();
                known.is_some_and(|it| it.version >= VISITORS_VERSION)
            }
            Stage::Connecting
            | Stage::Greeting(_)
            | Stage::Tunnel(_)
            | Stage::Control { .. }
            | Stage::Closing(_) => false,
        })
    }

    /// Whether a node that this one was told of, or has heard of on the LAN, is not in `answered`.
    pub(in crate::kernel) fn awaits_others(&self, has_answered: impl Fn(NodeId) -> bool) -> bool {
        let Some(network) = &self.network else {
            return false;
        };
        let others = self.peers.iter().filter(|known| known.is_expected());
        let mut others = others.filter(|known| !network.is_own(known.address));
        others.any(|known| !known.id.is_some_and(&has_answered))
    }

    /// Whether it has an address at which others can reach it, or answer.
    pub(in crate::kernel) fn is_reachable(&self) -> bool {
        let addresses = self.network.iter().flat_map(Network::addresses);
        addresses
            .into_iter()
            .any(|address| !is_link_local(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tunnel::Networks;
    use crate::migrate::{BootId, Message};

    #[test]
    fn they_come_back_and_nothing_else_is_taken_for_them() {
        let visitor = |number: u8| Visitor {
            instance: InstanceId([number; 16]),
            name: alloc::format!("web{number}"),
        };
        let visitors = Visitors([visitor(1), visitor(2)].into());
        let bytes = visitors.encode();
        assert!(Visitors::is_one(&bytes) && Message::decode(&bytes).is_err());
        assert_eq!(Visitors::decode(&bytes), Some(visitors));
        for length in 0..bytes.len() {
            assert_eq!(Visitors::decode(&bytes[..length]), None, "{length}");
        }
        let hello = Message::hello(BootId([1; 16])).encode().unwrap();
        assert!(!Visitors::is_one(&hello) && !Visitors::is_one(&Networks::default().encode()));
        let many = Visitors(alloc::vec![visitor(1); limits::VISITORS + 1]);
        assert_eq!(Visitors::decode(&many.encode()), None);
        assert!(many.encode().len() < limits::MIGRATION_MESSAGE_BYTES);
        let shouting = Visitors(
            [Visitor {
                name: "\x1b[2J".into(),
                ..visitor(1)
            }]
            .into(),
        );
        assert_eq!(Visitors::decode(&shouting.encode()), None);
    }
}
