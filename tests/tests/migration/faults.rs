//! Links, nodes and memory that fail at every step of a move: the instance runs once in the end, or stands in
//! doubt, and nothing is left of the rest.

use super::{
    HALF, SECOND, arrives, connections, done, echoes, empty, has_event, runs_on, two_nodes,
};
use sos_core::machine::Duration;
use sos_tests::programs::ECHO_TO_MANY;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::peer::PeerSocket;

/// Time after which nothing of a move is remembered but one line.
const FORGOTTEN: Duration = Duration::from_secs(15);

/// An echo on the first of two nodes, and two connections to it.
fn talking() -> (Cluster, Vec<PeerSocket>) {
    let mut cluster = two_nodes("echo", ECHO_TO_MANY);
    let client = cluster.add_peer("10.0.0.100/24");
    cluster.run_for(HALF);
    let sockets = connections(&mut cluster, client, 2);
    echoes(&mut cluster, &sockets, 0, 1000);
    (cluster, sockets)
}

/// What a node holds: instances, ports, bytes and images of memories.
fn held(cluster: &mut Cluster, node: usize) -> (usize, usize, u64, u64) {
    let instances = cluster.json(node, "ls --json");
    let instances = instances.as_array().expect("rows").len();
    let switches = cluster.json(node, "switch --json");
    let ports = switches[0]["ports"].as_array().expect("ports").len();
    let memory = &cluster.nodes[node].machine.memory;
    let used = memory.total_bytes() - memory.free_bytes();
    (instances, ports, used, memory.images())
}

/// How many messages a move takes.
fn messages_of_a_move(how: &str) -> u64 {
    let (mut cluster, _) = talking();
    let before = cluster.wires.carried;
    done(&mut cluster, 0, &format!("migrate echo node2 {how}"));
    arrives(&mut cluster, "echo", 1);
    cluster.run_for(HALF);
    cluster.wires.carried - before
}

/// Runs until so many more messages were carried, or a while.
fn run_for_messages(cluster: &mut Cluster, messages: u64) {
    let end = cluster.wires.carried + messages;
    cluster.run_until(SECOND, |cluster| cluster.wires.carried >= end);
}

/// That the instance runs once, with its connections, and that nothing else is left.
fn ends_well(
    cluster: &mut Cluster,
    sockets: &[PeerSocket],
    whole: [(usize, usize, u64, u64); 2],
    case: &str,
) {
    let place = runs_on(cluster, "echo");
    assert_eq!(place.len(), 1, "{case}: {place:?}");
    echoes(cluster, sockets, 5, 3000);
    assert_eq!(cluster.resets, 0, "{case}");
    cluster.run_for(FORGOTTEN);
    for node in 0..2 {
        let text = cluster.shell(node, "migrate");
        assert!(text.contains("none"), "{case}: {text}");
    }
    let here = place[0];
    assert_eq!(held(cluster, here), whole[0], "{case}: where it runs");
    assert_eq!(
        held(cluster, 1 - here),
        whole[1],
        "{case}: where it does not"
    );
}

fn whole(cluster: &mut Cluster) -> [(usize, usize, u64, u64); 2] {
    [held(cluster, 0), held(cluster, 1)]
}

#[test]
fn a_link_that_is_lost_at_any_message_and_comes_back_leaves_one_instance_and_nothing_else() {
    for how in ["--cold", ""] {
        let messages = messages_of_a_move(how);
        assert!(messages > 15, "{messages}");
        for lost in 0..messages {
            let (mut cluster, sockets) = talking();
            let whole = whole(&mut cluster);
            cluster.part_after(lost);
            cluster.type_text(0, &format!("migrate echo node2 {how}\r"));
            cluster.run_for(HALF);
            cluster.join(0, 1);
            cluster.run_for(2 * SECOND);
            ends_well(&mut cluster, &sockets, whole, &format!("{how} {lost}"));
        }
    }
}

#[test]
fn a_move_that_is_cancelled_at_any_message_leaves_one_instance_and_nothing_else() {
    for node in 0..2 {
        for messages in 0..messages_of_a_move("") {
            let (mut cluster, sockets) = talking();
            let whole = whole(&mut cluster);
            cluster.type_text(0, "migrate echo node2\r");
            run_for_messages(&mut cluster, messages);
            // It may be too late, or too early.
            cluster.shell(node, "migrate --cancel echo");
            cluster.run_for(SECOND);
            ends_well(&mut cluster, &sockets, whole, &format!("{node} {messages}"));
        }
    }
}

#[test]
fn a_target_that_loses_its_power_at_any_message_never_takes_the_instance_along_unseen() {
    let (mut doubts, mut gone) = (0, 0);
    for messages in 0..messages_of_a_move("") {
        let (mut cluster, sockets) = talking();
        cluster.type_text(0, "migrate echo node2\r");
        run_for_messages(&mut cluster, messages);
        cluster.cut_power(1, "node2", empty("node2"));
        cluster.join(0, 1);
        cluster.run_for(2 * SECOND);
        if has_event(&mut cluster, 0, "moved") {
            // The target has said that it ran: it went with the power, as any instance does.
            gone += 1;
            assert!(runs_on(&mut cluster, "echo").is_empty());
            continue;
        }
        if cluster.state(0, "echo").0 == "in-doubt" {
            doubts += 1;
            let text = cluster.shell(0, "migrate");
            assert!(text.contains("was reset"), "{text}");
            done(&mut cluster, 0, "migrate --resolve echo here");
        }
        assert_eq!(runs_on(&mut cluster, "echo"), [0], "{messages}");
        echoes(&mut cluster, &sockets, 5, 3000);
        assert_eq!(cluster.resets, 0);
    }
    assert!((1..=3).contains(&doubts) && gone > 0, "{doubts} {gone}");
}

#[test]
fn a_source_that_loses_its_power_at_any_message_leaves_nothing_or_a_copy_in_doubt() {
    let (mut doubts, mut arrived) = (0, 0);
    for messages in 0..messages_of_a_move("") {
        let (mut cluster, sockets) = talking();
        cluster.type_text(0, "migrate echo node2\r");
        run_for_messages(&mut cluster, messages);
        cluster.cut_power(0, "node1", empty("node1"));
        cluster.join(0, 1);
        cluster.run_for(SECOND);
        let rows = cluster.json(1, "ls --json");
        if rows.as_array().is_some_and(Vec::is_empty) {
            // It went with the power of its node, before the target was prepared.
            assert_eq!(arrived, 0, "{messages}");
            continue;
        }
        arrived += 1;
        if cluster.state(1, "echo").0 == "in-doubt" {
            doubts += 1;
            done(&mut cluster, 1, "migrate --resolve echo here");
        }
        assert_eq!(runs_on(&mut cluster, "echo"), [1], "{messages}");
        echoes(&mut cluster, &sockets, 5, 3000);
        assert_eq!(cluster.resets, 0);
    }
    assert!(
        (1..=3).contains(&doubts) && arrived > doubts,
        "{doubts} {arrived}"
    );
}

#[test]
fn a_target_without_memory_at_any_question_refuses_and_keeps_nothing() {
    let questions = {
        let (mut cluster, _) = talking();
        let before = cluster.nodes[1].machine.memory.questions();
        done(&mut cluster, 0, "migrate echo node2");
        arrives(&mut cluster, "echo", 1);
        cluster.nodes[1].machine.memory.questions() - before
    };
    let mut refused = 0;
    for number in (0..questions).step_by(questions as usize / 40 + 1) {
        let (mut cluster, sockets) = talking();
        let whole = whole(&mut cluster);
        let memory = cluster.nodes[1].machine.memory.clone();
        let first = memory.questions() + number;
        memory.set_shortage(first..first + 8);
        cluster.type_text(0, "migrate echo node2\r");
        cluster.run_for(HALF);
        memory.set_shortage(0..0);
        refused += usize::from(has_event(&mut cluster, 0, "not-moved"));
        ends_well(&mut cluster, &sockets, whole, &format!("{number}"));
    }
    assert!(refused > 0);
}
