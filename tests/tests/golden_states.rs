//! Golden snapshots of real instances: every version's is read and goes on with every later kernel, with the right
//! output.
//!
//! A pair of instances in the midst of a talk: `server`, a set of two modules that waits three calls deep in a read, with
//! vectors and references in its frames, tables that its program changed, files of its own and of the image, and a DHCP
//! lease; and `client`, which sleeps. Both were cut at one instant by stopping snapshots, self-contained and
//! compressed.
//!
//! After a change on purpose (a raised version, `kernel/SNAPSHOT.md`), name the new version in [`VERSIONS`] and write
//! its files by `SOS_WRITE_GOLDEN=1 cargo test -p sos-tests --test golden_states`; old ones are never written again.

use sos_core::image::AddressSpec;
use sos_core::machine::Duration;
use sos_core::operator::{Contents, Packing};
use sos_core::snapshot::format::Summary;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::{Cluster, Station};
use sos_tests::sim::image::{ImageBuilder, switch};
use std::path::PathBuf;

/// Versions of the states of which there are files; the last is written today.
const VERSIONS: &[&str] = &["1.1"];
const NAMES: [&str; 2] = ["server", "client"];
const SECOND: Duration = Duration::from_secs(1);
/// Messages that were answered before the cut.
const ANSWERED: usize = 3;
/// The largest that a file may be.
const FILE_BYTES: usize = 100_000;

/// Answers each byte with a sum of what its parts remember of all bytes that came: a vector in a frame, the length of
/// a file, and the counter of the library, which it calls through a table that it filled itself.
const SERVER: &str = r#"(module
    (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
    (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "sos" "console_write" (func $print (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $append (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_tell" (func $tell (param i32 i32) (result i32)))
    (import "counting" "count" (func $count (result i32)))
    (import "counting" "nested" (func $nested (param funcref v128) (result v128)))
    (type $step (func (param v128) (result v128)))
    (memory (export "memory") 2)
    (table $steps 4 16 funcref)
    (global $socket (mut i32) (i32.const -1))
    (global $chosen (mut funcref) (ref.null func))
    (elem $spare funcref (ref.func $count))
    (elem declare func $exchange)
    (data (i32.const 16) "\04\00\07\00")
    (data (i32.const 256) "made")
    (data $dropped "gone")
    ;; Waits for a byte, remembers and answers it: three calls deep, with its vector in a local.
    (func $exchange (type $step) (param $sum v128) (result v128)
        (local $kept f64)
        (local.set $kept (f64.const 0.5))
        (drop (call $read (global.get $socket) (i32.const 1024) (i32.const 1) (i32.const 0)))
        (i32.store (i32.const 40) (i32.const 1024))
        (i32.store (i32.const 44) (i32.const 1))
        (drop (call $append (i32.load (i32.const 32)) (i32.const 40) (i32.const 1)
            (i32.const 48)))
        (drop (call $tell (i32.load (i32.const 32)) (i32.const 56)))
        (local.set $sum (i32x4.add (local.get $sum)
            (i32x4.splat (i32.load8_u (i32.const 1024)))))
        (i32.store8 (i32.const 1024) (i32.add
            (i32.add (i32x4.extract_lane 3 (local.get $sum)) (i32.load (i32.const 56)))
            (i32.mul (call_indirect $steps (result i32) (i32.const 3))
                (i32.trunc_f64_s (f64.mul (local.get $kept) (f64.const 6))))))
        (drop (call $write (global.get $socket) (i32.const 1024) (i32.const 1) (i32.const 0)))
        (local.get $sum))
    (func (export "_start") (local $sum v128)
        (data.drop $dropped)
        (table.init $steps $spare (i32.const 3) (i32.const 0) (i32.const 1))
        (drop (table.grow $steps (ref.func $exchange) (i32.const 2)))
        (global.set $chosen (table.get $steps (i32.const 4)))
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 256) (i32.const 4)
            (i32.const 1) (i64.const 102) (i64.const 0) (i32.const 0) (i32.const 32)))
        (drop (call $log (i32.const 2) (i32.const 256) (i32.const 4)))
        (drop (call $print (i32.const 256) (i32.const 4)))
        (global.set $socket (call $accept (call $listen (i32.const 16) (i32.const 4))
            (i32.const 0) (i32.const 0)))
        (loop $more
            (local.set $sum (call $nested (global.get $chosen) (local.get $sum)))
            (br $more))))"#;

/// Counts, and calls what it is given, in a module with a memory and a table of its own.
const COUNTING: &str = r#"(module
    (type $step (func (param v128) (result v128)))
    (memory 1)
    (table 2 funcref)
    (global $calls (mut i64) (i64.const 0))
    (func (export "count") (result i32)
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
        (i32.load (i32.const 8)))
    (func (export "nested") (param $step funcref) (param $sum v128) (result v128)
        (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
        (table.set 0 (i32.const 1) (local.get $step))
        (call_indirect (type $step) (local.get $sum) (i32.const 1))))"#;

/// Sends 1, 2, 3, … a second apart and logs each answer as a hexadecimal digit pair.
const CLIENT: &str = r#"(module
    (import "sos" "tcp_connect" (func $connect (param i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "\04\00\07\00\00\00\00\00\0a\01\00\02")
    (data (i32.const 64) "0123456789abcdef")
    (func $digit (param $at i32) (param $value i32)
        (i32.store8 (local.get $at)
            (i32.load8_u offset=64 (i32.and (local.get $value) (i32.const 15)))))
    (func (export "_start") (local $socket i32) (local $number i32) (local $read i32)
        (drop (call $sleep (i64.const 100000000)))
        (local.set $socket (call $connect (i32.const 16) (i32.const 0)))
        (loop $more
            (drop (call $sleep (i64.const 1000000000)))
            (local.set $number (i32.add (local.get $number) (i32.const 1)))
            (i32.store8 (i32.const 128) (local.get $number))
            (drop (call $write (local.get $socket) (i32.const 128) (i32.const 1) (i32.const 0)))
            (local.set $read
                (call $read (local.get $socket) (i32.const 128) (i32.const 1) (i32.const 0)))
            (if (i32.ne (local.get $read) (i32.const 1)) (then unreachable))
            (call $digit (i32.const 130)
                (i32.shr_u (i32.load8_u (i32.const 128)) (i32.const 4)))
            (call $digit (i32.const 131) (i32.load8_u (i32.const 128)))
            (drop (call $log (i32.const 2) (i32.const 130) (i32.const 2)))
            (br $more))))"#;

/// What the server answers to its `number`-th byte: the sum, the length of the file, three times the counter.
fn answer(number: usize) -> String {
    let sum = number * (number + 1) / 2 + number + 3 * number;
    format!("{:02x}", sum as u8)
}

fn path(version: &str, name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder
        .join("golden")
        .join(format!("states-{version}-{name}.snap"))
}

/// What a DHCP server at 10.0.0.100 says to a frame that asks for an address: 10.0.0.5/24 for an hour (RFC 2131, 3.1).
fn dhcp_answer(frame: &[u8]) -> Option<Vec<u8>> {
    const HEADERS: usize = 14 + 20 + 8;
    const MAGIC: [u8; 4] = [99, 130, 83, 99];
    const OFFER: u8 = 2;
    const ACKNOWLEDGED: u8 = 5;
    // IPv4, UDP, from port 68 to port 67.
    let is_question = frame.get(12..14) == Some(&[8, 0])
        && frame.get(23) == Some(&17)
        && frame.get(34..38) == Some(&[0, 68, 0, 67]);
    if !is_question {
        return None;
    }
    let question = &frame[HEADERS..];
    let is_discovery = question[240..]
        .windows(3)
        .any(|option| option == [53, 1, 1]);
    let mut answer = question[..236].to_vec();
    answer[0] = 2;
    answer[16..20].copy_from_slice(&[10, 0, 0, 5]);
    answer.extend(MAGIC);
    answer.extend([53, 1, if is_discovery { OFFER } else { ACKNOWLEDGED }]);
    answer.extend([54, 4, 10, 0, 0, 100]);
    answer.extend([51, 4, 0, 0, 14, 16]);
    answer.extend([1, 4, 255, 255, 255, 0]);
    answer.extend([3, 4, 10, 0, 0, 100, 6, 4, 10, 0, 0, 100, 255]);
    let udp_bytes = (answer.len() + 8) as u16;
    let mut out = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &[8, 0]].concat();
    out.extend([0x45, 0]);
    out.extend((udp_bytes + 20).to_be_bytes());
    out.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 100, 255, 255, 255, 255]);
    let sum: u32 = out[14..34]
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    out[24..26].copy_from_slice(&checksum.to_be_bytes());
    out.extend([0, 67, 0, 68]);
    out.extend(udp_bytes.to_be_bytes());
    // No checksum, as IPv4 allows.
    out.extend([0, 0]);
    out.extend(answer);
    Some(out)
}

/// Runs for `duration` while a DHCP server answers.
fn run_with_leases(cluster: &mut Cluster, duration: Duration) {
    cluster.run_until(duration, |cluster| {
        let seen = cluster.seen.replace(Vec::new()).unwrap_or_default();
        for answer in seen.iter().filter_map(|frame| dhcp_answer(frame)) {
            cluster.send(Station::Stranger, answer);
        }
        false
    });
}

/// The pair's files, of this version.
fn write() -> [Vec<u8>; 2] {
    let image = ImageBuilder::new("golden")
        .switch("inner", None)
        .switch("lan", Some("nic0"))
        .instance("server", SERVER)
        .library("counting", COUNTING)
        .file("/etc/motd", b"from the image")
        .port("eth0", switch("inner"), "10.1.0.2/24")
        .port("eth1", switch("lan"), "10.0.0.1/24")
        .with(|spec| spec.ports[1].addresses = vec![AddressSpec::Dhcp])
        .instance("client", CLIENT)
        .port("eth0", switch("inner"), "10.1.0.1/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    run_with_leases(&mut cluster, 4 * SECOND);
    assert_eq!(
        answers(&mut cluster),
        (1..=ANSWERED).map(answer).collect::<Vec<_>>()
    );
    for name in NAMES {
        // Both in one turn: no frame travels between them.
        cluster.type_text(0, &format!("snapshot {name} to {name} --stop\r"));
    }
    cluster.run_for(SECOND);
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    NAMES.map(|name| {
        let (contents, packing) = (Contents::SelfContained, Packing::Compressed);
        let file = outsider.export_packed(&mut cluster, name, contents, packing);
        file.expect("a file")
    })
}

/// What the client was answered.
fn answers(cluster: &mut Cluster) -> Vec<String> {
    let log = cluster.json(0, "logs client --json");
    let entries = log["entries"].as_array().expect("entries").iter();
    let texts = entries.map(|entry| entry["text"].as_str().expect("a text").to_string());
    texts.collect()
}

/// A new node on which the pair goes on.
fn goes_on(version: &str, files: [&[u8]; 2]) {
    let image = ImageBuilder::new("later")
        .switch("inner", None)
        .switch("lan", Some("nic0"));
    let mut cluster = Cluster::new(7);
    cluster.boot("node1", image.build());
    cluster.run_for(SECOND);
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    for (name, file) in NAMES.into_iter().zip(files) {
        let summary = Summary::read(file);
        assert!(summary.complete, "{version} {name}: {:?}", summary.error);
        let imported = outsider.import(&mut cluster, name, file);
        assert_eq!(imported, Ok(()), "{version} {name}");
    }
    for name in NAMES {
        let text = cluster.shell(0, &format!("restore {name}"));
        assert!(!text.contains("error"), "{version}: {text}");
    }
    assert_eq!(
        cluster.state(0, "server"),
        ("waiting".into(), "tcp_read".into())
    );
    let info = cluster.json(0, "info server --json");
    let addresses = info["network"]["interfaces"].to_string();
    assert!(addresses.contains("10.0.0.5"), "{version}: {addresses}");
    cluster.run_for(6 * SECOND);
    let answers = answers(&mut cluster);
    assert!(answers.len() >= ANSWERED + 4, "{version}: {answers:?}");
    let expected: Vec<String> = (1..=answers.len()).map(answer).collect();
    assert_eq!(answers, expected, "{version}");
    let console = cluster.shell(0, "console server");
    assert!(console.contains("made"), "{version}: {console}");
}

#[test]
fn instances_of_every_version_go_on() {
    if std::env::var_os("SOS_WRITE_GOLDEN").is_some() {
        let today = VERSIONS.last().expect("a version");
        for (name, file) in NAMES.into_iter().zip(write()) {
            let path = path(today, name);
            if !path.exists() {
                std::fs::write(&path, file).expect("written");
            }
        }
    }
    for version in VERSIONS {
        let files = NAMES.map(|name| {
            let path = path(version, name);
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        goes_on(version, [&files[0], &files[1]]);
    }
}

#[test]
fn instances_of_this_version_go_on() {
    let files = write();
    for (name, file) in NAMES.into_iter().zip(&files) {
        assert!(file.len() < FILE_BYTES, "{name}: {} bytes", file.len());
    }
    goes_on("today", [&files[0], &files[1]]);
}
