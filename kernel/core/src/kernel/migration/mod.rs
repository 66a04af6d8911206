//! Live migration carried out: what the protocol (`crate::migrate`) asks for is done to instances, memories,
//! ports and connections of this node.
//!
//! [`Moves`] is what the node keeps of all hand-overs. `Kernel::attend_migrations` is called once in each turn: it hands what
//! the connections brought to the protocol, does what that asks for, and sends what there is room for.
//!
//! - `leaving`: instances that go; - `sending`: their pages and states as messages; - `pace`: a bound on
//!   bytes a second; - `coming`: instances that arrive; - `standing`: neither end runs it; - `frames`: what reaches an instance
//!   between two nodes, and telling the network where it is; - `networks`: private ones that it is on; - `orders`: what operators ask; - `together`: instances that leave together;
//! - `home`: instances of this node that live elsewhere.

mod coming;
mod frames;
mod home;
mod leaving;
mod networks;
mod orders;
mod pace;
mod sending;
mod standing;
mod together;

use super::Kernel;
use super::node::LinkEvent;
use super::record::{Moving, MovingStage, Record};
use crate::control::MigrateOptions;
use crate::limits;
use crate::log::{EventKind, Severity};
use crate::machine::{Machine, Time};
use crate::migrate::{
    BootId, ConnectionId, Delivery, Done, Doubt, Effect, HandoverId, InstanceId, Message,
    Migrations, NodeId, Outcome, Reason, Role, Stage,
};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use coming::Coming;
use frames::Announcing;
use home::Home;
use leaving::Leaving;
use rand_core::RngCore;
use together::Evacuee;

/// Messages that are taken in one turn: as many as the last pages and the state of an instance are, which
/// stands meanwhile,
const MESSAGES_PER_TURN: usize = 64;
/// unless they hold more bytes than this, with one more on top. It bounds what is read, not what is made of it: a message of
/// 60 KiB may name 40 MiB of pages that are equal to others, which are made at once.
const MESSAGE_BYTES_PER_TURN: usize = limits::LINK_INPUT_BYTES;

/// All hand-overs of a node.
#[derive(Default)]
pub(super) struct Moves {
    /// The protocol; made when the node first looks at its connections.
    hub: Option<Migrations>,
    leaving: BTreeMap<HandoverId, Leaving>,
    coming: BTreeMap<HandoverId, Coming>,
    talks: BTreeMap<ConnectionId, Talk>,
    /// Instances that have to leave, one after the other.
    evacuation: VecDeque<Evacuee>,
    /// With whom those leave that leave together.
    groups: BTreeMap<HandoverId, String>,
    /// What an evacuation does with members of a group that stays: each by itself.
    evacuated: BTreeMap<HandoverId, (NodeId, MigrateOptions)>,
    announcing: Vec<Announcing>,
    home: Home,
    /// The one that sent last.
    served: Option<HandoverId>,
    /// Those that operators were told of.
    doubts: BTreeSet<HandoverId>,
}

/// A connection with another node.
struct Talk {
    peer: NodeId,
    name: String,
    /// Messages that found no room yet.
    backlog: VecDeque<Vec<u8>>,
}

impl Kernel {
    /// Does what there is to do for hand-overs, a bounded amount of it.
    pub(super) fn attend_migrations(&mut self, machine: &mut dyn Machine) {
        let mut taken_bytes = 0;
        for _ in 0..MESSAGES_PER_TURN {
            if taken_bytes > MESSAGE_BYTES_PER_TURN {
                break;
            }
            let Some(event) = self.node.links.take_event() else {
                break;
            };
            if let LinkEvent::Message { bytes, .. } = &event {
                taken_bytes += bytes.len();
            }
            self.hear_link(machine, event);
            self.carry_out(machine);
        }
        let now = self.clock.now();
        if let Some(hub) = &mut self.moves.hub
            && hub.next_tick().is_some_and(|due| due <= now)
        {
            hub.tick(now);
        }
        self.watch_leaving();
        self.spare_memory(machine);
        self.watch_doubts();
        self.carry_out(machine);
        self.send_backlogs();
        self.send_contents();
        self.prepare_arrivals(machine);
        self.carry_out(machine);
        self.forward_frames();
        self.announce_arrived(now);
        self.evacuate_next(machine);
    }

    /// Whether the next turn has something to do for hand-overs.
    pub(super) fn migrations_have_work(&self) -> bool {
        let now = self.clock.now();
        self.node.links.has_events()
            || self.has_contents_to_send(now)
            || self.has_arrival_to_prepare()
            || self.has_frames_to_forward()
    }

    /// When there is something to do for hand-overs, if nothing happens until then.
    pub(super) fn migrations_due(&self) -> Option<Time> {
        let tick = self.moves.hub.as_ref().and_then(Migrations::next_tick);
        let paced = self.contents_due();
        let announced = self.moves.announcing.iter().map(|it| it.due).min();
        [tick, paced, announced].into_iter().flatten().min()
    }

    fn hub(&mut self) -> &mut Migrations {
        let (node, boot) = (self.node.id().unwrap_or_default(), self.node.boot());
        let identities = &mut self.identities;
        self.moves.hub.get_or_insert_with(|| {
            let mut boot = boot;
            if boot == BootId::default() {
                identities.fill_bytes(&mut boot.0);
            }
            Migrations::new(node, boot)
        })
    }

    fn hear_link(&mut self, machine: &mut dyn Machine, event: LinkEvent) {
        let now = self.clock.now();
        match event {
            LinkEvent::Linked { connection, peer } => {
                let talk = Talk {
                    peer: peer.id,
                    name: peer.name,
                    backlog: VecDeque::new(),
                };
                self.moves.talks.insert(connection, talk);
                self.hub().connected(connection, peer.id);
            }
            LinkEvent::Lost { connection } => {
                self.moves.talks.remove(&connection);
                self.hub().disconnected(now, connection);
            }
            LinkEvent::Message { connection, bytes } => {
                let received = self.hub().receive(now, connection, &bytes);
                if let Some((handover, delivery)) = received {
                    self.store(machine, handover, &delivery);
                }
            }
        }
    }

    /// Keeps what a message brought.
    fn store(&mut self, machine: &mut dyn Machine, handover: HandoverId, delivery: &Delivery<'_>) {
        match delivery {
            Delivery::Missing { hashes } => {
                if let Some(leaving) = self.moves.leaving.get_mut(&handover) {
                    leaving.missing.extend(hashes);
                }
            }
            Delivery::Networks { networks } => {
                let coming = self.moves.coming.entry(handover);
                coming
                    .or_insert_with(Coming::of_nothing)
                    .set_networks(networks);
            }
            Delivery::Origin { origin } => {
                let coming = self.moves.coming.entry(handover);
                coming.or_insert_with(Coming::of_nothing).origin = Some(*origin);
            }
            Delivery::Frame { port, bytes } => self.take_forwarded(handover, *port, bytes),
            Delivery::Blob { .. }
            | Delivery::Memory { .. }
            | Delivery::Pages { .. }
            | Delivery::Object { .. } => self.take_contents(machine, handover, delivery),
        }
    }

    /// Does all that the protocol asks for.
    fn carry_out(&mut self, machine: &mut dyn Machine) {
        while let Some(effect) = self.moves.hub.as_mut().and_then(Migrations::take_effect) {
            self.perform(machine, effect);
        }
    }

    fn perform(&mut self, machine: &mut dyn Machine, effect: Effect) {
        match effect {
            Effect::Dial { peer } => self.node.links.dial(peer),
            Effect::Close {
                connection,
                violation,
            } => {
                let name = self.moves.talks.remove(&connection).map(|talk| talk.name);
                let name = name.unwrap_or_default();
                self.node.links.close(connection);
                let text = format!("the connection with node '{name}' was closed: {violation}");
                self.log(Severity::Warning, text);
            }
            Effect::Send {
                connection,
                message,
            } => {
                if let Message::Commit { handover } = message
                    && let Some(leaving) = self.moves.leaving.get_mut(&handover)
                {
                    leaving.stop.prepared.get_or_insert(self.clock.now());
                }
                self.say(connection, &message);
            }
            Effect::Describe {
                handover,
                connection,
            } => self.describe(handover, connection),
            Effect::SendBlobs {
                handover,
                connection,
            } => self.send_blobs(handover, connection),
            Effect::Measure { handover } => self.measure(machine, handover),
            Effect::SendRound {
                handover,
                connection,
            } => self.send_round(handover, connection),
            Effect::Throttle {
                handover,
                share_ppm,
            } => self.throttle(handover, share_ppm),
            Effect::Freeze {
                handover,
                connection,
            } => self.freeze(machine, handover, connection),
            Effect::Resume { handover, epoch } => self.resume_leaving(handover, epoch),
            Effect::ForwardFrames { handover, peer } => self.begin_forwarding(handover, peer),
            Effect::Release { handover } => self.release(handover),
            Effect::Admit {
                handover,
                peer,
                offer,
            } => {
                let done = match self.admit_arrival(machine, handover, peer, &offer) {
                    Ok(missing) => Done::Admitted { missing },
                    Err(reason) => Done::Failed(Reason::local(&reason)),
                };
                self.report(Role::Target, handover, &done);
            }
            Effect::MakeReady { handover } => self.make_ready(machine, handover),
            Effect::FinishRound { handover, round } => self.finish_round(handover, round),
            Effect::Prepare { handover } => self.begin_preparing(handover),
            Effect::Run { handover, epoch } => self.run_arrived(handover, epoch),
            Effect::Discard { handover } => self.discard(handover),
            Effect::Fence { handover } => self.fence(handover),
            Effect::Unfence { handover } => self.unfence(handover),
            Effect::Doubted { handover, doubt } => self.doubt(handover, doubt),
            Effect::Over { handover, outcome } => self.end_handover(handover, &outcome),
        }
    }

    /// Tells the protocol what became of what it asked for.
    fn report(&mut self, role: Role, handover: HandoverId, done: &Done) {
        let now = self.clock.now();
        if let Some(hub) = &mut self.moves.hub {
            hub.report(now, role, handover, done);
        }
    }

    fn fail(&mut self, role: Role, handover: HandoverId, reason: &str) {
        let reason = Reason::local(reason);
        self.report(role, handover, &Done::Failed(reason));
    }

    /// Says something to another node, as soon as there is room.
    fn say(&mut self, connection: ConnectionId, message: &Message<'_>) {
        let (Ok(bytes), Some(talk)) = (message.encode(), self.moves.talks.get_mut(&connection))
        else {
            return;
        };
        talk.backlog.push_back(bytes);
        let is_too_long = talk.backlog.len() > limits::MIGRATION_BACKLOG;
        self.send_backlog(connection);
        if is_too_long {
            let now = self.clock.now();
            self.node.links.close(connection);
            if let Some(talk) = self.moves.talks.remove(&connection) {
                let name = talk.name;
                let text = format!(
                    "the connection with node '{name}' was closed: it does not read what it asks for"
                );
                self.log(Severity::Warning, text);
            }
            self.hub().disconnected(now, connection);
        }
    }

    fn send_backlog(&mut self, connection: ConnectionId) {
        let Some(talk) = self.moves.talks.get_mut(&connection) else {
            return;
        };
        while let Some(bytes) = talk.backlog.pop_front() {
            if bytes.len() > self.node.links.room(connection) {
                talk.backlog.push_front(bytes);
                return;
            }
            // There is room.
            let _ = self.node.links.send(connection, bytes);
        }
    }

    fn send_backlogs(&mut self) {
        let waiting = self.moves.talks.iter();
        let waiting = waiting.filter(|(_, talk)| !talk.backlog.is_empty());
        let waiting: Vec<ConnectionId> = waiting.map(|(&connection, _)| connection).collect();
        for connection in waiting {
            self.send_backlog(connection);
        }
    }

    /// Whether a connection takes another large message, with room to spare for words of the protocol.
    fn has_room(&self, connection: ConnectionId) -> bool {
        let talk = self.moves.talks.get(&connection);
        talk.is_some_and(|talk| talk.backlog.is_empty())
            && self.node.links.room(connection) >= 2 * limits::MIGRATION_MESSAGE_BYTES
    }

    /// What another node calls itself.
    fn node_name(&self, peer: NodeId) -> String {
        let mut talks = self.moves.talks.values().rev();
        match talks.find(|talk| talk.peer == peer) {
            Some(talk) => talk.name.clone(),
            None => peer.to_string(),
        }
    }

    /// The place of an instance that takes part in a hand-over.
    fn key_of_move(&self, handover: HandoverId) -> Option<u32> {
        let mut records = self.occupied();
        let is_its = |moving: &Moving| moving.handover == handover;
        let found = records.find(|(_, record)| record.moving.as_ref().is_some_and(is_its));
        found.map(|(key, _)| key)
    }

    /// The place of an instance that takes part in no hand-over.
    fn key_of_instance(&self, instance: InstanceId) -> Option<u32> {
        let mut records = self.occupied();
        let is_it = |record: &Record| record.instance == instance && record.moving.is_none();
        let found = records.find(|(_, record)| is_it(record));
        found.map(|(key, _)| key)
    }

    fn doubt(&mut self, handover: HandoverId, doubt: Doubt) {
        let Some(key) = self.key_of_move(handover) else {
            return;
        };
        let record = &mut self.records[key as usize];
        let stage = MovingStage::InDoubt(doubt);
        record.moving = Some(Moving { handover, stage });
        self.moves.doubts.insert(handover);
        let name = record.spec.name.clone();
        let now = self.clock.now();
        self.journal
            .event(now, &name, EventKind::InDoubt, doubt.to_string());
        let text = format!("'{name}' is in doubt: {doubt}");
        self.log(Severity::Warning, text);
    }

    /// Takes note of doubts that have ended without more: the nodes met, and the hand-over goes on.
    fn watch_doubts(&mut self) {
        if self.moves.doubts.is_empty() {
            return;
        }
        let rows = self.moves.hub.iter().flat_map(Migrations::rows);
        let in_doubt = rows.filter(|row| matches!(row.stage, Stage::InDoubt(_)));
        let in_doubt: BTreeSet<HandoverId> = in_doubt.map(|row| row.handover).collect();
        let ended = self.moves.doubts.difference(&in_doubt);
        let ended: Vec<HandoverId> = ended.copied().collect();
        for handover in ended {
            self.moves.doubts.remove(&handover);
            if let Some(key) = self.key_of_move(handover) {
                let stage = MovingStage::Standing;
                self.records[key as usize].moving = Some(Moving { handover, stage });
            }
        }
    }

    /// An attempt is over here.
    fn end_handover(&mut self, handover: HandoverId, outcome: &Outcome) {
        let now = self.clock.now();
        self.moves.groups.remove(&handover);
        let evacuated = self.moves.evacuated.remove(&handover);
        if let Some(leaving) = self.moves.leaving.remove(&handover) {
            let name = leaving.name;
            self.unplug(&leaving.ports);
            if let Outcome::Stayed(reason) = outcome {
                if let Some((to, options)) = evacuated.filter(|_| *reason != Reason::Cancelled) {
                    // One that cannot leave keeps nobody else here.
                    let names = [name.clone()].to_vec();
                    self.moves
                        .evacuation
                        .push_back(Evacuee { names, to, options });
                }
                let detail = reason.to_string();
                self.journal
                    .event(now, &name, EventKind::NotMoved, detail.clone());
                let text = format!("'{name}' was not migrated: {detail}; it goes on here");
                self.log(Severity::Warning, text);
            }
        }
        if let Some(coming) = self.moves.coming.remove(&handover)
            && let Outcome::NotArrived(reason) = outcome
        {
            let name = coming.name();
            let peer = self.node_name(coming.peer);
            let text = format!("'{name}' did not come from node '{peer}': {reason}");
            self.log(Severity::Warning, text);
        }
    }
}
