//! Files as WASI names them.

use sos_abi::wasi::Errno;

use super::wire::{FileStat, FileType};
use crate::files::{FileError, FileKind, Stat};

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
