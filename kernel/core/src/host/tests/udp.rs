//! Datagrams.

use super::*;

/// A socket of each guest: A's on port 53, B's on one that is chosen.
fn sockets(world: &mut World) -> (i64, i64) {
    world.write_address(A, ADDRESS, "0.0.0.0:53");
    world.write_address(B, ADDRESS, "0.0.0.0:0");
    let a = world.done(A, CallId::UdpBind, &[ADDRESS.into()]).unwrap();
    let b = world.done(B, CallId::UdpBind, &[ADDRESS.into()]).unwrap();
    world.write_address(B, ADDRESS, "10.0.0.10:53");
    (a.into(), b.into())
}

#[test]
fn a_datagram_arrives_with_its_sender_and_is_answered() {
    let mut world = World::new();
    let (a, b) = sockets(&mut world);
    let receive = [a, BUFFER.into(), 100, PEER.into(), 0];
    assert_eq!(
        world.call(A, CallId::UdpReceiveFrom, &receive),
        Outcome::Blocked
    );
    world.write(B, TEXT, b"ping");
    let send = [b, TEXT.into(), 4, ADDRESS.into(), 0];
    assert_eq!(world.done(B, CallId::UdpSendTo, &send), Ok(4));
    assert_eq!(world.finish(A), Ok(4));
    assert_eq!(world.read(A, BUFFER, 4), b"ping");
    assert_eq!(
        world.read_address(A, PEER).ip(),
        core::net::IpAddr::from([10, 0, 0, 11])
    );
    let answer = [a, BUFFER.into(), 4, PEER.into(), 0];
    assert_eq!(world.done(A, CallId::UdpSendTo, &answer), Ok(4));
    let receive = [b, BUFFER.into(), 100, 0, 0];
    assert_eq!(world.wait(B, CallId::UdpReceiveFrom, &receive), Ok(4));
}

#[test]
fn a_short_buffer_gets_the_beginning_and_the_whole_length() {
    let mut world = World::new();
    let (a, b) = sockets(&mut world);
    world.write(B, TEXT, b"datagram");
    world
        .done(
            B,
            CallId::UdpSendTo,
            &[b, TEXT.into(), 8, ADDRESS.into(), 0],
        )
        .unwrap();
    world.run(Duration::from_millis(50));
    let receive = [a, BUFFER.into(), 4, 0, 1];
    assert_eq!(world.done(A, CallId::UdpReceiveFrom, &receive), Ok(8));
    assert_eq!(world.read(A, BUFFER, 8), b"data\0\0\0\0");
    assert_eq!(
        world.done(A, CallId::UdpReceiveFrom, &receive),
        Err(ErrorCode::WouldBlock)
    );
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut world = World::new();
    let (_, b) = sockets(&mut world);
    let huge = [b, BUFFER.into(), 66_000, ADDRESS.into(), 0];
    assert_eq!(
        world.done(B, CallId::UdpSendTo, &huge),
        Err(ErrorCode::MessageTooLarge)
    );
    world.write_address(B, ADDRESS, "10.0.0.10:0");
    let nowhere = [b, BUFFER.into(), 4, ADDRESS.into(), 0];
    assert_eq!(
        world.done(B, CallId::UdpSendTo, &nowhere),
        Err(ErrorCode::InvalidAddress)
    );
}

#[test]
fn a_port_is_bound_once() {
    let mut world = World::new();
    sockets(&mut world);
    let bind = [i64::from(ADDRESS)];
    assert_eq!(
        world.done(A, CallId::UdpBind, &bind),
        Err(ErrorCode::AddressInUse)
    );
    world.write_address(A, ADDRESS, "172.16.0.1:9");
    assert_eq!(
        world.done(A, CallId::UdpBind, &bind),
        Err(ErrorCode::AddressNotAvailable)
    );
}

#[test]
fn a_full_queue_makes_the_sender_wait() {
    let mut world = World::new();
    let (_, b) = sockets(&mut world);
    let send = |flags| [b, i64::from(TEXT), 100, i64::from(ADDRESS), flags];
    let mut count = 0;
    while world.done(B, CallId::UdpSendTo, &send(1)).is_ok() {
        count += 1;
        assert!(
            count <= crate::limits::UDP_DATAGRAMS,
            "the queue has no end"
        );
    }
    assert_eq!(world.call(B, CallId::UdpSendTo, &send(0)), Outcome::Blocked);
    assert_eq!(world.finish(B), Ok(100));
}
