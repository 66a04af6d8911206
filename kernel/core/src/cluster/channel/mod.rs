//! [`Channel`]: messages over any stream of bytes, secret, unchanged, in order, each once, and from a
//! peer that has proved who it is.
//!
//! The handshakes are Noise's (revision 34): `XXpsk0` where there is a cluster key, so that whoever lacks
//! it gets not one byte, `IK` where keys are listed. The stream begins with eight bytes that name the
//! handshake and are part of what it proves; all else are records: a length of two bytes, big end
//! first, and so many bytes. After the handshake each record is one sealed message; the first in each
//! direction is an [`Opening`]. Keys of messages are replaced each [`REKEY_BYTES`] (Noise, section 4.2),
//! and its counter makes a repeated, lost or moved record fail.
//!
//! Sans-I/O: bytes in by [`Channel::receive`], out by [`Channel::output`]. At most one record is held of what
//! comes, and of a peer that has not proved itself a hundred bytes. A channel that fails says nothing
//! more to its peer: the caller closes the stream, and logs.
//!
//! A recorded first message of a handshake that is sent again by somebody else is answered, once, with 98 bytes that he
//! cannot read; nothing that he can send gets him further.
//!
//! - `noise`: the handshakes; - `opening`: the first message; - `error`: why a channel is over.

mod error;
mod noise;
mod opening;

#[cfg(test)]
mod tests;

pub use error::{ChannelError, SendError};
pub use noise::public_half;
pub use opening::{Opening, Protocol, VERSIONS, Versions};

use super::{NodeId, NodeKey, PublicKey, Trust};
use crate::limits;
use crate::machine::{Duration, Time};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use noise::{Pattern, Side, Start, TAG_BYTES};
use snow::{HandshakeState, TransportState};

/// Bytes of the longest message.
pub const MESSAGE_BYTES: usize = 65_535 - TAG_BYTES;
/// Bytes of messages after which a direction gets another key.
pub const REKEY_BYTES: u64 = 64 * 1024 * 1024;
/// How long a handshake may take, the opening included.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a stream begins; the handshake's number follows.
const PREFACE: [u8; 7] = *b"SOS-ch1";
/// Bytes of a stream's beginning.
const PREFACE_BYTES: usize = PREFACE.len() + 1;
/// Bytes of a record's length.
const LENGTH_BYTES: usize = 2;
/// Bytes of the longest opening.
const OPENING_BYTES: usize = 256;

/// Whom a channel is with, once it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its key, which it has.
    pub key: PublicKey,
    /// What it is known by.
    pub id: NodeId,
    /// What it says of itself.
    pub opening: Opening,
    /// The version that both speak.
    pub version: u16,
}

/// What both constructors need.
#[derive(Debug)]
pub struct Setup<'a> {
    /// This end's key.
    pub own: &'a NodeKey,
    /// Whom it trusts.
    pub trust: &'a Arc<Trust>,
    /// What it says of itself. The one who accepts takes the protocol from the other.
    pub opening: Opening,
    /// Random bytes for this channel alone.
    pub entropy: [u8; 32],
    /// The time.
    pub now: Time,
}

/// One channel.
pub struct Channel {
    own: NodeKey,
    trust: Arc<Trust>,
    opening: Opening,
    entropy: [u8; 32],
    /// Whom the one who began wants.
    expected: Option<PublicKey>,
    deadline: Time,
    side: Side,
    stage: Stage,
    incoming: Incoming,
    out: Vec<u8>,
    /// Bytes at the front of `out` that were taken.
    taken: usize,
    peer: Option<Peer>,
}

enum Stage {
    /// The one who accepts waits for the stream's beginning.
    Preface,
    Handshake {
        noise: Box<HandshakeState>,
        pattern: Pattern,
        /// Number of the next message, whoever sends it.
        message: usize,
    },
    Sealed(Box<Sealed>),
    Over(ChannelError),
}

/// The one record that is on its way in.
#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
    /// Bytes of the record, once its length has come.
    record: Option<usize>,
}

/// What seals and opens messages.
struct Sealed {
    noise: TransportState,
    key: PublicKey,
    pattern: Pattern,
    rekey_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// Begins a channel over a stream that was opened from here. With a cluster key, `expected` is checked if it is
    /// given; without one it must be.
    ///
    /// # Errors
    /// [`ChannelError::NoTrust`] when there is neither.
    pub fn initiate(
        setup: Setup<'_>,
        expected: Option<PublicKey>,
    ) -> Result<Channel, ChannelError> {
        let pattern = match (&setup.trust.cluster_key, &expected) {
            (Some(_), _) => Pattern::Cluster,
            (None, Some(_)) => Pattern::Listed,
            (None, None) => return Err(ChannelError::NoTrust),
        };
        let mut channel = Channel::new(setup, Side::Initiator, expected);
        channel.out.extend_from_slice(&PREFACE);
        channel.out.push(pattern.number());
        channel.begin(pattern)?;
        channel.write_handshake()?;
        Ok(channel)
    }

    /// A channel over a stream that was opened from elsewhere. It says nothing before the other end has
    /// shown that it is trusted.
    pub fn accept(setup: Setup<'_>) -> Channel {
        Channel::new(setup, Side::Responder, None)
    }

    fn new(setup: Setup<'_>, side: Side, expected: Option<PublicKey>) -> Channel {
        Channel {
            own: setup.own.clone(),
            trust: setup.trust.clone(),
            opening: setup.opening,
            entropy: setup.entropy,
            expected,
            deadline: setup.now + HANDSHAKE_TIMEOUT,
            side,
            stage: Stage::Preface,
            incoming: Incoming::default(),
            out: Vec::new(),
            taken: 0,
            peer: None,
        }
    }

    /// Whom the channel is with: none until it is open.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// When the handshake has failed by taking too long; none when it is over.
    pub fn deadline(&self) -> Option<Time> {
        self.peer.is_none().then_some(self.deadline)
    }

    /// Ends a channel whose handshake takes too long.
    ///
    /// # Errors
    /// [`ChannelError::Overdue`] when it did.
    pub fn tick(&mut self, now: Time) -> Result<(), ChannelError> {
        match self.deadline() {
            Some(deadline) if deadline <= now => self.fail(ChannelError::Overdue),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes bytes that came: returns how many. When it is fewer than all, a message waits, and the rest
    /// is to be given again after [`next_message`](Self::next_message).
    ///
    /// # Errors
    /// [`ChannelError`]: the channel is over, and the stream is to be closed.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, ChannelError> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.has_message() {
            rest = self.take_some(rest).or_else(|error| self.fail(error))?;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Whether a whole message waits.
    pub fn has_message(&self) -> bool {
        self.peer.is_some() && self.incoming.is_complete()
    }

    /// The next message, if all of it has come.
    ///
    /// # Errors
    /// [`ChannelError`]: the channel is over, and the stream is to be closed.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, ChannelError> {
        if let Stage::Over(error) = self.stage {
            return Err(error);
        }
        if !self.has_message() {
            return Ok(None);
        }
        match self.unseal() {
            Ok(message) => Ok(Some(message)),
            Err(error) => self.fail(error),
        }
    }

    /// Bytes of messages that [`send`](Self::send) still takes now, in one or several.
    pub fn room(&self) -> usize {
        let waiting = self.out.len() - self.taken;
        match self.peer {
            Some(_) => limits::CHANNEL_OUTPUT_BYTES.saturating_sub(waiting),
            None => 0,
        }
    }

    /// Seals a message and puts it behind what waits to be sent.
    ///
    /// # Errors
    /// [`SendError`]: nothing was taken.
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        if message.len() > MESSAGE_BYTES {
            return Err(SendError::TooLong);
        }
        if self.peer.is_none() {
            return Err(SendError::NotOpen);
        }
        if message.len() > self.room() {
            return Err(SendError::Full);
        }
        self.seal(message).map_err(|_| SendError::NotOpen)
    }

    /// What waits to be sent.
    pub fn output(&self) -> &[u8] {
        &self.out[self.taken..]
    }

    /// So many bytes of it were sent.
    pub fn consume(&mut self, bytes: usize) {
        self.taken = (self.taken + bytes).min(self.out.len());
        if self.taken == self.out.len() {
            self.out.clear();
            self.taken = 0;
        } else if self.taken >= limits::CHANNEL_OUTPUT_BYTES / 2 {
            self.out.drain(..self.taken);
            self.taken = 0;
        }
    }

    // -- within

    fn fail<T>(&mut self, error: ChannelError) -> Result<T, ChannelError> {
        if !matches!(self.stage, Stage::Over(_)) {
            self.stage = Stage::Over(error);
            self.incoming = Incoming::default();
            self.out = Vec::new();
            self.taken = 0;
            self.peer = None;
        }
        Err(error)
    }

    /// Takes the bytes of one step, and makes it when it has all of them: returns the others.
    fn take_some<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ChannelError> {
        if let Stage::Over(error) = self.stage {
            return Err(error);
        }
        if let Stage::Preface = self.stage {
            let rest = self.incoming.take(bytes, PREFACE_BYTES);
            self.read_preface()?;
            return Ok(rest);
        }
        let Some(record) = self.incoming.record else {
            let rest = self.incoming.take(bytes, LENGTH_BYTES);
            if let [high, low] = self.incoming.bytes[..] {
                let length = usize::from(u16::from_be_bytes([high, low]));
                self.check_length(length)?;
                self.incoming.bytes.clear();
                self.incoming.record = Some(length);
            }
            return Ok(rest);
        };
        let rest = self.incoming.take(bytes, record);
        if self.incoming.is_complete() {
            match &self.stage {
                Stage::Handshake { .. } => self.read_handshake()?,
                Stage::Sealed(_) if self.peer.is_none() => self.read_opening()?,
                Stage::Sealed(_) | Stage::Preface | Stage::Over(_) => {}
            }
        }
        Ok(rest)
    }

    fn read_preface(&mut self) -> Result<(), ChannelError> {
        let bytes = &self.incoming.bytes;
        let known = bytes.len().min(PREFACE.len());
        if bytes[..known] != PREFACE[..known] {
            return Err(ChannelError::NotOurs);
        }
        let Some(&number) = bytes.get(PREFACE.len()) else {
            return Ok(());
        };
        let pattern = Pattern::from_number(number).ok_or(ChannelError::NotOurs)?;
        let possible = match pattern {
            Pattern::Cluster => self.trust.cluster_key.is_some(),
            Pattern::Listed => !self.trust.listed.is_empty(),
        };
        if !possible {
            return Err(ChannelError::NotOurs);
        }
        self.incoming = Incoming::default();
        self.begin(pattern)
    }

    fn begin(&mut self, pattern: Pattern) -> Result<(), ChannelError> {
        let mut prologue = [0; PREFACE_BYTES];
        prologue[..PREFACE.len()].copy_from_slice(&PREFACE);
        prologue[PREFACE.len()] = pattern.number();
        let (cluster_key, remote) = match pattern {
            Pattern::Cluster => (self.trust.cluster_key.as_ref(), None),
            Pattern::Listed => (None, self.expected.as_ref()),
        };
        let start = Start {
            pattern,
            own: &self.own,
            cluster_key,
            remote,
            prologue: &prologue,
            entropy: self.entropy,
        };
        let noise = Box::new(noise::begin(&start, self.side)?);
        self.stage = Stage::Handshake {
            noise,
            pattern,
            message: 0,
        };
        Ok(())
    }

    /// Refuses a record that is longer or shorter than the next one can be.
    fn check_length(&self, length: usize) -> Result<(), ChannelError> {
        let fits = match &self.stage {
            Stage::Handshake {
                pattern, message, ..
            } => pattern.message_bytes().get(*message) == Some(&length),
            Stage::Sealed(_) if self.peer.is_none() => {
                (TAG_BYTES..=TAG_BYTES + OPENING_BYTES).contains(&length)
            }
            Stage::Sealed(_) => length >= TAG_BYTES,
            Stage::Preface | Stage::Over(_) => false,
        };
        fits.then_some(()).ok_or(ChannelError::BadLength)
    }

    fn read_handshake(&mut self) -> Result<(), ChannelError> {
        let Stage::Handshake { noise, message, .. } = &mut self.stage else {
            return Ok(());
        };
        let first = *message == 0;
        noise
            .read_message(&self.incoming.bytes, &mut [])
            .map_err(|_| match first {
                true => ChannelError::WrongKey,
                false => ChannelError::Malformed,
            })?;
        *message += 1;
        let (remote, is_finished) = (remote_key(noise), noise.is_handshake_finished());
        self.incoming = Incoming::default();
        if let Some(key) = remote {
            self.check_key(key)?;
        }
        match is_finished {
            true => self.finish_handshake(),
            false => self.write_handshake(),
        }
    }

    fn write_handshake(&mut self) -> Result<(), ChannelError> {
        let Stage::Handshake {
            noise,
            pattern,
            message,
        } = &mut self.stage
        else {
            return Ok(());
        };
        let length = pattern.message_bytes().get(*message).copied();
        let length = length.ok_or(ChannelError::Malformed)?;
        let begin = append_length(&mut self.out, length);
        let written = noise.write_message(&[], &mut self.out[begin..]);
        if written != Ok(length) {
            return Err(ChannelError::Malformed);
        }
        *message += 1;
        match noise.is_handshake_finished() {
            true => self.finish_handshake(),
            false => Ok(()),
        }
    }

    /// Whether a key that was shown may go on. That its owner has it, the handshake's last message proves.
    fn check_key(&self, key: PublicKey) -> Result<(), ChannelError> {
        if key == self.own.public() {
            return Err(ChannelError::OwnKey);
        }
        if self.expected.is_some_and(|expected| expected != key) {
            return Err(ChannelError::AnotherNode(key));
        }
        let is_trusted = match (&self.stage, self.side) {
            (
                Stage::Handshake {
                    pattern: Pattern::Listed,
                    ..
                },
                Side::Responder,
            ) => self.trust.knows(&key),
            (Stage::Handshake { .. }, _) => true,
            (Stage::Preface | Stage::Sealed(_) | Stage::Over(_), _) => false,
        };
        is_trusted.then_some(()).ok_or(ChannelError::Untrusted(key))
    }

    fn finish_handshake(&mut self) -> Result<(), ChannelError> {
        let stage = core::mem::replace(&mut self.stage, Stage::Preface);
        let Stage::Handshake { noise, pattern, .. } = stage else {
            return Err(ChannelError::Malformed);
        };
        let key = remote_key(&noise).ok_or(ChannelError::Malformed)?;
        let noise = noise
            .into_transport_mode()
            .map_err(|_| ChannelError::Malformed)?;
        self.stage = Stage::Sealed(Box::new(Sealed {
            noise,
            key,
            pattern,
            rekey_bytes: REKEY_BYTES,
            sent_bytes: 0,
            received_bytes: 0,
        }));
        match self.side {
            Side::Initiator => self.seal(&self.opening.encode()),
            Side::Responder => Ok(()),
        }
    }

    fn read_opening(&mut self) -> Result<(), ChannelError> {
        let theirs = Opening::decode(&self.unseal()?)?;
        let Stage::Sealed(sealed) = &self.stage else {
            return Err(ChannelError::Malformed);
        };
        let (key, pattern) = (sealed.key, sealed.pattern);
        let common = VERSIONS.common(theirs.versions);
        let version = common.ok_or(ChannelError::Version(theirs.versions))?;
        match self.side {
            Side::Initiator if theirs.protocol != self.opening.protocol => {
                return Err(ChannelError::AnotherProtocol(theirs.protocol));
            }
            Side::Initiator => {}
            Side::Responder => {
                let role = theirs.protocol.role();
                if pattern == Pattern::Listed && !self.trust.lists(&key, role) {
                    return Err(ChannelError::NotAllowed(theirs.protocol));
                }
                self.opening.protocol = theirs.protocol;
                self.seal(&self.opening.encode())?;
            }
        }
        self.peer = Some(Peer {
            key,
            id: key.id(),
            opening: theirs,
            version,
        });
        Ok(())
    }

    fn seal(&mut self, message: &[u8]) -> Result<(), ChannelError> {
        let Stage::Sealed(sealed) = &mut self.stage else {
            return Err(ChannelError::Malformed);
        };
        let length = message.len() + TAG_BYTES;
        let begin = append_length(&mut self.out, length);
        let written = sealed.noise.write_message(message, &mut self.out[begin..]);
        if written != Ok(length) {
            return Err(ChannelError::Malformed);
        }
        sealed.sent_bytes += length as u64;
        if sealed.sent_bytes >= sealed.rekey_bytes {
            sealed.noise.rekey_outgoing();
            sealed.sent_bytes = 0;
        }
        Ok(())
    }

    /// Opens the record that has come.
    fn unseal(&mut self) -> Result<Vec<u8>, ChannelError> {
        let Stage::Sealed(sealed) = &mut self.stage else {
            return Err(ChannelError::Malformed);
        };
        let record = &self.incoming.bytes;
        let mut message = alloc::vec![0; record.len().saturating_sub(TAG_BYTES)];
        let opened = sealed.noise.read_message(record, &mut message);
        if opened != Ok(message.len()) {
            return Err(ChannelError::Malformed);
        }
        sealed.received_bytes += record.len() as u64;
        if sealed.received_bytes >= sealed.rekey_bytes {
            sealed.noise.rekey_incoming();
            sealed.received_bytes = 0;
        }
        self.incoming.bytes.clear();
        self.incoming.record = None;
        Ok(message)
    }
}

impl Incoming {
    /// Takes bytes until there are so many: returns the others.
    fn take<'a>(&mut self, bytes: &'a [u8], wanted: usize) -> &'a [u8] {
        let missing = wanted.saturating_sub(self.bytes.len()).min(bytes.len());
        let (mine, rest) = bytes.split_at(missing);
        self.bytes.extend_from_slice(mine);
        rest
    }

    fn is_complete(&self) -> bool {
        self.record == Some(self.bytes.len())
    }
}

fn remote_key(noise: &HandshakeState) -> Option<PublicKey> {
    let key = noise.get_remote_static()?.try_into().ok()?;
    Some(PublicKey(key))
}

/// Appends a record's length and room for its bytes: returns where they begin.
fn append_length(out: &mut Vec<u8>, length: usize) -> usize {
    // No record is longer than 65 535 bytes.
    out.extend_from_slice(&(length as u16).to_be_bytes());
    let begin = out.len();
    out.resize(begin + length, 0);
    begin
}
