//! The page tables of guest memories as trees that share their nodes.
//!
//! A memory is up to four *directories* (1 GiB each), which name *tables* (2 MiB), which name *pages*.
//! Each node has a count of those that hold it: entries that name it, and images ([`super::image`]).
//! The tree of an image is never changed. A memory that is frozen or cloned keeps its nodes and only
//! loses the right to write in its topmost entries; that is all a freeze costs, however large it is.
//! The first write behind such an entry makes the path to its page the memory's own again, node by
//! node: a node with other holders is copied, one that has none left is taken back as it is.
//!
//! Invariants:
//!
//! 1. What can be written through a path of entries is held by that path alone: where all entries down
//!    to a node are writable, the node's count is one.
//! 2. Where a path is not writable, the rights of the entries behind it mean nothing to the processor.
//!    In an image they say what was written since the one before. So whoever takes a table over or
//!    copies it takes the right to write from all of its entries, the copy's or its own.
//! 3. A count of one is the reader's own, and nobody else can raise it.
//! 4. Sinks stand only in tables that a memory holds alone, and have no count.
//! 5. A node is given back only when no processor can still have it in a translation: after `invlpg`,
//!    which forgets all cached tables of upper levels too (Intel SDM volume 3, 4.10.4.1), or `flush`.

use core::sync::atomic::{AtomicU64, Ordering};

use super::super::frames::{self, Frame};
use super::super::paging::{
    ADDRESS_MASK, NO_EXECUTE, PRESENT, WRITABLE, entry_pointer, flush, forget,
};
use super::reserve::{self, Contents, sink};
use super::{PAGE_BYTES, Slot};

/// Entries of a table.
pub const ENTRIES: usize = 512;
/// Rights of a guest's page.
pub const PAGE_FLAGS: u64 = PRESENT | WRITABLE | NO_EXECUTE;
/// Rights in the entries above it.
pub const TABLE_FLAGS: u64 = PRESENT | WRITABLE;
/// Pages mapped at once where an instance touches page after page.
const RUN_PAGES: usize = 8;

/// How far a node is from the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Height {
    /// A page of a guest memory.
    Page,
    /// Names pages.
    Table,
    /// Names tables.
    Directory,
}

impl Height {
    /// That of the nodes that a node of this height names.
    pub fn below(self) -> Option<Height> {
        match self {
            Height::Page => None,
            Height::Table => Some(Height::Page),
            Height::Directory => Some(Height::Table),
        }
    }
}

/// Pages of all memories and images, each once.
static PAGES: AtomicU64 = AtomicU64::new(0);

/// How many pages there are in all memories and images, each counted once.
pub fn page_count() -> u64 {
    PAGES.load(Ordering::Relaxed)
}

/// The entry at `index` of a table.
pub fn entry_at(table: Frame, index: usize) -> *mut u64 {
    debug_assert!(index < ENTRIES);
    table.pointer().cast::<u64>().wrapping_add(index)
}

/// What stands in `entry`.
pub fn read(entry: *mut u64) -> u64 {
    // SAFETY: the callers pass entries of tables that they hold or that never go, seen through the
    // direct map. The processor may set the accessed bit meanwhile.
    unsafe { entry.read_volatile() }
}

/// Puts `value` into `entry`.
///
/// # Safety
/// The entry is in a table that the caller's memory holds alone, and `value` is nothing or names a
/// node that this entry holds from now on.
pub unsafe fn write(entry: *mut u64, value: u64) {
    // SAFETY: as the caller says.
    unsafe { entry.write_volatile(value) };
}

/// The node that `value` names.
pub fn node(value: u64) -> Option<Frame> {
    (value & PRESENT != 0).then(|| Frame::containing(value & ADDRESS_MASK))
}

/// The node that `value` names, unless it is a sink.
pub fn counted(value: u64, height: Height) -> Option<Frame> {
    node(value).filter(|&frame| frame != sink(height))
}

/// Adds a holder of `node`, which the caller holds.
pub fn share(node: Frame) {
    frames::holders(node).fetch_add(1, Ordering::Relaxed);
}

/// Ends the caller's hold of `node`, and gives back what nobody holds then.
///
/// # Safety
/// The caller held it, and no processor reaches it through the caller any more.
pub unsafe fn release(node: Frame, height: Height) {
    if frames::holders(node).fetch_sub(1, Ordering::AcqRel) != 1 {
        return;
    }
    match height.below() {
        None => {
            PAGES.fetch_sub(1, Ordering::Relaxed);
        }
        Some(below) => {
            for index in 0..ENTRIES {
                if let Some(child) = counted(read(entry_at(node, index)), below) {
                    // SAFETY: the node held it, and goes.
                    unsafe { release(child, below) };
                }
            }
        }
    }
    // SAFETY: nobody holds it any more.
    unsafe { frames::give_back(node) };
}

/// What is needed to reach a page of a memory.
pub struct Path<'a> {
    /// The table whose entries name the memory's directories.
    pub upper: Frame,
    /// The page's address.
    pub address: u64,
    /// Pages of the memory from this one on.
    pub pages_left: u64,
    /// The memory's slot.
    pub slot: &'a Slot,
}

impl Path<'_> {
    /// Makes the page present, writable and the memory's own. Takes no lock and no heap memory.
    pub fn make_own(&self) {
        let Some(entry) = self.own_entry() else {
            return;
        };
        let value = read(entry);
        match node(value) {
            None => {
                self.map_zeroed(entry);
                self.map_run(entry);
            }
            Some(page) if value & WRITABLE == 0 => self.own_page(entry, page),
            // The processor had remembered what the entry was before.
            Some(_) => forget(self.address),
        }
    }

    /// Maps a page of these contents where there is none yet: whether there was a frame. A page that
    /// is there already is left alone, and told.
    pub fn load(&self, bytes: &[u8; PAGE_BYTES]) -> Loaded {
        let Some(entry) = self.own_entry() else {
            return Loaded::OutOfFrames;
        };
        if node(read(entry)).is_some() {
            return Loaded::Present;
        }
        let Some(frame) = reserve::take(Contents::Any) else {
            return Loaded::OutOfFrames;
        };
        // SAFETY: the frame is ours, and as long as `bytes`.
        unsafe { frame.pointer().cast::<[u8; PAGE_BYTES]>().write(*bytes) };
        self.count_page();
        // SAFETY: the entry is this memory's own, and was empty.
        unsafe { write(entry, frame.address() | PAGE_FLAGS) };
        Loaded::Mapped
    }

    /// The page's entry, in a table that the memory holds alone; none when a sink took its place.
    fn own_entry(&self) -> Option<*mut u64> {
        let directory = self.own_table(
            entry_pointer(self.upper, self.address, 3),
            Height::Directory,
        )?;
        let table = self.own_table(entry_pointer(directory, self.address, 2), Height::Table)?;
        Some(entry_pointer(table, self.address, 1))
    }

    /// Makes the table that `entry` names the memory's own: a new one, itself, or a copy.
    fn own_table(&self, entry: *mut u64, height: Height) -> Option<Frame> {
        let value = read(entry);
        let Some(present) = node(value) else {
            let table = reserve::take_or_exhaust(Contents::Zero, self.slot);
            let address = table.unwrap_or_else(|| sink(height)).address();
            // SAFETY: the entry is this memory's own and was empty.
            unsafe { write(entry, address | TABLE_FLAGS) };
            return table;
        };
        if value & WRITABLE != 0 {
            return Some(present);
        }
        if is_held_once(present) {
            protect_entries(present);
            // SAFETY: the entry holds the table already, alone.
            unsafe { write(entry, value | WRITABLE) };
            return Some(present);
        }
        let copy = reserve::take_or_exhaust(Contents::Any, self.slot);
        if let Some(copy) = copy {
            copy_table(present, copy);
        }
        let address = copy.unwrap_or_else(|| sink(height)).address();
        // SAFETY: the entry is this memory's own, and its hold of the old table ends below.
        unsafe { write(entry, address | TABLE_FLAGS) };
        match copy {
            Some(_) => forget(self.address),
            // Other pages than before stand at all of its addresses.
            None => flush(),
        }
        // SAFETY: the entry held it, and no translation leads there any more: the copy names the same
        // pages, and cached tables of upper levels are forgotten.
        unsafe { release(present, height) };
        copy
    }

    /// Makes `page`, which `entry` names, the memory's own: itself, or a copy.
    fn own_page(&self, entry: *mut u64, page: Frame) {
        if is_held_once(page) {
            // SAFETY: the entry holds the page already, alone.
            unsafe { write(entry, page.address() | PAGE_FLAGS) };
            forget(self.address);
            return;
        }
        let copy = reserve::take_or_exhaust(Contents::Any, self.slot);
        if let Some(copy) = copy {
            // SAFETY: the copy was taken just now.
            unsafe { reserve::copy(page, copy) };
            PAGES.fetch_add(1, Ordering::Relaxed);
        }
        let address = copy.unwrap_or_else(|| sink(Height::Page)).address();
        // SAFETY: the entry is this memory's own, and its hold of the old page ends below.
        unsafe { write(entry, address | PAGE_FLAGS) };
        forget(self.address);
        // SAFETY: the entry held it, and its translation is forgotten.
        unsafe { release(page, Height::Page) };
    }

    /// Maps a zeroed frame, or the sink, at an empty entry.
    fn map_zeroed(&self, entry: *mut u64) {
        let frame = reserve::take_or_exhaust(Contents::Zero, self.slot);
        if frame.is_some() {
            self.count_page();
        }
        let address = frame.unwrap_or_else(|| sink(Height::Page)).address();
        // SAFETY: the entry is this memory's own, and was empty.
        unsafe { write(entry, address | PAGE_FLAGS) };
    }

    /// Where the page before this one is there, maps some behind it too, while they are absent and
    /// frames are plenty.
    fn map_run(&self, entry: *mut u64) {
        let index = (self.address / PAGE_BYTES as u64) as usize % ENTRIES;
        if index == 0 || node(read(entry.wrapping_sub(1))).is_none() {
            return;
        }
        let left_in_memory = usize::try_from(self.pages_left - 1).unwrap_or(usize::MAX);
        let run = (RUN_PAGES - 1).min(ENTRIES - 1 - index).min(left_in_memory);
        for step in 1..=run {
            let entry = entry.wrapping_add(step);
            if node(read(entry)).is_some() {
                return;
            }
            let Some(frame) = reserve::take(Contents::Zero) else {
                return;
            };
            self.count_page();
            // SAFETY: the entry is in the same table, and was empty.
            unsafe { write(entry, frame.address() | PAGE_FLAGS) };
        }
    }

    fn count_page(&self) {
        self.slot.resident.fetch_add(1, Ordering::Relaxed);
        PAGES.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a page was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It is there now.
    Mapped,
    /// There was one; nothing is changed.
    Present,
    /// There is no frame for it.
    OutOfFrames,
}

/// Whether the caller, who holds `node`, is the only one.
fn is_held_once(node: Frame) -> bool {
    frames::holders(node).load(Ordering::Acquire) == 1
}

/// Takes the right to write from all entries of a table that was shared and is no more.
fn protect_entries(table: Frame) {
    for index in 0..ENTRIES {
        let entry = entry_at(table, index);
        let value = read(entry);
        if value & WRITABLE != 0 {
            // SAFETY: the caller's memory holds the table alone; the entry names what it named.
            unsafe { write(entry, value & !WRITABLE) };
        }
    }
}

/// Makes `copy` name what `table` names, without the right to write.
fn copy_table(table: Frame, copy: Frame) {
    for index in 0..ENTRIES {
        let value = read(entry_at(table, index));
        if let Some(child) = node(value) {
            share(child);
        }
        // SAFETY: the copy was taken just now, and holds what it names by the line above.
        unsafe { write(entry_at(copy, index), value & !WRITABLE) };
    }
}
