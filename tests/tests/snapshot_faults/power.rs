//! Power that is cut after any turn.

use super::{HALF, Talk, echo_image, empty_image, talking};
use sos_core::machine::Duration;
use sos_core::operator::{Bytes, Contents, Packing, ToNode, ToOperator};
use sos_core::snapshot::format::Summary;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;

/// Simulated time in which each of these things is long done.
const PATIENCE: Duration = Duration::from_secs(5);

/// A line at the shell that must succeed.
fn done(cluster: &mut Cluster, node: usize, line: &str) {
    let text = cluster.shell(node, line);
    assert!(!text.contains("error"), "{line}: {text}");
}

/// Gives a file to a node; tells whether it was taken before the node had so many turns.
fn import_for(
    cluster: &mut Cluster,
    outsider: &mut Outsider,
    node: usize,
    file: &[u8],
    turns: u64,
) -> bool {
    let (request, bytes) = (9, file.len() as u64);
    let snapshot = "travel";
    outsider.say(
        cluster,
        &ToNode::Import {
            request,
            snapshot,
            bytes,
        },
    );
    let mut pieces = file.chunks(300);
    let (mut is_done, mut seen) = (false, 0);
    let end = cluster.nodes[node].turns.saturating_add(turns);
    cluster.run_until(PATIENCE, |cluster| {
        outsider.hear(cluster, |message| match message {
            ToOperator::Done { .. } => is_done = true,
            other => panic!("{other:?}"),
        });
        // A piece for each turn.
        let turns = cluster.nodes[node].turns;
        if turns != seen
            && let Some(piece) = pieces.next()
        {
            let data = Bytes(piece);
            outsider.say(cluster, &ToNode::SnapshotData { request, data });
        }
        seen = turns;
        is_done || turns >= end
    });
    is_done
}

/// What came of a snapshot's file before the node had so many turns.
fn export_for(cluster: &mut Cluster, node: usize, turns: u64) -> (Vec<u8>, bool) {
    let mut outsider = Outsider::greeted(cluster, node);
    outsider.say(
        cluster,
        &ToNode::Export {
            request: 9,
            snapshot: "travel",
            contents: Contents::SelfContained,
            packing: Packing::Plain,
        },
    );
    let (mut file, mut is_done) = (Vec::new(), false);
    let end = cluster.nodes[node].turns.saturating_add(turns);
    cluster.run_until(PATIENCE, |cluster| {
        outsider.hear(cluster, |message| match message {
            ToOperator::SnapshotDrafted { .. } => {}
            ToOperator::SnapshotData { data, .. } => file.extend_from_slice(data.0),
            ToOperator::Done { .. } => is_done = true,
            other => panic!("{other:?}"),
        });
        is_done || cluster.nodes[node].turns >= end
    });
    (file, is_done)
}

/// A stopped instance's file, with a byte of its client on the way, and an empty node beside.
fn travelling() -> (Cluster, Talk, Vec<u8>, usize) {
    let (mut cluster, _, mut talk) = talking();
    let second = cluster.boot("node2", empty_image());
    cluster.run_for(Duration::from_millis(20));
    done(&mut cluster, 0, "snapshot echo to travel --stop");
    talk.say(&mut cluster);
    let (file, is_done) = export_for(&mut cluster, 0, u64::MAX);
    assert!(is_done);
    (cluster, talk, file, second)
}

#[test]
fn a_file_that_was_cut_short_by_the_power_is_refused_and_its_node_starts_anew() {
    let mut turns = 0;
    loop {
        let (mut cluster, client, talk) = talking();
        done(&mut cluster, 0, "snapshot echo to travel");
        let (file, is_done) = export_for(&mut cluster, 0, turns);
        cluster.cut_power(0, "node1", echo_image());
        cluster.run_for(HALF);
        let summary = Summary::read(&file);
        assert_eq!(summary.complete, is_done, "after turn {turns}");
        let rows = cluster.json(0, "snapshots --json");
        assert_eq!(rows.as_array().expect("rows").len(), 0);
        // What ran is gone, as with any machine: its client learns of it and comes again.
        cluster.close(talk.socket);
        Talk::open(&mut cluster, client).exchange(&mut cluster, "after the power came back");
        let mut outsider = Outsider::greeted(&mut cluster, 0);
        let taken = outsider.import(&mut cluster, "travel", &file);
        assert_eq!(taken.is_ok(), is_done, "after turn {turns}: {taken:?}");
        if is_done {
            break;
        }
        turns += 1;
    }
    // One in which it is drafted, and one in which some of it has left.
    assert!(turns > 1, "{turns} turns");
}

#[test]
fn an_import_that_the_power_cut_is_begun_again_and_the_client_loses_nothing() {
    let mut turns = 0;
    loop {
        let (mut cluster, mut talk, file, second) = travelling();
        let mut outsider = Outsider::greeted(&mut cluster, second);
        let is_done = import_for(&mut cluster, &mut outsider, second, &file, turns);
        cluster.cut_power(second, "node2", empty_image());
        cluster.run_for(HALF);
        let rows = cluster.json(second, "snapshots --json");
        assert_eq!(rows.as_array().expect("rows").len(), 0);
        // The original is still stopped as it was, and has its snapshot; the file is good for another time.
        assert_eq!(cluster.state(0, "echo").0, "stopped");
        let mut outsider = Outsider::greeted(&mut cluster, second);
        let patience = u64::MAX;
        assert!(import_for(
            &mut cluster,
            &mut outsider,
            second,
            &file,
            patience
        ));
        done(&mut cluster, second, "restore travel");
        talk.hear(&mut cluster, "restored elsewhere");
        talk.exchange(&mut cluster, "restored elsewhere");
        assert_eq!(cluster.resets, 0, "after turn {turns}");
        if is_done {
            break;
        }
        turns += 1;
    }
    assert!(turns > 3, "{turns} turns");
}

#[test]
fn a_restore_that_the_power_cut_is_done_by_the_original_node_and_the_client_loses_nothing() {
    let mut turns = 0;
    loop {
        let (mut cluster, mut talk, file, second) = travelling();
        let mut outsider = Outsider::greeted(&mut cluster, second);
        assert!(import_for(
            &mut cluster,
            &mut outsider,
            second,
            &file,
            u64::MAX
        ));
        cluster.type_text(second, "restore travel\r");
        let end = cluster.nodes[second].turns + turns;
        let socket = talk.socket;
        cluster.run_until(PATIENCE, |cluster| cluster.nodes[second].turns >= end);
        cluster.cut_power(second, "node2", empty_image());
        cluster.run_for(HALF);
        let answer = cluster.read_now(socket).expect("a connection");
        if !answer.is_empty() {
            break;
        }
        // Its node ended before anybody heard of it: the original may go on.
        done(&mut cluster, 0, "restore travel");
        talk.hear(&mut cluster, "restored at home");
        talk.exchange(&mut cluster, "restored at home");
        turns += 1;
    }
    assert!(turns > 1, "{turns} turns");
}

#[test]
fn a_node_whose_power_is_cut_within_any_verb_starts_anew() {
    for line in [
        "snapshot echo to s",
        "snapshot echo to s --stop",
        "suspend echo",
        "clone echo --count 3",
    ] {
        for turns in 0..6 {
            let (mut cluster, client, talk) = talking();
            cluster.type_text(0, &format!("{line}\r"));
            let end = cluster.nodes[0].turns + turns;
            cluster.run_until(HALF, |cluster| cluster.nodes[0].turns >= end);
            cluster.cut_power(0, "node1", echo_image());
            cluster.run_for(HALF);
            let rows = cluster.json(0, "ls --json");
            assert_eq!(rows.as_array().expect("rows").len(), 1, "{line}");
            assert_eq!(cluster.state(0, "echo").0, "waiting", "{line}");
            cluster.close(talk.socket);
            Talk::open(&mut cluster, client).exchange(&mut cluster, line);
        }
    }
}
