//! [`ControlError`]: why a request was not carried out, and what to do next.

use crate::limits;
use crate::net::fabric::FabricError;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

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
    /// More orders than are carried out at once.
    TooManyOrders,
    /// Nobody asked what became of an order until too many others had ended.
    OrderForgotten,
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
                "{count} clones at once; one at least and at most {} are made",
                limits::CLONES
            ),
            ControlError::TooManyOrders => write!(
                f,
                "{} orders are under way, which is all that may be; wait until one is done",
                limits::ORDERS
            ),
            ControlError::OrderForgotten => {
                f.write_str("nobody knows any more what became of it; `ls` lists the instances")
            }
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
