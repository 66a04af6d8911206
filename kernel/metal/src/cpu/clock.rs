//! Time: the TSC, calibrated against the HPET, the PM timer or the PIT (D7).
//!
//! At boot the median of a few short windows gives both rates (TSC and local APIC timer) to about
//! one part in a thousand within some milliseconds; [`recheck`] then compares over seconds and
//! corrects the rate, so that boot need not wait for precision. Where the processor or the
//! hypervisor states the TSC's frequency, that is taken.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use x86_64::instructions::port::Port;

use super::lapic;
use crate::acpi::{Platform, PmTimer};
use crate::mem::paging::{self, Caching};

/// Windows at boot; their median counts.
const WINDOWS: usize = 5;
/// Length of one, in microseconds.
const WINDOW_US: u64 = 500;
/// Least and most time between two corrections: shorter ones are imprecise, and a longer one could
/// miss a wrap of the PM timer (4.7 s with 24 bits).
const RECHECK_LEAST_NS: u64 = 1_000_000_000;
const RECHECK_MOST_NS: u64 = 4_000_000_000;
/// Frequency of the PM timer, in hertz (ACPI 6.5, 4.8.3.3).
const PM_TIMER_HZ: u64 = 3_579_545;
/// Frequency of the PIT, in hertz, and its ports (Intel 8254 data sheet).
const PIT_HZ: u64 = 1_193_182;
const PIT_CHANNEL_2: u16 = 0x42;
const PIT_COMMAND: u16 = 0x43;
/// Port whose bit 0 lets channel 2 count, and whose bit 1 is the loudspeaker.
const PIT_GATE: u16 = 0x61;
/// HPET registers and the bit that starts it (IA-PC HPET specification 1.0a, 2.3).
const HPET_PERIOD: usize = 4;
const HPET_CONFIGURATION: usize = 0x10;
const HPET_COUNTER: usize = 0xf0;
const HPET_BYTES: usize = 0x400;
const FEMTOSECONDS_PER_SECOND: u64 = 1_000_000_000_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Bits behind the binary point of [`Rate::nanos_per_tick`].
const FRACTION_BITS: u32 = 32;

/// A counter of known frequency.
#[derive(Clone, Copy, Debug)]
enum Reference {
    Hpet { registers: usize, hz: u64 },
    PmTimer { port: u16, mask: u32 },
    Pit,
}

impl Reference {
    fn choose(platform: &Platform) -> Self {
        platform
            .hpet_address
            .and_then(Self::hpet)
            .or_else(|| platform.pm_timer.and_then(Self::pm_timer))
            .unwrap_or_else(Self::pit)
    }

    fn hpet(address: u64) -> Option<Self> {
        let registers = paging::map_device(address, HPET_BYTES, Caching::Uncached)
            .ok()?
            .as_ptr();
        // SAFETY: the registers are mapped; starting the counter raises no interrupts.
        let period = unsafe {
            let configuration = registers.add(HPET_CONFIGURATION).cast::<u32>();
            configuration.write_volatile(configuration.read_volatile() | 1);
            registers.add(HPET_PERIOD).cast::<u32>().read_volatile()
        };
        // The specification allows at most 100 ns.
        (1..=100_000_000).contains(&period).then(|| Self::Hpet {
            registers: registers as usize,
            hz: FEMTOSECONDS_PER_SECOND / u64::from(period),
        })
    }

    fn pm_timer(timer: PmTimer) -> Option<Self> {
        let mask = if timer.width_bits == 32 {
            u32::MAX
        } else {
            0x00ff_ffff
        };
        let reference = Self::PmTimer {
            port: timer.port,
            mask,
        };
        let first = reference.read();
        // A timer that stands still is none.
        (0..1000)
            .any(|_| reference.read() != first)
            .then_some(reference)
    }

    /// Starts the PIT's channel 2 from its largest value (mode 0, which counts down once).
    fn pit() -> Self {
        // SAFETY: the ports belong to the PIT; the loudspeaker stays off.
        unsafe {
            let mut gate = Port::<u8>::new(PIT_GATE);
            let value = gate.read();
            gate.write(value & !2 | 1);
            Port::<u8>::new(PIT_COMMAND).write(0xb0);
            Port::<u8>::new(PIT_CHANNEL_2).write(0xff);
            Port::<u8>::new(PIT_CHANNEL_2).write(0xff);
        }
        Self::Pit
    }

    fn hz(self) -> u64 {
        match self {
            Self::Hpet { hz, .. } => hz,
            Self::PmTimer { .. } => PM_TIMER_HZ,
            Self::Pit => PIT_HZ,
        }
    }

    fn read(self) -> u32 {
        match self {
            Self::Hpet { registers, .. } => {
                // SAFETY: `hpet` mapped the registers for ever.
                unsafe { ((registers + HPET_COUNTER) as *const u32).read_volatile() }
            }
            Self::PmTimer { port, .. } => {
                // SAFETY: reading this port has no effect on memory.
                unsafe { Port::new(port).read() }
            }
            Self::Pit => {
                // SAFETY: latches and reads channel 2.
                let (low, high) = unsafe {
                    Port::<u8>::new(PIT_COMMAND).write(0x80);
                    let mut data = Port::<u8>::new(PIT_CHANNEL_2);
                    (data.read(), data.read())
                };
                u32::from(u16::MAX - u16::from_le_bytes([low, high]))
            }
        }
    }

    /// Ticks from `earlier` to `later`, if the counter wrapped at most once.
    fn between(self, earlier: u32, later: u32) -> u64 {
        let mask = match self {
            Self::Hpet { .. } => u32::MAX,
            Self::PmTimer { mask, .. } => mask,
            Self::Pit => u32::from(u16::MAX),
        };
        u64::from(later.wrapping_sub(earlier) & mask)
    }

    /// Name, for the boot log.
    fn name(self) -> &'static str {
        match self {
            Self::Hpet { .. } => "hpet",
            Self::PmTimer { .. } => "pm timer",
            Self::Pit => "pit",
        }
    }
}

/// Frequencies, in hertz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frequencies {
    tsc: u64,
    timer: u64,
}

/// What turns TSC ticks into time: seen by readers without a lock, as three words under a sequence
/// number that is odd while they change.
struct Rate {
    sequence: AtomicU64,
    base_ticks: AtomicU64,
    base_ns: AtomicU64,
    nanos_per_tick: AtomicU64,
}

static RATE: Rate = Rate {
    sequence: AtomicU64::new(0),
    base_ticks: AtomicU64::new(0),
    base_ns: AtomicU64::new(0),
    nanos_per_tick: AtomicU64::new(0),
};
static TIMER_HZ: AtomicU64 = AtomicU64::new(0);

/// Where the last correction stood.
struct Correction {
    reference: Reference,
    reference_ticks: u32,
    tsc: u64,
}

static CORRECTION: Mutex<Option<Correction>> = Mutex::new(None);

/// What calibration found, for the boot log.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// Frequency of the TSC, in hertz.
    pub tsc_hz: u64,
    /// Frequency of the local APIC's timer, in hertz.
    pub timer_hz: u64,
    /// What was compared with.
    pub reference: &'static str,
}

/// Calibrates the clocks and starts time at zero.
pub fn init(platform: &Platform) -> Calibration {
    let start = ticks();
    let reference = Reference::choose(platform);
    let mut tsc = [0; WINDOWS];
    let mut timer = [0; WINDOWS];
    for window in 0..WINDOWS {
        Frequencies {
            tsc: tsc[window],
            timer: timer[window],
        } = measure(reference);
    }
    tsc.sort_unstable();
    timer.sort_unstable();
    let tsc_hz = stated_tsc_hz().unwrap_or(tsc[WINDOWS / 2]).max(1);
    let timer_hz = timer[WINDOWS / 2].max(1);
    TIMER_HZ.store(timer_hz, Ordering::Relaxed);
    RATE.set(start, 0, rate_of(tsc_hz));
    let reference_name = reference.name();
    if stated_tsc_hz().is_none() && !matches!(reference, Reference::Pit) {
        let (reference_ticks, tsc) = read_both(reference);
        *CORRECTION.lock() = Some(Correction {
            reference,
            reference_ticks,
            tsc,
        });
    }
    Calibration {
        tsc_hz,
        timer_hz,
        reference: reference_name,
    }
}

/// Measures both frequencies over one window.
fn measure(reference: Reference) -> Frequencies {
    let wanted = reference.hz() * WINDOW_US / 1_000_000;
    lapic::start_counting();
    let (first, tsc_first) = read_both(reference);
    let timer_first = lapic::counted();
    loop {
        let (now, tsc_now) = read_both(reference);
        let elapsed = reference.between(first, now);
        if elapsed >= wanted {
            let timer_now = lapic::counted();
            lapic::stop_timer();
            let scale = |ticks: u64| {
                (u128::from(ticks) * u128::from(reference.hz()) / u128::from(elapsed)) as u64
            };
            return Frequencies {
                tsc: scale(tsc_now - tsc_first),
                timer: scale(u64::from(timer_now - timer_first)),
            };
        }
    }
}

/// Reads the reference and the TSC at the same moment, as nearly as three tries give it.
fn read_both(reference: Reference) -> (u32, u64) {
    let attempt = |_| {
        let before = ticks();
        let value = reference.read();
        let after = ticks();
        (after - before, value, before + (after - before) / 2)
    };
    let best = (0..3).map(attempt).min_by_key(|&(spread, ..)| spread);
    best.map_or((0, 0), |(_, value, tsc)| (value, tsc))
}

/// The TSC's frequency where the processor (leaf 0x15) or the hypervisor (leaf 0x4000_0010) states
/// it.
fn stated_tsc_hz() -> Option<u64> {
    if __cpuid(0).eax >= 0x15 {
        let leaf = __cpuid_count(0x15, 0);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
        }
    }
    let hypervisor = __cpuid(1).ecx & 1 << 31 != 0;
    if hypervisor && __cpuid(0x4000_0000).eax >= 0x4000_0010 {
        let kilohertz = __cpuid(0x4000_0010).eax;
        return (kilohertz != 0).then(|| u64::from(kilohertz) * 1000);
    }
    None
}

/// Nanoseconds per tick at `hz`, with [`FRACTION_BITS`] bits behind the point.
fn rate_of(hz: u64) -> u64 {
    ((u128::from(NANOS_PER_SECOND) << FRACTION_BITS) / u128::from(hz)) as u64
}

/// The TSC.
pub fn ticks() -> u64 {
    // SAFETY: the instruction exists on every x86_64 processor.
    unsafe { _rdtsc() }
}

impl Rate {
    fn set(&self, base_ticks: u64, base_ns: u64, nanos_per_tick: u64) {
        self.sequence.fetch_add(1, Ordering::AcqRel);
        self.base_ticks.store(base_ticks, Ordering::Release);
        self.base_ns.store(base_ns, Ordering::Release);
        self.nanos_per_tick.store(nanos_per_tick, Ordering::Release);
        self.sequence.fetch_add(1, Ordering::AcqRel);
    }

    fn nanos_at(&self, ticks: u64) -> u64 {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let elapsed = ticks.saturating_sub(self.base_ticks.load(Ordering::Acquire));
            let rate = self.nanos_per_tick.load(Ordering::Acquire);
            let base_ns = self.base_ns.load(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Acquire) == before {
                let added = (u128::from(elapsed) * u128::from(rate)) >> FRACTION_BITS;
                return base_ns + added as u64;
            }
        }
    }
}

/// Nanoseconds since boot.
pub fn now_ns() -> u64 {
    nanos_at(ticks())
}

/// Nanoseconds from boot to when the TSC read `ticks`, which is not long ago.
pub fn nanos_at(ticks: u64) -> u64 {
    RATE.nanos_at(ticks)
}

/// Corrects the TSC's rate over the time since the last correction, if that is long enough. Time
/// itself never jumps: only its speed changes. The main loop calls this about once a second.
pub fn recheck() {
    let mut state = CORRECTION.lock();
    let Some(last) = state.as_mut() else { return };
    let elapsed_ns = RATE
        .nanos_at(ticks())
        .saturating_sub(RATE.nanos_at(last.tsc));
    if elapsed_ns < RECHECK_LEAST_NS {
        return;
    }
    let (reference_ticks, tsc) = read_both(last.reference);
    if elapsed_ns <= RECHECK_MOST_NS {
        let elapsed = last
            .reference
            .between(last.reference_ticks, reference_ticks);
        if elapsed > 0 {
            let hz = u128::from(tsc - last.tsc) * u128::from(last.reference.hz());
            let rate = rate_of((hz / u128::from(elapsed)).max(1) as u64);
            RATE.set(tsc, RATE.nanos_at(tsc), rate);
        }
    }
    (last.reference_ticks, last.tsc) = (reference_ticks, tsc);
}

/// Ticks of the local APIC's timer in `duration_ns`, as many as it can count.
pub fn timer_ticks(duration_ns: u64) -> u32 {
    let hz = u128::from(TIMER_HZ.load(Ordering::Relaxed));
    let ticks = u128::from(duration_ns) * hz / u128::from(NANOS_PER_SECOND);
    u32::try_from(ticks).unwrap_or(u32::MAX)
}
