//! Loading: modules' bytes are claims until they are validated, bounded and linked.
//!
//! A [`Program`] is a set of modules: the program itself, called `main`, and any number of libraries.
//! All modules of a store must be of one wasmi engine, and wasmi keeps translated code until its engine
//! goes. So each *set* has a wasmi engine of its own: unloading a set gives its memory back, and a
//! module that two different sets use is translated once for each. The alternatives were to give code
//! back module by module, which wasmi's arena of code cannot, and one engine for modules that are
//! used together anywhere, which would keep code for as long as the last of a chain of sets lives.

use super::link::Import;
use super::load_error::{FunctionName, Item, LoadError, SetError};
use super::loading::{Loading, Progress};
use crate::image::BlobBytes;
use crate::limits;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use sos_engine::errors::{EnforcedLimitsError, ErrorKind};
use sos_engine::{CompilationMode, Config, EnforcedLimits, ItemCounts};

/// Name of the program in its set.
pub const MAIN: &str = "main";
/// Export that a program begins at: a function without parameters and results.
pub(super) const ENTRY: &str = "_start";
/// Export that prepares a library, as wasi-libc's reactors have it: called after its start function.
pub(super) const INITIALIZE: &str = "_initialize";

/// Translates modules. One per node; what it translates is shared by all instances.
#[derive(Debug)]
pub struct Engine {
    pub(super) config: Config,
}

/// One module of a set, before it is translated.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name under which others import from it; [`MAIN`] is the program.
    pub name: Box<str>,
    /// What it is called in the manifest, for errors.
    pub file: Box<str>,
    /// The module.
    pub bytes: BlobBytes,
}

/// A validated and translated set of modules with all imports resolved.
#[derive(Debug)]
pub struct Program {
    /// `main` first, then the libraries as they were given.
    pub(super) modules: Vec<SetModule>,
    /// Places of the modules in the order in which they are instantiated.
    pub(super) order: Vec<usize>,
}

/// One module of a linked set.
#[derive(Debug)]
pub(super) struct SetModule {
    pub translated: Translated,
    /// What each import is, in the order of the module.
    pub imports: Box<[Import]>,
}

/// One module of a set that is being linked.
#[derive(Debug)]
pub(super) struct Translated {
    /// What it was translated from.
    pub source: Source,
    pub inner: sos_engine::Module,
}

impl Translated {
    /// Whether it is the program.
    pub fn is_main(&self) -> bool {
        &*self.source.name == MAIN
    }
}

impl Source {
    /// The program of a set.
    pub fn main(file: &str, bytes: BlobBytes) -> Source {
        Source {
            name: MAIN.into(),
            file: file.into(),
            bytes,
        }
    }

    /// The refusal of this module.
    pub(super) fn refused(&self, error: LoadError) -> SetError {
        SetError::Module {
            name: self.name.clone(),
            file: self.file.clone(),
            error,
        }
    }
}

impl Program {
    /// The modules' names and what they are called in the manifest, `main` first.
    pub fn modules(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.modules.iter().map(|module| {
            let source = &module.translated.source;
            (&*source.name, &*source.file)
        })
    }

    /// Bytes that its translation takes, its data segments included.
    pub fn translated_bytes(&self) -> u64 {
        let modules = self.modules.iter();
        modules
            .map(|module| module.translated.inner.translated_bytes() as u64)
            .sum()
    }
}

impl Default for Engine {
    fn default() -> Engine {
        Engine::new()
    }
}

impl Engine {
    /// An engine with the settings that every node shares.
    pub fn new() -> Engine {
        let mut config = Config::default();
        config
            .consume_fuel(true)
            // Lazy translation would make running out of fuel while translating final.
            .compilation_mode(CompilationMode::Eager)
            .wasm_wide_arithmetic(true)
            .wasm_custom_page_sizes(true)
            .ignore_custom_sections(true)
            // A stack belongs to one execution and has its limits: none is passed on.
            .set_max_cached_stacks(0)
            .enforced_limits(EnforcedLimits::new(ItemCounts {
                functions: limits::MODULE_FUNCTIONS,
                globals: limits::MODULE_GLOBALS,
                tables: limits::MODULE_TABLES,
                memories: limits::MODULE_MEMORIES,
                segments: limits::MODULE_SEGMENTS,
                results: limits::FUNCTION_RESULTS,
            }));
        Engine { config }
    }

    /// Begins to validate, translate and link a set of modules, for any number of executions. The
    /// first is the program.
    ///
    /// # Errors
    /// [`LoadError::TooLarge`]; everything else is found by the steps.
    pub fn begin(&self, set: Vec<Source>) -> Result<Loading, SetError> {
        let engine = sos_engine::Engine::new(&self.config);
        for source in &set {
            let bytes = source.bytes.len();
            if bytes > limits::MODULE_BYTES {
                return Err(source.refused(LoadError::TooLarge { bytes }));
            }
        }
        Ok(Loading::new(engine, set))
    }

    /// Validates, translates (about 50 MB/s) and links a set in one go.
    ///
    /// # Errors
    /// [`SetError`] names the module and the thing in it that is wrong.
    pub fn load(&self, set: Vec<Source>) -> Result<Arc<Program>, SetError> {
        let mut loading = self.begin(set)?;
        loop {
            match loading.step(usize::MAX, u64::MAX) {
                Progress::Working | Progress::Starved { .. } => {}
                Progress::Ready(program) => return Ok(program),
                Progress::Failed(error) => return Err(error),
            }
        }
    }

    /// [`load`](Self::load) of a program that is one module, from bytes that are copied.
    ///
    /// # Errors
    /// As `load`.
    pub fn compile(&self, wasm: &[u8]) -> Result<Arc<Program>, SetError> {
        self.load(vec![Source::main(MAIN, BlobBytes::Held(wasm.into()))])
    }
}

/// Sorts the engine's refusals.
pub(super) fn refusal(error: &sos_engine::Error, function: Option<FunctionName>) -> LoadError {
    let ErrorKind::UserLimits(limit) = error.kind() else {
        return LoadError::Invalid {
            reason: error.to_string().into_boxed_str(),
            function,
        };
    };
    let (item, limit) = match *limit {
        EnforcedLimitsError::TooManyGlobals { limit } => (Item::Globals, u64::from(limit)),
        EnforcedLimitsError::TooManyTables { limit } => (Item::Tables, u64::from(limit)),
        EnforcedLimitsError::TooManyFunctions { limit } => (Item::Functions, u64::from(limit)),
        EnforcedLimitsError::TooManyMemories { limit } => (Item::Memories, u64::from(limit)),
        EnforcedLimitsError::TooManyElementSegments { limit } => {
            (Item::ElementSegments, u64::from(limit))
        }
        EnforcedLimitsError::TooManyDataSegments { limit } => {
            (Item::DataSegments, u64::from(limit))
        }
        EnforcedLimitsError::TooManyParameters { limit }
        | EnforcedLimitsError::TooManyResults { limit } => (Item::Values, limit as u64),
        EnforcedLimitsError::MinAvgBytesPerFunction { limit, .. } => {
            (Item::Functions, u64::from(limit))
        }
    };
    LoadError::TooMany { item, limit }
}
