//! [`Collector`]: holds a file's sections to the rules of order, number and size, and hands what they hold
//! to a [`Sink`].

use super::decoder::{Decoder, Event, Section, within};
use super::error::{Bound, Problem, SnapshotError};
use super::layout::{MemoryHead, SectionKind};
use super::objects::{ObjectPart, ObjectReader};
use super::pages::PagesPayload;
use super::sink::{Sink, TakeError};
use super::tag::Maker;
use super::unpack::{Page, unpack};
use crate::image::BlobHash;
use crate::keys::Key;
use crate::limits;
use alloc::vec::Vec;
use core::fmt;

/// Bytes of the hash before a blob's bytes.
const HASH_BYTES: usize = 32;

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
    objects: ObjectReader,
    /// Kinds of objects that came.
    seen: [bool; SectionKind::ALL.len()],
    memories: Vec<MemoryHead>,
    memory_bytes: u64,
    /// The page of the last memory that may come next.
    next_page: u64,
    complete: bool,
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
            _ => self.take_object(kind, section, &refuse, sink),
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
        let mut bytes = section.payload;
        let hash = match (kind, self.objects.open()) {
            (SectionKind::Blob, None) => Some(split_hash(&mut bytes).map_err(refuse)?),
            (_, open) => open.and_then(|(_, hash)| hash),
        };
        let part = ObjectPart {
            kind,
            version: section.version,
            hash,
            bytes,
            last: !section.continues,
        };
        let taken = self.objects.take(&part, sink);
        let complete = taken.map_err(|error| read_error(error, refuse))?;
        self.seen[kind as usize] |= complete;
        Ok(())
    }

    /// Objects come once each in the order of their kinds, blobs and memories often, pages after their
    /// memory.
    fn check_order(&self, kind: SectionKind, continues: bool) -> Result<(), Problem> {
        if let Some((open, _)) = self.objects.open() {
            return match open == kind {
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
        unpack(pages, &self.memories, &mut self.next_page, give)
            .map_err(|error| read_error(error, refuse))
    }

    /// The table was right: nothing may be missing.
    fn finish(&mut self) -> Result<(), SnapshotError> {
        let refuse = |section, problem| SnapshotError {
            section,
            offset: 0,
            problem,
        };
        if let Some((kind, _)) = self.objects.open() {
            return Err(refuse(Some(kind), Problem::Truncated));
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

/// Takes the hash from the front of a blob's first part.
fn split_hash(part: &mut &[u8]) -> Result<BlobHash, Problem> {
    let (hash, rest) = part
        .split_first_chunk::<HASH_BYTES>()
        .ok_or(Problem::PayloadLength)?;
    *part = rest;
    Ok(BlobHash(*hash))
}

fn read_error<E>(error: TakeError<E>, refuse: &impl Fn(Problem) -> ReadError<E>) -> ReadError<E> {
    match error {
        TakeError::Contents(problem) => refuse(problem),
        TakeError::Sink(error) => ReadError::Sink(error),
    }
}
