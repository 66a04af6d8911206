//! Several instances in one store whose exports are called one by one: how the engine is tested.
//!
//! Services run by [`super::Execution`]; this is for scripts that make instances of modules which
//! import from each other and call exports with values ([`crate::conformance`]). Both use the same
//! engine settings, memories that the kernel supplies, and calls in slices of fuel. `moving`: the same with
//! each call captured and restored between its slices.

mod moving;
mod supply;

use self::moving::Made;
pub use self::moving::Moving;

use super::bounds::MemoryRequest;
use super::load::{self, Engine};
use super::load_error::LoadError;
use super::stop::{self, TrapReason};
use crate::limits;
use crate::machine::ReserveError;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use sos_engine::errors::{ErrorKind, InstantiationError, MemoryError, TableError};
use sos_engine::{
    Error, Extern, ExternRef, F32, F64, Func, GuestMemory, Instance, LimiterError, Module,
    Nullable, ResourceLimiter, ResumableCall, Segments, StackLimits, Store, Translation, V128, Val,
    ValType,
};

/// Fuel of one slice: small, so that most calls are suspended and continued many times.
const SLICE_FUEL: u64 = 5_000;
/// Bytes of a module that are translated in one step: small, so that most functions are left in
/// the middle.
const STEP_BYTES: usize = 16;
/// Slices after which a call counts as endless.
const SLICES: u64 = 2_000_000;
/// Bytes of all memories of a session together.
const MEMORY_BYTES: usize = 1024 * 1024 * 1024;
/// Bytes of locals and operands of all calls, and how many calls there may be.
const STACK_BYTES: usize = 1024 * 1024;
const CALL_DEPTH: usize = 10_000;

/// A value, by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// An `i32`.
    I32(u32),
    /// An `i64`.
    I64(u64),
    /// An `f32`.
    F32(u32),
    /// An `f64`.
    F64(u64),
    /// A vector.
    V128(u128),
    /// A null function reference.
    NullFunction,
    /// A function.
    Function,
    /// A null external reference.
    NullExternal,
    /// An external reference that the script numbers.
    External(u32),
}

/// A module of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleId(usize);

/// An instance of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceId(usize);

/// Why something of a session did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionError {
    /// The module was refused.
    Load(LoadError),
    /// An import is not there, or of another type.
    Link(Box<str>),
    /// It trapped.
    Trap(TrapReason),
    /// There is no such export.
    NoExport(Box<str>),
    /// It does not end.
    Endless,
    /// The engine refused otherwise.
    Engine(Box<str>),
}

/// A store with instances that may import from each other.
#[derive(Debug)]
pub struct Session {
    engine: sos_engine::Engine,
    store: Store<SessionBounds>,
    modules: Vec<Module>,
    instances: Vec<Instance>,
    /// What each instance was made of.
    made: Vec<Made>,
    moving: Option<Moving>,
}

impl Session {
    /// A session without modules.
    pub fn new(engine: &Engine) -> Session {
        let engine = sos_engine::Engine::new(&engine.config);
        Session {
            store: Session::new_store(&engine),
            engine,
            modules: Vec::new(),
            instances: Vec::new(),
            made: Vec::new(),
            moving: None,
        }
    }

    /// A session without modules whose calls move to a new store whenever they have used so much fuel.
    pub fn moving(engine: &Engine, slice_fuel: u64) -> Session {
        Session {
            moving: Some(Moving {
                slice_fuel,
                moves: 0,
                refusals: Vec::new(),
            }),
            ..Session::new(engine)
        }
    }

    /// What came of the moves, if calls move.
    pub fn moves(&self) -> Option<&Moving> {
        self.moving.as_ref()
    }

    fn new_store(engine: &sos_engine::Engine) -> Store<SessionBounds> {
        let mut store = Store::new(engine, SessionBounds::default());
        store.limiter(|bounds| bounds);
        store.set_stack_limits(StackLimits {
            value_bytes: STACK_BYTES,
            call_depth: CALL_DEPTH,
        });
        store
    }

    /// Validates and translates a module.
    ///
    /// # Errors
    /// [`SessionError::Load`].
    pub fn load(&mut self, wasm: &[u8]) -> Result<ModuleId, SessionError> {
        // In steps, as the kernel does it: the suite judges those.
        let mut translation = Translation::new(&self.engine);
        let module = loop {
            match translation.step(wasm, STEP_BYTES) {
                Ok(Some(module)) => break module,
                Ok(None) => {}
                Err(error) => return Err(SessionError::Load(load::refusal(&error, None))),
            }
        };
        self.modules.push(module);
        Ok(ModuleId(self.modules.len() - 1))
    }

    /// Makes an instance; `find` tells which instance is registered under a module name. Its start
    /// function runs.
    ///
    /// # Errors
    /// [`SessionError::Link`] for imports, [`SessionError::Trap`] for segments that do not fit and
    /// for the start function; effects before it remain, as the specification says.
    pub fn instantiate(
        &mut self,
        module: ModuleId,
        find: &dyn Fn(&str) -> Option<InstanceId>,
        memories: &mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
    ) -> Result<InstanceId, SessionError> {
        let place = module.0;
        let module = self.modules[place].clone();
        let mut imports: Vec<Extern> = Vec::new();
        let mut sources = Vec::new();
        for import in module.imports() {
            let from = find(import.module());
            let found =
                from.and_then(|id| self.instances[id.0].get_export(&self.store, import.name()));
            sources.extend(from.map(|id| (id.0, import.name().to_string())));
            let missing = || {
                let mut text = String::from("unknown import ");
                text.push_str(import.module());
                text.push('.');
                text.push_str(import.name());
                SessionError::Link(text.into_boxed_str())
            };
            imports.push(found.ok_or_else(missing)?);
        }
        let mut supplied = Vec::new();
        for request in supply::requests(&module) {
            supplied.push(memories(request).map_err(|error| engine_text(&error))?);
        }
        let made = self
            .store
            .instantiate(&module, imports, supplied, Segments::Applied);
        let (instance, start) = made.map_err(|error| sort(&error))?;
        self.instances.push(instance);
        self.made.push(Made {
            module: place,
            imports: sources,
        });
        let id = InstanceId(self.instances.len() - 1);
        if let Some(start) = start {
            self.call(start, &[], &mut [])?;
        }
        Ok(id)
    }

    /// Calls an exported function.
    ///
    /// # Errors
    /// [`SessionError::NoExport`], [`SessionError::Trap`] or [`SessionError::Endless`].
    pub fn invoke(
        &mut self,
        instance: InstanceId,
        function: &str,
        arguments: &[Value],
    ) -> Result<Vec<Value>, SessionError> {
        let instance = self.instances[instance.0];
        let Some(Extern::Func(func)) = instance.get_export(&self.store, function) else {
            return Err(SessionError::NoExport(function.into()));
        };
        let arguments: Vec<Val> = arguments.iter().map(|value| self.lower(*value)).collect();
        let mut results: Vec<Val> = func
            .ty(&self.store)
            .results()
            .iter()
            .map(|result| zero(*result))
            .collect();
        self.call(func, &arguments, &mut results)?;
        Ok(results.iter().map(|result| self.lift(result)).collect())
    }

    /// The value of an exported global.
    ///
    /// # Errors
    /// [`SessionError::NoExport`].
    pub fn global(&mut self, instance: InstanceId, name: &str) -> Result<Value, SessionError> {
        match self.instances[instance.0].get_export(&self.store, name) {
            Some(Extern::Global(global)) => {
                let value = global.get(&self.store);
                Ok(self.lift(&value))
            }
            _ => Err(SessionError::NoExport(name.into())),
        }
    }

    fn call(
        &mut self,
        func: Func,
        arguments: &[Val],
        results: &mut [Val],
    ) -> Result<(), SessionError> {
        let moving = self.moving.as_ref();
        let slice_fuel = moving.map_or(SLICE_FUEL, |moving| moving.slice_fuel);
        // Fails only without metering, which `Engine::new` turns on.
        let _ = self.store.set_fuel(slice_fuel);
        let mut outcome = func.call_resumable(&mut self.store, arguments, results);
        for slice in 0..SLICES {
            match outcome.map_err(|error| sort(&error))? {
                ResumableCall::Finished => return Ok(()),
                ResumableCall::OutOfFuel(suspended) => {
                    let least = if moving::goes_on(slice) {
                        slice_fuel
                    } else {
                        SLICE_FUEL
                    };
                    let fuel = least.max(suspended.required_fuel());
                    let suspended = self.moved(suspended, slice);
                    let _ = self.store.set_fuel(fuel);
                    outcome = suspended.resume(&mut self.store, results);
                }
                ResumableCall::HostTrap(_) => return Err(SessionError::Trap(TrapReason::Engine)),
            }
        }
        Err(SessionError::Endless)
    }

    fn lower(&mut self, value: Value) -> Val {
        match value {
            Value::I32(bits) => Val::I32(bits as i32),
            Value::I64(bits) => Val::I64(bits as i64),
            Value::F32(bits) => Val::F32(F32::from_bits(bits)),
            Value::F64(bits) => Val::F64(F64::from_bits(bits)),
            Value::V128(bits) => Val::V128(V128::from(bits)),
            Value::NullFunction | Value::Function => Val::FuncRef(Nullable::Null),
            Value::NullExternal => Val::ExternRef(Nullable::Null),
            Value::External(number) => {
                Val::ExternRef(Nullable::Val(ExternRef::new(&mut self.store, number)))
            }
        }
    }

    fn lift(&self, value: &Val) -> Value {
        match value {
            Val::I32(value) => Value::I32(*value as u32),
            Val::I64(value) => Value::I64(*value as u64),
            Val::F32(value) => Value::F32(value.to_bits()),
            Val::F64(value) => Value::F64(value.to_bits()),
            Val::V128(value) => Value::V128(value.as_u128()),
            Val::FuncRef(Nullable::Null) => Value::NullFunction,
            Val::FuncRef(Nullable::Val(_)) => Value::Function,
            Val::ExternRef(Nullable::Null) => Value::NullExternal,
            Val::ExternRef(Nullable::Val(reference)) => {
                let number = reference.data(&self.store).downcast_ref::<u32>();
                number.map_or(Value::NullExternal, |number| Value::External(*number))
            }
        }
    }
}

fn zero(value: ValType) -> Val {
    match value {
        ValType::I32 => Val::I32(0),
        ValType::I64 => Val::I64(0),
        ValType::F32 => Val::F32(F32::from_bits(0)),
        ValType::F64 => Val::F64(F64::from_bits(0)),
        ValType::V128 => Val::V128(V128::from(0)),
        ValType::FuncRef => Val::FuncRef(Nullable::Null),
        ValType::ExternRef => Val::ExternRef(Nullable::Null),
    }
}

fn engine_text(error: &dyn core::fmt::Display) -> SessionError {
    SessionError::Engine(error.to_string().into_boxed_str())
}

/// Sorts what the engine refuses while it instantiates or runs.
fn sort(error: &Error) -> SessionError {
    if let Some(code) = error.as_trap_code() {
        return SessionError::Trap(stop::trap_reason(code));
    }
    match error.kind() {
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. })
        | ErrorKind::Table(TableError::CopyOutOfBounds | TableError::InitOutOfBounds) => {
            SessionError::Trap(TrapReason::TableOutOfBounds)
        }
        ErrorKind::Memory(MemoryError::OutOfBoundsAccess) => {
            SessionError::Trap(TrapReason::MemoryOutOfBounds)
        }
        ErrorKind::Instantiation(_) => SessionError::Link(error.to_string().into_boxed_str()),
        _ => engine_text(error),
    }
}

/// Keeps a session's memories within bounds.
#[derive(Debug, Default)]
struct SessionBounds {
    memory_bytes: usize,
}

impl ResourceLimiter for SessionBounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        let total = self.memory_bytes - current + desired;
        if total > MEMORY_BYTES {
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        Ok(desired <= limits::TABLE_ELEMENTS_MOST as usize)
    }

    fn instances(&self) -> usize {
        usize::MAX
    }

    fn tables(&self) -> usize {
        usize::MAX
    }

    fn memories(&self) -> usize {
        usize::MAX
    }
}
