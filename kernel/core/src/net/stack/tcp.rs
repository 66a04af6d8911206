//! The guest's calls on TCP connections.

use super::Stack;
use super::connection::{Connection, Owner, Reading};
use super::handles::Entry;
use super::header::Tuple;
use super::types::{NetError, Readiness, Shutdown, SocketId, Waiting};
use crate::limits;
use crate::machine::{Duration, Time};
use core::net::SocketAddr;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// How long a closed connection waits for its peer's FIN.
const LINGER: Duration = Duration::from_secs(60);

impl Stack {
    /// Begins a connection, through the interface that leads to `remote`.
    ///
    /// # Errors
    /// [`NetError::InvalidAddress`], [`NetError::Unreachable`] when no interface leads there,
    /// [`NetError::TooManySockets`].
    pub fn tcp_connect(&mut self, remote: SocketAddr, now: Time) -> Result<SocketId, NetError> {
        self.now = self.now.max(now);
        if remote.port() == 0 || !super::dhcp::is_usable(remote.ip()) {
            return Err(NetError::InvalidAddress);
        }
        self.handles.check_room()?;
        let number = self.route(remote.ip())?;
        let slot = self.connect_from(number, remote)?;
        Ok(self.handles.insert(Entry::Connection(slot)))
    }

    /// Begins a connection through an interface: the slot that it has.
    pub(super) fn connect_from(
        &mut self,
        number: usize,
        remote: SocketAddr,
    ) -> Result<u32, NetError> {
        if !self.connections.has_room() {
            return Err(NetError::TooManySockets);
        }
        let interface = &mut self.interfaces[number];
        let target: IpAddress = remote.ip().into();
        let source = interface
            .inner
            .get_source_address(&target)
            .ok_or(NetError::Unreachable)?;
        let (connections, listening) = (&self.connections, &self.listening);
        let (time_wait, source_address) = (&self.time_wait, source.into());
        let port = self
            .ports
            .allocate(|port| {
                let tuple = Tuple::new(number, SocketAddr::new(source_address, port), remote);
                listening.contains_key(&port)
                    || connections.find(&tuple).is_some()
                    || time_wait.contains(&tuple)
            })
            .ok_or(NetError::AddressInUse)?;
        let tuple = Tuple::new(number, SocketAddr::new(source_address, port), remote);
        let spare = self.connections.take_spare();
        let spare = spare.ok_or(NetError::TooManySockets)?;
        let mut connection = Connection::new(spare, Owner::Guest, number, tuple);
        let connected = connection.socket_mut().connect(
            interface.inner.context(),
            IpEndpoint::new(target, remote.port()),
            IpEndpoint::new(source, port),
        );
        if connected.is_err() {
            self.connections.give_spare(connection.into_spare());
            return Err(NetError::InvalidAddress);
        }
        let slot = self.connections.insert(connection);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.begin();
        }
        self.connections.touch(slot);
        Ok(slot)
    }

    /// Whether the handshake is done.
    ///
    /// # Errors
    /// [`NetError::ConnectionRefused`], [`NetError::TimedOut`], [`NetError::ConnectionReset`] once
    /// the connection has failed.
    pub fn tcp_connected(&mut self, id: SocketId) -> Result<bool, NetError> {
        let connection = self.connection(id)?;
        match connection.failure {
            Some(failure) => Err(failure),
            None => Ok(!connection.is_handshaking()),
        }
    }

    /// Reads what has arrived: `Some(0)` at the end of the stream, `None` when nothing is there yet.
    ///
    /// # Errors
    /// The reason for which the connection failed, after all bytes that came before were read.
    pub fn tcp_read(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<Option<usize>, NetError> {
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get_mut(slot).ok_or(NetError::BadHandle)?;
        if let Some(answer) = unreadable(connection)? {
            return Ok(answer);
        }
        let read = connection.read(buffer);
        // The peer may have to hear of the larger window.
        self.connections.touch(slot);
        Ok(Some(read))
    }

    /// Like [`Stack::tcp_read`], but shows some of the bytes where they are: as many are taken as `take` answers.
    ///
    /// # Errors
    /// As [`Stack::tcp_read`].
    pub fn tcp_read_with(
        &mut self,
        id: SocketId,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Result<Option<usize>, NetError> {
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get_mut(slot).ok_or(NetError::BadHandle)?;
        if let Some(answer) = unreadable(connection)? {
            return Ok(answer);
        }
        let read = connection.read_with(take);
        self.connections.touch(slot);
        Ok(Some(read))
    }

    /// Like [`Stack::tcp_read`], but the bytes stay.
    ///
    /// # Errors
    /// As [`Stack::tcp_read`].
    pub fn tcp_peek(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<Option<usize>, NetError> {
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get_mut(slot).ok_or(NetError::BadHandle)?;
        if let Some(answer) = unreadable(connection)? {
            return Ok(answer);
        }
        Ok(Some(
            connection.socket_mut().peek_slice(buffer).unwrap_or(0),
        ))
    }

    /// Queues bytes: how many were taken, `None` when the buffer is full or the handshake not done.
    ///
    /// # Errors
    /// [`NetError::Closed`] after the guest shut this direction; else the reason for which the
    /// connection failed.
    pub fn tcp_write(&mut self, id: SocketId, bytes: &[u8]) -> Result<Option<usize>, NetError> {
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get_mut(slot).ok_or(NetError::BadHandle)?;
        if let Some(failure) = connection.failure {
            return Err(failure);
        }
        if connection.is_handshaking() {
            return Ok(None);
        }
        if !connection.may_send() {
            return Err(NetError::Closed);
        }
        if connection.is_waiting_for_peer() || !connection.socket().can_send() {
            return Ok(None);
        }
        let written = connection.write(bytes);
        self.connections.touch(slot);
        Ok(Some(written))
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    /// [`NetError::NotConnected`] during the handshake.
    pub fn tcp_shutdown(&mut self, id: SocketId, direction: Shutdown) -> Result<(), NetError> {
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get_mut(slot).ok_or(NetError::BadHandle)?;
        if connection.is_handshaking() {
            return Err(NetError::NotConnected);
        }
        if matches!(direction, Shutdown::Read | Shutdown::Both) {
            connection.reading = Reading::Shut;
            connection.discard_received();
        }
        if matches!(direction, Shutdown::Write | Shutdown::Both) {
            connection.end_writing();
        }
        self.connections.touch(slot);
        Ok(())
    }

    /// Whether short segments go out at once (as they do from the start) or wait for an
    /// acknowledgement.
    ///
    /// # Errors
    /// [`NetError::BadHandle`], [`NetError::WrongSocketKind`].
    pub fn tcp_set_nodelay(&mut self, id: SocketId, nodelay: bool) -> Result<(), NetError> {
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get_mut(slot).ok_or(NetError::BadHandle)?;
        connection.socket_mut().set_nagle_enabled(!nodelay);
        Ok(())
    }

    /// Probes an idle peer in this interval, or no more; four unanswered ones fail the connection.
    ///
    /// # Errors
    /// [`NetError::BadHandle`], [`NetError::WrongSocketKind`].
    pub fn tcp_set_keepalive(
        &mut self,
        id: SocketId,
        interval: Option<Duration>,
    ) -> Result<(), NetError> {
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get_mut(slot).ok_or(NetError::BadHandle)?;
        connection.set_keepalive(interval);
        self.connections.touch(slot);
        Ok(())
    }

    /// What waits in a connection's buffers; nothing of anything else.
    pub fn tcp_waiting(&self, id: SocketId) -> Waiting {
        let Ok(connection) = self.connection(id) else {
            return Waiting::default();
        };
        let socket = connection.socket();
        Waiting {
            received: socket.recv_queue(),
            room: if connection.is_waiting_for_peer() {
                0
            } else {
                socket.send_capacity() - socket.send_queue()
            },
        }
    }

    pub(super) fn connection_readiness(&self, slot: u32) -> Readiness {
        let Some(connection) = self.connections.get(slot) else {
            return Readiness::default();
        };
        let socket = connection.socket();
        let failed = connection.failure.is_some();
        let handshaking = connection.is_handshaking();
        let shut = connection.reading == Reading::Shut;
        Readiness {
            readable: socket.can_recv() || shut || (!handshaking && !socket.may_recv()) || failed,
            writable: (socket.can_send() && !connection.is_waiting_for_peer())
                || (!handshaking && !connection.may_send())
                || failed,
            closed: matches!(
                connection.state(),
                State::Closed | State::TimeWait | State::Closing | State::LastAck
            ),
            failed,
        }
    }

    /// The guest lets go of a connection: what it wrote is still sent.
    pub(super) fn close_connection(&mut self, slot: u32) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        match connection.state() {
            State::Closed if !connection.owes_reset() => return self.connections.remove(slot),
            State::SynSent | State::SynReceived => connection.abort(),
            _ => connection.end_writing(),
        }
        connection.owner = Owner::Lingering;
        connection.reading = Reading::Shut;
        connection.discard_received();
        connection.linger_until = Some(now + LINGER);
        let tuple = connection.tuple;
        self.connections.touch(slot);
        self.lingering.push_back((slot, tuple));
        if self.lingering.len() > limits::LINGERING_CONNECTIONS {
            self.bound_lingering();
        }
    }

    /// Breaks a connection off.
    pub(super) fn abort_connection(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.abort();
        if !connection.owes_reset() {
            return self.connections.remove(slot);
        }
        connection.owner = Owner::Lingering;
        self.connections.touch(slot);
    }

    /// Forgets those that have ended, then breaks off the oldest until the bound holds.
    fn bound_lingering(&mut self) {
        let connections = &self.connections;
        self.lingering.retain(|(slot, tuple)| {
            connections.get(*slot).is_some_and(|connection| {
                connection.owner == Owner::Lingering && connection.tuple == *tuple
            })
        });
        while self.lingering.len() > limits::LINGERING_CONNECTIONS
            && let Some((slot, _)) = self.lingering.pop_front()
        {
            self.abort_connection(slot);
        }
    }

    fn connection(&self, id: SocketId) -> Result<&Connection, NetError> {
        let slot = self.handles.connection(id)?;
        self.connections.get(slot).ok_or(NetError::BadHandle)
    }
}

/// What a read answers without looking at the buffer: the end, "not yet" or the failure. `None`
/// when bytes are there.
fn unreadable(connection: &Connection) -> Result<Option<Option<usize>>, NetError> {
    if connection.reading == Reading::Shut {
        return Ok(Some(Some(0)));
    }
    let socket = connection.socket();
    if socket.can_recv() {
        return Ok(None);
    }
    if let Some(failure) = connection.failure {
        return Err(failure);
    }
    if connection.is_handshaking() || socket.may_recv() {
        return Ok(Some(None));
    }
    Ok(Some(Some(0)))
}
