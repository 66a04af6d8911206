//! [`Packer`]: puts pages into sections, each in the form that takes the least room.

use super::checksum;
use super::encoder::PageSource;
use super::layout::{Compression, PAGE_BYTES};
use super::pages::PagesWriter;
use crate::limits;
use alloc::vec::Vec;

/// What the compressor wants to have room for; it takes no less.
const BLOCK_BYTES: usize = lz4_flex::block::get_maximum_output_size(PAGE_BYTES);

/// What a page holds that is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Zeros.
    Zero,
    /// What it held before: in the parent, or after the round before.
    Earlier,
}

/// Packs the pages of one file, or of one round.
pub struct Packer {
    compression: Compression,
    base: Base,
    repeats: Repeats,
}

impl Packer {
    /// Has packed nothing so far.
    pub fn new(compression: Compression, base: Base) -> Packer {
        Packer {
            compression,
            base,
            repeats: Repeats::default(),
        }
    }

    /// Bytes that are remembered of pages.
    pub fn held_bytes(&self) -> usize {
        self.repeats.slots.capacity() * size_of::<Written>()
    }

    /// Bytes that are remembered at most of so many pages: a table doubles, and the old one is there meanwhile.
    pub fn heap_bytes(pages: u64) -> u64 {
        let pages = pages.min(limits::SNAPSHOT_REPEATS as u64) as usize;
        let slots = (pages * 2).next_power_of_two().max(FIRST_SLOTS);
        (slots * size_of::<Written>() * 3 / 2) as u64
    }

    /// Puts a page into a section.
    pub fn put(&mut self, source: &dyn PageSource, memory: u32, page: u32, open: &mut PagesWriter) {
        let bytes = source.page(memory, u64::from(page));
        let Some(bytes) = bytes.filter(|bytes| !is_zero(bytes)) else {
            if self.base == Base::Earlier {
                open.push_zero(page);
            }
            return;
        };
        let sum = checksum::of_page(bytes);
        if let Some((earlier_memory, earlier)) = self.repeats.find(sum)
            && source.page(earlier_memory, u64::from(earlier)) == Some(bytes)
        {
            return open.push_repeat(page, earlier_memory, earlier);
        }
        self.repeats.remember(sum, memory, page);
        if self.compression == Compression::Lz4 {
            let mut block = [0; BLOCK_BYTES];
            if let Ok(length) = lz4_flex::block::compress_into(bytes, &mut block)
                && length < PAGE_BYTES
            {
                return open.push_lz4(page, &block[..length]);
            }
        }
        open.push_raw(page, sum);
    }
}

/// Whether a page holds nothing; most that do not show it at once.
fn is_zero(page: &[u8; PAGE_BYTES]) -> bool {
    let (words, _) = page.as_chunks::<8>();
    words.iter().all(|word| u64::from_ne_bytes(*word) == 0)
}

/// Slots at first.
const FIRST_SLOTS: usize = 1024;
/// Slots that a checksum may be in: pages that are made to collide are only not found.
const PROBES: usize = 16;
/// The memory of a slot without a page: none has this number.
const NO_MEMORY: u32 = u32::MAX;

/// A page that was written.
#[derive(Clone, Copy)]
struct Written {
    checksum: u64,
    memory: u32,
    page: u32,
}

/// Pages that were written, by their checksums, to find those that repeat them: a table of which no more than
/// half is in use, looked up in plain words, as an emulator is slow at the vectors of a common one.
#[derive(Default)]
struct Repeats {
    /// None, or a power of two.
    slots: Vec<Written>,
    pages: usize,
}

impl Repeats {
    fn find(&self, checksum: u64) -> Option<(u32, u32)> {
        let written = self.slots.get(self.slot(checksum)?)?;
        (written.memory != NO_MEMORY).then_some((written.memory, written.page))
    }

    /// Remembers a page, as long as there is room: what is not found is written again.
    fn remember(&mut self, checksum: u64, memory: u32, page: u32) {
        if self.pages >= limits::SNAPSHOT_REPEATS {
            return;
        }
        if self.pages * 2 >= self.slots.len() {
            self.grow();
        }
        self.insert(Written {
            checksum,
            memory,
            page,
        });
    }

    /// The slot of this checksum, or a free one that it can have.
    fn slot(&self, checksum: u64) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let slots = (0..PROBES).map(|probe| (checksum as usize).wrapping_add(probe) & mask);
        let mut slots = slots.filter(|slot| {
            let written = &self.slots[*slot];
            written.memory == NO_MEMORY || written.checksum == checksum
        });
        slots.next()
    }

    fn insert(&mut self, written: Written) {
        if let Some(slot) = self.slot(written.checksum)
            && self.slots[slot].memory == NO_MEMORY
        {
            self.slots[slot] = written;
            self.pages += 1;
        }
    }

    fn grow(&mut self) {
        let free = Written {
            checksum: 0,
            memory: NO_MEMORY,
            page: 0,
        };
        let length = (self.slots.len() * 2).max(FIRST_SLOTS);
        let old = core::mem::replace(&mut self.slots, alloc::vec![free; length]);
        self.pages = 0;
        let written = old.into_iter().filter(|slot| slot.memory != NO_MEMORY);
        written.for_each(|written| self.insert(written));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_their_checksums_and_colliding_ones_only_some() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.find(0), None);
        let sum = |page: u32| u64::from(page).wrapping_mul(0x9e37_79b1_85eb_ca87);
        for page in 0..20_000 {
            repeats.remember(sum(page), 3, page);
        }
        let found = (0..20_000).filter(|page| repeats.find(sum(*page)) == Some((3, *page)));
        assert!(found.count() > 19_900);
        assert_eq!(repeats.find(1), None);
        // The first of a checksum stays.
        repeats.remember(sum(7), 4, 1);
        assert_eq!(repeats.find(sum(7)), Some((3, 7)));
        let mut colliding = Repeats::default();
        for page in 0..1000 {
            colliding.remember(u64::from(page) << 32, 0, page);
        }
        let found = (0..1000_u32).filter(|page| colliding.find(u64::from(*page) << 32).is_some());
        assert_eq!(found.count(), PROBES);
    }

    #[test]
    fn no_more_pages_are_remembered_than_may_be() {
        let mut repeats = Repeats::default();
        for page in 0..2 * limits::SNAPSHOT_REPEATS as u32 {
            repeats.remember(u64::from(page), 0, page);
        }
        assert_eq!(repeats.pages, limits::SNAPSHOT_REPEATS);
    }
}
