//! Checksums: xxh64 with seed 0 (xxHash specification, section "XXH64 algorithm").
//!
//! It finds accidents, not attacks; those are the seal's. xxh64 because it is the fastest on a plain
//! 64-bit machine, emulated ones included, where a CRC or a vector hash takes several times as long; and a
//! page's checksum also serves to find pages that are there twice, so that each byte is read once.
//!
//! Pages are nearly all that a file has. [`of_page`] is for them, with steps that QEMU's emulation is
//! quick at: 64 MiB take two thirds of the time (QEMU 7.2).

use super::error::Problem;
use super::layout::PAGE_BYTES;
use xxhash_rust::xxh64::{Xxh64, xxh64};

/// Bytes of a checksum.
pub const BYTES: usize = 8;

/// The checksum of `bytes`.
pub fn of(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// The checksum of parts in a row.
pub fn of_parts(parts: &[&[u8]]) -> u64 {
    let mut sum = Xxh64::new(0);
    parts.iter().for_each(|part| sum.update(part));
    sum.digest()
}

// Constants of the algorithm (xxHash specification, "XXH64 algorithm description").
const PRIME_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME_4: u64 = 0x85eb_ca77_c2b2_ae63;

/// Bytes of a word, and of a stripe of four.
const WORD_BYTES: usize = 8;
const STRIPE_BYTES: usize = 4 * WORD_BYTES;

/// The checksum of a page: what [`of`] gives, sooner.
pub fn of_page(page: &[u8; PAGE_BYTES]) -> u64 {
    // What the seed 0 begins with.
    let mut lanes = [
        PRIME_1.wrapping_add(PRIME_2),
        PRIME_2,
        0,
        PRIME_1.wrapping_neg(),
    ];
    for stripe in page.as_chunks::<STRIPE_BYTES>().0 {
        for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<WORD_BYTES>().0) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let [a, b, c, d] = lanes;
    let mut sum = a.rotate_left(1);
    sum = sum.wrapping_add(b.rotate_left(7));
    sum = sum.wrapping_add(c.rotate_left(12));
    sum = sum.wrapping_add(d.rotate_left(18));
    for lane in lanes {
        sum = (sum ^ round(0, lane)).wrapping_mul(PRIME_1);
        sum = sum.wrapping_add(PRIME_4);
    }
    // No bytes are left behind the stripes.
    sum = sum.wrapping_add(PAGE_BYTES as u64);
    sum = (sum ^ sum >> 33).wrapping_mul(PRIME_2);
    sum = (sum ^ sum >> 29).wrapping_mul(PRIME_3);
    sum ^ sum >> 32
}

/// One word into one lane: the specification's `rotate_left(value, 31) * PRIME_1`. The two parts of a
/// rotation share no bits, so that it is a sum, whose products need no rotation: an x86 processor keeps
/// flags of a rotation by itself, which an emulator has to work out.
#[inline(always)]
fn round(lane: u64, word: u64) -> u64 {
    let value = lane.wrapping_add(word.wrapping_mul(PRIME_2));
    let high = value.wrapping_mul(PRIME_1 << 31);
    high.wrapping_add((value >> 33).wrapping_mul(PRIME_1))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pages_checksum_is_that_of_its_bytes() {
        let mut page = [0; PAGE_BYTES];
        let mut noise = 1_u64;
        for round in 0..200 {
            assert_eq!(of_page(&page), of(&page), "{round}");
            for byte in &mut page {
                noise = noise.wrapping_mul(PRIME_2).wrapping_add(PRIME_3);
                *byte = (noise >> 56) as u8;
            }
        }
        assert_eq!(of_page(&[0xff; PAGE_BYTES]), of(&[0xff; PAGE_BYTES]));
    }

    #[test]
    fn parts_have_the_checksum_of_what_they_are_together() {
        assert_eq!(of_parts(&[b"ab", b"", b"cd"]), of(b"abcd"));
    }
}
