//! [`BlobBytes`]: the bytes of a module or file, wherever they lie.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

/// The bytes of a module or file. Copies share them.
#[derive(Clone)]
pub enum BlobBytes {
    /// In the boot image, which stays for the life of the node.
    Image(&'static [u8]),
    /// Put at run time, held as long as somebody uses them.
    Held(Arc<[u8]>),
}

impl Deref for BlobBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            BlobBytes::Image(bytes) => bytes,
            BlobBytes::Held(bytes) => bytes,
        }
    }
}

impl fmt::Debug for BlobBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
