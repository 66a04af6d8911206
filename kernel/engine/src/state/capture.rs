//! From a store to plain data.

use super::{
    Item, Member, ModuleState, Problem, References, Run, StateError, StoreState, TableState, Value,
};
use crate::core::{CoreTable, RawRef};
use crate::store::StoreInner;
use crate::{Instance, Module, RefType, Store};
use alloc::vec::Vec;

impl StoreState {
    /// What the instances of `set` hold.
    ///
    /// # Errors
    /// When something refers to a function of an instance that is not of the set, or to an external object
    /// that is no number.
    pub fn capture<T>(store: &Store<T>, set: &[Member<'_>]) -> Result<StoreState, StateError> {
        let references = References::new(store, set);
        let modules = (0..).zip(set).map(|(place, member)| {
            let module = |instance| capture_module(&store.inner, &references, member, instance);
            let state = member.instance.map(module).transpose();
            state.map_err(|(item, index, problem)| StateError {
                module: place,
                item,
                index,
                problem,
            })
        });
        Ok(StoreState {
            modules: modules.collect::<Result<_, _>>()?,
        })
    }
}

/// What is wrong with which item of a module.
type ItemError = (Item, u32, Problem);

fn capture_module(
    store: &StoreInner,
    references: &References,
    member: &Member<'_>,
    instance: Instance,
) -> Result<ModuleState, ItemError> {
    let module = member.module;
    Ok(ModuleState {
        globals: globals(store, references, module, instance)?,
        tables: tables(store, references, module, instance)?,
        memory_pages: memory_pages(store, module, instance),
        dropped_elements: dropped_elements(store, module, instance),
        dropped_data: dropped_data(store, module, instance),
    })
}

fn globals(
    store: &StoreInner,
    references: &References,
    module: &Module,
    instance: Instance,
) -> Result<Vec<Value>, ItemError> {
    let entity = store.resolve_instance(&instance);
    let globals = super::mutable_globals(module).filter_map(|index| {
        let global = entity.get_global(entity.layout().global_addr(index)?)?;
        Some(store.resolve_global(&global).get())
    });
    let values = globals.zip(0..).map(|(value, index)| {
        let value = references.capture(store, value.ty(), value.raw());
        value.map_err(|problem| (Item::Global, index, problem))
    });
    values.collect()
}

fn tables(
    store: &StoreInner,
    references: &References,
    module: &Module,
    instance: Instance,
) -> Result<Vec<TableState>, ItemError> {
    let tables = super::defined_tables(store, module, instance).zip(0..);
    let tables = tables.map(|(table, index)| {
        let state = capture_table(store, references, store.resolve_table(&table));
        state.map_err(|problem| (Item::Table, index, problem))
    });
    tables.collect()
}

fn capture_table(
    store: &StoreInner,
    references: &References,
    table: &CoreTable,
) -> Result<TableState, Problem> {
    Ok(match table.ty().element() {
        RefType::Func => {
            let mut names = references.names(store);
            TableState::Functions(runs(table, |element| names.name(element))?)
        }
        RefType::Extern => {
            TableState::Externals(runs(table, |element| references.number(store, element))?)
        }
    })
}

/// The elements of `table`, each as `name` tells it, equal ones together. They are counted first: a
/// list that grows would be copied again and again.
fn runs<E: Copy>(
    table: &CoreTable,
    mut name: impl FnMut(RawRef) -> Result<E, Problem>,
) -> Result<Vec<Run<E>>, Problem> {
    let elements = || (0..table.size()).map_while(|index| table.get(index));
    let (mut last, mut count) = (None, 0);
    for element in elements() {
        count += usize::from(last != Some(element.raw()));
        last = Some(element.raw());
    }
    let mut runs: Vec<Run<E>> = Vec::with_capacity(count);
    let mut last = None;
    for element in elements() {
        let raw = element.raw();
        match runs.last_mut().filter(|_| last == Some(raw)) {
            Some(run) => run.count += 1,
            None => runs.push(Run {
                count: 1,
                element: name(raw)?,
            }),
        }
        last = Some(raw);
    }
    Ok(runs)
}

fn memory_pages(store: &StoreInner, module: &Module, instance: Instance) -> Vec<u64> {
    let memories = super::defined_memories(store, module, instance);
    let pages = memories.map(|memory| store.resolve_memory(&memory).size());
    pages.collect()
}

fn dropped_elements(store: &StoreInner, module: &Module, instance: Instance) -> Vec<u32> {
    let entity = store.resolve_instance(&instance);
    let dropped = module.passive_elements().filter(|index| {
        let address = entity.layout().elem_addr(*index);
        let segment = address.and_then(|address| entity.get_elem(address));
        segment.is_some_and(|segment| store.resolve_element(&segment).items().is_empty())
    });
    dropped.collect()
}

fn dropped_data(store: &StoreInner, module: &Module, instance: Instance) -> Vec<u32> {
    let entity = store.resolve_instance(&instance);
    let dropped = module.passive_data().filter(|index| {
        let address = entity.layout().data_addr(*index);
        let segment = address.and_then(|address| entity.get_data(address));
        let segment = segment.and_then(|segment| store.data_segment(&segment));
        segment.is_some_and(|segment| segment.bytes().is_empty())
    });
    dropped.collect()
}
