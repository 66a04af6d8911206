//! What handlers and the kernel share: a byte ring for one writer and one reader.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// A ring of bytes between one writer and one reader, either of which may be an interrupt handler.
/// `BYTES` is a power of two.
pub struct ByteRing<const BYTES: usize> {
    bytes: [AtomicU8; BYTES],
    /// Bytes ever read.
    read: AtomicUsize,
    /// Bytes ever written.
    written: AtomicUsize,
}

impl<const BYTES: usize> ByteRing<BYTES> {
    /// An empty ring.
    pub const fn new() -> Self {
        assert!(BYTES.is_power_of_two());
        Self {
            bytes: [const { AtomicU8::new(0) }; BYTES],
            read: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
        }
    }

    /// Appends a byte, if there is room: whether there was.
    pub fn push(&self, byte: u8) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        if written.wrapping_sub(self.read.load(Ordering::Acquire)) == BYTES {
            return false;
        }
        self.bytes[written % BYTES].store(byte, Ordering::Relaxed);
        self.written
            .store(written.wrapping_add(1), Ordering::Release);
        true
    }

    /// Takes the oldest byte.
    pub fn pop(&self) -> Option<u8> {
        let read = self.read.load(Ordering::Relaxed);
        if read == self.written.load(Ordering::Acquire) {
            return None;
        }
        let byte = self.bytes[read % BYTES].load(Ordering::Relaxed);
        self.read.store(read.wrapping_add(1), Ordering::Release);
        Some(byte)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.read.load(Ordering::Relaxed) == self.written.load(Ordering::Acquire)
    }
}
