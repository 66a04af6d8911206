//! The stack's plain types: handles, configuration, listings, errors.

use crate::machine::Time;
use crate::net::fabric::{LinkProperties, PortId};
use crate::net::frame::MacAddress;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// Names a socket, a listener, a DNS query or a ping of one stack. A closed one's number is not
/// used again until many others were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SocketId(pub u32);

/// Bounds of one instance's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackLimits {
    /// Handles that the guest may hold at once.
    pub sockets: u32,
    /// Bytes of the receive and of the transmit buffer of a TCP socket, each.
    pub tcp_buffer_bytes: usize,
    /// Connections of one listener that are in their handshake at once; further SYNs are dropped.
    pub listen_pool: usize,
}

impl Default for StackLimits {
    fn default() -> StackLimits {
        StackLimits {
            sockets: crate::limits::SOCKETS,
            tcp_buffer_bytes: crate::limits::TCP_BUFFER_BYTES,
            listen_pool: crate::limits::LISTEN_POOL,
        }
    }
}

/// One address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressSpec {
    /// Ask a DHCPv4 server (RFC 2131); gateway and name servers come with it.
    Dhcp,
    /// This one.
    Static {
        /// The address.
        address: IpAddr,
        /// Bits of the network's prefix.
        prefix_length: u8,
    },
}

/// An interface to be made.
#[derive(Debug, Clone)]
pub struct InterfaceConfig {
    /// Its name inside the instance.
    pub name: String,
    /// The fabric's port that it sends and receives through.
    pub port: PortId,
    /// Its station address.
    pub mac: MacAddress,
    /// MTU and checksums of the segment.
    pub properties: LinkProperties,
    /// Its addresses; an IPv6 link-local one is added.
    pub addresses: Vec<AddressSpec>,
    /// Default gateways, at most one for each IP version.
    pub gateway: Vec<IpAddr>,
    /// Name servers, asked before those of DHCP.
    pub dns: Vec<IpAddr>,
    /// What the DHCP server is told as host name (RFC 2132 option 12); empty for nothing.
    pub hostname: String,
}

/// Which direction of a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing more is read; what arrives is thrown away.
    Read,
    /// Nothing more is written: the peer reads end of file.
    Write,
    /// Both.
    Both,
}

/// What a socket could do without blocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Bytes, a datagram, a connection, an answer or end of file waits.
    pub readable: bool,
    /// Bytes or a datagram would be taken.
    pub writable: bool,
    /// Both directions are over.
    pub closed: bool,
    /// The connection failed: the next call tells how.
    pub failed: bool,
}

/// What waits in a connection's buffers, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Received and not yet read.
    pub received: usize,
    /// Room for what is written next.
    pub room: usize,
}

/// Where DHCP stands on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DhcpState {
    /// The interface has static addresses.
    Off,
    /// No answer yet, or the lease ran out.
    Searching,
    /// An address is held.
    Bound {
        /// The server that gave it.
        server: IpAddr,
        /// When it was given.
        since: Time,
    },
}

/// One interface, for listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: PortId,
    /// Its station address.
    pub mac: MacAddress,
    /// Largest IP packet, bytes.
    pub mtu: usize,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default gateways in force.
    pub gateway: Vec<IpAddr>,
    /// Name servers in force.
    pub dns: Vec<IpAddr>,
    /// Where DHCP stands.
    pub dhcp: DhcpState,
}

/// What kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A connection or a listener.
    Tcp,
    /// Datagrams.
    Udp,
    /// A ping.
    Icmp,
    /// A name being looked up.
    Dns,
}

/// What a handle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// A port on which connections are taken.
    Listener,
    /// A connection.
    Connection,
    /// A bound UDP port.
    Udp,
    /// A name that is looked up.
    Query,
    /// A ping.
    Ping,
}

/// One socket, for listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketInfo {
    /// Its kind.
    pub protocol: Protocol,
    /// Its own end.
    pub local: Option<SocketAddr>,
    /// The other end.
    pub peer: Option<SocketAddr>,
    /// State in the words of RFC 9293, or "open".
    pub state: &'static str,
    /// Bytes that wait to be read; connections for a listener.
    pub receive_queue: usize,
    /// Bytes that wait to be acknowledged.
    pub send_queue: usize,
}

/// Why a network call was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetError {
    /// Another socket has the port.
    AddressInUse,
    /// No interface has the address.
    AddressNotAvailable,
    /// The peer answered that nobody listens.
    ConnectionRefused,
    /// The peer or this end broke the connection off.
    ConnectionReset,
    /// The connection does not exist yet.
    NotConnected,
    /// The connection exists already.
    AlreadyConnected,
    /// No answer came in time.
    TimedOut,
    /// No interface leads there.
    Unreachable,
    /// The instance holds all the sockets that it may.
    TooManySockets,
    /// The datagram is longer than a packet or than the socket's buffer.
    MessageTooLarge,
    /// The address cannot be used for this (port 0, a group, unspecified).
    InvalidAddress,
    /// The name has no address.
    NoSuchName,
    /// No name server answered.
    NameServerFailed,
    /// No name server is known.
    NoNameServer,
    /// No socket has that number.
    BadHandle,
    /// The socket is of another kind.
    WrongSocketKind,
    /// This direction was closed before.
    Closed,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NetError::AddressInUse => "the port is in use; choose another or close its socket",
            NetError::AddressNotAvailable => {
                "no interface has that address; `net` lists the addresses"
            }
            NetError::ConnectionRefused => "connection refused: nobody listens on that port",
            NetError::ConnectionReset => "connection reset; connect again",
            NetError::NotConnected => "not connected; wait for the handshake or connect first",
            NetError::AlreadyConnected => "already connected; use another socket",
            NetError::TimedOut => "no answer in time; check the peer and the path to it",
            NetError::Unreachable => "no interface leads to that address; check routes and cables",
            NetError::TooManySockets => {
                "too many sockets; close some or raise the instance's limit"
            }
            NetError::MessageTooLarge => "the datagram is too large; send smaller ones",
            NetError::InvalidAddress => "the address or port cannot be used for this",
            NetError::NoSuchName => "no such name; check its spelling",
            NetError::NameServerFailed => "no name server answered; check `dns` and the path to it",
            NetError::NoNameServer => "no name server is known; set `dns` or use DHCP",
            NetError::BadHandle => "no socket has that number; it was closed or never opened",
            NetError::WrongSocketKind => "the socket is of another kind; use the calls of its own",
            NetError::Closed => "that direction of the connection is closed",
        })
    }
}
