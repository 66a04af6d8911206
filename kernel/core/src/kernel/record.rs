//! What the kernel keeps of one instance, running or not.

use super::cut::FromCut;
use super::health::Health;
use crate::control::ControlError;
use crate::files::FileSystem;
use crate::host::{Guest, LogRing, Streams, StreamsTo};
use crate::image::{BlobHash, InstanceSpec};
use crate::instance::LimitSet;
use crate::instance::engine::{Execution, Trap};
use crate::machine::Time;
use crate::migrate::{Doubt, HandoverId, InstanceId, NodeId};
use crate::net::fabric::PortId;
use crate::sched::{Account, FuelRate, Throttle};
use crate::snapshot::Cut;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One instance of the node's table. Its key is its place there, for the life of the node.
pub(super) struct Record {
    /// What the manifest says.
    pub spec: InstanceSpec,
    /// Who it is on any node: kept as long as the record is, whatever it starts anew or goes on from.
    pub instance: InstanceId,
    /// How often it was to be handed over to another node (`crate::migrate`).
    pub epoch: u64,
    /// Its part in a hand-over, while there is one.
    pub moving: Option<Moving>,
    /// The node whose instance it was first: none if that is this one.
    pub origin: Option<NodeId>,
    /// The node that says to have an instance of this name that was first this node's, and another one.
    pub lives_on: Option<NodeId>,
    /// Whether it runs, and if not, how it ended.
    pub state: State,
    /// Station addresses of its ports: drawn once and kept (D6).
    pub macs: Vec<[u8; 6]>,
    /// The scheduler's account.
    pub account: Account,
    /// What a unit of its fuel costs.
    pub rate: FuelRate,
    /// What it may have of the CPU while it is copied to another node faster than it writes.
    pub throttle: Throttle,
    /// Figures since it was last started.
    pub usage: Usage,
    /// How often its restart policy started it.
    pub restarts: u64,
    /// When its restart policy starts it again.
    pub restart_due: Option<Time>,
    /// Failures in a row, for the back-off.
    pub failures: u32,
    /// How it ended the last time, in words; empty before.
    pub last_end: String,
    /// The limits of whose reaching an event has told.
    pub limits_told: LimitSet,
    /// Its timer in the kernel's queue.
    pub timer: Option<Time>,
    /// Where its standard streams lead.
    pub streams_to: StreamsTo,
    /// What it goes on from, if it is suspended.
    pub suspended: Option<Box<Cut>>,
    /// Its ports while it is suspended: they stay plugged in, and what comes to them waits.
    pub parked: Vec<PortId>,
    /// What was in its place before the cut that it is loading, to be that again if it does not come to life.
    pub former: Option<Former>,
    /// Whether the place holds no instance.
    pub vacant: bool,
}

/// An instance's part in a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moving {
    /// Which.
    pub handover: HandoverId,
    /// How far it is.
    pub stage: MovingStage,
}

/// How far an instance's hand-over is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MovingStage {
    /// It runs here and is copied to another node.
    Copied,
    /// It stands here, and runs here again or elsewhere.
    Standing,
    /// It comes from another node and has not run here.
    Arriving,
    /// It stands here, and nobody knows whether the other node runs it.
    InDoubt(Doubt),
}

/// What a cut has taken the place of.
pub(super) enum Former {
    /// Nobody: without the cut there is no record either.
    Nobody,
    /// An instance that did not run.
    Instance(Box<FormerInstance>),
}

/// What a cut has replaced in a record.
pub(super) struct FormerInstance {
    pub spec: InstanceSpec,
    pub macs: Vec<[u8; 6]>,
    pub ended: Ended,
    pub account: Account,
    pub usage: Usage,
    pub restart_due: Option<Time>,
    pub failures: u32,
    /// Whether it was among those that start at boot.
    pub starts_at_boot: bool,
}

/// What an instance used since it was started.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub started: Time,
    pub cpu_nanos: u64,
    pub slices: u64,
    /// From the request to the first instruction.
    pub start_nanos: u64,
    /// From the arrival of an operator's request to the cut that it asked for, the last time.
    pub freeze_nanos: u64,
    /// From its start to its end, once it ended.
    pub run_nanos: u64,
}

/// Whether an instance runs.
pub(super) enum State {
    /// It has no execution; its guest state is kept for its log and console.
    Ended(Ended, Option<Box<Remains>>),
    /// It gets one when its program is translated.
    Loading(LoadingInstance),
    /// It has one.
    Live(Box<Live>),
}

/// An instance that waits for its program's translation.
pub(super) struct LoadingInstance {
    /// When the operator or the boot asked for it.
    pub requested: Time,
    /// What its last run left.
    pub remains: Option<Box<Remains>>,
    /// The cut that it goes on from; without one it begins.
    pub from: Option<Box<FromCut>>,
}

/// What is still asked of an instance that ended.
pub(super) struct Remains {
    pub log: LogRing,
    pub streams: Streams,
    /// The files of one whose operator may ask for them.
    pub files: Option<FileSystem>,
}

/// A running instance.
pub(super) struct Live {
    pub execution: Execution<Guest>,
    pub ports: Vec<PortId>,
    pub activity: Activity,
    /// Whether it serves, if the manifest asks for a check.
    pub health: Option<Health>,
    /// When the operator or the boot asked for it; cleared by the first slice.
    pub requested: Option<Time>,
}

/// What a live instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// It has the CPU or waits for it.
    Runnable,
    /// It is blocked in a host call.
    Waiting,
    /// An operator holds it; `Runnable` or `Waiting` comes back with `resume`.
    Paused(Held),
    /// It is being handed over, or may have been: only that lets it go on.
    Standing(Held),
    /// Its connections are being closed until then.
    Stopping(Time),
}

/// What a paused instance was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It wanted the CPU.
    Runnable,
    /// It was blocked.
    Waiting,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was never started.
    NeverStarted,
    /// An operator stopped it.
    Stopped,
    /// An operator killed it.
    Killed,
    /// Its program returned or exited.
    Exited(i32),
    /// Its program trapped.
    Trapped(Box<Trap>),
    /// The node had no page for it.
    OutOfMemory,
    /// Its health check failed too often; the last reason.
    Unhealthy(String),
    /// An operator suspended it: it can go on.
    Suspended,
    /// It could not be made.
    StartFailed(String),
}

impl Ended {
    /// The word for `ls`.
    pub fn word(&self) -> &'static str {
        match self {
            Ended::NeverStarted | Ended::Stopped | Ended::Killed => "stopped",
            Ended::Exited(_) => "exited",
            Ended::Trapped(_) | Ended::OutOfMemory => "trapped",
            Ended::Unhealthy(_) => "unhealthy",
            Ended::StartFailed(_) => "failed",
            Ended::Suspended => "suspended",
        }
    }

    /// Whether `on-failure` starts it again.
    pub fn is_failure(&self) -> bool {
        match self {
            Ended::Exited(code) => *code != 0,
            Ended::Trapped(_) | Ended::OutOfMemory | Ended::Unhealthy(_) => true,
            Ended::NeverStarted
            | Ended::Stopped
            | Ended::Killed
            | Ended::StartFailed(_)
            | Ended::Suspended => false,
        }
    }

    /// Whether an operator ended it, so that no policy starts it again.
    pub fn by_operator(&self) -> bool {
        matches!(
            self,
            Ended::NeverStarted | Ended::Stopped | Ended::Killed | Ended::Suspended
        )
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::NeverStarted => f.write_str("never started"),
            Ended::Stopped | Ended::Suspended => Ok(()),
            Ended::Killed => f.write_str("killed"),
            Ended::Exited(code) => write!(f, "status {code}"),
            Ended::Trapped(trap) => {
                trap.fmt(f)?;
                match trap.backtrace.frames().first() {
                    Some(frame) => write!(f, ", in {}", frame.place),
                    None => Ok(()),
                }
            }
            Ended::StartFailed(reason) | Ended::Unhealthy(reason) => f.write_str(reason),
            Ended::OutOfMemory => f.write_str("the node ran out of memory"),
        }
    }
}

impl State {
    /// What the last run left, of an instance that does not run.
    pub fn remains(&self) -> Option<&Remains> {
        match self {
            State::Ended(_, remains) | State::Loading(LoadingInstance { remains, .. }) => {
                remains.as_deref()
            }
            State::Live(_) => None,
        }
    }
}

impl Record {
    /// A record of an instance that was never started.
    pub fn new(spec: InstanceSpec, macs: Vec<[u8; 6]>, instance: InstanceId) -> Record {
        Record {
            account: Account::new(spec.limits.cpu_shares),
            spec,
            instance,
            epoch: 0,
            moving: None,
            origin: None,
            lives_on: None,
            macs,
            state: State::Ended(Ended::NeverStarted, None),
            rate: FuelRate::default(),
            throttle: Throttle::default(),
            usage: Usage::default(),
            restarts: 0,
            restart_due: None,
            failures: 0,
            last_end: String::new(),
            limits_told: LimitSet::default(),
            timer: None,
            streams_to: StreamsTo::Console,
            suspended: None,
            parked: Vec::new(),
            former: None,
            vacant: false,
        }
    }

    /// A place without an instance. Its name is empty, which no instance's is.
    pub fn vacant() -> Record {
        let nothing = InstanceSpec::new("", BlobHash::default(), "");
        Record {
            vacant: true,
            ..Record::new(nothing, Vec::new(), InstanceId::default())
        }
    }

    /// That nobody loses the instance who has launched it from outside the node.
    ///
    /// # Errors
    /// [`ControlError::RunOutside`].
    pub fn require_own(&self) -> Result<(), ControlError> {
        match self.streams_to {
            StreamsTo::Console => Ok(()),
            StreamsTo::Pipes => Err(ControlError::RunOutside(self.spec.name.clone())),
        }
    }

    /// That a cut may take the place of the instance: one owner, always (D6).
    ///
    /// # Errors
    /// [`ControlError::AlreadyRunning`], [`ControlError::Suspended`] while it can go on, or
    /// [`ControlError::RunOutside`].
    pub fn require_replaceable(&self) -> Result<(), ControlError> {
        let name = || self.spec.name.clone();
        self.require_home()?;
        match self.state {
            State::Live(_) | State::Loading(_) => Err(ControlError::AlreadyRunning(name())),
            State::Ended(..) if self.suspended.is_some() => Err(ControlError::Suspended(name())),
            State::Ended(..) => self.require_own(),
        }
    }

    /// That the instance is this node's to start, end or cut: it is, as long as it does not stand to be handed
    /// over, or comes.
    ///
    /// # Errors
    /// [`ControlError::Moving`].
    pub fn require_home(&self) -> Result<(), ControlError> {
        match self.moving.map(|moving| moving.stage) {
            None | Some(MovingStage::Copied) => Ok(()),
            Some(MovingStage::Standing | MovingStage::Arriving | MovingStage::InDoubt(_)) => {
                Err(ControlError::Moving(self.spec.name.clone()))
            }
        }
    }

    /// That the instance is in no hand-over.
    ///
    /// # Errors
    /// [`ControlError::Moving`].
    pub fn require_settled(&self) -> Result<(), ControlError> {
        match self.moving {
            None => Ok(()),
            Some(_) => Err(ControlError::Moving(self.spec.name.clone())),
        }
    }

    /// Why nothing can be asked of the running part.
    pub fn not_running(&self) -> ControlError {
        let name = self.spec.name.clone();
        match self.state {
            State::Loading(_) => ControlError::StillLoading(name),
            State::Ended(..) | State::Live(_) => ControlError::NotRunning(name),
        }
    }

    /// The running part, if it runs.
    pub fn live(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::Live(live) => Some(live),
            State::Ended(..) | State::Loading(_) => None,
        }
    }
}
