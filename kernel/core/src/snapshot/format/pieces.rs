//! [`Pieces`]: an object's bytes as its parts came, moved together only where parts are small.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A last piece that is shorter takes the next one in, so that many small parts take no more room than
/// their bytes.
const MERGED_BYTES: usize = 4096;

/// Bytes in pieces.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Pieces {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        let room_bytes = self.room_for(bytes.len());
        match self.pieces.back_mut() {
            Some(last) if last.len() < MERGED_BYTES => {
                last.reserve_exact(room_bytes);
                last.extend_from_slice(bytes);
            }
            _ => self.pieces.push_back(bytes.to_vec()),
        }
    }

    /// How much more memory it takes, at most and but for bookkeeping, once so many bytes are added.
    pub fn room_for(&self, bytes: usize) -> usize {
        match self.pieces.back() {
            Some(last) if last.len() < MERGED_BYTES => bytes.max(MERGED_BYTES - last.len()),
            _ => bytes,
        }
    }

    /// The first piece.
    pub fn first(&self) -> Option<&[u8]> {
        self.pieces.front().map(Vec::as_slice)
    }

    /// Drops the first piece.
    pub fn drop_first(&mut self) {
        if let Some(first) = self.pieces.pop_front() {
            self.bytes -= first.len();
        }
    }

    /// All bytes in a row, to be shared; pieces are dropped as they are copied.
    pub fn into_shared(mut self) -> Arc<[u8]> {
        let mut shared: Arc<[u8]> = core::iter::repeat_n(0, self.bytes).collect();
        // Nobody else has it yet.
        if let Some(mut rest) = Arc::get_mut(&mut shared) {
            while let Some(piece) = self.pieces.pop_front() {
                let (place, after) = rest.split_at_mut(piece.len());
                place.copy_from_slice(&piece);
                rest = after;
            }
        }
        shared
    }

    /// All bytes in a row; a single piece is given as it is.
    pub fn into_bytes(mut self) -> Vec<u8> {
        if self.pieces.len() == 1 {
            return self.pieces.pop_front().unwrap_or_default();
        }
        let mut bytes = Vec::with_capacity(self.bytes);
        while let Some(piece) = self.pieces.pop_front() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(bytes: Vec<u8>) -> Pieces {
        Pieces {
            bytes: bytes.len(),
            pieces: [bytes].into(),
        }
    }
}

/// Pieces as they are, however short.
impl FromIterator<Vec<u8>> for Pieces {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(pieces: I) -> Pieces {
        let pieces: VecDeque<Vec<u8>> = pieces.into_iter().collect();
        Pieces {
            bytes: pieces.iter().map(Vec::len).sum(),
            pieces,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_parts_take_no_more_room_than_their_bytes() {
        let mut pieces = Pieces::default();
        let bytes: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
        let mut room_bytes = 0;
        for byte in &bytes {
            room_bytes = room_bytes.max(pieces.room_for(1));
            pieces.push(&[*byte]);
        }
        assert_eq!(pieces.len(), bytes.len());
        assert!(pieces.pieces.len() <= bytes.len() / MERGED_BYTES + 1);
        let held = pieces.pieces.iter().map(Vec::capacity);
        assert!(held.sum::<usize>() <= bytes.len() + MERGED_BYTES);
        assert!(room_bytes <= MERGED_BYTES);
        assert_eq!(pieces.into_bytes(), bytes);
    }

    #[test]
    fn large_parts_stay_as_they_came() {
        let mut pieces = Pieces::default();
        for length in [MERGED_BYTES, 60_000, 1, 2, 60_000] {
            assert!(pieces.room_for(length) >= length);
            pieces.push(&alloc::vec![7; length]);
        }
        let lengths: Vec<usize> = pieces.pieces.iter().map(Vec::len).collect();
        assert_eq!(lengths, [MERGED_BYTES, 60_000, 60_003]);
    }
}
