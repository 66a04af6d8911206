//! One end of an instance's cable: its queue and its counters.

use super::{LinkProperties, PortCounters, PortId, RemoteId, SegmentId};
use crate::limits;
use crate::net::frame::{Frame, MacAddress, is_group};
use alloc::collections::VecDeque;
use alloc::string::String;

/// Whether a cable is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortState {
    /// Frames pass.
    Up,
    /// Frames are dropped and counted.
    Down,
}

/// Whether the owner of a port takes what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attendance {
    /// It is told of frames.
    Attended,
    /// It will come back for them. Frames had been dropped before, so many.
    Held {
        /// The port's counter when it left.
        drops_before: u64,
    },
}

/// Where the instance of a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortRole {
    /// On this node.
    Here,
    /// It comes from another node, and does not run yet.
    Arriving,
    /// It runs on that node: what reaches the port is sent after it.
    Departed(RemoteId),
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) id: PortId,
    pub(super) name: String,
    pub(super) mac: MacAddress,
    /// None: what it sends comes back to it.
    pub(super) segment: Option<SegmentId>,
    pub(super) state: PortState,
    pub(super) attendance: Attendance,
    pub(super) role: PortRole,
    pub(super) properties: LinkProperties,
    pub(super) counters: PortCounters,
    queue: VecDeque<Frame>,
    queued_bytes: usize,
    /// Named in the list of ready ports already.
    pub(super) announced: bool,
}

impl Port {
    pub(super) fn new(
        id: PortId,
        name: &str,
        mac: MacAddress,
        segment: Option<SegmentId>,
        properties: LinkProperties,
    ) -> Port {
        Port {
            id,
            name: String::from(name),
            mac,
            segment,
            state: PortState::Up,
            attendance: Attendance::Attended,
            role: PortRole::Here,
            properties,
            counters: PortCounters::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            announced: false,
        }
    }

    /// Whether its instance is here and takes what comes.
    pub(super) fn is_attended_here(&self) -> bool {
        self.role == PortRole::Here && self.attendance == Attendance::Attended
    }

    /// Whether its instance runs on another node.
    pub(super) fn has_departed(&self) -> bool {
        matches!(self.role, PortRole::Departed(_))
    }

    /// Queues a frame towards the instance, or gives it back when it is not to be had.
    pub(super) fn deliver(&mut self, frame: Frame) -> Result<(), Frame> {
        let bytes = frame.bytes().len();
        if self.state == PortState::Down || !self.has_room(bytes) || self.is_crowded(&frame) {
            self.counters.received_drops += 1;
            return Err(frame);
        }
        self.counters.received_frames += 1;
        self.counters.received_bytes += bytes as u64;
        self.queued_bytes += bytes;
        self.queue.push_back(frame);
        Ok(())
    }

    /// Whether a frame of `bytes` fits: counted in frames and in bytes, since large frames are long.
    fn has_room(&self, bytes: usize) -> bool {
        self.queue.len() < limits::PORT_QUEUE_FRAMES
            && self.queued_bytes + bytes <= limits::PORT_QUEUE_BYTES
    }

    /// Whether the port has enough of what is for everybody: while nobody takes frames, half of its room is for
    /// those that only its owner can answer.
    fn is_crowded(&self, frame: &Frame) -> bool {
        let is_for_all = || frame.addresses().is_some_and(|(to, _)| is_group(to));
        let half = self.queue.len() >= limits::PORT_QUEUE_FRAMES / 2;
        matches!(self.attendance, Attendance::Held { .. }) && half && is_for_all()
    }

    pub(super) fn take(&mut self) -> Option<Frame> {
        let frame = self.queue.pop_front()?;
        self.queued_bytes -= frame.bytes().len();
        Some(frame)
    }

    /// The frames that wait, the oldest first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Frame> {
        self.queue.iter()
    }

    /// Queues a frame that was received and counted before, or gives it back when there is no room.
    pub(super) fn put(&mut self, frame: Frame) -> Result<(), Frame> {
        let bytes = frame.bytes().len();
        if !self.has_room(bytes) {
            self.counters.received_drops += 1;
            return Err(frame);
        }
        self.queued_bytes += bytes;
        self.queue.push_back(frame);
        Ok(())
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }
}
