//! What drivers do about effects, and what they hold that must fit.

use super::{Copy, Here, Node, World, node_of, pair};
use sos_core::machine::{Duration, Time};
use sos_core::migrate::{
    ConnectionId, Delivery, Done, Effect, HandoverId, Message, Outcome, Reason, Role,
};

/// The number of the kind of section that describes an instance, and of one that does not.
const ABOUT: u16 = 1;
const EXECUTION: u16 = 2;

impl World {
    pub(super) fn carry_out(&mut self, number: usize) {
        while let Some(effect) = self.nodes[number].machines.take_effect() {
            self.story.push(format!("   node {number}: {effect:?}"));
            self.carry_out_one(number, effect);
            assert!(self.live() <= 1 || self.misled, "two live copies");
        }
    }

    fn carry_out_one(&mut self, number: usize, effect: Effect) {
        match effect {
            Effect::Dial { peer } => {
                let peer = node_of(peer);
                if !self.nodes[number].dials.contains(&peer) {
                    self.nodes[number].dials.push(peer);
                }
            }
            Effect::Close { connection, .. } => {
                if let Some(closed) = self.connections.get_mut(&connection) {
                    closed.broken = true;
                    let side = usize::from(closed.ends[1].node == number);
                    closed.ends[side].gone = true;
                }
            }
            Effect::Send {
                connection,
                message,
            } => self.send(number, connection, &message),
            Effect::Describe {
                handover,
                connection,
            } => {
                let object = object(handover, ABOUT, &[1]);
                self.send(number, connection, &object);
            }
            Effect::SendBlobs { handover, .. } => {
                self.report(number, Role::Source, handover, Done::BlobsQueued);
            }
            Effect::Measure { handover } => {
                let node = &mut self.nodes[number];
                let here = node.here.expect("an instance to measure");
                assert!(here.runs, "a stopped instance is measured");
                let sent = node.sending.insert(handover, here.version);
                // Large enough for several rounds, then small.
                let dirty_bytes = match sent {
                    None => 64 << 20,
                    Some(sent) if here.version - sent > 8 => 16 << 20,
                    Some(_) => 0,
                };
                let state_bytes = 100;
                let measured = Done::Measured {
                    dirty_bytes,
                    state_bytes,
                };
                self.report(number, Role::Source, handover, measured);
            }
            Effect::SendRound {
                handover,
                connection,
            } => {
                let version = self.nodes[number].sending[&handover];
                self.send_pages(number, connection, handover, version);
                let queued = Done::RoundQueued { bytes: 64 << 20 };
                self.report(number, Role::Source, handover, queued);
            }
            Effect::Throttle { .. } => self.nodes[number].throttled = true,
            Effect::Freeze {
                handover,
                connection,
            } => {
                let here = self.nodes[number].here.as_mut();
                let here = here.expect("an instance to freeze");
                assert!(here.runs, "a stopped instance is frozen");
                here.runs = false;
                let version = here.version;
                self.send_pages(number, connection, handover, version);
                let object = object(handover, EXECUTION, &[2]);
                self.send(number, connection, &object);
                let queued = Done::StateQueued { bytes: 100 };
                self.report(number, Role::Source, handover, queued);
            }
            Effect::Resume { handover, epoch } => {
                let node = &mut self.nodes[number];
                let here = node.here.as_mut().expect("an instance to resume");
                assert!(here.epoch < epoch, "an epoch that does not rise");
                (here.runs, here.epoch) = (true, epoch);
                let version = here.version;
                node.throttled = false;
                node.forwarding.remove(&handover);
                self.check_no_rollback(version);
            }
            Effect::ForwardFrames { handover, peer } => {
                let to = node_of(peer);
                self.nodes[number].forwarding.insert(handover, to);
                self.forward_frame(number, handover, to);
            }
            Effect::Release { .. } => {
                let here = self.nodes[number].here.take();
                let here = here.expect("an instance to release");
                assert!(!here.runs, "a running instance is released");
                self.nodes[number].throttled = false;
            }
            Effect::Admit { handover, .. } => {
                let node = &mut self.nodes[number];
                let copy = node.copies.entry(handover).or_default();
                assert!(copy.described, "admitted before it was described");
                let done = match node.here {
                    Some(here) if here.runs => Done::Failed(Reason::AlreadyHere),
                    // A copy that stands goes before this one runs.
                    Some(_) | None => Done::Admitted {
                        missing: Vec::new(),
                    },
                };
                self.report(number, Role::Target, handover, done);
            }
            Effect::MakeReady { handover } => {
                self.report(number, Role::Target, handover, Done::Ready);
            }
            Effect::FinishRound { handover, round } => {
                let stored = Done::RoundStored { round };
                self.report(number, Role::Target, handover, stored);
            }
            Effect::Prepare { handover } => {
                self.report(number, Role::Target, handover, Done::Prepared);
            }
            Effect::Run { handover, epoch } => {
                let node = &mut self.nodes[number];
                if core::mem::take(&mut node.fails_next) {
                    let failed = Done::Failed(Reason::local("it does not start"));
                    return self.report(number, Role::Target, handover, failed);
                }
                let copy = node.copies.remove(&handover).expect("a copy to run");
                assert!(copy.prepared, "a copy runs that is not prepared");
                assert!(node.here.is_none(), "the instance is here twice");
                let version = copy.version.expect("a copy with memories");
                let runs = true;
                node.ran_at = self.now;
                node.here = Some(Here {
                    epoch,
                    version,
                    runs,
                });
                self.report(number, Role::Target, handover, Done::Running);
                self.check_no_rollback(version);
            }
            Effect::Discard { handover } => {
                let node = &mut self.nodes[number];
                let copy = node.copies.remove(&handover);
                if copy.is_some_and(|copy| copy.stands_fenced) {
                    node.here = None;
                }
                let of_copy = |report: &(Role, HandoverId, Done)| {
                    (report.0, report.1) == (Role::Target, handover)
                };
                node.reports.retain(|report| !of_copy(report));
            }
            Effect::Fence { handover } => {
                assert!(self.misled, "fenced though nobody was misled");
                let node = &mut self.nodes[number];
                let Some(here) = &mut node.here else {
                    return self.report(number, Role::Target, handover, Done::Ended);
                };
                here.runs = false;
                let copy = Copy {
                    stands_fenced: true,
                    ..Copy::default()
                };
                node.copies.insert(handover, copy);
            }
            Effect::Unfence { handover } => {
                let node = &mut self.nodes[number];
                node.copies.remove(&handover);
                if let Some(here) = &mut node.here {
                    here.runs = true;
                }
            }
            Effect::Doubted { .. } => {}
            Effect::Over { handover, outcome } => {
                let node = &mut self.nodes[number];
                node.sending.remove(&handover);
                node.forwarding.remove(&handover);
                match outcome {
                    Outcome::NotArrived(_) | Outcome::Arrived => {
                        assert!(!node.copies.contains_key(&handover), "a copy is left");
                    }
                    Outcome::Moved | Outcome::Dropped => {
                        assert!(node.here.is_none_or(|here| here.epoch > handover.epoch));
                    }
                    Outcome::Stayed(_) => assert_eq!(node.live(), 1),
                }
            }
        }
    }

    /// Passes a frame on by whatever connection there is to a node.
    pub(super) fn forward_frame(&mut self, number: usize, handover: HandoverId, to: usize) {
        let connections = self.connections.iter().rev();
        let mut open = connections.filter(|(_, connection)| {
            let ends = &connection.ends;
            pair(ends[0].node, ends[1].node) == pair(number, to)
        });
        let latest = open.next().map(|(&id, _)| id);
        let sent_ns = self.now.since(Time::ZERO).as_nanos() as u64;
        if let Some(connection) = latest {
            let frame = Message::Frame {
                handover,
                port: 0,
                bytes: &sent_ns.to_le_bytes(),
            };
            self.send(number, connection, &frame);
            self.frames_sent += 1;
        }
    }

    fn send_pages(&mut self, number: usize, id: ConnectionId, handover: HandoverId, version: u64) {
        let pages = Message::Pages {
            handover,
            checksum: 0,
            payload: &version.to_le_bytes(),
        };
        self.send(number, id, &pages);
    }

    fn report(&mut self, number: usize, role: Role, handover: HandoverId, done: Done) {
        let node = &mut self.nodes[number];
        // What cannot fail does not: to run, above, fails before it reports.
        let may_fail = !matches!(done, Done::Running | Done::Failed(_));
        let done = match may_fail && core::mem::take(&mut node.fails_next) {
            true => Done::Failed(Reason::local("no memory")),
            false => done,
        };
        if done == Done::Prepared {
            let copy = node.copies.get_mut(&handover).expect("a copy to prepare");
            copy.prepared = true;
        }
        node.reports.push((role, handover, done));
    }
}

impl Node {
    pub(super) fn store(&mut self, handover: HandoverId, delivery: &Delivery<'_>) {
        match delivery {
            Delivery::Object { kind, last, .. } => {
                let copy = self.copies.entry(handover).or_default();
                copy.described |= *kind == ABOUT && *last;
            }
            Delivery::Pages { payload, .. } => {
                let copy = self.copies.entry(handover).or_default();
                let version = (*payload).try_into().expect("a version");
                copy.version = Some(u64::from_le_bytes(version));
            }
            Delivery::Blob { .. }
            | Delivery::Memory { .. }
            | Delivery::Frame { .. }
            | Delivery::Networks { .. }
            | Delivery::Origin { .. }
            | Delivery::Missing { .. } => {}
        }
    }
}

/// When a frame was passed on: it says so.
pub(super) fn frame_sent(bytes: &[u8]) -> Duration {
    let sent_ns = bytes.try_into().map_or(0, u64::from_le_bytes);
    Duration::from_nanos(sent_ns)
}

fn object(handover: HandoverId, kind: u16, bytes: &[u8]) -> Message<'_> {
    Message::Object {
        handover,
        kind,
        version: 1,
        last: true,
        bytes,
    }
}
