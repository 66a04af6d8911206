//! States as bytes, a window at a time.
//!
//! A state is never encoded as a whole: each window is made by walking the state once more, with
//! what lies before the window passed over. Runs of bytes (files, buffers, frames) are passed over
//! at once, so a walk costs what the state has of other fields, and the node needs memory for one
//! window only.

use crate::snapshot::Cut;
use crate::snapshot::format::{SectionKind, Windows};
use alloc::rc::Rc;
use alloc::vec::Vec;
use postcard::ser_flavors::Flavor;
use serde::{Serialize, Serializer};

/// One state of a cut.
pub(super) struct State {
    cut: Rc<Cut>,
    kind: SectionKind,
    length: usize,
}

impl State {
    /// The state of this kind.
    pub fn new(cut: &Rc<Cut>, kind: SectionKind) -> State {
        State {
            length: length(cut, kind),
            cut: cut.clone(),
            kind,
        }
    }
}

impl Windows for State {
    fn length(&self) -> usize {
        self.length
    }

    fn append(&self, from: usize, most: usize, out: &mut Vec<u8>) {
        let cut = &*self.cut;
        match self.kind {
            SectionKind::Execution => append(&cut.execution, from, most, out),
            SectionKind::Guest => append(&cut.guest, from, most, out),
            SectionKind::Network => append(&cut.stack, from, most, out),
            SectionKind::Waiting => append(&Ports(&cut.frames), from, most, out),
            SectionKind::About
            | SectionKind::Group
            | SectionKind::Blob
            | SectionKind::Memory
            | SectionKind::Pages
            | SectionKind::Table => {}
        }
    }
}

/// Bytes that a state of a cut takes in a file.
pub(super) fn length(cut: &Cut, kind: SectionKind) -> usize {
    match kind {
        SectionKind::Execution => size(&cut.execution),
        SectionKind::Guest => size(&cut.guest),
        SectionKind::Network => size(&cut.stack),
        SectionKind::Waiting => size(&Ports(&cut.frames)),
        SectionKind::About
        | SectionKind::Group
        | SectionKind::Blob
        | SectionKind::Memory
        | SectionKind::Pages
        | SectionKind::Table => 0,
    }
}

fn size(state: &impl Serialize) -> usize {
    // Plain data of known lengths, which postcard can always hold.
    postcard::experimental::serialized_size(state).unwrap_or(0)
}

/// Appends at most `most` bytes of a state's encoding, from byte `from` on.
pub(super) fn append(state: &impl Serialize, from: usize, most: usize, out: &mut Vec<u8>) {
    let window = Window {
        before: from,
        room: most,
        out,
    };
    // It ends with an error where the window does, and plain data knows no other.
    let _ = postcard::serialize_with_flavor(state, window);
}

/// Takes the bytes of a window, and ends what gives them behind it.
struct Window<'a> {
    /// Bytes that are still to be passed over.
    before: usize,
    /// Bytes that are still to be taken.
    room: usize,
    out: &'a mut Vec<u8>,
}

impl Flavor for Window<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let passed = bytes.len().min(self.before);
        self.before -= passed;
        let bytes = &bytes[passed..];
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.out.extend_from_slice(&bytes[..taken]);
        match self.room {
            0 => Err(postcard::Error::SerializeBufferFull),
            _ => Ok(()),
        }
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The frames that waited in each port, as they are stored.
struct Ports<'a>(&'a [Vec<Vec<u8>>]);

struct Frames<'a>(&'a [Vec<u8>]);

struct Frame<'a>(&'a [u8]);

impl Serialize for Ports<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|port| Frames(port)))
    }
}

impl Serialize for Frames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|frame| Frame(frame)))
    }
}

impl Serialize for Frame<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}
