//! The gateway's own services: DHCP, DNS, ARP, echo.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{dns, icmp};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{
    DnsQueryType, EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet,
    Icmpv6Repr, IpAddress, IpCidr, Ipv6Address,
};

use super::guest::{Address, Guest, GuestConfig, Role};
use super::{PATIENCE, start, until};
use crate::lan::{Lan, LanConfig, Tap};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// A station that the test itself drives.
struct Station {
    tap: Tap,
    interface: Interface,
    sockets: SocketSet<'static>,
    start: Instant,
}

impl Station {
    fn new(lan: &Lan) -> Self {
        let mut tap = lan.tap().unwrap();
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress([
            2, 0, 0, 0, 0, 77,
        ])));
        let mut interface = Interface::new(config, &mut tap, StackInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(IpAddress::v4(10, 0, 2, 77), 24))
                .unwrap();
            addresses
                .push(IpCidr::new("fd00::77".parse().unwrap(), 64))
                .unwrap();
        });
        Self {
            tap,
            interface,
            sockets: SocketSet::new(Vec::new()),
            start: Instant::now(),
        }
    }

    fn poll_until<R>(&mut self, mut done: impl FnMut(&mut Self) -> Option<R>) -> R {
        loop {
            assert!(self.start.elapsed() < PATIENCE, "no answer");
            let now = StackInstant::from_micros(self.start.elapsed().as_micros() as i64);
            self.interface.poll(now, &mut self.tap, &mut self.sockets);
            self.tap.flush().unwrap();
            if let Some(result) = done(self) {
                return result;
            }
            self.tap.wait(Duration::from_millis(10)).unwrap();
        }
    }

    fn look_up(&mut self, name: &str) -> Result<Vec<IpAddress>, dns::GetQueryResultError> {
        let socket = dns::Socket::new(&[IpAddress::Ipv4(GATEWAY)], vec![]);
        let handle = self.sockets.add(socket);
        let socket = self.sockets.get_mut::<dns::Socket>(handle);
        let query = socket
            .start_query(self.interface.context(), name, DnsQueryType::A)
            .unwrap();
        let found = self.poll_until(|station| {
            match station
                .sockets
                .get_mut::<dns::Socket>(handle)
                .get_query_result(query)
            {
                Err(dns::GetQueryResultError::Pending) => None,
                Ok(found) => Some(Ok(found.to_vec())),
                Err(error) => Some(Err(error)),
            }
        });
        // smoltcp hands every DNS answer to the first such socket.
        self.sockets.remove(handle);
        found
    }

    fn ping(&mut self, target: IpAddress) -> Vec<u8> {
        let buffer =
            || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
        let handle = self.sockets.add(icmp::Socket::new(buffer(), buffer()));
        let socket = self.sockets.get_mut::<icmp::Socket>(handle);
        socket.bind(icmp::Endpoint::Ident(9)).unwrap();
        let (ident, seq_no, data) = (9, 1, &[5; 40][..]);
        let checksums = ChecksumCapabilities::default();
        match target {
            IpAddress::Ipv4(_) => {
                let repr = Icmpv4Repr::EchoRequest {
                    ident,
                    seq_no,
                    data,
                };
                let bytes = socket.send(repr.buffer_len(), target).unwrap();
                repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &checksums);
            }
            IpAddress::Ipv6(to) => {
                let from: Ipv6Address = "fd00::77".parse().unwrap();
                let repr = Icmpv6Repr::EchoRequest {
                    ident,
                    seq_no,
                    data,
                };
                let bytes = socket.send(repr.buffer_len(), target).unwrap();
                repr.emit(
                    &from,
                    &to,
                    &mut Icmpv6Packet::new_unchecked(bytes),
                    &checksums,
                );
            }
        }
        self.poll_until(|station| {
            let socket = station.sockets.get_mut::<icmp::Socket>(handle);
            socket.recv().ok().map(|(bytes, _)| bytes.to_vec())
        })
    }
}

#[test]
fn a_guest_gets_a_lease_and_is_found_by_name() {
    let (lan, _) = start(LanConfig::default());
    let config = GuestConfig {
        address: Address::Dhcp("web"),
        ..GuestConfig::new(Role::Echo)
    };
    let _guest = Guest::start(&lan, config);
    until("the lease is there", || !lan.leases().unwrap().is_empty());
    let leases = lan.leases().unwrap();
    assert_eq!(leases[0].name.as_deref(), Some("web"));
    assert_eq!(leases[0].address, Ipv4Addr::new(10, 0, 2, 15));

    let mut station = Station::new(&lan);
    let address = IpAddress::Ipv4(leases[0].address);
    assert_eq!(station.look_up("web"), Ok(vec![address]));
    assert_eq!(station.look_up("WEB.sos"), Ok(vec![address]));
    assert_eq!(
        station.look_up("gateway.sos"),
        Ok(vec![IpAddress::Ipv4(GATEWAY)])
    );
    assert_eq!(
        station.look_up("nobody.sos"),
        Err(dns::GetQueryResultError::Failed)
    );
}

#[test]
fn other_names_are_asked_of_the_host() {
    let (lan, _) = start(LanConfig::default());
    let found = Station::new(&lan).look_up("localhost").unwrap();
    assert!(
        found
            .iter()
            .all(|address| IpAddr::from(*address).is_loopback())
    );
    assert!(!found.is_empty());
}

#[test]
fn the_gateway_answers_echo_in_both_families() {
    let (lan, _) = start(LanConfig::default());
    let mut station = Station::new(&lan);
    let reply = station.ping(IpAddress::Ipv4(GATEWAY));
    assert_eq!((reply[0], &reply[8..]), (0, &[5; 40][..]));
    let reply = station.ping("fd00::2".parse().unwrap());
    assert_eq!((reply[0], &reply[8..]), (129, &[5; 40][..]));
}
