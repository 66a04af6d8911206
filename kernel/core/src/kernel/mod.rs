//! The kernel: everything a node decides, one bounded [`Kernel::turn`] after another.
//!
//! A turn takes what the machine has (typed bytes, frames, the time), lets the instance that is
//! furthest behind run for a slice, and hands out what came of it. The machine's loop calls it again
//! at once, or idles until the time or event that [`Next`] names.
//!
//! - `record`: what is kept of one instance; - `starting`: making one; - `lifecycle`: stop, pause, restart policies;
//! - `run`: slices and wake-ups; - `traffic`: frames between NICs, fabric and stacks;
//! - `admission`: what the memory that is left allows; - `blobs`: modules and files by hash;
//! - `files`: which of them an instance starts with; - `health`: whether it serves;
//! - `programs`: sets of modules, translated once; - `loading`: in steps;
//! - `cut`: an instance at one instant, and one made of it;
//! - `anew`: what makes a clone another instance;
//! - `snapshots`: cuts that are kept, and suspended instances; - `group`: of several at one instant;
//! - `joint`: instances that come to life together; - `copies`: several of one, made in turns; - `arrival`: files of snapshots that come;
//! - `migration`: instances that go to other nodes, and come from them;
//! - `boot`: what the boot module holds; - `answer`, `listing`: what operators ask; - `operator`: a conversation with one outside the node; - `node`: this node among others;
//! - `table`: places of records.

mod admission;
mod anew;
mod answer;
mod arrival;
mod blobs;
mod boot;
mod copies;
mod cut;
mod files;
mod group;
mod health;
mod joint;
mod lifecycle;
mod listing;
mod loading;
mod migration;
pub mod node;
mod operator;
mod ping;
mod programs;
mod record;
mod run;
mod snapshots;
mod starting;
mod table;
mod traffic;

use crate::image::{Autostart, Image, Manifest};
use crate::instance::engine::Engine;
use crate::keys::NodeKeys;
use crate::limits;
use crate::log::{Journal, Severity};
use crate::machine::{Clock, Duration, Machine, Time};
use crate::migrate::InstanceId;
use crate::net::fabric::{Fabric, FabricError, PortId, SegmentId};
use crate::net::stack::Allowance;
use crate::sched::RunQueue;
use crate::shell::Shell;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use blobs::Blobs;
use boot::{BootGroup, BootSnapshot};
use programs::Programs;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use record::{Ended, Record, State};
use snapshots::Snapshots;

/// Version of the kernel, for people.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long output waits for room on the machine's console if no interrupt tells of it earlier.
const CONSOLE_RETRY: Duration = Duration::from_millis(1);

/// Translating a module takes as long as many network round trips: an instance that starts at boot
/// waits until those before it have been at rest for so long, so that they get their addresses and
/// answer their first clients,
const AUTOSTART_QUIET: Duration = Duration::from_millis(1);
/// but no longer than this after the last start.
const AUTOSTART_PATIENCE: Duration = Duration::from_millis(20);

/// What the machine shall do after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Call again: there is work.
    Again,
    /// Nothing to do until an interrupt, or until then.
    Idle {
        /// The earliest timer.
        until: Option<Time>,
    },
    /// Switch the machine off.
    PowerOff,
    /// Restart the machine.
    Reboot,
}

/// What the machine found at boot.
#[derive(Debug, Clone, Default)]
pub struct BootInfo {
    /// The boot module, if there is one: an image, or a [bundle](crate::image::Bundle).
    pub image: Option<&'static [u8]>,
    /// The keys of the node, if it was given a secret.
    pub keys: Option<NodeKeys>,
    /// What the node was told of its cluster ([`crate::cluster::Trust`]), if anything.
    pub cluster: Option<Vec<u8>>,
    /// The node's name; without it the manifest's.
    pub name: Option<String>,
}

/// One node.
pub struct Kernel {
    name: String,
    clock: Arc<dyn Clock>,
    random: ChaCha12Rng,
    /// Draws what instances are called: apart, so that nothing else depends on how many there are.
    identities: ChaCha12Rng,
    journal: Journal,
    fabric: Fabric,
    engine: Engine,
    blobs: Blobs,
    programs: Programs,
    records: Vec<Record>,
    /// Which instance a port belongs to.
    owners: BTreeMap<PortId, u32>,
    run_queue: RunQueue,
    timers: BTreeSet<(Time, u32)>,
    /// Instances that start at boot, one in each turn, so that the shell answers meanwhile.
    autostart: VecDeque<u32>,
    /// When the last of them was started, and when anybody last had something to do.
    last_autostart: Option<Time>,
    last_work: Time,
    shell: Shell,
    busy_nanos: u64,
    nics: Vec<traffic::Uplink>,
    /// Reused by each turn.
    ready_ports: Vec<PortId>,
    pings: Vec<ping::Ping>,
    next_ping: u32,
    /// What the sockets of all instances may still take.
    allowance: Allowance,
    /// When that figure is renewed.
    allowance_due: Time,
    /// When the first came of what this turn serves.
    arrival: Time,
    /// The conversation with an operator outside the node.
    session: operator::Session,
    /// The node among others.
    node: node::Node,
    snapshots: Snapshots,
    /// Snapshots that came with the boot and are not kept yet.
    boot_snapshots: VecDeque<BootSnapshot>,
    /// Groups of which one that is to be restored came with the boot; the others are awaited.
    boot_groups: Vec<BootGroup>,
    keys: Option<NodeKeys>,
    /// Instances that wait for each other.
    joints: Vec<joint::Joint>,
    /// What operators ask for that takes several turns.
    orders: copies::Orders,
    moves: migration::Moves,
    ending: Option<Next>,
}

impl Kernel {
    /// A kernel on `machine`, with the image's instances waiting to be started.
    ///
    /// An image that cannot be used leaves a node without instances: its shell says why.
    pub fn new(machine: &mut dyn Machine, boot: BootInfo) -> Kernel {
        let mut seed = [0; 32];
        machine.fill_random(&mut seed);
        let mut node_seed = [0; 32];
        machine.fill_random(&mut node_seed);
        let random = ChaCha12Rng::from_seed(seed);
        machine.fill_random(&mut seed);
        let mut kernel = Kernel {
            name: boot.name.clone().unwrap_or_else(|| "sos".into()),
            clock: machine.clock(),
            random,
            identities: ChaCha12Rng::from_seed(seed),
            journal: Journal::default(),
            fabric: Fabric::new(),
            engine: Engine::new(),
            blobs: Blobs::default(),
            programs: Programs::default(),
            records: Vec::new(),
            owners: BTreeMap::new(),
            run_queue: RunQueue::default(),
            timers: BTreeSet::new(),
            autostart: VecDeque::new(),
            last_autostart: None,
            last_work: Time::ZERO,
            shell: Shell::new("sos"),
            busy_nanos: 0,
            nics: machine.nics().iter().map(traffic::Uplink::new).collect(),
            ready_ports: Vec::new(),
            pings: Vec::new(),
            next_ping: 0,
            allowance: Allowance::new(0),
            allowance_due: Time::ZERO,
            arrival: Time::ZERO,
            session: operator::Session::default(),
            node: node::Node::new(&boot, node_seed),
            snapshots: Snapshots::default(),
            boot_snapshots: VecDeque::new(),
            boot_groups: Vec::new(),
            keys: boot.keys.clone(),
            joints: Vec::new(),
            orders: copies::Orders::default(),
            moves: migration::Moves::default(),
            ending: None,
        };
        kernel.take_machine_log(machine);
        kernel.log(Severity::Info, format!("SOS {VERSION}"));
        kernel.log_machine(machine);
        match boot.image {
            Some(bytes) => kernel.load_module(bytes, &boot),
            None => kernel.log(
                Severity::Warning,
                "no boot image: the node runs no instance; give one as boot module".into(),
            ),
        }
        kernel.shell = Shell::new(&kernel.name);
        kernel.greet();
        kernel
    }

    /// Does a bounded amount of work.
    pub fn turn(&mut self, machine: &mut dyn Machine) -> Next {
        let now = self.clock.now();
        self.fabric.set_now(now);
        self.arrival = machine.take_arrival().unwrap_or(now);
        let is_asked = self.has_work(machine);
        if is_asked {
            self.last_work = now;
        }
        self.take_machine_log(machine);
        self.renew_allowance(machine, now);
        self.read_console(machine, now);
        self.serve_operator(machine);
        self.receive_frames(machine, now);
        self.deliver();
        self.attend_node(machine);
        self.attend_migrations(machine);
        self.fire_timers(machine, now);
        self.advance_boot_snapshot(machine);
        self.advance_orders(machine);
        self.start_next_at_boot(machine, now);
        self.run_slices(machine);
        self.deliver();
        self.flush_node(machine);
        self.transmit_frames(machine);
        self.attend_operator(machine);
        if !is_asked {
            self.snapshots.count_one();
        }
        self.write_console(machine);
        self.next(machine)
    }

    fn next(&self, machine: &dyn Machine) -> Next {
        if let Some(ending) = self.ending.filter(|_| !self.shell.has_output()) {
            return ending;
        }
        if self.has_work(machine) || self.snapshots.has_uncounted() {
            return Next::Again;
        }
        let timer = self.timers.first().map(|&(time, _)| time);
        let tick = self.shell.next_tick();
        // The machine's console is full: it drains at its own pace and wakes us no earlier.
        let console = self.shell.has_output();
        let console = console.then(|| self.clock.now() + CONSOLE_RETRY);
        Next::Idle {
            until: [
                timer,
                tick,
                console,
                self.autostart_due(),
                self.migrations_due(),
                self.word_from_home_due(),
                self.node.due(),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    fn has_work(&self, machine: &dyn Machine) -> bool {
        !self.run_queue.is_empty()
            || self.fabric_has_work()
            || self.session.has_work()
            || self.node.has_work()
            || !self.boot_snapshots.is_empty()
            || self.migrations_have_work()
            || self.orders.has_work()
            || machine.has_events()
    }

    /// When the next instance starts at boot, if nothing happens until then.
    fn autostart_due(&self) -> Option<Time> {
        self.autostart.front()?;
        if self.holds_autostart() || self.awaits_word_from_home() {
            return None;
        }
        let due = self.last_autostart.map_or(Time::ZERO, |last| {
            (self.last_work + AUTOSTART_QUIET).min(last + AUTOSTART_PATIENCE)
        });
        Some(due)
    }

    /// Starts one instance at boot once those before it have come to rest.
    fn start_next_at_boot(&mut self, machine: &mut dyn Machine, now: Time) {
        if self.autostart_due().is_some_and(|due| due <= now)
            && let Some(key) = self.autostart.pop_front()
        {
            self.start_at_boot(machine, key);
            let now = self.clock.now();
            self.last_autostart = Some(now);
            self.last_work = now;
        }
    }

    /// Takes over a boot image: modules, switches, links, and a record for each instance.
    fn load(&mut self, bytes: &'static [u8], boot: &BootInfo) {
        let image = match Image::parse(bytes) {
            Ok(image) => image,
            Err(error) => return self.log(Severity::Error, format!("boot image: {error}")),
        };
        let manifest = image.manifest().clone();
        self.blobs.set_image(image);
        if boot.name.is_none() {
            self.name = manifest.name.clone();
        }
        self.wire(&manifest);
        if let Some(spec) = &manifest.node {
            self.start_node(spec, boot);
        }
        for spec in manifest.instances.into_iter().take(limits::INSTANCES) {
            let macs = spec.ports.iter();
            let macs = macs.map(|port| port.mac.unwrap_or_else(|| self.draw_mac()));
            let macs = macs.collect();
            let mut record = Record::new(spec, macs, self.draw_instance_id());
            match self.add_program(&record.spec) {
                Ok(()) => {
                    if record.spec.autostart == Autostart::AtBoot {
                        self.autostart.push_back(self.records.len() as u32);
                    }
                }
                Err(error) => {
                    let text = format!("instance '{}': {error}", record.spec.name);
                    record.state = State::Ended(Ended::StartFailed(error), None);
                    self.log(Severity::Error, text);
                }
            }
            self.records.push(record);
        }
    }

    /// Makes the manifest's switches and links.
    fn wire(&mut self, manifest: &Manifest) {
        for switch in &manifest.switches {
            let uplink = switch.uplink.as_deref().and_then(nic_index);
            if let Some(index) = uplink.filter(|&index| index >= self.nics.len()) {
                let text = format!(
                    "switch '{}': the machine has no nic{index}, so nothing outside is reached",
                    switch.name
                );
                self.log(Severity::Warning, text);
            }
            let made = self.fabric.add_switch(&switch.name, uplink);
            self.finish_segment("switch", &switch.name, made, switch.mtu_bytes);
        }
        for link in &manifest.links {
            let made = self.fabric.add_link(&link.name);
            self.finish_segment("link", &link.name, made, link.mtu_bytes);
        }
    }

    fn finish_segment(
        &mut self,
        kind: &str,
        name: &str,
        made: Result<SegmentId, FabricError>,
        mtu_bytes: Option<u16>,
    ) {
        let sized = made.and_then(|_| match mtu_bytes {
            Some(mtu) => self.fabric.set_mtu(name, usize::from(mtu)),
            None => Ok(()),
        });
        if let Err(error) = sized {
            self.log(Severity::Error, format!("{kind} '{name}': {error}"));
        }
    }

    /// A random station address: individual and locally administered (IEEE 802, 8.4).
    fn draw_mac(&mut self) -> [u8; 6] {
        let mut mac = [0; 6];
        self.random.fill_bytes(&mut mac);
        mac[0] = (mac[0] & 0xfc) | 0x02;
        mac
    }

    /// What an instance is called that was not before.
    fn draw_instance_id(&mut self) -> InstanceId {
        let mut instance = InstanceId::default();
        self.identities.fill_bytes(&mut instance.0);
        instance
    }

    fn log(&mut self, severity: Severity, text: String) {
        self.journal.log(self.clock.now(), severity, text);
    }

    /// Takes the machine's own lines into the kernel's log.
    fn take_machine_log(&mut self, machine: &mut dyn Machine) {
        machine.take_log(&mut |time, text| self.journal.log(time, Severity::Info, text.into()));
    }

    fn log_machine(&mut self, machine: &dyn Machine) {
        let memory = machine.memory_stats();
        let used = memory.total_bytes.saturating_sub(memory.free_bytes);
        let text = format!(
            "memory: {} KiB given, {} KiB used before the first service",
            memory.total_bytes / 1024,
            used / 1024
        );
        self.log(Severity::Info, text);
        for (index, nic) in machine.nics().iter().enumerate() {
            let text = format!(
                "nic{index}: {}, MTU {}",
                listing::mac_text(&nic.mac),
                nic.mtu
            );
            self.log(Severity::Info, text);
        }
    }

    fn greet(&mut self) {
        let mut text = format!("SOS {VERSION}: node '{}'", self.name);
        text.push_str(&format!(
            ", {} instances. `help` lists the verbs.\n",
            self.occupied().count()
        ));
        for entry in self.journal.log.since(0) {
            if entry.severity != Severity::Info {
                text.push_str(&format!("{}: {}\n", entry.severity, entry.text));
            }
        }
        self.shell.greet(&text);
    }

    fn read_console(&mut self, machine: &mut dyn Machine, now: Time) {
        let mut bytes = [0; 256];
        let count = machine.read_console(&mut bytes);
        if count > 0 {
            self.with_shell(machine, |shell, control| {
                shell.input(&bytes[..count], now, control)
            });
        }
        if self.shell.next_tick().is_some_and(|due| due <= now) {
            self.with_shell(machine, |shell, control| shell.tick(now, control));
        }
    }

    fn write_console(&mut self, machine: &mut dyn Machine) {
        if self.shell.has_output() {
            let taken = machine.write_console(self.shell.output());
            self.shell.consume(taken);
        }
    }

    /// Lends the shell out, so that it can ask the kernel that it belongs to.
    fn with_shell(
        &mut self,
        machine: &mut dyn Machine,
        act: impl FnOnce(&mut Shell, &mut answer::Operator<'_>),
    ) {
        let mut shell = core::mem::replace(&mut self.shell, Shell::new(""));
        act(
            &mut shell,
            &mut answer::Operator {
                kernel: self,
                machine,
            },
        );
        self.shell = shell;
    }
}

/// The index in `nic0`, `nic1`, …
fn nic_index(name: &str) -> Option<usize> {
    name.strip_prefix("nic")?.parse().ok()
}
