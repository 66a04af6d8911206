//! The numbers and layouts of WASI preview 1 ("typenames.witx" of the specification).

/// What a descriptor is ("filetype").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    /// A pipe.
    Unknown = 0,
    /// A console.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A file.
    RegularFile = 4,
    /// A TCP listener or connection.
    SocketStream = 6,
    /// A symbolic link.
    SymbolicLink = 7,
}

/// Flags of a descriptor ("fdflags").
pub mod fd_flags {
    /// What is written goes to the file's end.
    pub const APPEND: u16 = 1 << 0;
    /// Written data is in its store when the call returns.
    pub const DSYNC: u16 = 1 << 1;
    /// No call waits.
    pub const NONBLOCK: u16 = 1 << 2;
    /// Reads meet what DSYNC and SYNC say of writes.
    pub const RSYNC: u16 = 1 << 3;
    /// Written data and attributes are in their store when the call returns.
    pub const SYNC: u16 = 1 << 4;
    /// All of them.
    pub const ALL: u16 = APPEND | DSYNC | NONBLOCK | RSYNC | SYNC;
}

/// Advice on how a file will be read ("advice").
pub mod advice {
    /// The last of them, counted from zero.
    pub const MOST: u32 = 5;
}

/// Which timestamps are set, and to what ("fstflags").
pub mod set_times {
    /// The time of access, to what is given.
    pub const ACCESS: u32 = 1 << 0;
    /// The time of access, to the present.
    pub const ACCESS_NOW: u32 = 1 << 1;
    /// The time of modification, to what is given.
    pub const MODIFICATION: u32 = 1 << 2;
    /// The time of modification, to the present.
    pub const MODIFICATION_NOW: u32 = 1 << 3;
    /// All of them.
    pub const ALL: u32 = ACCESS | ACCESS_NOW | MODIFICATION | MODIFICATION_NOW;
}

/// How a path is looked up ("lookupflags").
pub mod lookup_flags {
    /// A symbolic link at its end is followed.
    pub const SYMLINK_FOLLOW: u32 = 1 << 0;
}

/// What `path_open` does besides opening ("oflags").
pub mod open_flags {
    /// A file that is missing is made.
    pub const CREATE: u16 = 1 << 0;
    /// It must be a directory.
    pub const DIRECTORY: u16 = 1 << 1;
    /// A file that is to be made must be missing.
    pub const EXCLUSIVE: u16 = 1 << 2;
    /// The file is emptied.
    pub const TRUNCATE: u16 = 1 << 3;
    /// All of them.
    pub const ALL: u16 = CREATE | DIRECTORY | EXCLUSIVE | TRUNCATE;
}

/// Flags of `sock_recv` ("riflags").
pub mod receive_flags {
    /// The bytes stay.
    pub const PEEK: u16 = 1 << 0;
    /// The call waits until every buffer is full.
    pub const WAITALL: u16 = 1 << 1;
}

/// What `sock_shutdown` ends ("sdflags").
pub mod shutdown_flags {
    /// Receiving.
    pub const READ: u16 = 1 << 0;
    /// Sending.
    pub const WRITE: u16 = 1 << 1;
}

/// Clocks ("clockid").
pub mod clock_id {
    /// Wall time.
    pub const REALTIME: u32 = 0;
    /// Guest time.
    pub const MONOTONIC: u32 = 1;
    /// CPU time of the program.
    pub const PROCESS_CPU: u32 = 2;
    /// CPU time of its one thread.
    pub const THREAD_CPU: u32 = 3;
}

/// What `fd_seek` counts from ("whence").
pub mod whence {
    /// The file's start.
    pub const SET: u32 = 0;
    /// The descriptor's position.
    pub const CURRENT: u32 = 1;
    /// The file's end.
    pub const END: u32 = 2;
}

/// Bytes of a descriptor's attributes ("fdstat").
pub const FDSTAT_BYTES: usize = 24;
/// Bytes of a preopened descriptor's description ("prestat").
pub const PRESTAT_BYTES: usize = 8;
/// Tag of a preopened directory's description.
pub const PRESTAT_DIRECTORY: u8 = 0;
/// Tag of a socket's description: one that the specification does not use.
pub const PRESTAT_SOCKET: u8 = 1;
/// Bytes of a file's attributes ("filestat").
pub const FILESTAT_BYTES: usize = 64;
/// Bytes of a directory entry before its name ("dirent").
pub const DIRENT_BYTES: usize = 24;
/// Bytes of a subscription of `poll_oneoff`.
pub const SUBSCRIPTION_BYTES: u32 = 48;
/// Bytes of an event of `poll_oneoff`.
pub const EVENT_BYTES: u32 = 32;

/// Attributes of a file as programs read them ("filestat").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Its file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// What it is.
    pub file_type: FileType,
    /// Names that it has.
    pub links: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When it was read last, in nanoseconds of wall time.
    pub access_time: u64,
    /// When it was written last.
    pub modification_time: u64,
    /// When its attributes changed last.
    pub change_time: u64,
}

impl FileStat {
    /// What a descriptor that is no file has to say.
    pub const fn of_device(file_type: FileType) -> FileStat {
        FileStat {
            device: 0,
            inode: 0,
            file_type,
            links: 1,
            size: 0,
            access_time: 0,
            modification_time: 0,
            change_time: 0,
        }
    }

    /// The layout that programs read.
    pub fn encode(self) -> [u8; FILESTAT_BYTES] {
        let mut out = [0; FILESTAT_BYTES];
        out[0..8].copy_from_slice(&self.device.to_le_bytes());
        out[8..16].copy_from_slice(&self.inode.to_le_bytes());
        out[16] = self.file_type as u8;
        out[24..32].copy_from_slice(&self.links.to_le_bytes());
        out[32..40].copy_from_slice(&self.size.to_le_bytes());
        out[40..48].copy_from_slice(&self.access_time.to_le_bytes());
        out[48..56].copy_from_slice(&self.modification_time.to_le_bytes());
        out[56..64].copy_from_slice(&self.change_time.to_le_bytes());
        out
    }
}
