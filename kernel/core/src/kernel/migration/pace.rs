//! [`Pace`]: no more bytes a second than an operator allows.

use crate::machine::{Duration, Time};

/// What may be sent at once after a rest.
const BURST: Duration = Duration::from_millis(5);
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes a second; none: as many as the link carries.
    rate: Option<u64>,
    /// When the bytes that were sent so far are paid for.
    paid: Time,
}

impl Pace {
    /// No more than so many bytes a second.
    pub fn new(rate: Option<u64>, now: Time) -> Pace {
        let rate = rate.map(|rate| rate.max(1));
        Pace { rate, paid: now }
    }

    /// When more may be sent; nothing if that is now.
    pub fn due(&self, now: Time) -> Option<Time> {
        self.rate?;
        let due = self.paid - BURST;
        (due > now).then_some(due)
    }

    /// So many bytes are sent now.
    pub fn spend(&mut self, bytes: usize, now: Time) {
        let Some(rate) = self.rate else {
            return;
        };
        let nanos = (bytes as u64).saturating_mul(NANOS_PER_SECOND) / rate;
        self.paid = self.paid.max(now) + Duration::from_nanos(nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_carries_what_it_may_and_no_more() {
        let mut now = Time::from_nanos(NANOS_PER_SECOND);
        let mut pace = Pace::new(Some(1_000_000), now);
        let (begin, mut sent) = (now, 0);
        while now.since(begin) < Duration::from_secs(1) {
            match pace.due(now) {
                Some(due) => now = due,
                None => {
                    pace.spend(10_000, now);
                    sent += 10_000;
                }
            }
        }
        assert!((990_000..=1_020_000).contains(&sent), "{sent}");
    }

    #[test]
    fn without_a_bound_nothing_waits() {
        let mut pace = Pace::new(None, Time::ZERO);
        pace.spend(usize::MAX, Time::ZERO);
        assert_eq!(pace.due(Time::ZERO), None);
    }
}
