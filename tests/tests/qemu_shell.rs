//! The shell of a real node, typed at over the serial console: every verb, for people and as JSON.

use std::time::Duration;

use serde_json::Value;
use sos_core::shell::VERBS;
use sos_tests::programs::ticks;
use sos_tests::qemu::{Boot, Manifest, TestNode, eventually, http};

/// Gives back each piece that is typed at its console, twice.
const ECHOES: &str = r#"(module
    (import "sos" "console_read" (func $read (param i32 i32 i32) (result i32)))
    (import "sos" "console_write" (func $write (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $length i32)
        (loop
            (local.set $length (call $read (i32.const 64) (i32.const 64) (i32.const 0)))
            (drop (call $write (i32.const 64) (local.get $length)))
            (drop (call $write (i32.const 64) (local.get $length)))
            (br 0))))"#;
/// Traps.
const FAILS: &str =
    "(module (memory (export \"memory\") 1) (func (export \"_start\") unreachable))";

fn names(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().expect("an array").iter();
    rows.map(|row| row["name"].as_str().unwrap_or_default())
        .collect()
}

/// Kinds of the events of an instance, in their order.
fn events_of(node: &TestNode, instance: &str) -> Vec<String> {
    let events = node.json("events");
    let entries = events["entries"].as_array().expect("entries").iter();
    let own = entries.filter(|event| event["instance"] == instance);
    own.map(|event| event["kind"].as_str().unwrap_or_default().to_string())
        .collect()
}

#[test]
fn listings_are_for_people_and_for_programs() {
    let node = Boot::demo().start();
    node.web_serves();

    let table = node.shell("ls");
    assert!(table.starts_with("NAME"), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");
    let rows = node.json("ls");
    assert_eq!(names(&rows), ["spinner", "store", "web"]);
    assert_eq!(rows[2]["module"], "web");
    assert_eq!(rows[2]["addresses"][1], "10.1.0.1");

    assert!(node.shell("info web").contains("module       web ("));
    let detail = node.json("info web");
    assert_eq!(detail["restart"], "always");
    assert_eq!(detail["module_hash"].as_str().map(str::len), Some(64));
    assert_eq!(detail["memory_limit_bytes"], 24 << 20);
    assert!(
        detail["start_nanos"]
            .as_u64()
            .is_some_and(|nanos| nanos > 0)
    );

    assert!(node.shell("net web").contains("web.eth0"));
    let net = node.json("net");
    assert_eq!(net.as_array().map(Vec::len), Some(3));
    let web = &node.json("net web")[0];
    assert_eq!(web["interfaces"][0]["segment"], "lan");
    assert!(web["interfaces"][0]["addresses"][0].is_string());
    let listens = |socket: &Value| socket["state"].as_str().is_some_and(|s| s == "LISTEN");
    assert!(
        web["sockets"]
            .as_array()
            .expect("sockets")
            .iter()
            .any(listens),
        "{web}"
    );

    assert!(node.shell("switch").contains("nic0"));
    let switches = node.json("switch");
    assert_eq!(names(&switches), ["lan"]);
    assert_eq!(names(&switches[0]["ports"]), ["web.eth0"]);
    assert!(node.shell("link").contains("store.eth0"));
    assert_eq!(names(&node.json("link")), ["backend"]);

    assert!(node.shell("uptime").contains("instances    3 of 3 run"));
    let uptime = node.json("uptime");
    assert_eq!(
        (&uptime["name"], &uptime["running"]),
        (&"demo".into(), &3.into())
    );
    assert_eq!(uptime["nics"][0], "02:53:4f:53:00:01");
    assert!(uptime["memory"]["free_bytes"].as_u64() < uptime["memory"]["total_bytes"].as_u64());

    let top = node.shell("top -n 1");
    assert!(top.contains("%CPU") && top.contains("spinner"), "{top}");
    assert_eq!(names(&node.json("top")), ["spinner", "store", "web"]);
    // Without -n it goes on until q.
    node.line("top");
    node.expect("%CPU");
    node.expect("%CPU");
    node.keys(b"q");
    node.until_prompt();

    assert!(node.shell("events").contains("started"));
    assert_eq!(events_of(&node, "web"), ["started"]);
    assert!(node.shell("dmesg").contains("SOS 0."));
    let dmesg = node.json("dmesg");
    assert!(
        dmesg["entries"]
            .as_array()
            .is_some_and(|rows| !rows.is_empty())
    );
    assert!(node.shell("logs web").contains("serving HTTP on port 80"));
    assert!(
        node.log("web")
            .iter()
            .any(|text| text.contains("serving HTTP"))
    );
    node.power_off();
}

#[test]
fn help_completion_and_history_help_the_typist() {
    let node = Boot::demo().start();
    let help = node.shell("help");
    for verb in VERBS {
        assert!(help.contains(&format!("  {:<9} ", verb.name)), "{help}");
        let own = node.shell(&format!("help {}", verb.name));
        assert!(own.contains(verb.summary), "{own}");
    }
    assert!(node.shell("clear").contains("\x1b[2J"));
    // Tab finishes verbs and names, arrows bring lines back, Ctrl-C gives a line up.
    node.keys(b"inf\tspi\t\r");
    assert!(node.until_prompt().contains("name         spinner"));
    node.keys(b"\x1b[A\r");
    assert!(node.until_prompt().contains("name         spinner"));
    node.keys(b"poweroff\x03");
    assert!(node.until_prompt().ends_with("^C\n"));
    // What is wrong is named, with the usage.
    for (line, words) in [
        (
            "nonsense",
            "error: unknown verb 'nonsense'; `help` lists them",
        ),
        (
            "info",
            "error: info: an instance is missing; usage: info NAME",
        ),
        (
            "info nobody",
            "error: no instance named 'nobody'; `ls` lists them",
        ),
        ("start web", "error: 'web' runs already"),
        ("resume web", "error: 'web' is not paused"),
        ("logs web -n x", "error: logs: 'x' is not a number"),
        (
            "ping web store",
            "error: ping: 'store' is not an IPv4 or IPv6 address",
        ),
        ("switch add lan", "error: "),
        (
            "switch add x --uplink nic7",
            "error: the machine has no nic7",
        ),
        ("link rm backend", "error: "),
        ("link up nowhere", "error: "),
        ("ls \"", "error: a quote is not closed"),
    ] {
        let said = node.shell(line);
        assert!(said.starts_with(words), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
    }
    node.power_off();
}

#[test]
fn operators_start_hold_and_end_instances() {
    let node = Boot::demo().start();
    node.web_serves();
    let port = node.port();

    node.quietly("pause web");
    assert_eq!(node.state("web").0, "paused");
    // A request that comes meanwhile is answered when it runs again.
    let asked = std::thread::spawn(move || http::ask(port, "GET", "/", b""));
    node.until_state("spinner", "running");
    node.quietly("pause spinner");
    let held = node.json("info spinner")["cpu_nanos"].clone();
    assert_eq!(node.json("info spinner")["cpu_nanos"], held, "it runs on");
    node.quietly("resume spinner");
    node.quietly("resume web");
    let answer = asked.join().expect("a thread").expect("an answer");
    assert_eq!(answer.status, 200);

    node.quietly("stop web store");
    node.until_state("web", "stopped");
    assert!(node.shell("stop web").contains("does not run"));
    node.quietly("start store web");
    node.web_serves();
    node.quietly("kill web");
    assert_eq!(node.state("web"), ("stopped".into(), "killed".into()));
    node.quietly("start web");
    node.web_serves();
    node.quietly("restart web spinner");
    node.web_serves();
    assert_eq!(
        events_of(&node, "web"),
        [
            "started", "paused", "resumed", "stopped", "started", "killed", "started", "stopped",
            "started"
        ]
    );
    node.power_off();
}

#[test]
fn logs_and_consoles_are_followed() {
    let image = Manifest::new(
        r#"
            name = "talk"
            [instance.ticks]
            module = "./ticks.wat"
            [instance.echoes]
            module = "./echoes.wat"
            [instance.hello]
            module = "hello"
            [instance.fails]
            module = "./fails.wat"
            restart = "on-failure"
        "#,
    )
    .file("ticks.wat", ticks(Duration::from_millis(100)))
    .file("echoes.wat", ECHOES)
    .file("fails.wat", FAILS)
    .build();
    let node = Boot::image(&image).start();
    // It greets and ends; its log and console stay.
    assert_eq!(node.until_state("hello", "exited"), "status 0");
    assert_eq!(node.log("hello"), ["hello from hello"]);
    let console = node.shell("console hello");
    assert!(
        console.starts_with("hello from hello on talk\n"),
        "{console:?}"
    );
    assert!(
        console.contains("'hello' does not run any more"),
        "{console}"
    );

    node.line("logs -f ticks");
    for _ in 0..5 {
        node.expect("tick\r\n");
    }
    node.keys(b"\x03");
    assert!(node.until_prompt().ends_with("^C\n"));
    assert_eq!(node.shell("logs ticks -n 2").lines().count(), 2);

    node.line("console echoes");
    node.keys(b"x");
    node.expect("xxx");
    node.keys(b"\r");
    node.expect("\n\r\n\r\n");
    node.keys(b"\x1d");
    node.until_prompt();

    // Followers see what happens while they watch: `fails` is started again and again.
    let count = events_of(&node, "fails").len();
    node.line("events -f");
    for _ in 0..=count {
        node.expect(" fails ");
    }
    node.keys(b"\x03");
    node.until_prompt();
    let count = node.shell("dmesg").matches("'fails' trapped").count();
    node.line("dmesg -f");
    for _ in 0..=count {
        node.expect("warning: instance 'fails' trapped: unreachable");
    }
    node.keys(b"\x03");
    node.until_prompt();
    let restarts = node.json("info fails")["restarts"].as_u64();
    assert!(restarts.is_some_and(|restarts| restarts > 0));
    node.power_off();
}

#[test]
fn segments_are_cut_made_and_removed_and_pinged_across() {
    let node = Boot::demo().start();
    node.web_serves();
    let gateway = "10.0.2.2";
    let ping = |line: &str, wanted: &str| {
        let said = node.shell(line);
        assert!(said.contains(wanted), "{line}: {said}");
    };
    ping(
        &format!("ping web {gateway} -c 2"),
        "2 sent, 2 received, 0% lost",
    );
    ping("ping web 10.1.0.2 -c 1", "1 sent, 1 received");
    ping("ping store 10.1.0.1 -c 1", "1 sent, 1 received");
    // The store has no way out.
    ping(
        &format!("ping store {gateway} -c 1"),
        "no interface leads to that address",
    );
    node.line("ping web 10.1.0.2");
    node.expect("seq=0");
    node.keys(b"\x03");
    assert!(node.until_prompt().contains("% lost"));

    node.quietly("link down backend");
    assert_eq!(node.json("link")[0]["state"], "down");
    ping("ping web 10.1.0.2 -c 1", "0 received, 100% lost");
    node.quietly("link up backend");
    ping("ping web 10.1.0.2 -c 1", "1 received");

    node.quietly("switch down lan");
    ping(&format!("ping web {gateway} -c 1"), "0 received");
    node.quietly("switch up lan");
    node.web_serves();

    node.quietly("switch add other");
    node.quietly("link add spare");
    assert_eq!(names(&node.json("switch")), ["lan", "other"]);
    assert_eq!(names(&node.json("link")), ["backend", "spare"]);
    node.quietly("switch rm other");
    node.quietly("link rm spare");
    assert_eq!(names(&node.json("switch")), ["lan"]);
    node.power_off();
}

#[test]
fn lines_that_no_person_types_do_no_harm() {
    let node = Boot::demo().start();
    node.web_serves();
    let said = |bytes: &[u8]| {
        node.keys(bytes);
        node.keys(b"\r");
        node.until_prompt()
    };
    let long = said(&b"x".repeat(10_000));
    assert!(
        long.contains("error: the line has more than 1024 bytes"),
        "{long}"
    );
    let binary = said(&[b'l', b's', 0xff, 0xfe, 0x80, b' ']);
    assert!(
        binary.contains("error: the line holds bytes that are not UTF-8"),
        "{binary}"
    );
    // Bytes without a plan: whatever the editor makes of them, the shell is there afterwards. Only
    // those are left out that would follow something, or end the node.
    let mut state = 1_u32;
    for _ in 0..64 {
        let mut noise = Vec::new();
        for _ in 0..200 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.push((state >> 24) as u8);
        }
        node.keys(&noise);
    }
    node.keys(b"\x1b[0m\x03\rls --json\r");
    let found = eventually("the shell answers after noise", || {
        let text = node.until_prompt();
        match text.lines().find(|line| line.starts_with("[{")) {
            Some(line) => Ok(line.to_string()),
            None => Err(text),
        }
    });
    let rows: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(names(&rows), ["spinner", "store", "web"]);
    node.web_serves();
    node.power_off();
}
