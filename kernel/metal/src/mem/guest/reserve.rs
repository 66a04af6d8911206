//! Frames for guest memories: their supply, the emergency reserve, and the sink.

use core::sync::atomic::{AtomicU64, Ordering};

use super::super::PAGE_BYTES;
use super::super::frames::{self, Frame};
use super::super::paging::OutOfFrames;
use super::Slot;
use super::tree::{ENTRIES, Height, PAGE_FLAGS, TABLE_FLAGS};

/// Frames kept for faults that find no other.
const EMERGENCY_FRAMES: usize = 32;

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

/// What a frame is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// It shall be zero.
    Zero,
    /// It is overwritten at once.
    Any,
}

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
    refill();
    Ok(())
}

/// A new table with `entry` everywhere.
fn full_table(entry: u64) -> Result<Frame, OutOfFrames> {
    let table = frames::take().ok_or(OutOfFrames)?;
    for index in 0..ENTRIES {
        // SAFETY: the frame is ours, and holds this many entries.
        unsafe { table.pointer().cast::<u64>().add(index).write(entry) };
    }
    Ok(table)
}

/// Brings the emergency reserve to its full size, as far as there are frames.
pub fn refill() {
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

/// The sink that stands for a node of this height.
pub fn sink(height: Height) -> Frame {
    let place = match height {
        Height::Page => &SINK.page,
        Height::Table => &SINK.table,
        Height::Directory => &SINK.directory,
    };
    Frame::containing(place.load(Ordering::Relaxed))
}

/// A frame that has one holder, of those that are plenty.
pub fn take(contents: Contents) -> Option<Frame> {
    let frame = match contents {
        Contents::Zero => frames::take_zeroed(),
        Contents::Any => frames::take(),
    }?;
    frames::holders(frame).store(1, Ordering::Relaxed);
    Some(frame)
}

/// A frame that has one holder; else one of the reserve, and the slot is marked; else none, the slot
/// is marked as having lost bytes, and the sink page is cleared for its next reader.
pub fn take_or_exhaust(contents: Contents, slot: &Slot) -> Option<Frame> {
    if let Some(frame) = take(contents) {
        return Some(frame);
    }
    slot.exhausted.store(true, Ordering::Relaxed);
    let Some(frame) = take_emergency() else {
        slot.lost.store(true, Ordering::Relaxed);
        // SAFETY: the sink belongs to whoever runs out of memory just now.
        unsafe { frames::zero(sink(Height::Page).pointer()) };
        return None;
    };
    frames::holders(frame).store(1, Ordering::Relaxed);
    if contents == Contents::Zero {
        // SAFETY: the frame is ours, and PAGE_BYTES long.
        unsafe { frames::zero(frame.pointer()) };
    }
    Some(frame)
}

/// Copies a page or a table.
///
/// # Safety
/// Both are frames of RAM, and nobody else knows `to`.
pub unsafe fn copy(from: Frame, to: Frame) {
    // SAFETY: the direct map shows both; frames do not overlap.
    unsafe {
        to.pointer()
            .copy_from_nonoverlapping(from.pointer(), PAGE_BYTES)
    };
}
