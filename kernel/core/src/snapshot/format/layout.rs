//! The fixed parts of the file: constants, [`Header`], [`SectionHeader`], [`MemoryHead`] and [`Footer`].
//!
//! Integers are little-endian. Each fixed part ends with the xxh64 of what stands before it in that part,
//! so that lengths are checked before they are believed.

use super::checksum;
use super::error::Problem;
use super::tag::Tag;
use crate::keys::Key;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The first bytes of every snapshot; the last two catch transfers that translate line ends.
pub const MAGIC: [u8; 8] = *b"SOSSNP\r\n";
/// The first bytes of the footer.
pub const END_MAGIC: [u8; 8] = *b"SOSEND\r\n";
/// Raised when an older reader could misunderstand a file: it refuses it.
pub const MAJOR_VERSION: u16 = 1;
/// Raised when a reader of the same major version can do without what is new.
pub const MINOR_VERSION: u16 = 2;
/// Bytes of a page, the unit in which memories are stored.
pub const PAGE_BYTES: usize = 4096;
/// Bytes of [`Header`].
pub const HEADER_BYTES: usize = 64;
/// Bytes of [`SectionHeader`].
pub const SECTION_HEADER_BYTES: usize = 40;
/// Bytes of [`Footer`].
pub const FOOTER_BYTES: usize = 104;
/// Bytes of the footer that its tag covers: all before the tag.
pub const FOOTER_TAGGED_BYTES: usize = 64;
/// Bytes of [`MemoryHead`].
pub const MEMORY_HEAD_BYTES: usize = 16;
/// Bytes that a writer puts into one part of an object.
pub const PART_BYTES: usize = 256 * 1024;
/// Pages that a writer puts into one section.
pub const PAGES_PER_SECTION: usize = 128;
/// The section cannot be left out: a reader that does not know its kind refuses the file.
pub const FLAG_REQUIRED: u32 = 1;
/// The next section is the next part of the same object.
pub const FLAG_CONTINUES: u32 = 2;

/// What a section holds. Numbers are append-only; sections come in the order of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// What the instance is: manifest entry, identity, where and when it was taken.
    About,
    /// Where its program is: frames, globals, tables.
    Execution,
    /// The state behind its host calls: descriptors, files, streams, clock, log.
    Guest,
    /// Its network stack.
    Network,
    /// Frames that waited at its ports.
    Waiting,
    /// The instances that were taken at the same instant. Since 1.1; a reader can do without.
    Group,
    /// A module or a file of the image: 32 bytes of SHA-256, then the bytes.
    Blob,
    /// A linear memory: [`MemoryHead`]. Its pages follow.
    Memory,
    /// Pages of the memory before.
    Pages,
    /// The headers of all sections before, the last section.
    Table,
}

impl SectionKind {
    /// All kinds, in the order in which they come.
    pub const ALL: [SectionKind; 10] = [
        SectionKind::About,
        SectionKind::Execution,
        SectionKind::Guest,
        SectionKind::Network,
        SectionKind::Waiting,
        SectionKind::Group,
        SectionKind::Blob,
        SectionKind::Memory,
        SectionKind::Pages,
        SectionKind::Table,
    ];

    /// Its number in the file.
    pub const fn number(self) -> u16 {
        match self {
            SectionKind::About => 1,
            SectionKind::Execution => 2,
            SectionKind::Guest => 3,
            SectionKind::Network => 4,
            SectionKind::Waiting => 5,
            SectionKind::Blob => 6,
            SectionKind::Memory => 7,
            SectionKind::Pages => 8,
            SectionKind::Group => 9,
            SectionKind::Table => 0xffff,
        }
    }

    /// The kind of this number.
    pub fn from_number(number: u16) -> Option<SectionKind> {
        SectionKind::ALL
            .into_iter()
            .find(|kind| kind.number() == number)
    }

    /// The highest version of it that this code reads, and the one that it writes.
    pub const fn version(self) -> u16 {
        match self {
            SectionKind::About
            | SectionKind::Execution
            | SectionKind::Guest
            | SectionKind::Network
            | SectionKind::Waiting
            | SectionKind::Group
            | SectionKind::Blob
            | SectionKind::Memory
            | SectionKind::Pages
            | SectionKind::Table => 1,
        }
    }

    /// Whether it is an object: bytes in one part or more.
    pub const fn is_object(self) -> bool {
        match self {
            SectionKind::About
            | SectionKind::Execution
            | SectionKind::Guest
            | SectionKind::Network
            | SectionKind::Waiting
            | SectionKind::Group
            | SectionKind::Blob => true,
            SectionKind::Memory | SectionKind::Pages | SectionKind::Table => false,
        }
    }

    /// Whether a reader that does not know it must refuse the file.
    pub const fn is_required(self) -> bool {
        !matches!(self, SectionKind::Group)
    }

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            SectionKind::About => "about",
            SectionKind::Execution => "execution",
            SectionKind::Guest => "guest",
            SectionKind::Network => "network",
            SectionKind::Waiting => "waiting",
            SectionKind::Group => "group",
            SectionKind::Blob => "blob",
            SectionKind::Memory => "memory",
            SectionKind::Pages => "pages",
            SectionKind::Table => "table",
        }
    }
}

/// Names one snapshot among all: 16 random bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotId(pub [u8; 16]);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How pages are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Each that gets smaller as an LZ4 block of its own.
    Lz4,
}

/// What the footer says about all bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seal {
    /// Nothing: the file does not leave the node.
    #[default]
    None,
    /// Their SHA-256.
    Sha256,
    /// Their SHA-256, and a tag by a key of whoever made the file. Since 1.2.
    Keyed,
}

impl Seal {
    const fn number(self) -> u32 {
        match self {
            Seal::None => 0,
            Seal::Sha256 => 1,
            Seal::Keyed => 2,
        }
    }

    /// Whether the footer has the SHA-256 of all bytes.
    pub const fn has_digest(self) -> bool {
        match self {
            Seal::None => false,
            Seal::Sha256 | Seal::Keyed => true,
        }
    }

    fn from_number(number: u32) -> Result<Seal, Problem> {
        match number {
            0 => Ok(Seal::None),
            1 => Ok(Seal::Sha256),
            2 => Ok(Seal::Keyed),
            found => Err(Problem::UnknownSeal(found)),
        }
    }
}

/// The file's first 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Minor version of the writer.
    pub minor_version: u16,
    /// This snapshot.
    pub id: SnapshotId,
    /// The snapshot that this one adds to; without one it stands alone.
    pub parent: Option<SnapshotId>,
    /// How it is sealed.
    pub seal: Seal,
}

impl Header {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Writer::<HEADER_BYTES>::default();
        out.put(&MAGIC);
        out.put(&MAJOR_VERSION.to_le_bytes());
        out.put(&self.minor_version.to_le_bytes());
        out.put(&(PAGE_BYTES as u32).to_le_bytes());
        out.put(&self.id.0);
        out.put(&self.parent.unwrap_or_default().0);
        out.put(&self.seal.number().to_le_bytes());
        out.finish()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, Problem> {
        let mut reader = Reader(bytes);
        if reader.array() != MAGIC {
            return Err(Problem::NotASnapshot);
        }
        checksum::fixed_part(bytes)?;
        let major = reader.u16();
        if major != MAJOR_VERSION {
            return Err(Problem::MajorVersion(major));
        }
        let minor_version = reader.u16();
        let page_bytes = reader.u32();
        if page_bytes as usize != PAGE_BYTES {
            return Err(Problem::PageSize(page_bytes));
        }
        let id = SnapshotId(reader.array());
        let parent = SnapshotId(reader.array());
        let seal = Seal::from_number(reader.u32())?;
        reader.reserved(4)?;
        Ok(Header {
            minor_version,
            id,
            parent: (parent != SnapshotId::default()).then_some(parent),
            seal,
        })
    }
}

/// What stands before each section's payload, and once more in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionHeader {
    /// Number of its [`SectionKind`], known or not.
    pub kind: u16,
    /// Version of its payload.
    pub version: u16,
    /// [`FLAG_REQUIRED`], [`FLAG_CONTINUES`].
    pub flags: u32,
    /// Where its payload begins in the file.
    pub offset: u64,
    /// Bytes of its payload.
    pub length: u64,
    /// Checksum of its payload.
    pub checksum: u64,
}

impl SectionHeader {
    /// As bytes.
    pub fn encode(&self) -> [u8; SECTION_HEADER_BYTES] {
        let mut out = Writer::<SECTION_HEADER_BYTES>::default();
        out.put(&self.kind.to_le_bytes());
        out.put(&self.version.to_le_bytes());
        out.put(&self.flags.to_le_bytes());
        out.put(&self.offset.to_le_bytes());
        out.put(&self.length.to_le_bytes());
        out.put(&self.checksum.to_le_bytes());
        out.finish()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; SECTION_HEADER_BYTES]) -> Result<SectionHeader, Problem> {
        checksum::fixed_part(bytes)?;
        let mut reader = Reader(bytes);
        let header = SectionHeader {
            kind: reader.u16(),
            version: reader.u16(),
            flags: reader.u32(),
            offset: reader.u64(),
            length: reader.u64(),
            checksum: reader.u64(),
        };
        match header.flags & !(FLAG_REQUIRED | FLAG_CONTINUES) {
            0 => Ok(header),
            unknown => Err(Problem::UnknownFlags(unknown)),
        }
    }
}

/// Payload of a memory section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryHead {
    /// Its place among the memories of the instance; they come in order, without gaps.
    pub number: u32,
    /// Its present size, as `memory.size` tells it.
    pub bytes: u64,
}

impl MemoryHead {
    /// Pages that it has, the last perhaps only in part.
    pub fn pages(&self) -> u64 {
        self.bytes.div_ceil(PAGE_BYTES as u64)
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; MEMORY_HEAD_BYTES] {
        let mut bytes = [0; MEMORY_HEAD_BYTES];
        bytes[..4].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<MemoryHead, Problem> {
        let bytes: &[u8; MEMORY_HEAD_BYTES] =
            bytes.try_into().map_err(|_| Problem::PayloadLength)?;
        let mut reader = Reader(bytes);
        let number = reader.u32();
        reader.reserved(4)?;
        let bytes = reader.u64();
        Ok(MemoryHead { number, bytes })
    }
}

/// The file's last bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Where the table's section header is.
    pub table_offset: u64,
    /// Bytes of the whole file, the footer included.
    pub file_bytes: u64,
    /// Sections before the table.
    pub sections: u32,
    /// As in the header.
    pub seal: Seal,
    /// SHA-256 of all before the footer, if the seal [has it](Seal::has_digest); else zeros.
    pub digest: [u8; 32],
    /// By [`Seal::Keyed`]; else zeros.
    pub tag: Tag,
}

impl Footer {
    /// The tag by a key: it covers all fields before it, and so the whole file.
    pub fn tag_by(&self, key: &Key) -> Tag {
        let fields = self.encode();
        Tag::new(key, &fields[..FOOTER_TAGGED_BYTES])
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut out = Writer::<FOOTER_BYTES>::default();
        out.put(&END_MAGIC);
        out.put(&self.table_offset.to_le_bytes());
        out.put(&self.file_bytes.to_le_bytes());
        out.put(&self.sections.to_le_bytes());
        out.put(&self.seal.number().to_le_bytes());
        out.put(&self.digest);
        out.put(&self.tag.0);
        out.finish()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; FOOTER_BYTES]) -> Result<Footer, Problem> {
        let mut reader = Reader(bytes);
        if reader.array() != END_MAGIC {
            return Err(Problem::NoFooter);
        }
        checksum::fixed_part(bytes)?;
        let footer = Footer {
            table_offset: reader.u64(),
            file_bytes: reader.u64(),
            sections: reader.u32(),
            seal: Seal::from_number(reader.u32())?,
            digest: reader.array(),
            tag: Tag(reader.array()),
        };
        match footer.seal {
            Seal::None | Seal::Sha256 if footer.tag != Tag::default() => Err(Problem::Reserved),
            _ => Ok(footer),
        }
    }
}

/// A fixed part that is being filled; what is not put stays zero.
struct Writer<const BYTES: usize> {
    bytes: [u8; BYTES],
    filled: usize,
}

impl<const BYTES: usize> Default for Writer<BYTES> {
    fn default() -> Self {
        Writer {
            bytes: [0; BYTES],
            filled: 0,
        }
    }
}

impl<const BYTES: usize> Writer<BYTES> {
    fn put(&mut self, field: &[u8]) {
        self.bytes[self.filled..][..field.len()].copy_from_slice(field);
        self.filled += field.len();
    }

    /// The part with its checksum at its end.
    fn finish(mut self) -> [u8; BYTES] {
        let (covered, sum) = self.bytes.split_at_mut(BYTES - checksum::BYTES);
        sum.copy_from_slice(&checksum::of(covered).to_le_bytes());
        self.bytes
    }
}

/// Takes fields from a fixed part, whose length is known to hold them all.
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    /// The next bytes; zeros beyond the end, which no caller reaches.
    pub fn array<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let mut field = [0; BYTES];
        if let Some((head, rest)) = self.0.split_first_chunk::<BYTES>() {
            field = *head;
            self.0 = rest;
        }
        field
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// Bytes that a later version may give a meaning to.
    fn reserved(&mut self, bytes: usize) -> Result<(), Problem> {
        let (head, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        match head.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(Problem::Reserved),
        }
    }
}
