//! Cases about descriptors: those that are found open, their numbers, rights and flags.

use crate::calls::{
    APPEND, CREATE, DIRECTORY, FROM_END, FROM_HERE, FROM_START, Fd, KIND_DIRECTORY, TRUNCATE,
    allocate, close, error, fd_stat, open, open_with, preopen, preopen_name, read, read_at,
    renumber, right, seek, set_flags, set_rights, set_size, stat, tell, unlink, write, write_at,
};
use crate::{InDirectory, in_new_directory, make, refused};

/// The first descriptor behind the standard streams.
const FIRST: Fd = 3;
/// What is said when a descriptor's right is missing.
const NO_RIGHT: &[u32] = &[error::BAD_FD, error::NOT_CAPABLE];

pub const CASES: &[(&str, InDirectory)] = &[
    ("close_preopen", what_was_found_open_can_be_closed),
    ("overwrite_preopen", |root| {
        in_new_directory(
            root,
            "overwrite.cleanup",
            what_was_found_open_can_be_replaced,
        );
    }),
    ("renumber", |root| {
        in_new_directory(root, "renumber.cleanup", numbers_move)
    }),
    ("stdio", |root| {
        in_new_directory(root, "stdio.cleanup", streams_move)
    }),
    ("isatty", |root| {
        in_new_directory(root, "isatty.cleanup", a_file_is_no_terminal)
    }),
    ("dir_fd_op_failures", a_directory_has_no_bytes),
    ("directory_seek", a_directory_has_no_position),
    ("fd_fdstat_set_rights", |root| {
        in_new_directory(root, "rights.cleanup", rights_only_go);
    }),
    ("truncation_rights", |root| {
        in_new_directory(root, "truncation.cleanup", emptying_needs_its_right);
    }),
    ("fd_flags_set", flags_change_what_writing_does),
];

fn what_was_found_open_can_be_closed(root: Fd) {
    assert!(root > FIRST);
    close(FIRST).unwrap();
    refused(fd_stat(FIRST), &[error::BAD_FD]);
    assert_eq!(fd_stat(root).unwrap().kind, KIND_DIRECTORY);
}

fn what_was_found_open_can_be_replaced(directory: Fd) {
    let before = stat(directory).unwrap();
    renumber(directory, FIRST).unwrap();
    let after = stat(FIRST).unwrap();
    assert_eq!((before.device, before.inode), (after.device, after.inode));
    refused(fd_stat(directory), &[error::BAD_FD]);
    close(FIRST).unwrap();
}

fn numbers_move(directory: Fd) {
    let rights = right::READ | right::WRITE;
    let one = open(directory, "one", CREATE, rights).unwrap();
    let two = open(directory, "two", CREATE, rights).unwrap();
    let before = fd_stat(one).unwrap();
    renumber(one, two).unwrap();
    refused(close(one), &[error::BAD_FD]);
    assert_eq!(fd_stat(two).unwrap(), before);
    // A number that is not open is nothing to move to, nor from.
    refused(renumber(two, one), &[error::BAD_FD]);
    refused(renumber(one, two), &[error::BAD_FD]);
    close(two).unwrap();
    unlink(directory, "one").unwrap();
    unlink(directory, "two").unwrap();
}

fn streams_move(directory: Fd) {
    for stream in 0..3 {
        let file = open(directory, "file", CREATE, 0).unwrap();
        renumber(stream, file).unwrap();
        fd_stat(file).unwrap();
        refused(fd_stat(stream), &[error::BAD_FD]);
        unlink(directory, "file").unwrap();
    }
}

fn a_file_is_no_terminal(directory: Fd) {
    use std::io::IsTerminal;
    use std::os::fd::BorrowedFd;
    let file = open(directory, "file", CREATE, 0).unwrap();
    // SAFETY: the descriptor is open until it is closed below.
    let borrowed = unsafe { BorrowedFd::borrow_raw(file as i32) };
    assert!(!borrowed.is_terminal());
    close(file).unwrap();
    unlink(directory, "file").unwrap();
}

fn a_directory_has_no_bytes(root: Fd) {
    let reasons = &[error::IS_DIRECTORY, error::BAD_FD, error::NOT_CAPABLE];
    assert_eq!(stat(root).unwrap().kind, KIND_DIRECTORY);
    let [_, length] = preopen(FIRST).unwrap();
    refused(
        preopen_name(FIRST, 0),
        &[error::INVALID, error::NAME_TOO_LONG],
    );
    // A larger buffer than the name needs is no mistake.
    let name = preopen_name(FIRST, length as usize + 1).unwrap();
    assert_eq!(name.last(), Some(&0));
    refused(read(root, &[128]), reasons);
    refused(read_at(root, &[128], 0), reasons);
    refused(write(root, &[&[0; 128]]), reasons);
    refused(write_at(root, &[&[0; 128]], 0), reasons);
    for whence in [FROM_START, FROM_HERE, FROM_END] {
        refused(seek(root, 0, whence), reasons);
    }
    refused(tell(root), reasons);
    refused(allocate(root, 0, 1), reasons);
    refused(
        set_size(root, 0),
        &[reasons.as_slice(), &[error::INVALID]].concat(),
    );
}

fn a_directory_has_no_position(root: Fd) {
    in_new_directory(root, "seek.cleanup", |_| {
        let directory = open(root, "seek.cleanup", DIRECTORY, right::SEEK).unwrap();
        let reasons = &[error::IS_DIRECTORY, error::BAD_FD, error::NOT_CAPABLE];
        refused(seek(directory, 0, FROM_HERE), reasons);
        let found = fd_stat(directory).unwrap();
        assert_eq!((found.kind, found.base & right::SEEK), (KIND_DIRECTORY, 0));
        close(directory).unwrap();
    });
}

fn rights_only_go(directory: Fd) {
    let place = right::SEEK | right::TELL;
    let bytes = right::READ | right::WRITE;
    let file = open(directory, "file", CREATE, bytes | place).unwrap();
    assert_eq!(write(file, &[&[0, 1, 2, 3]]), Ok(4));
    seek(file, 0, FROM_START).unwrap();
    assert_eq!(read(file, &[4]).unwrap(), [0, 1, 2, 3]);
    let before = fd_stat(file).unwrap();
    set_rights(file, before.base & !bytes, before.inheriting).unwrap();
    let after = fd_stat(file).unwrap();
    assert_eq!(
        (after.base & bytes, after.base & right::SEEK),
        (0, right::SEEK)
    );
    refused(read(file, &[4]), NO_RIGHT);
    refused(write(file, &[&[0]]), NO_RIGHT);
    refused(
        set_rights(file, before.base, before.inheriting),
        &[error::NOT_CAPABLE],
    );
    close(file).unwrap();
    unlink(directory, "file").unwrap();
}

fn emptying_needs_its_right(directory: Fd) {
    make(directory, "file");
    let rights = fd_stat(directory).unwrap();
    assert_eq!((rights.kind, rights.flags), (KIND_DIRECTORY, 0));
    assert_eq!(rights.base & right::SET_SIZE, 0);
    assert_ne!(rights.base & right::PATH_SET_SIZE, 0);
    let empty = || open(directory, "file", TRUNCATE, 0).and_then(close);
    empty().unwrap();
    // It is not the right to set the size of the open file.
    let inheriting = rights.inheriting & !right::SET_SIZE;
    set_rights(directory, rights.base, inheriting).unwrap();
    empty().unwrap();
    let base = rights.base & !right::PATH_SET_SIZE;
    set_rights(directory, base, inheriting).unwrap();
    assert_eq!(fd_stat(directory).unwrap().base & right::PATH_SET_SIZE, 0);
    refused(empty(), &[error::NOT_PERMITTED, error::NOT_CAPABLE]);
    unlink(directory, "file").unwrap();
}

fn flags_change_what_writing_does(root: Fd) {
    let rights = right::READ | right::WRITE | right::SEEK | right::TELL | right::SET_FLAGS;
    let file = open_with(root, 0, "flags.cleanup", CREATE, [rights, 0], APPEND).unwrap();
    let write_at_start = |byte: u8| {
        seek(file, 0, FROM_START).unwrap();
        assert_eq!(write(file, &[&[byte; 100]]), Ok(100));
    };
    let holds = |offset: i64, byte: u8| {
        seek(file, offset, FROM_START).unwrap();
        assert_eq!(read(file, &[100]).unwrap(), [byte; 100]);
    };
    write_at_start(0);
    holds(0, 0);
    write_at_start(1);
    holds(100, 1);
    set_flags(file, 0).unwrap();
    write_at_start(2);
    holds(0, 2);
    holds(100, 1);
    close(file).unwrap();
    let found = crate::calls::path_stat(root, 0, "flags.cleanup").unwrap();
    assert_eq!(found.size, 200);
    unlink(root, "flags.cleanup").unwrap();
}
