//! [`Bundle`]: several parts in one boot module, since a loader gives one: a boot image, and snapshots.
//!
//! ```text
//! header (16): magic, version, parts   part (80) … part (80)   contents, each at a multiple of 4096
//! part: kind u32, zeros u32, offset u64, length u64, name [48], xxh64 of the 72 bytes before
//! ```
//!
//! Integers are little-endian. The contents have checksums of their own. `cargo sos run --snapshot` makes
//! one.

use crate::limits;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The first bytes of a bundle.
pub const BUNDLE_MAGIC: [u8; 8] = *b"SOSBDL\r\n";
/// What is read and written.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const PART_BYTES: usize = 80;
/// Where a part's checksum begins.
const COVERED_BYTES: usize = PART_BYTES - 8;
/// What contents are aligned to.
const ALIGNMENT: usize = 4096;

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// The boot image.
    Image,
    /// A snapshot, to be kept.
    Snapshot,
    /// A snapshot, to be kept and restored.
    Restored,
}

impl PartKind {
    const fn number(self) -> u32 {
        match self {
            PartKind::Image => 1,
            PartKind::Snapshot => 2,
            PartKind::Restored => 3,
        }
    }

    const fn from_number(number: u32) -> Option<PartKind> {
        match number {
            1 => Some(PartKind::Image),
            2 => Some(PartKind::Snapshot),
            3 => Some(PartKind::Restored),
            _ => None,
        }
    }
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// What it is.
    pub kind: PartKind,
    /// What a snapshot will be called.
    pub name: String,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Why a boot module that begins as a bundle is none, or why no bundle can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleError {
    /// It ends too early.
    Truncated,
    /// It was made by another version.
    Version(u32),
    /// More parts than there may be.
    TooManyParts(u32),
    /// The checksum of a part's description is wrong.
    Checksum(usize),
    /// A part is nothing that is known.
    Kind(usize),
    /// A part's name is too long, or no text.
    Name(usize),
}

impl core::error::Error for BundleError {}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundleError::Truncated => f.write_str("the bundle ends too early; make it again"),
            BundleError::Version(found) => write!(
                f,
                "the bundle has version {found} and this kernel reads {VERSION}; use the tool and \
                 the kernel of one build"
            ),
            BundleError::TooManyParts(parts) => write!(
                f,
                "the bundle has {parts} parts and may have {}",
                limits::BUNDLE_PARTS
            ),
            BundleError::Checksum(part) => {
                write!(f, "part {part} of the bundle is damaged; make it again")
            }
            BundleError::Kind(part) => {
                write!(f, "part {part} of the bundle is nothing that is known")
            }
            BundleError::Name(part) => write!(
                f,
                "the name of part {part} of the bundle is no text of at most {} bytes",
                limits::NAME_BYTES
            ),
        }
    }
}

/// Several parts in one boot module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle<'a> {
    /// Its parts, in their order.
    pub parts: Vec<Part<'a>>,
}

impl<'a> Bundle<'a> {
    /// Reads a boot module; none when it is no bundle at all.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Bundle<'a>>, BundleError> {
        if !bytes.starts_with(&BUNDLE_MAGIC) {
            return Ok(None);
        }
        let version = u32_at(bytes, 8)?;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        let count = u32_at(bytes, 12)?;
        if count as usize > limits::BUNDLE_PARTS {
            return Err(BundleError::TooManyParts(count));
        }
        let parts = (0..count as usize).map(|number| {
            let head = HEADER_BYTES + number * PART_BYTES;
            let head = bytes.get(head..head + PART_BYTES);
            read_part(bytes, number, head.ok_or(BundleError::Truncated)?)
        });
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(Some(Bundle { parts }))
    }

    /// The bundle's bytes.
    ///
    /// # Errors
    /// [`BundleError::TooManyParts`] and [`BundleError::Name`].
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        let count = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        if self.parts.len() > limits::BUNDLE_PARTS {
            return Err(BundleError::TooManyParts(count));
        }
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&BUNDLE_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        let mut offset = aligned(HEADER_BYTES + self.parts.len() * PART_BYTES);
        for (number, part) in self.parts.iter().enumerate() {
            if part.name.len() > limits::NAME_BYTES {
                return Err(BundleError::Name(number));
            }
            let begin = bytes.len();
            bytes.extend_from_slice(&part.kind.number().to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&(offset as u64).to_le_bytes());
            bytes.extend_from_slice(&(part.bytes.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.name.as_bytes());
            bytes.resize(begin + COVERED_BYTES, 0);
            let sum = checksum(&bytes[begin..]);
            bytes.extend_from_slice(&sum.to_le_bytes());
            offset = aligned(offset + part.bytes.len());
        }
        for part in &self.parts {
            bytes.resize(aligned(bytes.len()), 0);
            bytes.extend_from_slice(part.bytes);
        }
        Ok(bytes)
    }
}

fn read_part<'a>(bytes: &'a [u8], number: usize, head: &[u8]) -> Result<Part<'a>, BundleError> {
    if u64_at(head, COVERED_BYTES)? != checksum(&head[..COVERED_BYTES]) {
        return Err(BundleError::Checksum(number));
    }
    let kind = PartKind::from_number(u32_at(head, 0)?).ok_or(BundleError::Kind(number))?;
    let place = |at| u64_at(head, at).map(|value| usize::try_from(value).unwrap_or(usize::MAX));
    let (offset, length) = (place(8)?, place(16)?);
    let contents = bytes.get(offset..).and_then(|rest| rest.get(..length));
    let name = &head[24..COVERED_BYTES];
    let end = name.iter().position(|byte| *byte == 0);
    let name = core::str::from_utf8(&name[..end.unwrap_or(name.len())]);
    Ok(Part {
        kind,
        name: name.map_err(|_| BundleError::Name(number))?.into(),
        bytes: contents.ok_or(BundleError::Truncated)?,
    })
}

fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

fn checksum(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BundleError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(Err(BundleError::Truncated), |field| {
        Ok(u32::from_le_bytes(*field))
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, BundleError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.map_or(Err(BundleError::Truncated), |field| {
        Ok(u64::from_le_bytes(*field))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn bundle() -> Bundle<'static> {
        let part = |kind, name: &str, bytes| Part {
            kind,
            name: name.into(),
            bytes,
        };
        Bundle {
            parts: vec![
                part(PartKind::Image, "", b"an image"),
                part(PartKind::Snapshot, "monday", b""),
                part(PartKind::Restored, "web", b"a snapshot"),
            ],
        }
    }

    #[test]
    fn parts_come_back_each_at_a_page() {
        let bytes = bundle().encode().unwrap();
        assert_eq!(Bundle::parse(&bytes), Ok(Some(bundle())));
        assert_eq!(&bytes[4096..][..8], b"an image");
        assert_eq!(Bundle::parse(b"SOSIMG\r\n and more"), Ok(None));
    }

    #[test]
    fn a_bundle_that_is_cut_or_changed_is_refused() {
        let bytes = bundle().encode().unwrap();
        for length in 8..bytes.len() {
            let cut = Bundle::parse(&bytes[..length]);
            assert_eq!(cut, Err(BundleError::Truncated), "{length}");
        }
        for at in 8..HEADER_BYTES + 3 * PART_BYTES {
            let mut changed = bytes.clone();
            changed[at] ^= 0x80;
            assert!(Bundle::parse(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn names_and_numbers_have_bounds() {
        let mut long = bundle();
        long.parts[1].name = "x".repeat(limits::NAME_BYTES + 1);
        assert_eq!(long.encode(), Err(BundleError::Name(1)));
        let many = Bundle {
            parts: vec![bundle().parts[1].clone(); limits::BUNDLE_PARTS + 1],
        };
        assert!(matches!(many.encode(), Err(BundleError::TooManyParts(_))));
    }
}
