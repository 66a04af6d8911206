//! Nodes that lose their power while instances of theirs are elsewhere: those are not started a second time, and may
//! come home.

use super::{HALF, SECOND, arrives, connections, done, echoes, has_event, runs_on};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sos_core::cluster::Trust;
use sos_core::machine::Duration;
use sos_tests::programs::{ECHO_TO_MANY, ticks};
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

const CLUSTER: [u8; 32] = [9; 32];
const PATIENCE: Duration = Duration::from_secs(20);

/// Each node's image has an `echo` of its own or none, and something beside it.
fn image(number: usize, has_echo: bool) -> Vec<u8> {
    let image = ImageBuilder::new("member")
        .switch("lan", Some("nic0"))
        .node("lan", &format!("10.0.0.{}/24", 10 + number))
        .instance("beside", ticks(SECOND))
        .port("eth0", switch("lan"), &format!("10.0.0.{}/24", 20 + number));
    match has_echo {
        true => image
            .instance("echo", ECHO_TO_MANY)
            .port("eth0", switch("lan"), "10.0.0.1/24")
            .build(),
        false => image.build(),
    }
}

fn trust(count: usize) -> Trust {
    let peers = (1..=count).map(|number| format!("10.0.0.{}:7600", 10 + number));
    Trust {
        peers: peers.map(|peer| peer.parse().unwrap()).collect(),
        ..Trust::in_cluster(CLUSTER)
    }
}

/// Whether each node that has power is linked with all others.
fn are_linked(cluster: &mut Cluster, nodes: &[usize]) -> bool {
    nodes.iter().all(|&node| {
        let text = cluster.shell(node, "nodes");
        text.matches("linked").count() >= nodes.len() - 1
    })
}

/// So many nodes, the first with an echo; `beside` is moved nowhere, and has another name on each.
fn cluster_of(count: usize) -> Cluster {
    cluster_from(3, count)
}

fn cluster_from(seed: u64, count: usize) -> Cluster {
    let mut cluster = Cluster::new(seed);
    for number in 1..=count {
        let name = format!("node{number}");
        cluster.boot_member(
            &name,
            image(number, number == 1),
            number as u8,
            &trust(count),
        );
    }
    let nodes: Vec<usize> = (0..count).collect();
    assert!(cluster.run_until(PATIENCE, |cluster| are_linked(cluster, &nodes)));
    arrives(&mut cluster, "echo", 0);
    cluster
}

fn reboot(cluster: &mut Cluster, node: usize, count: usize) {
    let (name, image) = (format!("node{}", node + 1), image(node + 1, node == 0));
    cluster.cut_power_of_member(node, &name, image, node as u8 + 1, &trust(count));
}

/// What happened to an instance on a node, the latest last.
fn kinds(cluster: &mut Cluster, node: usize, name: &str) -> Vec<String> {
    let events = cluster.json(node, "events --json");
    let events = events["entries"].as_array().expect("events").iter();
    let its = events.filter(|event| event["instance"] == name);
    its.map(|event| event["kind"].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn an_instance_that_was_handed_over_is_not_started_again_when_its_first_node_boots() {
    let mut cluster = cluster_of(2);
    let client = cluster.add_peer("10.0.0.100/24");
    let sockets = connections(&mut cluster, client, 2);
    done(&mut cluster, 0, "migrate echo node2");
    arrives(&mut cluster, "echo", 1);
    reboot(&mut cluster, 0, 2);
    cluster.run_for(10 * SECOND);
    assert_eq!(runs_on(&mut cluster, "echo"), [1]);
    assert_eq!(kinds(&mut cluster, 0, "echo"), ["elsewhere"]);
    // Others of the image are, one of the same name as an instance of node2's own image too.
    assert_eq!(runs_on(&mut cluster, "beside"), [0, 1]);
    echoes(&mut cluster, &sockets, 0, 2000);
    // Of the node's own connections; it comes home, to the place that waits for it.
    let resets = cluster.resets;
    done(&mut cluster, 1, "migrate echo node1");
    arrives(&mut cluster, "echo", 0);
    echoes(&mut cluster, &sockets, 1, 2000);
    assert_eq!(cluster.resets, resets);
    let rows = cluster.json(0, "ls --json");
    let rows = rows.as_array().expect("rows").iter();
    assert_eq!(rows.filter(|row| row["name"] == "echo").count(), 1);
    cluster.run_for(10 * SECOND);
    assert!(!cluster.shell(0, "dmesg").contains("there is another"));
}

#[test]
fn where_it_is_is_told_by_whoever_has_it_however_far_it_went() {
    let mut cluster = cluster_of(3);
    done(&mut cluster, 0, "migrate echo node2");
    arrives(&mut cluster, "echo", 1);
    done(&mut cluster, 1, "migrate echo node3");
    arrives(&mut cluster, "echo", 2);
    cluster.run_for(10 * SECOND);
    reboot(&mut cluster, 0, 3);
    cluster.run_for(10 * SECOND);
    assert_eq!(runs_on(&mut cluster, "echo"), [2]);
    assert_eq!(kinds(&mut cluster, 0, "echo"), ["elsewhere"]);
    // The one between has nothing to say: when it boots again nothing of its own was away.
    reboot(&mut cluster, 1, 3);
    cluster.run_for(10 * SECOND);
    assert_eq!(runs_on(&mut cluster, "echo"), [2]);
    assert_eq!(runs_on(&mut cluster, "beside"), [0, 1, 2]);
}

#[test]
fn a_node_whose_instances_came_home_or_were_lost_starts_them() {
    let mut cluster = cluster_of(2);
    done(&mut cluster, 0, "migrate echo node2");
    arrives(&mut cluster, "echo", 1);
    done(&mut cluster, 1, "migrate echo node1");
    arrives(&mut cluster, "echo", 0);
    cluster.run_for(10 * SECOND);
    reboot(&mut cluster, 0, 2);
    cluster.run_for(10 * SECOND);
    assert_eq!(runs_on(&mut cluster, "echo"), [0]);
    assert_eq!(kinds(&mut cluster, 0, "echo"), ["started"]);
    // The node that has it loses its power as well.
    done(&mut cluster, 0, "migrate echo node2");
    arrives(&mut cluster, "echo", 1);
    reboot(&mut cluster, 1, 2);
    reboot(&mut cluster, 0, 2);
    cluster.run_for(10 * SECOND);
    assert_eq!(runs_on(&mut cluster, "echo"), [0]);
}

#[test]
fn a_node_that_reaches_nobody_starts_its_instances_after_a_while_and_tells_when_it_was_wrong() {
    let mut cluster = cluster_of(2);
    done(&mut cluster, 0, "migrate echo node2");
    arrives(&mut cluster, "echo", 1);
    cluster.run_for(10 * SECOND);
    cluster.faults.loss_permille = 1000;
    reboot(&mut cluster, 0, 2);
    cluster.run_for(2 * SECOND);
    assert_eq!(runs_on(&mut cluster, "echo"), [1]);
    assert!(runs_on(&mut cluster, "beside") == [1]);
    cluster.run_for(3 * SECOND);
    assert_eq!(runs_on(&mut cluster, "echo"), [0, 1]);
    assert!(
        cluster
            .shell(0, "dmesg")
            .contains("not all other nodes have told")
    );
    cluster.faults.loss_permille = 0;
    assert!(cluster.run_until(PATIENCE, |cluster| are_linked(cluster, &[0, 1])));
    cluster.run_for(5 * SECOND);
    let told = cluster.shell(0, "dmesg");
    assert!(told.contains("there is another 'echo' here"), "{told}");
}

#[test]
fn a_copy_that_stands_in_doubt_elsewhere_keeps_it_from_being_started() {
    let mut seen = 0;
    for micros in (0..60).map(|step| 10 * step) {
        let mut cluster = cluster_of(2);
        cluster.run_for(HALF);
        cluster.type_text(0, "migrate --cold echo node2\r");
        cluster.run_for(Duration::from_micros(micros));
        reboot(&mut cluster, 0, 2);
        cluster.run_for(20 * SECOND);
        let places = runs_on(&mut cluster, "echo");
        let stands = has_event(&mut cluster, 1, "in-doubt");
        seen += usize::from(stands);
        match stands {
            true => assert!(places.is_empty(), "{micros}: {places:?}"),
            false => assert_eq!(places.len(), 1, "{micros}: {places:?}"),
        }
        if stands {
            done(&mut cluster, 1, "migrate --resolve echo here");
            arrives(&mut cluster, "echo", 1);
        }
    }
    assert!(seen > 0, "no copy stood in doubt");
}

/// Moves and power cuts at random times; answers how often an instance was found to be elsewhere.
fn reboots(seed: u64) -> usize {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut cluster = cluster_from(seed, 3);
    let mut elsewhere = 0;
    for _ in 0..random.random_range(4..14) {
        let node = random.random_range(0..3);
        match random.random_range(0..8) {
            0..4 => {
                if let [place] = runs_on(&mut cluster, "echo")[..] {
                    let target = (place + random.random_range(1..3)) % 3 + 1;
                    let how = ["", " --cold"][random.random_range(0..2)];
                    cluster.type_text(place, &format!("migrate echo node{target}{how}\r"));
                }
            }
            4..7 => {
                let before = kinds(&mut cluster, node, "echo");
                elsewhere += before.iter().filter(|it| *it == "elsewhere").count();
                reboot(&mut cluster, node, 3);
            }
            _ => cluster.faults.loss_permille = [0, 10][random.random_range(0..2)],
        }
        cluster.run_for(match random.random_range(0..3) {
            0 => Duration::from_micros(random.random_range(0..1000)),
            1 => Duration::from_millis(random.random_range(0..2000)),
            _ => 6 * SECOND,
        });
        // Time goes by while they are asked, so that each is asked twice.
        if runs_on(&mut cluster, "echo").len() > 1 {
            let places = runs_on(&mut cluster, "echo");
            let logs = [0, 1, 2].map(|node| cluster.shell(node, "dmesg"));
            assert!(
                places.len() < 2,
                "SOS_SEED={seed} {places:?} {}",
                logs.join("\n")
            );
        }
    }
    cluster.faults.loss_permille = 0;
    cluster.run_for(60 * SECOND);
    let places = runs_on(&mut cluster, "echo");
    let logs = [0, 1, 2].map(|node| cluster.shell(node, "dmesg") + &cluster.shell(node, "events"));
    assert!(
        places.len() < 2,
        "SOS_SEED={seed} {places:?} {}",
        logs.join("\n")
    );
    elsewhere
        + kinds(&mut cluster, 0, "echo")
            .iter()
            .filter(|it| *it == "elsewhere")
            .count()
}

#[test]
fn nodes_that_boot_at_any_time_start_nothing_a_second_time() {
    let from_environment = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = from_environment("SOS_SEED") {
        reboots(seed);
        return;
    }
    let seeds = from_environment("SOS_SEEDS").unwrap_or(15);
    let elsewhere: usize = (0..seeds).map(reboots).sum();
    println!("{elsewhere} times it was elsewhere");
    assert!(elsewhere > 0);
}
