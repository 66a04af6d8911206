//! Who is where: names, addresses and stations, and the questions that find them out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use smoltcp::wire::{ArpOperation, EthernetAddress, Icmpv6Repr, NdiscRepr, RawHardwareAddress};

use super::dhcp::DhcpServer;
use super::emit::Stations;
use super::neighbours::Neighbours;
use crate::lan::config::{Service, Subnet};
use crate::lan::fabric::{Fabric, Origin};

/// The gateway's own addresses and what it knows of others.
pub(super) struct Directory {
    pub(super) mac: EthernetAddress,
    pub(super) subnet: Subnet,
    pub(super) link_local: Ipv6Addr,
    pub(super) neighbours: Neighbours,
    pub(super) dhcp: DhcpServer,
}

impl Directory {
    pub(super) fn new(mac: EthernetAddress, subnet: Subnet, mtu: usize) -> Self {
        Self {
            mac,
            subnet,
            link_local: link_local_address(mac),
            neighbours: Neighbours::default(),
            dhcp: DhcpServer::new(subnet, mtu),
        }
    }

    /// The address of a service, if it has made itself known.
    pub(super) fn address_of(&self, service: &Service) -> Option<IpAddr> {
        match service {
            Service::Address(address) => Some(*address),
            Service::Name(name) => {
                let label = name.strip_suffix(".sos").unwrap_or(name);
                self.dhcp.address_of(label).map(IpAddr::V4)
            }
        }
    }

    /// The station that has `address`; asks the LAN if that is unknown or long ago.
    pub(super) fn mac_of(
        &mut self,
        address: IpAddr,
        fabric: &mut Fabric,
        now: Instant,
    ) -> Option<EthernetAddress> {
        if self.neighbours.wants_probe(address, now) {
            let probe = self.probe(address);
            fabric.submit(Origin::Gateway, &probe, now);
        }
        self.neighbours.mac_of(address)
    }

    /// Both stations of a frame from the gateway.
    pub(super) fn towards(&self, to: EthernetAddress) -> Stations {
        Stations { from: self.mac, to }
    }

    /// Whether the gateway answers for this address.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4 == self.subnet.gateway,
            IpAddr::V6(v6) => v6 == self.subnet.gateway_v6 || v6 == self.link_local,
        }
    }

    fn probe(&self, address: IpAddr) -> Vec<u8> {
        match address {
            IpAddr::V4(target) => self.towards(EthernetAddress::BROADCAST).arp(
                ArpOperation::Request,
                self.subnet.gateway,
                EthernetAddress([0; 6]),
                target,
            ),
            IpAddr::V6(target) => {
                let group = solicited_node(target);
                let solicitation = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit {
                    target_addr: target,
                    lladdr: Some(RawHardwareAddress::from(self.mac)),
                });
                self.towards(group_mac(group))
                    .icmpv6(self.subnet.gateway_v6, group, &solicitation)
            }
        }
    }

    /// The prefix that stations may make addresses from.
    pub(super) fn prefix_v6(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.subnet.gateway_v6.to_bits() & !(u128::from(u64::MAX)))
    }

    /// Whether a packet to this IPv4 address is for the gateway, alone or among others.
    pub(super) fn hears_v4(&self, address: Ipv4Addr) -> bool {
        address == self.subnet.gateway
            || address.is_broadcast()
            || address == self.subnet.broadcast()
    }
}

/// The link-local address made from a MAC (RFC 4291, appendix A).
fn link_local_address(mac: EthernetAddress) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(identifier))
}

/// The group in which a station hears questions for its address (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let low = address.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}

/// The Ethernet group of an IPv6 group (RFC 2464, 7).
pub(super) fn group_mac(group: Ipv6Addr) -> EthernetAddress {
    let [.., a, b, c, d] = group.octets();
    EthernetAddress([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_addresses_follow_the_rfcs() {
        let mac = EthernetAddress([0x02, 0x00, 0x5e, 0x10, 0x20, 0x30]);
        assert_eq!(link_local_address(mac).to_string(), "fe80::5eff:fe10:2030");
        let group = solicited_node("fd00::1:2345".parse().unwrap());
        assert_eq!(group.to_string(), "ff02::1:ff01:2345");
        assert_eq!(group_mac(group).to_string(), "33-33-ff-01-23-45");
    }
}
