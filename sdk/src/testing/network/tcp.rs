//! Listeners, handshakes, and the calls on connections.

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use sos_abi::ErrorCode;

use super::stream::{Connection, Progress, Side};
use super::{Network, Socket};

/// What a handshake takes: some calls see the connection before it is established.
const HANDSHAKE_NS: u64 = 200_000;
/// After this a handshake that met no answer is tried again.
const RETRY_NS: u64 = 1_000_000_000;
/// After this it is given up.
const PATIENCE_NS: u64 = 30_000_000_000;
/// Longest queue of connections that wait to be accepted.
const MOST_BACKLOG: usize = 256;

/// A port on which connections are taken.
pub struct Listener {
    pub local: Option<IpAddr>,
    pub port: u16,
    backlog: usize,
    pub queue: VecDeque<u64>,
}

impl Network {
    pub fn tcp_listen(
        &mut self,
        me: usize,
        address: SocketAddr,
        backlog: u16,
    ) -> Result<u32, ErrorCode> {
        if address.port() == 0 {
            return Err(ErrorCode::InvalidAddress);
        }
        self.stations[me].handles.check_room()?;
        let local = self.check_local(me, address)?;
        let is_used = self.stations[me].handles.iter().any(|socket| match socket {
            Socket::Listener(other) => other.port == address.port() && overlap(other.local, local),
            Socket::Stream(..) | Socket::Udp(_) => false,
        });
        if is_used {
            return Err(ErrorCode::AddressInUse);
        }
        self.stations[me].handles.insert(Socket::Listener(Listener {
            local,
            port: address.port(),
            backlog: usize::from(backlog).clamp(1, MOST_BACKLOG),
            queue: VecDeque::new(),
        }))
    }

    /// Takes the oldest connection; nothing when none waits.
    pub fn tcp_accept(
        &mut self,
        me: usize,
        listener: u32,
    ) -> Result<Option<(u32, SocketAddr)>, ErrorCode> {
        let handles = &mut self.stations[me].handles;
        let Socket::Listener(_) = handles.get(listener)? else {
            return Err(ErrorCode::WrongKind);
        };
        handles.check_room()?;
        let Socket::Listener(listener) = handles.get_mut(listener)? else {
            return Err(ErrorCode::WrongKind);
        };
        let Some(id) = listener.queue.pop_front() else {
            return Ok(None);
        };
        let handle = handles.insert(Socket::Stream(id, Side::Server))?;
        let peer = self.connection(id)?.end(Side::Client).address;
        self.has_changed = true;
        Ok(Some((handle, peer)))
    }

    /// Begins a connection.
    pub fn tcp_connect(
        &mut self,
        me: usize,
        remote: SocketAddr,
        now_ns: u64,
    ) -> Result<u32, ErrorCode> {
        if remote.port() == 0 || !is_usable(remote.ip()) {
            return Err(ErrorCode::InvalidAddress);
        }
        let connections = &self.connections;
        let station = &mut self.stations[me];
        station.handles.check_room()?;
        let source = station.source_for(remote.ip())?;
        let port = station.ephemeral_port(|_, port| {
            connections
                .values()
                .any(|other| other.end(Side::Client).address == SocketAddr::new(source, port))
        })?;
        let progress = Progress::Connecting {
            due_ns: now_ns + HANDSHAKE_NS,
            give_up_ns: now_ns + PATIENCE_NS,
        };
        let connection = Connection::new(SocketAddr::new(source, port), remote, progress);
        let id = self.next_connection;
        self.next_connection += 1;
        self.connections.insert(id, connection);
        self.stations[me]
            .handles
            .insert(Socket::Stream(id, Side::Client))
    }

    /// Whether the handshake is done.
    pub fn tcp_connected(&self, me: usize, handle: u32) -> Result<bool, ErrorCode> {
        let (id, side) = self.stream(me, handle)?;
        let connection = self.connection(id)?;
        match connection.end(side).failure {
            Some(failure) => Err(failure),
            None => Ok(!connection.is_handshaking()),
        }
    }

    pub fn tcp_read(
        &mut self,
        me: usize,
        handle: u32,
        buffer: &mut [u8],
        keeps_bytes: bool,
    ) -> Result<Option<usize>, ErrorCode> {
        let (connection, side) = self.stream_mut(me, handle)?;
        let read = connection.read(side, buffer, keeps_bytes)?;
        self.has_changed |= read.is_some();
        Ok(read)
    }

    pub fn tcp_write(
        &mut self,
        me: usize,
        handle: u32,
        bytes: &[u8],
    ) -> Result<Option<usize>, ErrorCode> {
        let (connection, side) = self.stream_mut(me, handle)?;
        let written = connection.write(side, bytes)?;
        self.has_changed |= written.is_some();
        Ok(written)
    }

    pub fn tcp_shutdown(&mut self, me: usize, handle: u32, how: u32) -> Result<(), ErrorCode> {
        let (connection, side) = self.stream_mut(me, handle)?;
        if connection.is_handshaking() {
            return Err(ErrorCode::NotConnected);
        }
        if matches!(how, sos_abi::SHUTDOWN_READ | sos_abi::SHUTDOWN_BOTH) {
            connection.shut_reading(side);
        }
        if matches!(how, sos_abi::SHUTDOWN_WRITE | sos_abi::SHUTDOWN_BOTH) {
            connection.shut_writing(side);
        }
        self.has_changed = true;
        Ok(())
    }

    /// Options change nothing here; only what they are given for is checked.
    pub fn tcp_set_option(
        &self,
        me: usize,
        handle: u32,
        option: u32,
        value: i64,
    ) -> Result<(), ErrorCode> {
        self.stream(me, handle)?;
        match (option, value) {
            (sos_abi::OPTION_NODELAY, 0 | 1) | (sos_abi::OPTION_KEEPALIVE, 0..) => Ok(()),
            _ => Err(ErrorCode::InvalidArgument),
        }
    }

    /// When a handshake is due next.
    pub fn next_event_ns(&self) -> Option<u64> {
        let due = self
            .connections
            .values()
            .filter_map(|connection| match connection.progress {
                Progress::Connecting { due_ns, .. } => Some(due_ns),
                Progress::Decided => None,
            });
        due.min()
    }

    /// Carries out the handshakes that are due.
    pub fn advance(&mut self, now_ns: u64) {
        let due: alloc::vec::Vec<(u64, u64)> = self
            .connections
            .iter()
            .filter_map(|(&id, connection)| match connection.progress {
                Progress::Connecting { due_ns, give_up_ns } if due_ns <= now_ns => {
                    Some((id, give_up_ns))
                }
                Progress::Connecting { .. } | Progress::Decided => None,
            })
            .collect();
        for (id, give_up_ns) in due {
            self.shake_hands(id, now_ns, give_up_ns);
        }
    }

    fn shake_hands(&mut self, id: u64, now_ns: u64, give_up_ns: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let target = connection.end(Side::Server).address;
        let source = connection.end(Side::Client).address.ip();
        if now_ns >= give_up_ns {
            connection.fail(Side::Client, ErrorCode::TimedOut);
            connection.break_off(Side::Server);
            self.has_changed = true;
            return;
        }
        // Nobody answers for an address that no other instance has: there is no loopback.
        let station = self
            .station_at(target.ip())
            .filter(|_| target.ip() != source);
        let listener = station.map(|station| self.listener_at(station, target));
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match listener {
            Some(None) => {
                connection.fail(Side::Client, ErrorCode::ConnectionRefused);
                connection.break_off(Side::Server);
            }
            Some(Some((station, handle))) => {
                connection.progress = Progress::Decided;
                let socket = self.stations[station].handles.get_mut(handle);
                if let Ok(Socket::Listener(listener)) = socket {
                    if listener.queue.len() < listener.backlog {
                        listener.queue.push_back(id);
                    } else {
                        connection.progress = try_again(now_ns, give_up_ns);
                    }
                }
            }
            None => connection.progress = try_again(now_ns, give_up_ns),
        }
        self.has_changed = true;
    }

    /// The listener for an address: one at exactly this address before one at all.
    fn listener_at(&self, station: usize, target: SocketAddr) -> Option<(usize, u32)> {
        let find = |wanted: Option<IpAddr>| {
            let found = self.stations[station].handles.find(|socket| match socket {
                Socket::Listener(listener) => {
                    listener.port == target.port() && listener.local == wanted
                }
                Socket::Stream(..) | Socket::Udp(_) => false,
            });
            found.map(|handle| (station, handle))
        };
        find(Some(target.ip())).or_else(|| find(None))
    }

    fn stream_mut(&mut self, me: usize, handle: u32) -> Result<(&mut Connection, Side), ErrorCode> {
        let (id, side) = self.stream(me, handle)?;
        let connection = self.connections.get_mut(&id).ok_or(ErrorCode::BadHandle)?;
        Ok((connection, side))
    }

    /// An end is let go in good order.
    pub fn finish(&mut self, id: u64, side: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.finish(side);
            if connection.is_handshaking() || connection.is_over() {
                self.connections.remove(&id);
            }
        }
    }

    /// An end breaks off.
    pub fn break_off(&mut self, id: u64, side: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let is_handshaking = connection.is_handshaking();
            connection.break_off(side);
            if is_handshaking || connection.is_over() {
                self.connections.remove(&id);
            }
        }
    }

    /// Nobody will accept what waits in a listener's queue.
    pub fn break_off_all(&mut self, listener: Listener) {
        for id in listener.queue {
            self.break_off(id, Side::Server);
        }
    }
}

fn try_again(now_ns: u64, give_up_ns: u64) -> Progress {
    Progress::Connecting {
        due_ns: (now_ns + RETRY_NS).min(give_up_ns),
        give_up_ns,
    }
}

/// Whether two bound addresses stand in each other's way; none means all.
pub fn overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// Whether a single station can have the address.
pub fn is_usable(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}
