//! What the virtio-drivers crate asks of the machine: memory for rings.

use crate::drivers::platform::{self, PAGE_BYTES};
use core::ptr::NonNull;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// The machine, as the crate sees it.
pub struct MachineMemory;

// SAFETY: `dma_alloc` hands out zeroed, page-aligned frames that nobody else ever has
// (platform::allocate_frames); `share` gives the true physical address, as there is no IOMMU in use
// and every buffer that the drivers here pass lies in such frames.
unsafe impl Hal for MachineMemory {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // Physical address 0 tells the crate that there is no memory.
        platform::allocate_frames(pages).unwrap_or((0, NonNull::dangling()))
    }

    unsafe fn dma_dealloc(_address: PhysAddr, _view: NonNull<u8>, _pages: usize) -> i32 {
        // Rings live as long as the kernel (see `BufferQueue`); after a failed start their few frames
        // stay taken.
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, size: usize) -> NonNull<u8> {
        platform::map_registers(address, size).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        platform::physical_address(buffer.cast())
    }

    unsafe fn unshare(_address: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

/// Equal buffers in physically contiguous frames, which a device reads or fills; never freed.
pub struct BufferPool {
    base: NonNull<u8>,
    count: u16,
    buffer_length: usize,
}

// SAFETY: the pool owns its frames; whoever has the pool decides, with its queue, which buffers the
// device has.
unsafe impl Send for BufferPool {}

impl BufferPool {
    /// `count` zeroed buffers of `buffer_length` bytes; nothing when memory is out.
    pub fn new(count: usize, buffer_length: usize) -> Option<Self> {
        let pages = (count * buffer_length).div_ceil(PAGE_BYTES);
        let (_, base) = platform::allocate_frames(pages)?;
        Some(Self {
            base,
            count: u16::try_from(count).ok()?,
            buffer_length,
        })
    }

    /// How many buffers there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Bytes of each buffer.
    pub fn buffer_length(&self) -> usize {
        self.buffer_length
    }

    /// One buffer.
    ///
    /// # Safety
    ///
    /// The device does not have this buffer, and no other reference to it lives.
    ///
    /// # Panics
    ///
    /// When there is no such buffer.
    pub unsafe fn buffer(&mut self, index: u16) -> &mut [u8] {
        assert!(index < self.count);
        let offset = usize::from(index) * self.buffer_length;
        // SAFETY: the range lies inside the pool's frames; the caller vouches for exclusive use, the
        // pool's borrow for the lifetime.
        unsafe {
            core::slice::from_raw_parts_mut(self.base.as_ptr().add(offset), self.buffer_length)
        }
    }
}
