//! Lets QEMU's emulated TLB grow to what the running programs touch.
//!
//! Under emulation (TCG) the cache of address translations is a table in QEMU that starts with 256
//! entries, one MiB of memory, and is resized only when it is flushed: doubled when more than 70 % of
//! it was used since the last flush (`accel/tcg/cputlb.c`, `tlb_mmu_resize_locked`). Linux flushes all
//! the time, as processes change. This kernel has one address space and never has to; so it flushes now
//! and then only for this. A processor's own TLB has a fixed size: there nothing is done.

use core::arch::x86_64::__cpuid;

use super::paging;

/// Where hypervisors name themselves, and how QEMU's emulator does: `TCGTCGTCGTCG` in EBX, ECX and EDX
/// (QEMU `target/i386/cpu.c`).
const HYPERVISOR_LEAF: u32 = 0x4000_0000;
const EMULATOR_NAME: [u32; 3] = [
    u32::from_le_bytes(*b"TCGT"),
    u32::from_le_bytes(*b"CGTC"),
    u32::from_le_bytes(*b"GTCG"),
];
/// The bit of CPUID leaf 1, ECX, that says whether there is such a leaf.
const HYPERVISOR_PRESENT: u32 = 1 << 31;
/// Work between two flushes, at first and at most. After a flush each page that is used costs about
/// half a microsecond once, which at the longest interval is not noticeable.
const SHORTEST_NS: u64 = 4_000_000;
const LONGEST_NS: u64 = 128_000_000;

/// When the TLB is flushed next.
#[derive(Debug)]
pub struct EmulatedTlb {
    interval_ns: u64,
    /// Work since the last flush.
    worked_ns: u64,
}

impl EmulatedTlb {
    /// The schedule, if this processor is emulated.
    pub fn detect() -> Option<Self> {
        let emulated = __cpuid(1).ecx & HYPERVISOR_PRESENT != 0 && {
            let leaf = __cpuid(HYPERVISOR_LEAF);
            [leaf.ebx, leaf.ecx, leaf.edx] == EMULATOR_NAME
        };
        emulated.then_some(Self {
            interval_ns: SHORTEST_NS,
            worked_ns: 0,
        })
    }

    /// Something else is going to run: the table may have to grow again, soon.
    pub fn expect_growth(&mut self) {
        self.interval_ns = SHORTEST_NS;
    }

    /// The processor worked for so long.
    pub fn worked(&mut self, nanos: u64) {
        if self.is_due(nanos) {
            paging::flush();
        }
    }

    /// Counts work: whether the next flush is due with it.
    fn is_due(&mut self, nanos: u64) -> bool {
        self.worked_ns += nanos;
        let is_due = self.worked_ns >= self.interval_ns;
        if is_due {
            self.worked_ns = 0;
            self.interval_ns = (self.interval_ns * 2).min(LONGEST_NS);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_are_first_frequent_then_rare() {
        let mut tlb = EmulatedTlb {
            interval_ns: SHORTEST_NS,
            worked_ns: 0,
        };
        let mut interval_ns = SHORTEST_NS;
        while interval_ns <= LONGEST_NS {
            assert!(!tlb.is_due(interval_ns - 1));
            assert!(tlb.is_due(1));
            interval_ns *= 2;
        }
        assert!(!tlb.is_due(LONGEST_NS - 1), "no rarer than that");
        assert!(tlb.is_due(1));
        tlb.expect_growth();
        assert!(tlb.is_due(SHORTEST_NS));
    }
}
