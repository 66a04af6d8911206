//! [`Encoder`]: writes a snapshot file in bounded steps.
//!
//! It holds shared bytes ([`Object`]) and the heads of sections; pages stay where they are until they
//! leave ([`PageSource`]). Whoever drives it chooses: taking what is there before the next
//! [`step`](Encoder::step) needs memory for one section, and stepping on until the file is drafted
//! ([`file_bytes`](Encoder::file_bytes)) makes every byte of it but the seal before the first one leaves.

use super::checksum;
use super::gather::{Gathered, Piece};
use super::layout::{
    Compression, FLAG_CONTINUES, FLAG_REQUIRED, FOOTER_BYTES, Footer, Header, MINOR_VERSION,
    MemoryHead, PAGE_BYTES, PART_BYTES, SECTION_HEADER_BYTES, Seal, SectionHeader, SectionKind,
    SnapshotId,
};
use super::packer::{Base, Packer};
use super::pages::{DataRun, PagesWriter};
use super::tag::Tag;
use crate::image::{BlobBytes, BlobHash};
use crate::keys::Key;
use crate::limits;
use alloc::rc::Rc;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// Which page is the next to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPage {
    /// This one.
    At(u64),
    /// None before this one: the next look goes on there.
    NotBefore(u64),
    /// None any more.
    End,
}

/// Where the pages come from: they do not change while the file is written.
pub trait PageSource {
    /// The first page of a memory from `from` on that may have to be written: one that may not be zero,
    /// or, for a snapshot with a parent, one that may have changed since. It looks at a bounded number.
    fn next_page(&self, memory: u32, from: u64) -> NextPage;

    /// The bytes of a page; none when it is zero.
    fn page(&self, memory: u32, page: u64) -> Option<&[u8; PAGE_BYTES]>;
}

/// Bytes that are made when they are written.
pub trait Windows {
    /// How many they are.
    fn length(&self) -> usize;

    /// Appends at most `most` of them, from byte `from` on: fewer only at the end.
    fn append(&self, from: usize, most: usize, out: &mut Vec<u8>);
}

/// An object's bytes.
#[derive(Clone)]
pub enum ObjectBytes {
    /// They are there.
    Held(BlobBytes),
    /// They are made one part after the other.
    Made(Rc<dyn Windows>),
}

impl ObjectBytes {
    /// How many they are.
    pub fn length(&self) -> usize {
        match self {
            ObjectBytes::Held(bytes) => bytes.len(),
            ObjectBytes::Made(windows) => windows.length(),
        }
    }

    /// Appends `most` of them, from byte `from` on; there must be as many.
    pub fn append(&self, from: usize, most: usize, out: &mut Vec<u8>) {
        match self {
            ObjectBytes::Held(bytes) => out.extend_from_slice(&bytes[from..from + most]),
            ObjectBytes::Made(windows) => {
                let end = out.len() + most;
                windows.append(from, most, out);
                // A state that does not change has as many bytes as it said.
                debug_assert_eq!(out.len(), end);
                out.resize(end, 0);
            }
        }
    }
}

impl From<BlobBytes> for ObjectBytes {
    fn from(bytes: BlobBytes) -> ObjectBytes {
        ObjectBytes::Held(bytes)
    }
}

/// Bytes of one kind that a file holds.
#[derive(Clone)]
pub struct Object {
    /// Which kind.
    pub kind: SectionKind,
    /// SHA-256 of the bytes, of a blob.
    pub hash: Option<BlobHash>,
    /// The bytes.
    pub bytes: ObjectBytes,
}

/// What a file says about itself, and how it is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// This snapshot.
    pub id: SnapshotId,
    /// The one that it adds to.
    pub parent: Option<SnapshotId>,
    /// How pages are stored.
    pub compression: Compression,
    /// What the footer says about all bytes.
    pub seal: Seal,
}

/// Whether there is more to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is.
    Working,
    /// Only the footer, which is made when all before it was taken.
    Drafted,
    /// There is not; what is ready is the last of the file.
    Finished,
}

/// Where the writing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    /// Bytes of an object that are written, by its place.
    Object(usize, usize),
    /// A memory's head, by its place.
    Memory(usize),
    /// A memory's pages from this one on.
    Pages(usize, u64),
    Table,
    /// The table began here.
    Footer(u64),
    Finished,
}

/// A file on its way out.
pub struct Encoder {
    options: Options,
    /// What the file is tagged with.
    key: Option<Key>,
    objects: Vec<Object>,
    memories: Vec<MemoryHead>,
    stage: Stage,
    /// What is to be taken.
    ready: Gathered,
    /// Bytes of the file up to the end of `ready`.
    written: u64,
    /// Headers of the sections so far.
    table: Vec<u8>,
    open: Option<PagesWriter>,
    packer: Packer,
    digest: Sha256,
}

impl Encoder {
    /// Writes these objects, in the order of their kinds, and memories.
    pub fn new(options: Options, objects: Vec<Object>, memories: Vec<MemoryHead>) -> Encoder {
        let base = match options.parent {
            None => Base::Zero,
            Some(_) => Base::Earlier,
        };
        Encoder {
            options,
            key: None,
            objects,
            memories,
            stage: Stage::Header,
            ready: Gathered::default(),
            written: 0,
            table: Vec::new(),
            open: None,
            packer: Packer::new(options.compression, base),
            digest: Sha256::new(),
        }
    }

    /// Tags the file with this key.
    pub fn tagged(mut self, key: Key) -> Encoder {
        self.options.seal = Seal::Keyed;
        self.key = Some(key);
        self
    }

    /// Bytes that can be taken next, the first of [`ready_bytes`](Self::ready_bytes).
    pub fn ready<'a>(&'a self, source: &'a dyn PageSource) -> &'a [u8] {
        self.ready.front(source)
    }

    /// How many bytes can be taken in all.
    pub fn ready_bytes(&self) -> u64 {
        self.ready.bytes()
    }

    /// How many bytes wait that nobody else holds, with what is remembered of what was written.
    pub fn held_bytes(&self) -> usize {
        self.ready.held_bytes() + self.table.len() + self.packer.held_bytes()
    }

    /// Heap that writing these memories takes at most, where no more than `draft` bytes are held before they leave:
    /// lists move when they grow, so that old and new exist at once.
    pub fn heap_bytes(memories: &[MemoryHead], draft: usize) -> u64 {
        let pages = memories.iter().map(MemoryHead::pages);
        let pages = pages.fold(0, u64::saturating_add);
        let section = (limits::SNAPSHOT_SECTION_BYTES + 2 * PART_BYTES) as u64;
        2 * draft as u64 + section + Packer::heap_bytes(pages)
    }

    /// Takes the first `count` bytes of [`ready`](Self::ready): their share of the seal is computed now.
    pub fn take(&mut self, count: usize, source: &dyn PageSource) {
        let ready = self.ready.front(source);
        let count = count.min(ready.len());
        if self.options.seal.has_digest() {
            self.digest.update(&ready[..count]);
        }
        self.ready.forget(count);
    }

    /// Bytes of the file so far, those that wait included.
    pub fn written_bytes(&self) -> u64 {
        self.written
    }

    /// Bytes of the whole file, once everything but its footer is made.
    pub fn file_bytes(&self) -> Option<u64> {
        match self.stage {
            Stage::Footer(_) => Some(self.written + FOOTER_BYTES as u64),
            Stage::Finished => Some(self.written),
            _ => None,
        }
    }

    /// Goes on with the file, looking at no more than `pages` pages. The footer waits until everything
    /// before it was taken, as its seal covers that.
    pub fn step(&mut self, source: &dyn PageSource, pages: usize) -> Progress {
        self.stage = match self.stage {
            Stage::Header => self.put_header(),
            Stage::Object(place, done) => self.put_object(place, done),
            Stage::Memory(place) => self.put_memory(place),
            Stage::Pages(place, from) => self.put_pages(source, place, from, pages),
            Stage::Table => self.put_table(),
            Stage::Footer(table_offset) => match self.ready.bytes() {
                0 => self.put_footer(table_offset),
                _ => self.stage,
            },
            Stage::Finished => Stage::Finished,
        };
        match self.stage {
            Stage::Finished => Progress::Finished,
            Stage::Footer(_) => Progress::Drafted,
            _ => Progress::Working,
        }
    }

    fn put_header(&mut self) -> Stage {
        let header = Header {
            minor_version: MINOR_VERSION,
            id: self.options.id,
            parent: self.options.parent,
            seal: self.options.seal,
        };
        self.put(&header.encode());
        Stage::Object(0, 0)
    }

    /// One part of an object; `done` bytes of its payload were written before.
    fn put_object(&mut self, place: usize, done: usize) -> Stage {
        let Some(object) = self.objects.get(place) else {
            return Stage::Memory(0);
        };
        let hash = object.hash.as_ref().map_or(&[][..], |hash| &hash.0);
        let total = hash.len() + object.bytes.length();
        let (from, end) = (done, total.min(done + PART_BYTES));
        let hash = match from {
            0 => hash,
            _ => &[],
        };
        let first = from.saturating_sub(total - object.bytes.length());
        let last = first + (end - from - hash.len());
        let (sum, piece) = part(&object.bytes, first, last, hash);
        let (kind, hash) = (object.kind, hash.to_vec());
        let continues = if end < total { FLAG_CONTINUES } else { 0 };
        self.put_section_header(kind, continues, end - from, sum);
        self.put(&hash);
        self.put_piece(piece, last - first);
        match end < total {
            true => Stage::Object(place, end),
            false => Stage::Object(place + 1, 0),
        }
    }

    fn put_memory(&mut self, place: usize) -> Stage {
        let Some(head) = self.memories.get(place) else {
            return Stage::Table;
        };
        let head = head.encode();
        self.put_section_header(SectionKind::Memory, 0, head.len(), checksum::of(&head));
        self.put(&head);
        Stage::Pages(place, 0)
    }

    fn put_pages(
        &mut self,
        source: &dyn PageSource,
        place: usize,
        mut from: u64,
        budget: usize,
    ) -> Stage {
        let head = self.memories[place];
        let number = head.number;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => PagesWriter::new(number),
        };
        for _ in 0..budget {
            let next = match source.next_page(number, from) {
                NextPage::At(page) => Some(page),
                NextPage::NotBefore(page) if page < head.pages() => {
                    // The look took its time.
                    from = page;
                    break;
                }
                NextPage::NotBefore(_) | NextPage::End => None,
            };
            // Pages beyond the memory's end, or that no record can name, do not exist.
            let page = next.filter(|page| *page < head.pages());
            let Some(page) = page.and_then(|page| u32::try_from(page).ok()) else {
                self.close_pages(open);
                return Stage::Memory(place + 1);
            };
            if open.is_full() {
                self.close_pages(open);
                return Stage::Pages(place, from);
            }
            from = u64::from(page) + 1;
            self.packer.put(source, number, page, &mut open);
        }
        self.open = Some(open);
        Stage::Pages(place, from)
    }

    fn close_pages(&mut self, open: PagesWriter) {
        if open.is_empty() {
            return;
        }
        let packed = open.finish();
        let length = packed.data_bytes + packed.records_and_tail.len();
        self.put_section_header(SectionKind::Pages, 0, length, packed.checksum);
        let memory = packed.memory;
        for run in packed.data {
            self.ready.push(match run {
                DataRun::Pages { first, count } => Piece::Pages {
                    memory,
                    first,
                    count,
                },
                DataRun::Blocks(blocks) => Piece::Bytes(blocks),
            });
        }
        self.written += packed.data_bytes as u64;
        self.put(&packed.records_and_tail);
    }

    /// Adds the header of a section, whose payload has so many bytes.
    fn put_section_header(&mut self, kind: SectionKind, flags: u32, length: usize, checksum: u64) {
        let header = SectionHeader {
            kind: kind.number(),
            version: kind.version(),
            flags: match kind.is_required() {
                true => flags | FLAG_REQUIRED,
                false => flags,
            },
            offset: self.written + SECTION_HEADER_BYTES as u64,
            length: length as u64,
            checksum,
        };
        let header = header.encode();
        if kind != SectionKind::Table {
            self.table.extend_from_slice(&header);
        }
        self.put(&header);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        self.ready.push_bytes(bytes);
    }

    fn put_piece(&mut self, piece: Piece, length: usize) {
        self.written += length as u64;
        self.ready.push(piece);
    }

    fn put_table(&mut self) -> Stage {
        let offset = self.written;
        let table = core::mem::take(&mut self.table);
        let sum = checksum::of(&table);
        self.put_section_header(SectionKind::Table, 0, table.len(), sum);
        self.put(&table);
        self.table = table;
        Stage::Footer(offset)
    }

    /// The footer; every byte before it was taken, so that the seal covers them.
    fn put_footer(&mut self, table_offset: u64) -> Stage {
        let mut footer = Footer {
            table_offset,
            file_bytes: self.written + FOOTER_BYTES as u64,
            sections: (self.table.len() / SECTION_HEADER_BYTES) as u32,
            seal: self.options.seal,
            digest: match self.options.seal.has_digest() {
                false => [0; 32],
                true => core::mem::take(&mut self.digest).finalize().into(),
            },
            tag: Tag::default(),
        };
        if let Some(key) = &self.key {
            footer.tag = footer.tag_by(key);
        }
        self.put(&footer.encode());
        Stage::Finished
    }
}

/// Bytes of an object, with what stands before them: their checksum, and what is to be taken.
fn part(object: &ObjectBytes, from: usize, end: usize, before: &[u8]) -> (u64, Piece) {
    match object {
        ObjectBytes::Held(held) => {
            let piece = Piece::Object {
                bytes: object.clone(),
                from,
                end,
            };
            (checksum::of_parts(&[before, &held[from..end]]), piece)
        }
        ObjectBytes::Made(_) => {
            let mut made = Vec::with_capacity(end - from);
            object.append(from, end - from, &mut made);
            (checksum::of_parts(&[before, &made]), Piece::Bytes(made))
        }
    }
}
