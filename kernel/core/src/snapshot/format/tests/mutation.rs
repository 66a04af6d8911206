//! A campaign of mutated files, from seeds: nothing panics, and a file that is still read is bounded.
//!
//! Plain mutations mostly fail at a checksum, so half of the campaign forges sections, whose checksums are
//! right, of random kinds, flags, records and bytes. More rounds:
//! `SOS_MUTATIONS=1000000 cargo test -p sos-core --release snapshot::format::tests::mutation`.

use super::hostile::Forged;
use super::*;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

/// Rounds without a word from outside.
const ROUNDS: u64 = 3_000;

fn rounds() -> u64 {
    option_env!("SOS_MUTATIONS")
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS)
}

fn below(random: &mut ChaCha12Rng, most: usize) -> usize {
    random.next_u32() as usize % most.max(1)
}

#[test]
fn mutated_files_are_refused_or_read() {
    let file = small_file();
    for seed in 0..rounds() {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mut mutant = file.clone();
        for _ in 0..1 + below(&mut random, 4) {
            let at = below(&mut random, mutant.len());
            match random.next_u32() % 4 {
                0 => mutant[at] = random.next_u32() as u8,
                1 => mutant.truncate(at),
                2 => mutant.insert(at, random.next_u32() as u8),
                _ => {
                    let end = at + below(&mut random, mutant.len() - at);
                    let piece = mutant[at..end].to_vec();
                    let to = below(&mut random, mutant.len() - piece.len());
                    mutant[to..to + piece.len()].copy_from_slice(&piece);
                }
            }
            if mutant.is_empty() {
                break;
            }
        }
        let changed = mutant != file;
        assert_eq!(read(&mutant).is_err(), changed, "seed {seed}");
    }
}

#[test]
fn forged_sections_are_refused_or_bounded() {
    let mut sound = 0;
    for seed in 0..rounds() {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mut file = Forged::new();
        if !random.next_u32().is_multiple_of(8) {
            file = file.objects();
        }
        for number in 0..below(&mut random, 4) as u32 {
            let pages = u64::from(random.next_u32() % 64);
            file = file.memory(number, pages);
            for _ in 0..below(&mut random, 3) {
                file = random_pages(file, &mut random, number);
            }
        }
        if random.next_u32().is_multiple_of(4) {
            let payload = alloc::vec![random.next_u32() as u8; below(&mut random, 100)];
            let kind = (random.next_u32() % 12) as u16;
            let (version, flags) = (
                1 + u16::from(random.next_u32().is_multiple_of(8)),
                random.next_u32() % 4,
            );
            file = file.section(kind, version, flags, &payload);
        }
        let file = file.finish();
        if let Ok(read) = read(&file) {
            sound += 1;
            assert!(read.pages.len() <= 3 * 64, "seed {seed}");
        }
        let summary = Summary::read(&file);
        assert_eq!(summary.complete, summary.error.is_none(), "seed {seed}");
    }
    assert!(sound > rounds() / 20, "only {sound} files were sound");
}

/// Records that often make sense.
fn random_pages(file: Forged, random: &mut ChaCha12Rng, memory: u32) -> Forged {
    let (mut data, mut blocks, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = random.next_u32() % 8;
    for _ in 0..below(random, 4) {
        let count = 1 + (random.next_u32() % 3) as u16;
        let form = (random.next_u32() % 5) as u8;
        let record = match form {
            1 => {
                for _ in 0..count {
                    data.extend_from_slice(&[random.next_u32() as u8; PAGE_BYTES]);
                }
                blocks.extend(core::iter::repeat_n(PAGE_BYTES, usize::from(count)));
                (first, count, 1, 0)
            }
            2 => {
                let block = match random.next_u32() % 2 {
                    0 => compressed(&[random.next_u32() as u8; PAGE_BYTES]),
                    _ => alloc::vec![random.next_u32() as u8; 1 + below(random, 64)],
                };
                data.extend_from_slice(&block);
                blocks.push(block.len());
                (first, 1, 2, block.len() as u64)
            }
            4 => (first, count, 4, u64::from(random.next_u32() % 8)),
            _ => (first, count, form, 0),
        };
        first = first.wrapping_add(u32::from(record.1) + random.next_u32() % 3);
        records.push(record);
    }
    if random.next_u32().is_multiple_of(16) && !data.is_empty() {
        let at = below(random, data.len());
        data[at] ^= 1;
    }
    file.pages(memory, &records, &data, &blocks)
}
