//! The snapshot file: a container of sections, written and read as a stream (`kernel/SNAPSHOT.md`).
//!
//! The container knows no state of an instance: it holds objects of bytes, each of a kind, and the pages
//! of linear memories. [`Encoder`] makes a file in bounded steps from shared bytes and a [`PageSource`],
//! and copies no page. [`Decoder`] takes a file in pieces of any size and gives
//! sections whose checksum is right; [`Collector`] holds them to the rules of order, size and number,
//! and hands objects and pages to a [`Sink`]. [`Summary`] says what is in a file.
//!
//! [`Chunks`] and [`ChunkReader`] are the pages alone, in small payloads, for who has another container.
//!
//! - `layout`: constants, header, section headers, footer; - `checksum`; - `tag`: who made a file;
//! - `pages`: page sections;
//! - `packer`, `unpack`: pages on their way into one and out of it; - `chunks`: pages without a file;
//! - `encoder`, `gather`: a file on its way out; - `decoder`, `collector`, `summary`: and in;
//! - `objects`, `pieces`: objects on their way in; - `sink`: who takes what comes;
//! - `error`: what is wrong with a file, and where.

mod checksum;
mod chunks;
mod collector;
mod decoder;
mod encoder;
mod error;
mod gather;
mod layout;
mod objects;
mod packer;
mod pages;
mod pieces;
mod sink;
mod summary;
mod tag;
#[cfg(test)]
mod tests;
mod unpack;

pub use chunks::{Chunk, ChunkReader, Chunks};
pub use collector::{Collector, ReadError};
pub use decoder::{Decoder, Event, Section};
pub use encoder::{Encoder, NextPage, Object, ObjectBytes, Options, PageSource, Progress, Windows};
pub use error::{Bound, Problem, SnapshotError};
pub use layout::{
    Compression, FOOTER_BYTES, HEADER_BYTES, Header, MAGIC, MAJOR_VERSION, MINOR_VERSION,
    MemoryHead, PAGE_BYTES, SECTION_HEADER_BYTES, Seal, SectionKind, SnapshotId,
};
pub use objects::{ObjectPart, ObjectReader};
pub use packer::Base;
pub use pieces::Pieces;
pub use sink::{Sink, TakeError};
pub use summary::{BlobRow, MemoryRow, ObjectRow, Summary, SummaryReader};
pub use tag::{Maker, Tag};
pub use unpack::Page;
