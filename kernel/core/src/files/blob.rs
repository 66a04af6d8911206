//! [`Blob`]: the unchanging bytes of a file of the image, known by their hash.

use serde::{Deserialize, Serialize};

use super::FileError;
use crate::image::{BlobBytes, BlobHash};

/// Unchanging bytes. Stored, it is a hash and a length; [`super::FileSystem::attach_blobs`] finds
/// the bytes again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Blob {
    hash: BlobHash,
    length: u64,
    #[serde(skip)]
    bytes: Option<BlobBytes>,
}

/// By hash and length: whether the bytes are attached is no difference.
impl PartialEq for Blob {
    fn eq(&self, other: &Blob) -> bool {
        (self.hash, self.length) == (other.hash, other.length)
    }
}

impl Eq for Blob {}

impl Blob {
    /// `bytes`, whose SHA-256 is `hash`.
    pub fn new(hash: BlobHash, bytes: BlobBytes) -> Blob {
        Blob {
            hash,
            length: bytes.len() as u64,
            bytes: Some(bytes),
        }
    }

    /// SHA-256 of the bytes.
    pub fn hash(&self) -> BlobHash {
        self.hash
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes.
    ///
    /// # Errors
    /// [`FileError::MissingBlob`] when they are not attached.
    pub(super) fn bytes(&self) -> Result<&[u8], FileError> {
        self.bytes.as_deref().ok_or(FileError::MissingBlob)
    }

    /// Attaches the bytes.
    ///
    /// # Errors
    /// [`FileError::MissingBlob`] when they are not as many as the blob has.
    pub(super) fn attach(&mut self, bytes: BlobBytes) -> Result<(), FileError> {
        if bytes.len() as u64 != self.length {
            return Err(FileError::MissingBlob);
        }
        self.bytes = Some(bytes);
        Ok(())
    }
}
