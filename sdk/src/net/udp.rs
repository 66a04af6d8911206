//! UDP sockets.

use core::net::SocketAddr;

use sos_abi::SocketAddress;

use super::address::{ToSocketAddrs, try_each};
use super::socket::{AsHandle, Blocking, Handle, Socket};
use crate::error::Result;
use crate::sys;

/// Sends and receives datagrams. Closed on drop.
///
/// ```no_run
/// use sos_sdk::net::UdpSocket;
///
/// # fn main() -> sos_sdk::Result<()> {
/// let socket = UdpSocket::bind("0.0.0.0:0")?;
/// socket.send_to(b"ping", "10.1.0.2:7".parse().unwrap())?;
/// let mut buffer = [0; 1500];
/// let (length, from) = socket.recv_from(&mut buffer)?;
/// sos_sdk::info!("{length} bytes from {from}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UdpSocket(Socket);

impl UdpSocket {
    /// Opens a socket on an address; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// `ADDRESS_IN_USE`, `ADDRESS_NOT_AVAILABLE`, `TOO_MANY_HANDLES`, and those of the address.
    pub fn bind(address: impl ToSocketAddrs) -> Result<UdpSocket> {
        try_each(address, |address| {
            let handle = sys::udp_bind(&SocketAddress::encode(address))?;
            Ok(UdpSocket(Socket::new(handle)))
        })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// `MESSAGE_TOO_LARGE`, `UNREACHABLE`, and `WOULD_BLOCK` when non-blocking and the queue is
    /// full.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<usize> {
        sys::udp_send_to(
            self.0.handle,
            bytes,
            &SocketAddress::encode(to),
            self.0.flags(),
        )
    }

    /// Waits for a datagram; gives its whole length, which may be more than fits, and its sender.
    ///
    /// # Errors
    /// `WOULD_BLOCK` when non-blocking and none is there.
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let mut peer = SocketAddress::UNSPECIFIED;
        let length = sys::udp_receive_from(self.0.handle, buffer, &mut peer, self.0.flags())?;
        Ok((length, peer.decode()?))
    }

    /// Whether calls wait.
    pub fn set_blocking(&self, blocking: Blocking) {
        self.0.set_blocking(blocking);
    }

    /// The socket's own address.
    ///
    /// # Errors
    /// Those of the host call `socket_local_address`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsHandle for UdpSocket {
    fn as_handle(&self) -> Handle {
        Handle(self.0.handle)
    }
}
