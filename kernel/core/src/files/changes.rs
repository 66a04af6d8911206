//! What differs from the image, for whoever copies an instance's files out.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

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

/// A walk over the differences in the order in which they can be carried out: of each directory what
/// is gone, then what is new, by name, a directory before what is in it.
///
/// It holds names and no references, so that it can go on later. What has a path of more than
/// [`limits::PATH_BYTES`] is left out, since nobody could name it; this bounds the walk's depth too.
#[derive(Debug)]
pub struct Changes {
    path: String,
    levels: Vec<Level>,
}

/// One step of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeStep {
    /// Something is different.
    Change(Change),
    /// Something is as the image has it.
    Same,
    /// There is nothing more.
    End,
}

/// A directory that is being compared.
#[derive(Debug)]
struct Level {
    directory: InodeId,
    /// The image's directory in the same place.
    lower: Option<InodeId>,
    path_length: usize,
    /// What of it is looked through.
    phase: Phase,
    /// The name looked at last in this phase.
    last: Option<Box<str>>,
}

/// What of a directory is looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// What the image has.
    Image,
    /// What is there.
    Present,
}

impl FileSystem {
    /// Begins to look for what differs from the image below a directory, given by an absolute path.
    ///
    /// # Errors
    /// Those of the path, [`FileError::NotFound`] and [`FileError::NotDirectory`].
    pub fn changes(&self, directory: &str) -> Result<Changes, FileError> {
        let relative = directory.trim_matches('/');
        let (inode, lower) = match relative {
            "" => (InodeId::ROOT, Some(InodeId::ROOT)),
            _ => {
                let inode = self.lookup(InodeId::ROOT, relative.as_bytes(), Follow::Follow)?;
                (inode, self.lower_directory(relative))
            }
        };
        let mut changes = Changes {
            path: String::new(),
            levels: Vec::new(),
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

impl Changes {
    /// Looks at the next entry.
    pub fn step(&mut self, files: &FileSystem) -> ChangeStep {
        let Some(level) = self.levels.last_mut() else {
            return ChangeStep::End;
        };
        let last = level.last.as_deref();
        let found = match level.phase {
            Phase::Image => {
                let next = level
                    .lower
                    .and_then(|lower| files.lower.after(lower, last))
                    .map(|(name, lower)| (Box::from(name), lower));
                match next {
                    Some((name, lower)) => self.compare_lower(files, name, lower),
                    None => {
                        (level.phase, level.last) = (Phase::Present, None);
                        None
                    }
                }
            }
            Phase::Present => {
                let directory = files.inodes.get(level.directory);
                let directory = directory.and_then(|inode| inode.directory()).ok();
                let next = directory
                    .and_then(|directory| directory.after(last))
                    .map(|(name, inode)| (Box::from(name), inode));
                match next {
                    Some((name, inode)) => self.compare(files, name, inode),
                    None => {
                        self.levels.pop();
                        None
                    }
                }
            }
        };
        found.map_or(ChangeStep::Same, ChangeStep::Change)
    }

    /// Goes on with the entries of a directory, whose path is the current one.
    fn enter(&mut self, directory: InodeId, lower: Option<InodeId>) {
        self.levels.push(Level {
            directory,
            lower,
            path_length: self.path.len(),
            phase: Phase::Image,
            last: None,
        });
    }

    /// Makes the path that of `name` in the directory that is looked through; tells whether it is one
    /// that can be named.
    fn name(&mut self, name: &str) -> bool {
        let path_length = self.levels.last().map_or(0, |level| level.path_length);
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
    fn compare_lower(
        &mut self,
        files: &FileSystem,
        name: Box<str>,
        lower: LowerEntry,
    ) -> Option<Change> {
        let can_be_named = self.name(&name);
        let level = self.levels.last_mut()?;
        let directory = files.inodes.get(level.directory).ok()?.directory().ok()?;
        let now = directory.get(&name);
        level.last = Some(name);
        let kind = now.and_then(|inode| files.kind(inode).ok());
        if kind == Some(lower.kind) || !can_be_named {
            return None;
        }
        self.change(ChangeKind::Removed)
    }

    /// What is new about an entry; enters a directory.
    fn compare(&mut self, files: &FileSystem, name: Box<str>, inode: InodeId) -> Option<Change> {
        let can_be_named = self.name(&name);
        let level = self.levels.last_mut()?;
        let lower = level
            .lower
            .and_then(|directory| files.lower.get(directory, &name));
        level.last = Some(name);
        if !can_be_named {
            return None;
        }
        let node = &files.inodes.get(inode).ok()?.node;
        let same_kind = lower.filter(|lower| lower.kind == node.kind());
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
