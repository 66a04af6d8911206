//! Pages without a file: what a migration sends in each of its rounds.
//!
//! A round tells what memories hold at one instant, and names only pages that may differ from the round
//! before. [`Chunks`] makes the payloads of its page sections, small enough for one message each;
//! [`ChunkReader`] checks them, and gives the pages.

use super::decoder::within;
use super::encoder::{NextPage, PageSource};
use super::error::{Bound, Problem};
use super::layout::{Compression, MemoryHead};
use super::packer::{Base, Packer};
use super::pages::{PagesPayload, PagesWriter};
use super::sink::TakeError;
use super::unpack::{Page, unpack};
use crate::limits;
use alloc::vec::Vec;

/// What comes next of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// A memory, whose pages follow.
    Memory(MemoryHead),
    /// Pages of it.
    Pages {
        /// The payload of a section of pages.
        payload: Vec<u8>,
        /// Its checksum.
        checksum: u64,
    },
    /// Nothing yet: as many pages were looked at as may be in one step.
    Working,
    /// Nothing more.
    End,
}

/// A round on its way out.
pub struct Chunks {
    heads: Vec<MemoryHead>,
    /// The next memory to be named.
    place: usize,
    /// The memory whose pages are written, and the page to look from.
    pages: Option<(MemoryHead, u64)>,
    open: Option<PagesWriter>,
    packer: Packer,
    most_bytes: usize,
}

impl Chunks {
    /// All memories, whose pages are what `base` says unless they are written; payloads of at most
    /// `most_bytes`, unless one page alone takes more.
    pub fn new(
        heads: Vec<MemoryHead>,
        base: Base,
        compression: Compression,
        most_bytes: usize,
    ) -> Chunks {
        Chunks {
            heads,
            place: 0,
            pages: None,
            open: None,
            packer: Packer::new(compression, base),
            most_bytes,
        }
    }

    /// Goes on, looking at no more than `budget` pages.
    pub fn step(&mut self, source: &dyn PageSource, budget: usize) -> Chunk {
        let Some((head, mut from)) = self.pages else {
            let Some(&head) = self.heads.get(self.place) else {
                return Chunk::End;
            };
            self.place += 1;
            self.pages = Some((head, 0));
            return Chunk::Memory(head);
        };
        let number = head.number;
        let open = self.open.take();
        let mut open = open.unwrap_or_else(|| PagesWriter::bounded(number, self.most_bytes));
        for _ in 0..budget {
            let next = match source.next_page(number, from) {
                NextPage::At(page) => Some(page),
                NextPage::NotBefore(page) if page < head.pages() => {
                    from = page;
                    continue;
                }
                NextPage::NotBefore(_) | NextPage::End => None,
            };
            let page = next.filter(|page| *page < head.pages());
            let Some(page) = page.and_then(|page| u32::try_from(page).ok()) else {
                self.pages = None;
                return match open.is_empty() {
                    true => Chunk::Working,
                    false => finish(open, source),
                };
            };
            if !open.is_empty() && open.is_full() {
                self.pages = Some((head, from));
                return finish(open, source);
            }
            from = u64::from(page) + 1;
            self.packer.put(source, number, page, &mut open);
        }
        self.open = Some(open);
        self.pages = Some((head, from));
        Chunk::Working
    }
}

fn finish(open: PagesWriter, source: &dyn PageSource) -> Chunk {
    let packed = open.finish();
    Chunk::Pages {
        checksum: packed.checksum,
        payload: packed.into_payload(source),
    }
}

/// Rounds on their way in.
#[derive(Debug, Default)]
pub struct ChunkReader {
    /// The memories as the last round has them.
    heads: Vec<MemoryHead>,
    /// How many memories this round has named.
    named: usize,
    next_page: u64,
}

impl ChunkReader {
    /// A memory of this round, whose pages follow. Each round names all of them, in the order of their
    /// numbers; they never shrink. Tells whether it is new or has grown.
    ///
    /// # Errors
    /// [`Problem`]: the round is not sound.
    pub fn memory(&mut self, head: MemoryHead) -> Result<bool, Problem> {
        if head.number as usize != self.named {
            return Err(Problem::MemoryNumber(head.number));
        }
        let memories = limits::SNAPSHOT_MEMORIES as u64;
        within(Bound::Memories, self.named as u64 + 1, memories)?;
        let known_bytes = self.heads.get(self.named).map(|known| known.bytes);
        if known_bytes.is_some_and(|known_bytes| head.bytes < known_bytes) {
            return Err(Problem::MemoryNumber(head.number));
        }
        match self.heads.get_mut(self.named) {
            Some(known) => *known = head,
            None => self.heads.push(head),
        }
        let bytes = self.heads.iter().map(|head| head.bytes);
        let bytes = bytes.fold(0, u64::saturating_add);
        within(Bound::MemoryBytes, bytes, limits::MEMORY_BYTES_MOST)?;
        self.named += 1;
        self.next_page = 0;
        Ok(known_bytes != Some(head.bytes))
    }

    /// Pages of the memory that was named last: each is given with what it holds now.
    ///
    /// # Errors
    /// [`TakeError`]: they are not sound, or who got them refused.
    pub fn pages<E>(
        &mut self,
        payload: &[u8],
        checksum: u64,
        mut give: impl FnMut(u32, u64, Page<'_>) -> Result<(), E>,
    ) -> Result<(), TakeError<E>> {
        let sound = PagesPayload::split(payload).and_then(|pages| {
            pages.verify(checksum)?;
            // A later memory of the round before is not there yet in this one.
            match pages.memory as usize + 1 == self.named {
                true => Ok(pages),
                false => Err(Problem::MemoryNumber(pages.memory)),
            }
        });
        let pages = sound.map_err(TakeError::Contents)?;
        let memories = &self.heads[..self.named];
        unpack(&pages, memories, &mut self.next_page, |page, content| {
            give(pages.memory, page, content)
        })
    }

    /// A round is complete.
    ///
    /// # Errors
    /// [`Problem::MemoryNumber`] of one that it did not name.
    pub fn end_round(&mut self) -> Result<(), Problem> {
        if self.named < self.heads.len() {
            return Err(Problem::MemoryNumber(self.named as u32));
        }
        self.named = 0;
        self.next_page = 0;
        Ok(())
    }

    /// The memories as the last round has them.
    pub fn memories(&self) -> &[MemoryHead] {
        &self.heads
    }
}
