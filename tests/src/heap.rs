//! What the kernel's code allocates in a simulated node: an allocator that counts for each thread.
//!
//! A test program makes it its own: `#[global_allocator] static HEAP: CountingHeap = CountingHeap;`. A simulated
//! node runs in its test's thread, so that tests that run beside each other do not count each other's bytes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
#[derive(Debug)]
pub struct CountingHeap;

/// Counts bytes that came, or went. A thread that is ending is not counted any more.
fn count(bytes: i64) {
    let _ = LIVE_BYTES.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK_BYTES.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is the system allocator's own; counting touches two cells without a destructor, which
// allocate nothing.
unsafe impl GlobalAlloc for CountingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller keeps the promises of `GlobalAlloc::dealloc`; the block is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // While it moves, both exist.
        count(new_size as i64);
        count(-(layout.size() as i64));
        // SAFETY: the caller keeps the promises of `GlobalAlloc::realloc`; the block is the system allocator's.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Bytes that this thread allocated and did not give back.
pub fn live_bytes() -> i64 {
    LIVE_BYTES.get()
}

/// The most bytes beyond those of now that were there while `act` ran.
pub fn peak_bytes(act: impl FnOnce()) -> i64 {
    let before = live_bytes();
    PEAK_BYTES.set(before);
    act();
    PEAK_BYTES.get() - before
}
