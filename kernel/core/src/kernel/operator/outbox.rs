//! Frames that wait to be sent.

use crate::limits;
use crate::operator::{ToOperator, append_data_frame, append_frame};
use alloc::vec::Vec;

/// Frames in a row. Whoever fills it asks [`is_full`](Outbox::is_full) first, so that it holds no more
/// than the bound and one frame for each message that is being answered.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the front that are sent.
    sent: usize,
}

impl Outbox {
    /// Whether nothing should be added that can wait.
    pub fn is_full(&self) -> bool {
        self.bytes.len() - self.sent >= limits::OPERATOR_OUTPUT_BYTES
    }

    /// Adds a message, whose data is bounded so that it fits a frame.
    pub fn push(&mut self, message: &ToOperator<'_>) {
        // Every message's data is bounded where it is made.
        let appended = append_frame(&mut self.bytes, message);
        debug_assert!(appended.is_ok(), "{appended:?}");
    }

    /// Adds a message, which has no data itself, with so many bytes that `fill` appends.
    pub fn push_data(
        &mut self,
        message: &ToOperator<'_>,
        bytes: usize,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let appended = append_data_frame(&mut self.bytes, message, bytes, fill);
        debug_assert!(appended.is_ok(), "{appended:?}");
    }

    /// What waits to be sent, which is thereby sent.
    #[cfg(test)]
    pub fn take_bytes(&mut self) -> Vec<u8> {
        let bytes = core::mem::take(&mut self.bytes);
        bytes[core::mem::take(&mut self.sent)..].to_vec()
    }

    /// Sends what is taken: `write` says how many bytes that is.
    pub fn flush(&mut self, write: impl FnOnce(&[u8]) -> usize) {
        if self.sent < self.bytes.len() {
            self.sent += write(&self.bytes[self.sent..]);
        }
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= limits::OPERATOR_OUTPUT_BYTES {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}
