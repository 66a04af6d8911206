//! What may be done with a descriptor ("rights" of the specification).
//!
//! Rights only ever shrink: a descriptor starts with those of its kind, or with those that
//! `path_open` was asked for, and `fd_fdstat_set_rights` takes some away.

use serde::{Deserialize, Serialize};

/// `fd_datasync`.
pub const FD_DATASYNC: u64 = 1 << 0;
/// `fd_read` and `sock_recv`.
pub const FD_READ: u64 = 1 << 1;
/// `fd_seek`.
pub const FD_SEEK: u64 = 1 << 2;
/// `fd_fdstat_set_flags`.
pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
/// `fd_sync`.
pub const FD_SYNC: u64 = 1 << 4;
/// `fd_tell`, and `fd_seek` that does not move.
pub const FD_TELL: u64 = 1 << 5;
/// `fd_write` and `sock_send`.
pub const FD_WRITE: u64 = 1 << 6;
/// `fd_advise`.
pub const FD_ADVISE: u64 = 1 << 7;
/// `fd_allocate`.
pub const FD_ALLOCATE: u64 = 1 << 8;
/// `path_create_directory`.
pub const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
/// `path_open` that makes a file.
pub const PATH_CREATE_FILE: u64 = 1 << 10;
/// `path_link` from here.
pub const PATH_LINK_SOURCE: u64 = 1 << 11;
/// `path_link` to here.
pub const PATH_LINK_TARGET: u64 = 1 << 12;
/// `path_open`.
pub const PATH_OPEN: u64 = 1 << 13;
/// `fd_readdir`.
pub const FD_READDIR: u64 = 1 << 14;
/// `path_readlink`.
pub const PATH_READLINK: u64 = 1 << 15;
/// `path_rename` from here.
pub const PATH_RENAME_SOURCE: u64 = 1 << 16;
/// `path_rename` to here.
pub const PATH_RENAME_TARGET: u64 = 1 << 17;
/// `path_filestat_get`.
pub const PATH_FILESTAT_GET: u64 = 1 << 18;
/// `path_open` that cuts a file to nothing.
pub const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
/// `path_filestat_set_times`.
pub const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
/// `fd_filestat_get`.
pub const FD_FILESTAT_GET: u64 = 1 << 21;
/// `fd_filestat_set_size`.
pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
/// `fd_filestat_set_times`.
pub const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
/// `path_symlink`.
pub const PATH_SYMLINK: u64 = 1 << 24;
/// `path_remove_directory`.
pub const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
/// `path_unlink_file`.
pub const PATH_UNLINK_FILE: u64 = 1 << 26;
/// `poll_oneoff`, together with FD_READ or FD_WRITE.
pub const POLL_FD_READWRITE: u64 = 1 << 27;
/// `sock_shutdown`.
pub const SOCK_SHUTDOWN: u64 = 1 << 28;
/// `sock_accept`.
pub const SOCK_ACCEPT: u64 = 1 << 29;

/// What applies to every kind of descriptor.
const COMMON: u64 = FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;

/// What can be done with a file.
pub const FILE: u64 = COMMON
    | FD_DATASYNC
    | FD_READ
    | FD_SEEK
    | FD_SYNC
    | FD_TELL
    | FD_WRITE
    | FD_ADVISE
    | FD_ALLOCATE
    | FD_FILESTAT_SET_SIZE
    | FD_FILESTAT_SET_TIMES;

/// What can be done with a directory.
pub const DIRECTORY: u64 = FD_FDSTAT_SET_FLAGS
    | FD_SYNC
    | FD_DATASYNC
    | FD_ADVISE
    | PATH_CREATE_DIRECTORY
    | PATH_CREATE_FILE
    | PATH_LINK_SOURCE
    | PATH_LINK_TARGET
    | PATH_OPEN
    | FD_READDIR
    | PATH_READLINK
    | PATH_RENAME_SOURCE
    | PATH_RENAME_TARGET
    | PATH_FILESTAT_GET
    | PATH_FILESTAT_SET_SIZE
    | PATH_FILESTAT_SET_TIMES
    | FD_FILESTAT_GET
    | FD_FILESTAT_SET_TIMES
    | PATH_SYMLINK
    | PATH_REMOVE_DIRECTORY
    | PATH_UNLINK_FILE;

/// What can be done with a connection.
pub const CONNECTION: u64 = COMMON | FD_READ | FD_WRITE | SOCK_SHUTDOWN;

/// What can be done with a listener. Reading stands for being polled.
pub const LISTENER: u64 = COMMON | FD_READ | SOCK_ACCEPT;

/// What can be done with standard input.
pub const INPUT: u64 = COMMON | FD_READ;

/// What can be done with standard output and error.
pub const OUTPUT: u64 = COMMON | FD_WRITE;

/// The rights of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// What may be done with the descriptor itself.
    pub base: u64,
    /// What may at most be done with descriptors that come out of it.
    pub inheriting: u64,
}

impl Rights {
    /// `base`, and nothing that is inherited.
    pub const fn only(base: u64) -> Rights {
        Rights {
            base,
            inheriting: 0,
        }
    }

    /// Whether `other` asks for nothing that is not here.
    pub const fn include(self, other: Rights) -> bool {
        other.base & !self.base == 0 && other.inheriting & !self.inheriting == 0
    }
}
