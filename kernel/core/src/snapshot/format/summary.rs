//! [`Summary`]: what is in a file, read without believing it.

use super::collector::{Collector, ReadError};
use super::error::SnapshotError;
use super::layout::{Header, MemoryHead, PAGE_BYTES, SectionKind};
use super::pieces::Pieces;
use super::sink::Sink;
use super::tag::Maker;
use super::unpack::Page;
use crate::image::BlobHash;
use crate::keys::Key;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::convert::Infallible;
use serde::Serialize;

/// What a file holds, as far as it could be read.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Its header.
    pub header: Option<Header>,
    /// Its objects, by kind, without the modules and files.
    pub objects: Vec<ObjectRow>,
    /// Modules and files that are embedded.
    pub blobs: Vec<BlobRow>,
    /// Its memories.
    pub memories: Vec<MemoryRow>,
    /// Who made it.
    pub maker: Maker,
    /// Whether it was read to its end and all of it is sound.
    pub complete: bool,
    /// Why not.
    pub error: Option<String>,
    /// The bytes of the objects in it, for who knows their meaning.
    #[serde(skip)]
    pub states: Vec<(SectionKind, Pieces)>,
    /// The bytes of the modules and files.
    #[serde(skip)]
    pub contents: Vec<(BlobHash, Pieces)>,
}

/// One object.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ObjectRow {
    /// Its kind.
    pub kind: SectionKind,
    /// Version of its encoding.
    pub version: u16,
    /// Its bytes.
    pub bytes: u64,
}

/// One embedded module or file.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct BlobRow {
    /// SHA-256, hexadecimal; its bytes have it.
    pub hash: String,
    /// Its bytes.
    pub bytes: u64,
}

/// One memory.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MemoryRow {
    /// Its size.
    #[serde(flatten)]
    pub head: MemoryHead,
    /// Pages whose bytes are there.
    pub stored_pages: u64,
    /// What those take in the file.
    pub stored_bytes: u64,
    /// Of them, those that are compressed.
    pub compressed_pages: u64,
    /// Pages that repeat another.
    pub repeated_pages: u64,
    /// Pages that became zero since the parent.
    pub zero_pages: u64,
}

/// Reads a file in pieces of any size.
#[derive(Debug, Default)]
pub struct SummaryReader {
    collector: Collector,
    summary: Summary,
    error: Option<SnapshotError>,
}

impl SummaryReader {
    /// Compares tags with those of this key.
    pub fn with_key(key: Option<Key>) -> SummaryReader {
        SummaryReader {
            collector: Collector::with_key(key),
            ..SummaryReader::default()
        }
    }

    /// The next bytes of the file; they are only counted once something was wrong.
    pub fn read(&mut self, bytes: &[u8]) {
        self.summary.file_bytes += bytes.len() as u64;
        if self.error.is_some() {
            return;
        }
        match self.collector.read(bytes, &mut self.summary) {
            Ok(_) => {}
            Err(ReadError::File(error)) => self.error = Some(error),
            Err(ReadError::Sink(never)) => match never {},
        }
    }

    /// What is wrong so far.
    pub fn error(&self) -> Option<&SnapshotError> {
        self.error.as_ref()
    }

    /// The file ends here.
    pub fn finish(mut self) -> Summary {
        let error = self.error.or_else(|| self.collector.finish().err());
        self.summary.maker = self.collector.maker();
        self.summary.complete = error.is_none();
        self.summary.error = error.map(|error| error.to_string());
        self.summary
    }
}

impl Summary {
    /// Reads a whole file. What is wrong with it is part of the answer.
    pub fn read(bytes: &[u8]) -> Summary {
        let mut reader = SummaryReader::default();
        reader.read(bytes);
        reader.finish()
    }

    /// Takes the bytes of a state, if they came.
    pub fn take_state(&mut self, kind: SectionKind) -> Option<Pieces> {
        let place = self.states.iter().position(|(found, _)| *found == kind)?;
        Some(self.states.swap_remove(place).1)
    }
}

impl Sink for Summary {
    type Error = Infallible;

    fn begin(&mut self, header: &Header) -> Result<(), Infallible> {
        self.header = Some(*header);
        Ok(())
    }

    fn object(
        &mut self,
        kind: SectionKind,
        version: u16,
        hash: Option<BlobHash>,
        object: Pieces,
    ) -> Result<(), Infallible> {
        let bytes = object.len() as u64;
        match hash {
            Some(hash) => {
                self.blobs.push(BlobRow {
                    hash: hash.to_string(),
                    bytes,
                });
                self.contents.push((hash, object));
            }
            None => {
                self.objects.push(ObjectRow {
                    kind,
                    version,
                    bytes,
                });
                self.states.push((kind, object));
            }
        }
        Ok(())
    }

    fn memory(&mut self, head: MemoryHead) -> Result<(), Infallible> {
        self.memories.push(MemoryRow {
            head,
            stored_pages: 0,
            stored_bytes: 0,
            compressed_pages: 0,
            repeated_pages: 0,
            zero_pages: 0,
        });
        Ok(())
    }

    fn page(&mut self, _memory: u32, _page: u64, content: Page<'_>) -> Result<(), Infallible> {
        // Pages come after their memory.
        let Some(row) = self.memories.last_mut() else {
            return Ok(());
        };
        match content {
            Page::Bytes { stored_bytes, .. } => {
                row.stored_pages += 1;
                row.stored_bytes += stored_bytes as u64;
                row.compressed_pages += u64::from(stored_bytes < PAGE_BYTES);
            }
            Page::Zero => row.zero_pages += 1,
            Page::Repeat { .. } => row.repeated_pages += 1,
        }
        Ok(())
    }
}
