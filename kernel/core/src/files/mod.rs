//! The files of one instance: a tree in memory, over the read-only files of the image.
//!
//! [`FileSystem`] is plain data (D4: it goes into snapshots as it is) and knows nothing of calls,
//! descriptors or rights: `host/wasi` has those. Files are named by [`InodeId`], or by a path from a
//! directory that it cannot leave (`resolve`). `data` works on inodes, `names` on paths, `contents`
//! holds a file's bytes, `lower` is what the image says, `changes` what differs from it.
//!
//! Times are wall time in nanoseconds and passed in.

mod blob;
mod changes;
mod check;
mod contents;
mod data;
mod directory;
mod error;
mod inode;
mod local;
mod lower;
mod names;
mod resolve;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::limits;

pub use blob::Blob;
pub use changes::{Change, ChangeKind, ChangeStep, Changes};
pub use check::UnsoundFiles;
pub use contents::Progress;
pub use data::{DirectoryEntry, SetTime, Stat};
pub use error::FileError;
pub use inode::InodeId;
pub use names::{Create, Must, OpenOptions, Truncate};

use inode::{Inode, InodeTable, Node};
use local::Local;
use lower::Lower;

/// Heap that a name and its inode take at most: the longest name three times, places in four trees
/// whose leaves may be half empty, and the inode.
pub const NAME_HEAP_BYTES: u64 = 1536;

/// The files of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    inodes: InodeTable,
    lower: Lower,
    limits: FileLimits,
    usage: FileUsage,
    #[serde(skip)]
    local: Local,
}

/// What the files of an instance may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLimits {
    /// Bytes of what was written, in whole chunks, and of symbolic links; the image's bytes are free.
    pub bytes: u64,
    /// Names, and files that have none any more but are open.
    pub files: u32,
}

/// What the files of an instance take, in the terms of [`FileLimits`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUsage {
    /// Bytes that were written.
    pub bytes: u64,
    /// Names, and files without names that are open.
    pub files: u32,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// Bytes.
    File,
    /// Names of others.
    Directory,
    /// A path that stands in for another file.
    SymbolicLink,
}

/// Whether a symbolic link at the end of a path is followed. One before a slash always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// What the link names is meant.
    Follow,
    /// The link itself is meant.
    NoFollow,
}

impl FileSystem {
    /// An empty root directory.
    pub fn new(limits: FileLimits, now_ns: u64) -> FileSystem {
        FileSystem {
            inodes: InodeTable::new(now_ns),
            lower: Lower::default(),
            limits,
            usage: FileUsage::default(),
            local: Local::default(),
        }
    }

    /// What the files may take.
    pub fn limits(&self) -> FileLimits {
        self.limits
    }

    /// Sets what the files may take. What they have above it stays.
    pub fn set_limits(&mut self, limits: FileLimits) {
        self.limits = limits;
    }

    /// What the files take.
    pub fn usage(&self) -> FileUsage {
        self.usage
    }

    /// Kernel heap that the files take, about, what is to be freed included: for the kernel's
    /// admission.
    pub fn heap_bytes(&self) -> u64 {
        let bytes = self.usage.bytes + self.local.discarded_bytes();
        bytes + u64::from(self.usage.files) * NAME_HEAP_BYTES
    }

    /// Says how much kernel heap the files may take from now on, over what they have: what would take
    /// more fails with [`FileError::NoSpace`]. Without a word it is unbounded.
    pub fn offer_heap(&mut self, bytes: u64) {
        self.local.offer_heap(bytes);
    }

    /// Frees some of what files that are gone have left, at most [`limits::CHUNKS_FREED`] chunks.
    pub fn free_some(&mut self) {
        self.local.free(limits::CHUNKS_FREED);
    }

    /// How many steps the operations took since this was asked last, beside the bytes that they moved:
    /// parts of paths, levels of directories, chunks freed.
    pub fn take_work(&mut self) -> u64 {
        self.local.take_work()
    }

    /// Keeps an inode although its last name may go, until [`Self::release`]: one more open.
    ///
    /// # Errors
    /// [`FileError::Stale`].
    pub fn retain(&mut self, inode: InodeId) -> Result<(), FileError> {
        self.inodes.get_mut(inode)?.opens += 1;
        Ok(())
    }

    /// Takes back one [`Self::retain`]; an inode without a name goes with its last open.
    pub fn release(&mut self, inode: InodeId) {
        let Ok(found) = self.inodes.get_mut(inode) else {
            return;
        };
        found.opens = found.opens.saturating_sub(1);
        if found.links == 0 && found.opens == 0 {
            self.usage.files -= 1;
            self.drop_inode(inode);
        }
    }

    /// Makes sure that one more name may be made.
    fn require_name(&self) -> Result<(), FileError> {
        if self.usage.files >= self.limits.files || self.local.heap_room() < NAME_HEAP_BYTES {
            return Err(FileError::NoSpace);
        }
        Ok(())
    }

    /// Bytes that may still be written.
    fn room_bytes(&self) -> u64 {
        let room = self.limits.bytes.saturating_sub(self.usage.bytes);
        room.min(self.local.heap_room())
    }

    /// Lets `name` stand for `inode` in a directory that does not have the name.
    fn add_name(
        &mut self,
        parent: InodeId,
        name: &str,
        inode: InodeId,
        now_ns: u64,
    ) -> Result<(), FileError> {
        let kind = self.inodes.get(inode)?.node.kind();
        let holder = self.inodes.get_mut(parent)?;
        let directory = holder.directory_mut()?;
        directory.set(name, inode);
        if kind == FileKind::Directory {
            directory.subdirectories += 1;
        }
        holder.modified(now_ns);
        let named = self.inodes.get_mut(inode)?;
        named.links += 1;
        named.times.changed_ns = now_ns;
        self.usage.files += 1;
        self.local.take_heap(NAME_HEAP_BYTES);
        Ok(())
    }

    /// Takes a name out of a directory; an inode that nobody has open goes with its last name.
    fn remove_name(&mut self, parent: InodeId, name: &str, now_ns: u64) -> Result<(), FileError> {
        let holder = self.inodes.get_mut(parent)?;
        let inode = holder.directory_mut()?.remove(name);
        let inode = inode.ok_or(FileError::NotFound)?;
        holder.modified(now_ns);
        self.lose_name(parent, inode, now_ns)
    }

    /// Counts one name less for an inode whose name in `parent` is gone.
    fn lose_name(&mut self, parent: InodeId, inode: InodeId, now_ns: u64) -> Result<(), FileError> {
        let named = self.inodes.get_mut(inode)?;
        named.links -= 1;
        named.times.changed_ns = now_ns;
        let (kind, links, opens) = (named.node.kind(), named.links, named.opens);
        if kind == FileKind::Directory {
            self.inodes.get_mut(parent)?.directory_mut()?.subdirectories -= 1;
        }
        // An open inode without names counts as the name that it lost.
        if links > 0 || opens == 0 {
            self.usage.files -= 1;
        }
        if links == 0 && opens == 0 {
            self.drop_inode(inode);
        }
        Ok(())
    }

    /// Forgets an inode that has neither names nor opens.
    fn drop_inode(&mut self, inode: InodeId) {
        let Some(Inode { node, .. }) = self.inodes.remove(inode) else {
            return;
        };
        let held = node.held_bytes();
        self.usage.bytes -= held;
        if let Node::File(mut contents) = node {
            self.local.discard(contents.clear(), held);
        }
    }
}
