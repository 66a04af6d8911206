//! Files of snapshots that come to the node, over the channel or with the boot, piece by piece.
//!
//! What comes is a claim. Pages go into memories of their own while it comes; states are decoded when all
//! of the file was right, one in each step and within the memory that the node has; an instance that is
//! made of it checks them once more.

use super::anew::require_sound;
use super::snapshots::{Facts, Origin};
use super::{Kernel, admission};
use crate::control::ControlError;
use crate::image::BlobHash;
use crate::keys::NodeKeys;
use crate::machine::{FrozenMemory, GuestMemory, Machine};
use crate::snapshot::About;
use crate::snapshot::format::{
    Collector, Header, Maker, MemoryHead, PAGE_BYTES, Page, Pieces, SectionKind, Sink,
};
use crate::snapshot::parts::Parts;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Pages after which the rest waits for the next step; those of one section are taken together.
const PAGES_PER_STEP: usize = 256;

/// A file that is coming.
pub(super) struct Arrival {
    name: String,
    bytes: u64,
    received: u64,
    collector: Collector,
    /// Bytes that came and were not looked at, from `taken` on.
    waiting: Vec<u8>,
    taken: usize,
    contents: Received,
    /// What the file says of the instance, once it was right to its end.
    about: Option<About>,
}

/// What a file held so far, or another node sent.
#[derive(Default)]
pub(super) struct Received {
    header: Option<Header>,
    pub parts: Parts,
    pub blobs: Vec<(BlobHash, Arc<[u8]>)>,
    /// The memories of the snapshot that it adds to.
    parent: Vec<FrozenMemory>,
    pub memories: Vec<Filling>,
    /// Bytes of pages that may still come.
    room_bytes: u64,
    /// Pages that may still be taken in this step.
    pages_left: usize,
}

impl Received {
    /// Nothing yet of an instance that comes from another node, and may take what the machine has.
    pub fn from_node() -> Received {
        Received {
            room_bytes: u64::MAX,
            pages_left: usize::MAX,
            ..Received::default()
        }
    }
}

/// A memory that is being filled.
pub(super) struct Filling {
    head: MemoryHead,
    memory: GuestMemory,
    /// What it began as.
    parent: Option<FrozenMemory>,
    /// Pages that came, a bit for each.
    loaded: Vec<u64>,
}

impl Filling {
    /// The bytes that a page has now; none if they are zeros. Looking at a page that is not there would
    /// make one.
    fn page<'a>(
        &'a self,
        page: usize,
        copy: &'a mut [u8; PAGE_BYTES],
    ) -> Option<&'a [u8; PAGE_BYTES]> {
        if !self.is_loaded(page) {
            return self.parent.as_ref()?.page(page);
        }
        self.memory.read_page(page, copy);
        Some(copy)
    }

    fn is_loaded(&self, page: usize) -> bool {
        let word = self.loaded.get(page / 64).copied().unwrap_or(0);
        word >> (page % 64) & 1 == 1
    }

    /// The memory has become this large; what came of it stays.
    fn grow(&mut self, machine: &mut dyn Machine, head: MemoryHead) -> Result<(), String> {
        let frozen = self.memory.freeze(self.head.bytes as usize);
        let frozen = frozen.map_err(|error| error.to_string())?;
        let bytes = head.pages() * PAGE_BYTES as u64;
        let bytes = bytes.max(frozen.reserved_bytes() as u64);
        let memory = machine.map_frozen(&frozen, bytes);
        self.memory = memory.map_err(|error| error.to_string())?;
        self.head = head;
        Ok(())
    }

    /// What it holds, when all has come.
    ///
    /// # Errors
    /// In words: there is no memory for it.
    pub fn finish(mut self) -> Result<FrozenMemory, String> {
        let frozen = self.memory.freeze(self.head.bytes as usize);
        frozen.map_err(|error| error.to_string())
    }

    fn mark(&mut self, page: usize) {
        let words = self.loaded.len().max(page / 64 + 1);
        self.loaded.resize(words, 0);
        self.loaded[page / 64] |= 1 << (page % 64);
    }
}

/// Whether the node keeps what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Not yet: another step goes on.
    NotYet,
    /// It does.
    Kept,
}

impl Arrival {
    /// Whether there is something to do before the next bytes are taken.
    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.received == self.bytes
    }

    /// Bytes that have not come.
    pub fn missing_bytes(&self) -> u64 {
        self.bytes - self.received
    }
}

impl Kernel {
    /// Whether a file of so many bytes may come, to be kept under this name.
    ///
    /// # Errors
    /// In words: the name cannot be had, or there is no room.
    pub(super) fn begin_arrival(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        bytes: u64,
    ) -> Result<Arrival, String> {
        self.snapshots
            .admit(name)
            .map_err(|error| error.to_string())?;
        let room_bytes = self.snapshots.room_bytes(machine);
        if bytes > room_bytes {
            let error = ControlError::SnapshotsFull {
                needed_bytes: bytes,
                room_bytes,
            };
            return Err(error.to_string());
        }
        admission::arrival(machine, bytes).map_err(|refusal| refusal.to_string())?;
        Ok(Arrival {
            name: name.into(),
            bytes,
            received: 0,
            collector: Collector::with_key(self.keys.as_ref().map(NodeKeys::snapshots)),
            waiting: Vec::new(),
            taken: 0,
            contents: Received {
                room_bytes,
                pages_left: PAGES_PER_STEP,
                ..Received::default()
            },
            about: None,
        })
    }

    /// Takes the next bytes of a file: no more than [`Arrival::missing_bytes`], and none while it
    /// [has work](Arrival::has_work).
    ///
    /// # Errors
    /// In words: what is wrong with the file, or that there is no memory for it.
    pub(super) fn read_arrival(
        &mut self,
        machine: &mut dyn Machine,
        arrival: &mut Arrival,
        data: &[u8],
    ) -> Result<(), String> {
        arrival.received += data.len() as u64;
        let taken = self.take_sections(machine, arrival, data)?;
        arrival.waiting.extend_from_slice(&data[taken..]);
        Ok(())
    }

    /// Reads sections until a step has taken enough pages; tells how many bytes it read.
    fn take_sections(
        &mut self,
        machine: &mut dyn Machine,
        arrival: &mut Arrival,
        data: &[u8],
    ) -> Result<usize, String> {
        let mut rest = data;
        let mut sink = Receiver {
            received: &mut arrival.contents,
            kernel: self,
            machine,
        };
        while !rest.is_empty() && sink.received.pages_left > 0 {
            let step = arrival.collector.read_section(&mut rest, &mut sink);
            step.map_err(|error| error.to_string())?;
        }
        Ok(data.len() - rest.len())
    }

    /// Does one step for a file of which bytes wait or which is complete; keeps it in the end.
    ///
    /// # Errors
    /// In words: what is wrong with it, or why it cannot be kept.
    pub(super) fn advance_arrival(
        &mut self,
        machine: &mut dyn Machine,
        arrival: &mut Arrival,
    ) -> Result<Settled, String> {
        arrival.contents.pages_left = PAGES_PER_STEP;
        if !arrival.waiting.is_empty() {
            let waiting = core::mem::take(&mut arrival.waiting);
            let from = arrival.taken;
            let taken = self.take_sections(machine, arrival, &waiting[from..])?;
            if from + taken < waiting.len() {
                arrival.waiting = waiting;
                arrival.taken = from + taken;
            } else {
                arrival.taken = 0;
            }
            return Ok(Settled::NotYet);
        }
        if arrival.missing_bytes() > 0 {
            return Ok(Settled::NotYet);
        }
        let room_bytes = admission::spare_bytes(machine);
        let parts = &mut arrival.contents.parts;
        if arrival.about.is_none() {
            let finished = arrival.collector.finish();
            finished.map_err(|error| error.to_string())?;
            let about = parts.about(room_bytes);
            let about = about.map_err(|error| error.to_string())?;
            require_sound(&about.spec).map_err(|error| error.to_string())?;
            arrival.about = Some(about);
            return Ok(Settled::NotYet);
        }
        let decoded = parts.decode_next(room_bytes);
        if decoded.map_err(|error| error.to_string())? {
            return Ok(Settled::NotYet);
        }
        let about = arrival.about.take();
        let received = core::mem::take(&mut arrival.contents);
        let (Some(about), Some(header)) = (about, received.header) else {
            return Err("the snapshot has no header".into());
        };
        let maker = arrival.collector.maker();
        self.keep_received(machine, &arrival.name, about, header, received, maker)?;
        Ok(Settled::Kept)
    }

    /// That a snapshot is not here already.
    fn require_new(&self, header: &Header) -> Result<(), String> {
        match self.snapshots.by_id(header.id) {
            Some((name, _)) => Err(format!("this snapshot is here already, as '{name}'")),
            None => Ok(()),
        }
    }

    /// Keeps a snapshot whose states are decoded.
    fn keep_received(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        about: About,
        header: Header,
        mut received: Received,
        maker: Maker,
    ) -> Result<(), String> {
        // Another file may have come at the same time.
        self.require_new(&header)?;
        let group = received.parts.group(admission::spare_bytes(machine));
        let group = group.map_err(|error| error.to_string())?;
        if let Some(group) = &group {
            let checked = group.check(header.id, &about.spec.name);
            checked.map_err(|error| error.to_string())?;
            if group.name == name {
                // It would hide the group, whose other members could not come.
                return Err(ControlError::SnapshotExists(name.into()).to_string());
            }
            let admitted = self.snapshots.admit_group(group);
            admitted.map_err(|error| error.to_string())?;
        }
        let mut memories = Vec::new();
        for filling in received.memories {
            memories.push(filling.finish()?);
        }
        let cut = received.parts.cut(&about, memories);
        let mut cut = cut.map_err(|error| error.to_string())?;
        let checked = cut.check_stations();
        checked.map_err(|error| error.to_string())?;
        let held = self.blobs.keep_for(&cut.spec, received.blobs);
        cut.blobs = held.map_err(|refusal| refusal.to_string())?;
        let facts = Facts {
            group: group.map(Arc::new),
            id: header.id,
            parent: header.parent,
            taken: about.taken,
            origin: Origin::Imported(maker),
        };
        self.snapshots
            .keep(machine, name, cut, facts)
            .map_err(|error| error.to_string())
    }
}

/// Takes what a file holds, or another node sends.
pub(super) struct Receiver<'a> {
    pub received: &'a mut Received,
    pub kernel: &'a mut Kernel,
    pub machine: &'a mut dyn Machine,
}

impl Sink for Receiver<'_> {
    type Error = String;

    fn begin(&mut self, header: &Header) -> Result<(), String> {
        self.kernel.require_new(header)?;
        if let Some(id) = header.parent {
            let parent = self.kernel.snapshots.by_id(id);
            let (_, parent) = parent.ok_or_else(|| {
                format!("it adds to the snapshot {id}, which is not here; import that first")
            })?;
            self.received.parent = parent.cut.memories.clone();
        }
        self.received.header = Some(*header);
        Ok(())
    }

    fn reserve(&mut self, _kind: SectionKind, bytes: usize) -> Result<(), String> {
        let admitted = admission::arrival(self.machine, bytes as u64);
        admitted.map_err(|refusal| refusal.to_string())
    }

    fn object(
        &mut self,
        kind: SectionKind,
        _version: u16,
        hash: Option<BlobHash>,
        bytes: Pieces,
    ) -> Result<(), String> {
        let Some(hash) = hash else {
            self.received.parts.put(kind, bytes);
            return Ok(());
        };
        if let Some(here) = self.kernel.blobs.held(&hash) {
            // It must not go before the rest has come.
            self.received.blobs.push((hash, here));
        } else if !self.kernel.blobs.contains(&hash) {
            // It is moved into one piece.
            let admitted = admission::arrival(self.machine, bytes.len() as u64);
            admitted.map_err(|refusal| refusal.to_string())?;
            self.received.blobs.push((hash, bytes.into_shared()));
        }
        Ok(())
    }

    fn memory(&mut self, head: MemoryHead) -> Result<(), String> {
        if let Some(known) = self.received.memories.get_mut(head.number as usize) {
            return match known.head == head {
                true => Ok(()),
                false => known.grow(self.machine, head),
            };
        }
        let bytes = head.pages() * PAGE_BYTES as u64;
        let parent = self.received.parent.get(head.number as usize);
        let memory = match parent {
            Some(parent) => {
                // They would come to light when the memory grows.
                if parent.next_page(head.pages() as usize).is_some() {
                    return Err(format!(
                        "memory {} is smaller than in the snapshot that it adds to; take one \
                         without --incremental",
                        head.number
                    ));
                }
                let bytes = bytes.max(parent.reserved_bytes() as u64);
                self.machine.map_frozen(parent, bytes)
            }
            None => self.machine.reserve_memory(bytes),
        };
        let filling = Filling {
            head,
            memory: memory.map_err(|error| error.to_string())?,
            parent: parent.cloned(),
            loaded: Vec::new(),
        };
        self.received.memories.push(filling);
        Ok(())
    }

    fn page(&mut self, memory: u32, page: u64, content: Page<'_>) -> Result<(), String> {
        let Received {
            memories,
            room_bytes,
            pages_left,
            ..
        } = &mut *self.received;
        *pages_left = pages_left.saturating_sub(1);
        let Ok(page) = usize::try_from(page) else {
            return Ok(());
        };
        let repeated;
        let bytes = match content {
            Page::Bytes { bytes, .. } => Some(bytes),
            Page::Zero => None,
            Page::Repeat {
                memory: source,
                page,
            } => {
                let mut copy = [0; PAGE_BYTES];
                let source = memories.get(source as usize);
                repeated = source.and_then(|source| source.page(page as usize, &mut copy).copied());
                repeated.as_ref()
            }
        };
        let Some(filling) = memories.get_mut(memory as usize) else {
            return Ok(());
        };
        let parent = filling.parent.as_ref();
        // In an earlier round.
        let came_before = filling.is_loaded(page);
        if bytes.is_none() && !came_before && parent.and_then(|it| it.page(page)).is_none() {
            // Zeros, as is what is not there.
            return Ok(());
        }
        if !came_before {
            take_page_room(self.machine, room_bytes)?;
        }
        let loaded = filling
            .memory
            .load_page(page, bytes.unwrap_or(&[0; PAGE_BYTES]));
        loaded.map_err(|error| error.to_string())?;
        filling.mark(page);
        Ok(())
    }
}

/// Whether another page may be held: within what snapshots may take, and what the machine has.
fn take_page_room(machine: &dyn Machine, room_bytes: &mut u64) -> Result<(), String> {
    let needed_bytes = PAGE_BYTES as u64;
    let Some(rest) = room_bytes.checked_sub(needed_bytes) else {
        let error = ControlError::SnapshotsFull {
            needed_bytes,
            room_bytes: *room_bytes,
        };
        return Err(error.to_string());
    };
    admission::arrival(machine, needed_bytes).map_err(|refusal| refusal.to_string())?;
    *room_bytes = rest;
    Ok(())
}
