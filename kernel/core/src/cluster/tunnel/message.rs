//! What nodes say of private networks: [`Networks`] between the messages of migrations, [`Carried`] on channels of
//! their own.

use crate::limits;
use crate::net::fabric::{NetworkId, Presence};
use alloc::vec::Vec;

/// First byte of [`Networks`]: no message of a migration begins with it.
const MARK: u8 = 0xfe;
/// The version of what follows.
const VERSION: u8 = 1;
/// Bytes of a network's name.
const ID_BYTES: usize = 16;
/// Bytes of one network in a list: what there is of it, and its name.
const ENTRY_BYTES: usize = 1 + ID_BYTES;
/// First byte of a frame on a channel.
const FRAME: u8 = 0;

/// All networks of which a node has something: a later list takes the place of an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<(NetworkId, Presence)>);

impl Networks {
    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![MARK, VERSION];
        for (network, presence) in &self.0 {
            bytes.push(match presence {
                Presence::Awaited => 0,
                Presence::Ends => 1,
            });
            bytes.extend_from_slice(&network.0);
        }
        bytes
    }

    /// Whether a message is one, sound or not.
    pub fn is_one(message: &[u8]) -> bool {
        message.first() == Some(&MARK)
    }

    /// From a message; none if it is spoiled, or a later version's.
    pub fn decode(message: &[u8]) -> Option<Networks> {
        let body = message.strip_prefix(&[MARK, VERSION])?;
        let (entries, []) = body.as_chunks::<ENTRY_BYTES>() else {
            return None;
        };
        if entries.len() > limits::SEGMENTS {
            return None;
        }
        let entry = |[presence, id @ ..]: &[u8; ENTRY_BYTES]| {
            let presence = match presence {
                0 => Presence::Awaited,
                1 => Presence::Ends,
                _ => return None,
            };
            Some((NetworkId(*id), presence))
        };
        let networks: Option<Vec<_>> = entries.iter().map(entry).collect();
        networks.map(Networks)
    }
}

/// A frame on its way to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried<'a> {
    /// The network that it belongs to.
    pub network: NetworkId,
    /// The Ethernet frame.
    pub frame: &'a [u8],
}

impl<'a> Carried<'a> {
    /// Bytes of a message beside the frame.
    pub const HEAD_BYTES: usize = 1 + ID_BYTES;

    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Carried::HEAD_BYTES + self.frame.len());
        bytes.push(FRAME);
        bytes.extend_from_slice(&self.network.0);
        bytes.extend_from_slice(self.frame);
        bytes
    }

    /// From a message; none if it is spoiled or longer than any that this node would send.
    pub fn decode(message: &'a [u8]) -> Option<Carried<'a>> {
        let (id, frame) = message.strip_prefix(&[FRAME])?.split_first_chunk()?;
        let network = NetworkId(*id);
        (frame.len() <= limits::TUNNEL_FRAME_BYTES).then_some(Carried { network, frame })
    }
}
