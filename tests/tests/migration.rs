//! Instances that move between simulated nodes, with their connections, and who they are.

use sos_core::machine::Duration;
use sos_tests::programs::{ECHO_TO_MANY, SPINS, ticks};
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;

const SECOND: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);

/// Computes for about a fifth of a second and logs sixteen letters that depend on every step.
const COMPUTES: &str = r#"(module
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 4)
    (func (export "_start") (local $step i32) (local $state i64) (local $at i32)
        (local.set $state (i64.const 0x9e3779b97f4a7c15))
        (loop $more
            (local.set $state (i64.xor (local.get $state)
                (i64.shl (local.get $state) (i64.const 13))))
            (local.set $state (i64.xor (local.get $state)
                (i64.shr_u (local.get $state) (i64.const 7))))
            (local.set $state (i64.xor (local.get $state)
                (i64.shl (local.get $state) (i64.const 17))))
            (local.set $at (i32.and (i32.wrap_i64 (local.get $state)) (i32.const 0x3fff8)))
            (local.set $state (i64.add (local.get $state) (i64.load (local.get $at))))
            (i64.store (local.get $at) (local.get $state))
            (local.set $step (i32.add (local.get $step) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $step) (i32.const 2000000))))
        (local.set $at (i32.const 16))
        (loop $letters
            (i32.store8 (local.get $at)
                (i32.add (i32.const 97) (i32.and (i32.wrap_i64 (local.get $state)) (i32.const 15))))
            (local.set $state (i64.shr_u (local.get $state) (i64.const 4)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $letters (i32.lt_u (local.get $at) (i32.const 32))))
        (drop (call $log (i32.const 2) (i32.const 16) (i32.const 16)))))"#;

fn identity(cluster: &mut Cluster, node: usize, name: &str) -> String {
    let detail = cluster.json(node, &format!("info {name} --json"));
    detail["instance"].as_str().expect("an identity").into()
}

/// A node without instances that others may come to.
fn empty(name: &str) -> Vec<u8> {
    ImageBuilder::new(name).switch("lan", Some("nic0")).build()
}

/// Two nodes that are joined, the first with an instance of a module.
fn two_nodes(name: &str, module: &str) -> Cluster {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("node1")
        .switch("lan", Some("nic0"))
        .instance(name, module)
        .port("eth0", switch("lan"), "10.0.0.1/24");
    cluster.boot("node1", image.build());
    cluster.boot("node2", empty("node2"));
    cluster.join(0, 1);
    cluster.run_for(Duration::from_millis(20));
    cluster
}

/// On how many nodes an instance runs.
fn runs_on(cluster: &mut Cluster, name: &str) -> Vec<usize> {
    let nodes = 0..cluster.nodes.len();
    let runs = |node: &usize| {
        let rows = cluster.json(*node, "ls --json");
        let mut rows = rows.as_array().expect("rows").iter();
        rows.any(|row| {
            row["name"] == name && (row["state"] == "running" || row["state"] == "waiting")
        })
    };
    nodes.filter(runs).collect()
}

/// Runs until an instance runs on a node.
fn arrives(cluster: &mut Cluster, name: &str, node: usize) {
    for _ in 0..100 {
        if runs_on(cluster, name) == [node] {
            return;
        }
        cluster.run_for(Duration::from_millis(50));
    }
    let events = [cluster.shell(0, "events"), cluster.shell(1, "events")];
    let logs = [cluster.shell(0, "dmesg"), cluster.shell(1, "dmesg")];
    let moves = [cluster.shell(0, "migrate"), cluster.shell(1, "migrate")];
    panic!("'{name}' does not run on {node}: {events:#?} {logs:#?} {moves:#?}");
}

/// Sends bytes by several connections and reads them back from all.
fn echoes(cluster: &mut Cluster, sockets: &[PeerSocket], round: usize, length: usize) {
    let bytes = |number: usize| -> Vec<u8> {
        let byte = |at: usize| (at * 7 + number * 31 + round * 13) as u8;
        (0..length).map(byte).collect()
    };
    for (number, &socket) in sockets.iter().enumerate() {
        cluster.write_all(socket, &bytes(number)).expect("written");
    }
    for (number, &socket) in sockets.iter().enumerate() {
        let mut read = Vec::new();
        while read.len() < length {
            let part = cluster.read(socket).expect("an answer");
            assert!(!part.is_empty(), "the stream ended");
            read.extend(part);
        }
        assert!(read == bytes(number), "connection {number}");
    }
}

#[test]
fn an_instance_stays_itself_through_suspension_and_restore_and_a_clone_does_not() {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("ticking").instance("ticks", ticks(SECOND));
    cluster.boot("node1", image.build());
    cluster.run_for(SECOND);
    let before = identity(&mut cluster, 0, "ticks");
    assert_eq!(before.len(), 32);
    cluster.shell(0, "clone ticks as other");
    assert_ne!(identity(&mut cluster, 0, "other"), before);
    for line in [
        "suspend ticks",
        "resume ticks",
        "snapshot ticks to night --stop",
        "restore night",
        "restart ticks",
    ] {
        let text = cluster.shell(0, line);
        assert!(!text.contains("error"), "{line}: {text}");
        assert_eq!(identity(&mut cluster, 0, "ticks"), before, "{line}");
    }
    cluster.shell(0, "restore night as third");
    assert_ne!(identity(&mut cluster, 0, "third"), before);
}

fn moves_with_its_connections(how: &str) {
    let mut cluster = two_nodes("echo", ECHO_TO_MANY);
    let client = cluster.add_peer("10.0.0.100/24");
    cluster.run_for(HALF);
    let who = identity(&mut cluster, 0, "echo");
    let sockets: Vec<PeerSocket> = (0..4)
        .map(|_| cluster.connect(client, "10.0.0.1:7").expect("connected"))
        .collect();
    let mut round = 0;
    for number in 0..6 {
        let (from, to) = (number % 2, (number + 1) % 2);
        cluster.type_text(from, &format!("migrate echo node{} {how}\r", to + 1));
        // While it moves, and after.
        for _ in 0..40 {
            echoes(&mut cluster, &sockets, round, 16 * 1024);
            round += 1;
        }
        arrives(&mut cluster, "echo", to);
        echoes(&mut cluster, &sockets, round, 16 * 1024);
        assert_eq!(identity(&mut cluster, to, "echo"), who);
    }
    assert_eq!(cluster.resets, 0);
    let fresh = cluster.connect(client, "10.0.0.1:7").expect("connected");
    echoes(&mut cluster, &[fresh], round, 1000);
    let events = cluster.shell(0, "events");
    for kind in ["migrating", "frozen", "moved", "arrived"] {
        assert!(events.contains(kind), "{kind}: {events}");
    }
}

#[test]
fn a_cold_move_and_back_keeps_every_connection() {
    moves_with_its_connections("--cold");
}

#[test]
fn a_live_move_and_back_keeps_every_connection() {
    moves_with_its_connections("--live");
}

#[test]
fn a_loop_that_moves_midway_computes_the_same() {
    let result = |moves: bool| {
        let mut cluster = two_nodes("computes", COMPUTES);
        cluster.run_for(Duration::from_millis(20));
        if moves {
            cluster.shell(0, "migrate computes node2");
            arrives(&mut cluster, "computes", 1);
            cluster.run_for(Duration::from_millis(10));
            cluster.shell(1, "migrate computes node1");
        }
        cluster.run_for(2 * SECOND);
        let log = cluster.json(0, "logs computes --json");
        log["entries"][0]["text"]
            .as_str()
            .expect("a result")
            .to_string()
    };
    assert_eq!(result(true), result(false));
}

#[test]
fn a_target_that_cannot_take_it_says_why_and_it_goes_on() {
    let mut cluster = two_nodes("echo", SPINS);
    let image = ImageBuilder::new("node3")
        .switch("lan", Some("nic0"))
        .instance("echo", SPINS);
    cluster.boot("node3", image.build());
    let image = ImageBuilder::new("node4").switch("other", Some("nic0"));
    cluster.boot("node4", image.build());
    cluster.join(0, 2);
    cluster.join(0, 3);
    cluster.run_for(HALF);
    for (node, why) in [
        ("node3", "an instance named 'echo' exists already"),
        ("node4", "'lan'"),
    ] {
        cluster.shell(0, &format!("migrate echo {node}"));
        cluster.run_for(HALF);
        assert_eq!(cluster.state(0, "echo").0, "running");
        let log = cluster.shell(0, "dmesg");
        assert!(
            log.contains("was not migrated") && log.contains(why),
            "{log}"
        );
        assert!(cluster.shell(0, "migrate").contains("none"));
    }
    let text = cluster.shell(0, "migrate echo nowhere");
    assert!(text.contains("no node named 'nowhere'"), "{text}");
    let text = cluster.shell(0, "migrate --cancel echo");
    assert!(text.contains("not being migrated"), "{text}");
}
