//! Listings: interfaces, sockets, addresses, readiness.

use super::Stack;
use super::connection::{Connection, Owner};
use super::handles::Entry;
use super::types::{
    InterfaceInfo, NetError, Protocol, Readiness, SocketId, SocketInfo, SocketKind,
};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use smoltcp::socket::tcp::State;

impl Stack {
    /// What could be done with a socket without blocking; nothing for an unknown handle.
    pub fn readiness(&mut self, id: SocketId) -> Readiness {
        match self.handles.get(id) {
            Err(_) => Readiness::default(),
            Ok(Entry::Listener(listener)) => Readiness {
                readable: !listener.queue.is_empty(),
                ..Readiness::default()
            },
            Ok(Entry::Connection(slot)) => self.connection_readiness(*slot),
            Ok(Entry::Udp(socket)) => self.udp_readiness(socket),
            Ok(Entry::Ping(ping)) => self.ping_readiness(ping),
            Ok(Entry::Query(_)) => self.query_readiness(id),
        }
    }

    /// What a handle stands for; nothing for an unknown one.
    pub fn socket_kind(&self, id: SocketId) -> Option<SocketKind> {
        Some(match self.handles.get(id).ok()? {
            Entry::Listener(_) => SocketKind::Listener,
            Entry::Connection(_) => SocketKind::Connection,
            Entry::Udp(_) => SocketKind::Udp,
            Entry::Query(_) => SocketKind::Query,
            Entry::Ping(_) => SocketKind::Ping,
        })
    }

    /// The socket's own end.
    ///
    /// # Errors
    /// [`NetError::BadHandle`], [`NetError::WrongSocketKind`] for a query or ping.
    pub fn local_address(&self, id: SocketId) -> Result<SocketAddr, NetError> {
        match self.handles.get(id)? {
            Entry::Listener(listener) => Ok(SocketAddr::new(
                listener.local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                listener.port,
            )),
            Entry::Connection(slot) => {
                let connection = self.connections.get(*slot).ok_or(NetError::BadHandle)?;
                Ok(connection.tuple.local())
            }
            Entry::Udp(socket) => Ok(socket.local_address()),
            Entry::Query(_) | Entry::Ping(_) => Err(NetError::WrongSocketKind),
        }
    }

    /// The other end of a connection.
    ///
    /// # Errors
    /// [`NetError::BadHandle`], [`NetError::WrongSocketKind`], [`NetError::NotConnected`] during
    /// the handshake.
    pub fn peer_address(&self, id: SocketId) -> Result<SocketAddr, NetError> {
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get(slot).ok_or(NetError::BadHandle)?;
        if connection.is_handshaking() {
            return Err(NetError::NotConnected);
        }
        Ok(connection.tuple.remote())
    }

    /// The interfaces in the order in which they were added.
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.guest_interfaces()
            .iter()
            .map(|interface| interface.info())
            .collect()
    }

    /// The guest's sockets, then the connections that are not, or no longer, the guest's.
    pub fn sockets(&self) -> Vec<SocketInfo> {
        let mut list: Vec<SocketInfo> = self
            .handles
            .iter()
            .filter_map(|(_, entry)| self.socket_info(entry))
            .collect();
        let others = self.connections.iter();
        list.extend(
            others
                .filter(|(_, connection)| connection.owner != Owner::Guest)
                .map(|(_, connection)| connection_info(connection)),
        );
        list
    }

    /// SYNs that found no room, since the stack was made.
    pub fn dropped_syns(&self) -> u64 {
        self.dropped_syns
    }

    fn socket_info(&self, entry: &Entry) -> Option<SocketInfo> {
        let open = SocketInfo {
            protocol: Protocol::Tcp,
            local: None,
            peer: None,
            state: "open",
            receive_queue: 0,
            send_queue: 0,
        };
        Some(match entry {
            Entry::Connection(slot) => connection_info(self.connections.get(*slot)?),
            Entry::Listener(listener) => SocketInfo {
                local: Some(SocketAddr::new(
                    listener.local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                    listener.port,
                )),
                state: "LISTEN",
                receive_queue: listener.queue.len(),
                ..open
            },
            Entry::Udp(socket) => {
                let (receive_queue, send_queue) = self.udp_queues(socket);
                SocketInfo {
                    protocol: Protocol::Udp,
                    local: Some(socket.local_address()),
                    receive_queue,
                    send_queue,
                    ..open
                }
            }
            Entry::Query(_) => SocketInfo {
                protocol: Protocol::Dns,
                ..open
            },
            Entry::Ping(ping) => SocketInfo {
                protocol: Protocol::Icmp,
                peer: Some(SocketAddr::new(ping.to, ping.identifier)),
                ..open
            },
        })
    }
}

fn connection_info(connection: &Connection) -> SocketInfo {
    let socket = connection.socket();
    SocketInfo {
        protocol: Protocol::Tcp,
        local: Some(connection.tuple.local()),
        peer: Some(connection.tuple.remote()),
        state: state_name(connection.state()),
        receive_queue: socket.recv_queue(),
        send_queue: socket.send_queue(),
    }
}

/// A state in the words of RFC 9293.
fn state_name(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::Listen => "LISTEN",
        State::SynSent => "SYN-SENT",
        State::SynReceived => "SYN-RECEIVED",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
        State::TimeWait => "TIME-WAIT",
    }
}
