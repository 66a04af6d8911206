//! Guests: WebAssembly programs of a Rust workspace.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::workspace::Program;
use super::{Workspace, run_cargo};
use crate::paths;
use crate::setup::{self, WasmTarget};

/// The profile of guests in the workspace of SOS; a project's guests have cargo's `release`.
const PROFILE: &str = "guest";

/// Builds guests of SOS by name and returns their module files in the same order.
pub fn guests<S: AsRef<str>>(names: &[S]) -> Result<Vec<PathBuf>> {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    guest_in(&Workspace::of_sos()?, &names)
}

/// Builds guests of a workspace, in one call of cargo for each target, and returns their module files
/// in the same order.
pub fn guest_in(workspace: &Workspace, names: &[&str]) -> Result<Vec<PathBuf>> {
    let programs: Vec<&Program> = names
        .iter()
        .map(|name| named(workspace, name))
        .collect::<Result<_>>()?;
    let mut folders = BTreeMap::new();
    for target in [WasmTarget::Sos, WasmTarget::Wasi] {
        let list = programs.iter().filter(|program| program.target == target);
        let list: Vec<&Program> = list.copied().collect();
        if !list.is_empty() {
            folders.insert(target.triple(), build(workspace, target, &list)?);
        }
    }
    Ok(programs
        .iter()
        .map(|program| folders[program.target.triple()].join(format!("{}.wasm", program.name)))
        .collect())
}

/// Builds programs of one target and returns the folder of their modules.
fn build(workspace: &Workspace, target: WasmTarget, programs: &[&Program]) -> Result<PathBuf> {
    let toolchain = setup::ensure_wasm(target)?;
    let profile = if workspace.is_sos() {
        PROFILE
    } else {
        "release"
    };
    // Two compilers must not take turns at one folder: each would rebuild everything.
    let folder = paths::target_of(&workspace.root)?
        .join("guests")
        .join(toolchain.name());
    let mut command = toolchain.cargo("build");
    command
        .args(["--profile", profile, "--target-dir"])
        .arg(&folder)
        .current_dir(&workspace.root);
    for program in programs {
        command.args(["--package", &program.package, "--bin", &program.name]);
    }
    let names: Vec<_> = programs.iter().map(|program| &program.name[..]).collect();
    run_cargo(&mut command).with_context(|| format!("build guests {}", names.join(", ")))?;
    Ok(folder.join(target.triple()).join(profile))
}

/// Lints every guest of SOS for its own target. Debian's packages have no Clippy: there the
/// compiler's own warnings must do.
pub fn lint_guests() -> Result<()> {
    let workspace = Workspace::of_sos()?;
    for target in [WasmTarget::Sos, WasmTarget::Wasi] {
        let programs = workspace.guests().filter(|guest| guest.target == target);
        lint(&workspace, target, programs)?;
    }
    Ok(())
}

fn lint<'a>(
    workspace: &Workspace,
    target: WasmTarget,
    programs: impl Iterator<Item = &'a Program>,
) -> Result<()> {
    let toolchain = setup::ensure_wasm(target)?;
    let folder = paths::target()?.join("guests").join(toolchain.name());
    let mut command = if toolchain.has_clippy() {
        toolchain.cargo("clippy")
    } else {
        let mut command = toolchain.cargo("check");
        command.env("CARGO_ENCODED_RUSTFLAGS", "-Dwarnings");
        command
    };
    command
        .args(["--profile", PROFILE, "--target-dir"])
        .arg(folder)
        .current_dir(&workspace.root);
    for program in programs {
        command.args(["--package", &program.package, "--bin", &program.name]);
    }
    if toolchain.has_clippy() {
        command.args(["--", "--deny", "warnings"]);
    }
    run_cargo(&mut command).context("lint the guests")
}

fn named<'a>(workspace: &'a Workspace, name: &str) -> Result<&'a Program> {
    match workspace.guest(name) {
        Some(program) => Ok(program),
        None => {
            let known: Vec<_> = workspace
                .guests()
                .map(|program| program.name.as_str())
                .collect();
            bail!(
                "no guest `{name}` in {}: choose from {}, or give the path of a .wasm file",
                workspace.root.display(),
                known.join(", ")
            )
        }
    }
}
