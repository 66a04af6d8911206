//! The I/O APICs: they turn interrupt lines into vectors (Intel 82093AA data sheet).
//!
//! Registers are reached through an index and a window, so every access runs with interrupts off:
//! the handler of a level-triggered line comes here too.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::Mutex;
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::instructions::port::Port;

use super::entry::{FIRST_INTERRUPT, INTERRUPTS};
use super::lapic;
use crate::mem::paging::{self, Caching, OutOfFrames};

use crate::acpi;

/// Active level of an interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// As ISA has it.
    ActiveHigh,
    /// As PCI has it.
    ActiveLow,
}

/// What in a line's level is an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The change, as ISA has it.
    Edge,
    /// The level, as PCI has it.
    Level,
}

/// Where the legacy interrupt `legacy` (0 to 15) arrives, and how, by ACPI's `overrides`.
pub fn legacy_line(legacy: u8, overrides: &[acpi::InterruptOverride]) -> (u32, Polarity, Trigger) {
    let Some(found) = overrides.iter().find(|entry| entry.legacy == legacy) else {
        return (u32::from(legacy), Polarity::ActiveHigh, Trigger::Edge);
    };
    let polarity = match found.polarity {
        acpi::Polarity::BusDefault | acpi::Polarity::High => Polarity::ActiveHigh,
        acpi::Polarity::Low => Polarity::ActiveLow,
    };
    let trigger = match found.trigger {
        acpi::Trigger::BusDefault | acpi::Trigger::Edge => Trigger::Edge,
        acpi::Trigger::Level => Trigger::Level,
    };
    (found.gsi, polarity, trigger)
}

/// Where the first I/O APIC is when no table says (82093AA data sheet, 3.0).
const DEFAULT_ADDRESS: u64 = 0xfec0_0000;
/// Offset of the window from the index register.
const WINDOW: usize = 0x10;
/// Index of the version register, whose bits 16-23 hold the number of the last line.
const VERSION: u32 = 1;
/// Index of the first redirection entry; each has two registers.
const FIRST_ENTRY: u32 = 0x10;
const REGISTER_BYTES: usize = 0x20;
/// Redirection entry bits.
const MASKED: u32 = 1 << 16;
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
/// Most I/O APICs that are used; a PC has one, servers a few.
const CONTROLLERS_MAX: usize = 8;
/// Line of a vector that has none.
const NO_LINE: u32 = u32::MAX;

/// One I/O APIC.
#[derive(Clone, Copy)]
struct Controller {
    registers: *mut u8,
    first_gsi: u32,
    lines: u32,
}

// SAFETY: the pointer is to device registers, used under the lock only.
unsafe impl Send for Controller {}

static CONTROLLERS: Mutex<[Option<Controller>; CONTROLLERS_MAX]> =
    Mutex::new([None; CONTROLLERS_MAX]);
/// The line that each vector comes from.
static LINES: [AtomicU32; INTERRUPTS] = [const { AtomicU32::new(NO_LINE) }; INTERRUPTS];

/// No I/O APIC has this line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchLine(pub u32);

impl fmt::Display for NoSuchLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no i/o apic has interrupt line {}", self.0)
    }
}

/// Whether a line may interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// It may.
    Open,
    /// It may not.
    Closed,
}

impl Controller {
    fn read(&self, index: u32) -> u32 {
        // SAFETY: `add` mapped the registers; the lock is held with interrupts off.
        unsafe {
            self.registers.cast::<u32>().write_volatile(index);
            self.registers.add(WINDOW).cast::<u32>().read_volatile()
        }
    }

    fn write(&self, index: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe {
            self.registers.cast::<u32>().write_volatile(index);
            self.registers
                .add(WINDOW)
                .cast::<u32>()
                .write_volatile(value);
        }
    }
}

/// Sets up the I/O APICs that the tables list as (address, first line), or the default one, with
/// every line masked; and silences the two legacy controllers.
///
/// # Errors
/// [`OutOfFrames`] when registers cannot be mapped.
pub fn init(listed: impl Iterator<Item = (u64, u32)>) -> Result<(), OutOfFrames> {
    silence_legacy_controllers();
    let mut found = false;
    for (address, first_gsi) in listed.take(CONTROLLERS_MAX) {
        add(address, first_gsi)?;
        found = true;
    }
    if !found {
        add(DEFAULT_ADDRESS, 0)?;
    }
    Ok(())
}

fn add(address: u64, first_gsi: u32) -> Result<(), OutOfFrames> {
    let registers = paging::map_device(address, REGISTER_BYTES, Caching::Uncached)?.as_ptr();
    let mut controller = Controller {
        registers,
        first_gsi,
        lines: 0,
    };
    without_interrupts(|| {
        controller.lines = (controller.read(VERSION) >> 16 & 0xff) + 1;
        for line in 0..controller.lines {
            controller.write(FIRST_ENTRY + 2 * line, MASKED);
        }
        let mut controllers = CONTROLLERS.lock();
        if let Some(free) = controllers.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(controller);
        }
    });
    Ok(())
}

/// Masks all lines of the two 8259A, after moving their vectors away from the exceptions (8259A
/// data sheet, initialisation command words): a spurious one arrives even when masked.
fn silence_legacy_controllers() {
    const COMMANDS: [(u16, u8); 10] = [
        (0x20, 0x11),
        (0xa0, 0x11),
        (0x21, 0xe0),
        (0xa1, 0xe8),
        (0x21, 4),
        (0xa1, 2),
        (0x21, 1),
        (0xa1, 1),
        (0x21, 0xff),
        (0xa1, 0xff),
    ];
    for (port, value) in COMMANDS {
        // SAFETY: these are the controllers' ports; afterwards they send nothing.
        unsafe { Port::new(port).write(value) };
    }
}

/// Runs `with` on the controller that has line `gsi`, and the line's number there.
fn with_line<R>(gsi: u32, with: impl FnOnce(&Controller, u32) -> R) -> Result<R, NoSuchLine> {
    without_interrupts(|| {
        let controllers = CONTROLLERS.lock();
        let has = |controller: &&Controller| {
            gsi.checked_sub(controller.first_gsi)
                .is_some_and(|line| line < controller.lines)
        };
        let controller = controllers
            .iter()
            .flatten()
            .find(has)
            .ok_or(NoSuchLine(gsi))?;
        Ok(with(controller, gsi - controller.first_gsi))
    })
}

/// Lets line `gsi` raise `vector` on this CPU.
pub(super) fn route(
    gsi: u32,
    vector: u8,
    polarity: Polarity,
    trigger: Trigger,
) -> Result<(), NoSuchLine> {
    let mut entry = u32::from(vector);
    if polarity == Polarity::ActiveLow {
        entry |= ACTIVE_LOW;
    }
    if trigger == Trigger::Level {
        entry |= LEVEL;
    }
    with_line(gsi, |controller, line| {
        controller.write(FIRST_ENTRY + 2 * line + 1, lapic::id() << 24);
        controller.write(FIRST_ENTRY + 2 * line, entry);
        LINES[usize::from(vector - FIRST_INTERRUPT)].store(gsi, Ordering::Relaxed);
    })
}

/// Opens or closes the line of `vector`; a vector without a line is passed over.
pub(super) fn set_mask(vector: u8, mask: Mask) {
    let gsi = LINES[usize::from(vector - FIRST_INTERRUPT)].load(Ordering::Relaxed);
    // A vector without a line has a number that no controller has.
    let _ = with_line(gsi, |controller, line| {
        let index = FIRST_ENTRY + 2 * line;
        let entry = controller.read(index) & !MASKED;
        controller.write(
            index,
            if mask == Mask::Closed {
                entry | MASKED
            } else {
                entry
            },
        );
    });
}
