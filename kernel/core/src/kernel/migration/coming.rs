//! Instances that come from another node: judged, filled, made, and run when the word comes.

use super::super::Kernel;
use super::super::admission;
use super::super::anew::require_sound;
use super::super::arrival::{Received, Receiver};
use super::super::cut::FromCut;
use super::super::record::{
    Activity, Ended, Held, LoadingInstance, Moving, MovingStage, Record, State,
};
use crate::cluster::station_address;
use crate::control::ControlError;
use crate::host::Revival;
use crate::image::BlobHash;
use crate::instance::engine::Program;
use crate::log::EventKind;
use crate::machine::{Duration, Machine, Time};
use crate::migrate::{Delivery, Done, HandoverId, Incoming, NodeId, Offer, PortNetwork, Role};
use crate::net::frame::{MacAddress, is_group};
use crate::snapshot::About;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// For how long states of all that come are decoded in one turn: an instance stands meanwhile, so this is longer than a slice.
const DECODING: Duration = Duration::from_millis(1);

/// What is kept of an instance that comes.
#[derive(Default)]
pub(super) struct Coming {
    pub peer: NodeId,
    /// Whose instance it was first, if that is not its source.
    pub origin: Option<NodeId>,
    incoming: Incoming,
    received: Received,
    about: Option<About>,
    /// The private networks that its ports are on, as its source says,
    networks: Vec<PortNetwork>,
    /// and as it was admitted to.
    placed: Vec<PortNetwork>,
    /// Its place, once it is admitted,
    key: Option<u32>,
    /// and what was there of an instance of its name, which is to be there again if it does not come.
    empty_place: Option<Record>,
    /// Its modules and files: they stay while it comes.
    blobs: Vec<Arc<[u8]>>,
    program: Option<Arc<Program>>,
    phase: Phase,
    /// When all of it had come,
    complete: Option<Time>,
    /// and when it was made.
    made: Option<Time>,
}

/// How far an instance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// Parts of it come.
    #[default]
    Receiving,
    /// All parts are here: they are decoded one by one.
    Preparing,
    /// It is made, or cannot be.
    Made,
}

impl Coming {
    pub(super) fn of_nothing() -> Coming {
        Coming {
            received: Received::from_node(),
            ..Coming::default()
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        self.about.as_ref().map_or("?", |about| &about.spec.name)
    }

    /// Its ports are on these networks.
    pub fn set_networks(&mut self, networks: &[PortNetwork]) {
        self.networks = networks.to_vec();
    }

    /// How long it took to be made, and how long it then waited for the word to run.
    fn tell_spans(&self, now: Time) -> String {
        match (self.complete, self.made) {
            (Some(complete), Some(made)) => format!(
                ": made in {} us, told to run after {} us",
                made.since(complete).as_micros(),
                now.since(made).as_micros()
            ),
            (None, _) | (_, None) => String::new(),
        }
    }

    /// Its place, once it is admitted.
    pub fn key(&self) -> Option<u32> {
        self.key
    }
}

impl Kernel {
    /// Stores what came of an instance.
    pub(super) fn take_contents(
        &mut self,
        machine: &mut dyn Machine,
        handover: HandoverId,
        delivery: &Delivery<'_>,
    ) {
        let coming = self.moves.coming.remove(&handover);
        let mut coming = coming.unwrap_or_else(Coming::of_nothing);
        let mut sink = Receiver {
            received: &mut coming.received,
            kernel: self,
            machine,
        };
        let taken = coming.incoming.take(delivery, &mut sink);
        self.moves.coming.insert(handover, coming);
        if let Err(error) = taken {
            self.fail(Role::Target, handover, &error.to_string());
        }
    }

    /// Whether an instance can come; answers with what is missing of its modules and files.
    ///
    /// # Errors
    /// In words: why it cannot run here.
    pub(super) fn admit_arrival(
        &mut self,
        machine: &mut dyn Machine,
        handover: HandoverId,
        peer: NodeId,
        offer: &Offer,
    ) -> Result<Vec<BlobHash>, String> {
        let coming = self.moves.coming.get_mut(&handover);
        let coming = coming.ok_or("it was not described")?;
        coming.peer = peer;
        let networks = core::mem::take(&mut coming.networks);
        let coming_origin = coming.origin;
        let about = coming.received.parts.about(admission::spare_bytes(machine));
        let about = about.map_err(|error| error.to_string())?;
        let spec = &about.spec;
        require_sound(spec).map_err(|error| error.to_string())?;
        if spec.name != offer.name || about.macs.len() != spec.ports.len() {
            return Err("its description does not fit the offer".into());
        }
        self.require_place_beside(&about, handover)
            .map_err(|error| error.to_string())?;
        let origin = coming_origin.unwrap_or(peer);
        while let Err(refusal) = admission::arrival(machine, offer.resident_bytes)
            .and_then(|()| admission::instance(machine, spec))
        {
            if !self.forget_translation() {
                return Err(refusal.to_string());
            }
        }
        self.place_networks(handover.instance, spec, &networks)?;
        let missing = spec.blobs().filter(|hash| !self.blobs.contains(hash));
        let missing: BTreeSet<BlobHash> = missing.collect();
        let mut record = Record::new(spec.clone(), about.macs.clone(), handover.instance);
        let stage = MovingStage::Arriving;
        record.moving = Some(Moving { handover, stage });
        record.origin = Some(origin).filter(|&origin| Some(origin) != self.node.id());
        let empty_place = self.take_empty_place(&about.spec.name);
        let key = self.insert_record(record);
        let Some(key) = key else {
            return Err("the node has all the instances it can hold".into());
        };
        if let Some(coming) = self.moves.coming.get_mut(&handover) {
            // What is here already does not go while the rest comes.
            coming.blobs = self.blobs.hold(&about.spec);
            coming.about = Some(about);
            coming.placed = networks;
            coming.empty_place = empty_place;
            coming.key = Some(key);
        }
        self.renew_awaited();
        Ok(missing.into_iter().collect())
    }

    /// That nobody but an earlier copy of it has the name or a station address of an instance.
    fn require_place_beside(
        &self,
        about: &About,
        handover: HandoverId,
    ) -> Result<(), ControlError> {
        let name = &about.spec.name;
        let own = self.keys.as_ref().map(station_address);
        let stations = self.nics.iter().map(|nic| nic.mac).chain(own);
        let stations: Vec<MacAddress> = stations.collect();
        let is_bad = |mac: &MacAddress| is_group(*mac) || stations.contains(mac);
        if about.macs.iter().any(is_bad) {
            return Err(ControlError::StationTaken {
                name: name.clone(),
                instance: self.name.clone(),
            });
        }
        for (_, record) in self.occupied() {
            let is_earlier = record.instance == handover.instance && record.moving.is_some();
            if is_earlier || record.waits_for(name) {
                continue;
            }
            if record.spec.name == *name {
                return Err(ControlError::NameTaken(name.clone()));
            }
            if record.macs.iter().any(|mac| about.macs.contains(mac)) {
                return Err(ControlError::StationTaken {
                    name: name.clone(),
                    instance: record.spec.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Has the program of an instance translated that comes.
    pub(super) fn make_ready(&mut self, machine: &mut dyn Machine, handover: HandoverId) {
        let Some(coming) = self.moves.coming.get_mut(&handover) else {
            return;
        };
        let blobs = core::mem::take(&mut coming.received.blobs);
        let (Some(about), Some(key)) = (&coming.about, coming.key) else {
            return;
        };
        let spec = about.spec.clone();
        let held = self.blobs.keep_for(&spec, blobs);
        let made = held.map_err(|refusal| refusal.to_string());
        let made = made.and_then(|held| {
            if let Some(coming) = self.moves.coming.get_mut(&handover) {
                coming.blobs = held;
            }
            self.add_program(&spec)?;
            self.begin_loading(key, None);
            self.load_slice(machine, key)
        });
        if let Err(reason) = made {
            self.fail(Role::Target, handover, &reason);
        }
    }

    /// Whether an instance comes from another node, so that it does not start when its program is translated.
    pub(in crate::kernel) fn is_arriving(&self, key: u32) -> bool {
        let moving = self.records[key as usize].moving;
        moving.is_some_and(|moving| moving.stage == MovingStage::Arriving)
    }

    /// The program of an instance that comes is translated.
    pub(in crate::kernel) fn arrival_is_translated(&mut self, key: u32, program: Arc<Program>) {
        let record = &mut self.records[key as usize];
        record.state = State::Ended(Ended::NeverStarted, None);
        let Some(Moving { handover, .. }) = record.moving else {
            return;
        };
        if let Some(coming) = self.moves.coming.get_mut(&handover) {
            coming.program = Some(program);
        }
        self.report(Role::Target, handover, &Done::Ready);
    }

    /// The program of an instance that comes is not to be had.
    pub(in crate::kernel) fn arrival_cannot_be_translated(&mut self, key: u32, reason: &str) {
        if let State::Loading(_) = self.records[key as usize].state {
            self.end_loading(key, Ended::NeverStarted);
        }
        if let Some(Moving { handover, .. }) = self.records[key as usize].moving {
            self.fail(Role::Target, handover, reason);
        }
    }

    /// All pages of a round have come.
    pub(super) fn finish_round(&mut self, handover: HandoverId, round: u32) {
        let Some(coming) = self.moves.coming.get_mut(&handover) else {
            return;
        };
        match coming.incoming.end_round() {
            Ok(()) => self.report(Role::Target, handover, &Done::RoundStored { round }),
            Err(problem) => self.fail(Role::Target, handover, &problem.to_string()),
        }
    }

    /// All of an instance has come.
    pub(super) fn begin_preparing(&mut self, handover: HandoverId) {
        let Some(coming) = self.moves.coming.get_mut(&handover) else {
            return;
        };
        match coming.incoming.end_round() {
            Ok(()) => {
                coming.phase = Phase::Preparing;
                coming.complete = Some(self.clock.now());
            }
            Err(problem) => self.fail(Role::Target, handover, &problem.to_string()),
        }
    }

    /// Whether an instance is being made.
    pub(super) fn has_arrival_to_prepare(&self) -> bool {
        let mut coming = self.moves.coming.values();
        coming.any(|coming| coming.phase == Phase::Preparing)
    }

    /// Decodes states of instances of which all has come, for a while, and makes those of which that is all. Who
    /// has waited longest comes first.
    pub(super) fn prepare_arrivals(&mut self, machine: &mut dyn Machine) {
        let preparing = self.moves.coming.iter();
        let preparing = preparing.filter(|(_, coming)| coming.phase == Phase::Preparing);
        let mut preparing: Vec<(Option<Time>, HandoverId)> = preparing
            .map(|(&handover, coming)| (coming.complete, handover))
            .collect();
        preparing.sort_unstable();
        let begin = self.clock.now();
        for (number, (_, handover)) in preparing.into_iter().enumerate() {
            if number > 0 && self.clock.now().since(begin) >= DECODING {
                break;
            }
            let Some(coming) = self.moves.coming.get_mut(&handover) else {
                continue;
            };
            let decoded = loop {
                let room_bytes = admission::spare_bytes(machine);
                let decoded = coming.received.parts.decode_next(room_bytes);
                match decoded {
                    // It stands: what is small goes in one turn.
                    Ok(true) if self.clock.now().since(begin) < DECODING => {}
                    Ok(true) | Ok(false) | Err(_) => break decoded,
                }
            };
            let made = match decoded {
                Ok(true) => continue,
                Ok(false) => {
                    coming.phase = Phase::Made;
                    self.make_arrived(machine, handover)
                }
                Err(error) => {
                    coming.phase = Phase::Made;
                    Err(error.to_string())
                }
            };
            match made {
                Ok(()) => {
                    if let Some(coming) = self.moves.coming.get_mut(&handover) {
                        coming.made = Some(self.clock.now());
                    }
                    self.report(Role::Target, handover, &Done::Prepared);
                }
                Err(reason) => self.fail(Role::Target, handover, &reason),
            }
        }
    }

    /// Makes an instance of which all has come. It stands.
    fn make_arrived(
        &mut self,
        machine: &mut dyn Machine,
        handover: HandoverId,
    ) -> Result<(), String> {
        let now = self.clock.now();
        let coming = self.moves.coming.get_mut(&handover);
        let coming = coming.ok_or("it was not described")?;
        let mut received = core::mem::take(&mut coming.received);
        let (key, program) = (coming.key, coming.program.clone());
        let (Some(key), Some(program)) = (key, program) else {
            return Err("its program is not translated".into());
        };
        let about = received.parts.about(admission::spare_bytes(machine));
        let about = about.map_err(|error| error.to_string())?;
        let is_same = |first: &About| first.spec == about.spec && first.macs == about.macs;
        if !coming.about.as_ref().is_some_and(is_same) {
            return Err("it is not what was described first".into());
        }
        let placed = core::mem::take(&mut coming.placed);
        self.check_networks(&about.spec, &placed)?;
        let mut memories = Vec::new();
        for filling in received.memories {
            memories.push(filling.finish()?);
        }
        let cut = received.parts.cut(&about, memories);
        let cut = cut.map_err(|error| error.to_string())?;
        let checked = cut.check_stations();
        checked.map_err(|error| error.to_string())?;
        let record = &mut self.records[key as usize];
        record.state = State::Loading(LoadingInstance {
            requested: now,
            remains: None,
            from: Some(Box::new(FromCut::alone(cut, Revival::Continued))),
        });
        let built = self.build(machine, key, &program);
        let record = &mut self.records[key as usize];
        match built {
            Ok(mut live) => {
                live.activity = Activity::Standing(Held::Runnable);
                live.requested = None;
                live.execution.guest_mut().clock.pause();
                let ports = live.ports.iter().take(record.spec.ports.len());
                ports.for_each(|&port| self.fabric.hold_arriving(port));
                record.state = State::Live(Box::new(live));
                self.node.note_visitor();
                Ok(())
            }
            Err(reason) => {
                record.state = State::Ended(Ended::NeverStarted, None);
                Err(reason)
            }
        }
    }

    /// Lets an instance run that has come.
    pub(super) fn run_arrived(&mut self, handover: HandoverId, epoch: u64) {
        let now = self.clock.now();
        let coming = self.moves.coming.get(&handover);
        let spans = coming.map_or_else(String::new, |coming| coming.tell_spans(now));
        let Some((key, peer)) = coming.and_then(|coming| Some((coming.key?, coming.peer))) else {
            return self.fail(Role::Target, handover, "its copy is gone");
        };
        let record = &mut self.records[key as usize];
        let State::Live(live) = &mut record.state else {
            return self.fail(Role::Target, handover, "its copy is gone");
        };
        record.limits_told = live.execution.guest().reached_limits();
        // That it goes on was counted when it was made.
        live.execution.guest_mut().clock.resume();
        record.epoch = epoch;
        record.usage.started = now;
        let name = record.spec.name.clone();
        self.settle(key);
        let detail = format!("from {}{spans}", self.node_name(peer));
        self.journal.event(now, &name, EventKind::Arrived, detail);
        self.begin_announcing(handover.instance);
        self.go_on(key);
        self.announce_stations(key);
        self.renew_awaited();
        self.report(Role::Target, handover, &Done::Running);
    }

    /// Drops what there is of an instance that does not run here.
    pub(super) fn discard(&mut self, handover: HandoverId) {
        let key = self.key_of_move(handover);
        if let Some(coming) = self.moves.coming.get_mut(&handover) {
            coming.received = Received::default();
            coming.blobs = Vec::new();
            coming.program = None;
            coming.key = None;
            coming.phase = Phase::Made;
        }
        if let Some(key) = key {
            self.drop_instance(key);
            self.renew_awaited();
        }
        let coming = self.moves.coming.get_mut(&handover);
        if let Some(place) = coming.and_then(|coming| coming.empty_place.take()) {
            // One place has just become free.
            self.insert_record(place);
        }
    }
}
