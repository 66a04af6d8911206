//! A [`Cut`] as the objects and pages of a file, and back.
//!
//! Every state is one object in postcard. What comes back is data of the right shape and nothing more:
//! each part checks its own when an instance is made of it.

use super::format::{MemoryHead, Object, PAGE_BYTES, PageSource, SectionKind};
use super::{About, Cut, Group};
use crate::image::{BlobBytes, BlobHash};
use crate::machine::FrozenMemory;
use crate::plain::Bytes;
use alloc::vec::Vec;
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Pages that one look for the next page passes at most.
const PAGES_PASSED: usize = 4096;

/// The frames that waited in each port, as they are stored.
#[derive(Serialize, Deserialize)]
struct Waiting(Vec<Vec<Bytes>>);

/// The states of a cut as objects, in the order of a file, without its modules and files.
pub fn objects(about: &About, cut: &Cut, group: Option<&Group>) -> Vec<Object> {
    let frames = cut.frames.iter();
    let waiting = frames.map(|port| port.iter().cloned().map(Bytes).collect());
    let mut objects = Vec::from([
        object(SectionKind::About, about),
        object(SectionKind::Execution, &cut.execution),
        object(SectionKind::Guest, &cut.guest),
        object(SectionKind::Network, &cut.stack),
        object(SectionKind::Waiting, &Waiting(waiting.collect())),
    ]);
    objects.extend(group.map(|group| object(SectionKind::Group, group)));
    objects
}

/// A module or a file.
pub fn blob(hash: BlobHash, bytes: BlobBytes) -> Object {
    Object {
        kind: SectionKind::Blob,
        hash: Some(hash),
        bytes,
    }
}

fn object<T: Serialize>(kind: SectionKind, state: &T) -> Object {
    // Plain data of known lengths, which postcard can always hold.
    let bytes = postcard::to_allocvec(state).unwrap_or_default();
    Object {
        kind,
        hash: None,
        bytes: BlobBytes::Held(bytes.into()),
    }
}

/// Bytes that the states of a cut take in a file.
pub fn state_bytes(cut: &Cut) -> u64 {
    fn size<T: Serialize>(state: &T) -> u64 {
        postcard::experimental::serialized_size(state).unwrap_or(0) as u64
    }
    let frames = cut.frames.iter().flatten();
    let frames: u64 = frames.map(|frame| frame.len() as u64).sum();
    size(&cut.execution) + size(&cut.guest) + size(&cut.stack) + frames
}

/// The memories of a cut as a file names them.
pub fn memory_heads(memories: &[FrozenMemory]) -> Vec<MemoryHead> {
    let heads = memories.iter().enumerate();
    heads
        .map(|(number, memory)| MemoryHead {
            number: number as u32,
            bytes: memory.size_bytes() as u64,
        })
        .collect()
}

/// Objects of a file on their way back.
#[derive(Debug, Default)]
pub struct Parts {
    about: Option<Vec<u8>>,
    execution: Option<Vec<u8>>,
    guest: Option<Vec<u8>>,
    network: Option<Vec<u8>>,
    waiting: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
}

/// An object whose bytes are no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable(pub SectionKind);

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name();
        write!(
            f,
            "section '{name}' does not decode; it was made by another version of the kernel"
        )
    }
}

impl Parts {
    /// Takes an object that is no blob.
    pub fn put(&mut self, kind: SectionKind, bytes: Vec<u8>) {
        let place = match kind {
            SectionKind::About => &mut self.about,
            SectionKind::Execution => &mut self.execution,
            SectionKind::Guest => &mut self.guest,
            SectionKind::Network => &mut self.network,
            SectionKind::Waiting => &mut self.waiting,
            SectionKind::Group => &mut self.group,
            SectionKind::Blob | SectionKind::Memory | SectionKind::Pages | SectionKind::Table => {
                return;
            }
        };
        *place = Some(bytes);
    }

    /// What the file says of the instance.
    ///
    /// # Errors
    /// [`Undecodable`].
    pub fn about(&self) -> Result<About, Undecodable> {
        decode(SectionKind::About, self.about.as_deref())
    }

    /// The group that the file names, if it does.
    ///
    /// # Errors
    /// [`Undecodable`].
    pub fn group(&self) -> Result<Option<Group>, Undecodable> {
        let bytes = self.group.as_deref();
        bytes
            .map(|bytes| decode(SectionKind::Group, Some(bytes)))
            .transpose()
    }

    /// The cut, with memories that were filled meanwhile.
    ///
    /// # Errors
    /// [`Undecodable`] names the first object that does not decode.
    pub fn cut(&self, about: &About, memories: Vec<FrozenMemory>) -> Result<Cut, Undecodable> {
        let frames = match self.waiting.as_deref() {
            Some(bytes) => {
                let Waiting(ports) = decode(SectionKind::Waiting, Some(bytes))?;
                let frames = |port: Vec<Bytes>| port.into_iter().map(|frame| frame.0).collect();
                ports.into_iter().map(frames).collect()
            }
            None => Vec::new(),
        };
        Ok(Cut {
            spec: about.spec.clone(),
            macs: about.macs.clone(),
            wall_nanos: about.wall_nanos,
            execution: decode(SectionKind::Execution, self.execution.as_deref())?,
            guest: decode(SectionKind::Guest, self.guest.as_deref())?,
            stack: decode(SectionKind::Network, self.network.as_deref())?,
            frames,
            memories,
        })
    }
}

/// A state from all of its object's bytes.
pub fn decode<T: DeserializeOwned>(
    kind: SectionKind,
    bytes: Option<&[u8]>,
) -> Result<T, Undecodable> {
    match postcard::take_from_bytes(bytes.unwrap_or_default()) {
        Ok((state, [])) => Ok(state),
        _ => Err(Undecodable(kind)),
    }
}

/// The pages of a cut, or those that differ from its parent's.
#[derive(Debug)]
pub struct CutPages {
    memories: Vec<FrozenMemory>,
    parent: Option<Vec<FrozenMemory>>,
}

impl CutPages {
    /// The pages of these memories, shared.
    pub fn new(memories: Vec<FrozenMemory>, parent: Option<Vec<FrozenMemory>>) -> CutPages {
        CutPages { memories, parent }
    }

    fn parent_of(&self, memory: u32) -> Option<&FrozenMemory> {
        self.parent.as_ref()?.get(memory as usize)
    }
}

impl PageSource for CutPages {
    fn next_page(&self, memory: u32, from: u64) -> Option<u64> {
        let own = self.memories.get(memory as usize)?;
        let mut from = usize::try_from(from).ok()?;
        let Some(parent) = self.parent_of(memory) else {
            return own.next_page(from).map(|page| page as u64);
        };
        // A page that is there in the parent alone has become zero.
        for _ in 0..PAGES_PASSED {
            let next = [own.next_page(from), parent.next_page(from)];
            let page = next.into_iter().flatten().min()?;
            if !own.same_page(parent, page) {
                return Some(page as u64);
            }
            from = page + 1;
        }
        // Enough for one step: this page is written though it need not be.
        Some(from as u64)
    }

    fn page(&self, memory: u32, page: u64) -> Option<&[u8; PAGE_BYTES]> {
        let page = usize::try_from(page).ok()?;
        self.memories.get(memory as usize)?.page(page)
    }
}
