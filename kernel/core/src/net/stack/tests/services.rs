//! UDP, DNS, DHCP and ping.

use super::*;
use crate::net::stack::interface::link_local;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

fn receive(world: &mut World, side: usize, id: SocketId) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let mut got = None;
    world.run(|world| {
        got = world.stacks[side]
            .udp_receive_from(id, &mut buffer)
            .unwrap();
        got.is_some()
    });
    let (length, from) = got.unwrap();
    (buffer[..length].to_vec(), from)
}

#[test]
fn datagrams_go_both_ways_over_both_ip_versions() {
    let mut world = World::linked(StackLimits::default());
    let server = world.stacks[A].udp_bind(None, 7).unwrap();
    let client = world.stacks[B].udp_bind(None, 0).unwrap();
    for target in ["10.0.0.10:7", "[fd00::a]:7"] {
        let target: SocketAddr = target.parse().unwrap();
        let sent = world.stacks[B].udp_send_to(client, target.to_string().as_bytes(), target);
        assert_eq!(sent, Ok(Some(target.to_string().len())));
        let (bytes, from) = receive(&mut world, A, server);
        assert_eq!(bytes, target.to_string().as_bytes());
        world.stacks[A].udp_send_to(server, b"back", from).unwrap();
        assert_eq!(receive(&mut world, B, client), (b"back".to_vec(), target));
    }
    let port = world.stacks[B].local_address(client).unwrap().port();
    assert!(port >= 49152);
}

#[test]
fn a_datagram_is_cut_to_the_buffer_and_refused_beyond_a_packet() {
    let mut world = World::linked(StackLimits::default());
    let server = world.stacks[A].udp_bind(None, 7).unwrap();
    let client = world.stacks[B].udp_bind(None, 0).unwrap();
    let largest = vec![1; limits::PRIVATE_MTU - 28];
    let too_large = vec![1; limits::PRIVATE_MTU - 27];
    let to = address(10, 7);
    let stack = &mut world.stacks[B];
    assert_eq!(
        stack.udp_send_to(client, &too_large, to),
        Err(NetError::MessageTooLarge)
    );
    assert_eq!(
        stack.udp_send_to(client, &largest, to),
        Ok(Some(largest.len()))
    );
    let mut buffer = [0; 10];
    let mut got = None;
    world.run(|world| {
        got = world.stacks[A]
            .udp_receive_from(server, &mut buffer)
            .unwrap();
        got.is_some()
    });
    assert_eq!((got.unwrap().0, buffer), (largest.len(), [1; 10]));
}

#[test]
fn a_full_datagram_queue_says_so() {
    let mut world = World::linked(StackLimits::default());
    let client = world.stacks[B].udp_bind(None, 0).unwrap();
    let stack = &mut world.stacks[B];
    for _ in 0..limits::UDP_DATAGRAMS {
        assert_eq!(stack.udp_send_to(client, b"x", address(10, 7)), Ok(Some(1)));
    }
    assert_eq!(stack.udp_send_to(client, b"x", address(10, 7)), Ok(None));
    assert!(!stack.readiness(client).writable);
}

#[test]
fn pings_are_answered_over_both_ip_versions_and_link_local() {
    let mut world = World::linked(StackLimits::default());
    let targets = [
        address(10, 0).ip(),
        "fd00::a".parse().unwrap(),
        IpAddr::V6(link_local(MAC_A)),
    ];
    for target in targets {
        let ping = world.stacks[B].ping_start(target, 77).unwrap();
        for sequence in 1..3 {
            world.stacks[B]
                .ping_send(ping, sequence, 56, world.now)
                .unwrap();
            let mut got = None;
            world.run(|world| {
                got = world.stacks[B].ping_receive(ping).unwrap();
                got.is_some()
            });
            assert_eq!(got, Some((sequence, target)));
        }
        world.stacks[B].close(ping);
    }
}

/// Answers one DNS question (RFC 1035 section 4.1) with these addresses, or with "no such name".
pub(super) fn dns_answer(question: &[u8], v4: Option<[u8; 4]>, v6: Option<[u8; 16]>) -> Vec<u8> {
    let kind = question[question.len() - 3];
    let data: Option<Vec<u8>> = match kind {
        1 => v4.map(|address| address.to_vec()),
        28 => v6.map(|address| address.to_vec()),
        _ => panic!("question of type {kind}"),
    };
    let mut answer = question.to_vec();
    let code = if v4.is_none() && v6.is_none() { 3 } else { 0 };
    answer[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    if let Some(data) = data {
        answer[7] = 1;
        answer.extend([0xC0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        answer.extend(data);
    }
    answer
}

/// Looks `name` up at B, with a fake server on A.
fn look_up(
    world: &mut World,
    name: &str,
    v4: Option<[u8; 4]>,
    v6: Option<[u8; 16]>,
) -> Result<Vec<IpAddr>, NetError> {
    let server = world.stacks[A].udp_bind(None, 53).unwrap();
    let query = world.stacks[B].dns_start(name, world.now)?;
    let mut buffer = [0; 600];
    let mut result = None;
    world.run(|world| {
        let received = world.stacks[A].udp_receive_from(server, &mut buffer);
        if let Some((length, from)) = received.unwrap() {
            let answer = dns_answer(&buffer[..length], v4, v6);
            world.stacks[A].udp_send_to(server, &answer, from).unwrap();
        }
        result = world.stacks[B].dns_poll(query).transpose();
        result.is_some()
    });
    world.stacks[A].close(server);
    world.stacks[B].close(query);
    result.unwrap()
}

fn with_name_server() -> World {
    let mut world = World::linked(StackLimits::default());
    let port = world.stacks[B].interfaces[0].port;
    let mut stack = Stack::new(StackLimits::default(), 9);
    let mut config = config(port, LinkProperties::PRIVATE, 11);
    config.dns = vec![address(10, 0).ip()];
    stack.add_interface(config, world.now).unwrap();
    world.stacks[B] = stack;
    world
}

#[test]
fn names_resolve_to_both_families_ipv4_first() {
    let mut world = with_name_server();
    let mut v6 = [0; 16];
    v6[15] = 9;
    let found = look_up(&mut world, "store.sos", Some([10, 0, 0, 9]), Some(v6));
    let expected: Vec<IpAddr> = vec![address(9, 0).ip(), "::9".parse().unwrap()];
    assert_eq!(found, Ok(expected));
    let found = look_up(&mut world, "only.v6", None, Some(v6));
    assert_eq!(found, Ok(vec!["::9".parse().unwrap()]));
}

#[test]
fn unknown_names_and_silent_servers_are_told_apart() {
    let mut world = with_name_server();
    let missing = look_up(&mut world, "missing", None, None);
    assert_eq!(missing, Err(NetError::NoSuchName));
    world.stacks.remove(A);
    let query = world.stacks[0].dns_start("name", world.now).unwrap();
    let mut result = Ok(None);
    world.run(|world| {
        result = world.stacks[0].dns_poll(query);
        result != Ok(None)
    });
    assert_eq!(result, Err(NetError::NameServerFailed));
}

#[test]
fn literal_addresses_need_no_server_and_names_do() {
    let mut world = World::linked(StackLimits::default());
    let stack = &mut world.stacks[A];
    let query = stack.dns_start("fd00::5", world.now).unwrap();
    assert_eq!(
        stack.dns_poll(query),
        Ok(Some(vec!["fd00::5".parse().unwrap()]))
    );
    assert_eq!(
        stack.dns_start("name", world.now),
        Err(NetError::NoNameServer)
    );
    let mut world = with_name_server();
    let start = world.stacks[B].dns_start("a..b", world.now);
    assert_eq!(start, Err(NetError::NoSuchName));
}

/// Reads a DHCP request; checks its checksums when they are computed.
pub(super) fn parse_dhcp(frame: &[u8]) -> Option<(DhcpMessageType, u32, Option<String>)> {
    let checked = ChecksumCapabilities::default();
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let ip = Ipv4Repr::parse(&packet, &checked).expect("header checksum");
    if ip.next_header != IpProtocol::Udp {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let (source, destination) = (ip.src_addr.into(), ip.dst_addr.into());
    UdpRepr::parse(&datagram, &source, &destination, &checked).expect("UDP checksum");
    let message = DhcpPacket::new_checked(datagram.payload()).ok()?;
    let repr = DhcpRepr::parse(&message).unwrap();
    let name = message
        .options()
        .find(|option| option.kind == 12)
        .map(|option| String::from_utf8(option.data.to_vec()).unwrap());
    Some((repr.message_type, repr.transaction_id, name))
}

/// An OFFER or ACK of 10.0.0.50 from 10.0.0.1, with a router and a name server.
pub(super) fn dhcp_reply(message_type: DhcpMessageType, transaction_id: u32) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let server = Ipv4Address::new(10, 0, 0, 1);
    let request = DhcpRepr {
        message_type,
        transaction_id,
        secs: 0,
        client_hardware_address: EthernetAddress(MAC_A),
        client_ip: Ipv4Address::UNSPECIFIED,
        your_ip: Ipv4Address::new(10, 0, 0, 50),
        server_ip: server,
        router: Some(server),
        subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
        relay_agent_ip: Ipv4Address::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(server),
        parameter_request_list: None,
        max_size: None,
        lease_duration: Some(600),
        renew_duration: None,
        rebind_duration: None,
        dns_servers: [Ipv4Address::new(10, 0, 0, 2)]
            .into_iter()
            .collect::<Vec<_>>()
            .as_slice()
            .try_into()
            .ok(),
        additional_options: &[],
    };
    let udp = UdpRepr {
        src_port: 67,
        dst_port: 68,
    };
    let destination = Ipv4Address::BROADCAST;
    let ip = Ipv4Repr {
        src_addr: server,
        dst_addr: destination,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + request.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; 14 + ip.buffer_len() + ip.payload_len];
    let mut ethernet = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.set_src_addr(EthernetAddress([2; 6]));
    ethernet.set_dst_addr(EthernetAddress(MAC_A));
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    ip.emit(&mut packet, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &server.into(),
        &destination.into(),
        request.buffer_len(),
        |payload| {
            request
                .emit(&mut DhcpPacket::new_unchecked(payload))
                .unwrap()
        },
        &checksums,
    );
    bytes
}

#[test]
fn a_lease_configures_the_interface_is_renewed_and_lost() {
    for name in ["web", "", "a-name-of-odd-length-x", "even"] {
        let mut world = World::empty();
        let switch = world.fabric.add_switch("lan", Some(0)).unwrap();
        let port = world.fabric.attach(switch, "web", MAC_A).unwrap();
        let server = world.fabric.attach(switch, "server", [2; 6]).unwrap();
        let mut stack = Stack::new(StackLimits::default(), 1);
        let mut config = config(port, world.fabric.properties(port), 10);
        config.addresses = vec![AddressSpec::Dhcp];
        config.hostname = String::from(name);
        stack.add_interface(config, world.now).unwrap();
        world.stacks.push(stack);
        let mut answers = true;
        let mut requests = 0;
        let mut serve = |world: &mut World, answers: bool| {
            while let Some(frame) = world.fabric.take_received(server) {
                let Some((kind, transaction, hostname)) = parse_dhcp(frame.bytes()) else {
                    continue;
                };
                assert_eq!(hostname.as_deref(), (!name.is_empty()).then_some(name));
                requests += 1;
                let reply = match kind {
                    DhcpMessageType::Discover => DhcpMessageType::Offer,
                    _ => DhcpMessageType::Ack,
                };
                if answers {
                    let reply = dhcp_reply(reply, transaction);
                    let now = world.now;
                    world.fabric.transmit(server, Frame::from_bytes(reply), now);
                }
            }
            requests
        };
        let leased = address(50, 0).ip();
        world.run(|world| {
            serve(world, answers);
            world.stacks[0].interfaces[0].has_address(leased)
        });
        let info = world.stacks[0].interfaces().remove(0);
        assert!(info.addresses.contains(&(leased, 24)));
        assert_eq!(info.gateway, [address(1, 0).ip()]);
        assert_eq!(info.dns, [address(2, 0).ip()]);
        assert!(matches!(info.dhcp, DhcpState::Bound { .. }));
        // Through the gateway the world is reachable.
        let far = SocketAddr::from(([192, 0, 2, 1], 80));
        assert!(world.stacks[0].tcp_connect(far, world.now).is_ok());
        // Renewed at half the lease (RFC 2131 section 4.4.5): by unicast, after ARP.
        world.stacks[0].now = world.now;
        let bound = world.now;
        answers = false;
        world.run(|world| {
            serve(world, answers);
            world.now.since(bound) > Duration::from_secs(700)
        });
        assert_eq!(
            world.stacks[0].interfaces().remove(0).dhcp,
            DhcpState::Searching
        );
        assert!(!world.stacks[0].interfaces[0].has_address(leased));
        assert!(serve(&mut world, false) > 2);
        assert_eq!(
            world.stacks[0].tcp_connect(far, world.now),
            Err(NetError::Unreachable)
        );
    }
}

#[test]
fn a_new_address_is_announced_once() {
    let limits = StackLimits::default();
    let mut world = World::relayed(limits, Faults::default(), 1, Checksums::Computed);
    world.run_for(Duration::from_secs(2));
    let seen = &world.relay.as_ref().unwrap().seen;
    // Ethernet 14; of ARP 8 to its first station, whose address stands at 28, that asked for at 38.
    let mut announced: Vec<_> = seen
        .iter()
        .filter(|frame| frame[..6] == [0xFF; 6] && frame[12..14] == [8, 6])
        .map(|frame| {
            (
                frame[22..28].to_vec(),
                frame[28..32].to_vec(),
                frame[38..42].to_vec(),
            )
        })
        .collect();
    announced.sort();
    let expected = [10, 11].map(|last| {
        let address = vec![10, 0, 0, last];
        (vec![2, 0, 0, 0, 0, last], address.clone(), address)
    });
    assert_eq!(announced, expected);
}
