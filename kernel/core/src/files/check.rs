//! Files that were stored are claims: whether they are what operations could have made.
//!
//! Everything else in this folder relies on what is checked here: that names form a tree, that links,
//! opens and bytes are counted right, and that no chunk lies outside of its file.

use alloc::collections::BTreeMap;
use alloc::vec;
use core::fmt;

use super::directory::Directory;
use super::inode::{Inode, Node};
use super::{FileSystem, FileUsage, InodeId};
use crate::limits;

/// Why stored files are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsoundFiles {
    /// There is no root directory.
    NoRoot,
    /// An inode has a number that none was given.
    Number(InodeId),
    /// The bytes of a file do not fit together.
    Contents(InodeId),
    /// The entries of a directory do not fit together, or name what is not there.
    Directory(InodeId),
    /// The text of a symbolic link cannot be one.
    Link(InodeId),
    /// An inode does not have the number of names that it says.
    Links(InodeId),
    /// An inode is not open as often as it says.
    Opens(InodeId),
    /// A directory does not lie below the root.
    Loop,
    /// The counts of bytes and names are not those of the files.
    Usage,
    /// What the image said names inodes that were never there.
    Image,
}

impl core::error::Error for UnsoundFiles {}

impl fmt::Display for UnsoundFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnsoundFiles::NoRoot => write!(f, "there is no root directory"),
            UnsoundFiles::Number(inode) => {
                write!(f, "inode {}: no file has this number", inode.number())
            }
            UnsoundFiles::Contents(inode) => {
                write!(f, "inode {}: its bytes do not fit together", inode.number())
            }
            UnsoundFiles::Directory(inode) => {
                write!(
                    f,
                    "inode {}: its entries do not fit together",
                    inode.number()
                )
            }
            UnsoundFiles::Link(inode) => {
                write!(f, "inode {}: its text is no link's", inode.number())
            }
            UnsoundFiles::Links(inode) => {
                write!(f, "inode {}: its names are miscounted", inode.number())
            }
            UnsoundFiles::Opens(inode) => {
                write!(f, "inode {}: its opens are miscounted", inode.number())
            }
            UnsoundFiles::Loop => write!(f, "a directory does not lie below the root"),
            UnsoundFiles::Usage => write!(f, "what the files take is miscounted"),
            UnsoundFiles::Image => write!(f, "what the image had was never there"),
        }
    }
}

/// Most inode numbers that are believed to have been given: a million a second for 500 000 years.
const INODES_MOST: u64 = 1 << 63;

impl FileSystem {
    /// Makes sure that stored files are sound, and open as often as `opens` says.
    ///
    /// # Errors
    /// [`UnsoundFiles`].
    pub fn check(&self, opens: &BTreeMap<InodeId, u32>) -> Result<(), UnsoundFiles> {
        if self.inodes.next().number() > INODES_MOST {
            return Err(UnsoundFiles::Number(self.inodes.next()));
        }
        let mut usage = FileUsage::default();
        let mut links: BTreeMap<InodeId, u32> = [(InodeId::ROOT, 1)].into();
        for (id, inode) in self.inodes.iter() {
            self.check_inode(id, inode)?;
            if inode.opens != opens.get(&id).copied().unwrap_or(0) {
                return Err(UnsoundFiles::Opens(id));
            }
            let held = inode.node.held_bytes();
            let bytes = usage.bytes.checked_add(held);
            usage.bytes = bytes.ok_or(UnsoundFiles::Contents(id))?;
            if let Node::Directory(directory) = &inode.node {
                self.check_directory(id, directory, &mut links)?;
            }
        }
        for (id, inode) in self.inodes.iter() {
            let names = links.get(&id).copied().unwrap_or(0);
            let is_kept = names > 0 || inode.opens > 0;
            // The walk below relies on it that no directory is reached twice.
            let most = match inode.node {
                Node::Directory(_) => 1,
                Node::File(_) | Node::SymbolicLink(_) => limits::FILE_LINKS,
            };
            if inode.links != names || names > most || !is_kept {
                return Err(UnsoundFiles::Links(id));
            }
            // An open inode without names counts as one; the root has no name.
            let counted = names.max(1) - u32::from(id == InodeId::ROOT);
            let files = usage.files.checked_add(counted);
            usage.files = files.ok_or(UnsoundFiles::Usage)?;
        }
        if opens.keys().any(|&id| self.inodes.get(id).is_err()) {
            return Err(UnsoundFiles::Usage);
        }
        self.check_tree()?;
        if usage != self.usage {
            return Err(UnsoundFiles::Usage);
        }
        match self.lower.is_before(self.inodes.next()) {
            true => Ok(()),
            false => Err(UnsoundFiles::Image),
        }
    }

    fn check_inode(&self, id: InodeId, inode: &Inode) -> Result<(), UnsoundFiles> {
        if id < InodeId::ROOT || id >= self.inodes.next() {
            return Err(UnsoundFiles::Number(id));
        }
        match &inode.node {
            Node::File(contents) if !contents.is_sound() => Err(UnsoundFiles::Contents(id)),
            Node::SymbolicLink(text)
                if text.is_empty() || text.len() > limits::PATH_BYTES || text.contains('\0') =>
            {
                Err(UnsoundFiles::Link(id))
            }
            Node::File(_) | Node::Directory(_) | Node::SymbolicLink(_) => Ok(()),
        }
    }

    /// Checks a directory's entries and counts the names that they give.
    fn check_directory(
        &self,
        id: InodeId,
        directory: &Directory,
        links: &mut BTreeMap<InodeId, u32>,
    ) -> Result<(), UnsoundFiles> {
        let unsound = UnsoundFiles::Directory(id);
        if !directory.is_sound() {
            return Err(unsound);
        }
        let mut subdirectories = 0_u32;
        for (_, inode) in directory.iter() {
            let found = self.inodes.get(inode).map_err(|_| unsound)?;
            if let Node::Directory(below) = &found.node {
                subdirectories += 1;
                if below.parent != id || inode == InodeId::ROOT {
                    return Err(unsound);
                }
            }
            let count = links.entry(inode).or_default();
            *count = count.saturating_add(1);
        }
        match subdirectories == directory.subdirectories {
            true => Ok(()),
            false => Err(unsound),
        }
    }

    /// Makes sure that every directory that has a name lies below the root. A directory has one name
    /// at most, as was checked already, so that the walk sees each once.
    fn check_tree(&self) -> Result<(), UnsoundFiles> {
        let root = self.inodes.get(InodeId::ROOT);
        let root = root.and_then(|root| root.directory());
        if root.map_err(|_| UnsoundFiles::NoRoot)?.parent != InodeId::ROOT {
            return Err(UnsoundFiles::NoRoot);
        }
        let mut seen = 0_usize;
        let mut waiting = vec![InodeId::ROOT];
        while let Some(id) = waiting.pop() {
            seen += 1;
            let Ok(directory) = self.inodes.get(id).and_then(Inode::directory) else {
                continue;
            };
            let is_directory = |inode: &InodeId| {
                let found = self.inodes.get(*inode);
                found.is_ok_and(|inode| inode.directory().is_ok())
            };
            let below = directory.iter().map(|(_, inode)| inode);
            waiting.extend(below.filter(is_directory));
        }
        let mut named = 0;
        for (id, inode) in self.inodes.iter() {
            let Node::Directory(directory) = &inode.node else {
                continue;
            };
            match inode.links {
                // A removed one is empty.
                0 if !directory.is_empty() => return Err(UnsoundFiles::Directory(id)),
                0 => {}
                _ => named += 1,
            }
        }
        match seen == named {
            true => Ok(()),
            false => Err(UnsoundFiles::Loop),
        }
    }
}
