//! UDP sockets: one handle over a smoltcp socket on each interface.

use super::Stack;
use super::dhcp::is_usable;
use super::handles::Entry;
use super::interface::Interface;
use super::types::{NetError, Readiness, SocketId};
use crate::limits;
use crate::machine::{Duration, Time};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{self, PacketBuffer, PacketMetadata};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// Bytes of IPv4 and UDP header, and of IPv6 and UDP header.
const HEADER_BYTES_V4: usize = 28;
const HEADER_BYTES_V6: usize = 48;

/// Time between two looks at datagrams that could not be sent at once.
const SEND_LOOK: Duration = Duration::from_secs(1);
/// Looks after which they are dropped.
const SEND_LOOKS: u8 = 3;

/// A bound port.
#[derive(Debug)]
pub(super) struct UdpSocket {
    pub(super) local: Option<IpAddr>,
    pub(super) port: u16,
    /// The interfaces' sockets.
    sockets: Vec<(usize, SocketHandle)>,
    /// Looks in a row that found a datagram still waiting to be sent.
    stuck: u8,
    /// Datagrams that were taken out of a socket before its queues were emptied.
    held: VecDeque<(Box<[u8]>, SocketAddr)>,
    /// Which of them is read first next time, so that a busy interface does not starve another.
    turn: usize,
}

impl Stack {
    /// Binds a port, at one of the instance's addresses or at all; port 0 asks for any.
    ///
    /// # Errors
    /// [`NetError::AddressInUse`], [`NetError::AddressNotAvailable`], [`NetError::TooManySockets`].
    pub fn udp_bind(&mut self, local: Option<IpAddr>, port: u16) -> Result<SocketId, NetError> {
        self.handles.check_room()?;
        let local = self.check_local(local)?;
        let handles = &self.handles;
        let is_used = |port: u16| {
            handles.iter().any(|(_, entry)| match entry {
                Entry::Udp(other) => {
                    other.port == port
                        && (other.local.is_none() || local.is_none() || other.local == local)
                }
                Entry::Listener(_) | Entry::Connection(_) | Entry::Query(_) | Entry::Ping(_) => {
                    false
                }
            })
        };
        let port = match port {
            0 => self.ports.allocate(is_used).ok_or(NetError::AddressInUse)?,
            port if is_used(port) => return Err(NetError::AddressInUse),
            port => port,
        };
        let count = self.guest_interfaces().len();
        let needed_bytes = count * 2 * limits::UDP_BUFFER_BYTES;
        if !self.connections.allowance().take(needed_bytes) {
            return Err(NetError::TooManySockets);
        }
        let mut sockets = Vec::new();
        for (number, interface) in self.interfaces[..count].iter_mut().enumerate() {
            if local.is_none_or(|local| interface.has_address(local)) {
                sockets.push((number, bind(interface, local, port)?));
            }
        }
        Ok(self.handles.insert(Entry::Udp(UdpSocket {
            local,
            port,
            sockets,
            stuck: 0,
            held: VecDeque::new(),
            turn: 0,
        })))
    }

    /// Queues a datagram; `None` when the queue is full.
    ///
    /// # Errors
    /// [`NetError::MessageTooLarge`], [`NetError::Unreachable`], [`NetError::InvalidAddress`].
    pub fn udp_send_to(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Result<Option<usize>, NetError> {
        let socket = self.handles.udp(id)?;
        if to.port() == 0 || to.ip().is_unspecified() {
            return Err(NetError::InvalidAddress);
        }
        let number = if is_usable(to.ip()) {
            self.route(to.ip())?
        } else {
            // A group: out of the first interface that the socket is on.
            socket.sockets.first().ok_or(NetError::Unreachable)?.0
        };
        let found = socket.sockets.iter().find(|(other, _)| *other == number);
        let handle = found.ok_or(NetError::Unreachable)?.1;
        let interface = &mut self.interfaces[number];
        let header_bytes = match to.ip() {
            IpAddr::V4(_) => HEADER_BYTES_V4,
            IpAddr::V6(_) => HEADER_BYTES_V6,
        };
        if bytes.len() + header_bytes > interface.properties.mtu {
            return Err(NetError::MessageTooLarge);
        }
        let inner = interface.services.get_mut::<udp::Socket>(handle);
        let endpoint = IpEndpoint::new(to.ip().into(), to.port());
        match inner.send_slice(bytes, endpoint) {
            Ok(()) => {
                interface.touched = true;
                self.udp_due.get_or_insert(self.now + SEND_LOOK);
                Ok(Some(bytes.len()))
            }
            Err(udp::SendError::BufferFull) => Ok(None),
            Err(udp::SendError::Unaddressable) => Err(NetError::InvalidAddress),
        }
    }

    /// Takes the oldest datagram of an interface: its whole length, of which at most a buffer's
    /// length is copied, and its sender.
    ///
    /// # Errors
    /// [`NetError::BadHandle`], [`NetError::WrongSocketKind`].
    pub fn udp_receive_from(
        &mut self,
        id: SocketId,
        buffer: &mut [u8],
    ) -> Result<Option<(usize, SocketAddr)>, NetError> {
        self.handles.udp(id)?;
        let Entry::Udp(socket) = self.handles.get_mut(id)? else {
            return Err(NetError::WrongSocketKind);
        };
        if let Some((bytes, from)) = socket.held.pop_front() {
            let copied = bytes.len().min(buffer.len());
            buffer[..copied].copy_from_slice(&bytes[..copied]);
            return Ok(Some((bytes.len(), from)));
        }
        for _ in 0..socket.sockets.len() {
            let (number, handle) = socket.sockets[socket.turn % socket.sockets.len()];
            socket.turn = (socket.turn + 1) % socket.sockets.len();
            let inner = self.interfaces[number]
                .services
                .get_mut::<udp::Socket>(handle);
            if let Ok((bytes, metadata)) = inner.recv() {
                let copied = bytes.len().min(buffer.len());
                buffer[..copied].copy_from_slice(&bytes[..copied]);
                let from = metadata.endpoint;
                return Ok(Some((
                    bytes.len(),
                    SocketAddr::new(from.addr.into(), from.port),
                )));
            }
        }
        Ok(None)
    }

    pub(super) fn udp_readiness(&self, socket: &UdpSocket) -> Readiness {
        let mut readiness = Readiness {
            readable: !socket.held.is_empty(),
            ..Readiness::default()
        };
        for (number, handle) in &socket.sockets {
            let inner = self.interfaces[*number]
                .services
                .get::<udp::Socket>(*handle);
            readiness.readable |= inner.can_recv();
            readiness.writable |= inner.can_send();
        }
        readiness
    }

    pub(super) fn close_udp(&mut self, socket: UdpSocket) {
        for (number, handle) in socket.sockets {
            self.interfaces[number].services.remove(handle);
        }
    }

    pub(super) fn udp_queues(&self, socket: &UdpSocket) -> (usize, usize) {
        socket
            .sockets
            .iter()
            .map(|(number, handle)| {
                let inner = self.interfaces[*number]
                    .services
                    .get::<udp::Socket>(*handle);
                (inner.recv_queue(), inner.send_queue())
            })
            .fold((0, 0), |sum, queues| (sum.0 + queues.0, sum.1 + queues.1))
    }
}

impl Stack {
    /// Looks whether sockets still hold datagrams that could not be sent, and empties those that did
    /// for long: smoltcp keeps a datagram at the head of its queue until its neighbour answers, which
    /// a dead one never does, and those behind it wait. (Linux forgets it after three requests.)
    pub(super) fn drop_unsendable(&mut self, now: Time) {
        if self.udp_due.is_none_or(|due| due > now) {
            return;
        }
        let mut waiting = false;
        for entry in self.handles.entries_mut() {
            let Entry::Udp(socket) = entry else { continue };
            let interfaces = &mut self.interfaces;
            let queued = |(number, handle): &(usize, SocketHandle)| {
                let place = &interfaces[*number].services;
                place.get::<udp::Socket>(*handle).send_queue() > 0
            };
            if !socket.sockets.iter().any(queued) {
                socket.stuck = 0;
                continue;
            }
            waiting = true;
            socket.stuck += 1;
            if socket.stuck >= SEND_LOOKS {
                socket.stuck = 0;
                socket.empty(interfaces);
            }
        }
        self.udp_due = waiting.then(|| now + SEND_LOOK);
    }
}

impl UdpSocket {
    /// Forgets what waits to be sent; what was received stays.
    fn empty(&mut self, interfaces: &mut [Interface]) {
        for (number, handle) in &self.sockets {
            let inner = interfaces[*number].services.get_mut::<udp::Socket>(*handle);
            if inner.send_queue() == 0 {
                continue;
            }
            while let Ok((bytes, metadata)) = inner.recv() {
                let from = metadata.endpoint;
                let from = SocketAddr::new(from.addr.into(), from.port);
                self.held.push_back((bytes.into(), from));
            }
            // Closing empties both queues; the same endpoint can always be bound again.
            let endpoint = inner.endpoint();
            inner.close();
            let _ = inner.bind(endpoint);
        }
        // As many as one queue has room for.
        let excess = self.held.len().saturating_sub(limits::UDP_DATAGRAMS);
        self.held.drain(..excess);
    }

    pub(super) fn local_address(&self) -> SocketAddr {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        SocketAddr::new(self.local.unwrap_or(any), self.port)
    }
}

fn bind(
    interface: &mut Interface,
    local: Option<IpAddr>,
    port: u16,
) -> Result<SocketHandle, NetError> {
    let buffer = || {
        PacketBuffer::new(
            vec![PacketMetadata::EMPTY; limits::UDP_DATAGRAMS],
            vec![0; limits::UDP_BUFFER_BYTES],
        )
    };
    let mut socket = udp::Socket::new(buffer(), buffer());
    let endpoint = IpListenEndpoint {
        addr: local.map(|local| local.into()),
        port,
    };
    socket
        .bind(endpoint)
        .map_err(|_| NetError::InvalidAddress)?;
    Ok(interface.services.add(socket))
}
