//! A running program from plain data, which may come from anywhere: every part of it is checked against the
//! program's own modules.

use super::bounds::{self, EngineLimits, MemoryRequest, StartError};
use super::capture::{ExecutionState, ProgressState};
use super::execution::{Execution, Preparing, Progress, Suspension};
use super::link;
use super::load::Program;
use super::stop::Stop;
use crate::instance::{HostState, LimitSet};
use crate::machine::ReserveError;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use sos_abi::HostCall;
use sos_engine::frames::{self, CallStack, Restored};
use sos_engine::state::{FunctionRef, References, StateError};
use sos_engine::{
    Func, GuestMemory, Memory, ResumableCallHostTrap, ResumableCallOutOfFuel, SegmentPosition,
    Segments,
};

/// What supplies the memories of an execution that is restored: each as it is wanted, and its place among those
/// whose pages were captured, or none when it is untouched.
pub type SupplyMemory<'a> =
    dyn FnMut(MemoryRequest, Option<usize>) -> Result<GuestMemory, ReserveError> + 'a;

/// Why an execution could not be restored: its state is not one of this program within these limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreError {
    /// The instance could not be made.
    Start(StartError),
    /// What its modules hold does not fit them.
    Store(StateError),
    /// Its calls do not fit its modules.
    Calls(frames::RestoreError),
    /// More steps of the setup are told to be left than there are.
    Stages {
        /// How many are told.
        told: u32,
    },
    /// It is told to be in a host call and its calls are not, or the other way round.
    Progress,
    /// What it began with is no function without parameters and results.
    Root(FunctionRef),
    /// Its calls end in a host call of another type than this one's.
    HostCall(HostCall),
    /// The module at this place has no memory, as the one that made a host call is told to have.
    Caller(u32),
    /// Other sizes of memories are told at two places.
    Memories,
    /// Limits are told that this kernel does not know.
    Limits,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Start(error) => error.fmt(f),
            RestoreError::Store(error) => error.fmt(f),
            RestoreError::Calls(error) => error.fmt(f),
            RestoreError::Stages { told } => {
                write!(
                    f,
                    "{told} steps of the setup are told to be left; use the same modules"
                )
            }
            RestoreError::Progress => {
                f.write_str("its calls and what it waits for contradict each other")
            }
            RestoreError::Root(FunctionRef { module, function }) => {
                write!(
                    f,
                    "function {function} of module {module} is none that a program begins with"
                )
            }
            RestoreError::HostCall(call) => {
                write!(
                    f,
                    "its calls do not end in {}.{}",
                    call.module(),
                    call.name()
                )
            }
            RestoreError::Caller(place) => {
                write!(f, "module {place}, which makes a host call, has no memory")
            }
            RestoreError::Memories => f.write_str("sizes of its memories contradict each other"),
            RestoreError::Limits => f.write_str("it reached limits that this kernel does not know"),
        }
    }
}

impl core::error::Error for RestoreError {}

impl<G: HostState + Send + 'static> Execution<G> {
    /// Makes the execution that `state` tells of, whose memories come from `memories` with their pages in them.
    /// It goes on as the captured one would have: the order of the memories is that of
    /// [`ExecutionState::memory_bytes`].
    ///
    /// # Errors
    /// [`RestoreError`] names what is not possible.
    pub fn restore(
        program: &Arc<Program>,
        memories: &mut SupplyMemory<'_>,
        guest: G,
        limits: &EngineLimits,
        state: &ExecutionState,
    ) -> Result<Execution<G>, RestoreError> {
        let mut execution = match &state.progress {
            ProgressState::Ended(stop) => Execution::over(program, guest, limits, stop)?,
            _ => Execution::suspended(program, memories, guest, limits, state)?,
        };
        let reached = LimitSet::from_bits(state.reached).ok_or(RestoreError::Limits)?;
        execution.store.data_mut().bounds.restore_reached(reached);
        execution.fuel_used = state.fuel_used;
        Ok(execution)
    }

    /// One that has ended: nothing of it is there but how.
    fn over(
        program: &Arc<Program>,
        guest: G,
        limits: &EngineLimits,
        stop: &Stop,
    ) -> Result<Execution<G>, RestoreError> {
        let is_sound = match stop {
            Stop::OutOfFuel | Stop::Blocked => false,
            Stop::Exited(_) | Stop::Finished => true,
            Stop::Trapped(trap) => trap.backtrace.is_sound(),
        };
        if !is_sound {
            return Err(RestoreError::Progress);
        }
        let none = program.modules.iter().map(|_| Vec::new());
        let mut execution = Execution::new(program, none.collect(), guest, limits);
        let _ = execution.setup.skip_to(0);
        execution.progress = Progress::Ended(stop.clone());
        Ok(execution)
    }

    fn suspended(
        program: &Arc<Program>,
        memories: &mut SupplyMemory<'_>,
        guest: G,
        limits: &EngineLimits,
        state: &ExecutionState,
    ) -> Result<Execution<G>, RestoreError> {
        let told = state.stages_left;
        let mut execution = Execution::new(program, Vec::new(), guest, limits);
        let done = execution.setup.skip_to(told as usize);
        let done = done.ok_or(RestoreError::Stages { told })?;
        let made: Vec<usize> = done.iter().filter_map(|stage| stage.made()).collect();
        let mut numbers = numbers(program, &made).into_iter();
        let mut supply = |request| memories(request, numbers.next().flatten());
        execution.setup.memories =
            bounds::reserve(program, &mut supply, limits).map_err(RestoreError::Start)?;
        let mut last = None;
        for place in made {
            let made = execution.instantiate_module(place, Segments::Skipped);
            let (instance, start) = made.map_err(RestoreError::Start)?;
            last = Some(Preparing {
                place,
                instance,
                start,
                position: SegmentPosition::default(),
            });
        }
        let mut references = execution.restore_store(state)?;
        execution.progress = match state.progress {
            ProgressState::Segments { position } => {
                // Nothing of it has run: it is what was made last, and nothing was done since.
                let is_new = done.last().is_some_and(|stage| stage.made().is_some());
                let preparing = last.filter(|_| is_new).ok_or(RestoreError::Progress)?;
                let module = &program.modules[preparing.place].translated.inner;
                if !module.has_segment_position(position) {
                    return Err(RestoreError::Progress);
                }
                Progress::Segments(Preparing {
                    position,
                    ..preparing
                })
            }
            _ => execution.restore_progress(&mut references, &state.progress)?,
        };
        Ok(execution)
    }

    fn restore_store(&mut self, state: &ExecutionState) -> Result<References, RestoreError> {
        let program = self.program.clone();
        let members = super::capture::members(&program, &self.setup.instances);
        let references = state.store.restore(&mut self.store, &members);
        let references = references.map_err(RestoreError::Store)?;
        if self.memory_sizes() != state.memory_bytes {
            return Err(RestoreError::Memories);
        }
        self.caller = state
            .caller
            .map(|place| self.memory_of(place))
            .transpose()?;
        Ok(references)
    }

    /// Memory 0 of the module at `place`.
    fn memory_of(&self, place: u32) -> Result<Memory, RestoreError> {
        let instance = self.setup.instances.get(place as usize).copied().flatten();
        let memory = instance.and_then(|instance| instance.memory(&self.store, 0));
        memory.ok_or(RestoreError::Caller(place))
    }

    fn restore_progress(
        &mut self,
        references: &mut References,
        progress: &ProgressState,
    ) -> Result<Progress, RestoreError> {
        Ok(match progress {
            ProgressState::Begin { root, function } => {
                Progress::Begin(*root, self.procedure(references, *function)?)
            }
            ProgressState::OutOfFuel { root, calls } => {
                Progress::OutOfFuel(*root, self.paused(references, calls)?)
            }
            ProgressState::HostCall {
                root,
                call,
                calls,
                result,
            } => {
                let suspended = self.waiting(references, *call, calls)?;
                Progress::InHostCall(*root, Suspension::Called(*call, suspended), *result)
            }
            ProgressState::TailCall { root, result } => {
                Progress::InHostCall(*root, Suspension::Tail, *result)
            }
            ProgressState::Ended(_) | ProgressState::Segments { .. } => {
                return Err(RestoreError::Progress);
            }
        })
    }

    /// The function `name`, which must take and return nothing.
    fn procedure(&self, references: &References, name: FunctionRef) -> Result<Func, RestoreError> {
        let function = references.function(&self.store, name);
        let procedure = function.filter(|it| link::is_procedure(&it.ty(&self.store)));
        procedure.ok_or(RestoreError::Root(name))
    }

    fn calls(
        &mut self,
        references: &mut References,
        calls: &CallStack,
    ) -> Result<Restored, RestoreError> {
        self.procedure(references, calls.root)?;
        let restored = calls.restore(&mut self.store, references);
        restored.map_err(RestoreError::Calls)
    }

    fn paused(
        &mut self,
        references: &mut References,
        calls: &CallStack,
    ) -> Result<ResumableCallOutOfFuel, RestoreError> {
        match self.calls(references, calls)? {
            Restored::OutOfFuel(suspended) => Ok(suspended),
            Restored::HostCall(_) => Err(RestoreError::Progress),
        }
    }

    fn waiting(
        &mut self,
        references: &mut References,
        call: HostCall,
        calls: &CallStack,
    ) -> Result<ResumableCallHostTrap, RestoreError> {
        let Restored::HostCall(suspended) = self.calls(references, calls)? else {
            return Err(RestoreError::Progress);
        };
        let function = calls.host_call;
        let function = function.and_then(|name| references.function(&self.store, name));
        let is_call = function.is_some_and(|it| link::is_call(&it.ty(&self.store), call));
        match is_call {
            true => Ok(suspended),
            false => Err(RestoreError::HostCall(call)),
        }
    }
}

/// For each memory, by the places of the modules: its number in the order in which the modules `made` made them.
fn numbers(program: &Program, made: &[usize]) -> Vec<Option<usize>> {
    let memories = |place: usize| {
        let module = &program.modules[place].translated.inner;
        module.defined_memories().len()
    };
    let mut first = vec![None; program.modules.len()];
    let mut next = 0;
    for &place in made {
        first[place] = Some(next);
        next += memories(place);
    }
    let places = first.into_iter().enumerate();
    let numbers = places.flat_map(|(place, first)| {
        (0..memories(place)).map(move |index| first.map(|first| first + index))
    });
    numbers.collect()
}
