//! What a linear memory held at one instant: [`FrozenMemory`], made by [`GuestMemory::freeze`].
//!
//! The machine that supplied the memory also keeps the image ([`FrozenImage`]): on bare metal the
//! pages are shared with the running memory and copied when that writes to them; elsewhere they
//! are copies. Who reads an image cannot tell the difference.
//!
//! [`GuestMemory::freeze`]: crate::GuestMemory::freeze

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

/// Bytes of a page: the unit in which memories are shared, copied and listed, whatever the page
/// size that a module declares.
pub const PAGE_BYTES: usize = 4096;

/// One page of an image.
#[derive(Debug, Clone, Copy)]
pub struct FrozenPage<'a> {
    /// Its place: the page begins at byte `index * PAGE_BYTES` of the memory.
    pub index: usize,
    /// What it held. Bytes behind the memory's end are zero.
    pub bytes: &'a [u8; PAGE_BYTES],
    /// Whether it may have been written since the previous image of the same memory was made; where
    /// there was none, since the memory began (a clone begins as the image that it was mapped
    /// from). A page that is not `written` holds what it held then.
    pub written: bool,
}

/// A machine's side of an image: the pages of one memory, which never change while it lives.
pub trait FrozenImage: Any + Send + Sync {
    /// Reserved bytes of the memory.
    fn reserved_bytes(&self) -> usize;
    /// How many pages [`find_page`](FrozenImage::find_page) finds.
    fn page_count(&self) -> usize;
    /// The first page at `from` or behind it. Pages that are left out are zero.
    fn find_page(&self, from: usize) -> Option<FrozenPage<'_>>;
    /// How many pages it holds that `other` does not hold too, as the very same pages. A machine whose
    /// images share more than pages looks at less than all of them.
    fn count_own_pages(&self, other: &dyn FrozenImage) -> usize {
        let mut own = 0;
        let mut next = self.find_page(0);
        while let Some(page) = next {
            let theirs = other.find_page(page.index);
            let is_shared = theirs.is_some_and(|theirs| core::ptr::eq(theirs.bytes, page.bytes));
            own += usize::from(!is_shared);
            next = self.find_page(page.index + 1);
        }
        own
    }
    /// The first page at `from` or behind it that not both hold as the very same page. A machine whose
    /// images share more than pages looks at less than all before it.
    fn next_difference(&self, other: &dyn FrozenImage, mut from: usize) -> Option<usize> {
        loop {
            match (self.find_page(from), other.find_page(from)) {
                (Some(ours), Some(theirs)) if core::ptr::eq(ours.bytes, theirs.bytes) => {
                    from = ours.index + 1;
                }
                (Some(ours), Some(theirs)) => return Some(ours.index.min(theirs.index)),
                (ours, theirs) => return ours.or(theirs).map(|page| page.index),
            }
        }
    }
}

/// What a linear memory held when it was frozen. Clones share the image; the last one frees it.
#[derive(Clone)]
pub struct FrozenMemory {
    image: Arc<dyn FrozenImage>,
    size_bytes: usize,
    sequence: u64,
}

impl FrozenMemory {
    pub(crate) fn new(
        image: Arc<dyn FrozenImage>,
        size_bytes: usize,
        sequence: u64,
    ) -> FrozenMemory {
        FrozenMemory {
            image,
            size_bytes,
            sequence,
        }
    }

    /// The memory's size at that instant.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Reserved bytes of the memory: the most that it could grow to.
    pub fn reserved_bytes(&self) -> usize {
        self.image.reserved_bytes()
    }

    /// Pages that the image holds: those that were touched. The others are zero.
    pub fn page_count(&self) -> usize {
        self.image.page_count()
    }

    /// Bytes of the pages that the image holds, shared or not.
    pub fn resident_bytes(&self) -> usize {
        self.page_count() * PAGE_BYTES
    }

    /// Which image of its memory this is, from 1. [`FrozenPage::written`] compares with the one
    /// before it, so it describes an increment only for who has that one.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The index of the first page at `from` or behind it that the image holds.
    pub fn next_page(&self, from: usize) -> Option<usize> {
        self.image.find_page(from).map(|page| page.index)
    }

    /// The page at `index`; none when the image does not hold it, and it is zero.
    pub fn page(&self, index: usize) -> Option<&[u8; PAGE_BYTES]> {
        let found = self.image.find_page(index)?;
        (found.index == index).then_some(found.bytes)
    }

    /// The pages that the image holds, in order.
    pub fn pages(&self) -> FrozenPages<'_> {
        self.pages_from(0)
    }

    /// The pages that the image holds at `index` and behind it, in order.
    pub fn pages_from(&self, index: usize) -> FrozenPages<'_> {
        FrozenPages {
            image: &*self.image,
            next: index,
        }
    }

    /// How many pages are [`written`](FrozenPage::written). Looks at each page.
    pub fn count_written(&self) -> usize {
        self.pages().filter(|page| page.written).count()
    }

    /// How many of its pages are not those of an earlier image too ([`Self::same_page`]).
    pub fn count_own_pages(&self, earlier: &FrozenMemory) -> usize {
        self.image.count_own_pages(&*earlier.image)
    }

    /// The first page at `from` or behind it that is not the [same](Self::same_page) in another image.
    pub fn next_difference(&self, other: &FrozenMemory, from: usize) -> Option<usize> {
        self.image.next_difference(&*other.image, from)
    }

    /// Whether both images hold one and the same page at `index`, or neither does: then it was not
    /// written between them. The opposite does not follow. Costs the same however far apart they are.
    pub fn same_page(&self, other: &FrozenMemory, index: usize) -> bool {
        match (self.page(index), other.page(index)) {
            (None, None) => true,
            // Both are borrowed, so one address is one page.
            (Some(ours), Some(theirs)) => core::ptr::eq(ours, theirs),
            _ => false,
        }
    }

    /// The machine's own image, if it is of this kind.
    pub fn image<I: FrozenImage>(&self) -> Option<&I> {
        let image: &dyn Any = &*self.image;
        image.downcast_ref()
    }
}

impl fmt::Debug for FrozenMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenMemory")
            .field("sequence", &self.sequence)
            .field("size_bytes", &self.size_bytes)
            .field("page_count", &self.page_count())
            .finish_non_exhaustive()
    }
}

/// Iterates over the pages of an image.
pub struct FrozenPages<'a> {
    image: &'a dyn FrozenImage,
    next: usize,
}

impl<'a> Iterator for FrozenPages<'a> {
    type Item = FrozenPage<'a>;

    fn next(&mut self) -> Option<FrozenPage<'a>> {
        let page = self.image.find_page(self.next)?;
        self.next = page.index + 1;
        Some(page)
    }
}

impl fmt::Debug for FrozenPages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenPages")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Why a memory was not frozen. It goes on as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreezeError {
    /// The machine has no room for the image.
    OutOfMemory,
    /// The memory ran out of pages earlier, so it does not hold what was written to it.
    Lost,
}

impl fmt::Display for FreezeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FreezeError::OutOfMemory => {
                "no room for an image of a guest memory; stop an instance or give the node more memory"
            }
            FreezeError::Lost => {
                "the instance ran out of memory and has lost some; it cannot be captured"
            }
        })
    }
}

/// Why a page was not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadError {
    /// The memory ends before the page, or within it and the bytes behind the end are not zero.
    BeyondEnd {
        /// The page's index.
        index: usize,
    },
    /// The machine has no room for the page.
    OutOfMemory,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::BeyondEnd { index } => {
                write!(f, "page {index} lies beyond the end of its memory")
            }
            LoadError::OutOfMemory => f.write_str(
                "no room for a page of a guest memory; stop an instance or give the node more memory",
            ),
        }
    }
}
