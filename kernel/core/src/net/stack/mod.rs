//! The TCP/IP stack of one instance: an interface per port, and the sockets over them.
//!
//! smoltcp speaks the protocols; [`Stack`] adds what an operating system needs around it. Each TCP
//! socket lives in a set of its own, found by its addresses (`table`, `connection`); listeners
//! (`listen`) give a SYN its socket; closed connections shrink to a record (`time_wait`). UDP, DNS,
//! DHCP and ping sockets are few and share a set per interface (`interface`), which `announce`s its
//! addresses. `poll` moves frames.
//! A guest has no loopback interface: what its modules say to each other needs no network. The node has
//! one into the stacks of instances whose health it checks (`probe`).
//! `capture` makes plain data of a stack, by what `facts`, `neighbours` and `held` keep, and a stack of that.

mod allowance;
mod announce;
mod capture;
mod connection;
mod device;
mod dhcp;
mod dns;
mod facts;
mod handles;
mod header;
mod held;
mod info;
mod interface;
mod listen;
mod mirror;
mod neighbours;
mod ping;
mod poll;
mod ports;
mod probe;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod time_wait;
mod types;
mod udp;

pub use allowance::Allowance;
pub use capture::{
    CloneNetwork, Part, RestoreError, RevivedPort, StackRevival, StackState, Surroundings, state,
};
pub use probe::{Answer, PROBE_MAC};
pub use types::{
    AddressSpec, DhcpState, InterfaceConfig, InterfaceInfo, NetError, Protocol, Readiness,
    Shutdown, SocketId, SocketInfo, SocketKind, StackLimits,
};

use crate::limits;
use crate::machine::Time;
use crate::net::fabric::Fabric;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;
use device::Wire;
use handles::{Entry, Handles};
use header::Tuple;
use interface::Interface;
use ports::EphemeralPorts;
use smoltcp::iface::SocketSet;
use table::ConnectionTable;
use time_wait::TimeWait;

/// The TCP/IP stack of one instance.
pub struct Stack {
    limits: StackLimits,
    seed: u64,
    /// The latest time that the stack was told.
    now: Time,
    interfaces: Vec<Interface>,
    /// The number of the last interface, if it is the node's own.
    probe: Option<usize>,
    handles: Handles,
    /// The handle that the node holds itself, for its probe.
    of_node: Option<SocketId>,
    connections: ConnectionTable,
    /// Listeners by port.
    listening: BTreeMap<u16, Vec<SocketId>>,
    /// Closed connections in order of their closing, to bound them. May name ended ones.
    lingering: VecDeque<(u32, Tuple)>,
    time_wait: TimeWait,
    ports: EphemeralPorts,
    /// The empty set, for segments that belong to nobody.
    nobody: SocketSet<'static>,
    dropped_syns: u64,
    /// Frames wait in a port although the last poll did its share.
    more: bool,
    /// A NIC's queue was full at the last poll.
    blocked: bool,
    /// When UDP sockets are looked at for datagrams that could not be sent.
    udp_due: Option<Time>,
}

impl Stack {
    /// What the stack may take of the node's memory; the instance's files share it.
    pub fn allowance(&self) -> &Allowance {
        self.connections.allowance()
    }

    /// The same stack, which makes socket buffers within `allowance` only. More sockets are refused
    /// as if the instance had too many; SYNs that would need one are dropped.
    pub fn with_allowance(mut self, allowance: Allowance) -> Stack {
        self.connections.set_allowance(allowance);
        self
    }

    /// The same stack, of which no cut is ever taken: its connections keep no second copy of what they send.
    pub fn without_cuts(mut self) -> Stack {
        self.connections.forgo_cuts();
        self
    }

    /// A stack without interfaces. `seed` makes its sequence numbers and ports.
    pub fn new(limits: StackLimits, seed: u64) -> Stack {
        let maximum = limits.sockets as usize + limits::LINGERING_CONNECTIONS;
        let key = scramble(seed);
        Stack {
            limits,
            seed,
            now: Time::ZERO,
            interfaces: Vec::new(),
            probe: None,
            handles: Handles::new(limits.sockets),
            of_node: None,
            connections: ConnectionTable::new(maximum, limits.tcp_buffer_bytes.max(1), key),
            listening: BTreeMap::new(),
            lingering: VecDeque::new(),
            time_wait: TimeWait::new(key),
            ports: EphemeralPorts::new(scramble(key)),
            nobody: SocketSet::new(Vec::new()),
            dropped_syns: 0,
            more: false,
            blocked: false,
            udp_due: None,
        }
    }

    /// Adds an interface and returns its number. UDP sockets bound earlier are not on it.
    ///
    /// # Errors
    /// [`NetError::InvalidAddress`] for a station address that is a group's, a prefix that is too
    /// long, an address that is no host's or too many of them; [`NetError::TooManySockets`] beyond
    /// the bound of ports, and after [`Stack::add_probe`].
    pub fn add_interface(&mut self, config: InterfaceConfig, now: Time) -> Result<usize, NetError> {
        if self.interfaces.len() >= limits::PORTS_PER_INSTANCE || self.probe.is_some() {
            return Err(NetError::TooManySockets);
        }
        self.push_interface(config, now)
    }

    fn push_interface(&mut self, config: InterfaceConfig, now: Time) -> Result<usize, NetError> {
        self.now = self.now.max(now);
        let number = self.interfaces.len();
        let seed = scramble(self.seed.wrapping_add(number as u64 + 1));
        // smoltcp asks the device for its capabilities only.
        let mut fabric = Fabric::new();
        let mut wire = Wire {
            fabric: &mut fabric,
            port: config.port,
            properties: config.properties,
            now,
            frame: None,
            room: 0,
            hostname: "",
            syn: None,
        };
        let interface = Interface::new(config, seed, now, &mut wire)?;
        self.interfaces.push(interface);
        Ok(number)
    }

    /// Closes a handle. What a connection was given to write is still sent, and the peer waited for
    /// within bounds, without counting against the guest. An unknown handle is no error.
    pub fn close(&mut self, id: SocketId) {
        match self.handles.remove(id) {
            Ok(Entry::Connection(slot)) => self.close_connection(slot),
            Ok(entry) => self.close_entry(id, entry),
            Err(_) => {}
        }
    }

    /// Closes a handle; a connection is broken off with RST.
    pub fn abort(&mut self, id: SocketId) {
        match self.handles.remove(id) {
            Ok(Entry::Connection(slot)) => self.abort_connection(slot),
            Ok(entry) => self.close_entry(id, entry),
            Err(_) => {}
        }
    }

    /// The instance ends: closes every handle. Connections with bytes on their way get a FIN behind
    /// them, the others an RST, since nobody would be there to finish the exchange. Poll once more
    /// to send it all.
    pub fn shutdown_all(&mut self) {
        let ids: Vec<SocketId> = self.handles.iter().map(|(id, _)| id).collect();
        for id in ids {
            let has_unsent = self
                .handles
                .connection(id)
                .ok()
                .and_then(|slot| self.connections.get(slot))
                .is_some_and(|connection| connection.socket().send_queue() > 0);
            if has_unsent {
                self.close(id);
            } else {
                self.abort(id);
            }
        }
    }

    fn close_entry(&mut self, id: SocketId, entry: Entry) {
        match entry {
            Entry::Listener(listener) => self.close_listener(id, listener),
            Entry::Connection(slot) => self.close_connection(slot),
            Entry::Udp(socket) => self.close_udp(socket),
            Entry::Query(query) => self.close_query(query),
            Entry::Ping(ping) => self.close_ping(ping),
        }
    }

    /// The interfaces that the guest knows of.
    fn guest_interfaces(&self) -> &[Interface] {
        &self.interfaces[..self.probe.unwrap_or(self.interfaces.len())]
    }

    /// The interface that leads to `address`: one on its network, else one with a gateway.
    fn route(&self, address: IpAddr) -> Result<usize, NetError> {
        let interfaces = self.guest_interfaces();
        interfaces
            .iter()
            .position(|interface| interface.is_on_link(address))
            .or_else(|| {
                interfaces
                    .iter()
                    .position(|interface| interface.has_gateway(address))
            })
            .ok_or(NetError::Unreachable)
    }

    /// Checks that an address to listen at is the instance's. Unspecified means all.
    fn check_local(&self, local: Option<IpAddr>) -> Result<Option<IpAddr>, NetError> {
        match local {
            Some(address) if !address.is_unspecified() => self
                .guest_interfaces()
                .iter()
                .any(|interface| interface.has_address(address))
                .then_some(Some(address))
                .ok_or(NetError::AddressNotAvailable),
            Some(_) | None => Ok(None),
        }
    }
}

/// Spreads a seed over all bits, so that seeds in a row give unlike streams (splitmix64's finaliser,
/// Steele et al. 2014).
fn scramble(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}
