//! Functions on paths: each from a directory that the program has open, and never out of it.

use sos_abi::wasi::Errno;

use super::descriptors::{Descriptor, Kind};
use super::fd::flags;
use super::files::times;
use super::memory::{Out, bytes, bytes_mut};
use super::rights::{self, Rights};
use super::wire::{FILESTAT_BYTES, FileStat, fd_flags, lookup_flags, open_flags};
use super::{Progress, WasiResult};
use crate::files::{Create, FileError, FileKind, Follow, InodeId, Must, OpenOptions, Truncate};
use crate::host::guest::Guest;
use crate::host::memory::Arguments;
use crate::limits;

/// Fuel that looking up a path is worth, besides its bytes and its parts (`FILE_STEP_FUEL`).
const PATH_FUEL: u64 = 100;

impl Guest {
    pub(super) fn path_create_directory(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let start = self.directory(arguments.u32(0), rights::PATH_CREATE_DIRECTORY)?;
        let path = self.path(memory, arguments, 1)?;
        let now_ns = self.clock.wall_nanos();
        self.files.create_directory(start, path, now_ns)?;
        Ok(Progress::Done)
    }

    pub(super) fn path_filestat_get(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let start = self.directory(arguments.u32(0), rights::PATH_FILESTAT_GET)?;
        let follow = follow(arguments, 1)?;
        let out = Out::<FILESTAT_BYTES>::new(memory, arguments.u32(4))?;
        let path = self.path(memory, arguments, 2)?;
        let inode = self.files.lookup(start, path, follow)?;
        let stat = FileStat::from(self.files.stat(inode)?);
        out.write(memory, stat.encode())?;
        Ok(Progress::Done)
    }

    pub(super) fn path_filestat_set_times(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let start = self.directory(arguments.u32(0), rights::PATH_FILESTAT_SET_TIMES)?;
        let follow = follow(arguments, 1)?;
        let (accessed, modified) = times(arguments, [4, 5], 6)?;
        let path = self.path(memory, arguments, 2)?;
        let inode = self.files.lookup(start, path, follow)?;
        let now_ns = self.clock.wall_nanos();
        self.files.set_times(inode, accessed, modified, now_ns)?;
        Ok(Progress::Done)
    }

    pub(super) fn path_link(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let start = self.directory(arguments.u32(0), rights::PATH_LINK_SOURCE)?;
        let new_start = self.directory(arguments.u32(4), rights::PATH_LINK_TARGET)?;
        let follow = follow(arguments, 1)?;
        let path = self.path(memory, arguments, 2)?;
        let new_path = self.path(memory, arguments, 5)?;
        let now_ns = self.clock.wall_nanos();
        self.files
            .link(start, path, follow, new_start, new_path, now_ns)?;
        Ok(Progress::Done)
    }

    pub(super) fn path_open(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let (options, needed) = open_options(arguments)?;
        let start = self.directory(arguments.u32(0), needed)?;
        let granted = self.descriptors.get(arguments.u32(0))?.rights.inheriting;
        let wanted = Rights {
            base: arguments.i64(5) as u64,
            inheriting: arguments.i64(6) as u64,
        };
        let fd_flags = flags(arguments.u32(7), fd_flags::ALL)?;
        let out = Out::<4>::new(memory, arguments.u32(8))?;
        let path = self.path(memory, arguments, 2)?;
        self.descriptors.check_room()?;
        // The file's kind decides which rights count, and nothing is made or emptied without them.
        let found = self.files.lookup(start, path, options.follow);
        let kind = match (options.create, found) {
            (Create::Never | Create::IfMissing, Ok(inode)) => self.files.kind(inode)?,
            (Create::Exclusive, _) | (_, Err(_)) => FileKind::File,
        };
        let rights = applicable_rights(wanted, granted, kind)?;
        let now_ns = self.clock.wall_nanos();
        let inode = self.files.open(start, path, options, now_ns)?;
        let kind = match self.files.kind(inode)? {
            FileKind::Directory => Kind::Directory { inode },
            FileKind::File | FileKind::SymbolicLink => Kind::File { inode, position: 0 },
        };
        let mut descriptor = Descriptor::new(kind, rights);
        descriptor.flags = fd_flags;
        let number = self.descriptors.insert(descriptor)?;
        out.write_u32(memory, number)?;
        Ok(Progress::Done)
    }

    pub(super) fn path_readlink(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let start = self.directory(arguments.u32(0), rights::PATH_READLINK)?;
        let (buffer, capacity) = (arguments.u32(3), arguments.u32(4));
        bytes(memory, buffer, capacity)?;
        let out = Out::<4>::new(memory, arguments.u32(5))?;
        let path = self.path(memory, arguments, 1)?;
        let now_ns = self.clock.wall_nanos();
        let text = self.files.read_link(start, path, now_ns)?.as_bytes();
        // A text that does not fit is cut, as POSIX says. Texts are far below 4 GiB.
        let length = text.len().min(capacity as usize);
        bytes_mut(memory, buffer, length as u32)?.copy_from_slice(&text[..length]);
        out.write_u32(memory, length as u32)?;
        Ok(Progress::Done)
    }

    pub(super) fn path_remove_directory(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let start = self.directory(arguments.u32(0), rights::PATH_REMOVE_DIRECTORY)?;
        let path = self.path(memory, arguments, 1)?;
        let now_ns = self.clock.wall_nanos();
        self.files.remove_directory(start, path, now_ns)?;
        Ok(Progress::Done)
    }

    pub(super) fn path_rename(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let start = self.directory(arguments.u32(0), rights::PATH_RENAME_SOURCE)?;
        let new_start = self.directory(arguments.u32(3), rights::PATH_RENAME_TARGET)?;
        let path = self.path(memory, arguments, 1)?;
        let new_path = self.path(memory, arguments, 4)?;
        let now_ns = self.clock.wall_nanos();
        self.files
            .rename(start, path, new_start, new_path, now_ns)?;
        Ok(Progress::Done)
    }

    pub(super) fn path_symlink(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let start = self.directory(arguments.u32(2), rights::PATH_SYMLINK)?;
        let text = self.path(memory, arguments, 0)?;
        let path = self.path(memory, arguments, 3)?;
        let now_ns = self.clock.wall_nanos();
        self.files.symbolic_link(text, start, path, now_ns)?;
        Ok(Progress::Done)
    }

    pub(super) fn path_unlink_file(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let start = self.directory(arguments.u32(0), rights::PATH_UNLINK_FILE)?;
        let path = self.path(memory, arguments, 1)?;
        let now_ns = self.clock.wall_nanos();
        self.files.unlink(start, path, now_ns)?;
        Ok(Progress::Done)
    }

    /// The directory of a descriptor that has `rights`.
    pub(super) fn directory(&self, number: u32, rights: u64) -> Result<InodeId, Errno> {
        let descriptor = self.descriptors.get(number)?;
        let Kind::Directory { inode } = descriptor.kind else {
            return Err(Errno::NotDir);
        };
        descriptor.require(rights)?;
        Ok(inode)
    }

    /// The path whose pointer is argument `index` and whose length is the one after it, paid for.
    fn path<'a>(
        &mut self,
        memory: &'a [u8],
        arguments: Arguments<'_>,
        index: usize,
    ) -> Result<&'a [u8], Errno> {
        let path = bytes(memory, arguments.u32(index), arguments.u32(index + 1))?;
        self.charge(PATH_FUEL);
        // A longer one is refused by its length.
        self.charge_bytes(path.len().min(limits::PATH_BYTES));
        Ok(path)
    }
}

/// Whether argument `index` says to follow a symbolic link at the end of a path.
fn follow(arguments: Arguments<'_>, index: usize) -> Result<Follow, Errno> {
    match arguments.u32(index) {
        0 => Ok(Follow::NoFollow),
        lookup_flags::SYMLINK_FOLLOW => Ok(Follow::Follow),
        _ => Err(Errno::Inval),
    }
}

/// What the flags of `path_open` mean, and the rights that the directory needs for it.
fn open_options(arguments: Arguments<'_>) -> Result<(OpenOptions, u64), Errno> {
    let open = flags(arguments.u32(4), open_flags::ALL)?;
    let has = |flag| open & flag != 0;
    if has(open_flags::CREATE) && has(open_flags::DIRECTORY) {
        return Err(Errno::Inval);
    }
    let mut needed = rights::PATH_OPEN;
    let mut options = OpenOptions {
        follow: follow(arguments, 1)?,
        ..OpenOptions::default()
    };
    if has(open_flags::CREATE) {
        needed |= rights::PATH_CREATE_FILE;
        options.create = match has(open_flags::EXCLUSIVE) {
            true => Create::Exclusive,
            false => Create::IfMissing,
        };
    }
    if has(open_flags::TRUNCATE) {
        needed |= rights::PATH_FILESTAT_SET_SIZE;
        options.truncate = Truncate::Empty;
    }
    if has(open_flags::DIRECTORY) {
        options.must = Must::BeDirectory;
    }
    Ok((options, needed))
}

/// The rights of a descriptor that is opened: of those that are wanted the ones that mean something
/// for its kind, all of which must be granted.
fn applicable_rights(wanted: Rights, granted: u64, kind: FileKind) -> Result<Rights, Errno> {
    let rights = match kind {
        FileKind::Directory if wanted.base & rights::FD_WRITE != 0 => {
            return Err(FileError::IsDirectory.into());
        }
        FileKind::Directory => Rights {
            base: wanted.base & rights::DIRECTORY,
            inheriting: wanted.inheriting & (rights::DIRECTORY | rights::FILE),
        },
        FileKind::File | FileKind::SymbolicLink => Rights::only(wanted.base & rights::FILE),
    };
    match (rights.base | rights.inheriting) & !granted {
        0 => Ok(rights),
        _ => Err(Errno::NotCapable),
    }
}
