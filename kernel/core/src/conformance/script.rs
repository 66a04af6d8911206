//! A test script of the WebAssembly specification as plain data, its modules in binary form.

use crate::instance::engine::Value;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One file of the suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The file, with its folder.
    pub name: String,
    /// Its commands in order.
    pub commands: Vec<Command>,
}

/// A command and the line of the file where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Counted from 1.
    pub line: u32,
    /// What is to be done.
    pub action: Action,
}

/// What a command does or asserts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Makes an instance, which becomes the current one and is called `name`.
    Module {
        /// Its name in the script.
        name: Option<String>,
        /// The module.
        wasm: Box<[u8]>,
    },
    /// Validates a module and keeps it without making an instance.
    Define {
        /// Its name in the script.
        name: Option<String>,
        /// The module.
        wasm: Box<[u8]>,
    },
    /// Makes an instance of a module that was defined.
    Instantiate {
        /// The module; none for the last defined.
        module: Option<String>,
        /// The instance's name in the script.
        name: Option<String>,
    },
    /// Lets others import from an instance under a name.
    Register {
        /// The instance; none for the current one.
        instance: Option<String>,
        /// The name for importers.
        module_name: String,
    },
    /// Does something without looking at its results.
    Do(Execute),
    /// The results are one of those expected, each.
    AssertReturn(Execute, Vec<Expected>),
    /// It traps, for this reason.
    AssertTrap(Execute, String),
    /// It runs out of stack.
    AssertExhaustion(Execute),
    /// A module traps while it is instantiated.
    AssertStartTrap(Box<[u8]>, String),
    /// A module is refused by validation, or does not decode.
    AssertRefused(Box<[u8]>),
    /// A module validates but its imports do not fit.
    AssertUnlinkable(Box<[u8]>),
    /// The script wants what this engine does not know: a reason to be exempt.
    Unsupported(String),
}

/// What an assertion looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Execute {
    /// A call of an exported function.
    Invoke {
        /// The instance; none for the current one.
        instance: Option<String>,
        /// The export.
        function: String,
        /// What it is given.
        arguments: Vec<Value>,
    },
    /// The value of an exported global.
    Get {
        /// The instance; none for the current one.
        instance: Option<String>,
        /// The export.
        global: String,
    },
}

/// What a result may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// Exactly this.
    Value(Value),
    /// An `f32` that is no number: canonical, or any with the top bit of its payload.
    NanF32(Nan),
    /// An `f64` that is no number.
    NanF64(Nan),
    /// Four lanes of `f32`.
    F32x4([Lane; 4]),
    /// Two lanes of `f64`.
    F64x2([Lane; 2]),
    /// A null reference of either type.
    Null,
    /// Any external reference that is not null.
    AnyExternal,
    /// One of several (relaxed SIMD).
    Either(Vec<Expected>),
}

/// One lane of an expected vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// Exactly these bits (of an `f32` the low half).
    Bits(u64),
    /// No number.
    Nan(Nan),
}

/// Which kinds of "no number" are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nan {
    /// Only the payload's top bit is set.
    Canonical,
    /// The payload's top bit is set, with any others.
    Arithmetic,
}

impl Nan {
    /// Whether `bits` of an `f32` are meant.
    pub fn matches_f32(self, bits: u32) -> bool {
        let magnitude = bits & 0x7fff_ffff;
        match self {
            Nan::Canonical => magnitude == 0x7fc0_0000,
            Nan::Arithmetic => magnitude & 0x7fc0_0000 == 0x7fc0_0000,
        }
    }

    /// Whether `bits` of an `f64` are meant.
    pub fn matches_f64(self, bits: u64) -> bool {
        let magnitude = bits & 0x7fff_ffff_ffff_ffff;
        match self {
            Nan::Canonical => magnitude == 0x7ff8_0000_0000_0000,
            Nan::Arithmetic => magnitude & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        }
    }
}

impl Expected {
    /// Whether `value` is what is expected.
    pub fn matches(&self, value: Value) -> bool {
        match (self, value) {
            (Expected::Value(expected), value) => *expected == value,
            (Expected::NanF32(nan), Value::F32(bits)) => nan.matches_f32(bits),
            (Expected::NanF64(nan), Value::F64(bits)) => nan.matches_f64(bits),
            (Expected::F32x4(lanes), Value::V128(bits)) => {
                lanes.iter().enumerate().all(|(index, lane)| {
                    let bits = (bits >> (32 * index)) as u32;
                    match lane {
                        Lane::Bits(expected) => *expected == u64::from(bits),
                        Lane::Nan(nan) => nan.matches_f32(bits),
                    }
                })
            }
            (Expected::F64x2(lanes), Value::V128(bits)) => {
                lanes.iter().enumerate().all(|(index, lane)| {
                    let bits = (bits >> (64 * index)) as u64;
                    match lane {
                        Lane::Bits(expected) => *expected == bits,
                        Lane::Nan(nan) => nan.matches_f64(bits),
                    }
                })
            }
            (Expected::Null, Value::NullFunction | Value::NullExternal)
            | (Expected::AnyExternal, Value::External(_)) => true,
            (Expected::Either(choices), value) => {
                choices.iter().any(|choice| choice.matches(value))
            }
            _ => false,
        }
    }
}
