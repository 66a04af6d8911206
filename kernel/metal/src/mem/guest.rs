//! Guest memories: reserved ranges whose pages appear, zeroed, on first touch (D3).
//!
//! The area is cut into slots of 8 GiB; a range is one slot, so its guard is all that it does not
//! use. The page fault path ([`resolve_fault`]) takes no lock and no heap memory: it walks the
//! tables of one slot, which only the CPU that runs the instance touches, and takes frames from the
//! lock-free allocator.
//!
//! When no frame is left, a few come from an emergency reserve, so that the instance stays whole
//! until its slice ends and core stops it (`take_exhausted`). When those are used up too, its
//! further pages are all one page, the *sink*: the kernel goes on, and what that instance computes
//! no longer matters.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use alloc::sync::Arc;

use sos_engine::{FreezeError, FrozenImage, RangeOwner};

use super::frames::{self, Frame};
use super::paging::{
    ADDRESS_MASK, NO_EXECUTE, OutOfFrames, PRESENT, WRITABLE, entry_pointer, flush,
    third_level_table,
};
use super::{GUEST_BASE, PAGE_BYTES};

/// Bytes of a slot.
const SLOT_BYTES: u64 = 8 << 30;
/// Ranges at once: as many as core allows instances, twice.
const SLOTS: usize = 2048;
/// Largest range: what a 32-bit memory can address.
const RANGE_BYTES_MAX: u64 = 4 << 30;
/// Bytes that one entry of a third-level table covers.
const DIRECTORY_BYTES: u64 = 1 << 30;
/// Entries of a table.
const ENTRIES: u64 = 512;
/// Frames kept for faults that find no other.
const EMERGENCY_FRAMES: usize = 32;
/// Pages mapped at once where an instance touches page after page.
const RUN_PAGES: u64 = 8;
/// Rights of a guest's page.
const PAGE_FLAGS: u64 = PRESENT | WRITABLE | NO_EXECUTE;
/// Rights in the entries above it.
const TABLE_FLAGS: u64 = PRESENT | WRITABLE;

/// What the fault path knows of a slot.
struct Slot {
    /// Pages of the range; 0 when the slot is free.
    pages: AtomicU32,
    /// Pages that are there.
    resident: AtomicU32,
    /// A touch found no frame.
    exhausted: AtomicBool,
}

static SLOT_TABLE: [Slot; SLOTS] = [const {
    Slot {
        pages: AtomicU32::new(0),
        resident: AtomicU32::new(0),
        exhausted: AtomicBool::new(false),
    }
}; SLOTS];
/// Where the search for a free slot begins.
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);
/// Pages that are there, of all ranges.
static RESIDENT: AtomicU64 = AtomicU64::new(0);

/// Addresses of the reserve's frames; zero where one was taken.
static EMERGENCY: [AtomicU64; EMERGENCY_FRAMES] = [const { AtomicU64::new(0) }; EMERGENCY_FRAMES];

/// The sink page, a table full of it, and a directory full of that table.
struct Sink {
    page: AtomicU64,
    table: AtomicU64,
    directory: AtomicU64,
}

static SINK: Sink = Sink {
    page: AtomicU64::new(0),
    table: AtomicU64::new(0),
    directory: AtomicU64::new(0),
};

/// Fills the emergency reserve and makes the sink.
///
/// # Errors
/// [`OutOfFrames`] when the machine is too small for them.
pub fn init() -> Result<(), OutOfFrames> {
    let page = frames::take_zeroed().ok_or(OutOfFrames)?;
    let table = full_table(page.address() | PAGE_FLAGS)?;
    let directory = full_table(table.address() | TABLE_FLAGS)?;
    SINK.page.store(page.address(), Ordering::Relaxed);
    SINK.table.store(table.address(), Ordering::Relaxed);
    SINK.directory.store(directory.address(), Ordering::Relaxed);
    refill_emergency();
    Ok(())
}

/// A new table with `entry` everywhere.
fn full_table(entry: u64) -> Result<Frame, OutOfFrames> {
    let table = frames::take().ok_or(OutOfFrames)?;
    for index in 0..ENTRIES as usize {
        // SAFETY: the frame is ours, and holds this many entries.
        unsafe { table.pointer().cast::<u64>().add(index).write(entry) };
    }
    Ok(table)
}

/// Brings the emergency reserve to its full size, as far as there are frames.
fn refill_emergency() {
    for place in EMERGENCY
        .iter()
        .filter(|place| place.load(Ordering::Relaxed) == 0)
    {
        let Some(frame) = frames::take() else { return };
        place.store(frame.address(), Ordering::Relaxed);
    }
}

/// Takes a frame from the emergency reserve.
fn take_emergency() -> Option<Frame> {
    EMERGENCY.iter().find_map(|place| {
        let address = place.swap(0, Ordering::Relaxed);
        (address != 0).then(|| Frame::containing(address))
    })
}

/// Pages of all guest memories that are there, in bytes.
pub fn resident_bytes() -> u64 {
    RESIDENT.load(Ordering::Relaxed) * PAGE_BYTES as u64
}

/// A reserved range; dropping it gives everything back.
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
    let range = GuestRange {
        slot,
        bytes: bytes as usize,
    };
    third_level_table(slot_base(slot)).ok()?;
    Some(range)
}

fn slot_base(slot: usize) -> u64 {
    GUEST_BASE + slot as u64 * SLOT_BYTES
}

// SAFETY: the slot belongs to this value alone until it is dropped, so the range is stable; every
// page of it appears zeroed when it is touched (`resolve_fault`), and nothing else uses it.
unsafe impl RangeOwner for GuestRange {
    fn base(&self) -> *mut u8 {
        slot_base(self.slot) as *mut u8
    }

    fn len(&self) -> usize {
        self.bytes
    }

    fn resident_bytes(&self) -> usize {
        SLOT_TABLE[self.slot].resident.load(Ordering::Relaxed) as usize * PAGE_BYTES
    }

    fn take_exhausted(&self) -> bool {
        let exhausted = &SLOT_TABLE[self.slot].exhausted;
        exhausted.load(Ordering::Relaxed) && exhausted.swap(false, Ordering::Relaxed)
    }

    fn freeze(&mut self, _size_bytes: usize) -> Result<Arc<dyn FrozenImage>, FreezeError> {
        Err(FreezeError::OutOfMemory)
    }
}

impl Drop for GuestRange {
    fn drop(&mut self) {
        let slot = &SLOT_TABLE[self.slot];
        let base = slot_base(self.slot);
        // The frame exists since `reserve` made it, unless that failed: then nothing is mapped.
        if let Ok(upper) = third_level_table(base) {
            release(upper, base, self.bytes as u64);
        }
        let resident = slot.resident.swap(0, Ordering::Relaxed);
        RESIDENT.fetch_sub(u64::from(resident), Ordering::Relaxed);
        slot.exhausted.store(false, Ordering::Relaxed);
        slot.pages.store(0, Ordering::Release);
        refill_emergency();
    }
}

/// Unmaps `bytes` from `base` on and gives their frames and tables back.
fn release(upper: Frame, base: u64, bytes: u64) {
    let mut directories = [None; (RANGE_BYTES_MAX / DIRECTORY_BYTES) as usize];
    for (index, directory) in directories.iter_mut().enumerate() {
        let offset = index as u64 * DIRECTORY_BYTES;
        if offset < bytes {
            let entry = entry_pointer(upper, base + offset, 3);
            // SAFETY: the entry belongs to this slot, which nobody else changes.
            *directory = unsafe { named(entry.read_volatile(), &SINK.directory) };
            // SAFETY: as above; whatever used the range is gone.
            unsafe { entry.write_volatile(0) };
        }
    }
    if directories.iter().all(Option::is_none) {
        return;
    }
    // Before any frame can be used again.
    flush();
    for directory in directories.into_iter().flatten() {
        for_each(directory, &SINK.table, |table| {
            for_each(table, &SINK.page, |page| {
                // SAFETY: the page was this range's alone, and is unmapped.
                unsafe { frames::give_back(page) };
            });
            // SAFETY: the table was this range's alone, and is unlinked.
            unsafe { frames::give_back(table) };
        });
        // SAFETY: as above.
        unsafe { frames::give_back(directory) };
    }
}

/// The frame that `entry` names, if it is there and not the sink's.
fn named(entry: u64, sink: &AtomicU64) -> Option<Frame> {
    let address = entry & ADDRESS_MASK;
    (entry & PRESENT != 0 && address != sink.load(Ordering::Relaxed))
        .then(|| Frame::containing(address))
}

/// Calls `with` for each frame that `table` names but `sink`.
fn for_each(table: Frame, sink: &AtomicU64, mut with: impl FnMut(Frame)) {
    for index in 0..ENTRIES as usize {
        // SAFETY: the table is unlinked and ours, and holds this many entries.
        let entry = unsafe { table.pointer().cast::<u64>().add(index).read() };
        if let Some(frame) = named(entry, sink) {
            with(frame);
        }
    }
}

/// Serves a touch of a page that is not there: whether `address` lies in a guest memory.
///
/// Called by the page fault's entry, with interrupts off.
pub fn resolve_fault(address: u64) -> bool {
    let Some(offset) = address.checked_sub(GUEST_BASE) else {
        return false;
    };
    let Some(slot) = SLOT_TABLE.get((offset / SLOT_BYTES) as usize) else {
        return false;
    };
    let page = (offset % SLOT_BYTES) / PAGE_BYTES as u64;
    let pages = u64::from(slot.pages.load(Ordering::Relaxed));
    if page >= pages {
        return false;
    }
    // The third-level table is there since the slot was reserved; no lock is taken to find it.
    let upper = super::paging::existing_third_level_table(address);
    let Some(directory) = descend(entry_pointer(upper, address, 3), slot, &SINK.directory) else {
        return true;
    };
    let Some(table) = descend(entry_pointer(directory, address, 2), slot, &SINK.table) else {
        return true;
    };
    let entry = entry_pointer(table, address, 1);
    map_page(entry, slot);
    let index = page % ENTRIES;
    // SAFETY: index 0 has no entry before it; the others stay in the table.
    if index > 0 && unsafe { entry.sub(1).read_volatile() } & PRESENT != 0 {
        let run = (RUN_PAGES - 1)
            .min(ENTRIES - 1 - index)
            .min(pages - 1 - page);
        map_run(entry, run as usize, slot);
    }
    true
}

/// The table that `entry` names, made when there is none; nothing when the sink took its place.
fn descend(entry: *mut u64, slot: &Slot, sink: &AtomicU64) -> Option<Frame> {
    // SAFETY: the entry is one of this slot's, which only the running CPU changes.
    let value = unsafe { entry.read_volatile() };
    if value & PRESENT != 0 {
        return Some(Frame::containing(value & ADDRESS_MASK));
    }
    let table = take_or_exhaust(slot);
    let address = table.map_or(sink.load(Ordering::Relaxed), Frame::address);
    // SAFETY: as above; a new table is empty, the sink's is complete.
    unsafe { entry.write_volatile(address | TABLE_FLAGS) };
    table
}

/// Maps a zeroed frame, or the sink.
fn map_page(entry: *mut u64, slot: &Slot) {
    let address = match take_or_exhaust(slot) {
        Some(frame) => {
            count(slot, 1);
            frame.address()
        }
        None => SINK.page.load(Ordering::Relaxed),
    };
    // SAFETY: the entry is one of this slot's, and was not present.
    unsafe { entry.write_volatile(address | PAGE_FLAGS) };
}

/// Maps up to `run` more pages behind `entry`, while they are absent and frames are plenty.
fn map_run(entry: *mut u64, run: usize, slot: &Slot) {
    for step in 1..=run {
        let entry = entry.wrapping_add(step);
        // SAFETY: the caller keeps the run inside the table.
        if unsafe { entry.read_volatile() } & PRESENT != 0 {
            return;
        }
        let Some(frame) = frames::take_zeroed() else {
            return;
        };
        count(slot, 1);
        // SAFETY: as above; the entry was not present.
        unsafe { entry.write_volatile(frame.address() | PAGE_FLAGS) };
    }
}

fn count(slot: &Slot, pages: u32) {
    slot.resident.fetch_add(pages, Ordering::Relaxed);
    RESIDENT.fetch_add(u64::from(pages), Ordering::Relaxed);
}

/// A zeroed frame; else one of the reserve, and the slot is marked; else none, and the sink page
/// is cleared for its next reader.
fn take_or_exhaust(slot: &Slot) -> Option<Frame> {
    if let Some(frame) = frames::take_zeroed() {
        return Some(frame);
    }
    slot.exhausted.store(true, Ordering::Relaxed);
    let frame = take_emergency();
    let page = frame.unwrap_or_else(|| Frame::containing(SINK.page.load(Ordering::Relaxed)));
    // SAFETY: a reserved frame is ours; the sink belongs to whoever runs out of memory just now.
    unsafe { frames::zero(page.pointer()) };
    frame
}
