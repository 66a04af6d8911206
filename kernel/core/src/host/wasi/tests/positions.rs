//! Reading and writing files by the descriptor's position and by offsets.

use super::super::descriptors::{Descriptor, Kind};
use super::super::rights::{self, Rights};
use super::*;
use crate::files::{Create, InodeId, OpenOptions};

const SET: i64 = 0;
const CURRENT: i64 = 1;
const END: i64 = 2;

/// A world in which A has an empty file open: its descriptor.
fn with_file(base: u64) -> (World, i64) {
    let mut world = World::new();
    let guest = world.guest(A);
    let options = OpenOptions {
        create: Create::IfMissing,
        ..OpenOptions::default()
    };
    let opened = guest.files.open(InodeId::ROOT, b"file", options, 0);
    let kind = Kind::File {
        inode: opened.unwrap(),
        position: 0,
    };
    let descriptor = Descriptor::new(kind, Rights::only(base));
    let fd = guest.descriptors.insert(descriptor).unwrap();
    (world, fd.into())
}

fn seek(world: &mut World, fd: i64, offset: i64, whence: i64) -> Result<u64, Errno> {
    match world.wasi(A, WasiCall::FdSeek, &[fd, offset, whence, OUT.into()]) {
        Errno::Success => Ok(world.read_u64(A, OUT)),
        error => Err(error),
    }
}

fn tell(world: &mut World, fd: i64) -> Result<u64, Errno> {
    match world.wasi(A, WasiCall::FdTell, &[fd, OUT.into()]) {
        Errno::Success => Ok(world.read_u64(A, OUT)),
        error => Err(error),
    }
}

#[test]
fn reads_and_writes_move_the_position_and_seeks_set_it() {
    let (mut world, fd) = with_file(rights::FILE);
    assert_eq!(world.fd_write(A, fd, b"0123456789"), Ok(10));
    assert_eq!(tell(&mut world, fd), Ok(10));
    assert_eq!(world.fd_read(A, fd, 4), Ok(Vec::new()));
    assert_eq!(seek(&mut world, fd, 2, SET), Ok(2));
    assert_eq!(world.fd_read(A, fd, 3), Ok(b"234".to_vec()));
    assert_eq!(seek(&mut world, fd, -1, CURRENT), Ok(4));
    assert_eq!(seek(&mut world, fd, -2, END), Ok(8));
    assert_eq!(world.fd_read(A, fd, 100), Ok(b"89".to_vec()));
    // A write past the end leaves zeros before it.
    assert_eq!(seek(&mut world, fd, 2, CURRENT), Ok(12));
    assert_eq!(world.fd_write(A, fd, b"x"), Ok(1));
    assert_eq!(seek(&mut world, fd, 9, SET), Ok(9));
    assert_eq!(world.fd_read(A, fd, 100), Ok(b"9\0\0x".to_vec()));
}

#[test]
fn seeks_before_the_start_or_past_all_offsets_are_refused_and_change_nothing() {
    let (mut world, fd) = with_file(rights::FILE);
    assert_eq!(seek(&mut world, fd, 7, SET), Ok(7));
    for (offset, whence) in [(-1, SET), (-8, CURRENT), (-1, END), (i64::MIN, CURRENT)] {
        assert_eq!(seek(&mut world, fd, offset, whence), Err(Errno::Inval));
    }
    assert_eq!(
        seek(&mut world, fd, i64::MAX, CURRENT),
        Err(Errno::Overflow)
    );
    for whence in [3, -1, 256] {
        assert_eq!(seek(&mut world, fd, 0, whence), Err(Errno::Inval));
    }
    assert_eq!(tell(&mut world, fd), Ok(7));
    assert_eq!(seek(&mut world, fd, i64::MAX, SET), Ok(i64::MAX as u64));
    assert_eq!(world.fd_write(A, fd, b"x"), Err(Errno::FBig));
    assert_eq!(world.fd_read(A, fd, 1), Ok(Vec::new()));
}

#[test]
fn offsets_leave_the_position_and_are_not_bound_by_append() {
    let (mut world, fd) = with_file(rights::FILE);
    assert_eq!(world.fd_write(A, fd, b"0123456789"), Ok(10));
    let append = [fd, wire::fd_flags::APPEND.into()];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetFlags, &append),
        Errno::Success
    );
    world.write(A, BUFFER, b"ab");
    world.iovecs(A, &[(BUFFER, 2)]);
    let at = |offset: i64| [fd, IOVECS.into(), 1, offset, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::FdPwrite, &at(1)), Errno::Success);
    assert_eq!(world.wasi(A, WasiCall::FdPread, &at(8)), Errno::Success);
    assert_eq!(world.read(A, BUFFER, 2), b"89");
    assert_eq!(world.wasi(A, WasiCall::FdPread, &at(100)), Errno::Success);
    assert_eq!(world.read_u32(A, OUT), 0);
    for call in [WasiCall::FdPread, WasiCall::FdPwrite] {
        assert_eq!(world.wasi(A, call, &at(-1)), Errno::Inval);
    }
    assert_eq!(tell(&mut world, fd), Ok(10));
    // But a plain write goes to the end, wherever the position is.
    assert_eq!(seek(&mut world, fd, 0, SET), Ok(0));
    assert_eq!(world.fd_write(A, fd, b"end"), Ok(3));
    assert_eq!(tell(&mut world, fd), Ok(13));
    assert_eq!(seek(&mut world, fd, 0, SET), Ok(0));
    assert_eq!(world.fd_read(A, fd, 100), Ok(b"0ab3456789end".to_vec()));
}

#[test]
fn the_right_to_seek_is_one_to_tell_and_not_the_reverse() {
    let (mut world, fd) = with_file(rights::FD_SEEK);
    assert_eq!(seek(&mut world, fd, 5, SET), Ok(5));
    assert_eq!(tell(&mut world, fd), Ok(5));
    let (mut world, fd) = with_file(rights::FD_TELL | rights::FD_READ | rights::FD_WRITE);
    assert_eq!(tell(&mut world, fd), Ok(0));
    assert_eq!(seek(&mut world, fd, 0, CURRENT), Ok(0));
    assert_eq!(seek(&mut world, fd, 0, SET), Err(Errno::NotCapable));
    assert_eq!(seek(&mut world, fd, 1, CURRENT), Err(Errno::NotCapable));
    world.iovecs(A, &[(BUFFER, 2)]);
    for call in [WasiCall::FdPread, WasiCall::FdPwrite] {
        let arguments = [fd, IOVECS.into(), 1, 0, OUT.into()];
        assert_eq!(world.wasi(A, call, &arguments), Errno::NotCapable);
    }
}

#[test]
fn a_full_file_system_takes_what_fits_and_then_says_so() {
    let (mut world, fd) = with_file(rights::FILE);
    let most = world.guest(A).files.limits().bytes;
    let piece = alloc::vec![b'x'; 0x10000];
    let mut written = 0;
    let error = loop {
        match world.fd_write(A, fd, &piece) {
            Ok(bytes) => written += u64::from(bytes),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::NoSpc);
    assert!(written > 0 && written <= most, "{written}");
    assert_eq!(tell(&mut world, fd), Ok(written));
}

#[test]
fn a_closed_file_lets_its_bytes_go_when_it_has_no_name() {
    let (mut world, fd) = with_file(rights::FILE);
    world.fd_write(A, fd, b"bytes").unwrap();
    world
        .guest(A)
        .files
        .unlink(InodeId::ROOT, b"file", 0)
        .unwrap();
    assert_eq!(seek(&mut world, fd, 0, SET), Ok(0));
    assert_eq!(world.fd_read(A, fd, 9), Ok(b"bytes".to_vec()));
    assert_eq!(world.guest(A).files.usage().files, 1);
    assert_eq!(world.wasi(A, WasiCall::FdClose, &[fd]), Errno::Success);
    let usage = world.guest(A).files.usage();
    assert_eq!((usage.files, usage.bytes), (0, 0));
}
