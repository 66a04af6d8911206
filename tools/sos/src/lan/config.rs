//! What a LAN is started with: its subnet, its forwards and its bounds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::LanError;

/// Receives one line of the LAN's log, without a line end.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// The addresses of the LAN; the gateway has one in each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The gateway's IPv4 address; the subnet is the network that holds it.
    pub gateway: Ipv4Addr,
    /// Length of the IPv4 prefix, 16 to 30 bits.
    pub prefix_len: u8,
    /// The gateway's IPv6 address; its /64 is announced for autoconfiguration.
    pub gateway_v6: Ipv6Addr,
}

impl Default for Subnet {
    fn default() -> Self {
        Self {
            gateway: Ipv4Addr::new(10, 0, 2, 2),
            prefix_len: 24,
            gateway_v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
        }
    }
}

impl Subnet {
    /// The netmask of the IPv4 prefix.
    pub fn netmask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(self.prefix_len)))
    }

    /// The address that all hosts of the subnet hear.
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.gateway.to_bits() | !self.netmask().to_bits())
    }

    /// Whether `address` belongs to the LAN in its family.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let mask = self.netmask().to_bits();
                v4.to_bits() & mask == self.gateway.to_bits() & mask
            }
            IpAddr::V6(v6) => {
                v6.is_unicast_link_local() || v6.segments()[..4] == self.gateway_v6.segments()[..4]
            }
        }
    }

    /// The gateway's address in the family of `peer`.
    pub fn gateway_for(&self, peer: IpAddr) -> IpAddr {
        match peer {
            IpAddr::V4(_) => IpAddr::V4(self.gateway),
            IpAddr::V6(_) => IpAddr::V6(self.gateway_v6),
        }
    }
}

/// Whom a forward leads to: a service, wherever on the LAN it is at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// The host name that the service sent with its DHCP request.
    Name(String),
    /// A fixed address on the LAN.
    Address(IpAddr),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A TCP port of the host that leads to a port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where the host listens; port 0 takes any free one.
    pub host: SocketAddr,
    /// The service that answers.
    pub service: Service,
    /// The service's TCP port.
    pub port: u16,
}

impl Forward {
    /// A forward from any free loopback port to `port` of the service named `name`.
    pub fn to_name(name: &str, port: u16) -> Self {
        Self {
            host: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            service: Service::Name(name.to_owned()),
            port,
        }
    }

    /// A forward from any free loopback port to `port` of the station at `address`.
    pub fn to_address(address: IpAddr, port: u16) -> Self {
        Self {
            host: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            service: Service::Address(address),
            port,
        }
    }
}

/// Reads `[HOST:]PORT=SERVICE:PORT`, for example `8080=web:80` or `127.0.0.1:0=10.0.2.15:80`.
impl FromStr for Forward {
    type Err = LanError;

    fn from_str(text: &str) -> Result<Self, LanError> {
        let bad = || LanError::BadForward(text.to_owned());
        let (host, target) = text.split_once('=').ok_or_else(bad)?;
        let host = match host.parse::<u16>() {
            Ok(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            Err(_) => host.parse().map_err(|_| bad())?,
        };
        if let Ok(address) = target.parse::<SocketAddr>() {
            let service = Service::Address(address.ip());
            return Ok(Self {
                host,
                service,
                port: address.port(),
            });
        }
        let (name, port) = target.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        if name.is_empty() || name.contains(':') || port == 0 {
            return Err(bad());
        }
        Ok(Self {
            host,
            service: Service::Name(name.to_owned()),
            port,
        })
    }
}

/// Everything that a LAN is started with.
#[derive(Clone)]
pub struct LanConfig {
    /// Addresses of the LAN.
    pub subnet: Subnet,
    /// Largest IP packet that the gateway sends, in bytes; frames between ports may be larger.
    pub mtu: usize,
    /// TCP ports of the host that lead into the LAN.
    pub forwards: Vec<Forward>,
    /// TCP ports of the gateway's address that lead to the same port of the host's loopback.
    pub expose: Vec<u16>,
    /// Where the log goes.
    pub log: LogSink,
    /// Records every frame into this file, in pcap form.
    pub pcap: Option<PathBuf>,
    /// How long an accepted connection waits for its service to appear and to answer.
    pub connect_wait: Duration,
    /// How long a service may be silent on a connection before it counts as gone.
    pub silence: Duration,
    /// Connections at one time; further ones wait in the host's backlog.
    pub connections_max: usize,
}

impl Default for LanConfig {
    fn default() -> Self {
        Self {
            subnet: Subnet::default(),
            mtu: 1500,
            forwards: Vec::new(),
            expose: Vec::new(),
            log: Arc::new(|line| eprintln!("lan: {line}")),
            pcap: None,
            connect_wait: Duration::from_secs(10),
            silence: Duration::from_secs(300),
            connections_max: 4096,
        }
    }
}

impl LanConfig {
    /// Says what cannot work before anything is opened.
    pub(super) fn check(&self) -> Result<(), LanError> {
        if !(16..=30).contains(&self.subnet.prefix_len) {
            return Err(LanError::BadPrefix(self.subnet.prefix_len));
        }
        if !(1280..=65535).contains(&self.mtu) {
            return Err(LanError::BadMtu(self.mtu));
        }
        Ok(())
    }
}
