//! What the image says: how its files come in, and what of it is remembered.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::ops::Bound;

use serde::{Deserialize, Serialize};

use super::contents::Contents;
use super::directory::Directory;
use super::inode::Node;
use super::{Blob, FileError, FileKind, FileSystem, InodeId};
use crate::image::BlobBytes;
use crate::limits;

/// What the image said, wherever it is now: for [`FileSystem::changes`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lower {
    /// By directory, then by name.
    entries: BTreeMap<(InodeId, Box<str>), LowerEntry>,
}

/// An entry of a directory of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LowerEntry {
    pub inode: InodeId,
    pub kind: FileKind,
}

impl Lower {
    /// What the image says about `name` in one of its directories.
    pub fn get(&self, directory: InodeId, name: &str) -> Option<LowerEntry> {
        self.entries.get(&(directory, name.into())).copied()
    }

    /// The first entry of one of the image's directories, by name, that comes after `last`.
    pub fn after(&self, directory: InodeId, last: Option<&str>) -> Option<(&str, LowerEntry)> {
        let begin = match last {
            Some(last) => Bound::Excluded((directory, last.into())),
            None => Bound::Included((directory, "".into())),
        };
        let end = Bound::Excluded((directory.next(), "".into()));
        let ((_, name), &entry) = self.entries.range((begin, end)).next()?;
        Some((name, entry))
    }

    /// Whether it names only inodes before `end`.
    pub fn is_before(&self, end: InodeId) -> bool {
        let mut entries = self.entries.iter();
        entries.all(|((directory, _), entry)| *directory < end && entry.inode < end)
    }
}

impl FileSystem {
    /// Takes in a file of the image. Before the instance runs; directories above it are implied.
    ///
    /// # Errors
    /// [`FileError::Exists`], [`FileError::NotDirectory`], [`FileError::InvalidPath`] for a path that
    /// is not absolute and plain, [`FileError::NameTooLong`], [`FileError::NoSpace`] for too many
    /// files.
    pub fn add_image_file(&mut self, path: &str, blob: Blob, now_ns: u64) -> Result<(), FileError> {
        self.add_image(path, Node::File(Contents::from_image(blob)), now_ns)
    }

    /// Takes in a symbolic link of the image, as [`Self::add_image_file`] does.
    ///
    /// # Errors
    /// Those of [`Self::add_image_file`], also for an unusable text.
    pub fn add_image_symbolic_link(
        &mut self,
        path: &str,
        text: &str,
        now_ns: u64,
    ) -> Result<(), FileError> {
        if text.is_empty() || text.contains('\0') {
            return Err(FileError::InvalidPath);
        }
        if text.len() > limits::PATH_BYTES {
            return Err(FileError::NameTooLong);
        }
        self.add_image(path, Node::SymbolicLink(text.into()), now_ns)
    }

    /// Takes in a directory of the image, as [`Self::add_image_file`] does; one that is there is
    /// right.
    ///
    /// # Errors
    /// Those of [`Self::add_image_file`].
    pub fn add_image_directory(&mut self, path: &str, now_ns: u64) -> Result<(), FileError> {
        let mut current = InodeId::ROOT;
        for name in image_names(path)? {
            current = self.image_directory(current, name, now_ns)?;
        }
        Ok(())
    }

    fn add_image(&mut self, path: &str, node: Node, now_ns: u64) -> Result<(), FileError> {
        let mut names = image_names(path)?.peekable();
        let mut current = InodeId::ROOT;
        while let Some(name) = names.next() {
            if names.peek().is_some() {
                current = self.image_directory(current, name, now_ns)?;
            } else if self.inodes.get(current)?.directory()?.get(name).is_some() {
                return Err(FileError::Exists);
            } else {
                self.add_image_entry(current, name, node, now_ns)?;
                return Ok(());
            }
        }
        Err(FileError::Exists)
    }

    /// The directory `name` of an image's directory, made if it is not there.
    fn image_directory(
        &mut self,
        parent: InodeId,
        name: &str,
        now_ns: u64,
    ) -> Result<InodeId, FileError> {
        let found = self.inodes.get(parent)?.directory()?.get(name);
        match found {
            Some(inode) => {
                self.inodes.get(inode)?.directory()?;
                Ok(inode)
            }
            None => {
                let node = Node::Directory(Directory::new(parent));
                self.add_image_entry(parent, name, node, now_ns)
            }
        }
    }

    fn add_image_entry(
        &mut self,
        parent: InodeId,
        name: &str,
        node: Node,
        now_ns: u64,
    ) -> Result<InodeId, FileError> {
        let kind = node.kind();
        let inode = self.make(parent, name, node, now_ns)?;
        let entry = LowerEntry { inode, kind };
        self.lower.entries.insert((parent, name.into()), entry);
        Ok(inode)
    }

    /// Finds the bytes of the image's files again, after the file system was read from storage.
    ///
    /// # Errors
    /// [`FileError::MissingBlob`] when `find` does not know a blob or gives one of another length.
    pub fn attach_blobs(
        &mut self,
        mut find: impl FnMut(&Blob) -> Option<BlobBytes>,
    ) -> Result<(), FileError> {
        for inode in self.inodes.iter_mut() {
            if let Node::File(contents) = &mut inode.node {
                contents.attach(&mut find)?;
            }
        }
        Ok(())
    }
}

/// The names on an absolute path without `.` and `..`.
fn image_names(path: &str) -> Result<impl Iterator<Item = &str>, FileError> {
    let rest = path.strip_prefix('/').ok_or(FileError::InvalidPath)?;
    if path.contains('\0') {
        return Err(FileError::InvalidPath);
    }
    let names = || rest.split('/').filter(|name| !name.is_empty());
    if names().any(|name| name == "." || name == "..") {
        return Err(FileError::InvalidPath);
    }
    if path.len() > limits::PATH_BYTES || names().any(|name| name.len() > limits::FILE_NAME_BYTES) {
        return Err(FileError::NameTooLong);
    }
    Ok(names())
}
