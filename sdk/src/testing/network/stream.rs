//! One connection: two ends and the bytes on the way to each.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use sos_abi::{ErrorCode, POLL_CLOSED, POLL_FAILED, POLL_READABLE, POLL_WRITABLE};

/// Bytes that may be under way in one direction: a sender's and a receiver's buffer.
const UNDER_WAY_BYTES: usize = 2 * 64 * 1024;

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that connected.
    Client,
    /// The one that accepted.
    Server,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Its next attempt is due, and it is given up, at these times.
    Connecting { due_ns: u64, give_up_ns: u64 },
    /// The handshake is done, or has failed.
    Decided,
}

pub struct Connection {
    pub progress: Progress,
    client: End,
    server: End,
}

pub struct End {
    pub address: SocketAddr,
    /// Bytes to be read at this end.
    inbox: VecDeque<u8>,
    /// Whether the other end will send no more.
    is_finished: bool,
    is_read_shut: bool,
    is_write_shut: bool,
    pub failure: Option<ErrorCode>,
    /// Whether nobody holds this end any more.
    is_gone: bool,
}

impl End {
    fn new(address: SocketAddr) -> End {
        End {
            address,
            inbox: VecDeque::new(),
            is_finished: false,
            is_read_shut: false,
            is_write_shut: false,
            failure: None,
            is_gone: false,
        }
    }
}

impl Connection {
    pub fn new(client: SocketAddr, server: SocketAddr, progress: Progress) -> Connection {
        Connection {
            progress,
            client: End::new(client),
            server: End::new(server),
        }
    }

    pub fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.progress != Progress::Decided
    }

    pub fn fail(&mut self, side: Side, reason: ErrorCode) {
        self.progress = Progress::Decided;
        self.end_mut(side).failure.get_or_insert(reason);
    }

    /// Whether both ends were let go.
    pub fn is_over(&self) -> bool {
        self.client.is_gone && self.server.is_gone
    }

    /// Reads; nothing means that it would wait, 0 the end.
    pub fn read(
        &mut self,
        side: Side,
        buffer: &mut [u8],
        keeps_bytes: bool,
    ) -> Result<Option<usize>, ErrorCode> {
        let is_handshaking = self.is_handshaking();
        let end = self.end_mut(side);
        if end.is_read_shut {
            return Ok(Some(0));
        }
        if end.inbox.is_empty() {
            return match end.failure {
                Some(failure) => Err(failure),
                None if !is_handshaking && end.is_finished => Ok(Some(0)),
                None => Ok(None),
            };
        }
        let count = buffer.len().min(end.inbox.len());
        for (to, from) in buffer.iter_mut().zip(&end.inbox) {
            *to = *from;
        }
        if !keeps_bytes {
            end.inbox.drain(..count);
        }
        Ok(Some(count))
    }

    /// Writes; nothing means that it would wait.
    pub fn write(&mut self, side: Side, bytes: &[u8]) -> Result<Option<usize>, ErrorCode> {
        if let Some(failure) = self.end(side).failure {
            return Err(failure);
        }
        if self.is_handshaking() {
            return Ok(None);
        }
        if self.end(side).is_write_shut {
            return Err(ErrorCode::Closed);
        }
        let peer = self.end_mut(side.other());
        if peer.is_gone {
            // The bytes set out, and what comes back is a reset.
            self.end_mut(side).failure = Some(ErrorCode::ConnectionReset);
            return Ok(Some(bytes.len()));
        }
        if peer.is_read_shut {
            return Ok(Some(bytes.len()));
        }
        let room = UNDER_WAY_BYTES - peer.inbox.len();
        if room == 0 {
            return Ok(None);
        }
        let count = bytes.len().min(room);
        peer.inbox.extend(&bytes[..count]);
        Ok(Some(count))
    }

    pub fn shut_reading(&mut self, side: Side) {
        let end = self.end_mut(side);
        end.is_read_shut = true;
        end.inbox.clear();
    }

    pub fn shut_writing(&mut self, side: Side) {
        self.end_mut(side).is_write_shut = true;
        self.end_mut(side.other()).is_finished = true;
    }

    /// An end is let go in good order.
    pub fn finish(&mut self, side: Side) {
        self.shut_writing(side);
        self.shut_reading(side);
        self.end_mut(side).is_gone = true;
    }

    /// An end breaks off.
    pub fn break_off(&mut self, side: Side) {
        let is_orderly = self.is_closed(side);
        self.end_mut(side).is_gone = true;
        if !is_orderly {
            self.fail(side.other(), ErrorCode::ConnectionReset);
        }
    }

    fn is_closed(&self, side: Side) -> bool {
        self.end(side).is_write_shut && self.end(side).is_finished
    }

    /// The poll bits that are the case.
    pub fn readiness(&self, side: Side) -> u32 {
        let end = self.end(side);
        let is_open = !self.is_handshaking();
        let peer = self.end(side.other());
        let has_room = peer.is_gone || peer.is_read_shut || peer.inbox.len() < UNDER_WAY_BYTES;
        let is_failed = end.failure.is_some();
        let is_readable =
            !end.inbox.is_empty() || end.is_read_shut || is_failed || (is_open && end.is_finished);
        let is_writable = is_failed || (is_open && (has_room || end.is_write_shut));
        let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        bit(is_readable, POLL_READABLE)
            | bit(is_writable, POLL_WRITABLE)
            | bit(is_failed || self.is_closed(side), POLL_CLOSED)
            | bit(is_failed, POLL_FAILED)
    }
}
