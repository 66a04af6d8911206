//! Images of guest memories: trees of pages that nobody changes any more ([`super::tree`]).

use core::any::Any;

use sos_engine::{FrozenImage, FrozenPage};

use super::super::frames::Frame;
use super::super::paging::WRITABLE;
use super::tree::{self, ENTRIES, Height, counted, entry_at, read};
use super::{DIRECTORIES, PAGE_BYTES, reserve};

/// Pages of a directory.
const DIRECTORY_PAGES: usize = ENTRIES * ENTRIES;

/// What a guest memory held when it was frozen.
#[derive(Debug)]
pub struct Image {
    /// The memory's topmost entries, as they were before the freeze took the right to write from them.
    pub directories: [u64; DIRECTORIES],
    /// Pages in them.
    pub pages: u32,
    /// Reserved bytes of the memory.
    pub reserved_bytes: usize,
}

impl Image {
    /// The directories that it holds, each with the bytes before it.
    pub fn directories(&self) -> impl Iterator<Item = (usize, Frame)> + '_ {
        let entries = self.directories.iter().enumerate();
        entries.filter_map(|(index, &entry)| Some((index, counted(entry, Height::Directory)?)))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for (_, directory) in self.directories() {
            // SAFETY: the freeze made the image a holder; it has never been in a page table as such.
            unsafe { tree::release(directory, Height::Directory) };
        }
        reserve::refill();
    }
}

/// The first entry of `table` at `from` or behind it that names a node.
fn first_entry(table: Frame, from: usize, height: Height) -> Option<(usize, u64, Frame)> {
    (from..ENTRIES).find_map(|index| {
        let value = read(entry_at(table, index));
        Some((index, value, counted(value, height)?))
    })
}

/// The first page of `directory` at `from` or behind it: its place there, its frame, and the rights
/// that both entries on the way to it give.
fn first_page(directory: Frame, from: usize) -> Option<(usize, Frame, u64)> {
    let (mut table_from, mut page_from) = (from / ENTRIES, from % ENTRIES);
    loop {
        let (place, upper, table) = first_entry(directory, table_from, Height::Table)?;
        if place > table_from {
            page_from = 0;
        }
        if let Some((index, lower, page)) = first_entry(table, page_from, Height::Page) {
            return Some((place * ENTRIES + index, page, upper & lower));
        }
        (table_from, page_from) = (place + 1, 0);
    }
}

/// How many pages one node holds that the other, at the same place of another image, does not; what both
/// share is not looked into.
fn count_own(ours: u64, theirs: u64, height: Height) -> usize {
    let Some(node) = counted(ours, height) else {
        return 0;
    };
    let other = counted(theirs, height);
    let Some(below) = height.below() else {
        return usize::from(other != Some(node));
    };
    if other == Some(node) {
        return 0;
    }
    let own = |index| {
        let theirs = other.map_or(0, |other| read(entry_at(other, index)));
        count_own(read(entry_at(node, index)), theirs, below)
    };
    (0..ENTRIES).map(own).sum()
}

/// The first page at `from` or behind it that two nodes, at the same place of two images, do not both hold;
/// `first` is the place of their first page. What both share is not looked into.
fn first_difference(
    ours: u64,
    theirs: u64,
    height: Height,
    first: usize,
    from: usize,
) -> Option<usize> {
    let (ours, theirs) = (counted(ours, height), counted(theirs, height));
    if ours == theirs {
        return None;
    }
    let Some(below) = height.below() else {
        return Some(first);
    };
    let pages = match below {
        Height::Page => 1,
        Height::Table | Height::Directory => ENTRIES,
    };
    let entry = |node: Option<Frame>, index| node.map_or(0, |node| read(entry_at(node, index)));
    let start = from.saturating_sub(first) / pages;
    (start..ENTRIES).find_map(|index| {
        let first = first + index * pages;
        first_difference(entry(ours, index), entry(theirs, index), below, first, from)
    })
}

impl FrozenImage for Image {
    fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    fn page_count(&self) -> usize {
        self.pages as usize
    }

    fn count_own_pages(&self, other: &dyn FrozenImage) -> usize {
        let other: &dyn Any = other;
        let Some(other) = other.downcast_ref::<Image>() else {
            // Only a node's own machine makes images on it.
            return self.page_count();
        };
        let places = self.directories.iter().zip(&other.directories);
        places
            .map(|(&ours, &theirs)| count_own(ours, theirs, Height::Directory))
            .sum()
    }

    fn next_difference(&self, other: &dyn FrozenImage, from: usize) -> Option<usize> {
        let other: &dyn Any = other;
        let Some(other) = other.downcast_ref::<Image>() else {
            return self.find_page(from).map(|page| page.index);
        };
        let places = self.directories.iter().zip(&other.directories).enumerate();
        let mut places = places.skip(from / DIRECTORY_PAGES);
        places.find_map(|(place, (&ours, &theirs))| {
            let first = place * DIRECTORY_PAGES;
            first_difference(ours, theirs, Height::Directory, first, from)
        })
    }

    fn find_page(&self, from: usize) -> Option<FrozenPage<'_>> {
        self.directories().find_map(|(place, directory)| {
            let first = place * DIRECTORY_PAGES;
            let inside = from.saturating_sub(first);
            if inside >= DIRECTORY_PAGES {
                return None;
            }
            let (index, page, rights) = first_page(directory, inside)?;
            // SAFETY: the image holds the page through its tables, so it is RAM that the direct map
            // shows and that nobody writes: who writes a page is its only holder (tree, invariant 1).
            let bytes = unsafe { &*page.pointer().cast::<[u8; PAGE_BYTES]>() };
            Some(FrozenPage {
                index: first + index,
                bytes,
                written: rights & self.directories[place] & WRITABLE != 0,
            })
        })
    }
}
