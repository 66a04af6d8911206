//! A real Linux TCP at the other end: several connections, two of them full both ways, while their instance is cut,
//! suspended and restored. Every byte comes, in order; nobody says RST; nobody connects again.
//!
//! The peer is this host's own kernel, in a network namespace of the test's own (`unshare -Urn`, which ordinary users
//! may where user namespaces are allowed), joined to QEMU by a tap. Where that is not to be had, the test says so
//! and proves nothing. A hundred rounds:
//! `cargo test -p sos-tests --test qemu_linux_peer -- --ignored --nocapture`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use sos_tests::programs::ECHO_TO_MANY;
use sos_tests::qemu::{Boot, Manifest, Nic, PATIENCE, TestNode, eventually, kernel};

/// Set for the process that runs within the namespace.
const INSIDE: &str = "SOS_LINUX_PEER_INSIDE";
const SERVICE: &str = "10.9.0.1:7";
/// Bytes written at once on a full connection.
const PIECE_BYTES: usize = 20_000;
/// Bytes that must have come on every full connection between one round and the next.
const PROGRESS_BYTES: u64 = 100_000;

const MANIFEST: &str = r#"
    name = "linux"
    [switch.lan]
    uplink = "nic0"
    [instance.echo]
    module = "./echo.wat"
    limits.memory = "4MiB"
    port.eth0 = { switch = "lan", address = "10.9.0.1/24" }
"#;

/// What is done to the instance in one round: lines at the shell.
const ROUNDS: &[&[&str]] = &[
    &["snapshot echo to cut", "snapshot rm cut"],
    &["suspend echo", "resume echo"],
    &[
        "snapshot echo to cut --stop",
        "restore cut",
        "snapshot rm cut",
    ],
];

#[test]
fn connections_with_linux_lose_nothing_through_ten_captures_under_load() {
    let name = "connections_with_linux_lose_nothing_through_ten_captures_under_load";
    in_a_network_of_its_own(name, || talk_through(10));
}

#[test]
#[ignore = "takes minutes; the command is above"]
fn connections_with_linux_lose_nothing_through_a_hundred_captures_under_load() {
    let name = "connections_with_linux_lose_nothing_through_a_hundred_captures_under_load";
    in_a_network_of_its_own(name, || talk_through(100));
}

/// Runs `test`, which is what the test called `name` does, in a process whose network has nothing but a tap.
fn in_a_network_of_its_own(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["tuntap", "add", "dev", "sos0", "mode", "tap"]);
        run("ip", &["address", "add", "10.9.0.2/24", "dev", "sos0"]);
        run("ip", &["link", "set", "sos0", "up"]);
        return test();
    }
    let attempt = Command::new("unshare")
        .args(["-Urn", "ip", "tuntap", "add", "dev", "sos0", "mode", "tap"])
        .status();
    if !attempt.is_ok_and(|status| status.success()) {
        println!(
            "proves nothing here: no user namespace with a tap (unshare -Urn ip tuntap add …)"
        );
        return;
    }
    // What is built is built outside, where Cargo has its registry.
    kernel();
    let program = std::env::current_exe().expect("this program");
    let status = Command::new("unshare")
        .arg("-Urn")
        .arg(program)
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(
        status.expect("it was possible just now").success(),
        "see above"
    );
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.expect(program).success(), "{program} {arguments:?}");
}

fn boot() -> TestNode {
    let image = Manifest::new(MANIFEST)
        .file("echo.wat", ECHO_TO_MANY)
        .build();
    let card = "virtio-net-pci,netdev=net0,mac=02:53:4f:53:00:01,disable-legacy=on,romfile=";
    let netdev = "tap,id=net0,ifname=sos0,script=no,downscript=no";
    Boot::image(&image)
        .nic(Nic::None)
        .arguments(&["-netdev", netdev, "-device", card])
        .watchdog(Duration::from_secs(900))
        .start()
}

fn connect() -> TcpStream {
    let address: SocketAddr = SERVICE.parse().expect("an address");
    let stream = eventually("the service listens", || {
        TcpStream::connect_timeout(&address, Duration::from_secs(1))
            .map_err(|error| error.to_string())
    });
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.set_write_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// Bytes in an order that shows every loss and every repetition.
struct Bytes(u32);

impl Bytes {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 24) as u8
    }
}

/// A connection that is full both ways until it is told to stop.
struct Full {
    received: Arc<AtomicU64>,
    threads: [JoinHandle<u64>; 2],
}

impl Full {
    fn start(seed: u32, stop: &Arc<AtomicBool>) -> Full {
        let (mut writer, stop) = (connect(), stop.clone());
        let mut reader = writer.try_clone().expect("a second handle");
        let received = Arc::new(AtomicU64::new(0));
        let count = received.clone();
        let write = spawn(move || {
            let (mut bytes, mut sent) = (Bytes(seed), 0);
            let mut piece = vec![0; PIECE_BYTES];
            while !stop.load(Ordering::Relaxed) {
                piece.fill_with(|| bytes.next());
                writer
                    .write_all(&piece)
                    .expect("a full connection takes on");
                sent += PIECE_BYTES as u64;
            }
            writer.shutdown(Shutdown::Write).expect("it is there");
            sent
        });
        let read = spawn(move || {
            let mut bytes = Bytes(seed);
            let mut buffer = vec![0; 65_536];
            loop {
                let length = reader
                    .read(&mut buffer)
                    .expect("a full connection brings on");
                let before = count.fetch_add(length as u64, Ordering::Relaxed);
                if length == 0 {
                    return before;
                }
                let is_right = buffer[..length].iter().all(|&byte| byte == bytes.next());
                assert!(is_right, "other bytes within {length} after {before}");
            }
        });
        Full {
            received,
            threads: [write, read],
        }
    }

    /// Waits until more has come; tells for how long.
    fn progress(&self) -> Duration {
        let begin = Instant::now();
        let wanted = self.received.load(Ordering::Relaxed) + PROGRESS_BYTES;
        eventually("a full connection goes on", || {
            let received = self.received.load(Ordering::Relaxed);
            match received >= wanted || self.threads.iter().any(JoinHandle::is_finished) {
                true => Ok(()),
                false => Err(format!("{received} bytes, not {wanted}")),
            }
        });
        begin.elapsed()
    }

    fn finish(self) -> u64 {
        let [sent, received] = self
            .threads
            .map(|thread| thread.join().expect("a full connection"));
        assert_eq!(received, sent, "bytes were lost at the end");
        sent
    }
}

/// Sends a little and gets it back.
fn exchange(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("it takes a little");
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, text);
}

/// Exchanges a little, again and again, until it is told to stop; tells how often.
fn interact(stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (mut stream, stop) = (connect(), stop.clone());
    spawn(move || {
        let mut count = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            exchange(&mut stream, format!("question {count}").as_bytes());
            count += 1;
            std::thread::sleep(Duration::from_millis(5));
        }
        count
    })
}

/// A figure of this namespace's TCP (RFC 4022, as in /proc/net/snmp).
fn tcp_figure(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").expect("figures of the network");
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(key, _)| *key == name);
    found.expect(name).1.parse().expect("a number")
}

fn talk_through(captures: usize) {
    let node = boot();
    let mut idle: Vec<TcpStream> = (0..2).map(|_| connect()).collect();
    idle.iter_mut()
        .for_each(|stream| exchange(stream, b"before"));
    let stop = Arc::new(AtomicBool::new(false));
    let full: Vec<Full> = (1..3).map(|seed| Full::start(seed, &stop)).collect();
    let interactive: Vec<_> = (0..2).map(|_| interact(&stop)).collect();
    for full in &full {
        full.progress();
    }
    let opened = tcp_figure("ActiveOpens");
    let mut longest = Duration::ZERO;
    for number in 0..captures {
        for line in ROUNDS[number % ROUNDS.len()] {
            let said = node.shell(line);
            assert!(!said.contains("error"), "capture {number}, {line}: {said}");
        }
        for full in &full {
            longest = longest.max(full.progress());
        }
    }
    stop.store(true, Ordering::Relaxed);
    let exchanges: Vec<u64> = interactive
        .into_iter()
        .map(|thread| thread.join().expect("answers"))
        .collect();
    let carried: Vec<u64> = full.into_iter().map(Full::finish).collect();
    idle.iter_mut()
        .for_each(|stream| exchange(stream, b"after"));
    assert!(exchanges.iter().all(|&count| count > 0), "{exchanges:?}");
    assert_eq!(
        tcp_figure("ActiveOpens"),
        opened,
        "somebody connected again"
    );
    assert_eq!(tcp_figure("EstabResets"), 0, "a connection was reset");
    assert_eq!(tcp_figure("OutRsts"), 0, "Linux had to reset something");
    println!(
        "{captures} captures: {carried:?} bytes each way, {exchanges:?} exchanges, {} segments sent again, \
         at most {longest:?} for {PROGRESS_BYTES} bytes",
        tcp_figure("RetransSegs")
    );
    node.power_off();
}
