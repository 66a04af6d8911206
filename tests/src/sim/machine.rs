//! One node's hardware, simulated.

use super::memory::{Account, Holding};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use sos_core::machine::{
    Clock, FrozenMemory, GuestMemory, Machine, MemoryStats, NicError, NicInfo, ReserveError, Time,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one unit of fuel costs in simulated time.
pub const NANOS_PER_FUEL: u64 = 5;
/// Bytes that the channel holds towards the operator.
const CHANNEL_BYTES: usize = 32 * 1024;
/// Frames that a NIC holds in each direction.
const NIC_FRAMES: usize = 1024;
/// Wall time at which every simulation begins: 2026-01-01 00:00:00 UTC.
const WALL_START_NANOS: u64 = 1_767_225_600_000_000_000;

/// Simulated time, shared by all nodes of a cluster.
#[derive(Debug, Default)]
pub struct SimClock {
    nanos: AtomicU64,
}

impl SimClock {
    /// Moves the clock to `time`, never back.
    pub fn advance_to(&self, time: Time) {
        self.nanos.fetch_max(time.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Time {
        Time::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    fn wall_nanos(&self) -> u64 {
        WALL_START_NANOS + self.now().as_nanos()
    }
}

/// A NIC: frames that arrived, and frames to be carried away.
#[derive(Debug, Default)]
pub struct SimNic {
    /// Frames that the kernel has not fetched.
    pub received: VecDeque<Vec<u8>>,
    /// Frames that the wire has not fetched.
    pub transmitted: VecDeque<Vec<u8>>,
    /// Frames that arrived while `received` was full.
    pub overruns: u64,
    /// Whether the device was pulled out.
    pub gone: bool,
}

impl SimNic {
    /// A frame arrives from the wire.
    pub fn arrive(&mut self, frame: Vec<u8>) {
        if self.received.len() < NIC_FRAMES {
            self.received.push_back(frame);
        } else {
            self.overruns += 1;
        }
    }
}

/// A channel to an operator: bytes each way, a bounded number towards the operator.
#[derive(Debug, Default)]
pub struct SimChannel {
    /// The number of the operator's connection.
    pub connection: Option<u64>,
    /// Bytes that the node has not read.
    pub to_node: VecDeque<u8>,
    /// Bytes that the operator has not read.
    pub from_node: VecDeque<u8>,
    /// Whether something happened to it since the last turn: an event of one turn, as on hardware.
    pub changed: bool,
}

/// The machine under one simulated node.
pub struct SimMachine {
    clock: Arc<SimClock>,
    random: SmallRng,
    nic_infos: Vec<NicInfo>,
    /// Its NICs.
    pub nics: Vec<SimNic>,
    /// What was typed and not yet read.
    pub typed: VecDeque<u8>,
    /// Everything printed on the console.
    pub printed: Vec<u8>,
    /// Its memory.
    pub memory: Arc<Account>,
    /// The channel to an operator.
    pub channel: SimChannel,
}

impl SimMachine {
    /// A machine with `nics` NICs whose random numbers come from `seed`.
    pub fn new(clock: Arc<SimClock>, nics: usize, seed: u64) -> SimMachine {
        let mac = |index: usize| [0x02, 0x50, 0x53, seed as u8, 0, index as u8];
        let info = |index| NicInfo {
            mac: mac(index),
            mtu: 1500,
        };
        SimMachine {
            clock,
            random: SmallRng::seed_from_u64(seed),
            nic_infos: (0..nics).map(info).collect(),
            nics: (0..nics).map(|_| SimNic::default()).collect(),
            typed: VecDeque::new(),
            printed: Vec::new(),
            memory: Account::new(4 << 30),
            channel: SimChannel::default(),
        }
    }
}

impl Machine for SimMachine {
    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn fill_random(&mut self, out: &mut [u8]) {
        self.random.fill_bytes(out);
    }

    fn read_console(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.typed.len());
        for (slot, byte) in out.iter_mut().zip(self.typed.drain(..count)) {
            *slot = byte;
        }
        count
    }

    fn write_console(&mut self, bytes: &[u8]) -> usize {
        self.printed.extend_from_slice(bytes);
        bytes.len()
    }

    fn nics(&self) -> &[NicInfo] {
        &self.nic_infos
    }

    fn receive_frames(
        &mut self,
        nic: usize,
        budget: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, NicError> {
        let nic = self.nics.get_mut(nic).ok_or(NicError::Gone)?;
        if nic.gone {
            return Err(NicError::Gone);
        }
        let count = budget.min(nic.received.len());
        for frame in nic.received.drain(..count) {
            sink(&frame);
        }
        Ok(count)
    }

    fn transmit_frame(&mut self, nic: usize, frame: &[u8]) -> Result<(), NicError> {
        let nic = self.nics.get_mut(nic).ok_or(NicError::Gone)?;
        if nic.gone {
            return Err(NicError::Gone);
        }
        if nic.transmitted.len() == NIC_FRAMES {
            return Err(NicError::Full);
        }
        nic.transmitted.push_back(frame.to_vec());
        Ok(())
    }

    fn flush_frames(&mut self, _nic: usize) {}

    fn charge_fuel(&mut self, fuel: u64) {
        let spent = std::time::Duration::from_nanos(fuel * NANOS_PER_FUEL);
        self.clock.advance_to(self.clock.now() + spent);
    }

    fn channel_connection(&self) -> Option<u64> {
        self.channel.connection
    }

    fn read_channel(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.channel.to_node.len());
        for (slot, byte) in out.iter_mut().zip(self.channel.to_node.drain(..count)) {
            *slot = byte;
        }
        count
    }

    fn write_channel(&mut self, bytes: &[u8]) -> usize {
        let channel = &mut self.channel;
        let room = CHANNEL_BYTES - channel.from_node.len();
        let count = match channel.connection {
            Some(_) => room.min(bytes.len()),
            None => 0,
        };
        channel.from_node.extend(&bytes[..count]);
        count
    }

    fn has_events(&self) -> bool {
        self.channel.changed
            || !self.typed.is_empty()
            || self.nics.iter().any(|nic| !nic.received.is_empty())
    }

    fn reserve_memory(&mut self, maximum_bytes: u64) -> Result<GuestMemory, ReserveError> {
        // The range is demand-zero here too: large zeroed allocations are untouched pages of the host.
        let (length, holding) = self.hold(maximum_bytes)?;
        Ok(GuestMemory::zeroed_beside(length, Box::new(holding)))
    }

    fn map_frozen(
        &mut self,
        frozen: &FrozenMemory,
        maximum_bytes: u64,
    ) -> Result<GuestMemory, ReserveError> {
        self.memory.check_origin(frozen);
        ReserveError::check_size(frozen, maximum_bytes)?;
        let (length, holding) = self.hold(maximum_bytes)?;
        Ok(GuestMemory::copy_of(frozen, length, Box::new(holding)))
    }

    fn memory_stats(&self) -> MemoryStats {
        MemoryStats {
            total_bytes: self.memory.total_bytes(),
            free_bytes: self.memory.free_bytes(),
            ..MemoryStats::default()
        }
    }
}

impl SimMachine {
    fn hold(&self, wanted_bytes: u64) -> Result<(usize, Holding), ReserveError> {
        let exhausted = ReserveError::Exhausted { wanted_bytes };
        let length = usize::try_from(wanted_bytes).map_err(|_| exhausted)?;
        let holding = self.memory.hold_memory(wanted_bytes).ok_or(exhausted)?;
        Ok((length, holding))
    }
}
