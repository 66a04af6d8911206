//! Buffers of frames that were taken, kept for the next ones.

use crate::limits;
use crate::net::frame::Frame;
use alloc::vec::Vec;

/// Bytes of a small buffer: holds any frame of a 1500-byte network, with a VLAN tag to spare.
const SMALL_BYTES: usize = 1536;

/// Two classes of buffers, so that an acknowledgement does not hold 64 KiB.
#[derive(Debug, Default)]
pub(super) struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Pool {
    /// A frame of `length` bytes, contents unspecified.
    pub(super) fn blank(&mut self, length: usize) -> Frame {
        let class = if length <= SMALL_BYTES {
            &mut self.small
        } else {
            &mut self.large
        };
        let buffer = class.pop().unwrap_or_else(|| {
            let mut buffer = Vec::new();
            if length <= SMALL_BYTES {
                buffer.resize(SMALL_BYTES, 0);
            }
            buffer
        });
        Frame::reuse(buffer, length)
    }

    /// A frame with a copy of `bytes`.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Frame {
        let mut frame = self.blank(bytes.len());
        frame.bytes_mut().copy_from_slice(bytes);
        frame
    }

    /// Keeps the frame's buffer, unless the pool is full.
    pub(super) fn recycle(&mut self, frame: Frame) {
        let buffer = frame.into_buffer();
        if buffer.len() < SMALL_BYTES {
            return;
        }
        let (class, bound) = if buffer.len() == SMALL_BYTES {
            (&mut self.small, limits::POOL_SMALL_FRAMES)
        } else {
            (&mut self.large, limits::POOL_LARGE_FRAMES)
        };
        if class.len() < bound {
            class.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_recycled_buffer_is_used_again_for_its_class() {
        let mut pool = Pool::default();
        let small = pool.blank(60);
        let address = small.bytes().as_ptr();
        pool.recycle(small);
        let large = pool.blank(9000);
        assert_ne!(large.bytes().as_ptr(), address);
        let again = pool.blank(1500);
        assert_eq!(again.bytes().as_ptr(), address);
        assert_eq!(again.bytes().len(), 1500);
    }

    #[test]
    fn the_pool_is_bounded_and_refuses_odd_buffers() {
        let mut pool = Pool::default();
        for _ in 0..limits::POOL_LARGE_FRAMES + 5 {
            pool.recycle(Frame::from_bytes(vec![0; 5000]));
        }
        assert_eq!(pool.large.len(), limits::POOL_LARGE_FRAMES);
        pool.recycle(Frame::from_bytes(vec![0; 60]));
        assert!(pool.small.is_empty());
    }
}
