//! [`ObjectReader`]: puts objects together from their parts, within their bounds, and hands them to a
//! [`Sink`].

use super::decoder::within;
use super::error::{Bound, Problem};
use super::layout::SectionKind;
use super::pieces::Pieces;
use super::sink::{Sink, TakeError};
use crate::image::BlobHash;
use crate::limits;
use sha2::{Digest, Sha256};

/// The next bytes of an object.
#[derive(Debug)]
pub struct ObjectPart<'a> {
    /// What it is.
    pub kind: SectionKind,
    /// Version of its payload.
    pub version: u16,
    /// Of a blob: what all of its bytes must have.
    pub hash: Option<BlobHash>,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Whether these are the last ones.
    pub last: bool,
}

/// Objects on their way in, one after the other.
#[derive(Debug, Default)]
pub struct ObjectReader {
    /// The object of which parts came.
    open: Option<OpenObject>,
    blobs: u64,
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

impl ObjectReader {
    /// The kind of the object of which more must come, and its hash.
    pub fn open(&self) -> Option<(SectionKind, Option<BlobHash>)> {
        self.open.as_ref().map(|open| (open.kind, open.hash))
    }

    /// Adds a part to its object, for which the sink says first whether there is room; a complete object
    /// is given to the sink. Tells whether it is complete.
    ///
    /// # Errors
    /// [`TakeError`]: nothing more is to be taken.
    pub fn take<S: Sink>(
        &mut self,
        part: &ObjectPart<'_>,
        sink: &mut S,
    ) -> Result<bool, TakeError<S::Error>> {
        let mut object = self.object_of(part).map_err(TakeError::Contents)?;
        let room_bytes = object.bytes.room_for(part.bytes.len());
        sink.reserve(part.kind, room_bytes)
            .map_err(TakeError::Sink)?;
        object.bytes.push(part.bytes);
        if object.hash.is_some() {
            object.digest.update(part.bytes);
        }
        if !part.last {
            self.open = Some(object);
            return Ok(false);
        }
        match object.hash {
            Some(hash) if hash.0 != <[u8; 32]>::from(object.digest.finalize()) => {
                return Err(TakeError::Contents(Problem::BlobHash(hash)));
            }
            Some(_) | None => {}
        }
        sink.object(object.kind, object.version, object.hash, object.bytes)
            .map_err(TakeError::Sink)?;
        Ok(true)
    }

    /// The object that a part belongs to, if it may be as large as with that part.
    fn object_of(&mut self, part: &ObjectPart<'_>) -> Result<OpenObject, Problem> {
        let known = part.kind.version();
        if !(1..=known).contains(&part.version) {
            let found = part.version;
            return Err(Problem::SectionVersion { found, known });
        }
        let same = |open: &OpenObject| {
            (open.kind, open.version, open.hash) == (part.kind, part.version, part.hash)
        };
        let object = match self.open.take() {
            Some(open) if same(&open) => open,
            Some(_) => return Err(Problem::Order),
            None => {
                self.blobs += u64::from(part.hash.is_some());
                within(Bound::Blobs, self.blobs, limits::IMAGE_BLOBS as u64)?;
                OpenObject {
                    kind: part.kind,
                    version: part.version,
                    hash: part.hash,
                    digest: Sha256::new(),
                    bytes: Pieces::default(),
                }
            }
        };
        let (what, most) = match part.hash {
            Some(_) => (Bound::BlobBytes, limits::BLOB_BYTES),
            None => (Bound::ObjectBytes, limits::SNAPSHOT_OBJECT_BYTES),
        };
        let size = object.bytes.len() + part.bytes.len();
        within(what, size as u64, most as u64)?;
        Ok(object)
    }
}
