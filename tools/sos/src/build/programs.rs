//! The WASI programs of `tests/programs`, and the same programs for this machine, whose output is
//! what the former must print.
//!
//! A Rust workspace of its own beside some C files; each target has its own folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::run_cargo;
use crate::lock::ProcessLock;
use crate::setup::{self, WasmTarget};
use crate::{paths, process};

const FOLDER: &str = "tests/programs";
/// Rust programs with C sources inside, which clang compiles.
const WITH_C: [&str; 1] = ["sqlite"];
/// Flags of every C program.
const C_FLAGS: [&str; 2] = ["-O2", "-Wall"];

/// What a WASI program is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// A test: quick to build.
    Test,
    /// The bench: quick to run.
    Bench,
}

impl Haste {
    fn profile(self) -> &'static str {
        match self {
            Haste::Test => "program",
            Haste::Bench => "program-fast",
        }
    }
}

/// The profile of programs for this machine.
const HOST_PROFILE: &str = "expected";

/// Builds Rust programs for WASI and returns their module files in the same order.
pub fn wasi_programs(names: &[&str], haste: Haste) -> Result<Vec<PathBuf>> {
    let toolchain = setup::ensure_wasm(WasmTarget::Wasi)?;
    let mut command = toolchain.cargo("build");
    if names.iter().any(|name| WITH_C.contains(name)) {
        setup::ensure_clang()?.serve_cargo(&mut command);
    }
    let folder = folder(&format!("wasi-{}", toolchain.name()))?;
    let files = folder.join(toolchain.target.triple());
    build(command, names, haste.profile(), &folder)?;
    let files = files.join(haste.profile());
    let file = |name: &&str| files.join(format!("{name}.wasm"));
    Ok(names.iter().map(file).collect())
}

/// Builds Rust programs for this machine and returns their files in the same order.
pub fn host_programs(names: &[&str]) -> Result<Vec<PathBuf>> {
    let folder = folder("host")?;
    let mut command = process::clean_cargo("cargo", &[]);
    command.arg("build");
    build(command, names, HOST_PROFILE, &folder)?;
    let files = folder.join(HOST_PROFILE);
    Ok(names.iter().map(|name| files.join(name)).collect())
}

/// Builds a C program for WASI and returns its module file.
pub fn wasi_c_program(name: &str) -> Result<PathBuf> {
    let clang = setup::ensure_clang()?;
    let output = folder("wasi-c")?.join(format!("{name}.wasm"));
    once(name, &output, |source, output| {
        clang.program(&[source.to_path_buf()], &C_FLAGS, output)
    })
}

/// Builds a C program for this machine by its `cc` and returns its file.
pub fn host_c_program(name: &str) -> Result<PathBuf> {
    let output = folder("host-c")?.join(name);
    once(name, &output, |source, output| {
        let mut command = Command::new("cc");
        command
            .args(C_FLAGS)
            .arg(source)
            .arg("-o")
            .arg(output)
            .arg("-lm");
        process::run(&mut command)
    })
}

fn build(mut command: Command, names: &[&str], profile: &str, folder: &Path) -> Result<()> {
    command
        .args(["--locked", "--profile", profile, "--target-dir"])
        .arg(folder)
        .current_dir(paths::workspace()?.join(FOLDER));
    for name in names {
        command.args(["--package", name]);
    }
    run_cargo(&mut command).with_context(|| format!("build the programs {}", names.join(", ")))
}

/// The folder for what is built for one kind of machine; it is made here.
fn folder(kind: &str) -> Result<PathBuf> {
    let folder = paths::target()?.join("programs").join(kind);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(folder)
}

/// Builds a C program unless its file is newer than its source.
fn once(
    name: &str,
    output: &Path,
    build: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let source = paths::workspace()?
        .join(FOLDER)
        .join("c")
        .join(format!("{name}.c"));
    if !source.is_file() {
        bail!("no C program `{name}`: {} is missing", source.display());
    }
    let _lock = ProcessLock::acquire("programs-c")?;
    if !is_newer(output, &source) {
        // Renamed when complete: another process may be reading the old one.
        let partial = output.with_extension("partial");
        build(&source, &partial)?;
        std::fs::rename(&partial, output)
            .with_context(|| format!("rename {}", partial.display()))?;
    }
    Ok(output.to_path_buf())
}

fn is_newer(output: &Path, source: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    matches!((changed(output), changed(source)), (Some(output), Some(source)) if output > source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_c_program_that_is_not_there_is_named() {
        let error = host_c_program("no-such-program").unwrap_err().to_string();
        assert!(error.contains("no-such-program.c is missing"), "{error}");
    }
}
