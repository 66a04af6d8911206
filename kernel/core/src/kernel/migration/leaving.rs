//! Instances that go to another node: measured, copied, frozen, and let go or let on.

use super::super::Kernel;
use super::super::admission;
use super::super::record::{Activity, Moving, MovingStage, State};
use super::pace::Pace;
use super::sending::Sending;
use crate::image::BlobHash;
use crate::kernel::VERSION;
use crate::log::EventKind;
use crate::machine::{FrozenMemory, Machine, Time};
use crate::migrate::{ConnectionId, Done, HandoverId, NodeId, Outgoing, Reason, Role};
use crate::net::fabric::PortId;
use crate::sched::Throttle;
use crate::snapshot::format::{Base, PAGE_BYTES};
use crate::snapshot::parts::{self, CutPages, memory_heads};
use crate::snapshot::{About, Taken};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What is kept of an instance that leaves.
pub(super) struct Leaving {
    pub name: String,
    pub peer: NodeId,
    /// When it was started, to know that it is still the same run.
    started: Time,
    /// What the target does not have.
    pub missing: BTreeSet<BlobHash>,
    /// The memories as the target has them after the last round.
    sent: Option<Vec<FrozenMemory>>,
    measured: Vec<FrozenMemory>,
    /// Bytes that its state took when it was measured first.
    state_bytes: Option<u64>,
    /// What is on its way to the connection.
    pub sending: Option<Sending>,
    pub pace: Pace,
    rounds: u32,
    pub bytes: u64,
    pub stop: Stop,
    /// How many of the frames in each port are in the cut.
    pub taken_frames: Vec<usize>,
    /// Those frames, from COMMIT on: they are its own again if it resumes here.
    pub kept_frames: Vec<(PortId, Vec<u8>)>,
    /// Where frames go that still reach it.
    pub forward_to: Option<NodeId>,
    /// Its ports, when it is gone.
    pub ports: Vec<PortId>,
}

impl Leaving {
    pub fn new(name: String, peer: NodeId, started: Time, pace: Pace) -> Leaving {
        Leaving {
            name,
            peer,
            started,
            missing: BTreeSet::new(),
            sent: None,
            measured: Vec::new(),
            state_bytes: None,
            sending: None,
            pace,
            rounds: 0,
            bytes: 0,
            stop: Stop::default(),
            taken_frames: Vec::new(),
            kept_frames: Vec::new(),
            forward_to: None,
            ports: Vec::new(),
        }
    }

    /// Whether the target does not run it yet.
    pub fn is_here(&self) -> bool {
        self.ports.is_empty() && self.forward_to.is_none()
    }
}

/// When the steps of an instance's stop were done, for the operator: what it stands for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stop {
    /// It stood.
    frozen: Option<Time>,
    /// Its cut was taken.
    cut: Option<Time>,
    /// All of it was given to the connection.
    pub sent: Option<Time>,
    /// The target had said that it is prepared.
    pub prepared: Option<Time>,
}

impl Stop {
    /// Whether the instance stands.
    fn has_begun(&self) -> bool {
        self.frozen.is_some()
    }

    /// For how long it has stood, and when each step was done.
    fn tell(&self, now: Time) -> String {
        let Some(frozen) = self.frozen else {
            return "never stood".into();
        };
        let stood = now.since(frozen).as_nanos();
        let mut text = format!("stood for {stood} ns");
        let steps = [
            ("cut", self.cut),
            ("sent", self.sent),
            ("prepared", self.prepared),
        ];
        let done = steps.into_iter().filter_map(|(step, at)| Some((step, at?)));
        for (number, (step, at)) in done.enumerate() {
            let before = if number == 0 { " (" } else { ", " };
            let micros = at.since(frozen).as_micros();
            text.push_str(&format!("{before}{step} after {micros} us"));
        }
        if self.cut.is_some() {
            text.push(')');
        }
        text
    }
}

fn resident_bytes(memories: &[FrozenMemory]) -> u64 {
    let bytes = memories.iter().map(|memory| memory.resident_bytes() as u64);
    bytes.sum()
}

/// Bytes of pages that differ from what was sent.
fn changed_bytes(memories: &[FrozenMemory], sent: Option<&Vec<FrozenMemory>>) -> u64 {
    let Some(sent) = sent else {
        return resident_bytes(memories);
    };
    let changed = |(number, memory): (usize, &FrozenMemory)| match sent.get(number) {
        None => memory.resident_bytes() as u64,
        Some(earlier) => (memory.count_own_pages(earlier) * PAGE_BYTES) as u64,
    };
    memories.iter().enumerate().map(changed).sum()
}

impl Kernel {
    /// What the target is told of an instance first, and last.
    fn about(&self, key: u32) -> About {
        let record = &self.records[key as usize];
        About {
            name: record.spec.name.clone(),
            node: self.name.clone(),
            kernel: VERSION.into(),
            wall_nanos: self.clock.wall_nanos(),
            taken: Taken::Stopping,
            macs: record.macs.clone(),
            spec: record.spec.clone(),
        }
    }

    pub(super) fn describe(&mut self, handover: HandoverId, connection: ConnectionId) {
        let Some(key) = self.key_of_move(handover) else {
            return self.report(Role::Source, handover, &Done::Ended);
        };
        self.tell_port_networks(handover, connection, key);
        let about = parts::description(&self.about(key));
        let outgoing = Outgoing::objects(handover, [about].into());
        let sending = Sending::description(connection, outgoing);
        if let Some(leaving) = self.moves.leaving.get_mut(&handover) {
            leaving.sending = Some(sending);
        }
    }

    pub(super) fn send_blobs(&mut self, handover: HandoverId, connection: ConnectionId) {
        let Some(leaving) = self.moves.leaving.get_mut(&handover) else {
            return;
        };
        let missing = core::mem::take(&mut leaving.missing);
        let Some(key) = self.key_of_move(handover) else {
            return self.report(Role::Source, handover, &Done::Ended);
        };
        let its: BTreeSet<BlobHash> = self.records[key as usize].spec.blobs().collect();
        if !missing.is_subset(&its) {
            // Nobody is given another instance's files.
            return self.report(Role::Source, handover, &Done::Failed(Reason::Protocol));
        }
        let mut objects = Vec::new();
        for hash in missing {
            match self.blobs.get(&hash) {
                Ok(bytes) => objects.push(parts::blob(hash, bytes)),
                Err(reason) => return self.fail(Role::Source, handover, &reason),
            }
        }
        let outgoing = Outgoing::objects(handover, objects);
        if let Some(leaving) = self.moves.leaving.get_mut(&handover) {
            leaving.sending = Some(Sending::blobs(connection, outgoing));
        }
    }

    /// Ends the attempts of instances that ended, or were started anew.
    pub(super) fn watch_leaving(&mut self) {
        let copied = self.moves.leaving.iter();
        let ended = copied.filter(|(handover, leaving)| {
            let key = self.key_of_move(**handover);
            let record = key.map(|key| &self.records[key as usize]);
            leaving.is_here()
                && !record.is_some_and(|record| {
                    matches!(&record.state, State::Live(live)
                        if !matches!(live.activity, Activity::Stopping(_)))
                        && record.usage.started == leaving.started
                })
        });
        let ended: Vec<HandoverId> = ended.map(|(&handover, _)| handover).collect();
        for handover in ended {
            self.report(Role::Source, handover, &Done::Ended);
        }
    }

    /// Gives up what is copied while the node has no memory to spare: the instance itself comes first.
    pub(super) fn spare_memory(&mut self, machine: &dyn Machine) {
        if self.moves.leaving.is_empty() {
            return;
        }
        let Err(refusal) = admission::cut(machine, 0) else {
            return;
        };
        let copied = self.moves.leaving.iter();
        let copied = copied.filter(|(_, it)| !it.stop.has_begun() && it.sent.is_some());
        let copied: Vec<HandoverId> = copied.map(|(&handover, _)| handover).collect();
        for handover in copied {
            self.fail(Role::Source, handover, &refusal.to_string());
        }
    }

    /// Freezes the memories and counts what a round would have to send.
    pub(super) fn measure(&mut self, machine: &mut dyn Machine, handover: HandoverId) {
        let Some(key) = self.key_of_move(handover) else {
            return self.report(Role::Source, handover, &Done::Ended);
        };
        // While a round is under way there may be another version of every page.
        let resident = self.records[key as usize].live();
        let resident = resident.map_or(0, |live| live.execution.resident_bytes());
        if let Err(refusal) = admission::cut(machine, resident) {
            return self.fail(Role::Source, handover, &refusal.to_string());
        }
        let is_first = self.moves.leaving.get(&handover);
        let is_first = is_first.is_some_and(|leaving| leaving.state_bytes.is_none());
        let measured = match is_first {
            // What the state takes is known only from a whole cut.
            true => self.admit_cut(machine, key).and_then(|()| {
                let cut = self.cut(key)?;
                Ok((parts::state_bytes(&cut), cut.memories))
            }),
            false => match &mut self.records[key as usize].state {
                State::Live(live) => match live.execution.freeze_memories() {
                    Ok(memories) => Ok((0, memories)),
                    Err(error) => return self.fail(Role::Source, handover, &error.to_string()),
                },
                State::Ended(..) | State::Loading(_) => {
                    return self.report(Role::Source, handover, &Done::Ended);
                }
            },
        };
        let (state_bytes, memories) = match measured {
            Ok(measured) => measured,
            Err(error) => return self.fail(Role::Source, handover, &error.to_string()),
        };
        let Some(leaving) = self.moves.leaving.get_mut(&handover) else {
            return;
        };
        let state_bytes = *leaving.state_bytes.get_or_insert(state_bytes);
        let dirty_bytes = changed_bytes(&memories, leaving.sent.as_ref());
        leaving.measured = memories;
        let done = Done::Measured {
            dirty_bytes,
            state_bytes,
        };
        self.report(Role::Source, handover, &done);
    }

    /// Sends what was measured last.
    pub(super) fn send_round(&mut self, handover: HandoverId, connection: ConnectionId) {
        let Some(leaving) = self.moves.leaving.get_mut(&handover) else {
            return;
        };
        let memories = leaving.measured.clone();
        let before = leaving.sent.replace(memories.clone());
        leaving.rounds += 1;
        let base = base_of(before.as_ref());
        let outgoing = Outgoing::contents(handover, memory_heads(&memories), base, Vec::new());
        let pages = CutPages::new(memories, before);
        leaving.sending = Some(Sending::round(connection, outgoing, pages));
    }

    pub(super) fn throttle(&mut self, handover: HandoverId, share_ppm: u32) {
        if let Some(key) = self.key_of_move(handover) {
            self.records[key as usize].throttle = Throttle::to(share_ppm);
        }
    }

    /// Stops an instance and sends the rest of it.
    pub(super) fn freeze(
        &mut self,
        machine: &mut dyn Machine,
        handover: HandoverId,
        connection: ConnectionId,
    ) {
        if let Err(reason) = self.try_freeze(machine, handover, connection) {
            self.report(Role::Source, handover, &Done::Failed(reason));
        }
    }

    fn try_freeze(
        &mut self,
        machine: &mut dyn Machine,
        handover: HandoverId,
        connection: ConnectionId,
    ) -> Result<(), Reason> {
        let key = self.key_of_move(handover).ok_or(Reason::Ended)?;
        let failed = |error: crate::control::ControlError| Reason::local(&error.to_string());
        self.admit_cut(machine, key).map_err(failed)?;
        // What the guest has just said is on its way before it falls silent.
        self.poll_network(key);
        let now = self.clock.now();
        self.stand(key);
        let record = &mut self.records[key as usize];
        let stage = MovingStage::Standing;
        match &record.state {
            State::Live(live) if matches!(live.activity, Activity::Standing(_)) => {
                record.moving = Some(Moving { handover, stage });
            }
            State::Live(_) | State::Loading(_) | State::Ended(..) => return Err(Reason::Ended),
        }
        let about = self.about(key);
        let cut = self.cut(key).map_err(failed)?;
        let taken = self.clock.now();
        let leaving = self.moves.leaving.get_mut(&handover);
        let leaving = leaving.ok_or(Reason::Ended)?;
        leaving.stop.frozen = Some(now);
        leaving.stop.cut = Some(taken);
        leaving.taken_frames = cut.frames.iter().map(Vec::len).collect();
        leaving.measured = Vec::new();
        let before = leaving.sent.take();
        let last_bytes = changed_bytes(&cut.memories, before.as_ref());
        let heads = memory_heads(&cut.memories);
        let pages = CutPages::new(cut.memories.clone(), before.clone());
        let objects = parts::objects(&about, &Rc::new(cut), None);
        let outgoing = Outgoing::contents(handover, heads, base_of(before.as_ref()), objects);
        leaving.sending = Some(Sending::state(connection, outgoing, pages));
        let detail = format!(
            "after {} rounds and {} KiB; {} KiB of pages are left",
            leaving.rounds,
            leaving.bytes / 1024,
            last_bytes / 1024
        );
        let name = leaving.name.clone();
        self.journal.event(now, &name, EventKind::Frozen, detail);
        Ok(())
    }

    /// The attempt is void: the instance goes on here.
    pub(super) fn resume_leaving(&mut self, handover: HandoverId, epoch: u64) {
        if let Some(leaving) = self.moves.leaving.get_mut(&handover) {
            leaving.sending = None;
            leaving.sent = None;
            leaving.measured = Vec::new();
            leaving.forward_to = None;
            for (port, frame) in core::mem::take(&mut leaving.kept_frames) {
                self.fabric.put_frames(port, &[frame]);
            }
        }
        if let Some(key) = self.key_of_move(handover) {
            self.records[key as usize].epoch = epoch;
            self.settle(key);
            self.go_on(key);
            // It may have rested.
            if let Some(live) = self.records[key as usize].live()
                && live.activity == Activity::Runnable
            {
                self.want_cpu(key);
            }
        }
    }

    /// Forgets an instance that another node runs; its ports stay for a while.
    pub(super) fn release(&mut self, handover: HandoverId) {
        let now = self.clock.now();
        let Some(key) = self.key_of_move(handover) else {
            return;
        };
        let not_forwarded = self.moves.leaving.get(&handover);
        let not_forwarded = not_forwarded.filter(|leaving| leaving.forward_to.is_none());
        if let Some(peer) = not_forwarded.map(|leaving| leaving.peer) {
            self.begin_forwarding(handover, peer);
        }
        let count = self.records[key as usize].spec.ports.len();
        let mut ports = Vec::new();
        if let Some(live) = self.records[key as usize].live() {
            let count = count.min(live.ports.len());
            ports.extend(live.ports.drain(..count));
        }
        for port in &ports {
            self.owners.remove(port);
        }
        self.drop_instance(key);
        let Some(peer) = self.moves.leaving.get(&handover).map(|it| it.peer) else {
            return self.unplug(&ports);
        };
        self.depart(&ports, peer);
        let Some(leaving) = self.moves.leaving.get_mut(&handover) else {
            return;
        };
        leaving.ports = ports;
        leaving.kept_frames = Vec::new();
        leaving.sending = None;
        leaving.sent = None;
        let stood = leaving.stop.tell(now);
        let (name, peer) = (leaving.name.clone(), leaving.peer);
        let (rounds, kib) = (leaving.rounds, leaving.bytes / 1024);
        let peer = self.node_name(peer);
        let detail = format!("to {peer}: {rounds} rounds, {kib} KiB, {stood}");
        self.journal.event(now, &name, EventKind::Moved, detail);
    }
}

fn base_of(sent: Option<&Vec<FrozenMemory>>) -> Base {
    match sent {
        None => Base::Zero,
        Some(_) => Base::Earlier,
    }
}
