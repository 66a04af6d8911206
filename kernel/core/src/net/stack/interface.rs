//! One interface: smoltcp's, its addresses and routes, and the sockets that are not connections.

use super::device::Wire;
use super::dhcp::{self, Lease, is_usable};
use super::neighbours::Neighbours;
use super::types::{AddressSpec, DhcpState, InterfaceConfig, InterfaceInfo, NetError};
use crate::limits;
use crate::machine::Time;
use crate::net::fabric::{Fabric, LinkProperties, PortId};
use crate::net::frame::{MacAddress, is_group};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use smoltcp::iface::{Config, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::dns;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

/// Frames that the services of an interface may send in one poll.
const SERVICE_EGRESS_FRAMES: usize = 64;

/// An interface of the instance.
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) port: PortId,
    pub(super) mac: MacAddress,
    pub(super) properties: LinkProperties,
    pub(super) inner: smoltcp::iface::Interface,
    /// UDP, ICMP, DHCP and DNS sockets. Connections have sets of their own.
    pub(super) services: SocketSet<'static>,
    /// Something happened to the services since they were last polled.
    pub(super) touched: bool,
    /// When the services want to be polled.
    pub(super) deadline: Option<Time>,
    pub(super) dhcp_state: DhcpState,
    pub(super) lease: Lease,
    pub(super) dhcp: Option<SocketHandle>,
    pub(super) dns: SocketHandle,
    pub(super) hostname: String,
    pub(super) static_addresses: Vec<IpCidr>,
    pub(super) static_gateways: Vec<IpAddr>,
    pub(super) static_servers: Vec<IpAddr>,
    /// Name servers in force.
    pub(super) servers: Vec<IpAddr>,
    /// New addresses that the network was not told of.
    pub(super) unannounced: Vec<IpAddr>,
    pub(super) neighbours: Neighbours,
}

impl Interface {
    pub(super) fn new(
        config: InterfaceConfig,
        seed: u64,
        now: Time,
        wire: &mut Wire<'_>,
    ) -> Result<Interface, NetError> {
        if is_group(config.mac) || config.mac == [0; 6] || config.properties.mtu < limits::LEAST_MTU
        {
            return Err(NetError::InvalidAddress);
        }
        if !config.gateway.iter().all(|gateway| is_usable(*gateway)) {
            return Err(NetError::InvalidAddress);
        }
        let static_addresses = static_addresses(&config)?;
        let mut smoltcp_config =
            Config::new(HardwareAddress::Ethernet(EthernetAddress(config.mac)));
        smoltcp_config.random_seed = seed;
        let inner = smoltcp::iface::Interface::new(smoltcp_config, wire, instant(now));
        let mut services = SocketSet::new(Vec::new());
        let wants_dhcp = config.addresses.contains(&AddressSpec::Dhcp);
        let dhcp = wants_dhcp.then(|| services.add(dhcp::socket(&config.hostname)));
        let dns = services.add(dns::Socket::new(&[], Vec::new()));
        let mut interface = Interface {
            name: config.name,
            port: config.port,
            mac: config.mac,
            properties: config.properties,
            inner,
            services,
            touched: true,
            deadline: None,
            dhcp_state: if wants_dhcp {
                DhcpState::Searching
            } else {
                DhcpState::Off
            },
            lease: Lease::default(),
            dhcp,
            dns,
            hostname: config.hostname,
            static_addresses,
            static_gateways: config.gateway,
            static_servers: config.dns,
            servers: Vec::new(),
            unannounced: Vec::new(),
            neighbours: Neighbours::default(),
        };
        interface.configure();
        Ok(interface)
    }

    /// Puts static configuration and lease in force.
    pub(super) fn configure(&mut self) {
        let addresses = self.static_addresses.iter().chain(&self.lease.address);
        let unannounced = &mut self.unannounced;
        self.inner.update_ip_addrs(|list| {
            let old = core::mem::take(list);
            for address in addresses {
                // What does not fit is left out; `add_interface` refused too many static ones.
                let is_kept = list.push(*address).is_ok();
                if let IpCidr::Ipv4(network) = address
                    && is_kept
                    && !old.contains(address)
                {
                    unannounced.push(IpAddr::V4(network.address()));
                }
            }
            unannounced.retain(|address| list.iter().any(|it| it.address() == (*address).into()));
        });
        let routes = self.inner.routes_mut();
        routes.remove_default_ipv4_route();
        routes.remove_default_ipv6_route();
        for gateway in self.lease.router.iter().chain(&self.static_gateways) {
            // The last one of a version wins: a static gateway over a lease's.
            let _ = match gateway {
                IpAddr::V4(gateway) => routes.add_default_ipv4_route(*gateway),
                IpAddr::V6(gateway) => routes.add_default_ipv6_route(*gateway),
            };
        }
        self.servers = self.static_servers.clone();
        self.servers.extend(&self.lease.servers);
        let servers: Vec<_> = self.servers.iter().map(|server| (*server).into()).collect();
        self.services
            .get_mut::<dns::Socket>(self.dns)
            .update_servers(&servers);
        self.touched = true;
    }

    /// A view of the port for smoltcp.
    pub(super) fn wire<'a>(
        &self,
        fabric: &'a mut Fabric,
        now: Time,
        frame: Option<&'a [u8]>,
        room: usize,
    ) -> Wire<'a> {
        Wire {
            fabric,
            port: self.port,
            properties: self.properties,
            now,
            frame,
            room,
            hostname: "",
            syn: None,
        }
    }

    /// Hands a frame to the services.
    pub(super) fn receive(&mut self, fabric: &mut Fabric, now: Time, frame: &[u8]) {
        let mut wire = self.wire(fabric, now, Some(frame), usize::MAX);
        self.inner
            .poll_ingress_single(instant(now), &mut wire, &mut self.services);
        self.touched = true;
    }

    /// Answers a segment that belongs to no connection: with RST, unless it is one.
    pub(super) fn refuse(
        &mut self,
        fabric: &mut Fabric,
        now: Time,
        frame: &[u8],
        nobody: &mut SocketSet<'static>,
    ) {
        let mut wire = self.wire(fabric, now, Some(frame), usize::MAX);
        self.inner
            .poll_ingress_single(instant(now), &mut wire, nobody);
    }

    /// Lets the services send and notes when they want the next turn.
    pub(super) fn poll_services(&mut self, fabric: &mut Fabric, now: Time) {
        let due = self.deadline.is_some_and(|deadline| deadline <= now);
        if !self.touched && !due {
            return;
        }
        self.touched = false;
        self.announce(fabric, now);
        let room = fabric.transmit_room(self.port).min(SERVICE_EGRESS_FRAMES);
        let mut wire = Wire {
            fabric,
            port: self.port,
            properties: self.properties,
            now,
            frame: None,
            room,
            hostname: &self.hostname,
            syn: None,
        };
        // Each round sends at most one packet of each socket.
        for _ in 0..SERVICE_EGRESS_FRAMES {
            let sent = self
                .inner
                .poll_egress(instant(now), &mut wire, &mut self.services);
            if sent == PollResult::None || wire.room == 0 {
                break;
            }
        }
        if let Some(handle) = self.dhcp {
            self.apply_lease(handle, now);
            self.announce(fabric, now);
        }
        self.deadline = self
            .inner
            .poll_at(instant(now), &self.services)
            .map(|at| time(at).max(now + limits::STACK_RETRY));
    }

    /// Whether this interface is on the network of `address`.
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        let address = address.into();
        self.inner
            .ip_addrs()
            .iter()
            .any(|network| network.contains_addr(&address))
    }

    /// Whether this interface has a gateway towards `address`, and an address to send from.
    pub(super) fn has_gateway(&self, address: IpAddr) -> bool {
        let routes = self.inner.routes();
        match address {
            IpAddr::V4(_) => {
                routes.get_default_ipv4_route().is_some() && self.inner.ipv4_addr().is_some()
            }
            IpAddr::V6(_) => routes.get_default_ipv6_route().is_some(),
        }
    }

    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        let address: smoltcp::wire::IpAddress = address.into();
        self.inner.has_ip_addr(address)
    }

    pub(super) fn info(&self) -> InterfaceInfo {
        let routes = self.inner.routes();
        let gateways = [
            routes.get_default_ipv4_route(),
            routes.get_default_ipv6_route(),
        ];
        InterfaceInfo {
            name: self.name.clone(),
            port: self.port,
            mac: self.mac,
            mtu: self.properties.mtu,
            addresses: self
                .inner
                .ip_addrs()
                .iter()
                .map(|network| (network.address().into(), network.prefix_len()))
                .collect(),
            gateway: gateways
                .into_iter()
                .flatten()
                .map(|route| route.via_router.into())
                .collect(),
            dns: self.servers.clone(),
            dhcp: self.dhcp_state.clone(),
        }
    }
}

/// Addresses of an interface: as many as smoltcp is built for, one kept free for the lease.
const STATIC_ADDRESSES: usize = smoltcp::config::IFACE_MAX_ADDR_COUNT - 1;

fn static_addresses(config: &InterfaceConfig) -> Result<Vec<IpCidr>, NetError> {
    let mut list = Vec::new();
    list.push(IpCidr::new(IpAddr::V6(link_local(config.mac)).into(), 64));
    for spec in &config.addresses {
        let AddressSpec::Static {
            address,
            prefix_length,
        } = *spec
        else {
            continue;
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix_length > longest || !is_usable(address) {
            return Err(NetError::InvalidAddress);
        }
        list.push(IpCidr::new(address.into(), prefix_length));
    }
    if list.len() > STATIC_ADDRESSES {
        return Err(NetError::InvalidAddress);
    }
    Ok(list)
}

/// The link-local address of a station (RFC 4291 section 2.5.1, modified EUI-64).
pub(super) fn link_local(mac: MacAddress) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xFF, 0xFE, d, e, f]);
    Ipv6Addr::from_bits(0xFE80 << 112 | u128::from(identifier))
}

/// smoltcp's clock, in microseconds.
pub(super) fn instant(time: Time) -> Instant {
    Instant::from_micros((time.as_nanos() / 1000) as i64)
}

/// The first nanosecond at which smoltcp's clock shows `instant`.
pub(super) fn time(instant: Instant) -> Time {
    Time::from_nanos((instant.total_micros().max(0) as u64).saturating_mul(1000))
}
