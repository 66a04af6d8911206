//! Any bytes as a snapshot file (target `snapshot_file`): the container, the states in it, and their inspection.

use super::file::File;
use serde::de::DeserializeOwned;
use sos::snapshot::Inspection;
use sos_core::host::GuestState;
use sos_core::instance::engine::ExecutionState;
use sos_core::limits;
use sos_core::net::stack::StackState;
use sos_core::snapshot::format::{Pieces, SectionKind, Summary};
use sos_core::snapshot::parts;

/// Heap that a state may take.
const ROOM_BYTES: u64 = 8 << 20;
/// Pieces in which its bytes come.
const PIECE_BYTES: usize = 100;

/// Reads `bytes` as they are, and with all checksums made right.
///
/// # Panics
/// When what is read is not within its bounds.
pub fn run(bytes: &[u8]) {
    inspect(bytes);
    let Some(file) = File::read(bytes) else {
        return;
    };
    inspect(&file.seal());
    for section in &file.sections {
        // What decodes is data and no more; here it only has to be taken or refused.
        decode::<ExecutionState>(SectionKind::Execution, &section.payload);
        decode::<GuestState>(SectionKind::Guest, &section.payload);
        decode::<StackState>(SectionKind::Network, &section.payload);
    }
}

fn decode<T: DeserializeOwned>(kind: SectionKind, bytes: &[u8]) {
    let pieces: Pieces = bytes.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
    let _ = parts::decode::<T>(kind, pieces, ROOM_BYTES);
}

fn inspect(bytes: &[u8]) {
    let inspection = Inspection::new(Summary::read(bytes));
    let summary = &inspection.summary;
    assert_eq!(summary.complete, summary.error.is_none());
    let memories = summary.memories.iter();
    let memory_bytes: u64 = memories.map(|memory| memory.head.bytes).sum();
    assert!(memory_bytes <= limits::MEMORY_BYTES_MOST);
    assert!(summary.blobs.len() <= limits::IMAGE_BLOBS);
    let obeyed = |character: char| character.is_control() && character != '\n';
    assert!(!inspection.text().contains(obeyed), "a terminal would obey");
    assert!(!inspection.json().is_empty());
}
