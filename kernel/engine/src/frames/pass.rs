//! Reads safepoints of one function in the order of its code. A stack may return to thousands of places in one
//! function: where two are near each other, the operands of the second are made of those of the first, so that all
//! are read in the time of one pass over the map; where they are not, the map's restarts lead to the second.

use super::At;
use super::map::{FrameMap, Head, Operand, Record};
use super::{encoding::Reader, operands};
use alloc::vec::Vec;

/// A way through one map.
pub(super) struct Pass<'a> {
    map: &'a FrameMap,
    reader: Reader<'a>,
    /// The restart that is looked at next.
    restart: usize,
    record: Record,
    /// Whether the caller's operands are those of the record.
    is_followed: bool,
}

impl<'a> Pass<'a> {
    /// From the first safepoint of the function.
    pub(super) fn new(map: &'a FrameMap, head: &Head<'a>) -> Pass<'a> {
        Pass {
            map,
            reader: head.records(),
            restart: 0,
            record: Record::start(),
            is_followed: false,
        }
    }

    /// The safepoint at `units` of code that `wanted` holds for, which is behind all that were asked for before. Its
    /// operands are in `operands`, which is of the pass alone.
    pub(super) fn seek(
        &mut self,
        units: u32,
        wanted: impl Fn(At) -> bool,
        operands: &mut Vec<Operand>,
    ) -> Option<&Record> {
        self.skip(units);
        loop {
            if self.reader.is_empty() {
                return None;
            }
            self.record.read_next(&mut self.reader)?;
            if self.record.offset > units {
                return None;
            }
            let is_it = self.record.offset == units && wanted(self.record.at);
            self.follow(operands, is_it)?;
            if is_it {
                return Some(&self.record);
            }
        }
    }

    /// Goes to the last restart before `units`, if there is one ahead.
    fn skip(&mut self, units: u32) {
        let restarts = self.map.restarts.get(self.restart..).unwrap_or_default();
        // Mostly the next ones: twice as far each time, and then to and fro.
        let mut step = 1;
        while step < restarts.len() && restarts[step - 1].offset < units {
            step *= 2;
        }
        let near = restarts.get(..step).unwrap_or(restarts);
        let count = near.partition_point(|restart| restart.offset < units);
        let Some(restart) = count.checked_sub(1).and_then(|last| restarts.get(last)) else {
            return;
        };
        self.restart += count;
        let position = restart.position as usize;
        if position > self.reader.position() {
            self.reader = Reader::new(&self.map.bytes, position);
            self.record.offset = restart.offset;
            self.record.operator = restart.operator;
            self.is_followed = false;
        }
    }

    /// Has `operands` be those of the record, at least when it `is_it` that is looked for.
    fn follow(&mut self, operands: &mut Vec<Operand>, is_it: bool) -> Option<()> {
        let bytes = &self.map.bytes;
        let Some(list) = self.record.operands else {
            operands.clear();
            self.is_followed = true;
            return Some(());
        };
        self.is_followed = self.is_followed && operands::follow(bytes, list, operands)?;
        if is_it && !self.is_followed {
            operands::read(bytes, list, operands)?;
            self.is_followed = true;
        }
        Some(())
    }
}
