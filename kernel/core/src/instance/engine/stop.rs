//! How a slice or a program ends.

use super::Backtrace;
use crate::instance::HostFault;
use core::fmt;
use serde::{Deserialize, Serialize};
use sos_engine::TrapCode;

/// Why [`super::Execution::run`] came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// The slice is used up.
    OutOfFuel,
    /// A host call waits; [`super::Execution::retry`] continues it.
    Blocked,
    /// The program ended itself with this status.
    Exited(i32),
    /// `_start` returned.
    Finished,
    /// The program did what it must not.
    Trapped(Trap),
}

/// The end of a program that did what it must not. Displayed without its backtrace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trap {
    /// What it did.
    pub reason: TrapReason,
    /// Where. Empty when it failed before its first function ran.
    pub backtrace: Backtrace,
}

/// What a program did to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrapReason {
    /// It reached `unreachable`: an abort or a panic, most often.
    Unreachable,
    /// It read or wrote outside its memory.
    MemoryOutOfBounds,
    /// It read or wrote outside a table.
    TableOutOfBounds,
    /// It called an empty table element.
    NullCall,
    /// It called a table element of another type.
    CallType,
    /// It divided an integer by zero.
    DivisionByZero,
    /// An integer division or conversion overflowed.
    IntegerOverflow,
    /// It converted a float that is no number to an integer.
    ConversionToInteger,
    /// Its calls nest too deeply, or hold too many locals.
    CallStackExhausted,
    /// The kernel's heap had no room for its stack or tables.
    OutOfKernelMemory,
    /// A host call could not be made.
    Host(HostFault),
    /// A segment of a module that is instantiated after another's start function lies outside its
    /// memory or table.
    Segment,
    /// The tables of such a module exceed the instance's limit.
    TableLimit,
    /// The engine failed in a way that no program should cause.
    Engine,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            TrapReason::Unreachable => "unreachable executed (abort or panic)",
            TrapReason::MemoryOutOfBounds => "memory access out of bounds",
            TrapReason::TableOutOfBounds => "table access out of bounds",
            TrapReason::NullCall => "indirect call to null",
            TrapReason::CallType => "indirect call of another type",
            TrapReason::DivisionByZero => "integer divided by zero",
            TrapReason::IntegerOverflow => "integer overflow",
            TrapReason::ConversionToInteger => "float is no number or too large for an integer",
            TrapReason::CallStackExhausted => {
                "call stack exhausted; raise `stack` or `call_depth` in the manifest if the \
                 recursion is meant"
            }
            TrapReason::OutOfKernelMemory => {
                "kernel heap exhausted by the program's stack or tables"
            }
            TrapReason::Host(fault) => return fault.fmt(f),
            TrapReason::Segment => "a data or element segment lies outside its memory or table",
            TrapReason::TableLimit => {
                "its tables hold too many elements; raise `tables` in the manifest"
            }
            TrapReason::Engine => "the engine failed",
        })
    }
}

/// What [`super::Execution::retry`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The call still waits.
    StillBlocked,
    /// There is something for [`super::Execution::run`] to do.
    Ready,
}

/// The stop for `reason`.
pub(super) fn trap(reason: TrapReason, backtrace: Backtrace) -> Stop {
    Stop::Trapped(Trap { reason, backtrace })
}

/// The engine's codes in our words.
pub(super) fn trap_reason(code: TrapCode) -> TrapReason {
    match code {
        TrapCode::UnreachableCodeReached => TrapReason::Unreachable,
        TrapCode::MemoryOutOfBounds => TrapReason::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds => TrapReason::TableOutOfBounds,
        TrapCode::IndirectCallToNull => TrapReason::NullCall,
        TrapCode::IntegerDivisionByZero => TrapReason::DivisionByZero,
        TrapCode::IntegerOverflow => TrapReason::IntegerOverflow,
        TrapCode::BadConversionToInteger => TrapReason::ConversionToInteger,
        TrapCode::StackOverflow => TrapReason::CallStackExhausted,
        TrapCode::BadSignature => TrapReason::CallType,
        TrapCode::OutOfSystemMemory => TrapReason::OutOfKernelMemory,
        // Growth is refused with -1 and fuel is added on resumption: neither trap is asked for.
        TrapCode::OutOfFuel | TrapCode::GrowthOperationLimited => TrapReason::Engine,
    }
}
