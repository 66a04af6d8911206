//! Builds the kernel and the guests, each for its own target in its own folder (D13).
//!
//! [`kernel`] and [`guests`] call cargo, which finds out by itself what is stale, and return the
//! files, as do [`c_service`] for a source in C, and [`wasi_programs`] and its kin for the programs
//! of `tests/programs`. [`Workspace`] is the Rust workspace around a manifest: that of SOS or a
//! user's project.

mod c_services;
mod guests;
mod kernel;
mod programs;
mod workspace;

pub use c_services::{C_SOURCE, c_library, c_service};
pub use guests::{guest_in, guests, lint_guests};
pub use kernel::{current_kernel, kernel, lint_kernel, shuffled_kernel};
pub use programs::{Haste, host_c_program, host_programs, wasi_c_program, wasi_programs};
pub use workspace::Workspace;

use std::process::Command;

use anyhow::Result;

use crate::process;

/// Runs cargo with its progress on standard error.
fn run_cargo(command: &mut Command) -> Result<()> {
    // Cargo reports on standard error; nothing of it may reach a pipe on standard output.
    process::run(
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::io::stderr()),
    )
}
