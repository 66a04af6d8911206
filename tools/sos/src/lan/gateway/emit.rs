//! Builds the frames that the gateway sends on its own account: everything but the data of TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, Ipv4Packet,
    Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr, UdpPacket, UdpRepr,
};

pub(super) const ETHERNET_HEADER_BYTES: usize = 14;
const HOP_LIMIT: u8 = 64;

/// Both stations of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stations {
    pub(super) from: EthernetAddress,
    pub(super) to: EthernetAddress,
}

impl Stations {
    fn frame(
        self,
        protocol: EthernetProtocol,
        payload_bytes: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Vec<u8> {
        let mut bytes = vec![0; ETHERNET_HEADER_BYTES + payload_bytes];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_src_addr(self.from);
        frame.set_dst_addr(self.to);
        frame.set_ethertype(protocol);
        fill(frame.payload_mut());
        bytes
    }

    /// An ARP request or reply.
    pub(super) fn arp(
        self,
        operation: ArpOperation,
        source: Ipv4Addr,
        target_mac: EthernetAddress,
        target: Ipv4Addr,
    ) -> Vec<u8> {
        let repr = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: self.from,
            source_protocol_addr: source,
            target_hardware_addr: target_mac,
            target_protocol_addr: target,
        };
        self.frame(EthernetProtocol::Arp, repr.buffer_len(), |bytes| {
            repr.emit(&mut ArpPacket::new_unchecked(bytes));
        })
    }

    /// An IP packet of either family around a payload.
    fn ip(
        self,
        (source, destination): (IpAddr, IpAddr),
        next_header: IpProtocol,
        hop_limit: u8,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Vec<u8> {
        match (source, destination) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                let repr = Ipv4Repr {
                    src_addr,
                    dst_addr,
                    next_header,
                    payload_len,
                    hop_limit,
                };
                let total = repr.buffer_len() + payload_len;
                self.frame(EthernetProtocol::Ipv4, total, |bytes| {
                    let mut packet = Ipv4Packet::new_unchecked(bytes);
                    repr.emit(&mut packet, &ChecksumCapabilities::default());
                    fill(packet.payload_mut());
                })
            }
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
                let repr = Ipv6Repr {
                    src_addr,
                    dst_addr,
                    next_header,
                    payload_len,
                    hop_limit,
                };
                let total = repr.buffer_len() + payload_len;
                self.frame(EthernetProtocol::Ipv6, total, |bytes| {
                    let mut packet = Ipv6Packet::new_unchecked(bytes);
                    repr.emit(&mut packet);
                    fill(packet.payload_mut());
                })
            }
            // Callers take both addresses from one packet or one table; a mixture is no frame.
            _ => Vec::new(),
        }
    }

    /// A UDP datagram.
    pub(super) fn udp(
        self,
        (source, src_port): (IpAddr, u16),
        (destination, dst_port): (IpAddr, u16),
        payload: &[u8],
    ) -> Vec<u8> {
        let repr = UdpRepr { src_port, dst_port };
        let bytes = repr.header_len() + payload.len();
        self.ip(
            (source, destination),
            IpProtocol::Udp,
            HOP_LIMIT,
            bytes,
            |bytes| {
                repr.emit(
                    &mut UdpPacket::new_unchecked(bytes),
                    &IpAddress::from(source),
                    &IpAddress::from(destination),
                    payload.len(),
                    |buffer| buffer.copy_from_slice(payload),
                    &ChecksumCapabilities::default(),
                );
            },
        )
    }

    /// An ICMP message for IPv4.
    pub(super) fn icmpv4(
        self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        message: &Icmpv4Repr<'_>,
    ) -> Vec<u8> {
        let addresses = (IpAddr::V4(source), IpAddr::V4(destination));
        self.ip(
            addresses,
            IpProtocol::Icmp,
            HOP_LIMIT,
            message.buffer_len(),
            |bytes| {
                let mut packet = Icmpv4Packet::new_unchecked(bytes);
                message.emit(&mut packet, &ChecksumCapabilities::default());
            },
        )
    }

    /// An ICMP message for IPv6; neighbour discovery needs the full hop limit (RFC 4861, 7.1).
    pub(super) fn icmpv6(
        self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        message: &Icmpv6Repr<'_>,
    ) -> Vec<u8> {
        let addresses = (IpAddr::V6(source), IpAddr::V6(destination));
        self.ip(
            addresses,
            IpProtocol::Icmpv6,
            255,
            message.buffer_len(),
            |bytes| {
                let mut packet = Icmpv6Packet::new_unchecked(bytes);
                message.emit(
                    &source,
                    &destination,
                    &mut packet,
                    &ChecksumCapabilities::default(),
                );
            },
        )
    }

    /// The reset that answers a segment without a connection (RFC 9293, 3.10.7.1).
    pub(super) fn tcp_reset(
        self,
        source: IpAddr,
        destination: IpAddr,
        to: &TcpRepr<'_>,
    ) -> Vec<u8> {
        let (seq_number, ack_number) = match to.ack_number {
            Some(acknowledged) => (acknowledged, None),
            None => (Default::default(), Some(to.seq_number + to.segment_len())),
        };
        let repr = TcpRepr {
            src_port: to.dst_port,
            dst_port: to.src_port,
            control: TcpControl::Rst,
            seq_number,
            ack_number,
            window_len: 0,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        self.ip(
            (source, destination),
            IpProtocol::Tcp,
            HOP_LIMIT,
            repr.buffer_len(),
            |bytes| {
                repr.emit(
                    &mut TcpPacket::new_unchecked(bytes),
                    &IpAddress::from(source),
                    &IpAddress::from(destination),
                    &ChecksumCapabilities::default(),
                );
            },
        )
    }
}
