//! A stack as plain data: what is in a cut (D5).
//!
//! Everything is in protocol terms; nothing mirrors a struct of smoltcp's. Connections lie where they belong (a
//! handle's, a listener's, nobody's), so that no reference between them can be wrong.

use super::super::dns::Family;
use super::super::facts::Opening;
pub use super::super::mirror::Unacknowledged;
use super::super::neighbours::Neighbour;
use super::super::types::{AddressSpec, NetError};
use crate::machine::{Duration, Time};
use crate::net::frame::MacAddress;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use serde::{Deserialize, Serialize};

/// One instance's TCP/IP stack at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackState {
    /// The instance's time at the cut; all other times are in it too.
    pub now: Time,
    /// Bytes of each TCP socket's receive and of its transmit buffer: the windows hang on it.
    pub buffer_bytes: u32,
    /// The interfaces that the guest knows of.
    pub interfaces: Vec<InterfaceState>,
    /// The places of handles, in the order of their numbers.
    pub handles: Vec<HandleState>,
    /// The empty ones, in the order in which they are used next.
    pub free: Vec<u16>,
    /// Connections that the guest closed and whose peers are not done, in the order of their closing.
    pub lingering: Vec<ConnectionState>,
    /// Closed connections that a late segment may still name, in the order of their ends.
    pub time_wait: Vec<TimeWaitState>,
    /// The ephemeral port that is tried next, counted from the first.
    pub next_port: u16,
    /// SYNs that found no room.
    pub dropped_syns: u64,
}

impl StackState {
    /// Both addresses of each connection, its own end first.
    pub fn connections(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> + '_ {
        let entries = self.handles.iter().filter_map(|place| place.entry.as_ref());
        let lists = entries.map(|entry| match entry {
            EntryState::Connection(connection) => [core::slice::from_ref(connection), &[]],
            EntryState::Listener(listener) => [&listener.queue[..], &listener.handshakes[..]],
            EntryState::Udp(_) | EntryState::Query(_) => [&[][..], &[]],
        });
        let connections = lists.flatten().flatten().chain(&self.lingering);
        connections.map(|connection| (connection.local, connection.remote))
    }
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceState {
    /// Its name inside the instance.
    pub name: String,
    /// Its station address.
    pub mac: MacAddress,
    /// Its addresses as they were configured.
    pub addresses: Vec<AddressSpec>,
    /// Configured gateways.
    pub gateways: Vec<IpAddr>,
    /// Configured name servers.
    pub servers: Vec<IpAddr>,
    /// What the DHCP server is told as host name.
    pub hostname: String,
    /// What DHCP gave.
    pub lease: Option<LeaseState>,
    /// Who lives where, the last heard of at the end.
    pub neighbours: Vec<Neighbour>,
}

/// A DHCP lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseState {
    /// Where the server is reached.
    pub server: Ipv4Addr,
    /// What it calls itself.
    pub identifier: Ipv4Addr,
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the network's prefix.
    pub prefix_length: u8,
    /// The gateway.
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    pub servers: Vec<Ipv4Addr>,
    /// When it was first given.
    pub since: Time,
}

/// A place of a handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandleState {
    /// How often it was used, modulo 2^16: the upper half of the handle.
    pub generation: u16,
    /// What the handle stands for.
    pub entry: Option<EntryState>,
}

/// What a handle stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryState {
    /// A port on which connections are taken.
    Listener(ListenerState),
    /// A connection.
    Connection(ConnectionState),
    /// A bound UDP port.
    Udp(UdpState),
    /// A name that is looked up.
    Query(QueryState),
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerState {
    /// The only address at which it listens.
    pub local: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Those that wait, the oldest first.
    pub queue: Vec<ConnectionState>,
    /// Those in their handshake.
    pub handshakes: Vec<ConnectionState>,
}

/// A TCP connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionState {
    /// The interface that it goes through.
    pub interface: u32,
    /// Its own end.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// How far it has come.
    pub phase: Phase,
    /// Whether the guest shut the direction towards it.
    pub reading: Reading,
    /// Why it ended, when not by both sides' FIN.
    pub failure: Option<NetError>,
    /// Time between two probes of an idle peer.
    pub keepalive: Option<Duration>,
    /// When short segments go out.
    pub pace: Pace,
    /// When it is given up, once the guest closed it.
    pub linger_until: Option<Time>,
    /// When it was first seen in TIME-WAIT.
    pub time_wait_since: Option<Time>,
}

/// Whether the guest still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// Bytes are kept for the guest.
    Open,
    /// Bytes are thrown away.
    Shut,
}

/// When a short segment goes out while another is under way (Nagle's algorithm, RFC 9293 section 3.7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pace {
    /// At once.
    Immediate,
    /// After the acknowledgement.
    Gathered,
}

/// How far a connection has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// SYN-SENT: this side began.
    Connecting {
        /// Its initial sequence number, once it was sent.
        sequence: Option<u32>,
    },
    /// SYN-RECEIVED.
    Answering {
        /// Our initial sequence number, once it was sent.
        sequence: Option<u32>,
        /// The peer's SYN.
        opening: Opening,
    },
    /// Both sides have heard each other.
    Open(OpenState),
    /// It is over; what came before can be read.
    Ended {
        /// Bytes that the guest has not read.
        #[serde(with = "crate::plain")]
        unread: Vec<u8>,
    },
}

/// A connection after its handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenState {
    /// Which directions have ended.
    pub ends: Ends,
    /// Our initial sequence number.
    pub sequence: u32,
    /// The peer's SYN.
    pub opening: Opening,
    /// Bytes that the guest gave to be sent.
    pub accepted_bytes: u64,
    /// Bytes that the guest was given to read.
    pub read_bytes: u64,
    /// The peer's window at its last word, in bytes.
    pub window_bytes: u32,
    /// Bytes that the guest has not read.
    #[serde(with = "crate::plain")]
    pub unread: Vec<u8>,
    /// Bytes that the peer has not acknowledged: the last of those accepted.
    pub unacknowledged: Unacknowledged,
}

/// A connection's state after its handshake (RFC 9293 section 3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ends {
    /// ESTABLISHED: none.
    None,
    /// FIN-WAIT-1: ours; the peer has not acknowledged it.
    OursUnacknowledged,
    /// FIN-WAIT-2: ours.
    Ours,
    /// CLOSE-WAIT: the peer's.
    Theirs,
    /// CLOSING: ours before we knew of the peer's; it has not acknowledged ours.
    BothUnacknowledged,
    /// LAST-ACK: the peer's, then ours; the peer has not acknowledged it.
    TheirsThenOurs,
    /// TIME-WAIT: both.
    Both,
}

/// A connection in TIME-WAIT of which only its name is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeWaitState {
    /// When it is forgotten.
    pub end: Time,
    /// Its interface.
    pub interface: u32,
    /// Its own end.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// A bound UDP port. Datagrams that wait to be sent are not in it: they are lost, as datagrams may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpState {
    /// The only address at which it is bound.
    pub local: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// The interfaces that it is on.
    pub interfaces: Vec<u32>,
    /// Which of them is read first next.
    pub turn: u32,
    /// Datagrams that wait to be read, the oldest first.
    pub datagrams: Vec<DatagramState>,
}

/// A datagram that was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatagramState {
    /// Its sender.
    pub from: SocketAddr,
    /// Its payload.
    #[serde(with = "crate::plain")]
    pub bytes: Vec<u8>,
}

/// A name that is looked up. What is pending is asked anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryState {
    /// The interface whose name servers are asked.
    pub interface: u32,
    /// The name.
    pub name: String,
    /// The families of addresses that are not answered.
    pub pending: Vec<Family>,
    /// The addresses found.
    pub addresses: Vec<IpAddr>,
    /// When it began.
    pub started: Time,
    /// When the last answer came.
    pub ended: Time,
}
