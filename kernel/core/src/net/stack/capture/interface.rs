//! Interfaces as plain data.

use super::super::interface::{Interface, instant};
use super::super::neighbours::Neighbour;
use super::super::types::{AddressSpec, DhcpState};
use super::state::{InterfaceState, LeaseState};
use crate::machine::Time;
use crate::net::fabric::Fabric;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use smoltcp::iface::SocketSet;
use smoltcp::wire::IpCidr;

impl Interface {
    pub(super) fn capture(&self) -> InterfaceState {
        let mut addresses: Vec<AddressSpec> = self.dhcp.iter().map(|_| AddressSpec::Dhcp).collect();
        // The first one follows from the station address.
        for network in &self.static_addresses[1..] {
            addresses.push(AddressSpec::Static {
                address: network.address().into(),
                prefix_length: network.prefix_len(),
            });
        }
        InterfaceState {
            name: self.name.clone(),
            mac: self.mac,
            addresses,
            gateways: self.static_gateways.clone(),
            servers: self.static_servers.clone(),
            hostname: self.hostname.clone(),
            lease: self.capture_lease(),
            neighbours: self.neighbours.as_slice().to_vec(),
        }
    }

    fn capture_lease(&self) -> Option<LeaseState> {
        let DhcpState::Bound {
            server: IpAddr::V4(server),
            since,
        } = self.dhcp_state
        else {
            return None;
        };
        let IpCidr::Ipv4(network) = self.lease.address? else {
            return None;
        };
        let only_v4 = |address: &IpAddr| -> Option<Ipv4Addr> {
            match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            }
        };
        Some(LeaseState {
            server,
            identifier: self.lease.identifier.unwrap_or(server),
            address: network.address(),
            prefix_length: network.prefix_len(),
            router: self.lease.router.as_ref().and_then(only_v4),
            servers: self.lease.servers.iter().filter_map(only_v4).collect(),
            since,
        })
    }

    /// Tells smoltcp of neighbours, as they would themselves.
    pub(in super::super) fn meet(&mut self, neighbours: &[Neighbour], now: Time) {
        let mut nowhere = Fabric::new();
        let mut nobody = SocketSet::new(Vec::new());
        for neighbour in neighbours {
            self.neighbours.insert(*neighbour);
            if let Some(frame) = self.introduction(neighbour) {
                let mut wire = self.wire(&mut nowhere, now, Some(&frame), 0);
                self.inner
                    .poll_ingress_single(instant(now), &mut wire, &mut nobody);
            }
        }
    }
}
