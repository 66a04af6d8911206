//! Descriptors themselves.

use super::super::descriptors::{Descriptor, Descriptors, Kind};
use super::super::rights::{self, Rights};
use super::super::stdio::Stream;
use super::*;
use crate::host::streams::{Streams, StreamsTo};
use crate::limits;
use crate::net::stack::SocketId;

/// File type, flags, rights.
fn fdstat(world: &mut World, fd: i64) -> Result<(u8, u16, u64, u64), Errno> {
    match world.wasi(A, WasiCall::FdFdstatGet, &[fd, STAT.into()]) {
        Errno::Success => Ok((
            world.read(A, STAT, 1)[0],
            world.read_u32(A, STAT + 2) as u16,
            world.read_u64(A, STAT + 8),
            world.read_u64(A, STAT + 16),
        )),
        error => Err(error),
    }
}

#[test]
fn streams_and_listeners_say_what_they_are() {
    let mut world = World::with_listener();
    assert_eq!(fdstat(&mut world, 0), Ok((2, 0, rights::INPUT, 0)));
    for fd in [1, 2] {
        assert_eq!(fdstat(&mut world, fd), Ok((2, 0, rights::OUTPUT, 0)));
    }
    let listener = (6, 0, rights::LISTENER, rights::CONNECTION);
    assert_eq!(fdstat(&mut world, LISTENER), Ok(listener));
    for fd in [4, -1, i64::from(i32::MAX)] {
        assert_eq!(fdstat(&mut world, fd), Err(Errno::BadF));
    }
    // A pipe is no terminal.
    world.guest(A).streams = Streams::new(StreamsTo::Pipes);
    assert_eq!(fdstat(&mut world, 1), Ok((0, 0, rights::OUTPUT, 0)));
}

#[test]
fn attributes_of_what_is_no_file_are_empty() {
    let mut world = World::with_listener();
    for (fd, file_type) in [(0, 2), (LISTENER, 6)] {
        let get = [fd, STAT.into()];
        assert_eq!(world.wasi(A, WasiCall::FdFilestatGet, &get), Errno::Success);
        let mut expected = [0; 64];
        (expected[16], expected[24]) = (file_type, 1);
        assert_eq!(world.read(A, STAT, 64), expected);
    }
    let rights = rights::INPUT & !rights::FD_FILESTAT_GET;
    let set = [0, rights as i64, 0];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &set),
        Errno::Success
    );
    let get = world.wasi(A, WasiCall::FdFilestatGet, &[0, STAT.into()]);
    assert_eq!(get, Errno::NotCapable);
}

#[test]
fn flags_are_set_and_unknown_ones_refused() {
    let mut world = World::new();
    for flags in [0x1f, 0x04, 0] {
        assert_eq!(
            world.wasi(A, WasiCall::FdFdstatSetFlags, &[1, flags]),
            Errno::Success
        );
        assert_eq!(fdstat(&mut world, 1).unwrap().1, flags as u16);
    }
    for flags in [0x20, 0x10000, -1] {
        assert_eq!(
            world.wasi(A, WasiCall::FdFdstatSetFlags, &[1, flags]),
            Errno::Inval
        );
    }
    let set = [1, rights::FD_WRITE as i64, 0];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &set),
        Errno::Success
    );
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetFlags, &[1, 4]),
        Errno::NotCapable
    );
}

#[test]
fn rights_only_shrink() {
    let mut world = World::with_listener();
    let more = [1, (rights::OUTPUT | rights::FD_READ) as i64, 0];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &more),
        Errno::NotCapable
    );
    let inheriting = [1, rights::OUTPUT as i64, 1];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &inheriting),
        Errno::NotCapable
    );
    let less = [1, rights::FD_FILESTAT_GET as i64, 0];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &less),
        Errno::Success
    );
    assert_eq!(world.fd_write(A, 1, b"x"), Err(Errno::NotCapable));
    let again = [1, rights::OUTPUT as i64, 0];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &again),
        Errno::NotCapable
    );
    let sockets = [LISTENER, 0, 0];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &sockets),
        Errno::Success
    );
    let accept = [LISTENER, 0, OUT.into()];
    assert_eq!(
        world.wasi(A, WasiCall::SockAccept, &accept),
        Errno::NotCapable
    );
}

#[test]
fn a_closed_descriptor_is_gone_and_its_number_is_used_next() {
    let (mut world, fd, _) = World::with_connection();
    assert_eq!(fd, 4);
    assert_eq!(world.wasi(A, WasiCall::FdClose, &[0]), Errno::Success);
    for call in [WasiCall::FdClose, WasiCall::FdSync, WasiCall::FdDatasync] {
        if call == WasiCall::FdClose {
            assert_eq!(world.wasi(A, call, &[0]), Errno::BadF);
        }
    }
    assert_eq!(world.fd_read(A, 0, 1), Err(Errno::BadF));
    assert_eq!(world.guest(A).open_handles(), 2);
    assert_eq!(world.wasi(A, WasiCall::FdClose, &[fd]), Errno::Success);
    assert_eq!(
        world.wasi(A, WasiCall::FdClose, &[LISTENER]),
        Errno::Success
    );
    assert_eq!(world.guest(A).open_handles(), 0);
}

#[test]
fn renumbering_moves_one_descriptor_over_another() {
    let (mut world, fd, client) = World::with_connection();
    assert_eq!(
        world.wasi(A, WasiCall::FdRenumber, &[fd, 1]),
        Errno::Success
    );
    assert_eq!(world.fd_write(A, 1, b"to the peer"), Ok(11));
    assert_eq!(world.client_reads(client), b"to the peer");
    assert_eq!(fdstat(&mut world, fd), Err(Errno::BadF));
    // A number that is not open is no target, and the same number is no change.
    assert_eq!(world.wasi(A, WasiCall::FdRenumber, &[1, fd]), Errno::BadF);
    assert_eq!(world.wasi(A, WasiCall::FdRenumber, &[fd, 1]), Errno::BadF);
    assert_eq!(world.wasi(A, WasiCall::FdRenumber, &[1, 1]), Errno::Success);
    // What was there is closed.
    assert_eq!(world.wasi(A, WasiCall::FdRenumber, &[2, 1]), Errno::Success);
    assert_eq!(world.client_reads(client), b"");
    assert_eq!(world.guest(A).open_handles(), 1);
}

#[test]
fn sockets_let_the_search_for_directories_go_on_and_others_end_it() {
    let mut world = World::with_listener();
    let get = |world: &mut World, fd| world.wasi(A, WasiCall::FdPrestatGet, &[fd, STAT.into()]);
    assert_eq!(get(&mut world, LISTENER), Errno::Success);
    assert_ne!(world.read(A, STAT, 1), [0], "no directory");
    for fd in [0, 1, 2, 4, -1] {
        assert_eq!(get(&mut world, fd), Errno::BadF);
        let name = [fd, OUT.into(), 16];
        assert_eq!(
            world.wasi(A, WasiCall::FdPrestatDirName, &name),
            Errno::BadF
        );
    }
}

#[test]
fn streams_and_sockets_have_no_position() {
    let (mut world, fd, _) = World::with_connection();
    world.iovecs(A, &[(BUFFER, 1)]);
    for fd in [0, 1, LISTENER, fd] {
        let offset = [fd, IOVECS.into(), 1, 0, OUT.into()];
        assert_eq!(world.wasi(A, WasiCall::FdPread, &offset), Errno::SPipe);
        assert_eq!(world.wasi(A, WasiCall::FdPwrite, &offset), Errno::SPipe);
        assert_eq!(
            world.wasi(A, WasiCall::FdSeek, &[fd, 0, 1, OUT.into()]),
            Errno::SPipe
        );
        assert_eq!(
            world.wasi(A, WasiCall::FdTell, &[fd, OUT.into()]),
            Errno::SPipe
        );
    }
}

#[test]
fn the_table_is_bounded_and_gives_the_lowest_free_number() {
    let mut table = Descriptors::new();
    let stream = || Descriptor::stream(Stream::Input);
    for number in 3..limits::DESCRIPTORS as u32 {
        assert_eq!(table.insert(stream()), Ok(number));
    }
    assert_eq!(table.insert(stream()), Err(Errno::MFile));
    for number in [700, 5] {
        table.remove(number).unwrap();
    }
    let socket = Descriptor::new(Kind::Connection(SocketId(9)), Rights::only(0));
    assert_eq!(table.insert(socket), Ok(5));
    assert_eq!(table.sockets(), 1);
    assert_eq!(table.insert(stream()), Ok(700));
    assert_eq!(table.insert(stream()), Err(Errno::MFile));
}
