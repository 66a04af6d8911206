//! Memory that is held beside a program's own: touched, each page unlike any other, and written while the
//! program serves. One text for the peer and for `guests/holder`, which takes this file by its path.

/// Bytes of a page.
const PAGE_BYTES: usize = 4096;
/// Pages between two that are written one after the other: odd, so that all get their turn, and so many
/// that neighbours share no table.
const STRIDE: usize = 521;

/// Pages that a program writes before it looks again whether there is something else to do, if it never
/// stops writing.
pub const PAGES_AT_ONCE: usize = 64;

/// When a program writes to the memory that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// When it is asked something.
    WhileServing,
    /// Without a pause.
    Always,
}

/// Memory that is touched and written; none by default.
#[derive(Debug, Default)]
pub struct Held {
    bytes: Vec<u8>,
    next: usize,
}

impl Held {
    /// Fills so much with pages of noise, each with a number of its own.
    pub fn fill(mebibytes: usize) -> Held {
        let mut noise = [0; PAGE_BYTES];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for word in noise.chunks_exact_mut(8) {
            // Xorshift (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let mut bytes = vec![0; mebibytes << 20];
        for (number, page) in bytes.chunks_exact_mut(PAGE_BYTES).enumerate() {
            page.copy_from_slice(&noise);
            page[..8].copy_from_slice(&(number as u64).to_le_bytes());
        }
        Held { bytes, next: 0 }
    }

    /// Writes to some pages, one after the other.
    pub fn write_some(&mut self) {
        (0..PAGES_AT_ONCE).for_each(|_| self.write());
    }

    /// Writes to the next page.
    pub fn write(&mut self) {
        let pages = self.bytes.len() / PAGE_BYTES;
        if pages > 0 {
            self.next = (self.next + STRIDE) % pages;
            let byte = &mut self.bytes[self.next * PAGE_BYTES + 8];
            *byte = byte.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pages_differ_and_each_is_written_in_its_turn() {
        let mut held = Held::fill(1);
        let before = held.bytes.clone();
        let pages: std::collections::BTreeSet<_> = before.chunks(PAGE_BYTES).collect();
        assert_eq!(pages.len(), (1 << 20) / PAGE_BYTES);
        (0..pages.len()).for_each(|_| held.write());
        let changed = held
            .bytes
            .iter()
            .zip(&before)
            .filter(|(new, old)| new != old);
        assert_eq!(changed.count(), pages.len());
        Held::default().write_some();
    }
}
