//! The frames of a call stack as two lists: a head for each, and the values of all. Deep stacks are
//! captured in the time of two growing lists, where one list for each frame's locals and operands would
//! take more to allocate than to fill. In bytes they are a list of [`Frame`]s.

use super::{At, Frame};
use crate::state::{FunctionRef, Value};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Calls, outermost first. Made of a list of [`Frame`]s, or by a capture.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    heads: Vec<Head>,
    /// Of each frame its locals, then its operands; the frames in any order.
    values: Vec<Value>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    function: FunctionRef,
    operator: u32,
    at: At,
    /// Where its values begin, where its operands do, and where its values end.
    begin: usize,
    operands: usize,
    end: usize,
}

impl Head {
    /// Of a frame that is yet to be told.
    const UNTOLD: Head = Head {
        function: FunctionRef {
            module: 0,
            function: 0,
        },
        operator: 0,
        at: At::Entry,
        begin: 0,
        operands: 0,
        end: 0,
    };
}

/// One call, as [`Frame`] but borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FrameRef<'a> {
    /// See [`Frame::function`].
    pub function: FunctionRef,
    /// See [`Frame::operator`].
    pub operator: u32,
    /// See [`Frame::at`].
    pub at: At,
    /// See [`Frame::locals`].
    pub locals: &'a [Value],
    /// See [`Frame::operands`].
    pub operands: &'a [Value],
}

impl Frames {
    /// Heap of one frame without its values.
    pub(super) const HEAD_BYTES: usize = size_of::<Head>();

    /// So many frames that are yet to be told.
    pub(super) fn untold(frames: usize) -> Frames {
        Frames {
            heads: vec![Head::UNTOLD; frames],
            values: Vec::new(),
        }
    }

    /// Makes room for so many values beyond those that are there, and no more.
    pub(super) fn reserve(&mut self, values: usize) {
        self.values.reserve_exact(values);
    }

    /// The values.
    pub(super) fn values(&mut self) -> &mut Vec<Value> {
        &mut self.values
    }

    /// Adds so many values that are yet to be told; tells the number of the first.
    pub(super) fn grow(&mut self, values: usize) -> usize {
        let begin = self.values.len();
        self.values.resize(begin + values, Value::I32(0));
        begin
    }

    /// Values from that number on.
    pub(super) fn values_from(&mut self, begin: usize) -> &mut [Value] {
        self.values.get_mut(begin..).unwrap_or_default()
    }

    /// The frame at `index` is this: of its `width` values, which begin at `begin`, the first `locals` are locals.
    pub(super) fn tell(
        &mut self,
        index: usize,
        (function, operator, at): (FunctionRef, u32, At),
        begin: usize,
        locals: usize,
        width: usize,
    ) {
        if let Some(head) = self.heads.get_mut(index) {
            *head = Head {
                function,
                operator,
                at,
                begin,
                operands: begin + locals,
                end: begin + width,
            };
        }
    }

    /// Heap that they take.
    pub fn heap_bytes(&self) -> usize {
        self.heads.capacity() * size_of::<Head>() + self.values.capacity() * size_of::<Value>()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Each of them, outermost first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FrameRef<'_>> + DoubleEndedIterator {
        self.heads.iter().map(|head| FrameRef {
            function: head.function,
            operator: head.operator,
            at: head.at,
            locals: &self.values[head.begin..head.operands],
            operands: &self.values[head.operands..head.end],
        })
    }
}

impl PartialEq for Frames {
    fn eq(&self, other: &Frames) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Frames {}

impl Extend<Frame> for Frames {
    fn extend<I: IntoIterator<Item = Frame>>(&mut self, frames: I) {
        for frame in frames {
            let begin = self.values.len();
            self.values.extend(&frame.locals);
            self.values.extend(&frame.operands);
            self.heads.push(Head {
                function: frame.function,
                operator: frame.operator,
                at: frame.at,
                begin,
                operands: begin + frame.locals.len(),
                end: self.values.len(),
            });
        }
    }
}

impl From<Vec<Frame>> for Frames {
    fn from(frames: Vec<Frame>) -> Frames {
        let mut flat = Frames::default();
        flat.extend(frames);
        flat
    }
}

impl From<&Frames> for Vec<Frame> {
    fn from(frames: &Frames) -> Vec<Frame> {
        let owned = |frame: FrameRef<'_>| Frame {
            function: frame.function,
            operator: frame.operator,
            at: frame.at,
            locals: frame.locals.to_vec(),
            operands: frame.operands.to_vec(),
        };
        frames.iter().map(owned).collect()
    }
}

impl Serialize for Frames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Frames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Frames, D::Error> {
        deserializer.deserialize_seq(FramesVisitor)
    }
}

/// Takes one frame after the other, so that no list of lists is there.
struct FramesVisitor;

impl<'de> Visitor<'de> for FramesVisitor {
    type Value = Frames;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("frames")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut frames: A) -> Result<Frames, A::Error> {
        let mut flat = Frames::default();
        while let Some(frame) = frames.next_element::<Frame>()? {
            flat.extend([frame]);
        }
        Ok(flat)
    }
}
