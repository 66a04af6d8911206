//! Cuts of running instances, and instances made of cuts: what snapshots, clones and migrations are
//! built from (D4 to D7).
//!
//! A cut is taken between two slices and disturbs nothing: the instance goes on. An instance that is
//! made of one goes the way of every start (it may have to wait for its program's translation), only
//! that it is restored where another is instantiated.

use super::anew::Claimed;
use super::files::file_limits;
use super::record::{Activity, Ended, Former, FormerInstance, Record, State};
use super::{Kernel, admission};
use crate::control::{ControlError, MadeRow};
use crate::host::{Guest, GuestRevival, Identity, Revival};
use crate::image::{AddressSpec, InstanceSpec};
use crate::instance::engine::{EngineLimits, Execution, MemoryRequest, Program};
use crate::machine::Machine;
use crate::net::fabric::PortId;
use crate::net::frame::MacAddress;
use crate::net::stack::{
    CloneNetwork, RevivedPort, Stack, StackLimits, StackRevival, Surroundings,
};
use crate::sched::Account;
use crate::snapshot::Cut;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use rand_core::RngCore;

/// A cut that is to become an instance.
pub(super) struct FromCut {
    pub cut: Cut,
    pub revival: Revival,
    /// What becomes of the network behind each port.
    pub surroundings: Vec<Surroundings>,
    /// Who goes on from the same instant.
    pub company: Arc<Company>,
}

/// What instances that go on together know of each other.
#[derive(Default)]
pub(super) struct Company {
    /// Both addresses of each connection of each of them.
    pub connections: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Station addresses of clones, by those of the originals.
    pub stations: BTreeMap<MacAddress, MacAddress>,
}

impl FromCut {
    /// A cut that becomes an instance by itself.
    pub fn alone(cut: Cut, revival: Revival) -> FromCut {
        FromCut {
            cut,
            revival,
            surroundings: Vec::new(),
            company: Arc::default(),
        }
    }
}

impl Kernel {
    /// Whether there is memory for a cut of an instance, whose parts are allocated without a way to fail.
    ///
    /// # Errors
    /// [`ControlError::NotCut`] with what is missing; nothing for one that does not run.
    pub(super) fn admit_cut(
        &mut self,
        machine: &dyn Machine,
        key: u32,
    ) -> Result<(), ControlError> {
        let record = &mut self.records[key as usize];
        record.require_home()?;
        let name = record.spec.name.clone();
        let Some(live) = record.live() else {
            return Ok(());
        };
        let guest = live.execution.guest();
        let ports = live.ports.iter();
        let waiting = ports.map(|&port| self.fabric.waiting_bytes(port));
        let bytes = [
            live.execution.capture_bytes(),
            guest.capture_bytes(),
            guest.stack.capture_bytes() as u64,
            // A paused instance takes none of them, and they may be megabytes.
            waiting.sum(),
        ];
        let admitted = admission::cut(machine, bytes.into_iter().fold(0, u64::saturating_add));
        admitted.map_err(|refusal| ControlError::NotCut {
            name,
            reason: refusal.to_string(),
        })
    }

    /// Whether there is memory for a copy of cuts that takes so much, to be made into the instance `name`.
    ///
    /// # Errors
    /// [`ControlError::StartFailed`] with what is missing.
    pub(super) fn admit_copy(
        &mut self,
        machine: &dyn Machine,
        name: &str,
        copy_bytes: u64,
    ) -> Result<(), ControlError> {
        while let Err(refusal) = admission::cut(machine, copy_bytes) {
            if !self.forget_translation() {
                return Err(ControlError::StartFailed {
                    name: name.into(),
                    reason: refusal.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Takes a cut of an instance, which goes on.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`], [`ControlError::StillLoading`], or
    /// [`ControlError::NotCut`] with the reason.
    pub(super) fn cut(&mut self, key: u32) -> Result<Cut, ControlError> {
        let record = &mut self.records[key as usize];
        let spec = record.spec.clone();
        let macs = record.macs.clone();
        let failed = |reason: String| ControlError::NotCut {
            name: spec.name.clone(),
            reason,
        };
        let live = match &mut record.state {
            State::Live(live) if !matches!(live.activity, Activity::Stopping(_)) => live,
            _ => return Err(record.not_running()),
        };
        let execution = live.execution.capture();
        let execution = execution.map_err(|error| failed(error.to_string()))?;
        let memories = live.execution.freeze_memories();
        let memories = memories.map_err(|error| failed(error.to_string()))?;
        let guest = live.execution.guest_mut();
        let stack = guest.stack.capture();
        let ports = live.ports.iter().take(spec.ports.len());
        let cut = Cut {
            macs,
            wall_nanos: self.clock.wall_nanos(),
            execution,
            guest: guest.capture(),
            stack,
            frames: ports
                .map(|&port| self.fabric.waiting_frames(port))
                .collect(),
            memories,
            blobs: self.blobs.hold(&spec),
            spec,
        };
        let frozen = self.clock.now();
        record.usage.freeze_nanos = frozen.since(self.arrival).as_nanos() as u64;
        Ok(cut)
    }

    /// Makes an instance of a cut under its own name and addresses: a rollback, if the original went on.
    ///
    /// # Errors
    /// As for [`Self::require_place`] and a start: what was there is as it was.
    pub(super) fn restore(
        &mut self,
        machine: &mut dyn Machine,
        cut: Cut,
        revival: Revival,
    ) -> Result<u32, ControlError> {
        self.require_place(&cut)?;
        let key = self.take_place(&cut)?;
        self.launch_cut(machine, key, cut, revival)?;
        Ok(key)
    }

    /// Prepares the place where a cut becomes its instance again: the record of that name is taken over, or there
    /// is a new one. Answers with its key.
    ///
    /// # Errors
    /// [`ControlError::StartFailed`]: nothing was changed.
    pub(super) fn take_place(&mut self, cut: &Cut) -> Result<u32, ControlError> {
        let Ok(key) = self.key_of(&cut.spec.name) else {
            return self.insert_cut(cut);
        };
        self.add_program_of(&cut.spec)?;
        self.become_cut(key, cut);
        Ok(key)
    }

    /// Has a cut say what an instance is that does not run. What that was is kept until it lives.
    fn become_cut(&mut self, key: u32, cut: &Cut) {
        let starts_at_boot = self.cancel_autostart(key);
        let record = &mut self.records[key as usize];
        let ended = match &record.state {
            State::Ended(ended, _) => ended.clone(),
            // Nobody takes the place of one that runs.
            State::Live(_) | State::Loading(_) => Ended::NeverStarted,
        };
        let account = Account::new(cut.spec.limits.cpu_shares);
        let former = FormerInstance {
            ended,
            starts_at_boot,
            spec: core::mem::replace(&mut record.spec, cut.spec.clone()),
            macs: core::mem::replace(&mut record.macs, cut.macs.clone()),
            account: core::mem::replace(&mut record.account, account),
            usage: record.usage,
            restart_due: record.restart_due.take(),
            failures: core::mem::take(&mut record.failures),
        };
        record.former = Some(Former::Instance(Box::new(former)));
        self.set_timer(key);
    }

    /// Has the place of an instance that does not run be what it was before a cut that did not come to life, if it was
    /// to be one: what was to start it does so again, and where nobody was nobody is.
    pub(super) fn become_former(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        let former = match record.former.take() {
            None => return,
            Some(Former::Nobody) => return self.remove_record(key),
            Some(Former::Instance(former)) => former,
        };
        let remains = match &mut record.state {
            State::Ended(_, remains) => remains.take(),
            State::Live(_) | State::Loading(_) => None,
        };
        record.state = State::Ended(former.ended, remains);
        record.spec = former.spec;
        record.macs = former.macs;
        record.account = former.account;
        record.usage = former.usage;
        record.restart_due = former.restart_due;
        record.failures = former.failures;
        if former.starts_at_boot {
            // They start in the order of the manifest, as their records are.
            let place = self.autostart.partition_point(|&waiting| waiting < key);
            self.autostart.insert(place, key);
        }
        self.set_timer(key);
    }

    /// That a cut may become its instance again: nobody else is that, by name or by station address (D6).
    ///
    /// # Errors
    /// As for [`Record::require_replaceable`]; [`ControlError::StationTaken`].
    pub(super) fn require_place(&self, cut: &Cut) -> Result<(), ControlError> {
        let name = &cut.spec.name;
        for (_, record) in self.occupied() {
            if record.spec.name == *name {
                record.require_replaceable()?;
            } else if record.macs.iter().any(|mac| cut.macs.contains(mac)) {
                return Err(ControlError::StationTaken {
                    name: name.clone(),
                    instance: record.spec.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Makes another instance of a cut, called `name`: with station addresses of its own, the addresses that
    /// were given for its ports, and without the original's connections; frames for those are of no use to it.
    /// Answers with its key.
    ///
    /// # Errors
    /// As for `make_anew` and a start.
    pub(super) fn clone_cut(
        &mut self,
        machine: &mut dyn Machine,
        mut cut: Cut,
        name: &str,
        given: &[(String, AddressSpec)],
    ) -> Result<(u32, MadeRow), ControlError> {
        let place = self.make_anew(&mut cut, name, given, &BTreeMap::new(), &mut Claimed::new())?;
        let row = MadeRow {
            name: name.into(),
            unplugged: place.unplugged,
            unaddressed: place.unaddressed,
        };
        let key = self.insert_cut(&cut)?;
        self.launch_cut(machine, key, cut, Revival::Cloned)?;
        Ok((key, row))
    }

    /// A record for a cut, where nobody is if that does not come to life.
    pub(super) fn insert_cut(&mut self, cut: &Cut) -> Result<u32, ControlError> {
        self.add_program_of(&cut.spec)?;
        let record = Record {
            former: Some(Former::Nobody),
            ..Record::new(cut.spec.clone(), cut.macs.clone(), self.draw_instance_id())
        };
        let inserted = self.insert_record(record);
        inserted.ok_or_else(|| ControlError::StartFailed {
            name: cut.spec.name.clone(),
            reason: "the node has all the instances it can hold".into(),
        })
    }

    /// Makes the program of a cut known.
    fn add_program_of(&mut self, spec: &InstanceSpec) -> Result<(), ControlError> {
        let added = self.add_program(spec);
        added.map_err(|reason| ControlError::StartFailed {
            name: spec.name.clone(),
            reason,
        })
    }

    /// Lets an instance go on from a cut.
    ///
    /// # Errors
    /// As for a start.
    pub(super) fn launch_cut(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
        cut: Cut,
        revival: Revival,
    ) -> Result<(), ControlError> {
        let name = cut.spec.name.clone();
        let from = Some(Box::new(FromCut::alone(cut, revival)));
        self.launch_as(machine, key, from)
            .map_err(|reason| ControlError::StartFailed { name, reason })
    }

    /// Makes the execution of an instance from a cut.
    pub(super) fn revive(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
        program: &Arc<Program>,
        ports: &[PortId],
        from: FromCut,
    ) -> Result<Execution<Guest>, String> {
        let stack = self.revive_stack(key, ports, &from)?;
        let FromCut { cut, revival, .. } = from;
        let Record {
            spec, streams_to, ..
        } = &self.records[key as usize];
        let mut random_seed = [0; 32];
        self.random.fill_bytes(&mut random_seed);
        let identity = Identity {
            instance: spec.name.clone(),
            node: self.name.clone(),
            generation: self.random.next_u64(),
        };
        let blobs = &mut self.blobs;
        let guest = Guest::restore(
            cut.guest,
            GuestRevival {
                identity,
                revival,
                random_seed,
                log_bytes: spec.limits.log_bytes,
                files: file_limits(spec),
                sockets: spec.limits.sockets,
                streams: *streams_to,
                stack,
                clock: self.clock.clone(),
                find_blob: &mut |blob| blobs.get(&blob.hash()).ok(),
            },
        );
        let mut guest = guest.map_err(|error| error.to_string())?;
        guest.clock.resume();
        let limits = EngineLimits::of(&spec.limits);
        let memories = &mut |request: MemoryRequest, place: Option<usize>| match place
            .and_then(|place| cut.memories.get(place))
        {
            Some(memory) => machine.map_frozen(memory, request.maximum_bytes),
            None => machine.reserve_memory(request.maximum_bytes),
        };
        Execution::restore(program, memories, guest, &limits, &cut.execution)
            .map_err(|error| error.to_string())
    }

    /// The network of a cut, behind new ports.
    fn revive_stack(
        &mut self,
        key: u32,
        ports: &[PortId],
        from: &FromCut,
    ) -> Result<Stack, String> {
        let (cut, company) = (&from.cut, &from.company);
        let spec = &self.records[key as usize].spec;
        let guest_ports = &ports[..spec.ports.len()];
        for (&port, frames) in guest_ports.iter().zip(&cut.frames) {
            self.fabric.put_frames(port, frames);
        }
        let state = match from.revival {
            Revival::Cloned => {
                let network = CloneNetwork {
                    interfaces: &self.interface_configs(key, guest_ports),
                    surroundings: &from.surroundings,
                    stations: &company.stations,
                };
                let state = cut.stack.clone().into_clone(network);
                &state.map_err(|error| error.to_string())?
            }
            Revival::Continued | Revival::Restored => &cut.stack,
        };
        let revived: Vec<_> = guest_ports
            .iter()
            .map(|&port| RevivedPort {
                port,
                properties: self.fabric.properties(port),
            })
            .collect();
        let restored = Stack::restore(
            state,
            StackRevival {
                limits: StackLimits {
                    sockets: spec.limits.sockets,
                    ..StackLimits::default()
                },
                seed: self.random.next_u64(),
                allowance: self.allowance.clone(),
                ports: &revived,
                now: state.now,
            },
        );
        let mut stack = restored.map_err(|error| error.to_string())?;
        if from.revival == Revival::Restored {
            // The original ran on: its peers may be further than this past, but for those that go back with it.
            stack.distrust_peers(&company.connections);
        }
        if let Some(&port) = ports.get(spec.ports.len()) {
            let added = stack.add_probe(port, state.now);
            added.map_err(|error| format!("health check: {error}"))?;
        }
        Ok(stack)
    }
}
