//! The simulated network: one segment to which every instance is joined, without delay and loss
//! but for a connection's handshake.
//!
//! A state machine without threads: [`Network`] holds the sockets of all instances
//! ([`Station`]); what would wait says so by `None`. Whoever changes something that another
//! instance may wait for sets `has_changed`.

mod stream;
mod tcp;
mod udp;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sos_abi::{ErrorCode, POLL_CLOSED, POLL_FAILED, POLL_READABLE, POLL_WRITABLE, PollEntry};

use super::handles::Handles;
use stream::{Connection, Side};
use tcp::Listener;
use udp::UdpSocket;

/// Ephemeral ports begin here (RFC 6335 section 6).
const FIRST_EPHEMERAL_PORT: u16 = 49152;
/// Instances of one network, so that each has a number in the last byte of its address.
const STATIONS: usize = 250;

/// All sockets of all instances.
#[derive(Default)]
pub struct Network {
    pub stations: Vec<Station>,
    names: BTreeMap<String, Vec<IpAddr>>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    pub has_changed: bool,
}

/// One instance's place on the network.
pub struct Station {
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    /// Whether the instance lives: a dead one does not answer.
    is_up: bool,
    handles: Handles<Socket>,
    next_port: u16,
}

enum Socket {
    Listener(Listener),
    /// An end of a connection.
    Stream(u64, Side),
    Udp(UdpSocket),
}

impl Network {
    /// Joins an instance to the network under its name; gives its number.
    ///
    /// # Panics
    /// When the network is full.
    pub fn join(&mut self, name: &str, sockets: usize) -> usize {
        let number = self.stations.len();
        assert!(
            number < STATIONS,
            "a test's network has at most {STATIONS} instances"
        );
        let last = number as u8 + 1;
        let v4 = Ipv4Addr::new(10, 0, 0, last);
        self.stations.push(Station {
            v4,
            v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()),
            is_up: true,
            handles: Handles::new(sockets),
            next_port: FIRST_EPHEMERAL_PORT,
        });
        self.add_name(name, vec![v4.into()]);
        number
    }

    pub fn set_sockets(&mut self, me: usize, sockets: usize) {
        self.stations[me].handles = Handles::new(sockets);
    }

    /// Makes a name known to every instance.
    pub fn add_name(&mut self, name: &str, addresses: Vec<IpAddr>) {
        self.names.insert(name.to_ascii_lowercase(), addresses);
    }

    /// The instance's IPv4 address.
    pub fn address(&self, me: usize) -> Ipv4Addr {
        self.stations[me].v4
    }

    /// Addresses of a name. An address in text form is its own answer.
    pub fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
        if name.is_empty() || name.len() > sos_abi::NAME_BYTES {
            return Err(ErrorCode::InvalidArgument);
        }
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.names.get(&name).cloned().ok_or(ErrorCode::NoSuchName)
    }

    pub fn local_address(&self, me: usize, handle: u32) -> Result<SocketAddr, ErrorCode> {
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        match self.stations[me].handles.get(handle)? {
            Socket::Listener(listener) => {
                let ip = listener.local.unwrap_or(unspecified);
                Ok(SocketAddr::new(ip, listener.port))
            }
            Socket::Udp(socket) => {
                let ip = socket.local.unwrap_or(unspecified);
                Ok(SocketAddr::new(ip, socket.port))
            }
            Socket::Stream(id, side) => Ok(self.connection(*id)?.end(*side).address),
        }
    }

    pub fn peer_address(&self, me: usize, handle: u32) -> Result<SocketAddr, ErrorCode> {
        let (id, side) = self.stream(me, handle)?;
        let connection = self.connection(id)?;
        if connection.is_handshaking() {
            return Err(ErrorCode::NotConnected);
        }
        Ok(connection.end(side.other()).address)
    }

    /// Closes a handle: what was written still arrives.
    pub fn close(&mut self, me: usize, handle: u32) -> Result<(), ErrorCode> {
        match self.stations[me].handles.remove(handle)? {
            Socket::Listener(listener) => self.break_off_all(listener),
            Socket::Stream(id, side) => self.finish(id, side),
            Socket::Udp(_) => {}
        }
        self.has_changed = true;
        Ok(())
    }

    /// The instance is over: what it left open breaks off.
    pub fn leave(&mut self, me: usize) {
        self.stations[me].is_up = false;
        for socket in self.stations[me].handles.drain() {
            match socket {
                Socket::Listener(listener) => self.break_off_all(listener),
                Socket::Stream(id, side) => self.break_off(id, side),
                Socket::Udp(_) => {}
            }
        }
        self.has_changed = true;
    }

    /// Sets `ready` of each entry; says how many are.
    pub fn poll(&self, me: usize, entries: &mut [PollEntry]) -> Result<usize, ErrorCode> {
        if entries.len() > sos_abi::POLL_ENTRIES {
            return Err(ErrorCode::InvalidArgument);
        }
        let mut ready_count = 0;
        for entry in entries {
            entry.ready = self.readiness(me, *entry)?;
            ready_count += usize::from(entry.ready != 0);
        }
        Ok(ready_count)
    }

    fn readiness(&self, me: usize, entry: PollEntry) -> Result<u32, ErrorCode> {
        if entry.interest & !(POLL_READABLE | POLL_WRITABLE) != 0 {
            return Err(ErrorCode::InvalidArgument);
        }
        let state = match self.stations[me].handles.get(entry.handle) {
            Err(_) => return Ok(POLL_FAILED),
            Ok(Socket::Listener(listener)) if listener.queue.is_empty() => 0,
            Ok(Socket::Listener(_)) => POLL_READABLE,
            Ok(Socket::Udp(socket)) if socket.queue.is_empty() => POLL_WRITABLE,
            Ok(Socket::Udp(_)) => POLL_READABLE | POLL_WRITABLE,
            Ok(Socket::Stream(id, side)) => self.connection(*id)?.readiness(*side),
        };
        Ok(state & (entry.interest | POLL_CLOSED | POLL_FAILED))
    }

    fn connection(&self, id: u64) -> Result<&Connection, ErrorCode> {
        self.connections.get(&id).ok_or(ErrorCode::BadHandle)
    }

    fn stream(&self, me: usize, handle: u32) -> Result<(u64, Side), ErrorCode> {
        match self.stations[me].handles.get(handle)? {
            Socket::Stream(id, side) => Ok((*id, *side)),
            Socket::Listener(_) | Socket::Udp(_) => Err(ErrorCode::WrongKind),
        }
    }

    /// Checks that an address to bind is the instance's; none means all.
    fn check_local(&self, me: usize, address: SocketAddr) -> Result<Option<IpAddr>, ErrorCode> {
        let ip = address.ip();
        if ip.is_unspecified() {
            return Ok(None);
        }
        match self.stations[me].has(ip) {
            true => Ok(Some(ip)),
            false => Err(ErrorCode::AddressNotAvailable),
        }
    }

    /// The living instance that has an address.
    fn station_at(&self, ip: IpAddr) -> Option<usize> {
        self.stations
            .iter()
            .position(|station| station.is_up && station.has(ip))
    }
}

impl Station {
    fn has(&self, ip: IpAddr) -> bool {
        ip == self.v4 || ip == self.v6
    }

    /// The address from which the instance speaks to `to`, if that is on the segment: there is no
    /// way beyond it.
    fn source_for(&self, to: IpAddr) -> Result<IpAddr, ErrorCode> {
        match to {
            IpAddr::V4(to) if to.octets()[..3] == self.v4.octets()[..3] => Ok(self.v4.into()),
            IpAddr::V6(to) if to.segments()[..4] == self.v6.segments()[..4] => Ok(self.v6.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => Err(ErrorCode::Unreachable),
        }
    }

    fn ephemeral_port(
        &mut self,
        is_used: impl Fn(&Station, u16) -> bool,
    ) -> Result<u16, ErrorCode> {
        for _ in FIRST_EPHEMERAL_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
            if !is_used(self, port) {
                return Ok(port);
            }
        }
        Err(ErrorCode::AddressInUse)
    }
}
