//! The way of a TCP segment from the LAN to its connection.
//!
//! A segment without one is the request for an exposed port, or stray and answered with a reset.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetAddress, IpAddress, TcpPacket, TcpRepr};

use super::Surroundings;
use super::connection::{Connection, Stage};
use super::connections::{Connections, Flow};
use super::directory::Directory;
use super::stack::Exit;
use crate::lan::fabric::Origin;

/// A TCP segment for the gateway.
pub(super) struct Segment<'a> {
    pub(super) sender: EthernetAddress,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// The IP packet, without padding.
    pub(super) packet: &'a [u8],
    pub(super) header_bytes: usize,
}

impl Connections {
    /// Takes a segment from the LAN.
    pub(super) fn input(
        &mut self,
        segment: &Segment<'_>,
        directory: &mut Directory,
        around: &mut Surroundings<'_>,
    ) {
        let Ok(header) = TcpPacket::new_checked(&segment.packet[segment.header_bytes..]) else {
            around.fabric.counters.malformed += 1;
            return;
        };
        let (source, destination) = (
            IpAddress::from(segment.source),
            IpAddress::from(segment.destination),
        );
        if !header.verify_checksum(&source, &destination) {
            around.fabric.counters.bad_checksum += 1;
            return;
        }
        let flow = Flow {
            remote: segment.source,
            remote_port: header.src_port(),
            local_port: header.dst_port(),
        };
        let Some(&id) = self.flows.get(&flow) else {
            return self.input_unknown(segment, flow, &header, directory, around);
        };
        let Some(connection) = self.slots[id.index as usize].connection.as_mut() else {
            return;
        };
        connection.peer_mac = Some(segment.sender);
        let Some(stack) = connection.stack.as_mut() else {
            return;
        };
        let mut exit = Exit {
            fabric: around.fabric,
            scratch: &mut self.scratch,
            from: directory.mac,
            to: segment.sender,
            now: around.now,
        };
        stack.input(segment.packet, &mut exit);
        self.queue(id);
    }

    /// A segment without a connection: the request for an exposed port, or a stray one.
    fn input_unknown(
        &mut self,
        segment: &Segment<'_>,
        flow: Flow,
        header: &TcpPacket<&[u8]>,
        directory: &Directory,
        around: &mut Surroundings<'_>,
    ) {
        let is_request = header.syn() && !header.ack() && !header.rst();
        if is_request && self.expose.contains(&flow.local_port) && self.has_room() {
            match call_host(flow.local_port) {
                Ok(stream) => {
                    around.fabric.counters.exposed += 1;
                    let (request, sender) = (segment.packet.to_vec(), segment.sender);
                    let mut connection =
                        Connection::new(Stage::HostCalling { request, sender }, stream);
                    connection.flow = Some(flow);
                    let id = self.insert(connection);
                    self.flows.insert(flow, id);
                    self.register(id, around);
                    return;
                }
                Err(error) => (self.log)(&format!("host port {}: {error}", flow.local_port)),
            }
        }
        self.refuse(segment, directory, around);
    }

    /// Answers a segment with a reset, unless it is one.
    pub(super) fn refuse(
        &mut self,
        segment: &Segment<'_>,
        directory: &Directory,
        around: &mut Surroundings<'_>,
    ) {
        let Ok(packet) = TcpPacket::new_checked(&segment.packet[segment.header_bytes..]) else {
            return;
        };
        let (source, destination) = (segment.source, segment.destination);
        let addresses = (IpAddress::from(source), IpAddress::from(destination));
        let checksums = ChecksumCapabilities::ignored();
        let Ok(repr) = TcpRepr::parse(&packet, &addresses.0, &addresses.1, &checksums) else {
            return;
        };
        if packet.rst() {
            return;
        }
        let frame = directory
            .towards(segment.sender)
            .tcp_reset(destination, source, &repr);
        around.fabric.submit(Origin::Gateway, &frame, around.now);
    }
}

/// Starts a connection to a port of the host's loopback.
fn call_host(port: u16) -> std::io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}
