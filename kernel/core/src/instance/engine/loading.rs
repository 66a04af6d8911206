//! Translation in steps, so that a large module does not hold the node up (D10).
//!
//! [`Loading`] translates a module some bytes at a time, across and inside functions. Before each
//! part it compares the part's measured worst case with the heap that is free: the engine allocates
//! without a way to fail. Nothing is translated while a program runs.

use super::load::{self, FunctionName, LoadError, Module};
use crate::image::BlobBytes;
use crate::limits;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;
use sos_engine::{Translation, Upcoming};

/// Heap for each byte of a module at the peak of its translation. Measured: 3 to 4 for ordinary
/// programs, 60 at most for modules that do their worst without nesting (`if` after `if`, empty
/// functions).
const TRANSLATION_BYTES: u64 = 64;
/// Heap for each block, loop or conditional, on top. Measured: about 580 for each of many nested
/// ones, base included; the two terms together exceed every measured worst case by 1.4 or more.
const BLOCK_BYTES: u64 = 640;
/// Opcodes of `block`, `loop` and `if` (WebAssembly 5.4.1). Each byte of these values may be one.
const BLOCK_OPCODES: core::ops::RangeInclusive<u8> = 0x02..=0x04;
/// Heap that a translation takes before its first byte: tables of the engine and the validator.
const BASE_BYTES: u64 = 128 * 1024;
/// Heap for each data segment beside its bytes, which are copied once. The shortest has two bytes.
const DATA_SEGMENT_BYTES: u64 = 64;
/// What each part counts at least against a step: an empty function costs as much as so many bytes.
const LEAST_COST: usize = 64;

/// A module in the midst of its translation.
#[derive(Debug)]
pub struct Loading {
    bytes: BlobBytes,
    translation: Translation,
}

/// What a step came to.
#[derive(Debug)]
pub enum Progress {
    /// There is more to do.
    Working,
    /// What comes next may take so much heap, and it is not there. Nothing was done.
    Starved {
        /// The measured worst case.
        needed_bytes: u64,
    },
    /// It is translated.
    Ready(Arc<Module>),
    /// It is refused.
    Failed(LoadError),
}

impl Loading {
    /// Begins with the module in `bytes`.
    pub(super) fn new(engine: &sos_engine::Engine, bytes: BlobBytes) -> Loading {
        Loading {
            translation: Translation::new(engine),
            bytes,
        }
    }

    /// How much of the module's bytes is done.
    pub fn done_bytes(&self) -> usize {
        self.translation.position()
    }

    /// The module's bytes.
    pub fn of_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Translates about `budget` bytes. What is begun fits into `free_bytes` of heap.
    pub fn step(&mut self, budget: usize, free_bytes: u64) -> Progress {
        let (mut left, mut free_bytes) = (budget.max(1), free_bytes);
        let mut worked = false;
        while left > 0 {
            let upcoming = self.translation.upcoming(&self.bytes);
            if let Upcoming::Function(index, range) = &upcoming
                && range.len() > limits::FUNCTION_BYTES
            {
                return Progress::Failed(LoadError::FunctionTooLarge {
                    function: FunctionName::read(&self.bytes, *index),
                    bytes: range.len(),
                });
            }
            let needed_bytes = self.worst_case(&upcoming);
            if needed_bytes > free_bytes {
                // What was begun before is counted at its worst: the next step knows better.
                return match worked {
                    true => Progress::Working,
                    false => Progress::Starved { needed_bytes },
                };
            }
            free_bytes -= needed_bytes;
            let before = self.translation.position();
            match self.translation.step(&self.bytes, left) {
                Ok(None) => {}
                Ok(Some(module)) => {
                    return match load::finish(module, self.bytes.clone()) {
                        Ok(module) => Progress::Ready(module),
                        Err(error) => Progress::Failed(error),
                    };
                }
                Err(error) => {
                    let function = self.translation.function();
                    let function = function.map(|index| FunctionName::read(&self.bytes, index));
                    return Progress::Failed(load::refusal(&error, function));
                }
            }
            let done = self.translation.position().saturating_sub(before);
            left = left.saturating_sub(done.max(LEAST_COST));
            worked = true;
        }
        Progress::Working
    }

    /// The heap that the next part may take at its peak.
    fn worst_case(&self, upcoming: &Upcoming) -> u64 {
        let base = match self.translation.position() {
            0 => BASE_BYTES,
            _ => 0,
        };
        base + match upcoming {
            Upcoming::Rest => 0,
            Upcoming::Data(range) => {
                let bytes = range.len() as u64;
                let segments = (bytes / 2).min(u64::from(limits::MODULE_SEGMENTS));
                bytes + segments * DATA_SEGMENT_BYTES
            }
            Upcoming::Section(range) => range.len() as u64 * TRANSLATION_BYTES,
            Upcoming::Function(_, range) => self.worst_case_of_code(range),
        }
    }

    fn worst_case_of_code(&self, range: &Range<usize>) -> u64 {
        let code = self.bytes.get(range.clone()).unwrap_or_default();
        let blocks = code.iter().filter(|byte| BLOCK_OPCODES.contains(byte));
        code.len() as u64 * TRANSLATION_BYTES + blocks.count() as u64 * BLOCK_BYTES
    }
}

impl FunctionName {
    /// The function `index` of the module in `bytes`, with its name if the module tells.
    fn read(bytes: &[u8], index: u32) -> FunctionName {
        let name = sos_engine::function_names(bytes, &[index]).pop().flatten();
        let name: Option<Box<str>> = name.map(super::backtrace::readable);
        FunctionName { index, name }
    }
}
