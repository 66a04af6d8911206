//! ICMP echo, for both IP versions.

use super::Stack;
use super::dhcp::is_usable;
use super::handles::Entry;
use super::types::{NetError, Readiness, SocketId};
use crate::machine::Time;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp::{Endpoint, PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, Ipv6Address};

/// Echoes that wait, each way.
const PACKETS: usize = 4;
/// Most payload of an echo request: with its headers it fits every MTU.
const PAYLOAD_BYTES: usize = 1280 - 48;
const BUFFER_BYTES: usize = PACKETS * 1500;

/// One destination being pinged.
#[derive(Debug)]
pub(super) struct Ping {
    interface: usize,
    handle: SocketHandle,
    pub(super) to: IpAddr,
    pub(super) identifier: u16,
}

impl Stack {
    /// Opens a socket for echo requests to `to` under `identifier`.
    ///
    /// # Errors
    /// [`NetError::Unreachable`], [`NetError::InvalidAddress`], [`NetError::TooManySockets`].
    pub fn ping_start(&mut self, to: IpAddr, identifier: u16) -> Result<SocketId, NetError> {
        self.handles.check_room()?;
        if !is_usable(to) {
            return Err(NetError::InvalidAddress);
        }
        let interface = self.route(to)?;
        let buffer =
            || PacketBuffer::new(vec![PacketMetadata::EMPTY; PACKETS], vec![0; BUFFER_BYTES]);
        let mut socket = Socket::new(buffer(), buffer());
        socket
            .bind(Endpoint::Ident(identifier))
            .map_err(|_| NetError::InvalidAddress)?;
        let handle = self.interfaces[interface].services.add(socket);
        Ok(self.handles.insert(Entry::Ping(Ping {
            interface,
            handle,
            to,
            identifier,
        })))
    }

    /// Queues one echo request.
    ///
    /// # Errors
    /// [`NetError::MessageTooLarge`], also when requests wait for the neighbour's address already.
    pub fn ping_send(
        &mut self,
        id: SocketId,
        sequence: u16,
        payload_bytes: usize,
        now: Time,
    ) -> Result<(), NetError> {
        self.now = self.now.max(now);
        let Entry::Ping(ping) = self.handles.get(id)? else {
            return Err(NetError::WrongSocketKind);
        };
        if payload_bytes > PAYLOAD_BYTES {
            return Err(NetError::MessageTooLarge);
        }
        let payload: Vec<u8> = (0..payload_bytes).map(|index| index as u8).collect();
        let interface = &mut self.interfaces[ping.interface];
        let source = interface.inner.get_source_address(&ping.to.into());
        let socket = interface.services.get_mut::<Socket>(ping.handle);
        let sent = match (ping.to, source) {
            (IpAddr::V4(_), _) => {
                let request = Icmpv4Repr::EchoRequest {
                    ident: ping.identifier,
                    seq_no: sequence,
                    data: &payload,
                };
                socket
                    .send(request.buffer_len(), ping.to.into())
                    .map(|buffer| {
                        let mut packet = Icmpv4Packet::new_unchecked(buffer);
                        request.emit(&mut packet, &ChecksumCapabilities::default());
                    })
            }
            (IpAddr::V6(to), source) => {
                let request = Icmpv6Repr::EchoRequest {
                    ident: ping.identifier,
                    seq_no: sequence,
                    data: &payload,
                };
                let source = match source {
                    Some(IpAddress::Ipv6(source)) => source,
                    Some(IpAddress::Ipv4(_)) | None => Ipv6Address::UNSPECIFIED,
                };
                socket
                    .send(request.buffer_len(), ping.to.into())
                    .map(|buffer| {
                        let mut packet = Icmpv6Packet::new_unchecked(buffer);
                        let checksums = ChecksumCapabilities::default();
                        request.emit(&source, &to, &mut packet, &checksums);
                    })
            }
        };
        interface.touched = true;
        sent.map_err(|_| NetError::MessageTooLarge)
    }

    /// Takes the oldest echo reply: its sequence number and its sender.
    ///
    /// # Errors
    /// [`NetError::BadHandle`], [`NetError::WrongSocketKind`].
    pub fn ping_receive(&mut self, id: SocketId) -> Result<Option<(u16, IpAddr)>, NetError> {
        let Entry::Ping(ping) = self.handles.get(id)? else {
            return Err(NetError::WrongSocketKind);
        };
        let identifier = ping.identifier;
        let interface = &mut self.interfaces[ping.interface];
        let socket = interface.services.get_mut::<Socket>(ping.handle);
        while let Ok((bytes, from)) = socket.recv() {
            if let Some(sequence) = echo_reply(bytes, from, identifier) {
                return Ok(Some((sequence, from.into())));
            }
        }
        Ok(None)
    }

    pub(super) fn ping_readiness(&self, ping: &Ping) -> Readiness {
        let socket = self.interfaces[ping.interface]
            .services
            .get::<Socket>(ping.handle);
        Readiness {
            readable: socket.can_recv(),
            writable: socket.can_send(),
            ..Readiness::default()
        }
    }

    pub(super) fn close_ping(&mut self, ping: Ping) {
        self.interfaces[ping.interface].services.remove(ping.handle);
    }
}

/// The sequence number of an echo reply to `identifier`.
fn echo_reply(bytes: &[u8], from: IpAddress, identifier: u16) -> Option<u16> {
    // smoltcp checked the checksum before it queued the packet, and writes its own form of it.
    let checksums = ChecksumCapabilities::ignored();
    match from {
        IpAddress::Ipv4(_) => {
            let packet = Icmpv4Packet::new_checked(bytes).ok()?;
            match Icmpv4Repr::parse(&packet, &checksums).ok()? {
                Icmpv4Repr::EchoReply { ident, seq_no, .. } if ident == identifier => Some(seq_no),
                _ => None,
            }
        }
        IpAddress::Ipv6(from) => {
            let packet = Icmpv6Packet::new_checked(bytes).ok()?;
            let repr = Icmpv6Repr::parse(&from, &from, &packet, &checksums).ok()?;
            match repr {
                Icmpv6Repr::EchoReply { ident, seq_no, .. } if ident == identifier => Some(seq_no),
                _ => None,
            }
        }
    }
}
