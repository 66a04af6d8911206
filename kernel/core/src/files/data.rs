//! Operations on an inode: bytes, size, attributes, listing.

use super::contents::{CHUNK_BYTES, Progress};
use super::directory::FIRST_PLACE;
use super::inode::Node;
use super::{FileError, FileKind, FileSystem, InodeId};
use crate::limits;

/// Attributes of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its number.
    pub inode: InodeId,
    /// What it is.
    pub kind: FileKind,
    /// Names that stand for it; for a directory also its own `.` and the `..` of its directories.
    pub links: u64,
    /// Bytes of the file or of the link's text; zero for a directory.
    pub size: u64,
    /// When it was last read, in wall time.
    pub accessed_ns: u64,
    /// When its bytes or entries last changed.
    pub modified_ns: u64,
    /// When anything of it last changed.
    pub changed_ns: u64,
}

/// What becomes of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// It stays.
    Keep,
    /// It becomes the present.
    Now,
    /// It becomes this, in nanoseconds of wall time.
    To(u64),
}

/// One entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// Where a listing goes on after this entry.
    pub next_cookie: u64,
    /// What the name stands for.
    pub inode: InodeId,
    /// What that is.
    pub kind: FileKind,
    /// The name.
    pub name: &'a str,
}

impl SetTime {
    fn apply(self, time_ns: &mut u64, now_ns: u64) {
        match self {
            SetTime::Keep => {}
            SetTime::Now => *time_ns = now_ns,
            SetTime::To(given_ns) => *time_ns = given_ns,
        }
    }
}

impl FileSystem {
    /// What an inode is.
    ///
    /// # Errors
    /// [`FileError::Stale`].
    pub fn kind(&self, inode: InodeId) -> Result<FileKind, FileError> {
        Ok(self.inodes.get(inode)?.node.kind())
    }

    /// Bytes of a file or of a link's text; zero for a directory.
    ///
    /// # Errors
    /// [`FileError::Stale`].
    pub fn size(&self, inode: InodeId) -> Result<u64, FileError> {
        Ok(self.inodes.get(inode)?.node.size())
    }

    /// Attributes.
    ///
    /// # Errors
    /// [`FileError::Stale`].
    pub fn stat(&self, inode: InodeId) -> Result<Stat, FileError> {
        let found = self.inodes.get(inode)?;
        let inner = match &found.node {
            Node::Directory(directory) => 1 + u64::from(directory.subdirectories),
            Node::File(_) | Node::SymbolicLink(_) => 0,
        };
        let links = match found.links {
            0 => 0,
            links => u64::from(links) + inner,
        };
        Ok(Stat {
            inode,
            kind: found.node.kind(),
            links,
            size: found.node.size(),
            accessed_ns: found.times.accessed_ns,
            modified_ns: found.times.modified_ns,
            changed_ns: found.times.changed_ns,
        })
    }

    /// Reads at `offset`; fewer bytes than asked for at the end of the file, none past it.
    ///
    /// # Errors
    /// [`FileError::IsDirectory`], [`FileError::InvalidArgument`] for a link, [`FileError::Stale`],
    /// [`FileError::MissingBlob`].
    pub fn read_at(
        &mut self,
        inode: InodeId,
        offset: u64,
        buffer: &mut [u8],
        now_ns: u64,
    ) -> Result<usize, FileError> {
        let found = self.inodes.get_mut(inode)?;
        let read = found.file()?.read_at(offset, buffer)?;
        found.times.accessed_ns = now_ns;
        Ok(read)
    }

    /// Writes at `offset`, with a hole before it when the file is shorter; fewer bytes than given
    /// when the limit is reached in between. No bytes change nothing.
    ///
    /// # Errors
    /// Those of [`Self::read_at`], [`FileError::NoSpace`] and [`FileError::TooLarge`].
    pub fn write_at(
        &mut self,
        inode: InodeId,
        offset: u64,
        bytes: &[u8],
        now_ns: u64,
    ) -> Result<usize, FileError> {
        // As much goes as comes, so that what is to be freed does not pile up.
        self.local.free(bytes.len() / CHUNK_BYTES + 2);
        let room = self.room_bytes();
        let found = self.inodes.get_mut(inode)?;
        let contents = found.file_mut()?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let held_before = contents.held_bytes();
        let result = contents.write_at(offset, bytes, room);
        let taken = contents.held_bytes() - held_before;
        self.usage.bytes += taken;
        self.local.take_heap(taken);
        if result.is_ok() {
            found.modified(now_ns);
        }
        result
    }

    /// Makes a file `size` bytes long: cuts it, or lengthens it by a hole. A long cut is made in
    /// pieces, from the end on; one to nothing is whole at once.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], [`FileError::NoSpace`] when the node has no memory to cut a chunk that a
    /// capture shares, and those of [`Self::read_at`].
    pub fn set_size(
        &mut self,
        inode: InodeId,
        size: u64,
        now_ns: u64,
    ) -> Result<Progress, FileError> {
        let found = self.inodes.get_mut(inode)?;
        let contents = found.file_mut()?;
        let held_before = contents.held_bytes();
        let result = if size == 0 {
            self.local.discard(contents.clear(), held_before);
            Ok(Progress::Done)
        } else {
            contents.set_size(size)
        };
        self.usage.bytes -= held_before - contents.held_bytes();
        if result.is_ok() {
            found.modified(now_ns);
        }
        result
    }

    /// Makes a file at least `offset + length` bytes long, if the limit leaves that much. Nothing is
    /// set aside: bytes are counted when they are written.
    ///
    /// # Errors
    /// [`FileError::InvalidArgument`] without a length, and those of [`Self::write_at`].
    pub fn allocate(
        &mut self,
        inode: InodeId,
        offset: u64,
        length: u64,
        now_ns: u64,
    ) -> Result<(), FileError> {
        let size = self.inodes.get(inode)?.file()?.size();
        if length == 0 {
            return Err(FileError::InvalidArgument);
        }
        let end = offset.checked_add(length).ok_or(FileError::TooLarge)?;
        if end > limits::FILE_SIZE_BYTES {
            return Err(FileError::TooLarge);
        }
        if end <= size {
            return Ok(());
        }
        if end - size > self.room_bytes() {
            return Err(FileError::NoSpace);
        }
        // The file grows, which is one piece.
        self.set_size(inode, end, now_ns).map(|_| ())
    }

    /// Sets the times at which an inode was read and changed.
    ///
    /// # Errors
    /// [`FileError::Stale`].
    pub fn set_times(
        &mut self,
        inode: InodeId,
        accessed: SetTime,
        modified: SetTime,
        now_ns: u64,
    ) -> Result<(), FileError> {
        let times = &mut self.inodes.get_mut(inode)?.times;
        accessed.apply(&mut times.accessed_ns, now_ns);
        modified.apply(&mut times.modified_ns, now_ns);
        times.changed_ns = now_ns;
        Ok(())
    }

    /// Lists a directory from `cookie` on: zero for the beginning, then the `next_cookie` of the last
    /// entry that was taken. `.` and `..` come first, the others in the order in which they were made;
    /// an entry that stays while others come and go is listed once.
    ///
    /// # Errors
    /// [`FileError::NotDirectory`] and [`FileError::Stale`].
    pub fn read_directory(
        &mut self,
        inode: InodeId,
        cookie: u64,
        now_ns: u64,
    ) -> Result<impl Iterator<Item = DirectoryEntry<'_>>, FileError> {
        let found = self.inodes.get_mut(inode)?;
        found.directory()?;
        found.times.accessed_ns = now_ns;
        let this = &*self;
        let directory = this.inodes.get(inode)?.directory()?;
        // A removed directory lists nothing, not even itself.
        let own = match this.inodes.get(inode)?.links {
            0 => 0,
            _ => 2,
        };
        let entries = [(0, ".", inode), (1, "..", directory.parent)]
            .into_iter()
            .take(own)
            .filter(move |&(place, ..)| place >= cookie)
            .chain(directory.beginning_at(cookie.max(FIRST_PLACE)));
        Ok(entries.filter_map(|(place, name, inode)| {
            Some(DirectoryEntry {
                next_cookie: place + 1,
                inode,
                kind: this.kind(inode).ok()?,
                name,
            })
        }))
    }

    /// The first run of bytes from `offset` on, at most `most` of them, that may be other than zero:
    /// where it begins and how many it has; none in the hole at the file's end. For whoever copies
    /// files out.
    ///
    /// # Errors
    /// Those of [`Self::read_at`].
    pub fn data_from(
        &self,
        inode: InodeId,
        offset: u64,
        most: u64,
    ) -> Result<Option<(u64, u64)>, FileError> {
        Ok(self.inodes.get(inode)?.file()?.data_from(offset, most))
    }

    /// Reads as [`Self::read_at`] does, without a trace: for whoever copies files out.
    ///
    /// # Errors
    /// Those of [`Self::read_at`].
    pub fn peek_at(
        &self,
        inode: InodeId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, FileError> {
        self.inodes.get(inode)?.file()?.read_at(offset, buffer)
    }
}
