//! What an operator can ask of a node, as plain data: [`Request`] in, [`Report`] or
//! [`ControlError`] out.
//!
//! The shell speaks it, and so do operators outside the node ([`crate::operator`]).
//! The kernel is the one that answers ([`Control`]).

mod error;
mod report;

pub use error::ControlError;
pub use report::*;

use crate::image::AddressSpec;
use alloc::string::String;
use alloc::vec::Vec;
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
    /// Hands instances over to another node, together: all of them move, or none.
    MigrateGroup {
        /// Their names.
        names: Vec<String>,
        /// The node's name.
        to: String,
        /// How; a bound on bytes a second is for all of them.
        options: MigrateOptions,
    },
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

/// Who answers requests: the kernel, or a stand-in in the shell's tests.
pub trait Control {
    /// Carries out one request.
    ///
    /// # Errors
    /// A [`ControlError`] that says what to do next; nothing was changed.
    fn execute(&mut self, request: Request) -> Result<Report, ControlError>;

    /// What became of something that takes several turns ([`Report::Ordered`]); none while it is under way. It is told
    /// once.
    fn outcome(&mut self, order: u32) -> Option<Result<Report, ControlError>>;

    /// Names of instances, for completion.
    fn instance_names(&self) -> Vec<String>;

    /// Names of switches and links, for completion.
    fn segment_names(&self) -> Vec<String>;

    /// Names of snapshots, for completion.
    fn snapshot_names(&self) -> Vec<String>;
}
