//! [`Decoder`]: takes a snapshot file in pieces of any size and gives its sections, one after the other.
//!
//! What it gives has the right checksum and lies where it says. It holds one section at most, and takes
//! memory as bytes come, never because a length promises them.

use super::checksum;
use super::error::{Bound, Problem, SnapshotError};
use super::layout::{
    FLAG_CONTINUES, FLAG_REQUIRED, FOOTER_BYTES, Footer, HEADER_BYTES, Header,
    SECTION_HEADER_BYTES, Seal, SectionHeader, SectionKind,
};
use super::pages::PagesPayload;
use super::tag::Maker;
use crate::keys::Key;
use crate::limits;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// The next thing of a file.
#[derive(Debug)]
pub enum Event<'a> {
    /// The header.
    Started(Header),
    /// A section.
    Section(Section<'a>),
    /// The file is complete: table, footer and seal are right.
    Finished,
}

/// One section whose checksum is right.
#[derive(Debug)]
pub struct Section<'a> {
    /// What it holds; none for an optional one that this kernel does not know.
    pub kind: Option<SectionKind>,
    /// Version of its payload.
    pub version: u16,
    /// Whether the next section is the next part of the same object.
    pub continues: bool,
    /// Where the payload begins in the file.
    pub offset: u64,
    /// The payload.
    pub payload: &'a [u8],
    /// The same, split, of a section of pages.
    pub pages: Option<PagesPayload<'a>>,
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    SectionHeader,
    Payload(SectionHeader),
    Footer { table_offset: u64 },
    Finished,
}

/// Reads one file.
#[derive(Debug)]
pub struct Decoder {
    stage: Stage,
    /// The bytes of the part that is being read, as far as they came.
    part: Vec<u8>,
    /// Whether that part was read, and goes when the next one comes.
    spent: bool,
    /// Where that part begins in the file.
    offset: u64,
    /// Headers of the sections so far.
    table: Vec<u8>,
    seal: Seal,
    digest: Sha256,
    /// The key at hand.
    key: Option<Key>,
    maker: Maker,
    /// The first error, which every further call gives again.
    failed: Option<SnapshotError>,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            stage: Stage::Header,
            part: Vec::new(),
            spent: false,
            offset: 0,
            table: Vec::new(),
            seal: Seal::None,
            digest: Sha256::new(),
            key: None,
            maker: Maker::Unknown,
            failed: None,
        }
    }
}

impl Decoder {
    /// Compares tags with those of this key.
    pub fn with_key(key: Option<Key>) -> Decoder {
        Decoder {
            key,
            ..Decoder::default()
        }
    }

    /// Who made the file, once it is complete.
    pub fn maker(&self) -> Maker {
        self.maker
    }

    /// Takes bytes from `input` until there is something to give; none when it wants more of them.
    ///
    /// # Errors
    /// The file is refused; what came of it before is not to be used.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Event<'_>>, SnapshotError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.advance(input) {
            Ok(Some(Given::Started(header))) => Ok(Some(Event::Started(header))),
            Ok(Some(Given::Section(header))) => Ok(Some(Event::Section(self.section(header)))),
            Ok(Some(Given::Finished)) => Ok(Some(Event::Finished)),
            Ok(None) => Ok(None),
            Err(error) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Says whether the file may end here.
    ///
    /// # Errors
    /// [`Problem::Truncated`], or why it was refused before.
    pub fn finish(&self) -> Result<(), SnapshotError> {
        match (&self.failed, self.stage) {
            (Some(error), _) => Err(error.clone()),
            (None, Stage::Finished) => Ok(()),
            (None, _) => Err(SnapshotError {
                section: self.stage.kind(),
                offset: self.offset + self.part.len() as u64,
                problem: Problem::Truncated,
            }),
        }
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Given>, SnapshotError> {
        while self.fill(input) {
            let (section, offset) = (self.stage.kind(), self.offset);
            self.spent = true;
            let result = match self.stage {
                Stage::Header => self.take_header(),
                Stage::SectionHeader => self.take_section_header(),
                Stage::Payload(header) => self.take_payload(header),
                Stage::Footer { table_offset } => self.take_footer(table_offset),
                Stage::Finished => Err(Problem::TrailingBytes),
            };
            match result {
                Ok(None) => {}
                Ok(given) => return Ok(given),
                Err(problem) => {
                    return Err(SnapshotError {
                        section,
                        offset,
                        problem,
                    });
                }
            }
        }
        Ok(None)
    }

    /// Takes bytes for the part that comes next; tells whether it is complete.
    fn fill(&mut self, input: &mut &[u8]) -> bool {
        if self.spent {
            self.offset += self.part.len() as u64;
            self.part.clear();
            self.spent = false;
        }
        let wanted = match self.stage {
            Stage::Header => HEADER_BYTES,
            Stage::SectionHeader => SECTION_HEADER_BYTES,
            // It was bounded when its header was read.
            Stage::Payload(header) => header.length as usize,
            Stage::Footer { .. } => FOOTER_BYTES,
            Stage::Finished => 1,
        };
        let (head, rest) = input.split_at(input.len().min(wanted - self.part.len()));
        *input = rest;
        self.part.extend_from_slice(head);
        if self.seal.has_digest() && !matches!(self.stage, Stage::Footer { .. }) {
            self.digest.update(head);
        }
        self.part.len() == wanted
    }

    fn take_header(&mut self) -> Result<Option<Given>, Problem> {
        let header = Header::decode(as_array(&self.part)?)?;
        self.seal = header.seal;
        if self.seal.has_digest() {
            self.digest.update(&self.part);
        }
        self.stage = Stage::SectionHeader;
        Ok(Some(Given::Started(header)))
    }

    fn take_section_header(&mut self) -> Result<Option<Given>, Problem> {
        let header = SectionHeader::decode(as_array(&self.part)?)?;
        let payload_at = self.offset + SECTION_HEADER_BYTES as u64;
        if header.offset != payload_at {
            let found = header.offset;
            return Err(Problem::WrongOffset { found });
        }
        let known = SectionKind::from_number(header.kind);
        let most = match known {
            Some(SectionKind::Table) => limits::SNAPSHOT_SECTIONS * SECTION_HEADER_BYTES,
            _ => limits::SNAPSHOT_SECTION_BYTES,
        };
        within(Bound::SectionBytes, header.length, most as u64)?;
        match known {
            Some(kind) if header.version == 0 || header.version > kind.version() => {
                return Err(Problem::SectionVersion {
                    found: header.version,
                    known: kind.version(),
                });
            }
            None if header.flags & FLAG_REQUIRED != 0 => {
                return Err(Problem::UnknownSection(header.kind));
            }
            _ => {}
        }
        if known != Some(SectionKind::Table) {
            let sections = self.table.len() / SECTION_HEADER_BYTES + 1;
            let most = limits::SNAPSHOT_SECTIONS as u64;
            within(Bound::Sections, sections as u64, most)?;
            self.table.extend_from_slice(&self.part);
        }
        self.stage = Stage::Payload(header);
        Ok(None)
    }

    fn take_payload(&mut self, header: SectionHeader) -> Result<Option<Given>, Problem> {
        let kind = SectionKind::from_number(header.kind);
        let sum = match kind {
            // Their checksum covers the checksums of the pages.
            Some(SectionKind::Pages) => {
                PagesPayload::split(&self.part)?.verify(header.checksum)?;
                header.checksum
            }
            _ => checksum::of(&self.part),
        };
        if sum != header.checksum {
            return Err(Problem::Checksum);
        }
        if kind != Some(SectionKind::Table) {
            self.stage = Stage::SectionHeader;
            return Ok(Some(Given::Section(header)));
        }
        if self.part != self.table {
            return Err(Problem::TableMismatch);
        }
        self.stage = Stage::Footer {
            table_offset: self.offset - SECTION_HEADER_BYTES as u64,
        };
        Ok(None)
    }

    fn take_footer(&mut self, table_offset: u64) -> Result<Option<Given>, Problem> {
        let footer = Footer::decode(as_array(&self.part)?)?;
        let expected = Footer {
            table_offset,
            file_bytes: self.offset + FOOTER_BYTES as u64,
            sections: (self.table.len() / SECTION_HEADER_BYTES) as u32,
            seal: self.seal,
            digest: footer.digest,
            tag: footer.tag,
        };
        if footer != expected {
            return Err(Problem::FooterMismatch);
        }
        let digest = match self.seal.has_digest() {
            false => [0; 32],
            true => core::mem::take(&mut self.digest).finalize().into(),
        };
        if footer.digest != digest {
            return Err(Problem::Digest);
        }
        self.maker = self.judge_maker(&footer)?;
        self.seal = Seal::None;
        self.stage = Stage::Finished;
        Ok(Some(Given::Finished))
    }

    fn judge_maker(&self, footer: &Footer) -> Result<Maker, Problem> {
        if footer.seal != Seal::Keyed {
            return Ok(Maker::Unknown);
        }
        match self.key.map(|key| footer.tag_by(&key)) {
            Some(tag) if tag == footer.tag => Ok(Maker::Own),
            Some(tag) if tag.is_by_key_of(&footer.tag) => Err(Problem::Tag),
            Some(_) | None => Ok(Maker::Elsewhere),
        }
    }

    /// The section whose payload was read last.
    fn section(&self, header: SectionHeader) -> Section<'_> {
        let kind = SectionKind::from_number(header.kind);
        let pages = match kind {
            Some(SectionKind::Pages) => PagesPayload::split(&self.part).ok(),
            _ => None,
        };
        Section {
            kind,
            version: header.version,
            continues: header.flags & FLAG_CONTINUES != 0,
            offset: header.offset,
            payload: &self.part,
            pages,
        }
    }
}

/// What was read, without borrowing it.
enum Given {
    Started(Header),
    Section(SectionHeader),
    Finished,
}

impl Stage {
    /// The section that it belongs to.
    fn kind(&self) -> Option<SectionKind> {
        match self {
            Stage::Payload(header) => SectionKind::from_number(header.kind),
            Stage::Header | Stage::SectionHeader | Stage::Footer { .. } | Stage::Finished => None,
        }
    }
}

/// A part that is as long as it was asked for.
fn as_array<const BYTES: usize>(part: &[u8]) -> Result<&[u8; BYTES], Problem> {
    part.try_into().map_err(|_| Problem::Truncated)
}

/// Holds a size to its bound.
pub fn within(what: Bound, size: u64, most: u64) -> Result<(), Problem> {
    match size <= most {
        true => Ok(()),
        false => Err(Problem::TooLarge { what, size, most }),
    }
}
