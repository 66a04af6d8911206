//! Structs that guest and kernel exchange through linear memory: fixed little-endian layouts.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::ErrorCode;

/// An IP address and a port in 32 bytes.
///
/// | bytes | content |
/// |---|---|
/// | 0..2 | family: 4 or 6 |
/// | 2..4 | port |
/// | 4..8 | IPv6 scope, 0 for IPv4 |
/// | 8..24 | the address in network order; an IPv4 address takes the first four, the rest is 0 |
/// | 24..32 | 0 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketAddress([u8; SocketAddress::BYTES]);

impl SocketAddress {
    /// Size in linear memory.
    pub const BYTES: usize = 32;
    /// 0.0.0.0, port 0.
    pub const UNSPECIFIED: SocketAddress = SocketAddress::blank(4);

    const fn blank(family: u8) -> SocketAddress {
        let mut bytes = [0; SocketAddress::BYTES];
        bytes[0] = family;
        SocketAddress(bytes)
    }

    /// The wire form of `address`.
    pub fn encode(address: SocketAddr) -> SocketAddress {
        let mut wire = match address {
            SocketAddr::V4(v4) => {
                let mut wire = SocketAddress::blank(4);
                wire.0[8..12].copy_from_slice(&v4.ip().octets());
                wire
            }
            SocketAddr::V6(v6) => {
                let mut wire = SocketAddress::blank(6);
                wire.0[4..8].copy_from_slice(&v6.scope_id().to_le_bytes());
                wire.0[8..24].copy_from_slice(&v6.ip().octets());
                wire
            }
        };
        wire.0[2..4].copy_from_slice(&address.port().to_le_bytes());
        wire
    }

    /// The wire form of an address without a port.
    pub fn encode_ip(address: IpAddr) -> SocketAddress {
        SocketAddress::encode(SocketAddr::new(address, 0))
    }

    /// The address that the bytes mean.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidAddress`] when the family is unknown.
    pub fn decode(&self) -> Result<SocketAddr, ErrorCode> {
        let b = &self.0;
        let port = u16::from_le_bytes([b[2], b[3]]);
        match u16::from_le_bytes([b[0], b[1]]) {
            4 => Ok(SocketAddrV4::new(Ipv4Addr::new(b[8], b[9], b[10], b[11]), port).into()),
            6 => {
                let mut octets = [0; 16];
                octets.copy_from_slice(&b[8..24]);
                let scope = u32::from_le_bytes([b[4], b[5], b[6], b[7]]);
                Ok(SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope).into())
            }
            _ => Err(ErrorCode::InvalidAddress),
        }
    }

    /// The bytes as they lie in linear memory.
    pub const fn as_bytes(&self) -> &[u8; SocketAddress::BYTES] {
        &self.0
    }

    /// The bytes, to be filled by the kernel.
    pub const fn as_mut_bytes(&mut self) -> &mut [u8; SocketAddress::BYTES] {
        &mut self.0
    }

    /// An address from its bytes in linear memory; they are checked by [`Self::decode`].
    pub const fn from_bytes(bytes: [u8; SocketAddress::BYTES]) -> SocketAddress {
        SocketAddress(bytes)
    }
}

/// One socket that `poll` watches, in 12 bytes: handle, interest, ready, each 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct PollEntry {
    /// The socket.
    pub handle: u32,
    /// What the guest waits for: [`POLL_READABLE`](crate::POLL_READABLE),
    /// [`POLL_WRITABLE`](crate::POLL_WRITABLE) or both.
    pub interest: u32,
    /// What is the case; written by the kernel.
    pub ready: u32,
}

impl PollEntry {
    /// Size in linear memory.
    pub const BYTES: usize = 12;
    /// Where `ready` lies in an entry.
    pub const READY_OFFSET: usize = 8;

    /// The wire form.
    pub fn encode(&self) -> [u8; PollEntry::BYTES] {
        let mut bytes = [0; PollEntry::BYTES];
        bytes[0..4].copy_from_slice(&self.handle.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.interest.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.ready.to_le_bytes());
        bytes
    }

    /// The entry that the bytes mean.
    pub fn decode(b: &[u8; PollEntry::BYTES]) -> PollEntry {
        PollEntry {
            handle: u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            interest: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
            ready: u32::from_le_bytes([b[8], b[9], b[10], b[11]]),
        }
    }
}
