//! `sos exec --hosted`: what a user sees of a program that runs without QEMU.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Imports that the programs below share, and a string writer.
const PRELUDE: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $write (param $fd i32) (param $at i32) (param $length i32)
    (loop $more
      (i32.store (i32.const 0) (local.get $at))
      (i32.store (i32.const 4) (local.get $length))
      (if (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
      (local.set $length (i32.sub (local.get $length) (i32.load (i32.const 8))))
      (br_if $more (local.get $length))))
  (func $read (param $fd i32) (result i32)
    (i32.store (i32.const 0) (i32.const 65536))
    (i32.store (i32.const 4) (i32.const 60000))
    (if (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
    (i32.load (i32.const 8)))
"#;

/// A folder with a program in text form.
struct Program {
    folder: TempDir,
    file: PathBuf,
}

impl Program {
    fn new(body: &str) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program.wat");
        fs::write(&file, format!("(module {PRELUDE} {body})")).unwrap();
        Program { folder, file }
    }

    fn run(&self, options: &[&str], arguments: &[&str], input: &[u8]) -> Output {
        let file = self.file.to_str().unwrap();
        exec(&[options, &[file], arguments].concat(), input)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn exec(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sos"))
        .args(["exec", "--hosted"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || {
        // A program that does not read its input to the end is no failure.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    output
}

fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What copies its input to its output.
const CAT: &str = r#"
  (func (export "_start") (local $length i32)
    (loop $more
      (local.set $length (call $read (i32.const 0)))
      (if (local.get $length) (then
        (call $write (i32.const 1) (i32.const 65536) (local.get $length))
        (br $more)))))
"#;

/// What prints a list of zero-ended texts.
const LISTS: &str = r#"
  (func (export "_start")
    (drop (call $args_sizes (i32.const 16) (i32.const 20)))
    (drop (call $args (i32.const 1024) (i32.const 4096)))
    (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 20)))
    (drop (call $env_sizes (i32.const 16) (i32.const 20)))
    (drop (call $env (i32.const 1024) (i32.const 4096)))
    (call $write (i32.const 2) (i32.const 4096) (i32.load (i32.const 20))))
"#;

#[test]
fn the_programs_status_is_the_tools() {
    let program = Program::new(
        r#"(data (i32.const 100) "hello\n")
           (func (export "_start")
             (call $write (i32.const 1) (i32.const 100) (i32.const 6))
             (call $exit (i32.const 42)))"#,
    );
    let output = program.run(&[], &[], b"");
    assert_eq!(output.status.code(), Some(42), "{}", error_text(&output));
    assert_eq!(output.stdout, b"hello\n");
    assert_eq!(error_text(&output), "");
}

#[test]
fn all_of_a_large_input_comes_back_in_order() {
    let program = Program::new(CAT);
    let input: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| (n as u16).to_le_bytes())
        .collect();
    let output = program.run(&[], &[], &input);
    assert_eq!(output.status.code(), Some(0), "{}", error_text(&output));
    assert!(
        output.stdout == input,
        "{} bytes came back",
        output.stdout.len()
    );
}

#[test]
fn input_comes_from_a_file_too() {
    let program = Program::new(CAT);
    fs::write(program.path("input"), "from a file").unwrap();
    let file = program.path("input");
    let output = program.run(&["--stdin", file.to_str().unwrap()], &[], b"not this");
    assert_eq!(output.stdout, b"from a file");
    let output = program.run(&["--stdin", "/no/such/file"], &[], b"");
    assert_eq!(output.status.code(), Some(125));
    assert!(error_text(&output).contains("/no/such/file"));
}

#[test]
fn arguments_and_environment_arrive() {
    let program = Program::new(LISTS);
    let output = program.run(
        &["--env", "A=1", "--env", "B=x y"],
        &["--flag", "", "two"],
        b"",
    );
    assert_eq!(output.stdout, b"program.wat\0--flag\0\0two\0");
    assert_eq!(output.stderr, b"A=1\0B=x y\0");
}

#[test]
fn changes_in_a_directory_come_back_and_nothing_else() {
    let program = Program::new(
        r#"(data (i32.const 100) "in.txt") (data (i32.const 110) "out.txt") (data (i32.const 120) "gone")
           (func (export "_start") (local $length i32)
             (if (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 6) (i32.const 0)
                   (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32)) (then unreachable))
             (local.set $length (call $read (i32.load (i32.const 32))))
             (if (call $open (i32.const 3) (i32.const 0) (i32.const 110) (i32.const 7) (i32.const 1)
                   (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 32)) (then unreachable))
             (call $write (i32.load (i32.const 32)) (i32.const 65536) (local.get $length))
             (if (call $unlink (i32.const 3) (i32.const 120) (i32.const 4)) (then unreachable)))"#,
    );
    let shared = program.path("shared");
    fs::create_dir(&shared).unwrap();
    for (name, text) in [("in.txt", "contents"), ("gone", ""), ("kept", "same")] {
        fs::write(shared.join(name), text).unwrap();
    }
    let before = fs::metadata(shared.join("kept"))
        .unwrap()
        .modified()
        .unwrap();
    let directory = format!("{}::/work", shared.display());
    let output = program.run(&["--dir", &directory], &[], b"");
    assert_eq!(output.status.code(), Some(0), "{}", error_text(&output));
    assert_eq!(
        fs::read_to_string(shared.join("out.txt")).unwrap(),
        "contents"
    );
    assert_eq!(names(&shared), ["in.txt", "kept", "out.txt"]);
    let after = fs::metadata(shared.join("kept"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);
}

#[test]
fn several_directories_are_found_open_in_order_and_each_comes_back() {
    // Makes a file in each of the first two.
    let program = Program::new(
        r#"(data (i32.const 100) "one") (data (i32.const 110) "two")
           (func $make (param $directory i32) (param $name i32)
             (if (call $open (local.get $directory) (i32.const 0) (local.get $name) (i32.const 3)
                   (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 32))
               (then unreachable))
             (call $write (i32.load (i32.const 32)) (local.get $name) (i32.const 3)))
           (func (export "_start")
             (call $make (i32.const 3) (i32.const 100))
             (call $make (i32.const 4) (i32.const 110)))"#,
    );
    let folders = ["a", "b"].map(|name| program.path(name));
    for folder in &folders {
        fs::create_dir(folder).unwrap();
    }
    // One by a name of its own, from the folder in which it lies; one as the root.
    let root = format!("{}::/", folders[1].display());
    let output = Command::new(env!("CARGO_BIN_EXE_sos"))
        .args([
            "exec",
            "--hosted",
            "--dir",
            "a",
            "--dir",
            &root,
            "program.wat",
        ])
        .current_dir(program.folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", error_text(&output));
    for (folder, name) in folders.iter().zip(["one", "two"]) {
        assert_eq!(names(folder), [name]);
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), name);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn memory_is_bounded_and_libraries_are_linked() {
    // Its status is what the library says of how far it grew: 4 pages with the limit, 8 without.
    let program = Program::new("");
    // Imports come before all else.
    let import = r#"(import "pages" "count" (func $count (param i32) (result i32)))"#;
    let body = r#"(func (export "_start")
        (drop (memory.grow (i32.const 2)))
        (drop (memory.grow (i32.const 4)))
        (call $exit (call $count (memory.size))))"#;
    fs::write(&program.file, format!("(module {import} {PRELUDE} {body})")).unwrap();
    let library = program.path("pages.wat");
    let counts = r#"(module (func (export "count") (param i32) (result i32)
        (i32.add (i32.const 40) (local.get 0))))"#;
    fs::write(&library, counts).unwrap();
    let given = format!("pages={}", library.display());
    let output = program.run(&["--library", &given, "--memory", "256KiB"], &[], b"");
    assert_eq!(output.status.code(), Some(44), "{}", error_text(&output));
    let output = program.run(&["--library", &given], &[], b"");
    assert_eq!(output.status.code(), Some(48), "{}", error_text(&output));
    // Without the library, its name and that of the function are told.
    let output = program.run(&[], &[], b"");
    assert_eq!(output.status.code(), Some(126));
    let text = error_text(&output);
    assert!(text.contains("pages") && text.contains("count"), "{text}");
}

#[test]
fn a_program_that_runs_too_long_is_killed_and_that_is_said() {
    let program = Program::new(r#"(func (export "_start") (loop $ever (br $ever)))"#);
    let output = program.run(&["--timeout", "0.2"], &[], b"");
    assert_eq!(output.status.code(), Some(124));
    assert!(error_text(&output).contains("longer than 0.2 s"));
}

#[test]
fn a_trap_is_told_with_the_functions_around_it() {
    let program = Program::new(
        r#"(func $inner (drop (i32.load (i32.const -4))))
           (func $outer (call $inner))
           (func (export "_start") (call $outer))"#,
    );
    let output = program.run(&[], &[], b"");
    assert_eq!(output.status.code(), Some(134));
    let text = error_text(&output);
    for words in ["memory access out of bounds", "#0", "inner", "outer"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_cannot_run_is_told_apart() {
    let output = exec(&["/no/such/program.wasm"], b"");
    assert_eq!(output.status.code(), Some(127));
    assert!(error_text(&output).contains("/no/such/program.wasm"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("elf.wasm");
    fs::write(&file, b"\x7fELF").unwrap();
    let output = exec(&[file.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(126));
    assert!(
        error_text(&output).contains("elf.wasm"),
        "{}",
        error_text(&output)
    );

    let unknown = Program::new(r#"(func (export "_start"))"#);
    fs::write(
        &unknown.file,
        r#"(module (import "env" "nothing" (func)) (func (export "_start")))"#,
    )
    .unwrap();
    let output = unknown.run(&[], &[], b"");
    assert_eq!(output.status.code(), Some(126));
    assert!(
        error_text(&output).contains("env.nothing"),
        "{}",
        error_text(&output)
    );

    let output = exec(
        &["--dir", "/no/such/folder", unknown.file.to_str().unwrap()],
        b"",
    );
    assert_eq!(output.status.code(), Some(125));
    assert!(error_text(&output).contains("/no/such/folder"));
}

#[test]
fn a_reader_that_leaves_ends_the_program() {
    let program = Program::new(
        r#"(func (export "_start")
             (loop $ever (call $write (i32.const 1) (i32.const 100) (i32.const 1000)) (br $ever)))"#,
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_sos"))
        .args(["exec", "--hosted", program.file.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn ctrl_c_ends_the_program() {
    let program = Program::new(
        r#"(data (i32.const 100) "ready")
           (func (export "_start")
             (call $write (i32.const 1) (i32.const 100) (i32.const 5))
             (loop $ever (br $ever)))"#,
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_sos"))
        .args(["exec", "--hosted", program.file.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let number = i32::try_from(child.id()).unwrap();
    let killed = Command::new("kill")
        .args(["-INT", &number.to_string()])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn options_that_cannot_be_are_the_tools_own_failure() {
    let program = Program::new(r#"(func (export "_start"))"#);
    let output = program.run(&["--listen", "127.0.0.1:0"], &[], b"");
    assert_eq!(output.status.code(), Some(125));
    let text = error_text(&output);
    assert!(
        text.contains("--hosted") && text.contains("no network"),
        "{text}"
    );
    let output = program.run(&["--no-such-option"], &[], b"");
    assert_eq!(output.status.code(), Some(125));
    assert!(error_text(&output).contains("--no-such-option"));
    let kept = Command::new(env!("CARGO_BIN_EXE_sos"))
        .args(["exec", "--keep", "--listen", "127.0.0.1:0"])
        .arg(&program.file)
        .output()
        .unwrap();
    assert_eq!(kept.status.code(), Some(125));
    let text = error_text(&kept);
    assert!(
        text.contains("--keep") && text.contains("of its own"),
        "{text}"
    );
    let help = exec(&["--help"], b"");
    assert_eq!(help.status.code(), Some(0));
}
