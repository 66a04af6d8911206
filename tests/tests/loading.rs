//! Modules are translated in steps: a large one holds nobody up, is shared, and is kept.

use sos_core::machine::Duration;
use sos_tests::programs::ticks;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

/// Functions of the large module, and operators of each: about 10 MB of code, whose
/// translation takes some 200 ms of simulated time.
const FUNCTIONS: usize = 1000;
const OPERATORS: usize = 10_000;

/// What the large module's first function, its entry, does.
#[derive(Clone, Copy)]
enum Entry {
    Returns,
    Spins,
}

/// An unsigned number in LEB128 (WebAssembly 5.2.2).
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len()), bytes.to_vec()].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], sized(content)].concat()
}

/// A module of these bodies, the first of which is `_start` and the last is called `huge`.
fn module(bodies: &[Vec<u8>]) -> Vec<u8> {
    let count = number(bodies.len());
    let last = number(bodies.len() - 1);
    let types = vec![0; bodies.len()];
    let code: Vec<u8> = bodies.iter().flat_map(|body| sized(body)).collect();
    let name = [vec![1], last, sized(b"huge")].concat();
    let names = [sized(b"name"), vec![1], sized(&name)].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[count.clone(), types].concat()),
        section(5, &[1, 0, 1]),
        section(
            7,
            &[
                vec![2],
                sized(b"_start"),
                vec![0, 0],
                sized(b"memory"),
                vec![2, 0],
            ]
            .concat(),
        ),
        section(10, &[count, code].concat()),
        section(0, &names),
    ]
    .concat()
}

/// A body without locals.
fn body(operators: &[u8]) -> Vec<u8> {
    [&[0], operators, &[0x0b]].concat()
}

/// `i32.const 1, drop` again and again.
fn long_body(operators: usize) -> Vec<u8> {
    body(&[0x41, 1, 0x1a].repeat(operators / 3))
}

fn bodies(entry: Entry) -> Vec<Vec<u8>> {
    let entry = match entry {
        Entry::Returns => body(&[]),
        Entry::Spins => body(&[0x03, 0x40, 0x0c, 0, 0x0b]),
    };
    let mut bodies = vec![entry];
    bodies.resize(FUNCTIONS, long_body(OPERATORS));
    bodies
}

fn large(entry: Entry) -> Vec<u8> {
    module(&bodies(entry))
}

/// A node whose instances wait for `start`.
fn boot(image: ImageBuilder) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_millis(10));
    cluster
}

fn manual(image: ImageBuilder, name: &str, module: &[u8]) -> ImageBuilder {
    image
        .instance(name, module)
        .with(|spec| spec.autostart = sos_core::image::Autostart::Manual)
}

#[test]
fn a_large_module_is_translated_while_others_run() {
    let image = ImageBuilder::new("large").instance("ticks", ticks(Duration::from_millis(1)));
    let mut cluster = boot(manual(image, "large", &large(Entry::Returns)));
    cluster.shell(0, "start large");
    let (state, detail) = cluster.state(0, "large");
    assert_eq!(state, "loading", "{detail}");
    let refused = cluster.shell(0, "pause large");
    assert!(refused.contains("still being translated"), "{refused}");
    assert!(detail.ends_with("% of its program translated"), "{detail}");
    let before = cluster.ticks(0, "ticks");
    cluster.run_for(Duration::from_millis(20));
    assert_eq!(cluster.state(0, "large").0, "loading");
    let after = cluster.ticks(0, "ticks");
    assert!(after >= before + 15, "{before} ticks, then {after}");
    cluster.run_for(Duration::from_millis(500));
    assert_eq!(cluster.state(0, "large").1, "status 0");
    let info = cluster.json(0, "info large --json");
    assert!(info["slices"].as_u64() > Some(500), "{info}");
    assert!(info["translated_bytes"].as_u64() > Some(10_000), "{info}");
}

#[test]
fn a_restart_does_not_translate_again() {
    let image = manual(ImageBuilder::new("again"), "large", &large(Entry::Returns));
    let mut cluster = boot(image);
    cluster.shell(0, "start large");
    cluster.run_for(Duration::from_millis(500));
    let first = cluster.json(0, "info large --json");
    cluster.shell(0, "start large");
    assert_eq!(cluster.state(0, "large").1, "status 0", "at once");
    let second = cluster.json(0, "info large --json");
    assert_eq!(second["translate_nanos"], first["translate_nanos"]);
    assert!(second["start_nanos"].as_u64() < Some(1_000_000), "{second}");
}

#[test]
fn instances_that_start_together_share_one_translation() {
    let wasm = large(Entry::Spins);
    let image = manual(ImageBuilder::new("twins"), "one", &wasm);
    let mut cluster = boot(manual(image, "two", &wasm));
    cluster.shell(0, "start one two");
    assert_eq!(cluster.state(0, "one").0, "loading");
    assert_eq!(cluster.state(0, "two").0, "loading");
    cluster.run_for(Duration::from_millis(300));
    let info = cluster.json(0, "info one --json");
    assert_eq!(info["state"], "running", "both worked on it: {info}");
    assert_eq!(cluster.state(0, "two").0, "running");
    let translate_nanos = info["translate_nanos"].as_u64().expect("a number");
    let length = wasm.len() as u64;
    assert!(
        (length * 20..length * 22).contains(&translate_nanos),
        "once: {info}"
    );
    assert_eq!(info["module_instances"], 2);
    let text = cluster.shell(0, "info one");
    assert!(text.contains("run by 2 instances"), "{text}");
}

#[test]
fn a_loading_instance_is_stopped_and_killed_and_the_other_goes_on() {
    let wasm = large(Entry::Spins);
    let image = manual(ImageBuilder::new("twins"), "one", &wasm);
    let image = manual(image, "two", &wasm);
    let mut cluster = boot(manual(image, "three", &wasm));
    cluster.shell(0, "start one two three");
    cluster.shell(0, "kill one");
    assert_eq!(cluster.state(0, "one"), ("stopped".into(), "killed".into()));
    cluster.shell(0, "stop two");
    assert_eq!(cluster.state(0, "two").0, "stopped");
    let again = cluster.shell(0, "start three");
    assert!(again.contains("already"), "{again}");
    assert_eq!(cluster.state(0, "three").0, "loading");
    cluster.run_for(Duration::from_millis(500));
    assert_eq!(cluster.state(0, "three").0, "running");
    assert_eq!(cluster.state(0, "one").0, "stopped");
}

#[test]
fn every_instance_that_waits_for_a_bad_module_is_told() {
    let mut bad = bodies(Entry::Returns);
    bad.push(body(&[0x41, 1]));
    let wasm = module(&bad);
    let image = manual(ImageBuilder::new("bad"), "one", &wasm);
    let mut cluster = boot(manual(image, "two", &wasm));
    cluster.shell(0, "start one two");
    assert_eq!(cluster.state(0, "one").0, "loading");
    cluster.run_for(Duration::from_millis(500));
    for name in ["one", "two"] {
        let (state, detail) = cluster.state(0, name);
        assert_eq!(state, "failed");
        assert!(detail.contains("module 'one' is refused"), "{detail}");
        let place = format!("in function {FUNCTIONS} (huge)");
        assert!(detail.contains(&place), "{detail}");
    }
}

#[test]
fn a_gigantic_function_is_refused_by_its_name() {
    let huge = long_body(sos_core::limits::FUNCTION_BYTES + 100);
    let wasm = module(&[body(&[]), huge]);
    let image = manual(ImageBuilder::new("huge"), "huge", &wasm);
    let mut cluster = boot(image);
    let text = cluster.shell(0, "start huge");
    assert!(text.contains("function 1 (huge) has"), "{text}");
    assert!(text.contains("more than 4194304; split it"), "{text}");
}
