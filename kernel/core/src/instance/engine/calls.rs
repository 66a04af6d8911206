//! Host calls: from an import of the program to [`HostState`] and back, without allocation.
//!
//! A call that does not return a value leaves the reason in [`Context`] and gives the engine an
//! error, which suspends the program at the call.

use super::bounds::Bounds;
use crate::instance::{HostFault, HostState, Outcome};
use core::fmt;
use sos_abi::{HostCall, ValueType};
use sos_engine::{Caller, Error, Func, FuncType, Memory, Store, Val};

/// What the host functions of an execution reach.
#[derive(Debug)]
pub(super) struct Context<G> {
    pub guest: G,
    pub bounds: Bounds,
    /// Why the last host call suspended.
    pub suspended: Option<Suspended>,
    /// Fuel that host calls cost beyond what was left of the slice.
    pub debt: u64,
}

/// A host call that did not return a value, and which it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspended {
    pub call: HostCall,
    /// Memory 0 of the module that made it.
    pub memory: Option<Memory>,
    pub why: Why,
}

/// Why it did not.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    Blocked,
    Exit(i32),
    Fault(HostFault),
}

/// What the engine sees of a suspended host call; the facts are in [`Context::suspended`].
#[derive(Debug)]
pub(super) struct SuspendedMarker;

impl fmt::Display for SuspendedMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("host call suspended")
    }
}

impl sos_engine::errors::HostError for SuspendedMarker {}

/// The import that carries out `call`.
pub(super) fn host_function<G: HostState + Send + 'static>(
    store: &mut Store<Context<G>>,
    call: HostCall,
    signature: &FuncType,
) -> Func {
    Func::from_cells(
        store,
        signature,
        move |mut caller: Caller<'_, Context<G>>, arguments| {
            // The calling module's: a library's buffers lie in its own memory, if it has one. The
            // engine gives the instance with each call, and a memory's handle lies at a fixed place in
            // it, so this is two loads and no search. Entries and start functions take and return
            // nothing, which no host call does: so a module always makes the call.
            let memory = caller.memory();
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
            caller.data_mut().suspended = Some(Suspended { call, memory, why });
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
pub(super) fn with_guest<G: 'static, C, R>(
    memory: Option<Memory>,
    store: &mut C,
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
pub(super) fn result_value(call: HostCall, value: u64) -> Option<Val> {
    call.signature().result.map(|result| match result {
        // The value is a bit pattern; its high half is zero by the contract of `Outcome::Done`.
        ValueType::I32 => Val::I32(value as u32 as i32),
        ValueType::I64 => Val::I64(value as i64),
    })
}
