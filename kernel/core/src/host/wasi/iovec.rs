//! Arrays of buffers: what `fd_read`, `fd_write` and their kind move bytes between.
//!
//! An entry is eight bytes, pointer and length. All entries are checked before a call has an effect and
//! each again when it is used, because the bytes that a read stores may overwrite the array itself.

use sos_abi::wasi::Errno;

use super::memory::{array, bytes, bytes_mut};
use crate::limits;

/// Bytes of one entry.
const ENTRY: u32 = 8;

/// An array of buffers as a program names it, all of whose entries were in bounds when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    entries: u32,
    count: u32,
    /// Bytes of all buffers together.
    total: u64,
}

impl Buffers {
    /// The array of `count` buffers at `entries`.
    ///
    /// # Errors
    /// [`Errno::Inval`] for more buffers than [`limits::IOVECS`] or more than 4 GiB in all,
    /// [`Errno::Fault`] when the array or one of the buffers ends past the memory.
    pub fn new(memory: &[u8], entries: u32, count: u32) -> Result<Buffers, Errno> {
        if count as usize > limits::IOVECS {
            return Err(Errno::Inval);
        }
        let mut buffers = Buffers {
            entries,
            count,
            total: 0,
        };
        array(memory, entries, count, ENTRY)?;
        for index in 0..count {
            let (pointer, length) = buffers.entry(memory, index)?;
            bytes(memory, pointer, length)?;
            buffers.total += u64::from(length);
        }
        if buffers.total > u64::from(u32::MAX) {
            return Err(Errno::Inval);
        }
        Ok(buffers)
    }

    /// Bytes of all buffers together; they fit 32 bits.
    pub fn total(self) -> u32 {
        self.total as u32
    }

    /// How many buffers there are.
    pub fn count(self) -> u32 {
        self.count
    }

    fn entry(self, memory: &[u8], index: u32) -> Result<(u32, u32), Errno> {
        // The array is in bounds, so this does not overflow.
        let entry = bytes(memory, self.entries + index * ENTRY, ENTRY)?;
        let (pointer, length) = entry.split_at(4);
        Ok((number(pointer), number(length)))
    }

    /// Hands one buffer after another, from byte `skip` of them all on, to `take`, which says how many
    /// bytes it took; ends when it takes less than it was offered, or when as much was moved as one
    /// call moves. Gives the number of bytes moved. An error after the first byte ends it too: the
    /// next call meets it again.
    ///
    /// # Errors
    /// What `take` fails with when no byte was moved.
    pub fn drain(
        self,
        memory: &[u8],
        skip: u32,
        mut take: impl FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Result<u32, Errno> {
        self.each(skip, memory, |memory, pointer, length| {
            take(bytes(memory, pointer, length)?)
        })
    }

    /// As [`Buffers::drain`], for buffers that are filled.
    ///
    /// # Errors
    /// What `fill` fails with when no byte was moved.
    pub fn fill(
        self,
        memory: &mut [u8],
        skip: u32,
        mut fill: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<u32, Errno> {
        self.each(skip, memory, |memory, pointer, length| {
            fill(bytes_mut(memory, pointer, length)?)
        })
    }

    fn each<M: AsRef<[u8]>>(
        self,
        mut skip: u32,
        mut memory: M,
        mut step: impl FnMut(&mut M, u32, u32) -> Result<usize, Errno>,
    ) -> Result<u32, Errno> {
        let mut moved = 0;
        for index in 0..self.count {
            let (pointer, length) = match self.entry(memory.as_ref(), index) {
                Ok(entry) => entry,
                Err(error) => return settle(moved, error),
            };
            if skip >= length {
                skip -= length;
                continue;
            }
            let room = limits::HOST_CALL_BYTES as u32 - moved;
            let offered = (length - skip).min(room);
            // A buffer in bounds does not wrap.
            let taken = match step(&mut memory, pointer.saturating_add(skip), offered) {
                Ok(taken) => (taken as u32).min(offered),
                Err(error) => return settle(moved, error),
            };
            moved += taken;
            skip = 0;
            if taken < offered || moved == limits::HOST_CALL_BYTES as u32 {
                break;
            }
        }
        Ok(moved)
    }
}

/// An error after the first byte is not told: the bytes are.
fn settle(moved: u32, error: Errno) -> Result<u32, Errno> {
    if moved > 0 { Ok(moved) } else { Err(error) }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}
