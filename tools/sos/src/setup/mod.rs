//! Finds what SOS needs and installs what is missing: QEMU and a way to compile WebAssembly.
//!
//! `qemu` and `wasm` each look first and act only then; `install` speaks to the system's package
//! manager. All of it says what it does, in plain lines on standard error, and nothing when all is
//! there. `SOS_NO_INSTALL=1` forbids installing: then the error says exactly what to install.

mod install;
mod qemu;
mod wasm;

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Result;

use crate::lock::ProcessLock;

pub use qemu::QEMU;
pub use wasm::{TARGET as WASM_TARGET, WasmToolchain, rust_lld};

/// The variable that forbids installing.
pub const NO_INSTALL: &str = "SOS_NO_INSTALL";
/// The variable that fixes how WebAssembly is compiled: `rustup` or `debian`.
pub const WASM_TOOLCHAIN: &str = "SOS_WASM_TOOLCHAIN";

/// What was found.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The program `qemu-system-x86_64`.
    pub qemu: PathBuf,
    /// How guests are compiled.
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
                wasm: wasm::ensure()?,
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

/// Makes sure that guests can be compiled, for those who do not run them.
pub fn ensure_wasm() -> Result<WasmToolchain> {
    if let Some(found) = wasm::find(wasm::Choice::read()?) {
        return Ok(found);
    }
    let _lock = ProcessLock::acquire("setup")?;
    wasm::ensure()
}

/// What is there without installing anything; nothing if a part is missing.
fn find() -> Result<Option<Tools>> {
    let choice = wasm::Choice::read()?;
    Ok(qemu::find().and_then(|qemu| {
        Some(Tools {
            qemu,
            wasm: wasm::find(choice)?,
        })
    }))
}
