//! Seeded faults on the LAN: loss, duplication and delay of frames.
//!
//! Tests set them with [`super::Lan::set_faults`]; the order of frames decides, not time.

use std::time::Duration;

/// Which faults the LAN adds to every frame that it forwards; rates are per thousand frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Frames lost, per thousand.
    pub loss_per_mille: u16,
    /// Frames sent twice, per thousand.
    pub duplicate_per_mille: u16,
    /// Frames held back, per thousand; they overtake nothing and are overtaken.
    pub delay_per_mille: u16,
    /// How long a held frame is held.
    pub delay: Duration,
    /// Seed of the choice.
    pub seed: u64,
}

/// What happens to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    Lose,
    Duplicate,
    Delay(Duration),
}

/// Draws a fate for each frame.
pub(super) struct FaultSource {
    faults: Faults,
    state: u64,
}

impl FaultSource {
    pub(super) fn new(faults: Faults) -> Self {
        Self {
            faults,
            state: faults.seed,
        }
    }

    /// Decides over the next frame.
    pub(super) fn draw(&mut self) -> Fate {
        let faults = self.faults;
        if self.chance(faults.loss_per_mille) {
            Fate::Lose
        } else if self.chance(faults.duplicate_per_mille) {
            Fate::Duplicate
        } else if self.chance(faults.delay_per_mille) {
            Fate::Delay(faults.delay)
        } else {
            Fate::Pass
        }
    }

    fn chance(&mut self, per_mille: u16) -> bool {
        per_mille != 0 && self.next() % 1000 < u64::from(per_mille)
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let faults = Faults {
            loss_per_mille: 100,
            duplicate_per_mille: 50,
            delay_per_mille: 50,
            delay: Duration::from_millis(3),
            seed: 7,
        };
        let draw = || {
            let mut source = FaultSource::new(faults);
            (0..1000).map(|_| source.draw()).collect::<Vec<_>>()
        };
        let fates = draw();
        assert_eq!(fates, draw());
        let lost = fates.iter().filter(|fate| **fate == Fate::Lose).count();
        assert!((50..200).contains(&lost), "{lost} of 1000 lost at 10 %");
        assert!(fates.contains(&Fate::Delay(faults.delay)) && fates.contains(&Fate::Duplicate));
    }

    #[test]
    fn no_faults_pass_everything() {
        let mut source = FaultSource::new(Faults::default());
        assert!((0..100).all(|_| source.draw() == Fate::Pass));
    }
}
