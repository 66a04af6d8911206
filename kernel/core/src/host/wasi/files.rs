//! Open files: attributes, size, times, and what is asked of their store.
//!
//! What is written is in its only store when the call returns, so that `fd_sync` and `fd_datasync`
//! have nothing to do, and advice changes nothing.

use sos_abi::wasi::Errno;

use super::descriptors::Kind;
use super::rights::{
    FD_ADVISE, FD_ALLOCATE, FD_DATASYNC, FD_FILESTAT_SET_SIZE, FD_FILESTAT_SET_TIMES, FD_SYNC,
};
use super::wire::{FileStat, FileType, advice, set_times};
use super::{Progress, WasiResult};
use crate::files::{self, FileError, FileKind, InodeId, SetTime, Stat};
use crate::host::guest::Guest;
use crate::host::memory::Arguments;
use crate::host::pending::Wait;

/// The device that all files of an instance lie on.
const FILE_DEVICE: u64 = 1;

impl From<FileError> for Errno {
    fn from(error: FileError) -> Errno {
        match error {
            FileError::NotFound => Errno::NoEnt,
            FileError::Exists => Errno::Exist,
            FileError::NotDirectory => Errno::NotDir,
            FileError::IsDirectory => Errno::IsDir,
            FileError::InvalidArgument => Errno::Inval,
            FileError::NotEmpty => Errno::NotEmpty,
            FileError::NoSpace => Errno::NoSpc,
            FileError::NameTooLong => Errno::NameTooLong,
            FileError::Loop => Errno::Loop,
            FileError::Escapes | FileError::NotPermitted => Errno::Perm,
            FileError::InvalidPath => Errno::IlSeq,
            FileError::TooLarge => Errno::FBig,
            FileError::Busy => Errno::Busy,
            FileError::TooManyLinks => Errno::MLink,
            FileError::Stale => Errno::Stale,
            FileError::MissingBlob => Errno::Io,
        }
    }
}

impl From<FileKind> for FileType {
    fn from(kind: FileKind) -> FileType {
        match kind {
            FileKind::File => FileType::RegularFile,
            FileKind::Directory => FileType::Directory,
            FileKind::SymbolicLink => FileType::SymbolicLink,
        }
    }
}

impl From<Stat> for FileStat {
    fn from(stat: Stat) -> FileStat {
        FileStat {
            device: FILE_DEVICE,
            inode: stat.inode.number(),
            file_type: stat.kind.into(),
            links: stat.links,
            size: stat.size,
            access_time: stat.accessed_ns,
            modification_time: stat.modified_ns,
            change_time: stat.changed_ns,
        }
    }
}

impl Guest {
    pub(super) fn fd_advise(&mut self, arguments: Arguments<'_>) -> WasiResult {
        self.file(arguments.u32(0), FD_ADVISE)?;
        let (offset, length) = (arguments.i64(1) as u64, arguments.i64(2) as u64);
        if arguments.u32(3) > advice::MOST || offset.checked_add(length).is_none() {
            return Err(Errno::Inval);
        }
        Ok(Progress::Done)
    }

    pub(super) fn fd_allocate(&mut self, arguments: Arguments<'_>) -> WasiResult {
        let inode = self.file(arguments.u32(0), FD_ALLOCATE)?;
        let (offset, length) = (arguments.i64(1) as u64, arguments.i64(2) as u64);
        let now_ns = self.clock.wall_nanos();
        self.files.allocate(inode, offset, length, now_ns)?;
        Ok(Progress::Done)
    }

    pub(super) fn fd_datasync(&mut self, arguments: Arguments<'_>) -> WasiResult {
        self.file_or_directory(arguments.u32(0), FD_DATASYNC)?;
        Ok(Progress::Done)
    }

    pub(super) fn fd_sync(&mut self, arguments: Arguments<'_>) -> WasiResult {
        self.file_or_directory(arguments.u32(0), FD_SYNC)?;
        Ok(Progress::Done)
    }

    pub(super) fn fd_filestat_set_size(&mut self, arguments: Arguments<'_>) -> WasiResult {
        let inode = self.file(arguments.u32(0), FD_FILESTAT_SET_SIZE)?;
        let now_ns = self.clock.wall_nanos();
        let size = arguments.i64(1) as u64;
        Ok(match self.files.set_size(inode, size, now_ns)? {
            files::Progress::Done => Progress::Done,
            // The file itself says how far it came.
            files::Progress::Partly => Progress::Wait(Wait::Piece { moved: 0 }),
        })
    }

    pub(super) fn fd_filestat_set_times(&mut self, arguments: Arguments<'_>) -> WasiResult {
        let inode = self.file_or_directory(arguments.u32(0), FD_FILESTAT_SET_TIMES)?;
        let (accessed, modified) = times(arguments, [1, 2], 3)?;
        let now_ns = self.clock.wall_nanos();
        self.files.set_times(inode, accessed, modified, now_ns)?;
        Ok(Progress::Done)
    }

    /// The file of a descriptor that has `rights`.
    fn file(&self, number: u32, rights: u64) -> Result<InodeId, Errno> {
        let descriptor = self.descriptors.get(number)?;
        let inode = match descriptor.kind {
            Kind::File { inode, .. } => inode,
            Kind::Directory { .. } => return Err(Errno::IsDir),
            Kind::Stream(_) | Kind::Listener(_) | Kind::Connection(_) => return Err(Errno::SPipe),
        };
        descriptor.require(rights)?;
        Ok(inode)
    }

    /// The file or directory of a descriptor that has `rights`.
    fn file_or_directory(&self, number: u32, rights: u64) -> Result<InodeId, Errno> {
        let descriptor = self.descriptors.get(number)?;
        let inode = match descriptor.kind {
            Kind::File { inode, .. } | Kind::Directory { inode } => inode,
            Kind::Stream(_) | Kind::Listener(_) | Kind::Connection(_) => return Err(Errno::Inval),
        };
        descriptor.require(rights)?;
        Ok(inode)
    }
}

/// What becomes of the times of access and modification: their arguments, and that of the flags.
pub(super) fn times(
    arguments: Arguments<'_>,
    given: [usize; 2],
    flags: usize,
) -> Result<(SetTime, SetTime), Errno> {
    let flags = arguments.flags(flags, set_times::ALL);
    let flags = flags.map_err(|_| Errno::Inval)?;
    let choose = |to: u32, now: u32, given: usize| match (flags & to != 0, flags & now != 0) {
        (false, false) => Ok(SetTime::Keep),
        (true, false) => Ok(SetTime::To(arguments.i64(given) as u64)),
        (false, true) => Ok(SetTime::Now),
        (true, true) => Err(Errno::Inval),
    };
    let accessed = choose(set_times::ACCESS, set_times::ACCESS_NOW, given[0])?;
    let modified = choose(
        set_times::MODIFICATION,
        set_times::MODIFICATION_NOW,
        given[1],
    )?;
    Ok((accessed, modified))
}
