//! Private networks that reach other nodes: what a link or a switch without an uplink is called on all of them, which
//! nodes have other ends of it, and the frames that wait for those nodes.
//!
//! A frame that came from another node goes to ports of this one alone, so none goes in circles however many
//! nodes there are. A port of an instance that moved away stays for a while ([`Fabric::depart`]): what reaches it
//! is sent after the instance, unless the node that it moved to is known to have an end by now.

#[cfg(test)]
mod tests;

use super::port::{Port, PortRole, PortState};
use super::switch::Location;
use super::{Destination, Fabric, PortCounters, PortId, Segment, SegmentId, SegmentKind};
use crate::limits;
use crate::machine::{Duration, Time};
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

const QUEUE_AGE: Duration = Duration::from_millis(limits::TUNNEL_QUEUE_MILLIS);

/// Frames that wait for one node.
#[derive(Debug, Default)]
pub(super) struct RemoteQueue {
    frames: VecDeque<Waiting>,
    bytes: usize,
}

/// One of them.
#[derive(Debug)]
struct Waiting {
    network: NetworkId,
    frame: Frame,
    since: Time,
}

impl RemoteQueue {
    /// `room` is what all queues together still take, bytes.
    fn push(&mut self, waiting: Waiting, room: usize) -> Result<(), Frame> {
        let bytes = waiting.frame.bytes().len();
        if self.frames.len() >= limits::TUNNEL_QUEUE_FRAMES
            || self.bytes + bytes > limits::TUNNEL_QUEUE_BYTES
            || bytes > limits::TUNNEL_FRAME_BYTES.min(room)
        {
            return Err(waiting.frame);
        }
        self.bytes += bytes;
        self.frames.push_back(waiting);
        Ok(())
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.frames.pop_front()?;
        self.bytes -= waiting.frame.bytes().len();
        Some(waiting)
    }

    /// The oldest, if it has waited for too long.
    fn pop_aged(&mut self, now: Time) -> Option<Waiting> {
        let oldest = self.frames.front()?;
        let is_aged = now.since(oldest.since) >= QUEUE_AGE;
        is_aged.then(|| self.pop())?
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

    /// What a segment is.
    pub fn kind(&self, segment: SegmentId) -> Option<SegmentKind> {
        self.segments.get(&segment).map(|it| it.kind)
    }

    /// Largest IP packet of a segment, bytes.
    pub fn mtu(&self, segment: SegmentId) -> Option<usize> {
        self.segments.get(&segment).map(|it| it.properties().mtu)
    }

    /// Whether anything is plugged into a segment.
    pub fn has_ports(&self, segment: SegmentId) -> bool {
        let segment = self.segments.get(&segment);
        segment.is_some_and(|it| !it.ports.is_empty())
    }

    /// Has whoever follows the [`wiring`](Self::wiring) look at it again: an instance is gone that named segments.
    pub fn renew_wiring(&mut self) {
        self.wiring += 1;
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

    /// The oldest frame that waits for a node and is not too old, and its network; it stays until
    /// [`Fabric::pop_remote_frame`].
    pub fn next_remote_frame(&mut self, remote: RemoteId) -> Option<(NetworkId, &Frame)> {
        self.drop_aged(remote);
        let queue = self.remotes.get(&remote)?;
        let waiting = queue.frames.front()?;
        Some((waiting.network, &waiting.frame))
    }

    /// Drops frames that wait for a node for too long: it cannot be reached, or takes them too slowly.
    fn drop_aged(&mut self, remote: RemoteId) {
        let now = self.now;
        while let Some(queue) = self.remotes.get_mut(&remote)
            && let Some(Waiting { network, frame, .. }) = queue.pop_aged(now)
        {
            self.waiting_remote_bytes -= frame.bytes().len();
            let segment = self.find_network(network);
            if let Some(segment) = segment.and_then(|id| self.segments.get_mut(&id)) {
                let mut remotes = segment.remotes.iter_mut();
                match remotes.find(|it| it.id == remote) {
                    Some(remote) => remote.counters.sent_drops += 1,
                    None => segment.drops += 1,
                }
            }
            self.pool.recycle(frame);
        }
    }

    /// Drops the oldest frame that waits for a node: it was taken.
    pub fn pop_remote_frame(&mut self, remote: RemoteId) {
        if let Some(waiting) = self.remotes.get_mut(&remote).and_then(RemoteQueue::pop) {
            self.waiting_remote_bytes -= waiting.frame.bytes().len();
            self.pool.recycle(waiting.frame);
        }
    }

    /// Forgets nodes that are not to be reached any more: what waits for them is lost.
    pub fn keep_remotes(&mut self, is_linked: impl Fn(RemoteId) -> bool) {
        let (pool, waiting_bytes) = (&mut self.pool, &mut self.waiting_remote_bytes);
        self.remotes.retain(|&remote, queue| {
            let stays = is_linked(remote);
            while !stays && let Some(waiting) = queue.pop() {
                *waiting_bytes -= waiting.frame.bytes().len();
                pool.recycle(waiting.frame);
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
        let is_back = |left: &Port| here.clone().any(|port| port.mac == left.mac);
        // Who sent it may not know yet that the instance has moved on.
        let followed = others.filter(|port| match port.role {
            PortRole::Departed(to) => to != remote && !is_back(port),
            PortRole::Here | PortRole::Arriving => false,
        });
        if let SegmentKind::Link = segment.kind {
            let mut ends: Vec<PortId> = here.clone().map(|port| port.id).collect();
            if ends.is_empty() {
                ends.extend(followed.map(|port| port.id));
            }
            return ends;
        }
        let mut followed = followed.filter(|port| port.mac == destination);
        let left = followed.next().map(|port| port.id);
        let here: Vec<PortId> = here.clone().map(|port| port.id).collect();
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
        let Some(segment) = self.segments.get(&segment_id) else {
            return;
        };
        let Some(network) = segment.network else {
            return;
        };
        let is_wanted = |id: RemoteId| only.is_none_or(|only| only == id);
        let wanted = segment.remotes.iter().map(|it| it.id);
        let wanted: Vec<RemoteId> = wanted.filter(|&id| is_wanted(id)).collect();
        for &remote in &wanted {
            self.drop_aged(remote);
        }
        let since = self.now;
        let Some(segment) = self.segments.get_mut(&segment_id) else {
            return;
        };
        for remote in segment.remotes.iter_mut().filter(|it| is_wanted(it.id)) {
            let queue = self.remotes.entry(remote.id).or_default();
            let counters = &mut remote.counters;
            let room = limits::TUNNEL_QUEUES_BYTES - self.waiting_remote_bytes;
            let waiting = Waiting {
                network,
                frame: self.pool.copy(bytes),
                since,
            };
            match queue.push(waiting, room) {
                Ok(()) => {
                    self.waiting_remote_bytes += bytes.len();
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
