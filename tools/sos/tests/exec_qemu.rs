//! `sos exec` on machines in QEMU: one for one program, and one that stays.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sos::build::{self, Haste};

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

#[test]
fn programs_that_come_at_once_have_their_turns_on_a_node_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (hello, spin) = (
        folder.path().join("hello.wat"),
        folder.path().join("spin.wat"),
    );
    fs::write(&hello, HELLO).unwrap();
    fs::write(&spin, SPIN).unwrap();
    let file = hello.to_str().unwrap();
    let options = ["--keep=turns", "--timeout", "3", spin.to_str().unwrap()];
    std::thread::scope(|scope| {
        // All of them find no node, and one of them boots it.
        let runs = [(); 3].map(|()| scope.spawn(|| exec(folder.path(), &["--keep=turns", file])));
        for run in runs {
            let output = run.join().unwrap();
            assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
            assert_eq!(output.stdout, b"hello\n");
        }
        // Who waits for long is told why.
        let first = scope.spawn(|| exec(folder.path(), &options));
        let second = scope.spawn(|| exec(folder.path(), &options));
        let outputs = [first, second].map(|run| run.join().unwrap());
        let told = |output: &&Output| text(&output.stderr).contains("another program");
        assert!(
            outputs
                .iter()
                .all(|output| output.status.code() == Some(124))
        );
        assert_eq!(outputs.iter().filter(told).count(), 1, "{outputs:?}");
    });
    exec(folder.path(), &["--stop=turns"]);
}

#[test]
fn a_database_is_made_on_a_machine_and_comes_back() {
    let module = build::wasi_programs(&["sqlite"], Haste::Test).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("data");
    fs::create_dir(&shared).unwrap();
    let directory = format!("{}::/data", shared.display());
    let file = module[0].to_str().unwrap();
    let options = ["--timeout", "120", "--dir", &directory, file];
    let output = exec(
        folder.path(),
        &[&options[..], &["/data/orders.db", "300"]].concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(
        printed.contains("300 purchases") && printed.contains("integrity ok"),
        "{printed}"
    );
    let database = fs::read(shared.join("orders.db")).unwrap();
    assert!(database.starts_with(b"SQLite format 3\0"));
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 1);
}

/// Asks the HTTP service once and returns its whole answer.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the tool listens");
    let message = format!("{request} HTTP/1.1\r\nConnection: close\r\n\r\n");
    stream.write_all(message.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_service_of_the_standard_library_is_reached_from_outside() {
    let module = build::wasi_programs(&["http-std"], Haste::Test).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sos"))
        .args(["exec", "--timeout", "120", "--listen", "127.0.0.1:0"])
        .arg(&module[0])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The port is told before the node boots; connections wait for the program behind it.
    let mut told = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    errors.read_line(&mut told).unwrap();
    let address = told
        .strip_prefix("sos: ")
        .and_then(|text| text.split_once(" leads"));
    let (address, _) = address.unwrap_or_else(|| panic!("{told}"));
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    printed.read_line(&mut line).unwrap();
    assert_eq!(line, "http-std: serving\n");
    assert!(ask(address, "GET /").ends_with("hello from std\n"));
    assert!(ask(address, "POST /stop").ends_with("stopping\n"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    printed.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "http-std: 2 requests\n");
}
