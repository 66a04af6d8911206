//! The frames of a call stack as two lists: a head for each, and the values of all. Deep stacks are
//! captured in the time of two growing lists, where one list for each frame's locals and operands would
//! take more to allocate than to fill. In bytes they are a list of [`Frame`]s.

use super::{At, Frame};
use crate::state::{FunctionRef, Value};
use alloc::vec::Vec;
use core::fmt;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Calls, outermost first. Made of a list of [`Frame`]s, or by a capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames {
    heads: Vec<Head>,
    /// Of each frame its locals, then its operands.
    values: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    function: FunctionRef,
    operator: u32,
    at: At,
    /// Where its operands begin in the values, and where its values end.
    operands: usize,
    end: usize,
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

    /// None, with room for `frames` that have `values` together.
    pub(super) fn with_capacity(frames: usize, values: usize) -> Frames {
        Frames {
            heads: Vec::with_capacity(frames),
            values: Vec::with_capacity(values),
        }
    }

    /// Values of the frame that the next [`push`](Self::push) tells of: its locals, then its operands.
    pub(super) fn values(&mut self) -> &mut Vec<Value> {
        &mut self.values
    }

    /// Ends a frame, of whose values the first `locals` are locals.
    pub(super) fn push(&mut self, function: FunctionRef, operator: u32, at: At, locals: usize) {
        let begin = self.heads.last().map_or(0, |head| head.end);
        self.heads.push(Head {
            function,
            operator,
            at,
            operands: begin + locals,
            end: self.values.len(),
        });
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
        (0..self.heads.len()).map(|index| {
            let head = &self.heads[index];
            let begin = match index {
                0 => 0,
                _ => self.heads[index - 1].end,
            };
            FrameRef {
                function: head.function,
                operator: head.operator,
                at: head.at,
                locals: &self.values[begin..head.operands],
                operands: &self.values[head.operands..head.end],
            }
        })
    }
}

impl Extend<Frame> for Frames {
    fn extend<I: IntoIterator<Item = Frame>>(&mut self, frames: I) {
        for frame in frames {
            self.values.extend(&frame.locals);
            self.values.extend(&frame.operands);
            self.push(frame.function, frame.operator, frame.at, frame.locals.len());
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
