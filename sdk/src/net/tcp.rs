//! TCP listeners and connections.

use core::net::SocketAddr;
use core::time::Duration;

use sos_abi::{ErrorCode, NONBLOCK, OPTION_KEEPALIVE, OPTION_NODELAY, PEEK, SocketAddress};

use super::address::{ToSocketAddrs, try_each};
use super::socket::{AsHandle, Blocking, Handle, Socket};
use crate::error::Result;
use crate::sys;
use crate::time::saturating_nanos;

/// Connections that wait to be accepted, unless [`TcpListener::bind_with_backlog`] says otherwise.
const BACKLOG: u16 = 128;

/// Accepts connections. Closed on drop.
#[derive(Debug)]
pub struct TcpListener(Socket);

impl TcpListener {
    /// Listens on an address; `0.0.0.0` or `[::]` mean every interface.
    ///
    /// # Errors
    /// `ADDRESS_IN_USE`, `ADDRESS_NOT_AVAILABLE`, `TOO_MANY_HANDLES`, and those of the address.
    pub fn bind(address: impl ToSocketAddrs) -> Result<TcpListener> {
        TcpListener::bind_with_backlog(address, BACKLOG)
    }

    /// As [`Self::bind`], with a number of connections that may wait to be accepted.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_with_backlog(address: impl ToSocketAddrs, backlog: u16) -> Result<TcpListener> {
        try_each(address, |address| {
            let handle = sys::tcp_listen(&SocketAddress::encode(address), backlog)?;
            Ok(TcpListener(Socket::new(handle)))
        })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// `WOULD_BLOCK` when non-blocking and none is there, `TOO_MANY_HANDLES`.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let mut peer = SocketAddress::UNSPECIFIED;
        let handle = sys::tcp_accept(self.0.handle, self.0.flags(), Some(&mut peer))?;
        let stream = TcpStream(Socket::new(handle));
        Ok((stream, peer.decode()?))
    }

    /// The connections as they come, for ever; ends at the first error.
    pub fn incoming(&self) -> impl Iterator<Item = TcpStream> {
        core::iter::from_fn(|| self.accept().ok().map(|(stream, _)| stream))
    }

    /// Whether [`Self::accept`] waits. Accepted connections wait until told otherwise.
    pub fn set_blocking(&self, blocking: Blocking) {
        self.0.set_blocking(blocking);
    }

    /// The address listened on.
    ///
    /// # Errors
    /// Those of the host call `socket_local_address`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsHandle for TcpListener {
    fn as_handle(&self) -> Handle {
        Handle(self.0.handle)
    }
}

/// Which direction of a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Nothing more is read.
    Read,
    /// Nothing more is written; the peer sees the end after what was written.
    Write,
    /// Both.
    Both,
}

/// A connection. Closed on drop; what was written is still sent.
///
/// All methods take `&self`. With the feature `std` it is `std::io::Read` and `Write` too.
#[derive(Debug)]
pub struct TcpStream(Socket);

impl TcpStream {
    /// Connects to the first address that answers.
    ///
    /// # Errors
    /// `CONNECTION_REFUSED`, `TIMED_OUT`, `UNREACHABLE` …, and those of the address.
    pub fn connect(address: impl ToSocketAddrs) -> Result<TcpStream> {
        try_each(address, |address| {
            let handle = sys::tcp_connect(&SocketAddress::encode(address), 0)?;
            Ok(TcpStream(Socket::new(handle)))
        })
    }

    /// Begins to connect and returns at once, non-blocking. The stream becomes writable (see
    /// [`crate::poll`]) when [`Self::connect_status`] has an answer.
    ///
    /// # Errors
    /// `UNREACHABLE`, `INVALID_ADDRESS`, `TOO_MANY_HANDLES`.
    pub fn start_connect(address: SocketAddr) -> Result<TcpStream> {
        let handle = sys::tcp_connect(&SocketAddress::encode(address), NONBLOCK)?;
        let socket = Socket::new(handle);
        socket.set_blocking(Blocking::Never);
        Ok(TcpStream(socket))
    }

    /// Whether the connection is established.
    ///
    /// # Errors
    /// `WOULD_BLOCK` when not yet, else why it failed.
    pub fn connect_status(&self) -> Result<()> {
        sys::tcp_connect_status(self.0.handle)
    }

    /// Reads at least one byte; 0 means that the peer has finished.
    ///
    /// # Errors
    /// `CONNECTION_RESET`, and `WOULD_BLOCK` when non-blocking and nothing is there.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        sys::tcp_read(self.0.handle, buffer, self.0.flags())
    }

    /// Reads without taking the bytes away.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        sys::tcp_read(self.0.handle, buffer, self.0.flags() | PEEK)
    }

    /// Fills the whole buffer.
    ///
    /// # Errors
    /// `CLOSED` when the peer finishes before, else as [`Self::read`].
    pub fn read_exact(&self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer)? {
                0 => return Err(ErrorCode::Closed.into()),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    /// Writes at least one byte and says how many.
    ///
    /// # Errors
    /// `CONNECTION_RESET`, `CLOSED`, and `WOULD_BLOCK` when non-blocking and the buffer is full.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        sys::tcp_write(self.0.handle, bytes, self.0.flags())
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let count = self.write(bytes)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    /// `NOT_CONNECTED`.
    pub fn shutdown(&self, direction: Shutdown) -> Result<()> {
        let how = match direction {
            Shutdown::Read => sos_abi::SHUTDOWN_READ,
            Shutdown::Write => sos_abi::SHUTDOWN_WRITE,
            Shutdown::Both => sos_abi::SHUTDOWN_BOTH,
        };
        sys::tcp_shutdown(self.0.handle, how)
    }

    /// Whether small writes are sent at once (`true`) or gathered while others are unacknowledged.
    ///
    /// # Errors
    /// Those of the host call `tcp_set_option`.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        sys::tcp_set_option(self.0.handle, OPTION_NODELAY, i64::from(nodelay))
    }

    /// Probes an idle peer at this interval; `None`: never.
    ///
    /// # Errors
    /// Those of the host call `tcp_set_option`.
    pub fn set_keepalive(&self, interval: Option<Duration>) -> Result<()> {
        let interval_ns = interval.map_or(0, saturating_nanos);
        sys::tcp_set_option(self.0.handle, OPTION_KEEPALIVE, interval_ns)
    }

    /// Whether reads and writes wait.
    pub fn set_blocking(&self, blocking: Blocking) {
        self.0.set_blocking(blocking);
    }

    /// This end's address.
    ///
    /// # Errors
    /// `NOT_CONNECTED`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The other end's address.
    ///
    /// # Errors
    /// `NOT_CONNECTED`.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl AsHandle for TcpStream {
    fn as_handle(&self) -> Handle {
        Handle(self.0.handle)
    }
}

#[cfg(feature = "std")]
mod std_io {
    use super::TcpStream;
    use std::io::{Read, Result, Write};

    impl Read for TcpStream {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            Ok(TcpStream::read(self, buffer)?)
        }
    }

    impl Read for &TcpStream {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            Ok(TcpStream::read(self, buffer)?)
        }
    }

    impl Write for TcpStream {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            Ok(TcpStream::write(self, bytes)?)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    impl Write for &TcpStream {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            Ok(TcpStream::write(self, bytes)?)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }
}

/// Sockets of the standard library, for programs and crates that are made for those. Elsewhere than under
/// SOS every conversion fails with `UNSUPPORTED`.
#[cfg(all(feature = "std", any(target_os = "wasi", unix)))]
mod std_net {
    use super::{TcpListener, TcpStream};
    use crate::error::Error;
    use std::net;
    use std::os::fd::FromRawFd;

    impl TryFrom<TcpStream> for net::TcpStream {
        type Error = Error;

        fn try_from(stream: TcpStream) -> Result<net::TcpStream, Error> {
            let descriptor = stream.0.into_descriptor()?;
            // SAFETY: the kernel has just given the descriptor, and nobody else knows it.
            Ok(unsafe { net::TcpStream::from_raw_fd(descriptor) })
        }
    }

    impl TryFrom<TcpListener> for net::TcpListener {
        type Error = Error;

        fn try_from(listener: TcpListener) -> Result<net::TcpListener, Error> {
            let descriptor = listener.0.into_descriptor()?;
            // SAFETY: the kernel has just given the descriptor, and nobody else knows it.
            Ok(unsafe { net::TcpListener::from_raw_fd(descriptor) })
        }
    }
}
