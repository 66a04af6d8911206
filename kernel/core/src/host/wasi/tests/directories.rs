//! `fd_readdir`.

use super::super::rights::{self, Rights};
use super::files::{CREATE, DIRECTORY, ROOT};
use super::*;
use crate::files::{FileLimits, FileSystem, InodeId};
use alloc::format;
use alloc::string::String;

/// An entry as a program reads it: where to go on, inode, type, name.
type Entry = (u64, u64, u8, String);

/// The entries that lie whole in `bytes`.
fn entries(mut bytes: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    while bytes.len() >= 24 {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let length = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        if bytes.len() < 24 + length {
            break;
        }
        let name = String::from_utf8(bytes[24..24 + length].to_vec()).unwrap();
        found.push((number(0), number(8), bytes[20], name));
        bytes = &bytes[24 + length..];
    }
    found
}

impl World {
    /// `fd_readdir`: how many bytes of the buffer are used, and the entries in them.
    fn list(&mut self, fd: i64, length: u32, cookie: u64) -> Result<(u32, Vec<Entry>), Errno> {
        let arguments = [fd, BUFFER.into(), length.into(), cookie as i64, OUT.into()];
        match self.wasi_wait(A, WasiCall::FdReaddir, &arguments) {
            Errno::Success => {
                let used = self.read_u32(A, OUT);
                Ok((used, entries(self.read(A, BUFFER, used as usize))))
            }
            error => Err(error),
        }
    }
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|(.., name)| name.as_str()).collect()
}

impl World {
    /// Gives A, whose root is open, other files.
    fn replace_files(&mut self, limits: FileLimits) {
        let mut files = FileSystem::new(limits, 1);
        files.retain(InodeId::ROOT).unwrap();
        self.guest(A).files = files;
    }
}

#[test]
fn an_empty_directory_lists_itself_and_its_parent() {
    let mut world = World::with_files();
    let (used, listed) = world.list(ROOT, 256, 0).unwrap();
    assert_eq!(names(&listed), [".", ".."]);
    assert_eq!(used, 24 + 1 + 24 + 2);
    let root = world.attributes(ROOT).unwrap().inode;
    for (_, inode, file_type, _) in listed {
        assert_eq!((inode, file_type), (root, 3));
    }
}

#[test]
fn a_listing_goes_on_after_each_entry() {
    let mut world = World::with_files();
    for name in ["one", "two", "three"] {
        world.put(name, b"");
    }
    let (_, all) = world.list(ROOT, 512, 0).unwrap();
    assert_eq!(names(&all), [".", "..", "one", "two", "three"]);
    for (index, entry) in all.iter().enumerate() {
        let (_, rest) = world.list(ROOT, 512, entry.0).unwrap();
        assert_eq!(rest, all[index + 1..]);
    }
    let fd = world.open("two", 0).unwrap();
    let inode = world.attributes(fd).unwrap().inode;
    assert_eq!((all[3].1, all[3].2), (inode, 4));
}

#[test]
fn a_buffer_that_is_too_small_is_full_and_its_last_entry_is_cut() {
    let mut world = World::with_files();
    world.put("a-file-with-a-long-name", b"");
    for length in 0..100 {
        let (used, listed) = world.list(ROOT, length, 0).unwrap();
        let whole = 25 + 26 + 24 + 23;
        assert_eq!(used, length.min(whole), "{length}");
        let expected = [25, 51, 98].iter().filter(|&&end| end <= length).count();
        assert_eq!(listed.len(), expected, "{length}");
    }
}

#[test]
fn a_thousand_entries_are_listed_once_in_small_buffers() {
    let mut world = World::with_files();
    world.replace_files(FileLimits {
        bytes: 0,
        files: 2000,
    });
    for number in 0..1000 {
        let fd = world.open(&format!("file.{number}"), CREATE).unwrap();
        assert_eq!(world.wasi(A, WasiCall::FdClose, &[fd]), Errno::Success);
    }
    let mut seen = Vec::new();
    let mut cookie = 0;
    loop {
        let (used, listed) = world.list(ROOT, 256, cookie).unwrap();
        cookie = listed.last().map_or(cookie, |entry| entry.0);
        seen.extend(listed.into_iter().map(|entry| entry.3));
        if used < 256 {
            break;
        }
    }
    assert_eq!(seen.len(), 1002);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1002);
}

#[test]
fn a_large_listing_is_made_in_pieces() {
    let mut world = World::with_files();
    let limits = FileLimits {
        bytes: 0,
        files: 2000,
    };
    world.replace_files(limits);
    let long = "n".repeat(240);
    for number in 0..500 {
        let fd = world.open(&format!("{long}{number}"), CREATE).unwrap();
        assert_eq!(world.wasi(A, WasiCall::FdClose, &[fd]), Errno::Success);
    }
    let length = 0x28000;
    let arguments = [ROOT, BUFFER.into(), length, 0, OUT.into()];
    let first = world.call(A, WasiCall::FdReaddir, &arguments);
    assert_eq!(first, Outcome::Blocked);
    assert_eq!(world.wasi_finish(A), Errno::Success);
    let used = world.read_u32(A, OUT) as usize;
    assert_eq!(entries(world.read(A, BUFFER, used)).len(), 502);
}

#[test]
fn only_a_directory_with_the_right_is_listed() {
    let mut world = World::with_files();
    let file = world.open("file", CREATE).unwrap();
    assert_eq!(world.list(file, 256, 0), Err(Errno::NotDir));
    assert_eq!(world.list(1, 256, 0), Err(Errno::NotDir));
    assert_eq!(world.list(77, 256, 0), Err(Errno::BadF));
    let rights = Rights::only(rights::DIRECTORY & !rights::FD_READDIR);
    let bare = world
        .open_with(ROOT, (".", 0, DIRECTORY), rights, 0)
        .unwrap();
    assert_eq!(world.list(bare, 256, 0), Err(Errno::NotCapable));
}

#[test]
fn a_removed_directory_lists_nothing() {
    let mut world = World::with_files();
    let [pointer, length] = world.path(crate::host::tests::TEXT, "gone");
    let path = [ROOT, pointer, length];
    let made = world.wasi(A, WasiCall::PathCreateDirectory, &path);
    assert_eq!(made, Errno::Success);
    let fd = world.open_directory("gone");
    let removed = world.wasi(A, WasiCall::PathRemoveDirectory, &path);
    assert_eq!(removed, Errno::Success);
    assert_eq!(world.list(fd, 256, 0), Ok((0, Vec::new())));
}
