//! Cables: what lies between a node and the switch, known by the outlet's name, and spoiled by tests.
//!
//! A [`Cable`] says how one is to be; [`CableState`] draws each frame's fate in each direction. It stays
//! with its outlet when a node is pulled out and another one plugged in.

use std::time::{Duration, Instant};

use super::fabric::LinkState;
use super::faults::{Fate, FaultSource, Faults};

/// Frames wait this long at most for a slow cable; later ones are dropped, as at a full router.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// Distance between the seeds of a cable's two directions.
const SEED_STEP: u64 = 0x5851_f42d_4c95_7f2d;

/// How a cable is. The default is a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cable {
    /// Whether it carries frames at all.
    pub link: LinkState,
    /// What happens to frames in either direction; to delay every frame, let 1000 of 1000 be held.
    pub faults: Faults,
    /// What passes in each direction, in bits per second; without it as much as comes.
    pub bandwidth_bits_per_s: Option<u64>,
}

impl Default for Cable {
    fn default() -> Self {
        Self {
            link: LinkState::Up,
            faults: Faults::default(),
            bandwidth_bits_per_s: None,
        }
    }
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the node to the switch.
    In,
    /// From the switch to the node.
    Out,
}

/// When the copies of a frame come out at the other end: none, one or two.
pub(super) type Arrivals = [Option<Instant>; 2];

/// A cable in use.
pub(super) struct CableState {
    pub(super) cable: Cable,
    directions: [Direction; 2],
}

#[derive(Default)]
struct Direction {
    faults: Option<FaultSource>,
    /// When the last frame has passed a slow cable.
    free_at: Option<Instant>,
}

impl CableState {
    pub(super) fn new(cable: Cable) -> Self {
        let direction = |number: u64| {
            let seed = cable.faults.seed.wrapping_add(number * SEED_STEP);
            let faults = Faults {
                seed,
                ..cable.faults
            };
            let is_good = cable.faults == Faults::default();
            Direction {
                faults: (!is_good).then(|| FaultSource::new(faults)),
                free_at: None,
            }
        };
        Self {
            cable,
            directions: [direction(0), direction(1)],
        }
    }

    /// When a frame that enters now arrives.
    pub(super) fn carry(&mut self, way: Way, frame_bytes: usize, now: Instant) -> Arrivals {
        let direction = match way {
            Way::In => &mut self.directions[0],
            Way::Out => &mut self.directions[1],
        };
        let Some(passed) = direction.pass(self.cable.bandwidth_bits_per_s, frame_bytes, now) else {
            return [None; 2];
        };
        let fate = direction
            .faults
            .as_mut()
            .map_or(Fate::Pass, FaultSource::draw);
        match fate {
            Fate::Pass => [Some(passed), None],
            Fate::Lose => [None; 2],
            Fate::Duplicate => [Some(passed); 2],
            Fate::Delay(delay) => [Some(passed + delay), None],
        }
    }
}

impl Direction {
    /// When a frame has passed at this bandwidth, unless too many wait.
    fn pass(
        &mut self,
        bandwidth: Option<u64>,
        frame_bytes: usize,
        now: Instant,
    ) -> Option<Instant> {
        let Some(bits_per_s) = bandwidth else {
            return Some(now);
        };
        let begins = self.free_at.map_or(now, |free_at| free_at.max(now));
        if begins.saturating_duration_since(now) > WAIT_MAX {
            return None;
        }
        let nanos = (frame_bytes as u64 * 8).saturating_mul(1_000_000_000) / bits_per_s.max(1);
        let passed = begins + Duration::from_nanos(nanos);
        self.free_at = Some(passed);
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_cable_spaces_frames_and_drops_what_would_wait_long() {
        let now = Instant::now();
        let mut state = CableState::new(Cable {
            bandwidth_bits_per_s: Some(8_000_000),
            ..Cable::default()
        });
        let mut carry = |way| state.carry(way, 1000, now)[0];
        assert_eq!(carry(Way::In), Some(now + Duration::from_millis(1)));
        assert_eq!(carry(Way::In), Some(now + Duration::from_millis(2)));
        // The other direction is one of its own.
        assert_eq!(carry(Way::Out), Some(now + Duration::from_millis(1)));
        let more = (0..1000).filter(|_| carry(Way::In).is_some()).count();
        assert_eq!(more, 249);
    }

    #[test]
    fn a_long_cable_delays_every_frame_and_a_good_one_none() {
        let now = Instant::now();
        let delay = Duration::from_millis(40);
        let faults = Faults {
            delay_per_mille: 1000,
            delay,
            ..Faults::default()
        };
        let mut long = CableState::new(Cable {
            faults,
            ..Cable::default()
        });
        let mut good = CableState::new(Cable::default());
        for _ in 0..100 {
            assert_eq!(long.carry(Way::Out, 60, now), [Some(now + delay), None]);
            assert_eq!(good.carry(Way::Out, 60, now), [Some(now), None]);
        }
    }
}
