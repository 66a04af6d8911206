//! The kernel binary: the host's triple with the prebuilt `core`, linked by `rust-lld` (D11).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::run_cargo;
use crate::{paths, process, setup};

/// Package and program.
const PACKAGE: &str = "sos-kernel";
/// Its target: what the user's Rust has a standard library for on an x86_64 PC.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Its profile.
const PROFILE: &str = "kernel";

/// How the compiler lays out what is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Usual,
    /// The fields of every type that does not ask for an order are in another one.
    Shuffled,
}

/// Builds the kernel and returns its ELF file.
pub fn kernel() -> Result<PathBuf> {
    build("kernel", Layout::Usual)
}

/// Builds a kernel for tests that has the fields of nearly every type in another order, and returns its ELF file: what
/// nodes of different builds say to each other must not depend on how either keeps it.
pub fn shuffled_kernel() -> Result<PathBuf> {
    build("kernel-shuffled", Layout::Shuffled)
}

fn build(folder: &str, layout: Layout) -> Result<PathBuf> {
    let folder = paths::target()?.join(folder);
    let mut command = cargo("build", &folder, layout)?;
    command.args(["--profile", PROFILE]);
    run_cargo(&mut command).context("build the kernel")?;
    Ok(folder.join(TARGET).join(PROFILE).join(PACKAGE))
}

/// The kernel's ELF file, built only when one of its sources is newer than the last time: cargo takes
/// half a second to find that out, the look here a millisecond.
pub fn current_kernel() -> Result<PathBuf> {
    let elf = paths::target()?
        .join("kernel")
        .join(TARGET)
        .join(PROFILE)
        .join(PACKAGE);
    let finding = paths::cache()?.join("kernel.built");
    let before = fingerprint()?;
    if elf.is_file() && std::fs::read_to_string(&finding).is_ok_and(|kept| kept == before) {
        return Ok(elf);
    }
    let built = kernel()?;
    // Of the sources as they were before the build: a change meanwhile is seen the next time.
    std::fs::write(&finding, before).context("keep what the kernel was built from")?;
    Ok(built)
}

/// What the kernel is built from and by: names, sizes and times of change.
fn fingerprint() -> Result<String> {
    let root = paths::workspace()?;
    let mut sum = Sha256::new();
    for part in [
        "kernel",
        "sos-abi",
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
    ] {
        add_to_fingerprint(&root.join(part), &mut sum)?;
    }
    add_to_fingerprint(
        &std::env::current_exe().context("find this program")?,
        &mut sum,
    )?;
    Ok(sum
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn add_to_fingerprint(path: &Path, sum: &mut Sha256) -> Result<()> {
    let context = || format!("look at {}", path.display());
    let data = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        data => data.with_context(context)?,
    };
    if data.is_dir() {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).with_context(context)? {
            entries.push(entry.with_context(context)?.path());
        }
        entries.sort();
        return entries
            .iter()
            .try_for_each(|entry| add_to_fingerprint(entry, sum));
    }
    let changed = data.modified().with_context(context)?;
    let changed = changed
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    sum.update(path.as_os_str().as_encoded_bytes());
    sum.update(data.len().to_le_bytes());
    sum.update(changed.as_nanos().to_le_bytes());
    Ok(())
}

/// Lints the kernel as the freestanding program that it is.
pub fn lint_kernel() -> Result<()> {
    let mut command = cargo("clippy", &paths::target()?.join("kernel"), Layout::Usual)?;
    command.args(["--profile", PROFILE, "--", "--deny", "warnings"]);
    run_cargo(&mut command).context("lint the kernel")
}

/// A `cargo SUBCOMMAND` for the kernel, with its own flags alone.
fn cargo(subcommand: &str, target_folder: &Path, layout: Layout) -> Result<std::process::Command> {
    let linker = setup::rust_lld().context(
        "find rust-lld, which links the kernel: install Rust by rustup, it is part of the toolchain",
    )?;
    let mut flags = kernel_flags(&linker);
    if layout == Layout::Shuffled {
        flags.extend(["-Zrandomize-layout", "-Zlayout-seed=5"].map(str::to_string));
    }
    let mut command = process::clean_cargo("cargo", &flags);
    if layout == Layout::Shuffled {
        // The compiler that is here has the option, and gives it only to who asks so.
        command.env("RUSTC_BOOTSTRAP", "1");
    }
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
        // What nodes say to each other is sealed with ChaCha20 in plain words: QEMU's emulation takes each
        // operation on vectors through memory. Measured with QEMU 7.2: 97 MB/s with Poly1305, and 49 with SSE2.
        "--cfg=chacha20_force_soft".to_string(),
    ]
}
