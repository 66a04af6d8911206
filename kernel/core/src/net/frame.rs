//! One Ethernet frame on its way.

use alloc::vec::Vec;

/// The bytes of one Ethernet frame, without preamble and check sequence.
///
/// Owned, so that a frame moves from port to port without a copy. The buffer may be longer than the
/// frame: a pooled buffer keeps its initialised length, so that reuse fills nothing with zeros.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    buffer: Vec<u8>,
    length: usize,
}

impl Frame {
    /// A frame of these bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Frame {
        Frame {
            length: bytes.len(),
            buffer: bytes,
        }
    }

    /// A frame of `length` bytes in `buffer`, which grows where it is too short. The bytes are
    /// whatever the buffer held: the caller overwrites them.
    pub fn reuse(mut buffer: Vec<u8>, length: usize) -> Frame {
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        Frame { buffer, length }
    }

    /// The bytes, destination address first.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }

    /// Gives the buffer back, for reuse; its length is that of its initialised bytes, not the
    /// frame's.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Destination and source address; nothing for a frame shorter than an Ethernet header.
    pub fn addresses(&self) -> Option<(MacAddress, MacAddress)> {
        addresses(self.bytes())
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Frame) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Frame {}

/// A station address.
pub type MacAddress = [u8; 6];

/// Destination and source address of an Ethernet frame; nothing when it is shorter than a header
/// (IEEE 802.3 clause 3.2).
pub fn addresses(frame: &[u8]) -> Option<(MacAddress, MacAddress)> {
    if frame.len() < ETHERNET_HEADER_BYTES {
        return None;
    }
    let destination = frame[0..6].try_into().ok()?;
    let source = frame[6..12].try_into().ok()?;
    Some((destination, source))
}

/// Bytes of an untagged Ethernet header.
pub const ETHERNET_HEADER_BYTES: usize = 14;

/// Whether `address` names a group of stations (IEEE 802.3 clause 3.2.3: lowest bit of the first
/// octet), broadcast included.
pub fn is_group(address: MacAddress) -> bool {
    address[0] & 1 != 0
}
