//! What a snapshot, a restore and a suspended instance promise when something is in the way: one owner at
//! all times, and nothing lost by what was refused.

use sos_core::image::{Autostart, blob_hash};
use sos_core::limits;
use sos_core::machine::Duration;
use sos_core::operator::{Contents, ToNode};
use sos_tests::programs::ticks;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const MIB: u64 = 1 << 20;

/// Writes a file of [`FILE_BYTES`], logs "tick", and sleeps for ever.
const WRITES: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open" (func $open
        (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write
        (param i32 i32 i32 i32) (result i32)))
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 3)
    (data (i32.const 16) "big")
    (data (i32.const 24) "tick")
    (data (i32.const 32) "\00\00\01\00\00\00\01\00")
    (func (export "_start") (local $left i32)
        (if (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 3) (i32.const 1)
            (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)) (then unreachable))
        (memory.fill (i32.const 65536) (i32.const 7) (i32.const 65536))
        (local.set $left (i32.const 256))
        (loop $more
            (if (call $write (i32.load (i32.const 8)) (i32.const 32) (i32.const 1) (i32.const 12))
                (then unreachable))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $more (local.get $left)))
        (drop (call $log (i32.const 2) (i32.const 24) (i32.const 4)))
        (loop (drop (call $sleep (i64.const 1000000000))) (br 0))))"#;
const FILE_BYTES: u64 = 16 * MIB;

/// Takes connections on port 7, one after the other, and reads each to its end.
const SERVES: &str = r#"(module
    (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
    (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "sos" "close" (func $close (param i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "\04\00\07\00")
    (func (export "_start") (local $listener i32) (local $peer i32)
        (local.set $listener (call $listen (i32.const 16) (i32.const 8)))
        (loop $serve
            (local.set $peer (call $accept (local.get $listener) (i32.const 0) (i32.const 0)))
            (loop $more
                (br_if $more (i32.gt_s
                    (call $read (local.get $peer) (i32.const 1024) (i32.const 1) (i32.const 0))
                    (i32.const 0))))
            (drop (call $close (local.get $peer)))
            (br $serve))))"#;

/// A module that takes a while to translate, and then ticks every second.
fn large_ticks() -> String {
    let nops = "nop ".repeat(500_000);
    let text = ticks(SECOND);
    let end = text.rfind(')').expect("a module");
    format!("{} (func $long {nops}))", &text[..end])
}

/// What every instance here may have.
const MEMORY_BYTES: u64 = MIB;
/// One that does not start by itself; each node has it.
const OTHER: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// An image with one instance that runs and one that does not.
fn image(name: &str, program: impl AsRef<[u8]>) -> Vec<u8> {
    let image = ImageBuilder::new(name).instance(name, program);
    let image = image.with(|spec| spec.limits.memory_bytes = MEMORY_BYTES);
    let image = image.instance("idle", OTHER);
    let image = image.with(|spec| {
        spec.limits.memory_bytes = MEMORY_BYTES;
        spec.autostart = Autostart::Manual;
    });
    image.build()
}

/// A node with one instance that has run for two and a half seconds.
fn with_instance(name: &str, program: impl AsRef<[u8]>) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image(name, program));
    cluster.run_for(2500 * MILLISECOND);
    cluster
}

fn done(cluster: &mut Cluster, node: usize, line: &str) {
    let text = cluster.shell(node, line);
    assert!(!text.contains("error"), "{text}");
}

fn refused(cluster: &mut Cluster, node: usize, line: &str, why: &str) {
    let text = cluster.shell(node, line);
    assert!(text.contains("error: ") && text.contains(why), "{text}");
}

/// The self-contained file of a snapshot.
fn export(cluster: &mut Cluster, outsider: &mut Outsider, snapshot: &str) -> Vec<u8> {
    let file = outsider.export(cluster, snapshot, Contents::SelfContained);
    file.expect("a file")
}

/// A node that runs `ticks` in a version that ticks every five seconds and has the snapshot `old` of one that
/// ticks every second, two ticks in; and that node's number.
fn two_versions() -> (Cluster, usize) {
    let mut cluster = with_instance("ticks", ticks(SECOND));
    done(&mut cluster, 0, "snapshot ticks to old");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let file = export(&mut cluster, &mut outsider, "old");
    outsider.leave(&mut cluster);
    let node = cluster.boot("node2", image("ticks", ticks(5 * SECOND)));
    cluster.run_for(5500 * MILLISECOND);
    let mut outsider = Outsider::greeted(&mut cluster, node);
    assert_eq!(outsider.import(&mut cluster, "old", &file), Ok(()));
    outsider.leave(&mut cluster);
    (cluster, node)
}

#[test]
fn a_snapshot_of_another_version_of_an_instance_takes_its_place() {
    let (mut cluster, node) = two_versions();
    refused(&mut cluster, node, "restore old", "runs already");
    done(&mut cluster, node, "kill ticks");
    done(&mut cluster, node, "restore old");
    cluster.run_for(3 * SECOND);
    assert_eq!(cluster.ticks(node, "ticks"), 5);
}

#[test]
fn a_restore_that_fails_leaves_the_instance_as_its_manifest_has_it() {
    let (mut cluster, node) = two_versions();
    done(&mut cluster, node, "kill ticks");
    let before = cluster.json(node, "info ticks --json");
    cluster.nodes[node].machine.memory.set_total_bytes(3 * MIB);
    refused(&mut cluster, node, "restore old", "did not start");
    cluster.nodes[node].machine.memory.set_total_bytes(64 * MIB);
    let after = cluster.json(node, "info ticks --json");
    assert_eq!(after["module_bytes"], before["module_bytes"]);
    assert_eq!(
        after["network"]["interfaces"],
        before["network"]["interfaces"]
    );
    done(&mut cluster, node, "start ticks");
    let begun = cluster.ticks(node, "ticks");
    cluster.run_for(5500 * MILLISECOND);
    assert_eq!(cluster.ticks(node, "ticks"), begun + 1, "the new version");
}

#[test]
fn a_restore_that_is_killed_while_it_loads_leaves_the_instance_as_its_manifest_has_it() {
    let mut cluster = with_instance("ticks", large_ticks());
    done(&mut cluster, 0, "snapshot ticks to old");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let file = export(&mut cluster, &mut outsider, "old");
    outsider.leave(&mut cluster);
    let node = cluster.boot("node2", image("ticks", ticks(5 * SECOND)));
    let mut outsider = Outsider::greeted(&mut cluster, node);
    assert_eq!(outsider.import(&mut cluster, "old", &file), Ok(()));
    done(&mut cluster, node, "kill ticks");
    while_loading(&mut cluster, node, "restore old", "kill ticks");
    done(&mut cluster, node, "start ticks");
    cluster.run_for(5500 * MILLISECOND);
    assert_eq!(cluster.ticks(node, "ticks"), 1, "the new version");
}

/// Types a line that makes an instance load, and another while it does.
fn while_loading(cluster: &mut Cluster, node: usize, first: &str, second: &str) {
    let text = cluster.shell(node, &format!("{first}\rls\r{second}"));
    assert!(text.contains(" loading"), "{text}");
    assert!(!text.contains("error"), "{text}");
}

/// A node with an instance that was suspended and whose translation was given up since, so that it loads when it
/// is resumed.
fn suspended() -> Cluster {
    let mut cluster = with_instance("ticks", large_ticks());
    let ticked = cluster.ticks(0, "ticks");
    assert!(ticked > 0);
    done(&mut cluster, 0, "suspend ticks");
    // Another has no memory to start with, and the unused translation goes.
    cluster.nodes[0].machine.memory.set_total_bytes(MIB);
    refused(&mut cluster, 0, "start idle", "did not start");
    cluster.nodes[0].machine.memory.set_total_bytes(4096 * MIB);
    cluster
}

#[test]
fn killing_what_is_being_resumed_gives_it_up() {
    let mut cluster = suspended();
    while_loading(&mut cluster, 0, "resume ticks", "kill ticks");
    assert_eq!(cluster.state(0, "ticks").0, "stopped");
    refused(&mut cluster, 0, "resume ticks", "not paused");
    done(&mut cluster, 0, "start ticks");
}

#[test]
fn stopping_what_is_being_resumed_leaves_it_suspended() {
    let mut cluster = suspended();
    let ticked = cluster.ticks(0, "ticks");
    while_loading(&mut cluster, 0, "resume ticks", "stop ticks");
    assert_eq!(cluster.state(0, "ticks").0, "suspended");
    refused(
        &mut cluster,
        0,
        "start ticks",
        "`resume ticks` continues it",
    );
    done(&mut cluster, 0, "resume ticks");
    cluster.run_for(10 * SECOND);
    assert!(cluster.ticks(0, "ticks") > ticked);
}

#[test]
fn what_was_suspended_with_large_files_is_resumed_only_when_a_copy_of_them_fits() {
    let mut cluster = with_instance("writes", WRITES);
    assert_eq!(cluster.ticks(0, "writes"), 1);
    done(&mut cluster, 0, "snapshot writes to full");
    done(&mut cluster, 0, "suspend writes");
    let memory = cluster.nodes[0].machine.memory.clone();
    let used_bytes = memory.total_bytes() - memory.free_bytes();
    memory.set_total_bytes(used_bytes + 12 * MIB);
    let why = "a copy of its state may take";
    refused(&mut cluster, 0, "resume writes", why);
    refused(&mut cluster, 0, "restore full as other", why);
    refused(&mut cluster, 0, "info other", "no instance named");
    memory.set_total_bytes(used_bytes + FILE_BYTES + 24 * MIB);
    done(&mut cluster, 0, "resume writes");
    assert_eq!(cluster.state(0, "writes").0, "waiting");
}

#[test]
fn what_an_operator_runs_from_outside_is_not_taken_from_under_it() {
    let mut cluster = with_instance("ticks", ticks(SECOND));
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    outsider.launch(&mut cluster, 1, &ticks(SECOND), [1000; 2]);
    cluster.run_for(1500 * MILLISECOND);
    refused(&mut cluster, 0, "suspend guest", "clone");
    refused(&mut cluster, 0, "snapshot guest to one --stop", "clone");
    outsider.listen(&mut cluster, |message| panic!("{message:?}"));
    cluster.run_for(SECOND);
    assert_eq!(cluster.ticks(0, "guest"), 2, "it went on");
    // What disturbs nobody goes.
    done(&mut cluster, 0, "snapshot guest to one");
    done(&mut cluster, 0, "restore one as other");
    done(&mut cluster, 0, "clone guest");
    // Its end is the launcher's to hear, and its name free only when the launcher lets go.
    done(&mut cluster, 0, "kill guest");
    refused(&mut cluster, 0, "restore one", "exec");
    refused(&mut cluster, 0, "start guest", "exec");
    refused(&mut cluster, 0, "restart guest", "exec");
    outsider.say(&mut cluster, &ToNode::Remove { request: 1 });
    outsider.listen(&mut cluster, |_| {});
    done(&mut cluster, 0, "restore one");
    cluster.run_for(SECOND);
    assert_eq!(cluster.ticks(0, "guest"), 3);
}

#[test]
fn a_snapshot_holds_the_modules_that_it_needs() {
    let mut cluster = with_instance("ticks", ticks(SECOND));
    done(&mut cluster, 0, "snapshot ticks to kept");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let file = export(&mut cluster, &mut outsider, "kept");
    outsider.leave(&mut cluster);
    let node = cluster.boot("node2", ImageBuilder::new("empty").build());
    let mut outsider = Outsider::greeted(&mut cluster, node);
    assert_eq!(outsider.import(&mut cluster, "kept", &file), Ok(()));
    // Room is made for as much as may be kept at all.
    let put = ToNode::PutBlob {
        request: 79,
        hash: blob_hash(b"large"),
        bytes: limits::BLOBS_BYTES,
    };
    outsider.say(&mut cluster, &put);
    outsider.listen(&mut cluster, |_| {});
    outsider.leave(&mut cluster);
    done(&mut cluster, node, "restore kept");
    cluster.run_for(3 * SECOND);
    assert_eq!(cluster.ticks(node, "ticks"), 5);
}

/// Logs eight random letters when half a second has passed, and each second after.
const DRAWS: &str = r#"(module
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (import "sos" "random" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $at i32)
        (drop (call $random (i32.const 16) (i32.const 8)))
        (drop (call $sleep (i64.const 3000000000)))
        (loop $again
            (drop (call $random (i32.const 16) (i32.const 8)))
            (local.set $at (i32.const 16))
            (loop $letters
                (i32.store8 (local.get $at) (i32.add (i32.const 97)
                    (i32.and (i32.load8_u (local.get $at)) (i32.const 15))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $letters (i32.lt_u (local.get $at) (i32.const 24))))
            (drop (call $log (i32.const 2) (i32.const 16) (i32.const 8)))
            (drop (call $sleep (i64.const 1000000000)))
            (br $again))))"#;

/// What an instance of [`DRAWS`] has drawn.
fn drawn(cluster: &mut Cluster, name: &str) -> Vec<String> {
    let log = cluster.json(0, &format!("logs {name} --json"));
    let entries = log["entries"].as_array().expect("entries");
    let texts = entries.iter().map(|entry| entry["text"].to_string());
    texts.collect()
}

#[test]
fn clones_and_rollbacks_draw_numbers_of_their_own_and_what_was_only_suspended_its_old_ones() {
    let mut undisturbed = with_instance("draws", DRAWS);
    undisturbed.run_for(5 * SECOND);
    let expected = drawn(&mut undisturbed, "draws");
    let mut cluster = with_instance("draws", DRAWS);
    done(&mut cluster, 0, "snapshot draws to running");
    done(&mut cluster, 0, "clone draws --count 2");
    done(&mut cluster, 0, "suspend draws");
    cluster.run_for(SECOND);
    done(&mut cluster, 0, "resume draws");
    done(&mut cluster, 0, "restore running as third");
    cluster.run_for(5 * SECOND);
    let own = drawn(&mut cluster, "draws");
    assert_eq!(own[..2], expected[..2]);
    done(&mut cluster, 0, "kill draws");
    done(&mut cluster, 0, "restore running");
    cluster.run_for(5 * SECOND);
    let mut seen = own;
    for name in ["draws", "draws-2", "draws-3", "third"] {
        let other = drawn(&mut cluster, name);
        assert!(other.len() > 2, "{name}: {other:?}");
        assert!(
            other.iter().all(|it| !seen.contains(it)),
            "{name}: {other:?}"
        );
        seen.extend(other);
    }
}

#[test]
fn an_instance_comes_back_as_itself_only_when_the_original_is_no_more() {
    let image = ImageBuilder::new("echoing")
        .switch("lan", Some("nic0"))
        .instance("echo", SERVES)
        .port("eth0", switch("lan"), "10.0.0.1/24");
    let (mut cluster, client) = Cluster::beside_client(image.build());
    cluster.run_for(SECOND);
    cluster.connect(client, "10.0.0.1:7").expect("a connection");
    done(&mut cluster, 0, "snapshot echo to one");
    done(&mut cluster, 0, "snapshot --group echo to group");
    for snapshot in ["one", "group"] {
        let restore = format!("restore {snapshot}");
        refused(&mut cluster, 0, &restore, "runs already");
        done(&mut cluster, 0, "pause echo");
        refused(&mut cluster, 0, &restore, "runs already");
        done(&mut cluster, 0, "resume echo");
        done(&mut cluster, 0, "suspend echo");
        refused(&mut cluster, 0, &restore, "`resume echo` continues it");
        done(&mut cluster, 0, "resume echo");
    }
    done(&mut cluster, 0, "kill echo");
    done(&mut cluster, 0, "restore one");
    cluster.connect(client, "10.0.0.1:7").expect("it serves");
}

#[test]
fn a_station_address_has_one_instance() {
    let mac = Some([2, 0, 0, 0, 0, 9]);
    let image = |name: &str| {
        let image = ImageBuilder::new(name).switch("lan", None);
        let image = image.instance(name, ticks(SECOND));
        let image = image.port("eth0", switch("lan"), "10.0.0.1/24");
        image.with(|spec| spec.ports[0].mac = mac).build()
    };
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image("one"));
    let node = cluster.boot("node2", image("two"));
    cluster.run_for(2500 * MILLISECOND);
    done(&mut cluster, 0, "snapshot one to travel --stop");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let file = export(&mut cluster, &mut outsider, "travel");
    let mut outsider = Outsider::greeted(&mut cluster, node);
    assert_eq!(outsider.import(&mut cluster, "travel", &file), Ok(()));
    let why = "'two' has the station address of 'one'";
    refused(&mut cluster, node, "restore travel", why);
    // Also when it does not run: it may at any time.
    done(&mut cluster, node, "kill two");
    refused(&mut cluster, node, "restore travel", why);
    done(&mut cluster, node, "restore travel as three");
    cluster.run_for(SECOND);
    assert_eq!(cluster.ticks(node, "three"), 3);
}

#[test]
fn only_what_nobody_went_on_from_goes_on_with_its_random_numbers() {
    let stop = |cluster: &mut Cluster, name: &str| {
        done(cluster, 0, &format!("snapshot draws to {name} --stop"));
    };
    let restored = |cluster: &mut Cluster, name: &str| {
        done(cluster, 0, &format!("restore {name}"));
        cluster.run_for(2 * SECOND);
        drawn(cluster, "draws")
    };
    let mut undisturbed = with_instance("draws", DRAWS);
    stop(&mut undisturbed, "first");
    let expected = restored(&mut undisturbed, "first");
    assert!(!expected.is_empty());

    // A file may be restored elsewhere.
    let mut cluster = with_instance("draws", DRAWS);
    stop(&mut cluster, "first");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    export(&mut cluster, &mut outsider, "first");
    outsider.leave(&mut cluster);
    assert_ne!(restored(&mut cluster, "first")[0], expected[0]);

    // The instance went on from an earlier one meanwhile, with the same peers.
    let mut cluster = with_instance("draws", DRAWS);
    done(&mut cluster, 0, "snapshot draws to earlier");
    stop(&mut cluster, "first");
    restored(&mut cluster, "earlier");
    done(&mut cluster, 0, "kill draws");
    assert_ne!(restored(&mut cluster, "first")[0], expected[0]);
}
