//! Nodes that run: their machines, their LAN, and what is done to them from outside.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use sos_core::cluster::Trust;
use tempfile::TempDir;

use super::bridge::{Tap, Wiring};
use super::orders::Order;
use super::plan::NodePlan;
use super::{Report, keys};
use crate::exec::keep::Place;
use crate::lan::{Cable, Faults, Forward, Lan, LanConfig, LinkState};
use crate::process::say;
use crate::qemu::{Console, End, Node, NodeBuilder};

/// File of the run's folder with whom its nodes trust.
const TRUST: &str = "trust";

/// How the nodes are started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory of each machine.
    pub memory_mib: u64,
    /// CPUs of each machine.
    pub cpus: u32,
    /// Words for each kernel's command line.
    pub append: Vec<String>,
    /// What joins them.
    pub network: Network,
    /// The project's state folder, for its keys ([`keys::statefolder`]).
    pub state: PathBuf,
    /// How long each machine may live.
    pub watchdog: Option<Duration>,
    /// Further arguments for each machine's QEMU.
    pub arguments: Vec<String>,
}

/// What joins nodes.
#[derive(Clone, Debug)]
pub enum Network {
    /// A LAN of the tool's own.
    Lan {
        /// Ports of the host that lead to services.
        forwards: Vec<Forward>,
        /// Where its frames are recorded.
        pcap: Option<PathBuf>,
    },
    /// A network of the host.
    Host(Wiring),
}

/// What joins nodes that run.
enum Joint {
    Lan(Lan),
    Host(Wiring),
}

/// Running nodes. Dropping it ends them.
pub struct Cluster {
    // The machines end before what joins them does.
    members: Vec<Member>,
    joint: Joint,
    /// Forwards to services come before those to control ports.
    services: usize,
    reports: Sender<Report>,
    folder: TempDir,
}

struct Member {
    plan: NodePlan,
    builder: NodeBuilder,
    /// Where others find its channel; it may be missing.
    place: Option<Place>,
    machine: Option<Node>,
    /// Its place in a network of the host, for as long as it may run.
    _tap: Option<Tap>,
    cable: Cable,
    /// How often it was started; reports of an earlier life are told apart by it.
    life: u32,
}

impl Cluster {
    /// Starts the LAN and every node. What happens is reported until nobody listens.
    ///
    /// # Errors
    /// When the LAN, a key or a machine cannot be made.
    pub fn start(
        kernel: &Path,
        plans: Vec<NodePlan>,
        options: Options,
        reports: Sender<Report>,
    ) -> Result<Cluster> {
        let folder = tempfile::Builder::new()
            .prefix("sos-nodes-")
            .tempdir()
            .context("make a folder for the nodes' images")?;
        let mut services = 0;
        let joint = match &options.network {
            Network::Host(wiring) => Joint::Host(wiring.clone()),
            Network::Lan { forwards, pcap } => {
                services = forwards.len();
                let control = plans.iter().filter_map(|plan| plan.address);
                let config = LanConfig {
                    forwards: forwards
                        .iter()
                        .cloned()
                        .chain(control.map(control_forward))
                        .collect(),
                    pcap: pcap.clone(),
                    ..LanConfig::default()
                };
                let lan = Lan::start(config);
                Joint::Lan(
                    lan.context("start the LAN (another host port: --forward HOST:INSTANCE:PORT)")?,
                )
            }
        };
        let key = keys::read_or_make(&keys::cluster_key_file(&options.state))?;
        let trust = Trust::in_cluster(key).encode();
        let trust = trust.map_err(|error| anyhow!("write down whom the nodes trust: {error}"))?;
        keys::write_secret(&folder.path().join(TRUST), &trust)?;
        let mut cluster = Cluster {
            members: Vec::new(),
            joint,
            services,
            reports,
            folder,
        };
        for (index, plan) in plans.into_iter().enumerate() {
            let member = cluster.prepare(kernel, index, plan, &options)?;
            cluster.members.push(member);
        }
        for index in 0..cluster.members.len() {
            cluster.note_control(index)?;
            cluster.boot(index)?;
        }
        Ok(cluster)
    }

    /// How many nodes there are, dead ones included.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The nodes' names, in order.
    pub fn names(&self) -> Vec<String> {
        let names = self.members.iter().map(|member| member.plan.name.clone());
        names.collect()
    }

    /// A node's place in the order.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn find(&self, name: &str) -> Result<usize> {
        let found = self.members.iter().position(|it| it.plan.name == name);
        found.with_context(|| {
            format!(
                "no node `{name}`: the nodes are {}",
                self.names().join(", ")
            )
        })
    }

    /// The tool's own LAN, if that is what joins the nodes.
    pub fn lan(&self) -> Option<&Lan> {
        match &self.joint {
            Joint::Lan(lan) => Some(lan),
            Joint::Host(_) => None,
        }
    }

    /// Where this host reaches a node's control port; none where DHCP gave the node its address.
    pub fn control(&self, node: usize) -> Option<SocketAddr> {
        match &self.joint {
            Joint::Lan(lan) => {
                let port = lan.forward_port(self.services + node);
                Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            }
            Joint::Host(_) => self.address(node),
        }
    }

    /// The name by which `sos ctl --node` finds a node.
    pub fn public_name(&self, node: usize) -> Option<&str> {
        Some(self.members.get(node)?.place.as_ref()?.name())
    }

    /// Where a node's channel is, if others can find it.
    pub fn channel(&self, node: usize) -> Option<PathBuf> {
        Some(self.members.get(node)?.place.as_ref()?.socket())
    }

    /// Where a node is reached itself on its network; none where DHCP gave it its address.
    pub fn address(&self, node: usize) -> Option<SocketAddr> {
        self.members.get(node)?.plan.address
    }

    /// A node's machine, if it runs or has run and was not taken away.
    pub fn machine(&self, node: usize) -> Option<&Node> {
        self.members.get(node)?.machine.as_ref()
    }

    /// A node's console.
    pub fn console(&self, node: usize) -> Option<&Console> {
        self.machine(node).map(Node::console)
    }

    /// Whether a report about the end of a node is about the life that it leads now.
    pub fn is_current(&self, node: usize, life: u32) -> bool {
        self.members.get(node).is_some_and(|it| it.life == life)
    }

    /// Whether any node runs.
    pub fn any_runs(&self) -> bool {
        let mut machines = self.members.iter().filter_map(|it| it.machine.as_ref());
        machines.any(|machine| machine.end().is_none())
    }

    /// Takes a node's power.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        let member = self.members.get_mut(node).context("no such node")?;
        if let Some(machine) = &member.machine {
            machine.kill();
        }
        Ok(())
    }

    /// Takes a node's power, if it has it, and boots it again.
    ///
    /// # Errors
    /// When there is no such node, or its machine does not start again.
    pub fn reset(&mut self, node: usize) -> Result<()> {
        let member = self.members.get_mut(node).context("no such node")?;
        member.machine = None;
        self.boot(node)
    }

    /// Lays another cable to a node.
    ///
    /// # Errors
    /// When there is no such node or LAN.
    pub fn set_cable(&mut self, node: usize, cable: Cable) -> Result<()> {
        let member = self.members.get_mut(node).context("no such node")?;
        match &self.joint {
            Joint::Lan(lan) => lan.set_cable(&member.plan.name, cable)?,
            Joint::Host(_) => {
                bail!("the cables of a network of the host are not the tool's to spoil")
            }
        }
        member.cable = cable;
        Ok(())
    }

    /// Does what an order says.
    ///
    /// # Errors
    /// When it names no node, or cannot be done.
    pub fn obey(&mut self, order: &Order) -> Result<()> {
        let node = self.find(order.node())?;
        let mut cable = self.members[node].cable;
        match order {
            Order::Reset(_) => return self.reset(node),
            Order::Kill(_) => return self.kill(node),
            Order::Cut(_) => cable.link = LinkState::Cut,
            Order::Heal(_) => cable = Cable::default(),
            Order::Loss(_, per_mille) => cable.faults.loss_per_mille = *per_mille,
            Order::Delay(_, delay) => {
                cable.faults = Faults {
                    delay_per_mille: if delay.is_zero() { 0 } else { 1000 },
                    delay: *delay,
                    ..cable.faults
                };
            }
            Order::Rate(_, rate) => cable.bandwidth_bits_per_s = Some(*rate),
        }
        self.set_cable(node, cable)
    }

    /// Everything that a node's machine needs, on disk and on the LAN.
    fn prepare(
        &self,
        kernel: &Path,
        index: usize,
        plan: NodePlan,
        options: &Options,
    ) -> Result<Member> {
        let name = &plan.name;
        let image = self.folder.path().join(format!("{name}.sosimg"));
        plan.image.write(&image)?;
        if plan.image.bytes.len() as u64 > (options.memory_mib << 20) / 2 {
            bail!("{name}'s image does not fit well into its memory: give it more by --memory");
        }
        let secret = keys::secret_file(&options.state, name);
        let mac = station_address(&keys::read_or_make(&secret)?);
        let (card, tap) = match &self.joint {
            Joint::Lan(lan) => {
                let outlet = lan.outlet(name)?;
                (lan.qemu_netdev_args_at(&outlet, "net0", &mac), None)
            }
            Joint::Host(wiring) => {
                let tap = wiring.tap(index)?;
                (tap.qemu_netdev_args("net0", &mac), Some(tap))
            }
        };
        let mut builder = NodeBuilder::new(plan.kernel.as_deref().unwrap_or(kernel))
            .name(name)
            .image(&image)
            .memory_mib(options.memory_mib)
            .cpus(options.cpus)
            .secret(&secret)
            .trust(&self.folder.path().join(TRUST))
            .arguments(card)
            .arguments(options.arguments.iter().cloned());
        builder = match options.watchdog {
            Some(limit) => builder.watchdog(limit),
            None => builder.without_watchdog(),
        };
        for words in &options.append {
            builder = builder.append(words);
        }
        // A node whose channel nobody can find is a node all the same.
        let place = Place::reserve(name)
            .inspect_err(|error| say(format!("note: no channel to {name}: {error:#}")))
            .ok();
        if let Some(place) = &place {
            builder = builder.channel(&place.socket());
        }
        Ok(Member {
            plan,
            builder,
            place,
            machine: None,
            _tap: tap,
            cable: Cable::default(),
            life: 0,
        })
    }

    /// Lets others on this host find a node's control port by the node's name.
    fn note_control(&self, node: usize) -> Result<()> {
        match (&self.members[node].place, self.control(node)) {
            (Some(place), Some(address)) => place.note_control(address),
            _ => Ok(()),
        }
    }

    fn boot(&mut self, node: usize) -> Result<()> {
        let member = &mut self.members[node];
        member.life += 1;
        let (life, printed, ended) = (member.life, self.reports.clone(), self.reports.clone());
        let machine = member.builder.clone().spawn_copying(move |bytes| {
            let bytes = bytes.to_vec();
            // Nobody listens any more when the run is over.
            let _ = printed.send(Report::Printed { node, bytes });
        })?;
        machine.when_ended(move || {
            let _ = ended.send(Report::Ended { node, life });
        });
        member.machine = Some(machine);
        Ok(())
    }

    /// How a node's machine ended, if it did.
    pub fn end(&self, node: usize) -> Option<End> {
        self.machine(node)?.end()
    }
}

/// Any free port of the host that leads to a node's control port.
fn control_forward(address: SocketAddr) -> Forward {
    Forward::to_address(address.ip(), address.port())
}

/// A station address that a node has in every run, and no other node: locally administered (IEEE 802, 8.2.2).
fn station_address(secret: &[u8; keys::KEY_BYTES]) -> String {
    let sum = Sha256::new_with_prefix("sos station address");
    let sum = sum.chain_update(secret).finalize();
    format!(
        "02:53:{:02x}:{:02x}:{:02x}:{:02x}",
        sum[0], sum[1], sum[2], sum[3]
    )
}
