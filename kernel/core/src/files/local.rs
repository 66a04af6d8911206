//! [`Local`]: what the node keeps beside an instance's files, and is no part of them.
//!
//! A file's chunks may be a million, so they are not freed where the file goes but a bounded number at
//! each operation, which pays for it.

use alloc::collections::VecDeque;
use core::cell::Cell;

use super::contents::Chunks;

/// Facts of the node, not of the files: neither stored nor copied nor compared.
#[derive(Debug)]
pub(super) struct Local {
    /// Kernel heap that may still be taken.
    heap_room: u64,
    /// Chunks of files that are gone, none of them empty.
    discarded: VecDeque<Chunks>,
    /// Bytes of those chunks.
    discarded_bytes: u64,
    /// Steps since somebody asked: parts of paths, levels of directories, chunks freed.
    work: Cell<u64>,
}

impl Default for Local {
    fn default() -> Local {
        Local {
            heap_room: u64::MAX,
            discarded: VecDeque::new(),
            discarded_bytes: 0,
            work: Cell::new(0),
        }
    }
}

impl Clone for Local {
    fn clone(&self) -> Local {
        Local::default()
    }
}

/// Files that differ in nothing else are the same.
impl PartialEq for Local {
    fn eq(&self, _: &Local) -> bool {
        true
    }
}

impl Eq for Local {}

impl Local {
    /// Kernel heap that may still be taken.
    pub fn heap_room(&self) -> u64 {
        self.heap_room
    }

    /// Sets how much kernel heap may be taken from now on.
    pub fn offer_heap(&mut self, bytes: u64) {
        self.heap_room = bytes;
    }

    /// Counts heap that was taken.
    pub fn take_heap(&mut self, bytes: u64) {
        self.heap_room = self.heap_room.saturating_sub(bytes);
    }

    /// Counts one step of work.
    pub fn step(&self) {
        self.work.set(self.work.get() + 1);
    }

    /// Steps since this was asked last.
    pub fn take_work(&mut self) -> u64 {
        self.work.take()
    }

    /// Keeps chunks of `bytes` bytes in all until they are freed.
    pub fn discard(&mut self, chunks: Chunks, bytes: u64) {
        if !chunks.is_empty() {
            self.discarded.push_back(chunks);
            self.discarded_bytes += bytes;
        }
    }

    /// Frees at most `most` chunks.
    pub fn free(&mut self, most: usize) {
        for _ in 0..most {
            let Some(chunks) = self.discarded.front_mut() else {
                return;
            };
            let freed = chunks.pop_first();
            if chunks.is_empty() {
                self.discarded.pop_front();
            }
            if let Some((_, chunk)) = freed {
                self.discarded_bytes -= chunk.len() as u64;
                self.step();
            }
        }
    }

    /// Bytes of chunks that are to be freed.
    pub fn discarded_bytes(&self) -> u64 {
        self.discarded_bytes
    }
}
