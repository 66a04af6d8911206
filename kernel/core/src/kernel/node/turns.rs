//! The node in the turns of the kernel.

use super::Links;
use super::discovery::Discovery;
use super::network::{Network, Place};
use super::status::{self, Status};
use crate::cluster::{Trust, station_address};
use crate::image::{self, NodeSpec};
use crate::kernel::{BootInfo, Kernel, VERSION};
use crate::log::Severity;
use crate::machine::{Machine, Time};
use alloc::format;
use alloc::sync::Arc;
use rand_core::RngCore;

impl Kernel {
    /// The connections with other nodes, for a machine that carries their messages itself.
    pub fn links(&mut self) -> &mut Links {
        &mut self.node.links
    }

    /// Plugs the node in, as the manifest says.
    pub(in crate::kernel) fn start_node(&mut self, spec: &NodeSpec, boot: &BootInfo) {
        let trust = boot.cluster.as_deref().map(Trust::decode);
        let trust = match trust {
            Some(Ok(trust)) => trust,
            Some(Err(error)) => return self.log(Severity::Error, format!("cluster: {error}")),
            None => Trust::default(),
        };
        let Some(keys) = &boot.keys else {
            let text =
                "the node has no secret, so it takes part in no cluster; give it one at boot";
            return self.log(Severity::Warning, text.into());
        };
        if trust.is_empty() {
            let text = "the node was told to trust nobody, so it takes part in no cluster; give it a cluster \
                        key or listed keys at boot";
            return self.log(Severity::Warning, text.into());
        }
        let now = self.clock.now();
        self.node.name = match image::is_name(&self.name) {
            true => self.name.clone(),
            false => "node".into(),
        };
        for &address in spec.peers.iter().chain(&trust.peers) {
            self.node.peers.configure(address);
        }
        self.node.trust = Arc::new(trust);
        let station = station_address(keys);
        let place = Place {
            spec,
            name: &self.node.name,
            mac: station,
            seed: self.random.next_u64(),
            allowance: &self.allowance,
            now,
        };
        match Network::open(&place, &mut self.fabric) {
            Ok(network) => {
                let id = self.node.id().unwrap_or_default();
                let text = format!("node {id} listens on port {}", network.tcp_port);
                self.node.network = Some(network);
                let segment = self.fabric.find(&spec.switch);
                self.node.discovery =
                    segment.and_then(|segment| Discovery::open(segment, station, &mut self.fabric));
                self.node.is_fresh = true;
                self.log(Severity::Info, text);
            }
            Err(error) => self.log(Severity::Error, format!("the node's network: {error}")),
        }
    }

    /// Frames came for the node itself.
    pub(in crate::kernel) fn poll_node(&mut self) {
        let now = self.clock.now();
        if let Some(network) = &mut self.node.network {
            network.stack.poll(now, &mut self.fabric);
            self.node.is_fresh = true;
        }
    }

    /// Takes what came for the node: messages for the migrations, words of operators.
    pub(in crate::kernel) fn attend_node(&mut self, machine: &mut dyn Machine) {
        if self.node.network.is_none() {
            return;
        }
        let now = self.clock.now();
        if self.node.due.is_some_and(|due| due <= now)
            && let Some(network) = &mut self.node.network
        {
            network.stack.poll(now, &mut self.fabric);
            self.node.is_fresh = true;
        }
        if self.node.is_fresh || self.node.has_work() {
            self.node.receive(now, &mut self.fabric);
        }
        self.hear_of_instances(now);
        self.take_carried(now);
        self.renew_networks(now);
        self.serve_connections(machine);
        self.log_node();
    }

    /// Sends what there is for other nodes and operators.
    pub(in crate::kernel) fn flush_node(&mut self, machine: &mut dyn Machine) {
        if self.node.network.is_none() {
            return;
        }
        let now = self.clock.now();
        self.attend_connections(machine);
        if self.node.status_due <= now {
            self.renew_status(machine, now);
            self.node.note_visitor();
        }
        if core::mem::take(&mut self.node.lodgings.has_changed) {
            self.renew_visitors();
        }
        self.renew_networks(now);
        self.carry_frames();
        self.node.transmit(now);
        self.node.settle(now, &mut self.fabric);
        self.log_node();
    }

    fn renew_status(&mut self, machine: &dyn Machine, now: Time) {
        let memory = machine.memory_stats();
        let before = self.node.busy_nanos;
        let span = now
            .since(self.node.status_due - status::INTERVAL)
            .as_nanos() as u64;
        let busy = self.busy_nanos.saturating_sub(before);
        self.node.busy_nanos = self.busy_nanos;
        self.node.status = Status {
            version: VERSION.into(),
            port: self.node.network.as_ref().map_or(0, |it| it.tcp_port),
            memory_bytes: memory.total_bytes,
            free_bytes: memory.free_bytes,
            load_permille: (u128::from(busy) * 1000 / u128::from(span.max(1))).min(1000) as u16,
            instances: self.occupied().count() as u32,
        };
    }

    fn log_node(&mut self) {
        for (severity, text) in core::mem::take(&mut self.node.notices) {
            self.log(severity, text);
        }
    }
}
