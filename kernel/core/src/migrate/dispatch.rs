//! Messages on their way to the machine that they are for, and answers from the ledger where there is
//! none.

use super::ledger::{Ledger, Role, Settled, Verdict, Whereabouts};
use super::migrations::Migrations;
use super::source::{self, Source};
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
            boot: link.1,
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
            Message::Networks { handover, networks } => {
                let delivery = Delivery::Networks { networks };
                return self.deliver(from, handover, Data::Description { last: false }, delivery);
            }
            Message::Origin { handover, origin } => {
                let delivery = Delivery::Origin { origin };
                return self.deliver(from, handover, Data::Description { last: false }, delivery);
            }
            Message::Undecided { handover } => {
                self.hear_target(from, handover, ToTarget::Undecided);
            }
            Message::Missing { handover, hashes } => {
                self.hear_source(from, handover, ToSource::Missing(hashes.len()));
                let source = self.sources.get(&handover);
                source.filter(|source| source.peer == peer && source.is_offered())?;
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
                self.ledger.settle(Role::Target, handover, peer);
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
        if latest.is_some_and(|latest| latest >= id.epoch) || self.ledger.knows(Role::Target, id) {
            // It may have run here, so that this must not be called a refusal.
            let asked = Role::Target;
            let handover = id;
            self.effects
                .push_back(reply(Message::Unknown { handover, asked }));
            return;
        }
        let sources = self.sources.values();
        let mut sources = sources.filter(|source| source.id.instance == id.instance);
        let targets = self.targets.values();
        let targets = targets.filter(|target| target.id.instance == id.instance);
        let reason = if sources.clone().any(Source::owns_instance)
            || targets.clone().any(Target::owns_instance)
        {
            Some(Reason::AlreadyHere)
        } else if sources.any(|source| source.id.epoch >= id.epoch) {
            Some(Reason::Stale)
        } else {
            None
        };
        if let Some(reason) = reason {
            let handover = id;
            self.effects
                .push_back(reply(Message::Refused { handover, reason }));
            return;
        }
        // Copies that stand are kept until this one is to run: an offer is nothing but words.
        let coming = targets.filter(|target| target.is_receiving());
        let coming: Vec<HandoverId> = coming.map(|target| target.id).collect();
        for other in coming {
            self.step_target(now, other, target::Event::Superseded { by: id.epoch });
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
                if matches!(heard, source::Heard::Refused(_)) && source.is_committed() {
                    self.clear_the_way(from.now, handover);
                }
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
            (Heard::Refused(_) | Heard::Unknown, Some(Verdict::Void)) => {
                // It has heard that the attempt is void, or need not.
                return self.ledger.settle(Role::Source, handover, from.peer);
            }
            (
                Heard::Status
                | Heard::Prepared
                | Heard::Running
                | Heard::Missing(_)
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
                if matches!(heard, target::Heard::Commit) && target.is_prepared() {
                    self.clear_the_way(from.now, handover);
                }
                self.step_target(from.now, handover, target::Event::Heard(heard));
            }
            return;
        }
        use target::Heard;
        let verdict = self.ledger.verdict(Role::Target, handover, from.peer);
        let asked = Role::Target;
        let unknown = Message::Unknown { handover, asked };
        let reason = Reason::Dropped;
        let refused = Message::Refused { handover, reason };
        let answer = match (heard, verdict) {
            (Heard::Commit, Some(Verdict::Ran)) => Message::Running { handover },
            (Heard::Commit, Some(Verdict::Refused)) => refused,
            (Heard::Commit, Some(Verdict::Void | Verdict::Moved | Verdict::Dropped) | None) => {
                unknown
            }
            (Heard::Abandon(_), Some(Verdict::Refused)) => {
                self.ledger.settle(Role::Target, handover, from.peer);
                refused
            }
            // Who gave his copy up says nothing of the one that ran here.
            (Heard::Abandon(Reason::Dropped), Some(Verdict::Ran)) => return,
            (Heard::Abandon(_), Some(Verdict::Ran)) => return self.disowned(from, handover),
            (Heard::Abandon(_), Some(Verdict::Void | Verdict::Moved | Verdict::Dropped) | None) => {
                unknown
            }
            (
                Heard::BlobsEnd
                | Heard::RoundEnd(_)
                | Heard::StateEnd
                | Heard::Released
                | Heard::Undecided
                | Heard::Unknown,
                _,
            ) => return,
        };
        self.answer(from, answer);
    }

    /// The source of an attempt that ran here says that it is void: an operator's word there was wrong. The
    /// copy is stopped here, or where it went from here. Until that is done the source is not answered,
    /// so that it says so again.
    fn disowned(&mut self, from: From, came: HandoverId) {
        let (now, peer) = (from.now, from.peer);
        let asked = Role::Target;
        let unknown = Message::Unknown {
            handover: came,
            asked,
        };
        let of_instance = |id: &HandoverId| id.instance == came.instance;
        let mut targets = self
            .targets
            .values()
            .filter(|target| of_instance(&target.id));
        // The instance that is here came by that one.
        let came_anew = targets.any(|target| !target.is_receiving());
        let source = self.sources.values().find(|source| of_instance(&source.id));
        let source = source.map(|source| (source.id, source.owns_instance()));
        let void = |ledger: &mut Ledger| {
            ledger.write(Role::Target, came, peer, Verdict::Void, Settled::Yes);
        };
        match (self.ledger.whereabouts(came), source) {
            (Whereabouts::PassedOn(handover, next), _) => {
                void(&mut self.ledger);
                let (verdict, settled) = (Verdict::Void, Settled::No);
                self.ledger
                    .write(Role::Source, handover, next, verdict, settled);
                match self.link_to(next) {
                    Some(link) => self.effects.push_back(abandon(link.connection, handover)),
                    None => self.watch_untold(now),
                }
                self.answer(from, unknown);
            }
            (Whereabouts::Here, None) if !came_anew => {
                if self.machines() < limits::MIGRATIONS {
                    self.fence(now, came, peer, from.boot);
                }
            }
            // It is not known yet whether the copy here is the one.
            (Whereabouts::Here, Some((_, false))) => {}
            (Whereabouts::Here, Some((id, true))) => {
                // The attempt is void by this; then the copy is stopped.
                let _ = self.at_source(now, id, Source::cancel);
                self.fence(now, came, peer, from.boot);
            }
            (Whereabouts::Here | Whereabouts::Gone, _) => {
                void(&mut self.ledger);
                self.answer(from, unknown);
            }
        }
    }

    /// Says of the attempts with this node that are void and may not be known there to be so.
    pub(super) fn say_what_is_void(&mut self, peer: NodeId, connection: ConnectionId) {
        let void = self.ledger.void_unsettled(peer, limits::MIGRATIONS);
        let said = void.into_iter().map(|id| abandon(connection, id));
        self.effects.extend(said);
    }

    /// This attempt's copy is about to run here, so that all others of the instance are over.
    pub(super) fn clear_the_way(&mut self, now: Time, id: HandoverId) {
        let other = |other: &&HandoverId| other.instance == id.instance && **other != id;
        let sources: Vec<HandoverId> = self.sources.keys().filter(other).copied().collect();
        for source in sources {
            self.step_source(now, source, source::Event::Superseded);
        }
        let targets: Vec<HandoverId> = self.targets.keys().filter(other).copied().collect();
        for target in targets {
            let by = id.epoch;
            self.step_target(now, target, target::Event::Superseded { by });
        }
    }

    fn answer(&mut self, from: From, message: Message<'static>) {
        let connection = from.connection;
        self.effects.push_back(Effect::Send {
            connection,
            message,
        });
    }
}

/// Says that an attempt is void: the instance runs on its source, whatever the target thinks.
fn abandon(connection: ConnectionId, handover: HandoverId) -> Effect {
    let reason = Reason::Superseded;
    Effect::Send {
        connection,
        message: Message::Abandon { handover, reason },
    }
}

/// Where a message came from.
#[derive(Clone, Copy)]
struct From {
    now: Time,
    peer: NodeId,
    connection: ConnectionId,
    boot: BootId,
}
