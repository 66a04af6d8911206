//! How guests are compiled: by the user's own Rust where it has the target's standard library, or
//! by Debian's packages, which build that library from source.
//!
//! `rustup target add` comes first. Where it is refused (no rustup, no network to its server)
//! Debian's packages serve ([`super::debian`]). Each target is looked for, and installed, only
//! when something is compiled for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::{self, Debian};
use super::install;
use super::{NO_INSTALL, WASM_TOOLCHAIN};
use crate::process::{output, run, say, shown};
use crate::{paths, process};

/// What guests are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasmTarget {
    /// The native ABI, by the SDK.
    Sos,
    /// WASI preview 1, by the standard library.
    Wasi,
}

impl WasmTarget {
    /// The compiler's name for it.
    pub fn triple(self) -> &'static str {
        match self {
            WasmTarget::Sos => "wasm32-unknown-unknown",
            WasmTarget::Wasi => "wasm32-wasip1",
        }
    }
}

/// How guests are compiled for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasmToolchain {
    /// What it compiles for.
    pub target: WasmTarget,
    compiler: Compiler,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Compiler {
    /// The user's Rust; its standard library for the target is there.
    Rustup,
    /// Debian's packages.
    Debian(Debian),
}

/// Which of them the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first that works.
    Any,
    /// Only the user's Rust.
    Rustup,
    /// Only Debian's packages.
    Debian,
}

impl Choice {
    /// Reads [`WASM_TOOLCHAIN`].
    pub fn read() -> Result<Choice> {
        Choice::parse(std::env::var(WASM_TOOLCHAIN).ok().as_deref())
    }

    fn parse(value: Option<&str>) -> Result<Choice> {
        match value {
            None | Some("") => Ok(Choice::Any),
            Some("rustup") => Ok(Choice::Rustup),
            Some("debian") => Ok(Choice::Debian),
            Some(other) => bail!("{WASM_TOOLCHAIN} is `{other}`: use `rustup` or `debian`"),
        }
    }
}

impl WasmToolchain {
    fn rustup(target: WasmTarget) -> WasmToolchain {
        let compiler = Compiler::Rustup;
        WasmToolchain { target, compiler }
    }

    /// A name for folders: what each builds must not mix.
    pub fn name(&self) -> &'static str {
        match self.compiler {
            Compiler::Rustup => "rustup",
            Compiler::Debian(_) => "debian",
        }
    }

    /// Whether `cargo clippy` is there; Debian's packages have none.
    pub fn has_clippy(&self) -> bool {
        self.compiler == Compiler::Rustup
    }

    /// The start of a `cargo SUBCOMMAND` for guests, free of the surrounding cargo.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = match &self.compiler {
            Compiler::Rustup => {
                let mut command = process::clean_cargo("cargo", &[]);
                command.arg(subcommand);
                command
            }
            Compiler::Debian(debian) => debian.cargo(subcommand, self.target),
        };
        command.args(["--target", self.target.triple()]);
        command
    }
}

impl std::fmt::Display for WasmToolchain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let triple = self.target.triple();
        match &self.compiler {
            Compiler::Rustup => write!(formatter, "the Rust in PATH, target {triple}"),
            Compiler::Debian(debian) => write!(formatter, "{debian}, target {triple}"),
        }
    }
}

/// What is there already; the fallback only where the normal way was tried once and failed.
pub fn find(target: WasmTarget, choice: Choice) -> Option<WasmToolchain> {
    match choice {
        Choice::Any => {
            find_rustup(target).or_else(|| fell_back(target).then(|| find_debian(target))?)
        }
        Choice::Rustup => find_rustup(target),
        Choice::Debian => find_debian(target),
    }
}

/// What is there, installed where it was missing.
pub fn ensure(target: WasmTarget) -> Result<WasmToolchain> {
    let choice = Choice::read()?;
    let normal = match choice {
        Choice::Debian => None,
        Choice::Any | Choice::Rustup => match find_rustup(target) {
            Some(found) => return Ok(found),
            None => Some(add_target(target)),
        },
    };
    match normal {
        Some(Ok(found)) => return Ok(found),
        Some(Err(error)) if choice == Choice::Rustup => return Err(error),
        Some(Err(error)) => say(format!("{error:#}")),
        None => {}
    }
    let debian = debian::ensure(target)?;
    say(format!("compiling for {} with {debian}", target.triple()));
    // The next call need not try the normal way again.
    std::fs::write(fallback_mark(target)?, "").context("remember the compiler of guests")?;
    let compiler = Compiler::Debian(debian);
    Ok(WasmToolchain { target, compiler })
}

fn fell_back(target: WasmTarget) -> bool {
    fallback_mark(target).is_ok_and(|mark| mark.is_file())
}

fn fallback_mark(target: WasmTarget) -> Result<PathBuf> {
    Ok(paths::cache()?.join(format!("fallback-{}", target.triple())))
}

/// The user's Rust, if its standard library for the target is there.
fn find_rustup(target: WasmTarget) -> Option<WasmToolchain> {
    let libraries = sysroot(Path::new("rustc"))?
        .join("lib/rustlib")
        .join(target.triple())
        .join("lib");
    let mut files = libraries.read_dir().ok()?.flatten();
    files
        .any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
        .then_some(WasmToolchain::rustup(target))
}

fn find_debian(target: WasmTarget) -> Option<WasmToolchain> {
    let compiler = Compiler::Debian(Debian::find(target)?);
    Some(WasmToolchain { target, compiler })
}

fn add_target(target: WasmTarget) -> Result<WasmToolchain> {
    let triple = target.triple();
    if paths::program("rustup").is_none() {
        bail!("rustup is not there to add the target {triple}");
    }
    let mut command = Command::new("rustup");
    command
        .args(["target", "add", triple])
        .current_dir(paths::workspace()?);
    let typed = shown(&command);
    if install::forbidden() {
        bail!(
            "the Rust target {triple} is missing and {NO_INSTALL} forbids installing: run `{typed}`"
        );
    }
    say(format!("adding the Rust target for guests: {typed}"));
    run(command.stdout(std::io::stderr()))?;
    find_rustup(target).with_context(|| format!("`{typed}` did not bring the target's library"))
}

/// A linker for WebAssembly that the user's Rust or the system brought.
pub fn linker() -> Option<PathBuf> {
    rust_lld().or_else(|| paths::program("wasm-ld"))
}

/// The linker inside the user's Rust, which serves ELF and WebAssembly alike.
pub fn rust_lld() -> Option<PathBuf> {
    let rustlib = sysroot(Path::new("rustc"))?.join("lib/rustlib");
    let folders = rustlib.read_dir().ok()?.flatten();
    folders
        .map(|folder| folder.path().join("bin/rust-lld"))
        .find(|file| paths::is_executable(file))
}

/// Where a compiler keeps its libraries; the workspace's toolchain where `rustc` is rustup's.
pub fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let mut command = Command::new(rustc);
    command
        .args(["--print", "sysroot"])
        .current_dir(paths::workspace().ok()?);
    let printed = output(&mut command).ok()?;
    Some(PathBuf::from(printed.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_may_choose_and_a_typing_error_is_named() {
        assert_eq!(Choice::parse(None).unwrap(), Choice::Any);
        assert_eq!(Choice::parse(Some("debian")).unwrap(), Choice::Debian);
        let error = Choice::parse(Some("nix")).unwrap_err().to_string();
        assert!(
            error.contains("`nix`") && error.contains("`rustup`"),
            "{error}"
        );
    }

    #[test]
    fn each_target_is_named_to_cargo() {
        for target in [WasmTarget::Sos, WasmTarget::Wasi] {
            let typed = shown(&WasmToolchain::rustup(target).cargo("build"));
            let expected = format!("cargo build --target {}", target.triple());
            assert_eq!(typed, expected);
        }
    }
}
