//! What the tests share: [`sim`], the simulated machine and cluster; [`qemu`], real boots; [`tool`], the
//! command line; [`fuzz`], what the fuzz targets run; [`heap`], which counts what simulated nodes allocate;
//! and the guests' modules.

pub mod fuzz;
pub mod heap;
pub mod programs;
pub mod qemu;
pub mod sim;
pub mod spec;
pub mod tool;

use sos::setup::WasmTarget;

/// The modules of guests of this workspace, built when needed.
///
/// # Panics
/// When they cannot be built; the message says what is missing.
pub fn guests<const COUNT: usize>(names: [&str; COUNT]) -> [Vec<u8>; COUNT] {
    let paths = sos::build::guests(&names).unwrap_or_else(|error| panic!("guests: {error:#}"));
    let mut modules = paths.iter().map(|path| {
        std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    std::array::from_fn(|_| modules.next().expect("a module for each guest"))
}

/// Compiles a Rust program for WASI, with the standard library alone.
///
/// # Panics
/// When it does not compile; the message is the compiler's.
pub fn wasi_program(name: &str, source: &str) -> Vec<u8> {
    let toolchain = sos::setup::ensure_wasm(WasmTarget::Wasi)
        .unwrap_or_else(|error| panic!("the compiler for WASI: {error:#}"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2021\"\n\
         [[bin]]\nname = \"{name}\"\npath = \"main.rs\"\n\
         [profile.release]\nstrip = true\n[workspace]\n"
    );
    std::fs::write(folder.path().join("Cargo.toml"), manifest).expect("the manifest");
    std::fs::write(folder.path().join("main.rs"), source).expect("the source");
    // One folder for all, so that a toolchain that builds the standard library does it once.
    let target = sos::paths::target().expect("the target folder");
    let target = target.join("wasi-tests").join(toolchain.name());
    let result = toolchain
        .cargo("build")
        .args(["--release", "--quiet", "--target-dir"])
        .arg(&target)
        .current_dir(folder.path())
        .output()
        .expect("cargo");
    let errors = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{name}: {errors}");
    let module = target.join(format!("wasm32-wasip1/release/{name}.wasm"));
    std::fs::read(&module).unwrap_or_else(|error| panic!("{}: {error}", module.display()))
}
