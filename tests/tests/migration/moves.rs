//! Instances that move, with their connections, and who they are.

use super::{HALF, SECOND, arrives, connections, done, echoes, has_event, runs_on, two_nodes};
use sos_core::machine::Duration;
use sos_tests::programs::{ECHO_TO_MANY, SPINS, ticks};
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

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

/// Writes a word to each page of 2 MiB again and again.
const WRITES: &str = r#"(module
    (memory (export "memory") 32)
    (func (export "_start") (local $at i32)
        (loop $more
            (i32.store (local.get $at)
                (i32.add (i32.load (local.get $at)) (i32.add (local.get $at) (i32.const 1))))
            (local.set $at (i32.and (i32.add (local.get $at) (i32.const 4096))
                (i32.const 0x1fffff)))
            (br $more))))"#;

/// Writes a word to each page of 4 MiB, and sleeps.
const TOUCHES: &str = r#"(module
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 64)
    (func (export "_start") (local $at i32)
        (loop $more
            (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 1)))
            (local.set $at (i32.add (local.get $at) (i32.const 4096)))
            (br_if $more (i32.lt_u (local.get $at) (i32.const 0x400000))))
        (loop (drop (call $sleep (i64.const 1000000000))) (br 0))))"#;

fn identity(cluster: &mut Cluster, node: usize, name: &str) -> String {
    let detail = cluster.json(node, &format!("info {name} --json"));
    detail["instance"].as_str().expect("an identity").into()
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
    let sockets = connections(&mut cluster, client, 4);
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
    // What an operator hears of the stop.
    for step in [
        "stood for ",
        "cut after ",
        "sent after ",
        "prepared after ",
        "made in ",
    ] {
        assert!(events.contains(step), "{step}: {events}");
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
fn a_writer_that_outruns_the_link_is_slowed_down_and_runs_at_full_speed_afterwards() {
    let mut cluster = two_nodes("writes", WRITES);
    cluster.wires.bandwidth = 20_000_000;
    cluster.shell(0, "migrate writes node2");
    let mut least = 1_000_000;
    for _ in 0..200 {
        let rows = cluster.json(0, "migrate --json");
        match rows[0]["share_ppm"].as_u64() {
            Some(share) if rows[0]["stage"] == "copying" => least = least.min(share),
            _ => break,
        }
    }
    assert!(least < 1_000_000, "{least}");
    arrives(&mut cluster, "writes", 1);
    let used = |cluster: &mut Cluster| {
        let detail = cluster.json(1, "info writes --json");
        detail["cpu_nanos"].as_u64().expect("a time")
    };
    let before = used(&mut cluster);
    cluster.run_for(HALF);
    assert!(used(&mut cluster) - before > 400_000_000);
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
    assert!(text.contains("go by 'nowhere'"), "{text}");
    let text = cluster.shell(0, "migrate --cancel echo");
    assert!(text.contains("not being migrated"), "{text}");
}

#[test]
fn an_instance_that_moved_is_announced_by_all_of_its_addresses() {
    let mut cluster = two_nodes("echo", ECHO_TO_MANY);
    cluster.run_for(HALF);
    cluster.seen = Some(Vec::new());
    done(&mut cluster, 0, "migrate echo node2");
    arrives(&mut cluster, "echo", 1);
    cluster.run_for(5 * SECOND);
    let seen = cluster.seen.take().expect("frames");
    let arp = |frame: &&Vec<u8>| frame[..6] == [0xff; 6] && frame[12..14] == [8, 6];
    // RFC 4861 section 4.4.
    let advertises = |frame: &&Vec<u8>| {
        frame[..6] == [0x33, 0x33, 0, 0, 0, 1] && frame[12..14] == [0x86, 0xdd] && frame[54] == 136
    };
    assert!(seen.iter().filter(arp).count() >= 4);
    let advertisement = seen.iter().find(advertises).expect("an advertisement");
    assert_eq!(advertisement[21], 255);
    assert!(sums_up(&advertisement[14..]), "{advertisement:02x?}");
    assert!(seen.iter().filter(advertises).count() >= 4);
    // RFC 903: the same for switches, whatever addresses it has.
    let tells_switches = |frame: &&Vec<u8>| {
        let mac = &frame[6..12];
        frame[..6] == [0xff; 6]
            && frame[12..22] == [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]
            && (&frame[22..28], &frame[32..38]) == (mac, mac)
            && mac == &advertisement[6..12]
    };
    assert!(seen.iter().filter(tells_switches).count() >= 4);
}

#[test]
fn an_instance_without_an_address_is_heard_of_by_switches_where_it_is() {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("node1")
        .switch("lan", Some("nic0"))
        .instance("mute", SPINS)
        .dhcp_port("eth0", switch("lan"));
    cluster.boot("node1", image.build());
    cluster.boot("node2", super::empty("node2"));
    cluster.join(0, 1);
    cluster.run_for(HALF);
    cluster.seen = Some(Vec::new());
    done(&mut cluster, 0, "migrate mute node2");
    arrives(&mut cluster, "mute", 1);
    cluster.run_for(5 * SECOND);
    let seen = cluster.seen.take().expect("frames");
    let tells_switches = |frame: &&Vec<u8>| frame[12..14] == [0x80, 0x35];
    assert!(seen.iter().filter(tells_switches).count() >= 4);
}

/// Whether the checksum of an ICMPv6 packet is right (RFC 4443 section 2.3).
fn sums_up(packet: &[u8]) -> bool {
    let (header, body) = packet.split_at(40);
    let pseudo = [
        &header[8..40],
        &(body.len() as u32).to_be_bytes(),
        &[0, 0, 0, 58],
        body,
    ];
    let bytes = pseudo.concat();
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let sum: u32 = words.sum();
    (sum & 0xffff) + (sum >> 16) == 0xffff
}

#[test]
fn a_node_is_evacuated_to_others_in_turn() {
    let mut cluster = Cluster::new(1);
    let mut image = ImageBuilder::new("node1").switch("lan", Some("nic0"));
    for number in 0..9 {
        image = image.instance(&format!("ticks{number}"), ticks(HALF));
    }
    cluster.boot("node1", image.build());
    cluster.boot("node2", super::empty("node2"));
    cluster.boot("node3", super::empty("node3"));
    cluster.join(0, 1);
    cluster.join(0, 2);
    cluster.run_for(SECOND);
    done(&mut cluster, 0, "evacuate node2 node3");
    cluster.run_for(10 * SECOND);
    for number in 0..9 {
        let name = format!("ticks{number}");
        assert_eq!(runs_on(&mut cluster, &name), [1 + number % 2], "{name}");
        assert!(cluster.ticks(1 + number % 2, &name) > 10);
    }
    let rows = cluster.json(0, "ls --json");
    assert_eq!(rows.as_array().map(Vec::len), Some(0));
}

#[test]
fn a_bound_on_bandwidth_is_kept() {
    let took = |how: &str| {
        let mut cluster = two_nodes("writes", TOUCHES);
        cluster.run_for(HALF);
        let begin = cluster.now();
        cluster.type_text(0, &format!("migrate writes node2 {how}\r"));
        while !has_event(&mut cluster, 0, "moved") {
            assert!(cluster.now().since(begin) < 20 * SECOND);
        }
        cluster.now().since(begin)
    };
    // 4 MiB of pages.
    let (free, bounded) = (took(""), took("--bandwidth 2"));
    assert!(free < HALF, "{free:?}");
    assert!(bounded > SECOND && bounded < 4 * SECOND, "{bounded:?}");
}

#[test]
fn what_moves_is_not_started_ended_or_moved_by_anybody_else() {
    let mut cluster = two_nodes("echo", ECHO_TO_MANY);
    cluster.wires.bandwidth = 1_000;
    cluster.run_for(HALF);
    done(&mut cluster, 0, "migrate echo node2 --cold");
    cluster.run_for(SECOND);
    assert_eq!(cluster.state(0, "echo").0, "moving");
    for line in [
        "stop echo",
        "kill echo",
        "pause echo",
        "suspend echo",
        "migrate echo node2",
        "clone echo",
    ] {
        let text = cluster.shell(0, line);
        assert!(text.contains("is being migrated"), "{line}: {text}");
    }
    done(&mut cluster, 0, "migrate --cancel echo");
    assert_eq!(runs_on(&mut cluster, "echo"), [0]);
    cluster.run_for(SECOND);
    done(&mut cluster, 0, "stop echo");
}

#[test]
fn one_that_has_no_room_to_be_copied_stays_as_it_is() {
    let mut cluster = two_nodes("writes", WRITES);
    cluster.run_for(HALF);
    let memory = cluster.nodes[0].machine.memory.clone();
    let used = memory.total_bytes() - memory.free_bytes();
    // Room for what a cut asks for, not for two MiB of pages.
    memory.set_total_bytes(used + (3 << 20));
    cluster.shell(0, "migrate writes node2");
    cluster.run_for(HALF);
    assert!(has_event(&mut cluster, 0, "not-moved"));
    assert_eq!(runs_on(&mut cluster, "writes"), [0]);
    memory.set_total_bytes(1 << 30);
    done(&mut cluster, 0, "migrate writes node2");
    arrives(&mut cluster, "writes", 1);
}
