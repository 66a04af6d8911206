//! The kernel binary: the host's triple with the prebuilt `core`, linked by `rust-lld` (D11).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::run_cargo;
use crate::{paths, process, setup};

/// Package and program.
const PACKAGE: &str = "sos-kernel";
/// Its target: what the user's Rust has a standard library for on an x86_64 PC.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Its profile.
const PROFILE: &str = "kernel";

/// Builds the kernel and returns its ELF file.
pub fn kernel() -> Result<PathBuf> {
    let folder = paths::target()?.join("kernel");
    let mut command = cargo("build", &folder)?;
    command.args(["--profile", PROFILE]);
    run_cargo(&mut command).context("build the kernel")?;
    Ok(folder.join(TARGET).join(PROFILE).join(PACKAGE))
}

/// Lints the kernel as the freestanding program that it is.
pub fn lint_kernel() -> Result<()> {
    let mut command = cargo("clippy", &paths::target()?.join("kernel"))?;
    command.args(["--profile", PROFILE, "--", "--deny", "warnings"]);
    run_cargo(&mut command).context("lint the kernel")
}

/// A `cargo SUBCOMMAND` for the kernel, with its own flags alone.
fn cargo(subcommand: &str, target_folder: &Path) -> Result<std::process::Command> {
    let linker = setup::rust_lld().context(
        "find rust-lld, which links the kernel: install Rust by rustup, it is part of the toolchain",
    )?;
    let mut command = process::clean_cargo("cargo", &kernel_flags(&linker));
    command
        .args([
            subcommand,
            "--package",
            PACKAGE,
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target_folder)
        .current_dir(paths::workspace()?);
    Ok(command)
}

/// Flags for every crate of the kernel; the linker script comes from its build script.
fn kernel_flags(linker: &Path) -> Vec<String> {
    vec![
        format!("-Clinker={}", linker.display()),
        "-Clinker-flavor=ld.lld".to_string(),
        "-Crelocation-model=static".to_string(),
        // Each function on a cache line of its own. QEMU's emulation finds the code of an indirect
        // jump through a table that it indexes by bits of the address; so spread, wasmi's handlers
        // do not push each other out. Measured with QEMU 7.2: compute kernels take 0.90-0.95 of the
        // time, for 6 % more code.
        "-Cllvm-args=-align-all-functions=6".to_string(),
    ]
}
