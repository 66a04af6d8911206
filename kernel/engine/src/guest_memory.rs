//! The bytes of one linear memory: a reserved range that the kernel supplies (D3).
//!
//! [`RangeOwner`] is the machine's side: a range of addresses whose pages appear on first touch.
//! [`GuestMemory`] owns one and is opaque: safe code can make it, ask how much of it is resident,
//! and give it to an instantiation, but can neither reach its bytes nor free it while an instance
//! runs on it. The only user of the bytes is [`crate::linear_memory`]. What a memory holds at one
//! instant is a [`FrozenMemory`].

use crate::frozen::{FreezeError, FrozenImage, FrozenMemory, LoadError, PAGE_BYTES};
use crate::heap_range::{HeapRange, HeapWatch};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// A reserved range of addresses for one linear memory.
///
/// # Safety
///
/// For as long as the owner lives, and from whatever thread or CPU it is on:
///
/// - [`base`](RangeOwner::base) and [`len`](RangeOwner::len) always answer the same, `base` is not
///   null, and `len` is at most `isize::MAX`;
/// - all `len` bytes at `base` can be read and written (a page that is not there yet appears when
///   it is touched), and read as initialised bytes, zero where nothing has been written;
/// - nothing but the holder of the owner writes them, and what was written stays until it is
///   written again. Only a range that has run out of pages ([`take_exhausted`]) may lose bytes: they
///   then read as other initialised bytes, and may change with any access to the range;
/// - [`freeze`] and [`load_page`] neither move the range nor change a byte of it but those loaded.
///   They have `&mut self`, so nobody reads or writes the range meanwhile; after them it is readable
///   and writable as before, at once: a page that has to be copied first is copied when it is
///   touched, by whatever touches it (a plain store of compiled code);
/// - an image is independent of its range: it keeps its contents when the range is written, frozen
///   again or dropped, and the other way round;
/// - dropping the owner is what ends the range. The pages of its images stay.
///
/// [`take_exhausted`]: RangeOwner::take_exhausted
/// [`freeze`]: RangeOwner::freeze
/// [`load_page`]: RangeOwner::load_page
pub unsafe trait RangeOwner: Send {
    /// Where the range begins.
    fn base(&self) -> *mut u8;
    /// Reserved bytes: the most that the memory can grow to.
    fn len(&self) -> usize;
    /// Whether nothing is reserved.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes of the pages that are there, those that it shares with images and clones included.
    fn resident_bytes(&self) -> usize;
    /// Whether a touch found no page and was served from an emergency reserve; asking clears it.
    fn take_exhausted(&self) -> bool;
    /// An image of what the range holds, of which only the first `size_bytes` can have been reached.
    ///
    /// # Errors
    /// See [`FreezeError`]; the range is then as it was.
    fn freeze(&mut self, size_bytes: usize) -> Result<Arc<dyn FrozenImage>, FreezeError>;
    /// Writes a whole page. `index` is that of a page of which all bytes are in the range.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`]; the page's contents are lost then.
    fn load_page(&mut self, index: usize, bytes: &[u8; PAGE_BYTES]) -> Result<(), LoadError> {
        assert!(index < self.len() / PAGE_BYTES, "page beyond its memory");
        let place = self.base().wrapping_add(index * PAGE_BYTES);
        // SAFETY: by the assertion the whole page lies in the range, which is writable and, by
        // `&mut self`, used by nobody else.
        unsafe { place.copy_from_nonoverlapping(bytes.as_ptr(), PAGE_BYTES) };
        if self.take_exhausted() {
            return Err(LoadError::OutOfMemory);
        }
        Ok(())
    }
}

/// The bytes of one linear memory, supplied by the kernel.
pub struct GuestMemory {
    /// Read once: the trait promises that they never change, and the executor asks often.
    base: *mut u8,
    len: usize,
    /// How often it was frozen.
    freezes: u64,
    owner: Box<dyn RangeOwner>,
}

// SAFETY: `base` points into the range that `owner` owns and is used only through `&self` and
// `&mut self`; `owner` itself is `Send`, and its range is usable from any CPU (`RangeOwner`).
unsafe impl Send for GuestMemory {}

impl GuestMemory {
    /// Takes over a range.
    pub fn new(owner: Box<dyn RangeOwner>) -> GuestMemory {
        let base = owner.base();
        let len = owner.len();
        assert!(!base.is_null() && isize::try_from(len).is_ok());
        GuestMemory {
            base,
            len,
            freezes: 0,
            owner,
        }
    }

    /// `len` zero bytes of the heap, for tests.
    pub fn zeroed(len: usize) -> GuestMemory {
        GuestMemory::zeroed_beside(len, Box::new(()))
    }

    /// `len` zero bytes of the heap, with somebody who is told about them.
    pub fn zeroed_beside(len: usize, watch: Box<dyn HeapWatch>) -> GuestMemory {
        GuestMemory::new(Box::new(HeapRange::new(alloc::vec![0; len], watch)))
    }

    /// `len` bytes of the heap that begin as `frozen`, whose pages are copied.
    pub fn copy_of(frozen: &FrozenMemory, len: usize, watch: Box<dyn HeapWatch>) -> GuestMemory {
        GuestMemory::new(Box::new(HeapRange::copy_of(frozen, len, watch)))
    }

    /// These bytes of the heap, which the memory starts with: zero for a new instance.
    pub fn from_vec(bytes: Vec<u8>) -> GuestMemory {
        GuestMemory::new(Box::new(HeapRange::new(bytes, Box::new(()))))
    }

    /// Bytes that live for ever. They are filled with zeros.
    pub fn from_static(bytes: &'static mut [u8]) -> GuestMemory {
        bytes.fill(0);
        GuestMemory::new(Box::new(HeapRange::forever(bytes)))
    }

    /// Reserved bytes: the most that the memory can grow to.
    pub fn reserved_bytes(&self) -> usize {
        self.len
    }

    /// Bytes of the pages that were touched, those that it shares with images and clones included.
    pub fn resident_bytes(&self) -> usize {
        self.owner.resident_bytes()
    }

    /// Whether a touch found no page since this was last asked.
    pub fn take_exhausted(&self) -> bool {
        self.owner.take_exhausted()
    }

    /// What the memory holds now, of which the first `size_bytes` can have been reached. The memory
    /// goes on; a page is copied when either side would change it, or has been already.
    ///
    /// # Errors
    /// See [`FreezeError`]. The memory goes on, and what is [written](crate::FrozenPage::written) is
    /// not forgotten.
    pub fn freeze(&mut self, size_bytes: usize) -> Result<FrozenMemory, FreezeError> {
        let size_bytes = size_bytes.min(self.len);
        let image = self.owner.freeze(size_bytes)?;
        self.freezes += 1;
        Ok(FrozenMemory::new(image, size_bytes, self.freezes))
    }

    /// Gives the page at `index` its contents, before the memory is given to an instance. Where the
    /// memory ends within the page, the bytes behind its end must be zero.
    ///
    /// # Errors
    /// See [`LoadError`]; the page's contents are lost when there is no room.
    pub fn load_page(&mut self, index: usize, bytes: &[u8; PAGE_BYTES]) -> Result<(), LoadError> {
        let beyond = LoadError::BeyondEnd { index };
        let start = index.checked_mul(PAGE_BYTES).ok_or(beyond)?;
        let room = self.len.checked_sub(start).ok_or(beyond)?;
        if room >= PAGE_BYTES {
            return self.owner.load_page(index, bytes);
        }
        let (inside, behind) = bytes.split_at(room);
        if room == 0 || behind.iter().any(|&byte| byte != 0) {
            return Err(beyond);
        }
        // SAFETY: the range reaches `room` bytes beyond `start`, and `&mut self` makes this the only
        // access.
        unsafe {
            let place = self.base.add(start);
            place.copy_from_nonoverlapping(inside.as_ptr(), room);
        }
        Ok(())
    }

    /// Copies the page at `index`, before the memory is given to an instance. Bytes behind the
    /// memory's end are zero.
    pub fn read_page(&self, index: usize, out: &mut [u8; PAGE_BYTES]) {
        out.fill(0);
        let start = index.saturating_mul(PAGE_BYTES);
        let count = self.len.saturating_sub(start).min(PAGE_BYTES);
        if count > 0 {
            // SAFETY: `start + count` is at most the range's length; nobody writes, as no instance
            // has the memory and writing it from here takes `&mut self`.
            unsafe {
                let place = self.base.add(start);
                place.copy_to_nonoverlapping(out.as_mut_ptr(), count);
            }
        }
    }

    /// Where the range begins. Valid for [`reserved_bytes`](Self::reserved_bytes) bytes.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }
}

impl fmt::Debug for GuestMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestMemory")
            .field("reserved_bytes", &self.len)
            .finish_non_exhaustive()
    }
}
