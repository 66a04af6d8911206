//! Canonical frames: a suspended call as plain WebAssembly data, and back (D4).
//!
//! [`CallStack`] is what a program is in the midst of: for each call the module, the function, the
//! operator, and typed locals and operands. It holds no pointer and nothing of this engine's
//! layout, so it goes to another node, and to a later kernel.
//!
//! A program stops for fuel at function entries, heads of loops and arms of `if`, and for the host
//! at calls. Those are its *safepoints* ([`At`]). The translator knows there where each local and
//! operand lies and writes it down (`record` and `operands`, in the format of `encoding`); running code is not
//! changed. `sites` reads the maps for calls (in one `pass` for each function), `capture` translates a stack by these maps (`map`), which `index` finds by address;
//! `restore` looks each frame up in the target's own maps and makes the stack again. Every byte of
//! a call stack is a claim there: it is refused with a [`RestoreError`], or is a well-typed program.
//!
//! Where fuel runs out between safepoints, [`CaptureError::BetweenSafepoints`] tells how much more
//! leads on: in an arm of `if` that no program reaches, and in an operator that charges for its work.

mod capture;
mod encoding;
mod error;
mod flat;
mod index;
mod locals;
mod map;
mod operands;
mod pass;
mod record;
mod restore;
mod sites;
#[cfg(test)]
mod tests;

pub use self::{
    error::{CaptureError, FrameFault, RestoreError},
    flat::{FrameRef, Frames},
    map::FrameMap,
    restore::Restored,
};
pub(crate) use self::{
    index::FrameIndex,
    map::{CODE_UNIT, Operand, Place},
    record::{Kind, Point, Recorder},
};
use crate::Module;
use crate::state::{FunctionRef, Value};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a suspended program is in the midst of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStack {
    /// The function that the host called.
    pub root: FunctionRef,
    /// The calls, outermost first. None when a host call is the root's tail call: then nothing is
    /// left of the program but to return what the host call returns.
    pub frames: Frames,
    /// The host function that the innermost call waits for; none when it is out of fuel.
    pub host_call: Option<FunctionRef>,
}

/// One call. [`Frames`] are made of these and can be read as these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The function, which its module defines.
    pub function: FunctionRef,
    /// The ordinal of an operator in the function's body, from 0.
    pub operator: u32,
    /// Where it is there.
    pub at: At,
    /// Parameters and locals.
    pub locals: Vec<Value>,
    /// The operand stack, from the bottom. At a call without its arguments, which the callee has,
    /// and without its results, which are to come.
    pub operands: Vec<Value>,
}

/// What kind of safepoint a call is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum At {
    /// Before operator 0.
    Entry,
    /// In the `loop` of this ordinal, before its first operator; also when it comes round.
    Loop,
    /// In the `if`, before its first operator.
    Then,
    /// In the `else`, before its first operator.
    Else,
    /// At the `end` of an `if` that has no `else`, coming from the `if`.
    MissingElse,
    /// Within the operator, which is to be executed (again) with these operands.
    Again,
    /// Within what the operator calls.
    Call,
}

/// A translated function: its code, its frame map, and how many cells a call of it takes.
pub(crate) struct Translated<'a> {
    pub(crate) code: &'a [u8],
    pub(crate) map: &'a FrameMap,
    pub(crate) cells: u16,
}

impl Module {
    /// Bytes that the frame maps of the module's functions take.
    pub fn frame_map_bytes(&self) -> usize {
        let bytes = |function| {
            let entry = self.engine().resolve_func(function);
            let translated = entry.and_then(|entry| entry.translated());
            translated.map_or(0, |translated| translated.map.heap_bytes())
        };
        self.internal_funcs()
            .map(|(_, function)| bytes(function))
            .sum()
    }
}

impl CallStack {
    /// A host call that is the root's tail call.
    pub fn tail(root: FunctionRef, host_call: FunctionRef) -> CallStack {
        CallStack {
            root,
            frames: Frames::default(),
            host_call: Some(host_call),
        }
    }

    /// Whether nothing is left of the program but to return what its host call returns.
    pub fn is_tail(&self) -> bool {
        self.frames.is_empty() && self.host_call.is_some()
    }
}
