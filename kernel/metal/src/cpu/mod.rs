//! The processor: features, stacks, descriptor tables, entries, interrupts and clocks.

pub mod stacks;

use core::arch::x86_64::{__cpuid, __cpuid_count};

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
        x2apic: __cpuid_count(1, 0).ecx & 1 << 21 != 0,
    }
}

/// Stops this processor for good.
pub fn halt_forever() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}
