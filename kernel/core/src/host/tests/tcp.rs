//! Listening, connecting, reading, writing, ending.

use super::*;
use crate::limits;

#[test]
fn a_connection_carries_bytes_both_ways_and_ends() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    world.write(B, TEXT, b"question");
    assert_eq!(
        world.done(B, CallId::TcpWrite, &[client, TEXT.into(), 8, 0]),
        Ok(8)
    );
    let read = |handle, flags| [handle, i64::from(BUFFER), 100, flags];
    assert_eq!(world.wait(A, CallId::TcpRead, &read(server, 0)), Ok(8));
    assert_eq!(world.read(A, BUFFER, 8), b"question");
    world.write(A, TEXT, b"answer");
    assert_eq!(
        world.done(A, CallId::TcpWrite, &[server, TEXT.into(), 6, 0]),
        Ok(6)
    );
    assert_eq!(world.done(A, CallId::TcpShutdown, &[server, 1]), Ok(0));
    assert_eq!(world.wait(B, CallId::TcpRead, &read(client, 0)), Ok(6));
    assert_eq!(world.wait(B, CallId::TcpRead, &read(client, 0)), Ok(0));
    let write = [server, TEXT.into(), 6, 0];
    assert_eq!(
        world.done(A, CallId::TcpWrite, &write),
        Err(ErrorCode::Closed)
    );
}

#[test]
fn accepting_waits_and_tells_the_peer() {
    let mut world = World::new();
    let listener = world.listen();
    let accept = |flags| [listener, flags, i64::from(PEER)];
    assert_eq!(
        world.done(A, CallId::TcpAccept, &accept(1)),
        Err(ErrorCode::WouldBlock)
    );
    assert_eq!(
        world.call(A, CallId::TcpAccept, &accept(0)),
        Outcome::Blocked
    );
    world.write_address(B, ADDRESS, "10.0.0.10:80");
    let client = world
        .wait(B, CallId::TcpConnect, &[ADDRESS.into(), 0])
        .unwrap();
    let server = world.finish(A).unwrap();
    world
        .done(B, CallId::SocketLocalAddress, &[client.into(), PEER.into()])
        .unwrap();
    assert_eq!(world.read_address(A, PEER), world.read_address(B, PEER));
    world
        .done(
            A,
            CallId::SocketPeerAddress,
            &[server.into(), BUFFER.into()],
        )
        .unwrap();
    assert_eq!(world.read_address(A, BUFFER), world.read_address(B, PEER));
}

#[test]
fn connecting_without_waiting_is_told_by_its_status() {
    let mut world = World::new();
    world.listen();
    world.write_address(B, ADDRESS, "10.0.0.10:80");
    let client: i64 = world
        .done(B, CallId::TcpConnect, &[ADDRESS.into(), 1])
        .unwrap()
        .into();
    assert_eq!(
        world.done(B, CallId::TcpConnectStatus, &[client]),
        Err(ErrorCode::WouldBlock)
    );
    world.run(Duration::from_millis(50));
    assert_eq!(world.done(B, CallId::TcpConnectStatus, &[client]), Ok(0));
}

#[test]
fn a_refused_connection_leaves_no_handle() {
    let mut world = World::new();
    world.write_address(B, ADDRESS, "10.0.0.10:81");
    let result = world.wait(B, CallId::TcpConnect, &[ADDRESS.into(), 0]);
    assert_eq!(result, Err(ErrorCode::ConnectionRefused));
    assert_eq!(world.guest(B).open_handles(), 0);
}

#[test]
fn addresses_that_cannot_be_used_are_refused() {
    let mut world = World::new();
    let listen = [ADDRESS.into(), 16];
    world.write_address(A, ADDRESS, "0.0.0.0:0");
    assert_eq!(
        world.done(A, CallId::TcpListen, &listen),
        Err(ErrorCode::InvalidAddress)
    );
    world.write_address(A, ADDRESS, "192.168.7.7:80");
    assert_eq!(
        world.done(A, CallId::TcpListen, &listen),
        Err(ErrorCode::AddressNotAvailable)
    );
    world.listen();
    world.write_address(A, ADDRESS, "10.0.0.10:80");
    assert_eq!(
        world.done(A, CallId::TcpListen, &listen),
        Err(ErrorCode::AddressInUse)
    );
    let huge_backlog = [ADDRESS.into(), 70_000];
    assert_eq!(
        world.done(A, CallId::TcpListen, &huge_backlog),
        Err(ErrorCode::InvalidArgument)
    );
    world.write(A, ADDRESS, &[9; 32]);
    assert_eq!(
        world.done(A, CallId::TcpListen, &listen),
        Err(ErrorCode::InvalidAddress)
    );
    world.write_address(A, ADDRESS, "8.8.8.8:80");
    let connect = [ADDRESS.into(), 0];
    assert_eq!(
        world.done(A, CallId::TcpConnect, &connect),
        Err(ErrorCode::Unreachable)
    );
    assert_eq!(world.guest(A).open_handles(), 1);
}

#[test]
fn peeking_leaves_the_bytes() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    world.write(B, TEXT, b"abc");
    world
        .done(B, CallId::TcpWrite, &[client, TEXT.into(), 3, 0])
        .unwrap();
    let read = |capacity, flags| [server, i64::from(BUFFER), capacity, flags];
    assert_eq!(world.wait(A, CallId::TcpRead, &read(2, 2)), Ok(2));
    assert_eq!(world.done(A, CallId::TcpRead, &read(8, 3)), Ok(3));
    assert_eq!(world.done(A, CallId::TcpRead, &read(8, 0)), Ok(3));
    assert_eq!(
        world.done(A, CallId::TcpRead, &read(8, 1)),
        Err(ErrorCode::WouldBlock)
    );
    assert_eq!(world.done(A, CallId::TcpRead, &read(0, 0)), Ok(0));
}

#[test]
fn a_full_connection_blocks_the_writer_until_the_reader_reads() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    let write = |flags| {
        [
            client,
            i64::from(BUFFER),
            limits::HOST_CALL_BYTES as i64,
            flags,
        ]
    };
    let mut written = 0;
    loop {
        match world.done(B, CallId::TcpWrite, &write(1)) {
            Ok(bytes) => written += bytes as usize,
            Err(error) => {
                assert_eq!(error, ErrorCode::WouldBlock);
                world.run(Duration::from_millis(100));
                if world
                    .done(B, CallId::TcpWrite, &write(1))
                    .map(|n| written += n as usize)
                    == Err(ErrorCode::WouldBlock)
                {
                    break;
                }
            }
        }
    }
    assert!(written >= limits::TCP_BUFFER_BYTES, "{written}");
    assert_eq!(world.call(B, CallId::TcpWrite, &write(0)), Outcome::Blocked);
    let read = [server, BUFFER.into(), limits::HOST_CALL_BYTES as i64, 0];
    let got = world.wait(A, CallId::TcpRead, &read).unwrap();
    assert!(got > 0);
    assert!(world.finish(B).unwrap() > 0);
}

#[test]
fn a_closed_peer_is_seen_as_the_end() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    assert_eq!(world.done(B, CallId::Close, &[client]), Ok(0));
    let read = [server, BUFFER.into(), 8, 0];
    assert_eq!(world.wait(A, CallId::TcpRead, &read), Ok(0));
}

#[test]
fn a_reset_is_told_to_a_reader_that_waits() {
    let mut world = World::new();
    let (_, server, _) = world.connected();
    let read = [server, BUFFER.into(), 8, 0];
    assert_eq!(world.call(A, CallId::TcpRead, &read), Outcome::Blocked);
    world.guest(B).stack.shutdown_all();
    let result = world.finish(A);
    assert!(
        matches!(result, Ok(0) | Err(ErrorCode::ConnectionReset)),
        "{result:?}"
    );
}

#[test]
fn options_take_their_values_only() {
    let mut world = World::new();
    let (_, server, _) = world.connected();
    for (option, value, expected) in [
        (0, 0, Ok(0)),
        (0, 1, Ok(0)),
        (0, 2, Err(ErrorCode::InvalidArgument)),
        (1, 0, Ok(0)),
        (1, 30_000_000_000, Ok(0)),
        (1, -1, Err(ErrorCode::InvalidArgument)),
        (2, 0, Err(ErrorCode::InvalidArgument)),
    ] {
        let result = world.done(A, CallId::TcpSetOption, &[server, option, value]);
        assert_eq!(result, expected, "{option} {value}");
    }
    assert_eq!(
        world.done(A, CallId::TcpShutdown, &[server, 3]),
        Err(ErrorCode::InvalidArgument)
    );
}

#[test]
fn a_listener_has_an_address_but_no_peer() {
    let mut world = World::new();
    let listener = world.listen();
    assert_eq!(
        world.done(A, CallId::SocketLocalAddress, &[listener, PEER.into()]),
        Ok(0)
    );
    assert_eq!(world.read_address(A, PEER).port(), 80);
    assert!(
        world
            .done(A, CallId::SocketPeerAddress, &[listener, PEER.into()])
            .is_err()
    );
}

#[test]
fn a_megabyte_arrives_whole() {
    let mut world = World::new();
    let (_, server, client) = world.connected();
    let total = 1 << 20;
    let (mut sent, mut received) = (0usize, 0usize);
    let byte = |position: usize| (position * 7 + position / 251) as u8;
    while received < total {
        if sent < total {
            let piece: Vec<u8> = (sent..(sent + 30_000).min(total)).map(byte).collect();
            world.write(B, BUFFER, &piece);
            let write = [client, BUFFER.into(), piece.len() as i64, 1];
            sent += world.done(B, CallId::TcpWrite, &write).unwrap_or(0) as usize;
        }
        world.run(Duration::from_millis(1));
        while let Ok(count) = world.done(A, CallId::TcpRead, &[server, BUFFER.into(), 20_000, 1]) {
            for (offset, &got) in world.read(A, BUFFER, count as usize).iter().enumerate() {
                assert_eq!(got, byte(received + offset), "at {}", received + offset);
            }
            received += count as usize;
        }
    }
    assert_eq!(received, total);
}
