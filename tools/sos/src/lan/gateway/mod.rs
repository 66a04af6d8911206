//! The gateway: the LAN's own station, which answers for its services to the host.
//!
//! [`Gateway::input`] takes the frames that reach it: ARP and neighbour discovery, echo, DHCP and
//! DNS are answered here; TCP goes to [`connections::Connections`].

mod advance;
mod connection;
mod connections;
mod dhcp;
mod directory;
mod dns;
mod emit;
mod ipv6;
mod neighbours;
mod resolver;
mod segments;
mod stack;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, EthernetAddress,
    EthernetFrame, EthernetProtocol, Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpAddress,
    IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

pub(super) use connections::{ConnectionId, Connections};
pub use dhcp::Lease;
use directory::Directory;
use dns::{FOREIGN_TTL_SECONDS, RecordKind, ResponseCode, Scope};
use resolver::{Asked, Resolver};

use super::config::LanConfig;
use super::fabric::{Fabric, Origin};
use super::poll::Poller;
use crate::wake::Waker;

const DNS_PORT: u16 = 53;

/// What every step of the gateway works with.
pub(super) struct Surroundings<'a> {
    pub(super) fabric: &'a mut Fabric,
    pub(super) poller: &'a Poller,
    pub(super) now: Instant,
}

/// Where a DNS answer goes.
struct DnsClient {
    mac: EthernetAddress,
    address: IpAddr,
    port: u16,
    server: IpAddr,
}

/// The gateway's state.
pub(super) struct Gateway {
    directory: Directory,
    pub(super) connections: Connections,
    resolver: Resolver<DnsClient>,
}

impl Gateway {
    pub(super) fn start(
        config: &LanConfig,
        mac: EthernetAddress,
        waker: Arc<Waker>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            directory: Directory::new(mac, config.subnet, config.mtu),
            connections: Connections::new(config),
            resolver: Resolver::start(waker)?,
        })
    }

    /// The leases that services hold.
    pub(super) fn leases(&self) -> Vec<Lease> {
        self.directory.dhcp.leases()
    }

    /// Forgets stations that were unplugged.
    pub(super) fn forget(&mut self, stations: &[EthernetAddress]) {
        self.directory.neighbours.forget(stations);
    }

    /// Takes a frame for the gateway.
    pub(super) fn input(&mut self, frame: &[u8], around: &mut Surroundings<'_>) {
        let Ok(frame) = EthernetFrame::new_checked(frame) else {
            return;
        };
        let sender = frame.src_addr();
        match frame.ethertype() {
            EthernetProtocol::Arp => self.arp(frame.payload(), around),
            EthernetProtocol::Ipv4 => self.ipv4(sender, frame.payload(), around),
            EthernetProtocol::Ipv6 => self.ipv6(sender, frame.payload(), around),
            EthernetProtocol::Unknown(_) => {}
        }
    }

    /// Does what is due: timers, connections that have work, answers of the resolver.
    pub(super) fn run(&mut self, around: &mut Surroundings<'_>) {
        while let Some(resolved) = self.resolver.next_answer() {
            let question = &resolved.asked.question;
            let message = match &resolved.addresses {
                Some(found) => question.respond(ResponseCode::NoError, found, FOREIGN_TTL_SECONDS),
                None => question.respond(ResponseCode::NameError, &[], FOREIGN_TTL_SECONDS),
            };
            self.send_dns(&resolved.asked.client, &message, around);
        }
        self.connections.run(&mut self.directory, around);
    }

    fn learn(&mut self, address: IpAddr, mac: EthernetAddress, now: Instant) {
        if self.directory.subnet.contains(address)
            && !self.directory.is_own(address)
            && self.directory.neighbours.learn(address, mac, now)
        {
            self.connections.wake_waiting();
        }
    }

    fn arp(&mut self, payload: &[u8], around: &mut Surroundings<'_>) {
        let Ok(packet) = ArpPacket::new_checked(payload) else {
            return;
        };
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: mac,
            source_protocol_addr: source,
            target_protocol_addr: target,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return;
        };
        self.learn(IpAddr::V4(source), mac, around.now);
        if operation == ArpOperation::Request && target == self.directory.subnet.gateway {
            let reply = self
                .directory
                .towards(mac)
                .arp(ArpOperation::Reply, target, mac, source);
            around.fabric.submit(Origin::Gateway, &reply, around.now);
        }
    }

    fn ipv4(&mut self, sender: EthernetAddress, bytes: &[u8], around: &mut Surroundings<'_>) {
        let Ok(packet) = Ipv4Packet::new_checked(bytes) else {
            around.fabric.counters.malformed += 1;
            return;
        };
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        if packet.next_header() == IpProtocol::Tcp && destination == self.directory.subnet.gateway {
            let header_bytes = usize::from(packet.header_len());
            let total_bytes = usize::from(packet.total_len());
            if packet.more_frags() || packet.frag_offset() != 0 {
                around.fabric.counters.unusable += 1;
                return;
            }
            let segment = segments::Segment {
                sender,
                source: IpAddr::V4(source),
                destination: IpAddr::V4(destination),
                packet: &bytes[..total_bytes],
                header_bytes,
            };
            self.connections
                .input(&segment, &mut self.directory, around);
            return;
        }
        let Ok(repr) = Ipv4Repr::parse(&packet, &ChecksumCapabilities::default()) else {
            around.fabric.counters.malformed += 1;
            return;
        };
        if packet.more_frags() || packet.frag_offset() != 0 {
            around.fabric.counters.unusable += 1;
        } else if !self.directory.hears_v4(destination) {
            self.unreachable(sender, &repr, packet.payload(), around);
        } else {
            match repr.next_header {
                IpProtocol::Icmp => self.icmpv4(sender, &repr, packet.payload(), around),
                IpProtocol::Udp => {
                    let addresses = (IpAddr::V4(source), IpAddr::V4(destination));
                    self.udp(sender, addresses, packet.payload(), around);
                }
                _ => around.fabric.counters.unusable += 1,
            }
        }
    }

    /// There is no way out of the LAN but the gateway's own address; say so, unless to a group.
    fn unreachable(
        &mut self,
        sender: EthernetAddress,
        repr: &Ipv4Repr,
        payload: &[u8],
        around: &mut Surroundings<'_>,
    ) {
        around.fabric.counters.unusable += 1;
        if repr.dst_addr.is_multicast() || repr.src_addr.is_unspecified() {
            return;
        }
        let message = Icmpv4Repr::DstUnreachable {
            reason: Icmpv4DstUnreachable::NetUnreachable,
            header: *repr,
            // RFC 792: the header and 64 bits of the datagram.
            data: &payload[..payload.len().min(8)],
        };
        let frame = self.directory.towards(sender).icmpv4(
            self.directory.subnet.gateway,
            repr.src_addr,
            &message,
        );
        around.fabric.submit(Origin::Gateway, &frame, around.now);
    }

    fn icmpv4(
        &mut self,
        sender: EthernetAddress,
        repr: &Ipv4Repr,
        payload: &[u8],
        around: &mut Surroundings<'_>,
    ) {
        let Ok(packet) = Icmpv4Packet::new_checked(payload) else {
            return;
        };
        let message = Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default());
        if let Ok(Icmpv4Repr::EchoRequest {
            ident,
            seq_no,
            data,
        }) = message
            && repr.dst_addr == self.directory.subnet.gateway
        {
            let reply = Icmpv4Repr::EchoReply {
                ident,
                seq_no,
                data,
            };
            let frame = self
                .directory
                .towards(sender)
                .icmpv4(repr.dst_addr, repr.src_addr, &reply);
            around.fabric.submit(Origin::Gateway, &frame, around.now);
        }
    }

    fn udp(
        &mut self,
        sender: EthernetAddress,
        (source, destination): (IpAddr, IpAddr),
        payload: &[u8],
        around: &mut Surroundings<'_>,
    ) {
        let Ok(packet) = UdpPacket::new_checked(payload) else {
            return;
        };
        let Ok(repr) = UdpRepr::parse(
            &packet,
            &IpAddress::from(source),
            &IpAddress::from(destination),
            &ChecksumCapabilities::default(),
        ) else {
            around.fabric.counters.malformed += 1;
            return;
        };
        match repr.dst_port {
            DHCP_SERVER_PORT => self.dhcp(packet.payload(), around),
            DNS_PORT if self.directory.is_own(destination) => {
                let client = DnsClient {
                    mac: sender,
                    address: source,
                    port: repr.src_port,
                    server: destination,
                };
                self.dns(client, packet.payload(), around);
            }
            _ => around.fabric.counters.unusable += 1,
        }
    }

    fn dhcp(&mut self, payload: &[u8], around: &mut Surroundings<'_>) {
        let Some(reply) = self.directory.dhcp.handle(payload, around.now) else {
            return;
        };
        let frame = self.directory.towards(reply.mac).udp(
            (IpAddr::V4(self.directory.subnet.gateway), DHCP_SERVER_PORT),
            (IpAddr::V4(reply.address), DHCP_CLIENT_PORT),
            &reply.payload,
        );
        around.fabric.submit(Origin::Gateway, &frame, around.now);
        self.connections.wake_waiting();
    }

    fn dns(&mut self, client: DnsClient, query: &[u8], around: &mut Surroundings<'_>) {
        let question = match dns::parse(query) {
            Ok(question) => question,
            Err(error) => return self.send_dns(&client, &error, around),
        };
        let message = match (question.scope(), question.kind) {
            (Scope::Local(label), _) => question.respond_local(self.local_address(label)),
            (Scope::Foreign, RecordKind::Other) => {
                question.respond(ResponseCode::NotImplemented, &[], 0)
            }
            (Scope::Foreign, RecordKind::A | RecordKind::Aaaa) => {
                match self.resolver.ask(Asked { question, client }) {
                    Ok(()) => return,
                    Err(refused) => {
                        let failure = refused
                            .question
                            .respond(ResponseCode::ServerFailure, &[], 0);
                        return self.send_dns(&refused.client, &failure, around);
                    }
                }
            }
        };
        self.send_dns(&client, &message, around);
    }

    fn local_address(&self, label: &str) -> Option<Ipv4Addr> {
        if label == "gateway" {
            return Some(self.directory.subnet.gateway);
        }
        self.directory.dhcp.address_of(label)
    }

    fn send_dns(&mut self, client: &DnsClient, message: &[u8], around: &mut Surroundings<'_>) {
        if message.is_empty() {
            return;
        }
        let frame = self.directory.towards(client.mac).udp(
            (client.server, DNS_PORT),
            (client.address, client.port),
            message,
        );
        around.fabric.submit(Origin::Gateway, &frame, around.now);
    }
}
