//! Announcing addresses: new IPv4 ones (RFC 5227 section 2.3), so that who waits for one need not ask again, and all of
//! an instance that has moved: who knew it at another place learns where it is, and so do the switches between. IPv6 ones
//! are announced by unsolicited neighbour advertisements (RFC 4861 section 7.2.6).

use super::Stack;
use super::interface::Interface;
use crate::machine::Time;
use crate::net::fabric::Fabric;
use crate::net::frame::{ETHERNET_HEADER_BYTES, Frame};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags,
    NdiscRepr,
};

/// All nodes on the link, and their station address (RFC 4291 section 2.7.1, RFC 2464 section 7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_STATION: EthernetAddress = EthernetAddress([0x33, 0x33, 0, 0, 0, 1]);
/// Proof that an advertisement came from the link itself (RFC 4861 section 7.1.2).
const HOP_LIMIT: u8 = 255;

impl Stack {
    /// Tells the network at the next poll where the instance is.
    pub fn announce(&mut self) {
        for interface in &mut self.interfaces {
            let addresses = interface.inner.ip_addrs().iter();
            interface.unannounced = addresses.map(|it| it.address().into()).collect();
            interface.touched = true;
        }
    }
}

impl Interface {
    /// Sends what is due, as far as the port takes it.
    pub(super) fn announce(&mut self, fabric: &mut Fabric, now: Time) {
        while fabric.transmit_room(self.port) > 0
            && let Some(address) = self.unannounced.pop()
        {
            let station = EthernetAddress(self.mac);
            let frame = match address {
                IpAddr::V4(address) => gratuitous_arp(fabric, station, address),
                IpAddr::V6(address) => advertisement(fabric, station, address),
            };
            fabric.transmit(self.port, frame, now);
        }
    }
}

fn gratuitous_arp(fabric: &mut Fabric, station: EthernetAddress, address: Ipv4Addr) -> Frame {
    let announcement = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: station,
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    let header = EthernetRepr {
        src_addr: station,
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    let mut frame = fabric.blank_frame(ETHERNET_HEADER_BYTES + announcement.buffer_len());
    header.emit(&mut EthernetFrame::new_unchecked(frame.bytes_mut()));
    announcement.emit(&mut ArpPacket::new_unchecked(
        &mut frame.bytes_mut()[ETHERNET_HEADER_BYTES..],
    ));
    frame
}

fn advertisement(fabric: &mut Fabric, station: EthernetAddress, address: Ipv6Addr) -> Frame {
    let announcement = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::OVERRIDE,
        target_addr: address,
        lladdr: Some(station.into()),
    });
    let packet = Ipv6Repr {
        src_addr: address,
        dst_addr: ALL_NODES,
        next_header: IpProtocol::Icmpv6,
        payload_len: announcement.buffer_len(),
        hop_limit: HOP_LIMIT,
    };
    let header = EthernetRepr {
        src_addr: station,
        dst_addr: ALL_NODES_STATION,
        ethertype: EthernetProtocol::Ipv6,
    };
    let length = ETHERNET_HEADER_BYTES + packet.buffer_len() + packet.payload_len;
    let mut frame = fabric.blank_frame(length);
    header.emit(&mut EthernetFrame::new_unchecked(frame.bytes_mut()));
    let (head, body) = frame.bytes_mut()[ETHERNET_HEADER_BYTES..].split_at_mut(packet.buffer_len());
    packet.emit(&mut Ipv6Packet::new_unchecked(head));
    announcement.emit(
        &address,
        &ALL_NODES,
        &mut Icmpv6Packet::new_unchecked(body),
        &ChecksumCapabilities::default(),
    );
    frame
}
