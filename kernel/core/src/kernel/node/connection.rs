//! [`Connection`]: one TCP connection of the node, and the channel over it.

use super::network::Network;
use crate::cluster::channel::{Channel, ChannelError};
use crate::machine::Time;
use crate::migrate::NodeId;
use crate::net::stack::{NetError, SocketId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

/// Bytes taken from a connection in one turn.
const READ_BYTES_PER_TURN: usize = 128 * 1024;
/// Bytes of the operator's protocol that are sealed in one message.
const CONTROL_BYTES: usize = 32 * 1024;

/// One TCP connection.
pub(super) struct Connection {
    pub socket: SocketId,
    pub remote: SocketAddr,
    pub origin: Origin,
    pub stage: Stage,
    /// Whether something came that was not taken.
    pub is_held: bool,
    /// Who is at the other end, once that is proved,
    pub peer: Option<NodeId>,
    /// and the entry among the known nodes that it is counted with.
    pub entry: Option<u64>,
    /// The node that private networks are to be carried to, if it was opened for that.
    pub tunnel_to: Option<NodeId>,
    /// What the other end was told of the networks here.
    pub told: Option<u64>,
    /// The version of what it was told of its instances that are here.
    pub told_visitors: u64,
    /// When it is over if TCP has not connected, or what was to be sent is not.
    pub deadline: Option<Time>,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The other end.
    Accepted,
    /// This node, to a node that listens there.
    Dialed,
}

/// How far it is.
pub(super) enum Stage {
    /// TCP connects.
    Connecting,
    /// The two ends find out who they are.
    Greeting(Box<Channel>),
    /// Messages between nodes.
    Migration(Box<Channel>),
    /// Frames of private networks.
    Tunnel(Box<Channel>),
    /// The operator's protocol, whose bytes that came and were not read are these.
    Control {
        channel: Box<Channel>,
        input: Vec<u8>,
        read: usize,
    },
    /// What is on its way is still sent, then it is closed.
    Closing(Box<Channel>),
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The other end closed it.
    Closed,
    /// This end is done with it.
    Done,
    /// TCP failed.
    Network(NetError),
    /// The channel failed.
    Channel(ChannelError),
    /// The same peer has opened too many others since.
    Crowded,
    /// There are as many with nodes as there may be.
    Full,
    /// What came is no frame.
    NoFrame,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("the other end closed the connection"),
            End::Done => f.write_str("the connection was closed"),
            End::Network(error) => error.fmt(f),
            End::Channel(error) => error.fmt(f),
            End::Crowded => f.write_str("the peer opened too many others"),
            End::Full => f.write_str("there are too many connections with nodes"),
            End::NoFrame => f.write_str("what came is no frame of a private network"),
        }
    }
}

impl From<NetError> for End {
    fn from(error: NetError) -> End {
        End::Network(error)
    }
}

impl From<ChannelError> for End {
    fn from(error: ChannelError) -> End {
        End::Channel(error)
    }
}

impl Connection {
    pub fn channel(&mut self) -> Option<&mut Channel> {
        match &mut self.stage {
            Stage::Connecting => None,
            Stage::Greeting(channel)
            | Stage::Closing(channel)
            | Stage::Migration(channel)
            | Stage::Tunnel(channel)
            | Stage::Control { channel, .. } => Some(channel),
        }
    }

    /// Whether the other end has not proved itself.
    pub fn is_unproved(&self) -> bool {
        matches!(self.stage, Stage::Connecting | Stage::Greeting(_))
    }

    /// When it is over if nothing happens.
    pub fn due(&self) -> Option<Time> {
        match &self.stage {
            Stage::Greeting(channel) => channel.deadline(),
            Stage::Connecting
            | Stage::Migration(_)
            | Stage::Tunnel(_)
            | Stage::Control { .. }
            | Stage::Closing(_) => self.deadline,
        }
    }

    /// Takes what came until a message waits, and no more than a turn may.
    pub fn read(&mut self, network: &mut Network, budget: &mut usize) -> Result<(), End> {
        let socket = self.socket;
        let Some(channel) = self.channel() else {
            return Ok(());
        };
        while *budget > 0 && !channel.has_message() {
            let mut received = Ok(0);
            // What the channel does not take stays in the stack.
            let read = network.stack.tcp_read_with(socket, |bytes| {
                received = channel.receive(bytes);
                received.unwrap_or(0)
            })?;
            received?;
            match read {
                None => return Ok(()),
                Some(0) => return Err(End::Closed),
                Some(count) => *budget = budget.saturating_sub(count),
            }
        }
        Ok(())
    }

    /// What a turn may take of each connection.
    pub fn budget() -> usize {
        READ_BYTES_PER_TURN
    }

    /// Hands what is sealed to TCP.
    pub fn write(&mut self, network: &mut Network) -> Result<(), End> {
        let socket = self.socket;
        let Some(channel) = self.channel() else {
            return Ok(());
        };
        while !channel.output().is_empty() {
            match network.stack.tcp_write(socket, channel.output())? {
                None | Some(0) => break,
                Some(count) => channel.consume(count),
            }
        }
        Ok(())
    }

    /// Reads bytes of the operator's protocol.
    pub fn read_control(&mut self, out: &mut [u8]) -> usize {
        let Stage::Control { input, read, .. } = &mut self.stage else {
            return 0;
        };
        let rest = &input[*read..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        *read += count;
        if *read == input.len() {
            input.clear();
            *read = 0;
        }
        count
    }

    /// Takes bytes of the operator's protocol to be sent: returns how many.
    pub fn write_control(&mut self, bytes: &[u8]) -> usize {
        let Stage::Control { channel, .. } = &mut self.stage else {
            return 0;
        };
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let piece = &rest[..rest.len().min(CONTROL_BYTES).min(channel.room())];
            if piece.is_empty() || channel.send(piece).is_err() {
                break;
            }
            taken += piece.len();
        }
        taken
    }
}
