//! Carries a script out.

use super::script::{Action, Execute, Expected, Script};
use crate::instance::engine::{
    Engine, InstanceId, MemoryRequest, ModuleId, Moving, Session, SessionError, TrapReason, Value,
};
use crate::machine::{GuestMemory, ReserveError};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What came of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Commands that went as they should.
    pub passed: u32,
    /// The others, in order.
    pub failures: Vec<Failure>,
}

/// A command that did not go as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its line in the file.
    pub line: u32,
    /// What happened instead.
    pub reason: String,
}

/// Runs `script` in a store of its own. `environment` is the module that scripts import from under
/// the name `spectest`; `memories` supplies the bytes of memories.
pub fn run(
    script: &Script,
    environment: &[u8],
    memories: &mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
) -> Verdict {
    run_in(Session::new(&Engine::new()), script, environment, memories).0
}

/// [`run`] with each call captured, and restored in a new store, whenever it has used so much fuel; with how
/// often that was, and what prevented it.
pub fn run_moving(
    script: &Script,
    environment: &[u8],
    memories: &mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
    slice_fuel: u64,
) -> (Verdict, u64, Vec<String>) {
    let session = Session::moving(&Engine::new(), slice_fuel);
    let (verdict, session) = run_in(session, script, environment, memories);
    let moving = session.moves();
    let moves = moving.map_or(0, |moving| moving.moves);
    let refusals = moving.map(|moving: &Moving| moving.refusals.clone());
    (verdict, moves, refusals.unwrap_or_default())
}

fn run_in(
    session: Session,
    script: &Script,
    environment: &[u8],
    memories: &mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
) -> (Verdict, Session) {
    let mut runner = Runner {
        session,
        memories,
        registered: BTreeMap::new(),
        instances: BTreeMap::new(),
        current: None,
        definitions: BTreeMap::new(),
        last_definition: None,
    };
    let mut verdict = Verdict {
        passed: 0,
        failures: Vec::new(),
    };
    match runner.instantiate(environment) {
        Ok(instance) => {
            runner.registered.insert("spectest".to_owned(), instance);
        }
        Err(error) => verdict.fail(0, format!("the spectest module: {error:?}")),
    }
    for command in &script.commands {
        match runner.act(&command.action) {
            Ok(()) => verdict.passed += 1,
            Err(reason) => verdict.fail(command.line, reason),
        }
    }
    (verdict, runner.session)
}

impl Verdict {
    fn fail(&mut self, line: u32, reason: String) {
        self.failures.push(Failure { line, reason });
    }
}

struct Runner<'a> {
    session: Session,
    memories: &'a mut dyn FnMut(MemoryRequest) -> Result<GuestMemory, ReserveError>,
    registered: BTreeMap<String, InstanceId>,
    instances: BTreeMap<String, InstanceId>,
    current: Option<InstanceId>,
    definitions: BTreeMap<String, ModuleId>,
    last_definition: Option<ModuleId>,
}

impl Runner<'_> {
    fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Module { name, wasm } => {
                self.current = None;
                let instance = self.instantiate(wasm).map_err(text)?;
                self.enter(instance, name.as_ref());
            }
            Action::Define { name, wasm } => {
                let module = self.session.load(wasm).map_err(text)?;
                self.last_definition = Some(module);
                if let Some(name) = name {
                    self.definitions.insert(name.clone(), module);
                }
            }
            Action::Instantiate { module, name } => {
                let defined = match module {
                    Some(module) => self.definitions.get(module).copied(),
                    None => self.last_definition,
                };
                let module = defined.ok_or("no such definition")?;
                let instance = self.make(module).map_err(text)?;
                self.enter(instance, name.as_ref());
            }
            Action::Register {
                instance,
                module_name,
            } => {
                let instance = self.instance(instance.as_ref())?;
                self.registered.insert(module_name.clone(), instance);
            }
            Action::Do(execute) => drop(self.execute(execute)?.map_err(text)?),
            Action::AssertReturn(execute, expected) => {
                let results = self.execute(execute)?.map_err(text)?;
                compare(expected, &results)?;
            }
            Action::AssertTrap(execute, message) => {
                want_trap(self.execute(execute)?.map(drop), message)?;
            }
            Action::AssertExhaustion(execute) => {
                want_trap(self.execute(execute)?.map(drop), "call stack exhausted")?;
            }
            Action::AssertStartTrap(wasm, message) => {
                want_trap(self.instantiate(wasm).map(drop), message)?;
            }
            Action::AssertRefused(wasm) => match self.session.load(wasm) {
                Err(SessionError::Load(_)) => {}
                other => return Err(format!("it was not refused: {other:?}")),
            },
            Action::AssertUnlinkable(wasm) => match self.instantiate(wasm) {
                Err(SessionError::Link(_)) => {}
                other => return Err(format!("it was linked: {other:?}")),
            },
            Action::Unsupported(what) => return Err(what.clone()),
        }
        Ok(())
    }

    fn enter(&mut self, instance: InstanceId, name: Option<&String>) {
        self.current = Some(instance);
        if let Some(name) = name {
            self.instances.insert(name.clone(), instance);
        }
    }

    fn instance(&self, name: Option<&String>) -> Result<InstanceId, String> {
        let found = match name {
            Some(name) => self.instances.get(name).copied(),
            None => self.current,
        };
        found.ok_or_else(|| "no such instance".to_string())
    }

    fn instantiate(&mut self, wasm: &[u8]) -> Result<InstanceId, SessionError> {
        let module = self.session.load(wasm)?;
        self.make(module)
    }

    fn make(&mut self, module: ModuleId) -> Result<InstanceId, SessionError> {
        let registered = &self.registered;
        let find = |name: &str| registered.get(name).copied();
        self.session.instantiate(module, &find, self.memories)
    }

    /// The outer error: the script is wrong.
    fn execute(&mut self, execute: &Execute) -> Result<Result<Vec<Value>, SessionError>, String> {
        Ok(match execute {
            Execute::Invoke {
                instance,
                function,
                arguments,
            } => {
                let instance = self.instance(instance.as_ref())?;
                self.session.invoke(instance, function, arguments)
            }
            Execute::Get { instance, global } => {
                let instance = self.instance(instance.as_ref())?;
                self.session
                    .global(instance, global)
                    .map(|value| [value].into())
            }
        })
    }
}

fn text(error: SessionError) -> String {
    match error {
        SessionError::Load(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

fn compare(expected: &[Expected], results: &[Value]) -> Result<(), String> {
    let fits = expected.len() == results.len()
        && expected
            .iter()
            .zip(results)
            .all(|(expected, result)| expected.matches(*result));
    if fits {
        Ok(())
    } else {
        Err(format!("expected {expected:?}, got {results:?}"))
    }
}

fn want_trap(outcome: Result<(), SessionError>, message: &str) -> Result<(), String> {
    match outcome {
        Err(SessionError::Trap(reason)) if means(reason, message) => Ok(()),
        other => Err(format!("expected a trap \"{message}\", got {other:?}")),
    }
}

/// Whether the suite's words for a trap mean `reason`.
fn means(reason: TrapReason, message: &str) -> bool {
    let words: &[&str] = match reason {
        TrapReason::Unreachable => &["unreachable"],
        TrapReason::MemoryOutOfBounds => &["out of bounds memory access"],
        TrapReason::TableOutOfBounds => &["out of bounds table access", "undefined element"],
        TrapReason::NullCall => &["uninitialized element", "null function reference"],
        TrapReason::CallType => &["indirect call type mismatch"],
        TrapReason::DivisionByZero => &["integer divide by zero"],
        TrapReason::IntegerOverflow => &["integer overflow"],
        TrapReason::ConversionToInteger => &["invalid conversion to integer"],
        TrapReason::CallStackExhausted => &["call stack exhausted"],
        TrapReason::OutOfKernelMemory
        | TrapReason::Host(_)
        | TrapReason::Segment
        | TrapReason::TableLimit
        | TrapReason::Engine => &[],
    };
    // Older files shorten the words.
    words
        .iter()
        .any(|word| message.starts_with(word) || word.contains(message))
}
