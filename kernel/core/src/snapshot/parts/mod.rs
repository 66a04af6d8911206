//! A [`Cut`] as the objects and pages of a file, and back.
//!
//! Every state is one object in postcard. What comes back is data of the right shape and nothing more:
//! each part checks its own when an instance is made of it.
//!
//! - `encode`: states as bytes, a window at a time; - `decode`: the way back, within a bound of memory;
//! - `pages`: the memories.

mod decode;
mod encode;
mod pages;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub use pages::{CutPages, memory_heads};

use super::format::{Object, ObjectBytes, Pieces, SectionKind};
use super::{About, Cut, Group};
use crate::host::GuestState;
use crate::image::{BlobBytes, BlobHash};
use crate::instance::engine::ExecutionState;
use crate::machine::FrozenMemory;
use crate::net::stack::StackState;
use crate::plain::Bytes;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The states that are encoded while a file is made of them.
const STATES: [SectionKind; 4] = [
    SectionKind::Execution,
    SectionKind::Guest,
    SectionKind::Network,
    SectionKind::Waiting,
];

/// The frames that waited in each port, as they are stored.
#[derive(Debug, Deserialize)]
struct Waiting(Vec<Vec<Bytes>>);

/// The states of a cut as objects, in the order of a file, without its modules and files.
pub fn objects(about: &About, cut: &Rc<Cut>, group: Option<&Group>) -> Vec<Object> {
    let state = |kind| Object {
        kind,
        hash: None,
        bytes: ObjectBytes::Made(Rc::new(encode::State::new(cut, kind))),
    };
    core::iter::once(small(SectionKind::About, about))
        .chain(STATES.into_iter().map(state))
        .chain(group.map(|group| small(SectionKind::Group, group)))
        .collect()
}

/// What is said of an instance before anything of it comes.
pub fn description(about: &About) -> Object {
    small(SectionKind::About, about)
}

/// An object that is encoded at once.
fn small<T: Serialize>(kind: SectionKind, state: &T) -> Object {
    // Plain data of known lengths, which postcard can always hold.
    let bytes = postcard::to_allocvec(state).unwrap_or_default();
    Object {
        kind,
        hash: None,
        bytes: BlobBytes::Held(bytes.into()).into(),
    }
}

/// A module or a file.
pub fn blob(hash: BlobHash, bytes: BlobBytes) -> Object {
    Object {
        kind: SectionKind::Blob,
        hash: Some(hash),
        bytes: bytes.into(),
    }
}

/// Bytes that the states of a cut take in a file.
pub fn state_bytes(cut: &Cut) -> u64 {
    let lengths = STATES.into_iter().map(|kind| encode::length(cut, kind));
    lengths.map(|length| length as u64).sum()
}

/// Objects of a file on their way back.
#[derive(Debug, Default)]
pub struct Parts {
    about: Option<Pieces>,
    execution: Part<ExecutionState>,
    guest: Part<GuestState>,
    network: Part<StackState>,
    waiting: Part<Waiting>,
    group: Option<Pieces>,
}

/// One state on its way back.
#[derive(Debug, Default)]
enum Part<T> {
    /// It did not come.
    #[default]
    Missing,
    /// Its bytes came.
    Bytes(Pieces),
    /// It is there.
    Decoded(Box<T>),
}

/// Why an object becomes no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartError {
    /// Its bytes are none.
    Undecodable(SectionKind),
    /// It may take more than there is room for.
    NoMemory {
        /// Which.
        kind: SectionKind,
        /// The room.
        room_bytes: u64,
    },
}

impl fmt::Display for PartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartError::Undecodable(kind) => write!(
                f,
                "section '{}' does not decode; it was made by another version of the kernel",
                kind.name()
            ),
            PartError::NoMemory { kind, room_bytes } => write!(
                f,
                "section '{}' may take more than the {} KiB that the node has free; stop an \
                 instance or give the node more memory",
                kind.name(),
                room_bytes / 1024
            ),
        }
    }
}

impl core::error::Error for PartError {}

impl<T: DeserializeOwned> Part<T> {
    /// Decodes its bytes, if they are not decoded yet; tells whether there was something to do.
    fn advance(&mut self, kind: SectionKind, room_bytes: u64) -> Result<bool, PartError> {
        match core::mem::take(self) {
            Part::Bytes(bytes) => {
                *self = Part::Decoded(Box::new(decode(kind, bytes, room_bytes)?));
                Ok(true)
            }
            other => {
                *self = other;
                Ok(false)
            }
        }
    }

    fn take(self, kind: SectionKind) -> Result<T, PartError> {
        match self {
            Part::Decoded(state) => Ok(*state),
            Part::Missing | Part::Bytes(_) => Err(PartError::Undecodable(kind)),
        }
    }
}

impl Parts {
    /// Takes an object that is no blob.
    pub fn put(&mut self, kind: SectionKind, bytes: Pieces) {
        match kind {
            SectionKind::About => self.about = Some(bytes),
            SectionKind::Execution => self.execution = Part::Bytes(bytes),
            SectionKind::Guest => self.guest = Part::Bytes(bytes),
            SectionKind::Network => self.network = Part::Bytes(bytes),
            SectionKind::Waiting => self.waiting = Part::Bytes(bytes),
            SectionKind::Group => self.group = Some(bytes),
            SectionKind::Blob | SectionKind::Memory | SectionKind::Pages | SectionKind::Table => {}
        }
    }

    /// What the file says of the instance; it may take `room_bytes` of heap.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn about(&mut self, room_bytes: u64) -> Result<About, PartError> {
        let bytes = self.about.take().unwrap_or_default();
        decode(SectionKind::About, bytes, room_bytes)
    }

    /// The group that the file names, if it does; it may take `room_bytes` of heap.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn group(&mut self, room_bytes: u64) -> Result<Option<Group>, PartError> {
        let bytes = self.group.take();
        bytes
            .map(|bytes| decode(SectionKind::Group, bytes, room_bytes))
            .transpose()
    }

    /// Decodes the next state, which may take `room_bytes` of heap; tells whether there was one.
    ///
    /// # Errors
    /// [`PartError`] names the object that does not decode.
    pub fn decode_next(&mut self, room_bytes: u64) -> Result<bool, PartError> {
        Ok(self.execution.advance(SectionKind::Execution, room_bytes)?
            || self.guest.advance(SectionKind::Guest, room_bytes)?
            || self.network.advance(SectionKind::Network, room_bytes)?
            || self.waiting.advance(SectionKind::Waiting, room_bytes)?)
    }

    /// The cut, with memories that were filled meanwhile, when all states are decoded.
    ///
    /// # Errors
    /// [`PartError`] names an object that is not there.
    pub fn cut(self, about: &About, memories: Vec<FrozenMemory>) -> Result<Cut, PartError> {
        let waiting = match self.waiting {
            Part::Missing => Waiting(Vec::new()),
            part => part.take(SectionKind::Waiting)?,
        };
        let frames = |port: Vec<Bytes>| port.into_iter().map(|frame| frame.0).collect();
        Ok(Cut {
            spec: about.spec.clone(),
            macs: about.macs.clone(),
            wall_nanos: about.wall_nanos,
            execution: self.execution.take(SectionKind::Execution)?,
            guest: self.guest.take(SectionKind::Guest)?,
            stack: self.network.take(SectionKind::Network)?,
            frames: waiting.0.into_iter().map(frames).collect(),
            memories,
            blobs: Vec::new(),
        })
    }
}
