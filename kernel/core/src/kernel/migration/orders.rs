//! What operators ask about hand-overs.

use super::super::Kernel;
use super::super::record::{Activity, Moving, MovingStage, State};
use super::leaving::Leaving;
use super::pace::Pace;
use super::together::Evacuee;
use crate::control::{ControlError, MigrateOptions, MigratePace, MigrationRow, Owner};
use crate::kernel::VERSION;
use crate::limits;
use crate::log::{EventKind, Severity};
use crate::machine::{Duration, Machine};
use crate::migrate::{
    Answer, Goals, HandoverId, InstanceId, Migrations, Mode, NodeId, Offer, Order, Role, Row, Stage,
};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Kernel {
    /// Begins to hand an instance over to another node.
    ///
    /// # Errors
    /// It does not run, is being handed over already, or there is no such node: nothing is changed.
    pub(in crate::kernel) fn migrate(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        to: &str,
        options: MigrateOptions,
    ) -> Result<(), ControlError> {
        let peer = self.find_node(to)?;
        self.migrate_to(machine, name, peer, options)
    }

    pub(super) fn migrate_to(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        peer: NodeId,
        options: MigrateOptions,
    ) -> Result<(), ControlError> {
        let key = self.key_of(name)?;
        let order = self.order(key, peer, options)?;
        let now = self.clock.now();
        let begun = self.hub().begin(now, order);
        let handover = begun.map_err(|error| refusal(name, &error.to_string()))?;
        let node = self.node_name(peer);
        self.note_leaving(handover, key, peer, options, format!("to {node}"));
        self.carry_out(machine);
        Ok(())
    }

    /// An attempt was begun.
    pub(super) fn note_leaving(
        &mut self,
        handover: HandoverId,
        key: u32,
        peer: NodeId,
        options: MigrateOptions,
        detail: String,
    ) {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        let stage = MovingStage::Copied;
        record.moving = Some(Moving { handover, stage });
        let pace = Pace::new(options.bandwidth, now);
        let name = record.spec.name.clone();
        let leaving = Leaving::new(name.clone(), peer, record.usage.started, pace);
        self.moves.leaving.insert(handover, leaving);
        self.moves
            .announcing
            .retain(|it| !it.is_of(handover.instance));
        self.journal.event(now, &name, EventKind::Migrating, detail);
    }

    /// What the protocol is asked to do with an instance.
    pub(super) fn order(
        &mut self,
        key: u32,
        peer: NodeId,
        options: MigrateOptions,
    ) -> Result<Order, ControlError> {
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        record.require_settled()?;
        record.require_own()?;
        let (instance, epoch) = (record.instance, record.epoch);
        let live = match &mut record.state {
            State::Live(live) => live,
            State::Ended(..) | State::Loading(_) => return Err(record.not_running()),
        };
        match live.activity {
            Activity::Runnable | Activity::Waiting => {}
            Activity::Paused(_) | Activity::Standing(_) => {
                let reason = format!("it is paused; `resume {name}` first");
                return Err(ControlError::Migration { name, reason });
            }
            Activity::Stopping(_) => return Err(ControlError::NotRunning(name)),
        }
        let mut goals = Goals::default();
        if let Some(downtime_ms) = options.downtime_ms {
            goals.downtime = Duration::from_millis(u64::from(downtime_ms));
            goals.settled_downtime = goals.downtime;
            goals.most_downtime = goals.most_downtime.max(goals.downtime);
        }
        Ok(Order {
            instance,
            epoch,
            peer,
            mode: match options.pace {
                MigratePace::Live => Mode::Live,
                MigratePace::Cold => Mode::Cold,
            },
            goals,
            offer: Offer {
                name,
                kernel: VERSION.into(),
                memory_bytes: live.execution.memory_bytes(),
                resident_bytes: live.execution.resident_bytes(),
                state_bytes: live.execution.guest().capture_bytes(),
            },
        })
    }

    /// Gives a hand-over up.
    ///
    /// # Errors
    /// There is none, or it is too late.
    pub(in crate::kernel) fn cancel_migration(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
    ) -> Result<(), ControlError> {
        self.evacuation_forget(name);
        let (now, instance) = (self.clock.now(), self.moving_instance(name)?);
        let cancelled = self.hub().cancel(now, instance);
        cancelled.map_err(|error| refusal(name, &error.to_string()))?;
        self.carry_out(machine);
        Ok(())
    }

    /// Takes an operator's word on an instance that is in doubt.
    ///
    /// # Errors
    /// Nothing about it is in doubt.
    pub(in crate::kernel) fn resolve_migration(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        owner: Owner,
    ) -> Result<(), ControlError> {
        let (now, instance) = (self.clock.now(), self.moving_instance(name)?);
        let answer = match owner {
            Owner::Here => Answer::Here,
            Owner::There => Answer::There,
            Owner::Nobody => Answer::Drop,
        };
        let resolved = self.hub().resolve(now, instance, answer);
        resolved.map_err(|error| refusal(name, &error.to_string()))?;
        self.carry_out(machine);
        Ok(())
    }

    /// The instance of this name that takes part in a hand-over.
    fn moving_instance(&self, name: &str) -> Result<InstanceId, ControlError> {
        let mut records = self.occupied();
        let is_it = |record: &super::super::record::Record| {
            record.spec.name == name && record.moving.is_some()
        };
        match records.find(|(_, record)| is_it(record)) {
            Some((_, record)) => Ok(record.instance),
            None => {
                self.key_of(name)?;
                Err(refusal(name, "it is not being migrated"))
            }
        }
    }

    pub(super) fn find_node(&self, name: &str) -> Result<NodeId, ControlError> {
        let talks = self.moves.talks.values();
        let peers = talks.filter(|talk| talk.name == name).map(|talk| talk.peer);
        let peers: BTreeSet<NodeId> = peers.collect();
        let found = self.node.find(name).or_else(|| {
            // Only a node without a secret, which has no network of its own, knows others by what they say alone.
            let is_sole = self.keys.is_none() && peers.len() == 1;
            peers.first().copied().filter(|_| is_sole)
        });
        found.ok_or_else(|| ControlError::NoSuchNode(name.into()))
    }

    /// Has every instance that runs leave, to the nodes in turn.
    ///
    /// # Errors
    /// There is no such node: nothing is changed.
    pub(in crate::kernel) fn evacuate(
        &mut self,
        to: &[String],
        options: MigrateOptions,
    ) -> Result<(), ControlError> {
        let mut nodes = Vec::new();
        for name in to {
            nodes.push(self.find_node(name)?);
        }
        let leave = |record: &super::super::record::Record| {
            let runs = matches!(&record.state, State::Live(live)
                if matches!(live.activity, Activity::Runnable | Activity::Waiting));
            runs && record.moving.is_none() && record.require_own().is_ok()
        };
        let names = self.occupied().filter(|(_, record)| leave(record));
        let keys: Vec<u32> = names.map(|(key, _)| key).collect();
        let together = self.linked_together(&keys);
        let places = together.into_iter().zip(nodes.into_iter().cycle());
        let evacuees = places.map(|(names, to)| Evacuee { names, to, options });
        self.moves.evacuation = evacuees.collect();
        Ok(())
    }

    fn evacuation_forget(&mut self, name: &str) {
        for evacuee in &mut self.moves.evacuation {
            evacuee.names.retain(|waiting| waiting != name);
        }
        self.moves
            .evacuation
            .retain(|evacuee| !evacuee.names.is_empty());
        let leaving = &self.moves.leaving;
        let is_it = |handover: &HandoverId| {
            let leaving = leaving.get(handover);
            leaving.is_some_and(|leaving| leaving.name == name)
        };
        self.moves.evacuated.retain(|handover, _| !is_it(handover));
    }

    /// Begins with the next instance that has to leave, if not too many are under way.
    pub(super) fn evacuate_next(&mut self, machine: &mut dyn Machine) {
        let under_way = self.moves.leaving.values().filter(|it| it.is_here());
        if self.moves.evacuation.is_empty() || under_way.count() >= limits::EVACUATIONS {
            return;
        }
        let Some(Evacuee { names, to, options }) = self.moves.evacuation.pop_front() else {
            return;
        };
        let is_group = names.len() > 1;
        let begun = match &names[..] {
            [name] => self.migrate_to(machine, name, to, options),
            _ => self
                .migrate_together(machine, &names, to, options)
                .map(|begun| {
                    let evacuated = begun.into_iter().map(|handover| (handover, (to, options)));
                    self.moves.evacuated.extend(evacuated);
                }),
        };
        if let Err(error) = begun {
            self.log(Severity::Warning, format!("evacuation: {error}"));
            // One that cannot leave keeps nobody else here.
            let alone = names.into_iter().filter(|_| is_group).map(|name| Evacuee {
                names: [name].to_vec(),
                to,
                options,
            });
            self.moves.evacuation.extend(alone);
        }
    }

    /// `migrate`.
    pub(in crate::kernel) fn migration_rows(&self) -> Vec<MigrationRow> {
        let rows = self.moves.hub.iter().flat_map(Migrations::rows);
        rows.map(|row| self.migration_row(&row)).collect()
    }

    fn migration_row(&self, row: &Row) -> MigrationRow {
        let (handover, progress) = (row.handover, row.progress);
        let leaving = self.moves.leaving.get(&handover);
        let coming = self.moves.coming.get(&handover);
        let name = leaving.map(|leaving| leaving.name.as_str());
        let name = name.or_else(|| coming.map(|coming| coming.name()));
        let (stage, doubt) = match row.stage {
            Stage::Offering => ("offering", String::new()),
            Stage::Copying => ("copying", String::new()),
            Stage::Stopped => ("stopped", String::new()),
            Stage::Waiting => ("waiting", String::new()),
            Stage::Prepared => ("prepared", String::new()),
            Stage::Committed => ("committed", String::new()),
            Stage::HandedOver => ("handed-over", String::new()),
            Stage::InDoubt(doubt) => ("in-doubt", doubt.to_string()),
        };
        MigrationRow {
            name: name.unwrap_or("?").into(),
            instance: handover.instance.to_string(),
            epoch: handover.epoch,
            direction: match row.role {
                Role::Source => "to".into(),
                Role::Target => "from".into(),
            },
            peer: self.node_name(row.peer),
            stage: stage.into(),
            doubt,
            group: self
                .moves
                .groups
                .get(&handover)
                .cloned()
                .unwrap_or_default(),
            rounds: progress.rounds,
            sent_bytes: leaving.map_or(progress.sent_bytes, |leaving| leaving.bytes),
            dirty_bytes: progress.dirty_bytes,
            dirty_rate: progress.dirty_rate,
            bandwidth: progress.bandwidth,
            expected_downtime_nanos: progress.expected_downtime.as_nanos() as u64,
            share_ppm: progress.share_ppm,
        }
    }
}

pub(super) fn refusal(name: &str, reason: &str) -> ControlError {
    ControlError::Migration {
        name: name.into(),
        reason: reason.into(),
    }
}
