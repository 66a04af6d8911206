//! Cases about bytes: places in a file, sizes, times, listings.

use crate::calls::{
    ACCESSED, ACCESSED_NOW, CREATE, Entry, FROM_HERE, FROM_START, Fd, KIND_DIRECTORY, KIND_FILE,
    MODIFIED, MODIFIED_NOW, TRUNCATE, advise, allocate, close, error, open, read, read_at,
    read_directory, right, seek, set_size, set_times, stat, tell, unlink, write, write_at,
};
use crate::{InDirectory, in_new_directory, refused};

const SIZES: u64 =
    right::READ | right::WRITE | right::ADVISE | right::STAT | right::SET_SIZE | right::ALLOCATE;
/// Bytes of the buffer for a listing: it holds a few entries.
const LISTING_BYTES: usize = 256;

pub const CASES: &[(&str, InDirectory)] = &[
    ("fd_advise", advice_leaves_the_size),
    ("fd_filestat_set", sizes_and_times_are_set),
    ("fstflags_validate", a_time_is_given_or_the_present),
    ("fd_readdir", |root| {
        in_new_directory(root, "readdir.cleanup", |directory| {
            a_listing_goes_on_where_it_ended(directory);
            a_long_listing_is_whole(directory);
        });
    }),
    ("file_allocate", |root| {
        in_new_directory(root, "allocate.cleanup", allocating_never_shrinks);
    }),
    ("file_pread_pwrite", |root| {
        in_new_directory(root, "offsets.cleanup", bytes_have_offsets);
    }),
    ("file_seek_tell", |root| {
        in_new_directory(root, "seek.cleanup", places_move)
    }),
    ("file_truncation", |root| {
        in_new_directory(root, "cut.cleanup", opening_can_empty)
    }),
    ("file_unbuffered_write", |root| {
        in_new_directory(root, "unbuffered.cleanup", what_is_written_is_read_at_once);
    }),
];

fn advice_leaves_the_size(root: Fd) {
    let file = open(root, "advise.cleanup", CREATE, SIZES).unwrap();
    let size = || stat(file).unwrap().size;
    assert_eq!(size(), 0);
    set_size(file, 100).unwrap();
    advise(file, 10, 50, 0).unwrap();
    assert_eq!(size(), 100);
    allocate(file, 100, 100).unwrap();
    assert_eq!(size(), 200);
    close(file).unwrap();
    unlink(root, "advise.cleanup").unwrap();
}

fn sizes_and_times_are_set(root: Fd) {
    let rights = SIZES | right::SET_TIMES;
    let file = open(root, "set.cleanup", CREATE, rights).unwrap();
    assert_eq!(stat(file).unwrap().size, 0);
    set_size(file, 100).unwrap();
    let before = stat(file).unwrap();
    let earlier = before.modified - 100;
    set_times(file, earlier, earlier, MODIFIED).unwrap();
    let after = stat(file).unwrap();
    assert_eq!(
        (after.size, after.modified, after.accessed),
        (100, earlier, before.accessed)
    );
    close(file).unwrap();
    unlink(root, "set.cleanup").unwrap();
}

fn a_time_is_given_or_the_present(root: Fd) {
    let rights = right::READ | right::SET_TIMES;
    let file = open(root, "flags.cleanup", CREATE, rights).unwrap();
    for both in [MODIFIED | MODIFIED_NOW, ACCESSED | ACCESSED_NOW] {
        refused(set_times(file, 100, 200, both), &[error::INVALID]);
    }
    // The file is left, for whoever runs the cases to clean up.
    close(file).unwrap();
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

fn a_listing_goes_on_where_it_ended(directory: Fd) {
    let own = stat(directory).unwrap();
    let (entries, at_end) = read_directory(directory, LISTING_BYTES, 0).unwrap();
    let entries = sorted(entries);
    assert!(at_end);
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, [".", ".."]);
    assert_eq!(
        (entries[0].kind, entries[0].inode),
        (KIND_DIRECTORY, own.inode)
    );
    assert_eq!(entries[1].kind, KIND_DIRECTORY);

    let file = open(directory, "file", CREATE, SIZES).unwrap();
    let inode = stat(file).unwrap().inode;
    close(file).unwrap();
    let (entries, at_end) = read_directory(directory, LISTING_BYTES, 0).unwrap();
    assert_eq!((entries.len(), at_end), (3, true));
    let rest = read_directory(directory, LISTING_BYTES, entries[1].next).unwrap();
    assert_eq!(rest, (vec![entries[2].clone()], true));
    let last = sorted(entries).remove(2);
    assert_eq!(
        (last.name.as_str(), last.kind, last.inode),
        ("file", KIND_FILE, inode)
    );
    unlink(directory, "file").unwrap();
}

fn a_long_listing_is_whole(directory: Fd) {
    let names = || (0..1000).map(|number| format!("file.{number}"));
    for name in names() {
        close(open(directory, &name, CREATE, 0).unwrap()).unwrap();
    }
    let mut found = Vec::new();
    let mut cookie = 0;
    loop {
        let (entries, at_end) = read_directory(directory, LISTING_BYTES, cookie).unwrap();
        found.extend(entries);
        if at_end {
            break;
        }
        cookie = found.last().expect("at least one fits").next;
    }
    assert_eq!(found.len(), 1002);
    found.dedup_by(|one, other| one.name == other.name);
    assert_eq!(found.len(), 1002);
    for name in names() {
        unlink(directory, &name).unwrap();
    }
}

fn allocating_never_shrinks(directory: Fd) {
    let file = open(directory, "file", CREATE, SIZES).unwrap();
    let size = || stat(file).unwrap().size;
    assert_eq!(size(), 0);
    for (offset, length, expected) in [(0, 100, 100), (10, 10, 100), (90, 20, 110)] {
        allocate(file, offset, length).unwrap();
        assert_eq!(size(), expected);
    }
    close(file).unwrap();
    unlink(directory, "file").unwrap();
}

fn bytes_have_offsets(directory: Fd) {
    let rights = right::READ | right::WRITE | right::SEEK;
    let file = open(directory, "file", CREATE, rights).unwrap();
    assert_eq!(write_at(file, &[&[0, 1, 2, 3]], 0), Ok(4));
    assert_eq!(read_at(file, &[4], 0).unwrap(), [0, 1, 2, 3]);
    assert_eq!(write_at(file, &[&[0, 1], &[2, 3]], 0), Ok(4));
    assert_eq!(read_at(file, &[2, 2], 0).unwrap(), [0, 1, 2, 3]);
    assert!(read_at(file, &[2, 2], 4).unwrap().is_empty());
    assert_eq!(read_at(file, &[4], 2).unwrap(), [2, 3]);
    assert_eq!(write_at(file, &[&[1, 0]], 2), Ok(2));
    assert_eq!(read_at(file, &[4], 0).unwrap(), [0, 1, 1, 0]);
    close(file).unwrap();
    unlink(directory, "file").unwrap();
}

fn places_move(directory: Fd) {
    let rights = right::READ | right::WRITE | right::SEEK | right::TELL;
    let file = open(directory, "file", CREATE, rights).unwrap();
    assert_eq!(tell(file), Ok(0));
    assert_eq!(write(file, &[&[0; 100]]), Ok(100));
    assert_eq!(tell(file), Ok(100));
    assert_eq!(seek(file, -50, FROM_HERE), Ok(50));
    assert_eq!(seek(file, 0, FROM_START), Ok(0));
    // Behind the end is a place, before the start is none.
    assert_eq!(seek(file, 1000, FROM_HERE), Ok(1000));
    refused(seek(file, -2000, FROM_HERE), &[error::INVALID]);
    assert_eq!(seek(file, 0, FROM_START), Ok(0));
    assert_eq!(read(file, &[100]).unwrap(), [0; 100]);
    assert_eq!(tell(file), Ok(100));
    close(file).unwrap();
    unlink(directory, "file").unwrap();
}

fn opening_can_empty(directory: Fd) {
    let text = b"this will be gone";
    let file = open(directory, "text", CREATE, right::WRITE).unwrap();
    assert_eq!(write(file, &[text]), Ok(text.len() as u32));
    close(file).unwrap();
    let rights = right::READ | right::WRITE;
    let file = open(directory, "text", CREATE | TRUNCATE, rights).unwrap();
    assert!(read(file, &[100]).unwrap().is_empty());
    close(file).unwrap();
    unlink(directory, "text").unwrap();
}

fn what_is_written_is_read_at_once(directory: Fd) {
    let reader = open(directory, "file", CREATE, right::READ).unwrap();
    let writer = open(directory, "file", 0, right::WRITE).unwrap();
    assert_eq!(write(writer, &[&[1]]), Ok(1));
    assert_eq!(read(reader, &[1]).unwrap(), [1]);
    close(writer).unwrap();
    close(reader).unwrap();
    unlink(directory, "file").unwrap();
}
