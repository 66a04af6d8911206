//! What the targets share. With `fuzzer`, `target!` makes a libFuzzer binary of a `Target`, whose body and whose way
//! to make other inputs lie in `tests/src/fuzz`, where the ordinary suite runs them too. With `oracle`, a run of random
//! modules is compared with another engine.

#[cfg(feature = "fuzzer")]
mod fuzzer;
#[cfg(feature = "oracle")]
pub mod oracle;

#[cfg(feature = "fuzzer")]
pub use fuzzer::mutate;
#[cfg(feature = "fuzzer")]
pub use libfuzzer_sys;
