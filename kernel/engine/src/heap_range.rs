//! Ranges of the kernel heap, for tests and the simulated machine. Nothing tells which pages of the
//! heap were touched or written, so their images are copies ([`Shadow`]).

use crate::frozen::{FreezeError, FrozenImage, FrozenMemory, PAGE_BYTES};
use crate::guest_memory::RangeOwner;
use crate::shadow::Shadow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::slice;

/// What is told about a heap range, and dropped together with it: the simulated machine's account.
pub trait HeapWatch: Send {
    /// An image of `page_count` pages is about to be made, `copied_count` of them copied. What is
    /// returned is dropped together with the image.
    ///
    /// # Errors
    /// As the machine that it plays would answer. The memory goes on.
    fn freeze(
        &mut self,
        page_count: usize,
        copied_count: usize,
    ) -> Result<Box<dyn Any + Send + Sync>, FreezeError>;
}

/// Watches nothing.
impl HeapWatch for () {
    fn freeze(&mut self, _: usize, _: usize) -> Result<Box<dyn Any + Send + Sync>, FreezeError> {
        Ok(Box::new(()))
    }
}

/// A range on the heap: what `Box::leak` gave out, taken back on drop; or bytes that are never freed.
pub(crate) struct HeapRange {
    base: *mut u8,
    len: usize,
    kept: Kept,
    shadow: Shadow,
    watch: Box<dyn HeapWatch>,
}

/// How long the bytes live.
enum Kept {
    /// Until the range is dropped.
    WithRange,
    /// For ever.
    Forever,
}

impl HeapRange {
    /// Takes over `bytes`.
    pub(crate) fn new(bytes: Vec<u8>, watch: Box<dyn HeapWatch>) -> HeapRange {
        let mut range = HeapRange::forever(Box::leak(bytes.into_boxed_slice()));
        range.kept = Kept::WithRange;
        range.watch = watch;
        range
    }

    /// A range of bytes that are never freed.
    pub(crate) fn forever(bytes: &'static mut [u8]) -> HeapRange {
        HeapRange {
            base: bytes.as_mut_ptr(),
            len: bytes.len(),
            kept: Kept::Forever,
            shadow: Shadow::default(),
            watch: Box::new(()),
        }
    }

    /// A range of `len` bytes that begins as `frozen`, with copies of its pages.
    pub(crate) fn copy_of(
        frozen: &FrozenMemory,
        len: usize,
        watch: Box<dyn HeapWatch>,
    ) -> HeapRange {
        let mut bytes = alloc::vec![0; len];
        for page in frozen.pages() {
            let Some(place) = bytes.get_mut(page.index * PAGE_BYTES..) else {
                break;
            };
            let count = place.len().min(PAGE_BYTES);
            place[..count].copy_from_slice(&page.bytes[..count]);
        }
        let mut range = HeapRange::new(bytes, watch);
        range.shadow = Shadow::of(frozen);
        range
    }
}

// SAFETY: the bytes belong to this value alone and are not bound to a thread.
unsafe impl Send for HeapRange {}

// SAFETY: `base` and `len` are those of one leaked boxed slice, or of a `&'static mut` slice that was
// given up; fully initialised, referred to by nobody else, and freed by `drop` alone.
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
    fn freeze(&mut self, size_bytes: usize) -> Result<Arc<dyn FrozenImage>, FreezeError> {
        // SAFETY: the range is ours and initialised, and `&mut self` says that nobody writes it.
        let bytes = unsafe { slice::from_raw_parts(self.base, self.len.min(size_bytes)) };
        let compared = self.shadow.compare(bytes.chunks(PAGE_BYTES).enumerate());
        let (pages, copied) = (compared.page_count(), compared.copied_count());
        let beside = self.watch.freeze(pages, copied)?;
        Ok(self.shadow.image(compared, self.len, beside))
    }
}

impl Drop for HeapRange {
    fn drop(&mut self) {
        match self.kept {
            Kept::WithRange => {
                let slice = core::ptr::slice_from_raw_parts_mut(self.base, self.len);
                // SAFETY: `new` got exactly this slice from `Box::leak`; it is freed only here.
                drop(unsafe { Box::from_raw(slice) });
            }
            Kept::Forever => {}
        }
    }
}
