//! A directory: names, each with an inode and a place in the order of listing.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::ops::Bound;

use serde::{Deserialize, Deserializer, Serialize};

use super::InodeId;
use crate::limits;

/// Places before the first entry: `.` and `..`.
pub(super) const FIRST_PLACE: u64 = 2;
/// Most places that are believed to have been given.
const PLACES_MOST: u64 = 1 << 63;

/// A directory. Entries are listed in the order in which they were made; a place is never used
/// again, so a listing that is continued after changes misses and repeats nothing that stayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Directory {
    /// The directory that holds this one; the root holds itself.
    pub parent: InodeId,
    /// How many entries are directories.
    pub subdirectories: u32,
    by_name: BTreeMap<Name, Entry>,
    by_place: BTreeMap<u64, Name>,
    next_place: u64,
}

/// A name. Copies share its bytes: a cut copies all directories while the instance stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
struct Name(#[serde(serialize_with = "as_text")] Arc<str>);

fn as_text<S: serde::Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    name.as_ref().serialize(serializer)
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        let text = Box::<str>::deserialize(deserializer)?;
        Ok(Name(text.into()))
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub inode: InodeId,
    place: u64,
}

impl Directory {
    /// An empty directory inside `parent`.
    pub fn new(parent: InodeId) -> Directory {
        Directory {
            parent,
            subdirectories: 0,
            by_name: BTreeMap::new(),
            by_place: BTreeMap::new(),
            next_place: FIRST_PLACE,
        }
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What `name` stands for.
    pub fn get(&self, name: &str) -> Option<InodeId> {
        self.by_name.get(name).map(|entry| entry.inode)
    }

    /// Lets `name` stand for `inode`; a name that is there keeps its place. Returns what it stood
    /// for.
    pub fn set(&mut self, name: &str, inode: InodeId) -> Option<InodeId> {
        if let Some(entry) = self.by_name.get_mut(name) {
            return Some(core::mem::replace(&mut entry.inode, inode));
        }
        let place = self.next_place;
        self.next_place += 1;
        let name = Name(name.into());
        self.by_place.insert(place, name.clone());
        self.by_name.insert(name, Entry { inode, place });
        None
    }

    /// Takes `name` out.
    pub fn remove(&mut self, name: &str) -> Option<InodeId> {
        let entry = self.by_name.remove(name)?;
        self.by_place.remove(&entry.place);
        Some(entry.inode)
    }

    /// The first entry, by name, that comes after `last`.
    pub fn after(&self, last: Option<&str>) -> Option<(&str, InodeId)> {
        let begin = match last {
            Some(last) => Bound::Excluded(last),
            None => Bound::Unbounded,
        };
        let mut entries = self.by_name.range::<str, _>((begin, Bound::Unbounded));
        let (name, entry) = entries.next()?;
        Some((&*name.0, entry.inode))
    }

    /// Entries from `place` on, in the order of places.
    pub fn beginning_at(&self, place: u64) -> impl Iterator<Item = (u64, &str, InodeId)> {
        self.by_place
            .range(place..)
            .filter_map(|(&place, name)| Some((place, &*name.0, self.get(&name.0)?)))
    }

    /// Every entry, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, InodeId)> {
        let entries = self.by_name.iter();
        entries.map(|(name, entry)| (&*name.0, entry.inode))
    }

    /// Whether operations could have made it, for a directory that was stored.
    pub fn is_sound(&self) -> bool {
        let is_name = |name: &str| {
            let plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
            plain && name.len() <= limits::FILE_NAME_BYTES
        };
        let has_place = |name: &str, entry: &Entry| {
            let place = self.by_place.get(&entry.place).map(|name| &*name.0);
            (FIRST_PLACE..self.next_place).contains(&entry.place) && place == Some(name)
        };
        let mut entries = self.by_name.iter();
        self.next_place <= PLACES_MOST
            && self.by_place.len() == self.by_name.len()
            && entries.all(|(name, entry)| is_name(&name.0) && has_place(&name.0, entry))
    }
}
