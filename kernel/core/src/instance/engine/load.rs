//! Loading: a module's bytes are claims until they are validated, bounded and every import is known.

use super::loading::{Loading, Progress};
use crate::image::BlobBytes;
use crate::limits;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use sos_abi::{HostCall, ValueType};
use sos_engine::errors::{EnforcedLimitsError, ErrorKind};
use sos_engine::{
    CompilationMode, Config, EnforcedLimits, ExternType, FuncType, ItemCounts, ValType,
};

/// Export that a program begins at: a function without parameters and results.
pub(super) const ENTRY: &str = "_start";

/// Translates modules. One per node; what it translates is shared by all instances.
///
/// wasmi keeps translated code until its engine goes, so each module has a wasmi engine of its own:
/// unloading a module gives its memory back.
#[derive(Debug)]
pub struct Engine {
    pub(super) config: Config,
}

/// A validated and translated module with its imports resolved.
#[derive(Debug)]
pub struct Module {
    pub(super) inner: sos_engine::Module,
    /// What it was translated from.
    pub(super) bytes: BlobBytes,
    /// What each import is, in the order of the module.
    pub(super) imports: Box<[(HostCall, FuncType)]>,
}

/// A kind of thing in a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// Functions defined.
    Functions,
    /// Globals defined.
    Globals,
    /// Tables defined.
    Tables,
    /// Memories defined.
    Memories,
    /// Data segments.
    DataSegments,
    /// Element segments.
    ElementSegments,
    /// Parameters or results of one function type.
    Values,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Item::Functions => "functions",
            Item::Globals => "globals",
            Item::Tables => "tables",
            Item::Memories => "memories",
            Item::DataSegments => "data segments",
            Item::ElementSegments => "element segments",
            Item::Values => "parameters or results of a function",
        })
    }
}

/// A function of a module, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionName {
    /// Its index in the module.
    pub index: u32,
    /// Its name, when the module tells.
    pub name: Option<Box<str>>,
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function {}", self.index)?;
        match &self.name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// Why a module was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The file is too long.
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It has too many of something.
    TooMany {
        /// Of what.
        item: Item,
        /// The most that is allowed.
        limit: u64,
    },
    /// It is not valid WebAssembly, or uses a proposal that is not supported.
    Invalid {
        /// What the validator says, with the offset in the file.
        reason: Box<str>,
        /// The function that it is about, if it is about one.
        function: Option<FunctionName>,
    },
    /// A function is too long.
    FunctionTooLarge {
        /// The function.
        function: FunctionName,
        /// The length of its body.
        bytes: usize,
    },
    /// It imports a function that the kernel does not offer.
    UnknownImport {
        /// Module name of the import.
        module: Box<str>,
        /// Name of the import.
        name: Box<str>,
        /// The type that the module expects.
        wanted: Box<str>,
    },
    /// It imports a host call with another type than the call has.
    ImportType {
        /// The call.
        call: HostCall,
        /// The type that the module expects.
        wanted: Box<str>,
    },
    /// It imports something that is not a function.
    ImportKind {
        /// Module name of the import.
        module: Box<str>,
        /// Name of the import.
        name: Box<str>,
        /// What it imports.
        kind: &'static str,
    },
    /// It exports no function `_start` to begin at.
    NoEntry,
    /// Its `_start` takes parameters or returns results.
    EntryType {
        /// The type that it has.
        found: Box<str>,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::TooLarge { bytes } => write!(
                f,
                "module has {bytes} bytes, more than {}; strip its debug sections",
                limits::MODULE_BYTES
            ),
            LoadError::TooMany { item, limit } => {
                write!(f, "module has too many {item}: at most {limit} are allowed")
            }
            LoadError::Invalid { reason, function } => {
                write!(f, "module is not valid WebAssembly: {reason}")?;
                if let Some(function) = function {
                    write!(f, ", in {function}")?;
                }
                f.write_str("; build it again")
            }
            LoadError::FunctionTooLarge { function, bytes } => write!(
                f,
                "{function} has {bytes} bytes of code, more than {}; split it, or build with less \
                 inlining",
                limits::FUNCTION_BYTES
            ),
            LoadError::UnknownImport {
                module,
                name,
                wanted,
            } => write!(
                f,
                "module imports {module}.{name} of type {wanted}, which this kernel does not \
                 offer; see the list of host calls"
            ),
            LoadError::ImportType { call, wanted } => write!(
                f,
                "module imports {}.{} as {wanted}, but its type is {}; build it with this \
                 kernel's sdk",
                call.module(),
                call.name(),
                type_of_call(*call)
            ),
            LoadError::ImportKind { module, name, kind } => write!(
                f,
                "module imports the {kind} {module}.{name}; only functions can be imported"
            ),
            LoadError::NoEntry => write!(
                f,
                "module exports no function {ENTRY}; build a program rather than a library"
            ),
            LoadError::EntryType { found } => write!(
                f,
                "the module's {ENTRY} has type {found}; it must take and return nothing"
            ),
        }
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
            }));
        Engine { config }
    }

    /// Begins to validate and translate a module, for any number of executions.
    ///
    /// # Errors
    /// [`LoadError::TooLarge`]; everything else is found by the steps.
    pub fn begin(&self, bytes: BlobBytes) -> Result<Loading, LoadError> {
        if bytes.len() > limits::MODULE_BYTES {
            return Err(LoadError::TooLarge { bytes: bytes.len() });
        }
        let engine = sos_engine::Engine::new(&self.config);
        Ok(Loading::new(&engine, bytes))
    }

    /// Validates and translates a module in one go (about 50 MB/s).
    ///
    /// # Errors
    /// [`LoadError`] names the thing that is wrong.
    pub fn compile(&self, wasm: &[u8]) -> Result<Arc<Module>, LoadError> {
        let mut loading = self.begin(BlobBytes::Held(wasm.into()))?;
        loop {
            match loading.step(usize::MAX, u64::MAX) {
                Progress::Working | Progress::Starved { .. } => {}
                Progress::Ready(module) => return Ok(module),
                Progress::Failed(error) => return Err(error),
            }
        }
    }
}

/// Resolves a translated module's imports and looks for its entry.
pub(super) fn finish(
    inner: sos_engine::Module,
    bytes: BlobBytes,
) -> Result<Arc<Module>, LoadError> {
    let imports = inner
        .imports()
        .map(|import| resolve(import.module(), import.name(), import.ty()))
        .collect::<Result<Vec<_>, LoadError>>()?
        .into_boxed_slice();
    match inner.get_export(ENTRY) {
        Some(ExternType::Func(found))
            if found.params().is_empty() && found.results().is_empty() => {}
        Some(ExternType::Func(found)) => {
            return Err(LoadError::EntryType {
                found: type_text(&found),
            });
        }
        _ => return Err(LoadError::NoEntry),
    }
    Ok(Arc::new(Module {
        inner,
        bytes,
        imports,
    }))
}

impl Module {
    /// Bytes that its translation takes, its data segments included.
    pub fn translated_bytes(&self) -> u64 {
        self.inner.translated_bytes() as u64
    }
}

/// Finds the host call that an import names.
fn resolve(
    module: &str,
    name: &str,
    wanted: &ExternType,
) -> Result<(HostCall, FuncType), LoadError> {
    let kind = match wanted {
        ExternType::Func(wanted) => return resolve_function(module, name, wanted),
        ExternType::Global(_) => "global",
        ExternType::Memory(_) => "memory",
        ExternType::Table(_) => "table",
    };
    Err(LoadError::ImportKind {
        module: module.into(),
        name: name.into(),
        kind,
    })
}

fn resolve_function(
    module: &str,
    name: &str,
    wanted: &FuncType,
) -> Result<(HostCall, FuncType), LoadError> {
    let Some(call) = HostCall::from_import(module, name) else {
        return Err(LoadError::UnknownImport {
            module: module.into(),
            name: name.into(),
            wanted: type_text(wanted),
        });
    };
    let signature = call.signature();
    let parameters = signature.parameters.iter().copied().map(value_type);
    let results = signature.result.into_iter().map(value_type);
    if wanted.params().iter().copied().eq(parameters)
        && wanted.results().iter().copied().eq(results)
    {
        Ok((call, wanted.clone()))
    } else {
        Err(LoadError::ImportType {
            call,
            wanted: type_text(wanted),
        })
    }
}

/// The engine's name of an ABI type.
fn value_type(value: ValueType) -> ValType {
    match value {
        ValueType::I32 => ValType::I32,
        ValueType::I64 => ValType::I64,
    }
}

/// A function type as the text format writes it: `(i32, i64) -> (i32)`.
fn type_text(function: &FuncType) -> Box<str> {
    let names =
        |types: &[ValType]| -> Vec<&str> { types.iter().copied().map(value_name).collect() };
    write_type(&names(function.params()), &names(function.results()))
}

fn type_of_call(call: HostCall) -> Box<str> {
    let signature = call.signature();
    let parameters: Vec<&str> = signature
        .parameters
        .iter()
        .map(|value| value.name())
        .collect();
    let results: Vec<&str> = signature.result.iter().map(|value| value.name()).collect();
    write_type(&parameters, &results)
}

fn write_type(parameters: &[&str], results: &[&str]) -> Box<str> {
    let mut text = String::from("(");
    text.push_str(&parameters.join(", "));
    text.push_str(") -> (");
    text.push_str(&results.join(", "));
    text.push(')');
    text.into_boxed_str()
}

fn value_name(value: ValType) -> &'static str {
    match value {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::V128 => "v128",
        ValType::FuncRef => "funcref",
        ValType::ExternRef => "externref",
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
