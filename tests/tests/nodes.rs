//! Nodes on one LAN find each other, and lose and find each other again; operators reach them; strangers get nothing.

use sos_core::cluster::channel::{Channel, Opening, Protocol, Setup};
use sos_core::cluster::{BootId, Listed, NodeKey, Role, Trust};
use sos_core::keys::NodeKeys;
use sos_core::machine::{Duration, Time};
use sos_core::migrate::{HandoverId, InstanceId, Message};
use sos_core::operator::{FrameReader, MAGIC, ToNode, ToOperator, VERSION, append_frame};
use sos_tests::programs::ECHO_TO_MANY;
use sos_tests::sim::cluster::{Cluster, Station};
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;
use std::sync::Arc;

const CLUSTER: [u8; 32] = [9; 32];
const PATIENCE: Duration = Duration::from_secs(20);

fn image(number: usize) -> Vec<u8> {
    ImageBuilder::new("member")
        .switch("lan", Some("nic0"))
        .node("lan", &format!("10.0.0.{}/24", number + 1))
        .build()
}

/// Trust in the cluster's key, and where `count` nodes are.
fn trust(count: usize) -> Trust {
    let peers = (1..=count).map(|number| format!("10.0.0.{number}:7600").parse().unwrap());
    Trust {
        peers: peers.collect(),
        ..Trust::in_cluster(CLUSTER)
    }
}

fn cluster_of(count: usize) -> Cluster {
    let mut cluster = Cluster::new(7);
    for number in 0..count {
        let name = format!("node{}", number + 1);
        cluster.boot_member(&name, image(number), number as u8 + 1, &trust(count));
    }
    cluster
}

/// The states of the other nodes as one node sees them.
fn states(cluster: &mut Cluster, node: usize) -> Vec<String> {
    let rows = cluster.json(node, "nodes --json");
    let rows = rows.as_array().expect("rows").iter();
    rows.skip(1)
        .map(|row| row["state"].as_str().expect("a state").to_string())
        .collect()
}

fn all_are(cluster: &mut Cluster, wanted: &str) -> bool {
    (0..cluster.nodes.len()).all(|node| {
        let states = states(cluster, node);
        states.len() + 1 == cluster.nodes.len() && states.iter().all(|state| state == wanted)
    })
}

fn dmesg(cluster: &mut Cluster, node: usize) -> String {
    cluster.shell(node, "dmesg")
}

/// One end of a channel on a machine that is no node.
struct Visitor {
    socket: PeerSocket,
    channel: Channel,
    /// All bytes that came from the node.
    received: usize,
    messages: Vec<u8>,
}

impl Visitor {
    fn new(
        cluster: &mut Cluster,
        peer: usize,
        trust: &Trust,
        protocol: Protocol,
        expected: Option<u8>,
    ) -> Visitor {
        let key = |number: u8| NodeKey::new(&NodeKeys::new(&[number; 32]));
        let setup = Setup {
            own: &key(200),
            trust: &Arc::new(trust.clone()),
            opening: Opening::new(protocol, "visitor", BootId([1; 16])),
            entropy: [3; 32],
            now: Time::ZERO,
        };
        let expected = expected.map(|number| key(number).public());
        Visitor {
            channel: Channel::initiate(setup, expected).unwrap(),
            socket: cluster.connect(peer, "10.0.0.1:7600").unwrap(),
            received: 0,
            messages: Vec::new(),
        }
    }

    /// Carries what there is, both ways. False when the node is gone.
    fn step(&mut self, cluster: &mut Cluster) -> bool {
        let bytes = self.channel.output().to_vec();
        if cluster.write_all(self.socket, &bytes).is_err() {
            return false;
        }
        self.channel.consume(bytes.len());
        cluster.run_for(Duration::from_millis(5));
        let Ok(bytes) = cluster.read_now(self.socket) else {
            return false;
        };
        self.received += bytes.len();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let taken = self.channel.receive(rest).expect("a sound channel");
            rest = &rest[taken..];
            while let Some(message) = self.channel.next_message().expect("a sound channel") {
                self.messages.extend(message);
            }
        }
        true
    }

    fn say(&mut self, message: &ToNode<'_>) {
        let mut frame = Vec::new();
        append_frame(&mut frame, message).unwrap();
        self.channel.send(&frame).unwrap();
    }
}

#[test]
fn three_nodes_find_each_other_and_say_what_they_have() {
    let mut cluster = cluster_of(3);
    assert!(cluster.run_until(PATIENCE, |cluster| all_are(cluster, "linked")));
    cluster.run_for(Duration::from_secs(3));
    let rows = cluster.json(0, "nodes --json");
    let rows = rows.as_array().unwrap();
    let names: Vec<_> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["node1", "node2", "node3"]);
    assert_eq!(rows[0]["state"], "here");
    for row in rows {
        assert!(row["memory_bytes"].as_u64().unwrap() > 0, "{row}");
        assert!(!row["version"].as_str().unwrap().is_empty(), "{row}");
        assert!(row["seen_nanos"].as_u64().unwrap() < 3_000_000_000, "{row}");
    }
    let table = cluster.shell(1, "nodes");
    assert!(table.contains("10.0.0.3:7600"), "{table}");
    let log = dmesg(&mut cluster, 0);
    assert!(log.contains("linked with node 'node2'"), "{log}");
    assert!(!log.contains("refused"), "{log}");
}

#[test]
fn nodes_that_were_told_of_nobody_hear_of_each_other_on_the_lan() {
    let mut cluster = Cluster::new(9);
    for number in 0..3_u8 {
        let name = format!("node{}", number + 1);
        cluster.boot_member(&name, image(number.into()), number + 1, &trust(0));
    }
    assert!(cluster.run_until(PATIENCE, |cluster| all_are(cluster, "linked")));
    // Each pair has one connection.
    let rows = cluster.json(0, "nodes --json");
    let detail = rows[0]["detail"].as_str().unwrap().to_string();
    assert!(detail.starts_with("2 connections"), "{detail}");
    // One that comes later is heard of too.
    cluster.boot_member("node4", image(3), 4, &trust(0));
    assert!(cluster.run_until(PATIENCE, |cluster| all_are(cluster, "linked")));
    cluster.faults.loss_permille = 1000;
    cluster.run_for(Duration::from_secs(15));
    assert!(all_are(&mut cluster, "lost"));
    cluster.faults.loss_permille = 0;
    assert!(cluster.run_until(PATIENCE * 5, |cluster| all_are(cluster, "linked")));
}

#[test]
fn nodes_whose_link_breaks_meet_again_and_so_does_one_that_was_reset() {
    let mut cluster = cluster_of(2);
    assert!(cluster.run_until(PATIENCE, |cluster| all_are(cluster, "linked")));
    cluster.faults.loss_permille = 1000;
    let lost = cluster.run_until(PATIENCE, |cluster| {
        (0..2).all(|node| states(cluster, node) != ["linked"])
    });
    assert!(lost);
    let log = dmesg(&mut cluster, 0);
    assert!(log.contains("is lost"), "{log}");
    cluster.faults.loss_permille = 0;
    assert!(cluster.run_until(PATIENCE * 2, |cluster| all_are(cluster, "linked")));
    cluster.cut_power_of_member(1, "node2", image(1), 2, &trust(2));
    let is_back = |cluster: &mut Cluster| {
        let log = dmesg(cluster, 1);
        log.contains("linked with node 'node1'") && all_are(cluster, "linked")
    };
    assert!(cluster.run_until(PATIENCE * 2, is_back));
}

#[test]
fn nodes_that_list_each_others_keys_find_each_other() {
    let mut cluster = Cluster::new(3);
    let public = |number: u8| NodeKey::new(&NodeKeys::new(&[number; 32])).public();
    for number in 0..3_u8 {
        // Another key comes first, so that it is tried in vain before.
        let others = [77, 1, 2, 3]
            .into_iter()
            .filter(|&other| other != number + 1);
        let listed = others.map(|other| Listed {
            key: public(other),
            role: Role::Node,
            name: format!("node{other}"),
        });
        let told = Trust {
            cluster_key: None,
            listed: listed.collect(),
            ..trust(3)
        };
        let name = format!("node{}", number + 1);
        cluster.boot_member(&name, image(number.into()), number + 1, &told);
    }
    assert!(cluster.run_until(PATIENCE * 3, |cluster| all_are(cluster, "linked")));
}

#[test]
fn an_operator_asks_over_the_network_what_the_channel_would_answer() {
    let mut cluster = cluster_of(1);
    let peer = cluster.add_peer("10.0.0.100/24");
    cluster.run_for(Duration::from_millis(50));
    let told = Trust::in_cluster(CLUSTER);
    let mut visitor = Visitor::new(&mut cluster, peer, &told, Protocol::Control, Some(1));
    for _ in 0..20 {
        assert!(visitor.step(&mut cluster));
    }
    visitor.say(&ToNode::Hello {
        magic: MAGIC,
        version: VERSION,
    });
    let line = "nodes";
    visitor.say(&ToNode::Line { request: 5, line });
    for _ in 0..20 {
        assert!(visitor.step(&mut cluster));
    }
    let mut reader = FrameReader::default();
    reader.push(&visitor.messages).unwrap();
    let greeting = reader.next::<ToOperator<'_>>().unwrap().unwrap();
    assert!(matches!(
        greeting,
        ToOperator::Greeting { node: "node1", .. }
    ));
    let ToOperator::Report { request, data, .. } = reader.next().unwrap().unwrap() else {
        panic!("no report");
    };
    assert_eq!(request, 5);
    let text = String::from_utf8_lossy(data.0).into_owned();
    assert!(text.contains("node1") && text.contains("here"), "{text}");
    cluster.close(visitor.socket);
    cluster.run_for(Duration::from_secs(1));
    let log = dmesg(&mut cluster, 0);
    assert!(
        log.contains("operator 'visitor'") && log.contains("is gone"),
        "{log}"
    );
}

#[test]
fn one_peer_cannot_take_all_places() {
    let mut cluster = cluster_of(1);
    let peer = cluster.add_peer("10.0.0.100/24");
    cluster.run_for(Duration::from_millis(50));
    let told = Trust::in_cluster(CLUSTER);
    let mut visitors = Vec::new();
    for number in 0..12 {
        let protocol = [Protocol::Migration, Protocol::Control][number % 2];
        let mut visitor = Visitor::new(&mut cluster, peer, &told, protocol, None);
        for _ in 0..5 {
            assert!(visitor.step(&mut cluster));
        }
        visitors.push(visitor);
    }
    let rows = cluster.json(0, "nodes --json");
    let detail = rows[0]["detail"].as_str().unwrap().to_string();
    assert!(detail.starts_with("8 connections"), "{detail}");
    assert!(visitors[11].step(&mut cluster));
}

#[test]
fn strangers_and_scanners_get_not_one_byte_and_are_logged() {
    let mut cluster = cluster_of(1);
    let peer = cluster.add_peer("10.0.0.100/24");
    cluster.run_for(Duration::from_millis(50));
    let stranger = Trust::in_cluster([8; 32]);
    let mut visitor = Visitor::new(&mut cluster, peer, &stranger, Protocol::Control, None);
    while visitor.step(&mut cluster) {}
    assert_eq!(visitor.received, 0);
    for probe in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00",
        &[0; 100],
    ] {
        let socket = cluster.connect(peer, "10.0.0.1:7600").unwrap();
        cluster.write_all(socket, probe).unwrap();
        let end = cluster.read_to_end(socket);
        assert!(end.is_err() || end == Ok(Vec::new()), "{end:?}");
        cluster.close(socket);
    }
    // One who says nothing is left after a while.
    let silent = cluster.connect(peer, "10.0.0.1:7600").unwrap();
    let end = cluster.read_to_end(silent);
    assert!(end.is_err() || end == Ok(Vec::new()), "{end:?}");
    let log = dmesg(&mut cluster, 0);
    assert!(log.contains("refused 10.0.0.100"), "{log}");
    assert!(log.contains("the peer has another cluster key"), "{log}");
    assert!(log.contains("the handshake took too long"), "{log}");
}

#[test]
fn a_thousand_half_open_connections_and_two_hundred_silent_ones_leave_room_for_an_operator() {
    let mut cluster = cluster_of(1);
    let peer = cluster.add_peer("10.0.0.100/24");
    cluster.run_for(Duration::from_millis(50));
    let mac = arp_answer(&mut cluster, peer);
    for number in 0..1000_u16 {
        cluster.send(Station::Stranger, syn(mac, 10_000 + number));
        if number % 50 == 0 {
            cluster.run_for(Duration::from_millis(1));
        }
    }
    cluster.run_for(Duration::from_secs(15));
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(cluster.connect(peer, "10.0.0.1:7600").unwrap());
    }
    cluster.run_for(Duration::from_millis(10));
    let rows = cluster.json(0, "nodes --json");
    let detail = rows[0]["detail"].as_str().unwrap().to_string();
    let connections: usize = detail.split(' ').next().unwrap().parse().unwrap();
    assert!(connections <= sos_core::limits::NODE_STRANGERS, "{detail}");
    assert!(detail.contains("169 peers refused"), "{detail}");
    let log = dmesg(&mut cluster, 0);
    assert!(log.matches("refused").count() <= 12, "{log}");
    let told = Trust::in_cluster(CLUSTER);
    let mut visitor = Visitor::new(&mut cluster, peer, &told, Protocol::Control, None);
    for _ in 0..10 {
        assert!(visitor.step(&mut cluster));
    }
    assert!(visitor.channel.peer().is_some());
}

#[test]
fn a_node_that_asks_and_asks_and_reads_no_answer_is_let_go() {
    let mut cluster = cluster_of(1);
    cluster.run_for(Duration::from_secs(1));
    let peer = cluster.add_peer("10.0.0.99/24");
    let told = Trust::in_cluster(CLUSTER);
    let mut visitor = Visitor::new(&mut cluster, peer, &told, Protocol::Migration, None);
    while visitor.channel.peer().is_none() {
        assert!(visitor.step(&mut cluster));
    }
    let hello = Message::hello(BootId([1; 16])).encode().unwrap();
    visitor.channel.send(&hello).unwrap();
    let handover = HandoverId {
        instance: InstanceId([5; 16]),
        epoch: 1,
    };
    let question = Message::Status { handover }.encode().unwrap();
    let mut asked = 0;
    loop {
        for _ in 0..500 {
            visitor.channel.send(&question).unwrap();
            asked += 1;
        }
        let bytes = visitor.channel.output().to_vec();
        visitor.channel.consume(bytes.len());
        cluster.write_all(visitor.socket, &bytes).unwrap();
        cluster.run_for(Duration::from_millis(50));
        assert!(asked < 100_000, "it answers for ever");
        if !dmesg(&mut cluster, 0).contains("it does not read") {
            continue;
        }
        break;
    }
    // What was to be said before the end is given some time.
    cluster.run_for(Duration::from_secs(3));
    assert!(!dmesg(&mut cluster, 0).contains("is lost"));
    cluster.run_for(Duration::from_secs(3));
    let log = dmesg(&mut cluster, 0);
    assert!(log.contains("is lost"), "{log}");
    let rows = cluster.json(0, "nodes --json");
    let detail = rows[0]["detail"].as_str().unwrap().to_string();
    assert!(detail.starts_with("0 connections"), "{detail}");
}

#[test]
fn an_instance_moves_back_and_forth_over_the_network_with_its_connections() {
    let mut cluster = Cluster::new(5);
    let served = ImageBuilder::new("member")
        .switch("lan", Some("nic0"))
        .node("lan", "10.0.0.1/24")
        .instance("echo", ECHO_TO_MANY)
        .port("eth0", switch("lan"), "10.0.0.50/24")
        .build();
    cluster.boot_member("node1", served, 1, &trust(2));
    cluster.boot_member("node2", image(1), 2, &trust(2));
    let peer = cluster.add_peer("10.0.0.100/24");
    assert!(cluster.run_until(PATIENCE, |cluster| all_are(cluster, "linked")));
    let socket = cluster.connect(peer, "10.0.0.50:7").unwrap();
    for round in 0..6_u8 {
        let (from, to) = (usize::from(round % 2), usize::from(1 - round % 2));
        let said = vec![round; 3000];
        cluster.write_all(socket, &said).unwrap();
        let answer = cluster.shell(from, &format!("migrate echo node{}", to + 1));
        let moved = cluster.run_until(PATIENCE, |cluster| {
            let there = cluster.json(to, "ls --json");
            let rows = there.as_array().expect("rows");
            rows.iter()
                .any(|row| row["name"] == "echo" && row["state"] == "waiting")
        });
        assert!(
            moved,
            "{answer} {} {}",
            dmesg(&mut cluster, from),
            dmesg(&mut cluster, to)
        );
        let mut heard = Vec::new();
        while heard.len() < said.len() {
            let part = cluster.read(socket).unwrap();
            assert!(!part.is_empty(), "the stream ended");
            heard.extend(part);
        }
        assert_eq!(heard, said);
        cluster.run_for(Duration::from_secs(8));
    }
    assert_eq!(cluster.resets, 0);
}

/// The node's station address, from what it answered the peer's connection attempt with.
fn arp_answer(cluster: &mut Cluster, peer: usize) -> [u8; 6] {
    cluster.seen = Some(Vec::new());
    let socket = cluster.connect(peer, "10.0.0.1:7600").unwrap();
    cluster.close(socket);
    cluster.run_for(Duration::from_secs(1));
    let frames = cluster.seen.take().unwrap();
    // An answer of ARP (RFC 826) from 10.0.0.1.
    let answer = frames.iter().find(|frame| {
        frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && frame[28..32] == [10, 0, 0, 1]
    });
    answer.expect("an answer")[22..28].try_into().unwrap()
}

/// A SYN to the node from an address where nobody is (RFC 791, RFC 9293).
fn syn(to: [u8; 6], port: u16) -> Vec<u8> {
    let mut ip = vec![
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 222, 10, 0, 0, 1,
    ];
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    let mut tcp = vec![0; 20];
    tcp[0..2].copy_from_slice(&port.to_be_bytes());
    tcp[2..4].copy_from_slice(&7600_u16.to_be_bytes());
    tcp[12..16].copy_from_slice(&[0x50, 2, 0xff, 0xff]);
    let pseudo = [&ip[12..20], &[0, 6, 0, 20], &tcp].concat();
    tcp[16..18].copy_from_slice(&checksum(&pseudo));
    let ethernet = [&to[..], &[2, 0, 0, 0, 0, 222], &[8, 0]].concat();
    [ethernet, ip, tcp].concat()
}

/// The Internet's (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
