//! An ordinary process as a machine: Linux's clock, random numbers and address space.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags};
use rustix::rand::{GetRandomFlags, getrandom};
use sos_core::machine::{
    Clock, FrozenMemory, GuestMemory, Machine, MemoryStats, NicError, NicInfo, ReserveError, Time,
};

use super::channel::Channel;
use super::memory::{Pool, Range};
use super::{Shared, poll};

/// The process's clock.
struct HostClock {
    started: Instant,
}

impl Clock for HostClock {
    fn now(&self) -> Time {
        let elapsed = self.started.elapsed().as_nanos();
        Time::from_nanos(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn wall_nanos(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        wall.map_or(0, |wall| u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// The machine under one hosted node. It has no network cards yet.
pub(super) struct HostMachine {
    clock: Arc<HostClock>,
    shared: Arc<Shared>,
    channel: Channel,
    pool: Arc<Pool>,
}

impl HostMachine {
    /// A machine that has so much memory for its guests.
    pub(super) fn new(shared: Arc<Shared>, memory_bytes: u64) -> HostMachine {
        HostMachine {
            clock: Arc::new(HostClock {
                started: Instant::now(),
            }),
            shared,
            channel: Channel::new(),
            pool: Pool::new(memory_bytes),
        }
    }

    /// Sees to what the next turn shall find.
    pub(super) fn begin_turn(&mut self) {
        let shared = &self.shared;
        self.channel.begin_turn(|| shared.next_host());
    }

    /// Sees to what the last turn left.
    pub(super) fn end_turn(&mut self) {
        self.channel.end_turn();
    }

    /// Sleeps until an event or `until`.
    pub(super) fn idle(&self, until: Option<Time>) {
        let limit = until.map(|until| until.since(self.clock.now()));
        if limit.is_some_and(|limit| limit == Duration::ZERO) || self.shared.has_news() {
            return;
        }
        let waker = PollFd::new(self.shared.waker.fd(), PollFlags::IN);
        match self.channel.interest() {
            Some((stream, flags)) => {
                poll::wait(&mut [waker, PollFd::new(stream, flags)], limit);
            }
            None => poll::wait(&mut [waker], limit),
        }
        self.shared.waker.drain();
    }
}

impl Machine for HostMachine {
    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn fill_random(&mut self, out: &mut [u8]) {
        let mut filled = 0;
        while filled < out.len() {
            match getrandom(&mut out[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("Linux gives no random numbers: {error}"),
            }
        }
    }

    fn read_console(&mut self, out: &mut [u8]) -> usize {
        self.shared.take_typed(out)
    }

    fn write_console(&mut self, bytes: &[u8]) -> usize {
        self.shared.print(bytes);
        bytes.len()
    }

    fn nics(&self) -> &[NicInfo] {
        &[]
    }

    fn receive_frames(
        &mut self,
        _nic: usize,
        _budget: usize,
        _sink: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, NicError> {
        Err(NicError::Gone)
    }

    fn transmit_frame(&mut self, _nic: usize, _frame: &[u8]) -> Result<(), NicError> {
        Err(NicError::Gone)
    }

    fn flush_frames(&mut self, _nic: usize) {}

    fn channel_connection(&self) -> Option<u64> {
        self.channel.connection()
    }

    fn read_channel(&mut self, out: &mut [u8]) -> usize {
        self.channel.read(out)
    }

    fn write_channel(&mut self, bytes: &[u8]) -> usize {
        self.channel.write(bytes)
    }

    fn has_events(&self) -> bool {
        self.shared.has_news() || self.channel.has_events()
    }

    fn reserve_memory(&mut self, maximum_bytes: u64) -> Result<GuestMemory, ReserveError> {
        let exhausted = ReserveError::Exhausted {
            wanted_bytes: maximum_bytes,
        };
        let length = usize::try_from(maximum_bytes).map_err(|_| exhausted)?;
        let range = Range::new(length, self.pool.clone()).map_err(|_| exhausted)?;
        Ok(GuestMemory::new(Box::new(range)))
    }

    fn map_frozen(
        &mut self,
        frozen: &FrozenMemory,
        maximum_bytes: u64,
    ) -> Result<GuestMemory, ReserveError> {
        ReserveError::check_size(frozen, maximum_bytes)?;
        let exhausted = ReserveError::Exhausted {
            wanted_bytes: maximum_bytes,
        };
        let length = usize::try_from(maximum_bytes).map_err(|_| exhausted)?;
        let range = Range::copy_of(frozen, length, self.pool.clone()).map_err(|_| exhausted)?;
        Ok(GuestMemory::new(Box::new(range)))
    }

    fn memory_stats(&self) -> MemoryStats {
        let total_bytes = self.pool.limit_bytes();
        let guest_bytes = self.pool.resident_bytes();
        MemoryStats {
            total_bytes,
            free_bytes: total_bytes.saturating_sub(guest_bytes),
            guest_bytes,
            ..MemoryStats::default()
        }
    }
}
