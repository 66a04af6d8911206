//! How a target becomes a libFuzzer binary.

use libfuzzer_sys::fuzzer_mutate;
use sos_tests::fuzz::Target;

/// Makes the binary of a target.
#[macro_export]
macro_rules! target {
    ($target:expr) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $target.run(bytes));
        $crate::libfuzzer_sys::fuzz_mutator!(|data: &mut [u8],
                                              size: usize,
                                              most: usize,
                                              seed: u32| {
            $crate::mutate($target, data, size, most, seed)
        });
    };
}

/// Changes the first `size` bytes of `data` to another input of at most `most` bytes; returns its length. One in
/// four is libFuzzer's own change, which knows what the code compares with.
pub fn mutate(target: Target, data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    if seed.is_multiple_of(4) {
        return fuzzer_mutate(data, size, most);
    }
    let other = target.other(&data[..size], u64::from(seed));
    if other.is_empty() || other.len() > most.min(data.len()) {
        return fuzzer_mutate(data, size, most);
    }
    data[..other.len()].copy_from_slice(&other);
    other.len()
}
