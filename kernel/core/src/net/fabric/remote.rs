//! Private networks that reach other nodes: what a link or a switch without an uplink is called on all of them, which
//! nodes have other ends of it, and the frames that wait for those nodes.
//!
//! A frame that came from another node goes to ports of this one alone, so none goes in circles however many
//! nodes there are. A port of an instance that moved away stays for a while ([`Fabric::depart`]): what reaches it
//! is sent after the instance, unless the node that it moved to is known to have an end by now.

#[cfg(test)]
mod tests;

use super::port::{PortRole, PortState};
use super::switch::Location;
use super::{Destination, Fabric, PortCounters, PortId, Segment, SegmentId, SegmentKind};
use crate::limits;
use crate::machine::Time;
use crate::net::frame::{self, Frame, MacAddress, is_group};
use crate::plain::shown_in_hex;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A private network on whatever nodes it has ends: random bits, drawn once and kept through moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct NetworkId(pub [u8; 16]);

shown_in_hex!(NetworkId);

/// Another node, as whoever carries the frames names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RemoteId(pub [u8; 16]);

/// What a node has of a private network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// An instance comes that will have an end here.
    Awaited,
    /// Ends of instances that are here.
    Ends,
}

/// Why a frame of another node was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stray;

/// Another node that has ends of a segment, and what went there and came from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteInfo {
    /// The node.
    pub id: RemoteId,
    /// Frames from there are received ones, frames that go there sent ones.
    pub counters: PortCounters,
}

/// Frames that wait for one node.
#[derive(Debug, Default)]
pub(super) struct RemoteQueue {
    frames: VecDeque<(NetworkId, Frame)>,
    bytes: usize,
}

impl RemoteQueue {
    fn push(&mut self, network: NetworkId, frame: Frame) -> Result<(), Frame> {
        let bytes = frame.bytes().len();
        if self.frames.len() >= limits::TUNNEL_QUEUE_FRAMES
            || self.bytes + bytes > limits::TUNNEL_QUEUE_BYTES
            || bytes > limits::TUNNEL_FRAME_BYTES
        {
            return Err(frame);
        }
        self.bytes += bytes;
        self.frames.push_back((network, frame));
        Ok(())
    }

    fn pop(&mut self) -> Option<Frame> {
        let (_, frame) = self.frames.pop_front()?;
        self.bytes -= frame.bytes().len();
        Some(frame)
    }
}

impl Segment {
    fn is_private(&self) -> bool {
        !matches!(self.kind, SegmentKind::Switch { uplink: Some(_) })
    }

    pub(super) fn reaches(&self, remote: RemoteId) -> bool {
        self.remotes.iter().any(|it| it.id == remote)
    }
}

impl Fabric {
    /// A number that changes when networks or their ends do.
    pub fn wiring(&self) -> u64 {
        self.wiring
    }

    /// A private segment that is not called anything on other nodes yet.
    pub fn unnamed_network(&self) -> Option<SegmentId> {
        let mut segments = self.segments.iter();
        let found = segments.find(|(_, it)| it.is_private() && it.network.is_none());
        found.map(|(id, _)| *id)
    }

    /// Says what a private segment is called on all nodes.
    pub fn set_network(&mut self, segment: SegmentId, network: NetworkId) {
        self.wiring += 1;
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.network = Some(network);
        }
    }

    /// Whether a segment has no uplink.
    pub fn is_private(&self, segment: SegmentId) -> bool {
        self.segments.get(&segment).is_some_and(Segment::is_private)
    }

    /// What a segment is called on all nodes: none if it is not private.
    pub fn network(&self, segment: SegmentId) -> Option<NetworkId> {
        let segment = self.segments.get(&segment);
        segment.filter(|it| it.is_private())?.network
    }

    /// The private segment of a network.
    pub fn find_network(&self, network: NetworkId) -> Option<SegmentId> {
        let mut segments = self.segments.iter();
        let found = segments.find(|(_, it)| it.is_private() && it.network == Some(network));
        found.map(|(id, _)| *id)
    }

    /// Says that a segment was made for instances that came, and goes with the last of them.
    pub fn set_visiting(&mut self, segment: SegmentId) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.is_visiting = true;
        }
    }

    /// Segments that were made for instances that came, and have no port: their names.
    pub fn left_networks(&self) -> Vec<String> {
        let left = self.segments.values();
        let left = left.filter(|it| it.is_visiting && it.ports.is_empty() && !it.is_awaited);
        left.map(|it| it.name.clone()).collect()
    }

    /// Says at which segments instances will arrive.
    pub fn await_ports(&mut self, awaited: &[SegmentId]) {
        for (id, segment) in &mut self.segments {
            let is_awaited = awaited.contains(id);
            if segment.is_awaited != is_awaited {
                segment.is_awaited = is_awaited;
                self.wiring += 1;
            }
        }
    }

    /// What this node has of each network, in order of creation.
    pub fn presences(&self) -> Vec<(NetworkId, Presence)> {
        let segments = self.segments.values().filter(|it| it.is_private());
        let presence = |segment: &Segment| {
            let roles = segment.ports.iter().filter_map(|id| self.ports.get(id));
            let roles = || roles.clone().map(|port| port.role);
            if roles().any(|role| role == PortRole::Here) {
                Some(Presence::Ends)
            } else if segment.is_awaited || roles().any(|role| role == PortRole::Arriving) {
                Some(Presence::Awaited)
            } else {
                None
            }
        };
        let present = segments.filter_map(|it| Some((it.network?, presence(it)?)));
        present.collect()
    }

    /// All networks that have a name on other nodes.
    pub fn networks(&self) -> Vec<(SegmentId, NetworkId)> {
        let segments = self.segments.iter().filter(|(_, it)| it.is_private());
        segments
            .filter_map(|(id, it)| Some((*id, it.network?)))
            .collect()
    }

    /// Says which other nodes have ends of a segment.
    pub fn set_remotes(&mut self, segment: SegmentId, remotes: &[RemoteId]) {
        let Some(segment) = self.segments.get_mut(&segment) else {
            return;
        };
        let addresses = &mut segment.addresses;
        segment.remotes.retain(|it| {
            let stays = remotes.contains(&it.id);
            if !stays {
                addresses.forget(Location::Remote(it.id));
            }
            stays
        });
        for &id in remotes {
            if !segment.reaches(id) {
                let counters = PortCounters::default();
                segment.remotes.push(RemoteInfo { id, counters });
            }
        }
    }

    /// The instance that arrives has its port, and does not run yet.
    pub fn hold_arriving(&mut self, port: PortId) {
        self.hold(port);
        self.set_role(port, PortRole::Arriving);
    }

    /// The instance of a port runs on another node from now on.
    pub fn depart(&mut self, port: PortId, to: RemoteId) {
        self.set_role(port, PortRole::Departed(to));
        let segment = self.ports.get(&port).and_then(|port| port.segment);
        if let Some(segment) = segment.and_then(|id| self.segments.get_mut(&id)) {
            segment.addresses.forget(Location::Port(port));
        }
    }

    pub(super) fn set_role(&mut self, port: PortId, role: PortRole) {
        if let Some(port) = self.ports.get_mut(&port)
            && port.role != role
        {
            port.role = role;
            self.wiring += 1;
        }
    }

    /// The oldest frame that waits for a node, and its network; it stays until [`Fabric::pop_remote_frame`].
    pub fn next_remote_frame(&self, remote: RemoteId) -> Option<(NetworkId, &Frame)> {
        let queue = self.remotes.get(&remote)?;
        queue
            .frames
            .front()
            .map(|(network, frame)| (*network, frame))
    }

    /// Drops the oldest frame that waits for a node: it was taken.
    pub fn pop_remote_frame(&mut self, remote: RemoteId) {
        if let Some(frame) = self.remotes.get_mut(&remote).and_then(RemoteQueue::pop) {
            self.pool.recycle(frame);
        }
    }

    /// Forgets nodes that are not to be reached any more: what waits for them is lost.
    pub fn keep_remotes(&mut self, is_linked: impl Fn(RemoteId) -> bool) {
        let pool = &mut self.pool;
        self.remotes.retain(|&remote, queue| {
            let stays = is_linked(remote);
            while !stays && let Some(frame) = queue.pop() {
                pool.recycle(frame);
            }
            stays
        });
    }

    /// Takes a frame that another node carried here to the ports that want it.
    ///
    /// # Errors
    /// [`Stray`] when the network has no segment here.
    pub fn receive_from_remote(
        &mut self,
        remote: RemoteId,
        network: NetworkId,
        bytes: &[u8],
        now: Time,
    ) -> Result<(), Stray> {
        self.now = self.now.max(now);
        let segment_id = self.find_network(network).ok_or(Stray)?;
        let Some(segment) = self.segments.get_mut(&segment_id) else {
            return Err(Stray);
        };
        let is_sound = segment.state == PortState::Up && bytes.len() <= limits::TUNNEL_FRAME_BYTES;
        let addresses = frame::addresses(bytes).filter(|_| is_sound);
        let from = segment.remotes.iter_mut().find(|it| it.id == remote);
        if let Some(counters) = from.map(|it| &mut it.counters) {
            match addresses {
                Some(_) => counters.received_frames += 1,
                None => counters.received_drops += 1,
            }
            counters.received_bytes += bytes.len() as u64;
        }
        let Some((destination, source)) = addresses else {
            segment.drops += 1;
            return Ok(());
        };
        let ports = self.takers(segment_id, remote, destination, source);
        for port in ports {
            let frame = self.pool.copy(bytes);
            self.deliver(Location::Port(port), frame, segment_id);
        }
        Ok(())
    }

    /// The ports that take a frame of another node: never one of the station that sent it, which is a copy of it
    /// that stands or left.
    fn takers(
        &mut self,
        segment_id: SegmentId,
        remote: RemoteId,
        destination: MacAddress,
        source: MacAddress,
    ) -> Vec<PortId> {
        let now = self.now;
        let Some(segment) = self.segments.get_mut(&segment_id) else {
            return Vec::new();
        };
        let others = segment.ports.iter().filter_map(|id| self.ports.get(id));
        let others = others.filter(|port| port.mac != source);
        let here = others.clone().filter(|port| !port.has_departed());
        // Who sent it may not know yet that the instance has moved on.
        let followed = others.filter(|port| match port.role {
            PortRole::Departed(to) => to != remote,
            PortRole::Here | PortRole::Arriving => false,
        });
        if let SegmentKind::Link = segment.kind {
            let mut ends: Vec<PortId> = here.map(|port| port.id).collect();
            if ends.is_empty() {
                ends.extend(followed.map(|port| port.id));
            }
            return ends;
        }
        let mut followed = followed.filter(|port| port.mac == destination);
        let left = followed.next().map(|port| port.id);
        let here: Vec<PortId> = here.map(|port| port.id).collect();
        let origin = Location::Remote(remote);
        // A node that has no end is no place of a station, nor is another one for a station that is here.
        let is_here = self.ports.values().any(|port| {
            port.segment == Some(segment_id) && port.mac == source && port.is_attended_here()
        });
        let routed = match segment.reaches(remote) && !is_here {
            true => super::route(segment, origin, destination, source, now),
            false => super::look_up(segment, origin, destination, now),
        };
        match routed {
            Destination::One(Location::Port(port)) => alloc::vec![port],
            // What the nodes have to say to each other they do not say by way of this one.
            Destination::One(Location::Remote(_) | Location::Uplink) | Destination::Nobody => {
                Vec::new()
            }
            Destination::All if is_group(destination) => here,
            Destination::All => left.map_or(here, |port| alloc::vec![port]),
        }
    }

    /// Where a frame goes that a port sends over its link.
    pub(super) fn other_end(&self, segment: &Segment, from: PortId) -> OtherEnd {
        let others = segment.ports.iter().filter(|id| **id != from);
        let others = others.filter_map(|id| self.ports.get(id));
        let mut here = others.clone().filter(|port| !port.has_departed());
        let mut departed = others.filter(|port| port.has_departed());
        match (here.next(), departed.next()) {
            (Some(port), _) => OtherEnd::Port(port.id),
            (None, Some(port)) if segment.remotes.is_empty() => OtherEnd::Port(port.id),
            (None, Some(port)) => match port.role {
                PortRole::Departed(to) if segment.reaches(to) => OtherEnd::Remotes,
                // It may have moved on, or its node has not said yet that it is there.
                PortRole::Departed(_) | PortRole::Here | PortRole::Arriving => {
                    OtherEnd::Either(port.id)
                }
            },
            (None, None) if !segment.remotes.is_empty() => OtherEnd::Remotes,
            (None, None) => OtherEnd::Nowhere,
        }
    }

    /// Queues a copy of a frame for each node that has ends of a segment, or for one of them.
    pub(super) fn send_to_remotes(
        &mut self,
        segment_id: SegmentId,
        only: Option<RemoteId>,
        bytes: &[u8],
    ) {
        let Some(segment) = self.segments.get_mut(&segment_id) else {
            return;
        };
        let Some(network) = segment.network else {
            return;
        };
        let wanted = segment.remotes.iter_mut();
        for remote in wanted.filter(|it| only.is_none_or(|only| only == it.id)) {
            let queue = self.remotes.entry(remote.id).or_default();
            let counters = &mut remote.counters;
            match queue.push(network, self.pool.copy(bytes)) {
                Ok(()) => {
                    counters.sent_frames += 1;
                    counters.sent_bytes += bytes.len() as u64;
                }
                Err(frame) => {
                    counters.sent_drops += 1;
                    self.pool.recycle(frame);
                }
            }
        }
    }
}

/// The other end of a link.
pub(super) enum OtherEnd {
    Port(PortId),
    /// On other nodes.
    Remotes,
    /// On other nodes, or where the instance of this port went.
    Either(PortId),
    Nowhere,
}
