//! Other people's programs, unchanged, as guests: each prints on a simulated node what it prints as
//! an ordinary process of this machine.
//!
//! Their sources are in `tests/programs`; `sos::build` compiles each for WASI and for this machine.
//! The JavaScript engine takes minutes to compile and is left to the longer command
//! `cargo test -p sos-tests --test programs -- --ignored`.

use sos::build::{self, Haste};
use sos_core::image::ListenerSpec;
use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The programs of the quick tests; one call of cargo builds them all.
const QUICK: [&str; 5] = ["compress", "http-std", "json", "kernels", "sqlite"];
/// Memory that is enough for each of them.
const MEMORY_BYTES: u64 = 128 << 20;
/// Simulated time in which each of them has ended.
const PATIENCE_SECONDS: u64 = 600;

static MODULES: LazyLock<Vec<PathBuf>> =
    LazyLock::new(|| built(build::wasi_programs(&QUICK, Haste::Test)));
static PROCESSES: LazyLock<Vec<PathBuf>> = LazyLock::new(|| built(build::host_programs(&QUICK)));

fn built<T>(result: anyhow::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error:#}"))
}

/// A program as a module and as a process.
struct Program {
    name: &'static str,
    module: PathBuf,
    process: PathBuf,
}

impl Program {
    fn quick(name: &'static str) -> Program {
        let index = QUICK.iter().position(|other| *other == name);
        let index = index.expect("a program of this file");
        Program {
            name,
            module: MODULES[index].clone(),
            process: PROCESSES[index].clone(),
        }
    }
}

/// What is done with a program: its arguments, and the files of the folder in which it works.
#[derive(Default)]
struct Task<'a> {
    arguments: &'a [&'a str],
    files: &'a [(&'a str, &'a [u8])],
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: i32,
    lines: Vec<String>,
}

impl Outcome {
    /// Checks that a program did something at all, so that two silences are not taken as proof.
    fn assert_mentions(&self, words: &[&str]) {
        let text = self.lines.join("\n");
        for word in words {
            assert!(text.contains(word), "no {word:?} in\n{text}");
        }
    }
}

/// Runs a program as a process of this machine, in a folder of its own.
fn as_process(program: &Program, task: &Task) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in task.files {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
    }
    let output = Command::new(&program.process)
        .args(task.arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.name));
    let text = String::from_utf8(output.stdout).expect("text");
    Outcome {
        status: output.status.code().expect("no signal"),
        lines: text.lines().map(str::to_string).collect(),
    }
}

/// Runs a program as an instance of a simulated node, whose root is the folder.
fn as_instance(name: &str, module: &Path, task: &Task) -> Outcome {
    let bytes = std::fs::read(module).expect("the module");
    let mut image = ImageBuilder::new("programs")
        .instance("program", bytes)
        .with(|spec| {
            spec.arguments = task.arguments.iter().map(|&word| word.into()).collect();
            spec.limits.memory_bytes = MEMORY_BYTES;
        });
    for (name, bytes) in task.files {
        image = image.file(&format!("/{name}"), bytes);
    }
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    let status = await_exit(&mut cluster);
    let lines = printed(&mut cluster, name);
    Outcome { status, lines }
}

/// What the ended program wrote to standard output.
///
/// Its console holds standard error too, whose lines begin with the program's name here.
fn printed(cluster: &mut Cluster, name: &str) -> Vec<String> {
    let text = cluster.shell(0, "console program");
    // The first line is that of the prompt; behind the output, the shell says that it is all.
    let (text, _) = text
        .split_once("\n['program' does not run")
        .expect("its end");
    let errors = format!("{name}: ");
    let lines = text.trim_end_matches('\n').lines().skip(1);
    let of_output = lines.filter(|line| !line.starts_with(&errors));
    of_output.map(str::to_string).collect()
}

/// Runs the node until its program has exited, and returns the status.
fn await_exit(cluster: &mut Cluster) -> i32 {
    for _ in 0..PATIENCE_SECONDS {
        cluster.run_for(Duration::from_secs(1));
        let (state, detail) = cluster.state(0, "program");
        match state.as_str() {
            "exited" => {
                let status = detail.strip_prefix("status ");
                return status
                    .and_then(|status| status.parse().ok())
                    .unwrap_or_else(|| panic!("exited with {detail:?}"));
            }
            "failed" | "stopped" => {
                let log = cluster.shell(0, "logs program");
                panic!("{state}: {detail}\n{log}");
            }
            _ => {}
        }
    }
    panic!("still running: {}", cluster.shell(0, "logs program"));
}

/// Checks that a program prints the same as an instance and as a process, and ends alike.
fn compare(program: &Program, task: &Task) -> Outcome {
    let expected = as_process(program, task);
    let found = as_instance(program.name, &program.module, task);
    assert_eq!(found, expected);
    found
}

#[test]
fn sqlite_keeps_a_database_in_a_file() {
    let arguments = ["orders.db", "3000"];
    let task = Task {
        arguments: &arguments,
        ..Task::default()
    };
    let outcome = compare(&Program::quick("sqlite"), &task);
    assert_eq!(outcome.status, 0);
    outcome.assert_mentions(&["3000 purchases", "USING COVERING INDEX", "integrity ok"]);
}

#[test]
fn jaq_answers_queries_over_json_files() {
    let program = Program::quick("json");
    let services = br#"{"name":"web","ports":[80,443],"up":true,"load":0.25}
        {"name":"store","ports":[6379],"up":false,"load":1e-7}"#;
    let deep = r#"[1,2,{"deep":[null,"\u00e9t\u00e9",-1.5e10]}]"#.as_bytes();
    let files: [(&str, &[u8]); 2] = [("services.json", services), ("deep.json", deep)];
    let query = |filter: &str, file: &str| {
        let arguments = [filter, file];
        let task = Task {
            arguments: &arguments,
            files: &files,
        };
        compare(&program, &task)
    };
    let names = query(
        ".name + \":\" + (.ports | map(tostring) | join(\"/\"))",
        "services.json",
    );
    assert_eq!(names.lines, ["\"web:80/443\"", "\"store:6379\""]);
    query("[.. | numbers] | add, length, (sort | @json)", "deep.json")
        .assert_mentions(&["-14999999997"]);
    query(
        ".[2].deep[1] | ascii_upcase, test(\"^.t\"), @base64, explode",
        "deep.json",
    )
    .assert_mentions(&["true", "233"]);
    query(
        "reduce range(1; 2000) as $n (0; . + $n * $n) | ., sqrt",
        "deep.json",
    );
    // A value that the filter cannot take, a filter that is none, and a file that is not there.
    assert_eq!(query(".[0].name", "deep.json").status, 5);
    assert_eq!(query(".[", "deep.json").status, 3);
    assert_eq!(query(".", "missing.json").status, 2);
}

#[test]
fn compressors_give_files_back_as_they_were() {
    let task = Task {
        arguments: &["work", "120000"],
        files: &[],
    };
    // The folder is one that the program makes.
    let outcome = compare(&Program::quick("compress"), &task);
    assert_eq!(outcome.status, 0);
    outcome.assert_mentions(&["gzip", "lz4", "brotli", "damage  refused", "0 files left"]);
    assert!(!outcome.lines.iter().any(|line| line.contains("NOT")));
}

#[test]
fn kernels_compute_the_right_checksums() {
    let task = Task {
        arguments: &["20"],
        files: &[],
    };
    let outcome = compare(&Program::quick("kernels"), &task);
    // Those of the bench's guests, natively and in every engine so far.
    assert_eq!(
        outcome.lines,
        [
            "coremark: 20 iterations checksum 13cdc27f",
            "nbody: 20 iterations checksum 8e4a457b"
        ]
    );
}

#[test]
fn a_c_program_uses_its_library() {
    let program = Program {
        name: "words",
        module: built(build::wasi_c_program("words")),
        process: built(build::host_c_program("words")),
    };
    let text = b"The quick brown fox 3.5 the lazy Dog 1e3 jumps over THE fox -0x1p-2\n\
        7 dog\n the end 0.125\n";
    let files: [(&str, &[u8]); 1] = [("in.txt", text)];
    let task = Task {
        arguments: &["in.txt", "out.txt"],
        files: &files,
    };
    let outcome = compare(&program, &task);
    assert_eq!(outcome.status, 0);
    outcome.assert_mentions(&["sum 1010.375000", "0x1.f93p+9", "gone: no such file"]);
    let missing = Task {
        arguments: &["missing.txt", "out.txt"],
        files: &files,
    };
    assert_eq!(compare(&program, &missing).status, 2);
}

#[test]
#[ignore = "compiling the engine takes minutes"]
fn javascript_runs_scripts() {
    let module = built(build::wasi_programs(&["javascript"], Haste::Test)).remove(0);
    let run = |task: &Task| as_instance("javascript", &module, task);
    // What the engine prints as a process, kept so that it need not be compiled for this machine too.
    let expected = include_str!("../programs/javascript/expected.txt");
    let outcome = run(&Task::default());
    assert_eq!(outcome.status, 0);
    assert_eq!(outcome.lines, expected.lines().collect::<Vec<_>>());
    outcome.assert_mentions(&["generator 95", "promise 1+2+3"]);
    let script = b"print(6 * 7); throw new RangeError('on purpose');";
    let files: [(&str, &[u8]); 1] = [("script.js", script)];
    let thrown = run(&Task {
        arguments: &["script.js"],
        files: &files,
    });
    assert_eq!((thrown.status, thrown.lines), (1, vec!["42".to_string()]));
    let missing = run(&Task {
        arguments: &["missing.js"],
        files: &[],
    });
    assert_eq!((missing.status, missing.lines), (2, vec![]));
}

/// A client of the HTTP service.
struct Client {
    socket: PeerSocket,
    input: Vec<u8>,
}

impl Client {
    fn connect(cluster: &mut Cluster, peer: usize) -> Client {
        let socket = cluster.connect(peer, "10.0.0.1:80");
        Client {
            socket: socket.expect("the service listens"),
            input: Vec::new(),
        }
    }

    /// Sends a request and returns the status line and the body of the answer.
    fn ask(&mut self, cluster: &mut Cluster, request: &str, body: &str) -> (String, Vec<u8>) {
        let length = body.len();
        let message =
            format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        cluster
            .write_all(self.socket, message.as_bytes())
            .expect("the service reads");
        loop {
            if let Some(answer) = self.take_answer() {
                return answer;
            }
            let part = cluster.read(self.socket).expect("the service answers");
            assert!(!part.is_empty(), "closed after {:?}", self.input);
            self.input.extend(part);
        }
    }

    fn take_answer(&mut self) -> Option<(String, Vec<u8>)> {
        let end = self.input.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.input[..end]).into_owned();
        let length = head.split_once("content-length: ")?.1;
        let length: usize = length.split_once('\r')?.0.parse().ok()?;
        if self.input.len() < end + length {
            return None;
        }
        let body = self.input[end..end + length].to_vec();
        self.input.drain(..end + length);
        Some((head.lines().next()?.to_string(), body))
    }
}

#[test]
fn a_service_on_the_standard_librarys_sockets_serves_for_long() {
    let module = std::fs::read(&MODULES[1]).expect("the module");
    let image = ImageBuilder::new("programs")
        .switch("lan", Some("nic0"))
        .instance("program", module)
        .with(|spec| {
            spec.preopens.clear();
            spec.listeners.push(ListenerSpec {
                address: None,
                port: 80,
            });
        })
        .port("eth0", switch("lan"), "10.0.0.1/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    let peer = cluster.add_peer("10.0.0.100/24");
    cluster.run_for(Duration::from_millis(500));

    let mut client = Client::connect(&mut cluster, peer);
    let ok = "HTTP/1.1 200 OK".to_string();
    assert_eq!(
        client.ask(&mut cluster, "GET /", ""),
        (ok.clone(), b"hello from std\n".to_vec())
    );
    let numbers: Vec<String> = (1..=1000).map(|number| number.to_string()).collect();
    let (_, sum) = client.ask(&mut cluster, "POST /sum", &numbers.join(" "));
    assert_eq!(sum, b"500500\n");
    let (_, large) = client.ask(&mut cluster, "GET /large?300000", "");
    assert_eq!(large.len(), 300_000);
    assert!(
        large
            .iter()
            .enumerate()
            .all(|(index, &byte)| byte == b'a' + (index % 26) as u8)
    );
    let (missing, _) = client.ask(&mut cluster, "GET /nowhere", "");
    assert_eq!(missing, "HTTP/1.1 404 Not Found");
    cluster.close(client.socket);

    // Many short connections, some of which leave in the middle of a request.
    for round in 0..40 {
        let mut client = Client::connect(&mut cluster, peer);
        if round % 4 == 3 {
            cluster
                .write_all(client.socket, b"GET / HT")
                .expect("the service reads");
        } else {
            assert_eq!(client.ask(&mut cluster, "GET /", "").0, ok);
        }
        cluster.close(client.socket);
    }
    let mut client = Client::connect(&mut cluster, peer);
    let (_, count) = client.ask(&mut cluster, "GET /count", "");
    assert_eq!(count, b"35\n");
    // The last answer arrives whole, though the service ends right behind it.
    let stopped = client.ask(&mut cluster, "POST /stop", "");
    assert_eq!(stopped, (ok, b"stopping\n".to_vec()));
    assert_eq!(await_exit(&mut cluster), 0);
    let expected = ["http-std: serving", "http-std: 36 requests"];
    assert_eq!(printed(&mut cluster, "program"), expected);
}
