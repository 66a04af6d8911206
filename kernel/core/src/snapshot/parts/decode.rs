//! States from bytes, within the memory that there is.
//!
//! The bytes of an object are given up as they are decoded, so that a state does not take its room
//! twice. What the state itself may take is counted on the way and held to a bound: a few bytes of a
//! file can stand for many in memory, and the kernel's heap has no way to fail.

use super::PartError;
use crate::snapshot::format::{Pieces, SectionKind};
use alloc::vec::Vec;
use postcard::de_flavors::Flavor;
use serde::de::DeserializeOwned;

/// Heap that is counted for each byte of a number, a tag or a length. What counts are the elements of a
/// list: the bytes that one has in memory against the fewest that it has in a file, three times while its
/// list grows.
const fn field_heap_bytes(kind: SectionKind) -> usize {
    match kind {
        // A reference of a table (16 bytes) takes one byte, a value (32) two.
        SectionKind::Execution => 64,
        // An argument (24) takes one byte, an inode (200) twelve.
        SectionKind::Guest => 128,
        // A handle (250) takes two.
        SectionKind::Network => 384,
        // An empty frame (24) takes one, a port's manifest entry (200) eight.
        SectionKind::About
        | SectionKind::Group
        | SectionKind::Waiting
        | SectionKind::Blob
        | SectionKind::Memory
        | SectionKind::Pages
        | SectionKind::Table => 128,
    }
}
/// Heap that is counted for a run of bytes besides them.
const RUN_HEAP_BYTES: usize = 64;

/// What the reader says when the state takes too much: nothing else says so while reading.
const NO_ROOM: postcard::Error = postcard::Error::SerializeBufferFull;

/// A state from all of its object's bytes; it may take `room_bytes` of heap beyond what those bytes did.
///
/// # Errors
/// [`PartError`].
pub fn decode<T: DeserializeOwned>(
    kind: SectionKind,
    bytes: Pieces,
    room_bytes: u64,
) -> Result<T, PartError> {
    let room = usize::try_from(room_bytes).unwrap_or(usize::MAX);
    let reader = Reader {
        left: bytes.len(),
        room: room.saturating_add(bytes.len()),
        bytes,
        field_heap_bytes: field_heap_bytes(kind),
        at: 0,
        gathered: Vec::new(),
    };
    let mut deserializer = postcard::Deserializer::from_flavor(reader);
    let state = T::deserialize(&mut deserializer);
    match (state, deserializer.finalize()) {
        (Ok(state), Ok(0)) => Ok(state),
        (Err(NO_ROOM), _) => Err(PartError::NoMemory { kind, room_bytes }),
        _ => Err(PartError::Undecodable(kind)),
    }
}

/// Reads pieces, and drops those that are read.
struct Reader {
    bytes: Pieces,
    /// Where the next byte is in the first piece.
    at: usize,
    /// Bytes that are still to be read.
    left: usize,
    /// Heap that may still be taken.
    room: usize,
    field_heap_bytes: usize,
    /// A run that lies in several pieces.
    gathered: Vec<u8>,
}

impl Reader {
    fn take_room(&mut self, bytes: usize) -> postcard::Result<()> {
        self.room = self.room.checked_sub(bytes).ok_or(NO_ROOM)?;
        Ok(())
    }

    /// What is left of the first piece; a piece that is read is dropped.
    fn rest(&mut self) -> &[u8] {
        while self
            .bytes
            .first()
            .is_some_and(|first| first.len() == self.at)
        {
            self.bytes.drop_first();
            self.at = 0;
        }
        self.bytes.first().map_or(&[], |first| &first[self.at..])
    }
}

impl<'de> Flavor<'de> for Reader {
    type Remainder = usize;
    type Source = ();

    fn pop(&mut self) -> postcard::Result<u8> {
        self.take_room(self.field_heap_bytes)?;
        let byte = self.rest().first().copied();
        let byte = byte.ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.at += 1;
        self.left -= 1;
        Ok(byte)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }

    /// Bytes that outlive the reading: there are none.
    fn try_take_n(&mut self, _count: usize) -> postcard::Result<&'de [u8]> {
        Err(postcard::Error::WontImplement)
    }

    fn try_take_n_temp<'b>(&'b mut self, count: usize) -> postcard::Result<&'b [u8]>
    where
        'de: 'b,
    {
        if count > self.left {
            return Err(postcard::Error::DeserializeUnexpectedEnd);
        }
        self.take_room(count.saturating_add(RUN_HEAP_BYTES))?;
        self.left -= count;
        if self.rest().len() >= count {
            let start = self.at;
            self.at += count;
            return Ok(self
                .bytes
                .first()
                .map_or(&[], |first| &first[start..self.at]));
        }
        let mut gathered = core::mem::take(&mut self.gathered);
        gathered.clear();
        while gathered.len() < count {
            let rest = self.rest();
            let part = rest.len().min(count - gathered.len());
            gathered.extend_from_slice(&rest[..part]);
            self.at += part;
        }
        self.gathered = gathered;
        Ok(&self.gathered)
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.left)
    }
}
