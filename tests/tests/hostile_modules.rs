//! Modules that no toolchain makes: each is contained, named in an event, and leaves nothing behind,
//! while the program beside them goes on.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sos_core::machine::Duration;
use sos_tests::programs::ticks;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

/// How often the program beside them says that it lives.
const TICK: Duration = Duration::from_millis(100);

/// The victim goes on.
fn victim_lives(cluster: &mut Cluster, after: &str) {
    let before = cluster.ticks(0, "victim");
    cluster.run_for(Duration::from_secs(1));
    let now = cluster.ticks(0, "victim");
    assert!(now > before, "after {after}: {before} then {now} ticks");
}

/// Guest memory that the node has given out, in bytes.
fn guest_bytes(cluster: &mut Cluster) -> u64 {
    let memory = &cluster.json(0, "uptime --json")["memory"]["guest_bytes"];
    memory.as_u64().expect("a number")
}

/// A module of this text, what becomes of it in some seconds, and words of the reason.
struct Case {
    name: &'static str,
    module: Vec<u8>,
    state: &'static [&'static str],
    words: &'static str,
}

fn case(
    name: &'static str,
    text: String,
    state: &'static [&'static str],
    words: &'static str,
) -> Case {
    let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    Case {
        name,
        module,
        state,
        words,
    }
}

fn start(body: &str) -> String {
    format!("(module (memory 1) (table 1 funcref) (func (export \"_start\") {body}))")
}

fn cases() -> Vec<Case> {
    let endless: &[&str] = &["running"];
    let trapped: &[&str] = &["trapped"];
    let refused: &[&str] = &["start failed", "failed"];
    let nested = |open: &str, close: &str, depth: usize| {
        start(&format!("{}{}", open.repeat(depth), close.repeat(depth)))
    };
    let functions = "(func)".repeat(99_999);
    let too_many = "(func)".repeat(100_001);
    let targets = "0 ".repeat(100_000);
    vec![
        case("endless-loop", start("(loop $l (br $l))"), endless, ""),
        case(
            "endless-recursion",
            "(module (func $f (export \"_start\") (call $f)))".into(),
            trapped,
            "stack",
        ),
        case(
            "endless-growth",
            start("(loop $l (drop (memory.grow (i32.const 1))) (br $l))"),
            endless,
            "",
        ),
        case(
            "table-growth",
            start("(loop $l (drop (table.grow (ref.null func) (i32.const 1000))) (br $l))"),
            endless,
            "",
        ),
        case(
            "endless-start",
            "(module (func $s (loop $l (br $l))) (start $s) (func (export \"_start\")))".into(),
            endless,
            "",
        ),
        case(
            "many-functions",
            format!("(module {functions} (func (export \"_start\")))"),
            &["finished", "exited"],
            "",
        ),
        case(
            "too-many-functions",
            format!("(module {too_many} (func (export \"_start\")))"),
            refused,
            "functions",
        ),
        case(
            "deep-blocks",
            nested("(block ", ")", 10_000),
            &["finished", "exited"],
            "",
        ),
        case(
            "wide-branch-table",
            start(&format!("(block (br_table {targets} (i32.const 7)))")),
            &["finished", "exited"],
            "",
        ),
        case(
            "table-bomb",
            "(module (table 10000000 funcref) (func (export \"_start\")))".into(),
            refused,
            "table",
        ),
        case(
            "memory-bomb",
            "(module (memory 65536) (func (export \"_start\")))".into(),
            refused,
            "memory",
        ),
        case(
            "bulk-fill",
            start(
                "(drop (memory.grow (i32.const 31)))
                 (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 2097152)) (br $l))",
            ),
            endless,
            "",
        ),
        Case {
            name: "not-wasm",
            module: b"\x7fELF is another format".to_vec(),
            state: refused,
            words: "WebAssembly",
        },
        Case {
            name: "header-alone",
            module: b"\0asm\x01\0\0\0".to_vec(),
            state: refused,
            words: "_start",
        },
    ]
}

#[test]
fn hostile_modules_are_contained_named_and_leave_nothing() {
    let cases = cases();
    let mut image = ImageBuilder::new("hostile").instance("victim", ticks(TICK));
    for case in &cases {
        image = image
            .raw_instance(case.name, case.module.clone())
            .with(|spec| {
                spec.autostart = sos_core::image::Autostart::Manual;
                spec.limits.memory_bytes = 4 << 20;
            });
    }
    let mut cluster = Cluster::new(7);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_secs(1));
    let before = guest_bytes(&mut cluster);
    for case in &cases {
        let name = case.name;
        let mut said = cluster.shell(0, &format!("start {name}"));
        cluster.run_for(Duration::from_secs(2));
        let (state, detail) = cluster.state(0, name);
        assert!(
            case.state.contains(&state.as_str()),
            "{name}: {state}: {detail}: {said}"
        );
        said.push_str(&detail);
        assert!(said.contains(case.words), "{name}: {said}");
        victim_lives(&mut cluster, name);
        if state == "running" {
            cluster.shell(0, &format!("kill {name}"));
        }
        let events = cluster.shell(0, "events");
        assert!(events.contains(name), "{name} is in no event");
        assert_eq!(
            guest_bytes(&mut cluster),
            before,
            "{name} left memory behind"
        );
    }
}

/// Flips, cuts, repeats and inserts bytes.
fn mutate(random: &mut SmallRng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..8) {
        let place = random.random_range(8..bytes.len().max(9));
        match random.random_range(0..5) {
            0 if place < bytes.len() => bytes[place] ^= 1 << random.random_range(0..8),
            1 if place < bytes.len() => bytes[place] = random.random(),
            2 => bytes.insert(place.min(bytes.len()), random.random()),
            3 if place < bytes.len() => drop(bytes.remove(place)),
            _ => bytes.truncate(place.max(8)),
        }
    }
    bytes
}

/// Modules of one node, and nodes.
const MODULES: usize = 250;
const NODES: u64 = 40;

#[test]
fn ten_thousand_mutated_modules_harm_nobody() {
    let seeds: Vec<Vec<u8>> = cases()
        .into_iter()
        // Those that loop for ever would only take time from the others.
        .filter(|case| case.module.len() < 2000 && case.state != ["running"])
        .map(|case| case.module)
        .chain([wat::parse_str(ticks(TICK)).expect("a text of ours")])
        .collect();
    let mut random = SmallRng::seed_from_u64(10);
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    for node in 0..NODES {
        let mut image = ImageBuilder::new("mutants").instance("victim", ticks(TICK));
        for number in 0..MODULES {
            let seed = &seeds[random.random_range(0..seeds.len())];
            let module = mutate(&mut random, seed);
            image = image
                .raw_instance(&format!("mutant{number}"), module)
                .with(|spec| spec.limits.memory_bytes = 1 << 20);
        }
        let mut cluster = Cluster::new(node);
        cluster.boot("node1", image.build());
        cluster.run_for(Duration::from_secs(3));
        for entry in cluster.json(0, "ls --json").as_array().expect("a list") {
            let state = entry["state"].as_str().expect("a state").to_string();
            *ends.entry(state).or_default() += 1;
        }
        victim_lives(&mut cluster, &format!("the mutants of node {node}"));
    }
    println!("{ends:?}");
    let all: u32 = ends.values().sum();
    assert!(all >= 10_000 && ends["failed"] > 9_000, "{ends:?}");
}
