//! Looking up names: B asks A, which plays the name server.

use super::*;

const NAME: &[u8] = b"store.example";

/// B knows A as its name server.
fn world_with_server() -> (World, i64) {
    let mut world = World::new();
    let link = world.fabric.add_link("names").unwrap();
    let ports: Vec<PortId> = [20, 21]
        .into_iter()
        .map(|last| {
            world
                .fabric
                .attach(link, "names", [2, 0, 0, 0, 1, last])
                .unwrap()
        })
        .collect();
    for (who, last) in [(A, 20), (B, 21)] {
        let mut config = interface(ports[who], &world.fabric, last);
        config.mac[4] = 1;
        config.addresses = vec![AddressSpec::Static {
            address: [10, 0, 1, last].into(),
            prefix_length: 24,
        }];
        config.dns = vec![[10, 0, 1, 20].into()];
        world
            .guest(who)
            .stack
            .add_interface(config, Time::ZERO)
            .unwrap();
    }
    world.write_address(A, ADDRESS, "0.0.0.0:53");
    let server = world.done(A, CallId::UdpBind, &[ADDRESS.into()]).unwrap();
    world.write(B, TEXT, NAME);
    (world, server.into())
}

fn lookup(capacity: i64) -> [i64; 4] {
    [TEXT.into(), NAME.len() as i64, BUFFER.into(), capacity]
}

/// Answers both queries that come to A, for IPv4 and for IPv6 (RFC 1035 section 4): so many IPv4
/// addresses and no others, or a response code.
fn answer(world: &mut World, server: i64, addresses: u8, code: u8) {
    for _ in 0..2 {
        let receive = [server, BUFFER.into(), 512, PEER.into(), 0];
        let length = world.wait(A, CallId::UdpReceiveFrom, &receive).unwrap() as usize;
        let mut message = world.read(A, BUFFER, length).to_vec();
        let asks_for_ipv4 = message[length - 3] == 1;
        message[2] |= 0x80;
        message[3] = 0x80 | code;
        for last in 1..=if asks_for_ipv4 { addresses } else { 0 } {
            message[7] += 1;
            // The name by a pointer to the question, type A, class IN, 60 s, 4 bytes.
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, last]);
        }
        world.write(A, BUFFER, &message);
        let send = [server, BUFFER.into(), message.len() as i64, PEER.into(), 0];
        world.done(A, CallId::UdpSendTo, &send).unwrap();
    }
}

#[test]
fn a_name_is_looked_up() {
    let (mut world, server) = world_with_server();
    assert_eq!(
        world.call(B, CallId::DnsLookup, &lookup(4)),
        Outcome::Blocked
    );
    assert_eq!(world.guest(B).blocked_on(), Some("dns_lookup"));
    answer(&mut world, server, 1, 0);
    assert_eq!(world.finish(B), Ok(1));
    assert_eq!(world.read_address(B, BUFFER), "10.9.8.1:0".parse().unwrap());
}

#[test]
fn no_more_addresses_are_written_than_fit() {
    let (mut world, server) = world_with_server();
    assert_eq!(
        world.call(B, CallId::DnsLookup, &lookup(0)),
        Outcome::Blocked
    );
    answer(&mut world, server, 1, 0);
    assert_eq!(world.finish(B), Ok(0));
    assert_eq!(world.read(B, BUFFER, 32), [0; 32]);
}

#[test]
fn a_name_that_does_not_exist_is_told() {
    let (mut world, server) = world_with_server();
    assert_eq!(
        world.call(B, CallId::DnsLookup, &lookup(4)),
        Outcome::Blocked
    );
    answer(&mut world, server, 0, 3);
    assert_eq!(world.finish(B), Err(ErrorCode::NoSuchName));
}

#[test]
fn lookups_leave_nothing_behind() {
    let (mut world, server) = world_with_server();
    for _ in 0..4 * SOCKETS {
        assert_eq!(
            world.call(B, CallId::DnsLookup, &lookup(4)),
            Outcome::Blocked
        );
        answer(&mut world, server, 1, 0);
        assert_eq!(world.finish(B), Ok(1));
    }
    assert_eq!(world.guest(B).open_handles(), 0);
}

#[test]
fn without_a_server_there_is_an_answer_at_once() {
    let mut world = World::new();
    world.write(B, TEXT, NAME);
    assert_eq!(
        world.done(B, CallId::DnsLookup, &lookup(4)),
        Err(ErrorCode::NoNameServer)
    );
}

#[test]
fn a_name_that_is_none_is_refused() {
    let (mut world, _) = world_with_server();
    for (name, length) in [(&b""[..], 0), (&[b'a'; 254], 254), (b"\xff\xfe", 2)] {
        world.write(B, TEXT, name);
        let lookup = [TEXT.into(), length, BUFFER.into(), 4];
        let result = world.done(B, CallId::DnsLookup, &lookup);
        assert_eq!(result, Err(ErrorCode::InvalidArgument), "{name:?}");
    }
}

/// A lookup that fails with `error`.
pub(super) fn failed_lookup(error: ErrorCode) -> Result<i32, ErrorCode> {
    let (mut world, server) = world_with_server();
    if error == ErrorCode::NoNameServer {
        let mut alone = World::new();
        alone.write(A, TEXT, NAME);
        return alone.done(A, CallId::DnsLookup, &lookup(4));
    }
    assert_eq!(
        world.call(B, CallId::DnsLookup, &lookup(4)),
        Outcome::Blocked
    );
    // Otherwise nobody answers.
    if error == ErrorCode::NoSuchName {
        answer(&mut world, server, 0, 3);
    }
    world.finish(B)
}
