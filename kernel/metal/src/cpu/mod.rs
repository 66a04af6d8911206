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

/// Sleeps until an interrupt, at most until `until_ns` (time since boot) when there is such.
///
/// Returns at once when something is pending already: the last look happens with interrupts off,
/// and `sti` takes effect after `hlt` has begun, so nothing that arrives between is slept over.
pub fn idle(until_ns: Option<u64>) {
    interrupts::disable();
    let wait_ns = until_ns.map(|until| until.saturating_sub(clock::now_ns()));
    if irq::any_pending() || wait_ns == Some(0) {
        interrupts::enable();
        return;
    }
    match wait_ns {
        Some(wait_ns) => lapic::start_timer(clock::timer_ticks(wait_ns)),
        None => lapic::stop_timer(),
    }
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
