//! A node with little memory: what it cannot carry is refused by name, and the rest goes on.

use sos_core::machine::Duration;
use sos_core::net::stack::NetError;
use sos_tests::programs::SPINS;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use std::sync::LazyLock;

/// The modules of the two guests, built once.
static GUESTS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| sos_tests::guests(["counter", "chatter"]));

const MIB: u64 = 1 << 20;
/// What the instances below may have, reserved when they start.
const GUEST_BYTES: u64 = 4 * MIB;

/// A module that ends at once and has a function with this many operators.
fn operators(count: usize) -> String {
    let nops = "nop ".repeat(count);
    format!(
        "(module (memory (export \"memory\") 1 1) (func (export \"_start\")) (func $long {nops}))"
    )
}

/// Boots a node with this memory.
fn boot(memory_bytes: u64, image: ImageBuilder) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.nodes[0]
        .machine
        .memory
        .set_total_bytes(memory_bytes);
    cluster
}

#[test]
fn a_module_too_large_to_translate_is_refused_and_others_run() {
    let image = ImageBuilder::new("small")
        .instance("large", operators(200_000))
        .instance("spins", SPINS);
    let mut cluster = boot(12 * MIB, image);
    cluster.run_for(Duration::from_millis(100));
    let (state, detail) = cluster.state(0, "large");
    assert_eq!(state, "failed");
    assert!(
        detail.starts_with("translating its module may take"),
        "{detail}"
    );
    assert!(
        detail.ends_with("stop an instance or give the node more memory"),
        "{detail}"
    );
    assert_eq!(cluster.state(0, "spins").0, "running");
    // With the memory it starts.
    cluster.nodes[0].machine.memory.set_total_bytes(64 * MIB);
    cluster.shell(0, "start large");
    assert_eq!(cluster.state(0, "large").1, "status 0");
}

#[test]
fn an_instance_whose_stack_does_not_fit_is_refused_and_its_port_is_free_again() {
    let image = ImageBuilder::new("small")
        .switch("lan", None)
        .instance("deep", SPINS)
        .with(|spec| spec.limits.stack_bytes = 32 * MIB)
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .instance("spins", SPINS);
    let mut cluster = boot(32 * MIB, image);
    cluster.run_for(Duration::from_millis(100));
    let (state, detail) = cluster.state(0, "deep");
    assert_eq!(state, "failed");
    assert!(
        detail.starts_with("its stack and tables may take"),
        "{detail}"
    );
    assert_eq!(cluster.state(0, "spins").0, "running");
    cluster.shell(0, "switch rm lan");
    assert!(!cluster.shell(0, "switch").contains("lan "));
}

#[test]
fn sockets_are_refused_while_memory_is_short_and_served_again_after() {
    let [web] = sos_tests::guests(["web"]);
    let image = ImageBuilder::new("small")
        .switch("lan", Some("nic0"))
        .instance("web", &web)
        .with(|spec| spec.limits.memory_bytes = GUEST_BYTES)
        .port("eth0", switch("lan"), "10.0.0.1/24");
    let mut cluster = boot(64 * MIB, image);
    let client = cluster.add_peer("10.0.0.100/24");
    cluster.run_for(Duration::from_millis(50));
    // What a socket's buffers would take is less than what is kept for the rest of the kernel.
    cluster.nodes[0]
        .machine
        .memory
        .set_total_bytes(GUEST_BYTES + 2 * MIB);
    cluster.run_for(Duration::from_millis(50));
    let refused = cluster.connect(client, "10.0.0.1:80");
    assert_eq!(refused.err(), Some(NetError::TimedOut));
    assert_eq!(cluster.state(0, "web").0, "waiting");
    cluster.nodes[0].machine.memory.set_total_bytes(64 * MIB);
    cluster.run_for(Duration::from_millis(50));
    let socket = cluster.connect(client, "10.0.0.1:80").expect("web listens");
    cluster
        .write_all(socket, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        .expect("web reads");
    let answer = cluster.read_to_end(socket).expect("web answers");
    assert!(answer.ends_with(b"hello from SOS\n"));
}

#[test]
fn what_an_ended_instance_had_is_free_again() {
    let image = ImageBuilder::new("small").instance("ends", operators(1));
    let mut cluster = boot(16 * MIB, image);
    for round in 0..20 {
        cluster.run_for(Duration::from_millis(20));
        assert_eq!(cluster.state(0, "ends").1, "status 0", "round {round}");
        assert_eq!(
            cluster.json(0, "uptime --json")["memory"]["free_bytes"],
            16 * MIB
        );
        cluster.shell(0, "start ends");
    }
}

/// A counter, and a chatter that sends it ten blocks over a switch inside the node.
fn conversation() -> ImageBuilder {
    let [counter, chatter] = &*GUESTS;
    ImageBuilder::new("short")
        .switch("lan", None)
        .instance("counter", counter)
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .instance("chatter", chatter)
        .port("eth0", switch("lan"), "10.0.0.2/24")
        .config("peer", "10.0.0.1:7100")
        .config("blocks", "10")
}

/// The conversation on a node that finds no memory at these questions; what came of it, and how many
/// questions there were until the shortage ended.
fn converse(shortage: std::ops::Range<u64>) -> (Cluster, u64) {
    let mut cluster = boot(4096 * MIB, conversation());
    cluster.nodes[0].machine.memory.set_shortage(shortage);
    cluster.run_for(Duration::from_millis(400));
    let questions = cluster.nodes[0].machine.memory.questions();
    // Memory is back: whoever was refused starts now, and each does all of its work.
    cluster.nodes[0].machine.memory.set_shortage(0..0);
    for name in ["counter", "chatter"] {
        let (state, detail) = cluster.state(0, name);
        if state == "failed" {
            assert!(
                detail.contains("memory") || detail.contains("free"),
                "{name}: {detail}"
            );
            let said = cluster.shell(0, &format!("start {name}"));
            assert!(!said.contains("did not start"), "{said}");
        }
    }
    cluster.run_for(Duration::from_secs(60));
    (cluster, questions)
}

fn chatter_is_done(cluster: &mut Cluster, which: &str) {
    let (state, detail) = cluster.state(0, "chatter");
    let log = cluster.shell(0, "logs chatter");
    assert_eq!(detail, "status 0", "{which}: {state}: {log}");
    assert!(log.contains("done: 10 blocks"), "{which}: {log}");
}

#[test]
fn memory_that_ends_at_any_one_point_costs_no_more_than_what_was_to_be_begun_there() {
    let (mut cluster, questions) = converse(0..0);
    chatter_is_done(&mut cluster, "no shortage");
    assert!(questions > 20, "{questions} points");
    for point in 0..questions {
        let (mut cluster, _) = converse(point..point + 1);
        chatter_is_done(&mut cluster, &format!("shortage at {point}"));
    }
}

#[test]
fn memory_that_ends_from_any_point_on_is_survived_until_it_is_back() {
    let (_, questions) = converse(0..0);
    for point in (0..questions).step_by(3) {
        let (mut cluster, _) = converse(point..u64::MAX);
        chatter_is_done(&mut cluster, &format!("shortage from {point} on"));
    }
}
