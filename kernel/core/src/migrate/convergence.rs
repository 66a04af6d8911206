//! [`Convergence`]: when a copy is near enough for the instance to be stopped.
//!
//! Memories are copied in rounds while the instance runs; each round carries what changed during the one
//! before. That shrinks as long as the instance changes less than the link carries. One that changes more
//! is given less of the CPU, step by step, until it does; rounds and time are bounded whatever it does.

use crate::machine::{Duration, Time};

/// What an operator wants of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goals {
    /// For how long the instance may stand, if more rounds lead there.
    pub downtime: Duration,
    /// For how long it may stand rather than be slowed down, when rounds alone lead no further.
    pub settled_downtime: Duration,
    /// For how long it may stand at most, when rounds or time are used up.
    pub most_downtime: Duration,
    /// Rounds at most.
    pub most_rounds: u32,
    /// Time for all rounds.
    pub most_time: Duration,
    /// The least share of CPU time that the instance is left with, in parts of a million. One that
    /// writes a word to every page dirties thousands of times of what a link carries.
    pub least_share_ppm: u32,
}

impl Default for Goals {
    fn default() -> Goals {
        Goals {
            downtime: Duration::from_millis(1),
            settled_downtime: Duration::from_millis(10),
            most_downtime: Duration::from_millis(500),
            most_rounds: 40,
            most_time: Duration::from_secs(60),
            least_share_ppm: 50,
        }
    }
}

/// What to do with what has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Copy it while the instance runs on with this share of its CPU time.
    Copy {
        /// Parts of a million.
        share_ppm: u32,
    },
    /// Stop the instance and copy the rest.
    Stop,
    /// It would stand for too long, and more rounds do not help.
    GiveUp,
}

/// All of its CPU time, in parts of a million.
pub const FULL_SHARE_PPM: u32 = 1_000_000;
/// What the share is divided by at most in one step, as a power of two.
const LARGEST_STEP: u32 = 5;
/// Rounds with fewer bytes tell more of the link's delay than of its bandwidth.
const TELLING_BYTES: u64 = 128 * 1024;
/// A round that leaves more than these per cent of the one before does not converge by itself.
const SHRINKS_PERCENT: u64 = 70;
/// A throttled instance shall change its memory at this part of what the link carries.
const AIM_PERCENT: u64 = 50;

/// Follows the rounds of one migration.
#[derive(Debug, Clone)]
pub struct Convergence {
    goals: Goals,
    began: Time,
    rounds: u32,
    share_ppm: u32,
    /// Rounds in a row for which it was slowed down.
    slowed: u32,
    /// Bytes a second, when a round has told.
    bandwidth: Option<u64>,
    /// When the memories were frozen last, and what had changed then.
    measured: Option<(Time, u64)>,
    /// Bytes a second at the present share.
    dirty_rate: u64,
    expected_downtime: Duration,
}

impl Convergence {
    /// Begins with the first round.
    pub fn new(goals: Goals, now: Time) -> Convergence {
        Convergence {
            goals,
            began: now,
            rounds: 0,
            share_ppm: FULL_SHARE_PPM,
            slowed: 0,
            bandwidth: None,
            measured: None,
            dirty_rate: 0,
            expected_downtime: Duration::ZERO,
        }
    }

    /// A round of `bytes` was stored by the target, so long after its sending began.
    pub fn stored(&mut self, bytes: u64, took: Duration) {
        if bytes < TELLING_BYTES && self.bandwidth.is_some() {
            return;
        }
        let nanos = took.as_nanos().max(1);
        let seen = u128::from(bytes.max(1)) * 1_000_000_000 / nanos;
        let seen = u64::try_from(seen).unwrap_or(u64::MAX).max(1);
        // The last rounds count most: the link is shared with others.
        self.bandwidth = Some(match self.bandwidth {
            Some(before) => before / 4 + seen / 4 * 3 + 1,
            None => seen,
        });
    }

    /// The memories were frozen: `dirty_bytes` of pages differ from the last round that was sent, and
    /// there are `state_bytes` besides.
    pub fn measured(&mut self, now: Time, dirty_bytes: u64, state_bytes: u64) -> Decision {
        let before = self.measured.replace((now, dirty_bytes));
        let (Some((then, sent_bytes)), Some(bandwidth)) = (before, self.bandwidth) else {
            // Nothing was sent yet.
            self.rounds = 1;
            return Decision::Copy {
                share_ppm: FULL_SHARE_PPM,
            };
        };
        let nanos = now.since(then).as_nanos().max(1);
        let rate = u128::from(dirty_bytes) * 1_000_000_000 / nanos;
        self.dirty_rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let for_pages = time_for(dirty_bytes, bandwidth);
        let for_state = time_for(state_bytes, bandwidth);
        self.expected_downtime = for_pages.saturating_add(for_state);
        // The state is sent after the stop however many rounds there are: it leaves less for pages, but
        // not nothing.
        let is_within = |goal: Duration| for_pages <= goal.saturating_sub(for_state).max(goal / 4);
        let shrinks = dirty_bytes <= sent_bytes / 100 * SHRINKS_PERCENT;
        if is_within(self.goals.downtime) || (!shrinks && is_within(self.goals.settled_downtime)) {
            return Decision::Stop;
        }
        if self.rounds >= self.goals.most_rounds || now.since(self.began) >= self.goals.most_time {
            return match self.expected_downtime <= self.goals.most_downtime {
                true => Decision::Stop,
                false => Decision::GiveUp,
            };
        }
        self.rounds += 1;
        match shrinks {
            true => self.slowed = 0,
            false => self.slow_down(bandwidth),
        }
        Decision::Copy {
            share_ppm: self.share_ppm,
        }
    }

    /// The same for an instance that could have been stopped, and waits for others: what it has changed meanwhile was
    /// not sent before, so that it tells nothing of how fast it does, and neither rounds nor time are used up.
    pub fn waited(&mut self, now: Time, dirty_bytes: u64, state_bytes: u64) -> Decision {
        let bandwidth = self.bandwidth.unwrap_or(u64::MAX);
        self.expected_downtime = time_for(dirty_bytes.saturating_add(state_bytes), bandwidth);
        if self.expected_downtime <= self.goals.settled_downtime {
            return Decision::Stop;
        }
        self.measured = Some((now, dirty_bytes));
        self.began = now;
        self.rounds += 1;
        self.goals.most_rounds = self.goals.most_rounds.saturating_add(1);
        Decision::Copy {
            share_ppm: self.share_ppm,
        }
    }

    /// Halves the share, quarters it if that did not help, and so on; or takes more where the rates tell
    /// that more is needed. The rate is a lower bound: an instance that writes the same pages again and
    /// again writes more than can be seen.
    fn slow_down(&mut self, bandwidth: u64) {
        self.slowed = (self.slowed + 1).min(LARGEST_STEP);
        let aim = u128::from(bandwidth) * u128::from(AIM_PERCENT) / 100;
        let rate = u128::from(self.dirty_rate.max(1));
        let share = u128::from(self.share_ppm);
        let wanted = (share * aim / rate).min(share >> self.slowed);
        let wanted = u32::try_from(wanted).unwrap_or(self.share_ppm);
        self.share_ppm = wanted.max(self.goals.least_share_ppm).max(1);
    }

    /// Rounds so far.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// The instance's share of its CPU time, in parts of a million.
    pub fn share_ppm(&self) -> u32 {
        self.share_ppm
    }

    /// Bytes a second that the link carries, when it is known.
    pub fn bandwidth(&self) -> Option<u64> {
        self.bandwidth
    }

    /// Bytes of pages a second that the instance changed lately.
    pub fn dirty_rate(&self) -> u64 {
        self.dirty_rate
    }

    /// For how long the instance would have stood, had it been stopped when it was measured last.
    pub fn expected_downtime(&self) -> Duration {
        self.expected_downtime
    }
}

fn time_for(bytes: u64, bandwidth: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bandwidth.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// An instance that writes `rate` bytes a second at full speed, all over `working_set`, on a link.
    struct World {
        memory: u64,
        working_set: u64,
        rate: u64,
        link: u64,
        goals: Goals,
    }

    /// How a migration went.
    #[derive(Debug)]
    struct Story {
        last: Decision,
        rounds: u32,
        took: Duration,
        gap: Duration,
        bytes: u64,
        share_ppm: u32,
    }

    impl World {
        fn migrate(&self) -> Story {
            let mut now = Time::ZERO;
            let mut convergence = Convergence::new(self.goals, now);
            let (mut dirty, mut bytes) = (self.memory, 0);
            loop {
                // A generous bound, so that a controller that never ends fails the test.
                assert!(convergence.rounds() <= self.goals.most_rounds);
                let decision = convergence.measured(now, dirty, 16 * 1024);
                let Decision::Copy { share_ppm } = decision else {
                    return Story {
                        last: decision,
                        rounds: convergence.rounds(),
                        took: now.since(Time::ZERO),
                        gap: time_for(dirty, self.link),
                        bytes: bytes + dirty,
                        share_ppm: convergence.share_ppm(),
                    };
                };
                let took = time_for(dirty, self.link) + Duration::from_micros(200);
                bytes += dirty;
                convergence.stored(dirty, took);
                now = now + took;
                let written = u128::from(self.rate) * took.as_nanos() * u128::from(share_ppm);
                let written = u64::try_from(written / 1_000_000_000_000_000).unwrap_or(u64::MAX);
                dirty = written.min(self.working_set);
            }
        }
    }

    fn world(memory_mib: u64, working_set_mib: u64, rate_mib: u64, link_mib: u64) -> World {
        World {
            memory: memory_mib * MIB,
            working_set: working_set_mib * MIB,
            rate: rate_mib * MIB,
            link: link_mib * MIB,
            goals: Goals::default(),
        }
    }

    #[test]
    fn an_idle_instance_is_copied_once() {
        let story = world(64, 64, 0, 100).migrate();
        assert_eq!(story.last, Decision::Stop);
        assert_eq!((story.rounds, story.bytes), (1, 64 * MIB));
        assert_eq!(story.share_ppm, FULL_SHARE_PPM);
    }

    #[test]
    fn a_steady_writer_below_the_link_is_not_slowed_down() {
        let story = world(64, 64, 30, 100).migrate();
        assert_eq!(story.last, Decision::Stop);
        assert_eq!(story.share_ppm, FULL_SHARE_PPM);
        assert!(story.gap <= Duration::from_millis(10), "{story:?}");
        assert!(story.bytes < 110 * MIB, "{story:?}");
    }

    #[test]
    fn a_small_working_set_is_stopped_as_soon_as_rounds_lead_no_further_however_hot_it_is() {
        let story = world(64, 1, 10_000, 200).migrate();
        assert_eq!(story.last, Decision::Stop);
        assert_eq!((story.rounds, story.share_ppm), (2, FULL_SHARE_PPM));
        assert_eq!(story.gap, Duration::from_millis(5));
    }

    #[test]
    fn what_a_few_more_rounds_take_away_is_not_left_for_the_stop() {
        // A client that has a page written each millisecond.
        let story = world(64, 64, 4, 50).migrate();
        assert_eq!(
            (story.last, story.share_ppm),
            (Decision::Stop, FULL_SHARE_PPM)
        );
        assert!(story.gap <= Duration::from_millis(1), "{story:?}");
        assert!(story.rounds <= 4, "{story:?}");
    }

    #[test]
    fn a_writer_that_outruns_the_link_converges_within_bounds() {
        // The last ones write a word to every page in a loop.
        for rate in [150, 500, 4000, 20_000, 200_000] {
            for link in [50, 100, 1000] {
                let story = world(64, 64, rate, link).migrate();
                assert_eq!(story.last, Decision::Stop, "{rate} {link} {story:?}");
                assert!(story.gap <= Duration::from_millis(100), "{story:?}");
                let bound = Duration::from_secs(1000 / link.min(100));
                assert!(story.took <= bound, "{rate} {link} {story:?}");
                assert_eq!(story.share_ppm < FULL_SHARE_PPM, rate > link, "{story:?}");
            }
        }
    }

    #[test]
    fn what_cannot_converge_is_given_up_and_bounded() {
        let mut hopeless = world(4096, 4096, 400_000, 10);
        hopeless.goals.least_share_ppm = FULL_SHARE_PPM / 2;
        let story = hopeless.migrate();
        assert_eq!(story.last, Decision::GiveUp);
        let one_round = Duration::from_secs(410);
        assert!(story.took <= hopeless.goals.most_time + one_round);
    }

    #[test]
    fn rounds_are_bounded_and_a_short_enough_gap_is_taken_then() {
        let mut slow = world(64, 3, 1_000_000, 100);
        slow.goals.most_rounds = 3;
        let story = slow.migrate();
        assert_eq!(story.last, Decision::Stop);
        assert_eq!(story.rounds, 3);
        assert!(story.gap <= slow.goals.most_downtime);
    }

    #[test]
    fn absurd_figures_do_not_overflow() {
        let mut convergence = Convergence::new(Goals::default(), Time::ZERO);
        convergence.measured(Time::ZERO, u64::MAX, u64::MAX);
        convergence.stored(u64::MAX, Duration::ZERO);
        convergence.stored(u64::MAX, Duration::MAX);
        convergence.stored(0, Duration::MAX);
        convergence.measured(Time::from_nanos(u64::MAX), u64::MAX, u64::MAX);
        convergence.measured(Time::ZERO, 0, 0);
        assert!(convergence.share_ppm() >= 1);
    }
}
