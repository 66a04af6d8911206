//! What happens before a program's `_start`: its modules are instantiated in the order of the set, and
//! after each one its start function runs, then `_initialize` if it is a library that has one.
//!
//! A module is instantiated only when those before it have been prepared, as WebAssembly says of a host
//! that instantiates one after the other: its segments may overwrite what their start functions wrote.

use super::bounds::{self, EngineLimits, StartError};
use super::calls::{self, Context};
use super::link::Import;
use super::load::{ENTRY, INITIALIZE, Program};
use super::stop::TrapReason;
use crate::instance::HostState;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use sos_abi::HostCall;
use sos_engine::{Extern, Func, GuestMemory, Instance, Segments, Store};

/// The rest of a program's setup.
#[derive(Debug)]
pub(super) struct Setup {
    stages: VecDeque<Stage>,
    /// The modules that exist, by their places.
    pub instances: Vec<Option<Instance>>,
    /// Bytes for the memories of those that do not yet, by their places.
    pub memories: Vec<Vec<GuestMemory>>,
    /// The function of each host call that a module imported: imports share it, so that what a capture has to
    /// name is bounded by the table of host calls.
    host_functions: BTreeMap<HostCall, Func>,
    limits: EngineLimits,
}

/// One step of a setup, of the module at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It comes into being; its start function is next.
    Instantiate(usize),
    /// It is prepared, if it asks for that.
    Initialize(usize),
    /// All are there: the program begins.
    Enter,
}

impl Stage {
    /// The place of the module that it makes.
    pub fn made(self) -> Option<usize> {
        match self {
            Stage::Instantiate(place) => Some(place),
            Stage::Initialize(_) | Stage::Enter => None,
        }
    }
}

impl Setup {
    pub fn new(program: &Program, memories: Vec<Vec<GuestMemory>>, limits: EngineLimits) -> Setup {
        let order = program.order.iter();
        let stages = order.flat_map(|&place| {
            let library = (place > 0).then_some(Stage::Initialize(place));
            [Stage::Instantiate(place)].into_iter().chain(library)
        });
        Setup {
            stages: stages.collect(),
            instances: vec![None; program.modules.len()],
            memories,
            host_functions: BTreeMap::new(),
            limits,
        }
    }

    /// How many steps are left.
    pub fn stages_left(&self) -> usize {
        self.stages.len()
    }

    /// Leaves out the steps before the last `left`, and answers which these are, in order. `None` when there are
    /// not so many.
    pub fn skip_to(&mut self, left: usize) -> Option<Vec<Stage>> {
        let done = self.stages.len().checked_sub(left)?;
        Some(self.stages.drain(..done).collect())
    }

    /// The next step.
    pub fn next(&mut self) -> Stage {
        self.stages.pop_front().unwrap_or(Stage::Enter)
    }

    /// What prepares a library. Linking has checked its type.
    pub fn initializer<T>(&self, store: &Store<T>, place: usize) -> Option<Func> {
        self.instances[place]?.get_func(store, INITIALIZE)
    }

    /// Where the program begins.
    pub fn entry<T>(&self, store: &Store<T>) -> Result<Func, StartError> {
        let entry = self.instances[0].and_then(|main| main.get_func(store, ENTRY));
        entry.ok_or_else(|| StartError::Engine {
            reason: "no entry".into(),
        })
    }
}

/// Makes the module at `place`; returns its instance and its start function.
pub(super) fn instantiate<G: HostState + Send + 'static>(
    setup: &mut Setup,
    store: &mut Store<Context<G>>,
    program: &Program,
    place: usize,
    segments: Segments,
) -> Result<(Instance, Option<Func>), StartError> {
    let module = &program.modules[place];
    let mut imports = Vec::new();
    for import in &module.imports {
        imports.push(match import {
            Import::Host(call, signature) => {
                let known = setup.host_functions.entry(*call);
                Extern::Func(
                    *known.or_insert_with(|| calls::host_function(store, *call, signature)),
                )
            }
            Import::Export(from, name) => setup.instances[*from]
                .and_then(|from| from.get_export(&*store, name))
                .ok_or_else(|| StartError::Engine {
                    reason: "an import is not there".into(),
                })?,
        });
    }
    let memories = core::mem::take(&mut setup.memories[place]);
    let (instance, start) = store
        .instantiate(&module.translated.inner, imports, memories, segments)
        .map_err(|error| bounds::start_error(&error, &setup.limits))?;
    setup.instances[place] = Some(instance);
    Ok((instance, start))
}

/// Why a program ends that could not be set up to its end.
pub(super) fn trap_reason(error: &StartError) -> TrapReason {
    match error {
        StartError::Segment => TrapReason::Segment,
        StartError::Tables { .. } => TrapReason::TableLimit,
        StartError::Memory { .. } | StartError::Reserve(_) | StartError::Engine { .. } => {
            TrapReason::Engine
        }
    }
}
