//! Frames of private networks on their way between nodes, and what the node tells the others of its networks.
//!
//! Who has what and who connects with whom is [`Carrier`]'s; the fabric keeps the frames (`net::fabric`). Here they
//! go into channels and come out of them.

use super::super::Kernel;
use super::connection::{Connection, End, Origin, Stage};
use super::network::Network;
use super::{CONNECT_TIMEOUT, Node};
use crate::cluster::channel::{Channel, Protocol};
use crate::cluster::tunnel::{Carried, Carrier, Networks, Opener};
use crate::limits;
use crate::log::Severity;
use crate::machine::Time;
use crate::migrate::NodeId;
use crate::net::fabric::{NetworkId, RemoteId};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use rand_core::RngCore;

/// The version of channels from which on the other end knows of private networks: an earlier one would take a word of them
/// for a breach.
pub(super) const TUNNEL_VERSION: u16 = 2;

/// What the node keeps of private networks on several nodes.
#[derive(Default)]
pub(super) struct Tunnels {
    pub carrier: Carrier,
    /// The wiring that the others were told of.
    wiring: Option<u64>,
    /// Frames that came in this turn.
    came: Vec<(NodeId, Vec<u8>)>,
    /// The node that frames were sealed for last.
    served: NodeId,
}

/// Another node as the fabric names it.
pub(in crate::kernel) fn remote(node: NodeId) -> RemoteId {
    RemoteId(node.0)
}

impl Kernel {
    /// Whether private networks go on on other nodes.
    pub(in crate::kernel) fn carries_networks(&self) -> bool {
        self.node.network.is_some()
    }

    /// Whether a node is linked that knows of private networks.
    pub(in crate::kernel) fn knows_networks(&self, peer: NodeId) -> bool {
        self.node.tunnels.carrier.is_linked(peer)
    }

    /// Names private networks, tells the others what is here of them, and finds out where else they are.
    pub(super) fn renew_networks(&mut self, now: Time) {
        let mut is_new = self.node.tunnels.carrier.take_news();
        if self.node.tunnels.wiring != Some(self.fabric.wiring()) {
            self.remove_left_networks();
            while let Some(segment) = self.fabric.unnamed_network() {
                let mut network = NetworkId::default();
                self.identities.fill_bytes(&mut network.0);
                self.fabric.set_network(segment, network);
            }
            self.node.tunnels.wiring = Some(self.fabric.wiring());
            self.node.tunnels.carrier.set_own(self.fabric.presences());
            is_new = true;
        }
        if !is_new {
            return;
        }
        let own = self.node.id().unwrap_or_default();
        let carrier = &mut self.node.tunnels.carrier;
        carrier.review(own, now);
        for (segment, network) in self.fabric.networks() {
            let remotes: Vec<RemoteId> = carrier.ends_of(network).map(remote).collect();
            self.fabric.set_remotes(segment, &remotes);
        }
        self.fabric
            .keep_remotes(|it| carrier.is_linked(NodeId(it.0)));
        self.node.is_fresh = true;
    }

    /// Takes segments away that were made for instances which have all gone.
    fn remove_left_networks(&mut self) {
        for name in self.fabric.left_networks() {
            let is_wanted = self.occupied().any(|(_, record)| {
                let ports = record.spec.ports.iter();
                ports
                    .filter_map(|port| port.attach.segment())
                    .any(|it| it == name)
            });
            if !is_wanted {
                // It has no port.
                let _ = self.fabric.remove_segment(&name);
            }
        }
    }

    /// Hands frames that other nodes carried here to whom they are for.
    pub(super) fn take_carried(&mut self, now: Time) {
        for (peer, message) in core::mem::take(&mut self.node.tunnels.came) {
            let Some(Carried { network, frame }) = Carried::decode(&message) else {
                continue;
            };
            // Only who has said that it has something of a network, or will, is heard on it.
            let is_expected = self.node.tunnels.carrier.may_send(peer, network, now);
            let taken = is_expected
                && self
                    .fabric
                    .receive_from_remote(remote(peer), network, frame, now)
                    .is_ok();
            if !taken && let Some(count) = self.node.tunnels.carrier.stray(peer, now) {
                let text = format!(
                    "node {peer} carried {count} frames of networks that are not here, or of which it has no end: \
                     dropped"
                );
                self.log(Severity::Warning, text);
            }
        }
    }

    /// Seals frames that wait for other nodes, as many as there is room for and a turn may.
    pub(super) fn carry_frames(&mut self) {
        let own = self.node.id().unwrap_or_default();
        let mut channels: Vec<_> = self.node.tunnels.carrier.channels(own).collect();
        // Whoever came last in the turn before comes last again.
        let served = self.node.tunnels.served;
        let next = channels.partition_point(|(peer, _)| *peer <= served);
        channels.rotate_left(next);
        let mut bytes = 0;
        for (peer, number) in channels {
            if bytes > limits::TUNNEL_BYTES_PER_TURN {
                self.node.is_fresh = true;
                break;
            }
            self.node.tunnels.served = peer;
            let remote = remote(peer);
            let channel = number.and_then(|number| self.node.tunnel(number));
            let Some(channel) = channel else {
                continue;
            };
            while let Some((network, frame)) = self.fabric.next_remote_frame(remote) {
                let frame = frame.bytes();
                if channel.room() < Carried::HEAD_BYTES + frame.len() {
                    break;
                }
                bytes += frame.len();
                // There is room.
                let _ = channel.send(&Carried { network, frame }.encode());
                self.fabric.pop_remote_frame(remote);
            }
        }
    }
}

impl Node {
    /// The channel of a connection that carries frames.
    fn tunnel(&mut self, number: u64) -> Option<&mut Channel> {
        match &mut self.connections.get_mut(&number)?.stage {
            Stage::Tunnel(channel) => Some(channel),
            Stage::Connecting
            | Stage::Greeting(_)
            | Stage::Migration(_)
            | Stage::Control { .. }
            | Stage::Closing(_) => None,
        }
    }

    /// A linked node told what it has of which networks.
    pub(super) fn hear_networks(&mut self, peer: NodeId, link: u64, message: &[u8], now: Time) {
        if let Some(networks) = Networks::decode(message) {
            self.tunnels.carrier.heard(peer, link, networks, now);
        }
    }

    /// A frame came, or something that is none.
    pub(super) fn hear_carried(&mut self, peer: NodeId, message: Vec<u8>) -> Result<(), End> {
        if Carried::decode(&message).is_none() {
            return Err(End::NoFrame);
        }
        self.tunnels.came.push((peer, message));
        Ok(())
    }

    /// Tells a linked node what is here, if it was not told.
    pub(super) fn tell_networks(&self, channel: &mut Channel, told: &mut Option<u64>) {
        let carrier = &self.tunnels.carrier;
        let knows = channel
            .peer()
            .is_some_and(|peer| peer.version >= TUNNEL_VERSION);
        if knows
            && *told != Some(carrier.version())
            && channel.send(&carrier.announcement().encode()).is_ok()
        {
            *told = Some(carrier.version());
        }
    }

    /// Connects with nodes that frames are to be carried to, and ends what carries none.
    pub(super) fn dial_tunnels(&mut self, network: &mut Network, now: Time) {
        let own = self.id().unwrap_or_default();
        for number in self.tunnels.carrier.idle(own, now) {
            if let Some(connection) = self.connections.remove(&number) {
                self.end(network, number, connection, End::Done, now);
            }
        }
        while let Some(peer) = self.tunnels.carrier.take_dial(now) {
            let address = self.peers.address_of(peer);
            let has_room = self.connections.len() < limits::NODE_CONNECTIONS;
            let socket = address.filter(|_| has_room).and_then(|address| {
                let socket = network.stack.tcp_connect(address, now);
                Some((socket.ok()?, address))
            });
            let Some((socket, address)) = socket else {
                self.tunnels.carrier.failed(peer, now);
                continue;
            };
            let deadline = Some(now + CONNECT_TIMEOUT);
            self.add(socket, address, Origin::Dialed, Stage::Connecting, deadline);
            let added = self.connections.values_mut().next_back();
            if let Some(connection) = added {
                connection.tunnel_to = Some(peer);
            }
        }
    }

    /// A channel for frames is open.
    pub(super) fn tunnel_opened(
        &mut self,
        number: u64,
        connection: &mut Connection,
        peer: NodeId,
        name: &str,
        now: Time,
    ) {
        let opener = match connection.origin {
            Origin::Dialed => Opener::Here,
            Origin::Accepted => Opener::There,
        };
        self.tunnels.carrier.opened(peer, number, opener, now);
        let text = format!(
            "private networks are carried to node '{name}' at {}",
            connection.remote
        );
        self.note(Severity::Info, text);
    }

    /// A channel for frames is over.
    pub(super) fn tunnel_closed(&mut self, number: u64, peer: NodeId, end: End, now: Time) {
        self.tunnels.carrier.closed(peer, number, now);
        let severity = match end {
            End::Done => Severity::Info,
            End::Closed
            | End::Network(_)
            | End::Channel(_)
            | End::Crowded
            | End::Full
            | End::NoFrame => Severity::Warning,
        };
        let text = format!("private networks are not carried to node {peer} any more: {end}");
        self.note(severity, text);
    }

    /// What the opener of a connection says that it is for.
    pub(super) fn purpose(connection: &Connection) -> Protocol {
        match connection.tunnel_to {
            Some(_) => Protocol::Tunnel,
            None => Protocol::Migration,
        }
    }

    /// What a node is called, or else its number.
    pub(in crate::kernel) fn name_of(&self, id: NodeId) -> alloc::string::String {
        match self.peers.name_of(id) {
            Some(name) if !name.is_empty() => name.into(),
            _ => id.to_string(),
        }
    }
}
