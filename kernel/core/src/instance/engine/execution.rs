//! One running program: its store, its memories, the guest's state, and the call in progress.
//!
//! The start function and then `_start` run as resumable calls. [`Execution::run`] continues what
//! is suspended until fuel ends, a host call blocks, or the program ends; after that every further
//! `run` gives the same answer.

use super::bounds::{Bounds, EngineLimits, MemoryRequest, StartError};
use super::load::{ENTRY, Engine, Module};
use crate::instance::{HostFault, HostState, Outcome};
use crate::machine::ReserveError;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use sos_abi::{CallId, ValueType};
use sos_engine::errors::{ErrorKind, InstantiationError, MemoryError, TableError};
use sos_engine::{
    Caller, Error, Extern, Func, FuncType, GuestMemory, Memory, ResumableCall,
    ResumableCallHostTrap, ResumableCallOutOfFuel, Segments, Store, TrapCode, Val,
};

/// Why [`Execution::run`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The slice is used up.
    OutOfFuel,
    /// A host call waits; [`Execution::retry`] continues it.
    Blocked,
    /// The program ended itself with this status.
    Exited(i32),
    /// `_start` returned.
    Finished,
    /// The program did what it must not.
    Trapped(Trap),
}

/// The end of a program that did what it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    /// What it did.
    pub reason: TrapReason,
}

/// What a program did to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrapReason {
    /// It reached `unreachable`: an abort or a panic, most often.
    Unreachable,
    /// It read or wrote outside its memory.
    MemoryOutOfBounds,
    /// It read or wrote outside a table.
    TableOutOfBounds,
    /// It called an empty table element.
    NullCall,
    /// It called a table element of another type.
    CallType,
    /// It divided an integer by zero.
    DivisionByZero,
    /// An integer division or conversion overflowed.
    IntegerOverflow,
    /// It converted a float that is no number to an integer.
    ConversionToInteger,
    /// Its calls nest too deeply, or hold too many locals.
    CallStackExhausted,
    /// The kernel's heap had no room for its stack or tables.
    OutOfKernelMemory,
    /// A host call could not be made.
    Host(HostFault),
    /// The engine failed in a way that no program should cause.
    Engine,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            TrapReason::Unreachable => "unreachable executed (abort or panic)",
            TrapReason::MemoryOutOfBounds => "memory access out of bounds",
            TrapReason::TableOutOfBounds => "table access out of bounds",
            TrapReason::NullCall => "indirect call to null",
            TrapReason::CallType => "indirect call of another type",
            TrapReason::DivisionByZero => "integer divided by zero",
            TrapReason::IntegerOverflow => "integer overflow",
            TrapReason::ConversionToInteger => "float is no number or too large for an integer",
            TrapReason::CallStackExhausted => {
                "call stack exhausted; raise `stack` or `call_depth` in the manifest if the \
                 recursion is meant"
            }
            TrapReason::OutOfKernelMemory => {
                "kernel heap exhausted by the program's stack or tables"
            }
            TrapReason::Host(fault) => return fault.fmt(f),
            TrapReason::Engine => "the engine failed",
        })
    }
}

/// What [`Execution::retry`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The call still waits.
    StillBlocked,
    /// There is something for [`Execution::run`] to do.
    Ready,
}

/// One instance of a module with its guest state.
#[derive(Debug)]
pub struct Execution<G: HostState + Send + 'static> {
    // Suspended calls refer to the store by handle; its drop order does not matter, but reads best.
    progress: Progress,
    store: Store<Context<G>>,
    module: Arc<Module>,
    entry: Func,
    fuel_used: u64,
}

/// What the host functions of an execution reach.
#[derive(Debug)]
struct Context<G> {
    guest: G,
    /// The module's memory 0, which host calls read and write.
    memory: Option<Memory>,
    bounds: Bounds,
    /// Why the last host call suspended.
    suspended: Option<Suspended>,
    /// Fuel that host calls cost beyond what was left of the slice.
    debt: u64,
}

/// A host call that did not return a value, and which it was.
#[derive(Debug, Clone, Copy)]
struct Suspended {
    call: CallId,
    why: Why,
}

#[derive(Debug, Clone, Copy)]
enum Why {
    Blocked,
    Exit(i32),
    Fault(HostFault),
}

/// What the engine sees of a suspended host call; the facts are in [`Context::suspended`].
#[derive(Debug)]
struct SuspendedMarker;

impl fmt::Display for SuspendedMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("host call suspended")
    }
}

impl sos_engine::errors::HostError for SuspendedMarker {}

/// The function at the bottom of the call stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// The module's start function; the entry follows.
    Start,
    /// `_start`.
    Entry,
}

/// Where the program is.
#[derive(Debug)]
enum Progress {
    /// `function`, of this root, is to be called.
    Begin(Root, Func),
    /// Suspended for fuel.
    OutOfFuel(Root, ResumableCallOutOfFuel),
    /// Suspended in a host call that waits, or whose result is there.
    InHostCall(Root, HostCall, Option<u64>),
    /// Over.
    Ended(Stop),
    /// Being run: seen only if the engine panicked.
    Running,
}

/// A suspended host call.
#[derive(Debug)]
enum HostCall {
    /// The program goes on after it.
    Called(CallId, ResumableCallHostTrap),
    /// It was the root function itself, or its tail call: the root returns with it.
    Tail,
}

impl<G: HostState + Send + 'static> Execution<G> {
    /// Makes an instance of `module` whose memories come from `memories`. Nothing of the program
    /// runs yet, but its active segments are applied.
    ///
    /// # Errors
    /// [`StartError`] names the limit or the thing that is wrong.
    pub fn instantiate(
        engine: &Engine,
        module: &Arc<Module>,
        memories: &mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
        guest: G,
        limits: &EngineLimits,
    ) -> Result<Execution<G>, StartError> {
        let mut store = Store::new(
            &engine.inner,
            Context {
                guest,
                memory: None,
                bounds: Bounds::new(limits),
                suspended: None,
                debt: 0,
            },
        );
        store.limiter(|context| &mut context.bounds);
        store.set_stack_limits(limits.stack());
        let supplied = reserve(module, memories, limits)?;
        let imports = module
            .imports
            .iter()
            .map(|(call, signature)| Extern::Func(host_function(&mut store, *call, signature)))
            .collect();
        let (instance, start) = store
            .instantiate(&module.inner, imports, supplied, Segments::Applied)
            .map_err(|error| start_error(&error, limits))?;
        store.data_mut().memory = instance.memory(&store, 0);
        let entry = instance
            .get_func(&store, ENTRY)
            .ok_or_else(|| StartError::Engine {
                reason: "no entry".into(),
            })?;
        let progress = match start {
            Some(start) => Progress::Begin(Root::Start, start),
            None => Progress::Begin(Root::Entry, entry),
        };
        Ok(Execution {
            progress,
            store,
            module: module.clone(),
            entry,
            fuel_used: 0,
        })
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
        let memory = self.store.data().memory;
        let (outcome, cost) = with_guest(memory, &mut self.store, |guest, bytes| {
            let outcome = guest.retry(bytes);
            (outcome, guest.cost())
        });
        self.fuel_used = self.fuel_used.saturating_add(cost);
        match outcome {
            Outcome::Blocked => return Retry::StillBlocked,
            Outcome::Done(value) => *result = Some(value),
            Outcome::Exit(status) => self.progress = Progress::Ended(Stop::Exited(status)),
            Outcome::Fault(fault) => self.progress = Progress::Ended(host_fault(fault)),
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

    /// The module that it runs.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Fuel used since it was made, host calls included.
    pub fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// Current size of all memories.
    pub fn memory_bytes(&self) -> u64 {
        self.store.memory_bytes() as u64
    }

    /// What of it is there: pages that were touched.
    pub fn resident_bytes(&self) -> u64 {
        self.store.resident_bytes() as u64
    }

    /// Whether it touched a page that the machine could serve only from its emergency reserve,
    /// since this was last asked.
    pub fn take_exhausted(&self) -> bool {
        self.store.take_exhausted()
    }

    /// Takes one step from where the program is. `None`: there is more to do in this slice.
    fn advance(&mut self) -> Option<Stop> {
        let (root, outcome) = match core::mem::replace(&mut self.progress, Progress::Running) {
            Progress::Begin(root, function) => {
                (root, function.call_resumable(&mut self.store, &[], &mut []))
            }
            Progress::OutOfFuel(root, suspended) => {
                (root, suspended.resume(&mut self.store, &mut []))
            }
            Progress::InHostCall(root, HostCall::Called(call, suspended), Some(value)) => {
                let value = result_value(call, value);
                (
                    root,
                    suspended.resume(&mut self.store, value.as_slice(), &mut []),
                )
            }
            Progress::InHostCall(root, HostCall::Tail, Some(_)) => {
                (root, Ok(ResumableCall::Finished))
            }
            waiting @ Progress::InHostCall(_, _, None) => {
                self.progress = waiting;
                return Some(Stop::Blocked);
            }
            Progress::Ended(stop) => return Some(self.end(stop)),
            Progress::Running => return Some(self.end(trap(TrapReason::Engine))),
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
                let reason = error.as_trap_code().map_or(TrapReason::Engine, trap_reason);
                Some(self.end(trap(reason)))
            }
        }
    }

    /// The function at the bottom returned.
    fn finish(&mut self, root: Root) -> Option<Stop> {
        match root {
            Root::Start => {
                self.progress = Progress::Begin(Root::Entry, self.entry);
                None
            }
            Root::Entry => Some(self.end(Stop::Finished)),
        }
    }

    /// A host call did not return a value. `call` is `None` when the root returns with it.
    fn suspend(&mut self, root: Root, call: Option<ResumableCallHostTrap>) -> Stop {
        let Some(suspended) = self.store.data_mut().suspended.take() else {
            return self.end(trap(TrapReason::Engine));
        };
        match suspended.why {
            Why::Blocked => {
                let call = match call {
                    Some(call) => HostCall::Called(suspended.call, call),
                    None => HostCall::Tail,
                };
                self.progress = Progress::InHostCall(root, call, None);
                Stop::Blocked
            }
            Why::Exit(status) => self.end(Stop::Exited(status)),
            Why::Fault(fault) => self.end(host_fault(fault)),
        }
    }

    fn end(&mut self, stop: Stop) -> Stop {
        self.progress = Progress::Ended(stop);
        stop
    }

    fn set_fuel(&mut self, fuel: u64) {
        // Fails only without metering, which `Engine::new` turns on.
        let _ = self.store.set_fuel(fuel);
    }
}

/// Has the kernel supply the memories that `module` defines, within `limits`.
fn reserve(
    module: &Module,
    memories: &mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
    limits: &EngineLimits,
) -> Result<Vec<GuestMemory>, StartError> {
    // Validation bounds both counts of 64 KiB pages well below overflow for 32-bit memories; for
    // 64-bit ones saturation only means "too much".
    let bytes = |pages: u64| pages.saturating_mul(65_536);
    let wanted_bytes = module.inner.defined_memories().fold(0_u64, |sum, memory| {
        sum.saturating_add(bytes(memory.minimum()))
    });
    if wanted_bytes > limits.memory_bytes {
        let limit_bytes = limits.memory_bytes;
        return Err(StartError::Memory {
            wanted_bytes,
            limit_bytes,
        });
    }
    let spare_bytes = limits.memory_bytes - wanted_bytes;
    module
        .inner
        .defined_memories()
        .map(|memory| {
            let minimum_bytes = bytes(memory.minimum());
            let within_limit = minimum_bytes + spare_bytes;
            let declared = memory.maximum().map_or(u64::MAX, bytes);
            let addressable = if memory.is_64() { u64::MAX } else { 1 << 32 };
            let maximum_bytes = within_limit.min(declared).min(addressable);
            memories(MemoryRequest {
                minimum_bytes,
                maximum_bytes,
            })
            .map_err(StartError::Reserve)
        })
        .collect()
}

/// The import that carries out `call`.
fn host_function<G: HostState + Send + 'static>(
    store: &mut Store<Context<G>>,
    call: CallId,
    signature: &FuncType,
) -> Func {
    Func::from_cells(
        store,
        signature,
        move |mut caller: Caller<'_, Context<G>>, arguments| {
            let memory = caller.data().memory;
            let (outcome, cost) = with_guest(memory, &mut caller, |guest, bytes| {
                let outcome = guest.call(bytes, call, arguments);
                (outcome, guest.cost())
            });
            charge(&mut caller, cost);
            let why = match outcome {
                Outcome::Done(value) => return Ok(value),
                Outcome::Blocked => Why::Blocked,
                Outcome::Exit(status) => Why::Exit(status),
                Outcome::Fault(fault) => Why::Fault(fault),
            };
            caller.data_mut().suspended = Some(Suspended { call, why });
            Err(Error::host(SuspendedMarker))
        },
    )
}

/// Takes the cost of a host call from the slice; what it lacks is remembered.
fn charge<G>(caller: &mut Caller<'_, Context<G>>, cost: u64) {
    let left = caller.get_fuel().unwrap_or(0);
    // Fails only without metering, which `Engine::new` turns on.
    let _ = caller.set_fuel(left.saturating_sub(cost));
    caller.data_mut().debt += cost.saturating_sub(left);
}

/// Calls `body` with the guest's state and the bytes of its memory 0.
fn with_guest<'a, G: 'static, C, R>(
    memory: Option<Memory>,
    store: &'a mut C,
    body: impl FnOnce(&mut G, &mut [u8]) -> R,
) -> R
where
    C: sos_engine::AsContextMut<Data = Context<G>>,
{
    match memory {
        Some(memory) => {
            let (bytes, context) = memory.data_and_store_mut(store.as_context_mut());
            body(&mut context.guest, bytes)
        }
        None => body(&mut store.as_context_mut().data_mut().guest, &mut []),
    }
}

/// The raw result of a host call as the engine wants it on resumption.
fn result_value(call: CallId, value: u64) -> Option<Val> {
    call.signature().result.map(|result| match result {
        // The value is a bit pattern; its high half is zero by the contract of `Outcome::Done`.
        ValueType::I32 => Val::I32(value as u32 as i32),
        ValueType::I64 => Val::I64(value as i64),
    })
}

fn trap(reason: TrapReason) -> Stop {
    Stop::Trapped(Trap { reason })
}

fn host_fault(fault: HostFault) -> Stop {
    trap(TrapReason::Host(fault))
}

fn trap_reason(code: TrapCode) -> TrapReason {
    match code {
        TrapCode::UnreachableCodeReached => TrapReason::Unreachable,
        TrapCode::MemoryOutOfBounds => TrapReason::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds => TrapReason::TableOutOfBounds,
        TrapCode::IndirectCallToNull => TrapReason::NullCall,
        TrapCode::IntegerDivisionByZero => TrapReason::DivisionByZero,
        TrapCode::IntegerOverflow => TrapReason::IntegerOverflow,
        TrapCode::BadConversionToInteger => TrapReason::ConversionToInteger,
        TrapCode::StackOverflow => TrapReason::CallStackExhausted,
        TrapCode::BadSignature => TrapReason::CallType,
        TrapCode::OutOfSystemMemory => TrapReason::OutOfKernelMemory,
        // Growth is refused with -1 and fuel is added on resumption: neither trap is asked for.
        TrapCode::OutOfFuel | TrapCode::GrowthOperationLimited => TrapReason::Engine,
    }
}

/// Sorts the engine's refusals of an instantiation.
fn start_error(error: &Error, limits: &EngineLimits) -> StartError {
    match error.kind() {
        ErrorKind::Instantiation(InstantiationError::FailedToInstantiateTable(
            TableError::ResourceLimiterDeniedAllocation,
        )) => StartError::Tables {
            limit_elements: limits.table_elements,
        },
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. })
        | ErrorKind::Memory(MemoryError::OutOfBoundsAccess) => StartError::Segment,
        _ => StartError::Engine {
            reason: error.to_string().into_boxed_str(),
        },
    }
}
