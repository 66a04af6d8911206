//! [`Summary`]: what is in a file, read without believing it.

use super::collector::{Collector, Page, ReadError, Sink};
use super::error::SnapshotError;
use super::layout::{Header, MemoryHead, PAGE_BYTES, SectionKind};
use crate::image::BlobHash;
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
    /// Whether it was read to its end and all of it is sound.
    pub complete: bool,
    /// Why not.
    pub error: Option<String>,
    /// The bytes of the object that says what the instance is, for who knows their meaning.
    #[serde(skip)]
    pub about: Vec<u8>,
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

impl Summary {
    /// Reads a whole file. What is wrong with it is part of the answer.
    pub fn read(bytes: &[u8]) -> Summary {
        let mut summary = Summary {
            file_bytes: bytes.len() as u64,
            ..Summary::default()
        };
        let mut collector = Collector::default();
        let result = collector.read(bytes, &mut summary);
        let result: Result<(), SnapshotError> = match result {
            Ok(_) => collector.finish(),
            Err(ReadError::File(error)) => Err(error),
            Err(ReadError::Sink(never)) => match never {},
        };
        summary.complete = result.is_ok();
        summary.error = result.err().map(|error| error.to_string());
        summary
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
        object: Vec<u8>,
    ) -> Result<(), Infallible> {
        let bytes = object.len() as u64;
        match hash {
            Some(hash) => self.blobs.push(BlobRow {
                hash: hash.to_string(),
                bytes,
            }),
            None => self.objects.push(ObjectRow {
                kind,
                version,
                bytes,
            }),
        }
        if kind == SectionKind::About {
            self.about = object;
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
