//! Moves by the nodes' own connections: TCP and the channel over it, on a segment that loses frames.

use super::{HALF, SECOND, arrives, connections, done, echoes, has_event, runs_on};
use sos_core::cluster::Trust;
use sos_core::machine::Duration;
use sos_tests::programs::{ECHO_TO_MANY, ticks};
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

const CLUSTER: [u8; 32] = [9; 32];
const PATIENCE: Duration = Duration::from_secs(20);

/// Two nodes of one cluster that are linked, the first with an echo and something beside it.
fn linked() -> Cluster {
    let node = |number: usize| {
        ImageBuilder::new("member")
            .switch("lan", Some("nic0"))
            .node("lan", &format!("10.0.0.{number}/24"))
    };
    let first = node(11)
        .instance("echo", ECHO_TO_MANY)
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .instance("beside", ticks(SECOND))
        .port("eth0", switch("lan"), "10.0.0.2/24");
    let peers = [11, 12].map(|number| format!("10.0.0.{number}:7600").parse().unwrap());
    let trust = Trust {
        peers: peers.into(),
        ..Trust::in_cluster(CLUSTER)
    };
    let mut cluster = Cluster::new(3);
    cluster.boot_member("node1", first.build(), 1, &trust);
    cluster.boot_member("node2", node(12).build(), 2, &trust);
    let are_linked =
        |cluster: &mut Cluster| (0..2).all(|node| cluster.shell(node, "nodes").contains("linked"));
    assert!(cluster.run_until(PATIENCE, are_linked));
    cluster
}

#[test]
fn an_instance_moves_and_comes_back_over_a_network_that_loses_frames() {
    let mut cluster = linked();
    let client = cluster.add_peer("10.0.0.100/24");
    let sockets = connections(&mut cluster, client, 3);
    cluster.faults.loss_permille = 5;
    let mut round = 0;
    for number in 0..4 {
        let (from, to) = (number % 2, (number + 1) % 2);
        done(&mut cluster, from, &format!("migrate echo node{}", to + 1));
        for _ in 0..10 {
            echoes(&mut cluster, &sockets, round, 16 * 1024);
            round += 1;
        }
        arrives(&mut cluster, "echo", to);
    }
    assert_eq!(cluster.resets, 0);
    assert!(has_event(&mut cluster, 0, "moved") && has_event(&mut cluster, 0, "arrived"));
}

#[test]
fn those_beside_an_instance_reach_it_where_it_is() {
    let mut cluster = linked();
    let answers = |cluster: &mut Cluster| {
        cluster.type_text(0, "ping beside 10.0.0.1 -c 2\r");
        let before = cluster.nodes[0].machine.printed.len();
        cluster.run_for(4 * SECOND);
        let printed = &cluster.nodes[0].machine.printed[before..];
        String::from_utf8_lossy(printed)
            .matches("from 10.0.0.1: ")
            .count()
    };
    let before = answers(&mut cluster);
    assert!(before > 0, "{}", cluster.nodes[0].console());
    done(&mut cluster, 0, "migrate echo node2");
    arrives(&mut cluster, "echo", 1);
    assert_eq!(answers(&mut cluster), before);
    done(&mut cluster, 1, "migrate echo node1");
    arrives(&mut cluster, "echo", 0);
    assert_eq!(answers(&mut cluster), before);
}

#[test]
fn a_network_that_fails_during_a_move_leaves_the_instance_where_it_was() {
    let mut cluster = linked();
    cluster.run_for(HALF);
    cluster.type_text(0, "migrate echo node2\r");
    cluster.run_for(Duration::from_micros(300));
    cluster.faults.loss_permille = 1000;
    cluster.run_for(PATIENCE);
    cluster.faults.loss_permille = 0;
    cluster.run_for(PATIENCE);
    let place = runs_on(&mut cluster, "echo");
    assert_eq!(place.len(), 1, "{place:?}");
    if place == [0] {
        assert!(has_event(&mut cluster, 0, "not-moved"));
        done(&mut cluster, 0, "migrate echo node2");
        arrives(&mut cluster, "echo", 1);
    }
}
