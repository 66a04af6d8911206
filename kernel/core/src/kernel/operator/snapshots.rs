//! Snapshot files on their way out of the node and into it, piece by piece.
//!
//! A file is drafted first, a few pages in each turn: all of it but its seal is made, and names the pages
//! of the cut, which stay where they are. Then it is sent, and its SHA-256 computed on the way. What would
//! take too much memory that way (compressed pages, large states) is made while it is sent. A file that
//! comes is read as it comes (`kernel::arrival`), and held no more than one that leaves.

use super::{Kernel, Session, unexpected};
use crate::image::BlobHash;
use crate::kernel::VERSION;
use crate::kernel::admission;
use crate::kernel::arrival::{Arrival, Settled};
use crate::limits;
use crate::machine::{Clock, Duration, FrozenMemory, Machine};
use crate::operator::{Bytes, Contents, Packing, Refusal, ToOperator, Violation};
use crate::snapshot::About;
use crate::snapshot::format::{Compression, Encoder, Options, Progress, Seal};
use crate::snapshot::parts::{CutPages, blob, memory_heads, objects};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Pages that are written in one step.
const PAGES_PER_STEP: usize = 64;
/// Pages that are compressed in one step, which takes an emulated processor tens of microseconds for each.
const COMPRESSED_PER_STEP: usize = 4;
/// Bytes that are sent at once: SHA-256 of them takes an emulated processor two hundred microseconds.
const SENT_AT_ONCE_BYTES: u64 = 16 * 1024;
/// Steps in one turn at most,
const STEPS_PER_TURN: usize = 8;
/// and how long a file is made in one: the others wait.
const TURN: Duration = Duration::from_micros(500);

/// Which file is to be sent, and how.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) request: u32,
    /// The snapshot.
    pub(super) name: &'a str,
    pub(super) contents: Contents,
    pub(super) packing: Packing,
}

/// A file that is being sent.
pub(super) struct Export {
    request: u32,
    encoder: Encoder,
    pages: CutPages,
    pages_per_step: usize,
    stage: Stage,
}

/// How far an [`Export`] is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is made, and nothing of it leaves.
    Drafting,
    Sending,
}

/// A file that is coming.
pub(super) struct Import {
    request: u32,
    state: Importing,
}

enum Importing {
    Arriving(Box<Arrival>),
    /// What comes is dropped.
    Refused {
        missing_bytes: u64,
    },
}

impl Kernel {
    /// Begins to send a snapshot's file.
    pub(super) fn begin_export(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        asked: Asked<'_>,
    ) -> Result<(), Violation> {
        if session.export.is_some() {
            return Err(unexpected("a second snapshot before the first was sent"));
        }
        match self.export(machine, asked) {
            Ok(export) => {
                self.snapshots.spend(&[asked.name.into()]);
                session.export = Some(export);
            }
            Err(text) => session.refuse(asked.request, Refusal::Control(text)),
        }
        Ok(())
    }

    fn export(&mut self, machine: &mut dyn Machine, asked: Asked<'_>) -> Result<Export, String> {
        let Asked {
            request,
            name,
            contents,
            packing,
        } = asked;
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
        for object in &objects {
            let bytes = object.bytes.length();
            if bytes > limits::SNAPSHOT_OBJECT_BYTES {
                return Err(format!(
                    "section '{}' would have {bytes} bytes and may have {}; let the instance \
                     remove files",
                    object.kind.name(),
                    limits::SNAPSHOT_OBJECT_BYTES
                ));
            }
        }
        if contents == Contents::SelfContained {
            let mut hashes: Vec<BlobHash> = cut.spec.blobs().collect();
            hashes.sort_unstable();
            hashes.dedup();
            for hash in hashes {
                objects.push(blob(hash, self.blobs.get(&hash)?));
            }
        }
        // A parent that is gone leaves a file that stands alone, and so does one with a larger memory:
        // what lies beyond the present end would come back when it grows.
        let parent = snapshot.parent.and_then(|id| self.snapshots.by_id(id));
        let parent = parent.filter(|(_, parent)| is_within(&parent.cut.memories, &cut.memories));
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
        let heads = memory_heads(&memories);
        let heap = Encoder::heap_bytes(&heads, limits::SNAPSHOT_DRAFT_BYTES);
        admission::file(machine, heap).map_err(|error| error.to_string())?;
        let encoder = Encoder::new(options, objects, heads);
        let encoder = match &self.keys {
            Some(keys) => encoder.tagged(keys.snapshots()),
            None => encoder,
        };
        Ok(Export {
            request,
            encoder,
            pages: CutPages::new(memories, parent.map(|(_, memories)| memories)),
            pages_per_step: match packing {
                Packing::Plain => PAGES_PER_STEP,
                Packing::Compressed => COMPRESSED_PER_STEP,
            },
            stage: Stage::Drafting,
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
        let state = match self.begin_arrival(machine, name, bytes) {
            Ok(arrival) => Importing::Arriving(Box::new(arrival)),
            Err(text) => {
                session.refuse(request, Refusal::Control(text));
                Importing::Refused {
                    missing_bytes: bytes,
                }
            }
        };
        session.import = Some(Import { request, state });
        session.end_refused_import();
        Ok(())
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
        let missing_bytes = import.state.missing_bytes().checked_sub(data.len() as u64);
        let missing_bytes = missing_bytes.ok_or(Violation::BeyondRoom { request })?;
        match &mut import.state {
            Importing::Arriving(arrival) => {
                if let Err(text) = self.read_arrival(machine, arrival, data) {
                    import.state = Importing::Refused { missing_bytes };
                    session.refuse(request, Refusal::Control(text));
                }
            }
            Importing::Refused {
                missing_bytes: rest,
            } => *rest = missing_bytes,
        }
        session.end_refused_import();
        Ok(())
    }

    /// Goes on with what came of a snapshot's file.
    pub(super) fn settle_import(&mut self, machine: &mut dyn Machine, session: &mut Session) {
        if !session.is_settling() {
            return;
        }
        session.unfinished = true;
        let Some(mut import) = session.import.take() else {
            return;
        };
        if let Importing::Arriving(arrival) = &mut import.state {
            match self.advance_arrival(machine, arrival) {
                Ok(Settled::NotYet) => {}
                Ok(Settled::Kept) => return session.done(import.request),
                Err(text) => {
                    // The rest may be on its way.
                    let missing_bytes = arrival.missing_bytes();
                    import.state = Importing::Refused { missing_bytes };
                    session.refuse(import.request, Refusal::Control(text));
                }
            }
        }
        session.import = Some(import);
        session.end_refused_import();
    }
}

/// Whether no memory was larger earlier.
fn is_within(earlier: &[FrozenMemory], later: &[FrozenMemory]) -> bool {
    let mut pairs = earlier.iter().zip(later);
    earlier.len() == later.len()
        && pairs.all(|(earlier, later)| earlier.size_bytes() <= later.size_bytes())
}

impl Importing {
    fn missing_bytes(&self) -> u64 {
        match self {
            Importing::Arriving(arrival) => arrival.missing_bytes(),
            Importing::Refused { missing_bytes } => *missing_bytes,
        }
    }
}

impl Session {
    /// Whether what came of a snapshot's file is being taken apart: nothing else is read meanwhile.
    pub(super) fn is_settling(&self) -> bool {
        let import = self.import.as_ref();
        import.is_some_and(|import| match &import.state {
            Importing::Arriving(arrival) => arrival.has_work(),
            Importing::Refused { .. } => false,
        })
    }

    /// Forgets a refused file once all of it was passed over.
    fn end_refused_import(&mut self) {
        let passed = |import: &mut Import| match import.state {
            Importing::Refused { missing_bytes } => missing_bytes == 0,
            Importing::Arriving(_) => false,
        };
        self.import.take_if(passed);
    }

    /// Sends what there is room for of a snapshot's file.
    pub(super) fn send_export(&mut self, clock: &dyn Clock) {
        let Some(export) = &mut self.export else {
            return;
        };
        let request = export.request;
        let end = clock.now() + TURN;
        let mut steps = 0;
        while !self.out.is_full() {
            let waiting = export.encoder.ready_bytes();
            if export.stage == Stage::Sending && waiting > 0 {
                let piece = waiting.min(SENT_AT_ONCE_BYTES) as usize;
                let data = Bytes(&[]);
                let message = ToOperator::SnapshotData { request, data };
                let fill = |out: &mut Vec<u8>| export.take(piece, out);
                self.out.push_data(&message, piece, fill);
                if clock.now() >= end {
                    self.unfinished = true;
                    return;
                }
                continue;
            }
            steps += 1;
            let progress = export.encoder.step(&export.pages, export.pages_per_step);
            if let Some(bytes) = export.end_draft(progress) {
                let drafted = ToOperator::SnapshotDrafted { request, bytes };
                self.out.push(&drafted);
            }
            if progress == Progress::Finished && export.encoder.ready_bytes() == 0 {
                self.export = None;
                return self.done(request);
            }
            if steps == STEPS_PER_TURN || clock.now() >= end {
                self.unfinished = true;
                return;
            }
        }
    }
}

impl Export {
    /// Appends the next bytes, of which there are so many.
    fn take(&mut self, bytes: usize, out: &mut Vec<u8>) {
        let mut missing = bytes;
        while missing > 0 {
            let ready = self.encoder.ready(&self.pages);
            let count = ready.len().min(missing);
            if count == 0 {
                return;
            }
            out.extend_from_slice(&ready[..count]);
            self.encoder.take(count, &self.pages);
            missing -= count;
        }
    }

    /// Lets the file leave once its draft is complete, whose bytes are then told, or has grown too large.
    fn end_draft(&mut self, progress: Progress) -> Option<u64> {
        let is_complete = progress != Progress::Working;
        let is_large = self.encoder.held_bytes() >= limits::SNAPSHOT_DRAFT_BYTES;
        if self.stage == Stage::Sending || !(is_complete || is_large) {
            return None;
        }
        self.stage = Stage::Sending;
        self.encoder.file_bytes()
    }
}
