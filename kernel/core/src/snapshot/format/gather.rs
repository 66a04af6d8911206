//! [`Gathered`]: bytes of a file that are to be taken, most of which stay where they are.

use super::encoder::{ObjectBytes, PageSource};
use super::layout::PAGE_BYTES;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What a source without a page has.
static NO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// Bytes in a row.
pub enum Piece {
    /// These.
    Bytes(Vec<u8>),
    /// Some of an object's, which holds them.
    Object {
        /// The object.
        bytes: ObjectBytes,
        /// The first byte,
        from: usize,
        /// and the one behind the last.
        end: usize,
    },
    /// Pages of the source.
    Pages {
        /// Their memory.
        memory: u32,
        /// The first.
        first: u32,
        /// How many.
        count: u32,
    },
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Object { from, end, .. } => (end - from) as u64,
            Piece::Pages { count, .. } => u64::from(*count) * PAGE_BYTES as u64,
        }
    }

    /// Bytes from `at` on, in one row.
    fn rest<'a>(&'a self, at: u64, source: &'a dyn PageSource) -> &'a [u8] {
        match self {
            Piece::Bytes(bytes) => &bytes[at as usize..],
            Piece::Object { bytes, from, end } => match bytes {
                ObjectBytes::Held(bytes) => &bytes[*from + at as usize..*end],
                ObjectBytes::Made(_) => &[],
            },
            Piece::Pages { memory, first, .. } => {
                let page = u64::from(*first) + at / PAGE_BYTES as u64;
                let page = source.page(*memory, page).unwrap_or(&NO_PAGE);
                &page[(at % PAGE_BYTES as u64) as usize..]
            }
        }
    }
}

/// Pieces in a row, taken from the front.
#[derive(Default)]
pub struct Gathered {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that were taken.
    taken: u64,
    /// Bytes of all pieces that are still to be taken.
    bytes: u64,
    /// Of them and of those taken of the first piece, those that are held here.
    held_bytes: usize,
}

impl Gathered {
    /// How many bytes there are to be taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes are held here, and nowhere else, with what says where the others are.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes + self.pieces.len() * size_of::<Piece>()
    }

    /// Adds bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.held_bytes += bytes.len();
        match self.pieces.back_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
            _ if bytes.is_empty() => {}
            _ => self.pieces.push_back(Piece::Bytes(bytes.to_vec())),
        }
    }

    /// Adds a piece.
    pub fn push(&mut self, piece: Piece) {
        if let Piece::Bytes(bytes) = &piece {
            self.held_bytes += bytes.len();
        }
        let length = piece.length();
        self.bytes += length;
        if length > 0 {
            self.pieces.push_back(piece);
        }
    }

    /// Some of the bytes; none when there are none.
    pub fn front<'a>(&'a self, source: &'a dyn PageSource) -> &'a [u8] {
        let first = self.pieces.front();
        first.map_or(&[], |piece| piece.rest(self.taken, source))
    }

    /// Forgets the first `count` bytes, at most those of [`front`](Self::front).
    pub fn forget(&mut self, count: usize) {
        let Some(first) = self.pieces.front() else {
            return;
        };
        let count = (count as u64).min(first.length() - self.taken);
        self.taken += count;
        self.bytes -= count;
        if self.taken == first.length() {
            if let Some(Piece::Bytes(bytes)) = self.pieces.pop_front() {
                self.held_bytes -= bytes.len();
            }
            self.taken = 0;
        }
    }
}
