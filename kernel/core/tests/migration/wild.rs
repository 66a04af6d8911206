//! A node that says anything at any time, to one whose driver and operators do anything: nothing panics,
//! nothing grows without bound, nobody runs what he was not given, and nothing that stands is both run
//! and given up.

use super::hostile::{HOSTILE, hello, offer};
use super::{ANSWERS, MODES, Random};
use sos_core::image::BlobHash;
use sos_core::limits;
use sos_core::machine::{Duration, Time};
use sos_core::migrate::{
    BootId, ConnectionId, Done, Effect, Goals, HandoverId, InstanceId, Message, Migrations, NodeId,
    Order, Reason, Role, Row, Stage,
};
use std::collections::BTreeSet;

/// What a node was told and what it did, by attempt.
#[derive(Default)]
struct Told {
    /// Source: it has said COMMIT; the target has refused.
    committed: BTreeSet<HandoverId>,
    refused: BTreeSet<HandoverId>,
    resumed: BTreeSet<HandoverId>,
    released: BTreeSet<HandoverId>,
    /// Target: it has said that it is prepared; COMMIT came; it was to run.
    prepared: BTreeSet<HandoverId>,
    ordered: BTreeSet<HandoverId>,
    run: BTreeSet<HandoverId>,
    /// Instances on which an operator's word was taken.
    worded: BTreeSet<InstanceId>,
    fenced: usize,
    frozen: usize,
}

impl Told {
    fn hears(&mut self, bytes: &[u8]) {
        match Message::decode(bytes) {
            Ok(Message::Commit { handover }) => self.ordered.insert(handover),
            Ok(Message::Refused { handover, .. }) => self.refused.insert(handover),
            Ok(_) | Err(_) => false,
        };
    }

    /// That an effect is allowed by what was said.
    fn check(&mut self, effect: &Effect) {
        match effect {
            Effect::Send { message, .. } => match message {
                Message::Commit { handover } => {
                    assert!(!self.resumed.contains(handover), "COMMIT of what runs here");
                    self.committed.insert(*handover);
                }
                Message::Prepared { handover } => {
                    self.prepared.insert(*handover);
                }
                _ => {}
            },
            Effect::Resume { handover, .. } => {
                let is_worded = self.worded.contains(&handover.instance);
                let is_void = self.refused.contains(handover) || is_worded;
                let is_committed = self.committed.contains(handover);
                assert!(!is_committed || is_void, "a committed copy runs on");
                assert!(!self.released.contains(handover), "what is gone runs on");
                assert!(self.resumed.insert(*handover), "it runs on twice");
            }
            Effect::Release { handover } => {
                assert!(!self.resumed.contains(handover), "what runs is given up");
                assert!(self.released.insert(*handover), "it is given up twice");
            }
            Effect::Run { handover, .. } => {
                let is_worded = self.worded.contains(&handover.instance);
                assert!(self.prepared.contains(handover), "it was not prepared");
                assert!(self.ordered.contains(handover) || is_worded, "no word came");
                assert!(self.run.insert(*handover), "it runs twice");
            }
            Effect::Fence { .. } => self.fenced += 1,
            Effect::Freeze { .. } => self.frozen += 1,
            _ => {}
        }
    }
}

fn any_handover(random: &mut Random) -> HandoverId {
    HandoverId {
        instance: InstanceId([random.below(3) as u8; 16]),
        epoch: random.below(5) as u64,
    }
}

fn any_reason(random: &mut Random) -> Reason {
    match random.below(3) {
        0 => Reason::Cancelled,
        1 => Reason::LinkLost,
        _ => Reason::Dropped,
    }
}

fn any_message(random: &mut Random, handover: HandoverId) -> Message<'static> {
    let asked = random.of(&[Role::Source, Role::Target]);
    let bytes: &[u8] = &[1, 2, 3];
    let round = random.of(&[0, 0, 1, 2, u32::MAX]);
    let last = random.below(2) == 0;
    let reason = any_reason(random);
    let hash = BlobHash([random.below(2) as u8; 32]);
    match random.below(23) {
        0 | 1 => Message::Offer {
            handover,
            offer: offer("web"),
        },
        2 => Message::Accept { handover },
        3 => Message::Ready { handover },
        4 => Message::RoundDone { handover, round },
        5 => Message::Prepared { handover },
        6 => Message::Refused { handover, reason },
        7 => Message::Running { handover },
        8 => Message::Status { handover },
        9 => Message::Unknown { handover, asked },
        10 => Message::Commit { handover },
        11 => Message::Abandon { handover, reason },
        12 => Message::Released { handover },
        13 => Message::StateEnd { handover },
        14 => Message::RoundEnd { handover, round },
        15 => Message::Frame {
            handover,
            port: 0,
            bytes,
        },
        16 => Message::Pages {
            handover,
            checksum: 0,
            payload: bytes,
        },
        17 => Message::BlobsEnd { handover },
        18 => Message::Missing {
            handover,
            hashes: vec![hash; random.below(3)],
        },
        19 => Message::Blob {
            handover,
            hash,
            last,
            bytes,
        },
        20 => Message::Memory {
            handover,
            memory: random.below(2) as u32,
            bytes: 65_536,
        },
        _ => Message::Object {
            handover,
            kind: random.of(&[1, 1, 2, 77]),
            version: 1,
            last,
            bytes,
        },
    }
}

/// What leads an attempt on, so that later states are met too.
fn next_message(random: &mut Random, row: &Row) -> Option<Message<'static>> {
    let handover = row.handover;
    let round = row.progress.rounds.saturating_sub(1);
    let all: &[Message<'static>] = match (row.role, row.stage) {
        (Role::Source, Stage::Offering) => &[Message::Accept { handover }],
        (Role::Source, Stage::Copying) => &[
            Message::Ready { handover },
            Message::RoundDone { handover, round },
        ],
        (Role::Source, Stage::Stopped) => &[Message::Prepared { handover }],
        (Role::Source, _) => &[
            Message::Running { handover },
            Message::Status { handover },
            Message::Refused {
                handover,
                reason: Reason::Cancelled,
            },
        ],
        (Role::Target, Stage::Offering) => &[Message::Object {
            handover,
            kind: 1,
            version: 1,
            last: true,
            bytes: &[1],
        }],
        (Role::Target, Stage::Copying) => &[
            Message::BlobsEnd { handover },
            Message::StateEnd { handover },
        ],
        (Role::Target, Stage::Prepared) => &[Message::Commit { handover }],
        (Role::Target, _) => &[
            Message::Commit { handover },
            Message::Released { handover },
            Message::Abandon {
                handover,
                reason: Reason::LinkLost,
            },
        ],
    };
    all.get(random.below(all.len())).cloned()
}

/// What a driver reports that does what it is asked for.
fn next_report(random: &mut Random, row: &Row) -> Option<Done> {
    let bytes = random.of(&[0, 1 << 20]);
    let all: &[Done] = match (row.role, row.stage) {
        (Role::Source, Stage::Copying) => &[
            Done::BlobsQueued,
            Done::Measured {
                dirty_bytes: bytes,
                state_bytes: 1,
            },
            Done::RoundQueued { bytes },
        ],
        (Role::Source, Stage::Stopped) => &[Done::StateQueued { bytes }],
        (Role::Target, Stage::Offering) => &[Done::Admitted {
            missing: Vec::new(),
        }],
        (Role::Target, Stage::Copying) => &[Done::Ready],
        (Role::Target, Stage::Stopped) => &[Done::Prepared],
        (Role::Target, Stage::Committed) => &[Done::Running],
        (Role::Source | Role::Target, _) => return None,
    };
    all.get(random.below(all.len())).cloned()
}

fn any_report(random: &mut Random) -> Done {
    let bytes = random.of(&[0, 1 << 20, 1 << 50]);
    match random.below(13) {
        0 => Done::Prepared,
        1 => Done::Running,
        2 => Done::Ready,
        3 => Done::Admitted {
            missing: vec![BlobHash([0; 32]); random.below(2)],
        },
        4 => Done::Failed(Reason::Ended),
        5 => Done::BlobsQueued,
        6 | 7 => Done::Measured {
            dirty_bytes: bytes,
            state_bytes: 1,
        },
        8 => Done::RoundQueued { bytes },
        9 => Done::StateQueued { bytes },
        10 => Done::RoundStored { round: 0 },
        11 => Done::Progressed,
        _ => Done::Ended,
    }
}

/// An operator, the clock or a connection does something.
fn anything_else(
    random: &mut Random,
    node: &mut Migrations,
    now: &mut Time,
    by: ConnectionId,
    told: &mut Told,
) {
    let id = any_handover(random);
    match random.below(40) {
        0 => *now = *now + Duration::from_secs(random.below(40) as u64),
        1 => node.disconnected(*now, by),
        2..=4 => {
            let order = Order {
                instance: id.instance,
                epoch: id.epoch,
                peer: HOSTILE,
                mode: random.of(&MODES),
                goals: Goals::default(),
                offer: offer("web"),
            };
            let _ = node.begin(*now, order);
        }
        5 => {
            let _ = node.cancel(*now, id.instance);
        }
        // The word is taken before what it leads to is seen.
        6..=9 if node.resolve(*now, id.instance, random.of(&ANSWERS)).is_ok() => {
            told.worded.insert(id.instance);
        }
        _ => {}
    }
    node.tick(*now);
}

fn run_seed(seed: u64) -> Told {
    let mut random = Random(seed);
    let mut node = Migrations::new(NodeId([1; 16]), BootId([1; 16]));
    let mut told = Told::default();
    let (mut now, mut connection) = (Time::ZERO, 0);
    for step in 0..600 {
        if step % 40 == 0 {
            connection += 1;
            node.connected(ConnectionId(connection), HOSTILE);
            let boot = random.below(2) as u8;
            node.receive(now, ConnectionId(connection), &hello(boot));
        }
        let rows: Vec<Row> = node.rows().collect();
        let row = rows.get(random.below(rows.len()));
        let row = row.filter(|_| random.below(4) > 0);
        let id = row.map_or_else(|| any_handover(&mut random), |row| row.handover);
        let next = row.filter(|_| random.below(4) > 0);
        let next = next.and_then(|row| next_message(&mut random, row));
        let message = next.unwrap_or_else(|| any_message(&mut random, id));
        let mut bytes = message.encode().expect("a bounded message");
        if random.below(8) == 0 {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        let by = ConnectionId(connection - random.below(2) as u64);
        told.hears(&bytes);
        node.receive(now, by, &bytes);
        let role = row.map_or(Role::Source, |row| row.role);
        let is_its = |row: &Row| (row.role, row.handover) == (role, id);
        let row = node.rows().find(is_its);
        let row = row.filter(|_| random.below(4) > 0);
        let next = row.and_then(|row| next_report(&mut random, &row));
        let done = next.unwrap_or_else(|| any_report(&mut random));
        node.report(now, role, id, &done);
        anything_else(&mut random, &mut node, &mut now, by, &mut told);
        let mut effects = 0;
        while let Some(effect) = node.take_effect() {
            told.check(&effect);
            effects += 1;
        }
        assert!(effects < 200, "{effects} effects of one message");
        assert!(node.rows().count() <= limits::MIGRATIONS);
        assert!(node.ledger().len() <= limits::MIGRATION_LEDGER);
    }
    told
}

#[test]
fn any_messages_in_any_order_are_survived_and_bounded() {
    let mut all = [0; 8];
    for seed in 0..200 {
        let told = run_seed(seed);
        let refused_late = told.committed.intersection(&told.resumed);
        let met = [
            told.frozen,
            told.committed.len(),
            refused_late.count(),
            told.released.len(),
            told.prepared.len(),
            told.run.len(),
            told.worded.len(),
            told.fenced,
        ];
        all.iter_mut().zip(met).for_each(|(all, met)| *all += met);
    }
    assert!(all.iter().all(|&times| times > 0), "{all:?}");
}
