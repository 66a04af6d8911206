//! A running program as plain data: all but the pages of its memories and the guest's own state (D4).
//!
//! [`ExecutionState`] says where the program is ([`ProgressState`], with its calls), what of its setup is left,
//! and what its modules hold. It can be taken between any two slices. A program that ran out of fuel between
//! two safepoints first goes on to the next one.

use super::execution::{Execution, Progress, Root, Suspension};
use super::load::Program;
use super::stop::Stop;
use crate::instance::HostState;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use sos_abi::HostCall;
use sos_engine::frames::{self, CallStack};
use sos_engine::state::{FunctionRef, Member, ModuleState, References, StateError, StoreState};
use sos_engine::{Instance, SegmentPosition};

/// Times that a program goes on for a little to reach a safepoint. One is enough in what a compiler makes.
const STEPS_TO_SAFEPOINT: u32 = 64;
/// Each time goes twice as far as the one before, up to 4096 units of fuel: some 217 000 in all, about a slice.
const MOST_STEP_SHIFT: u32 = 12;

/// What an execution is and holds, but the pages of its memories and the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionState {
    /// Where it is.
    pub progress: ProgressState,
    /// How many steps of its setup are left.
    pub stages_left: u32,
    /// Place of the first module whose memory 0 is that of the host call that waits.
    pub caller: Option<u32>,
    /// Fuel used since it was made.
    pub fuel_used: u64,
    /// The limits that it reached since then ([`LimitSet::bits`](crate::instance::LimitSet::bits)).
    pub reached: u8,
    /// Bytes of each memory, in the order in which they came to be: that of the set's order of
    /// instantiation, and of the module. None when it has ended.
    pub memory_bytes: Vec<u64>,
    /// What its modules hold; nothing when it has ended.
    pub store: StoreState,
}

/// Where a program is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgressState {
    /// This function is to be called.
    Begin {
        /// What follows it.
        root: Root,
        /// The function.
        function: FunctionRef,
    },
    /// Suspended for fuel.
    OutOfFuel {
        /// What follows its outermost call.
        root: Root,
        /// Its calls.
        calls: CallStack,
    },
    /// Suspended in a host call.
    HostCall {
        /// What follows its outermost call.
        root: Root,
        /// The host call. How far it came is told by the guest's state.
        #[serde(with = "crate::instance::call_name")]
        call: HostCall,
        /// Its calls.
        calls: CallStack,
        /// The raw result, when it is there.
        result: Option<u64>,
    },
    /// Suspended in a host call that was the last thing its root does.
    TailCall {
        /// What follows.
        root: Root,
        /// The raw result, when it is there.
        result: Option<u64>,
    },
    /// Over.
    Ended(Stop),
    /// The active segments of the module that was made last are being applied.
    Segments {
        /// What comes next of them.
        position: SegmentPosition,
    },
}

/// Why an execution could not be captured. It goes on as if nothing had been asked, but for [`Over`](Self::Over).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureError {
    /// Its modules hold what is no plain data.
    Store(StateError),
    /// Its calls are no plain data.
    Calls(frames::CaptureError),
    /// It reached no safepoint for long.
    NoSafepoint,
    /// It ended on the way to a safepoint: its next run tells how.
    Over,
    /// The engine failed while it ran.
    Broken,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptureError::Store(error) => error.fmt(f),
            CaptureError::Calls(error) => error.fmt(f),
            CaptureError::NoSafepoint => {
                f.write_str("the program reaches no point where it can be captured; try again")
            }
            CaptureError::Over => {
                f.write_str("the program has just ended; its state and its log tell how")
            }
            CaptureError::Broken => f.write_str("the engine failed; restart the instance"),
        }
    }
}

impl<G: HostState + Send + 'static> Execution<G> {
    /// Tells all of it but the pages of its memories and the guest. It may run on a little for that.
    ///
    /// # Errors
    /// See [`CaptureError`]; no ordinary program causes one.
    pub fn capture(&mut self) -> Result<ExecutionState, CaptureError> {
        for step in 0..STEPS_TO_SAFEPOINT {
            let stop = match self.capture_here() {
                Err(CaptureError::Calls(frames::CaptureError::BetweenSafepoints {
                    required_fuel,
                })) => self.run(required_fuel.max(1 << step.min(MOST_STEP_SHIFT))),
                captured => return captured,
            };
            match stop {
                Stop::OutOfFuel | Stop::Blocked => {}
                Stop::Exited(_) | Stop::Finished | Stop::Trapped(_) => {
                    return Err(CaptureError::Over);
                }
            }
        }
        Err(CaptureError::NoSafepoint)
    }

    /// Heap that [`capture`](Self::capture) takes at most, for what it is now.
    pub fn capture_bytes(&self) -> u64 {
        let calls = match &self.progress {
            Progress::OutOfFuel(_, suspended) => suspended.capture_bytes(),
            Progress::InHostCall(_, Suspension::Called(_, suspended), _) => {
                suspended.capture_bytes()
            }
            Progress::Begin(..)
            | Progress::Segments(_)
            | Progress::InHostCall(..)
            | Progress::Ended(_)
            | Progress::Running => 0,
        };
        let modules = self
            .program
            .modules
            .iter()
            .map(|module| &module.translated.inner);
        (calls + StoreState::capture_bytes(&self.store, modules)) as u64
    }

    fn capture_here(&self) -> Result<ExecutionState, CaptureError> {
        if let Progress::Ended(stop) = &self.progress {
            return Ok(self.state(ProgressState::Ended(stop.clone()), Vec::new()));
        }
        let members = members(&self.program, &self.setup.instances);
        let progress = self.capture_progress(&References::new(&self.store, &members))?;
        let store = StoreState::capture(&self.store, &members).map_err(CaptureError::Store)?;
        Ok(ExecutionState {
            stages_left: u32::try_from(self.setup.stages_left()).unwrap_or(u32::MAX),
            caller: self.caller_place(),
            memory_bytes: self.memory_sizes(),
            ..self.state(progress, store.modules)
        })
    }

    /// The state of one that is there, or of one that has ended: of that only how is left.
    fn state(&self, progress: ProgressState, modules: Vec<Option<ModuleState>>) -> ExecutionState {
        ExecutionState {
            progress,
            stages_left: 0,
            caller: None,
            fuel_used: self.fuel_used,
            reached: self.reached_limits().bits(),
            memory_bytes: Vec::new(),
            store: StoreState { modules },
        }
    }

    fn capture_progress(&self, references: &References) -> Result<ProgressState, CaptureError> {
        Ok(match &self.progress {
            Progress::Begin(root, function) => {
                let name = references.name_of(&self.store, function);
                ProgressState::Begin {
                    root: *root,
                    function: name.ok_or(CaptureError::Broken)?,
                }
            }
            Progress::Segments(preparing) => ProgressState::Segments {
                position: preparing.position,
            },
            Progress::OutOfFuel(root, suspended) => ProgressState::OutOfFuel {
                root: *root,
                calls: suspended
                    .capture(&self.store, references)
                    .map_err(CaptureError::Calls)?,
            },
            Progress::InHostCall(root, Suspension::Called(call, suspended), result) => {
                ProgressState::HostCall {
                    root: *root,
                    call: *call,
                    calls: suspended
                        .capture(&self.store, references)
                        .map_err(CaptureError::Calls)?,
                    result: *result,
                }
            }
            Progress::InHostCall(root, Suspension::Tail, result) => ProgressState::TailCall {
                root: *root,
                result: *result,
            },
            Progress::Ended(_) | Progress::Running => return Err(CaptureError::Broken),
        })
    }

    /// Place of the first module whose memory 0 is the one of the host call that waits.
    fn caller_place(&self) -> Option<u32> {
        let caller = self.caller?;
        let mut places = (0..).zip(&self.setup.instances);
        let found = places.find(|(_, instance)| {
            let memory = instance.and_then(|instance| instance.memory(&self.store, 0));
            memory.is_some_and(|memory| memory.is(&caller))
        });
        found.map(|(place, _)| place)
    }

    /// Bytes of each memory, in the order in which they came to be.
    pub(super) fn memory_sizes(&self) -> Vec<u64> {
        let sizes = self.store.memory_sizes();
        sizes.map(|bytes| bytes as u64).collect()
    }
}

/// The set as the engine wants to be told of it.
pub(super) fn members<'a>(program: &'a Program, instances: &[Option<Instance>]) -> Vec<Member<'a>> {
    let modules = program.modules.iter().zip(instances);
    let members = modules.map(|(module, instance)| Member {
        module: &module.translated.inner,
        instance: *instance,
    });
    members.collect()
}
