//! Why a stack was not made from a state.

use super::super::types::NetError;
use core::fmt;

/// Why a [`super::StackState`] is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreError {
    /// Another number of interfaces is offered than the state has.
    Interfaces {
        /// How many are offered.
        given: usize,
        /// How many the state has.
        wanted: usize,
    },
    /// More of something than a bound allows.
    TooMany(Part),
    /// A part of the state says what cannot be.
    Invalid(Part),
    /// Two of a kind that must differ.
    Repeated(Part),
    /// The stack itself does not take it.
    Refused(NetError),
    /// The node has no memory for the sockets.
    NoMemory,
    /// A replayed connection did not come to the state that was asked for.
    Diverged,
    /// A clone was given an address of the original's.
    AddressOfOriginal,
}

/// A part of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Socket buffers.
    Buffers,
    /// An interface.
    Interface,
    /// A DHCP lease.
    Lease,
    /// A neighbour.
    Neighbour,
    /// A handle.
    Handle,
    /// A listener.
    Listener,
    /// A connection.
    Connection,
    /// A record of TIME-WAIT.
    TimeWait,
    /// A UDP socket.
    Udp,
    /// A name lookup.
    Query,
    /// The next ephemeral port.
    Port,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Buffers => "socket buffer size",
            Part::Interface => "interface",
            Part::Lease => "DHCP lease",
            Part::Neighbour => "neighbour",
            Part::Handle => "socket handle",
            Part::Listener => "listener",
            Part::Connection => "TCP connection",
            Part::TimeWait => "TIME-WAIT record",
            Part::Udp => "UDP socket",
            Part::Query => "name lookup",
            Part::Port => "ephemeral port",
        })
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Interfaces { given, wanted } => write!(
                f,
                "the snapshot has {wanted} interfaces, not {given}; give the instance as many ports"
            ),
            RestoreError::TooMany(part) => write!(
                f,
                "the snapshot holds more of this than the instance may have: {part}; raise its limits"
            ),
            RestoreError::Invalid(part) => write!(
                f,
                "the snapshot's network state is damaged: impossible {part}; take another one"
            ),
            RestoreError::Repeated(part) => write!(
                f,
                "the snapshot's network state is damaged: repeated {part}; take another one"
            ),
            RestoreError::Refused(error) => {
                write!(f, "the snapshot's network state is refused: {error}")
            }
            RestoreError::NoMemory => f.write_str(
                "no memory for the snapshot's sockets; stop an instance or give the node more",
            ),
            RestoreError::Diverged => f.write_str(
                "a TCP connection of the snapshot could not be rebuilt; clone the snapshot instead",
            ),
            RestoreError::AddressOfOriginal => f.write_str(
                "a clone cannot have the original's address; give it another one or DHCP",
            ),
        }
    }
}

impl From<NetError> for RestoreError {
    fn from(error: NetError) -> RestoreError {
        match error {
            NetError::TooManySockets => RestoreError::NoMemory,
            error => RestoreError::Refused(error),
        }
    }
}
