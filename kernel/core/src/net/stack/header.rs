//! What the stack must know of a frame before smoltcp sees it: whose connection it belongs to.

use super::facts::Opening;
use crate::net::frame::{self, MacAddress, is_group};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Address, Ipv4Packet, Ipv6Packet,
    TcpPacket, TcpRepr,
};

/// What names a connection of one instance. Addresses are in IPv6 form (IPv4-mapped, RFC 4291
/// section 2.5.5.2), so that a key is compared as three integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuple {
    /// Link-local addresses repeat from interface to interface.
    pub(super) interface: u32,
    ports: u32,
    local: u128,
    remote: u128,
}

impl Tuple {
    pub(super) fn new(interface: usize, local: SocketAddr, remote: SocketAddr) -> Tuple {
        Tuple {
            interface: interface as u32,
            ports: u32::from(local.port()) << 16 | u32::from(remote.port()),
            local: address_bits(local.ip()),
            remote: address_bits(remote.ip()),
        }
    }

    pub(super) fn local(&self) -> SocketAddr {
        SocketAddr::new(address_of(self.local), (self.ports >> 16) as u16)
    }

    pub(super) fn remote(&self) -> SocketAddr {
        SocketAddr::new(address_of(self.remote), self.ports as u16)
    }

    /// A hash of the tuple under `key`. The key differs from instance to instance, so that a peer
    /// cannot choose ports that collide.
    pub(super) fn hash(&self, key: u64) -> u64 {
        let folded = self.local ^ self.remote.rotate_left(64);
        let mut hash = key ^ u64::from(self.ports) ^ u64::from(self.interface) << 32;
        for word in [folded as u64, (folded >> 64) as u64] {
            let product = u128::from(hash ^ word) * 0x9E37_79B9_7F4A_7C15;
            hash = product as u64 ^ (product >> 64) as u64 ^ key.rotate_left(32);
        }
        hash
    }
}

fn address_of(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).to_canonical()
}

fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The TCP header's control bits that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
}

/// A TCP segment that is addressed to this station.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) control: Control,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    /// As it stands in the header, not shifted.
    pub(super) window: u16,
    pub(super) payload_bytes: usize,
}

impl Segment {
    /// Opens a connection.
    pub(super) fn is_opening(&self) -> bool {
        self.control.syn && !self.control.ack && !self.control.rst
    }
}

/// What a frame is to the stack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Not for this station, or a TCP segment that was sent to a group.
    Foreign,
    /// A TCP segment.
    Tcp(Segment),
    /// ARP or ICMPv6, which may tell where a neighbour lives.
    Neighbour,
    /// Everything else.
    Other,
}

/// Looks at a frame that arrived at the station `own`.
pub(super) fn classify(bytes: &[u8], own: MacAddress) -> Kind {
    let Some((destination, _)) = frame::addresses(bytes) else {
        return Kind::Foreign;
    };
    if destination != own && !is_group(destination) {
        return Kind::Foreign;
    }
    let frame = EthernetFrame::new_unchecked(bytes);
    match frame.ethertype() {
        EthernetProtocol::Arp => Kind::Neighbour,
        EthernetProtocol::Ipv4 => {
            let Ok(packet) = Ipv4Packet::new_checked(frame.payload()) else {
                return Kind::Foreign;
            };
            if packet.next_header() != IpProtocol::Tcp {
                return Kind::Other;
            }
            let fragment = packet.more_frags() || packet.frag_offset() != 0;
            if fragment || is_group(destination) {
                return Kind::Foreign;
            }
            let (local, remote) = (packet.dst_addr().into(), packet.src_addr().into());
            segment(packet.payload(), local, remote)
        }
        EthernetProtocol::Ipv6 => {
            let Ok(packet) = Ipv6Packet::new_checked(frame.payload()) else {
                return Kind::Foreign;
            };
            match packet.next_header() {
                IpProtocol::Tcp if is_group(destination) => Kind::Foreign,
                IpProtocol::Tcp => {
                    let (local, remote) = (packet.dst_addr().into(), packet.src_addr().into());
                    segment(packet.payload(), local, remote)
                }
                IpProtocol::Icmpv6 => Kind::Neighbour,
                // TCP behind extension headers is not served: smoltcp would answer it with RST.
                IpProtocol::HopByHop => Kind::Foreign,
                _ => Kind::Other,
            }
        }
        EthernetProtocol::Unknown(_) => Kind::Foreign,
    }
}

fn segment(bytes: &[u8], local: IpAddr, remote: IpAddr) -> Kind {
    let Ok(packet) = TcpPacket::new_checked(bytes) else {
        return Kind::Foreign;
    };
    Kind::Tcp(Segment {
        local: SocketAddr::new(local, packet.dst_port()),
        remote: SocketAddr::new(remote, packet.src_port()),
        control: Control {
            syn: packet.syn(),
            ack: packet.ack(),
            fin: packet.fin(),
            rst: packet.rst(),
        },
        sequence: packet.seq_number().0 as u32,
        acknowledgement: packet.ack_number().0 as u32,
        window: packet.window_len(),
        payload_bytes: packet.payload().len(),
    })
}

/// The TCP segment in a frame that is known to hold one.
fn tcp_packet(frame: &[u8]) -> Option<TcpPacket<&[u8]>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let bytes = match frame.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(frame.payload()).ok()?.payload(),
        EthernetProtocol::Ipv6 => Ipv6Packet::new_checked(frame.payload()).ok()?.payload(),
        EthernetProtocol::Arp | EthernetProtocol::Unknown(_) => return None,
    };
    TcpPacket::new_checked(bytes).ok()
}

/// What the SYN in a frame says of its sender.
pub(super) fn opening(frame: &[u8]) -> Option<Opening> {
    let packet = tcp_packet(frame)?;
    // smoltcp took the segment already; its addresses matter for the checksum only.
    let nobody = IpAddress::Ipv4(Ipv4Address::UNSPECIFIED);
    let checksums = ChecksumCapabilities::ignored();
    let segment = TcpRepr::parse(&packet, &nobody, &nobody, &checksums).ok()?;
    Some(Opening {
        sequence: segment.seq_number.0 as u32,
        segment_bytes: segment.max_seg_size,
        window_shift: segment.window_scale,
        selective: segment.sack_permitted,
    })
}

/// The sequence number of the SYN in a frame; nothing for any other frame.
pub(super) fn syn_sequence(frame: &[u8]) -> Option<u32> {
    let packet = tcp_packet(frame)?;
    packet.syn().then(|| packet.seq_number().0 as u32)
}
