//! Starting instances: making the execution, the guest and the ports of one whose program is translated.
//!
//! `loading` brings their programs here, `cut` makes the execution of one that goes on from a cut, `lifecycle`
//! ends them.

use super::files::{image_files, open_preopens};
use super::health::Health;
use super::record::{Activity, Ended, Live, Record, State};
use super::{Kernel, admission};
use crate::control::ControlError;
use crate::host::{Guest, GuestSetup, Identity};
use crate::image::AddressSpec;
use crate::instance::engine::{EngineLimits, Execution, Program};
use crate::log::{EventKind, Severity};
use crate::machine::{Machine, Time};
use crate::net::fabric::PortId;
use crate::net::stack::{self, InterfaceConfig, Stack, StackLimits};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rand_core::RngCore;

impl Kernel {
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
        record.require_home()?;
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
        self.want_cpu(key);
        let name = self.records[key as usize].spec.name.clone();
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
                self.unplug_fresh(key, &ports);
                Err(reason)
            }
        }
    }

    /// Unplugs the ports of an instance that was not made, but for those that it had before: one that stays suspended
    /// keeps its place.
    pub(super) fn unplug_fresh(&mut self, key: u32, ports: &[PortId]) {
        let parked = &self.records[key as usize].parked;
        let fresh = ports.iter().filter(|port| !parked.contains(port));
        let fresh: Vec<PortId> = fresh.copied().collect();
        self.unplug(&fresh);
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
