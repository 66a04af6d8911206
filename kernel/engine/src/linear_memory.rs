//! A linear memory over bytes that the kernel supplied: takes the place of wasmi's own.
//!
//! Wasmi's executor and store use it under the name `CoreMemory`. The bytes are neither filled nor
//! moved: growing moves the bound within the reserved range, whose untouched part is zero.

use crate::{FreezeError, FrozenMemory, GuestMemory};
use core::slice;
use wasmi_core::{Fuel, MemoryError, MemoryType, ResourceLimiterRef};

/// The most bytes of a memory with 32-bit addresses.
const MAXIMUM_BYTES_32: u128 = 1 << 32;

/// A linear memory: the first `len` bytes of a supplied range.
#[derive(Debug)]
pub struct LinearMemory {
    bytes: GuestMemory,
    /// Current size in bytes. Never above the range's length and never smaller than before.
    len: usize,
    memory_type: MemoryType,
}

impl LinearMemory {
    /// A memory of `memory_type`'s minimum size over `bytes`.
    ///
    /// # Errors
    /// When `bytes` is shorter than the minimum or the limiter refuses it.
    pub fn new(
        memory_type: MemoryType,
        limiter: &mut ResourceLimiterRef<'_>,
        bytes: GuestMemory,
    ) -> Result<LinearMemory, MemoryError> {
        let minimum = byte_size(&memory_type, memory_type.minimum())
            .ok_or(MemoryError::MinimumSizeOverflow)?;
        if minimum > bytes.reserved_bytes() {
            return Err(MemoryError::InvalidStaticBufferSize);
        }
        let maximum = memory_type
            .maximum()
            .and_then(|pages| byte_size(&memory_type, pages));
        if let Some(limiter) = limiter.as_resource_limiter()
            && !limiter.memory_growing(0, minimum, maximum)?
        {
            return Err(MemoryError::ResourceLimiterDeniedAllocation);
        }
        Ok(LinearMemory {
            bytes,
            len: minimum,
            memory_type,
        })
    }

    /// The type that it was declared with.
    pub fn ty(&self) -> MemoryType {
        self.memory_type
    }

    /// The declared type with the current size as its minimum, for matching imports.
    pub fn dynamic_ty(&self) -> MemoryType {
        let mut builder = MemoryType::builder();
        builder
            .memory64(self.memory_type.is_64())
            .page_size_log2(self.memory_type.page_size_log2())
            .min(self.size())
            .max(self.memory_type.maximum());
        // The size is between the declared minimum and maximum, so the type stays valid.
        builder.build().unwrap_or(self.memory_type)
    }

    /// Current size in pages.
    pub fn size(&self) -> u64 {
        self.len as u64 >> self.memory_type.page_size_log2()
    }

    /// Grows by `additional` pages and returns the size before. Costs no fuel: nothing is copied
    /// or filled.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBoundsGrowth`] beyond the declared maximum or the reserved range, and
    /// what the limiter answers.
    pub fn grow(
        &mut self,
        additional: u64,
        _fuel: Option<&mut Fuel>,
        limiter: &mut ResourceLimiterRef<'_>,
    ) -> Result<u64, MemoryError> {
        let before = self.size();
        if additional == 0 {
            return Ok(before);
        }
        let pages = before
            .checked_add(additional)
            .ok_or(MemoryError::OutOfBoundsGrowth)?;
        if self
            .memory_type
            .maximum()
            .is_some_and(|maximum| pages > maximum)
        {
            return Err(MemoryError::OutOfBoundsGrowth);
        }
        let wanted = byte_size(&self.memory_type, pages).ok_or(MemoryError::OutOfBoundsGrowth)?;
        if wanted > self.bytes.reserved_bytes() {
            let error = MemoryError::OutOfBoundsGrowth;
            if let Some(limiter) = limiter.as_resource_limiter() {
                limiter.memory_grow_failed(&error)?;
            }
            return Err(error);
        }
        if let Some(limiter) = limiter.as_resource_limiter() {
            let maximum = self
                .memory_type
                .maximum()
                .and_then(|pages| byte_size(&self.memory_type, pages));
            if !limiter.memory_growing(self.len, wanted, maximum)? {
                return Err(MemoryError::OutOfBoundsGrowth);
            }
        }
        self.len = wanted;
        Ok(before)
    }

    /// The bytes, as many as the current size.
    pub fn data(&self) -> &[u8] {
        // SAFETY: `len` is at most the range's length; `RangeOwner` promises that those bytes are
        // readable, initialised and ours for as long as `self.bytes` lives, and writes need
        // `&mut self`.
        unsafe { slice::from_raw_parts(self.bytes.base(), self.len) }
    }

    /// The bytes, as many as the current size, to write to.
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`, and `&mut self` makes this the only access.
        unsafe { slice::from_raw_parts_mut(self.bytes.base(), self.len) }
    }

    /// Where the bytes begin.
    pub fn data_ptr(&self) -> *mut u8 {
        self.bytes.base()
    }

    /// Current size in bytes.
    pub fn data_size(&self) -> usize {
        self.len
    }

    /// Copies the bytes at `offset` into `buffer`.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBoundsAccess`] when they do not all exist.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let bytes = offset
            .checked_add(buffer.len())
            .and_then(|end| self.data().get(offset..end))
            .ok_or(MemoryError::OutOfBoundsAccess)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    /// Copies `buffer` to the bytes at `offset`.
    ///
    /// # Errors
    /// [`MemoryError::OutOfBoundsAccess`] when they do not all exist.
    pub fn write(&mut self, offset: usize, buffer: &[u8]) -> Result<(), MemoryError> {
        let bytes = offset
            .checked_add(buffer.len())
            .and_then(|end| self.data_mut().get_mut(offset..end))
            .ok_or(MemoryError::OutOfBoundsAccess)?;
        bytes.copy_from_slice(buffer);
        Ok(())
    }

    /// The range underneath.
    pub(crate) fn guest(&self) -> &GuestMemory {
        &self.bytes
    }

    /// What the memory holds now.
    pub(crate) fn freeze(&mut self) -> Result<FrozenMemory, FreezeError> {
        self.bytes.freeze(self.len)
    }
}

/// The bytes of `pages`, if the memory's addresses reach that far.
fn byte_size(memory_type: &MemoryType, pages: u64) -> Option<usize> {
    let bytes = u128::from(pages) << memory_type.page_size_log2();
    if !memory_type.is_64() && bytes > MAXIMUM_BYTES_32 {
        return None;
    }
    usize::try_from(bytes).ok()
}
