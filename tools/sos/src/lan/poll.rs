//! What the LAN's thread waits for: epoll(7) with typed tokens.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::fabric::PortId;
use super::gateway::ConnectionId;

/// Events that one wait returns.
const EVENTS_MAX: usize = 256;

/// What an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Another thread has a command or an answer.
    Wake,
    /// A node wants to plug in, by the outlet's index.
    PlugIn(u32),
    /// Frames of a port.
    Port(PortId),
    /// A connection to a forwarded port, by the forward's index.
    Forward(u32),
    /// The host's side of a connection.
    Connection(ConnectionId),
}

impl Token {
    /// The kind in bits 61 to 63, the number below; a connection's id fills 56 bits.
    fn pack(self) -> EventData {
        let (kind, number) = match self {
            Self::Wake => (0, 0),
            Self::PlugIn(index) => (1, u64::from(index)),
            Self::Port(PortId(id)) => (2, u64::from(id)),
            Self::Forward(index) => (3, u64::from(index)),
            Self::Connection(id) => (4, id.pack()),
        };
        EventData::new_u64(kind << 61 | number)
    }

    fn unpack(data: EventData) -> Self {
        let number = data.u64() & ((1 << 61) - 1);
        match data.u64() >> 61 {
            0 => Self::Wake,
            1 => Self::PlugIn(number as u32),
            2 => Self::Port(PortId(number as u32)),
            3 => Self::Forward(number as u32),
            _ => Self::Connection(ConnectionId::unpack(number)),
        }
    }
}

/// When a descriptor is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Never; it stays registered.
    Nothing,
    /// While it can be read.
    Readable,
    /// While it can be read or written.
    ReadableWritable,
    /// Once at each change, in all respects: saves the system call that changes the interest.
    Edges,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Nothing => EventFlags::empty(),
            Self::Readable => EventFlags::IN,
            Self::ReadableWritable => EventFlags::IN | EventFlags::OUT,
            Self::Edges => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
        }
    }
}

/// What became possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) token: Token,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The other side sends nothing more, or the descriptor failed.
    pub(super) hung_up: bool,
    /// The descriptor failed.
    pub(super) failed: bool,
}

impl Readiness {
    fn of(event: &Event) -> Self {
        let flags = event.flags;
        Self {
            token: Token::unpack(event.data),
            readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
            writable: flags.intersects(EventFlags::OUT | EventFlags::ERR),
            hung_up: flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
            failed: flags.intersects(EventFlags::ERR),
        }
    }
}

/// The set of descriptors.
pub(super) struct Poller {
    epoll: OwnedFd,
}

/// Where a wait puts its events; it belongs to the thread that waits.
pub(super) struct EventBuffer(Vec<Event>);

impl EventBuffer {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(EVENTS_MAX))
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    /// Adds a descriptor; it leaves by being closed.
    pub(super) fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, token.pack(), interest.flags())?)
    }

    /// Changes when a descriptor is reported.
    pub(super) fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            fd,
            token.pack(),
            interest.flags(),
        )?)
    }

    /// Waits for events, at most `timeout`, and appends them to `ready`.
    pub(super) fn wait(
        &self,
        timeout: Option<Duration>,
        EventBuffer(events): &mut EventBuffer,
        ready: &mut Vec<Readiness>,
    ) -> io::Result<()> {
        // Rounded up to whole milliseconds, as older kernels do, so that no timer is met early.
        let timeout = timeout.map(|timeout| {
            let milliseconds = timeout.as_nanos().div_ceil(1_000_000).min(3_600_000) as i64;
            Timespec {
                tv_sec: milliseconds / 1000,
                tv_nsec: milliseconds % 1000 * 1_000_000,
            }
        });
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(events.iter().map(Readiness::of));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        let connection = ConnectionId {
            index: u32::MAX,
            generation: 0x00ff_ffff,
        };
        for token in [
            Token::Wake,
            Token::PlugIn(0),
            Token::PlugIn(7),
            Token::Port(PortId(u32::MAX)),
            Token::Forward(7),
            Token::Connection(connection),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
