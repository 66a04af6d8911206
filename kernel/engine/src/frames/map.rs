//! Frame maps: where each local and operand of a function lies at each of its safepoints.
//!
//! One [`FrameMap`] belongs to each translated function and goes with its code. It is written by
//! [`Recorder`](super::record::Recorder) while the function is translated, and read only when a
//! call is captured or restored. It is a stream of records of a few bytes each, every one relative
//! to the one before, with restarts now and then that a search can begin at.
//!
//! A record: a byte (its kind, which registers mirror locals, and whether there are operands), the distance in code
//! and in operators, the mirrored locals, what a call calls, and the list of its operands (`operands`). A search
//! reads a dozen records and passes their lists by, so that a safepoint is read in the time of its own values.

use super::{At, encoding::Reader, locals::Locals, operands};
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
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A record that a search can begin at: of those before it only the place is needed.
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

/// What a map says of its function.
pub(crate) struct Head<'a> {
    pub(crate) function: u32,
    pub(crate) flags: u8,
    records: Reader<'a>,
}

impl FrameMap {
    /// Bytes of the heap that it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.restarts)
    }

    /// What precedes the records.
    pub(crate) fn head(&self) -> Option<Head<'_>> {
        self.read_head(None)
    }

    /// The same, and has `locals` be those of the function.
    pub(crate) fn head_with(&self, locals: &mut Locals) -> Option<Head<'_>> {
        self.read_head(Some(locals))
    }

    fn read_head(&self, mut locals: Option<&mut Locals>) -> Option<Head<'_>> {
        let mut reader = Reader::new(&self.bytes, 0);
        let function = reader.number()?;
        let flags = reader.byte()?;
        let run_count = reader.number()?;
        if let Some(locals) = &mut locals {
            locals.clear(run_count as usize);
        }
        for _ in 0..run_count {
            let (value_type, count) = (reader.value_type()?, reader.number()?);
            if let Some(locals) = &mut locals {
                locals.push(value_type, count as usize);
            }
        }
        Some(Head {
            function,
            flags,
            records: reader,
        })
    }

    /// The safepoint of kind `at` at the operator of this ordinal.
    pub(crate) fn at_operator(&self, head: &Head<'_>, operator: u32, at: At) -> Option<Safepoint> {
        let before = |restart: &Restart| restart.operator < operator;
        let record = self.search(head, before, |record| {
            if record.operator > operator {
                Found::Passed
            } else if record.operator == operator && record.at == at {
                Found::It
            } else {
                Found::Before
            }
        });
        record?.safepoint(&self.bytes)
    }

    /// Reads records from the last restart that `before` holds for.
    fn search(
        &self,
        head: &Head<'_>,
        before: impl Fn(&Restart) -> bool,
        judge: impl Fn(&Record) -> Found,
    ) -> Option<Record> {
        let first = self.restarts.partition_point(before);
        let mut reader = head.records;
        let mut record = Record::start();
        if let Some(restart) = first.checked_sub(1).and_then(|at| self.restarts.get(at)) {
            reader = Reader::new(&self.bytes, restart.position as usize);
            record.offset = restart.offset;
            record.operator = restart.operator;
        }
        while !reader.is_empty() {
            record.read_next(&mut reader)?;
            match judge(&record) {
                Found::It => return Some(record),
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

/// A safepoint whose operands are not read yet.
pub(crate) struct Record {
    /// In units of code.
    pub(crate) offset: u32,
    pub(crate) operator: u32,
    pub(crate) at: At,
    registers: [Option<u32>; 3],
    callee: Option<Callee>,
    /// Where the list of its operands is.
    pub(crate) operands: Option<usize>,
}

impl Record {
    /// What the first record is told from.
    pub(crate) fn start() -> Record {
        Record {
            offset: 0,
            operator: 0,
            at: At::Entry,
            registers: [None; 3],
            callee: None,
            operands: None,
        }
    }

    /// Turns the record before into the next one.
    pub(crate) fn read_next(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let first = reader.byte()?;
        self.offset += reader.number()?;
        self.operator += reader.number()?;
        self.registers = [None; 3];
        for (register, bit) in self.registers.iter_mut().zip(REGISTER_BITS) {
            if first & bit != 0 {
                *register = Some(reader.number()?);
            }
        }
        (self.at, self.callee) = match first & 7 {
            0 => (At::Entry, None),
            1 => (At::Loop, None),
            2 => (At::Then, None),
            3 => (At::Else, None),
            4 => (At::MissingElse, None),
            5 => (At::Again, None),
            6 => (At::Call, Some(Callee::Function(reader.number()?))),
            _ => (At::Call, Some(Callee::OfType(reader.number()?))),
        };
        self.operands = None;
        if first & HAS_OPERANDS != 0 {
            self.operands = Some(reader.position());
            reader.part()?;
        }
        Some(())
    }

    fn safepoint(self, bytes: &[u8]) -> Option<Safepoint> {
        let mut operands = Vec::new();
        if let Some(position) = self.operands {
            operands::read(bytes, position, &mut operands)?;
        }
        Some(Safepoint {
            offset: self.offset as usize * CODE_UNIT,
            operator: self.operator,
            at: self.at,
            registers: self.registers,
            callee: self.callee,
            operands,
        })
    }
}

impl<'a> Head<'a> {
    /// Where the records begin.
    pub(crate) fn records(&self) -> Reader<'a> {
        self.records
    }
}

impl Safepoint {
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

/// Which register holds values of this type: integers and references, `f32`, `f64`.
pub(crate) fn register_of(value_type: ValType) -> Option<usize> {
    match value_type {
        ValType::I32 | ValType::I64 | ValType::FuncRef | ValType::ExternRef => Some(0),
        ValType::F32 => Some(1),
        ValType::F64 => Some(2),
        ValType::V128 => None,
    }
}
