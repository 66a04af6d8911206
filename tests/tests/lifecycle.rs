//! Instances of one simulated node: started, ended, restarted, paused, and refused.

use sos_core::image::{Autostart, RestartPolicy};
use sos_core::kernel::Next;
use sos_core::machine::Duration;
use sos_tests::programs::{SPINS, ticks};
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, link};

/// How often the programs that tick do so.
const SECOND: Duration = Duration::from_secs(1);
/// Returns at once.
const RETURNS: &str = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";
/// Traps.
const TRAPS: &str =
    "(module (memory (export \"memory\") 1) (func (export \"_start\") unreachable))";
/// Exits with status 3.
const EXITS: &str = r#"(module
    (import "sos" "exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (i32.const 3))))"#;
fn boot(image: ImageBuilder) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_millis(50));
    cluster
}

/// Types a line and returns what it printed.
fn shell(cluster: &mut Cluster, line: &str) -> String {
    cluster.shell(0, line)
}

/// The JSON that a verb prints.
fn json(cluster: &mut Cluster, line: &str) -> serde_json::Value {
    cluster.json(0, line)
}

fn state(cluster: &mut Cluster, name: &str) -> (String, String) {
    cluster.state(0, name)
}

#[test]
fn ends_are_told_apart() {
    let image = ImageBuilder::new("ends")
        .instance("returns", RETURNS)
        .instance("exits", EXITS)
        .instance("traps", TRAPS)
        .instance("spins", SPINS);
    let mut cluster = boot(image);
    assert_eq!(
        state(&mut cluster, "returns"),
        ("exited".into(), "status 0".into())
    );
    assert_eq!(
        state(&mut cluster, "exits"),
        ("exited".into(), "status 3".into())
    );
    let (word, detail) = state(&mut cluster, "traps");
    assert_eq!(word, "trapped");
    assert!(detail.contains("unreachable"), "{detail}");
    assert_eq!(state(&mut cluster, "spins").0, "running");
}

#[test]
fn a_compute_bound_instance_leaves_the_cpu_to_others() {
    let image = ImageBuilder::new("fair")
        .instance("spins", SPINS)
        .instance("ticks", ticks(SECOND));
    let mut cluster = boot(image);
    cluster.run_for(Duration::from_millis(3200));
    let logs = shell(&mut cluster, "logs ticks");
    assert_eq!(logs.matches("tick\n").count(), 3, "{logs}");
}

#[test]
fn guest_time_stands_still_while_paused() {
    let mut cluster = boot(ImageBuilder::new("pause").instance("ticks", ticks(SECOND)));
    cluster.run_for(Duration::from_millis(2500));
    shell(&mut cluster, "pause ticks");
    assert_eq!(state(&mut cluster, "ticks").0, "paused");
    cluster.run_for(Duration::from_secs(10));
    let logs = shell(&mut cluster, "logs ticks");
    assert_eq!(logs.matches("tick\n").count(), 2, "{logs}");
    shell(&mut cluster, "resume ticks");
    cluster.run_for(Duration::from_millis(1000));
    let logs = shell(&mut cluster, "logs ticks");
    assert_eq!(
        logs.matches("tick\n").count(),
        3,
        "the rest of the sleep, not a burst: {logs}"
    );
    assert!(shell(&mut cluster, "resume ticks").contains("error: 'ticks' is not paused"));
}

#[test]
fn restart_policies_back_off() {
    let image = ImageBuilder::new("restarts")
        .instance("fails", TRAPS)
        .with(|spec| spec.restart = RestartPolicy::OnFailure)
        .instance("succeeds", RETURNS)
        .with(|spec| spec.restart = RestartPolicy::OnFailure)
        .instance("always", RETURNS)
        .with(|spec| spec.restart = RestartPolicy::Always);
    let mut cluster = boot(image);
    cluster.run_for(Duration::from_secs(10));
    let rows = json(&mut cluster, "ls --json");
    let restarts = |name: &str| {
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["name"] == name)
            .unwrap();
        row["restarts"].as_u64().unwrap()
    };
    // After 0.5, 1, 2 and 4 seconds: four within ten.
    assert_eq!(restarts("fails"), 4);
    assert_eq!(restarts("always"), 4);
    assert_eq!(restarts("succeeds"), 0);
    shell(&mut cluster, "stop fails");
    cluster.run_for(Duration::from_secs(100));
    let rows = json(&mut cluster, "ls --json");
    let fails = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "fails")
        .unwrap()
        .clone();
    assert_eq!(fails["restarts"], 4, "stopped for good: {fails}");
}

#[test]
fn operators_start_stop_and_kill() {
    let image = ImageBuilder::new("verbs")
        .instance("manual", SPINS)
        .with(|spec| spec.autostart = Autostart::Manual);
    let mut cluster = boot(image);
    assert_eq!(
        state(&mut cluster, "manual"),
        ("stopped".into(), "never started".into())
    );
    assert!(shell(&mut cluster, "stop manual").contains("error: 'manual' does not run"));
    shell(&mut cluster, "start manual");
    assert_eq!(state(&mut cluster, "manual").0, "running");
    assert!(shell(&mut cluster, "start manual").contains("error: 'manual' runs already"));
    shell(&mut cluster, "stop manual");
    assert_eq!(state(&mut cluster, "manual").0, "stopped");
    shell(&mut cluster, "restart manual");
    assert_eq!(state(&mut cluster, "manual").0, "running");
    shell(&mut cluster, "kill manual");
    assert_eq!(
        state(&mut cluster, "manual"),
        ("stopped".into(), "killed".into())
    );
    let events = shell(&mut cluster, "events");
    for kind in ["started", "stopped", "killed"] {
        assert!(events.contains(kind), "{kind} in {events}");
    }
    assert!(shell(&mut cluster, "info manual").contains("sha256"));
    assert!(shell(&mut cluster, "start ghost").contains("error: no instance named 'ghost'"));
}

#[test]
fn refused_modules_are_named_and_the_others_run() {
    let image = ImageBuilder::new("refused")
        .instance("invalid", b"\0asm\x01\0\0\0\xff\xff")
        .instance("unknown-import", "(module (import \"sos\" \"no_such_call\" (func)) (memory (export \"memory\") 1) (func (export \"_start\")))")
        .instance("no-entry", "(module (memory (export \"memory\") 1))")
        .instance("start-traps", "(module (memory (export \"memory\") 1) (func $s unreachable) (start $s) (func (export \"_start\")))")
        .instance("too-large", "(module (memory (export \"memory\") 60000) (func (export \"_start\")))")
        .instance("ticks", ticks(SECOND));
    let mut cluster = boot(image);
    assert_eq!(state(&mut cluster, "invalid").0, "failed");
    let (word, detail) = state(&mut cluster, "unknown-import");
    assert_eq!(word, "failed");
    assert!(detail.contains("no_such_call"), "{detail}");
    assert_eq!(state(&mut cluster, "no-entry").0, "failed");
    assert_eq!(state(&mut cluster, "start-traps").0, "trapped");
    assert_eq!(state(&mut cluster, "too-large").0, "failed");
    assert_eq!(state(&mut cluster, "ticks").0, "waiting");
    assert!(shell(&mut cluster, "dmesg").contains("'unknown-import' did not start"));
}

#[test]
fn log_and_console_outlive_the_execution() {
    const GREETS: &str = r#"(module
        (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
        (import "sos" "console_write" (func $write (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "greeting")
        (func (export "_start")
            (drop (call $log (i32.const 2) (i32.const 16) (i32.const 8)))
            (drop (call $write (i32.const 16) (i32.const 8)))
            unreachable))"#;
    let mut cluster = boot(ImageBuilder::new("remains").instance("greets", GREETS));
    assert_eq!(state(&mut cluster, "greets").0, "trapped");
    shell(&mut cluster, "start greets");
    let logs = shell(&mut cluster, "logs greets");
    assert_eq!(logs.matches("greeting").count(), 2, "{logs}");
    let console = shell(&mut cluster, "console greets");
    assert!(console.contains("greetinggreeting"), "{console}");
}

#[test]
fn a_trap_is_told_with_the_calls_that_led_to_it() {
    const TRAPS_INSIDE: &str = r#"(module
        (memory (export "memory") 1)
        (func $_ZN4data5parse17h0123456789abcdefE (drop (i32.load (i32.const -4))))
        (func $work (call 0))
        (func (export "_start") (call $work)))"#;
    let mut cluster = boot(ImageBuilder::new("trace").instance("parser", TRAPS_INSIDE));
    let (word, detail) = state(&mut cluster, "parser");
    assert_eq!(word, "trapped");
    let first = "memory access out of bounds, in data::parse (function 0)";
    assert_eq!(detail, first);
    for (verb, line) in [("events", first), ("dmesg", first)] {
        let text = shell(&mut cluster, verb);
        assert!(text.contains(line), "{verb}: {text}");
    }
    let calls = [
        "#0  data::parse (function 0)",
        "#1  work (function 1)",
        "#2  _start (function 2)",
    ];
    let logs = shell(&mut cluster, "logs parser");
    assert!(logs.contains("trapped: memory access out of bounds"));
    assert!(calls.iter().all(|call| logs.contains(call)), "{logs}");
    let info = json(&mut cluster, "info parser --json");
    assert_eq!(info["backtrace"], serde_json::json!(calls));
}

#[test]
fn a_corrupt_image_leaves_a_shell_that_says_so() {
    let image = ImageBuilder::new("corrupt")
        .instance("ticks", ticks(SECOND))
        .build();
    for length in [0, 10, image.len() / 2, image.len() - 1] {
        let mut cluster = Cluster::new(1);
        cluster.boot("node1", image[..length].to_vec());
        cluster.run_for(Duration::from_millis(10));
        let console = cluster.nodes[0].console();
        assert!(
            console.contains("error: boot image: "),
            "{length} bytes: {console}"
        );
        assert!(shell(&mut cluster, "uptime").contains("0 of 0 run"));
    }
}

#[test]
fn a_corrupt_module_fails_its_instance_alone() {
    let mut image = ImageBuilder::new("corrupt")
        .instance("returns", RETURNS)
        .instance("ticks", ticks(SECOND))
        .build();
    // The module files end the image, in the order of their hashes; one bit of one of them flips.
    let last = image.len() - 1;
    image[last] ^= 1;
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image);
    cluster.run_for(Duration::from_millis(10));
    let console = cluster.nodes[0].console();
    assert_eq!(
        console.matches("of the image is corrupt").count(),
        1,
        "{console}"
    );
    let rows = json(&mut cluster, "ls --json");
    assert_eq!(rows.as_array().unwrap().len(), 2, "{rows}");
}

#[test]
fn poweroff_and_reboot_end_the_node() {
    for (verb, expected) in [("poweroff", Next::PowerOff), ("reboot", Next::Reboot)] {
        let mut cluster = boot(ImageBuilder::new("end").instance("ticks", ticks(SECOND)));
        shell(&mut cluster, verb);
        assert_eq!(cluster.nodes[0].ended, Some(expected));
    }
}

#[test]
fn segments_are_listed_and_changed() {
    let image = ImageBuilder::new("segments")
        .switch("lan", Some("nic0"))
        .link("backend")
        .instance("left", ticks(SECOND))
        .port("eth0", link("backend"), "10.1.0.1/24")
        .instance("right", ticks(SECOND))
        .port("eth0", link("backend"), "10.1.0.2/24");
    let mut cluster = boot(image);
    assert!(shell(&mut cluster, "switch").contains("nic0"));
    let links = json(&mut cluster, "link --json");
    assert_eq!(links[0]["ports"].as_array().unwrap().len(), 2, "{links}");
    let text = shell(&mut cluster, "ping left 10.1.0.2 -c 1");
    cluster.run_for(Duration::from_secs(1));
    let console = cluster.nodes[0].console();
    assert!(
        console.contains("1 sent, 1 received, 0% lost"),
        "{text}{console}"
    );
    shell(&mut cluster, "link down backend");
    shell(&mut cluster, "ping left 10.1.0.2 -c 1");
    cluster.run_for(Duration::from_secs(3));
    assert!(
        cluster.nodes[0]
            .console()
            .contains("1 sent, 0 received, 100% lost")
    );
    assert!(shell(&mut cluster, "link rm backend").contains("error: 'backend' still has ports"));
    shell(&mut cluster, "switch add other");
    assert!(shell(&mut cluster, "switch").contains("other"));
    shell(&mut cluster, "switch rm other");
    assert!(!shell(&mut cluster, "switch").contains("other "));
    assert!(
        shell(&mut cluster, "switch add lan")
            .contains("error: a switch or link named 'lan' exists already")
    );
}

#[test]
fn a_nic_that_vanishes_is_reported_once_and_the_node_goes_on() {
    let image = ImageBuilder::new("nic")
        .switch("lan", Some("nic0"))
        .instance("ticks", ticks(SECOND));
    let mut cluster = boot(image);
    cluster.nodes[0].machine.nics[0].gone = true;
    cluster.run_for(Duration::from_secs(3));
    let log = shell(&mut cluster, "dmesg");
    assert_eq!(
        log.matches("nic0 failed or was removed").count(),
        1,
        "{log}"
    );
    assert_eq!(state(&mut cluster, "ticks").0, "waiting");
}
