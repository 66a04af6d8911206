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

#[test]
fn a_dead_neighbour_holds_its_datagram_for_some_seconds_and_the_others_for_no_longer() {
    let mut world = World::new();
    let bind = |world: &mut World, who: usize, address: &str| -> i64 {
        world.write_address(who, ADDRESS, address);
        let socket = world.done(who, CallId::UdpBind, &[ADDRESS.into()]);
        socket.unwrap().into()
    };
    let (a, b) = (
        bind(&mut world, A, "0.0.0.0:9"),
        bind(&mut world, B, "0.0.0.0:9"),
    );
    let send = |world: &mut World, who: usize, socket: i64, to: &str, text: &[u8]| {
        world.write_address(who, ADDRESS, to);
        world.write(who, TEXT, text);
        let send = [socket, TEXT.into(), text.len() as i64, ADDRESS.into(), 1];
        world.done(who, CallId::UdpSendTo, &send)
    };
    assert_eq!(send(&mut world, A, a, "10.0.0.99:9", b"lost"), Ok(4));
    // What came meanwhile is kept, in order.
    for text in [b"one", b"two"] {
        assert_eq!(send(&mut world, B, b, "10.0.0.10:9", text), Ok(3));
        world.run(Duration::from_secs(2));
    }
    assert_eq!(send(&mut world, A, a, "10.0.0.11:9", b"here"), Ok(4));
    world.run(Duration::from_millis(50));
    let receive = |world: &mut World, who: usize, socket: i64| {
        let receive = [socket, BUFFER.into(), 64, 0, 1];
        let length = world.done(who, CallId::UdpReceiveFrom, &receive)?;
        Ok::<Vec<u8>, ErrorCode>(world.read(who, BUFFER, length as usize).to_vec())
    };
    assert_eq!(receive(&mut world, B, b), Ok(b"here".to_vec()));
    assert_eq!(receive(&mut world, A, a), Ok(b"one".to_vec()));
    assert_eq!(receive(&mut world, A, a), Ok(b"two".to_vec()));
    assert_eq!(receive(&mut world, A, a), Err(ErrorCode::WouldBlock));
}
