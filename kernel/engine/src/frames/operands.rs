//! The operands at safepoints, as lists that share what lies below.
//!
//! A list says what is above the operands that it has in common with an earlier one, its parent, and which of
//! those went to cells of their own since. So what is written is linear in the function, and
//! what is read for one safepoint is linear in its own operands, whatever else the function holds: of
//! a parent only what is still there, and lists that tell nothing more are passed by. Where too many
//! would have to be read for few operands, a list stands alone and repeats what is below, and so it does where that is
//! no longer: mostly, since operands are alike.
//!
//! A list: its length in bytes; how many operands it adds, and whether it has a parent and tells of settled ones; how many
//! it has from the parent, and how far before it that is; the settled ones; the added ones as runs.

use super::encoding::{Reader, push_number, push_operands};
use super::map::{Operand, Place};
use crate::ValType;
use alloc::vec::Vec;

/// Lists that may be read for one safepoint, and one more for each few of its operands.
const FREE_HOPS: usize = 2;
const OPERANDS_PER_HOP: usize = 8;

/// Operands that a list may repeat to stand alone where it need not.
const REPEATED_OPERANDS: usize = 16;

/// Operands, and bytes of settled ones, that [`follow`] reads of a list that is passed by.
const FOLLOWED_OPERANDS: usize = 16;
const FOLLOWED_BYTES: usize = 16;

/// In place of an operand that is not read yet.
const UNREAD: Operand = Operand {
    value_type: ValType::I32,
    place: Place::Cells,
};

/// The bits of a list's first number below its count.
const HAS_PARENT: u32 = 1;
const HAS_SETTLED: u32 = 2;
const COUNT_SHIFT: u32 = 2;

/// Writes the lists of one function.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Those that make up the operands of the last record, from the bottom.
    live: Vec<Live>,
    /// Of the list that is being written.
    settled: Vec<u32>,
    body: Vec<u8>,
    /// The same list, with what is below.
    alone: Vec<u8>,
    settled_bytes: Vec<u8>,
}

/// A list that later ones may have operands from.
#[derive(Debug, Clone, Copy)]
struct Live {
    position: usize,
    /// The lowest operand that it adds.
    from: usize,
    /// The lowest that it settles.
    least_settled: usize,
    /// How many lists are read with it.
    hops: usize,
}

impl Lists {
    /// Appends the list of a safepoint with `height` operands: the lowest `kept` are those of the list
    /// before but for the `settled` ones, and `operand` tells each.
    pub(super) fn push(
        &mut self,
        bytes: &mut Vec<u8>,
        (kept, height): (usize, usize),
        settled: &[u32],
        mut operand: impl FnMut(usize) -> Operand,
    ) {
        let tells = |live: &Live| live.from < kept || live.least_settled < kept;
        while self.live.pop_if(|live| !tells(live)).is_some() {}
        let hops = self.live.last().map_or(0, |live| live.hops);
        if hops > FREE_HOPS + height / OPERANDS_PER_HOP {
            self.live.clear();
        }
        let mut parent = self.live.last().copied();
        let mut from = parent.map_or(0, |_| kept);
        self.settled.clear();
        let below = settled.iter().filter(|index| (**index as usize) < from);
        self.settled.extend(below);
        self.settled.sort_unstable();
        let position = bytes.len();
        self.write(
            parent.map(|parent| position - parent.position),
            from,
            height,
            &mut operand,
        );
        if parent.is_some() && from <= REPEATED_OPERANDS {
            self.alone.clear();
            push_number(&mut self.alone, (height as u32) << COUNT_SHIFT);
            push_runs(&mut self.alone, (0..height).map(operand));
            if self.alone.len() <= self.body.len() {
                core::mem::swap(&mut self.alone, &mut self.body);
                (parent, from) = (None, 0);
                self.live.clear();
                self.settled.clear();
            }
        }
        push_number(bytes, self.body.len() as u32);
        bytes.extend_from_slice(&self.body);
        if height > from || !self.settled.is_empty() {
            self.live.push(Live {
                position,
                from,
                least_settled: self
                    .settled
                    .first()
                    .map_or(usize::MAX, |first| *first as usize),
                hops: parent.map_or(0, |parent| parent.hops) + 1,
            });
        }
    }

    /// Writes the list itself, whose parent begins `distance` before it.
    fn write(
        &mut self,
        distance: Option<usize>,
        from: usize,
        height: usize,
        operand: impl FnMut(usize) -> Operand,
    ) {
        let mut first = ((height - from) as u32) << COUNT_SHIFT;
        first |= distance.map_or(0, |_| HAS_PARENT);
        if !self.settled.is_empty() {
            first |= HAS_SETTLED;
        }
        self.body.clear();
        push_number(&mut self.body, first);
        if let Some(distance) = distance {
            push_number(&mut self.body, from as u32);
            push_number(&mut self.body, distance as u32);
        }
        if !self.settled.is_empty() {
            self.settled_bytes.clear();
            let mut last = 0;
            for &index in &self.settled {
                push_number(&mut self.settled_bytes, index - last);
                last = index;
            }
            push_number(&mut self.body, self.settled_bytes.len() as u32);
            self.body.extend_from_slice(&self.settled_bytes);
        }
        push_runs(&mut self.body, (from..height).map(operand));
    }

    /// What was written at `end` and behind it is taken back.
    pub(super) fn forget(&mut self, end: usize) {
        while self.live.pop_if(|live| live.position >= end).is_some() {}
    }
}

fn push_runs(bytes: &mut Vec<u8>, operands: impl Iterator<Item = Operand>) {
    let mut run: Option<(Operand, u32)> = None;
    for operand in operands {
        run = match run {
            Some((last, count)) if last == operand => Some((last, count + 1)),
            _ => {
                if let Some((last, count)) = run {
                    push_operands(bytes, &last, count);
                }
                Some((operand, 1))
            }
        };
    }
    if let Some((last, count)) = run {
        push_operands(bytes, &last, count);
    }
}

/// A list that is read.
struct List<'a> {
    from: usize,
    count: usize,
    parent: Option<usize>,
    settled: Option<Reader<'a>>,
    added: Reader<'a>,
}

/// Has `operands`, which are those of the list before, be those of the list at `position`, without more room. `false`
/// when that would take long; they are of no use then.
pub(super) fn follow(bytes: &[u8], position: usize, operands: &mut Vec<Operand>) -> Option<bool> {
    let list = List::read(bytes, position)?;
    let settled = list.settled.map_or(0, |settled| settled.left());
    let count = list.from + list.count;
    if list.count > FOLLOWED_OPERANDS
        || settled > FOLLOWED_BYTES
        || list.from > operands.len()
        || count > operands.capacity()
    {
        return Some(false);
    }
    operands.truncate(list.from);
    list.settle(operands)?;
    operands.resize(count, UNREAD);
    list.add(operands)?;
    Some(true)
}

/// Reads the operands that the list at `position` tells, from the bottom, into `operands`, which get room for no
/// more than these.
pub(super) fn read(bytes: &[u8], position: usize, operands: &mut Vec<Operand>) -> Option<()> {
    let list = List::read(bytes, position)?;
    let count = list.from + list.count;
    operands.clear();
    operands.reserve_exact(count);
    operands.resize(count, UNREAD);
    // Most lists settle nothing, and are read once.
    let mut is_plain = true;
    each(bytes, position, count, |list, limit| {
        is_plain &= list.settled.is_none();
        list.add(operands.get_mut(..limit)?)
    })?;
    match is_plain {
        true => Some(()),
        false => each(bytes, position, count, |list, limit| {
            list.settle(operands.get_mut(..limit)?)
        }),
    }
}

/// Visits the list at `position` and its parents, each with how many operands later ones left to it.
fn each<'a>(
    bytes: &'a [u8],
    position: usize,
    count: usize,
    mut visit: impl FnMut(&List<'a>, usize) -> Option<()>,
) -> Option<()> {
    let (mut next, mut limit, mut hops) = (Some(position), count, 0);
    while let Some(position) = next {
        hops += 1;
        debug_assert!(hops <= FREE_HOPS + count / OPERANDS_PER_HOP + 2);
        let list = List::read(bytes, position)?;
        visit(&list, limit)?;
        limit = limit.min(list.from);
        next = list.parent.filter(|_| limit > 0);
    }
    Some(())
}

impl<'a> List<'a> {
    fn read(bytes: &'a [u8], position: usize) -> Option<List<'a>> {
        let mut reader = Reader::new(bytes, position);
        reader.number()?;
        let first = reader.number()?;
        let (mut from, mut parent, mut settled) = (0, None, None);
        if first & HAS_PARENT != 0 {
            from = reader.number()? as usize;
            parent = Some(position.checked_sub(reader.number()? as usize)?);
        }
        if first & HAS_SETTLED != 0 {
            settled = Some(reader.part()?);
        }
        Some(List {
            from,
            count: (first >> COUNT_SHIFT) as usize,
            parent,
            settled,
            added: reader,
        })
    }

    /// Sets those of `operands` that the list adds.
    fn add(&self, operands: &mut [Operand]) -> Option<()> {
        let mut added = operands.get_mut(self.from..).unwrap_or_default();
        let mut reader = self.added;
        while !added.is_empty() {
            let (operand, count) = reader.operands()?;
            let (run, rest) = added.split_at_mut(added.len().min(count as usize));
            run.fill(operand);
            added = rest;
        }
        Some(())
    }

    /// Has those of `operands` in their cells that went there.
    fn settle(&self, operands: &mut [Operand]) -> Option<()> {
        let Some(mut reader) = self.settled else {
            return Some(());
        };
        let mut index = 0;
        while !reader.is_empty() {
            index += reader.number()? as usize;
            match operands.get_mut(index) {
                Some(operand) => operand.place = Place::Cells,
                None => break,
            }
        }
        Some(())
    }
}
