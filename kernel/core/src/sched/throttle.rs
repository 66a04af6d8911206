//! [`Throttle`]: a bound on one instance's CPU time, however idle the CPU is.
//!
//! Shares only divide the CPU among those that want it. An instance that is copied to another node
//! faster than the link carries what it writes has to stand now and then although nobody else runs: it
//! runs a slice and rests in proportion.

use super::SLICE;
use crate::machine::{Duration, Time};

/// All of the CPU time that an instance would have, in parts of a million.
const FULL_PPM: u32 = 1_000_000;
/// What a slice of an instance that rests is divided by: a shorter slice makes for shorter rests.
const SLICE_DIVISOR: u32 = 16;
/// The longest rest: peers and health checks wait for it, also after a slice that took long.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// How much of its CPU time an instance gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    share_ppm: u32,
    /// When it may run again.
    rests_until: Time,
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle::to(FULL_PPM)
    }
}

impl Throttle {
    /// A share in parts of a million, one at least.
    pub fn to(share_ppm: u32) -> Throttle {
        Throttle {
            share_ppm: share_ppm.clamp(1, FULL_PPM),
            rests_until: Time::ZERO,
        }
    }

    /// Whether it never rests.
    pub fn is_full(&self) -> bool {
        self.share_ppm == FULL_PPM
    }

    /// How long a slice shall last.
    pub fn slice(&self) -> Duration {
        match self.share_ppm {
            FULL_PPM => SLICE,
            _ => SLICE / SLICE_DIVISOR,
        }
    }

    /// It has run for so long, until now.
    pub fn ran(&mut self, now: Time, used: Duration) {
        if self.share_ppm == FULL_PPM {
            return;
        }
        let used_nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        let rest = u64::from(FULL_PPM - self.share_ppm);
        let rest_nanos = used_nanos.saturating_mul(rest) / u64::from(self.share_ppm);
        self.rests_until = now + Duration::from_nanos(rest_nanos).min(LONGEST_REST);
    }

    /// Until when it may not run, if that is not over.
    pub fn rests_until(&self, now: Time) -> Option<Time> {
        (self.rests_until > now).then_some(self.rests_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_rests_in_proportion_to_what_it_ran() {
        let mut throttle = Throttle::to(FULL_PPM / 4);
        let now = Time::from_nanos(1000);
        assert_eq!(throttle.rests_until(now), None);
        throttle.ran(now, Duration::from_nanos(100));
        let until = Time::from_nanos(1300);
        assert_eq!(throttle.rests_until(now), Some(until));
        assert_eq!(throttle.rests_until(until), None);
        assert!(throttle.slice() < SLICE);
    }

    #[test]
    fn one_with_all_of_its_time_never_rests_and_no_share_overflows() {
        let mut full = Throttle::default();
        full.ran(Time::ZERO, Duration::MAX);
        assert_eq!(full.rests_until(Time::ZERO), None);
        let mut least = Throttle::to(0);
        least.ran(Time::ZERO, Duration::MAX);
        let until = Time::ZERO + LONGEST_REST;
        assert_eq!(least.rests_until(Time::ZERO), Some(until));
    }
}
