//! What an operator can ask of a node, as plain data: [`Request`] in, [`Report`] or
//! [`ControlError`] out.
//!
//! The shell speaks it, and so do operators outside the node ([`crate::operator`]).
//! The kernel is the one that answers ([`Control`]).

mod report;

pub use report::*;

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
    /// An instance has this name already.
    NameTaken(String),
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
            ControlError::NameTaken(name) => write!(
                f,
                "an instance named '{name}' exists already; choose another name"
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
}
