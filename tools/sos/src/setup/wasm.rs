//! How guests are compiled: by the user's own Rust where it has the target's standard library, or
//! by Debian's packages, which build that library from source.
//!
//! `rustup target add` comes first. Where it is refused (no rustup, no network to its server) the
//! packages `rustc-web`, `cargo-web` and `rust-web-src` serve; they carry the sources of `std`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::install::{self, Manager};
use super::{NO_INSTALL, WASM_TOOLCHAIN};
use crate::process::{output, run, say, shown};
use crate::{paths, process};

/// The target of all guests that use the native ABI.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's compiler for the web, its cargo and the sources of the standard library.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// How guests are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WasmToolchain {
    /// By the user's Rust; its standard library for the target is there.
    Rustup,
    /// By Debian's packages, called by their own paths: rustup's come first in `PATH`.
    Debian {
        /// The package's cargo.
        cargo: PathBuf,
        /// The package's compiler.
        rustc: PathBuf,
        /// A linker for WebAssembly: `rust-lld` of the user's Rust, or `wasm-ld`.
        linker: PathBuf,
    },
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
    /// A name for folders: what each builds must not mix.
    pub fn name(&self) -> &'static str {
        match self {
            WasmToolchain::Rustup => "rustup",
            WasmToolchain::Debian { .. } => "debian",
        }
    }

    /// The start of a `cargo SUBCOMMAND` for guests, free of the surrounding cargo.
    pub fn cargo(&self, subcommand: &str) -> Command {
        match self {
            WasmToolchain::Rustup => {
                let mut command = process::clean_cargo("cargo", &[]);
                command.args([subcommand, "--target", TARGET]);
                command
            }
            WasmToolchain::Debian {
                cargo,
                rustc,
                linker,
            } => {
                let mut command = process::clean_cargo(cargo, &[]);
                command
                    .env("RUSTC", rustc)
                    // Building the standard library is an unstable option of a stable compiler.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .args([
                        subcommand,
                        "-Zbuild-std=std,panic_abort",
                        "--target",
                        TARGET,
                    ]);
                command
            }
        }
    }
}

impl std::fmt::Display for WasmToolchain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WasmToolchain::Rustup => write!(formatter, "the Rust in PATH, target {TARGET}"),
            WasmToolchain::Debian {
                cargo,
                rustc,
                linker,
            } => write!(
                formatter,
                "Debian's {} and {}, linker {}",
                cargo.display(),
                rustc.display(),
                linker.display()
            ),
        }
    }
}

/// What is there already; the fallback only where the normal way was tried once and failed.
pub fn find(choice: Choice) -> Option<WasmToolchain> {
    match choice {
        Choice::Any => find_rustup().or_else(|| if fell_back() { find_debian() } else { None }),
        Choice::Rustup => find_rustup(),
        Choice::Debian => find_debian(),
    }
}

/// What is there, installed where it was missing.
pub fn ensure() -> Result<WasmToolchain> {
    let choice = Choice::read()?;
    let normal = match choice {
        Choice::Debian => None,
        Choice::Any | Choice::Rustup => match find_rustup() {
            Some(found) => return Ok(found),
            None => Some(add_target()),
        },
    };
    match normal {
        Some(Ok(found)) => return Ok(found),
        Some(Err(error)) if choice == Choice::Rustup => return Err(error),
        Some(Err(error)) => say(format!("{error:#}")),
        None => {}
    }
    if let Some(found) = find_debian() {
        return fall_back(found);
    }
    if Manager::find() != Some(Manager::Apt) {
        bail!(
            "no way to compile WebAssembly: install rustup and run `rustup target add {TARGET}`, \
             or install your distribution's Rust standard library for {TARGET}"
        );
    }
    install::install(
        Manager::Apt,
        &DEBIAN_PACKAGES,
        "Debian's Rust for WebAssembly",
    )?;
    if linker().is_none() {
        install::install(Manager::Apt, &["lld"], "a linker for WebAssembly (wasm-ld)")?;
    }
    fall_back(find_debian().with_context(|| {
        format!(
            "{} are installed and do not work together",
            DEBIAN_PACKAGES.join(", ")
        )
    })?)
}

/// Remembers that the normal way failed, so that the next call need not try it again.
fn fall_back(found: WasmToolchain) -> Result<WasmToolchain> {
    say(format!(
        "compiling guests with Debian's {}",
        DEBIAN_PACKAGES[0]
    ));
    std::fs::write(fallback_mark()?, "").context("remember the compiler of guests")?;
    Ok(found)
}

fn fell_back() -> bool {
    fallback_mark().is_ok_and(|mark| mark.is_file())
}

fn fallback_mark() -> Result<PathBuf> {
    Ok(paths::cache()?.join("wasm-fallback"))
}

/// The user's Rust, if its standard library for the target is there.
fn find_rustup() -> Option<WasmToolchain> {
    let libraries = sysroot(Path::new("rustc"))?
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib");
    let mut files = libraries.read_dir().ok()?.flatten();
    files
        .any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
        .then_some(WasmToolchain::Rustup)
}

fn add_target() -> Result<WasmToolchain> {
    if paths::program("rustup").is_none() {
        bail!("rustup is not there to add the target {TARGET}");
    }
    let mut command = Command::new("rustup");
    command
        .args(["target", "add", TARGET])
        .current_dir(paths::workspace()?);
    let typed = shown(&command);
    if install::forbidden() {
        bail!(
            "the Rust target {TARGET} is missing and {NO_INSTALL} forbids installing: run `{typed}`"
        );
    }
    say(format!("adding the Rust target for guests: {typed}"));
    run(command.stdout(std::io::stderr()))?;
    find_rustup().with_context(|| format!("`{typed}` did not bring the target's library"))
}

/// Debian's packages, if all of them and a linker are there.
fn find_debian() -> Option<WasmToolchain> {
    let rustc = packaged(DEBIAN_PACKAGES[0], "rustc")?;
    let cargo = packaged(DEBIAN_PACKAGES[1], "cargo")?;
    let sources = sysroot(&rustc)?.join("lib/rustlib/src/rust/library/std/Cargo.toml");
    sources.is_file().then_some(())?;
    Some(WasmToolchain::Debian {
        cargo,
        rustc,
        linker: linker()?,
    })
}

/// The program `name` that a Debian package brought.
fn packaged(package: &str, name: &str) -> Option<PathBuf> {
    let files = output(Command::new("dpkg").args(["-L", package])).ok()?;
    let wanted = format!("/bin/{name}");
    files
        .lines()
        .map(Path::new)
        .find(|file| is_program(file, &wanted))
        .map(Path::to_path_buf)
}

fn is_program(file: &Path, ending: &str) -> bool {
    file.to_str().is_some_and(|text| text.ends_with(ending)) && paths::is_executable(file)
}

/// A linker for WebAssembly that the user's Rust or the system brought.
fn linker() -> Option<PathBuf> {
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
fn sysroot(rustc: &Path) -> Option<PathBuf> {
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
    fn debian_is_called_by_its_own_paths() {
        let toolchain = WasmToolchain::Debian {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            linker: "/lib/rust-lld".into(),
        };
        let command = toolchain.cargo("build");
        assert_eq!(command.get_program(), "/usr/bin/cargo");
        let variables: Vec<_> = command.get_envs().collect();
        assert!(variables.contains(&("RUSTC".as_ref(), Some("/usr/bin/rustc".as_ref()))));
        assert!(shown(&command).contains("-Zbuild-std=std,panic_abort"));
    }
}
