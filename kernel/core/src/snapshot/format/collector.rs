//! [`Collector`]: holds a file's sections to the rules of order, number and size, and hands what they hold
//! to a [`Sink`].

use super::decoder::{Decoder, Event, Section, within};
use super::error::{Bound, Problem, SnapshotError};
use super::layout::{Header, MemoryHead, SectionKind};
use super::pages::PagesPayload;
use super::pieces::Pieces;
use super::tag::Maker;
use super::unpack::{Page, UnpackError, unpack};
use crate::image::BlobHash;
use crate::keys::Key;
use crate::limits;
use alloc::vec::Vec;
use core::fmt;
use sha2::{Digest, Sha256};

/// Bytes of the hash before a blob's bytes.
const HASH_BYTES: usize = 32;

/// Takes what a file holds. Nothing of it is to be used before [`Collector::read`] says that the file is
/// complete.
pub trait Sink {
    /// Why it refuses.
    type Error;

    /// The file's header.
    fn begin(&mut self, header: &Header) -> Result<(), Self::Error>;

    /// So many bytes of an object are about to be held until all of it came: the time to say that there
    /// is no memory for them.
    ///
    /// # Errors
    /// Why it refuses.
    fn reserve(&mut self, kind: SectionKind, bytes: usize) -> Result<(), Self::Error> {
        let _ = (kind, bytes);
        Ok(())
    }

    /// An object: its bytes are nothing but bytes so far; those of a blob have the hash.
    fn object(
        &mut self,
        kind: SectionKind,
        version: u16,
        hash: Option<BlobHash>,
        bytes: Pieces,
    ) -> Result<(), Self::Error>;

    /// A memory, of which no page was given yet. They come in the order of their numbers.
    fn memory(&mut self, head: MemoryHead) -> Result<(), Self::Error>;

    /// A page of the last memory, in ascending order. A page that does not come is as in the parent, and
    /// zero without one.
    fn page(&mut self, memory: u32, page: u64, content: Page<'_>) -> Result<(), Self::Error>;
}

/// Why reading ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The file is at fault.
    File(SnapshotError),
    /// The sink refused.
    Sink(E),
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::File(error) => error.fmt(f),
            ReadError::Sink(error) => error.fmt(f),
        }
    }
}

/// Reads one file into a sink.
#[derive(Debug, Default)]
pub struct Collector {
    decoder: Decoder,
    contents: Contents,
}

/// What came so far.
#[derive(Debug, Default)]
struct Contents {
    /// The last section.
    last: Option<SectionKind>,
    /// The object of which parts came.
    open: Option<OpenObject>,
    /// Kinds of objects that came.
    seen: [bool; SectionKind::ALL.len()],
    blobs: usize,
    memories: Vec<MemoryHead>,
    memory_bytes: u64,
    /// The page of the last memory that may come next.
    next_page: u64,
    complete: bool,
}

/// An object of which more parts follow.
#[derive(Debug)]
struct OpenObject {
    kind: SectionKind,
    version: u16,
    hash: Option<BlobHash>,
    digest: Sha256,
    bytes: Pieces,
}

impl Collector {
    /// Compares tags with those of this key.
    pub fn with_key(key: Option<Key>) -> Collector {
        Collector {
            decoder: Decoder::with_key(key),
            ..Collector::default()
        }
    }

    /// Who made the file, once it is complete.
    pub fn maker(&self) -> Maker {
        self.decoder.maker()
    }

    /// Takes all of `input`; tells whether the file is complete.
    ///
    /// # Errors
    /// The file is refused, or the sink refuses: what the sink got is not to be used.
    pub fn read<S: Sink>(
        &mut self,
        mut input: &[u8],
        sink: &mut S,
    ) -> Result<bool, ReadError<S::Error>> {
        while !input.is_empty() {
            self.read_section(&mut input, sink)?;
        }
        Ok(self.contents.complete)
    }

    /// Takes bytes from `input` up to the end of one section at most, so that a step is bounded.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_section<S: Sink>(
        &mut self,
        input: &mut &[u8],
        sink: &mut S,
    ) -> Result<(), ReadError<S::Error>> {
        match self.decoder.read(input).map_err(ReadError::File)? {
            None => Ok(()),
            Some(Event::Started(header)) => sink.begin(&header).map_err(ReadError::Sink),
            Some(Event::Section(section)) => self.contents.take(&section, sink),
            Some(Event::Finished) => self.contents.finish().map_err(ReadError::File),
        }
    }

    /// Says whether the file may end here.
    ///
    /// # Errors
    /// [`Problem::Truncated`], or why it was refused before.
    pub fn finish(&self) -> Result<(), SnapshotError> {
        self.decoder.finish()
    }
}

impl Contents {
    fn take<S: Sink>(
        &mut self,
        section: &Section<'_>,
        sink: &mut S,
    ) -> Result<(), ReadError<S::Error>> {
        let Some(kind) = section.kind else {
            // Optional and unknown: it is skipped, wherever it stands.
            return Ok(());
        };
        let refuse = |problem| {
            ReadError::File(SnapshotError {
                section: Some(kind),
                offset: section.offset,
                problem,
            })
        };
        self.check_order(kind, section.continues).map_err(refuse)?;
        self.last = Some(kind);
        match (kind, section.pages) {
            (SectionKind::Memory, _) => {
                let head = self.add_memory(section.payload).map_err(refuse)?;
                sink.memory(head).map_err(ReadError::Sink)
            }
            (SectionKind::Pages, Some(pages)) => self.take_pages(&pages, &refuse, sink),
            (SectionKind::Pages | SectionKind::Table, _) => Err(refuse(Problem::Order)),
            _ => {
                sink.reserve(kind, section.payload.len())
                    .map_err(ReadError::Sink)?;
                self.take_object(kind, section, &refuse, sink)
            }
        }
    }

    /// Adds a part to its object, and gives that to the sink when it is complete.
    fn take_object<S: Sink>(
        &mut self,
        kind: SectionKind,
        section: &Section<'_>,
        refuse: &impl Fn(Problem) -> ReadError<S::Error>,
        sink: &mut S,
    ) -> Result<(), ReadError<S::Error>> {
        match self.take_part(kind, section).map_err(refuse)? {
            Some(object) => {
                self.seen[kind as usize] = true;
                sink.object(kind, object.version, object.hash, object.bytes)
                    .map_err(ReadError::Sink)
            }
            None => Ok(()),
        }
    }

    /// Objects come once each in the order of their kinds, blobs and memories often, pages after their
    /// memory.
    fn check_order(&self, kind: SectionKind, continues: bool) -> Result<(), Problem> {
        if let Some(open) = &self.open {
            return match open.kind == kind {
                true => Ok(()),
                false => Err(Problem::Order),
            };
        }
        let sound = match kind {
            SectionKind::Blob => self.last.is_some_and(|last| last <= kind),
            SectionKind::Memory => self.last.is_some(),
            SectionKind::Pages => self.last >= Some(SectionKind::Memory),
            _ => self.last < Some(kind),
        };
        match sound && (kind.is_object() || !continues) {
            true => Ok(()),
            false => Err(Problem::Order),
        }
    }

    /// Adds a part to its object, which is given when it is complete.
    fn take_part(
        &mut self,
        kind: SectionKind,
        section: &Section<'_>,
    ) -> Result<Option<OpenObject>, Problem> {
        let mut part = section.payload;
        let mut object = match self.open.take() {
            Some(open) if open.version == section.version => open,
            Some(_) => return Err(Problem::Order),
            None => {
                let hash = match kind {
                    SectionKind::Blob => Some(self.begin_blob(&mut part)?),
                    _ => None,
                };
                OpenObject {
                    kind,
                    version: section.version,
                    hash,
                    digest: Sha256::new(),
                    bytes: Pieces::default(),
                }
            }
        };
        let (what, most) = match kind {
            SectionKind::Blob => (Bound::BlobBytes, limits::BLOB_BYTES),
            _ => (Bound::ObjectBytes, limits::SNAPSHOT_OBJECT_BYTES),
        };
        let size = object.bytes.len() + part.len();
        within(what, size as u64, most as u64)?;
        object.bytes.push(part);
        if object.hash.is_some() {
            object.digest.update(part);
        }
        if section.continues {
            self.open = Some(object);
            return Ok(None);
        }
        match object.hash {
            Some(hash) if hash.0 != <[u8; 32]>::from(object.digest.clone().finalize()) => {
                Err(Problem::BlobHash(hash))
            }
            _ => Ok(Some(object)),
        }
    }

    /// Takes the hash from the front of a blob's first part.
    fn begin_blob(&mut self, part: &mut &[u8]) -> Result<BlobHash, Problem> {
        self.blobs += 1;
        let most = limits::IMAGE_BLOBS as u64;
        within(Bound::Blobs, self.blobs as u64, most)?;
        let (hash, rest) = part
            .split_first_chunk::<HASH_BYTES>()
            .ok_or(Problem::PayloadLength)?;
        *part = rest;
        Ok(BlobHash(*hash))
    }

    fn add_memory(&mut self, payload: &[u8]) -> Result<MemoryHead, Problem> {
        let head = MemoryHead::decode(payload)?;
        if head.number as usize != self.memories.len() {
            return Err(Problem::MemoryNumber(head.number));
        }
        let memories = self.memories.len() as u64 + 1;
        within(Bound::Memories, memories, limits::SNAPSHOT_MEMORIES as u64)?;
        self.memory_bytes = self.memory_bytes.saturating_add(head.bytes);
        let most = limits::MEMORY_BYTES_MOST;
        within(Bound::MemoryBytes, self.memory_bytes, most)?;
        self.memories.push(head);
        self.next_page = 0;
        Ok(head)
    }

    fn take_pages<S: Sink>(
        &mut self,
        pages: &PagesPayload<'_>,
        refuse: &impl Fn(Problem) -> ReadError<S::Error>,
        sink: &mut S,
    ) -> Result<(), ReadError<S::Error>> {
        let head = self.memories.last().copied();
        let head = head.filter(|head| head.number == pages.memory);
        let head = head.ok_or_else(|| refuse(Problem::MemoryNumber(pages.memory)))?;
        let give = |page, content: Page<'_>| sink.page(head.number, page, content);
        unpack(pages, &self.memories, &mut self.next_page, give).map_err(|error| match error {
            UnpackError::Pages(problem) => refuse(problem),
            UnpackError::Given(error) => ReadError::Sink(error),
        })
    }

    /// The table was right: nothing may be missing.
    fn finish(&mut self) -> Result<(), SnapshotError> {
        let refuse = |section, problem| SnapshotError {
            section,
            offset: 0,
            problem,
        };
        if let Some(open) = &self.open {
            return Err(refuse(Some(open.kind), Problem::Truncated));
        }
        for kind in [
            SectionKind::About,
            SectionKind::Execution,
            SectionKind::Guest,
            SectionKind::Network,
        ] {
            if !self.seen[kind as usize] {
                return Err(refuse(None, Problem::Missing(kind)));
            }
        }
        self.complete = true;
        Ok(())
    }
}
