//! Changes to what is tried that come behind its checksums and, mostly, behind its decoders.

use super::file::{File, Section, kind};
use super::shape::Shape;
use rand::rngs::SmallRng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use rand::{Rng, SeedableRng};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use sos_core::host::GuestState;
use sos_core::instance::engine::ExecutionState;
use sos_core::net::stack::StackState;
use sos_core::snapshot::About;

/// Bytes of a blob's hash, before the blob.
const HASH_BYTES: usize = 32;

/// Another snapshot file, made of this one: a state of another value, other bytes, other pages, another
/// program below the frames, or sections in another order. All of its checksums are right.
pub fn snapshot(bytes: &[u8], seed: u64) -> Vec<u8> {
    let Some(mut file) = File::read(bytes) else {
        return bytes.into();
    };
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..changes(&mut random) {
        match random.random_range(0..20) {
            0 => change_sections(&mut file, &mut random),
            1 => change_program(&mut file, &mut random),
            _ => change_section(&mut file, &mut random),
        }
    }
    file.seal()
}

/// Plain data of type `T` in other bytes, mostly still of the type.
pub fn data<T: Serialize + DeserializeOwned>(bytes: &[u8], random: &mut SmallRng) -> Vec<u8> {
    match postcard::from_bytes::<T>(bytes) {
        Ok(data) if random.random_ratio(19, 20) => {
            let mut shape = Shape::of(&data);
            for _ in 0..changes(random) {
                shape.mutate(random);
            }
            shape.to_bytes()
        }
        _ => other_bytes(bytes, random),
    }
}

/// Bytes with a few of them changed, doubled or left out.
pub fn other_bytes(bytes: &[u8], random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..5) {
            0 => bytes.insert(at, random.random()),
            1 => bytes.truncate(at),
            2 => {
                let end = (at + random.random_range(0..16)).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.random();
                }
            }
        }
    }
    bytes
}

/// How many changes are made at once: mostly one, since most are refused.
fn changes(random: &mut SmallRng) -> usize {
    match random.random_ratio(3, 4) {
        true => 1,
        false => random.random_range(2..5),
    }
}

fn change_section(file: &mut File, random: &mut SmallRng) {
    let Some(section) = file.sections.choose_mut(random) else {
        return;
    };
    let payload = &section.payload;
    section.payload = match section.kind {
        kind::ABOUT => data::<About>(payload, random),
        kind::EXECUTION => data::<ExecutionState>(payload, random),
        kind::GUEST => data::<GuestState>(payload, random),
        kind::NETWORK => data::<StackState>(payload, random),
        _ => other_bytes(payload, random),
    };
}

fn change_sections(file: &mut File, random: &mut SmallRng) {
    let Some(section) = file.sections.choose(random).cloned() else {
        return;
    };
    let (from, to) = (
        random.random_range(0..file.sections.len()),
        random.random_range(0..file.sections.len()),
    );
    match random.random_range(0..7) {
        0 => file.sections.swap(from, to),
        1 => drop(file.sections.remove(from)),
        2 => file.sections.insert(from, section),
        3 => file.sections[from].version = random.random_range(0..3),
        4 => file.sections[from].flags ^= 1 << random.random_range(0..4),
        5 => file.sections[from].kind = random.random_range(0..12),
        _ => file.header[random.random_range(0..64)] = random.random(),
    }
}

/// Changes a module and the hash by which the instance knows it.
fn change_program(file: &mut File, random: &mut SmallRng) {
    let is_blob = |section: &&mut Section| section.kind == kind::BLOB;
    let mut blobs: Vec<&mut Section> = file.sections.iter_mut().filter(is_blob).collect();
    let Some(blob) = blobs.choose_mut(random) else {
        return;
    };
    let Some((hash, bytes)) = blob.payload.split_first_chunk::<HASH_BYTES>() else {
        return;
    };
    let hash = *hash;
    let bytes = other_bytes(bytes, random);
    let new: [u8; HASH_BYTES] = Sha256::digest(&bytes).into();
    blob.payload = [&new[..], &bytes].concat();
    let about = file
        .sections
        .iter_mut()
        .find(|section| section.kind == kind::ABOUT);
    let Some(about) = about else {
        return;
    };
    let found = about
        .payload
        .windows(HASH_BYTES)
        .position(|window| *window == hash);
    if let Some(at) = found {
        about.payload[at..at + HASH_BYTES].copy_from_slice(&new);
    }
}
