//! The node's own place on the network: a stack with one interface, and a listener.

use crate::image::{self, NodeSpec};
use crate::limits;
use crate::machine::Time;
use crate::net::fabric::{Fabric, PortId};
use crate::net::stack::{AddressSpec, Allowance, InterfaceConfig, SocketId, Stack, StackLimits};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Connections that may wait to be looked at; each turn looks at all.
const BACKLOG: u16 = 16;
/// Connections in TCP's handshake.
const LISTEN_POOL: usize = 16;

/// The node's own place on the network.
pub(super) struct Network {
    pub stack: Stack,
    pub port: PortId,
    pub listener: SocketId,
    /// The TCP port that it listens on.
    pub tcp_port: u16,
}

/// What it is made with.
pub(super) struct Place<'a> {
    pub spec: &'a NodeSpec,
    pub name: &'a str,
    pub mac: [u8; 6],
    pub seed: u64,
    pub allowance: &'a Allowance,
    pub now: Time,
}

impl Network {
    /// Plugs the node in.
    ///
    /// # Errors
    /// In words.
    pub fn open(place: &Place<'_>, fabric: &mut Fabric) -> Result<Network, String> {
        let switch = &place.spec.switch;
        let segment = fabric.find(switch);
        let segment = segment.ok_or_else(|| format!("there is no switch '{switch}'"))?;
        let port = fabric
            .attach(segment, "node", place.mac)
            .map_err(|error| error.to_string())?;
        let limits = StackLimits {
            sockets: limits::NODE_SOCKETS,
            tcp_buffer_bytes: limits::NODE_BUFFER_BYTES,
            listen_pool: LISTEN_POOL,
        };
        let stack = Stack::new(limits, place.seed).with_allowance(place.allowance.clone());
        let stack = stack.without_cuts();
        let config = InterfaceConfig {
            name: "node".into(),
            port,
            mac: place.mac,
            properties: fabric.properties(port),
            addresses: place.spec.addresses.iter().map(address_of).collect(),
            gateway: place.spec.gateways.clone(),
            dns: Vec::new(),
            hostname: place.name.into(),
        };
        let tcp_port = place.spec.port;
        Network::listen(stack, config, tcp_port, place.now).inspect_err(|_| fabric.detach(port))
    }

    fn listen(
        mut stack: Stack,
        config: InterfaceConfig,
        tcp_port: u16,
        now: Time,
    ) -> Result<Network, String> {
        let port = config.port;
        let added = stack.add_interface(config, now);
        let listener = added.and_then(|_| stack.tcp_listen(None, tcp_port, BACKLOG));
        Ok(Network {
            listener: listener.map_err(|error| error.to_string())?,
            stack,
            port,
            tcp_port,
        })
    }

    /// Whether an address is this node's own listener.
    pub fn is_own(&self, address: SocketAddr) -> bool {
        address.port() == self.tcp_port && self.addresses().any(|own| own == address.ip())
    }

    /// The IPv4 address that others reach the node at, once there is one.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.addresses().find_map(|address| match address {
            IpAddr::V4(v4) if !v4.is_link_local() => Some(v4),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        })
    }

    /// The node's addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let interfaces = self.stack.interfaces().into_iter();
        interfaces.flat_map(|it| it.addresses.into_iter().map(|(address, _)| address))
    }
}

fn address_of(spec: &image::AddressSpec) -> AddressSpec {
    match *spec {
        image::AddressSpec::Dhcp => AddressSpec::Dhcp,
        image::AddressSpec::Static {
            address,
            prefix_length,
        } => AddressSpec::Static {
            address,
            prefix_length,
        },
    }
}
