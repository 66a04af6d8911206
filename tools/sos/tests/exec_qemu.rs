//! `sos exec` on machines in QEMU: one for one program, and one that stays.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\06\00\00\00")
  (data (i32.const 16) "hello\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 7))))"#;

const SPIN: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))"#;

fn exec(runtime: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sos"))
        .arg("exec")
        .args(arguments)
        .env("XDG_RUNTIME_DIR", runtime)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_program_runs_on_a_machine_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hello.wat");
    fs::write(&file, HELLO).unwrap();
    let output = exec(folder.path(), &["--timeout", "60", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert_eq!(output.stdout, b"hello\n");
}

#[test]
fn a_node_that_stays_runs_one_program_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let (hello, spin) = (
        folder.path().join("hello.wat"),
        folder.path().join("spin.wat"),
    );
    fs::write(&hello, HELLO).unwrap();
    fs::write(&spin, SPIN).unwrap();
    let (hello, spin) = (hello.to_str().unwrap(), spin.to_str().unwrap());
    for _ in 0..2 {
        let output = exec(folder.path(), &["--keep=test", hello]);
        assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
        assert_eq!(output.stdout, b"hello\n");
    }
    let output = exec(folder.path(), &["--keep=test", "--timeout", "1", spin]);
    assert_eq!(output.status.code(), Some(124), "{}", text(&output.stderr));
    assert_eq!(exec(folder.path(), &["--list"]).stdout, b"test\n");
    let output = exec(folder.path(), &["--stop=test"]);
    assert!(text(&output.stderr).contains("node test ended"));
    assert_eq!(exec(folder.path(), &["--list"]).stdout, b"");
}
