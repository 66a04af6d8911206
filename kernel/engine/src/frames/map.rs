//! Frame maps: where each local and operand of a function lies at each of its safepoints.
//!
//! One [`FrameMap`] belongs to each translated function and goes with its code. It is written by
//! [`Recorder`](super::record::Recorder) while the function is translated, and read only when a
//! call is captured or restored. It is a stream of records of a few bytes each, every one relative
//! to the one before, with restarts now and then that a search can begin at.
//!
//! A record: a byte (its kind, which registers mirror locals, whether there are operands, and whether some
//! moved), the distance in code and in operators, the mirrored locals, what a call calls, which operands
//! of the record before are in their own cells now, how many are kept, and the operands above them.

use super::{At, encoding::Reader};
use crate::ValType;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Code addresses are told in these units: operators of the engine are aligned to it.
pub(crate) const CODE_UNIT: usize = align_of::<fn()>();

/// The bit of a function's flags that says that it has tail calls.
pub(crate) const HAS_TAIL_CALLS: u8 = 1;
/// The bit of a record's first byte that says that operands follow.
pub(crate) const HAS_OPERANDS: u8 = 8;
/// The bits of a record's first byte that say which registers mirror a local.
pub(crate) const REGISTER_BITS: [u8; 3] = [16, 32, 64];
/// The bit of a record's first byte that says that operands of the record before went to their cells.
pub(crate) const HAS_SETTLED: u8 = 128;

/// Where an operand is, in a running frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the cells of its own height on the operand stack.
    Cells,
    /// In the cells of this local.
    Local(u32),
    /// Nowhere: the code knows that it has these bits.
    Constant(u128),
    /// In the register for its type.
    Register,
}

/// An operand: its type and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operand {
    pub(crate) value_type: ValType,
    pub(crate) place: Place,
}

/// What a call calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callee {
    /// The function of this index in the same module.
    Function(u32),
    /// Some function of this type of the engine, through a table.
    OfType(u32),
}

/// A point where a function can be captured and restored.
#[derive(Debug, Clone)]
pub(crate) struct Safepoint {
    /// Where execution goes on, relative to the function's code.
    pub(crate) offset: usize,
    /// The ordinal of the operator in the function.
    pub(crate) operator: u32,
    pub(crate) at: At,
    /// The locals that the integer, `f32` and `f64` registers mirror.
    pub(crate) registers: [Option<u32>; 3],
    /// What is called, at a call.
    pub(crate) callee: Option<Callee>,
    /// From the bottom; the results of a call are not among them.
    pub(crate) operands: Vec<Operand>,
}

/// A record that does not depend on those before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restart {
    /// Of the record before it, from which its distances are told: the offset in the code, in units,
    pub(crate) offset: u32,
    /// and the operator.
    pub(crate) operator: u32,
    /// Where the record is in the stream.
    pub(crate) position: u32,
}

/// The safepoints of one function.
#[derive(Debug, Default)]
pub struct FrameMap {
    /// Function index, flags, locals as runs of one type, records.
    pub(crate) bytes: Box<[u8]>,
    pub(crate) restarts: Box<[Restart]>,
}

/// The types of a function's locals, as runs.
pub(crate) struct Head<'a> {
    pub(crate) function: u32,
    pub(crate) flags: u8,
    pub(crate) locals: Vec<(ValType, u32)>,
    records: Reader<'a>,
}

impl FrameMap {
    /// Bytes of the heap that it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.restarts)
    }

    /// What precedes the records.
    pub(crate) fn head(&self) -> Option<Head<'_>> {
        let mut reader = Reader::new(&self.bytes, 0);
        let function = reader.number()?;
        let flags = reader.byte()?;
        let runs = reader.number()?;
        let mut locals = Vec::with_capacity(runs as usize);
        for _ in 0..runs {
            let value_type = reader.value_type()?;
            locals.push((value_type, reader.number()?));
        }
        Some(Head {
            function,
            flags,
            locals,
            records: reader,
        })
    }

    /// The call that returns to `offset`.
    pub(crate) fn call_at(&self, head: &Head<'_>, offset: usize) -> Option<Safepoint> {
        self.at_offset(head, offset, |at| matches!(at, At::Call))
    }

    /// The safepoint at `offset` where fuel runs out.
    pub(crate) fn pause_at(&self, head: &Head<'_>, offset: usize) -> Option<Safepoint> {
        self.at_offset(head, offset, |at| !matches!(at, At::Call))
    }

    fn at_offset(
        &self,
        head: &Head<'_>,
        offset: usize,
        wanted: impl Fn(At) -> bool,
    ) -> Option<Safepoint> {
        if !offset.is_multiple_of(CODE_UNIT) {
            return None;
        }
        let units = u32::try_from(offset / CODE_UNIT).ok()?;
        let before = |restart: &Restart| restart.offset < units;
        self.search(head, before, |safepoint| {
            if safepoint.offset > offset {
                Found::Passed
            } else if safepoint.offset == offset && wanted(safepoint.at) {
                Found::It
            } else {
                Found::Before
            }
        })
    }

    /// The safepoint of kind `at` at the operator of this ordinal.
    pub(crate) fn at_operator(&self, head: &Head<'_>, operator: u32, at: At) -> Option<Safepoint> {
        let before = |restart: &Restart| restart.operator < operator;
        self.search(head, before, |safepoint| {
            if safepoint.operator > operator {
                Found::Passed
            } else if safepoint.operator == operator && safepoint.at == at {
                Found::It
            } else {
                Found::Before
            }
        })
    }

    /// Reads records from the last restart that `before` holds for.
    fn search(
        &self,
        head: &Head<'_>,
        before: impl Fn(&Restart) -> bool,
        judge: impl Fn(&Safepoint) -> Found,
    ) -> Option<Safepoint> {
        let first = self.restarts.partition_point(before);
        let mut reader = head.records;
        let mut safepoint = Safepoint::start();
        if let Some(restart) = first.checked_sub(1).and_then(|at| self.restarts.get(at)) {
            reader = Reader::new(&self.bytes, restart.position as usize);
            safepoint.offset = restart.offset as usize * CODE_UNIT;
            safepoint.operator = restart.operator;
        }
        while !reader.is_empty() {
            read_record(&mut reader, &mut safepoint)?;
            match judge(&safepoint) {
                Found::It => return Some(safepoint),
                Found::Before => {}
                Found::Passed => return None,
            }
        }
        None
    }
}

enum Found {
    It,
    Before,
    Passed,
}

impl Head<'_> {
    /// Cells of all locals.
    pub(crate) fn local_cells(&self) -> usize {
        let cells = |&(value_type, count): &(ValType, u32)| cells_of(value_type) * count as usize;
        self.locals.iter().map(cells).sum()
    }

    /// How many locals there are.
    pub(crate) fn local_count(&self) -> usize {
        self.locals.iter().map(|&(_, count)| count as usize).sum()
    }

    /// The type of each local and its first cell.
    pub(crate) fn each_local(&self) -> impl Iterator<Item = (ValType, usize)> + '_ {
        let mut cell = 0;
        let each = self
            .locals
            .iter()
            .flat_map(|&(value_type, count)| (0..count).map(move |_| value_type));
        each.map(move |value_type| {
            let first = cell;
            cell += cells_of(value_type);
            (value_type, first)
        })
    }

    /// The first cell of the local of this index.
    pub(crate) fn cell_of_local(&self, index: u32) -> Option<usize> {
        let (mut left, mut cell) = (index, 0);
        for &(value_type, count) in &self.locals {
            if left < count {
                return Some(cell + left as usize * cells_of(value_type));
            }
            left -= count;
            cell += count as usize * cells_of(value_type);
        }
        None
    }
}

impl Safepoint {
    fn start() -> Safepoint {
        Safepoint {
            offset: 0,
            operator: 0,
            at: At::Entry,
            registers: [None; 3],
            callee: None,
            operands: Vec::new(),
        }
    }

    /// Cells of all operands: where the frame of a callee begins, after the locals.
    pub(crate) fn operand_cells(&self) -> usize {
        let cells = |operand: &Operand| cells_of(operand.value_type);
        self.operands.iter().map(cells).sum()
    }
}

/// How many cells a value of this type takes.
pub(crate) fn cells_of(value_type: ValType) -> usize {
    match value_type {
        ValType::V128 => 2,
        _ => 1,
    }
}

/// Turns the safepoint before into the next one.
fn read_record(reader: &mut Reader<'_>, safepoint: &mut Safepoint) -> Option<()> {
    let first = reader.byte()?;
    safepoint.offset += reader.number()? as usize * CODE_UNIT;
    safepoint.operator += reader.number()?;
    safepoint.registers = [None; 3];
    for (register, bit) in safepoint.registers.iter_mut().zip(REGISTER_BITS) {
        if first & bit != 0 {
            *register = Some(reader.number()?);
        }
    }
    (safepoint.at, safepoint.callee) = match first & 7 {
        0 => (At::Entry, None),
        1 => (At::Loop, None),
        2 => (At::Then, None),
        3 => (At::Else, None),
        4 => (At::MissingElse, None),
        5 => (At::Again, None),
        6 => (At::Call, Some(Callee::Function(reader.number()?))),
        _ => (At::Call, Some(Callee::OfType(reader.number()?))),
    };
    if first & HAS_SETTLED != 0 {
        for _ in 0..reader.number()? {
            let operand = safepoint.operands.get_mut(reader.number()? as usize)?;
            operand.place = Place::Cells;
        }
    }
    if first & HAS_OPERANDS == 0 {
        safepoint.operands.clear();
        return Some(());
    }
    safepoint.operands.truncate(reader.number()? as usize);
    let mut left = reader.number()?;
    safepoint.operands.reserve_exact(left as usize);
    while left > 0 {
        let (operand, count) = reader.operands()?;
        left = left.checked_sub(count)?;
        let alike = core::iter::repeat_n(operand, count as usize);
        safepoint.operands.extend(alike);
    }
    Some(())
}

/// Which register holds values of this type: integers and references, `f32`, `f64`.
pub(crate) fn register_of(value_type: ValType) -> Option<usize> {
    match value_type {
        ValType::I32 | ValType::I64 | ValType::FuncRef | ValType::ExternRef => Some(0),
        ValType::F32 => Some(1),
        ValType::F64 => Some(2),
        ValType::V128 => None,
    }
}
