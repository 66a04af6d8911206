//! Random numbers from the kernel, fit for keys.

use crate::sys;

/// Fills `buffer` with random bytes.
///
/// # Panics
/// When there is no SOS kernel to ask: weak numbers would be worse than none.
pub fn fill(buffer: &mut [u8]) {
    let mut rest = buffer;
    while !rest.is_empty() {
        match sys::random(rest) {
            Ok(filled @ 1..) => rest = &mut rest[filled..],
            Ok(0) => panic!("the kernel gave no random bytes"),
            Err(error) => panic!("no random numbers: {error}"),
        }
    }
}

/// A random number.
///
/// # Panics
/// As [`fill`].
pub fn next_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A random number below `bound`, every one equally likely (rejection of the uneven rest).
///
/// # Panics
/// As [`fill`], and when `bound` is 0.
pub fn below(bound: u64) -> u64 {
    assert!(bound > 0, "no number is below 0");
    let uneven = (u64::MAX % bound + 1) % bound;
    loop {
        let number = next_u64();
        if number <= u64::MAX - uneven {
            return number % bound;
        }
    }
}
