//! Snapshots, restores, clones and suspended instances on simulated nodes, at the shell and over the
//! operator's channel.

use sos_core::machine::Duration;
use sos_core::operator::Contents;
use sos_core::snapshot::format::Summary;
use sos_tests::programs::{COUNTING_ECHO, SPINS, ticks};
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;

const SECOND: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);

/// Logs eight random letters each second.
const DRAWS: &str = r#"(module
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (import "sos" "random" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $at i32)
        (loop $again
            (drop (call $sleep (i64.const 1000000000)))
            (drop (call $random (i32.const 16) (i32.const 8)))
            (local.set $at (i32.const 16))
            (loop $letters
                (i32.store8 (local.get $at) (i32.add (i32.const 97)
                    (i32.and (i32.load8_u (local.get $at)) (i32.const 15))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $letters (i32.lt_u (local.get $at) (i32.const 24))))
            (drop (call $log (i32.const 2) (i32.const 16) (i32.const 8)))
            (br $again))))"#;

fn ticking() -> Cluster {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("ticking").instance("ticks", ticks(SECOND));
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_millis(2500));
    assert_eq!(cluster.ticks(0, "ticks"), 2);
    cluster
}

/// A node that echoes, and a client's connection to it that has brought one message.
fn echoing() -> (Cluster, usize, PeerSocket) {
    let image = ImageBuilder::new("echoing")
        .switch("lan", Some("nic0"))
        .instance("echo", COUNTING_ECHO)
        .port("eth0", switch("lan"), "10.0.0.1/24");
    let (mut cluster, client) = Cluster::beside_client(image.build());
    cluster.run_for(HALF);
    let socket = cluster.connect(client, "10.0.0.1:7").expect("a connection");
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'b');
    (cluster, client, socket)
}

/// Sends a byte and waits for the answer.
fn exchange(cluster: &mut Cluster, socket: PeerSocket, byte: u8) -> u8 {
    cluster.write_all(socket, &[byte]).expect("written");
    let answer = cluster.read(socket).expect("an answer");
    assert_eq!(answer.len(), 1);
    answer[0]
}

/// Runs a verb that must print nothing but the prompt.
fn done(cluster: &mut Cluster, line: &str) {
    let text = cluster.shell(0, line);
    assert!(!text.contains("error"), "{text}");
}

fn refused(cluster: &mut Cluster, line: &str, why: &str) {
    let text = cluster.shell(0, line);
    assert!(text.contains("error: ") && text.contains(why), "{text}");
}

#[test]
fn a_client_notices_nothing_of_a_snapshot() {
    let (mut cluster, _, socket) = echoing();
    done(&mut cluster, "snapshot echo to first");
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'c');
    let rows = cluster.json(0, "snapshots --json");
    assert_eq!(rows[0]["name"], "first");
    assert_eq!(rows[0]["instance"], "echo");
    assert_eq!(rows[0]["taken"], "running");
    let events = cluster.shell(0, "events");
    assert!(events.contains("snapshot"), "{events}");
}

#[test]
fn a_connection_goes_on_after_a_stopping_snapshot_is_restored() {
    let (mut cluster, _, socket) = echoing();
    done(&mut cluster, "snapshot echo to night --stop");
    assert_eq!(cluster.state(0, "echo").0, "stopped");
    cluster.write_all(socket, b"a").expect("buffered");
    cluster.run_for(5 * SECOND);
    done(&mut cluster, "restore night");
    assert_eq!(cluster.read(socket).expect("an answer"), b"c");
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'd');
    let events = cluster.shell(0, "events");
    assert!(events.contains("restored"), "{events}");
}

#[test]
fn a_connection_goes_on_after_a_suspension() {
    let (mut cluster, _, socket) = echoing();
    for round in 0..3 {
        done(&mut cluster, "suspend echo");
        assert_eq!(cluster.state(0, "echo").0, "suspended");
        refused(&mut cluster, "start echo", "`resume echo` continues it");
        refused(&mut cluster, "suspend echo", "does not run");
        cluster.run_for(SECOND);
        done(&mut cluster, "resume echo");
        assert_eq!(exchange(&mut cluster, socket, b'a'), b'c' + round);
    }
    done(&mut cluster, "suspend echo");
    done(&mut cluster, "kill echo");
    assert_eq!(cluster.state(0, "echo").0, "stopped");
    done(&mut cluster, "start echo");
}

#[test]
fn a_rollback_resets_what_moved_on() {
    let (mut cluster, client, socket) = echoing();
    done(&mut cluster, "snapshot echo to early");
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'c');
    refused(&mut cluster, "restore early", "runs already");
    done(&mut cluster, "kill echo");
    done(&mut cluster, "restore early");
    cluster.run_for(SECOND);
    // The old connection is dead or reset, the instance is not.
    let fresh = cluster.connect(client, "10.0.0.1:7");
    let fresh = fresh.expect("a new connection");
    cluster.write_all(fresh, b"a").expect("written");
    let _ = cluster.write_all(socket, b"a");
    let ended = cluster.read(socket);
    assert!(
        !matches!(ended, Ok(ref bytes) if !bytes.is_empty()),
        "{ended:?}"
    );
    assert_eq!(cluster.read(fresh).expect("an answer"), b"b");
}

#[test]
fn a_stopping_snapshot_that_is_restored_again_draws_other_random_numbers() {
    let mut cluster = Cluster::new(1);
    cluster.boot(
        "node1",
        ImageBuilder::new("draws").instance("draws", DRAWS).build(),
    );
    cluster.run_for(HALF);
    done(&mut cluster, "snapshot draws to once --stop");
    let mut drawn = Vec::new();
    for _ in 0..3 {
        done(&mut cluster, "restore once");
        cluster.run_for(SECOND);
        let log = cluster.json(0, "logs draws --json");
        let entries = log["entries"].as_array().expect("entries");
        let last = entries.last().expect("a line")["text"].to_string();
        assert!(!drawn.contains(&last), "{last} again: {drawn:?}");
        drawn.push(last);
        done(&mut cluster, "kill draws");
    }
}

#[test]
fn guest_time_goes_on_where_it_was() {
    let mut cluster = ticking();
    done(&mut cluster, "snapshot ticks to half --stop");
    cluster.run_for(10 * SECOND);
    done(&mut cluster, "restore half");
    assert_eq!(cluster.ticks(0, "ticks"), 2);
    cluster.run_for(Duration::from_millis(600));
    assert_eq!(
        cluster.ticks(0, "ticks"),
        3,
        "the rest of the sleep, not a burst"
    );
}

#[test]
fn clones_go_on_from_where_the_original_is() {
    let mut cluster = ticking();
    let text = cluster.shell(0, "clone ticks as copy");
    assert!(text.contains("\ncopy\n"), "{text}");
    let text = cluster.shell(0, "clone ticks --count 3");
    for name in ["ticks-2", "ticks-3", "ticks-4"] {
        assert!(text.contains(name), "{text}");
    }
    cluster.run_for(3 * SECOND);
    for name in ["ticks", "copy", "ticks-2", "ticks-3", "ticks-4"] {
        assert_eq!(cluster.ticks(0, name), 5, "{name}");
    }
    refused(&mut cluster, "clone ticks as copy", "exists already");
    refused(&mut cluster, "clone ticks as Copy", "is no name");
    refused(&mut cluster, "clone ticks --count 100000", "at most");
    let info = cluster.json(0, "info copy --json");
    assert_eq!(info["module_instances"], 5, "they share the program");
}

#[test]
fn clones_of_a_busy_program_compute_on() {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("busy").instance("spins", SPINS);
    cluster.boot("node1", image.build());
    cluster.run_for(HALF);
    done(&mut cluster, "clone spins --count 5");
    cluster.run_for(HALF);
    for number in 2..7 {
        assert_eq!(cluster.state(0, &format!("spins-{number}")).0, "running");
    }
}

#[test]
fn a_clone_has_its_own_place_in_the_network() {
    let (mut cluster, client, socket) = echoing();
    let text = cluster.shell(0, "clone echo as other");
    assert!(
        text.contains("other (without an address, as the original has it"),
        "{text}"
    );
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'c');
    let mac = |cluster: &mut Cluster, name: &str| {
        let detail = cluster.json(0, &format!("info {name} --json"));
        detail["network"]["interfaces"][0]["mac"].to_string()
    };
    assert_ne!(mac(&mut cluster, "echo"), mac(&mut cluster, "other"));
    done(
        &mut cluster,
        "clone echo as third --address eth0=10.0.0.9/24",
    );
    let third = cluster.connect(client, "10.0.0.9:7").expect("the clone");
    assert_eq!(exchange(&mut cluster, third, b'a'), b'b');
    let second = cluster.connect(client, "10.0.0.1:7").expect("the original");
    cluster.close(second);
}

#[test]
fn names_rooms_and_parents_are_refused_with_what_to_do() {
    let mut cluster = ticking();
    refused(
        &mut cluster,
        "snapshot ghost to a",
        "no instance named 'ghost'",
    );
    refused(
        &mut cluster,
        "snapshot ticks to a/b",
        "is no name for a snapshot",
    );
    refused(
        &mut cluster,
        "snapshot ticks to a --incremental",
        "take one without",
    );
    refused(&mut cluster, "restore a", "no snapshot named 'a'");
    done(&mut cluster, "snapshot ticks to a");
    refused(&mut cluster, "snapshot ticks to a", "exists already");
    done(&mut cluster, "snapshot ticks to b --incremental");
    let rows = cluster.json(0, "snapshots --json");
    assert_eq!(rows[1]["parent"], "a");
    assert_eq!(rows[1]["own_bytes"], 0, "nothing was written since");
    let text = cluster.shell(0, "snapshot rm a");
    assert!(text.contains("b holds all pages now"), "{text}");
    let rows = cluster.json(0, "snapshots --json");
    assert_eq!(rows[0]["own_bytes"], rows[0]["memory_bytes"]);
    assert_eq!(rows[0]["parent"], "");
    refused(&mut cluster, "snapshot rm a", "no snapshot named 'a'");
    assert_eq!(cluster.ticks(0, "ticks"), 2, "it only ticked");
}

/// The file of a snapshot.
fn export(cluster: &mut Cluster, outsider: &mut Outsider, snapshot: &str) -> Vec<u8> {
    let file = outsider.export(cluster, snapshot, Contents::SelfContained);
    file.expect("a file")
}

/// Gives a file to a node; the refusal if there is one.
fn import(
    cluster: &mut Cluster,
    outsider: &mut Outsider,
    snapshot: &str,
    file: &[u8],
) -> Result<(), String> {
    outsider.import(cluster, snapshot, file)
}

/// A node that has nothing but a switch.
fn empty_node(cluster: &mut Cluster) -> usize {
    let image = ImageBuilder::new("empty").switch("lan", Some("nic0"));
    cluster.boot("node2", image.build())
}

#[test]
fn a_snapshot_goes_on_at_a_node_that_has_never_seen_its_program() {
    let mut cluster = ticking();
    let second = empty_node(&mut cluster);
    done(&mut cluster, "snapshot ticks to travel --stop");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let file = export(&mut cluster, &mut outsider, "travel");
    let summary = Summary::read(&file);
    assert!(summary.complete, "{:?}", summary.error);
    assert_eq!(summary.blobs.len(), 1);
    outsider.leave(&mut cluster);

    let mut outsider = Outsider::greeted(&mut cluster, second);
    assert_eq!(import(&mut cluster, &mut outsider, "travel", &file), Ok(()));
    let text = cluster.shell(second, "restore travel");
    assert!(!text.contains("error"), "{text}");
    cluster.run_for(3 * SECOND);
    assert_eq!(cluster.ticks(second, "ticks"), 5);
    let rows = cluster.json(second, "snapshots --json");
    assert_eq!(rows[0]["taken"], "imported");
}

#[test]
fn a_connection_goes_on_at_another_node() {
    let (mut cluster, _, socket) = echoing();
    let second = empty_node(&mut cluster);
    done(&mut cluster, "snapshot echo to travel --stop");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let file = export(&mut cluster, &mut outsider, "travel");
    let mut outsider = Outsider::greeted(&mut cluster, second);
    assert_eq!(import(&mut cluster, &mut outsider, "travel", &file), Ok(()));
    cluster.shell(second, "restore travel");
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'c');
}

#[test]
fn an_incremental_file_needs_its_parent_and_little_room() {
    let (mut cluster, _, socket) = echoing();
    let second = empty_node(&mut cluster);
    done(&mut cluster, "snapshot echo to base");
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'c');
    done(&mut cluster, "snapshot echo to more --incremental --stop");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let base = export(&mut cluster, &mut outsider, "base");
    let more = export(&mut cluster, &mut outsider, "more");
    let stored = |file: &[u8]| Summary::read(file).memories[0].stored_pages;
    assert!(stored(&more) <= stored(&base), "{} pages", stored(&more));

    let mut outsider = Outsider::greeted(&mut cluster, second);
    let alone = import(&mut cluster, &mut outsider, "more", &more);
    assert!(alone.unwrap_err().contains("import that first"));
    assert_eq!(import(&mut cluster, &mut outsider, "base", &base), Ok(()));
    assert_eq!(import(&mut cluster, &mut outsider, "more", &more), Ok(()));
    cluster.shell(second, "restore more");
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'd');
}

#[test]
fn a_parent_that_is_removed_leaves_its_children_right() {
    let (mut cluster, _, socket) = echoing();
    let second = empty_node(&mut cluster);
    done(&mut cluster, "snapshot echo to a");
    exchange(&mut cluster, socket, b'a');
    let text = cluster.shell(0, "snapshot echo to b --incremental");
    assert!(text.contains("\nb adds to a\n"), "{text}");
    exchange(&mut cluster, socket, b'a');
    done(&mut cluster, "snapshot echo to c --incremental --stop");
    let text = cluster.shell(0, "snapshot rm b");
    assert!(text.contains("\nc adds to a now\n"), "{text}");
    let rows = cluster.json(0, "snapshots --json");
    assert_eq!(
        (&rows[1]["name"], &rows[1]["parent"]),
        (&"c".into(), &"a".into())
    );
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let files = ["a", "c"].map(|name| export(&mut cluster, &mut outsider, name));
    let header = Summary::read(&files[1]).header.expect("a header");
    assert_eq!(header.parent.expect("a parent").to_string(), rows[0]["id"]);
    let removed = cluster.json(0, "snapshot rm a --json");
    assert_eq!(removed[0]["report"]["moved"][0]["parent"], "");
    let alone = export(&mut cluster, &mut outsider, "c");
    assert_eq!(Summary::read(&alone).header.expect("a header").parent, None);

    let mut outsider = Outsider::greeted(&mut cluster, second);
    for (name, file) in ["a", "c"].iter().zip(&files) {
        assert_eq!(import(&mut cluster, &mut outsider, name, file), Ok(()));
    }
    cluster.shell(second, "restore c");
    assert_eq!(exchange(&mut cluster, socket, b'a'), b'e');
}

/// Grows to 20 pages after a second.
const GROWS: &str = r#"(module
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $sleep (i64.const 1000000000)))
        (drop (memory.grow (i32.const 19)))
        (memory.fill (i32.const 65536) (i32.const 7) (i32.const 100000))
        (drop (call $sleep (i64.const 100000000000)))))"#;

#[test]
fn a_snapshot_adds_to_no_larger_one() {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("grows").instance("grows", GROWS);
    cluster.boot("node1", image.build());
    cluster.run_for(2 * SECOND);
    done(&mut cluster, "snapshot grows to large");
    done(&mut cluster, "restart grows");
    cluster.run_for(HALF);
    let text = cluster.shell(0, "snapshot grows to small --incremental");
    assert!(
        text.contains("small holds all pages, as the last"),
        "{text}"
    );
    let rows = cluster.json(0, "snapshots --json");
    assert_eq!(rows[1]["parent"], "");
    let kept = cluster.json(0, "snapshot grows to next --incremental --json");
    assert_eq!(kept[0]["pages"]["since"], "small");
}

#[test]
fn a_damaged_file_is_refused_and_the_node_goes_on() {
    let mut cluster = ticking();
    done(&mut cluster, "snapshot ticks to whole");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let file = export(&mut cluster, &mut outsider, "whole");
    let twice = import(&mut cluster, &mut outsider, "twice", &file);
    let refusal = "this snapshot is here already, as 'whole'";
    assert_eq!(twice, Err(refusal.to_string()));
    done(&mut cluster, "snapshot rm whole");
    for at in (0..file.len()).step_by(file.len() / 40) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        let result = import(&mut cluster, &mut outsider, "damaged", &damaged);
        assert!(result.is_err(), "byte {at}");
        outsider.listen(&mut cluster, |message| panic!("{message:?}"));
    }
    assert_eq!(import(&mut cluster, &mut outsider, "sound", &file), Ok(()));
    let rows = cluster.json(0, "snapshots --json");
    assert_eq!(rows.as_array().expect("rows").len(), 1);
    assert_eq!(cluster.state(0, "ticks").0, "waiting");
}
