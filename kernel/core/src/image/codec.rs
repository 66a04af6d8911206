//! The image file: header, module table, manifest, modules.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 4 | format version |
//! | 12 | 4 | number of modules |
//! | 16 | 8 | length of the whole file |
//! | 24 | 8 | length of the manifest |
//! | 32 | 32 | SHA-256 over bytes 0..32, the module table and the manifest |
//! | 64 | 40 each | module table: SHA-256 and length, in ascending order of hash |
//! | … | … | manifest, in postcard |
//! | … | … | module files in the table's order, without gaps |
//!
//! Integers are little-endian. The checksum covers the module hashes and they cover the modules, so
//! every byte is covered exactly once; a module is checked when it is taken out, so that booting
//! hashes only what runs and one corrupt module leaves the other instances alone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::error::ImagePart;
use super::{ImageError, Manifest, ModuleHash};
use crate::limits;

/// The first bytes of every image; the last two catch transfers that translate line ends.
pub const MAGIC: [u8; 8] = *b"SOSIMG\r\n";
/// The format that this code reads and writes; any change to the manifest's types raises it.
pub const FORMAT_VERSION: u32 = 2;
/// Bytes of the header with its checksum.
pub const HEADER_BYTES: usize = 64;
/// Header bytes that the checksum covers.
const COVERED_HEADER_BYTES: usize = 32;
/// Bytes of a module table entry.
const ENTRY_BYTES: usize = 40;

/// An image whose index was checked; modules are checked when taken.
#[derive(Debug)]
pub struct Image<'bytes> {
    manifest: Manifest,
    modules: BTreeMap<ModuleHash, &'bytes [u8]>,
}

/// The content address of a module file.
pub fn module_hash(bytes: &[u8]) -> ModuleHash {
    ModuleHash(Sha256::digest(bytes).into())
}

impl<'bytes> Image<'bytes> {
    /// Reads the index of an image; every size is bounded before anything is decoded.
    pub fn parse(bytes: &'bytes [u8]) -> Result<Image<'bytes>, ImageError> {
        let header = Header::parse(bytes)?;
        let (table, rest) = bytes[HEADER_BYTES..]
            .split_at_checked(header.modules * ENTRY_BYTES)
            .ok_or(ImageError::PartsMismatch)?;
        let (manifest_bytes, files) = rest
            .split_at_checked(header.manifest_bytes)
            .ok_or(ImageError::PartsMismatch)?;
        if checksum(&bytes[..COVERED_HEADER_BYTES], table, manifest_bytes) != header.checksum {
            return Err(ImageError::CorruptIndex);
        }
        let modules = split_modules(table, files)?;
        let (manifest, unread) = postcard::take_from_bytes::<Manifest>(manifest_bytes)
            .map_err(|_| ImageError::UndecodableManifest)?;
        if !unread.is_empty() {
            return Err(ImageError::UndecodableManifest);
        }
        manifest.validate()?;
        require_modules(&manifest, |hash| modules.contains_key(hash))?;
        Ok(Image { manifest, modules })
    }

    /// What the image asks the node to run.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A module file, after comparing its bytes with its hash (once over the whole file).
    pub fn module(&self, hash: &ModuleHash) -> Result<&'bytes [u8], ImageError> {
        let bytes = self
            .modules
            .get(hash)
            .ok_or(ImageError::UnknownModule(*hash))?;
        if module_hash(bytes) == *hash {
            Ok(bytes)
        } else {
            Err(ImageError::CorruptModule(*hash))
        }
    }

    /// Hashes and lengths of all module files, in ascending order of hash.
    pub fn modules(&self) -> impl Iterator<Item = (ModuleHash, usize)> + '_ {
        self.modules
            .iter()
            .map(|(hash, bytes)| (*hash, bytes.len()))
    }
}

/// Writes an image of a manifest and the module files that it names; equal files are stored once.
pub fn encode<M: AsRef<[u8]>>(manifest: &Manifest, modules: &[M]) -> Result<Vec<u8>, ImageError> {
    manifest.validate()?;
    let modules: BTreeMap<ModuleHash, &[u8]> = modules
        .iter()
        .map(|module| (module_hash(module.as_ref()), module.as_ref()))
        .collect();
    require_modules(manifest, |hash| modules.contains_key(hash))?;
    within(
        ImagePart::Modules,
        modules.len() as u64,
        limits::IMAGE_MODULES,
    )?;
    let manifest_bytes =
        postcard::to_allocvec(manifest).map_err(|_| ImageError::UndecodableManifest)?;
    within(
        ImagePart::Manifest,
        manifest_bytes.len() as u64,
        limits::MANIFEST_BYTES,
    )?;

    let mut table = Vec::new();
    let mut files_bytes = 0;
    for (hash, bytes) in &modules {
        within(ImagePart::Module, bytes.len() as u64, limits::MODULE_BYTES)?;
        table.extend_from_slice(&hash.0);
        table.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        files_bytes += bytes.len();
    }
    let total = HEADER_BYTES + table.len() + manifest_bytes.len() + files_bytes;
    within(ImagePart::File, total as u64, limits::IMAGE_BYTES)?;

    let mut image = Vec::with_capacity(total);
    image.extend_from_slice(&MAGIC);
    image.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    image.extend_from_slice(&(modules.len() as u32).to_le_bytes());
    image.extend_from_slice(&(total as u64).to_le_bytes());
    image.extend_from_slice(&(manifest_bytes.len() as u64).to_le_bytes());
    let sum = checksum(&image, &table, &manifest_bytes);
    image.extend_from_slice(&sum);
    image.extend_from_slice(&table);
    image.extend_from_slice(&manifest_bytes);
    for bytes in modules.values() {
        image.extend_from_slice(bytes);
    }
    Ok(image)
}

/// The header's figures, bounded.
struct Header {
    modules: usize,
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
        let (modules, rest) = rest.split_first_chunk::<4>().ok_or(too_short.clone())?;
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
        let modules = u64::from(u32::from_le_bytes(*modules));
        Ok(Header {
            modules: within(ImagePart::Modules, modules, limits::IMAGE_MODULES)?,
            manifest_bytes: within(
                ImagePart::Manifest,
                u64::from_le_bytes(*manifest),
                limits::MANIFEST_BYTES,
            )?,
            checksum: *checksum,
        })
    }
}

/// Cuts the module files apart as the table says.
fn split_modules<'bytes>(
    table: &[u8],
    mut files: &'bytes [u8],
) -> Result<BTreeMap<ModuleHash, &'bytes [u8]>, ImageError> {
    let mut modules = BTreeMap::new();
    let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
    for entry in entries {
        let mut hash = ModuleHash::default();
        let mut length = [0; 8];
        hash.0.copy_from_slice(&entry[..32]);
        length.copy_from_slice(&entry[32..]);
        let length = within(
            ImagePart::Module,
            u64::from_le_bytes(length),
            limits::MODULE_BYTES,
        )?;
        let (file, rest) = files
            .split_at_checked(length)
            .ok_or(ImageError::PartsMismatch)?;
        if modules
            .last_key_value()
            .is_some_and(|(last, _)| *last >= hash)
        {
            return Err(ImageError::UnorderedModules);
        }
        modules.insert(hash, file);
        files = rest;
    }
    if files.is_empty() {
        Ok(modules)
    } else {
        Err(ImageError::PartsMismatch)
    }
}

/// Refuses a manifest that names a module for which `holds` says no.
fn require_modules(
    manifest: &Manifest,
    holds: impl Fn(&ModuleHash) -> bool,
) -> Result<(), ImageError> {
    match manifest
        .instances
        .iter()
        .find(|instance| !holds(&instance.module))
    {
        None => Ok(()),
        Some(instance) => Err(ImageError::MissingModule {
            instance: instance.name.clone(),
            module: instance.module_name.clone(),
        }),
    }
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
