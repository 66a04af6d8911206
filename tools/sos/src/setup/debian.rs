//! Debian's Rust for WebAssembly: the compiler, its cargo and the sources of the standard library,
//! which is built from them with each project.
//!
//! For WASI the C library comes from Debian too ([`WasiLibc`]); the user's Rust brings its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::install::{self, Manager};
use super::wasi_libc::{self, WasiLibc};
use super::wasm::{self, WasmTarget};
use crate::process::output;
use crate::{paths, process};

/// The compiler for the web, its cargo and the sources of the standard library.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// The packages' programs, called by their own paths: rustup's come first in `PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debian {
    cargo: PathBuf,
    rustc: PathBuf,
    /// A linker for WebAssembly: `rust-lld` of the user's Rust, or `wasm-ld`.
    linker: PathBuf,
    /// What WASI programs are linked with; there when they are compiled.
    libc: Option<WasiLibc>,
}

impl Debian {
    /// The packages, if all that `target` needs are there.
    pub fn find(target: WasmTarget) -> Option<Debian> {
        let rustc = packaged(PACKAGES[0], "rustc")?;
        let cargo = packaged(PACKAGES[1], "cargo")?;
        let sources = wasm::sysroot(&rustc)?.join("lib/rustlib/src/rust/library/std/Cargo.toml");
        sources.is_file().then_some(())?;
        let libc = match target {
            WasmTarget::Sos => None,
            WasmTarget::Wasi => Some(WasiLibc::find()?),
        };
        let linker = wasm::linker()?;
        Some(Debian {
            cargo,
            rustc,
            linker,
            libc,
        })
    }

    /// The start of a `cargo SUBCOMMAND` for `target`.
    pub fn cargo(&self, subcommand: &str, target: WasmTarget) -> Command {
        let mut command = process::clean_cargo(&self.cargo, &self.flags());
        let triple = target.triple().to_ascii_uppercase().replace('-', "_");
        command
            .env("RUSTC", &self.rustc)
            // Building the standard library is an unstable option of a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env(format!("CARGO_TARGET_{triple}_LINKER"), &self.linker)
            .args([subcommand, "-Zbuild-std=std,panic_abort"]);
        command
    }

    /// What the compiler must be told of Debian's C library, which lies outside its own folders.
    fn flags(&self) -> Vec<String> {
        let Some(libc) = &self.libc else {
            return Vec::new();
        };
        vec![
            "-Clink-self-contained=no".to_owned(),
            format!("-Lnative={}", libc.libraries.display()),
            format!("-Clink-arg={}", libc.start_object().display()),
        ]
    }
}

impl fmt::Display for Debian {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Debian's {} and {}, linker {}",
            self.cargo.display(),
            self.rustc.display(),
            self.linker.display()
        )
    }
}

/// The packages, installed where they were missing.
pub fn ensure(target: WasmTarget) -> Result<Debian> {
    if let Some(found) = Debian::find(target) {
        return Ok(found);
    }
    let triple = target.triple();
    if Manager::find() != Some(Manager::Apt) {
        bail!(
            "no way to compile WebAssembly: install rustup and run `rustup target add {triple}`, \
             or install your distribution's Rust standard library for {triple}"
        );
    }
    let mut packages = PACKAGES.to_vec();
    if target == WasmTarget::Wasi {
        packages.push(wasi_libc::PACKAGE);
    }
    install::install(Manager::Apt, &packages, "Debian's Rust for WebAssembly")?;
    ensure_linker()?;
    Debian::find(target).with_context(|| {
        format!(
            "{} are installed and do not work together",
            packages.join(", ")
        )
    })
}

/// Makes sure that something links WebAssembly.
pub fn ensure_linker() -> Result<PathBuf> {
    if let Some(found) = wasm::linker() {
        return Ok(found);
    }
    let Some(manager) = Manager::find() else {
        bail!("no linker for WebAssembly: install LLVM's lld, so that `wasm-ld` is in PATH");
    };
    install::install(manager, &["lld"], "a linker for WebAssembly (wasm-ld)")?;
    wasm::linker().context("lld is installed and `wasm-ld` is not in PATH: add its folder")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::shown;

    fn debian(libc: Option<WasiLibc>) -> Debian {
        Debian {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            linker: "/lib/rust-lld".into(),
            libc,
        }
    }

    fn variable<'a>(command: &'a Command, name: &str) -> Option<&'a str> {
        let mut variables = command.get_envs();
        variables.find(|(key, _)| *key == name)?.1?.to_str()
    }

    #[test]
    fn debian_is_called_by_its_own_paths() {
        let command = debian(None).cargo("build", WasmTarget::Sos);
        assert_eq!(command.get_program(), "/usr/bin/cargo");
        assert_eq!(variable(&command, "RUSTC"), Some("/usr/bin/rustc"));
        let linker = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER";
        assert_eq!(variable(&command, linker), Some("/lib/rust-lld"));
        assert!(shown(&command).contains("-Zbuild-std=std,panic_abort"));
    }

    #[test]
    fn a_wasi_program_is_linked_with_debians_c_library() {
        let libc = WasiLibc {
            headers: "/usr/include/wasm32-wasi".into(),
            libraries: "/usr/lib/wasm32-wasi".into(),
        };
        let command = debian(Some(libc)).cargo("build", WasmTarget::Wasi);
        let flags = variable(&command, "CARGO_ENCODED_RUSTFLAGS").unwrap();
        let expected = "-Clink-self-contained=no\x1f-Lnative=/usr/lib/wasm32-wasi\x1f\
                        -Clink-arg=/usr/lib/wasm32-wasi/crt1-command.o";
        assert_eq!(flags, expected);
    }
}
