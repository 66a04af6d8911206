//! Two floating-point kernels: five bodies under gravity (multiplication, square root, division in
//! double precision) and a loop of roundings, which an engine without hardware rounding is slow at.
//!
//! [`run`] is all that the guest, the bench's Linux peer and the tests call. Every operation is one
//! that IEEE 754 rounds correctly, so the checksum is the same on every machine.

mod bodies;
mod rounding;

/// Steps of the planets for one step of the rounding loop.
const STEPS_PER_ITERATION: u32 = 100;

/// Does the work `iterations` times and returns a checksum of the results.
pub fn run(iterations: u32) -> u32 {
    let mut system = bodies::System::sun_and_giants();
    let mut sum = rounding::Sum::default();
    for iteration in 0..iterations {
        (0..STEPS_PER_ITERATION).for_each(|_| system.advance(0.01));
        sum.add_row(iteration);
    }
    fold(system.energy().to_bits()) ^ fold(sum.value().to_bits())
}

fn fold(bits: u64) -> u32 {
    (bits >> 32) as u32 ^ bits as u32
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn the_checksum_depends_on_every_iteration_and_repeats() {
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
