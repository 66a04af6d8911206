//! Instances that move between simulated nodes: `moves`, over the network (`network`), and what may go
//! wrong (`faults`); `lease` is about DHCP, `together` about groups, `home` about nodes that forget,
//! `words` about what nodes ask for; `random` is about all of it at once.

mod faults;
mod home;
mod lease;
mod moves;
mod network;
mod random;
mod together;
mod words;

use sos_core::machine::Duration;
use sos_tests::programs::ECHO_TO_MANY;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;

const SECOND: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);

/// A node without instances that others may come to.
fn empty(name: &str) -> Vec<u8> {
    ImageBuilder::new(name).switch("lan", Some("nic0")).build()
}

/// Two nodes that are joined, the first with an instance of a module.
fn two_nodes(name: &str, module: &str) -> Cluster {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("node1")
        .switch("lan", Some("nic0"))
        .instance(name, module)
        .port("eth0", switch("lan"), "10.0.0.1/24");
    cluster.boot("node1", image.build());
    cluster.boot("node2", empty("node2"));
    cluster.join(0, 1);
    cluster.run_for(Duration::from_millis(20));
    cluster
}

/// On how many nodes an instance runs.
fn runs_on(cluster: &mut Cluster, name: &str) -> Vec<usize> {
    let nodes = 0..cluster.nodes.len();
    let runs = |node: &usize| {
        let rows = cluster.json(*node, "ls --json");
        let mut rows = rows.as_array().expect("rows").iter();
        rows.any(|row| {
            row["name"] == name && (row["state"] == "running" || row["state"] == "waiting")
        })
    };
    nodes.filter(runs).collect()
}

/// Runs until an instance runs on a node.
fn arrives(cluster: &mut Cluster, name: &str, node: usize) {
    for _ in 0..100 {
        if runs_on(cluster, name) == [node] {
            return;
        }
        cluster.run_for(Duration::from_millis(50));
    }
    let events = [cluster.shell(0, "events"), cluster.shell(1, "events")];
    let logs = [cluster.shell(0, "dmesg"), cluster.shell(1, "dmesg")];
    let moves = [cluster.shell(0, "migrate"), cluster.shell(1, "migrate")];
    panic!("'{name}' does not run on {node}: {events:#?} {logs:#?} {moves:#?}");
}

/// Sends bytes by several connections and reads them back from all.
fn echoes(cluster: &mut Cluster, sockets: &[PeerSocket], round: usize, length: usize) {
    let bytes = |number: usize| -> Vec<u8> {
        let byte = |at: usize| (at * 7 + number * 31 + round * 13) as u8;
        (0..length).map(byte).collect()
    };
    for (number, &socket) in sockets.iter().enumerate() {
        cluster.write_all(socket, &bytes(number)).expect("written");
    }
    for (number, &socket) in sockets.iter().enumerate() {
        let mut read = Vec::new();
        while read.len() < length {
            let part = cluster.read(socket).expect("an answer");
            assert!(!part.is_empty(), "the stream ended");
            read.extend(part);
        }
        assert!(read == bytes(number), "connection {number}");
    }
}

fn connections(cluster: &mut Cluster, client: usize, count: usize) -> Vec<PeerSocket> {
    let connect = |_| cluster.connect(client, "10.0.0.1:7").expect("connected");
    (0..count).map(connect).collect()
}

/// Runs a verb that must succeed.
fn done(cluster: &mut Cluster, node: usize, line: &str) {
    let text = cluster.shell(node, line);
    assert!(!text.contains("error"), "{line}: {text}");
}

/// Whether something of this kind happened on a node.
fn has_event(cluster: &mut Cluster, node: usize, kind: &str) -> bool {
    let events = cluster.json(node, "events --json");
    let mut events = events["entries"].as_array().expect("events").iter();
    events.any(|event| event["kind"] == kind)
}
