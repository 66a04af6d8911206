//! Finds what SOS needs and installs what is missing: QEMU and a way to compile WebAssembly; a C
//! compiler for WASI and the target of WASI programs only when something is compiled with them.
//!
//! `qemu`, `wasm` and `clang` each look first and act only then; `debian` and `wasi_libc` are what
//! the latter two find in distributions, `install` speaks to the system's package manager. All of
//! it says what it does, in plain lines on standard error, and nothing when all is
//! there. `SOS_NO_INSTALL=1` forbids installing: then the error says exactly what to install.

mod clang;
mod debian;
mod install;
mod qemu;
mod wasi_libc;
mod wasm;

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Result;

use crate::lock::ProcessLock;

pub use clang::Clang;
pub use qemu::QEMU;
pub use wasm::{WasmTarget, WasmToolchain, rust_lld};

/// The variable that forbids installing.
pub const NO_INSTALL: &str = "SOS_NO_INSTALL";
/// The variable that fixes how WebAssembly is compiled: `rustup` or `debian`.
pub const WASM_TOOLCHAIN: &str = "SOS_WASM_TOOLCHAIN";

/// What was found.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The program `qemu-system-x86_64`.
    pub qemu: PathBuf,
    /// How guests of the native ABI are compiled.
    pub wasm: WasmToolchain,
}

/// Makes sure that all is there; instant from the second call on.
pub fn ensure() -> Result<&'static Tools> {
    static TOOLS: OnceLock<Tools> = OnceLock::new();
    if let Some(tools) = TOOLS.get() {
        return Ok(tools);
    }
    let tools = match find()? {
        Some(tools) => tools,
        None => {
            // Only one process installs; the others find what it installed.
            let _lock = ProcessLock::acquire("setup")?;
            Tools {
                qemu: qemu::ensure()?,
                wasm: wasm::ensure(WasmTarget::Sos)?,
            }
        }
    };
    Ok(TOOLS.get_or_init(|| tools))
}

/// Makes sure that QEMU is there, for those who bring an image of their own.
pub fn ensure_qemu() -> Result<PathBuf> {
    if let Some(found) = qemu::find() {
        return Ok(found);
    }
    let _lock = ProcessLock::acquire("setup")?;
    qemu::ensure()
}

/// Makes sure that guests can be compiled for `target`.
pub fn ensure_wasm(target: WasmTarget) -> Result<WasmToolchain> {
    if let Some(found) = wasm::find(target, wasm::Choice::read()?) {
        return Ok(found);
    }
    let _lock = ProcessLock::acquire("setup")?;
    wasm::ensure(target)
}

/// Makes sure that C can be compiled for WASI.
pub fn ensure_clang() -> Result<Clang> {
    if let Some(found) = clang::find() {
        return Ok(found);
    }
    let _lock = ProcessLock::acquire("setup")?;
    clang::ensure()
}

/// What is there without installing anything; nothing if a part is missing.
fn find() -> Result<Option<Tools>> {
    let choice = wasm::Choice::read()?;
    Ok(qemu::find().and_then(|qemu| {
        Some(Tools {
            qemu,
            wasm: wasm::find(WasmTarget::Sos, choice)?,
        })
    }))
}
