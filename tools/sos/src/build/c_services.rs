//! Services and libraries whose source a manifest names: one file in C, with `sdk/c/sos.h` at hand.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup::{Clang, ensure_clang};
use crate::{lock::ProcessLock, paths};

/// What a module's file ends with when it is such a source.
pub const C_SOURCE: &str = ".c";
/// The entry point of a service that does without a C library.
const OWN_ENTRY: &str = "_start(";
const FLAGS: [&str; 3] = ["-O2", "-Wall", "-Wextra"];

/// Compiles a C source, and returns the module's file. A source that defines `_start` is linked by
/// itself, any other as a program for WASI, with wasi-libc.
pub fn c_service(source: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(source)
        .with_context(|| format!("read the C source {}", source.display()))?;
    compile(source, |clang, sources, flags, output| {
        if text.contains(OWN_ENTRY) {
            clang.freestanding(sources, flags, output)
        } else {
            clang.program(sources, flags, output)
        }
    })
}

/// Compiles a C source to a library module without a C library, and returns the module's file. What it
/// exports, its own attributes say.
pub fn c_library(source: &Path) -> Result<PathBuf> {
    compile(source, Clang::library)
}

fn compile(
    source: &Path,
    build: impl FnOnce(&Clang, &[PathBuf], &[&str], &Path) -> Result<()>,
) -> Result<PathBuf> {
    let source = std::path::absolute(source).context("find the C source")?;
    if !source.is_file() {
        bail!("there is no C source {}", source.display());
    }
    let headers = paths::workspace()?.join("sdk/c");
    let include = format!("-I{}", headers.display());
    let flags = [&FLAGS[..], &[&include]].concat();
    let sources = [source.clone()];
    let output = output_of(&source)?;
    let clang = ensure_clang()?;
    // Two compilers must not write one file.
    let _lock = ProcessLock::acquire("c-services")?;
    build(&clang, &sources, &flags, &output)?;
    Ok(output)
}

/// Where the module goes: into a folder `target` beside the source, as cargo's do.
fn output_of(source: &Path) -> Result<PathBuf> {
    let name = source
        .file_stem()
        .with_context(|| format!("{} has no file name", source.display()))?;
    let folder = source.with_file_name("target").join("c");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(folder.join(name).with_extension("wasm"))
}
