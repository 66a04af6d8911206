//! One Ethernet frame on its way.

use alloc::vec::Vec;

/// The bytes of one Ethernet frame, without preamble and check sequence.
///
/// Owned, so that a frame moves from port to port without a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    /// A frame of these bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Frame {
        Frame { bytes }
    }

    /// The bytes, destination address first.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the buffer back, for reuse.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
