//! What a restore or a clone leaves as it was when it fails, what the scheduler makes of it, and what it is admitted
//! with.

use sos_core::control::Request;
use sos_core::image::{Bundle, Part, PartKind, RestartPolicy};
use sos_core::machine::Duration;
use sos_core::operator::{Bytes, ToNode, ToOperator, encode};
use sos_tests::programs::{COUNTING_ECHO, SPINS, ticks};
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::{Cluster, Station};
use sos_tests::sim::image::{ImageBuilder, link, switch};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// What an admission leaves alone (`kernel/core/src/kernel/admission.rs`).
const RESERVE_BYTES: u64 = 2 * MIB;

/// Logs "tick" after each of two seconds, and traps.
const TRAPS: &str = r#"(module
    (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "tick")
    (func $tick
        (drop (call $sleep (i64.const 1000000000)))
        (drop (call $log (i32.const 2) (i32.const 16) (i32.const 4))))
    (func (export "_start") call $tick call $tick unreachable))"#;

/// An image, and snapshots that are restored.
fn bundle(image: &[u8], snapshots: &[(&str, &[u8])]) -> Vec<u8> {
    let restored = snapshots.iter();
    let restored = restored.map(|&(name, bytes)| (name, bytes, PartKind::Restored));
    bundle_of(image, &restored.collect::<Vec<_>>())
}

fn bundle_of(image: &[u8], snapshots: &[(&str, &[u8], PartKind)]) -> Vec<u8> {
    let part = |kind, name: &str, bytes| Part {
        kind,
        name: name.into(),
        bytes,
    };
    let image = part(PartKind::Image, "", image);
    let snapshots = snapshots.iter();
    let snapshots = snapshots.map(|&(name, bytes, kind)| part(kind, name, bytes));
    let bundle = Bundle {
        parts: std::iter::once(image).chain(snapshots).collect(),
    };
    bundle.encode().expect("a bundle")
}

/// Leaves the node `free_bytes` of memory.
fn leave_free(cluster: &mut Cluster, node: usize, free_bytes: u64) {
    let memory = &cluster.nodes[node].machine.memory;
    let held = memory.total_bytes() - memory.free_bytes();
    memory.set_total_bytes(held + free_bytes);
}

/// Ticks each second, and takes a while to translate.
fn long_ticks() -> String {
    let nops = "nop ".repeat(500_000);
    let text = ticks(SECOND);
    let end = text.rfind(')').expect("a module");
    format!("{} (func $long {nops}))", &text[..end])
}

#[test]
fn a_restore_that_fails_leaves_a_restart_to_come() {
    let image = ImageBuilder::new("traps").instance("traps", TRAPS);
    let image = image.with(|spec| spec.restart = RestartPolicy::Always);
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(500 * MILLISECOND);
    cluster.done(0, "snapshot traps to one");
    cluster.done(0, "snapshot --group traps to group");
    cluster.run_for(1700 * MILLISECOND);
    for (round, snapshot) in ["one", "group"].into_iter().enumerate() {
        let before = cluster.json(0, "info traps --json");
        assert_eq!(before["state"], "restarting");
        leave_free(&mut cluster, 0, RESERVE_BYTES);
        cluster.refused(0, &format!("restore {snapshot}"), "the node has");
        leave_free(&mut cluster, 0, 2 * RESERVE_BYTES);
        // There is memory for a copy of the state, and not for the instance.
        let text = cluster.shell(0, &format!("restore {snapshot}"));
        assert!(text.contains("its stack and tables"), "{text}");
        let after = cluster.json(0, "info traps --json");
        for fact in ["state", "last_end", "restarts", "cpu_nanos"] {
            assert_eq!(after[fact], before[fact], "{fact}");
        }
        leave_free(&mut cluster, 0, 4096 * MIB);
        // Half a second after the first failure, a second after the second.
        cluster.run_for(1100 * MILLISECOND);
        assert_eq!(cluster.state(0, "traps").0, "waiting", "{snapshot}");
        let events = cluster.shell(0, "events");
        assert!(events.contains("in 500 ms"), "{events}");
        let doubled = events.contains("in 1000 ms");
        assert_eq!(doubled, round == 1, "failures in a row: {events}");
        cluster.run_for(2 * SECOND - 500 * MILLISECOND);
    }
    // What an operator stops is not started, also when a restore was under way.
    cluster.done(0, "kill traps");
    cluster.run_for(5 * SECOND);
    assert_eq!(cluster.state(0, "traps").0, "trapped");
}

#[test]
fn a_restore_that_fails_leaves_the_start_at_boot() {
    let image = |name: &str| ImageBuilder::new(name).instance("ticks", ticks(SECOND));
    let mut cluster = Cluster::new(1);
    let wired = image("wired").port("eth0", switch("lan"), "10.0.0.1/24");
    cluster.boot("node1", wired.switch("lan", None).build());
    cluster.run_for(2500 * MILLISECOND);
    cluster.done(0, "snapshot ticks to one");
    cluster.done(0, "snapshot --group ticks to group");
    for snapshot in ["one", "group.ticks"] {
        let file = cluster.export(0, snapshot);
        let other = image("other").instance("last", ticks(SECOND)).build();
        let module = bundle(&other, &[(snapshot, &file)]);
        let node = cluster.boot("node2", module);
        cluster.run_for(1400 * MILLISECOND);
        match snapshot {
            "one" => {
                let log = cluster.shell(node, "dmesg");
                assert!(log.contains("no switch or link 'lan'"), "{log}");
                assert_eq!(cluster.ticks(node, "ticks"), 1, "the image's");
            }
            // A group brings its switch.
            _ => assert_eq!(cluster.ticks(node, "ticks"), 3, "the snapshot's"),
        }
        assert_eq!(cluster.ticks(node, "last"), 1);
    }
}

#[test]
fn a_restore_that_fails_late_leaves_nobody_where_nobody_was() {
    let wired = ImageBuilder::new("wired").switch("lan", None);
    let wired = wired.instance("a", long_ticks());
    let wired = wired.port("eth0", switch("lan"), "10.0.0.1/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", wired.build());
    cluster.run_for(1500 * MILLISECOND);
    cluster.done(0, "snapshot a to one");
    let file = cluster.export(0, "one");
    for (line, name) in [("restore one", "a"), ("restore one as b", "b")] {
        let node = cluster.boot(name, ImageBuilder::new("empty").build());
        cluster.run_for(MILLISECOND);
        let mut outsider = Outsider::greeted(&mut cluster, node);
        assert_eq!(outsider.import(&mut cluster, "one", &file), Ok(()));
        outsider.leave(&mut cluster);
        let failures = |cluster: &mut Cluster| {
            let log = cluster.shell(node, "dmesg");
            log.matches("no switch or link 'lan'").count()
        };
        let before = failures(&mut cluster);
        let text = cluster.shell(node, &format!("{line}\rrestart {name}"));
        let errors = text.lines().filter(|line| line.contains("error: "));
        let errors: Vec<_> = errors.collect();
        assert!(
            errors.len() == 1 && errors[0].contains("translated"),
            "it was to be made, and was not made anew: {text}"
        );
        cluster.run_for(SECOND);
        let rows = cluster.json(node, "ls --json");
        assert_eq!(rows.as_array().map(Vec::len), Some(0), "{rows}");
        assert_eq!(failures(&mut cluster), before + 1);
        let events = cluster.shell(node, "events");
        assert!(events.contains("start-failed"), "{events}");
        // Its program is translated now, so that the next one fails at once, with the same end.
        cluster.refused(node, line, "no switch or link 'lan'");
        let rows = cluster.json(node, "ls --json");
        assert_eq!(rows.as_array().map(Vec::len), Some(0), "{rows}");
    }
}

#[test]
fn members_that_come_with_the_boot_go_on_together() {
    let image = ImageBuilder::new("pair")
        .link("back")
        .instance("a", ticks(SECOND))
        .port("eth0", link("back"), "10.1.0.1/24")
        .instance("b", ticks(SECOND))
        .port("eth0", link("back"), "10.1.0.2/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(2500 * MILLISECOND);
    cluster.done(0, "snapshot --group a b to both");
    let [a, b] = ["both.a", "both.b"].map(|name| cluster.export(0, name));
    let empty = ImageBuilder::new("empty").build();
    let module = bundle(&empty, &[("both.a", &a), ("both.b", &b)]);
    let node = cluster.boot("node2", module);
    cluster.run_for(700 * MILLISECOND);
    assert_eq!(cluster.ticks(node, "a"), 3);
    assert_eq!(cluster.ticks(node, "b"), 3);
    let links = cluster.json(node, "link --json");
    assert_eq!(links[0]["ports"].as_array().expect("ports").len(), 2);
}

#[test]
fn a_member_that_comes_alone_with_the_boot_goes_on_by_itself() {
    let image = |name: &str| ImageBuilder::new(name).switch("lan", None);
    let pair = image("pair")
        .instance("a", ticks(SECOND))
        .port("eth0", switch("lan"), "10.1.0.1/24")
        .instance("b", ticks(SECOND))
        .port("eth0", switch("lan"), "10.1.0.2/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", pair.build());
    cluster.run_for(2500 * MILLISECOND);
    cluster.done(0, "snapshot --group a b to both");
    let [a, b] = ["both.a", "both.b"].map(|name| cluster.export(0, name));
    let other = image("other").build();
    let alone = [("both.a", &a[..], PartKind::Restored)];
    let beside = [alone[0], ("both.b", &b[..], PartKind::Snapshot)];
    for (name, snapshots) in [("node2", &alone[..]), ("node3", &beside[..])] {
        let node = cluster.boot(name, bundle_of(&other, snapshots));
        cluster.run_for(700 * MILLISECOND);
        assert_eq!(cluster.ticks(node, "a"), 3, "{name}");
        let rows = cluster.json(node, "ls --json");
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{name}: {rows}");
        let log = cluster.shell(node, "dmesg");
        assert!(log.contains("'both.a' is by itself"), "{name}: {log}");
    }
}

#[test]
fn a_restored_member_has_the_shares_of_its_snapshot() {
    let image = |name: &str, shares: u32| {
        let image = ImageBuilder::new(name).instance("busy", SPINS);
        let image = image.with(|spec| spec.limits.cpu_shares = shares);
        let image = image.instance("other", SPINS);
        image.with(|spec| spec.limits.cpu_shares = 100).build()
    };
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image("many", 1000));
    cluster.run_for(100 * MILLISECOND);
    cluster.done(0, "snapshot busy to one");
    cluster.done(0, "snapshot --group busy to group");
    let [one, group] = ["one", "group.busy"].map(|name| cluster.export(0, name));
    let mut cluster = Cluster::new(2);
    cluster.boot("node2", image("few", 100));
    cluster.run_for(100 * MILLISECOND);
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    for (name, file) in [("one", one), ("group.busy", group)] {
        assert_eq!(outsider.import(&mut cluster, name, &file), Ok(()));
    }
    outsider.leave(&mut cluster);
    let cpu = |cluster: &mut Cluster, name: &str| {
        let detail = cluster.json(0, &format!("info {name} --json"));
        detail["cpu_nanos"].as_u64().expect("a figure")
    };
    for snapshot in ["one", "group"] {
        cluster.done(0, "kill busy");
        cluster.done(0, &format!("restore {snapshot}"));
        let before = ["busy", "other"].map(|name| cpu(&mut cluster, name));
        cluster.run_for(SECOND);
        let after = ["busy", "other"].map(|name| cpu(&mut cluster, name));
        let ratio = (after[0] - before[0]) / (after[1] - before[1]).max(1);
        assert!((8..=12).contains(&ratio), "{snapshot}: {ratio}");
    }
}

#[test]
fn an_instance_that_loads_with_its_group_is_not_restarted() {
    let image = ImageBuilder::new("pair").instance("a", long_ticks());
    let image = image.instance("b", ticks(SECOND)).build();
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image);
    cluster.run_for(2500 * MILLISECOND);
    cluster.done(0, "snapshot --group a b to both");
    let files = ["both.a", "both.b"].map(|name| (name, cluster.export(0, name)));
    let node = cluster.boot("node2", ImageBuilder::new("empty").build());
    cluster.run_for(MILLISECOND);
    let mut outsider = Outsider::greeted(&mut cluster, node);
    for (name, file) in files {
        assert_eq!(outsider.import(&mut cluster, name, &file), Ok(()));
    }
    let text = cluster.shell(node, "restore both\rrestart a\rrestart b");
    let is_refused = |line: &&str| line.contains("error: ") && line.contains("translated");
    assert_eq!(text.lines().filter(is_refused).count(), 2, "{text}");
    cluster.run_for(SECOND);
    for name in ["a", "b"] {
        assert!(cluster.ticks(node, name) >= 3, "{name}");
    }
}

#[test]
fn clones_that_are_made_together_share_no_address() {
    let image = ImageBuilder::new("pair")
        .switch("lan", None)
        .instance("a", ticks(SECOND))
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .port("eth1", switch("lan"), "10.0.0.3/24")
        .instance("b", ticks(SECOND))
        .port("eth0", switch("lan"), "10.0.0.2/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(100 * MILLISECOND);
    // The switch is the group's own unless somebody else is on it.
    cluster.done(0, "clone b as guest");
    for line in [
        "clone --group a b --address a.eth0=10.0.0.9/24 --address b.eth0=10.0.0.9/24",
        "clone --group a b --count 2 --address a.eth0=10.0.0.9/24 --address b.eth0=10.0.0.9/24",
        "clone a --address eth0=10.0.0.9/24 --address eth1=10.0.0.9/24",
    ] {
        cluster.refused(0, line, "10.0.0.9 is the address of 'a-2'");
    }
    let rows = cluster.json(0, "ls --json");
    assert_eq!(rows.as_array().expect("rows").len(), 3);
    cluster.done(
        0,
        "clone --group a b --address a.eth0=10.0.0.9/24 --address b.eth0=10.0.0.10/24",
    );
}

#[test]
fn frames_that_wait_for_a_paused_instance_count_as_part_of_its_cut() {
    let image = ImageBuilder::new("echo")
        .switch("lan", Some("nic0"))
        .instance("echo", COUNTING_ECHO)
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .with(|spec| spec.ports[0].mac = Some([2, 0, 0, 0, 0, 9]));
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(100 * MILLISECOND);
    cluster.done(0, "pause echo");
    let room = RESERVE_BYTES + 500 * KIB;
    leave_free(&mut cluster, 0, room);
    cluster.done(0, "snapshot echo to without");
    cluster.done(0, "snapshot rm without");
    // As many as a port holds, of 1500 bytes.
    for _ in 0..512 {
        let mut frame = vec![0; 1500];
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
        cluster.send(Station::Stranger, frame);
    }
    cluster.run_for(100 * MILLISECOND);
    leave_free(&mut cluster, 0, room);
    for line in [
        "snapshot echo to with",
        "snapshot --group echo to with",
        "clone echo",
        "suspend echo",
    ] {
        cluster.refused(0, line, "a copy of its state may take");
    }
    leave_free(&mut cluster, 0, room + MIB);
    cluster.done(0, "snapshot echo to with");
}

#[test]
fn no_instance_is_found_by_the_name_of_a_vacant_place() {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", ImageBuilder::new("empty").build());
    cluster.run_for(SECOND);
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let program = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
    outsider.launch(&mut cluster, 1, program, [100, 100]);
    outsider.listen(&mut cluster, |_| {});
    outsider.leave(&mut cluster);
    cluster.run_for(SECOND);
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    for request in [
        Request::Start {
            name: String::new(),
        },
        Request::Restart {
            name: String::new(),
        },
    ] {
        let data = encode(&request);
        let request = 2;
        let data = Bytes(&data);
        outsider.say(&mut cluster, &ToNode::Control { request, data });
        outsider.expect(&mut cluster, |message| {
            let ToOperator::Refused { refusal, .. } = message else {
                panic!("{message:?}");
            };
            let text = refusal.to_string();
            assert!(text.contains("no instance"), "{text}");
        });
    }
}
