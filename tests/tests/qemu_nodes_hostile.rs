//! A real node whose control and migration ports are reached by whoever likes to: a scanner of ports, one with a wrong key,
//! one who sends a recorded conversation again, and such who send what is no message, or messages without end. Each is
//! refused, the log says so, memory stays bounded, and the node serves on.
//!
//! The stranger is Linux on the nodes' own bridge, as in `qemu_moves.rs`; where that is not to be had, the tests say so and
//! prove nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sos::cluster::{keys, remote};
use sos_core::cluster::channel::{Channel, Opening, Protocol, Setup};
use sos_core::cluster::{BootId, NodeKey, Trust};
use sos_core::keys::NodeKeys;
use sos_core::machine::Time;
use sos_core::migrate::{HandoverId, InstanceId, Message};
use sos_tests::programs::{ECHO_TO_MANY, SPINS};
use sos_tests::qemu::linux::{connect, exchange, in_a_network_of_its_own};
use sos_tests::qemu::{BootNodes, Manifest, PATIENCE, TestNodes, eventually};
use sos_tests::tool;

const NODE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 11);
const CONTROL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(NODE), 7600);
const SERVICE: &str = "10.9.0.100:7";
/// What the node's heap may take for strangers, past what it took before: the buffers of its connections, and some.
const ROOM_BYTES: u64 = 32 * 1024 * 1024;
/// What a second crowd may take beyond what the first left.
const REST_BYTES: u64 = 1024 * 1024;

/// What a stranger tries against the first of the nodes.
type Trial = fn(&TestNodes);

const NETWORK: &[&str] = &[
    "ip link add br0 type bridge",
    "ip address add 10.9.0.1/24 dev br0",
    "ip link set br0 up",
];

const MANIFEST: &str = r#"
    name = "hostile"
    [switch.lan]
    uplink = "nic0"
    [node]
    switch = "lan"
    address = "10.9.0.11/24"
    [instance.echo]
    module = "./echo.wat"
    limits.memory = "4MiB"
    port.eth0 = { switch = "lan", address = "10.9.0.100/24" }
    [instance.loop]
    module = "./loop.wat"
"#;

#[test]
fn strangers_at_a_nodes_ports_get_nothing_and_cost_a_bounded_amount() {
    let name = "strangers_at_a_nodes_ports_get_nothing_and_cost_a_bounded_amount";
    // What is built is built before the nodes' watchdogs run.
    tool::program();
    in_a_network_of_its_own(name, NETWORK, || {
        let image = Manifest::new(MANIFEST)
            .file("echo.wat", ECHO_TO_MANY)
            .file("loop.wat", SPINS)
            .build();
        let nodes = BootNodes::new(&image, 2).on_bridge("br0").start();
        nodes.until_linked(1, 1);
        let mut client = connect(SERVICE);
        exchange(&mut client, b"before");
        let before = heap_used(&nodes);
        let trials: [(&str, Trial); 6] = [
            ("a scanner of ports", scan_ports),
            ("a crowd that says nothing", crowd),
            ("a wrong key", use_a_wrong_key),
            ("a recorded conversation", send_a_conversation_again),
            ("what is no message", send_what_is_no_message),
            ("messages without end", send_messages_without_end),
        ];
        for (who, trial) in trials {
            trial(&nodes);
            let now = heap_used(&nodes);
            assert!(
                now < before + ROOM_BYTES,
                "{who}: {before} bytes, now {now}"
            );
            exchange(&mut client, who.as_bytes());
            println!("{who}: refused; heap {before} bytes before, {now} right after");
        }
        // The node keeps the buffers of sockets for those who come next, so that a second crowd costs nothing more.
        let before = heap_used(&nodes);
        crowd(&nodes);
        let now = heap_used(&nodes);
        println!("a second crowd: heap {before} bytes before, {now} right after");
        assert!(
            now < before + REST_BYTES,
            "{before} bytes before, {now} now"
        );
        // It is the same node, with the same friends.
        nodes.until_linked(1, 1);
        nodes.migrate("echo", 1, 2, "--live");
        exchange(&mut client, b"after");
    });
}

fn heap_used(nodes: &TestNodes) -> u64 {
    let node = nodes.json(1, "uptime");
    let used = node["memory"]["heap_used_bytes"].as_u64();
    used.unwrap_or_else(|| panic!("the node says no figures of its heap: {node}"))
}

/// What the node's log has that it did not have before.
fn until_logged(nodes: &TestNodes, words: &str) {
    eventually(words, || {
        let log = nodes.shell(1, "dmesg");
        match log.contains(words) {
            true => Ok(()),
            false => Err(log),
        }
    });
}

/// Every port of the node from 1 to 2000 and around its own, and of the service: only what listens answers.
fn scan_ports(nodes: &TestNodes) {
    let ports: Vec<u16> = (1..=2000).chain(7500..7700).collect();
    let open = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(&port) = ports.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let address = SocketAddr::from((NODE, port));
                    match TcpStream::connect_timeout(&address, Duration::from_secs(20)) {
                        Ok(_) => {
                            assert_eq!(port, 7600, "something listens there");
                            open.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => assert_eq!(
                            error.kind(),
                            ErrorKind::ConnectionRefused,
                            "port {port}: {error}"
                        ),
                    }
                }
            });
        }
    });
    assert_eq!(open.into_inner(), 1);
    until_logged(nodes, "refused 10.9.0.1");
}

/// Many connections that stay and say nothing, or a little: the oldest have to go.
fn crowd(nodes: &TestNodes) {
    let mut held = Vec::new();
    for number in 0..300 {
        match TcpStream::connect_timeout(&CONTROL, Duration::from_secs(20)) {
            Ok(mut stream) => {
                if number % 2 == 0 {
                    // It may be driven out already.
                    let _ = stream.write_all(b"SOS-c");
                }
                held.push(stream);
            }
            // All places are taken for the moment.
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::TimedOut
                ),
                "{error}"
            ),
        }
    }
    assert!(held.len() > 32, "only {} got in", held.len());
    // An operator gets in all the same.
    let text = ctl(nodes, CONTROL, &["ls"]);
    assert!(text.contains("echo"), "{text}");
    // None of them hears a word, and each is sent away.
    for mut stream in held {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut word = [0; 1];
        match stream.read(&mut word) {
            Ok(count) => assert_eq!(count, 0, "a stranger was answered"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

fn use_a_wrong_key(_: &TestNodes) {
    for byte in 0..20 {
        let error = remote::connect(CONTROL, [byte; keys::KEY_BYTES]).expect_err("a wrong key");
        let error = format!("{error:#}");
        assert!(error.contains("another cluster key"), "{error}");
    }
}

/// A line of the node's shell from outside, with the right key.
fn ctl(nodes: &TestNodes, address: SocketAddr, words: &[&str]) -> String {
    let (address, key) = (address.to_string(), nodes.cluster_key());
    let key = key.to_str().expect("a path");
    let line = ["ctl", "--node", &address, "--cluster-key", key];
    tool::succeeds(&[&line[..], words].concat())
}

/// Somebody on the way records how an operator pauses a program, and sends that again.
fn send_a_conversation_again(nodes: &TestNodes) {
    let state = || {
        let detail = nodes.json(1, "info loop");
        detail["state"].as_str().unwrap_or_default().to_string()
    };
    let relay = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = relay.local_addr().expect("its address");
    let recording = std::thread::spawn(move || {
        let (mut operator, _) = relay.accept().expect("the operator");
        let mut node = TcpStream::connect(CONTROL).expect("the node");
        let (mut back, mut from) = (
            operator.try_clone().expect("a handle"),
            node.try_clone().expect("a handle"),
        );
        let answers = std::thread::spawn(move || {
            // It ends with either.
            let _ = std::io::copy(&mut from, &mut back);
            let _ = back.shutdown(std::net::Shutdown::Both);
        });
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = operator.read(&mut buffer) {
            said.extend_from_slice(&buffer[..count]);
            if node.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = node.shutdown(std::net::Shutdown::Both);
        answers.join().expect("the answers");
        said
    });
    ctl(nodes, address, &["pause", "loop"]);
    let said = recording.join().expect("what the operator said");
    assert_eq!(state(), "paused");
    nodes.shell(1, "resume loop");
    assert_eq!(state(), "running");
    for pieces in [1, 7, said.len()] {
        let mut stream = TcpStream::connect(CONTROL).expect("the node");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        for piece in said.chunks(said.len().div_ceil(pieces)) {
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        let heard = read_to_its_end(&mut stream);
        assert!(heard <= 98, "{heard} bytes for one who has no key");
    }
    assert_eq!(state(), "running");
}

/// How much came until the other end had enough.
fn read_to_its_end(stream: &mut TcpStream) -> usize {
    let (mut all, mut buffer) = (0, [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(count) => all += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                return all;
            }
        }
    }
}

/// Sends bytes again and again until the node has enough; how many it took.
fn send_until_refused(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut sent, begin) = (0, Instant::now());
    loop {
        match stream.write(bytes) {
            Ok(count) => sent += count,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "after {sent} bytes");
                return sent;
            }
        }
        assert!(begin.elapsed() < PATIENCE, "{sent} bytes and no end");
    }
}

/// Strangers: other protocols, noise, beginnings that are right. One with the key: no words of an operator, none of a node.
fn send_what_is_no_message(nodes: &TestNodes) {
    let noise: Vec<u8> = (0..65_536_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let beginnings: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"SSH-2.0-stranger\r\n",
        b"SOS-ch1\x01\x00\x30",
        b"SOS-ch1\x02\xff\xff",
        &[0; 64],
    ];
    for beginning in beginnings {
        let mut stream = TcpStream::connect(CONTROL).expect("the node");
        // It may have enough of the beginning already.
        let _ = stream.write_all(beginning);
        let taken = send_until_refused(&mut stream, &noise);
        // What Linux and the node's TCP hold between them is no more than their buffers.
        assert!(
            taken < 16 * 1024 * 1024,
            "{taken} bytes were taken of {beginning:?}"
        );
    }
    // A broken conversation of an operator is heeded no more, and costs nothing, until he leaves.
    let mut operator = Peer::open(nodes, Protocol::Control);
    for _ in 0..20 {
        if operator.say(&noise[..60_000]).is_err() {
            break;
        }
    }
    drop(operator);
    // One of a node is over.
    let mut node = Peer::open(nodes, Protocol::Migration);
    let said = node.say_until_refused(&noise[..60_000]);
    assert!(said < 200, "{said}");
    until_logged(nodes, "the connection with node 'stranger' was closed");
    until_logged(nodes, "refused 10.9.0.1");
}

/// One with the key who asks about hand-overs that never were, for ever, and never reads an answer.
fn send_messages_without_end(nodes: &TestNodes) {
    let mut peer = Peer::open(nodes, Protocol::Migration);
    let hello = Message::hello(BootId([9; 16])).encode().expect("a message");
    peer.say(&hello).expect("a greeting is taken");
    let begin = Instant::now();
    let (mut said, mut most) = (0_u64, 0);
    while begin.elapsed() < Duration::from_secs(5) {
        let handover = HandoverId {
            instance: InstanceId([said as u8; 16]),
            epoch: said,
        };
        let question = Message::Status { handover }.encode().expect("a message");
        // Held up, or sent away: both are an end of it.
        if peer.say(&question).is_err() {
            break;
        }
        said += 1;
        if said.is_multiple_of(2000) {
            most = most.max(heap_used(nodes));
        }
    }
    println!("{said} questions without end, at most {most} bytes of heap");
    assert!(said > 100, "only {said} questions were taken");
    drop(peer);
}

/// Somebody who has the cluster's key, and whose program says what it likes.
struct Peer {
    tcp: TcpStream,
    channel: Channel,
}

impl Peer {
    fn open(nodes: &TestNodes, protocol: Protocol) -> Peer {
        let key = keys::read(&nodes.cluster_key()).expect("the cluster's key");
        let own = NodeKey::new(&NodeKeys::new(&[77; 32]));
        let trust = Arc::new(Trust::in_cluster(key));
        let setup = Setup {
            own: &own,
            trust: &trust,
            opening: Opening::new(protocol, "stranger", BootId([9; 16])),
            entropy: [3; 32],
            now: Time::ZERO,
        };
        let mut channel = Channel::initiate(setup, None).expect("a channel");
        let mut tcp = TcpStream::connect(CONTROL).expect("the node");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        tcp.set_write_timeout(Some(Duration::from_secs(2)))
            .expect("a timeout");
        let mut rest = Vec::new();
        while channel.peer().is_none() {
            tcp.write_all(channel.output()).expect("the handshake");
            channel.consume(channel.output().len());
            let mut buffer = [0; 4096];
            let count = tcp.read(&mut buffer).expect("the handshake's answer");
            assert_ne!(count, 0, "the node hung up");
            rest.extend_from_slice(&buffer[..count]);
            let taken = channel.receive(&rest).expect("a right answer");
            rest.drain(..taken);
        }
        Peer { tcp, channel }
    }

    fn say(&mut self, message: &[u8]) -> std::io::Result<()> {
        self.channel.send(message).expect("it fits");
        let written = self.tcp.write_all(self.channel.output());
        self.channel.consume(self.channel.output().len());
        written
    }

    /// How often it could say that.
    fn say_until_refused(&mut self, message: &[u8]) -> usize {
        let begin = Instant::now();
        let mut said = 0;
        while self.say(message).is_ok() {
            said += 1;
            assert!(begin.elapsed() < PATIENCE, "{said} times and no end");
        }
        said
    }
}
