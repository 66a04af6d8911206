//! Private networks of instances that are on several nodes: links and switches are carried between them, wherever
//! the instances go; cables are cut and healed; peers that misbehave get nowhere.

use sos_core::cluster::channel::{Channel, Opening, Protocol, Setup};
use sos_core::cluster::tunnel::{Carried, Networks};
use sos_core::cluster::{BootId, NodeKey, Trust};
use sos_core::keys::NodeKeys;
use sos_core::machine::{Duration, Time};
use sos_core::net::fabric::{NetworkId, Presence};
use sos_tests::programs::{COUNTING_ECHO, asks, sends_stream, takes_stream, ticks};
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, link, switch};
use sos_tests::sim::peer::PeerSocket;
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);
const CLUSTER: [u8; 32] = [9; 32];

fn member(number: usize) -> ImageBuilder {
    ImageBuilder::new("member")
        .switch("lan", Some("nic0"))
        .node("lan", &format!("10.0.0.{}/24", 10 + number))
}

/// So many nodes that are linked, the first of this image.
fn cluster_of(count: usize, first: ImageBuilder) -> Cluster {
    let others = (2..=count).map(member);
    cluster_with([first].into_iter().chain(others).collect())
}

fn cluster_with(images: Vec<ImageBuilder>) -> Cluster {
    let count = images.len();
    let peers = (1..=count).map(|number| format!("10.0.0.{}:7600", 10 + number));
    let trust = Trust {
        peers: peers.map(|peer| peer.parse().unwrap()).collect(),
        ..Trust::in_cluster(CLUSTER)
    };
    let mut cluster = Cluster::new(5);
    for (number, image) in images.into_iter().enumerate() {
        let name = format!("node{}", number + 1);
        cluster.boot_member(&name, image.build(), number as u8 + 1, &trust);
    }
    let are_linked = |cluster: &mut Cluster| {
        (0..count).all(|node| {
            let text = cluster.shell(node, "nodes");
            text.matches("linked").count() == count - 1
        })
    };
    assert!(cluster.run_until(PATIENCE, are_linked));
    cluster.run_for(HALF);
    cluster
}

/// `web` asks `store`, and `sender` sends a stream to `taker`, each pair over a link of its own.
fn shop() -> ImageBuilder {
    member(1)
        .link("back")
        .link("bulk")
        .instance("store", COUNTING_ECHO)
        .port("eth0", link("back"), "10.1.0.2/24")
        .instance("web", asks([10, 1, 0, 2]))
        .port("eth0", link("back"), "10.1.0.1/24")
        .instance("taker", takes_stream())
        .port("eth0", link("bulk"), "10.2.0.2/24")
        .instance("sender", sends_stream([10, 2, 0, 2]))
        .port("eth0", link("bulk"), "10.2.0.1/24")
}

fn done(cluster: &mut Cluster, node: usize, line: &str) {
    let text = cluster.shell(node, line);
    assert!(!text.contains("error"), "{line}: {text}");
}

/// Moves an instance, and waits until it runs there.
fn moves(cluster: &mut Cluster, name: &str, from: usize, to: usize) {
    done(cluster, from, &format!("migrate {name} node{}", to + 1));
    for _ in 0..100 {
        let rows = cluster.json(to, "ls --json");
        let mut rows = rows.as_array().expect("rows").iter();
        let runs = |row: &serde_json::Value| row["state"] == "running" || row["state"] == "waiting";
        if rows.any(|row| row["name"] == name && runs(row)) {
            return;
        }
        cluster.run_for(Duration::from_millis(50));
    }
    panic!(
        "'{name}' does not run on node{}: {} {}",
        to + 1,
        cluster.shell(from, "dmesg"),
        cluster.shell(to, "dmesg")
    );
}

/// How many lines an instance has logged.
fn logged(cluster: &mut Cluster, node: usize, name: &str) -> u64 {
    let log = cluster.json(node, &format!("logs {name} --json"));
    log["next"].as_u64().expect("a number")
}

/// That instances which log what they get go on getting it: where they are.
fn go_on(cluster: &mut Cluster, places: &[(&str, usize)]) {
    let mut wanted = Vec::new();
    for &(name, node) in places {
        wanted.push(logged(cluster, node, name) + 10);
    }
    let mut trace = Vec::new();
    let has_all = |cluster: &mut Cluster| {
        cluster.run_for(Duration::from_millis(100));
        let mut numbers = Vec::new();
        for &(name, node) in places {
            numbers.push(logged(cluster, node, name));
        }
        trace.push(numbers.clone());
        numbers
            .iter()
            .zip(&wanted)
            .all(|(number, wanted)| number >= wanted)
    };
    let is_quick = cluster.run_until(SECOND, has_all);
    if !is_quick {
        for node in 0..cluster.nodes.len() {
            eprintln!("{node} {}", cluster.shell(node, "link"));
            eprintln!("{node} {}", cluster.shell(node, "events"));
        }
    }
    assert!(is_quick, "{places:?} {wanted:?} {trace:?}");
}

/// A link as a node lists it.
fn link_row(cluster: &mut Cluster, node: usize, name: &str) -> serde_json::Value {
    let rows = cluster.json(node, "link --json");
    let mut rows = rows.as_array().expect("rows").iter();
    rows.find(|row| row["name"] == name)
        .cloned()
        .unwrap_or_default()
}

#[test]
fn linked_instances_move_apart_wherever_they_go_and_their_streams_go_on() {
    let mut cluster = cluster_of(3, shop());
    go_on(&mut cluster, &[("web", 0), ("taker", 0)]);
    // Places of web, store, taker and sender, and what moves next.
    let mut places = [("web", 0), ("store", 0), ("taker", 0), ("sender", 0)];
    let steps = [
        ("web", 1),
        ("taker", 2),
        ("store", 2),
        ("sender", 1),
        ("store", 0),
        ("taker", 0),
        ("web", 2),
        ("sender", 2),
        ("web", 0),
        ("sender", 0),
    ];
    for (name, to) in steps {
        let place = places
            .iter_mut()
            .find(|(it, _)| *it == name)
            .expect("a place");
        let from = core::mem::replace(&mut place.1, to);
        moves(&mut cluster, name, from, to);
        go_on(&mut cluster, &[places[0], places[2]]);
    }
    // All are together again: nothing is carried, and nothing is left on the other nodes.
    cluster.run_for(PATIENCE);
    for node in 1..3 {
        assert_eq!(cluster.json(node, "link --json"), serde_json::json!([]));
        assert_eq!(cluster.json(node, "ls --json"), serde_json::json!([]));
        let log = cluster.shell(node, "dmesg");
        assert!(
            log.contains("not carried to node") && log.contains("any more"),
            "{log}"
        );
    }
    assert_eq!(
        link_row(&mut cluster, 0, "back")["carried"],
        serde_json::json!([])
    );
}

#[test]
fn operators_see_that_a_link_is_carried() {
    let mut cluster = cluster_of(2, shop());
    let network = link_row(&mut cluster, 0, "back")["network"].clone();
    moves(&mut cluster, "web", 0, 1);
    cluster.run_for(6 * SECOND);
    go_on(&mut cluster, &[("web", 1)]);
    for (node, other) in [(0, "node2"), (1, "node1")] {
        let row = link_row(&mut cluster, node, "back");
        assert_eq!(row["network"], network);
        assert_eq!(row["ports"].as_array().map(Vec::len), Some(1));
        let carried = &row["carried"][0];
        assert_eq!(carried["name"], other);
        let count = |key: &str| carried[key].as_u64().expect("a count");
        assert!(
            count("sent_frames") > 10 && count("received_frames") > 10,
            "{row}"
        );
        assert_eq!(count("sent_drops"), 0);
        let text = cluster.shell(node, "link");
        assert!(text.contains(&format!("-> {other}")), "{text}");
    }
}

#[test]
fn a_network_that_loses_frames_or_is_cut_holds_streams_up_and_breaks_none() {
    let mut cluster = cluster_of(3, shop());
    moves(&mut cluster, "web", 0, 1);
    moves(&mut cluster, "taker", 0, 2);
    cluster.faults.loss_permille = 10;
    moves(&mut cluster, "web", 1, 2);
    moves(&mut cluster, "taker", 2, 1);
    for cut in [2 * SECOND, 30 * SECOND] {
        cluster.faults.loss_permille = 1000;
        cluster.run_for(cut);
        let before = [
            logged(&mut cluster, 2, "web"),
            logged(&mut cluster, 1, "taker"),
        ];
        cluster.faults.loss_permille = 0;
        let goes_on = |cluster: &mut Cluster| {
            logged(cluster, 2, "web") > before[0] + 5 && logged(cluster, 1, "taker") > before[1] + 5
        };
        assert!(cluster.run_until(2 * 60 * SECOND, goes_on), "{cut:?}");
    }
    moves(&mut cluster, "store", 0, 2);
    moves(&mut cluster, "sender", 0, 2);
    go_on(&mut cluster, &[("web", 2), ("taker", 1)]);
}

#[test]
fn a_private_switch_reaches_over_all_nodes_that_have_ports_of_it() {
    let mut image = member(1).switch("back", None);
    for number in 1..=4 {
        image = image.instance(&format!("i{number}"), ticks(SECOND)).port(
            "eth0",
            switch("back"),
            &format!("10.1.0.{number}/24"),
        );
    }
    let mut cluster = cluster_of(3, image);
    let mut places = [0; 5];
    for (number, to) in [(2, 1), (3, 2), (4, 2), (2, 2), (3, 1), (1, 2), (2, 0)] {
        moves(&mut cluster, &format!("i{number}"), places[number], to);
        places[number] = to;
        for from in 1..=4 {
            let node = places[from];
            let before = cluster.nodes[node].machine.printed.len();
            for to in (1..=4).filter(|to| *to != from) {
                cluster.type_text(node, &format!("ping i{from} 10.1.0.{to} -c 1\r"));
                cluster.run_for(2 * SECOND);
            }
            let printed = &cluster.nodes[node].machine.printed[before..];
            let text = String::from_utf8_lossy(printed);
            assert_eq!(
                text.matches("from 10.1.0.").count(),
                3,
                "i{from} {places:?}: {text}"
            );
        }
    }
}

#[test]
fn a_network_of_the_same_name_that_others_use_is_not_taken_for_it() {
    let mut cluster = cluster_of(2, shop());
    done(&mut cluster, 1, "switch add back");
    cluster.shell(0, "migrate web node2");
    cluster.run_for(HALF);
    let log = cluster.shell(0, "dmesg");
    assert!(log.contains("'back' is not a private link"), "{log}");
    done(&mut cluster, 1, "switch rm back");
    done(&mut cluster, 1, "link add back");
    // Nobody uses this one.
    moves(&mut cluster, "web", 0, 1);
    go_on(&mut cluster, &[("web", 1)]);
    // It was there before, and stays.
    moves(&mut cluster, "web", 1, 0);
    cluster.run_for(PATIENCE);
    assert_eq!(
        link_row(&mut cluster, 1, "back")["ports"],
        serde_json::json!([])
    );
    go_on(&mut cluster, &[("web", 0)]);
}

#[test]
fn an_instance_of_a_switch_with_an_uplink_is_not_plugged_into_a_private_one_of_that_name() {
    let first = member(1)
        .instance("out", ticks(SECOND))
        .port("eth0", switch("lan"), "10.0.0.1/24");
    let other = ImageBuilder::new("member")
        .switch("wan", Some("nic0"))
        .node("wan", "10.0.0.12/24")
        .switch("lan", None);
    let mut cluster = cluster_with(vec![first, other, member(3)]);
    cluster.shell(0, "migrate out node2");
    cluster.run_for(HALF);
    let log = cluster.shell(0, "dmesg");
    assert!(log.contains("'lan' is a private network here"), "{log}");
    moves(&mut cluster, "out", 0, 2);
}

#[test]
fn networks_of_one_name_from_two_nodes_do_not_become_one() {
    let other = member(2)
        .link("back")
        .instance("west", COUNTING_ECHO)
        .port("eth0", link("back"), "10.1.0.2/24")
        .instance("east", asks([10, 1, 0, 2]))
        .port("eth0", link("back"), "10.1.0.1/24");
    let mut cluster = cluster_with(vec![shop(), other, member(3)]);
    // Neither has a port there yet when the other is admitted.
    cluster.type_text(0, "migrate web node3\r");
    cluster.type_text(1, "migrate east node3\r");
    cluster.run_for(2 * SECOND);
    let is_there = |cluster: &mut Cluster, name: &str| {
        let rows = cluster.json(2, "ls --json");
        let mut rows = rows.as_array().expect("rows").iter();
        rows.any(|row| row["name"] == name)
    };
    let there = ["web", "east"].map(|name| is_there(&mut cluster, name));
    assert_eq!(there.iter().filter(|it| **it).count(), 1, "{there:?}");
    let places = match there[0] {
        true => [("web", 2), ("east", 1)],
        false => [("web", 0), ("east", 2)],
    };
    go_on(&mut cluster, &places);
    let log = cluster.shell(usize::from(there[0]), "dmesg");
    assert!(log.contains("another private link 'back' here"), "{log}");
}

/// A member of the cluster that speaks as it likes.
struct Hostile {
    socket: PeerSocket,
    channel: Channel,
}

impl Hostile {
    fn new(cluster: &mut Cluster, peer: usize, protocol: Protocol) -> Hostile {
        let setup = Setup {
            own: &NodeKey::new(&NodeKeys::new(&[200; 32])),
            trust: &Arc::new(Trust::in_cluster(CLUSTER)),
            opening: Opening::new(protocol, "hostile", BootId([1; 16])),
            entropy: [3; 32],
            now: Time::ZERO,
        };
        let mut hostile = Hostile {
            channel: Channel::initiate(setup, None).unwrap(),
            socket: cluster.connect(peer, "10.0.0.11:7600").unwrap(),
        };
        for _ in 0..10 {
            assert!(hostile.flush(cluster));
        }
        assert!(hostile.channel.peer().is_some());
        hostile
    }

    /// False when the node has ended it.
    fn flush(&mut self, cluster: &mut Cluster) -> bool {
        let bytes = self.channel.output().to_vec();
        if cluster.write_all(self.socket, &bytes).is_err() {
            return false;
        }
        self.channel.consume(bytes.len());
        cluster.run_for(Duration::from_millis(5));
        let Ok(bytes) = cluster.read_now(self.socket) else {
            return false;
        };
        self.channel.receive(&bytes).is_ok()
    }

    fn say(&mut self, cluster: &mut Cluster, message: &[u8]) -> bool {
        self.channel.send(message).is_ok() && self.flush(cluster)
    }
}

#[test]
fn frames_of_no_network_floods_and_what_is_no_frame_harm_nobody() {
    let mut cluster = cluster_of(2, shop());
    moves(&mut cluster, "web", 0, 1);
    let peer = cluster.add_peer("10.0.0.99/24");
    let mut hostile = Hostile::new(&mut cluster, peer, Protocol::Tunnel);
    let frame = [0xff; 1000];
    let carried = |network| {
        Carried {
            network,
            frame: &frame,
        }
        .encode()
    };
    for number in 0..200 {
        assert!(hostile.say(&mut cluster, &carried(NetworkId([number; 16]))));
    }
    let log = cluster.shell(0, "dmesg");
    assert!(
        log.contains("carried 64 frames of networks that are not here"),
        "{log}"
    );
    assert_eq!(log.matches("that are not here").count(), 1);
    // Nor does one reach a network that is here, unless its node says that it has an end of it.
    let network = link_row(&mut cluster, 0, "back")["network"].clone();
    let network = network.as_str().expect("a network").as_bytes().chunks(2);
    let digits = network.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
    let network: Vec<u8> = digits.collect();
    let network = NetworkId(network.try_into().unwrap());
    done(&mut cluster, 0, "suspend store");
    let mut unicast = [0; 16_000];
    unicast[0] = 2;
    let flood = |cluster: &mut Cluster, hostile: &mut Hostile, count: usize| {
        let frame = &unicast[..];
        for _ in 0..count {
            let message = Carried { network, frame }.encode();
            assert!(hostile.say(cluster, &message));
        }
        let row = link_row(cluster, 0, "back");
        let port = &row["ports"][0];
        let counted = ["received_bytes", "received_drops"].map(|it| port[it].as_u64().unwrap());
        (counted, row)
    };
    let ([bytes, _], row) = flood(&mut cluster, &mut hostile, 30);
    assert!(bytes < 100_000, "{row}");
    // A second node that claims the end gets its frames too, and fills ports, but takes nothing from the first.
    let mut claim = Hostile::new(&mut cluster, peer, Protocol::Migration);
    let ends = Networks([(network, Presence::Ends)].into());
    assert!(claim.say(&mut cluster, &ends.encode()));
    let ([bytes, drops], row) = flood(&mut cluster, &mut hostile, 600);
    assert!(bytes > 1_000_000 && drops > 100, "{row}");
    let names = row["carried"].as_array().expect("nodes").iter();
    let names: Vec<_> = names.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["node2", "hostile"]);
    // What is no frame ends the channel.
    let mut long = carried(network);
    long.resize(60_000, 0);
    assert!(!hostile.say(&mut cluster, &long) || !hostile.flush(&mut cluster));
    let log = cluster.shell(0, "dmesg");
    assert!(log.contains("no frame of a private network"), "{log}");
    done(&mut cluster, 0, "resume store");
    cluster.run_for(5 * SECOND);
    go_on(&mut cluster, &[("web", 1), ("taker", 0)]);
}
