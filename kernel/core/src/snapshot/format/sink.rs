//! [`Sink`]: takes what a snapshot's file holds, or what a migration brings, and may refuse.

use super::error::Problem;
use super::layout::{Header, MemoryHead, SectionKind};
use super::pieces::Pieces;
use super::unpack::Page;
use crate::image::BlobHash;
use core::fmt;

/// Takes what a file holds, or what a migration brings. Nothing of it is to be used before who reads says
/// that it is complete.
pub trait Sink {
    /// Why it refuses.
    type Error;

    /// A file's header; a migration has none.
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

    /// An object: its bytes are nothing but bytes so far; those of a blob have the hash. Each kind but
    /// blobs comes once; in a migration what describes the instance comes at the end again, and counts.
    fn object(
        &mut self,
        kind: SectionKind,
        version: u16,
        hash: Option<BlobHash>,
        bytes: Pieces,
    ) -> Result<(), Self::Error>;

    /// A memory, of which no page was given yet. They come in the order of their numbers. In a migration
    /// one that is known comes again when it has grown.
    fn memory(&mut self, head: MemoryHead) -> Result<(), Self::Error>;

    /// A page of a memory that came: of the last one in a file, of any in a migration. Those of a memory
    /// come in ascending order, in a migration once more in each round. A page that does not come is as
    /// it was: in the round before, in the parent, else zero.
    fn page(&mut self, memory: u32, page: u64, content: Page<'_>) -> Result<(), Self::Error>;
}

/// Why what came was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeError<E> {
    /// It is not sound.
    Contents(Problem),
    /// The sink refused.
    Sink(E),
}

impl<E: fmt::Display> fmt::Display for TakeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TakeError::Contents(problem) => problem.fmt(f),
            TakeError::Sink(error) => error.fmt(f),
        }
    }
}
