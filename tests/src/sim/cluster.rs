//! Nodes, joined by wires that misbehave as told.

use super::machine::{SimClock, SimMachine};
use super::peer::Peer;
use super::wires::Wires;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sos_core::cluster::Trust;
use sos_core::kernel::{BootInfo, Kernel, Next};
use sos_core::keys::NodeKeys;
use sos_core::machine::{Clock, Duration, Time};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How a wire treats frames.
#[derive(Debug, Clone, Copy)]
pub struct WireFaults {
    /// Frames lost, of 1000.
    pub loss_permille: u32,
    /// Frames delivered twice, of 1000.
    pub repeat_permille: u32,
    /// Least time on the wire.
    pub delay: Duration,
    /// Random time added to it, which reorders frames when above zero.
    pub jitter: Duration,
}

impl WireFaults {
    /// A good wire.
    pub const NONE: WireFaults = WireFaults {
        loss_permille: 0,
        repeat_permille: 0,
        delay: Duration::from_micros(20),
        jitter: Duration::ZERO,
    };
}

/// One simulated node.
pub struct Node {
    /// Its hardware.
    pub machine: SimMachine,
    /// Its kernel.
    pub kernel: Kernel,
    /// When it wants a turn.
    due: Option<Time>,
    /// How it ended, when it did.
    pub ended: Option<Next>,
    /// Turns since it was switched on.
    pub turns: u64,
}

impl Node {
    /// Everything printed so far, as text.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&self.machine.printed).into_owned()
    }
}

/// What hangs on the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Station {
    /// The first NIC of this node.
    Node(usize),
    /// This peer.
    Peer(usize),
    /// Somebody else.
    Stranger,
}

/// Nodes whose first NICs hang on one Ethernet segment, and peers beside them.
pub struct Cluster {
    clock: Arc<SimClock>,
    random: SmallRng,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The machines that are no nodes.
    pub(super) peers: Vec<Peer>,
    /// Connections between nodes.
    pub wires: Wires,
    /// How the segment behaves.
    pub faults: WireFaults,
    /// Frames on the wire: (arrival, order) to (receiver, frame).
    flying: BTreeMap<(Time, u64), (Station, Vec<u8>)>,
    order: u64,
    /// Every frame that was put on the segment, for a test that wants to see them.
    pub seen: Option<Vec<Vec<u8>>>,
    /// TCP segments with the flag RST that were put on the segment.
    pub resets: u64,
}

impl Cluster {
    /// An empty cluster whose every chance comes from `seed`.
    pub fn new(seed: u64) -> Cluster {
        Cluster {
            clock: Arc::default(),
            random: SmallRng::seed_from_u64(seed),
            nodes: Vec::new(),
            peers: Vec::new(),
            wires: Wires::default(),
            faults: WireFaults::NONE,
            flying: BTreeMap::new(),
            order: 0,
            resets: 0,
            seen: None,
        }
    }

    /// Boots a node from an image.
    pub fn boot(&mut self, name: &str, image: Vec<u8>) -> usize {
        // A node's image lives as long as the node, which here is as long as the test.
        self.boot_from(name, Vec::leak(image))
    }

    /// Boots a node from an image that others may be booted from.
    pub fn boot_from(&mut self, name: &str, image: &'static [u8]) -> usize {
        self.boot_with(name, image, None)
    }

    /// Boots a node from an image, with these keys.
    pub fn boot_with(&mut self, name: &str, image: &'static [u8], keys: Option<NodeKeys>) -> usize {
        let node = self.switch_on(BootInfo {
            image: Some(image),
            name: Some(name.into()),
            keys,
            ..BootInfo::default()
        });
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Boots a node that takes part in a cluster: with a secret of its own, and what it is told of the others.
    ///
    /// # Panics
    /// When the trust cannot be stored.
    pub fn boot_member(&mut self, name: &str, image: Vec<u8>, secret: u8, trust: &Trust) -> usize {
        let node = self.switch_on(member(name, image, secret, trust));
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The same from an image that others may be booted from.
    ///
    /// # Panics
    /// When the trust cannot be stored.
    pub fn boot_member_from(
        &mut self,
        name: &str,
        image: &'static [u8],
        secret: u8,
        trust: &Trust,
    ) -> usize {
        let member = member(name, Vec::new(), secret, trust);
        let image = Some(image);
        let node = self.switch_on(BootInfo { image, ..member });
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Cuts the power of a node of a cluster and gives it back at once.
    ///
    /// # Panics
    /// When the trust cannot be stored.
    pub fn cut_power_of_member(
        &mut self,
        node: usize,
        name: &str,
        image: Vec<u8>,
        secret: u8,
        trust: &Trust,
    ) {
        self.nodes[node] = self.switch_on(member(name, image, secret, trust));
    }

    /// Cuts a node's power and gives it back at once: it boots from an image, and nothing is left of what it held.
    pub fn cut_power(&mut self, node: usize, name: &str, image: Vec<u8>) {
        self.unwire(node);
        self.nodes[node] = self.switch_on(BootInfo {
            image: Some(Vec::leak(image)),
            name: Some(name.into()),
            ..BootInfo::default()
        });
    }

    fn switch_on(&mut self, info: BootInfo) -> Node {
        let seed = self.random.random();
        let mut machine = SimMachine::new(self.clock.clone(), 1, seed);
        let kernel = Kernel::new(&mut machine, info);
        Node {
            machine,
            kernel,
            due: Some(Time::ZERO),
            ended: None,
            turns: 0,
        }
    }

    /// A cluster of one node that runs an image, beside one client: its number.
    pub fn beside_client(image: Vec<u8>) -> (Cluster, usize) {
        let mut cluster = Cluster::new(1);
        cluster.boot("node1", image);
        let client = cluster.add_peer("10.0.0.100/24");
        cluster.run_for(Duration::from_millis(20));
        (cluster, client)
    }

    /// Puts a peer with a static address such as `10.0.0.100/24` on the wire.
    ///
    /// # Panics
    /// When the address does not parse.
    pub fn add_peer(&mut self, address: &str) -> usize {
        let (address, length) = address.split_once('/').expect("a prefix length");
        let address: IpAddr = address.parse().expect("an address");
        let length = length.parse().expect("a prefix length");
        let number = self.peers.len();
        let peer = Peer::new(address, length, number as u8, self.now());
        self.peers.push(peer);
        number
    }

    /// Simulated time.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Types at a node's console.
    pub fn type_text(&mut self, node: usize, text: &str) {
        self.nodes[node].machine.typed.extend(text.as_bytes());
    }

    /// Puts a frame on the segment as `from` would.
    pub fn send(&mut self, from: Station, frame: Vec<u8>) {
        self.resets += u64::from(is_reset(&frame));
        if let Some(seen) = &mut self.seen {
            seen.push(frame.clone());
        }
        let nodes = (0..self.nodes.len()).map(Station::Node);
        let stations = nodes.chain((0..self.peers.len()).map(Station::Peer));
        for station in stations.filter(|&station| station != from) {
            let mut copies = 1;
            if self.random.random_ratio(self.faults.loss_permille, 1000) {
                copies = 0;
            } else if self.random.random_ratio(self.faults.repeat_permille, 1000) {
                copies = 2;
            }
            for _ in 0..copies {
                let jitter_nanos = self.faults.jitter.as_nanos() as u64;
                let jitter = Duration::from_nanos(self.random.random_range(0..=jitter_nanos));
                let arrival = self.now() + self.faults.delay + jitter;
                self.order += 1;
                self.flying
                    .insert((arrival, self.order), (station, frame.clone()));
            }
        }
    }

    /// Runs until `done` is true, for at most `patience` of simulated time; tells whether it was.
    pub fn run_until(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&mut Cluster) -> bool,
    ) -> bool {
        let end = self.now() + patience;
        loop {
            if done(self) {
                return true;
            }
            if self.now() >= end || !self.step(end) {
                return done(self);
            }
        }
    }

    /// Runs for `duration`.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    /// One turn of every node that wants one, or a step in time to the next event, not past `end`.
    fn step(&mut self, end: Time) -> bool {
        self.deliver();
        let message = self.carry();
        let mut worked = message.is_some_and(|time| time <= self.now());
        for index in 0..self.nodes.len() {
            worked |= self.turn(index);
        }
        for index in 0..self.peers.len() {
            worked |= self.turn_peer(index);
        }
        if worked {
            return true;
        }
        let arrival = self.flying.keys().next().map(|&(time, _)| time);
        let due = self.nodes.iter().filter_map(|node| node.due).min();
        let peer_due = self.peers.iter().filter_map(Peer::due).min();
        let next = [arrival, due, peer_due, message]
            .into_iter()
            .flatten()
            .min();
        let next = next.unwrap_or(end);
        self.clock.advance_to(next.min(end));
        true
    }

    fn deliver(&mut self) {
        let now = self.now();
        while let Some(entry) = self
            .flying
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            match entry.remove() {
                (Station::Node(node), frame) => {
                    if let Some(nic) = self.nodes[node].machine.nics.first_mut() {
                        nic.arrive(frame);
                    }
                }
                (Station::Peer(peer), frame) => self.peers[peer].arrive(&frame, now),
                (Station::Stranger, _) => {}
            }
        }
    }

    /// Has a node take a turn.
    pub(super) fn wake(&mut self, node: usize) {
        self.nodes[node].due = Some(self.now());
    }

    fn turn(&mut self, index: usize) -> bool {
        let now = self.now();
        let node = &mut self.nodes[index];
        let wanted = node.due.is_some_and(|due| due <= now) || has_events(&node.machine);
        if node.ended.is_some() || !wanted {
            return false;
        }
        node.machine.channel.changed = false;
        node.turns += 1;
        let next = node.kernel.turn(&mut node.machine);
        node.due = match next {
            Next::Again => Some(now),
            Next::Idle { until } => until,
            Next::PowerOff | Next::Reboot => {
                node.ended = Some(next);
                None
            }
        };
        let frames: Vec<Vec<u8>> = node
            .machine
            .nics
            .iter_mut()
            .flat_map(|nic| nic.transmitted.drain(..))
            .collect();
        for frame in frames {
            self.send(Station::Node(index), frame);
        }
        true
    }

    fn turn_peer(&mut self, index: usize) -> bool {
        let now = self.now();
        let peer = &mut self.peers[index];
        if peer.due().is_none_or(|due| due > now) {
            return false;
        }
        for frame in peer.turn(now) {
            self.send(Station::Peer(index), frame);
        }
        true
    }
}

/// What a node of a cluster boots with.
fn member(name: &str, image: Vec<u8>, secret: u8, trust: &Trust) -> BootInfo {
    BootInfo {
        image: Some(Vec::leak(image)),
        name: Some(name.into()),
        keys: Some(NodeKeys::new(&[secret; 32])),
        cluster: Some(trust.encode().expect("trust that can be stored")),
    }
}

/// Whether a frame holds a TCP segment over IPv4 that resets its connection (RFC 9293, 3.1).
fn is_reset(frame: &[u8]) -> bool {
    let Some((ethernet, ip)) = frame.split_at_checked(14) else {
        return false;
    };
    let is_tcp = ethernet.ends_with(&[8, 0]) && ip.get(9) == Some(&6);
    let header_bytes = ip.first().map_or(0, |first| usize::from(first & 15) * 4);
    is_tcp
        && ip
            .get(header_bytes + 13)
            .is_some_and(|flags| flags & 4 != 0)
}

fn has_events(machine: &SimMachine) -> bool {
    sos_core::machine::Machine::has_events(machine)
}
