//! Guests: WebAssembly programs of a Rust workspace.

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

/// Builds guests of a workspace in one call of cargo and returns their module files in the same
/// order.
pub fn guest_in(workspace: &Workspace, names: &[&str]) -> Result<Vec<PathBuf>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let programs: Vec<&Program> = names
        .iter()
        .map(|name| named(workspace, name))
        .collect::<Result<_>>()?;
    let toolchain = setup::ensure_wasm(WasmTarget::Sos)?;
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
    for program in &programs {
        command.args(["--package", &program.package, "--bin", &program.name]);
    }
    run_cargo(&mut command).with_context(|| format!("build guests {}", names.join(", ")))?;
    let files = folder.join(toolchain.target.triple()).join(profile);
    Ok(programs
        .iter()
        .map(|program| files.join(format!("{}.wasm", program.name)))
        .collect())
}

/// Lints every guest of SOS for its own target. Debian's packages have no Clippy: there the
/// compiler's own warnings must do.
pub fn lint_guests() -> Result<()> {
    let workspace = Workspace::of_sos()?;
    let toolchain = setup::ensure_wasm(WasmTarget::Sos)?;
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
    for program in workspace.guests() {
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
