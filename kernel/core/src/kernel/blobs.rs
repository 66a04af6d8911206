//! The files that instances run and read, by their hashes: those of the boot image, and those that
//! operators sent. The latter are kept as long as there is room, for the next time.

use crate::image::{BlobBytes, BlobHash, Image, InstanceSpec};
use crate::limits;
use crate::operator::Refusal;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

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

    /// One that an operator sent: it is kept while the answer is.
    pub fn held(&self, hash: &BlobHash) -> Option<Arc<[u8]>> {
        self.held.get(hash).map(|held| held.bytes.clone())
    }

    /// Those of an instance's blobs that operators sent: they are kept while the answer is.
    pub fn hold(&self, spec: &InstanceSpec) -> Vec<Arc<[u8]>> {
        spec.blobs().filter_map(|hash| self.held(&hash)).collect()
    }

    /// Keeps those of some blobs, whose hashes were compared, that an instance names: all that are missing, or
    /// none. Answers as [`Self::hold`].
    ///
    /// # Errors
    /// [`Refusal::BlobsFull`].
    pub fn keep_for(
        &mut self,
        spec: &InstanceSpec,
        blobs: Vec<(BlobHash, Arc<[u8]>)>,
    ) -> Result<Vec<Arc<[u8]>>, Refusal> {
        // What is here already stays while room is made for the rest.
        let here = self.hold(spec);
        let wanted: BTreeSet<BlobHash> = spec.blobs().collect();
        let missing = blobs.into_iter();
        let missing = missing.filter(|(hash, _)| wanted.contains(hash) && !self.contains(hash));
        let missing: BTreeMap<_, _> = missing.collect();
        let bytes = missing.values().map(|bytes| bytes.len() as u64).sum();
        let room_bytes = self.make_room(bytes);
        if room_bytes < bytes {
            return Err(Refusal::BlobsFull { room_bytes, bytes });
        }
        for (hash, bytes) in missing {
            self.put(hash, bytes);
        }
        drop(here);
        Ok(self.hold(spec))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::blob_hash;

    const PART_BYTES: usize = limits::BLOBS_BYTES as usize / 3;

    /// A large blob.
    fn blob(number: u8, bytes: usize) -> (BlobHash, Arc<[u8]>) {
        (blob_hash(&[number]), alloc::vec![number; bytes].into())
    }

    #[test]
    fn what_is_held_outlasts_all_that_comes_after() {
        let mut blobs = Blobs::default();
        let (hash, bytes) = blob(1, 10);
        let spec = InstanceSpec::new("web", hash, "web.wasm");
        let held = blobs.keep_for(&spec, [(hash, bytes)].into());
        let held = held.expect("there is room");
        assert_eq!(
            blobs.make_room(limits::BLOBS_BYTES),
            limits::BLOBS_BYTES - 10
        );
        assert!(blobs.contains(&hash));
        drop(held);
        assert_eq!(blobs.make_room(limits::BLOBS_BYTES), limits::BLOBS_BYTES);
        assert!(!blobs.contains(&hash));
    }

    #[test]
    fn blobs_that_do_not_fit_together_are_refused_together_and_strangers_left_out() {
        let mut blobs = Blobs::default();
        let all = [
            blob(1, PART_BYTES),
            blob(2, PART_BYTES),
            blob(3, PART_BYTES),
        ];
        let mut spec = InstanceSpec::new("web", all[0].0, "web.wasm");
        let mut add = |hash| {
            spec.libraries.push(crate::image::LibrarySpec {
                name: "library".into(),
                module: hash,
                module_name: "library.wasm".into(),
            });
            spec.clone()
        };
        let two = add(all[1].0);
        let kept = blobs.keep_for(&two, all.clone().into());
        assert_eq!(kept.expect("there is room").len(), 2);
        assert!(!blobs.contains(&all[2].0), "nobody named it");
        let three = add(all[2].0);
        let _all = blobs.keep_for(&three, all.clone().into()).expect("just");
        let (hash, bytes) = blob(4, 10);
        let four = add(hash);
        let kept = blobs.keep_for(&four, [(hash, bytes)].into());
        let refusal = Refusal::BlobsFull {
            room_bytes: limits::BLOBS_BYTES - 3 * PART_BYTES as u64,
            bytes: 10,
        };
        assert_eq!(kept.expect_err("no room"), refusal);
        assert!(all.iter().all(|(hash, _)| blobs.contains(hash)));
    }
}
