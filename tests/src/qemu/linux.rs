//! Linux's own TCP as the peer of a service: a network namespace for one test, and clients of an echo in it.
//!
//! The namespace is the test's own (`unshare -Urn`, which ordinary users may where user namespaces are allowed), so
//! that taps and bridges need no privilege, and its kernel's counters tell of nobody else's connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use super::node::KERNEL;
use super::{PATIENCE, eventually, kernel};

/// Set for the process that runs within the namespace.
const INSIDE: &str = "SOS_LINUX_PEER_INSIDE";
/// Bytes written at once on a full connection.
const PIECE_BYTES: usize = 20_000;

/// Runs `test`, which is what the test of this program called `name` does, in a process whose network has nothing but what
/// the commands of `setup` make, each a line such as `ip link add br0 type bridge`. Where that is not to be had it
/// says so: then the test proves nothing.
///
/// # Panics
/// When the test fails there.
pub fn in_a_network_of_its_own(name: &str, setup: &[&str], test: impl FnOnce()) {
    let script = format!("ip link set lo up && {}", setup.join(" && "));
    if std::env::var_os(INSIDE).is_some() {
        let status = Command::new("sh").args(["-ec", &script]).status();
        assert!(status.expect("a shell").success(), "{script}");
        return test();
    }
    let attempt = Command::new("unshare")
        .args(["-Urn", "sh", "-ec", &script])
        .status();
    if !attempt.is_ok_and(|status| status.success()) {
        println!("proves nothing here: no user namespace for `{script}` (unshare -Urn)");
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let status = Command::new("unshare")
        .arg("-Urn")
        .arg(program)
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env(INSIDE, "1")
        // What is built is built outside, where Cargo has its registry.
        .env(KERNEL, kernel())
        .status();
    assert!(
        status.expect("it was possible just now").success(),
        "see above"
    );
}

/// A connection to a service, once it listens.
///
/// # Panics
/// When it does not.
pub fn connect(service: &str) -> TcpStream {
    let address: SocketAddr = service.parse().expect("an address");
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

/// A connection to an echo that is full both ways until it is told to stop.
pub struct Full {
    received: Arc<AtomicU64>,
    threads: [JoinHandle<u64>; 2],
}

impl Full {
    /// Begins, with bytes that depend on the seed.
    ///
    /// # Panics
    /// When the service does not listen; its threads, when the connection breaks or brings other bytes.
    pub fn start(service: &str, seed: u32, stop: &Arc<AtomicBool>) -> Full {
        let (mut writer, stop) = (connect(service), stop.clone());
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

    /// Waits until so much more has come than when it was last asked for; tells for how long.
    ///
    /// # Panics
    /// When it does not come.
    pub fn progress(&self, bytes: u64) -> Duration {
        let begin = Instant::now();
        let wanted = self.received.load(Ordering::Relaxed) + bytes;
        eventually("a full connection goes on", || {
            let received = self.received.load(Ordering::Relaxed);
            match received >= wanted || self.threads.iter().any(JoinHandle::is_finished) {
                true => Ok(()),
                false => Err(format!("{received} bytes, not {wanted}")),
            }
        });
        begin.elapsed()
    }

    /// Waits for its end, once it was told to stop; how many bytes it carried each way.
    ///
    /// # Panics
    /// When it broke, or bytes were lost.
    pub fn finish(self) -> u64 {
        let [sent, received] = self
            .threads
            .map(|thread| thread.join().expect("a full connection"));
        assert_eq!(received, sent, "bytes were lost at the end");
        sent
    }
}

/// Sends a little and gets it back.
///
/// # Panics
/// When the connection breaks or brings something else.
pub fn exchange(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("it takes a little");
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, text);
}

/// What an interactive client did.
#[derive(Debug, Clone, Copy)]
pub struct Exchanges {
    /// How often it was answered.
    pub count: u64,
    /// How long an answer took at most.
    pub longest: Duration,
}

/// Exchanges a little with an echo, again and again with a pause between, until it is told to stop.
///
/// # Panics
/// When the service does not listen; its thread, when the connection breaks.
pub fn interact(service: &str, pause: Duration, stop: &Arc<AtomicBool>) -> JoinHandle<Exchanges> {
    let (mut stream, stop) = (connect(service), stop.clone());
    spawn(move || {
        let (mut count, mut longest) = (0_u64, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let begin = Instant::now();
            exchange(&mut stream, format!("question {count}").as_bytes());
            longest = longest.max(begin.elapsed());
            count += 1;
            std::thread::sleep(pause);
        }
        Exchanges { count, longest }
    })
}

/// A figure of this namespace's TCP (RFC 4022, as in /proc/net/snmp).
///
/// # Panics
/// When there is none of this name.
pub fn tcp_figure(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").expect("figures of the network");
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(key, _)| *key == name);
    found.expect(name).1.parse().expect("a number")
}
