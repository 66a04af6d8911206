//! Instances that do what none should, on a real node: each ends with its reason or is bounded, and
//! the neighbours serve.

use sos_tests::qemu::{Boot, Manifest, TestNode, eventually};

const WEB: &str = r#"
    [switch.lan]
    uplink = "nic0"
    [instance.web]
    module = "web"
    limits.memory = "16MiB"
    port.eth0 = { switch = "lan", address = "dhcp" }
    [[forward]]
    host = 1
    to = "web:80"
"#;

/// A node with web and these hostile ones, which the test starts.
fn node_with(hostile: &[&str], memory_mib: u64) -> TestNode {
    let mut text = String::from("name = \"attacked\"\n");
    text.push_str(WEB);
    for what in hostile {
        text.push_str(&format!(
            "[instance.{what}]\nmodule = \"hostile\"\nargs = [\"{what}\"]\nautostart = false\n\
             limits.memory = \"32MiB\"\n"
        ));
    }
    let image = Manifest::new(text).build();
    let node = Boot::image(&image).memory_mib(memory_mib).start();
    node.web_serves();
    node
}

#[test]
fn instances_that_end_say_why() {
    let cases = [
        ("recursion", "trapped", "stack"),
        ("unreachable", "trapped", "unreachable"),
        ("panic", "trapped", "unreachable"),
        ("exit", "exited", "status 7"),
        ("pointers", "exited", "status 0"),
        ("handles", "exited", "status 0"),
        ("stale", "exited", "status 0"),
        ("memory", "exited", "status 0"),
    ];
    let node = node_with(&cases.map(|(what, ..)| what), 128);
    for (what, state, words) in cases {
        node.quietly(&format!("start {what}"));
        let detail = node.until_state(what, state);
        let log = node.log(what);
        assert!(detail.contains(words), "{what}: {detail}: {log:?}");
        assert_eq!(log[0], format!("hostile: {what}"));
        node.web_serves();
    }
    let said = |what: &str, words: &str| {
        let log = node.log(what);
        assert!(log.iter().any(|line| line.contains(words)), "{log:?}");
    };
    said("panic", "hostile was told to panic");
    said("pointers", "lies, each refused");
    said("handles", "256 sockets, then");
    // Less than its 32 MiB: its own code and heap take some.
    said("memory", " MiB, then no more");
    // What they held is given back.
    let free = || node.json("uptime")["memory"]["guest_bytes"].as_u64();
    assert!(free().is_some_and(|bytes| bytes < 16 << 20), "{:?}", free());
    node.power_off();
}

#[test]
fn instances_that_never_end_are_bounded() {
    let floods = ["loop", "calls", "copies", "log", "console"];
    let node = node_with(&floods, 128);
    for what in floods {
        node.quietly(&format!("start {what}"));
        node.web_serves();
    }
    // All at once: web still answers, and so does the shell.
    for what in floods {
        node.until_state(what, "running");
    }
    node.web_serves();
    let dropped = || node.json("info log")["log_dropped"].as_u64().unwrap_or(0);
    eventually("the flooded log drops its oldest", || match dropped() {
        0 => Err("nothing was dropped".into()),
        _ => Ok(()),
    });
    let heap = node.json("uptime")["memory"]["heap_used_bytes"].as_u64();
    assert!(heap.is_some_and(|bytes| bytes < 48 << 20), "{heap:?}");
    node.line("console console");
    node.expect("flood ");
    node.keys(b"\x1d");
    node.until_prompt();
    node.quietly("kill loop calls copies log console");
    node.web_serves();
    node.power_off();
}

/// Declares 4096 pages and touches 1 MiB.
const SPARSE: &str = r#"(module
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 4096)
    (func (export "_start") (local $at i32)
        (loop
            (i32.store8 (local.get $at) (i32.const 1))
            (local.set $at (i32.add (local.get $at) (i32.const 4096)))
            (br_if 0 (i32.lt_u (local.get $at) (i32.const 1048576))))
        (loop (drop (call $sleep (i64.const 1000000000))) (br 0))))"#;
/// Declares 4096 pages and touches all, and again.
const GREEDY: &str = r#"(module
    (memory (export "memory") 4096)
    (func (export "_start") (local $at i32)
        (loop
            (i32.store8 (local.get $at) (i32.const 1))
            (local.set $at (i32.add (local.get $at) (i32.const 4096)))
            (br_if 0 (i32.lt_u (local.get $at) (i32.const 268435456))))
        (loop (br 0))))"#;

#[test]
fn memory_is_paid_for_when_it_is_touched() {
    let text = format!(
        r#"
            name = "sparse"
            {WEB}
            [instance.sparse]
            module = "./sparse.wat"
            limits.memory = "256MiB"
            [instance.greedy]
            module = "./greedy.wat"
            limits.memory = "256MiB"
            autostart = false
        "#
    );
    let image = Manifest::new(text)
        .file("sparse.wat", SPARSE)
        .file("greedy.wat", GREEDY)
        .build();
    let node = Boot::image(&image).memory_mib(64).start();
    node.web_serves();
    node.until_state("sparse", "waiting");
    let detail = node.json("info sparse");
    assert_eq!(detail["memory_bytes"], 256 << 20);
    let resident = detail["resident_bytes"].as_u64().expect("resident bytes");
    assert!((1 << 20..5 << 18).contains(&resident), "{resident}");
    // The node has 64 MiB: who touches 256 is ended, and nobody else is.
    for _ in 0..2 {
        node.quietly("start greedy");
        let detail = node.until_state("greedy", "trapped");
        assert!(detail.contains("out of memory"), "{detail}");
        node.web_serves();
        node.until_state("sparse", "waiting");
    }
    let events = node.shell("events");
    assert_eq!(events.matches("out-of-memory").count(), 2, "{events}");
    node.power_off();
}
