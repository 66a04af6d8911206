//! The files that instances run and read, by their hashes: those of the boot image, and those that
//! operators sent. The latter are kept as long as there is room, for the next time.

use crate::image::{BlobBytes, BlobHash, Image};
use crate::limits;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;

/// Every blob of a node.
#[derive(Default)]
pub(super) struct Blobs {
    image: Option<Image<'static>>,
    in_image: BTreeSet<BlobHash>,
    /// Blobs of the image whose hash was compared.
    checked: BTreeMap<BlobHash, &'static [u8]>,
    /// Blobs that operators sent.
    held: BTreeMap<BlobHash, Held>,
    held_bytes: u64,
    /// Counts uses, to know which blob was not used for longest.
    uses: u64,
}

struct Held {
    bytes: Arc<[u8]>,
    last_use: u64,
}

impl Blobs {
    /// Takes over the blobs of the boot image.
    pub fn set_image(&mut self, image: Image<'static>) {
        self.in_image = image.blobs().map(|(hash, _)| hash).collect();
        self.image = Some(image);
    }

    /// Whether there is such a blob, sound or not.
    pub fn contains(&self, hash: &BlobHash) -> bool {
        self.held.contains_key(hash) || self.in_image.contains(hash)
    }

    /// A blob's bytes, which are compared with the hash before their first use.
    ///
    /// # Errors
    /// In words: there is no such blob, or it is corrupt.
    pub fn get(&mut self, hash: &BlobHash) -> Result<BlobBytes, String> {
        self.uses += 1;
        if let Some(held) = self.held.get_mut(hash) {
            held.last_use = self.uses;
            return Ok(BlobBytes::Held(held.bytes.clone()));
        }
        if let Some(bytes) = self.checked.get(hash) {
            return Ok(BlobBytes::Image(bytes));
        }
        let missing = || alloc::format!("there is no file {hash}; build the image again");
        let image = self.image.as_ref().ok_or_else(missing)?;
        let bytes = image.blob(hash).map_err(|error| error.to_string())?;
        self.checked.insert(*hash, bytes);
        Ok(BlobBytes::Image(bytes))
    }

    /// Makes room for `bytes` more: forgets blobs that nobody uses, longest unused ones first.
    /// Returns the room that there is in the end.
    pub fn make_room(&mut self, bytes: u64) -> u64 {
        while self.room() < bytes {
            let unused = self.held.iter();
            let unused = unused.filter(|(_, held)| Arc::strong_count(&held.bytes) == 1);
            let Some((&hash, _)) = unused.min_by_key(|(_, held)| held.last_use) else {
                break;
            };
            self.remove(&hash);
        }
        self.room()
    }

    /// Keeps a blob, whose hash was compared and for which room was made.
    pub fn put(&mut self, hash: BlobHash, bytes: Arc<[u8]>) {
        self.remove(&hash);
        self.uses += 1;
        self.held_bytes += bytes.len() as u64;
        let last_use = self.uses;
        self.held.insert(hash, Held { bytes, last_use });
    }

    fn room(&self) -> u64 {
        limits::BLOBS_BYTES.saturating_sub(self.held_bytes)
    }

    fn remove(&mut self, hash: &BlobHash) {
        if let Some(held) = self.held.remove(hash) {
            self.held_bytes -= held.bytes.len() as u64;
        }
    }
}
