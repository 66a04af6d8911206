//! How C is compiled for WASI: clang, wasi-libc and clang's runtime for wasm32.
//!
//! [`Clang`] compiles and links a program by itself, or tells cargo how C sources inside crates are
//! compiled (the variables that the crate `cc` reads). Installed only when C is to be compiled.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::ensure_linker;
use super::install::{self, Manager};
use super::wasi_libc::{self, WasiLibc};
use super::wasm::{self, WasmTarget};
use crate::paths;
use crate::process::{output, run};

const CLANG: &str = "clang";
/// The oldest name of the target that every clang knows.
const CLANG_TARGET: &str = "--target=wasm32-wasi";
/// What 128-bit numbers and the like need beyond instructions.
const RUNTIME_PACKAGE: &str = "libclang-rt-dev-wasm32";
const PACKAGES: [&str; 3] = [CLANG, wasi_libc::PACKAGE, RUNTIME_PACKAGE];

/// A C compiler for WASI with its library and linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clang {
    compiler: PathBuf,
    linker: PathBuf,
    libc: WasiLibc,
    runtime: PathBuf,
}

/// What is there already.
pub fn find() -> Option<Clang> {
    let compiler = paths::program(CLANG)?;
    Some(Clang {
        runtime: runtime_of(&compiler)?,
        compiler,
        linker: wasm::linker()?,
        libc: WasiLibc::find()?,
    })
}

/// What is there, installed where it was missing.
pub fn ensure() -> Result<Clang> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if Manager::find() != Some(Manager::Apt) {
        bail!(
            "C for WASI needs clang, wasi-libc and clang's builtins for wasm32 (Debian: {}): \
             install what your distribution calls them",
            PACKAGES.join(", ")
        );
    }
    install::install(Manager::Apt, &PACKAGES, "a C compiler for WASI")?;
    ensure_linker()?;
    find().with_context(|| {
        format!(
            "{} are installed and do not work together",
            PACKAGES.join(", ")
        )
    })
}

impl fmt::Display for Clang {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}, linker {}, libc {}",
            self.compiler.display(),
            self.linker.display(),
            self.libc.libraries.display()
        )
    }
}

impl Clang {
    /// Flags of every compilation: the target and no headers but its own.
    fn flags(&self) -> Vec<String> {
        vec![
            "-nostdlibinc".to_owned(),
            "-isystem".to_owned(),
            self.libc.headers.display().to_string(),
        ]
    }

    /// Compiles C sources with these further flags and links them to the program `output`.
    pub fn program(&self, sources: &[PathBuf], flags: &[&str], output: &Path) -> Result<()> {
        let objects = self.compile_all(sources, flags, output)?;
        let mut command = self.linker();
        command
            .arg(self.libc.start_object())
            .args(objects)
            .arg("-L")
            .arg(&self.libc.libraries)
            .arg("-lc");
        self.link(command, output)
    }

    /// Compiles C sources with these further flags and links them, without a C library, to the
    /// module `output`, whose entry point is their own `_start`.
    pub fn freestanding(&self, sources: &[PathBuf], flags: &[&str], output: &Path) -> Result<()> {
        let flags = [flags, &["-ffreestanding"]].concat();
        let objects = self.compile_all(sources, &flags, output)?;
        let mut command = self.linker();
        command
            .args(["--no-entry", "--export=_start"])
            .args(objects);
        self.link(command, output)
    }

    /// Compiles C sources with these further flags and links them, without a C library, to the
    /// library module `output`, which exports what the sources say.
    pub fn library(&self, sources: &[PathBuf], flags: &[&str], output: &Path) -> Result<()> {
        let flags = [flags, &["-ffreestanding"]].concat();
        let objects = self.compile_all(sources, &flags, output)?;
        let mut command = self.linker();
        command.arg("--no-entry").args(objects);
        self.link(command, output)
    }

    /// Compiles each source to an object beside `output`.
    fn compile_all(
        &self,
        sources: &[PathBuf],
        flags: &[&str],
        output: &Path,
    ) -> Result<Vec<PathBuf>> {
        let folder = output.with_extension("objects");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("make the folder {}", folder.display()))?;
        let mut objects = Vec::new();
        for source in sources {
            let name = source
                .file_stem()
                .with_context(|| format!("{} has no file name", source.display()))?;
            let object = folder.join(name).with_extension("o");
            self.compile(source, flags, &object)?;
            objects.push(object);
        }
        Ok(objects)
    }

    fn compile(&self, source: &Path, flags: &[&str], object: &Path) -> Result<()> {
        let mut command = Command::new(&self.compiler);
        command
            .arg(CLANG_TARGET)
            .args(self.flags())
            .args(flags)
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(object);
        run(command.stdout(std::io::stderr()))
            .with_context(|| format!("compile {} for WASI", source.display()))
    }

    /// The linker is called by itself: clang would look for one of its own.
    fn linker(&self) -> Command {
        let mut command = Command::new(&self.linker);
        if self.linker.ends_with("rust-lld") {
            command.args(["-flavor", "wasm"]);
        }
        command
    }

    fn link(&self, mut command: Command, output: &Path) -> Result<()> {
        command.arg(&self.runtime).arg("-o").arg(output);
        run(command.stdout(std::io::stderr())).with_context(|| format!("link {}", output.display()))
    }

    /// Tells a cargo for [`WasmTarget::Wasi`] how C sources inside crates are compiled.
    pub fn serve_cargo(&self, cargo: &mut Command) {
        let triple = WasmTarget::Wasi.triple().replace('-', "_");
        cargo
            .env(format!("CC_{triple}"), &self.compiler)
            .env(format!("CFLAGS_{triple}"), self.flags().join(" "))
            .env(format!("AR_{triple}"), archiver());
    }
}

/// A maker of archives; WebAssembly's linker needs no index in them, so that any will do.
fn archiver() -> &'static str {
    match paths::program("llvm-ar") {
        Some(_) => "llvm-ar",
        None => "ar",
    }
}

/// clang's builtins for wasm32: under `lib/wasi` in Debian and old releases, under a folder of the
/// target's name in newer ones.
fn runtime_of(compiler: &Path) -> Option<PathBuf> {
    let printed = output(Command::new(compiler).arg("--print-resource-dir")).ok()?;
    runtime_under(&Path::new(printed.trim()).join("lib"))
}

fn runtime_under(libraries: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = libraries
        .read_dir()
        .ok()?
        .flatten()
        .map(|folder| folder.path())
        .filter(|folder| is_wasi_folder(folder))
        .flat_map(|folder| folder.read_dir())
        .flat_map(|files| files.flatten().map(|file| file.path()))
        .filter(|file| is_builtins(file))
        .collect();
    found.sort();
    found.into_iter().next()
}

fn is_wasi_folder(folder: &Path) -> bool {
    const FOLDERS: [&str; 4] = [
        "wasi",
        "wasm32-unknown-wasi",
        "wasm32-unknown-wasip1",
        "wasm32-wasi",
    ];
    FOLDERS.iter().any(|name| folder.ends_with(name))
}

fn is_builtins(file: &Path) -> bool {
    const FILES: [&str; 2] = ["libclang_rt.builtins-wasm32.a", "libclang_rt.builtins.a"];
    FILES.iter().any(|name| file.ends_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_found_where_old_and_new_clangs_keep_it() {
        for path in [
            "wasi/libclang_rt.builtins-wasm32.a",
            "wasm32-unknown-wasip1/libclang_rt.builtins.a",
        ] {
            let libraries = tempfile::tempdir().unwrap();
            let file = libraries.path().join(path);
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            assert_eq!(runtime_under(libraries.path()), None);
            std::fs::write(&file, "").unwrap();
            assert_eq!(runtime_under(libraries.path()), Some(file));
        }
    }

    #[test]
    fn cargo_is_told_the_compiler_of_this_target_alone() {
        let clang = Clang {
            compiler: "/usr/bin/clang".into(),
            linker: "/usr/bin/wasm-ld".into(),
            libc: WasiLibc {
                headers: "/usr/include/wasm32-wasi".into(),
                libraries: "/usr/lib/wasm32-wasi".into(),
            },
            runtime: "/usr/lib/builtins.a".into(),
        };
        let mut command = Command::new("cargo");
        clang.serve_cargo(&mut command);
        let variables: Vec<_> = command.get_envs().collect();
        let compiler = Some("/usr/bin/clang".as_ref());
        assert!(variables.contains(&("CC_wasm32_wasip1".as_ref(), compiler)));
        assert!(variables.iter().all(|(name, _)| {
            name.to_str()
                .is_some_and(|name| name.ends_with("_wasm32_wasip1"))
        }));
    }
}
