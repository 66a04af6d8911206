//! The gateway's IPv6 side: neighbour discovery, router advertisements, echo.
//!
//! The advertisement offers a prefix for addresses and no way out (router lifetime 0).

use std::net::{IpAddr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration as WireDuration;
use smoltcp::wire::{
    EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, NdiscNeighborFlags,
    NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags, RawHardwareAddress,
};

use super::directory::group_mac;
use super::segments::Segment;
use super::{Gateway, Surroundings};
use crate::lan::fabric::Origin;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// A lifetime without end (RFC 4861, 4.6.2).
const FOREVER: WireDuration = WireDuration::from_secs(u32::MAX as u64);

impl Gateway {
    pub(super) fn ipv6(
        &mut self,
        sender: EthernetAddress,
        bytes: &[u8],
        around: &mut Surroundings<'_>,
    ) {
        let Ok(packet) = Ipv6Packet::new_checked(bytes) else {
            around.fabric.counters.malformed += 1;
            return;
        };
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        let own = self.directory.is_own(IpAddr::V6(destination));
        match packet.next_header() {
            IpProtocol::Tcp if own => {
                let header_bytes = packet.header_len();
                let total_bytes = packet.total_len();
                let segment = Segment {
                    sender,
                    source: IpAddr::V6(source),
                    destination: IpAddr::V6(destination),
                    packet: &bytes[..total_bytes],
                    header_bytes,
                };
                self.connections
                    .input(&segment, &mut self.directory, around);
            }
            IpProtocol::Udp if own => {
                let addresses = (IpAddr::V6(source), IpAddr::V6(destination));
                self.udp(sender, addresses, packet.payload(), around);
            }
            IpProtocol::Icmpv6 if own || destination.is_multicast() => {
                let Ok(message) = Icmpv6Packet::new_checked(packet.payload()) else {
                    return;
                };
                let checksums = ChecksumCapabilities::default();
                if let Ok(message) = Icmpv6Repr::parse(&source, &destination, &message, &checksums)
                {
                    let hop_limit = packet.hop_limit();
                    self.icmpv6(sender, (source, destination, hop_limit), &message, around);
                }
            }
            _ if destination.is_multicast() => {}
            _ => around.fabric.counters.unusable += 1,
        }
    }

    fn icmpv6(
        &mut self,
        sender: EthernetAddress,
        (source, destination, hop_limit): (Ipv6Addr, Ipv6Addr, u8),
        message: &Icmpv6Repr<'_>,
        around: &mut Surroundings<'_>,
    ) {
        match message {
            Icmpv6Repr::EchoRequest {
                ident,
                seq_no,
                data,
            } if self.directory.is_own(IpAddr::V6(destination)) => {
                let (ident, seq_no) = (*ident, *seq_no);
                let reply = Icmpv6Repr::EchoReply {
                    ident,
                    seq_no,
                    data,
                };
                let frame = self
                    .directory
                    .towards(sender)
                    .icmpv6(destination, source, &reply);
                around.fabric.submit(Origin::Gateway, &frame, around.now);
            }
            // RFC 4861, 7.1: a message that crossed a router is not from a neighbour.
            Icmpv6Repr::Ndisc(discovery) if hop_limit == 255 => {
                self.discovery(sender, source, discovery, around);
            }
            _ => {}
        }
    }

    fn discovery(
        &mut self,
        sender: EthernetAddress,
        source: Ipv6Addr,
        message: &NdiscRepr<'_>,
        around: &mut Surroundings<'_>,
    ) {
        match *message {
            NdiscRepr::NeighborSolicit { target_addr, .. } => {
                // A station that checks its address for duplicates has none yet.
                let (to, flags) = if source.is_unspecified() {
                    (ALL_NODES, NdiscNeighborFlags::OVERRIDE)
                } else {
                    self.learn(IpAddr::V6(source), sender, around.now);
                    (
                        source,
                        NdiscNeighborFlags::OVERRIDE | NdiscNeighborFlags::SOLICITED,
                    )
                };
                if !self.directory.is_own(IpAddr::V6(target_addr)) {
                    return;
                }
                let mac = if to == ALL_NODES {
                    group_mac(ALL_NODES)
                } else {
                    sender
                };
                let advert = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
                    flags: flags | NdiscNeighborFlags::ROUTER,
                    target_addr,
                    lladdr: Some(RawHardwareAddress::from(self.directory.mac)),
                });
                let frame = self.directory.towards(mac).icmpv6(target_addr, to, &advert);
                around.fabric.submit(Origin::Gateway, &frame, around.now);
            }
            NdiscRepr::NeighborAdvert {
                target_addr,
                lladdr,
                ..
            } => {
                let mac = match lladdr
                    .as_ref()
                    .and_then(|raw| raw.as_bytes().try_into().ok())
                {
                    Some(bytes) => EthernetAddress(bytes),
                    None => sender,
                };
                self.learn(IpAddr::V6(target_addr), mac, around.now);
            }
            NdiscRepr::RouterSolicit { .. } => self.advertise(around),
            NdiscRepr::RouterAdvert { .. } | NdiscRepr::Redirect { .. } => {}
        }
    }

    fn advertise(&mut self, around: &mut Surroundings<'_>) {
        let prefix = NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: FOREVER,
            preferred_lifetime: FOREVER,
            prefix: self.directory.prefix_v6(),
        };
        let advert = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
            hop_limit: 64,
            flags: NdiscRouterFlags::empty(),
            router_lifetime: WireDuration::ZERO,
            reachable_time: WireDuration::ZERO,
            retrans_time: WireDuration::ZERO,
            lladdr: Some(RawHardwareAddress::from(self.directory.mac)),
            mtu: None,
            prefix_info: Some(prefix),
        });
        let stations = self.directory.towards(group_mac(ALL_NODES));
        let frame = stations.icmpv6(self.directory.link_local, ALL_NODES, &advert);
        around.fabric.submit(Origin::Gateway, &frame, around.now);
    }
}
