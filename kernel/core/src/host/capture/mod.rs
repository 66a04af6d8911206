//! A guest as plain data, and back (D4): what a snapshot holds of it.
//!
//! [`Guest::capture`] gives a [`GuestState`]; [`Guest::restore`] takes one as a claim of which every
//! part is checked, and what is of the new place: the restored network stack, the clock, who the
//! instance is now ([`GuestRevival`]). Memory and the engine's state are not here, nor is the stack.
//!
//! Times inside are guest times, which stand while the instance does; only lines of the log have wall
//! time, because nodes count from their own start.

mod error;
mod pending;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use super::clock::{CpuClock, GuestClock};
use super::guest::Guest;
use super::handles::{HandleTable, HandlesState};
use super::identity::{Identity, Revival, Revivals};
use super::log::{LogRing, LogState};
use super::streams::{Streams, StreamsState, StreamsTo};
use super::wasi::{Descriptor, Descriptors, ErrorLine, Kind};
use crate::files::{Blob, FileKind, FileLimits, FileSystem, InodeId};
use crate::image::BlobBytes;
use crate::instance::LimitSet;
use crate::limits;
use crate::machine::{Clock, Duration, Time};
use crate::net::stack::{SocketId, SocketKind, Stack};

pub use error::RestoreError;
pub use pending::PendingState;

/// Everything about a guest but its stack, as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestState {
    /// Guest time of the cut.
    guest_time: Time,
    cpu_nanos: u64,
    generation: u64,
    revivals: Revivals,
    random: RandomState,
    arguments: Vec<String>,
    program: String,
    environment: Vec<(String, String)>,
    /// Sorted by key.
    config: Vec<(String, String)>,
    streams: StreamsState,
    log: LogState,
    #[serde(with = "crate::plain")]
    error_line: Vec<u8>,
    files: FileSystem,
    handles: HandlesState,
    #[serde(deserialize_with = "crate::plain::at_most::<_, _, { limits::DESCRIPTORS }>")]
    descriptors: Vec<Option<Descriptor>>,
    pending: Option<PendingState>,
    exit_status: Option<i32>,
    /// [`LimitSet`] as a number.
    reached: u8,
}

/// A random generator: its key, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RandomState {
    seed: [u8; 32],
    /// Words of 32 bits that were drawn.
    position: u128,
}

/// Where and as what a guest comes back.
pub struct GuestRevival<'a> {
    /// Who it is now. One that goes on keeps the generation that it had.
    pub identity: Identity,
    /// What becomes of it, which its program can ask for.
    pub revival: Revival,
    /// Entropy of the machine, for a guest that does not go on with its random numbers.
    pub random_seed: [u8; 32],
    /// Bytes of log that are kept.
    pub log_bytes: u64,
    /// What its files may take.
    pub files: FileLimits,
    /// Handles that may be open at once.
    pub sockets: u32,
    /// Where its standard streams lead.
    pub streams: StreamsTo,
    /// Its network, restored from the same cut.
    pub stack: Stack,
    /// The node's clock.
    pub clock: Arc<dyn Clock>,
    /// Finds files of the image.
    pub find_blob: &'a mut dyn FnMut(&Blob) -> Option<BlobBytes>,
}

/// What the standard streams of a guest hold at most.
const STREAMS_BYTES: usize = limits::CONSOLE_OUTPUT_BYTES + 3 * limits::STREAM_BYTES;

/// Heap of texts, in lists that may have grown to twice their length.
fn texts_bytes<'a>(
    pairs: impl Iterator<Item = &'a (String, String)>,
    arguments: &'a [String],
    program: &'a String,
) -> usize {
    let texts = pairs.flat_map(|(name, value)| [name, value]);
    let texts = texts.chain(arguments).chain([program]);
    texts.map(|text| text.len() + 4 * size_of::<String>()).sum()
}

impl GuestState {
    /// Guest time of the cut: what the restored stack is told.
    pub fn guest_time(&self) -> Time {
        self.guest_time
    }

    /// The call that waits, if one does; an unknown one is found out by [`Guest::restore`].
    pub fn pending(&self) -> Option<&PendingState> {
        self.pending.as_ref()
    }

    /// Heap that a copy takes, about: as for [`Guest::capture_bytes`], but for the log and the handles, which
    /// count as the new instance's.
    pub fn copy_bytes(&self) -> u64 {
        let tables = self.descriptors.len() * 256;
        let pairs = self.environment.iter().chain(&self.config);
        let texts = texts_bytes(pairs, &self.arguments, &self.program);
        let files = self.files.heap_bytes();
        files.saturating_add((STREAMS_BYTES + tables + texts) as u64)
    }

    /// The files, for whoever looks into a snapshot.
    pub fn files(&self) -> &FileSystem {
        &self.files
    }
}

impl Guest {
    /// Heap that [`Guest::capture`] takes, about: most of it is that of the files, whose bytes are shared
    /// at first and copied as the guest writes.
    pub fn capture_bytes(&self) -> u64 {
        let tables = self.descriptors.iter().count() * 256 + self.handles.len() * 16;
        let pairs = self.environment.iter().chain(&self.config);
        let texts = texts_bytes(pairs, &self.arguments, &self.program);
        self.files.heap_bytes()
            + self.log.capacity_bytes()
            + (STREAMS_BYTES + tables + texts) as u64
    }

    /// Everything about the guest but its stack, as plain data. Between its slices only.
    pub fn capture(&self) -> GuestState {
        let now = self.clock.node_now();
        let cpu = self.cpu.used(now).as_nanos();
        GuestState {
            guest_time: self.clock.now(),
            cpu_nanos: u64::try_from(cpu).unwrap_or(u64::MAX),
            generation: self.identity.generation,
            revivals: self.revivals,
            random: RandomState {
                seed: self.random.get_seed(),
                position: self.random.get_word_pos(),
            },
            arguments: self.arguments.clone(),
            program: self.program.clone(),
            environment: self.environment.clone(),
            config: self.config.clone(),
            streams: self.streams.capture(),
            log: self.log.capture(now, self.clock.wall_nanos()),
            error_line: self.error_line.bytes().to_vec(),
            files: self.files.clone(),
            handles: self.handles.capture(),
            descriptors: self.descriptors.capture(),
            pending: self.pending().map(PendingState::capture),
            exit_status: self.exit_status(),
            reached: self.reached.bits(),
        }
    }

    /// The guest that `state` claims to be. Its time stands until it is resumed
    /// ([`GuestClock::resume`]); the call that waits is then due at once.
    ///
    /// # Errors
    /// [`RestoreError`], for a state that could not have come to be. The stack is dropped then.
    pub fn restore(state: GuestState, revival: GuestRevival<'_>) -> Result<Guest, RestoreError> {
        state.check_texts()?;
        let stack = revival.stack;
        let random = state.random.restore(revival.revival, revival.random_seed);
        let now = revival.clock.now();
        let wall_nanos = revival.clock.wall_nanos();
        let log = LogRing::restore(state.log, revival.log_bytes, now, wall_nanos);
        let handles = check_handles(&state.handles, &stack)?;
        let descriptors = Descriptors::restore(state.descriptors)
            .map_err(|number| RestoreError::Descriptor { number })?;
        let opens = check_descriptors(&descriptors, &state.files, &stack, handles)?;
        let mut files = state.files;
        files.check(&opens).map_err(RestoreError::Files)?;
        files
            .attach_blobs(revival.find_blob)
            .map_err(RestoreError::Image)?;
        files.set_limits(revival.files);
        if state.pending.is_some() && state.exit_status.is_some() {
            return Err(RestoreError::Ended);
        }
        let mut identity = revival.identity;
        if revival.revival == Revival::Continued {
            identity.generation = state.generation;
        }
        let mut revivals = state.revivals;
        revivals.count(revival.revival);
        let kind_of = |socket| stack.socket_kind(socket);
        let pending = match &state.pending {
            Some(pending) => Some(pending.restore(state.guest_time, kind_of)?),
            None => None,
        };
        Ok(Guest {
            streams: Streams::restore(state.streams, revival.streams)
                .ok_or(RestoreError::Streams)?,
            log: log.ok_or(RestoreError::Log)?,
            clock: GuestClock::standing(revival.clock, state.guest_time),
            cpu: CpuClock::after(Duration::from_nanos(state.cpu_nanos)),
            random,
            files,
            error_line: ErrorLine::resume(state.error_line).ok_or(RestoreError::ErrorLine)?,
            arguments: state.arguments,
            program: state.program,
            environment: state.environment,
            config: state.config,
            identity,
            revivals,
            handles: HandleTable::restore(state.handles, revival.sockets)
                .ok_or(RestoreError::Handles)?,
            descriptors,
            reached: LimitSet::from_bits(state.reached).ok_or(RestoreError::Limits)?,
            stack,
            pending,
            look_again: true,
            exit_status: state.exit_status,
            last_cost: 0,
        })
    }
}

impl GuestState {
    /// Whether arguments, environment and configuration are such as a manifest may give.
    fn check_texts(&self) -> Result<(), RestoreError> {
        let pairs = self.environment.iter().chain(&self.config);
        let texts = pairs.flat_map(|(key, value)| [key, value]);
        let mut texts = texts.chain(&self.arguments).chain([&self.program]);
        let is_sound = self.arguments.len() <= limits::ARGUMENTS
            && self.environment.len() <= limits::ENVIRONMENT_ENTRIES
            && self.config.len() <= limits::CONFIG_ENTRIES
            && texts.all(|text| text.len() <= limits::TEXT_BYTES)
            && self.config.is_sorted_by(|one, next| one.0 < next.0);
        is_sound.then_some(()).ok_or(RestoreError::Texts)
    }
}

impl RandomState {
    /// The generator, or one of its own for a guest that may not repeat what another draws.
    fn restore(&self, revival: Revival, entropy: [u8; 32]) -> ChaCha12Rng {
        let mut random = ChaCha12Rng::from_seed(self.seed);
        // The position is taken modulo the generator's period.
        random.set_word_pos(self.position);
        match revival {
            Revival::Continued => random,
            Revival::Restored | Revival::Cloned => {
                // Entropy alone would do; what nobody outside has seen stays in all the same.
                let mut seed = [0; 32];
                random.fill_bytes(&mut seed);
                let mixed = seed.iter().zip(entropy).map(|(old, new)| old ^ new);
                let mut fresh = [0; 32];
                fresh
                    .iter_mut()
                    .zip(mixed)
                    .for_each(|(to, from)| *to = from);
                ChaCha12Rng::from_seed(fresh)
            }
        }
    }
}

/// Makes sure that each handle names a socket of its own; gives those sockets.
fn check_handles(
    handles: &HandlesState,
    stack: &Stack,
) -> Result<BTreeSet<SocketId>, RestoreError> {
    let mut sockets = BTreeSet::new();
    for (slot, socket) in handles.sockets() {
        let has_handle = match stack.socket_kind(socket) {
            Some(SocketKind::Listener | SocketKind::Connection | SocketKind::Udp) => true,
            Some(SocketKind::Query | SocketKind::Ping) | None => false,
        };
        if !has_handle || !sockets.insert(socket) {
            return Err(RestoreError::Handle { slot });
        }
    }
    Ok(sockets)
}

/// Makes sure that each descriptor stands for something that is there, sockets for one that nothing
/// else in `sockets` or the table has; gives how often each inode is open.
fn check_descriptors(
    descriptors: &Descriptors,
    files: &FileSystem,
    stack: &Stack,
    mut sockets: BTreeSet<SocketId>,
) -> Result<BTreeMap<InodeId, u32>, RestoreError> {
    let mut opens = BTreeMap::new();
    for (number, descriptor) in descriptors.iter() {
        let mut is_kind =
            |socket, kind| stack.socket_kind(socket) == Some(kind) && sockets.insert(socket);
        let is_there = match descriptor.kind {
            Kind::Stream(_) => true,
            Kind::Listener(socket) => is_kind(socket, SocketKind::Listener),
            Kind::Connection(socket) => is_kind(socket, SocketKind::Connection),
            Kind::File { inode, .. } => {
                *opens.entry(inode).or_default() += 1;
                files.kind(inode) == Ok(FileKind::File)
            }
            Kind::Directory { inode } => {
                *opens.entry(inode).or_default() += 1;
                files.kind(inode) == Ok(FileKind::Directory)
            }
        };
        if !is_there {
            return Err(RestoreError::Descriptor { number });
        }
    }
    Ok(opens)
}
