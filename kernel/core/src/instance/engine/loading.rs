//! Translation in steps, so that a large module does not hold the node up (D10).
//!
//! [`Loading`] translates the modules of a set one after the other, some bytes at a time, across and
//! inside functions, and links them at the end. Before each
//! part it compares the part's measured worst case with the heap that is free: the engine allocates
//! without a way to fail. Nothing is translated while a program runs.

use super::link;
use super::load::{self, Program, Source, Translated};
use super::load_error::{FunctionName, LoadError, SetError};
use crate::limits;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
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

/// A set of modules in the midst of its translation.
#[derive(Debug)]
pub struct Loading {
    engine: sos_engine::Engine,
    /// The modules that were not begun, in order.
    waiting: VecDeque<Source>,
    current: Option<Part>,
    translated: Vec<Translated>,
    /// Bytes of the modules that are done, and of all.
    done_bytes: usize,
    of_bytes: usize,
}

/// The module of the set that is being translated.
#[derive(Debug)]
struct Part {
    source: Source,
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
    /// All is translated and linked. Said once.
    Ready(Arc<Program>),
    /// The set is refused. Said once.
    Failed(SetError),
}

impl Loading {
    /// Begins with the modules of `set`.
    pub(super) fn new(engine: sos_engine::Engine, set: Vec<Source>) -> Loading {
        Loading {
            engine,
            of_bytes: set.iter().map(|source| source.bytes.len()).sum(),
            waiting: set.into(),
            current: None,
            translated: Vec::new(),
            done_bytes: 0,
        }
    }

    /// How many of the modules' bytes are done.
    pub fn done_bytes(&self) -> usize {
        let current = self.current.as_ref();
        self.done_bytes + current.map_or(0, |part| part.translation.position())
    }

    /// The modules' bytes.
    pub fn of_bytes(&self) -> usize {
        self.of_bytes
    }

    /// Translates about `budget` bytes. What is begun fits into `free_bytes` of heap.
    pub fn step(&mut self, budget: usize, free_bytes: u64) -> Progress {
        let (mut left, mut free_bytes) = (budget.max(1), free_bytes);
        let mut worked = false;
        while left > 0 {
            let Some(part) = self.begin_part() else {
                let translated = core::mem::take(&mut self.translated);
                return match link::link(translated) {
                    Ok(program) => Progress::Ready(Arc::new(program)),
                    Err(error) => Progress::Failed(error),
                };
            };
            let upcoming = part.translation.upcoming(&part.source.bytes);
            if let Some(error) = part.too_large(&upcoming) {
                return Progress::Failed(error);
            }
            let needed_bytes = part.worst_case(&upcoming, free_bytes);
            if needed_bytes > free_bytes {
                // What was begun before is counted at its worst: the next step knows better.
                return match worked {
                    true => Progress::Working,
                    false => Progress::Starved { needed_bytes },
                };
            }
            free_bytes -= needed_bytes;
            let before = part.translation.position();
            let module = match part.translation.step(&part.source.bytes, left) {
                Ok(module) => module,
                Err(error) => return Progress::Failed(part.refusal(&error)),
            };
            let done = part.translation.position().saturating_sub(before);
            left = left.saturating_sub(done.max(LEAST_COST));
            worked = true;
            if let Some(inner) = module {
                self.end_part(inner);
            }
        }
        Progress::Working
    }

    /// The module in progress, or the next one; none when all are translated.
    fn begin_part(&mut self) -> Option<&mut Part> {
        if self.current.is_none() {
            let source = self.waiting.pop_front()?;
            let translation = Translation::new(&self.engine);
            self.current = Some(Part {
                source,
                translation,
            });
        }
        self.current.as_mut()
    }

    fn end_part(&mut self, inner: sos_engine::Module) {
        if let Some(Part { source, .. }) = self.current.take() {
            self.done_bytes += source.bytes.len();
            self.translated.push(Translated { source, inner });
        }
    }
}

impl Part {
    /// The refusal of what is too long to be begun: a section is one step, and so is a function's end.
    fn too_large(&self, upcoming: &Upcoming) -> Option<SetError> {
        let section = |item, range: &Range<usize>, limit_bytes| {
            let bytes = range.len();
            let error = LoadError::SectionTooLarge {
                item,
                bytes,
                limit_bytes,
            };
            (bytes > limit_bytes).then(|| self.source.refused(error))
        };
        match upcoming {
            Upcoming::Types(range) => section("types", range, limits::TYPE_SECTION_BYTES),
            Upcoming::Section(range) => section("declarations", range, limits::SECTION_BYTES),
            Upcoming::Function(index, range) if range.len() > limits::FUNCTION_BYTES => {
                Some(self.source.refused(LoadError::FunctionTooLarge {
                    function: FunctionName::read(&self.source.bytes, *index),
                    bytes: range.len(),
                }))
            }
            _ => None,
        }
    }

    fn refusal(&self, error: &sos_engine::Error) -> SetError {
        let function = self.translation.function();
        let function = function.map(|index| FunctionName::read(&self.source.bytes, index));
        self.source.refused(load::refusal(error, function))
    }

    /// The heap that the next part may take at its peak; looked at closely only where less than
    /// `free_bytes` may not be enough.
    fn worst_case(&self, upcoming: &Upcoming, free_bytes: u64) -> u64 {
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
            Upcoming::Types(range) | Upcoming::Section(range) => {
                range.len() as u64 * TRANSLATION_BYTES
            }
            Upcoming::Function(_, range) => self.worst_case_of_code(range, free_bytes),
        }
    }

    fn worst_case_of_code(&self, range: &Range<usize>, free_bytes: u64) -> u64 {
        // As if each byte began a block: mostly there is room for that, too, and no need to count.
        let most = range.len() as u64 * (TRANSLATION_BYTES + BLOCK_BYTES);
        if most <= free_bytes {
            return most;
        }
        let code = self.source.bytes.get(range.clone()).unwrap_or_default();
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
