//! Images made of copies, for machines whose page tables are not ours: [`Shadow`].
//!
//! What was written is found by comparing with the copies of the image before, and a page that is
//! the same is shared with that.

use crate::frozen::{FrozenImage, FrozenMemory, FrozenPage, PAGE_BYTES};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

type Page = Arc<[u8; PAGE_BYTES]>;

/// The pages of the latest image of a memory, or what the memory began as.
#[derive(Default)]
pub struct Shadow {
    pages: BTreeMap<usize, Page>,
}

/// The pages of an image that is not made yet.
#[derive(Debug)]
pub struct Comparison {
    /// With whether they differ from the image before.
    pages: BTreeMap<usize, (Page, bool)>,
}

impl Comparison {
    /// Pages that are not zero, or were not.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// How many of them had to be copied.
    pub fn copied_count(&self) -> usize {
        self.pages.values().filter(|(_, copied)| *copied).count()
    }
}

impl Shadow {
    /// The shadow of a memory that begins as `frozen`.
    pub fn of(frozen: &FrozenMemory) -> Shadow {
        let copy = |page: FrozenPage<'_>| (page.index, Arc::new(*page.bytes));
        Shadow {
            pages: frozen.pages().map(copy).collect(),
        }
    }

    /// Compares with what the memory holds now: its pages in order, of which zero ones may be left
    /// out if they always were. Only the last may be shorter than a page.
    pub fn compare<'a>(&self, present: impl Iterator<Item = (usize, &'a [u8])>) -> Comparison {
        let mut pages = BTreeMap::new();
        for (index, bytes) in present {
            let before = self.pages.get(&index);
            // A page that became zero again stays in the image: who builds on the one before has to
            // hear of it.
            if before.is_none() && bytes.iter().all(|&byte| byte == 0) {
                continue;
            }
            let page = match before {
                Some(page) if page[..bytes.len()] == *bytes => (page.clone(), false),
                _ => {
                    let mut page = [0; PAGE_BYTES];
                    page[..bytes.len()].copy_from_slice(bytes);
                    (Arc::new(page), true)
                }
            };
            pages.insert(index, page);
        }
        Comparison { pages }
    }

    /// The image of what was compared, of a memory that has `reserved_bytes`. `beside` is dropped
    /// together with it.
    pub fn image(
        &mut self,
        compared: Comparison,
        reserved_bytes: usize,
        beside: Box<dyn Any + Send + Sync>,
    ) -> Arc<dyn FrozenImage> {
        let pages = compared.pages;
        let shared = |(&index, (page, _)): (&usize, &(Page, bool))| (index, page.clone());
        self.pages = pages.iter().map(shared).collect();
        Arc::new(CopiedImage {
            reserved_bytes,
            pages,
            beside,
        })
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow")
            .field("page_count", &self.pages.len())
            .finish_non_exhaustive()
    }
}

/// An image made of copies.
pub struct CopiedImage {
    reserved_bytes: usize,
    pages: BTreeMap<usize, (Page, bool)>,
    beside: Box<dyn Any + Send + Sync>,
}

impl CopiedImage {
    /// What is dropped together with the image.
    pub fn beside(&self) -> &dyn Any {
        &*self.beside
    }
}

impl fmt::Debug for CopiedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopiedImage")
            .field("page_count", &self.pages.len())
            .finish_non_exhaustive()
    }
}

impl FrozenImage for CopiedImage {
    fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    fn page_count(&self) -> usize {
        self.pages.len()
    }

    fn find_page(&self, from: usize) -> Option<FrozenPage<'_>> {
        let (&index, (bytes, written)) = self.pages.range(from..).next()?;
        Some(FrozenPage {
            index,
            bytes,
            written: *written,
        })
    }
}
