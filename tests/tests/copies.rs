//! Clones that are asked for together, on simulated nodes: made in several turns, and all or none.

use sos_core::control::Request;
use sos_core::machine::Duration;
use sos_core::operator::{Bytes, Refusal, ToNode, ToOperator, encode};
use sos_tests::programs::ticks;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use std::collections::BTreeMap;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const MIB: u64 = 1 << 20;
const COUNT: u32 = 40;
/// Turns after which some of them are made, and not all.
const SOME_TURNS: u64 = 4;

/// What the node answered to each request.
type Answers = BTreeMap<u32, Result<String, String>>;

/// A node whose instance ticks, and an operator.
fn ticking() -> (Cluster, Outsider) {
    let image = ImageBuilder::new("ticking")
        .switch("lan", None)
        .instance("ticks", ticks(SECOND))
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .with(|spec| spec.limits.memory_bytes = MIB);
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(1500 * MILLISECOND);
    let outsider = Outsider::greeted(&mut cluster, 0);
    (cluster, outsider)
}

fn ask(cluster: &mut Cluster, outsider: &Outsider, request: u32, wanted: &Request) {
    let bytes = encode(wanted);
    let data = Bytes(&bytes);
    outsider.say(cluster, &ToNode::Control { request, data });
}

fn clones(count: u32) -> Request {
    Request::Clone {
        name: "ticks".into(),
        to: None,
        count,
        addresses: Vec::new(),
    }
}

/// Lets the node take so many turns.
fn take_turns(cluster: &mut Cluster, turns: u64) {
    let end = cluster.nodes[0].turns + turns;
    cluster.run_until(MILLISECOND, |cluster| cluster.nodes[0].turns >= end);
    assert_eq!(cluster.nodes[0].turns, end);
}

/// The answers to so many requests.
fn hear(cluster: &mut Cluster, outsider: &mut Outsider, count: usize) -> Answers {
    let mut parts: BTreeMap<u32, String> = BTreeMap::new();
    let mut answers = Answers::new();
    while answers.len() < count {
        outsider.expect(cluster, |message| match message {
            ToOperator::Report {
                request,
                last,
                data,
            } => {
                let text = parts.entry(*request).or_default();
                text.push_str(&String::from_utf8_lossy(data.0));
                if *last {
                    answers.insert(*request, Ok(text.clone()));
                }
            }
            ToOperator::Refused {
                request,
                refusal: Refusal::Control(text),
            } => {
                answers.insert(*request, Err(text.clone()));
            }
            other => panic!("{other:?}"),
        });
    }
    answers
}

/// How many instances of a list are in each state.
fn states(list: &Result<String, String>) -> BTreeMap<String, usize> {
    let rows = list.as_ref().expect("a list");
    let rows: serde_json::Value = serde_json::from_str(rows).expect("JSON");
    let mut states = BTreeMap::new();
    for row in rows.as_array().expect("rows") {
        let state = row["state"].as_str().expect("a state");
        *states.entry(state.to_string()).or_default() += 1;
    }
    states
}

fn instances(cluster: &mut Cluster) -> usize {
    let rows = cluster.json(0, "ls --json");
    rows.as_array().expect("rows").len()
}

fn plugged_in(cluster: &mut Cluster) -> usize {
    let switches = cluster.json(0, "switch --json");
    switches[0]["ports"].as_array().expect("ports").len()
}

#[test]
fn clones_asked_for_together_are_made_in_turns_and_begin_when_all_are_there() {
    let (mut cluster, mut outsider) = ticking();
    ask(&mut cluster, &outsider, 1, &clones(COUNT));
    take_turns(&mut cluster, SOME_TURNS);
    ask(&mut cluster, &outsider, 2, &Request::Instances);
    let answers = hear(&mut cluster, &mut outsider, 2);
    let states = states(&answers[&2]);
    let loading = states.get("loading").copied().unwrap_or_default();
    assert!(
        (1..COUNT as usize).contains(&loading),
        "some are made: {states:?}"
    );
    assert_eq!(
        states.values().sum::<usize>(),
        loading + 1,
        "none of them runs: {states:?}"
    );
    let made = answers[&1].as_ref().expect("clones");
    assert_eq!(made.matches("\"name\":\"ticks-").count(), COUNT as usize);
    assert_eq!(plugged_in(&mut cluster), COUNT as usize + 1);
    cluster.run_for(2 * SECOND);
    for number in [2, COUNT / 2, COUNT + 1] {
        assert_eq!(cluster.ticks(0, &format!("ticks-{number}")), 3);
    }
}

#[test]
fn a_line_of_the_shell_is_answered_when_all_clones_are_there() {
    let (mut cluster, mut outsider) = ticking();
    for (request, line) in [
        (1, "clone ticks as first --count 20"),
        (2, "clone ticks as second --count 20 --json"),
        (
            3,
            "clone ticks as third --count 2 --address eth7=10.0.0.9/24",
        ),
    ] {
        outsider.say(&mut cluster, &ToNode::Line { request, line });
    }
    let answers = hear(&mut cluster, &mut outsider, 3);
    let text = answers[&1].as_ref().expect("clones");
    assert!(text.contains("first-21"), "{text}");
    let text = answers[&2].as_ref().expect("clones");
    assert!(text.starts_with("[{\"name\":\"second-2\""), "{text}");
    let why = answers[&3].as_ref().expect_err("no such port");
    assert!(why.contains("eth7"), "{why}");
    assert_eq!(instances(&mut cluster), 41);
}

#[test]
fn clones_that_cannot_all_be_made_leave_nothing() {
    let memory_ends = |cluster: &mut Cluster, _: &Outsider| {
        let memory = &cluster.nodes[0].machine.memory;
        let held = memory.total_bytes() - memory.free_bytes();
        memory.set_total_bytes(held + MIB);
    };
    let one_is_killed = |cluster: &mut Cluster, outsider: &Outsider| {
        let name = "ticks-3".into();
        ask(cluster, outsider, 2, &Request::Kill { name });
    };
    type Blow<'a> = &'a dyn Fn(&mut Cluster, &Outsider);
    let blows: [(Blow<'_>, usize, &str); 2] = [
        (&memory_ends, 1, "the node has"),
        (&one_is_killed, 2, "'ticks-3' was killed"),
    ];
    for (blow, count, why) in blows {
        let (mut cluster, mut outsider) = ticking();
        ask(&mut cluster, &outsider, 1, &clones(COUNT));
        take_turns(&mut cluster, SOME_TURNS);
        blow(&mut cluster, &outsider);
        let answers = hear(&mut cluster, &mut outsider, count);
        let error = answers[&1].as_ref().expect_err("not all");
        assert!(error.contains(why), "{error}");
        cluster.nodes[0].machine.memory.set_total_bytes(4096 * MIB);
        assert_eq!(instances(&mut cluster), 1, "{why}");
        assert_eq!(plugged_in(&mut cluster), 1, "{why}");
        // What was is as it was, and the same can be asked again.
        ask(&mut cluster, &outsider, 3, &clones(2));
        let answers = hear(&mut cluster, &mut outsider, 1);
        assert!(answers[&3].is_ok(), "{answers:?}");
        cluster.run_for(2 * SECOND);
        assert_eq!(cluster.ticks(0, "ticks"), cluster.ticks(0, "ticks-2"));
    }
}

#[test]
fn no_more_orders_are_taken_than_are_carried_out() {
    let (mut cluster, mut outsider) = ticking();
    let most = sos_core::limits::ORDERS as u32;
    for request in 1..=most + 2 {
        ask(&mut cluster, &outsider, request, &clones(2));
    }
    let answers = hear(&mut cluster, &mut outsider, most as usize + 2);
    let refused: Vec<_> = answers
        .values()
        .filter_map(|it| it.as_ref().err())
        .collect();
    assert_eq!(refused.len(), 2, "{answers:?}");
    assert!(refused[0].contains("orders are under way"), "{answers:?}");
    assert_eq!(instances(&mut cluster), 1 + 2 * most as usize);
}
