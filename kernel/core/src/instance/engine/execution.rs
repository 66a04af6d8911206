//! One running program: its store, its memories, the guest's state, and the call in progress.
//!
//! What prepares the modules of its set (`setup`) and then `_start` run as resumable calls. [`Execution::run`] continues what
//! is suspended until fuel ends, a host call blocks, or the program ends; after that every further
//! `run` gives the same answer.

use super::backtrace::{Backtrace, Traced};
use super::bounds::{self, Bounds, EngineLimits, MemoryRequest, StartError};
use super::calls::{self, Context, SuspendedMarker, Why};
use super::load::Program;
use super::setup::{self, Setup, Stage};
use super::stop::{self, Retry, Stop, TrapReason};
use crate::instance::{HostState, LimitSet, Outcome};
use crate::machine::ReserveError;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use sos_abi::HostCall;
use sos_engine::{
    CallTrace, FreezeError, FrozenMemory, Func, GuestMemory, Instance, Memory, ResumableCall,
    ResumableCallHostTrap, ResumableCallOutOfFuel, SegmentPosition, Segments, Store,
};

/// One instance of a program with its guest state.
#[derive(Debug)]
pub struct Execution<G: HostState + Send + 'static> {
    // Suspended calls refer to the store by handle; its drop order does not matter, but reads best.
    pub(super) progress: Progress,
    pub(super) store: Store<Context<G>>,
    pub(super) program: Arc<Program>,
    /// What is left to do before `_start`.
    pub(super) setup: Setup,
    /// Memory 0 of the module whose host call waits.
    pub(super) caller: Option<Memory>,
    pub(super) fuel_used: u64,
}

/// The function at the bottom of the call stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// A start function, or what prepares a library; the rest of the setup follows.
    Setup,
    /// `_start`.
    Entry,
}

/// Where the program is.
#[derive(Debug)]
pub(super) enum Progress {
    /// `function`, of this root, is to be called.
    Begin(Root, Func),
    /// The active segments of the module that was made last are being applied.
    Segments(Preparing),
    /// Suspended for fuel.
    OutOfFuel(Root, ResumableCallOutOfFuel),
    /// Suspended in a host call that waits, or whose result is there.
    InHostCall(Root, Suspension, Option<u64>),
    /// Over.
    Ended(Stop),
    /// Being run: seen only if the engine panicked.
    Running,
}

/// A module that is there but for what is left of its active segments. Nothing else runs meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preparing {
    pub place: usize,
    pub instance: Instance,
    /// What is to be called then.
    pub start: Option<Func>,
    pub position: SegmentPosition,
}

/// A suspended host call.
#[derive(Debug)]
pub(super) enum Suspension {
    /// The program goes on after it.
    Called(HostCall, ResumableCallHostTrap),
    /// It was the root function itself, or its tail call: the root returns with it.
    Tail,
}

impl<G: HostState + Send + 'static> Execution<G> {
    /// Makes an instance of `program` whose memories come from `memories`. Nothing of it runs yet, nor are its
    /// active segments applied: that goes in pieces, as the first of what [`run`](Self::run) does.
    ///
    /// # Errors
    /// [`StartError`] names the limit or the thing that is wrong.
    pub fn instantiate(
        program: &Arc<Program>,
        memories: &mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
        guest: G,
        limits: &EngineLimits,
    ) -> Result<Execution<G>, StartError> {
        let supplied = bounds::reserve(program, memories, limits)?;
        let mut execution = Execution::new(program, supplied, guest, limits);
        execution.set_up()?;
        Ok(execution)
    }

    /// An execution of which nothing exists yet.
    pub(super) fn new(
        program: &Arc<Program>,
        memories: Vec<Vec<GuestMemory>>,
        guest: G,
        limits: &EngineLimits,
    ) -> Execution<G> {
        let mut store = Store::new(
            program.modules[0].translated.inner.engine(),
            Context {
                guest,
                bounds: Bounds::new(limits, program.modules.len()),
                suspended: None,
                debt: 0,
            },
        );
        store.limiter(|context| &mut context.bounds);
        store.set_stack_limits(limits.stack());
        Execution {
            progress: Progress::Running,
            store,
            setup: Setup::new(program, memories, *limits),
            program: program.clone(),
            caller: None,
            fuel_used: 0,
        }
    }

    /// Goes on with the setup until there is a function to call.
    fn set_up(&mut self) -> Result<(), StartError> {
        self.progress = loop {
            match self.setup.next() {
                Stage::Instantiate(place) => {
                    let (instance, start) = self.instantiate_module(place, Segments::Deferred)?;
                    break Progress::Segments(Preparing {
                        place,
                        instance,
                        start,
                        position: SegmentPosition::default(),
                    });
                }
                Stage::Initialize(place) => {
                    if let Some(function) = self.setup.initializer(&self.store, place) {
                        break Progress::Begin(Root::Setup, function);
                    }
                }
                Stage::Enter => {
                    let entry = self.setup.entry(&self.store)?;
                    break Progress::Begin(Root::Entry, entry);
                }
            }
        };
        Ok(())
    }

    /// Makes the module at `place`; returns its instance and its start function.
    pub(super) fn instantiate_module(
        &mut self,
        place: usize,
        segments: Segments,
    ) -> Result<(Instance, Option<Func>), StartError> {
        setup::instantiate(
            &mut self.setup,
            &mut self.store,
            &self.program,
            place,
            segments,
        )
    }

    /// Runs for `fuel` at most (more only for an indivisible operation), or until something else
    /// stops it. A host call that waits makes it come back at once: [`retry`](Self::retry) first.
    pub fn run(&mut self, fuel: u64) -> Stop {
        let mut granted = fuel;
        if let Progress::OutOfFuel(_, suspended) = &self.progress {
            granted = granted.max(suspended.required_fuel());
        }
        self.set_fuel(granted);
        let stop = loop {
            if let Some(stop) = self.advance() {
                break stop;
            }
        };
        let left = self.store.get_fuel().unwrap_or(0);
        let debt = core::mem::take(&mut self.store.data_mut().debt);
        let used = (granted - left.min(granted)).saturating_add(debt);
        self.fuel_used = self.fuel_used.saturating_add(used);
        stop
    }

    /// Continues the host call that waits. `Ready` also when none does.
    pub fn retry(&mut self) -> Retry {
        let Progress::InHostCall(_, _, result @ None) = &mut self.progress else {
            return Retry::Ready;
        };
        let (outcome, cost) = calls::with_guest(self.caller, &mut self.store, |guest, bytes| {
            let outcome = guest.retry(bytes);
            (outcome, guest.cost())
        });
        self.fuel_used = self.fuel_used.saturating_add(cost);
        match outcome {
            Outcome::Blocked => return Retry::StillBlocked,
            Outcome::Done(value) => *result = Some(value),
            Outcome::Exit(status) => self.progress = Progress::Ended(Stop::Exited(status)),
            Outcome::Fault(fault) => {
                let backtrace = self.backtrace();
                let stop = stop::trap(TrapReason::Host(fault), backtrace);
                self.progress = Progress::Ended(stop);
            }
        }
        Retry::Ready
    }

    /// The guest's state.
    pub fn guest(&self) -> &G {
        &self.store.data().guest
    }

    /// The guest's state, to change.
    pub fn guest_mut(&mut self) -> &mut G {
        &mut self.store.data_mut().guest
    }

    /// Ends the execution: its memories are released, the guest's state remains.
    pub fn into_guest(self) -> G {
        self.store.into_data().guest
    }

    /// What it runs.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Fuel used since it was made, host calls included.
    pub fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// The limits of memories and tables that it reached since it was made.
    pub fn reached_limits(&self) -> LimitSet {
        self.store.data().bounds.reached()
    }

    /// Current size of all memories.
    pub fn memory_bytes(&self) -> u64 {
        self.store.memory_bytes() as u64
    }

    /// What of it is there: pages that were touched.
    pub fn resident_bytes(&self) -> u64 {
        self.store.resident_bytes() as u64
    }

    /// What its memories hold now, in the order in which they came to be.
    ///
    /// # Errors
    /// See [`FreezeError`]; the execution goes on.
    pub fn freeze_memories(&mut self) -> Result<Vec<FrozenMemory>, FreezeError> {
        self.store.freeze_memories()
    }

    /// Whether it touched a page that the machine could serve only from its emergency reserve,
    /// since this was last asked.
    pub fn take_exhausted(&self) -> bool {
        self.store.take_exhausted()
    }

    /// The calls that the program is inside of, while it is suspended; empty when it is not.
    pub fn backtrace(&self) -> Backtrace {
        match &self.progress {
            Progress::OutOfFuel(_, suspended) => self.named(&suspended.trace(), None),
            Progress::InHostCall(_, Suspension::Called(call, suspended), _) => {
                self.named(&suspended.trace(), Some(*call))
            }
            Progress::Begin(..)
            | Progress::Segments(_)
            | Progress::InHostCall(..)
            | Progress::Ended(_)
            | Progress::Running => Backtrace::default(),
        }
    }

    /// `trace` with names; `call` is the host call that it led to.
    fn named(&self, trace: &CallTrace, call: Option<HostCall>) -> Backtrace {
        let modules = &self.program.modules;
        let traced = modules.iter().map(|module| {
            let translated = &module.translated;
            Traced {
                name: (modules.len() > 1).then_some(&*translated.source.name),
                module: &translated.inner,
                bytes: &translated.source.bytes,
            }
        });
        let traced: Vec<_> = traced.collect();
        let call = call.map(|call| format!("{}.{}", call.module(), call.name()).into());
        Backtrace::new(trace, &traced, call)
    }

    /// Ends the program for `reason`, where its last call left off.
    fn trap(&mut self, reason: TrapReason) -> Stop {
        let trace = self.store.take_trace().unwrap_or_default();
        let backtrace = self.named(&trace, None);
        self.end(stop::trap(reason, backtrace))
    }

    /// Takes one step from where the program is. `None`: there is more to do in this slice.
    fn advance(&mut self) -> Option<Stop> {
        let (root, outcome) = match core::mem::replace(&mut self.progress, Progress::Running) {
            Progress::Begin(root, function) => {
                (root, function.call_resumable(&mut self.store, &[], &mut []))
            }
            Progress::Segments(preparing) => return self.prepare(preparing),
            Progress::OutOfFuel(root, suspended) => {
                (root, suspended.resume(&mut self.store, &mut []))
            }
            Progress::InHostCall(root, Suspension::Called(call, suspended), Some(value)) => {
                let value = calls::result_value(call, value);
                (
                    root,
                    suspended.resume(&mut self.store, value.as_slice(), &mut []),
                )
            }
            Progress::InHostCall(root, Suspension::Tail, Some(_)) => {
                (root, Ok(ResumableCall::Finished))
            }
            waiting @ Progress::InHostCall(_, _, None) => {
                self.progress = waiting;
                return Some(Stop::Blocked);
            }
            Progress::Ended(stop) => return Some(self.end(stop)),
            Progress::Running => return Some(self.trap(TrapReason::Engine)),
        };
        match outcome {
            Ok(ResumableCall::Finished) => self.finish(root),
            Ok(ResumableCall::OutOfFuel(suspended)) => {
                self.progress = Progress::OutOfFuel(root, suspended);
                Some(Stop::OutOfFuel)
            }
            Ok(ResumableCall::HostTrap(suspended)) => Some(self.suspend(root, Some(suspended))),
            Err(error) if error.downcast_ref::<SuspendedMarker>().is_some() => {
                Some(self.suspend(root, None))
            }
            Err(error) => {
                let reason = error
                    .as_trap_code()
                    .map_or(TrapReason::Engine, stop::trap_reason);
                Some(self.trap(reason))
            }
        }
    }

    /// Applies active segments as far as the fuel lasts.
    fn prepare(&mut self, mut preparing: Preparing) -> Option<Stop> {
        let fuel = self.store.get_fuel().unwrap_or(0);
        let mut spent = 0;
        let applied = self.store.apply_segments(
            &self.program.modules[preparing.place].translated.inner,
            preparing.instance,
            &mut preparing.position,
            fuel,
            &mut spent,
        );
        self.set_fuel(fuel.saturating_sub(spent));
        self.store.data_mut().debt += spent.saturating_sub(fuel);
        match (applied, preparing.start) {
            (None, _) => Some(self.trap(TrapReason::Segment)),
            (Some(false), _) => {
                self.progress = Progress::Segments(preparing);
                Some(Stop::OutOfFuel)
            }
            (Some(true), Some(start)) => {
                self.progress = Progress::Begin(Root::Setup, start);
                None
            }
            (Some(true), None) => self.finish(Root::Setup),
        }
    }

    /// The function at the bottom returned.
    fn finish(&mut self, root: Root) -> Option<Stop> {
        match root {
            Root::Setup => match self.set_up() {
                Ok(()) => None,
                Err(error) => Some(self.trap(setup::trap_reason(&error))),
            },
            Root::Entry => Some(self.end(Stop::Finished)),
        }
    }

    /// A host call did not return a value. `call` is `None` when the root returns with it.
    fn suspend(&mut self, root: Root, call: Option<ResumableCallHostTrap>) -> Stop {
        let Some(suspended) = self.store.data_mut().suspended.take() else {
            return self.trap(TrapReason::Engine);
        };
        match suspended.why {
            Why::Blocked => {
                self.caller = suspended.memory;
                let call = match call {
                    Some(call) => Suspension::Called(suspended.call, call),
                    None => Suspension::Tail,
                };
                self.progress = Progress::InHostCall(root, call, None);
                Stop::Blocked
            }
            Why::Exit(status) => self.end(Stop::Exited(status)),
            Why::Fault(fault) => {
                let trace = match &call {
                    Some(call) => call.trace(),
                    None => self.store.take_trace().unwrap_or_default(),
                };
                let backtrace = self.named(&trace, Some(suspended.call));
                self.end(stop::trap(TrapReason::Host(fault), backtrace))
            }
        }
    }

    fn end(&mut self, stop: Stop) -> Stop {
        self.progress = Progress::Ended(stop.clone());
        stop
    }

    fn set_fuel(&mut self, fuel: u64) {
        // Fails only without metering, which `Engine::new` turns on.
        let _ = self.store.set_fuel(fuel);
    }
}
