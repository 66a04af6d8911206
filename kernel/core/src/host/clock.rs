//! Time inside an instance: it starts at zero with the instance and stops while it is suspended (D7).

use alloc::sync::Arc;
use core::fmt;

use crate::machine::{Clock, Duration, Time};

/// The clock of one instance. Guest times are [`Time`]s counted from the instance's start.
pub struct GuestClock {
    clock: Arc<dyn Clock>,
    /// Guest time when the clock last began to run, or at which it stands.
    base_guest: Time,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Runs since this moment of the node.
    RunningSince(Time),
    Paused,
}

impl GuestClock {
    /// A clock that starts now at guest time zero.
    pub fn start(clock: Arc<dyn Clock>) -> GuestClock {
        GuestClock {
            base_guest: Time::ZERO,
            state: State::RunningSince(clock.now()),
            clock,
        }
    }

    /// A clock that stands at a guest time.
    pub fn standing(clock: Arc<dyn Clock>, guest: Time) -> GuestClock {
        GuestClock {
            clock,
            base_guest: guest,
            state: State::Paused,
        }
    }

    /// Guest time.
    pub fn now(&self) -> Time {
        match self.state {
            State::RunningSince(start) => self.base_guest + self.clock.now().since(start),
            State::Paused => self.base_guest,
        }
    }

    /// The node's time.
    pub fn node_now(&self) -> Time {
        self.clock.now()
    }

    /// Wall time, which never stops: nanoseconds since 1970-01-01 00:00:00 UTC.
    pub fn wall_nanos(&self) -> u64 {
        self.clock.wall_nanos()
    }

    /// When, on the node's clock, guest time will be `guest`; never while it is paused.
    pub fn node_time(&self, guest: Time) -> Option<Time> {
        match self.state {
            State::RunningSince(start) => Some(start + guest.since(self.base_guest)),
            State::Paused => None,
        }
    }

    /// Stops guest time; does nothing when it stands.
    pub fn pause(&mut self) {
        self.base_guest = self.now();
        self.state = State::Paused;
    }

    /// Lets guest time go on; does nothing when it runs.
    pub fn resume(&mut self) {
        if self.state == State::Paused {
            self.state = State::RunningSince(self.clock.now());
        }
    }

    /// Whether guest time stands.
    pub fn is_paused(&self) -> bool {
        self.state == State::Paused
    }
}

impl fmt::Debug for GuestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestClock")
            .field("base_guest", &self.base_guest)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// CPU time that an instance used, on the node's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuClock {
    /// In the slices that are over.
    used: Duration,
    /// When the present slice began.
    slice: Option<Time>,
}

impl CpuClock {
    /// A clock that has counted this much.
    pub fn after(used: Duration) -> CpuClock {
        CpuClock { used, slice: None }
    }

    /// A slice begins.
    pub fn begin_slice(&mut self, now: Time) {
        self.slice = Some(now);
    }

    /// It is over.
    pub fn end_slice(&mut self, now: Time) {
        self.used = self.used(now);
        self.slice = None;
    }

    /// CPU time used until `now`.
    pub fn used(&self, now: Time) -> Duration {
        let current = self.slice.map_or(Duration::ZERO, |begin| now.since(begin));
        self.used.saturating_add(current)
    }
}
