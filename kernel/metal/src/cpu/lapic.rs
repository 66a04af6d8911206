//! The local APIC of the boot CPU: end of interrupt, and the one-shot timer (Intel SDM volume 3,
//! chapter 11). Reached by model-specific registers where the CPU has x2APIC, else in memory.

use core::sync::atomic::{AtomicPtr, Ordering};

use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

use super::irq;
use crate::mem::paging::{self, Caching, OutOfFrames};

/// Registers, as offsets of the memory-mapped form (SDM volume 3, table 11-1).
const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS_VECTOR: u32 = 0xf0;
const LOCAL_TIMER: u32 = 0x320;
const LOCAL_INPUT_0: u32 = 0x350;
const LOCAL_ERROR: u32 = 0x370;
const INITIAL_COUNT: u32 = 0x380;
const CURRENT_COUNT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;
/// First register of the x2APIC form; one per 16 bytes of the memory-mapped one.
const X2APIC_FIRST: u32 = 0x800;
/// In a local vector: no interrupt.
const MASKED: u32 = 1 << 16;
/// In the spurious vector's register: the APIC is on. The vector itself is 0xff.
const ENABLED_SPURIOUS_FF: u32 = 0x1ff;
/// Divide by one.
const DIVIDE_BY_1: u32 = 0b1011;
const REGISTER_BYTES: usize = 4096;

/// Where the registers are mapped; null for the x2APIC form.
static REGISTERS: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

fn read(register: u32) -> u32 {
    let base = REGISTERS.load(Ordering::Relaxed);
    if base.is_null() {
        // SAFETY: `init` turned the x2APIC on; reading its registers touches no memory.
        unsafe { Msr::new(X2APIC_FIRST + register / 16).read() as u32 }
    } else {
        // SAFETY: `init` mapped the page of registers.
        unsafe { base.add(register as usize).cast::<u32>().read_volatile() }
    }
}

fn write(register: u32, value: u32) {
    let base = REGISTERS.load(Ordering::Relaxed);
    if base.is_null() {
        // SAFETY: `init` turned the x2APIC on, and the callers write valid values.
        unsafe { Msr::new(X2APIC_FIRST + register / 16).write(u64::from(value)) }
    } else {
        // SAFETY: `init` mapped the page of registers.
        unsafe {
            base.add(register as usize)
                .cast::<u32>()
                .write_volatile(value)
        }
    }
}

/// Turns the APIC on, with every local source but the NMI input masked.
///
/// # Safety
/// Called once, on the boot CPU, with interrupts off and the gates loaded.
///
/// # Errors
/// [`OutOfFrames`] when its registers cannot be mapped.
pub unsafe fn init() -> Result<(), OutOfFrames> {
    let (frame, flags) = ApicBase::read();
    if super::features().x2apic {
        let on = flags | ApicBaseFlags::LAPIC_ENABLE | ApicBaseFlags::X2APIC_ENABLE;
        // SAFETY: the address stays; the CPU has the mode.
        unsafe { ApicBase::write(frame, on) };
    } else {
        // SAFETY: the address stays.
        unsafe { ApicBase::write(frame, flags | ApicBaseFlags::LAPIC_ENABLE) };
        let address = frame.start_address().as_u64();
        let registers = paging::map_device(address, REGISTER_BYTES, Caching::Uncached)?;
        REGISTERS.store(registers.as_ptr(), Ordering::Relaxed);
    }
    write(TASK_PRIORITY, 0);
    write(LOCAL_TIMER, MASKED);
    write(LOCAL_INPUT_0, MASKED);
    write(LOCAL_ERROR, MASKED);
    write(DIVIDE, DIVIDE_BY_1);
    write(SPURIOUS_VECTOR, ENABLED_SPURIOUS_FF);
    Ok(())
}

/// This CPU's APIC number.
pub fn id() -> u32 {
    let value = read(ID);
    if REGISTERS.load(Ordering::Relaxed).is_null() {
        value
    } else {
        value >> 24
    }
}

/// Tells the APIC that the current interrupt is handled.
pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Starts the timer: one interrupt after `ticks`.
pub fn start_timer(ticks: u32) {
    write(LOCAL_TIMER, u32::from(irq::TIMER.number()));
    write(INITIAL_COUNT, ticks.max(1));
}

/// Starts the timer from its largest value without an interrupt, for calibration.
pub fn start_counting() {
    write(LOCAL_TIMER, MASKED | u32::from(irq::TIMER.number()));
    write(INITIAL_COUNT, u32::MAX);
}

/// Ticks since [`start_counting`].
pub fn counted() -> u32 {
    u32::MAX - read(CURRENT_COUNT)
}

/// Stops the timer.
pub fn stop_timer() {
    write(INITIAL_COUNT, 0);
}
