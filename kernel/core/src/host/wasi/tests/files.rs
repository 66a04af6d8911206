//! Functions on open files: each, its errors, and the rights that it needs.

use super::super::rights::{self, Rights};
use super::*;
use crate::files::{FileError, InodeId};
use crate::host::tests::{TEXT, WALL_NANOS};
use crate::limits;

/// The descriptor of the root directory in worlds that have files.
pub(super) const ROOT: i64 = 3;
/// Where the second path of a function lies.
pub(super) const TEXT2: u32 = TEXT + 0x100;
/// All rights that files have.
pub(super) const ALL: u64 = rights::FILE;
/// Flags of `path_open`.
pub(super) const CREATE: i64 = 1;
pub(super) const DIRECTORY: i64 = 2;
pub(super) const EXCLUSIVE: i64 = 4;
pub(super) const TRUNCATE: i64 = 8;
/// Flag that follows a link.
pub(super) const FOLLOW: i64 = 1;

/// What a program reads about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub device: u64,
    pub inode: u64,
    pub file_type: u8,
    pub links: u64,
    pub size: u64,
    pub accessed: u64,
    pub modified: u64,
}

impl World {
    /// A world in which A finds the root directory open as [`ROOT`].
    pub(super) fn with_files() -> World {
        let mut world = World::new();
        world.guest(A).open_directory("/", InodeId::ROOT).unwrap();
        world
    }

    /// Writes a path where functions find it; gives pointer and length.
    pub(super) fn path(&mut self, at: u32, path: &str) -> [i64; 2] {
        self.write(A, at, path.as_bytes());
        [at.into(), path.len() as i64]
    }

    /// `path_open` with every argument that matters.
    pub(super) fn open_with(
        &mut self,
        directory: i64,
        (path, lookup, open): (&str, i64, i64),
        rights: Rights,
        fd_flags: i64,
    ) -> Result<i64, Errno> {
        let [pointer, length] = self.path(TEXT, path);
        let (base, inheriting) = (rights.base as i64, rights.inheriting as i64);
        let arguments = [
            directory,
            lookup,
            pointer,
            length,
            open,
            base,
            inheriting,
            fd_flags,
            OUT.into(),
        ];
        match self.wasi(A, WasiCall::PathOpen, &arguments) {
            Errno::Success => Ok(self.read_u32(A, OUT).into()),
            error => Err(error),
        }
    }

    /// `path_open` from the root with all rights of files.
    pub(super) fn open(&mut self, path: &str, open: i64) -> Result<i64, Errno> {
        self.open_with(ROOT, (path, 0, open), Rights::only(ALL), 0)
    }

    /// `path_open` of a directory, with all rights of directories.
    pub(super) fn open_directory(&mut self, path: &str) -> i64 {
        let rights = Rights {
            base: rights::DIRECTORY,
            inheriting: rights::DIRECTORY | rights::FILE,
        };
        self.open_with(ROOT, (path, 0, DIRECTORY), rights, 0)
            .unwrap()
    }

    /// Makes a file with these bytes.
    pub(super) fn put(&mut self, path: &str, bytes: &[u8]) {
        let fd = self.open(path, CREATE | TRUNCATE).unwrap();
        assert_eq!(self.fd_write(A, fd, bytes), Ok(bytes.len() as u32));
        assert_eq!(self.wasi(A, WasiCall::FdClose, &[fd]), Errno::Success);
    }

    /// All bytes of a file.
    pub(super) fn get(&mut self, path: &str) -> Result<Vec<u8>, Errno> {
        let fd = self.open(path, 0)?;
        let bytes = self.fd_read(A, fd, 0x8000);
        assert_eq!(self.wasi(A, WasiCall::FdClose, &[fd]), Errno::Success);
        bytes
    }

    /// `fd_filestat_get`.
    pub(super) fn attributes(&mut self, fd: i64) -> Result<Attributes, Errno> {
        match self.wasi(A, WasiCall::FdFilestatGet, &[fd, STAT.into()]) {
            Errno::Success => Ok(self.read_attributes()),
            error => Err(error),
        }
    }

    pub(super) fn read_attributes(&self) -> Attributes {
        Attributes {
            device: self.read_u64(A, STAT),
            inode: self.read_u64(A, STAT + 8),
            file_type: self.read(A, STAT + 16, 1)[0],
            links: self.read_u64(A, STAT + 24),
            size: self.read_u64(A, STAT + 32),
            accessed: self.read_u64(A, STAT + 40),
            modified: self.read_u64(A, STAT + 48),
        }
    }

    /// A file that is open without `right`.
    fn open_without(&mut self, right: u64) -> i64 {
        self.open_with(ROOT, ("file", 0, CREATE), Rights::only(ALL & !right), 0)
            .unwrap()
    }
}

/// The calls of this file with arguments after the descriptor, and the right that each needs.
const CALLS: [(WasiCall, &[i64], u64); 6] = [
    (WasiCall::FdAdvise, &[0, 1, 0], rights::FD_ADVISE),
    (WasiCall::FdAllocate, &[0, 1], rights::FD_ALLOCATE),
    (WasiCall::FdDatasync, &[], rights::FD_DATASYNC),
    (WasiCall::FdSync, &[], rights::FD_SYNC),
    (
        WasiCall::FdFilestatSetSize,
        &[1],
        rights::FD_FILESTAT_SET_SIZE,
    ),
    (
        WasiCall::FdFilestatSetTimes,
        &[0, 0, 0],
        rights::FD_FILESTAT_SET_TIMES,
    ),
];

#[test]
fn each_function_on_a_file_needs_its_right() {
    for (call, arguments, right) in CALLS {
        let mut world = World::with_files();
        let (with, without) = (
            world.open("file", CREATE).unwrap(),
            world.open_without(right),
        );
        let call_with = |world: &mut World, fd: i64| {
            let all: Vec<i64> = [&[fd], arguments].concat();
            world.wasi(A, call, &all)
        };
        assert_eq!(call_with(&mut world, with), Errno::Success, "{call:?}");
        assert_eq!(
            call_with(&mut world, without),
            Errno::NotCapable,
            "{call:?}"
        );
        assert_eq!(call_with(&mut world, 77), Errno::BadF, "{call:?}");
        let streams = match call {
            WasiCall::FdAdvise | WasiCall::FdAllocate | WasiCall::FdFilestatSetSize => Errno::SPipe,
            _ => Errno::Inval,
        };
        assert_eq!(call_with(&mut world, 1), streams, "{call:?}");
    }
}

#[test]
fn directories_have_no_bytes() {
    let mut world = World::with_files();
    for (call, arguments, _) in CALLS {
        let all: Vec<i64> = [&[ROOT], arguments].concat();
        let expected = match call {
            WasiCall::FdDatasync | WasiCall::FdSync | WasiCall::FdFilestatSetTimes => {
                Errno::Success
            }
            _ => Errno::IsDir,
        };
        assert_eq!(world.wasi(A, call, &all), expected, "{call:?}");
    }
    assert_eq!(world.fd_read(A, ROOT, 4), Err(Errno::IsDir));
    assert_eq!(world.fd_write(A, ROOT, b"x"), Err(Errno::IsDir));
    let position = [ROOT, 0, 1, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::FdSeek, &position), Errno::IsDir);
    let tell = [ROOT, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::FdTell, &tell), Errno::IsDir);
}

#[test]
fn advice_is_checked_and_changes_nothing() {
    let mut world = World::with_files();
    world.put("file", b"hello");
    let fd = world.open("file", 0).unwrap();
    for (offset, length, advice, expected) in [
        (0, 0, 0, Errno::Success),
        (10, 50, 5, Errno::Success),
        (0, 1, 6, Errno::Inval),
        (0, 1, -1, Errno::Inval),
        (-1, 2, 0, Errno::Inval),
    ] {
        let arguments = [fd, offset, length, advice];
        assert_eq!(world.wasi(A, WasiCall::FdAdvise, &arguments), expected);
    }
    assert_eq!(world.get("file"), Ok(b"hello".to_vec()));
}

#[test]
fn allocating_and_sizing_change_the_size() {
    let mut world = World::with_files();
    let fd = world.open("file", CREATE).unwrap();
    for (offset, length, size) in [(0, 100, 100), (10, 10, 100), (90, 20, 110)] {
        let allocated = world.wasi(A, WasiCall::FdAllocate, &[fd, offset, length]);
        assert_eq!(allocated, Errno::Success);
        assert_eq!(world.attributes(fd).unwrap().size, size);
    }
    for (offset, length, expected) in [
        (0, 0, Errno::Inval),
        (0, 1 << 30, Errno::NoSpc),
        (0, -1, Errno::FBig),
        (-1, 2, Errno::FBig),
    ] {
        let allocated = world.wasi(A, WasiCall::FdAllocate, &[fd, offset, length]);
        assert_eq!(allocated, expected, "{offset} {length}");
    }
    world.fd_write(A, fd, b"0123456789").unwrap();
    for (size, expected) in [
        (5, Errno::Success),
        (200, Errno::Success),
        (-1, Errno::FBig),
        (limits::FILE_SIZE_BYTES as i64 + 1, Errno::FBig),
    ] {
        let sized = world.wasi(A, WasiCall::FdFilestatSetSize, &[fd, size]);
        assert_eq!(sized, expected, "{size}");
    }
    let bytes = world.get("file").unwrap();
    assert_eq!((bytes.len(), &bytes[..7]), (200, &b"01234\0\0"[..]));
}

#[test]
fn times_are_set_to_what_is_given_or_the_present() {
    let mut world = World::with_files();
    let fd = world.open("file", CREATE).unwrap();
    let made = world.attributes(fd).unwrap();
    assert!(made.modified > WALL_NANOS);
    world.advance(Duration::from_secs(1));
    let mut set = |flags: i64| {
        let result = world.wasi(A, WasiCall::FdFilestatSetTimes, &[fd, 100, 200, flags]);
        let now = world.attributes(fd).unwrap();
        (result, now.accessed, now.modified)
    };
    let later = made.modified + 1_000_000_000;
    assert_eq!(set(0), (Errno::Success, made.accessed, made.modified));
    assert_eq!(set(1), (Errno::Success, 100, made.modified));
    assert_eq!(set(4), (Errno::Success, 100, 200));
    assert_eq!(set(2), (Errno::Success, later, 200));
    assert_eq!(set(9), (Errno::Success, 100, later));
    for contradiction in [3, 12, 16, -1] {
        assert_eq!(set(contradiction), (Errno::Inval, 100, later));
    }
}

#[test]
fn attributes_say_which_file_it_is() {
    let mut world = World::with_files();
    world.put("one", b"12345");
    world.put("two", b"");
    let link = [ROOT, 0, world.path(TEXT, "one")[0], 3, ROOT];
    let link: Vec<i64> = [&link[..], &world.path(TEXT2, "again")].concat();
    assert_eq!(world.wasi(A, WasiCall::PathLink, &link), Errno::Success);
    let mut stat = |path: &str| {
        let fd = world.open(path, 0).unwrap();
        world.attributes(fd).unwrap()
    };
    let (one, two, again) = (stat("one"), stat("two"), stat("again"));
    assert_eq!(one, again);
    assert_eq!((one.file_type, one.size, one.links), (4, 5, 2));
    assert_eq!((two.file_type, two.size, two.links), (4, 0, 1));
    assert_eq!(one.device, two.device);
    assert_ne!(one.inode, two.inode);
    let root = world.attributes(ROOT).unwrap();
    assert_eq!(root.file_type, 3);
}

#[test]
fn an_append_goes_to_the_end_and_a_positioned_write_does_not() {
    let mut world = World::with_files();
    let fd = world
        .open_with(ROOT, ("file", 0, CREATE), Rights::only(ALL), 1)
        .unwrap();
    let seek = |world: &mut World, offset: i64, whence: i64| {
        let arguments = [fd, offset, whence, OUT.into()];
        assert_eq!(world.wasi(A, WasiCall::FdSeek, &arguments), Errno::Success);
        world.read_u64(A, OUT)
    };
    assert_eq!(world.fd_write(A, fd, b"ab"), Ok(2));
    seek(&mut world, 0, 0);
    assert_eq!(world.fd_write(A, fd, b"cd"), Ok(2));
    assert_eq!(seek(&mut world, 0, 1), 4);
    world.write(A, BUFFER, b"XYZ");
    world.iovecs(A, &[(BUFFER, 3)]);
    let write = [fd, IOVECS.into(), 1, 0, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::FdPwrite, &write), Errno::Success);
    assert_eq!(seek(&mut world, 0, 1), 4);
    assert_eq!(world.get("file"), Ok(b"XYZd".to_vec()));
    // Without the flag, writes go where the descriptor stands.
    let cleared = world.wasi(A, WasiCall::FdFdstatSetFlags, &[fd, 0]);
    assert_eq!(cleared, Errno::Success);
    seek(&mut world, 1, 0);
    assert_eq!(world.fd_write(A, fd, b"_"), Ok(1));
    assert_eq!(world.get("file"), Ok(b"X_Zd".to_vec()));
}

#[test]
fn an_open_file_outlives_its_name_and_its_space_comes_back() {
    let mut world = World::with_files();
    let fd = world.open("file", CREATE).unwrap();
    world.fd_write(A, fd, &[7; 5000]).unwrap();
    let [pointer, length] = world.path(TEXT, "file");
    let unlink = [ROOT, pointer, length];
    assert_eq!(
        world.wasi(A, WasiCall::PathUnlinkFile, &unlink),
        Errno::Success
    );
    assert_eq!(world.attributes(fd).unwrap().links, 0);
    let seek = [fd, 4999, 0, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::FdSeek, &seek), Errno::Success);
    assert_eq!(world.fd_read(A, fd, 4), Ok([7].to_vec()));
    assert!(world.guest(A).files.usage().bytes > 0);
    assert_eq!(world.wasi(A, WasiCall::FdClose, &[fd]), Errno::Success);
    assert_eq!(world.guest(A).files.usage(), Default::default());
}

#[test]
fn each_reason_has_an_error_of_its_own() {
    let pairs = [
        (FileError::NotFound, Errno::NoEnt),
        (FileError::Exists, Errno::Exist),
        (FileError::NotDirectory, Errno::NotDir),
        (FileError::IsDirectory, Errno::IsDir),
        (FileError::InvalidArgument, Errno::Inval),
        (FileError::NotEmpty, Errno::NotEmpty),
        (FileError::NoSpace, Errno::NoSpc),
        (FileError::NameTooLong, Errno::NameTooLong),
        (FileError::Loop, Errno::Loop),
        (FileError::Escapes, Errno::Perm),
        (FileError::InvalidPath, Errno::IlSeq),
        (FileError::TooLarge, Errno::FBig),
        (FileError::Busy, Errno::Busy),
        (FileError::TooManyLinks, Errno::MLink),
        (FileError::NotPermitted, Errno::Perm),
        (FileError::Stale, Errno::Stale),
        (FileError::MissingBlob, Errno::Io),
    ];
    for (reason, error) in pairs {
        assert_eq!(Errno::from(reason), error);
    }
}
