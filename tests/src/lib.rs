//! What the tests share: [`sim`], the simulated machine and cluster; [`qemu`], real boots; and the
//! guests' modules.

pub mod qemu;
pub mod sim;
pub mod spec;

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

/// Compiles a Rust program for WASI.
///
/// # Panics
/// When it does not compile; the message is the compiler's.
pub fn wasi_program(name: &str, source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (
        folder.path().join("main.rs"),
        folder.path().join("out.wasm"),
    );
    std::fs::write(&input, source).expect("the source");
    let result = std::process::Command::new("rustc")
        .args(["--target", "wasm32-wasip1", "--edition", "2024", "-O"])
        .args(["-C", "strip=debuginfo", "--crate-name", name, "-o"])
        .args([&output, &input])
        .output()
        .expect("rustc");
    let errors = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{name}: {errors}");
    std::fs::read(&output).expect("the module")
}
