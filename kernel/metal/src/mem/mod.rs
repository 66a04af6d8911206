//! Memory: physical frames ([`frames`]), page tables ([`paging`]), the kernel heap ([`heap`]),
//! guest memories ([`guest`]), the emulated TLB ([`emulated_tlb`]) and the `mem*` functions that compiled code calls ([`functions`]).
//!
//! Virtual addresses, all in 4-level paging (Intel SDM volume 3, 4.5):
//!
//! | from | what |
//! |---|---|
//! | 2 MiB | the kernel's image, where it is loaded |
//! | `ffff_8000_0000_0000` | direct map: all RAM at its physical address plus this |
//! | `ffff_a000_0000_0000` | kernel heap |
//! | `ffff_b000_0000_0000` | device registers and firmware tables |
//! | `ffff_c000_0000_0000` | guest memories |
//!
//! Everything else, page 0 included, is unmapped.

pub mod emulated_tlb;
pub mod firmware;
pub mod frames;
#[cfg(panic = "abort")]
pub mod functions;
pub mod guest;
pub mod heap;
pub mod paging;

/// Start of the direct map.
pub const DIRECT_MAP_BASE: u64 = 0xffff_8000_0000_0000;
/// Bytes of physical memory that the direct map can show.
pub const DIRECT_MAP_BYTES: u64 = 1 << 45;
/// Start of the kernel heap.
pub const HEAP_BASE: u64 = 0xffff_a000_0000_0000;
/// Start of the area for device registers and firmware tables.
pub const DEVICE_BASE: u64 = 0xffff_b000_0000_0000;
/// Start of the guest memories.
pub const GUEST_BASE: u64 = 0xffff_c000_0000_0000;

/// Bytes of a page and of a frame.
pub const PAGE_BYTES: usize = 4096;

/// Where the direct map shows physical `address`. Only RAM and the first MiB are mapped there.
pub fn direct_map(address: u64) -> *mut u8 {
    debug_assert!(address < DIRECT_MAP_BYTES);
    (DIRECT_MAP_BASE + address) as *mut u8
}
