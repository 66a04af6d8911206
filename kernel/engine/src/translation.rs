//! Translation in steps: what `Module::new` does, a bounded number of bytes at a time (D10).
//!
//! The same parser, validator and translators as wasmi's eager mode, in the same order, so that code,
//! errors and offsets are the same; only the loops over parts, operators and data segments can be
//! left and entered again. The alternative, wasmi's lazy mode with each function forced, copies
//! every body, cannot stop inside a function, and charges fuel for a function that was not forced.

use crate::engine::{
    EngineFunc, FuelMeteringFuncTranslator, FuncToValidate, FuncTranslator,
    ValidatingFuncTranslator, WasmTranslator,
};
use crate::module::builder::ModuleBuilder;
use crate::module::parser::ModuleParser;
use crate::module::{FuncIdx, ModuleHeader};
use crate::{Engine, Error, Module};
use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;
use wasmparser::{BinaryReader, Data, DataSectionReader, FunctionBody, Payload};

/// What `ModuleParser::next_part` found.
pub(crate) enum Part<'a> {
    /// A section, processed.
    Section,
    /// A function, to be translated.
    Function {
        index: FuncIdx,
        function: EngineFunc,
        body: FunctionBody<'a>,
        checks: FuncToValidate,
        header: ModuleHeader,
    },
    /// The data section, validated; its segments are to be copied.
    Data(DataSectionReader<'a>),
    /// The end of the module.
    End,
}

/// A module that is being translated.
pub struct Translation {
    engine: Engine,
    parser: ModuleParser,
    builder: Option<ModuleBuilder>,
    /// Bytes of the module that the parser has seen.
    parsed: usize,
    begun: Begun,
    function: Option<u32>,
}

/// What is begun and not done.
enum Begun {
    Nothing,
    Function(Box<Body>),
    Data { left: u32, range: Range<usize> },
}

/// A function in the midst of its operators.
struct Body {
    translator: ValidatingFuncTranslator<FuelMeteringFuncTranslator>,
    function: EngineFunc,
    /// The body, locals included, as offsets in the module.
    range: Range<usize>,
    /// The next operator.
    next: usize,
}

/// What the next step begins with, and where it lies in the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upcoming {
    /// The rest of something begun.
    Rest,
    /// The types of functions: their validation is slow.
    Types(Range<usize>),
    /// A section other than types, code and data.
    Section(Range<usize>),
    /// The data section.
    Data(Range<usize>),
    /// The function of this index.
    Function(u32, Range<usize>),
}

impl Translation {
    /// Begins the translation of a module, whose bytes come with each step.
    pub fn new(engine: &Engine) -> Translation {
        Translation {
            engine: engine.clone(),
            parser: ModuleParser::validating(engine),
            builder: Some(ModuleBuilder::new(engine)),
            parsed: 0,
            begun: Begun::Nothing,
            function: None,
        }
    }

    /// How many bytes of the module are done.
    pub fn position(&self) -> usize {
        match &self.begun {
            Begun::Nothing => self.parsed,
            Begun::Function(body) => body.next,
            Begun::Data { range, .. } => range.start,
        }
    }

    /// The index of the function that is begun: the one that an error is about.
    pub fn function(&self) -> Option<u32> {
        self.function
    }

    /// What comes next in `wasm`; `Rest` also when it is nothing that could be parsed.
    pub fn upcoming(&self, wasm: &[u8]) -> Upcoming {
        let rest = wasm.get(self.parsed..).unwrap_or_default();
        if !matches!(self.begun, Begun::Nothing) {
            return Upcoming::Rest;
        }
        match self.parser.peek(rest) {
            Some(Payload::CodeSectionEntry(body)) => {
                let imported = self.builder.as_ref().map_or(0, |it| it.len_funcs_imports());
                let index = self.parser.engine_funcs() + imported as u32;
                Upcoming::Function(index, body.range())
            }
            Some(Payload::DataSection(section)) => Upcoming::Data(section.range()),
            Some(Payload::TypeSection(section)) => Upcoming::Types(section.range()),
            Some(Payload::CustomSection(_) | Payload::CodeSectionStart { .. }) | None => {
                Upcoming::Rest
            }
            Some(payload) => match payload.as_section() {
                Some((_, range)) => Upcoming::Section(range),
                None => Upcoming::Rest,
            },
        }
    }

    /// Begins what comes next, or does about `budget` bytes of what is begun. Once it has answered
    /// with a module or an error it is over.
    ///
    /// # Errors
    /// What is wrong with the module, with the offset in it.
    pub fn step(&mut self, wasm: &[u8], budget: usize) -> Result<Option<Module>, Error> {
        let before = self.position();
        match &mut self.begun {
            Begun::Function(body) => {
                if body.advance(wasm, budget)?
                    && let Begun::Function(body) =
                        core::mem::replace(&mut self.begun, Begun::Nothing)
                {
                    body.finish(&self.engine)?;
                    self.function = None;
                }
            }
            Begun::Data { left, range } => {
                let builder = self.builder.as_mut().ok_or_else(over)?;
                copy_segments(wasm, builder, left, range, before.saturating_add(budget))?;
                if *left == 0 {
                    self.begun = Begun::Nothing;
                }
            }
            Begun::Nothing => return self.begin_part(wasm),
        }
        Ok(None)
    }

    /// Parses what comes next.
    fn begin_part(&mut self, wasm: &[u8]) -> Result<Option<Module>, Error> {
        let builder = self.builder.as_mut().ok_or_else(over)?;
        let rest = wasm.get(self.parsed..).unwrap_or_default();
        let (consumed, part) = self.parser.next_part(rest, builder)?;
        self.parsed += consumed;
        match part {
            Part::Section => {}
            Part::Data(section) => {
                let range = section.range();
                // Once, at the size that it can reach: growing would hold it twice.
                builder.reserve_data_segments(section.count() as usize);
                builder.data_segments.reserve_bytes(range.len());
                self.begun = Begun::Data {
                    left: section.count(),
                    range: section.original_position()..range.end,
                };
            }
            Part::Function {
                index,
                function,
                body,
                checks,
                header,
            } => {
                self.function = Some(index.into_u32());
                let body = Body::begin(&self.engine, index, function, &body, checks, header)?;
                self.begun = Begun::Function(Box::new(body));
            }
            Part::End => {
                let builder = self.builder.take().ok_or_else(over)?;
                return builder.finish().map(Some);
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translation")
            .field("position", &self.position())
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

impl Body {
    /// Sets a translator up and reads the locals.
    fn begin(
        engine: &Engine,
        index: FuncIdx,
        function: EngineFunc,
        body: &FunctionBody<'_>,
        checks: FuncToValidate,
        header: ModuleHeader,
    ) -> Result<Body, Error> {
        let (translation, validation) = engine.get_allocs();
        let validator = checks.into_validator(validation);
        let translator = FuncTranslator::new(index, header, translation)?;
        let translator = FuelMeteringFuncTranslator::from(translator);
        let mut translator = ValidatingFuncTranslator::new(validator, translator)?;
        translator.setup(body.as_bytes())?;
        let mut locals = body.get_locals_reader()?;
        for _ in 0..locals.get_count() {
            translator.update_pos(locals.original_position());
            let (amount, value_type) = locals.read()?;
            translator.translate_locals(amount, value_type)?;
        }
        translator.finish_translate_locals()?;
        Ok(Body {
            translator,
            function,
            range: body.range(),
            next: locals.original_position(),
        })
    }

    /// Translates operators for about `budget` bytes. Tells whether none is left.
    fn advance(&mut self, wasm: &[u8], budget: usize) -> Result<bool, Error> {
        let body = wasm.get(self.range.clone()).unwrap_or_default();
        let features = self.translator.features();
        // The reader begins with the body, as in one go: some offsets in errors count from there.
        let mut reader = BinaryReader::new_features(body, self.range.start, features);
        reader.read_bytes(self.next - self.range.start)?;
        let stop = self.next.saturating_add(budget);
        while !reader.eof() {
            let position = reader.original_position();
            if position >= stop {
                break;
            }
            self.translator.update_pos(position);
            reader.visit_operator(&mut self.translator)??;
        }
        self.next = reader.original_position();
        Ok(reader.eof())
    }

    fn finish(mut self, engine: &Engine) -> Result<(), Error> {
        self.translator.update_pos(self.range.end);
        let function = self.function;
        let allocations = self
            .translator
            .finish(|code| engine.init_func(function, code))?;
        engine.recycle_allocs(allocations.translation, allocations.validation);
        Ok(())
    }
}

/// Copies data segments until about offset `stop`.
fn copy_segments(
    wasm: &[u8],
    builder: &mut ModuleBuilder,
    left: &mut u32,
    range: &mut Range<usize>,
    stop: usize,
) -> Result<(), Error> {
    let bytes = wasm.get(range.clone()).unwrap_or_default();
    let mut reader = BinaryReader::new(bytes, range.start);
    while *left > 0 && reader.original_position() < stop {
        builder.push_data_segment(reader.read::<Data<'_>>()?)?;
        *left -= 1;
    }
    range.start = reader.original_position();
    Ok(())
}

/// The answer to a step after the last.
fn over() -> Error {
    Error::new("the translation is over")
}

impl Module {
    /// Bytes that the translated code with its frame maps takes, and the module's data with it.
    pub fn translated_bytes(&self) -> usize {
        let features = self.engine().config().wasm_features();
        let code = self.internal_funcs().map(|(_, function)| {
            let entry = self.engine().resolve_func(function);
            let code = entry.and_then(|entry| entry.get_or_compile(None, &features).ok());
            size_of::<crate::engine::FuncEntry>() + code.map_or(0, |code| code.ops().len())
        });
        code.sum::<usize>() + self.frame_map_bytes() + self.data_bytes()
    }
}
