//! What may be begun with the memory that is left (D9).
//!
//! The engine and the network stack allocate without a way to fail, so a heap that ends in the midst
//! of a translation would end the node. Each of these is begun only when its worst case fits, with
//! [`RESERVE_BYTES`] to spare for what follows.

use super::Kernel;
use crate::files::NAME_HEAP_BYTES;
use crate::image::InstanceSpec;
use crate::machine::{Duration, Machine, Time};
use core::fmt;

/// Left alone, for frames, logs and listings.
const RESERVE_BYTES: u64 = 2 * 1024 * 1024;
/// Heap that an instance takes before its program does anything: console, clocks, interfaces, the
/// engine's tables. Measured: 9 KB for the smallest, 174 KB for one with eight ports.
const INSTANCE_BYTES: u64 = 512 * 1024;
/// Heap for each byte of an instance's value stack: it grows by moving, so old and new exist at once.
const STACK_GROWTH: u64 = 2;
/// Heap for each nested call.
const CALL_BYTES: u64 = 64;
/// Heap for each table element: a reference, and its copy while the table moves.
const TABLE_ELEMENT_BYTES: u64 = 32;
/// What the machine's memory is divided by for what a snapshot's file leaves to the instances that run.
const ARRIVAL_DIVISOR: u64 = 16;
/// How long a figure of the socket allowance stands.
const RENEWAL: Duration = Duration::from_millis(1);

/// Why something was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    what: Undertaking,
    needed_bytes: u64,
    free_bytes: u64,
}

/// What needs memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undertaking {
    Translation,
    Instance,
    Blob,
    Cut,
    Arrival,
    File,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Undertaking::Translation => "translating its module",
            Undertaking::Instance => "its stack and tables",
            Undertaking::Blob => "a file that is sent",
            Undertaking::Cut => "a copy of its state",
            Undertaking::Arrival => "the snapshot or instance that comes",
            Undertaking::File => "making a snapshot's file",
        };
        write!(
            f,
            "{what} may take {} KiB and the node has {} KiB free; stop an instance or give the \
             node more memory",
            self.needed_bytes.div_ceil(1024),
            self.free_bytes / 1024
        )
    }
}

/// Memory that the kernel may still take.
fn free_bytes(machine: &dyn Machine) -> u64 {
    let stats = machine.memory_stats();
    let unused_heap = stats.heap_bytes.saturating_sub(stats.heap_used_bytes);
    stats.free_bytes + unused_heap
}

fn admit(machine: &dyn Machine, what: Undertaking, needed_bytes: u64) -> Result<(), Refusal> {
    let free_bytes = free_bytes(machine);
    if free_bytes < needed_bytes.saturating_add(RESERVE_BYTES) {
        return Err(Refusal {
            what,
            needed_bytes,
            free_bytes,
        });
    }
    Ok(())
}

/// Memory that a step of a translation may take.
pub(super) fn spare_bytes(machine: &dyn Machine) -> u64 {
    free_bytes(machine).saturating_sub(RESERVE_BYTES)
}

/// Why a translation does not go on that may take so much next.
pub(super) fn no_translation(machine: &dyn Machine, needed_bytes: u64) -> Refusal {
    Refusal {
        what: Undertaking::Translation,
        needed_bytes,
        free_bytes: free_bytes(machine),
    }
}

/// Whether an instance may be made, and its program called.
pub(super) fn instance(machine: &dyn Machine, spec: &InstanceSpec) -> Result<(), Refusal> {
    let granted = &spec.limits;
    let needed = [
        INSTANCE_BYTES,
        granted.stack_bytes.saturating_mul(STACK_GROWTH),
        granted.call_depth.saturating_mul(CALL_BYTES),
        granted.table_elements.saturating_mul(TABLE_ELEMENT_BYTES),
        granted.log_bytes,
        (spec.files.len() as u64).saturating_mul(NAME_HEAP_BYTES),
    ];
    let needed = needed.into_iter().fold(0, u64::saturating_add);
    admit(machine, Undertaking::Instance, needed)
}

/// Whether a blob that an operator sends may be kept.
pub(super) fn blob(machine: &dyn Machine, bytes: u64) -> Result<(), Refusal> {
    admit(machine, Undertaking::Blob, bytes)
}

/// Whether a copy of an instance's state may be made.
pub(super) fn cut(machine: &dyn Machine, bytes: u64) -> Result<(), Refusal> {
    admit(machine, Undertaking::Cut, bytes)
}

/// Whether a snapshot's file may be made, to leave the node.
pub(super) fn file(machine: &dyn Machine, bytes: u64) -> Result<(), Refusal> {
    admit(machine, Undertaking::File, bytes)
}

/// Whether so much more of a snapshot's file may be held.
pub(super) fn arrival(machine: &dyn Machine, bytes: u64) -> Result<(), Refusal> {
    let spared = machine.memory_stats().total_bytes / ARRIVAL_DIVISOR;
    let admitted = admit(machine, Undertaking::Arrival, bytes.saturating_add(spared));
    admitted.map_err(|refusal| Refusal {
        needed_bytes: bytes,
        free_bytes: refusal.free_bytes.saturating_sub(spared),
        ..refusal
    })
}

impl Kernel {
    /// Tells the stacks what their socket buffers may take, now and then.
    pub(super) fn renew_allowance(&mut self, machine: &dyn Machine, now: Time) {
        if now >= self.allowance_due {
            let free_bytes = free_bytes(machine);
            self.allowance
                .renew(free_bytes.saturating_sub(RESERVE_BYTES));
            self.allowance_due = now + RENEWAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_refusal_names_its_figures_and_what_to_do() {
        let refusal = Refusal {
            what: Undertaking::Translation,
            needed_bytes: 10 * 1024,
            free_bytes: 4 * 1024,
        };
        assert_eq!(
            refusal.to_string(),
            "translating its module may take 10 KiB and the node has 4 KiB free; stop an instance \
             or give the node more memory"
        );
    }
}
