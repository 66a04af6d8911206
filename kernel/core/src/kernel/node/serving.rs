//! How connections go on and end: what comes is read and given to whom it is for, what waits is sent.

use super::connection::{Connection, End, Origin, Stage};
use super::network::Network;
use super::peers::Source;
use super::status::{self, Status};
use super::tunnels::TUNNEL_VERSION;
use super::visitors::Visitors;
use super::{CLOSE_TIMEOUT, KEEPALIVE, LinkedNode, Node};
use crate::cluster::NodeKey;
use crate::cluster::channel::{Channel, ChannelError, Protocol, Setup};
use crate::cluster::tunnel::Networks;
use crate::kernel::operator::Session;
use crate::limits;
use crate::log::Severity;
use crate::machine::Time;
use crate::migrate::{ConnectionId, NodeId};
use crate::net::fabric::Fabric;
use crate::net::stack::NetError;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

impl Node {
    /// Moves one connection on by what came.
    pub(super) fn advance(
        &mut self,
        network: &mut Network,
        number: u64,
        connection: &mut Connection,
        now: Time,
    ) -> Result<(), End> {
        if connection.due().is_some_and(|due| due <= now) {
            if let Stage::Greeting(channel) = &mut connection.stage {
                channel.tick(now)?;
            }
            return Err(End::Network(NetError::TimedOut));
        }
        if let Stage::Connecting = connection.stage {
            if !network.stack.tcp_connected(connection.socket)? {
                return Ok(());
            }
            network
                .stack
                .tcp_set_keepalive(connection.socket, Some(KEEPALIVE))?;
            let expected = self.expected_at(connection.remote);
            let setup = self.setup(Node::purpose(connection));
            let (own, opening, entropy) = setup.ok_or(ChannelError::NoTrust)?;
            let trust = &self.trust;
            let setup = Setup {
                own: &own,
                trust,
                opening,
                entropy,
                now,
            };
            let channel = Channel::initiate(setup, expected)?;
            connection.deadline = None;
            connection.stage = Stage::Greeting(Box::new(channel));
        }
        connection.is_held = false;
        let mut budget = Connection::budget();
        loop {
            connection.read(network, &mut budget)?;
            if let Stage::Greeting(channel) = &connection.stage
                && channel.peer().is_some()
            {
                self.greeted(network, number, connection, now)?;
                continue;
            }
            let waits = connection
                .channel()
                .is_some_and(|channel| channel.has_message());
            if !waits || !self.wants(number, connection) {
                connection.is_held = waits || budget == 0;
                return Ok(());
            }
            let Some(channel) = connection.channel() else {
                return Ok(());
            };
            if let Some(message) = channel.next_message()? {
                self.deliver(number, connection, message, now)?;
            }
            if budget == 0 {
                connection.is_held = true;
                return Ok(());
            }
        }
    }

    /// The other end has proved who it is, and said what it wants.
    pub(super) fn greeted(
        &mut self,
        network: &mut Network,
        number: u64,
        connection: &mut Connection,
        now: Time,
    ) -> Result<(), End> {
        let stage = core::mem::replace(&mut connection.stage, Stage::Connecting);
        let Stage::Greeting(channel) = stage else {
            connection.stage = stage;
            return Ok(());
        };
        let Some(peer) = channel.peer().cloned() else {
            connection.stage = Stage::Greeting(channel);
            return Ok(());
        };
        network
            .stack
            .tcp_set_keepalive(connection.socket, Some(KEEPALIVE))?;
        if connection.tunnel_to.is_some_and(|wanted| wanted != peer.id) {
            // It lives where another one did.
            return Err(ChannelError::AnotherNode(peer.key).into());
        }
        let (name, remote) = (peer.opening.name.clone(), connection.remote);
        self.drive_out(network, peer.id, now);
        connection.peer = Some(peer.id);
        match peer.opening.protocol {
            Protocol::Migration => {
                let links = self.connections.values();
                let links =
                    links.filter(|it| matches!(it.stage, Stage::Migration(_) | Stage::Tunnel(_)));
                if links.count() >= limits::NODE_LINKS {
                    return Err(End::Full);
                }
                let address = (connection.origin == Origin::Dialed).then_some(remote);
                connection.entry = self.peers.linked(peer.id, &name, address, remote, now);
                let text = format!("linked with node '{name}' ({}) at {remote}", peer.id);
                self.note(Severity::Info, text);
                let linked = LinkedNode {
                    id: peer.id,
                    boot: peer.opening.boot,
                    name,
                };
                self.links.opened(ConnectionId(number), linked);
                if peer.version >= TUNNEL_VERSION {
                    self.tunnels.carrier.linked(peer.id, number);
                }
                connection.stage = Stage::Migration(channel);
                // The first status goes at once.
                self.status_due = self.status_due.min(now);
                Ok(())
            }
            Protocol::Control => {
                let text = format!("operator '{name}' ({}) connected from {remote}", peer.id);
                self.note(Severity::Info, text);
                connection.stage = Stage::Control {
                    channel,
                    input: Vec::new(),
                    read: 0,
                };
                self.sessions.insert(number, Session::on_connection(number));
                Ok(())
            }
            Protocol::Tunnel => {
                let links = self.connections.values();
                let links =
                    links.filter(|it| matches!(it.stage, Stage::Migration(_) | Stage::Tunnel(_)));
                if links.count() >= limits::NODE_LINKS {
                    return Err(End::Full);
                }
                self.tunnel_opened(number, connection, peer.id, &name, now);
                connection.stage = Stage::Tunnel(channel);
                Ok(())
            }
        }
    }

    /// Makes room for another connection of a peer: the oldest goes if it has too many.
    pub(super) fn drive_out(&mut self, network: &mut Network, peer: NodeId, now: Time) {
        let same = self.connections.iter();
        let mut same = same.filter(|(_, connection)| connection.peer == Some(peer));
        let oldest = same.next().map(|(&number, _)| number);
        if same.count() + 1 >= limits::NODE_CONNECTIONS_OF_ONE
            && let Some(number) = oldest
            && let Some(connection) = self.connections.remove(&number)
        {
            self.end(network, number, connection, End::Crowded, now);
        }
    }

    pub(super) fn deliver(
        &mut self,
        number: u64,
        connection: &mut Connection,
        message: Vec<u8>,
        now: Time,
    ) -> Result<(), End> {
        match &mut connection.stage {
            Stage::Control { input, read, .. } => {
                *input = message;
                *read = 0;
            }
            Stage::Migration(_) => {
                let entry = connection.entry;
                let mut known = entry.and_then(|entry| self.peers.entry(entry));
                if let Some(known) = &mut known {
                    known.seen = Some(now);
                }
                if Networks::is_one(&message) {
                    self.hear_networks(connection.peer.unwrap_or_default(), number, &message, now);
                    return Ok(());
                }
                if Visitors::is_one(&message) {
                    let peer = connection.peer.unwrap_or_default();
                    let heard = Visitors::decode(&message).map(|visitors| (peer, visitors));
                    self.lodgings.heard.extend(heard);
                    return Ok(());
                }
                if !Status::is_one(&message) {
                    self.links.received(ConnectionId(number), message);
                    return Ok(());
                }
                if let Some(status) = Status::decode(&message)
                    && let Some(known) = known
                {
                    if known.source == Source::Heard && status.port != 0 {
                        known.address.set_port(status.port);
                    }
                    known.status = Some(status);
                }
            }
            Stage::Tunnel(_) => {
                return self.hear_carried(connection.peer.unwrap_or_default(), message);
            }
            Stage::Connecting | Stage::Greeting(_) | Stage::Closing(_) => {}
        }
        Ok(())
    }

    /// Takes a connection apart.
    pub(super) fn end(
        &mut self,
        network: &mut Network,
        number: u64,
        mut connection: Connection,
        end: End,
        now: Time,
    ) {
        let remote = connection.remote;
        // A peer that was turned away is not told why; the others' last words are on their way.
        match end {
            End::Closed | End::Done => network.stack.close(connection.socket),
            End::Network(_) | End::Channel(_) | End::NoFrame | End::Crowded | End::Full => {
                network.stack.abort(connection.socket);
            }
        }
        let stage = core::mem::replace(&mut connection.stage, Stage::Connecting);
        match stage {
            Stage::Connecting | Stage::Greeting(_) => match connection.origin {
                Origin::Accepted => self.refuse(remote, end, now),
                Origin::Dialed => match connection.tunnel_to {
                    Some(peer) => self.tunnels.carrier.failed(peer, now),
                    None => self.dial_failed(remote, end.to_string(), now),
                },
            },
            Stage::Migration(_) => {
                self.links.lost(ConnectionId(number));
                if let Some(entry) = connection.entry {
                    self.peers.unlinked(entry, now);
                }
                let peer = connection.peer.unwrap_or_default();
                self.tunnels.carrier.unlinked(peer, number);
                let text = format!("link with node {peer} at {remote} is lost: {end}");
                self.note(Severity::Warning, text);
            }
            Stage::Tunnel(_) => {
                let peer = connection.peer.unwrap_or_default();
                self.tunnel_closed(number, peer, end, now);
            }
            Stage::Control { .. } => {
                let text = format!("operator at {remote} is gone: {end}");
                self.note(Severity::Info, text);
                self.ended_sessions.extend(self.sessions.remove(&number));
            }
            Stage::Closing(_) => {}
        }
    }

    // -- what goes

    /// Seals what there is to send, and hands it to TCP.
    pub(super) fn transmit(&mut self, now: Time) {
        let Some(mut network) = self.network.take() else {
            return;
        };
        let status = (self.status_due <= now).then(|| {
            self.status_due = now + status::INTERVAL;
            self.status.encode()
        });
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            let Some(mut connection) = self.connections.remove(&number) else {
                continue;
            };
            match self.speak(
                &mut network,
                number,
                &mut connection,
                status.as_deref(),
                now,
            ) {
                Ok(()) => {
                    self.connections.insert(number, connection);
                }
                Err(end) => self.end(&mut network, number, connection, end, now),
            }
        }
        self.network = Some(network);
    }

    pub(super) fn speak(
        &mut self,
        network: &mut Network,
        number: u64,
        connection: &mut Connection,
        status: Option<&[u8]>,
        now: Time,
    ) -> Result<(), End> {
        let id = ConnectionId(number);
        loop {
            self.tell_visitors(connection);
            if let Stage::Migration(channel) = &mut connection.stage {
                self.tell_networks(channel, &mut connection.told);
                if let Some(status) = status
                    && channel.output().is_empty()
                {
                    // An old one is worth nothing: there is room, or it is left out.
                    let _ = channel.send(status);
                }
                while let Some(message) = self.links.next_output(id)
                    && channel.send(message).is_ok()
                {
                    self.links.sent(id);
                }
                if self.links.is_closed(id) {
                    // A peer that reads nothing more does not keep it.
                    connection.deadline.get_or_insert(now + CLOSE_TIMEOUT);
                }
                if self.links.is_closed(id) && self.links.next_output(id).is_none() {
                    self.links.lost(id);
                    self.tunnels
                        .carrier
                        .unlinked(connection.peer.unwrap_or_default(), number);
                    if let Some(entry) = connection.entry {
                        self.peers.unlinked(entry, now);
                    }
                    let stage = core::mem::replace(&mut connection.stage, Stage::Connecting);
                    if let Stage::Migration(channel) = stage {
                        connection.stage = Stage::Closing(channel);
                    }
                }
            }
            connection.write(network)?;
            let channel_is_empty = connection
                .channel()
                .is_none_or(|channel| channel.output().is_empty());
            if let Stage::Closing(_) = connection.stage
                && channel_is_empty
            {
                return Err(End::Done);
            }
            if !channel_is_empty || self.links.next_output(id).is_none() {
                return Ok(());
            }
        }
    }

    /// Lets the stack speak, and finds out when the node is to be looked at again.
    pub(super) fn settle(&mut self, now: Time, fabric: &mut Fabric) {
        let Some(network) = &mut self.network else {
            return;
        };
        if network.stack.next_poll(now).is_some_and(|at| at <= now) {
            network.stack.poll(now, fabric);
            self.is_fresh = true;
        }
        let own = self.key.as_ref().map(NodeKey::id).unwrap_or_default();
        let connections = self.connections.values().filter_map(Connection::due);
        let linked = self.connections.values();
        let linked = linked.filter(|it| matches!(it.stage, Stage::Migration(_)));
        let status = linked.map(|_| self.status_due).next();
        self.due = connections
            .chain(network.stack.next_poll(now))
            .chain(self.peers.next_try())
            .chain(self.ipv4.and(self.discovery.as_ref()).map(|it| it.due))
            .chain(status)
            .chain(self.tunnels.carrier.due(own))
            .min();
    }
}
