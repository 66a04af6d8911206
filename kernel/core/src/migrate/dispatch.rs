//! Messages on their way to the machine that they are for, and answers from the ledger where there is
//! none.

use super::ledger::{Role, Verdict};
use super::migrations::Migrations;
use super::source;
use super::target::{self, Data, Target};
use super::{BootId, ConnectionId, Delivery, Effect, HandoverId, Message, NodeId, Offer, Reason};
use crate::limits;
use crate::machine::Time;
use crate::snapshot::format::SectionKind;
use alloc::vec::Vec;

impl Migrations {
    /// Carries a message to its machine, or answers it.
    pub(super) fn dispatch<'a>(
        &mut self,
        now: Time,
        peer: NodeId,
        link: (ConnectionId, BootId),
        message: Message<'a>,
    ) -> Option<(HandoverId, Delivery<'a>)> {
        use source::Heard as ToSource;
        use target::Heard as ToTarget;
        let from = From {
            now,
            peer,
            connection: link.0,
        };
        match message {
            Message::Hello { .. } => {}
            Message::Offer { handover, offer } => self.offered(now, peer, link, handover, offer),
            Message::Blob {
                handover,
                hash,
                last,
                bytes,
            } => {
                let data = Data::Blob { hash, last };
                let delivery = Delivery::Blob { hash, last, bytes };
                return self.deliver(from, handover, data, delivery);
            }
            Message::Memory {
                handover,
                memory,
                bytes,
            } => {
                let delivery = Delivery::Memory { memory, bytes };
                return self.deliver(from, handover, Data::Contents, delivery);
            }
            Message::Pages {
                handover,
                checksum,
                payload,
            } => {
                let delivery = Delivery::Pages { checksum, payload };
                return self.deliver(from, handover, Data::Contents, delivery);
            }
            Message::Object {
                handover,
                kind,
                version,
                last,
                bytes,
            } => {
                let data = match kind == SectionKind::About.number() {
                    true => Data::Description { last },
                    false => Data::Contents,
                };
                let delivery = Delivery::Object {
                    kind,
                    version,
                    last,
                    bytes,
                };
                return self.deliver(from, handover, data, delivery);
            }
            Message::Frame {
                handover,
                port,
                bytes,
            } => {
                let delivery = Delivery::Frame { port, bytes };
                return self.deliver(from, handover, Data::Frame, delivery);
            }
            Message::Missing { handover, hashes } => {
                self.hear_source(from, handover, ToSource::Missing);
                let source = self.sources.get(&handover);
                source.filter(|source| source.peer == peer)?;
                return Some((handover, Delivery::Missing { hashes }));
            }
            Message::BlobsEnd { handover } => {
                self.hear_target(from, handover, ToTarget::BlobsEnd);
            }
            Message::RoundEnd { handover, round } => {
                self.hear_target(from, handover, ToTarget::RoundEnd(round));
            }
            Message::StateEnd { handover } => {
                self.hear_target(from, handover, ToTarget::StateEnd);
            }
            Message::Commit { handover } => self.hear_target(from, handover, ToTarget::Commit),
            Message::Abandon { handover, reason } => {
                self.hear_target(from, handover, ToTarget::Abandon(&reason));
            }
            Message::Released { handover } => {
                self.ledger.settle(Role::Target, handover);
                self.hear_target(from, handover, ToTarget::Released);
            }
            Message::Accept { handover } => self.hear_source(from, handover, ToSource::Accept),
            Message::Ready { handover } => self.hear_source(from, handover, ToSource::Ready),
            Message::RoundDone { handover, round } => {
                self.hear_source(from, handover, ToSource::RoundDone(round));
            }
            Message::Prepared { handover } => {
                self.hear_source(from, handover, ToSource::Prepared);
            }
            Message::Refused { handover, reason } => {
                self.hear_source(from, handover, ToSource::Refused(&reason));
            }
            Message::Running { handover } => self.hear_source(from, handover, ToSource::Running),
            Message::Status { handover } => self.hear_source(from, handover, ToSource::Status),
            Message::Unknown { handover, asked } => match asked {
                Role::Target => self.hear_source(from, handover, ToSource::Unknown),
                Role::Source => self.hear_target(from, handover, ToTarget::Unknown),
            },
        }
        None
    }

    /// Hands data to the driver if its target takes it now.
    fn deliver<'a>(
        &mut self,
        from: From,
        id: HandoverId,
        data: Data,
        delivery: Delivery<'a>,
    ) -> Option<(HandoverId, Delivery<'a>)> {
        let target = self.targets.get(&id);
        // What is on the way when an attempt ends arrives for nobody.
        target.filter(|target| target.peer == from.peer)?;
        let mut taken = false;
        self.with_target(from.now, id, |target, cx| taken = target.accepts(data, cx));
        taken.then_some((id, delivery))
    }

    fn offered(
        &mut self,
        now: Time,
        peer: NodeId,
        (connection, boot): (ConnectionId, BootId),
        id: HandoverId,
        offer: Offer,
    ) {
        if self.targets.contains_key(&id) {
            return;
        }
        let reply = |message| Effect::Send {
            connection,
            message,
        };
        let latest = self.ledger.latest_epoch(id.instance);
        if latest.is_some_and(|latest| latest >= id.epoch) {
            // It may have run here, so that this must not be called a refusal.
            let asked = Role::Target;
            let handover = id;
            self.effects
                .push_back(reply(Message::Unknown { handover, asked }));
            return;
        }
        let of_instance = |other: &&HandoverId| other.instance == id.instance;
        let sources = self.sources.keys().filter(of_instance).copied();
        let sources: Vec<HandoverId> = sources.collect();
        let targets = self.targets.keys().filter(of_instance).copied();
        let targets: Vec<HandoverId> = targets.collect();
        let owned = sources.iter().any(|id| self.sources[id].owns_instance())
            || targets.iter().any(|id| self.targets[id].owns_instance());
        let later = sources
            .iter()
            .chain(&targets)
            .any(|other| other.epoch >= id.epoch);
        let reason = match (owned, later) {
            (true, _) => Some(Reason::AlreadyHere),
            (false, true) => Some(Reason::Stale),
            (false, false) => None,
        };
        if let Some(reason) = reason {
            let handover = id;
            self.effects
                .push_back(reply(Message::Refused { handover, reason }));
            return;
        }
        for other in sources {
            self.step_source(now, other, source::Event::Superseded);
        }
        for other in targets {
            self.step_target(now, other, target::Event::Superseded);
        }
        if self.machines() >= limits::MIGRATIONS {
            let (handover, reason) = (id, Reason::TooMany);
            self.effects
                .push_back(reply(Message::Refused { handover, reason }));
            return;
        }
        let target = Target::new(id, peer, offer, (connection, boot), now);
        self.targets.insert(id, target);
    }

    /// A word of a target: for its source, or for what is remembered of it.
    fn hear_source(&mut self, from: From, handover: HandoverId, heard: source::Heard<'_>) {
        if let Some(source) = self.sources.get(&handover) {
            if source.peer == from.peer {
                self.step_source(from.now, handover, source::Event::Heard(heard));
            }
            return;
        }
        use source::Heard;
        let verdict = self.ledger.verdict(Role::Source, handover, from.peer);
        let unknown = Message::Unknown {
            handover,
            asked: Role::Source,
        };
        let abandon = |reason| Message::Abandon { handover, reason };
        let answer = match (heard, verdict) {
            (Heard::Status | Heard::Prepared | Heard::Running, None) => unknown,
            (Heard::Status | Heard::Prepared, Some(Verdict::Moved)) => Message::Commit { handover },
            (Heard::Status | Heard::Prepared, Some(Verdict::Dropped)) => abandon(Reason::Dropped),
            (Heard::Status | Heard::Prepared | Heard::Running, Some(Verdict::Void)) => {
                abandon(Reason::Superseded)
            }
            (Heard::Running, Some(Verdict::Moved | Verdict::Dropped)) => {
                Message::Released { handover }
            }
            (
                Heard::Status
                | Heard::Prepared
                | Heard::Running
                | Heard::Missing
                | Heard::Accept
                | Heard::Ready
                | Heard::RoundDone(_)
                | Heard::Refused(_)
                | Heard::Unknown,
                _,
            ) => return,
        };
        self.answer(from, answer);
    }

    /// A word of a source: for its target, or for what is remembered of it.
    fn hear_target(&mut self, from: From, handover: HandoverId, heard: target::Heard<'_>) {
        if let Some(target) = self.targets.get(&handover) {
            if target.peer == from.peer {
                self.step_target(from.now, handover, target::Event::Heard(heard));
            }
            return;
        }
        use target::Heard;
        let answer = match heard {
            Heard::Commit => match self.ledger.verdict(Role::Target, handover, from.peer) {
                Some(Verdict::Ran) => Message::Running { handover },
                Some(Verdict::Refused) => {
                    let reason = Reason::Dropped;
                    Message::Refused { handover, reason }
                }
                Some(Verdict::Void | Verdict::Moved | Verdict::Dropped) | None => {
                    let asked = Role::Target;
                    Message::Unknown { handover, asked }
                }
            },
            Heard::BlobsEnd
            | Heard::RoundEnd(_)
            | Heard::StateEnd
            | Heard::Abandon(_)
            | Heard::Released
            | Heard::Unknown => return,
        };
        self.answer(from, answer);
    }

    fn answer(&mut self, from: From, message: Message<'static>) {
        let connection = from.connection;
        self.effects.push_back(Effect::Send {
            connection,
            message,
        });
    }
}

/// Where a message came from.
#[derive(Clone, Copy)]
struct From {
    now: Time,
    peer: NodeId,
    connection: ConnectionId,
}
