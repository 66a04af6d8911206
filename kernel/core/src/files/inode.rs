//! Inodes: what names stand for, and the table of them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::contents::Contents;
use super::directory::Directory;
use super::{FileError, FileKind};

/// Names an inode for the life of a file system: numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InodeId(u64);

impl InodeId {
    /// The root directory.
    pub const ROOT: InodeId = InodeId(1);

    /// The number that programs see.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one after it.
    pub(super) const fn next(self) -> InodeId {
        InodeId(self.0 + 1)
    }
}

/// A file, a directory or a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inode {
    pub node: Node,
    /// Names that stand for it; a directory has one, the root as if it had.
    pub links: u32,
    /// How often it is open.
    pub opens: u32,
    pub times: Times,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Node {
    File(Contents),
    Directory(Directory),
    SymbolicLink(Box<str>),
}

/// Timestamps in nanoseconds of wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    pub accessed_ns: u64,
    pub modified_ns: u64,
    pub changed_ns: u64,
}

impl Node {
    pub fn kind(&self) -> FileKind {
        match self {
            Node::File(_) => FileKind::File,
            Node::Directory(_) => FileKind::Directory,
            Node::SymbolicLink(_) => FileKind::SymbolicLink,
        }
    }

    /// Bytes that count against the limit.
    pub fn held_bytes(&self) -> u64 {
        match self {
            Node::File(contents) => contents.held_bytes(),
            Node::Directory(_) => 0,
            Node::SymbolicLink(text) => text.len() as u64,
        }
    }

    pub fn size(&self) -> u64 {
        match self {
            Node::File(contents) => contents.size(),
            Node::Directory(_) => 0,
            Node::SymbolicLink(text) => text.len() as u64,
        }
    }
}

impl Inode {
    /// An inode without names that is not open.
    pub fn new(node: Node, now_ns: u64) -> Inode {
        Inode {
            node,
            links: 0,
            opens: 0,
            times: Times {
                accessed_ns: now_ns,
                modified_ns: now_ns,
                changed_ns: now_ns,
            },
        }
    }

    /// Notes a change of what the inode holds.
    pub fn modified(&mut self, now_ns: u64) {
        self.times.modified_ns = now_ns;
        self.times.changed_ns = now_ns;
    }

    pub fn file(&self) -> Result<&Contents, FileError> {
        match &self.node {
            Node::File(contents) => Ok(contents),
            Node::Directory(_) => Err(FileError::IsDirectory),
            Node::SymbolicLink(_) => Err(FileError::InvalidArgument),
        }
    }

    pub fn file_mut(&mut self) -> Result<&mut Contents, FileError> {
        match &mut self.node {
            Node::File(contents) => Ok(contents),
            Node::Directory(_) => Err(FileError::IsDirectory),
            Node::SymbolicLink(_) => Err(FileError::InvalidArgument),
        }
    }

    pub fn directory(&self) -> Result<&Directory, FileError> {
        match &self.node {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) | Node::SymbolicLink(_) => Err(FileError::NotDirectory),
        }
    }

    pub fn directory_mut(&mut self) -> Result<&mut Directory, FileError> {
        match &mut self.node {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) | Node::SymbolicLink(_) => Err(FileError::NotDirectory),
        }
    }
}

/// All inodes of a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InodeTable {
    inodes: BTreeMap<InodeId, Inode>,
    next: InodeId,
}

impl InodeTable {
    /// A table whose root is an empty directory.
    pub fn new(now_ns: u64) -> InodeTable {
        let mut root = Inode::new(Node::Directory(Directory::new(InodeId::ROOT)), now_ns);
        root.links = 1;
        InodeTable {
            inodes: [(InodeId::ROOT, root)].into(),
            next: InodeId::ROOT.next(),
        }
    }

    /// # Errors
    /// [`FileError::Stale`].
    pub fn get(&self, id: InodeId) -> Result<&Inode, FileError> {
        self.inodes.get(&id).ok_or(FileError::Stale)
    }

    /// # Errors
    /// [`FileError::Stale`].
    pub fn get_mut(&mut self, id: InodeId) -> Result<&mut Inode, FileError> {
        self.inodes.get_mut(&id).ok_or(FileError::Stale)
    }

    /// Takes an inode in, under a number of its own.
    pub fn add(&mut self, inode: Inode) -> InodeId {
        let id = self.next;
        self.next = id.next();
        self.inodes.insert(id, inode);
        id
    }

    pub fn remove(&mut self, id: InodeId) -> Option<Inode> {
        self.inodes.remove(&id)
    }

    /// Number that the next inode will get.
    pub fn next(&self) -> InodeId {
        self.next
    }

    pub fn iter(&self) -> impl Iterator<Item = (InodeId, &Inode)> {
        self.inodes.iter().map(|(&id, inode)| (id, inode))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Inode> {
        self.inodes.values_mut()
    }
}
