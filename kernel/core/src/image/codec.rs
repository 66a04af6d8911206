//! The image file: header, blob table, manifest, blobs. A blob is a module or the content of a file.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | format version |
//! | 12 | 4 | number of blobs |
//! | 16 | 8 | length of the whole file |
//! | 24 | 8 | length of the manifest |
//! | 32 | 32 | SHA-256 over bytes 0..32, the blob table and the manifest |
//! | 64 | 40 each | blob table: SHA-256 and length, in ascending order of hash |
//! | … | … | manifest, in postcard |
//! | … | … | blobs in the table's order, without gaps |
//!
//! Integers are little-endian. The checksum covers the blobs' hashes and they cover the blobs, so
//! every byte is covered exactly once; a blob is checked when it is taken out, so that booting
//! hashes only what runs and one corrupt blob leaves the other instances alone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::error::{BlobUse, ImagePart};
use super::{BlobHash, FileContent, ImageError, Manifest};
use crate::limits;

/// The first bytes of every image; the last two catch transfers that translate line ends.
pub const MAGIC: [u8; 8] = *b"SOSIMG\r\n";
/// The format that this code reads and writes; any change to the manifest's types raises it.
pub const FORMAT_VERSION: u32 = 3;
/// Bytes of the header with its checksum.
pub const HEADER_BYTES: usize = 64;
/// Header bytes that the checksum covers.
const COVERED_HEADER_BYTES: usize = 32;
/// Bytes of a module table entry.
const ENTRY_BYTES: usize = 40;

/// An image whose index was checked; blobs are checked when taken.
#[derive(Debug)]
pub struct Image<'bytes> {
    manifest: Manifest,
    blobs: BTreeMap<BlobHash, &'bytes [u8]>,
}

/// The content address of a module or of a file.
pub fn blob_hash(bytes: &[u8]) -> BlobHash {
    BlobHash(Sha256::digest(bytes).into())
}

impl<'bytes> Image<'bytes> {
    /// Reads the index of an image; every size is bounded before anything is decoded.
    pub fn parse(bytes: &'bytes [u8]) -> Result<Image<'bytes>, ImageError> {
        let header = Header::parse(bytes)?;
        let (table, rest) = bytes[HEADER_BYTES..]
            .split_at_checked(header.blobs * ENTRY_BYTES)
            .ok_or(ImageError::PartsMismatch)?;
        let (manifest_bytes, files) = rest
            .split_at_checked(header.manifest_bytes)
            .ok_or(ImageError::PartsMismatch)?;
        if checksum(&bytes[..COVERED_HEADER_BYTES], table, manifest_bytes) != header.checksum {
            return Err(ImageError::CorruptIndex);
        }
        let blobs = split_blobs(table, files)?;
        let (manifest, unread) = postcard::take_from_bytes::<Manifest>(manifest_bytes)
            .map_err(|_| ImageError::UndecodableManifest)?;
        if !unread.is_empty() {
            return Err(ImageError::UndecodableManifest);
        }
        manifest.validate()?;
        require_blobs(&manifest, |hash| blobs.contains_key(hash))?;
        Ok(Image { manifest, blobs })
    }

    /// What the image asks the node to run.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A module or a file, after comparing its bytes with its hash (once over all of it).
    pub fn blob(&self, hash: &BlobHash) -> Result<&'bytes [u8], ImageError> {
        let bytes = self.blobs.get(hash).ok_or(ImageError::UnknownBlob(*hash))?;
        if blob_hash(bytes) == *hash {
            Ok(bytes)
        } else {
            Err(ImageError::CorruptBlob(*hash))
        }
    }

    /// Hashes and lengths of all blobs, in ascending order of hash.
    pub fn blobs(&self) -> impl Iterator<Item = (BlobHash, usize)> + '_ {
        self.blobs.iter().map(|(hash, bytes)| (*hash, bytes.len()))
    }
}

/// Writes an image of a manifest and the blobs that it names: modules, libraries and the contents of
/// files. Equal blobs are stored once.
pub fn encode<B: AsRef<[u8]>>(manifest: &Manifest, blobs: &[B]) -> Result<Vec<u8>, ImageError> {
    manifest.validate()?;
    let blobs: BTreeMap<BlobHash, &[u8]> = blobs
        .iter()
        .map(|blob| (blob_hash(blob.as_ref()), blob.as_ref()))
        .collect();
    require_blobs(manifest, |hash| blobs.contains_key(hash))?;
    within(ImagePart::Blobs, blobs.len() as u64, limits::IMAGE_BLOBS)?;
    let manifest_bytes =
        postcard::to_allocvec(manifest).map_err(|_| ImageError::UndecodableManifest)?;
    within(
        ImagePart::Manifest,
        manifest_bytes.len() as u64,
        limits::MANIFEST_BYTES,
    )?;

    let mut table = Vec::new();
    let mut blobs_bytes = 0;
    for (hash, bytes) in &blobs {
        within(ImagePart::Blob, bytes.len() as u64, limits::BLOB_BYTES)?;
        table.extend_from_slice(&hash.0);
        table.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        blobs_bytes += bytes.len();
    }
    let total = HEADER_BYTES + table.len() + manifest_bytes.len() + blobs_bytes;
    within(ImagePart::File, total as u64, limits::IMAGE_BYTES)?;

    let mut image = Vec::with_capacity(total);
    image.extend_from_slice(&MAGIC);
    image.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    image.extend_from_slice(&(blobs.len() as u32).to_le_bytes());
    image.extend_from_slice(&(total as u64).to_le_bytes());
    image.extend_from_slice(&(manifest_bytes.len() as u64).to_le_bytes());
    let sum = checksum(&image, &table, &manifest_bytes);
    image.extend_from_slice(&sum);
    image.extend_from_slice(&table);
    image.extend_from_slice(&manifest_bytes);
    for bytes in blobs.values() {
        image.extend_from_slice(bytes);
    }
    Ok(image)
}

/// The header's figures, bounded.
struct Header {
    blobs: usize,
    manifest_bytes: usize,
    checksum: [u8; 32],
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Header, ImageError> {
        let too_short = ImageError::TooShort { bytes: bytes.len() };
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(too_short.clone())?;
        if *magic != MAGIC {
            return Err(ImageError::NotAnImage);
        }
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(too_short.clone())?;
        let found = u32::from_le_bytes(*version);
        if found != FORMAT_VERSION {
            return Err(ImageError::UnsupportedVersion { found });
        }
        let (blobs, rest) = rest.split_first_chunk::<4>().ok_or(too_short.clone())?;
        let (total, rest) = rest.split_first_chunk::<8>().ok_or(too_short.clone())?;
        let (manifest, rest) = rest.split_first_chunk::<8>().ok_or(too_short.clone())?;
        let (checksum, _) = rest.split_first_chunk::<32>().ok_or(too_short)?;

        let promised = u64::from_le_bytes(*total);
        if promised != bytes.len() as u64 {
            return Err(ImageError::WrongLength {
                promised,
                bytes: bytes.len(),
            });
        }
        within(ImagePart::File, promised, limits::IMAGE_BYTES)?;
        let blobs = u64::from(u32::from_le_bytes(*blobs));
        Ok(Header {
            blobs: within(ImagePart::Blobs, blobs, limits::IMAGE_BLOBS)?,
            manifest_bytes: within(
                ImagePart::Manifest,
                u64::from_le_bytes(*manifest),
                limits::MANIFEST_BYTES,
            )?,
            checksum: *checksum,
        })
    }
}

/// Cuts the blobs apart as the table says.
fn split_blobs<'bytes>(
    table: &[u8],
    mut rest: &'bytes [u8],
) -> Result<BTreeMap<BlobHash, &'bytes [u8]>, ImageError> {
    let mut blobs = BTreeMap::new();
    let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
    for entry in entries {
        let mut hash = BlobHash::default();
        let mut length = [0; 8];
        hash.0.copy_from_slice(&entry[..32]);
        length.copy_from_slice(&entry[32..]);
        let length = within(
            ImagePart::Blob,
            u64::from_le_bytes(length),
            limits::BLOB_BYTES,
        )?;
        let (blob, after) = rest
            .split_at_checked(length)
            .ok_or(ImageError::PartsMismatch)?;
        if blobs
            .last_key_value()
            .is_some_and(|(last, _)| *last >= hash)
        {
            return Err(ImageError::UnorderedBlobs);
        }
        blobs.insert(hash, blob);
        rest = after;
    }
    if rest.is_empty() {
        Ok(blobs)
    } else {
        Err(ImageError::PartsMismatch)
    }
}

/// Refuses a manifest that names a module or a file for which `holds` says no.
fn require_blobs(manifest: &Manifest, holds: impl Fn(&BlobHash) -> bool) -> Result<(), ImageError> {
    for instance in &manifest.instances {
        let missing = |item| ImageError::MissingBlob {
            instance: instance.name.clone(),
            item,
        };
        if !holds(&instance.module) {
            let name = instance.module_name.clone();
            return Err(missing(BlobUse::Module(name)));
        }
        if let Some(library) = instance.libraries.iter().find(|l| !holds(&l.module)) {
            let name = library.module_name.clone();
            return Err(missing(BlobUse::Module(name)));
        }
        for file in &instance.files {
            if let FileContent::Blob(hash) = &file.content
                && !holds(hash)
            {
                return Err(missing(BlobUse::File(file.path.clone())));
            }
        }
    }
    Ok(())
}

fn within(part: ImagePart, size: u64, most: usize) -> Result<usize, ImageError> {
    match usize::try_from(size) {
        Ok(size) if size <= most => Ok(size),
        _ => Err(ImageError::TooLarge {
            part,
            size,
            most: most as u64,
        }),
    }
}

fn checksum(header: &[u8], table: &[u8], manifest: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(header);
    hasher.update(table);
    hasher.update(manifest);
    hasher.finalize().into()
}
