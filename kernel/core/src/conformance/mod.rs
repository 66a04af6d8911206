//! The engine against the WebAssembly specification's own test scripts.
//!
//! [`Script`] is one file of the suite as plain data (the tests' `spec` module makes it from the
//! text); [`run`] carries it out, on the host and, by `test=spec`, inside the kernel. [`run_moving`] captures and
//! restores the calls meanwhile.

mod bundle;
mod runner;
mod script;

pub use bundle::{Bundle, BundleError, encode};
pub use runner::{Failure, Verdict, run, run_moving};
pub use script::{Action, Command, Execute, Expected, Lane, Nan, Script};
