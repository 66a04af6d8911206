//! Where a program is: the chain of calls of a suspended call, or of one that a trap ended.
//!
//! Gathered only when it is asked for or when a trap has happened, from the return addresses that
//! the call stack holds anyway: a running program pays nothing. [`CallTrace`] keeps addresses of
//! translated code; [`CallTrace::resolve`] finds the functions that they lie in.

use crate::engine::Stack;
use crate::store::StoreInner;
use crate::{Module, ResumableCallHostTrap, ResumableCallOutOfFuel, Store};
use alloc::vec::Vec;

/// Calls that are kept at the inner end of a chain: where it happened.
const INNERMOST_CALLS: usize = 48;
/// Calls that are kept at the outer end: how it began.
const OUTERMOST_CALLS: usize = 16;

/// The calls that a program is inside of, bounded: those between the ends are only counted.
#[derive(Debug, Clone, Default)]
pub struct CallTrace {
    /// Depth (0 is innermost) and an address of the translated code that is being run.
    calls: Vec<(usize, usize)>,
    depth: usize,
}

/// One call of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedCall {
    /// How many calls are inside of it.
    pub depth: usize,
    /// Place in the list that was given, of the module that defines the function.
    pub module: usize,
    /// The function's index in that module, imports counted.
    pub function: u32,
}

impl CallTrace {
    /// Calls that are kept at most.
    pub const KEPT_CALLS: usize = INNERMOST_CALLS + OUTERMOST_CALLS;

    pub(crate) fn of(stack: &Stack) -> CallTrace {
        let depth = stack.code_addresses().len();
        let calls = stack.code_addresses().rev().enumerate();
        let kept = |&(index, _): &(usize, usize)| {
            index < INNERMOST_CALLS || index + OUTERMOST_CALLS >= depth
        };
        CallTrace {
            calls: calls.filter(kept).collect(),
            depth,
        }
    }

    /// How many calls there were, those left out included.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The kept calls, innermost first. A call into a module that is not listed is left out.
    pub fn resolve(&self, modules: &[&Module]) -> Vec<TracedCall> {
        let mut by_address: Vec<(usize, usize)> = self
            .calls
            .iter()
            .map(|&(depth, address)| (address, depth))
            .collect();
        by_address.sort_unstable();
        let mut found = Vec::new();
        for (place, module) in modules.iter().enumerate() {
            let features = module.engine().config().wasm_features();
            let imported = module.get_imports().len_funcs() as u32;
            for (index, (_, function)) in module.internal_funcs().enumerate() {
                let entry = module.engine().resolve_func(function);
                let Some(Ok(code)) = entry.map(|entry| entry.get_or_compile(None, &features))
                else {
                    continue;
                };
                let code = code.ops().as_ptr_range();
                let (start, end) = (code.start.addr(), code.end.addr());
                let first = by_address.partition_point(|&(address, _)| address < start);
                for &(address, depth) in &by_address[first..] {
                    if address >= end {
                        break;
                    }
                    found.push(TracedCall {
                        depth,
                        module: place,
                        function: imported + index as u32,
                    });
                }
            }
        }
        found.sort_unstable_by_key(|call| call.depth);
        found
    }
}

/// Keeps where the program was when a call ends with an error.
pub(crate) fn keep(store: &mut StoreInner) {
    let trace = CallTrace::of(store.exec_mut().stack_mut());
    store.additions.trace = Some(trace);
}

impl<T> Store<T> {
    /// Where the call that last ended with an error was. Asking clears it.
    pub fn take_trace(&mut self) -> Option<CallTrace> {
        self.inner.additions.trace.take()
    }
}

impl ResumableCallHostTrap {
    /// The calls that led to the host function.
    pub fn trace(&self) -> CallTrace {
        CallTrace::of(self.stack())
    }
}

impl ResumableCallOutOfFuel {
    /// The calls that it is inside of.
    pub fn trace(&self) -> CallTrace {
        CallTrace::of(self.stack())
    }
}
