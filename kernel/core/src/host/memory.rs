//! What a guest says about its memory: a claim until it is checked (D9).
//!
//! A [`GuestSlice`] is checked each time it is used and never kept across a wait as a reference:
//! the memory may have grown, and a restored claim may come from a hostile snapshot.

use sos_abi::{ErrorCode, SocketAddress};

use crate::limits;

/// Pointer and length as a guest gave them; nothing is known about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestSlice {
    pointer: u32,
    length: u32,
}

impl GuestSlice {
    /// The claim that `length` bytes lie at `pointer`.
    pub const fn new(pointer: u32, length: u32) -> GuestSlice {
        GuestSlice { pointer, length }
    }

    /// Bytes that the guest claims.
    pub const fn len(self) -> usize {
        self.length as usize
    }

    /// Whether the guest claims no bytes; such a claim may have any pointer.
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// The bytes.
    ///
    /// # Errors
    /// [`ErrorCode::BadPointer`] when the range is null, wraps, or ends past the memory.
    pub fn get(self, memory: &[u8]) -> Result<&[u8], ErrorCode> {
        let (start, end) = self.range()?;
        memory.get(start..end).ok_or(ErrorCode::BadPointer)
    }

    /// The bytes, to be written.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_mut(self, memory: &mut [u8]) -> Result<&mut [u8], ErrorCode> {
        let (start, end) = self.range()?;
        memory.get_mut(start..end).ok_or(ErrorCode::BadPointer)
    }

    /// The first bytes, at most as many as one call moves.
    ///
    /// # Errors
    /// As [`Self::get`], for the whole claim.
    pub fn get_bounded(self, memory: &[u8]) -> Result<&[u8], ErrorCode> {
        let bytes = self.get(memory)?;
        Ok(&bytes[..bytes.len().min(limits::HOST_CALL_BYTES)])
    }

    /// The first bytes, at most as many as one call moves, to be written.
    ///
    /// # Errors
    /// As [`Self::get`], for the whole claim.
    pub fn get_bounded_mut(self, memory: &mut [u8]) -> Result<&mut [u8], ErrorCode> {
        let bytes = self.get_mut(memory)?;
        let length = bytes.len().min(limits::HOST_CALL_BYTES);
        Ok(&mut bytes[..length])
    }

    /// Start and end offsets; an `usize` holds the sum of two `u32`s.
    fn range(self) -> Result<(usize, usize), ErrorCode> {
        if self.is_empty() {
            return Ok((0, 0));
        }
        if self.pointer == 0 {
            return Err(ErrorCode::BadPointer);
        }
        let start = self.pointer as usize;
        Ok((start, start + self.len()))
    }
}

const _: () = assert!(
    usize::BITS >= 64,
    "GuestSlice adds two u32 without overflow"
);

/// The raw cells of a call's arguments, whose number is checked against the call's signature.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a>(pub &'a [u64]);

impl Arguments<'_> {
    /// Argument `index`, an `i32` that means an unsigned number.
    pub fn u32(self, index: usize) -> u32 {
        // The upper half of a cell that holds an i32 is unspecified.
        self.0[index] as u32
    }

    /// Argument `index`, an `i64`.
    pub fn i64(self, index: usize) -> i64 {
        self.0[index] as i64
    }

    /// The slice whose pointer is argument `index` and whose length is the one after it.
    pub fn slice(self, index: usize) -> GuestSlice {
        GuestSlice::new(self.u32(index), self.u32(index + 1))
    }

    /// Flags in argument `index`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] when others than `known` are set.
    pub fn flags(self, index: usize, known: u32) -> Result<u32, ErrorCode> {
        match self.u32(index) {
            flags if flags & !known == 0 => Ok(flags),
            _ => Err(ErrorCode::InvalidArgument),
        }
    }
}

/// Reads the socket address at `pointer`.
///
/// # Errors
/// [`ErrorCode::BadPointer`] when it lies outside, [`ErrorCode::InvalidAddress`] for an unknown
/// family.
pub fn read_address(memory: &[u8], pointer: u32) -> Result<core::net::SocketAddr, ErrorCode> {
    let bytes = GuestSlice::new(pointer, SocketAddress::BYTES as u32).get(memory)?;
    let mut wire = SocketAddress::UNSPECIFIED;
    wire.as_mut_bytes().copy_from_slice(bytes);
    wire.decode()
}

/// Where a call writes an address, checked before the call has an effect.
#[derive(Debug, Clone, Copy)]
pub struct AddressOut(Option<GuestSlice>);

impl AddressOut {
    /// The claim that an address may be written at `pointer`; 0 means that none is wanted.
    ///
    /// # Errors
    /// [`ErrorCode::BadPointer`] when it would lie outside.
    pub fn optional(memory: &[u8], pointer: u32) -> Result<AddressOut, ErrorCode> {
        if pointer == 0 {
            return Ok(AddressOut(None));
        }
        AddressOut::required(memory, pointer)
    }

    /// The claim that an address may be written at `pointer`.
    ///
    /// # Errors
    /// [`ErrorCode::BadPointer`] when it is 0 or would lie outside.
    pub fn required(memory: &[u8], pointer: u32) -> Result<AddressOut, ErrorCode> {
        let slice = GuestSlice::new(pointer, SocketAddress::BYTES as u32);
        slice.get(memory)?;
        Ok(AddressOut(Some(slice)))
    }

    /// Writes `address`, if one is wanted.
    ///
    /// # Errors
    /// [`ErrorCode::BadPointer`] when `memory` is not the one of the check.
    pub fn write(self, memory: &mut [u8], address: core::net::SocketAddr) -> Result<(), ErrorCode> {
        if let Some(slice) = self.0 {
            slice
                .get_mut(memory)?
                .copy_from_slice(SocketAddress::encode(address).as_bytes());
        }
        Ok(())
    }
}

/// Copies as much of `value` as fits into `buffer` and gives the whole length.
///
/// # Errors
/// [`ErrorCode::BadPointer`] when the buffer lies outside.
pub fn copy_out(memory: &mut [u8], buffer: GuestSlice, value: &[u8]) -> Result<i32, ErrorCode> {
    let buffer = buffer.get_bounded_mut(memory)?;
    let length = buffer.len().min(value.len());
    buffer[..length].copy_from_slice(&value[..length]);
    Ok(i32::try_from(value.len()).unwrap_or(i32::MAX))
}
