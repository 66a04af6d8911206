//! Shows the firmware's tables to their readers.

use core::slice;

use super::direct_map;
use super::paging::{self, Caching};
use crate::acpi::PhysicalMemory;

/// Physical memory as the readers of firmware tables see it: through the direct map where that
/// shows it, else through a mapping made for the purpose (which stays).
pub struct FirmwareMemory;

impl PhysicalMemory for FirmwareMemory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let pointer = if paging::in_direct_map(address, length) {
            direct_map(address).cast_const()
        } else {
            paging::map_device(address, length, Caching::Cached)
                .ok()?
                .as_ptr()
                .cast_const()
        };
        // SAFETY: the bytes are mapped for ever; tables of the firmware lie outside of the frames
        // that are handed out, so nothing writes them.
        Some(unsafe { slice::from_raw_parts(pointer, length) })
    }
}
