//! Snapshot files on their way out of the node and into it, piece by piece.
//!
//! A file is made while it is sent, a few pages in each turn, and read while it comes: neither way does the
//! node hold it. What comes is a claim: pages go into memories of their own, states are decoded when all of
//! the file is there, and an instance that is made of it checks them once more.

use super::{Kernel, Session, unexpected};
use crate::control::ControlError;
use crate::image::BlobHash;
use crate::kernel::VERSION;
use crate::kernel::admission;
use crate::kernel::anew::require_sound;
use crate::kernel::snapshots::{Facts, Origin};
use crate::limits;
use crate::machine::{FrozenMemory, GuestMemory, Machine};
use crate::operator::{Bytes, Contents, Packing, Refusal, ToOperator, Violation};
use crate::snapshot::About;
use crate::snapshot::format::{
    Collector, Compression, Encoder, Header, MemoryHead, Options, PAGE_BYTES, Page, Progress, Seal,
    SectionKind, Sink,
};
use crate::snapshot::parts::{CutPages, Parts, blob, memory_heads, objects};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Pages that are written in one step.
const PAGES_PER_STEP: usize = 32;
/// Steps in one turn.
const STEPS_PER_TURN: usize = 4;

/// A file that is being sent.
pub(super) struct Export {
    request: u32,
    encoder: Encoder,
    pages: CutPages,
}

/// A file that is coming.
pub(super) struct Import {
    request: u32,
    name: String,
    bytes: u64,
    received: u64,
    /// None after a refusal: what comes is dropped.
    reading: Option<Reading>,
}

/// What came of a file.
#[derive(Default)]
struct Reading {
    collector: Collector,
    contents: Received,
}

/// What a file held so far.
#[derive(Default)]
struct Received {
    header: Option<Header>,
    parts: Parts,
    blobs: Vec<(BlobHash, Vec<u8>)>,
    /// The memories of the snapshot that it adds to.
    parent: Vec<FrozenMemory>,
    memories: Vec<Filling>,
    /// Bytes of pages that may still come.
    room_bytes: u64,
}

/// A memory that is being filled.
struct Filling {
    head: MemoryHead,
    memory: GuestMemory,
}

impl Kernel {
    /// Begins to send a snapshot's file.
    pub(super) fn begin_export(
        &mut self,
        session: &mut Session,
        request: u32,
        name: &str,
        contents: Contents,
        packing: Packing,
    ) -> Result<(), Violation> {
        if session.export.is_some() {
            return Err(unexpected("a second snapshot before the first was sent"));
        }
        match self.export(request, name, contents, packing) {
            Ok(export) => session.export = Some(export),
            Err(text) => session.refuse(request, Refusal::Control(text)),
        }
        Ok(())
    }

    fn export(
        &mut self,
        request: u32,
        name: &str,
        contents: Contents,
        packing: Packing,
    ) -> Result<Export, String> {
        let snapshot = self.snapshots.find(name);
        let snapshot = snapshot.map_err(|error| error.to_string())?;
        let cut = &snapshot.cut;
        let about = About {
            name: name.into(),
            node: self.name.clone(),
            kernel: VERSION.into(),
            wall_nanos: cut.wall_nanos,
            taken: snapshot.taken,
            macs: cut.macs.clone(),
            spec: cut.spec.clone(),
        };
        let mut objects = objects(&about, cut, snapshot.group.as_deref());
        if contents == Contents::SelfContained {
            let mut hashes: Vec<BlobHash> = cut.spec.blobs().collect();
            hashes.sort_unstable();
            hashes.dedup();
            for hash in hashes {
                objects.push(blob(hash, self.blobs.get(&hash)?));
            }
        }
        // A parent that is gone leaves a file that stands alone.
        let parent = snapshot.parent.and_then(|id| self.snapshots.by_id(id));
        let parent = parent.map(|(_, parent)| (parent.id, parent.cut.memories.clone()));
        let options = Options {
            id: snapshot.id,
            parent: parent.as_ref().map(|(id, _)| *id),
            compression: match packing {
                Packing::Plain => Compression::None,
                Packing::Compressed => Compression::Lz4,
            },
            seal: Seal::Sha256,
        };
        let memories = cut.memories.clone();
        Ok(Export {
            request,
            encoder: Encoder::new(options, objects, memory_heads(&memories)),
            pages: CutPages::new(memories, parent.map(|(_, memories)| memories)),
        })
    }

    /// Announces a file that comes.
    pub(super) fn begin_import(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        request: u32,
        name: &str,
        bytes: u64,
    ) -> Result<(), Violation> {
        if session.import.is_some() {
            return Err(unexpected("a snapshot within another"));
        }
        let admitted = self.admit_import(machine, name, bytes);
        let reading = match admitted {
            Ok(room_bytes) => {
                let mut reading = Reading::default();
                reading.contents.room_bytes = room_bytes;
                Some(reading)
            }
            Err(text) => {
                session.refuse(request, Refusal::Control(text));
                None
            }
        };
        session.import = Some(Import {
            request,
            name: name.into(),
            bytes,
            received: 0,
            reading,
        });
        self.finish_import(machine, session);
        Ok(())
    }

    fn admit_import(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        bytes: u64,
    ) -> Result<u64, String> {
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
        admission::blob(machine, bytes).map_err(|refusal| refusal.to_string())?;
        Ok(room_bytes)
    }

    /// The next bytes of a file.
    pub(super) fn continue_import(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        request: u32,
        data: &[u8],
    ) -> Result<(), Violation> {
        let import = session.import.as_mut();
        let Some(import) = import.filter(|import| import.request == request) else {
            return Err(unexpected("bytes of a snapshot that was not announced"));
        };
        import.received += data.len() as u64;
        if import.received > import.bytes {
            return Err(Violation::BeyondRoom { request });
        }
        let result = match &mut import.reading {
            Some(reading) => self.read_snapshot(machine, reading, data),
            None => Ok(()),
        };
        if let Err(text) = result {
            import.reading = None;
            session.refuse(request, Refusal::Control(text));
        }
        self.finish_import(machine, session);
        Ok(())
    }

    /// Keeps the snapshot if all of its file is there.
    fn finish_import(&mut self, machine: &mut dyn Machine, session: &mut Session) {
        let complete = |import: &mut Import| import.received == import.bytes;
        if let Some(import) = session.import.take_if(complete)
            && let Some(reading) = import.reading
        {
            let request = import.request;
            match self.keep_import(machine, &import.name, reading) {
                Ok(()) => session.done(request),
                Err(text) => session.refuse(request, Refusal::Control(text)),
            }
        }
    }

    fn read_snapshot(
        &mut self,
        machine: &mut dyn Machine,
        reading: &mut Reading,
        data: &[u8],
    ) -> Result<(), String> {
        let mut sink = Receiver {
            received: &mut reading.contents,
            kernel: self,
            machine,
        };
        match reading.collector.read(data, &mut sink) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Keeps a snapshot whose file is complete.
    fn keep_import(
        &mut self,
        machine: &mut dyn Machine,
        name: &str,
        reading: Reading,
    ) -> Result<(), String> {
        let finished = reading.collector.finish();
        finished.map_err(|error| error.to_string())?;
        let received = reading.contents;
        let about = received.parts.about().map_err(|error| error.to_string())?;
        require_sound(&about.spec).map_err(|error| error.to_string())?;
        if about.macs.len() != about.spec.ports.len() {
            return Err("the snapshot has another number of station addresses than ports".into());
        }
        let mut memories = Vec::new();
        for mut filling in received.memories {
            let frozen = filling.memory.freeze(filling.head.bytes as usize);
            memories.push(frozen.map_err(|error| error.to_string())?);
        }
        let cut = received.parts.cut(&about, memories);
        let cut = cut.map_err(|error| error.to_string())?;
        for (hash, bytes) in received.blobs {
            self.keep_blob(hash, bytes)?;
        }
        let Some(header) = received.header else {
            return Err("the snapshot has no header".into());
        };
        let group = received.parts.group().map_err(|error| error.to_string())?;
        if let Some(group) = &group {
            let checked = group.check(header.id, &about.spec.name);
            checked.map_err(|error| error.to_string())?;
            let admitted = self.snapshots.admit_group(group);
            admitted.map_err(|error| error.to_string())?;
        }
        let facts = Facts {
            group: group.map(Arc::new),
            id: header.id,
            parent: header.parent,
            taken: about.taken,
            origin: Origin::Imported,
        };
        self.snapshots
            .keep(machine, name, cut, facts)
            .map_err(|error| error.to_string())
    }

    /// Keeps a module or a file, whose hash was compared.
    fn keep_blob(&mut self, hash: BlobHash, bytes: Vec<u8>) -> Result<(), String> {
        if self.blobs.contains(&hash) {
            return Ok(());
        }
        let needed = bytes.len() as u64;
        let room_bytes = self.blobs.make_room(needed);
        if room_bytes < needed {
            let refusal = Refusal::BlobsFull {
                room_bytes,
                bytes: needed,
            };
            return Err(refusal.to_string());
        }
        self.blobs.put(hash, bytes.into());
        Ok(())
    }
}

impl Session {
    /// Sends what there is room for of a snapshot's file.
    pub(super) fn send_export(&mut self) {
        let Some(export) = &mut self.export else {
            return;
        };
        let request = export.request;
        let mut steps = 0;
        while !self.out.is_full() {
            let ready = export.encoder.ready();
            if !ready.is_empty() {
                let piece = ready.len().min(limits::OPERATOR_PIECE_BYTES);
                let data = Bytes(&ready[..piece]);
                self.out.push(&ToOperator::SnapshotData { request, data });
                export.encoder.take(piece);
                continue;
            }
            if steps == STEPS_PER_TURN {
                self.unfinished = true;
                return;
            }
            steps += 1;
            let progress = export.encoder.step(&export.pages, PAGES_PER_STEP);
            if progress == Progress::Finished && export.encoder.ready().is_empty() {
                self.export = None;
                return self.done(request);
            }
        }
    }
}

/// Takes what a file holds.
struct Receiver<'a> {
    received: &'a mut Received,
    kernel: &'a mut Kernel,
    machine: &'a mut dyn Machine,
}

impl Sink for Receiver<'_> {
    type Error = String;

    fn begin(&mut self, header: &Header) -> Result<(), String> {
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

    fn object(
        &mut self,
        kind: SectionKind,
        _version: u16,
        hash: Option<BlobHash>,
        bytes: Vec<u8>,
    ) -> Result<(), String> {
        match hash {
            Some(hash) => self.received.blobs.push((hash, bytes)),
            None => self.received.parts.put(kind, bytes),
        }
        Ok(())
    }

    fn memory(&mut self, head: MemoryHead) -> Result<(), String> {
        let bytes = head.pages() * PAGE_BYTES as u64;
        let memory = match self.received.parent.get(head.number as usize) {
            Some(parent) => {
                let bytes = bytes.max(parent.reserved_bytes() as u64);
                self.machine.map_frozen(parent, bytes)
            }
            None => self.machine.reserve_memory(bytes),
        };
        let memory = memory.map_err(|error| error.to_string())?;
        self.received.memories.push(Filling { head, memory });
        Ok(())
    }

    fn page(&mut self, memory: u32, page: u64, content: Page<'_>) -> Result<(), String> {
        let needed_bytes = PAGE_BYTES as u64;
        let room_bytes = self.received.room_bytes;
        let Some(rest) = room_bytes.checked_sub(needed_bytes) else {
            let error = ControlError::SnapshotsFull {
                needed_bytes,
                room_bytes,
            };
            return Err(error.to_string());
        };
        self.received.room_bytes = rest;
        let mut copy = [0; PAGE_BYTES];
        let bytes = match content {
            Page::Bytes { bytes, .. } => bytes,
            Page::Zero => &copy,
            Page::Repeat {
                memory: source,
                page,
            } => {
                let source = self.received.memories.get(source as usize);
                if let Some(source) = source {
                    source.memory.read_page(page as usize, &mut copy);
                }
                &copy
            }
        };
        let Some(filling) = self.received.memories.get_mut(memory as usize) else {
            return Ok(());
        };
        let loaded = filling.memory.load_page(page as usize, bytes);
        loaded.map_err(|error| error.to_string())
    }
}
