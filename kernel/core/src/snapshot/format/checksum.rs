//! Checksums: xxh64 with seed 0 (xxHash specification, section "XXH64 algorithm").
//!
//! It finds accidents, not attacks; those are the seal's. xxh64 because it is the fastest on a plain
//! 64-bit machine, emulated ones included, where a CRC or a vector hash takes several times as long; and a
//! page's checksum also serves to find pages that are there twice, so that each byte is read once.

use super::error::Problem;
use xxhash_rust::xxh64::{Xxh64, xxh64};

/// Bytes of a checksum.
pub const BYTES: usize = 8;

/// The checksum of `bytes`.
pub fn of(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// Compares the checksum at the end of a fixed part.
pub fn fixed_part(bytes: &[u8]) -> Result<(), Problem> {
    match bytes.split_last_chunk::<BYTES>() {
        Some((covered, sum)) if of(covered) == u64::from_le_bytes(*sum) => Ok(()),
        _ => Err(Problem::HeadChecksum),
    }
}

/// Adds up what a checksum of a section of pages covers: the checksum of each block of data in turn, then
/// the records.
pub struct PagesChecksum(Xxh64);

impl Default for PagesChecksum {
    fn default() -> Self {
        PagesChecksum(Xxh64::new(0))
    }
}

impl PagesChecksum {
    /// The next block of data, by its own checksum.
    pub fn add_block(&mut self, block_checksum: u64) {
        self.0.update(&block_checksum.to_le_bytes());
    }

    /// All that stands behind the data.
    pub fn finish(mut self, records_and_tail: &[u8]) -> u64 {
        self.0.update(records_and_tail);
        self.0.digest()
    }
}
