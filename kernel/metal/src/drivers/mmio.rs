//! Device registers in memory, with every access checked against the mapped length.

use super::platform;
use core::ptr::NonNull;

/// A mapped range of device registers.
#[derive(Clone, Copy)]
pub struct Registers {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: the range is mapped for the life of the kernel and belongs to a device, not to a thread; each
// access is one volatile load or store.
unsafe impl Send for Registers {}
// SAFETY: as for `Send`: a device orders concurrent accesses to its registers itself.
unsafe impl Sync for Registers {}

macro_rules! access {
    ($read:ident, $write:ident, $value:ty) => {
        /// The register at `offset`; nothing when it lies outside or across its own width.
        pub fn $read(&self, offset: usize) -> Option<$value> {
            let at = self.place::<$value>(offset)?;
            // SAFETY: `place` has checked that the aligned register lies in the mapped range.
            Some(unsafe { at.read_volatile() })
        }

        /// Writes the register at `offset`; without effect where `read` gives nothing.
        pub fn $write(&self, offset: usize, value: $value) {
            if let Some(at) = self.place::<$value>(offset) {
                // SAFETY: as for reading; the range is device memory, so that no Rust object changes.
                unsafe { at.write_volatile(value) }
            }
        }
    };
}

impl Registers {
    /// Maps `length` bytes of registers at a physical address, uncached.
    pub fn map(address: u64, length: usize) -> Option<Self> {
        Some(Self {
            base: platform::map_registers(address, length)?,
            length,
        })
    }

    /// Bytes in the range.
    pub fn length(&self) -> usize {
        self.length
    }

    access!(read_u8, write_u8, u8);
    access!(read_u16, write_u16, u16);
    access!(read_u32, write_u32, u32);

    /// Writes a 64-bit register as two halves, which virtio asks for (4.1.3.1).
    pub fn write_u64(&self, offset: usize, value: u64) {
        self.write_u32(offset, value as u32);
        self.write_u32(offset + 4, (value >> 32) as u32);
    }

    fn place<T>(&self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        let inside = end <= self.length;
        let address = self.base.as_ptr().wrapping_add(offset).cast::<T>();
        (inside && address.is_aligned()).then_some(address)
    }
}
