//! Operations on paths: making, opening, renaming and removing.

use alloc::string::String;

use super::contents::Contents;
use super::directory::Directory;
use super::inode::{Inode, Node};
use super::resolve::{LastLink, Named, Place, Slash};
use super::{FileError, FileKind, FileSystem, Follow, InodeId};
use crate::limits;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// What becomes of a symbolic link at the end of the path. One that is not followed is an error.
    pub follow: Follow,
    /// Whether the file is made.
    pub create: Create,
    /// What must be there.
    pub must: Must,
    /// Whether the file is emptied.
    pub truncate: Truncate,
}

/// Whether a file is made when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// It must be there.
    Never,
    /// It is made when it is not there.
    IfMissing,
    /// It must not be there; a symbolic link is not followed.
    Exclusive,
}

/// What a path that is opened must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// A file or a directory.
    BeAny,
    /// A directory.
    BeDirectory,
}

/// Whether a file is emptied when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncate {
    /// It stays as it is.
    Keep,
    /// Its bytes go.
    Empty,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            follow: Follow::Follow,
            create: Create::Never,
            must: Must::BeAny,
            truncate: Truncate::Keep,
        }
    }
}

impl FileSystem {
    /// Opens a file or directory, or makes a file. The inode is retained: whoever gets it owes one
    /// [`FileSystem::release`].
    ///
    /// # Errors
    /// Those of the path; [`FileError::NotFound`], [`FileError::Exists`], [`FileError::NotDirectory`],
    /// [`FileError::IsDirectory`] for a directory that shall be made or emptied, [`FileError::Loop`]
    /// for a link, [`FileError::InvalidArgument`] for a directory that shall be made,
    /// [`FileError::NoSpace`].
    pub fn open(
        &mut self,
        start: InodeId,
        path: &[u8],
        options: OpenOptions,
        now_ns: u64,
    ) -> Result<InodeId, FileError> {
        let last_link = match options.create {
            Create::Exclusive => LastLink::Keep,
            Create::Never | Create::IfMissing => options.follow.into(),
        };
        let inode = match self.resolve(start, path, last_link)? {
            Place::Name(Named {
                inode: None,
                parent,
                name,
                slash,
            }) => {
                check_creation(options, slash)?;
                self.make(parent, &name, Node::File(Contents::default()), now_ns)?
            }
            _ if options.create == Create::Exclusive => return Err(FileError::Exists),
            Place::Name(Named {
                inode: Some(inode),
                slash,
                ..
            }) => self.check_existing(inode, slash, options)?,
            Place::Itself(inode) => self.check_existing(inode, Slash::Present, options)?,
        };
        if options.truncate == Truncate::Empty {
            self.set_size(inode, 0, now_ns)?;
        }
        self.retain(inode)?;
        Ok(inode)
    }

    /// Makes sure that an inode may be opened with `options`.
    fn check_existing(
        &self,
        inode: InodeId,
        slash: Slash,
        options: OpenOptions,
    ) -> Result<InodeId, FileError> {
        let wants_directory = slash == Slash::Present || options.must == Must::BeDirectory;
        match self.kind(inode)? {
            FileKind::File if wants_directory => Err(FileError::NotDirectory),
            FileKind::SymbolicLink => Err(FileError::Loop),
            FileKind::Directory
                if options.create != Create::Never || options.truncate == Truncate::Empty =>
            {
                Err(FileError::IsDirectory)
            }
            FileKind::File | FileKind::Directory => Ok(inode),
        }
    }

    /// Makes an inode with one name.
    pub(super) fn make(
        &mut self,
        parent: InodeId,
        name: &str,
        node: Node,
        now_ns: u64,
    ) -> Result<InodeId, FileError> {
        self.require_present(parent)?;
        self.require_name()?;
        self.usage.bytes += node.held_bytes();
        let inode = self.inodes.add(Inode::new(node, now_ns));
        self.add_name(parent, name, inode, now_ns)?;
        Ok(inode)
    }

    /// Makes sure that a directory was not removed: nothing is made in such a one.
    fn require_present(&self, directory: InodeId) -> Result<(), FileError> {
        match self.inodes.get(directory)?.links {
            0 => Err(FileError::NotFound),
            _ => Ok(()),
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// Those of the path; [`FileError::Exists`], [`FileError::NoSpace`].
    pub fn create_directory(
        &mut self,
        start: InodeId,
        path: &[u8],
        now_ns: u64,
    ) -> Result<InodeId, FileError> {
        match self.resolve(start, path, LastLink::Keep)? {
            Place::Name(Named {
                parent,
                name,
                inode: None,
                ..
            }) => {
                let node = Node::Directory(Directory::new(parent));
                self.make(parent, &name, node, now_ns)
            }
            Place::Name(_) | Place::Itself(_) => Err(FileError::Exists),
        }
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of the path; [`FileError::NotFound`], [`FileError::NotDirectory`],
    /// [`FileError::NotEmpty`], [`FileError::InvalidArgument`] for `.` and `..`.
    pub fn remove_directory(
        &mut self,
        start: InodeId,
        path: &[u8],
        now_ns: u64,
    ) -> Result<(), FileError> {
        let Place::Name(named) = self.resolve(start, path, LastLink::Keep)? else {
            return Err(FileError::InvalidArgument);
        };
        let inode = named.inode.ok_or(FileError::NotFound)?;
        if !self.inodes.get(inode)?.directory()?.is_empty() {
            return Err(FileError::NotEmpty);
        }
        self.remove_name(named.parent, &named.name, now_ns)
    }

    /// Removes a name of a file or a symbolic link.
    ///
    /// # Errors
    /// Those of the path; [`FileError::NotFound`], [`FileError::IsDirectory`],
    /// [`FileError::NotDirectory`] for a slash after a file.
    pub fn unlink(&mut self, start: InodeId, path: &[u8], now_ns: u64) -> Result<(), FileError> {
        let Place::Name(named) = self.resolve(start, path, LastLink::Keep)? else {
            return Err(FileError::IsDirectory);
        };
        let inode = named.inode.ok_or(FileError::NotFound)?;
        if self.kind(inode)? == FileKind::Directory {
            return Err(FileError::IsDirectory);
        }
        if named.slash == Slash::Present {
            return Err(FileError::NotDirectory);
        }
        self.remove_name(named.parent, &named.name, now_ns)
    }

    /// Gives a file or a symbolic link a second name.
    ///
    /// # Errors
    /// Those of the paths; [`FileError::NotFound`], [`FileError::Exists`],
    /// [`FileError::NotPermitted`] for a directory, [`FileError::TooManyLinks`],
    /// [`FileError::NoSpace`].
    pub fn link(
        &mut self,
        start: InodeId,
        path: &[u8],
        follow: Follow,
        new_start: InodeId,
        new_path: &[u8],
        now_ns: u64,
    ) -> Result<(), FileError> {
        let inode = self.lookup(start, path, follow)?;
        let (parent, name) = self.free_name(new_start, new_path)?;
        let found = self.inodes.get(inode)?;
        if found.node.kind() == FileKind::Directory {
            return Err(FileError::NotPermitted);
        }
        if found.links >= limits::FILE_LINKS {
            return Err(FileError::TooManyLinks);
        }
        self.require_present(parent)?;
        self.require_name()?;
        self.add_name(parent, &name, inode, now_ns)
    }

    /// Makes a symbolic link that holds `text`, which need not name anything.
    ///
    /// # Errors
    /// Those of the path and of `text` as one; [`FileError::Exists`], [`FileError::NoSpace`].
    pub fn symbolic_link(
        &mut self,
        text: &[u8],
        start: InodeId,
        path: &[u8],
        now_ns: u64,
    ) -> Result<InodeId, FileError> {
        let text = super::resolve::path_text(text)?;
        let (parent, name) = self.free_name(start, path)?;
        if text.len() as u64 > self.room_bytes() {
            return Err(FileError::NoSpace);
        }
        self.make(parent, &name, Node::SymbolicLink(text.into()), now_ns)
    }

    /// A name that is to be given to something other than a directory, and is free.
    fn free_name(&self, start: InodeId, path: &[u8]) -> Result<(InodeId, String), FileError> {
        match self.resolve(start, path, LastLink::Keep)? {
            Place::Itself(_) | Place::Name(Named { inode: Some(_), .. }) => Err(FileError::Exists),
            Place::Name(Named {
                slash: Slash::Present,
                ..
            }) => Err(FileError::NotFound),
            Place::Name(named) => Ok((named.parent, named.name)),
        }
    }

    /// What a symbolic link holds.
    ///
    /// # Errors
    /// Those of the path; [`FileError::NotFound`], [`FileError::InvalidArgument`] for what is no
    /// link.
    pub fn read_link(
        &mut self,
        start: InodeId,
        path: &[u8],
        now_ns: u64,
    ) -> Result<&str, FileError> {
        let inode = self.lookup(start, path, Follow::NoFollow)?;
        let found = self.inodes.get_mut(inode)?;
        found.times.accessed_ns = now_ns;
        match &found.node {
            Node::SymbolicLink(text) => Ok(text),
            Node::File(_) | Node::Directory(_) => Err(FileError::InvalidArgument),
        }
    }

    /// Gives a file, link or directory another name, in place of what has it. Two names of one file
    /// stay as they are.
    ///
    /// # Errors
    /// Those of the paths; [`FileError::NotFound`], [`FileError::Busy`] for `.` and `..`,
    /// [`FileError::InvalidArgument`] for a directory into itself, [`FileError::NotEmpty`],
    /// [`FileError::IsDirectory`] or [`FileError::NotDirectory`] for a file in place of a directory or
    /// the reverse.
    pub fn rename(
        &mut self,
        start: InodeId,
        path: &[u8],
        new_start: InodeId,
        new_path: &[u8],
        now_ns: u64,
    ) -> Result<(), FileError> {
        let old = self.resolve(start, path, LastLink::Keep)?;
        let new = self.resolve(new_start, new_path, LastLink::Keep)?;
        let (Place::Name(old), Place::Name(new)) = (old, new) else {
            return Err(FileError::Busy);
        };
        let inode = old.inode.ok_or(FileError::NotFound)?;
        let kind = self.kind(inode)?;
        self.check_rename(inode, kind, &old, &new)?;
        if new.inode == Some(inode) {
            return Ok(());
        }
        if let Some(replaced) = new.inode {
            self.check_replacement(kind, old.parent, replaced)?;
        }
        self.move_name(inode, kind, &old, &new, now_ns)
    }

    /// Makes sure that a name may move at all.
    fn check_rename(
        &self,
        inode: InodeId,
        kind: FileKind,
        old: &Named,
        new: &Named,
    ) -> Result<(), FileError> {
        self.require_present(new.parent)?;
        let wants_directory = old.slash == Slash::Present || new.slash == Slash::Present;
        match kind {
            FileKind::Directory if self.is_inside(new.parent, inode)? => {
                Err(FileError::InvalidArgument)
            }
            FileKind::File | FileKind::SymbolicLink if wants_directory => {
                Err(FileError::NotDirectory)
            }
            FileKind::Directory | FileKind::File | FileKind::SymbolicLink => Ok(()),
        }
    }

    /// Makes sure that something of `kind` in `parent` may take the place of `replaced`.
    fn check_replacement(
        &self,
        kind: FileKind,
        parent: InodeId,
        replaced: InodeId,
    ) -> Result<(), FileError> {
        // As on Linux, this comes before the question whether the kinds agree.
        if self.is_inside(parent, replaced)? {
            return Err(FileError::NotEmpty);
        }
        match (kind, &self.inodes.get(replaced)?.node) {
            (FileKind::Directory, Node::Directory(directory)) if !directory.is_empty() => {
                Err(FileError::NotEmpty)
            }
            (FileKind::Directory, Node::Directory(_)) => Ok(()),
            (FileKind::Directory, _) => Err(FileError::NotDirectory),
            (_, Node::Directory(_)) => Err(FileError::IsDirectory),
            (_, Node::File(_) | Node::SymbolicLink(_)) => Ok(()),
        }
    }

    /// Whether `directory` is `ancestor` or lies below it.
    fn is_inside(&self, directory: InodeId, ancestor: InodeId) -> Result<bool, FileError> {
        let mut current = directory;
        while current != ancestor {
            self.local.step();
            let parent = self.inodes.get(current)?.directory()?.parent;
            if parent == current {
                return Ok(false);
            }
            current = parent;
        }
        Ok(true)
    }

    /// Moves a name whose move was checked.
    fn move_name(
        &mut self,
        inode: InodeId,
        kind: FileKind,
        old: &Named,
        new: &Named,
        now_ns: u64,
    ) -> Result<(), FileError> {
        let from = self.inodes.get_mut(old.parent)?;
        from.modified(now_ns);
        let directory = from.directory_mut()?;
        directory.remove(&old.name);
        if kind == FileKind::Directory {
            directory.subdirectories -= 1;
        }
        let to = self.inodes.get_mut(new.parent)?;
        to.modified(now_ns);
        let directory = to.directory_mut()?;
        let replaced = directory.set(&new.name, inode);
        if kind == FileKind::Directory {
            directory.subdirectories += 1;
        }
        let moved = self.inodes.get_mut(inode)?;
        moved.times.changed_ns = now_ns;
        if let Node::Directory(directory) = &mut moved.node {
            directory.parent = new.parent;
        }
        match replaced {
            Some(replaced) => self.lose_name(new.parent, replaced, now_ns),
            None => Ok(()),
        }
    }
}

/// Makes sure that a file may be made by opening it.
fn check_creation(options: OpenOptions, slash: Slash) -> Result<(), FileError> {
    match (options.create, options.must, slash) {
        (Create::Never, _, _) => Err(FileError::NotFound),
        (_, Must::BeDirectory, _) => Err(FileError::InvalidArgument),
        (_, _, Slash::Present) => Err(FileError::IsDirectory),
        (Create::IfMissing | Create::Exclusive, Must::BeAny, Slash::Absent) => Ok(()),
    }
}
