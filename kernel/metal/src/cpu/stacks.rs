//! The kernel's stacks: the main one and one per IST slot, each above a guard page that
//! `mem::paging` leaves unmapped.
//!
//! An IST slot that is entered again destroys its first frame (D11), hence one slot per kind of
//! entry: those that may interrupt each other never share one, and those that share never nest.

use core::mem::offset_of;

/// Bytes of a guard page.
pub const GUARD_BYTES: usize = 4096;
/// Bytes of the main stack: wasm validation and translation recurse a little, dispatch does not.
const MAIN_STACK_BYTES: usize = 256 * 1024;
/// Bytes of each IST stack: an FXSAVE area and an epitaph with its formatting fit.
const ENTRY_STACK_BYTES: usize = 16 * 1024;

/// Which IST slot (counted from 0, as in the TSS) an entry uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryStack {
    /// Vector 8.
    DoubleFault = 0,
    /// Vector 2.
    Nmi = 1,
    /// Vector 18.
    MachineCheck = 2,
    /// Vector 14: the only exception that returns in normal operation.
    PageFault = 3,
    /// Every other exception: each ends in an epitaph.
    Exception = 4,
    /// Every interrupt: they run with interrupts off, so they never nest.
    Interrupt = 5,
}

/// Number of IST slots in use.
const ENTRY_STACKS: usize = 6;

/// A stack, with the page that its overflow runs into.
#[repr(C, align(4096))]
struct Stack<const BYTES: usize> {
    guard: [u8; GUARD_BYTES],
    body: [u8; BYTES],
}

/// All stacks of the boot CPU.
#[repr(C, align(4096))]
pub struct Stacks {
    main: Stack<MAIN_STACK_BYTES>,
    entry: [Stack<ENTRY_STACK_BYTES>; ENTRY_STACKS],
}

/// Offset of the main stack's upper end in [`STACKS`], for the entry code.
pub const MAIN_STACK_TOP_OFFSET: usize =
    offset_of!(Stacks, main) + size_of::<Stack<MAIN_STACK_BYTES>>();

/// The stacks themselves. Only processors use them; Rust code never makes a reference to them.
#[unsafe(link_section = ".bss.stacks")]
pub static mut STACKS: Stacks = Stacks {
    main: Stack {
        guard: [0; GUARD_BYTES],
        body: [0; MAIN_STACK_BYTES],
    },
    entry: [const {
        Stack {
            guard: [0; GUARD_BYTES],
            body: [0; ENTRY_STACK_BYTES],
        }
    }; ENTRY_STACKS],
};

/// Address just above the stack of `slot`.
pub fn entry_stack_top(slot: EntryStack) -> u64 {
    let base = &raw const STACKS as u64 + offset_of!(Stacks, entry) as u64;
    base + (slot as u64 + 1) * size_of::<Stack<ENTRY_STACK_BYTES>>() as u64
}

/// Addresses of all guard pages, with the name of the stack above each.
pub fn guard_pages() -> [(u64, &'static str); 1 + ENTRY_STACKS] {
    let base = &raw const STACKS as u64;
    let entry =
        |slot: EntryStack| entry_stack_top(slot) - size_of::<Stack<ENTRY_STACK_BYTES>>() as u64;
    [
        (base + offset_of!(Stacks, main) as u64, "main"),
        (entry(EntryStack::DoubleFault), "double fault"),
        (entry(EntryStack::Nmi), "nmi"),
        (entry(EntryStack::MachineCheck), "machine check"),
        (entry(EntryStack::PageFault), "page fault"),
        (entry(EntryStack::Exception), "exception"),
        (entry(EntryStack::Interrupt), "interrupt"),
    ]
}

/// Upper end of the stack that `stack_pointer` lies in, if it is one of ours.
pub fn top_of(stack_pointer: u64) -> Option<u64> {
    let base = &raw const STACKS as u64;
    let main_top = base + MAIN_STACK_TOP_OFFSET as u64;
    if (base + GUARD_BYTES as u64..main_top).contains(&stack_pointer) {
        return Some(main_top);
    }
    let size = size_of::<Stack<ENTRY_STACK_BYTES>>() as u64;
    let first = base + offset_of!(Stacks, entry) as u64;
    let offset = stack_pointer.checked_sub(first)?;
    (offset < size * ENTRY_STACKS as u64 && offset % size >= GUARD_BYTES as u64)
        .then(|| first + (offset / size + 1) * size)
}
