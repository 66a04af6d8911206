//! The kernel heap: size classes in front of a list allocator, over an address range that grows
//! from frames.
//!
//! Small blocks come from free lists, one per class, in a few instructions; a class that runs dry
//! takes a chunk from the list allocator and never returns it. Everything above goes to the list
//! allocator, which is first-fit and merges neighbours.
//!
//! `alloc` cannot fail gracefully, so core admits work by [`stats`] and the free frames before it
//! begins (D9).

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use linked_list_allocator::Heap;
use spin::Mutex;

use super::{HEAP_BASE, PAGE_BYTES, frames, paging};

/// Least bytes by which the heap grows.
const GROWTH_BYTES: usize = 256 * 1024;
/// Bytes at the start, before the list allocator exists.
const FIRST_BYTES: usize = 256 * 1024;
/// Bytes that a class takes at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Largest block that the classes serve.
const CLASS_BYTES_MAX: usize = 4096;
/// Sizes of the classes: steps of a quarter to a half, so that at most a third is lost.
const CLASSES: [u16; 16] = [
    16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
];
/// Class of a block by its size in units of 16 bytes, rounded up.
const CLASS_BY_SIZE: [u8; CLASS_BYTES_MAX / 16 + 1] = class_by_size();

const fn class_by_size() -> [u8; CLASS_BYTES_MAX / 16 + 1] {
    let mut table = [0; CLASS_BYTES_MAX / 16 + 1];
    let mut units = 0;
    while units < table.len() {
        let mut class = 0;
        while (CLASSES[class] as usize) < units * 16 {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
}

/// A free block of a class: its first word names the next one.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

/// The heap's state.
struct State {
    free: [Option<NonNull<FreeBlock>>; CLASSES.len()],
    large: Heap,
    /// Bytes of the range that are backed.
    backed_bytes: usize,
    /// Bytes handed out, by the sizes asked for.
    used_bytes: usize,
}

// SAFETY: the pointers are to blocks that belong to the heap, wherever it is used from.
unsafe impl Send for State {}

/// The heap behind `alloc`.
struct KernelHeap(Mutex<State>);

#[cfg_attr(panic = "abort", global_allocator)]
static HEAP: KernelHeap = KernelHeap(Mutex::new(State {
    free: [None; CLASSES.len()],
    large: Heap::empty(),
    backed_bytes: 0,
    used_bytes: 0,
}));

/// Backs the heap's first bytes.
///
/// # Errors
/// [`paging::OutOfFrames`] when there is no memory for them.
pub fn init() -> Result<(), paging::OutOfFrames> {
    let mut state = HEAP.0.lock();
    back(0, FIRST_BYTES)?;
    state.backed_bytes = FIRST_BYTES;
    // SAFETY: these bytes were backed just now and are nobody else's.
    unsafe { state.large.init(HEAP_BASE as *mut u8, FIRST_BYTES) };
    Ok(())
}

/// Maps frames at the heap's offsets `from..to`.
fn back(from: usize, to: usize) -> Result<(), paging::OutOfFrames> {
    (from..to)
        .step_by(PAGE_BYTES)
        .try_for_each(|offset| paging::back_heap_page(HEAP_BASE + offset as u64))
}

/// The class that serves `layout`.
fn class_of(layout: Layout) -> Option<usize> {
    let size = if layout.align() <= 16 {
        layout.size()
    } else {
        // Blocks of a power of two are aligned to their size.
        layout.size().max(layout.align()).next_power_of_two()
    };
    (size <= CLASS_BYTES_MAX).then(|| CLASS_BY_SIZE[size.div_ceil(16)] as usize)
}

impl State {
    /// Takes a block of `class`.
    fn take_from_class(&mut self, class: usize) -> *mut u8 {
        if self.free[class].is_none() {
            self.fill_class(class);
        }
        let Some(block) = self.free[class] else {
            return null_mut();
        };
        // SAFETY: listed blocks are free memory of the heap, written by `give_to_class`.
        self.free[class] = unsafe { block.as_ref() }.next;
        block.as_ptr().cast()
    }

    /// Cuts a chunk from the list allocator into blocks of `class`.
    fn fill_class(&mut self, class: usize) {
        let size = usize::from(CLASSES[class]);
        let count = CHUNK_BYTES / size;
        // SAFETY: constants: the size is not zero, the alignment a power of two.
        let layout = unsafe { Layout::from_size_align_unchecked(count * size, PAGE_BYTES) };
        let chunk = self.take_large(layout);
        if chunk.is_null() {
            return;
        }
        for index in (0..count).rev() {
            // SAFETY: the block lies in the chunk, which belongs to this class from now on.
            unsafe { self.give_to_class(class, chunk.add(index * size)) };
        }
    }

    /// Lists a block of `class` as free.
    ///
    /// # Safety
    /// The block is one of `class` and nobody's.
    unsafe fn give_to_class(&mut self, class: usize, block: *mut u8) {
        let Some(block) = NonNull::new(block.cast::<FreeBlock>()) else {
            return;
        };
        // SAFETY: the block is ours; 16 bytes and an alignment of 16 hold a `FreeBlock`.
        unsafe {
            block.write(FreeBlock {
                next: self.free[class],
            })
        };
        self.free[class] = Some(block);
    }

    /// Takes a block from the list allocator, growing the heap when it has none.
    fn take_large(&mut self, layout: Layout) -> *mut u8 {
        if let Ok(block) = self.large.allocate_first_fit(layout) {
            return block.as_ptr();
        }
        let wanted = layout
            .size()
            .saturating_add(layout.align())
            .saturating_add(PAGE_BYTES);
        if !self.grow(wanted) {
            return null_mut();
        }
        self.large
            .allocate_first_fit(layout)
            .map_or(null_mut(), NonNull::as_ptr)
    }

    /// Adds at least `wanted_bytes` to the list allocator, if the frames are there.
    fn grow(&mut self, wanted_bytes: usize) -> bool {
        let Some(exact) = wanted_bytes.checked_next_multiple_of(PAGE_BYTES) else {
            return false;
        };
        [exact.max(GROWTH_BYTES), exact]
            .into_iter()
            .any(|bytes| self.grow_by(bytes))
    }

    /// Adds `bytes` to the list allocator, all or none.
    fn grow_by(&mut self, bytes: usize) -> bool {
        // A page table per 2 MiB comes on top.
        let needed = bytes as u64 + bytes as u64 / 256 + 2 * PAGE_BYTES as u64;
        if needed > frames::free_bytes() {
            return false;
        }
        let end = self.backed_bytes + bytes;
        if back(self.backed_bytes, end).is_err() {
            return false;
        }
        self.backed_bytes = end;
        // SAFETY: the bytes above the heap's end were backed just now.
        unsafe { self.large.extend(bytes) };
        true
    }
}

// SAFETY: blocks are handed out once until they come back, with the size and alignment asked for;
// the lock serialises; no handler that may interrupt its holder allocates (D11).
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut state = self.0.lock();
        let block = match class_of(layout) {
            Some(class) => state.take_from_class(class),
            None => state.take_large(layout),
        };
        if !block.is_null() {
            state.used_bytes += layout.size();
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let mut state = self.0.lock();
        state.used_bytes -= layout.size();
        match class_of(layout) {
            // SAFETY: the caller returns a block of this layout, so it came from this class.
            Some(class) => unsafe { state.give_to_class(class, block) },
            // SAFETY: the caller returns a block of this layout, so the list allocator gave it.
            None => unsafe {
                state
                    .large
                    .deallocate(NonNull::new_unchecked(block), layout)
            },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that the new size makes a valid layout.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if let Some(class) = class_of(layout)
            && class_of(new) == Some(class)
        {
            let mut state = self.0.lock();
            state.used_bytes = state.used_bytes - layout.size() + new_size;
            return block;
        }
        // SAFETY: the layouts are valid, and the blocks differ as the old one is still taken.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Figures of the heap, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapStats {
    /// Taken from the frame allocator so far.
    pub backed_bytes: usize,
    /// Handed out.
    pub used_bytes: usize,
}

/// The heap's figures.
pub fn stats() -> HeapStats {
    let state = HEAP.0.lock();
    HeapStats {
        backed_bytes: state.backed_bytes,
        used_bytes: state.used_bytes,
    }
}
