//! UDP sockets: one handle over a smoltcp socket on each interface.

use super::Stack;
use super::dhcp::is_usable;
use super::handles::Entry;
use super::held::Held;
use super::interface::Interface;
use super::types::{NetError, Readiness, SocketId};
use crate::limits;
use crate::machine::{Duration, Time};
use crate::net::fabric::Fabric;
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
    pub(super) sockets: Vec<(usize, SocketHandle)>,
    /// Looks in a row that found a datagram still waiting to be sent.
    stuck: u8,
    /// Datagrams that were taken out of a socket before its queues were emptied.
    pub(super) held: Held,
    /// Which of the sockets is read first next time, so that a busy interface does not starve another.
    pub(super) turn: usize,
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
        let interfaces = self.guest_interfaces().iter().enumerate();
        let numbers: Vec<usize> = interfaces
            .filter(|(_, interface)| local.is_none_or(|local| interface.has_address(local)))
            .map(|(number, _)| number)
            .collect();
        let socket = self.bind_on(&numbers, local, port)?;
        Ok(self.handles.insert(Entry::Udp(socket)))
    }

    /// Makes a socket on each of these interfaces.
    pub(super) fn bind_on(
        &mut self,
        numbers: &[usize],
        local: Option<IpAddr>,
        port: u16,
    ) -> Result<UdpSocket, NetError> {
        // Each has a queue either way; what is held takes as much as one of them.
        let needed_bytes = (2 * numbers.len() + 1) * limits::UDP_BUFFER_BYTES;
        if !self.connections.allowance().take(needed_bytes) {
            return Err(NetError::TooManySockets);
        }
        let mut sockets = Vec::new();
        for &number in numbers {
            let handle = bind(&mut self.interfaces[number], local, port)?;
            sockets.push((number, handle));
        }
        Ok(UdpSocket {
            local,
            port,
            sockets,
            stuck: 0,
            held: Held::default(),
            turn: 0,
        })
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
        if let Some((bytes, from)) = socket.held.pop() {
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
            .fold((socket.held.bytes(), 0), |sum, queues| {
                (sum.0 + queues.0, sum.1 + queues.1)
            })
    }
}

impl Stack {
    /// Looks whether sockets still hold datagrams that could not be sent, and empties those that did
    /// for long: smoltcp keeps a datagram at the head of its queue until its neighbour answers, which
    /// a dead one never does, and those behind it wait. (Linux forgets it after three requests.) A full
    /// NIC is no such reason: what waits for it alone is left.
    pub(super) fn drop_unsendable(&mut self, fabric: &Fabric, now: Time) {
        if self.udp_due.is_none_or(|due| due > now) {
            return;
        }
        let mut waiting = false;
        for entry in self.handles.entries_mut() {
            let Entry::Udp(socket) = entry else { continue };
            let interfaces = &mut self.interfaces;
            let queued = |(number, handle): &&(usize, SocketHandle)| {
                let place = &interfaces[*number].services;
                place.get::<udp::Socket>(*handle).send_queue() > 0
            };
            let could_send = |(number, _): &(usize, SocketHandle)| {
                fabric.transmit_room(interfaces[*number].port) > 0
            };
            if !socket.sockets.iter().any(|place| queued(&place)) {
                socket.stuck = 0;
                continue;
            }
            waiting = true;
            if !socket.sockets.iter().filter(queued).any(could_send) {
                continue;
            }
            socket.stuck += 1;
            if socket.stuck >= SEND_LOOKS {
                socket.stuck = 0;
                socket.empty(interfaces, fabric);
            }
        }
        self.udp_due = waiting.then(|| now + SEND_LOOK);
    }
}

impl UdpSocket {
    /// Forgets what waits to be sent, except to a full NIC; of what was received stay the oldest that
    /// one queue has room for.
    fn empty(&mut self, interfaces: &mut [Interface], fabric: &Fabric) {
        for (number, handle) in &self.sockets {
            let interface = &mut interfaces[*number];
            let inner = interface.services.get_mut::<udp::Socket>(*handle);
            if inner.send_queue() == 0 || fabric.transmit_room(interface.port) == 0 {
                continue;
            }
            self.held.take_from(inner);
            // Closing empties both queues; the same endpoint can always be bound again.
            let endpoint = inner.endpoint();
            inner.close();
            let _ = inner.bind(endpoint);
        }
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
