//! The node among others: its own network stack, its connections with other nodes and with operators.
//!
//! Other nodes and operators connect to the node's TCP port, and the node to those that it was told of
//! ([`crate::image::NodeSpec`], [`Trust`]). Each connection carries one [`Channel`]: a stranger gets
//! nothing, is logged, and takes one of few places, from which the next one drives him out. What a channel is for
//! decides who reads it: the migrations ([`Links`]), or an operator's session (`control`).
//!
//! - `links`: messages between nodes, for the migrations; - `network`: the stack; - `connection`: TCP and
//!   the channel over it; - `peers`: the nodes that are known; - `status`: what they tell of themselves;
//! - `discovery`: hearing of each other on the LAN; - `control`: operators' sessions; - `listing`: what operators see.

mod connection;
mod control;
mod discovery;
mod links;
mod listing;
mod network;
mod peers;
mod status;

pub use links::{Full, LinkEvent, LinkedNode, Links};

use super::operator::Session;
use super::{BootInfo, Kernel, VERSION};
use crate::cluster::channel::{Channel, ChannelError, Opening, Protocol, Setup};
use crate::cluster::discovery::{self as messages, Announcement, Heard};
use crate::cluster::{NodeKey, PublicKey, Role, Trust, station_address};
use crate::image::{self, NodeSpec};
use crate::limits;
use crate::log::Severity;
use crate::machine::{Duration, Machine, Time};
use crate::migrate::{BootId, ConnectionId, NodeId};
use crate::net::fabric::{Fabric, PortId};
use crate::net::stack::NetError;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use connection::{Connection, End, Origin, Stage};
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use discovery::Discovery;
use network::{Network, Place};
use peers::Peers;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use status::Status;

/// How long TCP may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long what is to be sent before an end may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often TCP asks whether an idle peer is there; it is gone after four times without an answer.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Strangers that are logged,
const REFUSALS_LOGGED: u32 = 10;
/// in so long.
const REFUSALS_PERIOD: Duration = Duration::from_secs(10);

/// The node among others.
pub(super) struct Node {
    name: String,
    key: Option<NodeKey>,
    boot: BootId,
    trust: Arc<Trust>,
    random: ChaCha12Rng,
    network: Option<Network>,
    discovery: Option<Discovery>,
    /// Where it is announced to be.
    ipv4: Option<Ipv4Addr>,
    /// By number, which rises and is never used again.
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    peers: Peers,
    /// Connections with other nodes.
    pub links: Links,
    /// Conversations with operators, by connection.
    sessions: BTreeMap<u64, Session>,
    /// Those whose connection is over.
    ended_sessions: Vec<Session>,
    status: Status,
    status_due: Time,
    /// CPU time of the kernel when the status was made.
    busy_nanos: u64,
    /// Frames came, or something else that may move connections on.
    is_fresh: bool,
    /// When the node is to be looked at again.
    due: Option<Time>,
    refusals: Refusals,
    /// What is to be logged.
    notices: Vec<(Severity, String)>,
}

/// How many strangers came of late.
#[derive(Debug, Default)]
struct Refusals {
    since: Time,
    count: u32,
    all: u64,
}

impl Node {
    /// A node that has its key, and knows nobody yet.
    pub fn new(boot: &BootInfo, seed: [u8; 32]) -> Node {
        let mut random = ChaCha12Rng::from_seed(seed);
        let mut id = BootId::default();
        random.fill_bytes(&mut id.0);
        Node {
            name: String::new(),
            key: boot.keys.as_ref().map(NodeKey::new),
            boot: id,
            trust: Arc::default(),
            random,
            network: None,
            discovery: None,
            ipv4: None,
            connections: BTreeMap::new(),
            next_connection: 0,
            peers: Peers::default(),
            links: Links::default(),
            sessions: BTreeMap::new(),
            ended_sessions: Vec::new(),
            status: Status::default(),
            status_due: Time::ZERO,
            busy_nanos: 0,
            is_fresh: false,
            due: None,
            refusals: Refusals::default(),
            notices: Vec::new(),
        }
    }

    /// What the node's key is known by: none when it was given no secret.
    pub fn id(&self) -> Option<NodeId> {
        self.key.as_ref().map(NodeKey::id)
    }

    /// This boot.
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// A node that is known by a name, or by the digits that its number begins with.
    pub fn find(&self, wanted: &str) -> Option<NodeId> {
        self.peers.find(wanted)
    }

    /// Whether a port is one of the node itself.
    pub fn owns(&self, port: PortId) -> bool {
        let network = self.network.as_ref().map(|network| network.port);
        let discovery = self.discovery.as_ref().map(|discovery| discovery.port);
        network == Some(port) || discovery == Some(port)
    }

    /// When the node is to be looked at although nothing comes.
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Whether another turn would do something although nothing comes.
    pub fn has_work(&self) -> bool {
        self.is_fresh
            || !self.notices.is_empty()
            || self.sessions.values().any(Session::has_work)
            || self
                .connections
                .iter()
                .any(|(&number, connection)| connection.is_held && self.wants(number, connection))
    }

    /// Whether what comes on a connection would be taken.
    fn wants(&self, number: u64, connection: &Connection) -> bool {
        match &connection.stage {
            Stage::Connecting | Stage::Greeting(_) => true,
            Stage::Migration(_) => self.links.wants(ConnectionId(number)),
            Stage::Control { input, .. } => input.is_empty(),
            Stage::Closing(_) => false,
        }
    }

    fn note(&mut self, severity: Severity, text: String) {
        self.notices.push((severity, text));
    }

    /// Logs that somebody was turned away, unless many were.
    fn refuse(&mut self, remote: SocketAddr, end: End, now: Time) {
        let refusals = &mut self.refusals;
        refusals.all += 1;
        if now.since(refusals.since) >= REFUSALS_PERIOD {
            let more = refusals.count.saturating_sub(REFUSALS_LOGGED);
            refusals.since = now;
            refusals.count = 0;
            if more > 0 {
                self.note(Severity::Warning, format!("refused {more} more peers"));
            }
        }
        self.refusals.count += 1;
        if self.refusals.count <= REFUSALS_LOGGED {
            self.note(Severity::Warning, format!("refused {remote}: {end}"));
        }
    }

    // -- what comes

    /// Takes new connections and what came on all of them.
    fn receive(&mut self, now: Time, fabric: &mut Fabric) {
        let Some(mut network) = self.network.take() else {
            return;
        };
        self.is_fresh = false;
        self.discover(&network, fabric, now);
        self.accept(&mut network, now);
        self.dial(&mut network, now);
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
    fn discover(&mut self, network: &Network, fabric: &mut Fabric, now: Time) {
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

    fn accept(&mut self, network: &mut Network, now: Time) {
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

    fn setup(&mut self, protocol: Protocol) -> Option<(NodeKey, Opening, [u8; 32])> {
        let mut entropy = [0; 32];
        self.random.fill_bytes(&mut entropy);
        let opening = Opening::new(protocol, &self.name, self.boot);
        Some((self.key.clone()?, opening, entropy))
    }

    fn add(
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
            deadline,
        };
        self.connections.insert(self.next_connection, connection);
        self.next_connection += 1;
    }

    /// Connects with nodes that are due, and with those that the migrations want.
    fn dial(&mut self, network: &mut Network, now: Time) {
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

    fn dial_failed(&mut self, address: SocketAddr, problem: String, now: Time) {
        let jitter = self.random.next_u32();
        self.peers.failed(address, problem, jitter, now);
    }

    /// The key that a node at an address must have: any of the cluster, or one listed key after the other.
    fn expected_at(&mut self, address: SocketAddr) -> Option<PublicKey> {
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

    /// Moves one connection on by what came.
    fn advance(
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
            let setup = self.setup(Protocol::Migration);
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
                self.deliver(number, connection, message, now);
            }
            if budget == 0 {
                connection.is_held = true;
                return Ok(());
            }
        }
    }

    /// The other end has proved who it is, and said what it wants.
    fn greeted(
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
        let (name, remote) = (peer.opening.name.clone(), connection.remote);
        self.drive_out(network, peer.id, now);
        connection.peer = Some(peer.id);
        match peer.opening.protocol {
            Protocol::Migration => {
                let links = self.connections.values();
                let links = links.filter(|it| matches!(it.stage, Stage::Migration(_)));
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
            Protocol::Tunnel => Err(End::NotCarried(Protocol::Tunnel)),
        }
    }

    /// Makes room for another connection of a peer: the oldest goes if it has too many.
    fn drive_out(&mut self, network: &mut Network, peer: NodeId, now: Time) {
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

    fn deliver(&mut self, number: u64, connection: &mut Connection, message: Vec<u8>, now: Time) {
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
                if !Status::is_one(&message) {
                    return self.links.received(ConnectionId(number), message);
                }
                if let Some(status) = Status::decode(&message)
                    && let Some(known) = known
                {
                    if known.source == peers::Source::Heard && status.port != 0 {
                        known.address.set_port(status.port);
                    }
                    known.status = Some(status);
                }
            }
            Stage::Connecting | Stage::Greeting(_) | Stage::Closing(_) => {}
        }
    }

    /// Takes a connection apart.
    fn end(
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
            End::Network(_) | End::Channel(_) | End::NotCarried(_) | End::Crowded | End::Full => {
                network.stack.abort(connection.socket);
            }
        }
        let stage = core::mem::replace(&mut connection.stage, Stage::Connecting);
        match stage {
            Stage::Connecting | Stage::Greeting(_) => match connection.origin {
                Origin::Accepted => self.refuse(remote, end, now),
                Origin::Dialed => self.dial_failed(remote, end.to_string(), now),
            },
            Stage::Migration(_) => {
                self.links.lost(ConnectionId(number));
                if let Some(entry) = connection.entry {
                    self.peers.unlinked(entry, now);
                }
                let peer = connection.peer.unwrap_or_default();
                let text = format!("link with node {peer} at {remote} is lost: {end}");
                self.note(Severity::Warning, text);
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
    fn transmit(&mut self, now: Time) {
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

    fn speak(
        &mut self,
        network: &mut Network,
        number: u64,
        connection: &mut Connection,
        status: Option<&[u8]>,
        now: Time,
    ) -> Result<(), End> {
        let id = ConnectionId(number);
        loop {
            if let Stage::Migration(channel) = &mut connection.stage {
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
    fn settle(&mut self, now: Time, fabric: &mut Fabric) {
        let Some(network) = &mut self.network else {
            return;
        };
        if network.stack.next_poll(now).is_some_and(|at| at <= now) {
            network.stack.poll(now, fabric);
            self.is_fresh = true;
        }
        let connections = self.connections.values().filter_map(Connection::due);
        let linked = self.connections.values();
        let linked = linked.filter(|it| matches!(it.stage, Stage::Migration(_)));
        let status = linked.map(|_| self.status_due).next();
        self.due = connections
            .chain(network.stack.next_poll(now))
            .chain(self.peers.next_try())
            .chain(self.ipv4.and(self.discovery.as_ref()).map(|it| it.due))
            .chain(status)
            .min();
    }
}

impl Kernel {
    /// The connections with other nodes, for a machine that carries their messages itself.
    pub fn links(&mut self) -> &mut Links {
        &mut self.node.links
    }

    /// Plugs the node in, as the manifest says.
    pub(super) fn start_node(&mut self, spec: &NodeSpec, boot: &BootInfo) {
        let trust = boot.cluster.as_deref().map(Trust::decode);
        let trust = match trust {
            Some(Ok(trust)) => trust,
            Some(Err(error)) => return self.log(Severity::Error, format!("cluster: {error}")),
            None => Trust::default(),
        };
        let Some(keys) = &boot.keys else {
            let text =
                "the node has no secret, so it takes part in no cluster; give it one at boot";
            return self.log(Severity::Warning, text.into());
        };
        if trust.is_empty() {
            let text = "the node was told to trust nobody, so it takes part in no cluster; give it a cluster \
                        key or listed keys at boot";
            return self.log(Severity::Warning, text.into());
        }
        let now = self.clock.now();
        self.node.name = match image::is_name(&self.name) {
            true => self.name.clone(),
            false => "node".into(),
        };
        for &address in spec.peers.iter().chain(&trust.peers) {
            self.node.peers.configure(address);
        }
        self.node.trust = Arc::new(trust);
        let station = station_address(keys);
        let place = Place {
            spec,
            name: &self.node.name,
            mac: station,
            seed: self.random.next_u64(),
            allowance: &self.allowance,
            now,
        };
        match Network::open(&place, &mut self.fabric) {
            Ok(network) => {
                let id = self.node.id().unwrap_or_default();
                let text = format!("node {id} listens on port {}", network.tcp_port);
                self.node.network = Some(network);
                let segment = self.fabric.find(&spec.switch);
                self.node.discovery =
                    segment.and_then(|segment| Discovery::open(segment, station, &mut self.fabric));
                self.node.is_fresh = true;
                self.log(Severity::Info, text);
            }
            Err(error) => self.log(Severity::Error, format!("the node's network: {error}")),
        }
    }

    /// Frames came for the node itself.
    pub(super) fn poll_node(&mut self) {
        let now = self.clock.now();
        if let Some(network) = &mut self.node.network {
            network.stack.poll(now, &mut self.fabric);
            self.node.is_fresh = true;
        }
    }

    /// Takes what came for the node: messages for the migrations, words of operators.
    pub(super) fn attend_node(&mut self, machine: &mut dyn Machine) {
        if self.node.network.is_none() {
            return;
        }
        let now = self.clock.now();
        if self.node.due.is_some_and(|due| due <= now)
            && let Some(network) = &mut self.node.network
        {
            network.stack.poll(now, &mut self.fabric);
            self.node.is_fresh = true;
        }
        if self.node.is_fresh || self.node.has_work() {
            self.node.receive(now, &mut self.fabric);
        }
        self.serve_connections(machine);
        self.log_node();
    }

    /// Sends what there is for other nodes and operators.
    pub(super) fn flush_node(&mut self, machine: &mut dyn Machine) {
        if self.node.network.is_none() {
            return;
        }
        let now = self.clock.now();
        self.attend_connections(machine);
        if self.node.status_due <= now {
            self.renew_status(machine, now);
        }
        self.node.transmit(now);
        self.node.settle(now, &mut self.fabric);
        self.log_node();
    }

    fn renew_status(&mut self, machine: &dyn Machine, now: Time) {
        let memory = machine.memory_stats();
        let before = self.node.busy_nanos;
        let span = now
            .since(self.node.status_due - status::INTERVAL)
            .as_nanos() as u64;
        let busy = self.busy_nanos.saturating_sub(before);
        self.node.busy_nanos = self.busy_nanos;
        self.node.status = Status {
            version: VERSION.into(),
            port: self.node.network.as_ref().map_or(0, |it| it.tcp_port),
            memory_bytes: memory.total_bytes,
            free_bytes: memory.free_bytes,
            load_permille: (u128::from(busy) * 1000 / u128::from(span.max(1))).min(1000) as u16,
            instances: self.occupied().count() as u32,
        };
    }

    fn log_node(&mut self) {
        for (severity, text) in core::mem::take(&mut self.node.notices) {
            self.log(severity, text);
        }
    }
}
