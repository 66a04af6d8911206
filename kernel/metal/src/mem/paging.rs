//! The kernel's page tables: built once from the memory map, then only added to.
//!
//! Invariants: no page is writable and executable, the direct map's second view of the image
//! included; guard pages below stacks are unmapped; the tables are 4 levels deep. Guest memories
//! have their own code in `mem::guest`, which writes below the third level only.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

use super::frames::{self, Frame};
use super::{DEVICE_BASE, DIRECT_MAP_BASE, DIRECT_MAP_BYTES, PAGE_BYTES, direct_map};
use crate::boot::pvh::{BootInfo, MemoryKind, MemoryRange};
use crate::cpu::stacks;

/// Entry bits (Intel SDM volume 3, tables 4-15 to 4-20).
pub const PRESENT: u64 = 1;
/// The page may be written.
pub const WRITABLE: u64 = 1 << 1;
/// Write-through and no caching: what device registers need.
const UNCACHED: u64 = 1 << 3 | 1 << 4;
/// The entry maps a large page instead of naming a table.
const LARGE: u64 = 1 << 7;
/// The page holds no code.
pub const NO_EXECUTE: u64 = 1 << 63;
/// The bits of an entry that hold a physical address.
pub const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

const LARGE_BYTES: u64 = 2 << 20;
const HUGE_BYTES: u64 = 1 << 30;

/// Serialises changes of the kernel's own mappings (heap, devices).
static CHANGES: Mutex<DeviceArea> = Mutex::new(DeviceArea { next: DEVICE_BASE });
/// Physical address of the top table.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// The area for device registers: handed out upwards, never returned.
struct DeviceArea {
    next: u64,
}

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __image_end: u8;
}

/// First and last (exclusive) address of the image's parts, as the linker script names them.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Code.
    pub text: (u64, u64),
    /// Constants.
    pub rodata: (u64, u64),
    /// Variables, up to the end of the image.
    pub data: (u64, u64),
}

/// The image's parts.
pub fn image() -> Image {
    Image {
        text: (
            &raw const __image_start as u64,
            &raw const __text_end as u64,
        ),
        rodata: (
            &raw const __rodata_start as u64,
            &raw const __rodata_end as u64,
        ),
        data: (
            &raw const __data_start as u64,
            &raw const __image_end as u64,
        ),
    }
}

/// No frame was left for a page table or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFrames;

/// How memory outside of RAM is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// As RAM: firmware tables.
    Cached,
    /// Each access reaches the device.
    Uncached,
}

/// Builds the kernel's tables and switches to them.
///
/// # Safety
/// Called once, on the boot tables, before anything else uses virtual addresses that those do not
/// have; `frames` holds memory of the first GiB.
///
/// # Errors
/// [`OutOfFrames`] when the tables do not fit.
pub unsafe fn init(info: &BootInfo) -> Result<(), OutOfFrames> {
    let root = frames::take_zeroed().ok_or(OutOfFrames)?;
    let image = image();
    for (range, flags) in [
        (image.text, PRESENT),
        (image.rodata, PRESENT | NO_EXECUTE),
        (image.data, PRESENT | WRITABLE | NO_EXECUTE),
    ] {
        map_image(root, range, flags)?;
    }
    let first_mebibyte = MemoryRange {
        start: 0,
        end: 1 << 20,
        kind: MemoryKind::Reserved,
    };
    map_direct(root, &first_mebibyte)?;
    let shown = |range: &&MemoryRange| range.kind != MemoryKind::Reserved;
    for range in info.memory().iter().filter(shown) {
        map_direct(root, range)?;
    }
    protect_image_in_direct_map(root, &image)?;
    ROOT.store(root.address(), Ordering::Relaxed);
    // SAFETY: the new tables map the running code, its data, its stack and the direct map at the
    // same addresses as the boot tables.
    unsafe {
        let root = PhysFrame::from_start_address_unchecked(PhysAddr::new(root.address()));
        Cr3::write(root, Cr3Flags::empty());
    }
    Ok(())
}

/// Maps a part of the image at its own address, without the guard pages.
fn map_image(root: Frame, (start, end): (u64, u64), flags: u64) -> Result<(), OutOfFrames> {
    let guards = stacks::guard_pages();
    for page in (start..end).step_by(PAGE_BYTES) {
        if !guards.iter().any(|&(guard, _)| guard == page) {
            set(root, page, Level::Page, page | flags)?;
        }
    }
    Ok(())
}

/// Shows `range` in the direct map, by 1 GiB pages where whole ones fit, else by 2 MiB pages that
/// may reach beyond it.
fn map_direct(root: Frame, range: &MemoryRange) -> Result<(), OutOfFrames> {
    const FLAGS: u64 = PRESENT | WRITABLE | NO_EXECUTE | LARGE;
    let huge_pages = crate::cpu::features().huge_pages;
    let end = range.end.min(DIRECT_MAP_BYTES);
    let mut at = range.start & !(LARGE_BYTES - 1);
    while at < end {
        // The first GiB stays divisible: it holds the image.
        let huge = huge_pages && at.is_multiple_of(HUGE_BYTES) && at > 0 && at + HUGE_BYTES <= end;
        let (level, bytes) = if huge {
            (Level::Huge, HUGE_BYTES)
        } else {
            (Level::Large, LARGE_BYTES)
        };
        set(root, DIRECT_MAP_BASE + at, level, at | FLAGS)?;
        at += bytes;
    }
    Ok(())
}

/// Takes the right to write code and constants through the direct map.
fn protect_image_in_direct_map(root: Frame, image: &Image) -> Result<(), OutOfFrames> {
    let (start, end) = (image.text.0 & !(LARGE_BYTES - 1), image.rodata.1);
    for large in (start..end).step_by(LARGE_BYTES as usize) {
        set(root, DIRECT_MAP_BASE + large, Level::Large, 0)?;
        for page in (large..large + LARGE_BYTES).step_by(PAGE_BYTES) {
            let writable = if page < end { 0 } else { WRITABLE };
            let entry = page | PRESENT | NO_EXECUTE | writable;
            set(root, DIRECT_MAP_BASE + page, Level::Page, entry)?;
        }
    }
    Ok(())
}

/// Level of the table that holds an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The last one: entries map 4 KiB.
    Page = 1,
    /// Entries map 2 MiB or name a table.
    Large = 2,
    /// Entries map 1 GiB or name a table.
    Huge = 3,
}

/// Writes the entry for `address` at `level`, creating the tables above it.
fn set(root: Frame, address: u64, level: Level, entry: u64) -> Result<(), OutOfFrames> {
    let mut table = root;
    for upper in (level as u32 + 1..=4).rev() {
        table = next_table(entry_pointer(table, address, upper))?;
    }
    // SAFETY: the pointer is to an entry of a table of ours; the callers are the only writers.
    unsafe { entry_pointer(table, address, level as u32).write_volatile(entry) };
    Ok(())
}

/// Where the entry for `address` lies in `table`, which is one of `level`.
pub fn entry_pointer(table: Frame, address: u64, level: u32) -> *mut u64 {
    let index = (address >> (12 + 9 * (level - 1))) as usize & 511;
    table.pointer().cast::<u64>().wrapping_add(index)
}

/// The table that `entry` names, made when there is none.
fn next_table(entry: *mut u64) -> Result<Frame, OutOfFrames> {
    // SAFETY: `entry` points into a table of ours, which the direct map shows.
    let value = unsafe { entry.read_volatile() };
    if value & PRESENT != 0 {
        assert!(
            value & LARGE == 0,
            "a page table entry maps a large page, not a table"
        );
        return Ok(Frame::containing(value & ADDRESS_MASK));
    }
    let table = frames::take_zeroed().ok_or(OutOfFrames)?;
    // SAFETY: as above; the new table is empty, so nothing becomes reachable.
    unsafe { entry.write_volatile(table.address() | PRESENT | WRITABLE) };
    Ok(table)
}

/// The top table.
fn root() -> Frame {
    Frame::containing(ROOT.load(Ordering::Relaxed))
}

/// Makes the third-level table (whose entries span 1 GiB) that covers `address`, and returns it.
///
/// # Errors
/// [`OutOfFrames`] when there is none and no frame for one.
pub fn third_level_table(address: u64) -> Result<Frame, OutOfFrames> {
    let _changes = CHANGES.lock();
    next_table(entry_pointer(root(), address, 4))
}

/// The third-level table that covers `address`, which [`third_level_table`] made before. Takes no
/// lock, for the page fault path.
pub fn existing_third_level_table(address: u64) -> Frame {
    // SAFETY: the top table is never freed, and its entries never change once they are there.
    let entry = unsafe { entry_pointer(root(), address, 4).read_volatile() };
    Frame::containing(entry & ADDRESS_MASK)
}

/// Backs the page at `address`, which must be unmapped, with a fresh frame (unknown contents).
///
/// # Errors
/// [`OutOfFrames`] when the frame or a table for it is missing.
pub fn back_heap_page(address: u64) -> Result<(), OutOfFrames> {
    let _changes = CHANGES.lock();
    let frame = frames::take().ok_or(OutOfFrames)?;
    let entry = frame.address() | PRESENT | WRITABLE | NO_EXECUTE;
    set(root(), address, Level::Page, entry).inspect_err(|_| {
        // SAFETY: the frame was taken above and is not mapped.
        unsafe { frames::give_back(frame) };
    })
}

/// Shows `length` bytes at physical `address`, for ever: device registers and firmware tables.
///
/// # Errors
/// [`OutOfFrames`] when a page table is missing.
pub fn map_device(
    address: u64,
    length: usize,
    caching: Caching,
) -> Result<NonNull<u8>, OutOfFrames> {
    let mut area = CHANGES.lock();
    let offset = address % PAGE_BYTES as u64;
    let first = address - offset;
    let bytes = (offset + length as u64).next_multiple_of(PAGE_BYTES as u64);
    let flags = match caching {
        Caching::Cached => PRESENT | NO_EXECUTE,
        Caching::Uncached => PRESENT | WRITABLE | NO_EXECUTE | UNCACHED,
    };
    let start = area.next;
    for page in (0..bytes).step_by(PAGE_BYTES) {
        set(root(), start + page, Level::Page, (first + page) | flags)?;
    }
    area.next = start + bytes + PAGE_BYTES as u64;
    NonNull::new((start + offset) as *mut u8).ok_or(OutOfFrames)
}

/// The physical address behind `address` of the kernel's own memory, by a walk of the tables.
pub fn physical_address(address: u64) -> Option<u64> {
    let mut table = root();
    for level in (1..=4).rev() {
        // SAFETY: tables are never freed but those of guest memories, whose owner asks.
        let entry = unsafe { entry_pointer(table, address, level).read_volatile() };
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 1 || entry & LARGE != 0 {
            let offset_mask = (1 << (12 + 9 * (level - 1))) - 1;
            return Some((entry & ADDRESS_MASK & !offset_mask) | (address & offset_mask));
        }
        table = Frame::containing(entry & ADDRESS_MASK);
    }
    None
}

/// Forgets all cached translations of this processor.
pub fn flush() {
    x86_64::instructions::tlb::flush_all();
}

/// Forgets this processor's cached translation of `address`, and all cached tables of upper levels.
pub fn forget(address: u64) {
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::new_truncate(address));
}

/// Whether all of `length` bytes at physical `address` are seen through the direct map.
pub fn in_direct_map(address: u64, length: usize) -> bool {
    let Some(last) = address.checked_add((length as u64).max(1) - 1) else {
        return false;
    };
    last < DIRECT_MAP_BYTES
        && (address..=last)
            .step_by(PAGE_BYTES)
            .chain([last])
            .all(|at| physical_address(direct_map(at) as u64).is_some())
}
