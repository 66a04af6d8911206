//! What wasi-testsuite demands, run as its runner runs it: a module and its manifest beside a folder of
//! files, one `sos exec` each. The cases are our own (`tests/programs/wasi-suite`, `tests/programs/c/suite.c`);
//! the public suite itself is run from outside (`tests/wasi-suite/README.md`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sos::build::{self, Haste};
use tempfile::TempDir;

/// Programs that run at once.
const AT_ONCE: usize = 4;
/// The folder that the cases see.
const FILES: &str = "fs-tests.dir";

/// A manifest, as the suite writes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Manifest {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// Folders that the program finds open under their own names.
    dirs: Vec<String>,
    /// The folder that it finds open as `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    exit_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
}

/// How a case finds its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finds {
    Nothing,
    /// As `/`.
    Root,
    /// Under its own name, which is its argument.
    Named,
}

/// Cases without a manifest, or with one that says more than which directory.
const FACTS: [&str; 16] = [
    "args_get-multiple-arguments",
    "args_sizes_get-multiple-arguments",
    "args_sizes_get-no-arguments",
    "environ_get-multiple-variables",
    "environ_sizes_get-multiple-variables",
    "environ_sizes_get-no-variables",
    "fd_write-to-invalid-fd",
    "fd_write-to-stdout",
    "proc_exit-failure",
    "proc_exit-success",
    "random_get-non-zero-length",
    "random_get-zero-length",
    "big_random_buf",
    "clock_time_get",
    "poll_oneoff_stdio",
    "sched_yield",
];

/// Cases that work in a directory.
const DIRECTORIES: [&str; 42] = [
    "close_preopen",
    "dangling_fd",
    "dangling_symlink",
    "dir_fd_op_failures",
    "directory_seek",
    "fd_advise",
    "fd_fdstat_set_rights",
    "fd_filestat_set",
    "fd_flags_set",
    "fd_readdir",
    "file_allocate",
    "file_pread_pwrite",
    "file_seek_tell",
    "file_truncation",
    "file_unbuffered_write",
    "fstflags_validate",
    "interesting_paths",
    "isatty",
    "nofollow_errors",
    "overwrite_preopen",
    "path_exists",
    "path_filestat",
    "path_link",
    "path_open_create_existing",
    "path_open_dirfd_not_dir",
    "path_open_missing",
    "path_open_nonblock",
    "path_open_preopen",
    "path_open_read_write",
    "path_rename",
    "path_rename_dir_trailing_slashes",
    "path_symlink_trailing_slashes",
    "readlink",
    "remove_directory_trailing_slashes",
    "remove_nonempty_directory",
    "renumber",
    "stdio",
    "symlink_create",
    "symlink_filestat",
    "symlink_loop",
    "truncation_rights",
    "unlink_file_trailing_slashes",
];

/// Cases in C.
const IN_C: [(&str, Finds); 14] = [
    ("clock_getres-monotonic", Finds::Nothing),
    ("clock_getres-realtime", Finds::Nothing),
    ("clock_gettime-monotonic", Finds::Nothing),
    ("clock_gettime-realtime", Finds::Nothing),
    ("fdopendir-with-access", Finds::Root),
    ("fopen-with-access", Finds::Root),
    ("fopen-with-no-access", Finds::Nothing),
    ("lseek", Finds::Root),
    ("pread-with-access", Finds::Root),
    ("pwrite-with-access", Finds::Root),
    ("pwrite-with-append", Finds::Root),
    ("sock_shutdown-invalid_fd", Finds::Nothing),
    ("sock_shutdown-not_sock", Finds::Nothing),
    ("stat-dev-ino", Finds::Root),
];

/// Our cases in Rust and in C.
static MODULES: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let rust = build::wasi_programs(&["wasi-suite"], Haste::Test);
    let c = build::wasi_c_program("suite");
    [rust.map(|mut files| files.remove(0)), c]
        .map(|module| module.unwrap_or_else(|error| panic!("{error:#}")))
});

#[derive(Clone, Debug)]
struct Case {
    name: &'static str,
    module: &'static Path,
    manifest: Manifest,
}

impl Case {
    fn new(name: &'static str, module: usize, finds: Finds) -> Case {
        let own = FILES.to_string();
        let mut manifest = manifest_of(name);
        match finds {
            Finds::Nothing => {}
            Finds::Root => manifest.root = Some(own),
            Finds::Named => {
                manifest.dirs.push(own.clone());
                manifest.args.push(own);
            }
        }
        let module = &MODULES[module];
        Case {
            name,
            module,
            manifest,
        }
    }
}

fn manifest_of(name: &str) -> Manifest {
    let mut manifest = Manifest::default();
    if name.ends_with("-multiple-arguments") {
        manifest.args = ["first", "the \"second\" arg", "3"].map(Into::into).into();
    }
    if name.ends_with("-multiple-variables") {
        let variables = [("a", "text"), ("b", "escap \" ing"), ("c", "new\nline")];
        manifest.env = variables.map(|(k, v)| (k.into(), v.into())).into();
    }
    match name {
        "fd_write-to-stdout" => manifest.stdout = Some("hello".into()),
        "proc_exit-failure" => manifest.exit_code = 33,
        _ => {}
    }
    manifest
}

fn all_cases() -> Vec<Case> {
    let facts = FACTS.map(|name| Case::new(name, 0, Finds::Nothing));
    let by_root = DIRECTORIES.map(|name| Case::new(name, 0, Finds::Root));
    let by_name = DIRECTORIES
        .into_iter()
        // This one looks for `/` wherever it is run.
        .filter(|name| *name != "path_open_preopen")
        .map(|name| Case::new(name, 0, Finds::Named));
    let in_c = IN_C.map(|(name, finds)| Case::new(name, 1, finds));
    let rust = facts.into_iter().chain(by_root).chain(by_name);
    rust.chain(in_c).collect()
}

/// A case laid out as in the suite: the module, its manifest, and the folder of files.
struct Layout {
    folder: TempDir,
    module: PathBuf,
    before: Vec<(String, Vec<u8>)>,
}

impl Layout {
    fn new(case: &Case) -> Layout {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join(FILES);
        for directory in ["fopendir.dir", "writeable"] {
            fs::create_dir_all(files.join(directory)).unwrap();
        }
        for (name, text) in [
            ("file", ""),
            ("lseek.txt", "01234567"),
            ("pread.txt", "abcdd-tail"),
            ("fopendir.dir/file-0", ""),
            ("fopendir.dir/file-1", ""),
            ("writeable/.keep", ""),
        ] {
            fs::write(files.join(name), text).unwrap();
        }
        let module = folder.path().join(format!("{}.wasm", case.name));
        fs::copy(case.module, &module).unwrap();
        let text = serde_json::to_string(&case.manifest).unwrap();
        fs::write(module.with_extension("json"), text).unwrap();
        let before = contents(&files);
        Layout {
            folder,
            module,
            before,
        }
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join(FILES)
    }

    fn manifest(&self) -> Manifest {
        let text = fs::read_to_string(self.module.with_extension("json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The options, the program and its arguments, as the suite's adapters give them to a runtime.
    fn command_line(&self) -> Vec<String> {
        let manifest = self.manifest();
        let mut line = Vec::new();
        for (name, value) in &manifest.env {
            line.extend(["--env".into(), format!("{name}={value}")]);
        }
        let place = |name: &str| self.folder.path().join(name).display().to_string();
        if let Some(root) = &manifest.root {
            line.extend(["--dir".into(), format!("{}::/", place(root))]);
        }
        for name in &manifest.dirs {
            line.extend(["--dir".into(), format!("{}::{name}", place(name))]);
        }
        line.push(self.module.display().to_string());
        line.extend(manifest.args);
        line
    }

    /// What is wrong with what came of the case, if anything is. What it left behind as the suite's programs
    /// may (`*.cleanup`) is removed.
    fn judge(&self, output: &Output) -> Option<String> {
        let manifest = self.manifest();
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(manifest.exit_code) {
            return Some(format!("{}: {text}", output.status));
        }
        let wanted = manifest.stdout.unwrap_or_default();
        if output.stdout != wanted.as_bytes() || !text.is_empty() {
            let printed = String::from_utf8_lossy(&output.stdout);
            return Some(format!("printed {printed:?} and {text:?}"));
        }
        let mut after = contents(&self.files());
        after.retain(|(name, _)| !name.split('/').any(|part| part.ends_with(".cleanup")));
        (after != self.before).then(|| format!("left {after:?}"))
    }
}

/// Every file below a folder, by its name there, and every directory, with nothing in it.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            let inside = contents(&path).into_iter();
            found.extend(inside.map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
            found.push((name, Vec::new()));
        } else {
            found.push((name, fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn run(command: &mut Command) -> Output {
    // The suite's runner leaves standard input open and says nothing in it.
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.wait_with_output().unwrap()
}

fn exec(options: &[&str], layout: &Layout, runtime: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sos"));
    command
        .arg("exec")
        .args(options)
        .args(layout.command_line())
        .env("XDG_RUNTIME_DIR", runtime)
        .current_dir(layout.folder.path());
    run(&mut command)
}

/// Runs cases, some at once, and gives what is wrong with each that is not as demanded.
fn run_all(cases: &[Case], at_once: usize, options: &[&str], runtime: &Path) -> Vec<String> {
    let part = cases.len().div_ceil(at_once);
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases
            .chunks(part)
            .map(|part| {
                scope.spawn(move || {
                    let run = |case: &Case| {
                        let layout = Layout::new(case);
                        let wrong = layout.judge(&exec(options, &layout, runtime))?;
                        Some(format!("{} {:?}: {wrong}", case.name, case.manifest))
                    };
                    part.iter().filter_map(run).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn each_program_of_the_suite_has_a_case() {
    let mut names: Vec<&str> = FACTS.into_iter().chain(DIRECTORIES).collect();
    names.extend(IN_C.map(|(name, _)| name));
    names.sort_unstable();
    names.dedup();
    // 46 in Rust, 14 in C and 12 in AssemblyScript.
    assert_eq!(names.len(), 72);
}

#[test]
fn every_case_is_as_demanded_in_the_tools_process() {
    let runtime = tempfile::tempdir().unwrap();
    let wrong = run_all(&all_cases(), AT_ONCE, &["--hosted"], runtime.path());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_case_is_as_demanded_on_a_node_in_qemu() {
    let runtime = tempfile::tempdir().unwrap();
    let wrong = run_all(&all_cases(), 1, &["--keep=suite"], runtime.path());
    let mut stop = Command::new(env!("CARGO_BIN_EXE_sos"));
    stop.args(["exec", "--stop=suite"])
        .env("XDG_RUNTIME_DIR", runtime.path());
    assert!(run(&mut stop).status.success());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cases_run_on_nodes_of_their_own_at_once() {
    let runtime = tempfile::tempdir().unwrap();
    let cases = [
        Case::new("fd_readdir", 0, Finds::Root),
        Case::new("clock_time_get", 0, Finds::Nothing),
        Case::new("environ_get-multiple-variables", 0, Finds::Nothing),
        Case::new("pwrite-with-append", 1, Finds::Root),
    ];
    let wrong = run_all(&cases, 2, &["--timeout", "60"], runtime.path());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where Python is; nothing of SOS but the adapter needs it.
fn python() -> Option<PathBuf> {
    let found = sos::paths::program("python3");
    if found.is_none() {
        eprintln!("no python3: the adapter for the suite's runner is not tried here");
    }
    found
}

fn adapter(name: &str) -> PathBuf {
    let root = sos::paths::workspace().unwrap();
    root.join("tests/wasi-suite").join(name)
}

#[test]
fn the_adapter_makes_the_command_line_of_a_case() {
    let Some(python) = python() else { return };
    let mut case = Case::new("environ_get-multiple-variables", 0, Finds::Root);
    case.manifest.args = vec!["--flag".into(), "two words".into()];
    let layout = Layout::new(&case);
    // What the runner does with an adapter, and says to it: more than this one wants.
    let script = r#"
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("sos.py", sys.argv[1])
adapter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(adapter)
given = json.loads(sys.argv[2])
dirs = [tuple(pair) for pair in given["dirs"]]
argv = adapter.compute_argv(given["test"], (given["args"], given["env"], dirs), [], "wasm32-wasip1")
print(json.dumps([adapter.get_name(), adapter.get_wasi_versions(), argv]))
"#;
    let given = serde_json::json!({
        "test": layout.module,
        "args": case.manifest.args,
        "env": case.manifest.env,
        "dirs": [[layout.files(), "/"]],
    });
    let mut command = Command::new(python);
    command
        .args(["-c", script])
        .arg(adapter("sos.py"))
        .arg(given.to_string())
        .env("SOS_EXEC", "some 'where else'")
        .env("SOS_EXEC_OPTIONS", "--keep=suite");
    let output = run(&mut command);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let mut line: Vec<String> = ["some", "where else", "--keep=suite"]
        .map(Into::into)
        .into();
    line.extend(layout.command_line());
    assert_eq!(answer, serde_json::json!(["sos", ["wasm32-wasip1"], line]));
    // The runner takes an adapter for a module only if it prints nothing when it is run.
    let silent = run(Command::new(sos::paths::program("python3").unwrap())
        .arg(adapter("sos.py"))
        .arg("--version"));
    assert!(silent.status.success() && silent.stdout.is_empty() && silent.stderr.is_empty());
}

#[test]
fn the_adapter_by_options_runs_cases() {
    let Some(python) = python() else { return };
    let start = || {
        let mut command = Command::new(&python);
        command
            .arg(adapter("sos_by_options.py"))
            .env("SOS_EXEC", format!("{} exec", env!("CARGO_BIN_EXE_sos")))
            .env("SOS_EXEC_OPTIONS", "--hosted");
        command
    };
    let version = run(start().arg("--version"));
    assert_eq!(version.stdout, b"sos 0.1.0\n");
    for (name, finds) in [
        ("args_get-multiple-arguments", Finds::Nothing),
        ("environ_get-multiple-variables", Finds::Nothing),
        ("proc_exit-failure", Finds::Nothing),
        ("fstflags_validate", Finds::Named),
    ] {
        let layout = Layout::new(&Case::new(name, 0, finds));
        let manifest = layout.manifest();
        let mut command = start();
        for (name, value) in &manifest.env {
            command.args(["--env", &format!("{name}={value}")]);
        }
        for text in &manifest.args {
            command.args(["--arg", text]);
        }
        // By its name alone, from the folder in which it lies.
        for name in &manifest.dirs {
            command.args(["--dir", name]);
        }
        command
            .arg("--test-file")
            .arg(&layout.module)
            .current_dir(layout.folder.path());
        assert_eq!(layout.judge(&run(&mut command)), None, "{name}");
    }
}
