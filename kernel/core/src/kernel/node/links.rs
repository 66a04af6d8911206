//! [`Links`]: messages between this node and others, as whoever migrates instances sees them.
//!
//! Plain data: the node's connections put in what comes ([`Links::opened`], [`Links::received`],
//! [`Links::lost`]) and take out what is to be sent; the migrations take events and send. Both
//! directions are bounded: what is not taken is not read from the network, which holds the peer up.

use crate::limits;
use crate::migrate::{BootId, ConnectionId, NodeId};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

/// A node at the other end of a connection, which has proved that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedNode {
    /// What its key is known by.
    pub id: NodeId,
    /// Its present boot.
    pub boot: BootId,
    /// What it calls itself.
    pub name: String,
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// It was opened, by either end.
    Linked {
        /// Which.
        connection: ConnectionId,
        /// With whom.
        peer: LinkedNode,
    },
    /// It is over, and not by [`Links::close`]; messages that came before were given before.
    Lost {
        /// Which.
        connection: ConnectionId,
    },
    /// A message came.
    Message {
        /// By which.
        connection: ConnectionId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// A message was not taken: so much waits already, or the connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

#[derive(Debug)]
struct Link {
    peer: LinkedNode,
    out: VecDeque<Vec<u8>>,
    out_bytes: usize,
    /// Bytes of messages that came and were not taken.
    in_bytes: usize,
}

/// All connections that carry messages between nodes.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<ConnectionId, Link>,
    events: VecDeque<LinkEvent>,
    dials: VecDeque<NodeId>,
    closed: VecDeque<ConnectionId>,
}

impl Links {
    /// What happened next.
    pub fn take_event(&mut self) -> Option<LinkEvent> {
        let event = self.events.pop_front()?;
        if let LinkEvent::Message { connection, bytes } = &event
            && let Some(link) = self.links.get_mut(connection)
        {
            link.in_bytes = link.in_bytes.saturating_sub(bytes.len());
        }
        Some(event)
    }

    /// Whether something happened.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Who is at the other end of a connection that is open.
    pub fn peer(&self, connection: ConnectionId) -> Option<&LinkedNode> {
        self.links.get(&connection).map(|link| &link.peer)
    }

    /// The latest connection with a node.
    pub fn to(&self, peer: NodeId) -> Option<ConnectionId> {
        let mut links = self.links.iter().rev();
        links.find_map(|(&connection, link)| (link.peer.id == peer).then_some(connection))
    }

    /// Sends a message of at most [`limits::MIGRATION_MESSAGE_BYTES`].
    ///
    /// # Errors
    /// [`Full`] when there is no [`room`](Self::room) for it.
    pub fn send(&mut self, connection: ConnectionId, message: Vec<u8>) -> Result<(), Full> {
        if message.len() > self.room(connection) {
            return Err(Full);
        }
        let link = self.links.get_mut(&connection).ok_or(Full)?;
        link.out_bytes += message.len();
        link.out.push_back(message);
        Ok(())
    }

    /// Bytes that a connection still takes: none when it is over. There may be more after each turn.
    pub fn room(&self, connection: ConnectionId) -> usize {
        let out = self.links.get(&connection).map(|link| link.out_bytes);
        out.map_or(0, |bytes| limits::LINK_OUTPUT_BYTES.saturating_sub(bytes))
    }

    /// Asks for a connection with a node: tried once, unless it is being tried.
    pub fn dial(&mut self, peer: NodeId) {
        if !self.dials.contains(&peer) && self.dials.len() < limits::CLUSTER_NODES {
            self.dials.push_back(peer);
        }
    }

    /// Ends a connection, of which nothing more is heard; what waits to be sent still is.
    pub fn close(&mut self, connection: ConnectionId) {
        let gone = |event: &LinkEvent| match event {
            LinkEvent::Linked { connection, .. }
            | LinkEvent::Lost { connection }
            | LinkEvent::Message { connection, .. } => *connection,
        };
        self.events.retain(|event| gone(event) != connection);
        if self.links.contains_key(&connection) && !self.closed.contains(&connection) {
            self.closed.push_back(connection);
        }
    }

    // -- the node's connections

    /// A connection was opened.
    pub fn opened(&mut self, connection: ConnectionId, peer: LinkedNode) {
        let link = Link {
            peer: peer.clone(),
            out: VecDeque::new(),
            out_bytes: 0,
            in_bytes: 0,
        };
        self.links.insert(connection, link);
        self.events
            .push_back(LinkEvent::Linked { connection, peer });
    }

    /// Whether another message may be read from a connection.
    pub fn wants(&self, connection: ConnectionId) -> bool {
        let link = self.links.get(&connection);
        link.is_some_and(|link| link.in_bytes < limits::LINK_INPUT_BYTES)
            && !self.closed.contains(&connection)
    }

    /// A message came.
    pub fn received(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        let Some(link) = self.links.get_mut(&connection) else {
            return;
        };
        if self.closed.contains(&connection) {
            return;
        }
        link.in_bytes += bytes.len();
        let event = LinkEvent::Message { connection, bytes };
        self.events.push_back(event);
    }

    /// The message that is to be sent next.
    pub fn next_output(&self, connection: ConnectionId) -> Option<&[u8]> {
        let link = self.links.get(&connection)?;
        link.out.front().map(Vec::as_slice)
    }

    /// That message was sent.
    pub fn sent(&mut self, connection: ConnectionId) {
        if let Some(link) = self.links.get_mut(&connection)
            && let Some(message) = link.out.pop_front()
        {
            link.out_bytes -= message.len();
        }
    }

    /// A connection is over.
    pub fn lost(&mut self, connection: ConnectionId) {
        if self.links.remove(&connection).is_none() {
            return;
        }
        let closed = self.closed.len();
        self.closed.retain(|other| *other != connection);
        if self.closed.len() == closed {
            self.events.push_back(LinkEvent::Lost { connection });
        }
    }

    /// Whether a connection was closed on this side.
    pub fn is_closed(&self, connection: ConnectionId) -> bool {
        self.closed.contains(&connection)
    }

    /// A node that a connection is wanted with.
    pub fn take_dial(&mut self) -> Option<NodeId> {
        self.dials.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: ConnectionId = ConnectionId(7);

    fn linked() -> Links {
        let mut links = Links::default();
        let peer = LinkedNode {
            id: NodeId([1; 16]),
            boot: BootId([2; 16]),
            name: "other".into(),
        };
        links.opened(LINK, peer.clone());
        let connection = LINK;
        assert_eq!(
            links.take_event(),
            Some(LinkEvent::Linked { connection, peer })
        );
        links
    }

    #[test]
    fn both_directions_are_bounded() {
        let mut links = linked();
        while links.send(LINK, [0; 1000].into()).is_ok() {}
        assert!(links.room(LINK) < 1000);
        links.sent(LINK);
        assert_eq!(links.send(LINK, [0; 1000].into()), Ok(()));
        while links.wants(LINK) {
            links.received(LINK, [0; 1000].into());
        }
        assert!(links.take_event().is_some());
        assert!(links.wants(LINK));
        assert_eq!(links.send(ConnectionId(8), Vec::new()), Err(Full));
    }

    #[test]
    fn a_lost_connection_is_told_after_its_messages_and_a_closed_one_is_not_told() {
        let mut links = linked();
        links.received(LINK, [1].into());
        links.lost(LINK);
        assert!(matches!(
            links.take_event(),
            Some(LinkEvent::Message { .. })
        ));
        let connection = LINK;
        assert_eq!(links.take_event(), Some(LinkEvent::Lost { connection }));

        let mut links = linked();
        links.received(LINK, [1].into());
        links.close(LINK);
        links.received(LINK, [2].into());
        assert!(links.is_closed(LINK) && !links.wants(LINK));
        links.lost(LINK);
        assert_eq!(links.take_event(), None);
        assert_eq!(links.to(NodeId([1; 16])), None);
    }
}
