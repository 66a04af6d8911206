//! The limits that a manifest gives an instance: each is reached, says so, and holds.

use sos_core::image::InstanceSpec;
use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

/// What the modules below begin with. `$expect` ends the program with its number when two numbers
/// differ.
const PRELUDE: &str = r#"
    (import "sos" "exit" (func $exit (param i32)))
    (func $expect (param $number i32) (param $got i32) (param $wanted i32)
        (if (i32.ne (local.get $got) (local.get $wanted))
            (then (call $exit (local.get $number)))))"#;

/// Runs a module of these lines under changed limits: its state and detail at the end.
fn run(body: &str, change: impl FnOnce(&mut InstanceSpec)) -> (Cluster, (String, String)) {
    let module = format!("(module {PRELUDE} {body})");
    run_module(module.as_bytes(), change)
}

fn run_module(
    module: &[u8],
    change: impl FnOnce(&mut InstanceSpec),
) -> (Cluster, (String, String)) {
    let image = ImageBuilder::new("limits")
        .instance("limited", module)
        .with(change);
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_millis(100));
    let state = cluster.state(0, "limited");
    (cluster, state)
}

fn exited(status: &str) -> (String, String) {
    ("exited".into(), status.into())
}

#[test]
fn memory_grows_to_its_limit_and_then_answers_minus_one() {
    let body = r#"
        (memory (export "memory") 1)
        (func (export "_start")
            (call $expect (i32.const 1) (memory.grow (i32.const 4)) (i32.const -1))
            (call $expect (i32.const 2) (memory.grow (i32.const 3)) (i32.const 1))
            (i32.store (i32.const 262140) (i32.const 7))
            (call $expect (i32.const 3) (memory.grow (i32.const 1)) (i32.const -1))
            (call $expect (i32.const 4) (memory.size) (i32.const 4))
            (call $expect (i32.const 5) (i32.load (i32.const 262140)) (i32.const 7))
            (drop (i32.load (i32.const 262141))))"#;
    let (_, (state, detail)) = run(body, |spec| spec.limits.memory_bytes = 4 * 65_536);
    // Each answer was right, and the first byte behind the limit is out of bounds.
    assert_eq!(state, "trapped", "{detail}");
    assert!(detail.contains("memory access out of bounds"), "{detail}");
}

#[test]
fn tables_grow_to_their_common_limit_and_then_answer_minus_one() {
    let body = r#"
        (memory (export "memory") 1)
        (table $a 10 funcref)
        (table $b 5 funcref)
        (func (export "_start")
            (call $expect (i32.const 1) (table.grow $a (ref.null func) (i32.const 4)) (i32.const 10))
            (call $expect (i32.const 2) (table.grow $b (ref.null func) (i32.const 2)) (i32.const -1))
            (call $expect (i32.const 3) (table.grow $b (ref.null func) (i32.const 1)) (i32.const 5))
            (call $expect (i32.const 4) (table.grow $a (ref.null func) (i32.const 1)) (i32.const -1)))"#;
    let (_, state) = run(body, |spec| spec.limits.table_elements = 20);
    assert_eq!(state, exited("status 0"));
    let (_, (state, detail)) = run(body, |spec| spec.limits.table_elements = 14);
    assert_eq!(state, "failed");
    assert!(
        detail.contains("more table elements than its limit of 14"),
        "{detail}"
    );
}

/// Calls itself to this depth.
fn recursion(depth: u32) -> String {
    format!(
        r#"(memory (export "memory") 1)
        (func $down (param $left i32) (result i32)
            (if (result i32) (local.get $left)
                (then (i32.add
                    (i32.const 1)
                    (call $down (i32.sub (local.get $left) (i32.const 1)))))
                (else (i32.const 0))))
        (func (export "_start")
            (call $expect (i32.const 1) (call $down (i32.const {depth})) (i32.const {depth})))"#
    )
}

#[test]
fn calls_nest_to_their_limit_and_then_trap() {
    let shallow = |spec: &mut InstanceSpec| spec.limits.call_depth = 100;
    let (_, state) = run(&recursion(90), shallow);
    assert_eq!(state, exited("status 0"));
    let (_, (state, detail)) = run(&recursion(110), shallow);
    assert_eq!(state, "trapped");
    assert!(
        detail.contains("call stack exhausted; raise `stack` or `call_depth`"),
        "{detail}"
    );
}

#[test]
fn the_value_stack_fills_to_its_limit_and_then_traps() {
    let small = |spec: &mut InstanceSpec| spec.limits.stack_bytes = 16 * 1024;
    let (_, state) = run(&recursion(90), small);
    assert_eq!(state, exited("status 0"));
    let (_, (state, detail)) = run(&recursion(5000), small);
    assert_eq!(state, "trapped");
    assert!(detail.contains("call stack exhausted"), "{detail}");
}

#[test]
fn sockets_are_opened_to_their_limit_and_then_refused() {
    let [hostile] = sos_tests::guests(["hostile"]);
    let (mut cluster, state) = run_module(&hostile, |spec| {
        spec.arguments = vec!["handles".into()];
        spec.limits.sockets = 3;
    });
    // The guest checks the answer, closes all, and opens as many again.
    assert_eq!(state, exited("status 0"));
    let log = cluster.shell(0, "logs limited");
    assert!(log.contains("3 sockets, then"), "{log}");
}

#[test]
fn the_log_keeps_its_newest_lines_within_its_limit() {
    let body = r#"
        (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "line ..")
        (func (export "_start") (local $i i32)
            (loop $next
                (i32.store8 (i32.const 21)
                    (i32.add (i32.const 48) (i32.div_u (local.get $i) (i32.const 10))))
                (i32.store8 (i32.const 22)
                    (i32.add (i32.const 48) (i32.rem_u (local.get $i) (i32.const 10))))
                (drop (call $log (i32.const 2) (i32.const 16) (i32.const 7)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $i) (i32.const 100)))))"#;
    let module = format!("(module {body})");
    let (mut cluster, state) = run_module(module.as_bytes(), |spec| spec.limits.log_bytes = 1024);
    assert_eq!(state, exited("status 0"));
    let log = cluster.shell(0, "logs limited");
    let kept: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("line "))
        .map(|(_, number)| number)
        .collect();
    assert!((2..100).contains(&kept.len()), "{log}");
    let newest: Vec<String> = (100 - kept.len()..100)
        .map(|number| format!("{number:02}"))
        .collect();
    assert_eq!(kept, newest);
}

#[test]
fn a_limit_that_is_reached_is_told_once() {
    let module = r#"(module
        (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
        (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
        (import "sos" "sleep" (func $sleep (param i64) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1) (table 1 funcref)
        (data (i32.const 16) "\04\00\01\00")
        (data (i32.const 32) "file ")
        (func (export "_start") (local $count i32)
            (loop $again
                (drop (memory.grow (i32.const 100)))
                (drop (table.grow (ref.null func) (i32.const 100)))
                (i32.store8 (i32.const 18) (local.get $count))
                (drop (call $listen (i32.const 16) (i32.const 1)))
                (i32.store8 (i32.const 36) (i32.add (i32.const 48) (local.get $count)))
                (drop (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 5)
                    (i32.const 1) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 40)))
                (drop (call $log (i32.const 2) (i32.const 16) (i32.const 1000)))
                (drop (call $sleep (i64.const 1000000)))
                (br_if $again (i32.lt_u
                    (local.tee $count (i32.add (local.get $count) (i32.const 1)))
                    (i32.const 10))))))"#;
    let image = ImageBuilder::new("limits")
        .instance("greedy", module)
        .with(|spec| {
            spec.limits.memory_bytes = 4 * 65_536;
            spec.limits.table_elements = 50;
            spec.limits.sockets = 3;
            spec.limits.log_bytes = 4096;
            spec.limits.files = 5;
        });
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_secs(1));
    let events = cluster.shell(0, "events");
    for words in [
        "memory: growing was refused; raise `memory`",
        "tables: growing was refused; raise `tables`",
        "sockets: another one was refused; raise `sockets`",
        "log: old lines were dropped; raise `log`",
        "files: a write was refused; raise `file_bytes` or `files`",
    ] {
        assert_eq!(events.matches(words).count(), 1, "{words}: {events}");
    }
    assert_eq!(events.matches("limit-reached").count(), 5, "{events}");
}
