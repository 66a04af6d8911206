//! Why a store's state could not be captured or restored.

use super::FunctionRef;
use core::fmt;

/// What is wrong, and with which item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateError {
    /// Place of the module.
    pub module: u32,
    /// The kind of the item.
    pub item: Item,
    /// Its place among those of its kind that are told.
    pub index: u32,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Kinds of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// The module itself.
    Module,
    /// A mutable global that the module defines.
    Global,
    /// A table that it defines.
    Table,
    /// A memory that it defines.
    Memory,
    /// An element segment.
    ElementSegment,
    /// A data segment.
    DataSegment,
    /// A call that it is inside of.
    Call,
}

/// What is wrong with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// So many are told, and the module has another number.
    Count {
        /// How many there are.
        found: usize,
        /// How many are told.
        told: usize,
    },
    /// A module has an instance and no state, or the other way round.
    Presence,
    /// The value is of another type.
    Type,
    /// There is no such function.
    Function(FunctionRef),
    /// It refers to a function or an object that is not of the set.
    Foreign,
    /// The size is not between these.
    Size {
        /// What is told.
        told: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A limit of the instance does not allow the size.
    Limit {
        /// What is told.
        told: u64,
    },
    /// The segment is not there, not passive, or told twice.
    Segment,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StateError {
            module,
            item,
            index,
            problem,
        } = self;
        write!(f, "module {module}: ")?;
        if *item != Item::Module {
            write!(f, "{item} {index}: ")?;
        }
        problem.fmt(f)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Item::Module => "module",
            Item::Global => "global",
            Item::Table => "table",
            Item::Memory => "memory",
            Item::ElementSegment => "element segment",
            Item::DataSegment => "data segment",
            Item::Call => "call",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Count { found, told } => {
                write!(
                    f,
                    "{told} are told where there are {found}; use the same modules"
                )
            }
            Problem::Presence => {
                f.write_str("its state is told and it has no instance, or the other way round")
            }
            Problem::Type => f.write_str("a value of another type is told"),
            Problem::Function(FunctionRef { module, function }) => {
                write!(
                    f,
                    "it refers to function {function} of module {module}, which is not there"
                )
            }
            Problem::Foreign => f.write_str("it refers to something outside the set"),
            Problem::Size { told, least, most } => {
                write!(
                    f,
                    "size {told} is told, which is not within {least} to {most}"
                )
            }
            Problem::Limit { told } => write!(
                f,
                "size {told} is above the instance's limit; raise `memory` or `tables` in its manifest"
            ),
            Problem::Segment => f.write_str("it is no passive segment, or is told twice"),
        }
    }
}
