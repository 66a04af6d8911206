//! One spliced connection: a TCP socket of the host and a TCP socket on the LAN, joined.
//!
//! Bytes move directly between the host's socket and the stack's ring buffers. Each side's end is
//! passed on as an end (half-close), each side's reset as a reset; a full buffer on one side stops
//! reading on the other, so that TCP's own flow control reaches from end to end.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::time::{Duration, Instant};

use smoltcp::socket::tcp;
use smoltcp::wire::EthernetAddress;

use super::connections::Flow;
use super::stack::Stack;
use crate::lan::config::Service;

/// How a connection came about and how far it is.
pub(super) enum Stage {
    /// From the host: the service's address or station is not known yet.
    Waiting {
        /// Whom the host wants.
        service: Service,
        /// At which port.
        port: u16,
        /// When that is given up.
        until: Instant,
    },
    /// From the host: the service has been called.
    Calling {
        /// When that is given up.
        until: Instant,
    },
    /// From the LAN: the host has been called.
    HostCalling {
        /// The packet with the connection request, to be answered when the host has answered.
        request: Vec<u8>,
        /// The station that sent it.
        sender: EthernetAddress,
    },
    /// Both sides are there.
    Open,
}

/// The host's side.
pub(super) struct HostSide {
    pub(super) stream: TcpStream,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The host sends nothing more after what can be read.
    pub(super) hung_up: bool,
    pub(super) failed: bool,
    /// The end of the host's bytes was read.
    ended: bool,
    /// The end of the host's bytes was passed on.
    closed: bool,
    /// The end of the service's bytes was passed on.
    shut: bool,
}

/// A connection in any stage.
pub(super) struct Connection {
    pub(super) stage: Stage,
    pub(super) host: HostSide,
    pub(super) stack: Option<Stack>,
    pub(super) flow: Option<Flow>,
    /// The station that sent the last packet of this connection.
    pub(super) peer_mac: Option<EthernetAddress>,
    /// The service has sent its end.
    peer_ended: bool,
}

/// How a connection stands after its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes on.
    Alive,
    /// Both directions ended in order.
    Complete,
    /// The service reset it, refused it, or is gone.
    ResetByPeer,
    /// The host reset it.
    ResetByHost,
}

impl HostSide {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            readable: false,
            writable: false,
            hung_up: false,
            failed: false,
            ended: false,
            closed: false,
            shut: false,
        }
    }

    /// Ends the connection towards the host with a reset.
    pub(super) fn reset(&self) {
        // With a linger time of zero, closing sends a reset (socket(7), SO_LINGER).
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }
}

impl Connection {
    pub(super) fn new(stage: Stage, stream: TcpStream) -> Self {
        Self {
            stage,
            host: HostSide::new(stream),
            stack: None,
            flow: None,
            peer_mac: None,
            peer_ended: false,
        }
    }

    /// The service's address, once known.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.flow.map(|flow| flow.remote)
    }

    /// Moves bytes and ends between both sides, before the stack sends.
    pub(super) fn splice(&mut self) -> io::Result<()> {
        let Some(stack) = self.stack.as_mut() else {
            return Ok(());
        };
        if self.host.failed {
            let error = self.host.stream.take_error()?;
            return Err(error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()));
        }
        let socket = stack.socket();
        self.peer_ended |= matches!(
            socket.state(),
            tcp::State::CloseWait
                | tcp::State::LastAck
                | tcp::State::Closing
                | tcp::State::TimeWait
        );
        self.host.take_from(socket)?;
        if self.peer_ended && !self.host.shut && socket.recv_queue() == 0 {
            self.host.shut = true;
            // Fails only if the host has reset the connection, which the next step finds.
            let _ = self.host.stream.shutdown(Shutdown::Write);
        }
        self.host.give_to(socket)?;
        // Only when all bytes are acknowledged: smoltcp 0.14 stops its retransmission timer when it
        // counts three duplicate acknowledgements while nothing but its FIN is outstanding, and
        // segments on their way would cause them.
        if self.host.ended && !self.host.closed && socket.send_queue() == 0 {
            self.host.closed = true;
            socket.close();
        }
        Ok(())
    }

    /// How the connection stands, after the stack has sent.
    pub(super) fn standing(&mut self) -> Standing {
        let Some(stack) = self.stack.as_mut() else {
            return Standing::Alive;
        };
        let socket = stack.socket();
        let drained = socket.recv_queue() == 0;
        match socket.state() {
            tcp::State::Closed if self.peer_ended && self.host.closed => {
                if drained {
                    Standing::Complete
                } else {
                    Standing::Alive
                }
            }
            tcp::State::Closed => Standing::ResetByPeer,
            tcp::State::TimeWait if self.host.shut && drained => Standing::Complete,
            _ => Standing::Alive,
        }
    }
}

impl HostSide {
    /// Writes what the service sent to the host.
    fn take_from(&mut self, socket: &mut tcp::Socket<'_>) -> io::Result<()> {
        while self.writable && socket.can_recv() {
            let mut failure = None;
            let taken = socket.recv(|bytes| match (&self.stream).write(bytes) {
                Ok(count) => (count, count < bytes.len()),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        failure = Some(error);
                    }
                    (0, true)
                }
            });
            if let Some(error) = failure {
                return Err(error);
            }
            self.writable = !taken.unwrap_or(true);
        }
        Ok(())
    }

    /// Reads what the host sent into the stack, and its end.
    fn give_to(&mut self, socket: &mut tcp::Socket<'_>) -> io::Result<()> {
        while self.readable && !self.ended && socket.can_send() {
            let mut failure = None;
            let hung_up = self.hung_up;
            let (mut ended, mut drained) = (false, false);
            let given = socket.send(|room| match (&self.stream).read(room) {
                Ok(0) => {
                    ended = true;
                    (0, ())
                }
                // A short read means that nothing is left, except perhaps the end (epoll(7)).
                Ok(count) => {
                    drained = count < room.len() && !hung_up;
                    (count, ())
                }
                Err(error) => {
                    drained = true;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        failure = Some(error);
                    }
                    (0, ())
                }
            });
            if let Some(error) = failure {
                return Err(error);
            }
            self.ended |= ended || given.is_err();
            self.readable = !drained;
        }
        Ok(())
    }
}
