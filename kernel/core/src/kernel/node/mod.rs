//! The node among others: its own network stack, its connections with other nodes and with operators.
//!
//! Other nodes and operators connect to the node's TCP port, and the node to those that it was told of
//! ([`crate::image::NodeSpec`], [`Trust`]). Each connection carries one [`Channel`]: a stranger gets
//! nothing, is logged, and takes one of few places, from which the next one drives him out. What a channel is for
//! decides who reads it: the migrations ([`Links`]), or an operator's session (`control`).
//!
//! - `links`: messages between nodes, for the migrations; - `network`: the stack; - `connection`: TCP and
//!   the channel over it; - `peers`: the nodes that are known; - `status`: what they tell of themselves;
//! - `opening`, `serving`: connections from their beginning to their end; - `turns`: what the kernel calls in each;
//! - `visitors`: what a node tells another of its instances; - `tunnels`: private networks that go on on other nodes; - `discovery`: hearing of each other on the LAN; - `control`: operators' sessions; - `listing`: what operators see.

mod connection;
mod control;
mod discovery;
mod links;
mod listing;
mod network;
mod opening;
mod peers;
mod serving;
mod status;
mod tunnels;
mod turns;
mod visitors;

pub(in crate::kernel) use tunnels::remote;
pub(in crate::kernel) use visitors::{Visitor, Visitors};

pub use links::{Full, LinkEvent, LinkedNode, Links};

use super::BootInfo;
use super::operator::Session;
use crate::cluster::{NodeKey, Trust};
use crate::log::Severity;
use crate::machine::{Duration, Time};
use crate::migrate::{BootId, ConnectionId, NodeId};
use crate::net::fabric::PortId;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use connection::{Connection, End, Stage};
use core::net::{Ipv4Addr, SocketAddr};
use discovery::Discovery;
use network::Network;
use peers::Peers;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use status::Status;
use tunnels::Tunnels;
use visitors::Lodgings;

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
    tunnels: Tunnels,
    lodgings: Lodgings,
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
            tunnels: Tunnels::default(),
            lodgings: Lodgings::default(),
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
            Stage::Tunnel(_) => true,
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
}
