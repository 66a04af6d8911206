//! Preview 1's functions, each as a Rust function that gives what the call gives or its error number.
//!
//! Numbers are those of the specification
//! (<https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md>).

/// A descriptor.
pub type Fd = u32;
/// What a call gives, or its error number.
pub type Answer<T = ()> = Result<T, u32>;

/// Flags of looking up a path.
pub const FOLLOW: u32 = 1;

/// Flags of opening.
pub const CREATE: u32 = 1;
pub const DIRECTORY: u32 = 2;
pub const EXCLUSIVE: u32 = 4;
pub const TRUNCATE: u32 = 8;

/// Flags of a descriptor.
pub const APPEND: u32 = 1;
pub const NONBLOCK: u32 = 4;
pub const SYNC: u32 = 16;

/// Which times are set.
pub const ACCESSED: u32 = 1;
pub const ACCESSED_NOW: u32 = 2;
pub const MODIFIED: u32 = 4;
pub const MODIFIED_NOW: u32 = 8;

/// Where a seek begins.
pub const FROM_START: u32 = 0;
pub const FROM_HERE: u32 = 1;
pub const FROM_END: u32 = 2;

/// Kinds of files.
pub const KIND_DIRECTORY: u64 = 3;
pub const KIND_FILE: u64 = 4;
pub const KIND_LINK: u64 = 7;

/// Numbers of errors.
pub mod error {
    pub const ACCESS: u32 = 2;
    pub const BAD_FD: u32 = 8;
    pub const EXISTS: u32 = 20;
    pub const ILLEGAL_BYTES: u32 = 25;
    pub const INVALID: u32 = 28;
    pub const IS_DIRECTORY: u32 = 31;
    pub const LOOP: u32 = 32;
    pub const NAME_TOO_LONG: u32 = 37;
    pub const NO_ENTRY: u32 = 44;
    pub const NOT_DIRECTORY: u32 = 54;
    pub const NOT_EMPTY: u32 = 55;
    pub const NOT_PERMITTED: u32 = 63;
    pub const NOT_CAPABLE: u32 = 76;
}

/// What may be done with a descriptor: one bit for each.
pub mod right {
    pub const READ: u64 = 1 << 1;
    pub const SEEK: u64 = 1 << 2;
    pub const SET_FLAGS: u64 = 1 << 3;
    pub const TELL: u64 = 1 << 5;
    pub const WRITE: u64 = 1 << 6;
    pub const ADVISE: u64 = 1 << 7;
    pub const ALLOCATE: u64 = 1 << 8;
    pub const LINK_SOURCE: u64 = 1 << 11;
    pub const LINK_TARGET: u64 = 1 << 12;
    pub const OPEN: u64 = 1 << 13;
    pub const PATH_STAT: u64 = 1 << 18;
    pub const PATH_SET_SIZE: u64 = 1 << 19;
    pub const STAT: u64 = 1 << 21;
    pub const SET_SIZE: u64 = 1 << 22;
    pub const SET_TIMES: u64 = 1 << 23;
    pub const UNLINK: u64 = 1 << 26;
    pub const POLL: u64 = 1 << 27;
    /// What a directory that is found open lets its owner do, at least: all that is done with paths, but
    /// for setting sizes.
    pub const OF_DIRECTORY: u64 = ((1 << 27) - (1 << 9)) & !PATH_SET_SIZE & !SET_SIZE;
    /// What it lets be done with the files in it.
    pub const OF_FILE: u64 = 0x1ff | STAT | SET_SIZE | SET_TIMES | POLL;
}

mod descriptors;
mod facts;
mod paths;
mod transfer;

pub use descriptors::*;
pub use facts::*;
pub use paths::*;
pub use transfer::*;

/// Attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub device: u64,
    pub inode: u64,
    pub kind: u64,
    pub links: u64,
    pub size: u64,
    pub accessed: u64,
    pub modified: u64,
    pub changed: u64,
}

/// Attributes of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdStat {
    pub kind: u64,
    pub flags: u32,
    pub base: u64,
    pub inheriting: u64,
}

fn stat_of(raw: [u64; 8]) -> Stat {
    let [
        device,
        inode,
        kind,
        links,
        size,
        accessed,
        modified,
        changed,
    ] = raw;
    Stat {
        device,
        inode,
        kind: kind & 0xff,
        links,
        size,
        accessed,
        modified,
        changed,
    }
}

fn given<T>(number: u32, value: T) -> Answer<T> {
    match number {
        0 => Ok(value),
        number => Err(number),
    }
}
