//! Datagrams.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use sos_abi::ErrorCode;

use super::tcp::{is_usable, overlap};
use super::{Network, Socket, Station};

/// Most bytes of a datagram: what one Ethernet frame carries behind the headers of IP and UDP.
const PAYLOAD_BYTES_V4: usize = 1500 - 28;
const PAYLOAD_BYTES_V6: usize = 1500 - 48;
/// Datagrams and bytes that wait in one socket; what comes then is lost.
const QUEUE_DATAGRAMS: usize = 32;
const QUEUE_BYTES: usize = 64 * 1024;

/// A bound port.
pub struct UdpSocket {
    pub local: Option<IpAddr>,
    pub port: u16,
    pub queue: VecDeque<(Vec<u8>, SocketAddr)>,
}

impl Network {
    pub fn udp_bind(&mut self, me: usize, address: SocketAddr) -> Result<u32, ErrorCode> {
        self.stations[me].handles.check_room()?;
        let local = self.check_local(me, address)?;
        let station = &mut self.stations[me];
        let is_used = |station: &Station, port: u16| {
            station.handles.iter().any(|socket| match socket {
                Socket::Udp(other) => other.port == port && overlap(other.local, local),
                Socket::Listener(_) | Socket::Stream(..) => false,
            })
        };
        let port = match address.port() {
            0 => station.ephemeral_port(is_used)?,
            port if is_used(station, port) => return Err(ErrorCode::AddressInUse),
            port => port,
        };
        station.handles.insert(Socket::Udp(UdpSocket {
            local,
            port,
            queue: VecDeque::new(),
        }))
    }

    /// Sends a datagram; it arrives at once, or is lost where nobody waits for it.
    pub fn udp_send_to(
        &mut self,
        me: usize,
        handle: u32,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Result<usize, ErrorCode> {
        let station = &self.stations[me];
        let Socket::Udp(socket) = station.handles.get(handle)? else {
            return Err(ErrorCode::WrongKind);
        };
        if to.port() == 0 || to.ip().is_unspecified() {
            return Err(ErrorCode::InvalidAddress);
        }
        let (source, most_bytes) = match to.ip() {
            ip if is_usable(ip) => (station.source_for(ip)?, payload_bytes(ip)),
            ip @ IpAddr::V4(_) => (station.v4.into(), payload_bytes(ip)),
            ip @ IpAddr::V6(_) => (station.v6.into(), payload_bytes(ip)),
        };
        if bytes.len() > most_bytes {
            return Err(ErrorCode::MessageTooLarge);
        }
        let from = SocketAddr::new(socket.local.unwrap_or(source), socket.port);
        let is_for_all = matches!(to.ip(), IpAddr::V4(ip) if ip.octets()[3] == 255);
        for (number, station) in self.stations.iter_mut().enumerate() {
            if number != me && station.is_up && (is_for_all || station.has(to.ip())) {
                station.receive(bytes, from, to, is_for_all);
            }
        }
        self.has_changed = true;
        Ok(bytes.len())
    }

    /// Takes the oldest datagram: its whole length, of which at most a buffer's length is copied.
    pub fn udp_receive_from(
        &mut self,
        me: usize,
        handle: u32,
        buffer: &mut [u8],
    ) -> Result<Option<(usize, SocketAddr)>, ErrorCode> {
        let Socket::Udp(socket) = self.stations[me].handles.get_mut(handle)? else {
            return Err(ErrorCode::WrongKind);
        };
        let Some((bytes, from)) = socket.queue.pop_front() else {
            return Ok(None);
        };
        let copied = bytes.len().min(buffer.len());
        buffer[..copied].copy_from_slice(&bytes[..copied]);
        Ok(Some((bytes.len(), from)))
    }
}

impl Station {
    fn receive(&mut self, bytes: &[u8], from: SocketAddr, to: SocketAddr, is_for_all: bool) {
        let wanted = |socket: &&mut UdpSocket| {
            socket.port == to.port()
                && (is_for_all || socket.local.is_none_or(|local| local == to.ip()))
        };
        let sockets = self.handles.iter_mut().filter_map(|socket| match socket {
            Socket::Udp(socket) => Some(socket),
            Socket::Listener(_) | Socket::Stream(..) => None,
        });
        if let Some(socket) = { sockets }.find(wanted) {
            let queued_bytes: usize = socket.queue.iter().map(|(bytes, _)| bytes.len()).sum();
            if socket.queue.len() < QUEUE_DATAGRAMS && queued_bytes + bytes.len() <= QUEUE_BYTES {
                socket.queue.push_back((bytes.to_vec(), from));
            }
        }
    }
}

fn payload_bytes(to: IpAddr) -> usize {
    match to {
        IpAddr::V4(_) => PAYLOAD_BYTES_V4,
        IpAddr::V6(_) => PAYLOAD_BYTES_V6,
    }
}
