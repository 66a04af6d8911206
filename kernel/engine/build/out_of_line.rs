// Inserted into wasmi's `exec.rs` by `build/edits.rs`: what `memory.grow` and `table.grow` do,
// outside their handlers. A handler must end in a jump to the next one, and LLVM
// makes it a call when the address of anything on the handler's native stack has been given away.

/// How growing a memory or a table ended.
#[derive(Copy, Clone)]
enum Grown {
    /// The value beside it is the operator's result.
    Result,
    /// The value beside it is the fuel that it wants.
    OutOfFuel,
    /// The limiter ends the call.
    Denied,
}

#[inline(never)]
fn grow_memory(
    store: &mut PrunedStore,
    instance: Inst,
    memory: ir::MemoryAddr,
    delta: u64,
) -> (Grown, u64) {
    // SAFETY: `instance` is live and warmed up while a handler runs.
    let handle = unsafe { instance.load_handle(memory) };
    match store.grow_memory(&handle, delta) {
        Ok(pages) => (Grown::Result, pages),
        Err(StoreError::External(MemoryError::OutOfFuel { required_fuel })) => {
            (Grown::OutOfFuel, required_fuel)
        }
        Err(StoreError::External(MemoryError::ResourceLimiterDeniedAllocation)) => {
            (Grown::Denied, 0)
        }
        Err(StoreError::External(_)) => {
            // SAFETY: as above; no other reference to the memory exists here.
            let memory = unsafe { instance.load_entity_mut(store, memory) };
            (Grown::Result, refused(memory.ty().is_64()))
        }
        Err(error) => panic!("`memory.grow`: {error}"),
    }
}

#[inline(never)]
fn grow_table(
    store: &mut PrunedStore,
    instance: Inst,
    table: ir::TableAddr,
    delta: u64,
    value: RawRef,
) -> (Grown, u64) {
    // SAFETY: `instance` is live and warmed up while a handler runs.
    let handle = unsafe { instance.load_handle(table) };
    match store.grow_table(&handle, delta, value) {
        Ok(elements) => (Grown::Result, elements),
        Err(StoreError::External(TableError::OutOfFuel { required_fuel })) => {
            (Grown::OutOfFuel, required_fuel)
        }
        Err(StoreError::External(TableError::ResourceLimiterDeniedAllocation)) => {
            (Grown::Denied, 0)
        }
        Err(StoreError::External(_)) => {
            // SAFETY: as above; no other reference to the table exists here.
            let table = unsafe { instance.load_entity_mut(store, table) };
            (Grown::Result, refused(table.ty().is_64()))
        }
        Err(error) => panic!("`table.grow`: {error}"),
    }
}

/// The result -1 in the operator's own width.
fn refused(is_64: bool) -> u64 {
    if is_64 { u64::MAX } else { u64::from(u32::MAX) }
}

