//! [`Packer`]: puts pages into sections, each in the form that takes the least room.

use super::checksum;
use super::encoder::PageSource;
use super::layout::{Compression, PAGE_BYTES};
use super::pages::PagesWriter;
use crate::limits;
use core::hash::{BuildHasherDefault, Hasher};
use hashbrown::HashMap;

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

/// Pages that were written, by their checksums, to find those that repeat them.
#[derive(Default)]
struct Repeats {
    // Looked up only, so that the order of hashing shows nowhere.
    pages: HashMap<u64, (u32, u32), BuildHasherDefault<ChecksumHasher>>,
}

impl Repeats {
    fn find(&self, checksum: u64) -> Option<(u32, u32)> {
        self.pages.get(&checksum).copied()
    }

    /// Remembers a page, as long as there is room: what is not found is written again.
    fn remember(&mut self, checksum: u64, memory: u32, page: u32) {
        if self.pages.len() < limits::SNAPSHOT_REPEATS {
            self.pages.entry(checksum).or_insert((memory, page));
        }
    }
}

/// A checksum is a hash already.
#[derive(Default)]
struct ChecksumHasher(u64);

impl Hasher for ChecksumHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = checksum::of(bytes);
    }

    fn write_u64(&mut self, checksum: u64) {
        self.0 = checksum;
    }
}
