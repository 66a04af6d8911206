//! A program's memory as WASI sees it: every address is a claim until it is checked (D9).
//!
//! Unlike in the native calls, address 0 is a place like any other, and no alignment is asked for.

use sos_abi::wasi::Errno;

/// The `length` bytes at `pointer`.
///
/// # Errors
/// [`Errno::Fault`] when they end past the memory.
pub fn bytes(memory: &[u8], pointer: u32, length: u32) -> Result<&[u8], Errno> {
    let (start, end) = range(pointer, length);
    memory.get(start..end).ok_or(Errno::Fault)
}

/// The `length` bytes at `pointer`, to be written.
///
/// # Errors
/// As [`bytes`].
pub fn bytes_mut(memory: &mut [u8], pointer: u32, length: u32) -> Result<&mut [u8], Errno> {
    let (start, end) = range(pointer, length);
    memory.get_mut(start..end).ok_or(Errno::Fault)
}

/// The array of `count` things of `size` bytes each at `pointer`.
///
/// # Errors
/// As [`bytes`].
pub fn array(memory: &[u8], pointer: u32, count: u32, size: u32) -> Result<&[u8], Errno> {
    let length = count.checked_mul(size).ok_or(Errno::Fault)?;
    bytes(memory, pointer, length)
}

/// Start and end offsets; an empty range may have any pointer.
fn range(pointer: u32, length: u32) -> (usize, usize) {
    if length == 0 {
        return (0, 0);
    }
    // An `usize` holds the sum of two `u32`s (asserted in `host::memory`).
    let start = pointer as usize;
    (start, start + length as usize)
}

/// Where a call writes a result of `N` bytes, checked before the call has an effect.
#[derive(Debug, Clone, Copy)]
pub struct Out<const N: usize>(u32);

impl<const N: usize> Out<N> {
    /// The claim that `N` bytes may be written at `pointer`.
    ///
    /// # Errors
    /// [`Errno::Fault`] when they would lie outside.
    pub fn new(memory: &[u8], pointer: u32) -> Result<Out<N>, Errno> {
        bytes(memory, pointer, N as u32)?;
        Ok(Out(pointer))
    }

    /// Writes the result.
    ///
    /// # Errors
    /// [`Errno::Fault`] when `memory` is not the one of the check.
    pub fn write(self, memory: &mut [u8], value: [u8; N]) -> Result<(), Errno> {
        bytes_mut(memory, self.0, N as u32)?.copy_from_slice(&value);
        Ok(())
    }
}

impl Out<4> {
    /// Writes a size, a count or a descriptor.
    ///
    /// # Errors
    /// As [`Out::write`].
    pub fn write_u32(self, memory: &mut [u8], value: u32) -> Result<(), Errno> {
        self.write(memory, value.to_le_bytes())
    }
}

impl Out<8> {
    /// Writes a time or a position.
    ///
    /// # Errors
    /// As [`Out::write`].
    pub fn write_u64(self, memory: &mut [u8], value: u64) -> Result<(), Errno> {
        self.write(memory, value.to_le_bytes())
    }
}
