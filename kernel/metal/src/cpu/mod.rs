//! The processor: features, stacks, descriptor tables, entries, interrupts and clocks.

pub mod clock;
pub mod descriptors;
pub mod entry;
pub mod exception;
pub mod ioapic;
pub mod irq;
pub mod lapic;
pub mod stacks;

use core::arch::x86_64::__cpuid;

use x86_64::instructions::interrupts;

/// What this processor can do, as far as the kernel asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Pages of 1 GiB.
    pub huge_pages: bool,
    /// The local APIC can be reached by model-specific registers.
    pub x2apic: bool,
}

/// Asks the processor (Intel SDM volume 2, CPUID).
pub fn features() -> Features {
    Features {
        huge_pages: __cpuid(0x8000_0001).edx & 1 << 26 != 0,
        x2apic: __cpuid(1).ecx & 1 << 21 != 0,
    }
}

/// Sleeps until an interrupt, at most until `until_ns` (time since boot).
///
/// Returns at once when an interrupt is pending or `has_work` says so: the last look happens with
/// interrupts off, and `sti` takes effect after `hlt` has begun, so nothing is slept over.
pub fn idle(until_ns: u64, has_work: impl FnOnce() -> bool) {
    interrupts::disable();
    let wait_ns = until_ns.saturating_sub(clock::now_ns());
    if wait_ns == 0 || irq::any_pending() || has_work() {
        interrupts::enable();
        return;
    }
    lapic::start_timer(clock::timer_ticks(wait_ns));
    interrupts::enable_and_hlt();
    irq::pending_take(irq::TIMER);
}

/// Stops this processor for good.
pub fn halt_forever() -> ! {
    loop {
        interrupts::disable();
        x86_64::instructions::hlt();
    }
}
