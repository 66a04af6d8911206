//! Nodes that run: their machines, their LAN, and what is done to them from outside.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use sos_core::cluster::Trust;
use tempfile::TempDir;

use super::orders::Order;
use super::plan::NodePlan;
use super::{Report, keys};
use crate::exec::keep::Place;
use crate::lan::{Cable, Faults, Forward, Lan, LanConfig, LinkState, Service};
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
    /// Ports of the host that lead to services.
    pub forwards: Vec<Forward>,
    /// Where the LAN's frames are recorded.
    pub pcap: Option<PathBuf>,
    /// The project's state folder, for its keys ([`keys::statefolder`]).
    pub state: PathBuf,
    /// How long each machine may live.
    pub watchdog: Option<Duration>,
    /// Further arguments for each machine's QEMU.
    pub arguments: Vec<String>,
}

/// Running nodes on their LAN. Dropping it ends them.
pub struct Cluster {
    // The machines end before their LAN does.
    members: Vec<Member>,
    lan: Lan,
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
        let services = options.forwards.len();
        let mut forwards = options.forwards.clone();
        forwards.extend(plans.iter().map(control_forward));
        let lan = Lan::start(LanConfig {
            forwards,
            pcap: options.pcap.clone(),
            ..LanConfig::default()
        })
        .context("start the LAN (another host port: --forward HOST:INSTANCE:PORT)")?;
        let key = keys::read_or_make(&keys::cluster_key_file(&options.state))?;
        let trust = Trust::in_cluster(key).encode();
        let trust = trust.map_err(|error| anyhow!("write down whom the nodes trust: {error}"))?;
        keys::write_secret(&folder.path().join(TRUST), &trust)?;
        let mut cluster = Cluster {
            members: Vec::new(),
            lan,
            services,
            reports,
            folder,
        };
        for plan in plans {
            let member = cluster.prepare(kernel, plan, &options)?;
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

    /// The LAN.
    pub fn lan(&self) -> &Lan {
        &self.lan
    }

    /// The host's port that leads to a node's control port.
    pub fn control_port(&self, node: usize) -> u16 {
        self.lan.forward_port(self.services + node)
    }

    /// The name by which `sos ctl --node` finds a node.
    pub fn public_name(&self, node: usize) -> Option<&str> {
        Some(self.members.get(node)?.place.as_ref()?.name())
    }

    /// Where a node's channel is, if others can find it.
    pub fn channel(&self, node: usize) -> Option<PathBuf> {
        Some(self.members.get(node)?.place.as_ref()?.socket())
    }

    /// Where a node is reached itself on the LAN.
    pub fn address(&self, node: usize) -> Option<SocketAddr> {
        Some(self.members.get(node)?.plan.address)
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
        self.lan.set_cable(&member.plan.name, cable)?;
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
    fn prepare(&self, kernel: &Path, plan: NodePlan, options: &Options) -> Result<Member> {
        let name = &plan.name;
        let image = self.folder.path().join(format!("{name}.sosimg"));
        plan.image.write(&image)?;
        if plan.image.bytes.len() as u64 > (options.memory_mib << 20) / 2 {
            bail!("{name}'s image does not fit well into its memory: give it more by --memory");
        }
        let secret = keys::secret_file(&options.state, name);
        keys::read_or_make(&secret)?;
        let outlet = self.lan.outlet(name)?;
        let mut builder = NodeBuilder::new(kernel)
            .name(name)
            .image(&image)
            .memory_mib(options.memory_mib)
            .cpus(options.cpus)
            .secret(&secret)
            .trust(&self.folder.path().join(TRUST))
            .arguments(self.lan.qemu_netdev_args_at(&outlet, "net0", &plan.mac))
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
            cable: Cable::default(),
            life: 0,
        })
    }

    /// Lets others on this host find a node's control port by the node's name.
    fn note_control(&self, node: usize) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.control_port(node)));
        match &self.members[node].place {
            Some(place) => place.note_control(address),
            None => Ok(()),
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
fn control_forward(plan: &NodePlan) -> Forward {
    Forward {
        host: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        service: Service::Address(plan.address.ip()),
        port: plan.address.port(),
    }
}
