//! Sockets for tasks: as those of [`crate::net`], but what would wait is awaited.
//!
//! One task at a time may read of a socket, and one may write; two that read would wake only the
//! later one.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Poll};

use sos_abi::ErrorCode;

use super::reactor::{Direction, poll_call};
use super::runtime;
use crate::error::Result;
use crate::net::{self, AsHandle, Blocking, Shutdown, ToSocketAddrs};

/// A socket that tasks wait for; they no longer do when it closes.
#[derive(Debug)]
struct Watched<S: AsHandle>(S);

impl<S: AsHandle> Watched<S> {
    fn poll<T>(
        &self,
        direction: Direction,
        context: &mut Context<'_>,
        call: impl FnMut() -> Result<T>,
    ) -> Poll<Result<T>> {
        poll_call(self.0.as_handle().number(), direction, context, call)
    }

    async fn call<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut(&S) -> Result<T>,
    ) -> Result<T> {
        poll_fn(|context| self.poll(direction, context, || call(&self.0))).await
    }
}

impl<S: AsHandle> Drop for Watched<S> {
    fn drop(&mut self) {
        let handle = self.0.as_handle().number();
        // Dropped outside of the runtime: a waker is foreign code.
        let waiters = runtime::with(|runtime| runtime.reactor.forget(handle));
        drop(waiters);
    }
}

/// Accepts connections. Closed on drop.
#[derive(Debug)]
pub struct TcpListener(Watched<net::TcpListener>);

impl TcpListener {
    /// Listens on an address; `0.0.0.0` or `[::]` mean every interface.
    ///
    /// # Errors
    /// Those of [`net::TcpListener::bind`].
    pub fn bind(address: impl ToSocketAddrs) -> Result<TcpListener> {
        net::TcpListener::bind(address).map(TcpListener::from)
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// `TOO_MANY_HANDLES`.
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let accepted = self.0.call(Direction::Read, net::TcpListener::accept);
        accepted.await.map(|(stream, peer)| (stream.into(), peer))
    }

    /// Looks for a connection; for futures written by hand.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<Result<(TcpStream, SocketAddr)>> {
        let socket = &self.0;
        let accepted = socket.poll(Direction::Read, context, || socket.0.accept());
        accepted.map_ok(|(stream, peer)| (stream.into(), peer))
    }

    /// The address listened on.
    ///
    /// # Errors
    /// Those of the host call `socket_local_address`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.0.local_addr()
    }
}

impl From<net::TcpListener> for TcpListener {
    fn from(listener: net::TcpListener) -> TcpListener {
        listener.set_blocking(Blocking::Never);
        TcpListener(Watched(listener))
    }
}

/// A connection. Closed on drop; what was written is still sent.
#[derive(Debug)]
pub struct TcpStream(Watched<net::TcpStream>);

impl TcpStream {
    /// Connects to the first address that answers. A name is looked up first, for which the whole
    /// instance waits; see [`lookup_host`].
    ///
    /// # Errors
    /// Those of [`net::TcpStream::connect`].
    pub async fn connect(address: impl ToSocketAddrs) -> Result<TcpStream> {
        let mut last = ErrorCode::InvalidAddress.into();
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_to(address).await {
                Err(error) => last = error,
                connected => return connected,
            }
        }
        Err(last)
    }

    async fn connect_to(address: SocketAddr) -> Result<TcpStream> {
        let stream = TcpStream::from(net::TcpStream::start_connect(address)?);
        let connected = stream
            .0
            .call(Direction::Write, net::TcpStream::connect_status);
        connected.await?;
        Ok(stream)
    }

    /// Reads at least one byte; 0 means that the peer has finished.
    ///
    /// # Errors
    /// `CONNECTION_RESET`.
    pub async fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.0.call(Direction::Read, |stream| stream.read(buffer));
        read.await
    }

    /// Fills the whole buffer.
    ///
    /// # Errors
    /// `CLOSED` when the peer finishes before, else as [`Self::read`].
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(ErrorCode::Closed.into()),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    /// Writes at least one byte and says how many.
    ///
    /// # Errors
    /// `CONNECTION_RESET`, `CLOSED`.
    pub async fn write(&self, bytes: &[u8]) -> Result<usize> {
        let written = self.0.call(Direction::Write, |stream| stream.write(bytes));
        written.await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let count = self.write(bytes).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Tries to read; for futures written by hand.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        let socket = &self.0;
        socket.poll(Direction::Read, context, || socket.0.read(buffer))
    }

    /// Tries to write; for futures written by hand.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let socket = &self.0;
        socket.poll(Direction::Write, context, || socket.0.write(bytes))
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    /// `NOT_CONNECTED`.
    pub fn shutdown(&self, direction: Shutdown) -> Result<()> {
        self.0.0.shutdown(direction)
    }

    /// Whether small writes are sent at once (`true`) or gathered while others are unacknowledged.
    ///
    /// # Errors
    /// Those of the host call `tcp_set_option`.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        self.0.0.set_nodelay(nodelay)
    }

    /// This end's address.
    ///
    /// # Errors
    /// `NOT_CONNECTED`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.0.local_addr()
    }

    /// The other end's address.
    ///
    /// # Errors
    /// `NOT_CONNECTED`.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.0.0.peer_addr()
    }
}

impl From<net::TcpStream> for TcpStream {
    fn from(stream: net::TcpStream) -> TcpStream {
        stream.set_blocking(Blocking::Never);
        TcpStream(Watched(stream))
    }
}

/// Sends and receives datagrams. Closed on drop.
#[derive(Debug)]
pub struct UdpSocket(Watched<net::UdpSocket>);

impl UdpSocket {
    /// Opens a socket on an address; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// Those of [`net::UdpSocket::bind`].
    pub fn bind(address: impl ToSocketAddrs) -> Result<UdpSocket> {
        net::UdpSocket::bind(address).map(UdpSocket::from)
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// `MESSAGE_TOO_LARGE`, `UNREACHABLE`.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<usize> {
        let sent = self
            .0
            .call(Direction::Write, |socket| socket.send_to(bytes, to));
        sent.await
    }

    /// Waits for a datagram; gives its whole length, which may be more than fits, and its sender.
    ///
    /// # Errors
    /// Those of the host call `udp_receive_from`.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let received = self
            .0
            .call(Direction::Read, |socket| socket.recv_from(buffer));
        received.await
    }

    /// The socket's own address.
    ///
    /// # Errors
    /// Those of the host call `socket_local_address`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.0.local_addr()
    }
}

impl From<net::UdpSocket> for UdpSocket {
    fn from(socket: net::UdpSocket) -> UdpSocket {
        socket.set_blocking(Blocking::Never);
        UdpSocket(Watched(socket))
    }
}

/// The addresses of a name; never none. The host call has no form that does not wait: while the name
/// server is asked, all tasks stand.
///
/// # Errors
/// Those of [`net::lookup_host`].
pub async fn lookup_host(name: &str) -> Result<Vec<IpAddr>> {
    net::lookup_host(name)
}

#[cfg(feature = "futures")]
mod futures {
    use super::{TcpListener, TcpStream};
    use crate::error::{Error, Result};
    use crate::net::Shutdown;
    use core::net::SocketAddr;
    use core::pin::Pin;
    use core::task::{Context, Poll};
    use futures_io::{AsyncRead, AsyncWrite};
    use std::io;

    /// The connections of a listener as a stream that never ends.
    #[derive(Debug)]
    pub struct Incoming<'l>(&'l TcpListener);

    impl TcpListener {
        /// The connections as they come, with their peers.
        pub fn incoming(&self) -> Incoming<'_> {
            Incoming(self)
        }
    }

    impl futures_core::Stream for Incoming<'_> {
        type Item = Result<(TcpStream, SocketAddr)>;

        fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0.poll_accept(context).map(Some)
        }
    }

    macro_rules! streams {
        ($($type:ty),*) => {
            $(
                impl AsyncRead for $type {
                    fn poll_read(
                        self: Pin<&mut Self>,
                        context: &mut Context<'_>,
                        buffer: &mut [u8],
                    ) -> Poll<io::Result<usize>> {
                        TcpStream::poll_read(&self, context, buffer).map_err(Error::into)
                    }
                }

                impl AsyncWrite for $type {
                    fn poll_write(
                        self: Pin<&mut Self>,
                        context: &mut Context<'_>,
                        bytes: &[u8],
                    ) -> Poll<io::Result<usize>> {
                        TcpStream::poll_write(&self, context, bytes).map_err(Error::into)
                    }

                    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                        Poll::Ready(Ok(()))
                    }

                    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                        Poll::Ready(self.shutdown(Shutdown::Write).map_err(Error::into))
                    }
                }
            )*
        };
    }

    streams!(TcpStream, &TcpStream);
}
#[cfg(feature = "futures")]
pub use futures::Incoming;
