//! Listeners: which SYN gets a socket, and the queue of connections to be accepted.
//!
//! smoltcp has no backlog: a SYN needs a socket that listens at that moment (D5). The stack gives
//! it one when the SYN arrives; where it may not, the SYN is dropped unseen, since smoltcp would
//! answer it with RST and the peer would take the port for closed.

use super::Stack;
use super::connection::{Connection, Owner};
use super::handles::Entry;
use super::header::{Segment, Tuple};
use super::types::{NetError, SocketId};
use crate::limits;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use smoltcp::wire::IpListenEndpoint;

/// A port on which connections are taken, on all interfaces or at one address.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) local: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) backlog: usize,
    /// Connections in their handshake.
    pub(super) half_open: usize,
    /// Slots of established connections, in the order in which they were established.
    pub(super) queue: VecDeque<u32>,
}

/// What becomes of a SYN.
pub(super) enum Admission {
    /// Nobody listens: smoltcp answers RST.
    Refused,
    /// A listener has no room: no answer.
    Dropped,
    /// This connection takes it.
    Admitted(u32),
}

impl Stack {
    /// Listens for connections to `port`, at one of the instance's addresses or at all.
    /// `backlog` bounds the connections that wait to be accepted.
    ///
    /// # Errors
    /// [`NetError::InvalidAddress`] for port 0, [`NetError::AddressInUse`],
    /// [`NetError::AddressNotAvailable`], [`NetError::TooManySockets`].
    pub fn tcp_listen(
        &mut self,
        local: Option<IpAddr>,
        port: u16,
        backlog: u16,
    ) -> Result<SocketId, NetError> {
        if port == 0 {
            return Err(NetError::InvalidAddress);
        }
        self.handles.check_room()?;
        let local = self.check_local(local)?;
        if self
            .listeners_of(port)
            .any(|listener| listener.local.is_none() || local.is_none() || listener.local == local)
        {
            return Err(NetError::AddressInUse);
        }
        let id = self.handles.insert(Entry::Listener(Listener {
            local,
            port,
            backlog: usize::from(backlog).clamp(1, limits::ACCEPT_BACKLOG),
            half_open: 0,
            queue: VecDeque::new(),
        }));
        self.listening.entry(port).or_default().push(id);
        Ok(id)
    }

    /// Takes the connection that was established first; nothing when none waits.
    ///
    /// # Errors
    /// [`NetError::TooManySockets`] leaves the connection in the queue.
    pub fn tcp_accept(
        &mut self,
        listener: SocketId,
    ) -> Result<Option<(SocketId, SocketAddr)>, NetError> {
        let Some(&slot) = self.handles.listener_mut(listener)?.queue.front() else {
            return Ok(None);
        };
        self.handles.check_room()?;
        self.handles.listener_mut(listener)?.queue.pop_front();
        let Some(connection) = self.connections.get_mut(slot) else {
            return Ok(None);
        };
        connection.owner = Owner::Guest;
        let remote = connection.tuple.remote();
        Ok(Some((self.handles.insert(Entry::Connection(slot)), remote)))
    }

    /// Finds or makes room for the connection that a SYN opens.
    pub(super) fn admit(&mut self, tuple: Tuple, segment: &Segment) -> Admission {
        let interface = tuple.interface as usize;
        if !self.interfaces[interface].has_address(segment.local.ip()) {
            return Admission::Dropped;
        }
        let Some(id) = self.listener_for(segment.local) else {
            return Admission::Refused;
        };
        let has_room = self.connections.has_room();
        let pool = self.limits.listen_pool;
        let Ok(listener) = self.handles.listener_mut(id) else {
            return Admission::Refused;
        };
        if !has_room || listener.half_open >= pool || listener.queue.len() >= listener.backlog {
            self.dropped_syns += 1;
            return Admission::Dropped;
        }
        let endpoint = IpListenEndpoint {
            addr: Some(segment.local.ip().into()),
            port: segment.local.port(),
        };
        let Some(spare) = self.connections.take_spare() else {
            self.dropped_syns += 1;
            return Admission::Dropped;
        };
        let mut connection = Connection::new(spare, Owner::Handshake(id), interface, tuple);
        if connection.socket_mut().listen(endpoint).is_err() {
            self.connections.give_spare(connection.into_spare());
            return Admission::Dropped;
        }
        listener.half_open += 1;
        Admission::Admitted(self.connections.insert(connection))
    }

    /// Moves a connection in its handshake on: into the queue, or away.
    pub(super) fn advance_handshake(&mut self, slot: u32, id: SocketId) {
        use smoltcp::socket::tcp::State;
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let state = connection.state();
        if matches!(state, State::SynReceived | State::SynSent) {
            return;
        }
        // An RST sends smoltcp's socket back to LISTEN; a timeout closes it.
        let ended = matches!(state, State::Listen | State::Closed);
        if !ended {
            connection.owner = Owner::Queued(id);
        }
        let Ok(listener) = self.handles.listener_mut(id) else {
            return self.connections.remove(slot);
        };
        listener.half_open -= 1;
        if ended {
            self.connections.remove(slot);
        } else {
            listener.queue.push_back(slot);
        }
    }

    /// Closes a listener: connections that were not accepted are broken off, and handshakes
    /// forgotten.
    pub(super) fn close_listener(&mut self, id: SocketId, listener: Listener) {
        if let Some(ids) = self.listening.get_mut(&listener.port) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.listening.remove(&listener.port);
            }
        }
        for slot in listener.queue {
            self.abort_connection(slot);
        }
        let half_open: Vec<u32> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.owner == Owner::Handshake(id))
            .map(|(slot, _)| slot)
            .collect();
        for slot in half_open {
            self.connections.remove(slot);
        }
    }

    /// The listener for an address: one at exactly this address before one at all.
    fn listener_for(&self, local: SocketAddr) -> Option<SocketId> {
        let ids = self.listening.get(&local.port())?;
        let find = |wanted: Option<IpAddr>| {
            ids.iter().copied().find(|id| match self.handles.get(*id) {
                Ok(Entry::Listener(listener)) => listener.local == wanted,
                Ok(_) | Err(_) => false,
            })
        };
        find(Some(local.ip())).or_else(|| find(None))
    }

    pub(super) fn listeners_of(&self, port: u16) -> impl Iterator<Item = &Listener> {
        let ids = self.listening.get(&port).into_iter().flatten();
        ids.filter_map(|id| match self.handles.get(*id) {
            Ok(Entry::Listener(listener)) => Some(listener),
            Ok(_) | Err(_) => None,
        })
    }
}
