//! Writes a function's frame map while it is translated.
//!
//! What it costs is linear in the function: only operands that are new since the record before are
//! written, and the numbers of those that went to cells of their own (`operands`). Only blocks that declare many
//! parameters of changing types again and again take more; the map then leaves safepoints out rather than
//! outgrow the function, and such a call cannot be captured there.

use super::encoding::{push_number, type_byte};
use super::map::{
    CODE_UNIT, FrameMap, HAS_OPERANDS, HAS_TAIL_CALLS, Operand, REGISTER_BITS, Restart,
};
use super::operands::Lists;
use crate::ValType;
use alloc::vec::Vec;

/// A restart comes after so many bytes, lists of operands included, which a search passes by: half a dozen records,
/// so that reading them takes less than what a call of ten values holds.
const RESTART_BYTES: usize = 32;
/// Bytes that every map may have, whatever the code.
const FREE_BYTES: usize = 1024;
/// Bytes that a map may have beyond that for each byte of code, and for each operator, of which one that
/// pushes a constant vector takes most: 20, and less where lists stand alone. Usual are 0.1 for a byte of code.
const BYTES_PER_CODE_BYTE: usize = 1;
const BYTES_PER_OPERATOR: usize = 40;

/// What kind of record is written, with what belongs to it. The numbers are those of the format.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Entry,
    Loop,
    Then,
    Else,
    MissingElse,
    Again,
    CallFunction(u32),
    CallOfType(u32),
}

/// A safepoint as the translator sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) kind: Kind,
    /// Where execution goes on, relative to the function's code.
    pub(crate) offset: usize,
    /// The locals that the integer, `f32` and `f64` registers mirror.
    pub(crate) registers: [Option<u32>; 3],
    /// How many operands there are.
    pub(crate) height: usize,
    /// How many of them are as they were at the record before.
    pub(crate) kept: usize,
}

/// The frame map of the function that is being translated.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    bytes: Vec<u8>,
    restarts: Vec<Restart>,
    /// Where the flags are in `bytes`.
    flags_position: usize,
    /// Operators begun.
    operators: u32,
    /// Of the record before, in units of code.
    last_offset: u32,
    last_operator: u32,
    /// Where the record of the last restart begins.
    restarted: usize,
    lists: Lists,
}

impl Recorder {
    /// Begins with the locals; operators are counted from here.
    pub(crate) fn begin(&mut self, function: u32, locals: impl Iterator<Item = ValType>) {
        push_number(&mut self.bytes, function);
        self.flags_position = self.bytes.len();
        self.bytes.push(0);
        let mut runs: Vec<(ValType, u32)> = Vec::new();
        for value_type in locals {
            match runs.last_mut() {
                Some((last, count)) if *last == value_type => *count += 1,
                _ => runs.push((value_type, 1)),
            }
        }
        push_number(&mut self.bytes, runs.len() as u32);
        for (value_type, count) in runs {
            self.bytes.push(type_byte(value_type));
            push_number(&mut self.bytes, count);
        }
        self.operators = 0;
        self.restarted = self.bytes.len();
    }

    /// An operator begins.
    pub(crate) fn count_operator(&mut self) {
        self.operators += 1;
    }

    /// The function calls another in place of itself.
    pub(crate) fn note_tail_call(&mut self) {
        if let Some(flags) = self.bytes.get_mut(self.flags_position) {
            *flags |= HAS_TAIL_CALLS;
        }
    }

    /// Writes a record, `operand` being those of the point from the bottom, of which `settled` went to
    /// cells of their own since the record before. Tells whether it is there: it is left out when the
    /// map would outgrow the function.
    pub(crate) fn record(
        &mut self,
        point: Point,
        settled: &[u32],
        mut operand: impl FnMut(usize) -> Operand,
    ) -> bool {
        debug_assert!(point.offset.is_multiple_of(CODE_UNIT));
        let offset = (point.offset / CODE_UNIT) as u32;
        let operator = self.operators.saturating_sub(1);
        let begin = self.bytes.len();
        self.push_first_byte(&point);
        push_number(&mut self.bytes, offset - self.last_offset);
        push_number(&mut self.bytes, operator - self.last_operator);
        self.push_details(&point);
        if point.height > 0 {
            let heights = (point.kept.min(point.height), point.height);
            self.lists
                .push(&mut self.bytes, heights, settled, &mut operand);
        }
        let most =
            BYTES_PER_CODE_BYTE * point.offset + BYTES_PER_OPERATOR * self.operators as usize;
        if self.bytes.len() > FREE_BYTES + most {
            self.bytes.truncate(begin);
            self.lists.forget(begin);
            return false;
        }
        if begin - self.restarted >= RESTART_BYTES {
            self.restarts.push(Restart {
                offset: self.last_offset,
                operator: self.last_operator,
                position: begin as u32,
            });
            self.restarted = begin;
        }
        self.last_offset = offset;
        self.last_operator = operator;
        true
    }

    fn push_first_byte(&mut self, point: &Point) {
        let mut first = match point.kind {
            Kind::Entry => 0,
            Kind::Loop => 1,
            Kind::Then => 2,
            Kind::Else => 3,
            Kind::MissingElse => 4,
            Kind::Again => 5,
            Kind::CallFunction(_) => 6,
            Kind::CallOfType(_) => 7,
        };
        for (register, bit) in point.registers.iter().zip(REGISTER_BITS) {
            if register.is_some() {
                first |= bit;
            }
        }
        if point.height > 0 {
            first |= HAS_OPERANDS;
        }
        self.bytes.push(first);
    }

    fn push_details(&mut self, point: &Point) {
        for local in point.registers.iter().flatten() {
            push_number(&mut self.bytes, *local);
        }
        match point.kind {
            Kind::CallFunction(number) | Kind::CallOfType(number) => {
                push_number(&mut self.bytes, number);
            }
            _ => {}
        }
    }

    /// The map, once the function is translated.
    pub(crate) fn finish(self) -> FrameMap {
        FrameMap {
            bytes: self.bytes.into_boxed_slice(),
            restarts: self.restarts.into_boxed_slice(),
        }
    }
}
