//! The pages of a cut's memories, as a file takes them ([`CutPages`]).

use crate::machine::FrozenMemory;
use crate::snapshot::format::{MemoryHead, NextPage, PAGE_BYTES, PageSource};
use alloc::vec::Vec;

/// The memories of a cut as a file names them.
pub fn memory_heads(memories: &[FrozenMemory]) -> Vec<MemoryHead> {
    let heads = memories.iter().enumerate();
    heads
        .map(|(number, memory)| MemoryHead {
            number: number as u32,
            bytes: memory.size_bytes() as u64,
        })
        .collect()
}

/// The pages of a cut, or those that differ from its parent's.
#[derive(Debug)]
pub struct CutPages {
    memories: Vec<FrozenMemory>,
    parent: Option<Vec<FrozenMemory>>,
}

impl CutPages {
    /// The pages of these memories, shared.
    pub fn new(memories: Vec<FrozenMemory>, parent: Option<Vec<FrozenMemory>>) -> CutPages {
        CutPages { memories, parent }
    }

    fn parent_of(&self, memory: u32) -> Option<&FrozenMemory> {
        self.parent.as_ref()?.get(memory as usize)
    }
}

impl PageSource for CutPages {
    fn next_page(&self, memory: u32, from: u64) -> NextPage {
        let (Some(own), Ok(from)) = (self.memories.get(memory as usize), usize::try_from(from))
        else {
            return NextPage::End;
        };
        let page = match self.parent_of(memory) {
            None => own.next_page(from),
            // A page that is there in the parent alone has become zero.
            Some(parent) => own.next_difference(parent, from),
        };
        page.map_or(NextPage::End, |page| NextPage::At(page as u64))
    }

    fn page(&self, memory: u32, page: u64) -> Option<&[u8; PAGE_BYTES]> {
        let page = usize::try_from(page).ok()?;
        self.memories.get(memory as usize)?.page(page)
    }
}
