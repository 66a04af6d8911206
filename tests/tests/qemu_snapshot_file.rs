//! Files of snapshots and `cargo sos snapshot` on real nodes: an instance goes on at another boot, with its
//! client's connection; what is damaged is refused on both sides; Ctrl-C leaves no half of a file.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sos::exec::Client;
use sos::image::BootImage;
use sos::snapshot::transfer;
use sos_core::image::{Bundle, Part, PartKind};
use sos_tests::qemu::{Boot, Manifest, TestNode, eventually, http};
use sos_tests::tool;

/// A node with the demo's switch, and nothing on it.
const EMPTY: &str = r#"
name = "demo"
[switch.lan]
uplink = "nic0"
"#;

/// Sums up numbers below a bound, and writes the sum.
const SUM: &str = r#"(module
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 16)
    (func $add_up (param $count i64) (result i64) (local $sum i64) (local $at i64)
        (loop $next
            (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (local.get $at)))
            (i64.store (i32.and (i32.wrap_i64 (local.get $at)) (i32.const 0xffff8)) (local.get $sum))
            (local.set $at (i64.add (local.get $at) (i64.const 1)))
            (br_if $next (i64.lt_u (local.get $at) (local.get $count))))
        (local.get $sum))
    (func (export "_start") (local $sum i64) (local $digit i32)
        (local.set $sum (call $add_up (i64.const 20000000)))
        (loop $letters
            (i32.store8 offset=16 (local.get $digit)
                (i32.add (i32.const 97) (i32.and (i32.wrap_i64 (local.get $sum)) (i32.const 15))))
            (local.set $sum (i64.shr_u (local.get $sum) (i64.const 4)))
            (local.set $digit (i32.add (local.get $digit) (i32.const 1)))
            (br_if $letters (i32.lt_u (local.get $digit) (i32.const 16))))
        (drop (call $log (i32.const 2) (i32.const 16) (i32.const 16)))
        (loop $ever (br $ever))))"#;

/// What it writes: the same sum by the host's arithmetic.
fn sum() -> String {
    let mut sum = (0..20_000_000_u64).fold(0_u64, |sum, at| sum.wrapping_mul(31).wrapping_add(at));
    let mut letters = String::new();
    for _ in 0..16 {
        letters.push(char::from(b'a' + (sum & 15) as u8));
        sum >>= 4;
    }
    letters
}

/// Waits until an instance has logged this line, however long it takes on a busy host.
fn until_logged(node: &TestNode, instance: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !node.log(instance).iter().any(|line| line == wanted) {
        let state = node.state(instance);
        assert!(
            Instant::now() < deadline,
            "{instance} is {state:?} and did not say {wanted} but {:?}",
            node.log(instance)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn empty() -> BootImage {
    Manifest::new(EMPTY).build()
}

/// Runs `cargo sos snapshot` for a node.
fn snapshot(node: &TestNode, arguments: &[&str]) -> String {
    let socket = node.channel_socket();
    let mut all = vec!["snapshot", "--channel", socket.to_str().expect("text")];
    all.extend(arguments);
    tool::succeeds(&all)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// The tool's words for a line of a node's shell.
fn ctl<'a>(socket: &'a Path, words: &[&'a str]) -> Vec<&'a str> {
    [&["ctl", "--channel", text(socket)], words].concat()
}

fn answers(client: &mut http::Connection, method: &str, target: &str, body: &str, expected: &str) {
    let answer = client.ask(method, target, body.as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
    assert!(answer.text().contains(expected), "{}", answer.text());
}

#[test]
fn a_connection_outlives_the_way_through_a_file_to_another_boot() {
    // Before a node computes: it takes a while.
    tool::program();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let (web, store) = (file("pair.web.snap"), file("pair.store.snap"));
    let node = Boot::demo().with_channel().start();
    node.web_serves();
    let mut client = http::Connection::open(node.port()).expect("web listens");
    answers(&mut client, "PUT", "/kv/greeting", "hello", "stored");

    let rows = snapshot(&node, &["take", "web", "store", "pair", "--stop", "--json"]);
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    let instances = rows.as_array().into_iter().flatten();
    let instances: Vec<_> = instances
        .filter_map(|row| row["instance"].as_str())
        .collect();
    assert!(instances.contains(&"web") && instances.len() == 2, "{rows}");
    let table = snapshot(&node, &["list"]);
    assert!(
        table.starts_with("NAME") && table.lines().count() == 3,
        "{table}"
    );
    snapshot(
        &node,
        &["export", "pair", "-o", text(folder.path()), "--compress"],
    );
    let again = ["export", "pair.store", "-o", text(&store), "--json"];
    let said: Value = serde_json::from_str(&snapshot(&node, &again)).expect("JSON");
    let length = store.metadata().expect("the file").len();
    assert_eq!(said["bytes"].as_u64(), Some(length));
    let lan = node.leave_lan();

    let seen = tool::succeeds(&["snapshot", "inspect", text(&web)]);
    println!("{seen}");
    for words in [
        "sound",
        "instance   web",
        "memory 0",
        "listener",
        "tcp",
        "open",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }

    let node = Boot::image(&empty()).on_lan(lan).with_channel().start();
    let two = tool::fails(&["snapshot", "import", text(&store), text(&web), "--to", "x"]);
    assert!(two.contains("2 files"), "{two}");
    snapshot(&node, &["import", text(&store), text(&web)]);
    let made = snapshot(&node, &["restore", "pair"]);
    assert!(made.contains("web") && made.contains("store"), "{made}");
    answers(&mut client, "GET", "/kv/greeting", "", "hello");
    answers(&mut client, "PUT", "/kv/greeting", "again", "stored");
    answers(&mut client, "GET", "/kv/greeting", "", "again");
    snapshot(&node, &["rm", "pair.store"]);
    let rows: Value = serde_json::from_str(&snapshot(&node, &["list", "--json"])).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    // Another one of it, on the same wire.
    let other = [
        "restore",
        "pair.web",
        "--to",
        "other",
        "--address",
        "eth0=10.0.2.77/24",
    ];
    let made = snapshot(&node, &other);
    assert!(made.contains("other"), "{made}");
    let socket = node.channel_socket();
    let detail = tool::succeeds(&ctl(&socket, &["info", "other"]));
    assert!(detail.contains("10.0.2.77/24"), "{detail}");
    node.power_off();
}

#[test]
fn a_line_of_the_shell_is_run_on_a_node_from_here() {
    let node = Boot::demo().with_channel().start();
    node.web_serves();
    let socket = node.channel_socket();
    let table = tool::succeeds(&ctl(&socket, &["ls"]));
    assert!(
        table.starts_with("NAME") && table.contains("\nweb "),
        "{table}"
    );
    let rows = tool::succeeds(&ctl(&socket, &["ls", "--json"]));
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    assert!(rows.as_array().is_some_and(|rows| !rows.is_empty()));
    let refused = tool::fails(&ctl(&socket, &["stop", "no body"]));
    assert!(refused.contains("'no body'"), "{refused}");
    let unknown = tool::fails(&ctl(&socket, &["fly"]));
    assert!(unknown.contains("fly"), "{unknown}");
    tool::succeeds(&ctl(&socket, &["stop", "web"]));
    node.until_state("web", "stopped");
    node.power_off();
}

#[test]
fn a_computation_ends_as_it_would_have_after_a_way_through_a_damaged_and_a_sound_file() {
    // Before a node computes: it takes a while.
    tool::program();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("busy.snap");
    let manifest = "name = \"sums\"\n[instance.sum]\nmodule = \"sum.wasm\"\n";
    let module = wat::parse_str(SUM).expect("a module");
    let image = Manifest::new(manifest).file("sum.wasm", &module).build();
    let node = Boot::image(&image).with_channel().start();
    node.until_state("sum", "running");
    snapshot(&node, &["take", "sum", "busy", "--stop"]);
    assert!(node.log("sum").is_empty(), "it was done before it was cut");
    snapshot(&node, &["export", "busy", "-o", text(&file)]);
    let refused = tool::fails(&[
        "snapshot",
        "--channel",
        text(&node.channel_socket()),
        "export",
        "none",
        "-o",
        text(&folder.path().join("none.snap")),
    ]);
    assert!(refused.contains("no snapshot named 'none'"), "{refused}");
    assert_eq!(folder.path().read_dir().expect("a folder").count(), 1);
    node.power_off();

    let sound = std::fs::read(&file).expect("the file");
    let mut edited = sound.clone();
    edited[sound.len() / 2] ^= 1;
    let node = Boot::bare("sos").with_channel().start();
    for (bytes, words) in [
        (&sound[..sound.len() / 2], "the file ends here"),
        (&edited, "checksum"),
    ] {
        let damaged = folder.path().join("damaged.snap");
        std::fs::write(&damaged, bytes).expect("written");
        let seen = tool::run(&["snapshot", "inspect", text(&damaged)]);
        assert_eq!(seen.status.code(), Some(1));
        let socket = node.channel_socket();
        let refused = tool::fails(&[
            "snapshot",
            "--channel",
            text(&socket),
            "import",
            text(&damaged),
        ]);
        assert!(refused.contains(words), "{refused}");
        // The node's own word, of one that asks it without a look at the file.
        let patience = Duration::from_secs(60);
        let mut client = Client::open(node.channel(), patience, patience, || ()).expect("a node");
        let length = bytes.len() as u64;
        let result = transfer::import(&mut client, "damaged", &mut &*bytes, length, &mut |_| ());
        let refused = result.expect_err("a damaged file").to_string();
        assert!(refused.contains(words), "{refused}");
    }
    snapshot(&node, &["import", text(&file), "--to", "sound"]);
    assert_eq!(snapshot(&node, &["restore", "sound"]), "sum\n");
    until_logged(&node, "sum", &sum());
    node.power_off();
}

#[test]
fn a_snapshot_given_at_boot_goes_on_and_is_told_to_be_the_nodes_own() {
    // Before a node computes: it takes a while.
    tool::program();
    let folder = tempfile::tempdir().expect("a folder");
    let (file, key) = (folder.path().join("busy.snap"), folder.path().join("key"));
    std::fs::write(&key, [7; 32]).expect("written");
    let given = format!("name=opt/sos/secret,file={}", text(&key));
    let secret = ["-fw_cfg", &given];
    let manifest = "name = \"sums\"\n[instance.sum]\nmodule = \"sum.wasm\"\n";
    let module = wat::parse_str(SUM).expect("a module");
    let image = Manifest::new(manifest).file("sum.wasm", &module).build();
    let node = Boot::image(&image)
        .arguments(&secret)
        .with_channel()
        .start();
    node.until_state("sum", "running");
    snapshot(&node, &["take", "sum", "busy"]);
    snapshot(&node, &["export", "busy", "-o", text(&file)]);
    node.power_off();
    let seen = tool::succeeds(&["snapshot", "inspect", text(&file), "--key-file", text(&key)]);
    assert!(seen.contains("the node with this key"), "{seen}");

    let part = |kind, name: &str, bytes| Part {
        kind,
        name: name.into(),
        bytes,
    };
    let bytes = std::fs::read(&file).expect("the file");
    let empty = empty();
    let bundle = Bundle {
        parts: vec![
            part(PartKind::Image, "", &empty.bytes),
            part(PartKind::Restored, "busy", &bytes),
        ],
    };
    let node = Boot::bytes(bundle.encode().expect("a bundle"))
        .named("demo")
        .arguments(&secret)
        .with_channel()
        .start();
    until_logged(&node, "sum", &sum());
    let rows: Value = serde_json::from_str(&snapshot(&node, &["list", "--json"])).expect("JSON");
    assert_eq!(
        (&rows[0]["name"], &rows[0]["maker"]),
        (&"busy".into(), &"this node".into())
    );
    node.power_off();
}

/// Writes 30 MiB into a file, says so, and then reads them again and again.
const FILES: &str = r#"(module
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite"
        (func $write (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread"
        (func $read (param i32 i32 i32 i64 i32) (result i32)))
    (memory (export "memory") 3)
    (data (i32.const 0) "\00\00\01\00\00\00\01\00")
    (data (i32.const 32) "big") (data (i32.const 64) "written") (data (i32.const 80) "right")
    (func $piece (param $number i32) (result i64)
        (i64.mul (i64.extend_i32_u (local.get $number)) (i64.const 65536)))
    (func $require (param $sound i32) (if (i32.eqz (local.get $sound)) (then unreachable)))
    (func (export "_start") (local $number i32) (local $file i32)
        (call $require (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 3)
            (i32.const 1) (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 16))))
        (local.set $file (i32.load (i32.const 16)))
        (loop $next
            (i32.store (i32.const 65536) (local.get $number))
            (i32.store (i32.const 131068) (local.get $number))
            (call $require (i32.eqz (call $write (local.get $file) (i32.const 0) (i32.const 1)
                (call $piece (local.get $number)) (i32.const 8))))
            (call $require (i32.eq (i32.load (i32.const 8)) (i32.const 65536)))
            (local.set $number (i32.add (local.get $number) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $number) (i32.const 480))))
        (drop (call $log (i32.const 2) (i32.const 64) (i32.const 7)))
        (loop $ever
            (drop (call $sleep (i64.const 500000000)))
            (local.set $number (i32.const 0))
            (loop $next
                (call $require (i32.eqz (call $read (local.get $file) (i32.const 0) (i32.const 1)
                    (call $piece (local.get $number)) (i32.const 8))))
                (call $require (i32.eq (i32.load (i32.const 65536)) (local.get $number)))
                (call $require (i32.eq (i32.load (i32.const 131068)) (local.get $number)))
                (local.set $number (i32.add (local.get $number) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $number) (i32.const 480))))
            (drop (call $log (i32.const 2) (i32.const 80) (i32.const 5)))
            (br $ever))))"#;

/// Neither node could hold the files twice more: their bytes are encoded and decoded in pieces.
#[test]
fn an_instance_with_large_files_travels_between_small_nodes() {
    // Before a node computes: it takes a while.
    tool::program();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("files.snap");
    let manifest = "name = \"files\"\n[instance.files]\nmodule = \"files.wasm\"\npreopen = \"/\"\n";
    let module = wat::parse_str(FILES).expect("a module");
    let image = Manifest::new(manifest).file("files.wasm", &module).build();
    let node = Boot::image(&image).with_channel().memory_mib(96).start();
    until_logged(&node, "files", "written");
    snapshot(&node, &["take", "files", "files", "--stop"]);
    snapshot(&node, &["export", "files", "-o", text(&file)]);
    node.power_off();
    assert!(file.metadata().expect("the file").len() > 30 << 20);
    let node = Boot::bare("sos").with_channel().memory_mib(96).start();
    snapshot(&node, &["import", text(&file)]);
    snapshot(&node, &["restore", "files"]);
    until_logged(&node, "files", "right");
    node.power_off();
}

#[test]
fn an_interrupted_export_leaves_no_file() {
    // Before a node computes: it takes a while.
    tool::program();
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = "name = \"large\"\n[instance.large]\nmodule = \"large.wasm\"\n";
    // 48 MiB, of which no two pages are alike.
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 768) (func (export "_start") (local $at i32)
            (loop $next
                (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 1)))
                (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const 50331648))))
            (loop $ever (br $ever))))"#,
    );
    let module = module.expect("a module");
    let image = Manifest::new(manifest).file("large.wasm", &module).build();
    let node = Boot::image(&image).memory_mib(256).with_channel().start();
    eventually("all pages are there", || {
        let row = snapshot(&node, &["take", "large", "large", "--json"]);
        let row: Value = serde_json::from_str(&row).expect("JSON");
        match row[0]["memory_bytes"].as_u64() {
            Some(50_331_648..) => Ok(()),
            bytes => {
                snapshot(&node, &["rm", "large"]);
                Err(format!("{bytes:?}"))
            }
        }
    });
    let mut tool = Command::new(tool::program());
    tool.args(["snapshot", "--channel", text(&node.channel_socket())]);
    tool.args([
        "export",
        "large",
        "-o",
        text(&folder.path().join("large.snap")),
    ]);
    let mut export = tool.stderr(Stdio::piped()).spawn().expect("the tool");
    eventually("a part of the file", || {
        let mut files = folder.path().read_dir().expect("a folder").flatten();
        match files.any(|file| file.metadata().is_ok_and(|data| data.len() > 1 << 20)) {
            true => Ok(()),
            false => Err(format!("{:?}", export.try_wait())),
        }
    });
    let sent = Command::new("kill")
        .args(["-INT", &export.id().to_string()])
        .status();
    assert!(sent.expect("kill").success());
    assert_eq!(export.wait().expect("an end").code(), Some(130));
    assert_eq!(folder.path().read_dir().expect("a folder").count(), 0);
    // The node is there for the next one.
    snapshot(
        &node,
        &[
            "export",
            "large",
            "-o",
            text(&folder.path().join("large.snap")),
        ],
    );
    tool::succeeds(&[
        "snapshot",
        "inspect",
        text(&folder.path().join("large.snap")),
    ]);
    node.power_off();
}
