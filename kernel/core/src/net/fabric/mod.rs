//! The virtual Ethernet of one node: ports, links, learning switches and uplinks, and where private ones go on
//! on other nodes (`remote`).
//!
//! [`Fabric`] is pure data: stacks and NICs hand it frames, it queues them where they belong, and
//! whoever owns the far end takes them. Only ports, NICs and other nodes attach to a segment, and what comes from a node goes
//! to none, so no frame can circle. `forward` carries frames, `announce` says where a station is; this file keeps the wiring.

mod announce;
mod forward;
mod pool;
mod port;
mod remote;
mod switch;
#[cfg(test)]
mod tests;
mod types;
mod uplink;

pub use port::PortState;
pub use remote::{NetworkId, Presence, RemoteId, RemoteInfo, Stray};
pub use switch::Location;
pub use types::{
    Checksums, FabricError, LearnedAddress, LinkProperties, PortCounters, PortId, PortInfo,
    SegmentId, SegmentInfo, SegmentKind,
};

use super::frame::{Frame, MacAddress};
use crate::limits;
use crate::machine::Time;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use forward::{Destination, look_up, route};
use pool::Pool;
use port::Port;
use remote::RemoteQueue;
use switch::AddressTable;
use uplink::Uplink;

/// A switch or a link.
#[derive(Debug)]
struct Segment {
    name: String,
    kind: SegmentKind,
    /// Set by an operator; otherwise what the kind gives.
    mtu: Option<usize>,
    state: PortState,
    ports: Vec<PortId>,
    addresses: AddressTable,
    drops: u64,
    /// What it is called on all nodes, if it is private and other nodes are to know it.
    network: Option<NetworkId>,
    /// The nodes that have other ends of it.
    remotes: Vec<RemoteInfo>,
    /// Whether an instance comes that will have a port here.
    is_awaited: bool,
    /// Whether it was made for instances that came.
    is_visiting: bool,
}

impl Segment {
    fn properties(&self) -> LinkProperties {
        let natural = match self.kind {
            SegmentKind::Switch { uplink: Some(_) } => LinkProperties::UPLINKED,
            SegmentKind::Switch { uplink: None } | SegmentKind::Link => LinkProperties::PRIVATE,
        };
        LinkProperties {
            mtu: self.mtu.map_or(natural.mtu, |mtu| mtu.min(natural.mtu)),
            ..natural
        }
    }
}

/// All segments, ports and uplinks of a node.
#[derive(Debug, Default)]
pub struct Fabric {
    segments: BTreeMap<SegmentId, Segment>,
    ports: BTreeMap<PortId, Port>,
    uplinks: Vec<Uplink>,
    remotes: BTreeMap<RemoteId, RemoteQueue>,
    /// Bytes of the frames in all of them.
    waiting_remote_bytes: usize,
    /// Changes with the networks and their ends.
    wiring: u64,
    pool: Pool,
    ready: Vec<PortId>,
    /// The node's time, or else the latest heard of: ages what switches have learned.
    now: Time,
    /// Whether the node tells the time: instances have their own, which may be ahead of it.
    is_told_time: bool,
    next_segment: u32,
    next_port: u32,
}

impl Fabric {
    /// A node without any wiring.
    pub fn new() -> Fabric {
        Fabric::default()
    }

    /// Tells the node's time, which is the only one from then on.
    pub fn set_now(&mut self, now: Time) {
        self.now = now;
        self.is_told_time = true;
    }

    /// Adds a switch, joined to the NIC `uplink` if one is given.
    ///
    /// # Errors
    /// [`FabricError::NameTaken`], [`FabricError::TooMany`], [`FabricError::UplinkTaken`].
    pub fn add_switch(
        &mut self,
        name: &str,
        uplink: Option<usize>,
    ) -> Result<SegmentId, FabricError> {
        if let Some(nic) = uplink {
            self.check_uplink(nic)?;
        }
        let id = self.add_segment(name, SegmentKind::Switch { uplink })?;
        if let Some(nic) = uplink {
            self.uplinks[nic].switch = Some(id);
        }
        Ok(id)
    }

    /// Adds a point-to-point Ethernet for two ports.
    ///
    /// # Errors
    /// [`FabricError::NameTaken`], [`FabricError::TooMany`].
    pub fn add_link(&mut self, name: &str) -> Result<SegmentId, FabricError> {
        self.add_segment(name, SegmentKind::Link)
    }

    /// Removes a segment that has no ports.
    ///
    /// # Errors
    /// [`FabricError::NoSuchSegment`], [`FabricError::InUse`].
    pub fn remove_segment(&mut self, name: &str) -> Result<(), FabricError> {
        let id = self.expect(name)?;
        if !self.segments[&id].ports.is_empty() {
            return Err(FabricError::InUse(String::from(name)));
        }
        self.segments.remove(&id);
        self.wiring += 1;
        for uplink in &mut self.uplinks {
            if uplink.switch == Some(id) {
                uplink.switch = None;
            }
        }
        Ok(())
    }

    /// The segment of that name.
    pub fn find(&self, name: &str) -> Option<SegmentId> {
        self.segments
            .iter()
            .find(|(_, segment)| segment.name == name)
            .map(|(id, _)| *id)
    }

    /// Plugs a new port into a segment.
    ///
    /// # Errors
    /// [`FabricError::NoSuchSegment`], [`FabricError::LinkFull`], [`FabricError::TooMany`].
    pub fn attach(
        &mut self,
        segment: SegmentId,
        port_name: &str,
        mac: MacAddress,
    ) -> Result<PortId, FabricError> {
        let entry = self
            .segments
            .get_mut(&segment)
            .ok_or_else(|| FabricError::NoSuchSegment(String::from(port_name)))?;
        match entry.kind {
            SegmentKind::Link if ends(&self.ports, entry, mac) >= 2 => {
                return Err(FabricError::LinkFull(entry.name.clone()));
            }
            SegmentKind::Switch { .. } if entry.ports.len() >= limits::PORTS_PER_SWITCH => {
                return Err(FabricError::TooMany("switch ports"));
            }
            SegmentKind::Link | SegmentKind::Switch { .. } => {}
        }
        let id = PortId(self.next_port);
        self.next_port += 1;
        entry.ports.push(id);
        self.wiring += 1;
        let properties = entry.properties();
        self.ports
            .insert(id, Port::new(id, port_name, mac, Some(segment), properties));
        Ok(id)
    }

    /// Makes a port that is plugged into nothing: the frames that it sends come back to it.
    pub fn attach_loopback(&mut self, port_name: &str, mac: MacAddress) -> PortId {
        let id = PortId(self.next_port);
        self.next_port += 1;
        let properties = LinkProperties::PRIVATE;
        self.ports
            .insert(id, Port::new(id, port_name, mac, None, properties));
        id
    }

    /// Makes a port that is plugged into nothing: the frames that it sends are lost.
    pub fn attach_unplugged(&mut self, port_name: &str, mac: MacAddress) -> PortId {
        let id = self.attach_loopback(port_name, mac);
        self.set_port_up(id, PortState::Down);
        id
    }

    /// Unplugs a port; frames that wait in it are dropped. An unknown port is no error: it is gone.
    pub fn detach(&mut self, port: PortId) {
        let Some(mut entry) = self.ports.remove(&port) else {
            return;
        };
        self.wiring += 1;
        while let Some(frame) = entry.take() {
            self.pool.recycle(frame);
        }
        let segment = entry.segment;
        if let Some(segment) = segment.and_then(|id| self.segments.get_mut(&id)) {
            segment.ports.retain(|other| *other != port);
            segment.addresses.forget(Location::Port(port));
        }
    }

    /// Plugs or unplugs the cable of a port.
    pub fn set_port_up(&mut self, port: PortId, state: PortState) {
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.state = state;
        }
    }

    /// Switches a whole segment on or off.
    ///
    /// # Errors
    /// [`FabricError::NoSuchSegment`].
    pub fn set_segment_state(&mut self, name: &str, state: PortState) -> Result<(), FabricError> {
        let id = self.expect(name)?;
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.state = state;
        }
        Ok(())
    }

    /// Bounds the IP packets of a segment; a larger value than its kind allows has no effect, and
    /// ports that are attached keep theirs.
    ///
    /// # Errors
    /// [`FabricError::NoSuchSegment`], [`FabricError::MtuTooSmall`].
    pub fn set_mtu(&mut self, name: &str, mtu: usize) -> Result<(), FabricError> {
        let id = self.expect(name)?;
        if mtu < limits::LEAST_MTU {
            return Err(FabricError::MtuTooSmall(mtu));
        }
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.mtu = Some(mtu);
        }
        Ok(())
    }

    /// Joins a switch to a NIC, or parts it. Interfaces fix MTU and checksums when they are made,
    /// so the first uplink comes, and the last goes, only while no port is attached.
    ///
    /// # Errors
    /// [`FabricError::NoSuchSegment`], [`FabricError::NotASwitch`], [`FabricError::UplinkTaken`],
    /// [`FabricError::InUse`].
    pub fn set_uplink(&mut self, name: &str, uplink: Option<usize>) -> Result<(), FabricError> {
        let id = self.expect(name)?;
        let segment = &self.segments[&id];
        let SegmentKind::Switch { uplink: before } = segment.kind else {
            return Err(FabricError::NotASwitch(String::from(name)));
        };
        if before == uplink {
            return Ok(());
        }
        if before.is_some() != uplink.is_some() && !segment.ports.is_empty() {
            return Err(FabricError::InUse(String::from(name)));
        }
        if let Some(nic) = uplink {
            self.check_uplink(nic)?;
            self.uplinks[nic].switch = Some(id);
        }
        if let Some(nic) = before {
            self.uplinks[nic].switch = None;
        }
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.kind = SegmentKind::Switch { uplink };
            segment.addresses.forget(Location::Uplink);
            segment.network = None;
            segment.remotes.clear();
            self.wiring += 1;
        }
        Ok(())
    }

    /// MTU and checksums of the port's segment; those of an uplinked switch for an unknown port,
    /// since they are right everywhere.
    pub fn properties(&self, port: PortId) -> LinkProperties {
        self.ports
            .get(&port)
            .map_or(LinkProperties::UPLINKED, |entry| entry.properties)
    }

    /// What passed a port; zeros for an unknown one.
    pub fn counters(&self, port: PortId) -> PortCounters {
        self.ports
            .get(&port)
            .map_or_else(PortCounters::default, |entry| entry.counters)
    }

    /// The segments in order of creation, with their ports and learned addresses.
    pub fn segments(&self, now: Time) -> impl Iterator<Item = SegmentInfo> + '_ {
        self.segments.iter().map(move |(id, segment)| SegmentInfo {
            id: *id,
            name: segment.name.clone(),
            kind: segment.kind,
            properties: segment.properties(),
            state: segment.state,
            ports: segment
                .ports
                .iter()
                .filter_map(|port| self.port_info(*port))
                .collect(),
            learned: segment
                .addresses
                .stations(now)
                .map(|(mac, location, age)| LearnedAddress { mac, location, age })
                .collect(),
            drops: segment.drops,
            network: segment.network,
            remotes: segment.remotes.clone(),
        })
    }

    /// One port.
    pub fn port_info(&self, port: PortId) -> Option<PortInfo> {
        let entry = self.ports.get(&port)?;
        Some(PortInfo {
            id: entry.id,
            name: entry.name.clone(),
            mac: entry.mac,
            state: entry.state,
            counters: entry.counters,
            queued: entry.queued(),
        })
    }

    fn add_segment(&mut self, name: &str, kind: SegmentKind) -> Result<SegmentId, FabricError> {
        if self.find(name).is_some() {
            return Err(FabricError::NameTaken(String::from(name)));
        }
        if self.segments.len() >= limits::SEGMENTS {
            return Err(FabricError::TooMany("switches and links"));
        }
        let id = SegmentId(self.next_segment);
        self.next_segment += 1;
        let segment = Segment {
            name: String::from(name),
            kind,
            mtu: None,
            state: PortState::Up,
            ports: Vec::new(),
            addresses: AddressTable::default(),
            drops: 0,
            network: None,
            remotes: Vec::new(),
            is_awaited: false,
            is_visiting: false,
        };
        self.wiring += 1;
        self.segments.insert(id, segment);
        Ok(id)
    }

    /// Makes room for the uplink `nic` and checks that no switch has it.
    fn check_uplink(&mut self, nic: usize) -> Result<(), FabricError> {
        if nic >= limits::NICS {
            return Err(FabricError::TooMany("NICs"));
        }
        while self.uplinks.len() <= nic {
            self.uplinks.push(Uplink::default());
        }
        if self.uplinks[nic].switch.is_some() {
            return Err(FabricError::UplinkTaken(nic));
        }
        Ok(())
    }

    fn expect(&self, name: &str) -> Result<SegmentId, FabricError> {
        self.find(name)
            .ok_or_else(|| FabricError::NoSuchSegment(String::from(name)))
    }

    /// Gives a frame's buffer back for reuse.
    pub fn recycle(&mut self, frame: Frame) {
        self.pool.recycle(frame);
    }

    /// A frame of `length` bytes to be written, from the pool. Its contents are unspecified.
    pub fn blank_frame(&mut self, length: usize) -> Frame {
        self.pool.blank(length)
    }
}

/// How many ends of a link are taken for whoever has this station address: an earlier copy of it, and those that have
/// left, take none.
fn ends(ports: &BTreeMap<PortId, Port>, link: &Segment, mac: MacAddress) -> usize {
    let ports = link.ports.iter().filter_map(|id| ports.get(id));
    let here = ports.filter(|port| port.mac != mac && !port.has_departed());
    // The end on another node may be the one that arrives.
    let has_remote_end = !link.remotes.is_empty() && !link.is_awaited;
    here.count() + usize::from(has_remote_end)
}
