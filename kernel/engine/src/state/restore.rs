//! From plain data, which is not trusted, to a store.

use super::{
    Item, Member, ModuleState, Problem, References, Run, StateError, StoreState, TableState, Value,
};
use crate::core::{RawRef, TypedRawVal};
use crate::store::StoreInner;
use crate::{Instance, Memory, Module, RefType, Store, Table};
use alloc::vec::Vec;

impl StoreState {
    /// Gives the instances of `set` what they hold. They were made with
    /// [`Segments::Skipped`](crate::Segments::Skipped) and have not run since.
    ///
    /// # Errors
    /// What is not possible. The instances are then to be dropped: they hold some of it.
    pub fn restore<T>(
        &self,
        store: &mut Store<T>,
        set: &[Member<'_>],
    ) -> Result<References, StateError> {
        if self.modules.len() != set.len() {
            let problem = Problem::Count {
                found: set.len(),
                told: self.modules.len(),
            };
            return Err(error(0, (Item::Module, 0, problem)));
        }
        let mut references = References::new(store, set);
        for ((place, member), state) in (0..).zip(set).zip(&self.modules) {
            match (member.instance, state) {
                (Some(instance), Some(state)) => {
                    restore_module(store, &mut references, member.module, instance, state)
                        .map_err(|item| error(place, item))?;
                }
                (None, None) => {}
                _ => return Err(error(place, (Item::Module, 0, Problem::Presence))),
            }
        }
        Ok(references)
    }
}

impl StoreState {
    /// Gives the memories and tables of one instance the sizes that they have: before the instances of
    /// modules are made whose imports want as much. [`restore`](Self::restore) follows.
    ///
    /// # Errors
    /// What is not possible.
    pub fn restore_sizes<T>(
        &self,
        store: &mut Store<T>,
        place: u32,
        member: &Member<'_>,
    ) -> Result<(), StateError> {
        let state = self.modules.get(place as usize).and_then(Option::as_ref);
        let (Some(state), Some(instance)) = (state, member.instance) else {
            return Err(error(place, (Item::Module, 0, Problem::Presence)));
        };
        let sized = memories(store, member.module, instance, &state.memory_pages)
            .and_then(|()| table_sizes(store, member.module, instance, &state.tables));
        sized.map_err(|item| error(place, item))
    }
}

/// What is wrong with which item of a module.
type ItemError = (Item, u32, Problem);

fn error(module: u32, (item, index, problem): ItemError) -> StateError {
    StateError {
        module,
        item,
        index,
        problem,
    }
}

fn restore_module<T>(
    store: &mut Store<T>,
    references: &mut References,
    module: &Module,
    instance: Instance,
    state: &ModuleState,
) -> Result<(), ItemError> {
    memories(store, module, instance, &state.memory_pages)?;
    tables(store, references, module, instance, &state.tables)?;
    let store = &mut store.inner;
    globals(store, references, module, instance, &state.globals)?;
    drop_elements(store, module, instance, &state.dropped_elements)?;
    drop_data(store, module, instance, &state.dropped_data)
}

/// That as many are told as there are.
fn check_count(item: Item, found: usize, told: usize) -> Result<(), ItemError> {
    match found == told {
        true => Ok(()),
        false => Err((item, 0, Problem::Count { found, told })),
    }
}

fn memories<T>(
    store: &mut Store<T>,
    module: &Module,
    instance: Instance,
    told: &[u64],
) -> Result<(), ItemError> {
    let found: Vec<Memory> = super::defined_memories(&store.inner, module, instance).collect();
    check_count(Item::Memory, found.len(), told.len())?;
    for ((index, memory), &pages) in (0..).zip(&found).zip(told) {
        size_memory(store, memory, pages).map_err(|problem| (Item::Memory, index, problem))?;
    }
    Ok(())
}

fn size_memory<T>(store: &mut Store<T>, memory: &Memory, told: u64) -> Result<(), Problem> {
    let entity = store.inner.resolve_memory(memory);
    let least = entity.size();
    let reserved = entity.guest().reserved_bytes() as u64 >> entity.ty().page_size_log2();
    let most = reserved.min(entity.ty().maximum().unwrap_or(u64::MAX));
    if told < least || told > most {
        return Err(Problem::Size { told, least, most });
    }
    let grown = memory.grow(&mut *store, told - least);
    grown.map(drop).map_err(|_| Problem::Limit { told })
}

fn table_sizes<T>(
    store: &mut Store<T>,
    module: &Module,
    instance: Instance,
    told: &[TableState],
) -> Result<(), ItemError> {
    let found: Vec<Table> = super::defined_tables(&store.inner, module, instance).collect();
    check_count(Item::Table, found.len(), told.len())?;
    for ((index, table), state) in (0..).zip(&found).zip(told) {
        let sized = match state {
            TableState::Functions(runs) => size_table(store, table, runs),
            TableState::Externals(runs) => size_table(store, table, runs),
        };
        sized.map_err(|problem| (Item::Table, index, problem))?;
    }
    Ok(())
}

fn tables<T>(
    store: &mut Store<T>,
    references: &mut References,
    module: &Module,
    instance: Instance,
    told: &[TableState],
) -> Result<(), ItemError> {
    let found: Vec<Table> = super::defined_tables(&store.inner, module, instance).collect();
    check_count(Item::Table, found.len(), told.len())?;
    for ((index, table), state) in (0..).zip(&found).zip(told) {
        restore_table(store, references, table, state)
            .map_err(|problem| (Item::Table, index, problem))?;
    }
    Ok(())
}

fn restore_table<T>(
    store: &mut Store<T>,
    references: &mut References,
    table: &Table,
    state: &TableState,
) -> Result<(), Problem> {
    match (table.ty(&*store).element(), state) {
        (RefType::Func, TableState::Functions(runs)) => {
            size_table(store, table, runs)?;
            fill(&mut store.inner, table, runs, |store, name| {
                references.find(store, name)
            })
        }
        (RefType::Extern, TableState::Externals(runs)) => {
            size_table(store, table, runs)?;
            fill(&mut store.inner, table, runs, |store, number| {
                Ok(references.object(store, number))
            })
        }
        _ => Err(Problem::Type),
    }
}

/// Grows `table` to the size of all `runs`, within what it may have.
fn size_table<T, E>(store: &mut Store<T>, table: &Table, runs: &[Run<E>]) -> Result<(), Problem> {
    let told = runs
        .iter()
        .fold(0_u64, |sum, run| sum.saturating_add(run.count));
    let (store, mut limiter) = store.store_inner_and_resource_limiter_ref();
    let entity = store.resolve_table_mut(table);
    let least = entity.size();
    let most = entity.ty().maximum().unwrap_or(u64::MAX);
    if told < least || told > most {
        return Err(Problem::Size { told, least, most });
    }
    let grown = entity.grow_raw(told - least, RawRef::null(), None, &mut limiter);
    grown.map(drop).map_err(|_| Problem::Limit { told })
}

/// Writes `runs` from the beginning of `table`, which is as large as they are together.
fn fill<E: Copy>(
    store: &mut StoreInner,
    table: &Table,
    runs: &[Run<E>],
    mut raw: impl FnMut(&mut StoreInner, E) -> Result<RawRef, Problem>,
) -> Result<(), Problem> {
    let mut next = 0;
    for run in runs {
        let element = raw(store, run.element)?;
        let table = store.resolve_table_mut(table);
        let filled = table.fill_raw(next, element, run.count, None);
        filled.map_err(|_| Problem::Limit { told: run.count })?;
        next += run.count;
    }
    Ok(())
}

fn globals(
    store: &mut StoreInner,
    references: &mut References,
    module: &Module,
    instance: Instance,
    told: &[Value],
) -> Result<(), ItemError> {
    let found: Vec<u32> = super::mutable_globals(module).collect();
    check_count(Item::Global, found.len(), told.len())?;
    for ((index, &global), &value) in (0..).zip(&found).zip(told) {
        restore_global(store, references, instance, global, value)
            .map_err(|problem| (Item::Global, index, problem))?;
    }
    Ok(())
}

fn restore_global(
    store: &mut StoreInner,
    references: &mut References,
    instance: Instance,
    index: u32,
    value: Value,
) -> Result<(), Problem> {
    let entity = store.resolve_instance(&instance);
    let address = entity.layout().global_addr(index);
    let global = address.and_then(|address| entity.get_global(address));
    let global = global.ok_or(Problem::Foreign)?;
    let value_type = store.resolve_global(&global).ty().content();
    let raw = references.restore(store, value_type, value)?;
    let set = store
        .resolve_global_mut(&global)
        .set(TypedRawVal::new(value_type, raw));
    set.map_err(|_| Problem::Type)
}

/// That `told` are some of `passive`, each once: both ascend.
fn check_segments(
    item: Item,
    mut passive: impl Iterator<Item = u32>,
    told: &[u32],
) -> Result<(), ItemError> {
    for &index in told {
        if !passive.any(|passive| passive == index) {
            return Err((item, index, Problem::Segment));
        }
    }
    Ok(())
}

fn drop_elements(
    store: &mut StoreInner,
    module: &Module,
    instance: Instance,
    told: &[u32],
) -> Result<(), ItemError> {
    check_segments(Item::ElementSegment, module.passive_elements(), told)?;
    for &index in told {
        let entity = store.resolve_instance(&instance);
        let address = entity.layout().elem_addr(index);
        let segment = address.and_then(|address| entity.get_elem(address));
        if let Some(segment) = segment.and_then(|it| store.element_segment_mut(&it)) {
            segment.drop_items();
        }
    }
    Ok(())
}

fn drop_data(
    store: &mut StoreInner,
    module: &Module,
    instance: Instance,
    told: &[u32],
) -> Result<(), ItemError> {
    check_segments(Item::DataSegment, module.passive_data(), told)?;
    for &index in told {
        let entity = store.resolve_instance(&instance);
        let address = entity.layout().data_addr(index);
        let segment = address.and_then(|address| entity.get_data(address));
        if let Some(segment) = segment.and_then(|it| store.data_segment_mut(&it)) {
            segment.drop_bytes();
        }
    }
    Ok(())
}
