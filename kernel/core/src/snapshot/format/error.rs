//! What is wrong with a snapshot file, in which section and where.

use super::layout::{MAJOR_VERSION, PAGE_BYTES, SectionKind};
use crate::image::BlobHash;
use core::fmt;

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotError {
    /// The section at fault; none for header, footer and what lies between sections.
    pub section: Option<SectionKind>,
    /// Where the bytes at fault begin in the file.
    pub offset: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is something else.
    NotASnapshot,
    /// It was made by a kernel whose files this one cannot read.
    MajorVersion(u16),
    /// It counts in other pages.
    PageSize(u32),
    /// It ends in the middle.
    Truncated,
    /// There is something behind its end.
    TrailingBytes,
    /// The checksum of a header or the footer is wrong.
    HeadChecksum,
    /// The checksum of a section's payload is wrong.
    Checksum,
    /// Bytes that must be zero are not.
    Reserved,
    /// Flags that do not exist.
    UnknownFlags(u32),
    /// A seal that does not exist.
    UnknownSeal(u32),
    /// A section that cannot be left out, of a kind that this kernel does not know.
    UnknownSection(u16),
    /// A section of a version that this kernel does not know.
    SectionVersion {
        /// The version found.
        found: u16,
        /// The highest that is known.
        known: u16,
    },
    /// A section that does not belong here.
    Order,
    /// A section that must be there is not.
    Missing(SectionKind),
    /// A section says that it lies elsewhere.
    WrongOffset {
        /// Where it says to be.
        found: u64,
    },
    /// A section's length is none that its kind can have.
    PayloadLength,
    /// Something is larger than it may be.
    TooLarge {
        /// What.
        what: Bound,
        /// Its size.
        size: u64,
        /// The bound.
        most: u64,
    },
    /// The table does not say what the sections say.
    TableMismatch,
    /// The footer's magic is not there.
    NoFooter,
    /// The footer does not say what the file is.
    FooterMismatch,
    /// The SHA-256 over all bytes is wrong.
    Digest,
    /// The tag is not what the key makes of the file.
    Tag,
    /// The records of a section of pages do not fit its data, or one another.
    PageRecords,
    /// A page that its memory does not have, or that came before.
    PageNumber(u64),
    /// A page that repeats one that does not come before it.
    PageSource,
    /// A compressed page does not give a page.
    Compressed,
    /// The bytes of a module or file are not those of its hash.
    BlobHash(BlobHash),
    /// Memories that are not in order.
    MemoryNumber(u32),
}

/// What has a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Bytes of a section.
    SectionBytes,
    /// Pages of a section.
    SectionPages,
    /// Number of sections.
    Sections,
    /// Bytes of an object.
    ObjectBytes,
    /// Bytes of one module or file.
    BlobBytes,
    /// Number of modules and files.
    Blobs,
    /// Number of memories.
    Memories,
    /// Bytes of all memories.
    MemoryBytes,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Bound::SectionBytes => "bytes of one section",
            Bound::SectionPages => "pages in one section",
            Bound::Sections => "sections",
            Bound::ObjectBytes => "bytes of one object",
            Bound::BlobBytes => "bytes of one module or file",
            Bound::Blobs => "modules and files",
            Bound::Memories => "memories",
            Bound::MemoryBytes => "bytes of memory",
        })
    }
}

impl core::error::Error for SnapshotError {}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section {
            Some(kind) => write!(f, "section '{}'", kind.name())?,
            None => f.write_str("snapshot")?,
        }
        write!(f, " at byte {}: {}", self.offset, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AGAIN: &str = "it was damaged on its way; export it again";
        match self {
            Problem::NotASnapshot => f.write_str("this is no SOS snapshot (wrong magic)"),
            Problem::MajorVersion(found) => write!(
                f,
                "format version {found}, and this kernel reads {MAJOR_VERSION}; use a kernel that \
                 reads it"
            ),
            Problem::PageSize(found) => {
                write!(
                    f,
                    "pages of {found} bytes, and this kernel has {PAGE_BYTES}"
                )
            }
            Problem::Truncated => write!(f, "the file ends here: {AGAIN}"),
            Problem::TrailingBytes => write!(f, "bytes behind the end of the snapshot: {AGAIN}"),
            Problem::HeadChecksum => write!(f, "the header's checksum is wrong: {AGAIN}"),
            Problem::Checksum => write!(f, "the checksum is wrong: {AGAIN}"),
            Problem::Reserved => f.write_str(
                "bytes that mean nothing in this version are in use; use a newer kernel",
            ),
            Problem::UnknownFlags(flags) => {
                write!(f, "unknown flags {flags:#x}; use a newer kernel")
            }
            Problem::UnknownSeal(seal) => write!(f, "unknown seal {seal}; use a newer kernel"),
            Problem::UnknownSection(kind) => write!(
                f,
                "a section of the unknown kind {kind} that cannot be left out; use a newer kernel"
            ),
            Problem::SectionVersion { found, known } => write!(
                f,
                "version {found} of it, and this kernel reads up to {known}; use a newer kernel"
            ),
            Problem::Order => f.write_str("it does not belong here"),
            Problem::Missing(kind) => write!(f, "section '{}' is missing", kind.name()),
            Problem::WrongOffset { found } => write!(f, "it says that it lies at byte {found}"),
            Problem::PayloadLength => f.write_str("its length is none that it can have"),
            Problem::TooLarge { what, size, most } => {
                write!(f, "{size} {what}, and at most {most} are allowed")
            }
            Problem::TableMismatch => f.write_str("the table differs from the sections"),
            Problem::NoFooter => write!(f, "no footer: {AGAIN}"),
            Problem::FooterMismatch => f.write_str("the footer differs from the file"),
            Problem::Digest => write!(f, "the SHA-256 over all bytes is wrong: {AGAIN}"),
            Problem::Tag => f.write_str(
                "it claims to be made with this key, and its tag is wrong: somebody changed it",
            ),
            Problem::PageRecords => f.write_str("its records do not fit its data"),
            Problem::PageNumber(page) => {
                write!(f, "page {page} is not in its memory, or came before")
            }
            Problem::PageSource => f.write_str("a page repeats one that does not come before it"),
            Problem::Compressed => f.write_str("a compressed page does not decompress to a page"),
            Problem::BlobHash(hash) => write!(f, "the bytes are not those of {hash}"),
            Problem::MemoryNumber(number) => write!(f, "memory {number} is out of order"),
        }
    }
}
