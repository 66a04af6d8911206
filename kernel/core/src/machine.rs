//! The seam between core, which decides, and a machine, which does (D1).
//!
//! Three machines implement [`Machine`]: bare metal (`kernel/metal`), the simulated one
//! (`tests/src/sim`) and an ordinary process (`tools/sos/src/hosted`). Core calls it only from [`crate::kernel::Kernel::turn`], on one CPU.

use alloc::sync::Arc;
use core::fmt;
use core::ops::{Add, Sub};
use serde::{Deserialize, Serialize};

pub use sos_engine::{FrozenMemory, GuestMemory};

/// Nanoseconds since the node started. Monotonic, never negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The moment the node started.
    pub const ZERO: Time = Time(0);

    /// The time `nanoseconds` after the node started.
    pub const fn from_nanos(nanoseconds: u64) -> Time {
        Time(nanoseconds)
    }

    /// Nanoseconds since the node started.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Nanoseconds from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

pub use core::time::Duration;

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanoseconds))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, duration: Duration) -> Time {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(nanoseconds))
    }
}

/// What tells the time. Shared with instances, whose clock calls read it in mid-slice.
///
/// The simulated machine advances it only between slices, so that one seed replays exactly.
pub trait Clock: Send + Sync {
    /// Time since the node started.
    fn now(&self) -> Time;
    /// Wall time: nanoseconds since 1970-01-01 00:00:00 UTC.
    fn wall_nanos(&self) -> u64;
}

/// A physical NIC, as the machine found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NicInfo {
    /// Its station address.
    pub mac: [u8; 6],
    /// Largest IP packet in bytes (1500 for plain Ethernet).
    pub mtu: usize,
}

/// Why a NIC did not take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NicError {
    /// Its transmit queue is full; try after the next completion.
    Full,
    /// The device failed or went away; it does not come back.
    Gone,
}

/// Why a memory range was not reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveError {
    /// Address space or commit limit is used up.
    Exhausted {
        /// Bytes asked for.
        wanted_bytes: u64,
    },
    /// The memory would be shorter than the image that it is to begin as.
    TooSmall {
        /// Bytes asked for.
        wanted_bytes: u64,
        /// Reserved bytes of the memory that the image was made of.
        image_bytes: u64,
    },
}

impl ReserveError {
    /// Checks that a memory of `maximum_bytes` can begin as `frozen`.
    ///
    /// # Errors
    /// [`ReserveError::TooSmall`] when it cannot.
    pub fn check_size(frozen: &FrozenMemory, maximum_bytes: u64) -> Result<(), ReserveError> {
        let image_bytes = frozen.reserved_bytes() as u64;
        if maximum_bytes < image_bytes {
            return Err(ReserveError::TooSmall {
                wanted_bytes: maximum_bytes,
                image_bytes,
            });
        }
        Ok(())
    }
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReserveError::Exhausted { wanted_bytes } => write!(
                f,
                "no room for a guest memory of {wanted_bytes} bytes; stop an instance or give the node more memory"
            ),
            ReserveError::TooSmall {
                wanted_bytes,
                image_bytes,
            } => write!(
                f,
                "a guest memory of {wanted_bytes} bytes cannot hold the image of one of {image_bytes}; ask for as many"
            ),
        }
    }
}

/// Physical memory of the node, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MemoryStats {
    /// All memory that the firmware gave to the node.
    pub total_bytes: u64,
    /// In frames that nobody uses.
    pub free_bytes: u64,
    /// The kernel heap: taken from the frame allocator so far.
    pub heap_bytes: u64,
    /// The kernel heap: handed out.
    pub heap_used_bytes: u64,
    /// Touched pages of all guest memories and of their images, each page once however many share it.
    pub guest_bytes: u64,
}

/// Everything the kernel asks of the hardware below it.
///
/// No call blocks. A machine with nothing to do is idled by its own loop, from what
/// [`crate::kernel::Kernel::turn`] returns.
pub trait Machine {
    /// The clock, to be shared with instances.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Fills `out` with random bytes fit for keys.
    fn fill_random(&mut self, out: &mut [u8]);

    /// Takes what was typed on the console: returns how many bytes of `out` were filled.
    fn read_console(&mut self, out: &mut [u8]) -> usize;

    /// Queues bytes for the console: returns how many were taken (fewer when its ring is full).
    fn write_console(&mut self, bytes: &[u8]) -> usize;

    /// Hands over the lines that the machine itself logged since this was last called (drivers, the
    /// boot), oldest first, with their times. Each turn asks: cheap when there are none.
    fn take_log(&mut self, _sink: &mut dyn FnMut(Time, &str)) {}

    /// The NICs found at start. Their order is stable; the index names them below.
    fn nics(&self) -> &[NicInfo];

    /// Hands each frame that waits on `nic`, at most `budget` of them, to `sink`: returns how many.
    ///
    /// # Errors
    /// [`NicError::Gone`] once the device has failed.
    fn receive_frames(
        &mut self,
        nic: usize,
        budget: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, NicError>;

    /// Queues one frame for transmission (a copy is made).
    ///
    /// # Errors
    /// [`NicError::Full`] when the queue is full, [`NicError::Gone`] when the device failed.
    fn transmit_frame(&mut self, nic: usize, frame: &[u8]) -> Result<(), NicError>;

    /// Tells `nic` that frames were queued (one notification for many frames).
    fn flush_frames(&mut self, nic: usize);

    /// Accounts for fuel that a slice used. Hardware's clock runs by itself; the simulated machine
    /// advances its clock here, by a constant time for each unit (D7).
    fn charge_fuel(&mut self, _fuel: u64) {}

    /// The number of the host's present connection to the operator's channel; none while no host is
    /// connected, and always on a machine without a channel. Each connection has a number of its own,
    /// so that one that ended and came back between two looks is seen.
    ///
    /// The channel carries bytes between the node and one program on the host that runs it, without
    /// loss and in order for as long as a connection lasts. What was not read or not sent when it ends
    /// is dropped. A new host's program should wait for the node's first word before it sends: what it
    /// sends before the node sees the connection may be dropped with the rest of the old one.
    fn channel_connection(&self) -> Option<u64> {
        None
    }

    /// Takes bytes that the host sent over the channel: returns how many bytes of `out` were filled.
    /// Fewer than its length: there are no more, and the next ones are an event. What is not taken
    /// holds the host up, so nothing is lost however slowly it is read; it is an event for one turn only.
    fn read_channel(&mut self, _out: &mut [u8]) -> usize {
        0
    }

    /// Sends bytes to the host over the channel: returns how many were taken. When that is fewer than
    /// all while a host is connected, room for more is an event. Without a host none are taken.
    fn write_channel(&mut self, _bytes: &[u8]) -> usize {
        0
    }

    /// Whether something arrived since it was last looked at (frames, console bytes, bytes or room or
    /// another connection on the channel), so that a slice loop can stop early. Cheap: a flag set by
    /// interrupt handlers.
    fn has_events(&self) -> bool;

    /// When the first event came that no turn has begun with, forgotten by asking. None where nothing
    /// came, or where the machine does not know: then it came when the turn began.
    fn take_arrival(&mut self) -> Option<Time> {
        None
    }

    /// Reserves the bytes of one guest memory: zero, and backed page by page on first touch.
    ///
    /// # Errors
    /// [`ReserveError::Exhausted`] when the range cannot be reserved.
    fn reserve_memory(&mut self, maximum_bytes: u64) -> Result<GuestMemory, ReserveError>;

    /// Reserves the bytes of a guest memory that begins as `frozen`, an image made on this machine.
    /// Where the machine can, both share all pages until one of them is written.
    ///
    /// # Errors
    /// [`ReserveError::Exhausted`] when the range cannot be reserved, [`ReserveError::TooSmall`] when
    /// `maximum_bytes` is less than the image's [`reserved_bytes`](FrozenMemory::reserved_bytes).
    fn map_frozen(
        &mut self,
        frozen: &FrozenMemory,
        maximum_bytes: u64,
    ) -> Result<GuestMemory, ReserveError>;

    /// Physical memory figures, for `info`, `top` and admission.
    fn memory_stats(&self) -> MemoryStats;
}
