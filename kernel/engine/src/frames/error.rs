//! Why a suspended call cannot be captured, or a call stack not be restored.

use super::At;
use crate::ValType;
use crate::state::FunctionRef;
use core::fmt;

/// Why a suspended call cannot be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureError {
    /// It is out of fuel between two safepoints: resume it with this much fuel, and capture then.
    BetweenSafepoints {
        /// What it takes to go on.
        required_fuel: u64,
    },
    /// The frame, counted from the outermost, is of a module that was not named.
    OtherInstance {
        /// The frame.
        frame: usize,
    },
    /// The frame's code has no safepoint there: the function's map was cut short, because it would
    /// have been larger than the code.
    NoSafepoint {
        /// The frame.
        frame: usize,
    },
    /// The frame holds a reference to a function or an external outside of what was named.
    OtherReference {
        /// The frame.
        frame: usize,
    },
    /// The function that the host called, or the host function that is waited for, is not one of
    /// the modules that were named.
    OtherFunction,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptureError::BetweenSafepoints { required_fuel } => write!(
                f,
                "out of fuel between safepoints; go on with {required_fuel} fuel and capture then"
            ),
            CaptureError::OtherInstance { frame } => {
                write!(f, "frame {frame} is of a module that is not of the set")
            }
            CaptureError::NoSafepoint { frame } => write!(
                f,
                "frame {frame} is at a point that its function's map leaves out; capture later"
            ),
            CaptureError::OtherReference { frame } => {
                write!(f, "frame {frame} refers to something outside of the set")
            }
            CaptureError::OtherFunction => {
                f.write_str("the root or the host call is not a function of the set")
            }
        }
    }
}

/// Why a call stack cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreError {
    /// There are no frames: the root ends with its host call, and nothing is to be restored here.
    NoFrames,
    /// The function that the host called is not one of the set.
    UnknownRoot(FunctionRef),
    /// The host function is not one of the set, or is not the host's.
    UnknownHostCall(FunctionRef),
    /// The host function is not what the innermost frame calls.
    OtherHostCall(FunctionRef),
    /// Something is wrong with a frame.
    Frame {
        /// The frame, counted from the outermost.
        frame: usize,
        /// What is wrong.
        fault: FrameFault,
    },
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFault {
    /// Its module does not define the function.
    UnknownFunction(FunctionRef),
    /// The function has no such safepoint.
    NoSafepoint {
        /// The operator's ordinal.
        operator: u32,
        /// The kind of safepoint.
        at: At,
    },
    /// It is not at a call, though there is a call in it.
    NotAtCall,
    /// It is at a call, though nothing is called.
    AtCall,
    /// Another number of locals than the function has.
    LocalCount {
        /// What the function has.
        expected: usize,
    },
    /// A local of another type than the function's.
    LocalType {
        /// The local.
        index: usize,
        /// The function's.
        expected: ValType,
    },
    /// Another number of operands than there are at the safepoint.
    OperandCount {
        /// What there are.
        expected: usize,
    },
    /// An operand of another type.
    OperandType {
        /// The operand, from the bottom.
        index: usize,
        /// What it is there.
        expected: ValType,
    },
    /// An operand has another value than the code knows it to have.
    OperandValue {
        /// The operand, from the bottom.
        index: usize,
    },
    /// A reference to nothing of the set.
    UnknownReference,
    /// It is not what the frame before it calls, nor what that could have called in its place.
    NotTheCallee,
    /// The calls are deeper, or have more cells, than they may.
    TooDeep,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::NoFrames => f.write_str("the call stack has no frames"),
            RestoreError::UnknownRoot(root) => write!(f, "no root {}", Shown(*root)),
            RestoreError::UnknownHostCall(call) => write!(f, "no host function {}", Shown(*call)),
            RestoreError::OtherHostCall(call) => write!(
                f,
                "the innermost frame does not call host function {}",
                Shown(*call)
            ),
            RestoreError::Frame { frame, fault } => write!(f, "frame {frame}: {fault}"),
        }
    }
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameFault::UnknownFunction(function) => write!(f, "no function {}", Shown(*function)),
            FrameFault::NoSafepoint { operator, at } => {
                write!(f, "no safepoint {at:?} at operator {operator}")
            }
            FrameFault::NotAtCall => f.write_str("not at a call, but there is a call in it"),
            FrameFault::AtCall => f.write_str("at a call, but nothing is called"),
            FrameFault::LocalCount { expected } => write!(f, "not {expected} locals"),
            FrameFault::LocalType { index, expected } => {
                write!(f, "local {index} is not {expected:?}")
            }
            FrameFault::OperandCount { expected } => write!(f, "not {expected} operands"),
            FrameFault::OperandType { index, expected } => {
                write!(f, "operand {index} is not {expected:?}")
            }
            FrameFault::OperandValue { index } => {
                write!(f, "operand {index} has a value that it cannot have")
            }
            FrameFault::UnknownReference => f.write_str("a reference to nothing of the set"),
            FrameFault::NotTheCallee => f.write_str("not what the frame before it calls"),
            FrameFault::TooDeep => f.write_str("deeper than calls may go here"),
        }
    }
}

/// How a function is told in a message.
struct Shown(FunctionRef);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of module {}", self.0.function, self.0.module)
    }
}

impl core::error::Error for CaptureError {}
impl core::error::Error for RestoreError {}
