//! Private networks of instances that move: what they are called on all nodes, and where they go on here.

use super::super::Kernel;
use super::super::node::remote;
use super::super::record::MovingStage;
use crate::image::{InstanceSpec, PortSpec};
use crate::migrate::{
    ConnectionId, HandoverId, InstanceId, Message, NetworkKind, NodeId, ORIGINS_VERSION,
    PortNetwork,
};
use crate::net::fabric::{FabricError, NetworkId, PortId, SegmentId, SegmentKind};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Kernel {
    /// Tells the target where an instance is from, and on which networks it is.
    pub(super) fn tell_port_networks(
        &mut self,
        handover: HandoverId,
        connection: ConnectionId,
        key: u32,
    ) {
        let origin = self.records[key as usize].origin;
        if let Some(origin) = origin.filter(|_| self.hub().speaks(connection, ORIGINS_VERSION)) {
            self.say(connection, &Message::Origin { handover, origin });
        }
        let peer = self.moves.leaving.get(&handover).map(|it| it.peer);
        if !peer.is_some_and(|peer| self.knows_networks(peer)) {
            return;
        }
        let knows_uplinks = self.hub().speaks(connection, ORIGINS_VERSION);
        let ports = self.records[key as usize].spec.ports.iter().enumerate();
        let networks = ports.filter_map(|(number, port)| {
            let segment = self.fabric.find(port.attach.segment()?)?;
            let kind = kind_of(self.fabric.kind(segment)?);
            let network = match kind {
                NetworkKind::Uplinked => knows_uplinks.then(NetworkId::default)?,
                NetworkKind::Link | NetworkKind::Switch => self.fabric.network(segment)?,
            };
            Some(PortNetwork {
                port: number as u32,
                network,
                kind,
                mtu_bytes: self.fabric.mtu(segment)? as u32,
            })
        });
        let networks: Vec<PortNetwork> = networks.collect();
        if !networks.is_empty() {
            self.say(connection, &Message::Networks { handover, networks });
        }
    }

    /// Finds or makes the switches and links that an instance is to be plugged into which comes.
    ///
    /// # Errors
    /// In words: there is none, and none can be made.
    pub(super) fn place_networks(
        &mut self,
        instance: InstanceId,
        spec: &InstanceSpec,
        networks: &[PortNetwork],
    ) -> Result<(), String> {
        for (number, port) in spec.ports.iter().enumerate() {
            let Some(segment) = port.attach.segment() else {
                continue;
            };
            let told = networks.iter().find(|it| it.port as usize == number);
            match told.filter(|_| self.carries_networks()) {
                Some(told) => self.place_network(instance, segment, told)?,
                None if self.fabric.find(segment).is_some() => {}
                None => return Err(no_segment(segment, port)),
            }
        }
        Ok(())
    }

    fn place_network(
        &mut self,
        instance: InstanceId,
        name: &str,
        told: &PortNetwork,
    ) -> Result<(), String> {
        let found = self.fabric.find(name);
        if told.kind == NetworkKind::Uplinked {
            return match found.map(|found| self.fabric.is_private(found)) {
                Some(false) => Ok(()),
                Some(true) => Err(format!(
                    "'{name}' is a private network here, and has an uplink where it comes from; rename one of them"
                )),
                None => Err(format!(
                    "there is no switch '{name}' with an uplink here; add one"
                )),
            };
        }
        let Some(found) = found else {
            if self.fabric.find_network(told.network).is_some() {
                return Err(format!(
                    "its network '{name}' has another name on this node; they must be the same"
                ));
            }
            return self
                .make_network(name, told)
                .map_err(|error| error.to_string());
        };
        let (kind, mtu) = (told.kind, told.mtu_bytes as usize);
        if self.fabric.kind(found).map(kind_of) != Some(kind) || self.fabric.mtu(found) != Some(mtu)
        {
            return Err(format!(
                "'{name}' is not a private {kind} with an MTU of {mtu} here; make the two nodes' alike"
            ));
        }
        if self.fabric.network(found) == Some(told.network) {
            return Ok(());
        }
        // Others may be about to use it: one that comes too, one that is stopped.
        let is_used = self.occupied().any(|(_, record)| {
            let mut names = record.spec.ports.iter().map(|port| port.attach.segment());
            record.instance != instance && names.any(|it| it == Some(name))
        });
        let has_another_name = self.fabric.find_network(told.network).is_some();
        if is_used || self.fabric.has_ports(found) || has_another_name {
            return Err(format!(
                "there is another private {kind} '{name}' here, which instances use; stop them or rename it"
            ));
        }
        self.fabric.set_network(found, told.network);
        Ok(())
    }

    /// Sees to it that an instance is plugged into the networks that it came from, whatever happened since it was admitted.
    ///
    /// # Errors
    /// In words: one of them is another by now.
    pub(super) fn check_networks(
        &self,
        spec: &InstanceSpec,
        networks: &[PortNetwork],
    ) -> Result<(), String> {
        for told in networks.iter().filter(|_| self.carries_networks()) {
            if told.kind == NetworkKind::Uplinked {
                continue;
            }
            let port = spec.ports.get(told.port as usize);
            let Some(name) = port.and_then(|port| port.attach.segment()) else {
                continue;
            };
            let segment = self.fabric.find(name);
            let network = segment.and_then(|segment| self.fabric.network(segment));
            if network != Some(told.network) {
                return Err(format!("'{name}' is another network by now; try again"));
            }
        }
        Ok(())
    }

    fn make_network(&mut self, name: &str, told: &PortNetwork) -> Result<(), FabricError> {
        let made = match told.kind {
            NetworkKind::Link => self.fabric.add_link(name)?,
            NetworkKind::Switch | NetworkKind::Uplinked => self.fabric.add_switch(name, None)?,
        };
        self.fabric.set_visiting(made);
        self.fabric.set_network(made, told.network);
        self.fabric.set_mtu(name, told.mtu_bytes as usize)
    }

    /// Sees to it that other nodes know which instances are about to come.
    pub(super) fn renew_awaited(&mut self) {
        let arriving = self.occupied().filter(|(_, record)| {
            record
                .moving
                .is_some_and(|moving| moving.stage == MovingStage::Arriving)
        });
        let names = arriving.flat_map(|(_, record)| record.spec.ports.iter());
        let names = names.filter_map(|port| port.attach.segment());
        let awaited: Vec<SegmentId> = names.filter_map(|name| self.fabric.find(name)).collect();
        self.fabric.await_ports(&awaited);
    }

    /// The instance of ports that are left for a while runs on another node.
    pub(super) fn depart(&mut self, ports: &[PortId], peer: NodeId) {
        for &port in ports {
            self.fabric.depart(port, remote(peer));
        }
    }
}

/// What other nodes call a segment.
fn kind_of(kind: SegmentKind) -> NetworkKind {
    match kind {
        SegmentKind::Link => NetworkKind::Link,
        SegmentKind::Switch { uplink: None } => NetworkKind::Switch,
        SegmentKind::Switch { uplink: Some(_) } => NetworkKind::Uplinked,
    }
}

fn no_segment(segment: &str, port: &PortSpec) -> String {
    format!(
        "there is no switch or link '{segment}' for its port '{}'; add one",
        port.name
    )
}
