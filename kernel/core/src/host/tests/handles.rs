//! Handles: stale ones, foreign ones, too many.

use super::*;
use crate::net::stack::SocketId;

#[test]
fn a_closed_handle_fails_although_its_slot_is_used_again() {
    let mut table = HandleTable::new(2);
    let first = table.insert(SocketId(1)).unwrap();
    table.insert(SocketId(2)).unwrap();
    assert_eq!(table.insert(SocketId(3)), Err(ErrorCode::TooManyHandles));
    assert_eq!(table.remove(first), Ok(SocketId(1)));
    assert_eq!(table.get(first), Err(ErrorCode::BadHandle));
    assert_eq!(table.remove(first), Err(ErrorCode::BadHandle));
    let third = table.insert(SocketId(3)).unwrap();
    assert_ne!(third, first);
    assert_eq!(table.get(third), Ok(SocketId(3)));
    assert_eq!(table.get(first), Err(ErrorCode::BadHandle));
    assert_eq!(table.len(), 2);
}

#[test]
fn handles_are_positive_through_all_generations() {
    let mut table = HandleTable::new(1);
    for round in 0..70_000 {
        let handle = table.insert(SocketId(round)).unwrap();
        assert!(handle.result() > 0, "{handle:?}");
        table.remove(handle).unwrap();
    }
    assert!(table.is_empty());
}

#[test]
fn numbers_that_were_never_given_out_fail() {
    let mut world = World::new();
    let listener = world.listen();
    for handle in [
        0,
        1,
        -1,
        listener + 1,
        listener + 0x10000,
        i64::from(i32::MIN),
    ] {
        assert_eq!(
            world.done(A, CallId::Close, &[handle]),
            Err(ErrorCode::BadHandle),
            "{handle}"
        );
    }
    assert_eq!(world.done(A, CallId::Close, &[listener]), Ok(0));
    assert_eq!(
        world.done(A, CallId::Close, &[listener]),
        Err(ErrorCode::BadHandle)
    );
}

#[test]
fn every_call_on_a_stale_handle_fails() {
    let mut world = World::new();
    let (_, server, _) = world.connected();
    world.done(A, CallId::Close, &[server]).unwrap();
    let (buffer, address) = (i64::from(BUFFER), i64::from(ADDRESS));
    let calls: [(CallId, &[i64]); 12] = [
        (CallId::TcpAccept, &[server, 0, 0]),
        (CallId::TcpConnectStatus, &[server]),
        (CallId::TcpRead, &[server, buffer, 8, 0]),
        (CallId::TcpWrite, &[server, buffer, 8, 0]),
        (CallId::TcpShutdown, &[server, 2]),
        (CallId::TcpSetOption, &[server, 0, 1]),
        (CallId::UdpSendTo, &[server, buffer, 8, address, 0]),
        (CallId::UdpReceiveFrom, &[server, buffer, 8, 0, 0]),
        (CallId::SocketLocalAddress, &[server, address]),
        (CallId::SocketPeerAddress, &[server, address]),
        (CallId::Close, &[server]),
        (CallId::TcpRead, &[server, buffer, 0, 0]),
    ];
    for (call, arguments) in calls {
        assert_eq!(
            world.done(A, call, arguments),
            Err(ErrorCode::BadHandle),
            "{}",
            call.name()
        );
    }
}

#[test]
fn the_limit_of_handles_is_kept_and_freed_by_closing() {
    let mut world = World::new();
    world.write_address(A, ADDRESS, "0.0.0.0:0");
    let bind = [i64::from(ADDRESS)];
    let handles: Vec<i32> = (0..SOCKETS)
        .map(|_| world.done(A, CallId::UdpBind, &bind).unwrap())
        .collect();
    assert_eq!(
        world.done(A, CallId::UdpBind, &bind),
        Err(ErrorCode::TooManyHandles)
    );
    world.write_address(A, ADDRESS, "0.0.0.0:80");
    let listen = [ADDRESS.into(), 1];
    assert_eq!(
        world.done(A, CallId::TcpListen, &listen),
        Err(ErrorCode::TooManyHandles)
    );
    world.write_address(A, ADDRESS, "10.0.0.11:80");
    let connect = [ADDRESS.into(), 0];
    assert_eq!(
        world.done(A, CallId::TcpConnect, &connect),
        Err(ErrorCode::TooManyHandles)
    );
    assert_eq!(world.guest(A).open_handles(), SOCKETS as usize);
    world.done(A, CallId::Close, &[handles[3].into()]).unwrap();
    world.write_address(A, ADDRESS, "0.0.0.0:0");
    assert!(world.done(A, CallId::UdpBind, &bind).is_ok());
}

#[test]
fn a_socket_of_another_kind_is_told() {
    let mut world = World::new();
    let (listener, server, _) = world.connected();
    world.write_address(A, ADDRESS, "0.0.0.0:0");
    let udp: i64 = world
        .done(A, CallId::UdpBind, &[ADDRESS.into()])
        .unwrap()
        .into();
    let (buffer, address) = (i64::from(BUFFER), i64::from(ADDRESS));
    world.write_address(A, ADDRESS, "10.0.0.11:9");
    let calls: [(CallId, &[i64]); 8] = [
        (CallId::TcpRead, &[listener, buffer, 8, 0]),
        (CallId::TcpWrite, &[udp, buffer, 8, 0]),
        (CallId::TcpAccept, &[server, 0, 0]),
        (CallId::TcpConnectStatus, &[udp]),
        (CallId::TcpShutdown, &[udp, 2]),
        (CallId::TcpSetOption, &[udp, 0, 1]),
        (CallId::UdpSendTo, &[server, buffer, 8, address, 0]),
        (CallId::UdpReceiveFrom, &[listener, buffer, 8, 0, 0]),
    ];
    for (call, arguments) in calls {
        assert_eq!(
            world.done(A, call, arguments),
            Err(ErrorCode::WrongKind),
            "{}",
            call.name()
        );
    }
}
