//! How a frame finds its way: links, learning switches, uplinks.

use super::port::{Attendance, PortRole};
use super::remote::OtherEnd;
use super::switch::Location;
use super::{Fabric, Port, PortId, PortState, Segment, SegmentKind};
use crate::limits;
use crate::machine::Time;
use crate::net::frame::{self, Frame, is_group};
use alloc::vec::Vec;

/// Who takes a frame.
pub(super) enum Destination {
    One(Location),
    /// Every port, the uplink and other nodes, but not where it came from.
    All,
    Nobody,
}

impl Fabric {
    /// Sends a frame out of a port: to the other end of its link, or through its switch.
    ///
    /// `now` may be the instance's own time: it counts only where nobody tells the [node's](Fabric::set_now).
    pub fn transmit(&mut self, from: PortId, frame: Frame, now: Time) {
        if !self.is_told_time {
            self.now = self.now.max(now);
        }
        let now = self.now;
        let Some((destination, source)) = frame.addresses() else {
            return self.drop_sent(from, frame);
        };
        let Some(port) = self.ports.get_mut(&from) else {
            return self.pool.recycle(frame);
        };
        let Some(segment_id) = port.segment else {
            if port.state == PortState::Down {
                return self.drop_sent(from, frame);
            }
            port.counters.sent_frames += 1;
            port.counters.sent_bytes += frame.bytes().len() as u64;
            if let Err(frame) = deliver_to_port(port, frame, &mut self.ready) {
                self.pool.recycle(frame);
            }
            return;
        };
        let Some(segment) = self.segments.get_mut(&segment_id) else {
            return self.pool.recycle(frame);
        };
        if port.state == PortState::Down
            || segment.state == PortState::Down
            || frame.bytes().len() > limits::FRAME_BYTES
        {
            return self.drop_sent(from, frame);
        }
        port.counters.sent_frames += 1;
        port.counters.sent_bytes += frame.bytes().len() as u64;
        if let SegmentKind::Link = segment.kind {
            let other = self.segments.get(&segment_id);
            let other = other.map_or(OtherEnd::Nowhere, |link| self.other_end(link, from));
            return match other {
                OtherEnd::Port(other) => self.deliver(Location::Port(other), frame, segment_id),
                OtherEnd::Remotes => {
                    self.send_to_remotes(segment_id, None, frame.bytes());
                    self.pool.recycle(frame);
                }
                OtherEnd::Either(port) => {
                    self.send_to_remotes(segment_id, None, frame.bytes());
                    self.deliver(Location::Port(port), frame, segment_id);
                }
                OtherEnd::Nowhere => self.drop_sent(from, frame),
            };
        }
        let origin = Location::Port(from);
        match route(segment, origin, destination, source, now) {
            Destination::One(location) => self.deliver(location, frame, segment_id),
            Destination::All => self.flood(segment_id, origin, frame),
            Destination::Nobody => self.drop_sent(from, frame),
        }
    }

    /// Takes a frame that the NIC received to the ports that want it; each gets a copy.
    pub fn receive_from_uplink(&mut self, nic: usize, bytes: &[u8], now: Time) {
        self.now = self.now.max(now);
        let now = self.now;
        let Some(segment_id) = self.uplinks.get(nic).and_then(|uplink| uplink.switch) else {
            return;
        };
        let Some(segment) = self.segments.get_mut(&segment_id) else {
            return;
        };
        let Some((destination, source)) = frame::addresses(bytes) else {
            segment.drops += 1;
            return;
        };
        if segment.state == PortState::Down || bytes.len() > limits::FRAME_BYTES {
            segment.drops += 1;
            return;
        }
        let origin = Location::Uplink;
        match route(segment, origin, destination, source, now) {
            Destination::One(location) => {
                let frame = self.pool.copy(bytes);
                self.deliver(location, frame, segment_id);
            }
            Destination::All => {
                let frame = self.pool.copy(bytes);
                self.flood(segment_id, origin, frame);
            }
            Destination::Nobody => {}
        }
    }

    /// Takes the oldest frame that waits for the owner of a port.
    pub fn take_received(&mut self, port: PortId) -> Option<Frame> {
        self.ports.get_mut(&port)?.take()
    }

    /// Whether a frame waits for the owner of a port.
    pub fn has_received(&self, port: PortId) -> bool {
        self.ports.get(&port).is_some_and(|port| port.queued() > 0)
    }

    /// Copies of the frames that wait for the owner of a port, the oldest first: part of a cut.
    pub fn waiting_frames(&self, port: PortId) -> Vec<Vec<u8>> {
        let port = self.ports.get(&port);
        let frames = port.into_iter().flat_map(|port| port.waiting());
        frames.map(|frame| frame.bytes().to_vec()).collect()
    }

    /// Bytes of the frames that wait for the owner of a port.
    pub fn waiting_bytes(&self, port: PortId) -> u64 {
        let port = self.ports.get(&port);
        port.map_or(0, |port| port.queued_bytes() as u64)
    }

    /// Puts frames of a cut behind those that wait for the owner of a port. Those beyond the port's bounds, and
    /// those that no segment carries, are dropped and counted.
    pub fn put_frames(&mut self, port: PortId, frames: &[Vec<u8>]) {
        let Some(port) = self.ports.get_mut(&port) else {
            return;
        };
        for bytes in frames {
            if bytes.len() > limits::FRAME_BYTES {
                port.counters.received_drops += 1;
                continue;
            }
            if let Err(frame) = port.put(self.pool.copy(bytes)) {
                self.pool.recycle(frame);
            }
        }
        announce(port, &mut self.ready);
    }

    /// Keeps what comes to a port whose owner is away for a while. Frames beyond the port's bounds are dropped
    /// and counted as always; those for everybody may take half of it.
    pub fn hold(&mut self, port: PortId) {
        if let Some(port) = self.ports.get_mut(&port) {
            port.attendance = Attendance::Held {
                drops_before: port.counters.received_drops,
            };
        }
    }

    /// The owner of a port is back: it is told of what waits. Answers with how many frames were dropped
    /// meanwhile.
    pub fn release(&mut self, port: PortId) -> u64 {
        let Some(port) = self.ports.get_mut(&port) else {
            return 0;
        };
        let before = core::mem::replace(&mut port.attendance, Attendance::Attended);
        announce(port, &mut self.ready);
        if port.role == PortRole::Arriving {
            port.role = PortRole::Here;
            self.wiring += 1;
        }
        match before {
            Attendance::Attended => 0,
            Attendance::Held { drops_before } => port.counters.received_drops - drops_before,
        }
    }

    /// Whether some port got frames since [`Fabric::take_ready_ports`].
    pub fn has_ready_ports(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Moves the ports that got frames since they were last asked for into `ready`, each once, in
    /// the order in which they became ready.
    pub fn take_ready_ports(&mut self, ready: &mut Vec<PortId>) {
        ready.clear();
        core::mem::swap(ready, &mut self.ready);
        for port in ready.iter() {
            if let Some(port) = self.ports.get_mut(port) {
                port.announced = false;
            }
        }
    }

    /// The oldest frame that waits for a NIC; it stays until [`Fabric::pop_uplink_frame`].
    pub fn next_uplink_frame(&mut self, nic: usize) -> Option<&Frame> {
        self.uplinks.get(nic)?.front()
    }

    /// Drops the oldest frame that waits for a NIC: it was taken.
    pub fn pop_uplink_frame(&mut self, nic: usize) {
        if let Some(frame) = self.uplinks.get_mut(nic).and_then(|uplink| uplink.pop()) {
            self.pool.recycle(frame);
        }
    }

    /// Frames for a NIC that found its queue full.
    pub fn uplink_drops(&self, nic: usize) -> u64 {
        self.uplinks.get(nic).map_or(0, |uplink| uplink.drops)
    }

    /// Frames that a port can send before its uplink's queue is full; no bound without an uplink.
    ///
    /// A stack holds back what does not fit: TCP has no faster way to learn of a full NIC.
    pub fn transmit_room(&self, port: PortId) -> usize {
        let segment = self
            .ports
            .get(&port)
            .and_then(|port| self.segments.get(&port.segment?));
        match segment.map(|segment| segment.kind) {
            Some(SegmentKind::Switch { uplink: Some(nic) }) => self.uplinks[nic].room(),
            Some(SegmentKind::Switch { uplink: None } | SegmentKind::Link) | None => usize::MAX,
        }
    }

    pub(super) fn deliver(&mut self, to: Location, frame: Frame, segment: super::SegmentId) {
        let result = match to {
            Location::Port(id) => match self.ports.get_mut(&id) {
                Some(port) => deliver_to_port(port, frame, &mut self.ready),
                None => Err(frame),
            },
            Location::Uplink => self.push_uplink(segment, frame),
            Location::Remote(remote) => {
                self.send_to_remotes(segment, Some(remote), frame.bytes());
                return self.pool.recycle(frame);
            }
        };
        if let Err(frame) = result {
            if let Some(segment) = self.segments.get_mut(&segment) {
                segment.drops += 1;
            }
            self.pool.recycle(frame);
        }
    }

    fn push_uplink(&mut self, segment: super::SegmentId, frame: Frame) -> Result<(), Frame> {
        let kind = self.segments.get(&segment).map(|segment| segment.kind);
        let Some(SegmentKind::Switch { uplink: Some(nic) }) = kind else {
            return Err(frame);
        };
        self.uplinks[nic].push(frame)
    }

    /// Gives a copy to each port, to the uplink and to other nodes, except where the frame came from.
    fn flood(&mut self, segment_id: super::SegmentId, origin: Location, frame: Frame) {
        let Some(segment) = self.segments.get_mut(&segment_id) else {
            return self.pool.recycle(frame);
        };
        let ports = segment.ports.iter().filter_map(|id| self.ports.get(id));
        let is_back = |left: &&Port| {
            let mut here = ports.clone().filter(|port| !port.has_departed());
            left.has_departed() && here.any(|port| port.mac == left.mac)
        };
        // Their instances have come again, and get it here.
        let back: Vec<PortId> = ports.clone().filter(is_back).map(|port| port.id).collect();
        for id in &segment.ports {
            let Some(port) = self.ports.get_mut(id) else {
                continue;
            };
            let is_reached = match port.role {
                PortRole::Departed(to) => segment.remotes.iter().any(|it| it.id == to),
                PortRole::Here | PortRole::Arriving => false,
            };
            if origin == Location::Port(*id) || is_reached || back.contains(id) {
                continue;
            }
            let copy = self.pool.copy(frame.bytes());
            if let Err(copy) = deliver_to_port(port, copy, &mut self.ready) {
                segment.drops += 1;
                self.pool.recycle(copy);
            }
        }
        if !segment.remotes.is_empty() {
            self.send_to_remotes(segment_id, None, frame.bytes());
            return self.pool.recycle(frame);
        }
        match segment.kind {
            SegmentKind::Switch { uplink: Some(nic) } if origin != Location::Uplink => {
                if let Err(frame) = self.uplinks[nic].push(frame) {
                    segment.drops += 1;
                    self.pool.recycle(frame);
                }
            }
            SegmentKind::Switch { .. } | SegmentKind::Link => self.pool.recycle(frame),
        }
    }

    fn drop_sent(&mut self, from: PortId, frame: Frame) {
        if let Some(port) = self.ports.get_mut(&from) {
            port.counters.sent_drops += 1;
        }
        self.pool.recycle(frame);
    }
}

/// Learns from the source address and looks the destination up. A group address as source is
/// invalid and is not learned.
pub(super) fn route(
    segment: &mut Segment,
    origin: Location,
    destination: frame::MacAddress,
    source: frame::MacAddress,
    now: Time,
) -> Destination {
    if !is_group(source) {
        segment.addresses.learn(source, origin, now);
    }
    look_up(segment, origin, destination, now)
}

/// Looks the destination up.
pub(super) fn look_up(
    segment: &Segment,
    origin: Location,
    destination: frame::MacAddress,
    now: Time,
) -> Destination {
    if is_group(destination) {
        return Destination::All;
    }
    match segment.addresses.find(destination, now) {
        // Nobody knows any more where it is.
        Some(Location::Remote(remote)) if !segment.reaches(remote) => Destination::All,
        Some(location) if location == origin => Destination::Nobody,
        Some(location) => Destination::One(location),
        None => Destination::All,
    }
}

/// Queues a frame in a port and announces the port once.
fn deliver_to_port(port: &mut Port, frame: Frame, ready: &mut Vec<PortId>) -> Result<(), Frame> {
    port.deliver(frame)?;
    announce(port, ready);
    Ok(())
}

/// Tells the owner of a port once that frames wait, if it is there.
fn announce(port: &mut Port, ready: &mut Vec<PortId>) {
    if port.queued() > 0 && !port.announced && port.attendance == Attendance::Attended {
        port.announced = true;
        ready.push(port.id);
    }
}
