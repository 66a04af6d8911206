//! Who lives where on an interface's network, by what ARP and neighbour discovery said.
//!
//! smoltcp has its own cache and shows it to nobody. This record is what a cut takes along: without it each
//! neighbour would have to be asked for again, and an interface asks for one a second.

use super::dhcp::is_usable;
use super::interface::Interface;
use crate::limits;
use crate::net::frame::{ETHERNET_HEADER_BYTES, MacAddress, is_group};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde::{Deserialize, Serialize};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

/// A station and one of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The address.
    pub address: IpAddr,
    /// The station that has it.
    pub mac: MacAddress,
}

/// The neighbours heard last, in the order in which they were.
#[derive(Debug, Default)]
pub(super) struct Neighbours(Vec<Neighbour>);

impl Neighbours {
    pub(super) fn insert(&mut self, neighbour: Neighbour) {
        self.0.retain(|other| other.address != neighbour.address);
        if self.0.len() >= limits::NEIGHBOURS {
            self.0.remove(0);
        }
        self.0.push(neighbour);
    }

    pub(super) fn as_slice(&self) -> &[Neighbour] {
        &self.0
    }
}

impl Interface {
    /// Takes note of a neighbour that a frame tells of, as smoltcp does.
    pub(super) fn learn(&mut self, frame: &[u8]) {
        if let Some(neighbour) = self.neighbour_in(frame)
            && is_usable(neighbour.address)
            && !is_group(neighbour.mac)
        {
            self.neighbours.insert(neighbour);
        }
    }

    fn neighbour_in(&self, frame: &[u8]) -> Option<Neighbour> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                let packet = ArpPacket::new_checked(frame.payload()).ok()?;
                let ArpRepr::EthernetIpv4 {
                    source_hardware_addr: station,
                    source_protocol_addr: address,
                    target_protocol_addr: target,
                    ..
                } = ArpRepr::parse(&packet).ok()?
                else {
                    return None;
                };
                let address = IpAddr::V4(address);
                let concerns_us = self.has_address(IpAddr::V4(target)) && self.is_on_link(address);
                concerns_us.then_some(Neighbour {
                    address,
                    mac: station.0,
                })
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
                let (from, to) = (packet.src_addr(), packet.dst_addr());
                if packet.next_header() != IpProtocol::Icmpv6 {
                    return None;
                }
                let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
                let checksums = ChecksumCapabilities::ignored();
                let Icmpv6Repr::Ndisc(message) =
                    Icmpv6Repr::parse(&from, &to, &message, &checksums).ok()?
                else {
                    return None;
                };
                let (NdiscRepr::NeighborAdvert { lladdr, .. }
                | NdiscRepr::NeighborSolicit { lladdr, .. }) = message
                else {
                    return None;
                };
                let mac = lladdr?.as_bytes().get(..6)?.try_into().ok()?;
                Some(Neighbour {
                    address: IpAddr::V6(from),
                    mac,
                })
            }
            EthernetProtocol::Ipv4 | EthernetProtocol::Unknown(_) => None,
        }
    }

    /// A frame by which `neighbour` would tell this interface where it lives; nothing when the interface
    /// has no address of its kind.
    pub(super) fn introduction(&self, neighbour: &Neighbour) -> Option<Vec<u8>> {
        match neighbour.address {
            IpAddr::V4(address) => {
                let own = self.inner.ipv4_addr()?;
                Some(arp_reply((address, neighbour.mac), (own, self.mac)))
            }
            IpAddr::V6(address) => {
                let own = self.inner.ipv6_addr()?;
                Some(advertisement((address, neighbour.mac), (own, self.mac)))
            }
        }
    }
}

fn arp_reply(from: (Ipv4Addr, MacAddress), to: (Ipv4Addr, MacAddress)) -> Vec<u8> {
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(from.1),
        source_protocol_addr: from.0,
        target_hardware_addr: EthernetAddress(to.1),
        target_protocol_addr: to.0,
    };
    let mut frame = blank(reply.buffer_len(), EthernetProtocol::Arp, from.1, to.1);
    reply.emit(&mut ArpPacket::new_unchecked(
        &mut frame[ETHERNET_HEADER_BYTES..],
    ));
    frame
}

/// RFC 4861 section 4.4.
fn advertisement(from: (Ipv6Addr, MacAddress), to: (Ipv6Addr, MacAddress)) -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
        target_addr: from.0,
        lladdr: Some(EthernetAddress(from.1).into()),
    });
    let header = Ipv6Repr {
        src_addr: from.0,
        dst_addr: to.0,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let bytes = header.buffer_len() + message.buffer_len();
    let mut frame = blank(bytes, EthernetProtocol::Ipv6, from.1, to.1);
    let mut packet = Ipv6Packet::new_unchecked(&mut frame[ETHERNET_HEADER_BYTES..]);
    header.emit(&mut packet);
    message.emit(
        &from.0,
        &to.0,
        &mut Icmpv6Packet::new_unchecked(packet.payload_mut()),
        &ChecksumCapabilities::default(),
    );
    frame
}

/// A frame with its Ethernet header.
fn blank(bytes: usize, kind: EthernetProtocol, from: MacAddress, to: MacAddress) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_HEADER_BYTES + bytes];
    let mut header = EthernetFrame::new_unchecked(&mut frame[..]);
    header.set_src_addr(EthernetAddress(from));
    header.set_dst_addr(EthernetAddress(to));
    header.set_ethertype(kind);
    frame
}
