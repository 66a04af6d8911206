//! How connections begin: accepting those of others, dialling the peers that are known, hearing of new ones.

use super::connection::{Connection, End, Origin, Stage};
use super::network::Network;
use super::{CONNECT_TIMEOUT, Node};
use crate::cluster::channel::{Channel, ChannelError, Opening, Protocol, Setup};
use crate::cluster::discovery::{self as messages, Announcement, Heard};
use crate::cluster::{NodeKey, PublicKey, Role};
use crate::kernel::VERSION;
use crate::limits;
use crate::machine::Time;
use crate::net::fabric::Fabric;
use crate::net::stack::NetError;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{SocketAddr, SocketAddrV4};
use rand_core::RngCore;

impl Node {
    /// Takes new connections and what came on all of them.
    pub(super) fn receive(&mut self, now: Time, fabric: &mut Fabric) {
        let Some(mut network) = self.network.take() else {
            return;
        };
        self.is_fresh = false;
        self.discover(&network, fabric, now);
        self.accept(&mut network, now);
        self.dial(&mut network, now);
        self.dial_tunnels(&mut network, now);
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            let Some(mut connection) = self.connections.remove(&number) else {
                continue;
            };
            match self.advance(&mut network, number, &mut connection, now) {
                Ok(()) => {
                    self.connections.insert(number, connection);
                }
                Err(end) => self.end(&mut network, number, connection, end, now),
            }
        }
        self.network = Some(network);
    }

    /// Hears of other nodes on the LAN, and tells them of this one.
    pub(super) fn discover(&mut self, network: &Network, fabric: &mut Fabric, now: Time) {
        let Some(mut discovery) = self.discovery.take() else {
            return;
        };
        self.ipv4 = network.ipv4();
        let own = self.id().unwrap_or_default();
        let mut is_asked = false;
        for message in discovery.receive(fabric) {
            match messages::read(&message) {
                Heard::Question => is_asked = true,
                Heard::Node(said) => self.peers.announced(&said, own, now),
                Heard::Nothing => {}
            }
        }
        if let Some(address) = self.ipv4 {
            let is_due = discovery.is_due(now);
            if is_due {
                discovery.send(address, &messages::question(), now, fabric);
            }
            if is_due || is_asked && discovery.may_answer(now) {
                let said = Announcement {
                    name: self.name.clone(),
                    id: own,
                    address: SocketAddrV4::new(address, network.tcp_port),
                    version: VERSION.into(),
                    memory_mib: (self.status.memory_bytes >> 20) as u32,
                    free_mib: (self.status.free_bytes >> 20) as u32,
                    load_permille: self.status.load_permille,
                };
                discovery.send(address, &said.encode(), now, fabric);
            }
        }
        self.discovery = Some(discovery);
    }

    pub(super) fn accept(&mut self, network: &mut Network, now: Time) {
        while let Ok(Some((socket, remote))) = network.stack.tcp_accept(network.listener) {
            let strangers = self.connections.iter();
            let mut strangers = strangers.filter(|(_, connection)| {
                connection.origin == Origin::Accepted && connection.is_unproved()
            });
            let oldest = strangers.next().map(|(&number, _)| number);
            if strangers.count() + 1 >= limits::NODE_STRANGERS
                && let Some(number) = oldest
                && let Some(connection) = self.connections.remove(&number)
            {
                let end = End::Channel(ChannelError::Overdue);
                self.end(network, number, connection, end, now);
            }
            if self.connections.len() >= limits::NODE_CONNECTIONS {
                network.stack.abort(socket);
                self.refuse(remote, End::Network(NetError::TooManySockets), now);
                continue;
            }
            let channel = self.setup(Protocol::Migration).map(|setup| {
                let (own, opening, entropy) = setup;
                Channel::accept(Setup {
                    own: &own,
                    trust: &self.trust,
                    opening,
                    entropy,
                    now,
                })
            });
            let Some(channel) = channel else { continue };
            let stage = Stage::Greeting(Box::new(channel));
            self.add(socket, remote, Origin::Accepted, stage, None);
        }
    }

    pub(super) fn setup(&mut self, protocol: Protocol) -> Option<(NodeKey, Opening, [u8; 32])> {
        let mut entropy = [0; 32];
        self.random.fill_bytes(&mut entropy);
        let opening = Opening::new(protocol, &self.name, self.boot);
        Some((self.key.clone()?, opening, entropy))
    }

    pub(super) fn add(
        &mut self,
        socket: crate::net::stack::SocketId,
        remote: SocketAddr,
        origin: Origin,
        stage: Stage,
        deadline: Option<Time>,
    ) {
        let connection = Connection {
            socket,
            remote,
            origin,
            stage,
            is_held: false,
            peer: None,
            entry: None,
            tunnel_to: None,
            told: None,
            told_visitors: 0,
            deadline,
        };
        self.connections.insert(self.next_connection, connection);
        self.next_connection += 1;
    }

    /// Connects with nodes that are due, and with those that the migrations want.
    pub(super) fn dial(&mut self, network: &mut Network, now: Time) {
        while let Some(id) = self.links.take_dial() {
            self.peers.want(id, now);
        }
        while let Some(known) = self.peers.take_due(now) {
            let address = known.address;
            if network.is_own(address) {
                // It stays tried for ever.
                continue;
            }
            let room = self.connections.len() < limits::NODE_CONNECTIONS;
            let socket = match room {
                true => network.stack.tcp_connect(address, now),
                false => Err(NetError::TooManySockets),
            };
            match socket {
                Ok(socket) => {
                    let deadline = Some(now + CONNECT_TIMEOUT);
                    self.add(socket, address, Origin::Dialed, Stage::Connecting, deadline);
                }
                Err(error) => self.dial_failed(address, error.to_string(), now),
            }
        }
    }

    pub(super) fn dial_failed(&mut self, address: SocketAddr, problem: String, now: Time) {
        let jitter = self.random.next_u32();
        self.peers.failed(address, problem, jitter, now);
    }

    /// The key that a node at an address must have: any of the cluster, or one listed key after the other.
    pub(super) fn expected_at(&mut self, address: SocketAddr) -> Option<PublicKey> {
        if self.trust.cluster_key.is_some() {
            return None;
        }
        let (id, tries) = match self.peers.at(address) {
            Some(known) => (known.id, known.failures as usize),
            None => (None, 0),
        };
        let listed = self.trust.listed.iter();
        let nodes: Vec<PublicKey> = listed
            .filter(|entry| entry.role == Role::Node)
            .map(|entry| entry.key)
            .collect();
        let known = nodes.iter().find(|key| Some(key.id()) == id);
        let next = nodes.get(tries % nodes.len().max(1));
        known.or(next).copied()
    }
}
