//! What pages of a section hold, checked against the memories that came.

use super::error::Problem;
use super::layout::{MemoryHead, PAGE_BYTES};
use super::pages::{PageForm, PagesPayload};
use super::sink::TakeError;

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page<'a> {
    /// These bytes, which take so many in the file.
    Bytes {
        /// The page.
        bytes: &'a [u8; PAGE_BYTES],
        /// What it takes in the file.
        stored_bytes: usize,
    },
    /// Zeros.
    Zero,
    /// What that page holds now.
    Repeat {
        /// Its memory.
        memory: u32,
        /// The page.
        page: u64,
    },
}

/// Gives each page of a section, which belongs to one of `memories`, in ascending order from `next_page`
/// on.
pub fn unpack<E>(
    pages: &PagesPayload<'_>,
    memories: &[MemoryHead],
    next_page: &mut u64,
    mut give: impl FnMut(u64, Page<'_>) -> Result<(), E>,
) -> Result<(), TakeError<E>> {
    let problem = |problem| Err(TakeError::Contents(problem));
    let Some(head) = memories.get(pages.memory as usize) else {
        return problem(Problem::MemoryNumber(pages.memory));
    };
    let mut scratch = [0; PAGE_BYTES];
    for (page, form) in pages.pages() {
        if page < *next_page || page >= head.pages() {
            return problem(Problem::PageNumber(page));
        }
        *next_page = page + 1;
        let content = match form {
            PageForm::Raw(bytes) => Page::Bytes {
                bytes,
                stored_bytes: PAGE_BYTES,
            },
            PageForm::Lz4(block) => {
                match lz4_flex::block::decompress_into(block, &mut scratch) {
                    Ok(PAGE_BYTES) => {}
                    _ => return problem(Problem::Compressed),
                }
                Page::Bytes {
                    bytes: &scratch,
                    stored_bytes: block.len(),
                }
            }
            PageForm::Zero => Page::Zero,
            PageForm::Repeat {
                memory: source_memory,
                page: source,
            } => {
                let source = u64::from(source);
                let source_head = memories.get(source_memory as usize);
                let exists = source_head.is_some_and(|head| source < head.pages());
                if !exists || (source_memory, source) >= (head.number, page) {
                    return problem(Problem::PageSource);
                }
                Page::Repeat {
                    memory: source_memory,
                    page: source,
                }
            }
        };
        give(page, content).map_err(TakeError::Sink)?;
    }
    Ok(())
}
