//! Listeners and connections: `sock_*`, and what `fd_read` and `fd_write` do with a connection.

use alloc::vec;

use sos_abi::ErrorCode;
use sos_abi::wasi::Errno;

use super::descriptors::{Descriptor, Kind};
use super::fd::flags;
use super::iovec::Buffers;
use super::memory::Out;
use super::rights::{self, FD_READ, FD_WRITE, Rights, SOCK_ACCEPT, SOCK_SHUTDOWN};
use super::wire::{fd_flags, receive_flags, shutdown_flags};
use super::{Progress, WasiResult};
use crate::host::guest::Guest;
use crate::host::handles::Handle;
use crate::host::memory::Arguments;
use crate::host::pending::{Step, StepResult, Wait};
use crate::image::ListenerSpec;
use crate::limits;
use crate::net::stack::{NetError, Shutdown, SocketId, SocketKind};

/// What a program sees of a network error.
pub(super) fn errno(error: NetError) -> Errno {
    match error {
        NetError::AddressInUse => Errno::AddrInUse,
        NetError::AddressNotAvailable => Errno::AddrNotAvail,
        NetError::ConnectionRefused => Errno::ConnRefused,
        NetError::ConnectionReset => Errno::ConnReset,
        NetError::NotConnected => Errno::NotConn,
        NetError::AlreadyConnected => Errno::IsConn,
        NetError::TimedOut => Errno::TimedOut,
        NetError::Unreachable => Errno::NetUnreach,
        NetError::TooManySockets => Errno::NFile,
        NetError::MessageTooLarge => Errno::MsgSize,
        NetError::InvalidAddress => Errno::Inval,
        NetError::NoSuchName => Errno::NoEnt,
        NetError::NameServerFailed => Errno::Io,
        NetError::NoNameServer => Errno::NetDown,
        NetError::BadHandle => Errno::BadF,
        NetError::WrongSocketKind => Errno::NotSup,
        NetError::Closed => Errno::Pipe,
    }
}

impl Guest {
    /// Opens a socket that the program finds listening, at the next free descriptor.
    ///
    /// # Errors
    /// Those of [`Stack::tcp_listen`](crate::net::stack::Stack::tcp_listen).
    pub fn open_listener(&mut self, listener: &ListenerSpec) -> Result<(), NetError> {
        let ListenerSpec { address, port } = *listener;
        let backlog = limits::ACCEPT_BACKLOG as u16;
        let socket = self.stack.tcp_listen(address, port, backlog)?;
        let inserted = self.descriptors.insert(Descriptor::listener(socket));
        inserted.map_err(|_| NetError::TooManySockets)?;
        Ok(())
    }

    /// The native call that makes a descriptor of a handle. The socket itself does not notice.
    pub(in crate::host) fn wasi_descriptor(&mut self, arguments: Arguments<'_>) -> StepResult {
        let handle = Handle(arguments.u32(0));
        let socket = self.handles.get(handle)?;
        let descriptor = match self.stack.socket_kind(socket) {
            Some(SocketKind::Listener) => Descriptor::listener(socket),
            Some(SocketKind::Connection) => {
                Descriptor::new(Kind::Connection(socket), Rights::only(rights::CONNECTION))
            }
            Some(SocketKind::Udp | SocketKind::Query | SocketKind::Ping) | None => {
                return Err(ErrorCode::WrongKind);
            }
        };
        let inserted = self.descriptors.insert(descriptor);
        let number = inserted.map_err(|_| ErrorCode::TooManyHandles)?;
        self.handles.remove(handle)?;
        // `limits::DESCRIPTORS` fits 31 bits.
        Ok(Step::Done(number as i32))
    }

    pub(super) fn sock_accept(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let listener = self.descriptors.get(arguments.u32(0))?;
        let socket = match listener.kind {
            Kind::Listener(socket) => socket,
            Kind::Connection(_) => return Err(Errno::Inval),
            Kind::Stream(_) | Kind::File { .. } | Kind::Directory { .. } => {
                return Err(Errno::NotSock);
            }
        };
        let new_flags = flags(arguments.u32(1), fd_flags::NONBLOCK)?;
        let out = Out::<4>::new(memory, arguments.u32(2))?;
        listener.require(SOCK_ACCEPT)?;
        let nonblocking = listener.is_nonblocking();
        let rights = Rights::only(listener.rights.inheriting);
        self.descriptors.check_room()?;
        let Some((connection, _)) = self.stack.tcp_accept(socket).map_err(errno)? else {
            return match nonblocking {
                true => Err(Errno::Again),
                false => Ok(Progress::Wait(Wait::Event)),
            };
        };
        let mut descriptor = Descriptor::new(Kind::Connection(connection), rights);
        descriptor.flags = new_flags;
        let number = self.descriptors.insert(descriptor)?;
        out.write_u32(memory, number)?;
        Ok(Progress::Done)
    }

    pub(super) fn sock_recv(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> WasiResult {
        let connection = self.connection(arguments.u32(0), FD_READ)?;
        let buffers = self.buffers(memory, arguments)?;
        let mode = flags(
            arguments.u32(3),
            receive_flags::PEEK | receive_flags::WAITALL,
        )?;
        let out = Out::<4>::new(memory, arguments.u32(4))?;
        let flags_out = Out::<2>::new(memory, arguments.u32(5))?;
        let Connection {
            socket,
            nonblocking,
        } = connection.allowed()?;
        let received = if mode & receive_flags::PEEK != 0 {
            // It gives what is there even if all was asked for, as POSIX lets it.
            self.peek(memory, buffers, socket)
        } else if mode & receive_flags::WAITALL != 0 && !nonblocking {
            match self.receive_all(memory, buffers, socket, wait)? {
                // Its pieces were paid for as they came.
                All::Moved(moved) => {
                    flags_out.write(memory, [0; 2])?;
                    out.write_u32(memory, moved)?;
                    return Ok(Progress::Done);
                }
                All::Waits(wait) => return Ok(Progress::Wait(wait)),
            }
        } else {
            self.receive(memory, buffers, 0, socket)
        };
        // A stream's data is never truncated.
        flags_out.write(memory, [0; 2])?;
        self.finish_transfer(memory, out, received, nonblocking)
    }

    pub(super) fn sock_send(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let connection = self.connection(arguments.u32(0), FD_WRITE)?;
        let buffers = self.buffers(memory, arguments)?;
        flags(arguments.u32(3), 0)?;
        let out = Out::<4>::new(memory, arguments.u32(4))?;
        let Connection {
            socket,
            nonblocking,
        } = connection.allowed()?;
        let sent = self.send(memory, buffers, socket);
        self.finish_transfer(memory, out, sent, nonblocking)
    }

    pub(super) fn sock_shutdown(&mut self, arguments: Arguments<'_>) -> WasiResult {
        let connection = self.connection(arguments.u32(0), SOCK_SHUTDOWN)?;
        let how = flags(
            arguments.u32(1),
            shutdown_flags::READ | shutdown_flags::WRITE,
        )?;
        let direction = match (
            how & shutdown_flags::READ != 0,
            how & shutdown_flags::WRITE != 0,
        ) {
            (true, true) => Shutdown::Both,
            (true, false) => Shutdown::Read,
            (false, true) => Shutdown::Write,
            (false, false) => return Err(Errno::Inval),
        };
        let Connection { socket, .. } = connection.allowed()?;
        self.stack.tcp_shutdown(socket, direction).map_err(errno)?;
        Ok(Progress::Done)
    }

    /// The connection with this descriptor, if it has the rights of `needed`.
    fn connection(&self, number: u32, needed: u64) -> Result<Claimed, Errno> {
        let descriptor = self.descriptors.get(number)?;
        let socket = match descriptor.kind {
            Kind::Connection(socket) => socket,
            Kind::Listener(_) => return Err(Errno::NotConn),
            Kind::Stream(_) | Kind::File { .. } | Kind::Directory { .. } => {
                return Err(Errno::NotSock);
            }
        };
        Ok(Claimed {
            connection: Connection {
                socket,
                nonblocking: descriptor.is_nonblocking(),
            },
            rights: descriptor.require(needed),
        })
    }

    /// Fills the buffers from byte `skip` on with what has arrived; nothing at the stream's end.
    pub(super) fn receive(
        &mut self,
        memory: &mut [u8],
        buffers: Buffers,
        skip: u32,
        socket: SocketId,
    ) -> Result<u32, Errno> {
        buffers.fill(memory, skip, |buffer| {
            let read = self.stack.tcp_read(socket, buffer).map_err(errno)?;
            read.ok_or(Errno::Again)
        })
    }

    /// Fills the buffers whole, over several attempts, unless the stream ends.
    fn receive_all(
        &mut self,
        memory: &mut [u8],
        buffers: Buffers,
        socket: SocketId,
        wait: Option<Wait>,
    ) -> Result<All, Errno> {
        let mut moved = match wait {
            Some(Wait::Piece { moved } | Wait::Rest { moved }) => moved.min(buffers.total()),
            _ => 0,
        };
        let piece = moved.saturating_add(limits::HOST_CALL_BYTES as u32);
        while moved < buffers.total() {
            if moved >= piece {
                return Ok(All::Waits(Wait::Piece { moved }));
            }
            match self.receive(memory, buffers, moved, socket) {
                Ok(0) => break,
                Ok(more) => {
                    self.charge_bytes(more as usize);
                    moved += more;
                }
                Err(Errno::Again) => return Ok(All::Waits(Wait::Rest { moved })),
                Err(_) if moved > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(All::Moved(moved))
    }

    /// Copies what has arrived into the buffers and leaves it in the socket.
    fn peek(
        &mut self,
        memory: &mut [u8],
        buffers: Buffers,
        socket: SocketId,
    ) -> Result<u32, Errno> {
        // The socket can be looked at from its first byte on only, so the buffers are filled from a
        // copy: of what has arrived, not of all that is asked for, since an attempt that finds nothing
        // is made again and again.
        let most = (buffers.total() as usize).min(limits::HOST_CALL_BYTES);
        let arrived = self.stack.tcp_waiting(socket).received.max(1);
        let mut copy = vec![0; most.min(arrived)];
        if copy.is_empty() {
            return Ok(0);
        }
        let peeked = self.stack.tcp_peek(socket, &mut copy).map_err(errno)?;
        let mut rest = &copy[..peeked.ok_or(Errno::Again)?];
        buffers.fill(memory, 0, |buffer| {
            let (head, tail) = rest.split_at(rest.len().min(buffer.len()));
            buffer[..head.len()].copy_from_slice(head);
            rest = tail;
            Ok(head.len())
        })
    }

    /// Queues bytes of the buffers for the peer.
    pub(super) fn send(
        &mut self,
        memory: &[u8],
        buffers: Buffers,
        socket: SocketId,
    ) -> Result<u32, Errno> {
        buffers.drain(memory, 0, |bytes| {
            let written = self.stack.tcp_write(socket, bytes).map_err(errno)?;
            written.ok_or(Errno::Again)
        })
    }
}

/// A connection and how its calls wait.
struct Connection {
    socket: SocketId,
    nonblocking: bool,
}

/// A connection whose rights are looked at after the rest of the call's claims.
struct Claimed {
    connection: Connection,
    rights: Result<(), Errno>,
}

impl Claimed {
    fn allowed(self) -> Result<Connection, Errno> {
        self.rights.map(|()| self.connection)
    }
}

/// How far a call came that wants all of its buffers filled.
enum All {
    Moved(u32),
    Waits(Wait),
}
