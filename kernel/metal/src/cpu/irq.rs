//! Interrupts: vectors, and what has arrived.
//!
//! A handler only sets its vector's bit in [`PENDING`] (the console's also moves the bytes that
//! came); the kernel looks at its own pace, with [`pending_take`]. A level-triggered line is masked
//! when it fires and opened again by [`rearm`], after its device was served.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::entry::{FIRST_INTERRUPT, INTERRUPTS, TrapFrame};
use super::{clock, ioapic, lapic};

/// An interrupt vector that something was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(u8);

/// The local timer's.
pub const TIMER: Vector = Vector(FIRST_INTERRUPT);
/// The console's.
pub const CONSOLE: Vector = Vector(FIRST_INTERRUPT + 1);
/// The first one that [`allocate_vector`] gives.
const FIRST_FREE: u8 = 2;

/// One bit per vector from [`FIRST_INTERRUPT`].
static PENDING: AtomicU64 = AtomicU64::new(0);
/// One bit per vector whose line is level-triggered.
static LEVEL: AtomicU64 = AtomicU64::new(0);
/// How many vectors are taken.
static TAKEN: AtomicU8 = AtomicU8::new(FIRST_FREE);
/// What the TSC read when the first device's interrupt came since [`take_first_arrival`]; zero when
/// none did.
static FIRST_ARRIVAL: AtomicU64 = AtomicU64::new(0);

impl Vector {
    /// The number that the processor sees.
    pub const fn number(self) -> u8 {
        self.0
    }

    const fn bit(self) -> u64 {
        1 << (self.0 - FIRST_INTERRUPT)
    }
}

/// What a device writes where, to raise a vector on this CPU (Intel SDM volume 3, 11.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiMessage {
    /// Physical address.
    pub address: u64,
    /// Value.
    pub data: u32,
}

/// Takes a vector for a device, for ever; none when all are taken.
pub fn allocate_vector() -> Option<Vector> {
    let more = |taken: u8| (usize::from(taken) < INTERRUPTS).then_some(taken + 1);
    let taken = TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    taken.ok().map(|index| Vector(FIRST_INTERRUPT + index))
}

/// The message-signalled interrupt that raises `vector`.
pub fn msi_message(vector: Vector) -> MsiMessage {
    MsiMessage {
        address: 0xfee0_0000 | u64::from(lapic::id() & 0xff) << 12,
        data: u32::from(vector.0),
    }
}

/// Whether `vector` arrived since this was last asked.
pub fn pending_take(vector: Vector) -> bool {
    PENDING.load(Ordering::Acquire) & vector.bit() != 0
        && PENDING.fetch_and(!vector.bit(), Ordering::AcqRel) & vector.bit() != 0
}

/// Whether any vector but the timer's arrived and was not taken.
pub fn any_pending() -> bool {
    PENDING.load(Ordering::Acquire) & !TIMER.bit() != 0
}

/// Forgets what arrived and was not taken: of devices that are out of use.
pub fn drop_pending() {
    PENDING.store(0, Ordering::Release);
}

/// What the TSC read when the first interrupt came, the timer's apart, since this was last asked.
pub fn take_first_arrival() -> Option<u64> {
    Some(FIRST_ARRIVAL.swap(0, Ordering::Relaxed)).filter(|&ticks| ticks != 0)
}

/// Connects the interrupt line `gsi` (ACPI's numbering) to `vector` on this CPU.
///
/// # Errors
/// [`ioapic::NoSuchLine`] when no I/O APIC has that line.
pub fn route(
    gsi: u32,
    vector: Vector,
    polarity: ioapic::Polarity,
    trigger: ioapic::Trigger,
) -> Result<(), ioapic::NoSuchLine> {
    if trigger == ioapic::Trigger::Level {
        LEVEL.fetch_or(vector.bit(), Ordering::Relaxed);
    }
    ioapic::route(gsi, vector.0, polarity, trigger)
}

/// Opens the level-triggered line of `vector` again, after its device was served.
pub fn rearm(vector: Vector) {
    ioapic::set_mask(vector.0, ioapic::Mask::Open);
}

/// Called by the entry stub, with interrupts off.
pub extern "C" fn on_interrupt(frame: &TrapFrame) {
    let vector = Vector(frame.vector as u8);
    if vector == CONSOLE {
        crate::console::on_interrupt();
    }
    if LEVEL.load(Ordering::Relaxed) & vector.bit() != 0 {
        ioapic::set_mask(vector.0, ioapic::Mask::Closed);
    }
    if vector != TIMER && FIRST_ARRIVAL.load(Ordering::Relaxed) == 0 {
        // Ticks, as the clock's rate may be in the midst of a correction.
        FIRST_ARRIVAL.store(clock::ticks(), Ordering::Relaxed);
    }
    PENDING.fetch_or(vector.bit(), Ordering::Release);
    lapic::end_of_interrupt();
}
