//! Clocks and sleeping. Monotonic time stops while the instance is suspended; wall time does not.
//!
//! ```no_run
//! use sos_sdk::time::{Duration, Instant, SystemTime, sleep};
//!
//! let start = Instant::now();
//! sleep(Duration::from_millis(10));
//! sos_sdk::info!("{:?} later it is {} s", start.elapsed(), SystemTime::now().unix_nanos() / 1_000_000_000);
//! ```

use core::ops::{Add, Sub};
pub use core::time::Duration;

use crate::sys;

/// A moment of the instance's own time, in nanoseconds since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The present.
    pub fn now() -> Instant {
        Instant(sys::clock_monotonic())
    }

    /// Nanoseconds since the instance started.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `self` to the present.
    pub fn elapsed(self) -> Duration {
        Instant::now() - self
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanoseconds))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

/// A moment of wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemTime(u64);

impl SystemTime {
    /// The present.
    pub fn now() -> SystemTime {
        SystemTime(sys::clock_wall())
    }

    /// Nanoseconds since 1970-01-01 00:00:00 UTC.
    pub const fn unix_nanos(self) -> u64 {
        self.0
    }

    /// Time since 1970-01-01 00:00:00 UTC.
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// Waits.
pub fn sleep(duration: Duration) {
    sys::sleep(saturating_nanos(duration));
}

/// A duration as a host call takes it.
pub(crate) fn saturating_nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
