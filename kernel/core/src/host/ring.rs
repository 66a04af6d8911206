//! A bounded run of bytes whose positions keep their numbers.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Most bytes that are believed to have gone through a ring.
const NUMBERS_MOST: u64 = 1 << 63;

/// The last bytes of an endless stream. A full ring forgets its oldest bytes.
#[derive(Debug, Clone)]
pub struct ByteRing {
    bytes: VecDeque<u8>,
    /// Number of the oldest byte that is kept.
    first: u64,
    capacity: usize,
}

impl ByteRing {
    /// An empty ring that keeps at most `capacity` bytes.
    pub fn new(capacity: usize) -> ByteRing {
        ByteRing {
            bytes: VecDeque::new(),
            first: 0,
            capacity,
        }
    }

    /// A ring that keeps `bytes`, the oldest of which has number `first`; none when they are more than
    /// it keeps or their numbers are none that bytes had.
    pub fn resume(capacity: usize, first: u64, bytes: Vec<u8>) -> Option<ByteRing> {
        if bytes.len() > capacity || first > NUMBERS_MOST {
            return None;
        }
        Some(ByteRing {
            bytes: bytes.into(),
            first,
            capacity,
        })
    }

    /// Appends all of `bytes`, forgetting the oldest as needed.
    pub fn push(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(self.capacity);
        let kept = &bytes[skipped..];
        let excess = (self.bytes.len() + kept.len()).saturating_sub(self.capacity);
        self.bytes.drain(..excess);
        self.first += (excess + skipped) as u64;
        self.bytes.extend(kept);
    }

    /// Number that the next byte will get.
    pub fn next_number(&self) -> u64 {
        self.first + self.bytes.len() as u64
    }

    /// Number of the oldest byte that is still there: how many were forgotten.
    pub fn first_number(&self) -> u64 {
        self.first
    }

    /// Copies the bytes from number `number` on that are still there.
    pub fn since(&self, number: u64) -> Vec<u8> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.bytes.iter().skip(skip).copied().collect()
    }
}
