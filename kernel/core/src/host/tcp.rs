//! Calls of TCP. Bytes go straight between the guest's memory and the socket's buffers; reading,
//! writing and accepting allocate nothing.

use sos_abi::{
    ErrorCode, NONBLOCK, OPTION_KEEPALIVE, OPTION_NODELAY, PEEK, SHUTDOWN_BOTH, SHUTDOWN_READ,
    SHUTDOWN_WRITE,
};

use super::guest::Guest;
use super::handles::Handle;
use super::memory::{AddressOut, Arguments, read_address};
use super::pending::{Step, StepResult, Wait, done_bytes};
use crate::machine::Duration;
use crate::net::stack::{NetError, Shutdown};

/// What the guest sees of a network error.
pub(super) fn error_code(error: NetError) -> ErrorCode {
    match error {
        NetError::AddressInUse => ErrorCode::AddressInUse,
        NetError::AddressNotAvailable => ErrorCode::AddressNotAvailable,
        NetError::ConnectionRefused => ErrorCode::ConnectionRefused,
        NetError::ConnectionReset => ErrorCode::ConnectionReset,
        NetError::NotConnected => ErrorCode::NotConnected,
        NetError::AlreadyConnected => ErrorCode::AlreadyConnected,
        NetError::TimedOut => ErrorCode::TimedOut,
        NetError::Unreachable => ErrorCode::Unreachable,
        NetError::TooManySockets => ErrorCode::TooManyHandles,
        NetError::MessageTooLarge => ErrorCode::MessageTooLarge,
        NetError::InvalidAddress => ErrorCode::InvalidAddress,
        NetError::NoSuchName => ErrorCode::NoSuchName,
        NetError::NameServerFailed => ErrorCode::NameServerFailed,
        NetError::NoNameServer => ErrorCode::NoNameServer,
        NetError::BadHandle => ErrorCode::BadHandle,
        NetError::WrongSocketKind => ErrorCode::WrongKind,
        NetError::Closed => ErrorCode::Closed,
    }
}

/// Waits for the socket of the arguments, or tells that it would.
pub(super) fn would_block(flags: u32) -> StepResult {
    if flags & NONBLOCK != 0 {
        Err(ErrorCode::WouldBlock)
    } else {
        Ok(Step::Wait(Wait::Event))
    }
}

impl Guest {
    pub(super) fn tcp_listen(&mut self, memory: &[u8], arguments: Arguments<'_>) -> StepResult {
        let address = read_address(memory, arguments.u32(0))?;
        let backlog = u16::try_from(arguments.u32(1)).map_err(|_| ErrorCode::InvalidArgument)?;
        if address.port() == 0 {
            return Err(ErrorCode::InvalidAddress);
        }
        self.handles.check_room()?;
        let local = Some(address.ip()).filter(|ip| !ip.is_unspecified());
        let socket = self
            .stack
            .tcp_listen(local, address.port(), backlog)
            .map_err(error_code)?;
        Ok(Step::Done(self.handles.insert(socket)?.result()))
    }

    pub(super) fn tcp_accept(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> StepResult {
        let listener = self.handles.get(Handle(arguments.u32(0)))?;
        let flags = arguments.flags(1, NONBLOCK)?;
        let peer_out = AddressOut::optional(memory, arguments.u32(2))?;
        self.handles.check_room()?;
        let Some((socket, peer)) = self.stack.tcp_accept(listener).map_err(error_code)? else {
            return would_block(flags);
        };
        peer_out.write(memory, peer)?;
        Ok(Step::Done(self.handles.insert(socket)?.result()))
    }

    pub(super) fn tcp_connect(
        &mut self,
        memory: &[u8],
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> StepResult {
        let flags = arguments.flags(1, NONBLOCK)?;
        let handle = match wait {
            Some(Wait::Connection(handle)) => handle,
            _ => self.start_connection(memory, arguments)?,
        };
        if flags & NONBLOCK != 0 {
            return Ok(Step::Done(handle.result()));
        }
        let socket = self.handles.get(handle)?;
        match self.stack.tcp_connected(socket) {
            Ok(true) => Ok(Step::Done(handle.result())),
            Ok(false) => Ok(Step::Wait(Wait::Connection(handle))),
            Err(error) => {
                self.stack.close(self.handles.remove(handle)?);
                Err(error_code(error))
            }
        }
    }

    fn start_connection(
        &mut self,
        memory: &[u8],
        arguments: Arguments<'_>,
    ) -> Result<Handle, ErrorCode> {
        let address = read_address(memory, arguments.u32(0))?;
        self.handles.check_room()?;
        let now = self.clock.now();
        let socket = self.stack.tcp_connect(address, now).map_err(error_code)?;
        self.handles.insert(socket)
    }

    pub(super) fn tcp_connect_status(&mut self, arguments: Arguments<'_>) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        match self.stack.tcp_connected(socket).map_err(error_code)? {
            true => Ok(Step::Done(0)),
            false => Err(ErrorCode::WouldBlock),
        }
    }

    pub(super) fn tcp_read(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        let buffer = arguments.slice(1).get_bounded_mut(memory)?;
        let flags = arguments.flags(3, NONBLOCK | PEEK)?;
        if buffer.is_empty() {
            return Ok(Step::Done(0));
        }
        let read = match flags & PEEK {
            0 => self.stack.tcp_read(socket, buffer),
            _ => self.stack.tcp_peek(socket, buffer),
        };
        match read.map_err(error_code)? {
            None => would_block(flags),
            Some(bytes) => {
                self.charge_bytes(bytes);
                Ok(done_bytes(bytes))
            }
        }
    }

    pub(super) fn tcp_write(&mut self, memory: &[u8], arguments: Arguments<'_>) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        let bytes = arguments.slice(1).get_bounded(memory)?;
        let flags = arguments.flags(3, NONBLOCK)?;
        if bytes.is_empty() {
            return Ok(Step::Done(0));
        }
        match self.stack.tcp_write(socket, bytes).map_err(error_code)? {
            None => would_block(flags),
            Some(bytes) => {
                self.charge_bytes(bytes);
                Ok(done_bytes(bytes))
            }
        }
    }

    pub(super) fn tcp_shutdown(&mut self, arguments: Arguments<'_>) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        let direction = match arguments.u32(1) {
            SHUTDOWN_READ => Shutdown::Read,
            SHUTDOWN_WRITE => Shutdown::Write,
            SHUTDOWN_BOTH => Shutdown::Both,
            _ => return Err(ErrorCode::InvalidArgument),
        };
        self.stack
            .tcp_shutdown(socket, direction)
            .map_err(error_code)?;
        Ok(Step::Done(0))
    }

    pub(super) fn tcp_set_option(&mut self, arguments: Arguments<'_>) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        let value = u64::try_from(arguments.i64(2)).map_err(|_| ErrorCode::InvalidArgument)?;
        match (arguments.u32(1), value) {
            (OPTION_NODELAY, 0 | 1) => self.stack.tcp_set_nodelay(socket, value == 1),
            (OPTION_KEEPALIVE, _) => {
                let interval = Some(value).filter(|&ns| ns > 0).map(Duration::from_nanos);
                self.stack.tcp_set_keepalive(socket, interval)
            }
            _ => return Err(ErrorCode::InvalidArgument),
        }
        .map_err(error_code)?;
        Ok(Step::Done(0))
    }

    pub(super) fn socket_local_address(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        let out = AddressOut::required(memory, arguments.u32(1))?;
        out.write(
            memory,
            self.stack.local_address(socket).map_err(error_code)?,
        )?;
        Ok(Step::Done(0))
    }

    pub(super) fn socket_peer_address(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        let out = AddressOut::required(memory, arguments.u32(1))?;
        out.write(memory, self.stack.peer_address(socket).map_err(error_code)?)?;
        Ok(Step::Done(0))
    }

    pub(super) fn close(&mut self, arguments: Arguments<'_>) -> StepResult {
        let socket = self.handles.remove(Handle(arguments.u32(0)))?;
        self.stack.close(socket);
        Ok(Step::Done(0))
    }
}
