//! Frames on their way to a NIC, and which switch each NIC is joined to.

use super::SegmentId;
use crate::limits;
use crate::net::frame::Frame;
use alloc::collections::VecDeque;

/// What waits for one NIC.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    /// The switch that the NIC is joined to.
    pub(super) switch: Option<SegmentId>,
    queue: VecDeque<Frame>,
    /// Frames that found the queue full.
    pub(super) drops: u64,
}

impl Uplink {
    /// Queues a frame, or gives it back when the queue is full.
    pub(super) fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.queue.len() >= limits::UPLINK_QUEUE_FRAMES {
            self.drops += 1;
            return Err(frame);
        }
        self.queue.push_back(frame);
        Ok(())
    }

    pub(super) fn front(&self) -> Option<&Frame> {
        self.queue.front()
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.queue.pop_front()
    }

    /// Frames that still fit.
    pub(super) fn room(&self) -> usize {
        limits::UPLINK_QUEUE_FRAMES - self.queue.len()
    }
}
