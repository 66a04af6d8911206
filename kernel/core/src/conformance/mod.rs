//! The engine against the WebAssembly specification's own test scripts.
//!
//! [`Script`] is one file of the suite as plain data (the tests' `spec` module makes it from the
//! text); [`run`] carries it out, on the host and, by `test=spec`, inside the kernel.

mod bundle;
mod runner;
mod script;

pub use bundle::{Bundle, BundleError, encode};
pub use runner::{Failure, Verdict, run};
pub use script::{Action, Command, Execute, Expected, Lane, Nan, Script};
