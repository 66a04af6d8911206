//! Two simulated nodes on one Ethernet: a counter on one, a chatter on the other.

use sos_core::machine::Duration;
use sos_tests::sim::cluster::{Cluster, WireFaults};
use sos_tests::sim::image::{ImageBuilder, switch};
use std::sync::LazyLock;

/// The modules of the two guests, built once.
static GUESTS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| sos_tests::guests(["counter", "chatter"]));

/// Blocks that the chatter sends.
const BLOCKS: u64 = 40;

fn cluster(seed: u64, faults: WireFaults) -> Cluster {
    let [counter, chatter] = &*GUESTS;
    let mut cluster = Cluster::new(seed);
    cluster.faults = faults;
    let image = ImageBuilder::new("left")
        .switch("lan", Some("nic0"))
        .instance("counter", counter)
        .port("eth0", switch("lan"), "10.0.0.1/24");
    cluster.boot("left", image.build());
    let image = ImageBuilder::new("right")
        .switch("lan", Some("nic0"))
        .instance("chatter", chatter)
        .port("eth0", switch("lan"), "10.0.0.2/24")
        .config("peer", "10.0.0.1:7100")
        .config("blocks", &BLOCKS.to_string());
    cluster.boot("right", image.build());
    cluster
}

/// Runs until the chatter has ended and returns its log.
fn chat(cluster: &mut Cluster, patience: Duration) -> String {
    let ended = cluster.run_until(patience, |cluster| {
        let before = cluster.nodes[1].machine.printed.len();
        cluster.type_text(1, "events\r");
        cluster.run_for(Duration::from_millis(500));
        let printed = &cluster.nodes[1].machine.printed[before..];
        String::from_utf8_lossy(printed).contains("exited")
    });
    cluster.type_text(1, "logs chatter\rls\r");
    cluster.run_for(Duration::from_millis(50));
    assert!(ended, "still chatting:\n{}", cluster.nodes[1].console());
    cluster.nodes[1].console()
}

#[test]
fn checked_traffic_crosses_a_good_wire() {
    let text = chat(&mut cluster(1, WireFaults::NONE), Duration::from_secs(60));
    assert!(text.contains(&format!("done: {BLOCKS} blocks")), "{text}");
    assert!(text.contains("status 0"), "{text}");
}

#[test]
fn no_byte_and_no_count_is_lost_on_bad_wires() {
    for seed in 1..=8 {
        let faults = WireFaults {
            loss_permille: 30,
            repeat_permille: 20,
            delay: Duration::from_micros(100),
            jitter: Duration::from_millis(2),
        };
        let text = chat(&mut cluster(seed, faults), Duration::from_secs(600));
        assert!(
            text.contains(&format!("done: {BLOCKS} blocks")),
            "seed {seed}:\n{text}"
        );
        assert!(text.contains("status 0"), "seed {seed}:\n{text}");
    }
}

#[test]
fn one_seed_replays_exactly() {
    let faults = WireFaults {
        loss_permille: 50,
        repeat_permille: 50,
        delay: Duration::from_micros(50),
        jitter: Duration::from_millis(1),
    };
    let run = || {
        let mut cluster = cluster(7, faults);
        let text = chat(&mut cluster, Duration::from_secs(600));
        (text, cluster.now())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_wire_cut_for_a_while_only_delays() {
    let mut cluster = cluster(3, WireFaults::NONE);
    cluster.run_for(Duration::from_millis(30));
    cluster.faults.loss_permille = 1000;
    cluster.run_for(Duration::from_secs(5));
    cluster.faults.loss_permille = 0;
    let text = chat(&mut cluster, Duration::from_secs(120));
    assert!(text.contains(&format!("done: {BLOCKS} blocks")), "{text}");
}

#[test]
fn nodes_draw_different_station_addresses() {
    let mut cluster = Cluster::new(5);
    for name in ["left", "right"] {
        let image = ImageBuilder::new(name)
            .switch("lan", Some("nic0"))
            .instance("counter", &GUESTS[0])
            .port("eth0", switch("lan"), "10.0.0.1/24");
        cluster.boot(name, image.build());
    }
    cluster.run_for(Duration::from_secs(1));
    let macs: Vec<String> = (0..2)
        .map(|node| {
            cluster.type_text(node, "net --json\r");
            cluster.run_for(Duration::from_secs(1));
            let text = cluster.nodes[node].console();
            let at = text
                .find("\"mac\":\"")
                .unwrap_or_else(|| panic!("no station address: {text}"))
                + 7;
            text[at..at + 17].to_string()
        })
        .collect();
    assert_ne!(macs[0], macs[1]);
    let first = u8::from_str_radix(&macs[0][..2], 16).expect("hexadecimal");
    assert_eq!(
        first & 3,
        2,
        "individual and locally administered: {}",
        macs[0]
    );
}
