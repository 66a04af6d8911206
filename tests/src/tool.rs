//! `cargo sos` as a program, as a person runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The tool's program, built once per test program, of the profile of the tests.
///
/// # Panics
/// When it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("this program's file");
        let folder = test.ancestors().nth(2).expect("target/PROFILE/deps");
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        command.args(["build", "--quiet", "--package", "sos", "--bin", "sos"]);
        command.current_dir(sos::paths::workspace().expect("the workspace"));
        if folder.ends_with("release") {
            command.arg("--release");
        }
        let status = command.status().expect("cargo");
        assert!(status.success(), "the tool does not build: {status}");
        folder.join("sos")
    })
}

/// Runs the tool to its end.
///
/// # Panics
/// When it does not start.
pub fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    let output = command.args(arguments).stdin(Stdio::null()).output();
    output.expect("the tool")
}

/// What the tool prints, which succeeds.
///
/// # Panics
/// When it does not.
pub fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the tool says on standard error, which fails.
///
/// # Panics
/// When it does not.
pub fn fails(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
