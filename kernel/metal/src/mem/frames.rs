//! The allocator of physical frames: lock-free and O(1).
//!
//! Memory that was never used is handed out from *extents*, one counter each. Frames that come back
//! go on a free list that lives in the frames themselves, seen through the direct map. So the page
//! fault path can take a frame at any moment, and a machine of 8 GiB starts as fast as one of
//! 64 MiB.
//!
//! Each extent begins with a count for each of its frames (a thousandth of the memory, written only
//! when it is used): how many hold a frame that guest memories share.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::{PAGE_BYTES, direct_map};
use crate::boot::pvh::{BootInfo, MEMORY_RANGES_MAX, MemoryKind};

/// A frame of physical memory that its holder owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(u32);

impl Frame {
    /// The frame that holds physical `address`.
    pub const fn containing(address: u64) -> Self {
        Self((address / PAGE_BYTES as u64) as u32)
    }

    /// Its physical address.
    pub const fn address(self) -> u64 {
        self.0 as u64 * PAGE_BYTES as u64
    }

    /// Where the direct map shows it.
    pub fn pointer(self) -> *mut u8 {
        direct_map(self.address())
    }
}

/// Lowest address handed out: below it lie the real-mode vectors, the BIOS data area and what a
/// start of further processors needs.
const LOWEST_ADDRESS: u64 = 0x10000;
/// Bits of the free list's head that hold the frame number; the others count changes, so that a
/// head that went and came back is not mistaken for an unchanged one.
const NUMBER_BITS: u32 = 32;
/// The frame number that ends the free list.
const NOTHING: u32 = 0;

/// Memory whose frames from `next` to `end` (numbers) were never handed out.
struct Extent {
    /// The first one, where the counts begin: one for each frame from this one on.
    first: AtomicU32,
    next: AtomicU32,
    end: AtomicU32,
}

/// Extents: one per usable range, plus two for each hole cut into them.
const EXTENTS_MAX: usize = MEMORY_RANGES_MAX + 8;

static EXTENTS: [Extent; EXTENTS_MAX] = [const {
    Extent {
        first: AtomicU32::new(0),
        next: AtomicU32::new(0),
        end: AtomicU32::new(0),
    }
}; EXTENTS_MAX];
static EXTENT_COUNT: AtomicUsize = AtomicUsize::new(0);
static FREE_LIST: AtomicU64 = AtomicU64::new(NOTHING as u64);
static FREE_LIST_LENGTH: AtomicUsize = AtomicUsize::new(0);
static TOTAL_BYTES: AtomicU64 = AtomicU64::new(0);

/// Hands the usable memory of `info` to the allocator, without the `taken` ranges (bytes).
pub fn init(info: &BootInfo, taken: &[(u64, u64)]) {
    let mut total_bytes = 0;
    for range in info
        .memory()
        .iter()
        .filter(|range| range.kind == MemoryKind::Usable)
    {
        total_bytes += range.end - range.start;
        add_without(range.start.max(LOWEST_ADDRESS), range.end, taken);
    }
    TOTAL_BYTES.store(total_bytes, Ordering::Relaxed);
}

/// Adds `start..end` without the `taken` ranges.
fn add_without(start: u64, end: u64, taken: &[(u64, u64)]) {
    let Some((&(hole_start, hole_end), rest)) = taken.split_first() else {
        add(start, end);
        return;
    };
    if hole_end <= start || hole_start >= end {
        add_without(start, end, rest);
    } else {
        add_without(start, hole_start, rest);
        add_without(hole_end, end, rest);
    }
}

/// Adds the whole frames of `start..end` as an extent, of which the counts take some.
pub fn add(start: u64, end: u64) {
    let first = start.div_ceil(PAGE_BYTES as u64);
    let last = (end / PAGE_BYTES as u64).min(u64::from(u32::MAX));
    let index = EXTENT_COUNT.load(Ordering::Relaxed);
    if first >= last || index >= EXTENTS_MAX {
        return;
    }
    let count_bytes = (last - first) * size_of::<AtomicU32>() as u64;
    let next = first + count_bytes.div_ceil(PAGE_BYTES as u64);
    EXTENTS[index].first.store(first as u32, Ordering::Relaxed);
    EXTENTS[index].next.store(next as u32, Ordering::Relaxed);
    EXTENTS[index].end.store(last as u32, Ordering::Relaxed);
    EXTENT_COUNT.store(index + 1, Ordering::Release);
}

/// Takes a frame with unknown contents. Never blocks; any handler may call it.
pub fn take() -> Option<Frame> {
    take_from_list().or_else(|| take_run(1))
}

/// Takes `count` frames in a row with unknown contents, as devices want them.
///
/// Only memory that was never used can give them, so this is for start-up.
pub fn take_run(count: u32) -> Option<Frame> {
    let extents = &EXTENTS[..EXTENT_COUNT.load(Ordering::Acquire)];
    extents.iter().find_map(|extent| {
        let end = extent.end.load(Ordering::Relaxed);
        let advance = |next: u32| next.checked_add(count).filter(|&after| after <= end);
        let taken = extent
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
        taken.ok().map(Frame)
    })
}

/// The count of `frame`, which came from this allocator and has not been given back. Its first holder
/// sets it; until then it is anything.
pub fn holders(frame: Frame) -> &'static AtomicU32 {
    let extents = &EXTENTS[..EXTENT_COUNT.load(Ordering::Acquire)];
    let found = extents.iter().find_map(|extent| {
        let first = extent.first.load(Ordering::Relaxed);
        let inside = (first..extent.end.load(Ordering::Relaxed)).contains(&frame.0);
        inside.then(|| (Frame(first), (frame.0 - first) as usize))
    });
    let (counts, index) = found.expect("a frame that no extent has");
    // SAFETY: `add` kept the frames from `counts` on for one count for each frame of the extent; they
    // are RAM, which the direct map shows for ever, and only atomics reach them.
    unsafe { AtomicU32::from_ptr(counts.pointer().cast::<u32>().add(index)) }
}

/// Takes a frame off the free list.
fn take_from_list() -> Option<Frame> {
    let mut head = FREE_LIST.load(Ordering::Acquire);
    loop {
        let number = head as u32;
        if number == NOTHING {
            return None;
        }
        let frame = Frame(number);
        // SAFETY: listed frames are RAM, so the direct map shows this one for ever. If another
        // processor takes it meanwhile the value is stale, and the exchange below fails.
        let next = unsafe { AtomicU32::from_ptr(frame.pointer().cast()) }.load(Ordering::Relaxed);
        let new = changed(head, next);
        match FREE_LIST.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                FREE_LIST_LENGTH.fetch_sub(1, Ordering::Relaxed);
                return Some(frame);
            }
            Err(current) => head = current,
        }
    }
}

/// Gives a frame back.
///
/// # Safety
/// `frame` came from this allocator, nothing refers to it any more, and no page table maps it but
/// the direct map.
pub unsafe fn give_back(frame: Frame) {
    let mut head = FREE_LIST.load(Ordering::Acquire);
    FREE_LIST_LENGTH.fetch_add(1, Ordering::Relaxed);
    loop {
        // SAFETY: the caller hands over the frame, and the direct map shows it.
        unsafe { AtomicU32::from_ptr(frame.pointer().cast()) }
            .store(head as u32, Ordering::Relaxed);
        let new = changed(head, frame.0);
        match FREE_LIST.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(current) => head = current,
        }
    }
}

/// The list's head with another first frame and the next change count.
fn changed(head: u64, number: u32) -> u64 {
    ((head >> NUMBER_BITS).wrapping_add(1) << NUMBER_BITS) | u64::from(number)
}

/// Takes a frame of zeros.
pub fn take_zeroed() -> Option<Frame> {
    let frame = take()?;
    // SAFETY: the frame is ours and the direct map shows it.
    unsafe { zero(frame.pointer()) };
    Some(frame)
}

/// Zeroes a page. Wide stores: QEMU's emulation runs `rep stosq` several times slower.
///
/// # Safety
/// `page` is page-aligned, writable and nobody else's.
pub unsafe fn zero(page: *mut u8) {
    // SAFETY: the loop writes exactly the page that the caller hands over; it changes only what
    // is declared.
    unsafe {
        core::arch::asm!(
            "xorps {zero}, {zero}",
            "2:",
            "movaps [{at}], {zero}",
            "movaps [{at} + 16], {zero}",
            "movaps [{at} + 32], {zero}",
            "movaps [{at} + 48], {zero}",
            "add {at}, 64",
            "cmp {at}, {end}",
            "jne 2b",
            zero = out(xmm_reg) _,
            at = inout(reg) page => _,
            end = in(reg) page.wrapping_add(PAGE_BYTES),
            options(nostack),
        );
    }
}

/// All memory that the firmware gave, in bytes.
pub fn total_bytes() -> u64 {
    TOTAL_BYTES.load(Ordering::Relaxed)
}

/// Memory in frames that nobody uses, in bytes.
pub fn free_bytes() -> u64 {
    let extents = &EXTENTS[..EXTENT_COUNT.load(Ordering::Acquire)];
    let unused = |extent: &Extent| {
        u64::from(extent.end.load(Ordering::Relaxed) - extent.next.load(Ordering::Relaxed))
    };
    let frames =
        extents.iter().map(unused).sum::<u64>() + FREE_LIST_LENGTH.load(Ordering::Relaxed) as u64;
    frames * PAGE_BYTES as u64
}
