//! [`Pieces`]: an object's bytes as its parts came, never moved together.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

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

    /// Adds a piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        self.pieces.push_back(piece.to_vec());
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
