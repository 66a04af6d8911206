//! Several real nodes on one LAN: services on any of them, reached from outside and from each other, and what
//! the death of one node does to the others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sos::lan::{Cable, LinkState};
use sos::qemu::End;
use sos_tests::qemu::http::{self, Connection};
use sos_tests::qemu::{Manifest, PATIENCE, TestNodes};
use sos_tests::tool;

/// A service for each node: `web` asks `store` over the LAN.
const MANIFEST: &str = r#"
name = "three"
[switch.lan]
uplink = "nic0"

[instance.store]
module = "store"
limits.memory = "24MiB"
port.eth0 = { switch = "lan", address = "10.0.2.12/24" }

[instance.web]
module = "web"
limits.memory = "24MiB"
port.eth0 = { switch = "lan", address = "dhcp" }
config = { store = "10.0.2.12:7000" }

[instance.other]
module = "web"
limits.memory = "24MiB"
port.eth0 = { switch = "lan", address = "dhcp" }
config = { store = "10.0.2.12:7000" }

[[forward]]
host = 8080
to = "web:80"

[[forward]]
host = 8081
to = "other:80"
"#;

#[test]
fn three_nodes_serve_talk_to_each_other_and_outlive_one_of_them() {
    let image = Manifest::new(MANIFEST).build();
    let mut nodes = TestNodes::start(&image, 3, &["web=node2", "other=node3"]);
    assert_eq!(nodes.instances(1), ["store"]);
    assert_eq!(nodes.instances(2), ["web"]);
    assert_eq!(nodes.instances(3), ["other"]);

    // From the host to node2, from there to node1; what node3 reads is what node2 wrote.
    let (web, other) = (nodes.port(0), nodes.port(1));
    http::ask_until(web, "PUT", "/kv/a", b"from node2", 200);
    let found = http::ask_until(other, "GET", "/kv/a", b"", 200);
    assert_eq!(found.text(), "from node2");

    // A session with node2 goes on while node3 dies.
    let mut session = Connection::open(web).expect("a connection");
    assert_eq!(session.ask("GET", "/", b"").expect("an answer").status, 200);
    nodes.cluster().kill(2).expect("node3");
    assert_eq!(
        nodes.machine(3).wait(PATIENCE).expect("its end"),
        End::Killed
    );
    assert_eq!(
        session.ask("GET", "/kv/a", b"").expect("an answer").status,
        200
    );
    assert!(nodes.machine(1).end().is_none() && nodes.machine(2).end().is_none());

    // A cable that is cut keeps node1's store away, and gives it back.
    let cut = Cable {
        link: LinkState::Cut,
        ..Cable::default()
    };
    nodes.cluster().set_cable(0, cut).expect("node1's cable");
    http::ask_until(web, "GET", "/kv/a", b"", 503);
    nodes
        .cluster()
        .set_cable(0, Cable::default())
        .expect("node1's cable");
    http::ask_until(web, "GET", "/kv/a", b"", 200);

    // node3 comes back on the same LAN, and its service to the same port.
    nodes.cluster().reset(2).expect("node3");
    nodes.until_prompt(3);
    let found = http::ask_until(other, "GET", "/kv/a", b"", 200);
    assert_eq!(found.text(), "from node2");
}

/// A service that writes to its memory while it sends back what it reads, and one that computes beside it.
const MOVING: &str = r#"
name = "moving"
[switch.lan]
uplink = "nic0"

[instance.holder]
module = "holder"
limits.memory = "16MiB"
port.eth0 = { switch = "lan", address = "dhcp" }
config = { mebibytes = "8" }

[instance.spinner]
module = "spinner"

[[forward]]
host = 9003
to = "holder:9003"
"#;

/// Asks until the answer is true.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what} has not come about");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Sends pieces and reads each back, unchanged, until it is told to stop; a connection that breaks fails.
fn echo_until(stopped: &AtomicBool, trips: &AtomicU64, port: u16, seed: u8) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut number = 0_u64;
    while !stopped.load(Ordering::Relaxed) {
        let piece: Vec<u8> = (0..1500_u64)
            .map(|at| (at.wrapping_mul(31) ^ number.wrapping_mul(97)) as u8 ^ seed)
            .collect();
        stream.write_all(&piece).expect("the connection takes it");
        let mut echo = vec![0; piece.len()];
        stream.read_exact(&mut echo).expect("it comes back");
        assert!(echo == piece, "piece {number} of client {seed}");
        number += 1;
        trips.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_service_moves_to_and_fro_under_its_clients_connections() {
    const CLIENTS: u8 = 8;
    let image = Manifest::new(MOVING).build();
    let nodes = TestNodes::start(&image, 2, &[]);
    nodes.until_linked(1, 1);
    let port = nodes.port(0);
    let (stopped, trips) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let (stopped, trips) = (&stopped, &trips);
            scope.spawn(move || echo_until(stopped, trips, port, seed));
        }
        // A failed assertion must not leave clients that nobody stops.
        let _stop = StopOnDrop(&stopped);
        let served = |trips: &AtomicU64| {
            let before = trips.load(Ordering::Relaxed);
            until("answers", || {
                trips.load(Ordering::Relaxed) > before + 5 * u64::from(CLIENTS)
            });
        };
        served(&trips);
        for (pace, from, to) in [("--live", 1, 2), ("--live", 2, 1), ("--cold", 1, 2)] {
            for name in ["holder", "spinner"] {
                nodes.migrate(name, from, to, pace);
            }
            served(&trips);
        }
    });
    assert_eq!(nodes.instances(1), Vec::<String>::new());
    assert_eq!(nodes.instances(2), ["holder", "spinner"]);
}

/// Ends the clients however the test ends.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_script_speaks_to_each_node_of_a_run_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("sos.toml");
    let text = "name = \"two\"\n[switch.lan]\nuplink = \"nic0\"\n[instance.spinner]\nmodule = \"spinner\"\nautostart = false\n";
    std::fs::write(&manifest, text).expect("write the manifest");
    let mut run = Command::new(tool::program())
        .args([
            "run",
            "--nodes",
            "2",
            "--memory",
            "128MiB",
            "--place",
            "spinner=node2",
        ])
        .arg(&manifest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool");
    let mut input = run.stdin.take().expect("its input");
    let mut output = BufReader::new(run.stdout.take().expect("its output")).lines();
    let mut until = |words: &str| {
        let mut lines = output.by_ref().map_while(Result::ok);
        let found = lines.find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("the run ended before `{words}`"))
    };
    input.write_all(b"@node2 ls\n@node3 ls\n").expect("lines");
    until("no node `node3`");
    assert!(until("spinner").starts_with("node2| spinner"));
    input
        .write_all(b"!cut node2\n!kill node1\n")
        .expect("orders");
    until("sos: done: cut node2");
    until("sos: node1 ended: killed by this program; the others go on");
    input.write_all(b"@node2 poweroff\n").expect("a line");
    until("sos: node2 ended: powered off");
    let status = run.wait().expect("its end");
    assert!(status.success(), "{status}");
    let key = folder.path().join(".sos/node1.secret");
    assert!(key.is_file());
}
