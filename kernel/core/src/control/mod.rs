//! What an operator can ask of a node, as plain data: [`Request`] in, [`Report`] or
//! [`ControlError`] out.
//!
//! The shell speaks it, and so do operators outside the node ([`crate::operator`]).
//! The kernel is the one that answers ([`Control`]).

mod report;

pub use report::*;

use crate::image::AddressSpec;
use crate::limits;
use crate::net::fabric::FabricError;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// One thing asked of the node. Numbers of variants are append-only: the operator's protocol has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// All instances: [`Report::Instances`].
    Instances,
    /// Everything about one: [`Report::Instance`].
    Inspect {
        /// Its name.
        name: String,
    },
    /// Make it run.
    Start {
        /// Its name.
        name: String,
    },
    /// End it in order: connections are closed, then it is gone.
    Stop {
        /// Its name.
        name: String,
    },
    /// End it at once.
    Kill {
        /// Its name.
        name: String,
    },
    /// Take the CPU from it; guest time stops.
    Pause {
        /// Its name.
        name: String,
    },
    /// Give it the CPU again.
    Resume {
        /// Its name.
        name: String,
    },
    /// Stop and start.
    Restart {
        /// Its name.
        name: String,
    },
    /// Its log from entry `since` on: [`Report::Logs`].
    Logs {
        /// Its name.
        name: String,
        /// Number of the first entry wanted.
        since: u64,
    },
    /// What it wrote to its console from byte `since` on: [`Report::Console`].
    ConsoleRead {
        /// Its name.
        name: String,
        /// Number of the first byte wanted.
        since: u64,
    },
    /// Types to its console.
    ConsoleWrite {
        /// Its name.
        name: String,
        /// What is typed.
        bytes: Vec<u8>,
    },
    /// Switches and links with their ports: [`Report::Segments`].
    Segments,
    /// Makes a switch.
    AddSwitch {
        /// Its name.
        name: String,
        /// The NIC to join to it.
        uplink: Option<usize>,
    },
    /// Makes a link.
    AddLink {
        /// Its name.
        name: String,
    },
    /// Removes a switch or link that has no ports.
    RemoveSegment {
        /// Its name.
        name: String,
    },
    /// Raises or cuts a switch or link.
    SetSegment {
        /// Its name.
        name: String,
        /// The wanted state.
        state: SegmentState,
    },
    /// Interfaces and sockets of an instance, or of all: [`Report::Network`].
    Network {
        /// Its name; none for all.
        name: Option<String>,
    },
    /// Starts sending echo requests from an instance: [`Report::PingStarted`].
    PingStart {
        /// The instance that sends.
        from: String,
        /// The address asked.
        to: IpAddr,
    },
    /// Sends the next request.
    PingSend {
        /// From [`Report::PingStarted`].
        ping: u32,
        /// Number of the request.
        sequence: u16,
    },
    /// Takes the answers that came: [`Report::PingReplies`].
    PingPoll {
        /// From [`Report::PingStarted`].
        ping: u32,
    },
    /// Ends a ping.
    PingStop {
        /// From [`Report::PingStarted`].
        ping: u32,
    },
    /// Events from number `since` on: [`Report::Events`].
    Events {
        /// Number of the first wanted.
        since: u64,
    },
    /// The kernel log from line `since` on: [`Report::KernelLog`].
    KernelLog {
        /// Number of the first line wanted.
        since: u64,
    },
    /// Node figures: [`Report::Node`].
    Node,
    /// Switch the machine off.
    PowerOff,
    /// Restart the machine.
    Reboot,
    /// Takes a snapshot of an instance and keeps it: [`Report::Kept`].
    Snapshot {
        /// The instance.
        name: String,
        /// The snapshot's name.
        to: String,
        /// Whether the instance goes on.
        cut: CutMode,
        /// What its file holds of the memories.
        extent: Extent,
    },
    /// The snapshots that are kept: [`Report::Snapshots`].
    Snapshots,
    /// Forgets a snapshot, or all of a group: [`Report::Removed`].
    RemoveSnapshot {
        /// Its name.
        name: String,
    },
    /// Makes an instance of a snapshot: [`Report::Made`].
    Restore {
        /// The snapshot, or the group of which all members are made.
        snapshot: String,
        /// Name of another instance that is made of it, in front of the names of a group's; none: the
        /// original goes on.
        to: Option<String>,
        /// Addresses of another instance.
        addresses: Vec<PortAddress>,
    },
    /// Makes other instances of a running one: [`Report::Made`].
    Clone {
        /// The instance.
        name: String,
        /// What they are called: with numbers if there are several.
        to: Option<String>,
        /// How many.
        count: u32,
        /// Addresses of the first, counted up for the others.
        addresses: Vec<PortAddress>,
    },
    /// Takes an instance apart until it is resumed: it keeps its data and its connections.
    Suspend {
        /// Its name.
        name: String,
    },
    /// Takes snapshots of several instances at one instant and keeps them: [`Report::Kept`].
    SnapshotGroup {
        /// The instances.
        names: Vec<String>,
        /// The group's name; its snapshots have the instances' behind it.
        to: String,
        /// Whether the instances go on.
        cut: CutMode,
        /// What the files hold of the memories.
        extent: Extent,
    },
    /// Makes others of several instances at one instant, joined as they are: [`Report::Made`].
    CloneGroup {
        /// The instances.
        names: Vec<String>,
        /// What stands in front of their names; without it a number stands behind.
        to: Option<String>,
        /// How many times.
        count: u32,
        /// Addresses of the first ones, counted up for the others.
        addresses: Vec<PortAddress>,
    },
    /// Hands an instance over to another node.
    Migrate {
        /// Its name.
        name: String,
        /// The node.
        to: String,
        /// How.
        options: MigrateOptions,
    },
    /// Gives a hand-over up.
    CancelMigration {
        /// The instance.
        name: String,
    },
    /// Says who has an instance that is in doubt.
    ResolveMigration {
        /// The instance.
        name: String,
        /// Who.
        owner: Owner,
    },
    /// The hand-overs that this node takes part in: [`Report::Migrations`].
    Migrations,
    /// Hands all instances that run over to other nodes, to each in turn.
    Evacuate {
        /// The nodes.
        to: Vec<String>,
        /// How.
        options: MigrateOptions,
    },
    /// This node and those that it knows of: [`Report::Nodes`].
    Nodes,
}

/// How an instance is migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MigrateOptions {
    /// Whether it runs while its memories are copied.
    pub pace: MigratePace,
    /// Bytes a second at most; without it as many as the link carries.
    pub bandwidth: Option<u64>,
    /// For how long it may stand, in milliseconds, if that can be had.
    pub downtime_ms: Option<u32>,
}

/// Whether an instance runs while its memories are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MigratePace {
    /// It does.
    #[default]
    Live,
    /// It stands from the first byte on.
    Cold,
}

/// Who has an instance, by an operator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// This node shall run it: the other one does not.
    Here,
    /// The other node runs it, or shall.
    There,
    /// Nobody: this node's copy is dropped, whatever the other one has.
    Nobody,
}

/// An address that a port of a clone gets, instead of those of the original's port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortAddress {
    /// The original, where there are several.
    pub instance: Option<String>,
    /// The port.
    pub port: String,
    /// The address.
    pub address: AddressSpec,
}

impl PortAddress {
    /// What people write: `[INSTANCE.]PORT=ADDRESS/BITS`, or `dhcp` for the address.
    pub fn parse(text: &str) -> Option<PortAddress> {
        let (port, address) = text.split_once('=')?;
        let (instance, port) = match port.rsplit_once('.') {
            Some((instance, port)) => (Some(instance.into()), port),
            None => (None, port),
        };
        let address = match address {
            "dhcp" => AddressSpec::Dhcp,
            _ => {
                let (address, length) = address.split_once('/')?;
                let address: IpAddr = address.parse().ok()?;
                let most = if address.is_ipv4() { 32 } else { 128 };
                AddressSpec::Static {
                    address,
                    prefix_length: length.parse().ok().filter(|length| *length <= most)?,
                }
            }
        };
        Some(PortAddress {
            instance,
            port: port.into(),
            address,
        })
    }
}

/// Whether an instance goes on when a snapshot was taken of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CutMode {
    /// It does; connections that move on are reset if the snapshot is restored.
    Running,
    /// It is taken apart without a word to its peers; its connections go on when it is restored.
    Stopping,
}

/// What a snapshot's file holds of the memories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// All pages.
    Full,
    /// Those that were written since the instance's last snapshot, which the file then needs.
    Incremental,
}

/// Whether a switch or link carries frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SegmentState {
    /// It does.
    Up,
    /// Every frame on it is dropped.
    Down,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlError {
    /// No instance has that name.
    NoSuchInstance(String),
    /// It runs (or is paused) already.
    AlreadyRunning(String),
    /// It does not run.
    NotRunning(String),
    /// Its program is being translated.
    StillLoading(String),
    /// It is paused already.
    AlreadyPaused(String),
    /// It is not paused.
    NotPaused(String),
    /// It could not be made; the text says why.
    StartFailed {
        /// The instance.
        name: String,
        /// Why.
        reason: String,
    },
    /// No cut of it could be taken; the text says why.
    NotCut {
        /// The instance.
        name: String,
        /// Why.
        reason: String,
    },
    /// A group was not cut, restored or cloned; the text names the member and says why.
    GroupFailed(String),
    /// Snapshots of a group that are not here, by their instances.
    GroupIncomplete {
        /// The group.
        group: String,
        /// The instances.
        missing: Vec<String>,
    },
    /// A snapshot that says otherwise of its group than those that are here.
    GroupDiffers(String),
    /// An instance is named twice.
    NamedTwice(String),
    /// Fewer or more instances than a group may have.
    MemberCount(usize),
    /// An address is another instance's.
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// Who has it.
        instance: String,
    },
    /// A cut would be a second instance at one station address.
    StationTaken {
        /// The instance of the cut.
        name: String,
        /// Who has the address.
        instance: String,
    },
    /// Counting up the addresses of clones leaves their network.
    AddressesEnd {
        /// The first address.
        address: IpAddr,
        /// Bits of the network's prefix.
        prefix_length: u8,
        /// Clones that there are addresses for.
        room: u32,
    },
    /// An address for a port that no clone has, or that keeps its own.
    NoPortFor(String),
    /// An address for an instance that goes on as itself.
    KeepsAddresses,
    /// The node takes part in no cluster.
    NoCluster,
    /// An instance has this name already.
    NameTaken(String),
    /// No snapshot has that name.
    NoSuchSnapshot(String),
    /// A snapshot has that name already.
    SnapshotExists(String),
    /// It cannot be the name of a snapshot.
    BadSnapshotName(String),
    /// There are as many snapshots as there may be.
    TooManySnapshots,
    /// There is no room for another snapshot.
    SnapshotsFull {
        /// What it takes.
        needed_bytes: u64,
        /// What is left of what snapshots may take.
        room_bytes: u64,
    },
    /// An incremental snapshot of an instance of which there is no other.
    NoParent(String),
    /// More clones at once than are made.
    TooManyClones(u32),
    /// It cannot be the name of an instance.
    BadInstanceName(String),
    /// It is suspended.
    Suspended(String),
    /// It is being handed over to another node, or comes from one.
    Moving(String),
    /// A wish about a hand-over is not carried out; the text says why.
    Migration {
        /// The instance.
        name: String,
        /// Why.
        reason: String,
    },
    /// No node of that name is known.
    NoSuchNode(String),
    /// It belongs to an operator outside the node.
    RunOutside(String),
    /// Its console input is full.
    ConsoleFull(String),
    /// The network refused; the text says why.
    Network(String),
    /// The fabric refused.
    Fabric(FabricError),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::NoSuchInstance(name) => {
                write!(f, "no instance named '{name}'; `ls` lists them")
            }
            ControlError::AlreadyRunning(name) => {
                write!(f, "'{name}' runs already; `restart {name}` starts it anew")
            }
            ControlError::StillLoading(name) => write!(
                f,
                "'{name}' is still being translated; `ls` shows when it runs"
            ),
            ControlError::NotRunning(name) => {
                write!(f, "'{name}' does not run; `start {name}` starts it")
            }
            ControlError::AlreadyPaused(name) => {
                write!(
                    f,
                    "'{name}' is paused already; `resume {name}` continues it"
                )
            }
            ControlError::NotPaused(name) => write!(f, "'{name}' is not paused"),
            ControlError::StartFailed { name, reason } => {
                write!(f, "'{name}' did not start: {reason}")
            }
            ControlError::NotCut { name, reason } => {
                write!(f, "'{name}' could not be captured: {reason}; it goes on")
            }
            ControlError::GroupFailed(reason) => {
                write!(f, "{reason}; nothing was done to the others either")
            }
            ControlError::GroupIncomplete { group, missing } => {
                write!(f, "the group '{group}' lacks the snapshots of ")?;
                for (number, instance) in missing.iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    write!(f, "{comma}'{instance}'")?;
                }
                f.write_str("; import them, or restore those that are here one by one")
            }
            ControlError::GroupDiffers(name) => write!(
                f,
                "the snapshot says otherwise of its group '{name}' than those that are here; it is \
                 not of that group"
            ),
            ControlError::NamedTwice(name) => write!(f, "'{name}' is named twice; name it once"),
            ControlError::MemberCount(count) => write!(
                f,
                "{count} instances in one group; name 1 to {}",
                limits::GROUP_MEMBERS
            ),
            ControlError::AddressTaken { address, instance } => write!(
                f,
                "{address} is the address of '{instance}'; choose another one"
            ),
            ControlError::StationTaken { name, instance } => write!(
                f,
                "'{instance}' has the station address of '{name}'; restore that under another name"
            ),
            ControlError::AddressesEnd {
                address,
                prefix_length,
                room,
            } => write!(
                f,
                "from {address}/{prefix_length} on there are addresses for {room} clones; begin lower, \
                 make fewer, or let DHCP give them with =dhcp"
            ),
            ControlError::NoPortFor(port) => write!(
                f,
                "no clone has a port '{port}' that wants an address; `net` lists ports"
            ),
            ControlError::KeepsAddresses => f.write_str(
                "an instance that goes on keeps its addresses; `as NAME` makes another one of them",
            ),
            ControlError::NoCluster => f.write_str(
                "the node takes part in no cluster; `dmesg` says why, or the manifest has no [node]",
            ),
            ControlError::NameTaken(name) => write!(
                f,
                "an instance named '{name}' exists already; choose another name"
            ),
            ControlError::NoSuchSnapshot(name) => {
                write!(f, "no snapshot named '{name}'; `snapshots` lists them")
            }
            ControlError::SnapshotExists(name) => write!(
                f,
                "a snapshot named '{name}' exists already; choose another name or `snapshot rm {name}`"
            ),
            ControlError::BadSnapshotName(name) => write!(
                f,
                "'{name}' is no name for a snapshot: 1 to {} letters, digits, '.', '-' and '_'",
                limits::NAME_BYTES
            ),
            ControlError::TooManySnapshots => write!(
                f,
                "the node keeps {} snapshots, which is all that it may; `snapshot rm` forgets one",
                limits::SNAPSHOTS
            ),
            ControlError::SnapshotsFull {
                needed_bytes,
                room_bytes,
            } => write!(
                f,
                "the snapshot takes {} KiB and there is room for {} KiB; `snapshot rm` forgets one",
                needed_bytes.div_ceil(1024),
                room_bytes / 1024
            ),
            ControlError::NoParent(name) => write!(
                f,
                "there is no snapshot of '{name}' yet to add to; take one without --incremental"
            ),
            ControlError::BadInstanceName(name) => write!(
                f,
                "'{name}' is no name for an instance: 1 to {} lower-case letters, digits and '-'",
                limits::NAME_BYTES
            ),
            ControlError::RunOutside(name) => write!(
                f,
                "'{name}' belongs to the `exec` that launched it, and ends with that; take a snapshot without \
                 --stop, clone it, or restore under another name"
            ),
            ControlError::Suspended(name) => write!(
                f,
                "'{name}' is suspended; `resume {name}` continues it, `kill {name}` gives it up"
            ),
            ControlError::Moving(name) => write!(
                f,
                "'{name}' is being migrated; `migrate` shows how far, `migrate --cancel {name}` gives it up"
            ),
            ControlError::Migration { name, reason } => write!(f, "'{name}': {reason}"),
            ControlError::NoSuchNode(name) => {
                write!(f, "no node, or several, go by '{name}'; `nodes` lists them with the numbers that name one")
            }
            ControlError::TooManyClones(count) => write!(
                f,
                "{count} clones at once; at most {} are made",
                limits::CLONES
            ),
            ControlError::ConsoleFull(name) => write!(
                f,
                "'{name}' does not read its console; what was typed is dropped"
            ),
            ControlError::Network(text) => f.write_str(text),
            ControlError::Fabric(error) => error.fmt(f),
        }
    }
}

impl From<FabricError> for ControlError {
    fn from(error: FabricError) -> ControlError {
        ControlError::Fabric(error)
    }
}

/// Who answers requests: the kernel, or a stand-in in the shell's tests.
pub trait Control {
    /// Carries out one request.
    ///
    /// # Errors
    /// A [`ControlError`] that says what to do next; nothing was changed.
    fn execute(&mut self, request: Request) -> Result<Report, ControlError>;

    /// Names of instances, for completion.
    fn instance_names(&self) -> Vec<String>;

    /// Names of switches and links, for completion.
    fn segment_names(&self) -> Vec<String>;

    /// Names of snapshots, for completion.
    fn snapshot_names(&self) -> Vec<String>;
}
