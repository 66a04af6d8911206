//! Guest memories: reserved ranges whose pages appear, zeroed, on first touch, and are shared with
//! images and clones until they are written (D3).
//!
//! The area is cut into slots of 8 GiB; a range is one slot, so its guard is all that it does not
//! use. The page fault path ([`resolve_fault`]) takes no lock and no heap memory: it walks the
//! tables of one slot ([`tree`]), which only the CPU that runs the instance touches, and takes frames
//! from the lock-free allocator. It serves compiled code and the kernel's own accesses alike: the
//! kernel honours read-only pages too (CR0.WP, set by `boot::entry`).
//!
//! When no frame is left, a few come from an emergency reserve ([`reserve`]), so that the instance
//! stays whole until its slice ends and core stops it (`take_exhausted`). When those are used up too,
//! the pages that it touches or writes further are all one page, the *sink*: the kernel goes on, and
//! what that instance computes no longer matters. Such a memory makes no more images.
//!
//! One CPU runs all instances. With several, a freeze and a clone need no more than this, as long as an
//! instance moves to another CPU only with a flush there.

mod image;
mod reserve;
mod tree;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use sos_engine::{FreezeError, FrozenImage, FrozenMemory, LoadError, RangeOwner};

use super::paging::{
    PRESENT, WRITABLE, entry_pointer, existing_third_level_table, flush, third_level_table,
};
use super::{GUEST_BASE, PAGE_BYTES};
use image::Image;
pub use reserve::init;
use tree::{Height, Loaded, Path, counted, read, share, write};

/// Bytes of a slot.
const SLOT_BYTES: u64 = 8 << 30;
/// Ranges at once: as many as core allows instances, twice.
pub const SLOTS: usize = 2048;
/// Largest range: what a 32-bit memory can address.
const RANGE_BYTES_MAX: u64 = 4 << 30;
/// Bytes that one entry of a third-level table covers.
const DIRECTORY_BYTES: u64 = 1 << 30;
/// Directories of the largest range.
const DIRECTORIES: usize = (RANGE_BYTES_MAX / DIRECTORY_BYTES) as usize;

/// What the fault path knows of a slot.
pub struct Slot {
    /// Pages of the range; 0 when the slot is free.
    pages: AtomicU32,
    /// Pages that are there, shared or not.
    resident: AtomicU32,
    /// A touch found no frame.
    exhausted: AtomicBool,
    /// A touch found not even one of the reserve: the sink stands for something.
    lost: AtomicBool,
}

static SLOT_TABLE: [Slot; SLOTS] = [const {
    Slot {
        pages: AtomicU32::new(0),
        resident: AtomicU32::new(0),
        exhausted: AtomicBool::new(false),
        lost: AtomicBool::new(false),
    }
}; SLOTS];
/// Where the search for a free slot begins.
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

/// Pages of all guest memories and their images, each once, in bytes.
pub fn resident_bytes() -> u64 {
    tree::page_count() * PAGE_BYTES as u64
}

/// A reserved range; dropping it gives everything back that no image and no clone holds.
#[derive(Debug)]
pub struct GuestRange {
    slot: usize,
    bytes: usize,
}

/// Reserves a range for `maximum_bytes`; none when they are too many, or no slot is free.
pub fn reserve(maximum_bytes: u64) -> Option<GuestRange> {
    let bytes = maximum_bytes
        .max(1)
        .checked_next_multiple_of(PAGE_BYTES as u64)?;
    if bytes > RANGE_BYTES_MAX {
        return None;
    }
    let start = NEXT_SLOT.load(Ordering::Relaxed);
    let pages = (bytes / PAGE_BYTES as u64) as u32;
    let slot = (0..SLOTS)
        .map(|step| (start + step) % SLOTS)
        .find(|&slot| {
            let free = &SLOT_TABLE[slot].pages;
            free.compare_exchange(0, pages, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })?;
    NEXT_SLOT.store((slot + 1) % SLOTS, Ordering::Relaxed);
    if third_level_table(slot_base(slot)).is_err() {
        SLOT_TABLE[slot].pages.store(0, Ordering::Release);
        return None;
    }
    Some(GuestRange {
        slot,
        bytes: bytes as usize,
    })
}

/// Reserves a range for `maximum_bytes` that begins as `frozen`; none when there is none, or `frozen`
/// is not an image of this machine, or larger.
pub fn map_frozen(frozen: &FrozenMemory, maximum_bytes: u64) -> Option<GuestRange> {
    let image: &Image = frozen.image()?;
    if maximum_bytes < image.reserved_bytes as u64 {
        return None;
    }
    let range = reserve(maximum_bytes)?;
    for (place, directory) in image.directories() {
        share(directory);
        // SAFETY: the slot was taken just now, so its entries are empty and its own; the image has the
        // directory, and `share` made this entry a holder too.
        unsafe { write(range.entry(place), directory.address() | PRESENT) };
    }
    let resident = &SLOT_TABLE[range.slot].resident;
    resident.store(image.pages, Ordering::Relaxed);
    Some(range)
}

fn slot_base(slot: usize) -> u64 {
    GUEST_BASE + slot as u64 * SLOT_BYTES
}

impl GuestRange {
    fn slot(&self) -> &'static Slot {
        &SLOT_TABLE[self.slot]
    }

    /// The entry for directory `place`.
    fn entry(&self, place: usize) -> *mut u64 {
        let address = slot_base(self.slot) + place as u64 * DIRECTORY_BYTES;
        entry_pointer(existing_third_level_table(address), address, 3)
    }

    /// The entries of all directories that it can have.
    fn entries(&self) -> impl Iterator<Item = (usize, *mut u64)> + '_ {
        let count = (self.bytes as u64).div_ceil(DIRECTORY_BYTES) as usize;
        (0..count).map(|place| (place, self.entry(place)))
    }
}

// SAFETY: the slot belongs to this value alone until it is dropped, so the range is stable; every
// page of it appears zeroed when it is touched, or is copied when it is shared and written
// (`resolve_fault`), and nothing else uses it. An image holds its pages itself (`tree`), and what
// changes a page is always its only holder.
unsafe impl RangeOwner for GuestRange {
    fn base(&self) -> *mut u8 {
        slot_base(self.slot) as *mut u8
    }

    fn len(&self) -> usize {
        self.bytes
    }

    fn resident_bytes(&self) -> usize {
        self.slot().resident.load(Ordering::Relaxed) as usize * PAGE_BYTES
    }

    fn take_exhausted(&self) -> bool {
        let exhausted = &self.slot().exhausted;
        exhausted.load(Ordering::Relaxed) && exhausted.swap(false, Ordering::Relaxed)
    }

    fn freeze(&mut self, _size_bytes: usize) -> Result<Arc<dyn FrozenImage>, FreezeError> {
        if self.slot().lost.load(Ordering::Relaxed) {
            return Err(FreezeError::Lost);
        }
        let mut image = Image {
            directories: [0; DIRECTORIES],
            pages: self.slot().resident.load(Ordering::Relaxed),
            reserved_bytes: self.bytes,
        };
        for (place, entry) in self.entries() {
            let value = read(entry);
            if let Some(directory) = counted(value, Height::Directory) {
                share(directory);
                image.directories[place] = value;
                // SAFETY: the entry is this range's and goes on holding what it names.
                unsafe { write(entry, value & !WRITABLE) };
            }
        }
        // Before the next write, which has to fault.
        flush();
        Ok(Arc::new(image))
    }

    fn load_page(&mut self, index: usize, bytes: &[u8; PAGE_BYTES]) -> Result<(), LoadError> {
        assert!(index < self.bytes / PAGE_BYTES, "page beyond its memory");
        let path = path(self.slot, index as u64);
        let loaded = path.load(bytes);
        if loaded == Loaded::Present {
            // SAFETY: the page lies in the range, and `&mut self` makes this the only access.
            unsafe { (path.address as *mut [u8; PAGE_BYTES]).write(*bytes) };
        }
        // A frame of the reserve is for running instances.
        if loaded == Loaded::OutOfFrames || self.take_exhausted() {
            return Err(LoadError::OutOfMemory);
        }
        Ok(())
    }
}

impl Drop for GuestRange {
    fn drop(&mut self) {
        let slot = self.slot();
        let mut directories = [None; DIRECTORIES];
        for (place, entry) in self.entries() {
            directories[place] = counted(read(entry), Height::Directory);
            // SAFETY: the entry is this range's, which nobody uses any more; its hold ends below.
            unsafe { write(entry, 0) };
        }
        // Before any frame can be used again.
        flush();
        for directory in directories.into_iter().flatten() {
            // SAFETY: the entry held it, and its translations are forgotten.
            unsafe { tree::release(directory, Height::Directory) };
        }
        slot.resident.store(0, Ordering::Relaxed);
        slot.exhausted.store(false, Ordering::Relaxed);
        slot.lost.store(false, Ordering::Relaxed);
        slot.pages.store(0, Ordering::Release);
        reserve::refill();
    }
}

/// The way to page `index` of the range in `slot`, which has it.
fn path(slot: usize, index: u64) -> Path<'static> {
    let address = slot_base(slot) + index * PAGE_BYTES as u64;
    let slot = &SLOT_TABLE[slot];
    Path {
        // It is there since the slot was reserved; no lock is taken to find it.
        upper: existing_third_level_table(address),
        address,
        pages_left: u64::from(slot.pages.load(Ordering::Relaxed)) - index,
        slot,
    }
}

/// Serves a touch of a page that is not there, or a write to one that is shared: whether `address`
/// lies in a guest memory.
///
/// Called by the page fault's entry, with interrupts off.
pub fn resolve_fault(address: u64) -> bool {
    let Some(offset) = address.checked_sub(GUEST_BASE) else {
        return false;
    };
    let slot = (offset / SLOT_BYTES) as usize;
    let page = (offset % SLOT_BYTES) / PAGE_BYTES as u64;
    let pages = SLOT_TABLE.get(slot).map(|slot| &slot.pages);
    if pages.is_none_or(|pages| page >= u64::from(pages.load(Ordering::Relaxed))) {
        return false;
    }
    path(slot, page).make_own();
    true
}
