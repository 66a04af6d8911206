//! What a store holds beside the contents of its memories and its calls, as plain data (D3, D4).
//!
//! [`StoreState::capture`] reads, for each module of a set, the mutable globals, tables, sizes of memories and
//! dropped segments that the module *defines*, exported or not: what it imports is told by the module that
//! defines it. Immutable globals and the contents of segments follow from the modules.
//! [`StoreState::restore`] writes it into instances that were made with
//! [`Segments::Skipped`](crate::Segments) and checks everything: the data may come from anywhere.
//! References are told by place ([`FunctionRef`]), in `references`.

mod capture;
mod error;
mod references;
mod restore;

pub use error::{Item, Problem, StateError};
pub use references::References;

use crate::store::StoreInner;
use crate::{Instance, Memory, Module, Store, Table};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

impl StoreState {
    /// Heap that capturing takes at most: the lists of globals and of dropped segments grow as vectors do, so that
    /// there may be three times as much of them for a moment.
    pub fn capture_bytes<'a, T>(
        store: &Store<T>,
        modules: impl Iterator<Item = &'a Module>,
    ) -> usize {
        const DROPPED_SEGMENT_BYTES: usize = 3 * size_of::<u32>();
        // The list of host functions grows, and is sorted with room for a copy.
        const HOST_FUNCTION_BYTES: usize = 4 * size_of::<(u32, FunctionRef)>();
        let modules = modules.map(|module| {
            let segments = module.passive_elements().count() + module.passive_data().count();
            let imported = module.get_imports().len_funcs();
            segments * DROPPED_SEGMENT_BYTES + imported * HOST_FUNCTION_BYTES
        });
        let modules: usize = modules.sum();
        let tables = store.inner.tables.iter();
        let elements: u64 = tables.map(|(_, table)| table.size()).sum();
        let run = size_of::<Run<Option<FunctionRef>>>();
        let elements = usize::try_from(elements).unwrap_or(usize::MAX);
        let globals = store.inner.globals.iter().count();
        elements
            .saturating_mul(run)
            .saturating_add(globals * 3 * size_of::<Value>())
            .saturating_add(modules)
    }
}

/// One module of a set, and its instance if it has one yet.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The module.
    pub module: &'a Module,
    /// Its instance.
    pub instance: Option<Instance>,
}

/// What the instances of a set hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreState {
    /// By the modules' places; `None` for one that has no instance yet.
    pub modules: Vec<Option<ModuleState>>,
}

/// What one instance holds of what its module defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleState {
    /// The mutable globals, in their order.
    pub globals: Vec<Value>,
    /// The tables.
    pub tables: Vec<TableState>,
    /// Sizes of the memories, in pages.
    pub memory_pages: Vec<u64>,
    /// Indices of the passive element segments that were dropped, ascending.
    pub dropped_elements: Vec<u32>,
    /// Indices of the passive data segments that were dropped, ascending.
    pub dropped_data: Vec<u32>,
}

/// The elements of a table, of one of the two kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableState {
    /// Of functions.
    Functions(Vec<Run<Option<FunctionRef>>>),
    /// Of external references.
    Externals(Vec<Run<Option<u32>>>),
}

/// Equal elements in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<E> {
    /// How many.
    pub count: u64,
    /// Each of them.
    pub element: E,
}

/// A value of WebAssembly, by its bits.
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
    /// A reference to a function, or null.
    Function(Option<FunctionRef>),
    /// A reference to something of the host's, which numbers it, or null.
    External(Option<u32>),
}

/// A function of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRef {
    /// Place of the module that defines it; for a function of the host's, of the first that imports it.
    pub module: u32,
    /// Its index there, imports counted.
    pub function: u32,
}

/// Indices, imports counted, of the mutable globals that a module defines.
fn mutable_globals(module: &Module) -> impl Iterator<Item = u32> + '_ {
    let imported = module.len_globals() - module.internal_globals().count();
    let defined = (imported as u32..).zip(module.internal_globals());
    let mutable = defined.filter(|(_, (global, _))| global.mutability().is_mut());
    mutable.map(|(index, _)| index)
}

/// The tables that an instance's module defines.
fn defined_tables(
    store: &StoreInner,
    module: &Module,
    instance: Instance,
) -> impl Iterator<Item = Table> {
    let entity = store.resolve_instance(&instance);
    let imported = module.len_tables() - module.defined_tables().len();
    let indices = imported as u32..module.len_tables() as u32;
    indices.filter_map(move |index| entity.get_table(entity.layout().table_addr(index)?))
}

/// The memories that an instance's module defines.
fn defined_memories(
    store: &StoreInner,
    module: &Module,
    instance: Instance,
) -> impl Iterator<Item = Memory> {
    let entity = store.resolve_instance(&instance);
    let imported = module.len_memories() - module.defined_memories().len();
    let indices = imported as u32..module.len_memories() as u32;
    indices.filter_map(move |index| entity.get_memory(entity.layout().memory_addr(index)?))
}
