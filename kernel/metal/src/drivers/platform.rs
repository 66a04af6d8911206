//! What the drivers need of the machine below them: frames that a device can reach, mapped registers,
//! interrupt vectors. The one file here that names other parts of the machine.

use super::interrupt::Line;
use crate::acpi;
use crate::cpu::{self, clock, ioapic, irq};
use crate::mem::{frames, paging};
use core::ptr::NonNull;

/// An interrupt message, and the vector that it raises.
pub use crate::cpu::irq::{MsiMessage as Message, Vector};
/// Bytes of a page and of a frame.
pub use crate::mem::PAGE_BYTES;

/// Takes zeroed frames in a row: their physical address, and where the kernel sees them. For good:
/// only memory that was never used has rows.
pub fn allocate_frames(count: usize) -> Option<(u64, NonNull<u8>)> {
    let first = frames::take_run(u32::try_from(count).ok()?)?;
    for page in 0..count {
        // SAFETY: the frames are ours, and the direct map shows all of them in a row.
        unsafe { frames::zero(first.pointer().add(page * PAGE_BYTES)) };
    }
    Some((first.address(), NonNull::new(first.pointer())?))
}

/// The physical address behind a pointer into frames from [`allocate_frames`].
pub fn physical_address(pointer: NonNull<u8>) -> u64 {
    pointer.as_ptr() as u64 - crate::mem::DIRECT_MAP_BASE
}

/// Maps device registers, uncached, for the life of the kernel.
pub fn map_registers(address: u64, length: usize) -> Option<NonNull<u8>> {
    paging::map_device(address, length, paging::Caching::Uncached).ok()
}

/// Lets time pass, asleep, for a machine that ends: interrupts that come are forgotten.
pub fn wait(duration_ns: u64) {
    let until_ns = clock::now_ns().saturating_add(duration_ns);
    while clock::now_ns() < until_ns {
        irq::drop_pending();
        cpu::idle(until_ns, || false);
    }
}

/// Takes an interrupt vector of the boot processor, for good.
pub fn claim_vector() -> Option<Vector> {
    irq::allocate_vector()
}

/// The message that raises a vector.
pub fn message(vector: Vector) -> Message {
    irq::msi_message(vector)
}

/// Whether a vector came since this was last asked.
pub fn take_pending(vector: Vector) -> bool {
    irq::pending_take(vector)
}

/// Lets an interrupt line raise a vector.
pub fn route_line(line: Line, vector: Vector) -> Option<()> {
    let polarity = match line.polarity {
        acpi::Polarity::High => ioapic::Polarity::ActiveHigh,
        acpi::Polarity::Low | acpi::Polarity::BusDefault => ioapic::Polarity::ActiveLow,
    };
    let trigger = match line.trigger {
        acpi::Trigger::Edge => ioapic::Trigger::Edge,
        acpi::Trigger::Level | acpi::Trigger::BusDefault => ioapic::Trigger::Level,
    };
    irq::route(line.gsi, vector, polarity, trigger).ok()
}

/// Opens the line of a vector again, which its interrupt has closed.
pub fn reopen_line(vector: Vector) {
    irq::rearm(vector);
}
