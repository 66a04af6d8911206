//! Connections, accepts, lookups and polls.

use super::programs::{
    acceptor, bulk_server, made_bytes, poller, receiver, resolver, sender, sum_of,
};
use super::{CAPTURES, Manner, Run, assert_same};
use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

/// Bytes of a large transfer.
const BULK: usize = 300_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// A node that runs `program` as `it` at 10.0.0.1, beside a client that is its name server, too.
fn beside_client(program: String, manner: Manner) -> (Run, usize) {
    let image = ImageBuilder::new("captures")
        .switch("lan", Some("nic0"))
        .instance("it", program)
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .with(|spec| spec.ports[0].dns = vec![[10, 0, 0, 100].into()]);
    let (cluster, client) = Cluster::beside_client(image.build());
    (Run::new(cluster, manner, &["it"]), client)
}

/// Sends a large number of bytes and takes as many; a capture is taken after every hundredth part.
fn exchange_bulk(manner: Manner) -> Vec<u64> {
    let (mut run, client) = beside_client(bulk_server(BULK), manner);
    let socket = run
        .cluster
        .connect(client, "10.0.0.1:7")
        .expect("it listens");
    for part in made_bytes(BULK).chunks(BULK / CAPTURES) {
        run.cluster.write_all(socket, part).expect("it reads");
        run.capture();
    }
    let mut received = Vec::new();
    let mut rounds = 0;
    while received.len() < BULK {
        run.cluster.run_for(MILLISECOND);
        received.extend(run.cluster.read_now(socket).expect("it writes"));
        rounds += 1;
        assert!(rounds < 20_000, "{manner:?}: {} bytes came", received.len());
        if rounds <= CAPTURES {
            run.capture();
        }
    }
    assert!(received == made_bytes(BULK), "{manner:?}: other bytes");
    run.cluster.finish_writing(socket).expect("it is there");
    let captures = run.captures;
    assert!(
        manner == Manner::Never || captures > CAPTURES + 10,
        "{captures}"
    );
    assert_eq!(run.cluster.resets, 0, "{manner:?}");
    run.finish("it")
}

#[test]
fn a_large_transfer_each_way_keeps_every_byte_through_hundreds_of_captures() {
    let expected = exchange_bulk(Manner::Never);
    assert_eq!(expected[1..3], [0, BULK as u64]);
    assert_eq!(expected[4], sum_of(&made_bytes(BULK)));
    // Cuts keep no timers of TCP (`kernel/ARCHITECTURE.md`), so times are told only where nothing is taken apart.
    assert_eq!(exchange_bulk(Manner::Running), expected);
    for manner in [Manner::Suspended, Manner::Stopped, Manner::Filed] {
        let told = exchange_bulk(manner);
        assert_eq!(told[1..3], expected[1..3], "{manner:?}");
        assert_eq!(told[4], expected[4], "{manner:?}");
    }
}

/// Bytes from one instance to another.
const STREAMED: usize = 5_000_000;

/// One instance sends to another over a switch; both are captured in turn.
fn stream(manner: Manner) -> Vec<u64> {
    let image = ImageBuilder::new("captures")
        .switch("wire", None)
        .instance("receiver", receiver())
        .port("eth0", switch("wire"), "10.1.0.2/24")
        .instance("sender", sender(STREAMED))
        .port("eth0", switch("wire"), "10.1.0.1/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_millis(5));
    let mut run = Run::new(cluster, manner, &["receiver", "sender"]);
    while manner != Manner::Never && run.captures < CAPTURES + 20 && run.capture() {
        run.cluster.run_for(Duration::from_micros(100));
    }
    assert!(
        manner == Manner::Never || run.captures >= CAPTURES,
        "{}",
        run.captures
    );
    run.finish("receiver")
}

#[test]
fn a_stream_between_two_instances_that_are_captured_in_turn_keeps_every_byte() {
    for manner in [
        Manner::Never,
        Manner::Running,
        Manner::Suspended,
        Manner::Stopped,
        Manner::Filed,
    ] {
        assert_eq!(
            stream(manner),
            [sum_of(&made_bytes(STREAMED))],
            "{manner:?}"
        );
    }
}

/// A client comes after a hundred captures.
fn accept_late(manner: Manner) -> Vec<u64> {
    let (mut run, client) = beside_client(acceptor(), manner);
    run.capture_every(5 * MILLISECOND);
    let socket = run
        .cluster
        .connect(client, "10.0.0.1:7")
        .expect("it listens");
    assert_eq!(run.cluster.read_to_end(socket).expect("a text").len(), 16);
    assert_eq!(run.cluster.resets, 0, "{manner:?}");
    run.finish("it")
}

#[test]
fn an_accept_waits_through_a_hundred_captures() {
    let expected = accept_late(Manner::Never);
    for manner in [Manner::Running, Manner::Suspended, Manner::Stopped] {
        assert_same(manner, &accept_late(manner), &expected, &[2]);
    }
    // Files take time of the world, not of the guest.
    let told = accept_late(Manner::Filed);
    assert_eq!(told[..2], expected[..2]);
}

/// What a name server says to `question`: one address (RFC 1035, 4.1).
fn dns_answer(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    let is_v4 = question[question.len() - 3] == 1;
    if is_v4 {
        answer[7] = 1;
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 93, 184, 216, 34]);
    }
    answer
}

/// The name server answers what it was asked last, after a hundred captures.
fn look_up(manner: Manner) -> Vec<u64> {
    let (mut run, client) = beside_client(resolver(), manner);
    let server = run.cluster.udp_bind_to(client, 53).expect("a free port");
    // It asks again after each capture: the last questions are answered.
    let mut questions = Vec::new();
    for _ in 0..CAPTURES {
        run.cluster.run_for(5 * MILLISECOND);
        let is_there = run.capture();
        assert!(is_there, "{manner:?}");
        while let Some(question) = run.cluster.receive_now(server).expect("a socket") {
            questions.push(question);
        }
    }
    run.cluster.run_for(5 * MILLISECOND);
    while let Some(question) = run.cluster.receive_now(server).expect("a socket") {
        questions.push(question);
    }
    for (question, from) in questions.iter().rev().take(2) {
        let (answer, to) = (dns_answer(question), from.to_string());
        run.cluster.send_to(server, &answer, &to).expect("a way");
    }
    run.finish("it")
}

#[test]
fn a_lookup_goes_on_through_a_hundred_captures() {
    let expected = look_up(Manner::Never);
    let address = u64::from(u32::from_le_bytes([93, 184, 216, 34]));
    assert_eq!(expected[..2], [1, address]);
    assert_eq!(look_up(Manner::Running), expected);
    for manner in [Manner::Suspended, Manner::Stopped] {
        assert_same(manner, &look_up(manner), &expected, &[2]);
    }
    assert_eq!(look_up(Manner::Filed)[..2], expected[..2]);
}

/// A hundred captures while a program polls: a byte for its connection comes after 30 of them, a connection
/// for its listener after 60, and then its two clocks.
fn poll(manner: Manner) -> Vec<u64> {
    let (mut run, client) = beside_client(poller(), manner);
    let socket = run
        .cluster
        .connect(client, "10.0.0.1:7")
        .expect("it listens");
    for number in 0..CAPTURES {
        match number {
            30 => run.cluster.write_all(socket, b"x").expect("it is there"),
            60 => drop(
                run.cluster
                    .connect(client, "10.0.0.1:7")
                    .expect("it listens"),
            ),
            _ => {}
        }
        run.cluster.run_for(6 * MILLISECOND);
        run.capture();
    }
    run.finish("it")
}

#[test]
fn a_poll_of_four_things_goes_on_through_a_hundred_captures() {
    let expected = poll(Manner::Never);
    // The connection, the listener, the moment, the second: each alone, in this order.
    let told: Vec<u64> = expected
        .chunks(3)
        .map(|told| *told.last().expect("one"))
        .collect();
    assert_eq!(told[..4], [4, 3, 2, 1]);
    let times = [1, 4, 7, 10, 12];
    assert_eq!(expected[7].div_ceil(1_000_000), 700);
    for manner in [Manner::Running, Manner::Suspended, Manner::Stopped] {
        assert_same(manner, &poll(manner), &expected, &times);
    }
    let told = poll(Manner::Filed);
    for place in (0..expected.len()).filter(|place| !times.contains(place)) {
        assert_eq!(told[place], expected[place]);
    }
    assert_eq!(told[7].div_ceil(1_000_000), 700);
}
