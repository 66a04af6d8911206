//! Starting, stopping, pausing and restarting instances.

use super::files::{image_files, open_preopens};
use super::health::Health;
use super::record::{Activity, Ended, Held, Live, LoadingInstance, Record, Remains, State};
use super::{Kernel, admission};
use crate::control::ControlError;
use crate::host::{Guest, GuestSetup, Identity, LogLevel, LogLine, LogRing, StreamsTo};
use crate::image::{AddressSpec, RestartPolicy};
use crate::instance::engine::{EngineLimits, Execution, Program, Trap};
use crate::log::{EventKind, Severity};
use crate::machine::{Duration, Machine, Time};
use crate::net::fabric::PortId;
use crate::net::stack::{self, InterfaceConfig, Stack, StackLimits};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rand_core::RngCore;

/// How long a stopping instance's connections may take to close.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// The wait before the first restart; it doubles with each failure in a row.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest wait before a restart.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// An instance that ran this long has not failed "in a row".
const STEADY: Duration = Duration::from_secs(60);

/// Whether an instance that is taken apart tells its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Its connections are closed, as far as one round of frames goes.
    Said,
    /// Not a frame: its connections go on elsewhere, or later.
    Silent,
}

impl Kernel {
    /// The key of the instance of this name.
    ///
    /// # Errors
    /// [`ControlError::NoSuchInstance`].
    pub(super) fn key_of(&self, name: &str) -> Result<u32, ControlError> {
        let found = self
            .records
            .iter()
            .position(|record| record.spec.name == name);
        match found {
            Some(key) => Ok(key as u32),
            None => Err(ControlError::NoSuchInstance(name.into())),
        }
    }

    /// Starts an instance on an operator's word.
    ///
    /// # Errors
    /// [`ControlError::AlreadyRunning`], [`ControlError::Suspended`], [`ControlError::RunOutside`] for one whose end
    /// was told, or [`ControlError::StartFailed`].
    pub(super) fn start(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
    ) -> Result<(), ControlError> {
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        match &record.state {
            State::Live(live) if !matches!(live.activity, Activity::Stopping(_)) => {
                return Err(ControlError::AlreadyRunning(name));
            }
            State::Loading(_) => return Err(ControlError::AlreadyRunning(name)),
            State::Live(_) => self.drop_stopped(key),
            State::Ended(..) if record.suspended.is_some() => {
                return Err(ControlError::Suspended(name));
            }
            State::Ended(..) => record.require_own()?,
        }
        self.cancel_autostart(key);
        self.launch(machine, key)
            .map_err(|reason| ControlError::StartFailed { name, reason })
    }

    /// Starts an instance because the manifest says so.
    pub(super) fn start_at_boot(&mut self, machine: &mut dyn Machine, key: u32) {
        // A failure is in the journal already; the node goes on with the others.
        let _ = self.launch(machine, key);
    }

    /// Makes an execution of an instance whose program is translated, and lets it run; a failure is
    /// recorded as how the instance ended.
    ///
    /// # Errors
    /// In words.
    pub(super) fn enliven(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
        program: &Arc<Program>,
    ) -> Result<(), String> {
        let is_revived = matches!(&self.records[key as usize].state,
            State::Loading(loading) if loading.from.is_some());
        let mut live = match self.build(machine, key, program) {
            Ok(live) => live,
            Err(reason) => {
                self.fail_start(key, reason.clone());
                return Err(reason);
            }
        };
        // Log and console go on across starts, as their readers expect; a cut has its own.
        if let Some(remains) = self.take_remains(key)
            && !is_revived
        {
            let guest = live.execution.guest_mut();
            guest.log = remains.log;
            guest.streams.console = remains.streams.console;
        }
        self.bring_to_life(key, live);
        self.poll_network(key);
        Ok(())
    }

    /// Lets an instance run that was made; its network waits to be polled.
    pub(super) fn bring_to_life(&mut self, key: u32, live: Live) {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        record.usage.started = now;
        // The log goes on, and with it that lines were dropped.
        record.limits_told = live.execution.guest().reached_limits();
        record.suspended = None;
        let parked = core::mem::take(&mut record.parked);
        record.former = None;
        record.state = State::Live(Box::new(live));
        self.run_queue.wake(key, &mut record.account);
        let name = record.spec.name.clone();
        let dropped: u64 = parked.iter().map(|&port| self.fabric.release(port)).sum();
        if dropped > 0 {
            let detail = format!("{dropped} frames for it were dropped while it was suspended");
            self.journal
                .event(now, &name, EventKind::LimitReached, detail);
        }
        self.journal
            .event(now, &name, EventKind::Started, String::new());
    }

    /// Records that an instance did not start.
    pub(super) fn fail_start(&mut self, key: u32, reason: String) {
        let now = self.clock.now();
        let name = self.records[key as usize].spec.name.clone();
        self.end_loading(key, Ended::StartFailed(reason.clone()));
        self.journal
            .event(now, &name, EventKind::StartFailed, reason.clone());
        self.log(
            Severity::Error,
            format!("instance '{name}' did not start: {reason}"),
        );
    }

    /// Makes the running part of an instance that is loading; nothing of it runs or sends before it is polled.
    ///
    /// # Errors
    /// In words.
    pub(super) fn build(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
        program: &Arc<Program>,
    ) -> Result<Live, String> {
        while let Err(refusal) = admission::instance(machine, &self.records[key as usize].spec) {
            if !self.forget_translation() {
                return Err(refusal.to_string());
            }
        }
        let (requested, from) = match &mut self.records[key as usize].state {
            State::Loading(loading) => (Some(loading.requested), loading.from.take()),
            State::Ended(..) | State::Live(_) => (None, None),
        };
        let ports = self.attach_ports(key)?;
        let result = match from {
            Some(from) => self.revive(machine, key, program, &ports, *from),
            None => self.make_execution(machine, key, program, &ports),
        };
        match result {
            Ok(execution) => {
                self.owners.extend(ports.iter().map(|&port| (port, key)));
                let health = self.records[key as usize].spec.health.as_ref();
                Ok(Live {
                    health: health.map(|spec| Health::new(spec, self.clock.now())),
                    execution,
                    ports,
                    activity: Activity::Runnable,
                    requested,
                })
            }
            Err(reason) => {
                // One that stays suspended keeps its place.
                let parked = &self.records[key as usize].parked;
                let fresh = ports.into_iter().filter(|port| !parked.contains(port));
                let fresh: Vec<PortId> = fresh.collect();
                self.unplug(&fresh);
                Err(reason)
            }
        }
    }

    /// Gives up what a suspended instance goes on from, and its place in the network.
    pub(super) fn give_up_suspended(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        record.suspended = None;
        let parked = core::mem::take(&mut record.parked);
        self.unplug(&parked);
    }

    /// Unplugs ports: what waits in them is dropped.
    pub(super) fn unplug(&mut self, ports: &[PortId]) {
        for port in ports {
            self.fabric.detach(*port);
            self.owners.remove(port);
        }
    }

    /// Plugs the instance's ports in that are not still; after them comes the node's own, if it checks the health.
    fn attach_ports(&mut self, key: u32) -> Result<Vec<PortId>, String> {
        let record = &self.records[key as usize];
        let mut ports = record.parked.clone();
        let unparked = record.spec.ports.iter().zip(&record.macs).skip(ports.len());
        for (port, &mac) in unparked {
            let name = format!("{}.{}", record.spec.name, port.name);
            let attached = match port.attach.segment() {
                None => Ok(self.fabric.attach_unplugged(&name, mac)),
                Some(segment) => match self.fabric.find(segment) {
                    Some(segment) => self
                        .fabric
                        .attach(segment, &name, mac)
                        .map_err(|error| error.to_string()),
                    None => Err(format!("there is no switch or link '{segment}'")),
                },
            };
            match attached {
                Ok(id) => ports.push(id),
                Err(error) => {
                    ports.iter().for_each(|&port| self.fabric.detach(port));
                    return Err(format!("port '{}': {error}", port.name));
                }
            }
        }
        if record.spec.health.is_some() {
            let name = format!("{}.probe", record.spec.name);
            ports.push(self.fabric.attach_loopback(&name, stack::PROBE_MAC));
        }
        Ok(ports)
    }

    fn make_execution(
        &mut self,
        machine: &mut dyn Machine,
        key: u32,
        program: &Arc<Program>,
        ports: &[PortId],
    ) -> Result<Execution<Guest>, String> {
        let record = &self.records[key as usize];
        let spec = &record.spec;
        let mut random_seed = [0; 32];
        self.random.fill_bytes(&mut random_seed);
        let limits = StackLimits {
            sockets: spec.limits.sockets,
            ..StackLimits::default()
        };
        let mut guest = Guest::new(GuestSetup {
            arguments: spec.arguments.clone(),
            program: spec.module_name.clone(),
            environment: spec.environment.clone(),
            files: image_files(spec, &mut self.blobs, self.clock.wall_nanos())?,
            config: spec.config.clone(),
            identity: Identity {
                instance: spec.name.clone(),
                node: self.name.clone(),
                generation: self.random.next_u64(),
            },
            random_seed,
            log_bytes: spec.limits.log_bytes,
            sockets: spec.limits.sockets,
            stack: Stack::new(limits, self.random.next_u64())
                .with_allowance(self.allowance.clone()),
            streams: record.streams_to,
            clock: self.clock.clone(),
        });
        for (port, config) in spec.ports.iter().zip(self.interface_configs(key, ports)) {
            guest
                .stack
                .add_interface(config, Time::ZERO)
                .map_err(|error| format!("port '{}': {error}", port.name))?;
        }
        if let Some(&port) = ports.get(spec.ports.len()) {
            let added = guest.stack.add_probe(port, Time::ZERO);
            added.map_err(|error| format!("health check: {error}"))?;
        }
        if spec.ports.is_empty() && !spec.listeners.is_empty() {
            return Err("it has listeners but no port; give it a port in the manifest".into());
        }
        for listener in &spec.listeners {
            guest
                .open_listener(listener)
                .map_err(|error| format!("listener on TCP port {}: {error}", listener.port))?;
        }
        open_preopens(spec, &mut guest)?;
        let limits = EngineLimits::of(&spec.limits);
        let reserve = &mut |request: crate::instance::engine::MemoryRequest| {
            machine.reserve_memory(request.maximum_bytes)
        };
        Execution::instantiate(program, reserve, guest, &limits).map_err(|error| error.to_string())
    }

    /// The interfaces of an instance, as the manifest has them, at its ports.
    pub(super) fn interface_configs(&self, key: u32, ports: &[PortId]) -> Vec<InterfaceConfig> {
        let Record { spec, macs, .. } = &self.records[key as usize];
        let places = spec.ports.iter().zip(ports).zip(macs);
        places
            .map(|((port, &id), &mac)| InterfaceConfig {
                name: port.name.clone(),
                port: id,
                mac,
                properties: self.fabric.properties(id),
                addresses: port.addresses.iter().map(stack_address).collect(),
                gateway: port.gateways.clone(),
                dns: port.dns.clone(),
                hostname: spec.name.clone(),
            })
            .collect()
    }

    /// An instance ended by itself.
    pub(super) fn finish(&mut self, key: u32, ended: Ended) {
        let now = self.clock.now();
        let kind = match &ended {
            Ended::Exited(_) => EventKind::Exited,
            Ended::OutOfMemory => EventKind::OutOfMemory,
            Ended::Trapped(_) => EventKind::Trapped,
            Ended::Unhealthy(_) => EventKind::Unhealthy,
            Ended::Stopped => EventKind::Stopped,
            Ended::Killed => EventKind::Killed,
            Ended::Suspended => EventKind::Suspended,
            Ended::NeverStarted | Ended::StartFailed(_) => EventKind::StartFailed,
        };
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        if ended.is_failure() {
            let text = format!("instance '{name}' {}: {ended}", ended.word());
            self.journal.log(now, Severity::Warning, text);
        }
        self.journal.event(now, &name, kind, ended.to_string());
        if let (Ended::Trapped(trap), State::Live(live)) = (&ended, &mut record.state) {
            log_trap(&mut live.execution.guest_mut().log, now, trap);
        }
        let again = match record.spec.restart {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => ended.is_failure(),
            RestartPolicy::Always => !ended.by_operator(),
        };
        let ran = now.since(record.usage.started);
        self.take_apart(key, ended, Farewell::Said);
        if again {
            self.schedule_restart(key, now, ran);
        }
    }

    fn schedule_restart(&mut self, key: u32, now: Time, ran: Duration) {
        let record = &mut self.records[key as usize];
        record.failures = if ran >= STEADY { 0 } else { record.failures };
        let wait = FIRST_BACKOFF * (1 << record.failures.min(16));
        let wait = wait.min(LONGEST_BACKOFF);
        record.failures += 1;
        record.restart_due = Some(now + wait);
        let detail = format!("in {} ms", wait.as_millis());
        let name = record.spec.name.clone();
        self.journal
            .event(now, &name, EventKind::RestartScheduled, detail);
        self.set_timer(key);
    }

    pub(super) fn restart_by_policy(&mut self, machine: &mut dyn Machine, key: u32) {
        self.records[key as usize].restarts += 1;
        let _ = self.launch(machine, key);
    }

    /// Closes an instance's connections; it is gone when they are, or after a while.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`].
    pub(super) fn stop(&mut self, key: u32) -> Result<(), ControlError> {
        let now = self.clock.now();
        if self.cancel_start(key) {
            return Ok(());
        }
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        if let State::Loading(_) = record.state {
            // What was to go on still can; only a kill gives it up.
            let (ended, kind) = match record.suspended {
                Some(_) => (Ended::Suspended, EventKind::Suspended),
                None => (Ended::Stopped, EventKind::Stopped),
            };
            self.journal.event(now, &name, kind, String::new());
            match self.joint_of(key) {
                Some(_) => self.abandon(key, &format!("'{name}' was stopped")),
                None => self.end_loading(key, ended),
            }
            return Ok(());
        }
        let State::Live(live) = &mut record.state else {
            return Err(ControlError::NotRunning(name));
        };
        if let Activity::Stopping(_) = live.activity {
            return Err(ControlError::NotRunning(name));
        }
        self.run_queue.remove(key, &mut record.account);
        if let Activity::Paused(_) = live.activity {
            live.execution.guest_mut().clock.resume();
        }
        live.activity = Activity::Stopping(now + STOP_PATIENCE);
        live.execution.guest_mut().stack.shutdown_all();
        self.journal
            .event(now, &name, EventKind::Stopped, String::new());
        self.poll_network(key);
        self.set_timer(key);
        self.drop_if_quiet(key);
        Ok(())
    }

    /// Forgets that an instance was to start, by its policy or at boot; tells whether it was.
    pub(super) fn cancel_start(&mut self, key: u32) -> bool {
        let record = &mut self.records[key as usize];
        record.failures = 0;
        if record.restart_due.take().is_some() {
            self.set_timer(key);
            return true;
        }
        self.cancel_autostart(key)
    }

    /// Takes an instance out of those that still start at boot; tells whether it was among them.
    fn cancel_autostart(&mut self, key: u32) -> bool {
        let before = self.autostart.len();
        self.autostart.retain(|&waiting| waiting != key);
        self.autostart.len() < before
    }

    /// Drops a stopping instance whose connections are closed.
    pub(super) fn drop_if_quiet(&mut self, key: u32) {
        let record = &mut self.records[key as usize];
        let quiet = match &mut record.state {
            State::Live(live) => {
                matches!(live.activity, Activity::Stopping(_))
                    && live.execution.guest().stack.sockets().is_empty()
            }
            State::Ended(..) | State::Loading(_) => false,
        };
        if quiet {
            self.drop_stopped(key);
        }
    }

    /// Drops a stopping instance.
    pub(super) fn drop_stopped(&mut self, key: u32) {
        self.take_apart(key, Ended::Stopped, Farewell::Said);
    }

    /// Ends an instance at once.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`].
    pub(super) fn kill(&mut self, key: u32) -> Result<(), ControlError> {
        let now = self.clock.now();
        if self.cancel_start(key) {
            return Ok(());
        }
        let waits_for_others = self.joint_of(key).is_some();
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        match record.state {
            State::Ended(ref mut ended, _) if record.suspended.is_some() => {
                *ended = Ended::Killed;
                self.give_up_suspended(key);
            }
            State::Ended(..) => return Err(ControlError::NotRunning(name)),
            State::Loading(_) if waits_for_others => {
                self.abandon(key, &format!("'{name}' was killed"));
            }
            State::Loading(_) => {
                self.give_up_suspended(key);
                self.end_loading(key, Ended::Killed);
            }
            State::Live(_) => self.take_apart(key, Ended::Killed, Farewell::Said),
        }
        self.journal
            .event(now, &name, EventKind::Killed, String::new());
        Ok(())
    }

    /// Takes the CPU from an instance; its clock stops.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`], [`ControlError::StillLoading`] or
    /// [`ControlError::AlreadyPaused`].
    pub(super) fn pause(&mut self, key: u32) -> Result<(), ControlError> {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        let State::Live(live) = &mut record.state else {
            return Err(record.not_running());
        };
        let held = match live.activity {
            Activity::Runnable => Held::Runnable,
            Activity::Waiting => Held::Waiting,
            Activity::Paused(_) => return Err(ControlError::AlreadyPaused(name)),
            Activity::Stopping(_) => return Err(ControlError::NotRunning(name)),
        };
        self.run_queue.remove(key, &mut record.account);
        live.activity = Activity::Paused(held);
        live.execution.guest_mut().clock.pause();
        self.journal
            .event(now, &name, EventKind::Paused, String::new());
        self.set_timer(key);
        Ok(())
    }

    /// Gives a paused instance the CPU again.
    ///
    /// # Errors
    /// [`ControlError::NotPaused`].
    pub(super) fn resume(&mut self, key: u32) -> Result<(), ControlError> {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        let name = record.spec.name.clone();
        let State::Live(live) = &mut record.state else {
            return Err(ControlError::NotPaused(name));
        };
        let Activity::Paused(held) = live.activity else {
            return Err(ControlError::NotPaused(name));
        };
        let guest = live.execution.guest_mut();
        guest.resume();
        if let (Some(health), Some(spec)) = (&mut live.health, &record.spec.health) {
            health.restart_after_pause(spec, &mut guest.stack, now);
        }
        live.activity = match held {
            Held::Runnable => Activity::Runnable,
            Held::Waiting => Activity::Waiting,
        };
        if held == Held::Runnable {
            self.run_queue.wake(key, &mut record.account);
        }
        self.journal
            .event(now, &name, EventKind::Resumed, String::new());
        self.poll_network(key);
        Ok(())
    }

    /// Frees everything of a live instance but its log and console.
    pub(super) fn take_apart(&mut self, key: u32, ended: Ended, farewell: Farewell) {
        let record = &mut self.records[key as usize];
        self.run_queue.remove(key, &mut record.account);
        record.usage.run_nanos = self.clock.now().since(record.usage.started).as_nanos() as u64;
        record.last_end = match ended.to_string() {
            reason if reason.is_empty() => ended.word().into(),
            reason => format!("{}: {reason}", ended.word()),
        };
        let state = core::mem::replace(&mut record.state, State::Ended(ended.clone(), None));
        match state {
            State::Live(live) => {
                let mut guest = live.execution.into_guest();
                if farewell == Farewell::Said {
                    // Peers get what was written and learn of the end, once: nobody is left to repeat it.
                    guest.stack.shutdown_all();
                    guest.poll_network(&mut self.fabric);
                }
                for port in &live.ports {
                    self.fabric.detach(*port);
                    self.owners.remove(port);
                }
                guest.finish_error_line();
                let remains = Remains {
                    log: guest.log,
                    streams: guest.streams,
                    files: match record.streams_to {
                        StreamsTo::Console => None,
                        StreamsTo::Pipes => Some(guest.files),
                    },
                };
                record.state = State::Ended(ended, Some(Box::new(remains)));
            }
            State::Ended(_, remains) | State::Loading(LoadingInstance { remains, .. }) => {
                record.state = State::Ended(ended, remains);
            }
        }
        self.set_timer(key);
    }

    /// What an instance left when it last ended.
    pub(super) fn take_remains(&mut self, key: u32) -> Option<Box<Remains>> {
        match &mut self.records[key as usize].state {
            State::Ended(_, remains) | State::Loading(LoadingInstance { remains, .. }) => {
                remains.take()
            }
            State::Live(_) => None,
        }
    }
}

/// Writes into an instance's log why and where it trapped.
fn log_trap(log: &mut LogRing, time: Time, trap: &Trap) {
    let head = format!("trapped: {trap}");
    for text in [head].into_iter().chain(trap.backtrace.lines()) {
        log.push(LogLine {
            time,
            level: LogLevel::Error,
            text,
        });
    }
}

fn stack_address(spec: &AddressSpec) -> stack::AddressSpec {
    match *spec {
        AddressSpec::Dhcp => stack::AddressSpec::Dhcp,
        AddressSpec::Static {
            address,
            prefix_length,
        } => stack::AddressSpec::Static {
            address,
            prefix_length,
        },
    }
}
