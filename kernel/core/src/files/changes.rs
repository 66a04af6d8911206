//! What differs from the image, for whoever copies an instance's files out.

use alloc::boxed::Box;
use alloc::collections::btree_map;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::directory::Entry;
use super::inode::Node;
use super::lower::LowerEntry;
use super::{FileError, FileKind, FileSystem, Follow, InodeId};
use crate::limits;

/// One difference from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where, from the directory asked for, without a leading slash.
    pub path: String,
    /// What is different.
    pub kind: ChangeKind,
}

/// What is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// The image's entry is gone, with all that was below it.
    Removed,
    /// A directory that the image does not have.
    Directory(InodeId),
    /// A file that the image does not have, or with other bytes.
    File(InodeId),
    /// A symbolic link that the image does not have, and its text.
    SymbolicLink(Box<str>),
}

/// The differences in the order in which they can be carried out: of each directory what is gone,
/// then what is new, by name, a directory before what is in it.
///
/// What has a path of more than [`limits::PATH_BYTES`] is left out, since nobody could name it.
#[derive(Debug)]
pub struct Changes<'a> {
    files: &'a FileSystem,
    path: String,
    levels: Vec<Level<'a>>,
}

/// A directory that is being compared.
#[derive(Debug)]
struct Level<'a> {
    directory: InodeId,
    /// The image's directory in the same place.
    lower: Option<InodeId>,
    path_length: usize,
    lower_entries: btree_map::Range<'a, (InodeId, Box<str>), LowerEntry>,
    entries: btree_map::Iter<'a, Box<str>, Entry>,
}

impl FileSystem {
    /// What differs from the image below a directory, given by an absolute path.
    ///
    /// # Errors
    /// Those of the path, [`FileError::NotFound`] and [`FileError::NotDirectory`].
    pub fn changes(&self, directory: &str) -> Result<Changes<'_>, FileError> {
        let relative = directory.trim_matches('/');
        let (inode, lower) = match relative {
            "" => (InodeId::ROOT, Some(InodeId::ROOT)),
            _ => {
                let inode = self.lookup(InodeId::ROOT, relative.as_bytes(), Follow::Follow)?;
                (inode, self.lower_directory(relative))
            }
        };
        let mut changes = Changes {
            files: self,
            path: String::new(),
            levels: vec![],
        };
        self.inodes.get(inode)?.directory()?;
        changes.enter(inode, lower);
        Ok(changes)
    }

    /// The image's directory at a path.
    fn lower_directory(&self, path: &str) -> Option<InodeId> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(InodeId::ROOT, |directory, name| {
            let entry = self.lower.get(directory, name)?;
            (entry.kind == FileKind::Directory).then_some(entry.inode)
        })
    }
}

impl<'a> Changes<'a> {
    /// Goes on with the entries of a directory, whose path is the current one.
    fn enter(&mut self, directory: InodeId, lower: Option<InodeId>) {
        let files = self.files;
        let Ok(found) = files
            .inodes
            .get(directory)
            .and_then(|inode| inode.directory())
        else {
            return;
        };
        let lower_entries = match lower {
            Some(lower) => files.lower.list(lower),
            None => files.lower.none(),
        };
        self.levels.push(Level {
            directory,
            lower,
            path_length: self.path.len(),
            lower_entries,
            entries: found.by_name(),
        });
    }

    /// Makes the path that of `name` in a directory; tells whether it is one that can be named.
    fn name(&mut self, path_length: usize, name: &str) -> bool {
        self.path.truncate(path_length);
        if path_length > 0 {
            self.path.push('/');
        }
        self.path.push_str(name);
        self.path.len() <= limits::PATH_BYTES
    }

    fn change(&self, kind: ChangeKind) -> Option<Change> {
        Some(Change {
            path: self.path.clone(),
            kind,
        })
    }

    /// What became of an entry of the image.
    fn compare_lower(&mut self, level: usize, name: &str, lower: LowerEntry) -> Option<Change> {
        let Level {
            directory,
            path_length,
            ..
        } = self.levels[level];
        let files = self.files;
        let now = files
            .inodes
            .get(directory)
            .ok()?
            .directory()
            .ok()?
            .get(name);
        let kind = now.and_then(|inode| files.kind(inode).ok());
        if kind == Some(lower.kind) || !self.name(path_length, name) {
            return None;
        }
        self.change(ChangeKind::Removed)
    }

    /// What is new about an entry; enters a directory.
    fn compare(&mut self, level: usize, name: &str, inode: InodeId) -> Option<Change> {
        let Level {
            lower, path_length, ..
        } = self.levels[level];
        if !self.name(path_length, name) {
            return None;
        }
        let node = &self.files.inodes.get(inode).ok()?.node;
        let same_kind = lower
            .and_then(|lower| self.files.lower.get(lower, name))
            .filter(|lower| lower.kind == node.kind());
        let same_inode = same_kind.is_some_and(|lower| lower.inode == inode);
        match node {
            Node::Directory(_) => {
                self.enter(inode, same_kind.map(|lower| lower.inode));
                match same_kind {
                    Some(_) => None,
                    None => self.change(ChangeKind::Directory(inode)),
                }
            }
            Node::File(contents) if !same_inode || contents.is_modified() => {
                self.change(ChangeKind::File(inode))
            }
            Node::SymbolicLink(text) if !same_inode => {
                self.change(ChangeKind::SymbolicLink(text.clone()))
            }
            Node::File(_) | Node::SymbolicLink(_) => None,
        }
    }
}

impl Iterator for Changes<'_> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        loop {
            let level = self.levels.len().checked_sub(1)?;
            let found = if let Some((key, &lower)) = self.levels[level].lower_entries.next() {
                self.compare_lower(level, &key.1, lower)
            } else if let Some((name, entry)) = self.levels[level].entries.next() {
                self.compare(level, name, entry.inode)
            } else {
                self.levels.pop();
                None
            };
            if found.is_some() {
                return found;
            }
        }
    }
}
