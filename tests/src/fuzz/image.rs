//! Any bytes as a boot image (target `image`), as they are and with the checksum of its index made right.

use super::mutate;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use sos_core::image::{Image, Manifest};

const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 40;
/// Bytes of the header that its checksum covers, and where that stands.
const COVERED_BYTES: usize = 32;

/// Reads `bytes` as an image and takes its blobs out.
pub fn run(bytes: &[u8]) {
    read(bytes);
    if let Some(image) = Parts::of(bytes) {
        read(&image.seal());
    }
}

fn read(bytes: &[u8]) {
    if let Ok(image) = Image::parse(bytes) {
        for (hash, _) in image.blobs() {
            // Each has its hash or is refused.
            let _ = image.blob(&hash);
        }
    }
}

/// An image in pieces.
struct Parts<'a> {
    header: [u8; HEADER_BYTES],
    table: &'a [u8],
    manifest: Vec<u8>,
    blobs: &'a [u8],
}

impl Parts<'_> {
    fn of(bytes: &[u8]) -> Option<Parts<'_>> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let number =
            |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap_or_default());
        let entries = (number(8) >> 32) as usize;
        let (table, rest) = rest.split_at_checked(entries.checked_mul(ENTRY_BYTES)?)?;
        let (manifest, blobs) = rest.split_at_checked(usize::try_from(number(24)).ok()?)?;
        Some(Parts {
            header: *header,
            table,
            manifest: manifest.into(),
            blobs,
        })
    }

    fn seal(&self) -> Vec<u8> {
        let mut header = self.header;
        let rest = self.table.len() + self.manifest.len() + self.blobs.len();
        header[16..24].copy_from_slice(&((HEADER_BYTES + rest) as u64).to_le_bytes());
        header[24..32].copy_from_slice(&(self.manifest.len() as u64).to_le_bytes());
        let mut digest = Sha256::new();
        digest.update(&header[..COVERED_BYTES]);
        digest.update(self.table);
        digest.update(&self.manifest);
        header[COVERED_BYTES..].copy_from_slice(&digest.finalize());
        [&header[..], self.table, &self.manifest, self.blobs].concat()
    }
}

/// Another image like this one.
pub fn other(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(seed);
    match Parts::of(bytes) {
        Some(mut image) if random.random_ratio(4, 5) => {
            image.manifest = mutate::data::<Manifest>(&image.manifest, &mut random);
            image.seal()
        }
        _ => mutate::other_bytes(bytes, &mut random),
    }
}

/// Images to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![super::guests::image()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_image_is_sealed_as_it_was_and_others_are_often_sound() {
        for seed in seeds() {
            assert!(Parts::of(&seed).expect("an image").seal() == seed);
            let others = (0..400).map(|number| other(&seed, number));
            let sound = others.filter(|image| Image::parse(image).is_ok()).count();
            assert!((20..390).contains(&sound), "{sound} of 400 are sound");
        }
    }
}
