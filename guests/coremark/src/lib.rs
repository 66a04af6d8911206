//! A processor kernel in the manner of CoreMark, written for SOS: the same four kinds of work
//! (linked lists, matrices, a state machine, cyclic redundancy checks), none of its text. Its
//! figures compare one system with another on this program; they are not CoreMark scores.
//!
//! [`run`] is all that the guest, the bench's Linux peer and the tests call.

mod crc;
mod list;
mod matrix;
mod state;

use crc::Crc16;
use list::List;
use matrix::Matrices;

/// Does the work `iterations` times and returns a checksum of every result on the way.
pub fn run(iterations: u32) -> u32 {
    let mut list = List::new(0x3415);
    let mut matrices = Matrices::new(0x66);
    let mut text = state::sample_text();
    let mut crc = Crc16::default();
    for iteration in 0..iterations {
        let seed = iteration as u16;
        crc.add(list.exercise(seed));
        crc.add(matrices.exercise(seed));
        crc.add(state::exercise(&mut text, seed));
    }
    u32::from(crc.value()) << 16 | u32::from(list.exercise(0))
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn the_checksum_depends_on_every_iteration_and_repeats() {
        assert_eq!(run(10), run(10));
        assert_ne!(run(10), run(11));
        assert_ne!(run(0), run(1));
    }
}
