//! A node that says what it must not: it is refused, and what it was not given it does not get. (`wild`: a
//! node that says anything at all.)

use super::Random;
use sos_core::image::BlobHash;
use sos_core::limits;
use sos_core::machine::Time;
use sos_core::migrate::{
    BootId, ConnectionId, Done, Effect, Goals, HandoverId, InstanceId, Message, Migrations, Mode,
    NodeId, Offer, Order, Reason, Role, VERSIONS, Versions, Violation,
};

pub const HOSTILE: NodeId = NodeId([9; 16]);

pub fn hello(boot: u8) -> Vec<u8> {
    Message::hello(BootId([boot; 16])).encode().expect("bytes")
}

pub fn offer(name: &str) -> Offer {
    Offer {
        name: name.into(),
        kernel: "k".into(),
        memory_bytes: 1,
        resident_bytes: 1,
        state_bytes: 1,
    }
}

#[test]
fn any_bytes_are_a_message_or_refused() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let length = random.below(60);
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        if let Ok(message) = Message::decode(&bytes) {
            let again = message.encode().expect("what was decoded");
            assert_eq!(Message::decode(&again), Ok(message));
        }
    }
    let long = vec![0; limits::MIGRATION_MESSAGE_BYTES + 1];
    let bytes = long.len();
    assert_eq!(Message::decode(&long), Err(Violation::TooLong { bytes }));
}

#[test]
fn texts_and_lists_are_held_to_their_bounds() {
    let handover = HandoverId {
        instance: InstanceId([1; 16]),
        epoch: 1,
    };
    let hashes = vec![Default::default(); limits::MIGRATION_MISSING_BLOBS + 1];
    let reason = Reason::Local("x".repeat(limits::MIGRATION_TEXT_BYTES + 1));
    let obeyed = Reason::Local("\u{1b}[2J".into());
    let mut obeyed_offer = offer("web");
    obeyed_offer.kernel = "a\nb".into();
    let last = HandoverId {
        epoch: u64::MAX,
        ..handover
    };
    let wrong = [
        Message::Missing { handover, hashes },
        Message::Refused { handover, reason },
        Message::Abandon {
            handover,
            reason: obeyed,
        },
        Message::Offer {
            handover,
            offer: obeyed_offer,
        },
        Message::Offer {
            handover,
            offer: offer("no name/at all"),
        },
        Message::Offer {
            handover: last,
            offer: offer("web"),
        },
        Message::Frame {
            handover,
            port: limits::PORTS_PER_INSTANCE as u32,
            bytes: &[1],
        },
    ];
    for message in wrong {
        let bytes = message.encode().expect("bytes");
        assert_eq!(Message::decode(&bytes), Err(Violation::OutOfBounds));
    }
    assert_eq!(Reason::local("a\nb\u{9b}c"), Reason::Local("a b c".into()));
    let text = Reason::local(&"ä".repeat(limits::MIGRATION_TEXT_BYTES));
    let bytes = Message::Abandon {
        handover,
        reason: text,
    };
    assert!(Message::decode(&bytes.encode().expect("bytes")).is_ok());
}

/// What a node does when another one says this first.
fn first_words(messages: &[Vec<u8>]) -> Vec<Effect> {
    let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
    let connection = ConnectionId(1);
    node.connected(connection, HOSTILE);
    for message in messages {
        node.receive(Time::ZERO, connection, message);
    }
    let mut effects: Vec<Effect> = core::iter::from_fn(|| node.take_effect()).collect();
    // Its own greeting.
    effects.remove(0);
    effects
}

#[test]
fn a_conversation_begins_with_one_greeting_of_a_common_version() {
    let close = |violation| {
        let connection = ConnectionId(1);
        vec![Effect::Close {
            connection,
            violation,
        }]
    };
    assert_eq!(first_words(&[hello(2)]), []);
    assert_eq!(
        first_words(&[hello(2), hello(2)]),
        close(Violation::NoHello)
    );
    let handover = HandoverId::default();
    let status = Message::Status { handover }.encode().expect("bytes");
    assert_eq!(
        first_words(std::slice::from_ref(&status)),
        close(Violation::NoHello)
    );
    assert_eq!(first_words(&[vec![0xff; 9]]), close(Violation::NoMessage));
    let later = Message::Hello {
        magic: *b"SOSm",
        versions: Versions { least: 7, most: 9 },
        boot: BootId([2; 16]),
    };
    let later = later.encode().expect("bytes");
    // What follows a breach is not read.
    assert_eq!(
        first_words(&[later, status]),
        close(Violation::Version { theirs: 9 })
    );
}

#[test]
fn two_nodes_use_the_latest_version_that_both_speak() {
    let versions = |least, most| Versions { least, most };
    assert_eq!(versions(1, 3).common(versions(2, 5)), Some(3));
    assert_eq!(versions(1, 3).common(versions(4, 5)), None);
    assert_eq!(VERSIONS.common(VERSIONS), Some(VERSIONS.most));
    // A range that is upside down shares nothing.
    assert_eq!(versions(1, 3).common(versions(3, 1)), None);
}

#[test]
fn connections_are_bounded() {
    let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
    for number in 0..=limits::MIGRATION_CONNECTIONS as u64 {
        node.connected(ConnectionId(number), HOSTILE);
    }
    let mut effects = core::iter::from_fn(|| node.take_effect());
    let closed = effects.find(|effect| matches!(effect, Effect::Close { .. }));
    assert_eq!(
        closed,
        Some(Effect::Close {
            connection: ConnectionId(limits::MIGRATION_CONNECTIONS as u64),
            violation: Violation::TooManyConnections
        })
    );
}

/// A source that has offered an instance to a node that speaks out of turn: whether it ever says COMMIT,
/// and whether the instance runs on here.
fn source_that_hears(says: &[Message<'static>]) -> (bool, bool) {
    let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
    let connection = ConnectionId(1);
    node.connected(connection, HOSTILE);
    node.receive(Time::ZERO, connection, &hello(9));
    let order = Order {
        instance: InstanceId([1; 16]),
        epoch: 1,
        peer: HOSTILE,
        mode: Mode::Cold,
        goals: Goals::default(),
        offer: offer("web"),
    };
    let handover = node.begin(Time::ZERO, order).expect("a migration");
    for message in says {
        node.receive(Time::ZERO, connection, &message.encode().expect("bytes"));
        node.report(Time::ZERO, Role::Source, handover, &Done::BlobsQueued);
    }
    let effects: Vec<Effect> = core::iter::from_fn(|| node.take_effect()).collect();
    let commits = effects.iter().any(|effect| {
        let Effect::Send { message, .. } = effect else {
            return false;
        };
        matches!(message, Message::Commit { .. })
    });
    let resumes = |effect: &Effect| matches!(effect, Effect::Resume { .. });
    (commits, effects.iter().any(resumes))
}

#[test]
fn a_target_that_is_ahead_of_its_source_is_given_up() {
    let handover = HandoverId {
        instance: InstanceId([1; 16]),
        epoch: 2,
    };
    let accept = || Message::Accept { handover };
    let ready = || Message::Ready { handover };
    for said in [
        Message::Prepared { handover },
        Message::Running { handover },
    ] {
        // Before the offer is answered, while blobs are sent, and while the instance is frozen.
        assert_eq!(
            source_that_hears(std::slice::from_ref(&said)),
            (false, true)
        );
        assert_eq!(source_that_hears(&[accept(), said.clone()]), (false, true));
        assert_eq!(source_that_hears(&[accept(), ready(), said]), (false, true));
    }
}

#[test]
fn a_source_that_commits_what_is_not_prepared_is_refused() {
    let handover = HandoverId {
        instance: InstanceId([1; 16]),
        epoch: 2,
    };
    let steps = [
        Message::Offer {
            handover,
            offer: offer("web"),
        },
        Message::Object {
            handover,
            kind: 1,
            version: 1,
            last: true,
            bytes: &[1],
        },
        Message::StateEnd { handover },
    ];
    for before in 0..=steps.len() {
        let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
        let connection = ConnectionId(1);
        let now = Time::ZERO;
        node.connected(connection, HOSTILE);
        node.receive(now, connection, &hello(9));
        let commit = Message::Commit { handover };
        for message in steps[..before].iter().chain([&commit]) {
            node.receive(now, connection, &message.encode().expect("bytes"));
            let missing = Vec::new();
            node.report(now, Role::Target, handover, &Done::Admitted { missing });
        }
        node.report(now, Role::Target, handover, &Done::Prepared);
        let effects: Vec<Effect> = core::iter::from_fn(|| node.take_effect()).collect();
        let runs = |effect: &Effect| matches!(effect, Effect::Run { .. });
        assert!(!effects.iter().any(runs), "it runs after {before} messages");
        assert_eq!(node.rows().count(), 0);
    }
}

const HANDOVER: HandoverId = HandoverId {
    instance: InstanceId([1; 16]),
    epoch: 2,
};

fn order(mode: Mode) -> Order {
    Order {
        instance: HANDOVER.instance,
        epoch: 1,
        peer: HOSTILE,
        mode,
        goals: Goals::default(),
        offer: offer("web"),
    }
}

/// A source that has offered its instance to the hostile node.
fn source_that_offers() -> Migrations {
    let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
    let connection = ConnectionId(1);
    node.connected(connection, HOSTILE);
    node.receive(Time::ZERO, connection, &hello(9));
    assert_eq!(node.begin(Time::ZERO, order(Mode::Live)), Ok(HANDOVER));
    node
}

/// A source whose instance is being copied live to a node that has answered as it should so far, up to
/// the end of the first round.
fn source_in_its_first_round() -> Migrations {
    let mut node = source_that_offers();
    let handover = HANDOVER;
    say(&mut node, &Message::Accept { handover });
    let bytes = 64 << 20;
    let measured = Done::Measured {
        dirty_bytes: bytes,
        state_bytes: 1,
    };
    node.report(Time::ZERO, Role::Source, handover, &Done::BlobsQueued);
    say(&mut node, &Message::Ready { handover });
    for done in [measured, Done::RoundQueued { bytes }] {
        node.report(Time::ZERO, Role::Source, handover, &done);
    }
    while node.take_effect().is_some() {}
    node
}

/// The hostile node says this on its first connection.
fn say(node: &mut Migrations, message: &Message<'_>) {
    let bytes = message.encode().expect("a bounded message");
    node.receive(Time::ZERO, ConnectionId(1), &bytes);
}

#[test]
fn only_the_round_that_was_sent_is_taken_for_stored() {
    let handover = HANDOVER;
    let mut node = source_in_its_first_round();
    for round in [u32::MAX, 1, 7] {
        say(&mut node, &Message::RoundDone { handover, round });
        assert_eq!(node.take_effect(), None, "round {round}");
    }
    say(&mut node, &Message::RoundDone { handover, round: 0 });
    assert_eq!(node.take_effect(), Some(Effect::Measure { handover }));
}

#[test]
fn blobs_that_were_not_asked_for_are_refused() {
    let handover = HANDOVER;
    let connection = ConnectionId(1);
    let (asked, other) = (BlobHash([1; 32]), BlobHash([2; 32]));
    let blob = |hash, last| {
        let bytes: &[u8] = &[1];
        let message = Message::Blob {
            handover,
            hash,
            last,
            bytes,
        };
        message.encode().expect("a bounded message")
    };
    let cases: [(&[(BlobHash, bool)], bool); 3] = [
        (&[(asked, false), (asked, true)], true),
        (&[(asked, true), (asked, true)], false),
        (&[(other, false)], false),
    ];
    for (says, taken) in cases {
        let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
        node.connected(connection, HOSTILE);
        node.receive(Time::ZERO, connection, &hello(9));
        let offer = offer("web");
        say(&mut node, &Message::Offer { handover, offer });
        let description = Message::Object {
            handover,
            kind: 1,
            version: 1,
            last: true,
            bytes: &[1],
        };
        say(&mut node, &description);
        let missing = vec![asked];
        node.report(
            Time::ZERO,
            Role::Target,
            handover,
            &Done::Admitted { missing },
        );
        let mut deliveries = 0;
        for &(hash, last) in says {
            let bytes = blob(hash, last);
            deliveries += usize::from(node.receive(Time::ZERO, connection, &bytes).is_some());
        }
        assert_eq!(deliveries == says.len(), taken, "{says:?}");
        assert_eq!(node.rows().count() == 1, taken, "{says:?}");
    }
}

#[test]
fn missing_blobs_are_named_before_the_offer_is_accepted_and_are_bounded() {
    let handover = HANDOVER;
    let connection = ConnectionId(1);
    let named = |node: &mut Migrations| {
        let hashes = vec![BlobHash::default(); limits::MIGRATION_MISSING_BLOBS];
        let message = Message::Missing { handover, hashes };
        let bytes = message.encode().expect("a bounded message");
        node.receive(Time::ZERO, connection, &bytes).is_some()
    };
    let mut node = source_that_offers();
    let most = limits::IMAGE_BLOBS / limits::MIGRATION_MISSING_BLOBS;
    assert_eq!((0..2 * most).filter(|_| named(&mut node)).count(), most);
    assert_eq!(node.rows().count(), 0, "it went on for ever");

    let mut node = source_in_its_first_round();
    assert!(!named(&mut node));
    assert_eq!(node.rows().count(), 0, "too late");
}

/// A source that has committed its instance to node 1, which is not linked any more.
fn committed_to_another_node() -> Migrations {
    let (other, connection) = (NodeId([5; 16]), ConnectionId(2));
    let handover = HANDOVER;
    let now = Time::ZERO;
    let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
    node.connected(connection, other);
    node.receive(now, connection, &hello(5));
    let order = Order {
        peer: other,
        ..order(Mode::Cold)
    };
    assert_eq!(node.begin(now, order), Ok(handover));
    let from_other = |node: &mut Migrations, message: Message<'_>| {
        let bytes = message.encode().expect("a bounded message");
        node.receive(now, connection, &bytes);
    };
    from_other(&mut node, Message::Accept { handover });
    node.report(now, Role::Source, handover, &Done::BlobsQueued);
    from_other(&mut node, Message::Ready { handover });
    let queued = Done::StateQueued { bytes: 1 };
    node.report(now, Role::Source, handover, &queued);
    from_other(&mut node, Message::Prepared { handover });
    node.disconnected(now, connection);
    while node.take_effect().is_some() {}
    node
}

#[test]
fn an_offer_alone_costs_nobody_a_copy_that_stands() {
    let mut node = committed_to_another_node();
    let connection = ConnectionId(1);
    node.connected(connection, HOSTILE);
    node.receive(Time::ZERO, connection, &hello(9));
    let handover = HandoverId {
        epoch: u64::MAX - 2,
        ..HANDOVER
    };
    let offer = offer("web");
    say(&mut node, &Message::Offer { handover, offer });
    let description = Message::Object {
        handover,
        kind: 1,
        version: 1,
        last: true,
        bytes: &[1],
    };
    say(&mut node, &description);
    say(&mut node, &Message::StateEnd { handover });
    let gone = |effect: &Effect| match effect {
        Effect::Release { .. } => true,
        Effect::Over { handover, .. } => *handover == HANDOVER,
        _ => false,
    };
    assert!(!core::iter::from_fn(|| node.take_effect()).any(|effect| gone(&effect)));

    // The node that it is committed to refuses: it is here to run on.
    let (other, back) = (NodeId([5; 16]), ConnectionId(3));
    node.connected(back, other);
    node.receive(Time::ZERO, back, &hello(5));
    let refused = Message::Refused {
        handover: HANDOVER,
        reason: Reason::Cancelled,
    };
    node.receive(Time::ZERO, back, &refused.encode().expect("bytes"));
    let resumes = |effect: Effect| matches!(effect, Effect::Resume { .. });
    assert!(core::iter::from_fn(|| node.take_effect()).any(resumes));
}

#[test]
fn claims_of_epochs_hinder_neither_offers_nor_migrations() {
    let connection = ConnectionId(1);
    let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
    node.connected(connection, HOSTILE);
    node.receive(Time::ZERO, connection, &hello(9));
    let claimed = HandoverId {
        epoch: u64::MAX - 1,
        ..HANDOVER
    };
    let handover = claimed;
    let offer_of = |handover| Message::Offer {
        handover,
        offer: offer("web"),
    };
    say(&mut node, &offer_of(claimed));
    // It is as if this were prepared, and then dropped.
    let description = Message::Object {
        handover,
        kind: 1,
        version: 1,
        last: true,
        bytes: &[1],
    };
    say(&mut node, &description);
    let missing = Vec::new();
    let admitted = Done::Admitted { missing };
    node.report(Time::ZERO, Role::Target, claimed, &admitted);
    say(&mut node, &Message::StateEnd { handover });
    node.report(Time::ZERO, Role::Target, claimed, &Done::Prepared);
    let reason = Reason::Cancelled;
    say(&mut node, &Message::Abandon { handover, reason });
    assert_eq!(node.rows().count(), 0);

    say(&mut node, &offer_of(HANDOVER));
    assert_eq!(node.rows().count(), 1, "a real offer is refused");
    let reason = Reason::Cancelled;
    let handover = HANDOVER;
    say(&mut node, &Message::Abandon { handover, reason });
    let begun = node.begin(Time::ZERO, order(Mode::Live));
    assert_eq!(begun, Ok(HANDOVER));
}
