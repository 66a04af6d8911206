//! [`Pair`]: two nodes on one LAN, both asked over their operators' channels.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sos_core::control::{MigrateOptions, Request};
use tempfile::TempDir;

use super::story::{Crossing, Departure, Event, Events, arrival_ns};
use crate::bench::sos_node::Kit;
use crate::bench::system::{MEMORY_MIB, PREALLOCATED};
use crate::cluster::{self, Cluster, Ground, Network, Options};
use crate::exec::Client;
use crate::lan::{Forward, Subnet};
use crate::qemu::channel;
use crate::snapshot::transfer;
use crate::{image, paths};

/// How long nodes may take to boot and to meet, and an instance to move.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the nodes may live.
const WATCHDOG: Duration = Duration::from_secs(600);
/// Between two looks whether an instance has left.
const POLL_INTERVAL: Duration = Duration::from_millis(30);
/// What the nodes are called.
pub const NODES: [&str; 2] = ["node1", "node2"];

/// Two nodes that are linked.
pub struct Pair {
    clients: [Client; 2],
    /// Number of each node's next event.
    next_event: [u64; 2],
    cluster: Cluster,
    _state: TempDir,
}

/// A move as it was seen from here and told by the nodes.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    /// When it was asked for.
    pub asked: Instant,
    /// What the source told.
    pub departure: Departure,
    /// What both told.
    pub crossing: Crossing,
}

impl Pair {
    /// Boots two nodes, the first with the instances of a manifest, and waits until they have met.
    pub fn start(kit: &Kit, manifest: &str, forwards: Vec<Forward>) -> Result<Pair> {
        let image = image::from_text(manifest, &paths::workspace()?)?;
        let plans = cluster::plan(
            &image,
            NODES.len() as u32,
            &[],
            Ground::Lan(Subnet::default()),
        )?;
        let state = tempfile::tempdir().context("make a folder for the nodes' keys")?;
        let options = Options {
            memory_mib: MEMORY_MIB,
            cpus: 1,
            append: Vec::new(),
            network: Network::Lan {
                forwards,
                pcap: None,
            },
            state: state.path().to_path_buf(),
            watchdog: Some(WATCHDOG),
            arguments: PREALLOCATED.map(str::to_owned).to_vec(),
        };
        // What the nodes print is kept by their consoles; nobody listens besides.
        let (reports, _) = std::sync::mpsc::channel();
        let cluster = Cluster::start(kit.kernel(), plans, options, reports)?;
        let open = |node: usize| {
            let socket = cluster.channel(node).context("a node without a channel")?;
            let stream = channel::connect(&socket, PATIENCE).context("connect to a node")?;
            Client::open(stream, PATIENCE, PATIENCE, || ())
        };
        let mut pair = Pair {
            clients: [open(0)?, open(1)?],
            next_event: [0; 2],
            cluster,
            _state: state,
        };
        pair.meet()?;
        Ok(pair)
    }

    /// Waits until each node is linked to the other.
    fn meet(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for node in 0..NODES.len() {
            loop {
                let rows = self.ask(node, &Request::Nodes)?;
                let mut rows = rows.as_array().into_iter().flatten();
                if rows.any(|row| row["state"] == "linked") {
                    break;
                }
                ensure!(Instant::now() < deadline, "the nodes did not meet");
                std::thread::sleep(POLL_INTERVAL);
            }
        }
        Ok(())
    }

    /// The port of this host that leads to the forward of this index.
    pub fn port(&self, index: usize) -> u16 {
        self.cluster.lan().map_or(0, |lan| lan.forward_port(index))
    }

    /// Asks a node.
    pub fn ask(&mut self, node: usize, request: &Request) -> Result<Value> {
        let report = transfer::ask(&mut self.clients[node], request)?;
        match report.is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice(&report).context("read a node's answer"),
        }
    }

    /// What has happened on a node since it was last asked.
    pub fn events(&mut self, node: usize) -> Result<Vec<Event>> {
        let since = self.next_event[node];
        let report = transfer::ask(&mut self.clients[node], &Request::Events { since })?;
        let events: Events = serde_json::from_slice(&report).context("read a node's events")?;
        self.next_event[node] = events.next;
        Ok(events.entries)
    }

    /// Moves an instance from one node to the other, and waits until the source knows that it runs there.
    pub fn move_from(&mut self, from: usize, instance: &str) -> Result<Move> {
        for node in 0..NODES.len() {
            self.events(node)?;
        }
        let request = Request::Migrate {
            name: instance.into(),
            to: NODES[1 - from].into(),
            options: MigrateOptions::default(),
        };
        let asked = Instant::now();
        self.ask(from, &request)?;
        let mut events = Vec::new();
        let departure = loop {
            std::thread::sleep(POLL_INTERVAL);
            events.extend(self.events(from)?);
            if let Some(departure) = Departure::read(&events, instance)? {
                break departure;
            }
            if asked.elapsed() > PATIENCE {
                bail!("{instance} did not leave {}", NODES[from]);
            }
        };
        let events = self.events(1 - from)?;
        let arrived_ns = arrival_ns(&events, instance).context("it left and did not arrive")?;
        Ok(Move {
            asked,
            departure,
            crossing: Crossing {
                from,
                frozen_ns: departure.frozen_ns,
                arrived_ns,
            },
        })
    }
}
