//! Listeners and connections.

use super::*;
use crate::host::tests::{ADDRESS, SOCKETS};
use crate::instance::HostState;
use crate::net::stack::NetError;
use alloc::vec;
use sos_abi::{CallId, ErrorCode};

/// `sock_recv` into two buffers of `length` bytes each.
fn receive(world: &mut World, fd: i64, length: u32, flags: i64) -> Result<Vec<u8>, Errno> {
    world.iovecs(A, &[(BUFFER, length), (BUFFER + length, length)]);
    let arguments = [fd, IOVECS.into(), 2, flags, OUT.into(), OUT2.into()];
    match world.wasi_wait(A, WasiCall::SockRecv, &arguments) {
        Errno::Success => {
            assert_eq!(world.read(A, OUT2, 2), [0, 0]);
            let read = world.read_u32(A, OUT) as usize;
            Ok(world.read(A, BUFFER, read).to_vec())
        }
        error => Err(error),
    }
}

const PEEK: i64 = 1;
const WAITALL: i64 = 2;

#[test]
fn bytes_go_both_ways_by_either_pair_of_functions() {
    let (mut world, fd, client) = World::with_connection();
    world.client_writes(client, b"question");
    assert_eq!(world.fd_read(A, fd, 100), Ok(b"question".to_vec()));
    assert_eq!(world.fd_write(A, fd, b"answer"), Ok(6));
    assert_eq!(world.client_reads(client), b"answer");
    world.client_writes(client, b"again");
    assert_eq!(receive(&mut world, fd, 3, 0), Ok(b"again".to_vec()));
    world.write(A, BUFFER, b"sent");
    world.iovecs(A, &[(BUFFER, 4)]);
    let send = [fd, IOVECS.into(), 1, 0, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::SockSend, &send), Errno::Success);
    assert_eq!(world.read_u32(A, OUT), 4);
    assert_eq!(world.client_reads(client), b"sent");
}

#[test]
fn a_read_waits_for_bytes_and_gives_none_at_the_end() {
    let (mut world, fd, client) = World::with_connection();
    world.iovecs(A, &[(BUFFER, 16)]);
    let read = [fd, IOVECS.into(), 1, OUT.into()];
    assert_eq!(world.call(A, WasiCall::FdRead, &read), Outcome::Blocked);
    world.client_writes(client, b"late");
    assert_eq!(errno(world.retry(A)), Errno::Success);
    world.client_closes(client);
    assert_eq!(world.fd_read(A, fd, 16), Ok(Vec::new()));
    assert_eq!(receive(&mut world, fd, 16, 0), Ok(Vec::new()));
    assert_eq!(receive(&mut world, fd, 16, PEEK), Ok(Vec::new()));
}

#[test]
fn peeked_bytes_stay_and_fill_all_buffers() {
    let (mut world, fd, client) = World::with_connection();
    world.client_writes(client, b"abcdef");
    assert_eq!(receive(&mut world, fd, 2, PEEK), Ok(b"abcd".to_vec()));
    assert_eq!(
        receive(&mut world, fd, 5, PEEK | WAITALL),
        Ok(b"abcdef".to_vec())
    );
    assert_eq!(receive(&mut world, fd, 5, 0), Ok(b"abcdef".to_vec()));
}

#[test]
fn bytes_that_all_are_waited_for_are_paid_once() {
    let (mut world, fd, client) = World::with_connection();
    let mut costs = Vec::new();
    for flags in [0, WAITALL] {
        world.client_writes(client, &[1; 1600]);
        assert_eq!(receive(&mut world, fd, 800, flags).unwrap().len(), 1600);
        costs.push(world.guest(A).cost());
    }
    assert_eq!(costs[0], costs[1]);
}

#[test]
fn waiting_for_all_goes_on_over_several_arrivals_and_pieces() {
    let (mut world, fd, client) = World::with_connection();
    let length = 0x18000;
    world.iovecs(A, &[(BUFFER, length - 5), (0x1000, 5)]);
    let arguments = [fd, IOVECS.into(), 2, WAITALL, OUT.into(), OUT2.into()];
    assert_eq!(
        world.call(A, WasiCall::SockRecv, &arguments),
        Outcome::Blocked
    );
    let sent: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
    let mut done = None;
    for part in sent.chunks(20_000) {
        assert_eq!(done, None);
        world.client_writes(client, part);
        done = match world.retry(A) {
            Outcome::Blocked => None,
            outcome => Some(errno(outcome)),
        };
    }
    while done.is_none() {
        world.run(Duration::from_millis(1));
        if let outcome @ Outcome::Done(_) = world.retry(A) {
            done = Some(errno(outcome));
        }
    }
    assert_eq!(done, Some(Errno::Success));
    assert_eq!(world.read_u32(A, OUT), length);
    assert!(world.read(A, BUFFER, length as usize - 5) == &sent[..length as usize - 5]);
    assert_eq!(world.read(A, 0x1000, 5), &sent[length as usize - 5..]);
}

#[test]
fn waiting_for_all_ends_with_the_stream() {
    let (mut world, fd, client) = World::with_connection();
    world.client_writes(client, b"abc");
    world.iovecs(A, &[(BUFFER, 10)]);
    let arguments = [fd, IOVECS.into(), 1, WAITALL, OUT.into(), OUT2.into()];
    assert_eq!(
        world.call(A, WasiCall::SockRecv, &arguments),
        Outcome::Blocked
    );
    world.client_closes(client);
    assert_eq!(errno(world.retry(A)), Errno::Success);
    assert_eq!(world.read_u32(A, OUT), 3);
}

#[test]
fn without_waiting_there_is_nothing_yet() {
    let (mut world, fd, client) = World::with_connection();
    let flags = [fd, wire::fd_flags::NONBLOCK.into()];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetFlags, &flags),
        Errno::Success
    );
    for mode in [0, PEEK, WAITALL] {
        assert_eq!(receive(&mut world, fd, 4, mode), Err(Errno::Again));
    }
    assert_eq!(world.fd_read(A, fd, 4), Err(Errno::Again));
    world.client_writes(client, b"abc");
    assert_eq!(receive(&mut world, fd, 4, WAITALL), Ok(b"abc".to_vec()));
    // A peer that does not read fills the buffers on the way.
    let bytes = vec![0; 0x10000];
    let mut refused = None;
    for _ in 0..10 {
        refused = world.fd_write(A, fd, &bytes).err();
    }
    assert_eq!(refused, Some(Errno::Again));
}

#[test]
fn accepting_waits_unless_told_not_to() {
    let mut world = World::with_listener();
    let accept = [LISTENER, 4, OUT.into()];
    assert_eq!(
        world.call(A, WasiCall::SockAccept, &accept),
        Outcome::Blocked
    );
    world.write_address(B, ADDRESS, "10.0.0.10:80");
    let connect = [ADDRESS.into(), 0];
    world
        .wait(B, sos_abi::CallId::TcpConnect, &connect)
        .unwrap();
    assert_eq!(world.wasi_finish(A), Errno::Success);
    let fd = world.read_u32(A, OUT).into();
    // The flags are those asked for.
    assert_eq!(world.fd_read(A, fd, 1), Err(Errno::Again));
    let nonblock = [LISTENER, wire::fd_flags::NONBLOCK.into()];
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetFlags, &nonblock),
        Errno::Success
    );
    assert_eq!(world.wasi(A, WasiCall::SockAccept, &accept), Errno::Again);
}

#[test]
fn shutting_down_ends_one_direction_or_both() {
    let (mut world, fd, client) = World::with_connection();
    for how in [0, 4, -1] {
        assert_eq!(
            world.wasi(A, WasiCall::SockShutdown, &[fd, how]),
            Errno::Inval
        );
    }
    assert_eq!(
        world.wasi(A, WasiCall::SockShutdown, &[fd, 2]),
        Errno::Success
    );
    assert_eq!(world.client_reads(client), b"");
    assert_eq!(world.fd_write(A, fd, b"x"), Err(Errno::Pipe));
    world.client_writes(client, b"still");
    assert_eq!(world.fd_read(A, fd, 10), Ok(b"still".to_vec()));
    assert_eq!(
        world.wasi(A, WasiCall::SockShutdown, &[fd, 1]),
        Errno::Success
    );
    assert_eq!(world.fd_read(A, fd, 10), Ok(Vec::new()));
    let (mut world, fd, client) = World::with_connection();
    assert_eq!(
        world.wasi(A, WasiCall::SockShutdown, &[fd, 3]),
        Errno::Success
    );
    assert_eq!(world.client_reads(client), b"");
    assert_eq!(world.fd_read(A, fd, 10), Ok(Vec::new()));
}

#[test]
fn what_is_no_connection_says_so() {
    let (mut world, fd, _) = World::with_connection();
    world.iovecs(A, &[(BUFFER, 1)]);
    let cases = [
        (0, Errno::NotSock),
        (1, Errno::NotSock),
        (LISTENER, Errno::NotConn),
        (99, Errno::BadF),
    ];
    for (fd, expected) in cases {
        assert_eq!(receive(&mut world, fd, 1, 0), Err(expected));
        let send = [fd, IOVECS.into(), 1, 0, OUT.into()];
        assert_eq!(world.wasi(A, WasiCall::SockSend, &send), expected);
        assert_eq!(world.wasi(A, WasiCall::SockShutdown, &[fd, 3]), expected);
    }
    assert_eq!(world.fd_read(A, LISTENER, 1), Err(Errno::NotConn));
    assert_eq!(world.fd_write(A, LISTENER, b"x"), Err(Errno::NotCapable));
    let cases = [(1, Errno::NotSock), (fd, Errno::Inval), (99, Errno::BadF)];
    for (fd, expected) in cases {
        assert_eq!(
            world.wasi(A, WasiCall::SockAccept, &[fd, 0, OUT.into()]),
            expected
        );
    }
}

#[test]
fn unknown_flags_are_refused() {
    let (mut world, fd, _) = World::with_connection();
    for flags in [4, 0x10000, -1] {
        assert_eq!(receive(&mut world, fd, 1, flags), Err(Errno::Inval));
    }
    for flags in [1, -1] {
        let send = [fd, IOVECS.into(), 0, flags, OUT.into()];
        assert_eq!(world.wasi(A, WasiCall::SockSend, &send), Errno::Inval);
    }
    for flags in [1, 2, 8, 0x10004, -1] {
        assert_eq!(
            world.wasi(A, WasiCall::SockAccept, &[LISTENER, flags, OUT.into()]),
            Errno::Inval
        );
    }
}

#[test]
fn rights_are_asked_for() {
    let (mut world, fd, client) = World::with_connection();
    world.client_writes(client, b"unread");
    assert_eq!(
        world.wasi(A, WasiCall::FdFdstatSetRights, &[fd, 0, 0]),
        Errno::Success
    );
    assert_eq!(receive(&mut world, fd, 1, 0), Err(Errno::NotCapable));
    assert_eq!(world.fd_read(A, fd, 1), Err(Errno::NotCapable));
    assert_eq!(world.fd_write(A, fd, b"x"), Err(Errno::NotCapable));
    let send = [fd, IOVECS.into(), 0, 0, OUT.into()];
    assert_eq!(world.wasi(A, WasiCall::SockSend, &send), Errno::NotCapable);
    assert_eq!(
        world.wasi(A, WasiCall::SockShutdown, &[fd, 3]),
        Errno::NotCapable
    );
}

#[test]
fn a_peer_that_breaks_off_is_a_reset() {
    let (mut world, fd, client) = World::with_connection();
    assert_eq!(world.fd_write(A, fd, b"unread by the peer"), Ok(18));
    world.client_closes(client);
    let mut error = None;
    for _ in 0..3 {
        error = error.or(world.fd_write(A, fd, b"more").err());
        world.run(Duration::from_millis(20));
    }
    assert!(
        matches!(error, Some(Errno::ConnReset | Errno::Pipe)),
        "{error:?}"
    );
}

#[test]
fn sockets_are_bounded_and_the_connection_is_not_lost() {
    let (mut world, ..) = World::with_connection();
    let accept = [LISTENER, 0, OUT.into()];
    world.write_address(B, ADDRESS, "10.0.0.10:80");
    for _ in 2..SOCKETS {
        world
            .wait(B, sos_abi::CallId::TcpConnect, &[ADDRESS.into(), 0])
            .unwrap();
        assert_eq!(
            world.wasi_wait(A, WasiCall::SockAccept, &accept),
            Errno::Success
        );
    }
    world
        .wait(B, sos_abi::CallId::TcpConnect, &[ADDRESS.into(), 0])
        .unwrap();
    world.run(Duration::from_millis(20));
    assert_eq!(
        world.wasi_wait(A, WasiCall::SockAccept, &accept),
        Errno::NFile
    );
    assert_eq!(world.wasi(A, WasiCall::FdClose, &[5]), Errno::Success);
    assert_eq!(
        world.wasi_wait(A, WasiCall::SockAccept, &accept),
        Errno::Success
    );
    assert_eq!(world.read_u32(A, OUT), 5);
}

#[test]
fn a_port_is_listened_on_once() {
    let mut world = World::with_listener();
    let spec = ListenerSpec {
        address: None,
        port: 80,
    };
    assert_eq!(
        world.guest(A).open_listener(&spec),
        Err(NetError::AddressInUse)
    );
    let spec = ListenerSpec {
        address: Some([10, 9, 9, 9].into()),
        port: 81,
    };
    assert_eq!(
        world.guest(A).open_listener(&spec),
        Err(NetError::AddressNotAvailable)
    );
}

#[test]
fn native_sockets_become_descriptors() {
    let mut world = World::new();
    let (listener, server, client) = world.connected();
    let hand_over = |world: &mut World, handle| world.done(A, CallId::WasiDescriptor, &[handle]);
    let fd = hand_over(&mut world, server).unwrap().into();
    assert_eq!(fd, 3);
    assert_eq!(hand_over(&mut world, server), Err(ErrorCode::BadHandle));
    world.client_writes(client, b"question");
    assert_eq!(world.fd_read(A, fd, 100), Ok(b"question".to_vec()));
    assert_eq!(world.fd_write(A, fd, b"answer"), Ok(6));
    assert_eq!(world.client_reads(client), b"answer");

    let listening = hand_over(&mut world, listener).unwrap().into();
    world.write_address(B, ADDRESS, "10.0.0.10:80");
    let another = world.wait(B, CallId::TcpConnect, &[ADDRESS.into(), 0]);
    let accept = [listening, 0, OUT.into()];
    let accepted = world.wasi_wait(A, WasiCall::SockAccept, &accept);
    assert_eq!(accepted, Errno::Success);
    let fd = world.read_u32(A, OUT).into();
    world.client_writes(another.unwrap().into(), b"second");
    assert_eq!(world.fd_read(A, fd, 100), Ok(b"second".to_vec()));
    assert_eq!(world.guest(A).open_handles(), 3);
}

#[test]
fn what_wasi_has_no_descriptor_for_keeps_its_handle() {
    let mut world = World::new();
    world.write_address(A, ADDRESS, "0.0.0.0:0");
    let udp = world.done(A, CallId::UdpBind, &[ADDRESS.into()]).unwrap();
    let handed_over = world.done(A, CallId::WasiDescriptor, &[udp.into()]);
    assert_eq!(handed_over, Err(ErrorCode::WrongKind));
    assert_eq!(world.done(A, CallId::Close, &[udp.into()]), Ok(0));
}
