//! What one node knows of the others' networks, without any of them.

use super::*;

const HERE: NodeId = NodeId([5; 16]);
const LATER: NodeId = NodeId([9; 16]);
const EARLIER: NodeId = NodeId([1; 16]);
const ONE: NetworkId = NetworkId([7; 16]);
const OTHER: NetworkId = NetworkId([8; 16]);

fn at(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

fn ends(networks: &[NetworkId]) -> Networks {
    Networks(networks.iter().map(|&id| (id, Presence::Ends)).collect())
}

/// A node that has an end of one network, beside two that it is linked with.
fn carrier() -> Carrier {
    let mut carrier = Carrier::default();
    assert!(carrier.set_own(ends(&[ONE]).0));
    carrier.linked(LATER, 1);
    carrier.linked(EARLIER, 2);
    carrier.review(HERE, at(0));
    carrier
}

#[test]
fn nodes_are_connected_with_when_they_have_the_same_network_and_one_of_two_begins() {
    let mut carrier = carrier();
    assert_eq!((carrier.take_dial(at(0)), carrier.due(HERE)), (None, None));
    carrier.heard(LATER, 1, ends(&[OTHER]), at(0));
    carrier.heard(EARLIER, 2, ends(&[OTHER]), at(0));
    carrier.review(HERE, at(0));
    assert_eq!(carrier.take_dial(at(0)), None);
    assert!(carrier.take_news() && !carrier.take_news());
    carrier.heard(LATER, 1, ends(&[ONE, OTHER]), at(0));
    carrier.heard(EARLIER, 2, ends(&[ONE]), at(0));
    carrier.review(HERE, at(0));
    assert_eq!(carrier.take_dial(at(0)), Some(LATER));
    assert_eq!(carrier.take_dial(at(0)), None);
    // The other one is given time to come by itself.
    assert_eq!(carrier.due(HERE), Some(at(500)));
    carrier.review(HERE, at(400));
    assert_eq!(carrier.take_dial(at(500)), Some(EARLIER));
    carrier.opened(EARLIER, 3, Opener::There, at(500));
    carrier.review(HERE, at(500));
    assert_eq!(carrier.take_dial(at(10_000)), None);
    assert_eq!(carrier.ends_of(ONE).collect::<Vec<_>>(), [EARLIER, LATER]);
    assert_eq!(carrier.ends_of(OTHER).collect::<Vec<_>>(), [LATER]);
}

#[test]
fn one_that_is_awaited_is_connected_with_and_gets_no_frames_yet() {
    let mut carrier = carrier();
    carrier.heard(LATER, 1, Networks([(ONE, Presence::Awaited)].into()), at(0));
    carrier.review(HERE, at(0));
    assert_eq!(carrier.take_dial(at(0)), Some(LATER));
    assert_eq!(carrier.ends_of(ONE).count(), 0);
}

#[test]
fn tries_that_fail_are_repeated_with_growing_pauses_until_nothing_is_to_be_carried() {
    let mut carrier = carrier();
    carrier.heard(LATER, 1, ends(&[ONE]), at(0));
    carrier.review(HERE, at(0));
    let mut pauses = Vec::new();
    let mut now = at(0);
    for _ in 0..8 {
        assert_eq!(carrier.take_dial(now), Some(LATER));
        carrier.review(HERE, now);
        assert_eq!(carrier.take_dial(now), None);
        carrier.failed(LATER, now);
        let due = carrier.due(HERE).unwrap();
        pauses.push(due.since(now));
        now = due;
    }
    assert_eq!(pauses[..2], [FIRST_PAUSE, FIRST_PAUSE * 2]);
    assert_eq!(pauses[7], LONGEST_PAUSE);
    carrier.heard(LATER, 1, ends(&[]), at(0));
    carrier.review(HERE, now);
    assert_eq!((carrier.take_dial(now), carrier.due(HERE)), (None, None));
}

#[test]
fn a_channel_that_carries_nothing_is_closed_after_a_while_and_a_lost_one_is_opened_again() {
    let mut carrier = carrier();
    carrier.heard(LATER, 1, ends(&[ONE]), at(0));
    carrier.review(HERE, at(0));
    carrier.take_dial(at(0));
    carrier.opened(LATER, 1, Opener::Here, at(0));
    carrier.closed(LATER, 1, at(0));
    assert_eq!(carrier.take_dial(at(250)), Some(LATER));
    carrier.opened(LATER, 2, Opener::Here, at(250));
    assert!(carrier.idle(HERE, at(60_000)).is_empty());
    carrier.set_own(Vec::new());
    carrier.review(HERE, at(60_000));
    assert_eq!(carrier.due(HERE), Some(at(70_000)));
    assert!(carrier.idle(HERE, at(69_999)).is_empty());
    assert_eq!(carrier.idle(HERE, at(70_000)), [2]);
}

#[test]
fn a_node_without_a_link_has_nothing_and_is_forgotten() {
    let mut carrier = carrier();
    carrier.linked(LATER, 3);
    carrier.heard(LATER, 1, ends(&[ONE]), at(0));
    carrier.unlinked(LATER, 3);
    assert_eq!(carrier.ends_of(ONE).count(), 1);
    carrier.unlinked(LATER, 1);
    assert_eq!(carrier.ends_of(ONE).count(), 0);
    // Nobody is heard who is not linked.
    carrier.heard(LATER, 1, ends(&[ONE]), at(0));
    assert_eq!(carrier.ends_of(ONE).count(), 0);
    carrier.review(HERE, at(0));
    assert!(carrier.channels(HERE).all(|(id, _)| id != LATER));
}

#[test]
fn what_came_by_the_latest_link_counts_whatever_comes_late_by_another() {
    let mut carrier = carrier();
    carrier.linked(LATER, 7);
    carrier.heard(LATER, 1, ends(&[ONE]), at(0));
    assert_eq!(carrier.ends_of(ONE).count(), 1);
    carrier.heard(LATER, 7, ends(&[]), at(1));
    carrier.heard(LATER, 1, ends(&[ONE]), at(2));
    assert_eq!(carrier.ends_of(ONE).count(), 0);
    carrier.heard(LATER, 1, ends(&[ONE, OTHER]), at(3));
    carrier.unlinked(LATER, 7);
    assert_eq!(carrier.ends_of(OTHER).count(), 1);
}

#[test]
fn who_has_said_nothing_of_a_network_is_not_heard_on_it_but_for_a_while_after() {
    let mut carrier = carrier();
    assert!(!carrier.may_send(LATER, ONE, at(0)));
    carrier.heard(LATER, 1, Networks([(ONE, Presence::Awaited)].into()), at(0));
    assert!(carrier.may_send(LATER, ONE, at(0)) && !carrier.may_send(EARLIER, ONE, at(0)));
    // What it sent before goes by another connection.
    carrier.heard(LATER, 1, ends(&[]), at(1000));
    assert!(carrier.may_send(LATER, ONE, at(5999)));
    assert!(!carrier.may_send(LATER, ONE, at(6000)));
}

#[test]
fn of_two_channels_that_cross_each_other_both_nodes_use_the_same_and_one_closes_the_other() {
    let crossing = |own: NodeId, peer: NodeId, first: Opener| {
        let mut carrier = Carrier::default();
        carrier.set_own(ends(&[ONE]).0);
        carrier.linked(peer, 1);
        carrier.heard(peer, 1, ends(&[ONE]), at(0));
        let other = match first {
            Opener::Here => Opener::There,
            Opener::There => Opener::Here,
        };
        // Channel 1 is the one that this node opened.
        let number = |opener| u64::from(opener == Opener::There) + 1;
        carrier.opened(peer, number(first), first, at(0));
        carrier.opened(peer, number(other), other, at(10));
        carrier.review(own, at(10));
        let used: Vec<_> = carrier.channels(own).collect();
        let due = carrier.due(own);
        (
            used,
            carrier.idle(own, at(10_009)),
            carrier.idle(own, at(10_010)),
            due,
        )
    };
    for first in [Opener::Here, Opener::There] {
        let (used, early, late, due) = crossing(HERE, LATER, first);
        assert_eq!((used, due), (Vec::from([(LATER, Some(1))]), None));
        assert!(early.is_empty() && late.is_empty());
        let (used, early, late, due) = crossing(HERE, EARLIER, first);
        assert_eq!(
            (used, due),
            (Vec::from([(EARLIER, Some(2))]), Some(at(10_010)))
        );
        assert_eq!((early, late), (Vec::new(), Vec::from([1])));
    }
}

#[test]
fn frames_that_nobody_wants_are_told_once_in_a_while() {
    let mut carrier = carrier();
    let told = |carrier: &mut Carrier, now| {
        let count = (0..1000).filter_map(|_| carrier.stray(LATER, now));
        count.collect::<Vec<_>>()
    };
    assert_eq!(told(&mut carrier, at(20_000)), [STRAYS_TOLD]);
    assert!(told(&mut carrier, at(25_000)).is_empty());
    assert_eq!(told(&mut carrier, at(31_000)), [STRAYS_TOLD]);
}

#[test]
fn messages_come_back_and_spoiled_ones_do_not() {
    let networks = Networks([(ONE, Presence::Ends), (OTHER, Presence::Awaited)].into());
    let bytes = networks.encode();
    assert!(Networks::is_one(&bytes));
    assert_eq!(Networks::decode(&bytes), Some(networks));
    for length in 0..bytes.len() {
        let cut = Networks::decode(&bytes[..length]);
        assert_eq!(
            cut.is_some(),
            length == 2 || length == 2 + ENTRY,
            "{length}"
        );
    }
    let mut wrong = bytes.clone();
    wrong[2] = 2;
    assert_eq!(Networks::decode(&wrong), None);
    let many = Networks(alloc::vec![(ONE, Presence::Ends); limits::SEGMENTS + 1]);
    assert_eq!(Networks::decode(&many.encode()), None);

    let frame = [3; 60];
    let carried = Carried {
        network: ONE,
        frame: &frame,
    };
    let bytes = carried.encode();
    assert_eq!(Carried::decode(&bytes), Some(carried));
    assert_eq!(Carried::decode(&bytes[1..]), None);
    assert_eq!(Carried::decode(&bytes[..16]), None);
    let long = alloc::vec![0; Carried::HEAD_BYTES + limits::TUNNEL_FRAME_BYTES + 1];
    assert_eq!(Carried::decode(&long), None);
    assert!(Carried::decode(&long[1..]).is_some());
}

const ENTRY: usize = 17;
