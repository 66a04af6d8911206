//! Bare metal as core sees it ([`Machine`]), and the loop that turns the kernel.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sos_core::kernel::{Kernel, Next};
use sos_core::machine::{
    Clock, FrozenMemory, GuestMemory, Machine, MemoryStats, NicError, NicInfo, ReserveError, Time,
};

use crate::acpi::Platform;
use crate::cpu::{self, clock, irq};
use crate::drivers::net::TransmitError;
use crate::drivers::{Devices, entropy, power, rtc};
use crate::mem::emulated_tlb::EmulatedTlb;
use crate::mem::{frames, guest, heap};
use crate::{console, journal, log};

/// Time between two looks at what changes slowly: clock rates, dead devices, entropy.
const SLOW_TICK_NS: u64 = 1_000_000_000;
/// Idle calls that a vector which no driver takes can cut short, one after the other.
const USELESS_WAKES_MAX: u32 = 8;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The TSC, with the wall time that the real-time clock told at boot.
struct TscClock {
    /// Wall time when the node started, in nanoseconds since 1970.
    wall_at_start_ns: u64,
}

impl TscClock {
    fn new(platform: &Platform) -> Self {
        let seconds = rtc::read_unix_seconds(platform.century_register).unwrap_or_else(|error| {
            log!("rtc: {error}; wall time begins in 1970");
            0
        });
        let wall_ns = seconds.saturating_mul(NANOS_PER_SECOND);
        Self {
            wall_at_start_ns: wall_ns.saturating_sub(clock::now_ns()),
        }
    }
}

impl Clock for TscClock {
    fn now(&self) -> Time {
        Time::from_nanos(clock::now_ns())
    }

    fn wall_nanos(&self) -> u64 {
        self.wall_at_start_ns.saturating_add(clock::now_ns())
    }
}

/// The machine that the kernel runs on.
pub struct BareMachine {
    clock: Arc<TscClock>,
    platform: Platform,
    devices: Devices,
    nics: Vec<NicInfo>,
    next_slow_tick_ns: u64,
    useless_wakes: u32,
    tlb: Option<EmulatedTlb>,
    round_began_ns: u64,
}

impl BareMachine {
    /// Finds the devices and starts the clock and the random numbers.
    pub fn new(platform: Platform) -> Self {
        let mut devices = Devices::find(&platform);
        entropy::start(devices.entropy.as_mut(), clock::now_ns);
        let info = |card: &crate::drivers::net::NetworkCard| NicInfo {
            mac: card.mac(),
            mtu: card.mtu(),
        };
        Self {
            clock: Arc::new(TscClock::new(&platform)),
            nics: devices.network.iter().map(info).collect(),
            platform,
            devices,
            next_slow_tick_ns: SLOW_TICK_NS,
            useless_wakes: 0,
            tlb: EmulatedTlb::detect(),
            round_began_ns: clock::now_ns(),
        }
    }

    /// Turns `kernel` until it asks for the end.
    pub fn run(mut self, mut kernel: Kernel) -> ! {
        loop {
            self.begin_round();
            let next = kernel.turn(&mut self);
            self.end_round();
            match next {
                Next::Again => {}
                Next::Idle { until } => self.idle(until),
                Next::PowerOff => self.power_off(),
                Next::Reboot => self.reboot(),
            }
        }
    }

    /// Sees to the devices whose news the next turn shall find.
    pub fn begin_round(&mut self) {
        self.round_began_ns = clock::now_ns();
        if let Some(channel) = &mut self.devices.channel {
            channel.serve();
        }
    }

    /// Hands devices what the last turn left for them, and does what need not happen in every turn.
    pub fn end_round(&mut self) {
        if let Some(channel) = &mut self.devices.channel {
            channel.flush();
        }
        console::pump();
        let now_ns = clock::now_ns();
        if let Some(tlb) = &mut self.tlb {
            tlb.worked(now_ns.saturating_sub(self.round_began_ns));
        }
        self.tick_slowly(now_ns);
    }

    /// What need not happen in every turn.
    fn tick_slowly(&mut self, now_ns: u64) {
        if now_ns < self.next_slow_tick_ns {
            return;
        }
        self.next_slow_tick_ns = now_ns + SLOW_TICK_NS;
        clock::recheck();
        for card in &mut self.devices.network {
            // A card that is found dead here says so in the log itself.
            let _ = card.inspect();
        }
        entropy::reseed(self.devices.entropy.as_mut());
    }

    /// Sleeps until an event, `until` or the next slow tick.
    pub fn idle(&mut self, until: Option<Time>) {
        if irq::any_pending() {
            self.useless_wakes += 1;
            if self.useless_wakes > USELESS_WAKES_MAX {
                irq::drop_pending();
            }
            return;
        }
        self.useless_wakes = 0;
        let until_ns = until
            .map_or(u64::MAX, Time::as_nanos)
            .min(self.next_slow_tick_ns);
        cpu::idle(until_ns, || self.has_events());
    }

    fn power_off(&self) -> ! {
        console::drain();
        power::power_off(&self.platform.power, Some(&self.devices.bus));
        log!("sos: the machine does not switch off; do it by hand");
        cpu::halt_forever()
    }

    fn reboot(&self) -> ! {
        console::drain();
        power::reset(&self.platform.power, Some(&self.devices.bus));
        log!("sos: the machine does not restart; do it by hand");
        cpu::halt_forever()
    }
}

impl Machine for BareMachine {
    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn fill_random(&mut self, out: &mut [u8]) {
        entropy::fill(out);
    }

    fn read_console(&mut self, out: &mut [u8]) -> usize {
        irq::pending_take(irq::CONSOLE);
        console::read_input(out)
    }

    fn write_console(&mut self, bytes: &[u8]) -> usize {
        console::queue_output(bytes)
    }

    fn take_log(&mut self, sink: &mut dyn FnMut(Time, &str)) {
        journal::take(&mut |time_ns, text| sink(Time::from_nanos(time_ns), text));
    }

    fn nics(&self) -> &[NicInfo] {
        &self.nics
    }

    fn receive_frames(
        &mut self,
        nic: usize,
        budget: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, NicError> {
        let card = self.devices.network.get_mut(nic).ok_or(NicError::Gone)?;
        card.receive(budget, sink).map_err(|_| NicError::Gone)
    }

    fn transmit_frame(&mut self, nic: usize, frame: &[u8]) -> Result<(), NicError> {
        let card = self.devices.network.get_mut(nic).ok_or(NicError::Gone)?;
        match card.transmit(frame) {
            // A frame that the network does not carry is lost like any other on the wire.
            Ok(()) | Err(TransmitError::TooLong) => Ok(()),
            Err(TransmitError::Full) => Err(NicError::Full),
            Err(TransmitError::Failed(_)) => Err(NicError::Gone),
        }
    }

    fn flush_frames(&mut self, nic: usize) {
        if let Some(card) = self.devices.network.get_mut(nic) {
            card.flush();
        }
    }

    fn channel_connection(&self) -> Option<u64> {
        self.devices.channel.as_ref()?.connection()
    }

    fn read_channel(&mut self, out: &mut [u8]) -> usize {
        let channel = self.devices.channel.as_mut();
        channel.map_or(0, |channel| channel.read(out))
    }

    fn write_channel(&mut self, bytes: &[u8]) -> usize {
        let channel = self.devices.channel.as_mut();
        channel.map_or(0, |channel| channel.write(bytes))
    }

    fn has_events(&self) -> bool {
        let devices = &self.devices;
        console::has_input()
            || devices.network.iter().any(|card| card.has_pending())
            || devices.channel.iter().any(|channel| channel.has_pending())
    }

    fn take_arrival(&mut self) -> Option<Time> {
        irq::take_first_arrival().map(|ticks| Time::from_nanos(clock::nanos_at(ticks)))
    }

    fn reserve_memory(&mut self, maximum_bytes: u64) -> Result<GuestMemory, ReserveError> {
        let range = guest::reserve(maximum_bytes).ok_or(ReserveError::Exhausted {
            wanted_bytes: maximum_bytes,
        })?;
        if let Some(tlb) = &mut self.tlb {
            tlb.expect_growth();
        }
        Ok(GuestMemory::new(Box::new(range)))
    }

    fn map_frozen(
        &mut self,
        frozen: &FrozenMemory,
        maximum_bytes: u64,
    ) -> Result<GuestMemory, ReserveError> {
        ReserveError::check_size(frozen, maximum_bytes)?;
        let range = guest::map_frozen(frozen, maximum_bytes).ok_or(ReserveError::Exhausted {
            wanted_bytes: maximum_bytes,
        })?;
        if let Some(tlb) = &mut self.tlb {
            tlb.expect_growth();
        }
        Ok(GuestMemory::new(Box::new(range)))
    }

    fn memory_stats(&self) -> MemoryStats {
        let heap = heap::stats();
        MemoryStats {
            total_bytes: frames::total_bytes(),
            free_bytes: frames::free_bytes(),
            heap_bytes: heap.backed_bytes as u64,
            heap_used_bytes: heap.used_bytes as u64,
            guest_bytes: guest::resident_bytes(),
        }
    }
}
