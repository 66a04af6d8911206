//! Connections between nodes without a network: messages that the wire carries whole, in order and with a
//! delay, until it is cut.
//!
//! [`Cluster::join`] lets two nodes connect, [`Cluster::part`] cuts what they have, and
//! [`Cluster::part_after`] does when so many messages were carried.

use super::cluster::Cluster;
use sos_core::kernel::node::LinkedNode;
use sos_core::machine::{Duration, Time};
use sos_core::migrate::{BootId, ConnectionId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// Time on the wire.
const DELAY: Duration = Duration::from_micros(100);

/// All connections of a cluster.
pub struct Wires {
    /// Pairs of nodes that may connect, the lower first.
    joined: BTreeSet<(usize, usize)>,
    /// By connection: the two ends.
    open: BTreeMap<ConnectionId, [usize; 2]>,
    /// Messages on the wire: (arrival, order) to (connection, receiver, bytes).
    flying: BTreeMap<(Time, u64), (ConnectionId, usize, Vec<u8>)>,
    next: u64,
    /// When a connection has carried what it was given, in each direction.
    busy: BTreeMap<(ConnectionId, usize), Time>,
    /// Bytes a second in each direction.
    pub bandwidth: u64,
    /// Messages that were carried.
    pub carried: u64,
    /// The message in whose place all connections are lost.
    lost_at: Option<u64>,
}

impl Default for Wires {
    fn default() -> Wires {
        Wires {
            joined: BTreeSet::new(),
            open: BTreeMap::new(),
            flying: BTreeMap::new(),
            next: 1,
            busy: BTreeMap::new(),
            bandwidth: 1_000_000_000,
            carried: 0,
            lost_at: None,
        }
    }
}

fn node_id(node: usize) -> NodeId {
    NodeId([node as u8 + 1; 16])
}

fn name_of(node: usize) -> String {
    format!("node{}", node + 1)
}

impl Cluster {
    /// Lets two nodes connect, and connects them.
    pub fn join(&mut self, one: usize, other: usize) {
        self.wires.joined.insert((one.min(other), one.max(other)));
        self.open_wire(one, other);
    }

    /// Cuts what two nodes have, until they are joined again.
    pub fn part(&mut self, one: usize, other: usize) {
        self.wires.joined.remove(&(one.min(other), one.max(other)));
        let lost = self.wires.open.iter();
        let lost = lost.filter(|(_, ends)| ends.contains(&one) && ends.contains(&other));
        let lost: Vec<ConnectionId> = lost.map(|(&connection, _)| connection).collect();
        lost.into_iter().for_each(|it| self.lose_wire(it));
    }

    /// Cuts everything in place of the message after so many.
    pub fn part_after(&mut self, messages: u64) {
        self.wires.lost_at = Some(self.wires.carried + messages);
    }

    /// A node lost its power: its connections are lost.
    pub(super) fn unwire(&mut self, node: usize) {
        let lost = self.wires.open.iter();
        let lost = lost.filter(|(_, ends)| ends.contains(&node));
        let lost: Vec<ConnectionId> = lost.map(|(&connection, _)| connection).collect();
        lost.into_iter().for_each(|it| self.lose_wire(it));
    }

    /// Connects a node with one that there is not: a test says and hears its messages.
    pub fn link_by_hand(&mut self, node: usize, peer: &str) -> ConnectionId {
        let connection = ConnectionId(self.wires.next);
        self.wires.next += 1;
        let linked = LinkedNode {
            id: NodeId([0xbb; 16]),
            boot: BootId::default(),
            name: peer.into(),
        };
        self.nodes[node].kernel.links().opened(connection, linked);
        self.wake(node);
        connection
    }

    /// Says a message to a node that was linked by hand.
    pub fn say_by_hand(&mut self, node: usize, link: ConnectionId, message: Vec<u8>) {
        self.nodes[node].kernel.links().received(link, message);
        self.wake(node);
    }

    /// What a node says that was linked by hand.
    pub fn take_by_hand(&mut self, node: usize, link: ConnectionId) -> Vec<Vec<u8>> {
        let links = self.nodes[node].kernel.links();
        let mut messages = Vec::new();
        while let Some(message) = links.next_output(link) {
            messages.push(message.to_vec());
            links.sent(link);
        }
        self.wake(node);
        messages
    }

    /// Ends what was linked by hand.
    pub fn hang_up_by_hand(&mut self, node: usize, link: ConnectionId) {
        self.nodes[node].kernel.links().lost(link);
        self.wake(node);
    }

    fn open_wire(&mut self, one: usize, other: usize) {
        let connection = ConnectionId(self.wires.next);
        self.wires.next += 1;
        self.wires.open.insert(connection, [one, other]);
        for (node, peer) in [(one, other), (other, one)] {
            let linked = LinkedNode {
                id: node_id(peer),
                boot: BootId::default(),
                name: name_of(peer),
            };
            self.nodes[node].kernel.links().opened(connection, linked);
            self.wake(node);
        }
    }

    fn lose_wire(&mut self, connection: ConnectionId) {
        let Some(ends) = self.wires.open.remove(&connection) else {
            return;
        };
        self.wires.flying.retain(|_, (it, ..)| *it != connection);
        for node in ends {
            self.nodes[node].kernel.links().lost(connection);
            self.wake(node);
        }
    }

    /// Carries what nodes have to say, and what has arrived. Tells when the next message arrives.
    pub(super) fn carry(&mut self) -> Option<Time> {
        let now = self.now();
        for node in 0..self.nodes.len() {
            while let Some(peer) = self.nodes[node].kernel.links().take_dial() {
                let other = (0..self.nodes.len()).find(|&it| node_id(it) == peer);
                let joined = |other: &usize| {
                    let pair = (node.min(*other), node.max(*other));
                    self.wires.joined.contains(&pair)
                };
                if let Some(other) = other.filter(joined) {
                    self.open_wire(node, other);
                }
            }
        }
        let open: Vec<(ConnectionId, [usize; 2])> = self
            .wires
            .open
            .iter()
            .map(|(&id, &ends)| (id, ends))
            .collect();
        for (connection, [one, other]) in open {
            let closed = [one, other]
                .iter()
                .any(|&node| self.nodes[node].kernel.links().is_closed(connection));
            if closed {
                self.lose_wire(connection);
                continue;
            }
            for (from, to) in [(one, other), (other, one)] {
                self.take_messages(connection, from, to, now);
            }
        }
        while let Some(entry) = self.wires.flying.first_entry() {
            if entry.key().0 > now {
                return Some(entry.key().0);
            }
            let (connection, to, bytes) = entry.get().clone();
            if self.wires.lost_at == Some(self.wires.carried) {
                self.wires.lost_at = None;
                let joined: Vec<(usize, usize)> = self.wires.joined.iter().copied().collect();
                for (one, other) in joined {
                    self.part(one, other);
                }
                return Some(now);
            }
            if !self.nodes[to].kernel.links().wants(connection) {
                // It holds its sender up.
                return None;
            }
            self.wires.flying.pop_first();
            self.wires.carried += 1;
            self.nodes[to].kernel.links().received(connection, bytes);
            self.wake(to);
        }
        None
    }

    fn take_messages(&mut self, connection: ConnectionId, from: usize, to: usize, now: Time) {
        let links = self.nodes[from].kernel.links();
        let mut taken = Vec::new();
        // A window of the wire, so that a slow one holds its sender up.
        let busy = self.wires.busy.entry((connection, from)).or_default();
        while *busy <= now + Duration::from_millis(1)
            && let Some(message) = links.next_output(connection)
        {
            let nanos = message.len() as u64 * 1_000_000_000 / self.wires.bandwidth;
            *busy = (*busy).max(now) + Duration::from_nanos(nanos);
            taken.push((*busy + DELAY, message.to_vec()));
            links.sent(connection);
        }
        if !taken.is_empty() {
            self.wake(from);
        }
        for (arrival, message) in taken {
            self.wires.next += 1;
            let order = self.wires.next;
            let message = (connection, to, message);
            self.wires.flying.insert((arrival, order), message);
        }
    }
}
