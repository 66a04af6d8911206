//! The bytes of one linear memory: a reserved range that the kernel supplies (D3).
//!
//! [`RangeOwner`] is the machine's side: a range of addresses whose pages appear on first touch.
//! [`GuestMemory`] owns one and is opaque: safe code can make it, ask how much of it is resident,
//! and give it to an instantiation, but can neither reach its bytes nor free it while an instance
//! runs on it. The only user of the bytes is [`crate::linear_memory`].

use alloc::boxed::Box;
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
/// - nothing else reads or writes them, except through `&mut` access to the whole execution (a
///   snapshot, for example), and dropping the owner is what ends the range.
pub unsafe trait RangeOwner: Send {
    /// Where the range begins.
    fn base(&self) -> *mut u8;
    /// Reserved bytes: the most that the memory can grow to.
    fn len(&self) -> usize;
    /// Whether nothing is reserved.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes of the pages that are there.
    fn resident_bytes(&self) -> usize;
    /// Whether a touch found no page and was served from an emergency reserve; asking clears it.
    fn take_exhausted(&self) -> bool;
}

/// The bytes of one linear memory, supplied by the kernel.
pub struct GuestMemory {
    /// Read once: the trait promises that they never change, and the executor asks often.
    base: *mut u8,
    len: usize,
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
        GuestMemory { base, len, owner }
    }

    /// `len` zero bytes of the heap, for tests and the simulated machine.
    pub fn zeroed(len: usize) -> GuestMemory {
        GuestMemory::from_vec(alloc::vec![0; len])
    }

    /// `len` zero bytes of the heap, and what is dropped together with them: the simulated
    /// machine's note that they are taken.
    pub fn zeroed_beside(len: usize, companion: Box<dyn Send>) -> GuestMemory {
        GuestMemory::on_heap(alloc::vec![0; len], companion)
    }

    /// These bytes of the heap, which the memory starts with: zero for a new instance.
    pub fn from_vec(bytes: Vec<u8>) -> GuestMemory {
        GuestMemory::on_heap(bytes, Box::new(()))
    }

    fn on_heap(bytes: Vec<u8>, companion: Box<dyn Send>) -> GuestMemory {
        let bytes = Box::leak(bytes.into_boxed_slice());
        GuestMemory::new(Box::new(HeapRange::new(bytes, companion)))
    }

    /// Bytes that live for ever. They are filled with zeros.
    pub fn from_static(bytes: &'static mut [u8]) -> GuestMemory {
        bytes.fill(0);
        let (base, len) = (bytes.as_mut_ptr(), bytes.len());
        GuestMemory::new(Box::new(StaticRange { base, len }))
    }

    /// Reserved bytes: the most that the memory can grow to.
    pub fn reserved_bytes(&self) -> usize {
        self.len
    }

    /// Bytes of the pages that were touched.
    pub fn resident_bytes(&self) -> usize {
        self.owner.resident_bytes()
    }

    /// Whether a touch found no page since this was last asked.
    pub fn take_exhausted(&self) -> bool {
        self.owner.take_exhausted()
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

/// A range on the heap. It holds what `Box::leak` gave out and takes it back on drop.
struct HeapRange {
    base: *mut u8,
    len: usize,
    _companion: Box<dyn Send>,
}

impl HeapRange {
    fn new(bytes: &'static mut [u8], companion: Box<dyn Send>) -> HeapRange {
        HeapRange {
            base: bytes.as_mut_ptr(),
            len: bytes.len(),
            _companion: companion,
        }
    }
}

// SAFETY: the allocation belongs to this value alone and is not bound to a thread.
unsafe impl Send for HeapRange {}

// SAFETY: `base` and `len` are those of one leaked boxed slice, fully initialised, which nobody
// else refers to and which lives until `drop`.
unsafe impl RangeOwner for HeapRange {
    fn base(&self) -> *mut u8 {
        self.base
    }
    fn len(&self) -> usize {
        self.len
    }
    fn resident_bytes(&self) -> usize {
        self.len
    }
    fn take_exhausted(&self) -> bool {
        false
    }
}

impl Drop for HeapRange {
    fn drop(&mut self) {
        let slice = core::ptr::slice_from_raw_parts_mut(self.base, self.len);
        // SAFETY: `new` got exactly this slice from `Box::leak`, and it is freed only here.
        drop(unsafe { Box::from_raw(slice) });
    }
}

/// A range that is never freed.
struct StaticRange {
    base: *mut u8,
    len: usize,
}

// SAFETY: the bytes were borrowed for ever and exclusively; they are not bound to a thread.
unsafe impl Send for StaticRange {}

// SAFETY: `base` and `len` are those of a `&'static mut [u8]` that was given up for this value.
unsafe impl RangeOwner for StaticRange {
    fn base(&self) -> *mut u8 {
        self.base
    }
    fn len(&self) -> usize {
        self.len
    }
    fn resident_bytes(&self) -> usize {
        self.len
    }
    fn take_exhausted(&self) -> bool {
        false
    }
}
