//! What every file must survive: any cut, any flip, any order; and what writing must keep to.

mod chunks;
mod hostile;
mod layout;
mod mutation;
mod roundtrip;
mod tags;

use super::*;
use crate::image::{BlobBytes, BlobHash, blob_hash};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::Cell;
use core::convert::Infallible;

/// Pages by memory and number; counts how many were looked at.
#[derive(Default)]
struct Pages {
    pages: BTreeMap<(u32, u64), [u8; PAGE_BYTES]>,
    looked_at: Cell<usize>,
}

impl Pages {
    fn put(&mut self, memory: u32, page: u64, byte: u8) {
        self.pages.insert((memory, page), [byte; PAGE_BYTES]);
    }

    /// A page like no other, and hard to compress.
    fn put_noise(&mut self, memory: u32, page: u64) {
        let mut state = (u64::from(memory) << 32 | page) + 1;
        let mut bytes = [0; PAGE_BYTES];
        for byte in &mut bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        self.pages.insert((memory, page), bytes);
    }
}

impl PageSource for Pages {
    fn next_page(&self, memory: u32, from: u64) -> NextPage {
        self.looked_at.set(self.looked_at.get() + 1);
        let mut rest = self.pages.range((memory, from)..(memory + 1, 0));
        let page = rest.next().map(|((_, page), _)| *page);
        page.map_or(NextPage::End, NextPage::At)
    }

    fn page(&self, memory: u32, page: u64) -> Option<&[u8; PAGE_BYTES]> {
        self.pages.get(&(memory, page))
    }
}

/// What was read.
#[derive(Debug, Default, PartialEq)]
struct Read {
    header: Option<Header>,
    objects: Vec<(SectionKind, Option<BlobHash>, Vec<u8>)>,
    memories: Vec<MemoryHead>,
    pages: BTreeMap<(u32, u64), [u8; PAGE_BYTES]>,
    zeroed: Vec<(u32, u64)>,
}

impl Sink for Read {
    type Error = Infallible;

    fn begin(&mut self, header: &Header) -> Result<(), Infallible> {
        self.header = Some(*header);
        Ok(())
    }

    fn object(
        &mut self,
        kind: SectionKind,
        _version: u16,
        hash: Option<BlobHash>,
        bytes: Pieces,
    ) -> Result<(), Infallible> {
        self.objects.push((kind, hash, bytes.into_bytes()));
        Ok(())
    }

    fn memory(&mut self, head: MemoryHead) -> Result<(), Infallible> {
        self.memories.push(head);
        Ok(())
    }

    fn page(&mut self, memory: u32, page: u64, content: Page<'_>) -> Result<(), Infallible> {
        let bytes = match content {
            Page::Bytes { bytes, .. } => *bytes,
            Page::Repeat {
                memory: source_memory,
                page: source,
            } => {
                let source = self.pages.get(&(source_memory, source));
                source.copied().unwrap_or([0; PAGE_BYTES])
            }
            Page::Zero => {
                self.zeroed.push((memory, page));
                return Ok(());
            }
        };
        self.pages.insert((memory, page), bytes);
        Ok(())
    }
}

fn object(kind: SectionKind, bytes: &[u8]) -> Object {
    Object {
        kind,
        hash: (kind == SectionKind::Blob).then(|| blob_hash(bytes)),
        bytes: BlobBytes::Held(bytes.into()).into(),
    }
}

/// One object of each kind, small.
fn objects() -> Vec<Object> {
    [
        object(SectionKind::About, b"about"),
        object(SectionKind::Execution, b"execution"),
        object(SectionKind::Guest, b"guest"),
        object(SectionKind::Network, b""),
        object(SectionKind::Blob, b"a module"),
    ]
    .into()
}

fn options() -> Options {
    Options {
        id: SnapshotId(*b"0123456789abcdef"),
        seal: Seal::Sha256,
        ..Options::default()
    }
}

fn memory(number: u32, pages: u64) -> MemoryHead {
    MemoryHead {
        number,
        bytes: pages * PAGE_BYTES as u64,
    }
}

/// Writes a whole file.
fn write(
    options: Options,
    objects: Vec<Object>,
    memories: &[MemoryHead],
    pages: &Pages,
) -> Vec<u8> {
    finish(Encoder::new(options, objects, memories.into()), pages)
}

/// What an encoder writes.
fn finish(mut encoder: Encoder, pages: &Pages) -> Vec<u8> {
    let mut file = Vec::new();
    loop {
        let progress = encoder.step(pages, 7);
        take_all(&mut encoder, pages, &mut file);
        assert_eq!(encoder.written_bytes(), file.len() as u64);
        if progress == Progress::Finished {
            assert_eq!(encoder.file_bytes(), Some(file.len() as u64));
            return file;
        }
    }
}

/// Takes what is ready, in uneven pieces.
fn take_all(encoder: &mut Encoder, pages: &Pages, file: &mut Vec<u8>) {
    while encoder.ready_bytes() > 0 {
        let ready = encoder.ready(pages);
        let count = ready.len().min(1 + file.len() % 5000);
        file.extend_from_slice(&ready[..count]);
        encoder.take(count, pages);
    }
}

/// A file with something of everything, but small.
fn small_file() -> Vec<u8> {
    let mut pages = Pages::default();
    pages.put(0, 1, 7);
    pages.put(0, 2, 7);
    write(options(), objects(), &[memory(0, 4)], &pages)
}

/// Reads a whole file.
fn read(file: &[u8]) -> Result<Read, SnapshotError> {
    let mut collector = Collector::default();
    let mut read = Read::default();
    match collector.read(file, &mut read) {
        Ok(_) => collector.finish().map(|()| read),
        Err(ReadError::File(error)) => Err(error),
        Err(ReadError::Sink(never)) => match never {},
    }
}

fn problem(file: &[u8]) -> Problem {
    read(file).expect_err("refused").problem
}

/// `bytes` as an LZ4 block.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut block = alloc::vec![0; lz4_flex::block::get_maximum_output_size(bytes.len())];
    let length = lz4_flex::block::compress_into(bytes, &mut block).expect("room");
    block.truncate(length);
    block
}
