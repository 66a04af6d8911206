//! Why a set of modules was refused: which module, what in it, and what to do.

use super::text;
use crate::limits;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use sos_abi::HostCall;

/// Why a set of modules was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// One of its modules was.
    Module {
        /// The module's name in the set; `main` is the program.
        name: Box<str>,
        /// What the module is called in the manifest.
        file: Box<str>,
        /// Why.
        error: LoadError,
    },
    /// Modules import from each other in a circle: their names, the first one again at the end.
    Cycle(Vec<Box<str>>),
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
    /// A section that is read in one step is too long.
    SectionTooLarge {
        /// What it holds.
        item: &'static str,
        /// Its length.
        bytes: usize,
        /// The most that is allowed.
        limit_bytes: usize,
    },
    /// It imports from a module that is neither in the set nor the kernel's.
    UnknownModule {
        /// Module name of the import.
        module: Box<str>,
        /// Name of the import.
        name: Box<str>,
        /// The type that the module expects.
        wanted: Box<str>,
        /// The modules that there are, those with the nearest names first.
        nearest: Box<[Box<str>]>,
    },
    /// It imports something that the other module, or the kernel, does not offer.
    UnknownImport {
        /// Module name of the import.
        module: Box<str>,
        /// Name of the import.
        name: Box<str>,
        /// The type that the module expects.
        wanted: Box<str>,
        /// What is offered under names that are nearly this one.
        nearest: Box<[Box<str>]>,
    },
    /// It imports a host call with another type than the call has.
    ImportType {
        /// The call.
        call: HostCall,
        /// The type that the module expects.
        wanted: Box<str>,
    },
    /// It imports something from another module of the set that is of another type there.
    ExportType {
        /// Module name of the import.
        module: Box<str>,
        /// Name of the import.
        name: Box<str>,
        /// The type that the module expects.
        wanted: Box<str>,
        /// The type that the other module exports.
        found: Box<str>,
    },
    /// It imports something from the kernel that is not a function.
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
    /// A function that the kernel calls takes parameters or returns results.
    EntryType {
        /// The function's name.
        name: &'static str,
        /// The type that it has.
        found: Box<str>,
    },
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
    /// Imports, globals, tables, memories and passive segments of a module and those before it.
    SetItems,
    /// Elements of the passive segments of a module and those before it.
    PassiveElements,
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
            Item::SetItems => {
                "imports, globals, tables, memories and passive segments, with the modules before it"
            }
            Item::PassiveElements => {
                "elements of passive segments, with the modules before it"
            }
        })
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Module { name, file, error } if &**name == super::MAIN => {
                write!(f, "module '{file}' is refused: {error}")
            }
            SetError::Module { name, file, error } => {
                write!(f, "library '{name}' (module '{file}') is refused: {error}")
            }
            SetError::Cycle(names) => write!(
                f,
                "its modules import from each other in a circle: {}; move what they share into a \
                 module of its own",
                names.join(" -> ")
            ),
        }
    }
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
            LoadError::SectionTooLarge {
                item,
                bytes,
                limit_bytes,
            } => write!(
                f,
                "module has {bytes} bytes of {item} in one section, more than {limit_bytes}; split \
                 it into a set of modules"
            ),
            LoadError::UnknownModule {
                module,
                name,
                wanted,
                nearest,
            } => write!(
                f,
                "module imports {module}.{name}, a {wanted}, but there is no module '{module}': \
                 there are {}; name it under `libraries` in the manifest",
                nearest.join(", ")
            ),
            LoadError::UnknownImport {
                module,
                name,
                wanted,
                nearest,
            } => {
                write!(
                    f,
                    "module imports {module}.{name}, a {wanted}, which '{module}' does not offer"
                )?;
                match nearest.is_empty() {
                    true => f.write_str("; no name there is near it"),
                    false => write!(f, "; near it are {}", nearest.join(", ")),
                }
            }
            LoadError::ImportType { call, wanted } => write!(
                f,
                "module imports {}.{} as {wanted}, but its type is {}; build it with this \
                 kernel's sdk",
                call.module(),
                call.name(),
                text::of_call(*call)
            ),
            LoadError::ExportType {
                module,
                name,
                wanted,
                found,
            } => write!(
                f,
                "module imports {module}.{name} as a {wanted}, but '{module}' exports a {found}; \
                 build both against the same declarations"
            ),
            LoadError::ImportKind { module, name, kind } => write!(
                f,
                "module imports the {kind} {module}.{name}; the kernel offers only functions"
            ),
            LoadError::NoEntry => write!(
                f,
                "module exports no function {}; build a program rather than a library",
                super::ENTRY
            ),
            LoadError::EntryType { name, found } => write!(
                f,
                "the module's {name} has type {found}; it must take and return nothing"
            ),
        }
    }
}
