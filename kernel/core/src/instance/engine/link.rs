//! Linking: which modules of a set come first, and what each of their imports is.
//!
//! An import is looked for by its module name: the kernel's calls under `sos` and
//! `wasi_snapshot_preview1`, everything else in the module of that name in the set. A module comes after
//! those that it imports from, so a circle is refused.

use super::load::{ENTRY, INITIALIZE, MAIN, Program, SetModule, Translated};
use super::load_error::{Item, LoadError, SetError};
use super::text;
use crate::limits;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use sos_abi::wasi::{self, WasiCall};
use sos_abi::{CallId, HostCall, ValueType};
use sos_engine::{ExternType, FuncType, ValType};

/// What an import of a module is.
#[derive(Debug)]
pub(super) enum Import {
    /// A host call.
    Host(HostCall, FuncType),
    /// What the module at this place of the set exports under this name.
    Export(usize, Box<str>),
}

/// Whether the kernel itself answers imports of this module name.
fn is_kernel(module: &str) -> bool {
    module == sos_abi::MODULE || module == wasi::MODULE
}

/// Links a set; the first module is the program.
pub(super) fn link(set: Vec<Translated>) -> Result<Program, SetError> {
    check_items(&set)?;
    let order = order(&set)?;
    let imports = set
        .iter()
        .map(|module| {
            check_entries(module)
                .and_then(|()| resolve(&set, module))
                .map_err(|error| module.source.refused(error))
        })
        .collect::<Result<Vec<_>, SetError>>()?;
    let modules = set.into_iter().zip(imports);
    let modules = modules.map(|(translated, imports)| SetModule {
        translated,
        imports,
    });
    Ok(Program {
        modules: modules.collect(),
        order,
    })
}

/// What a capture looks at, one by one, is bounded for the set as a whole, and so is what an instance lists that is
/// not applied in pieces.
fn check_items(set: &[Translated]) -> Result<(), SetError> {
    let (mut items, mut elements) = (limits::SET_ITEMS, limits::PASSIVE_ELEMENTS);
    for module in set {
        let take = |left: &mut usize, count: usize, item, limit: usize| {
            let rest = left.checked_sub(count);
            let refused = || {
                module.source.refused(LoadError::TooMany {
                    item,
                    limit: limit as u64,
                })
            };
            *left = rest.ok_or_else(refused)?;
            Ok(())
        };
        let count = module.inner.captured_items();
        take(&mut items, count, Item::SetItems, limits::SET_ITEMS)?;
        let (count, limit) = (
            module.inner.passive_element_items(),
            limits::PASSIVE_ELEMENTS,
        );
        take(&mut elements, count, Item::PassiveElements, limit)?;
    }
    Ok(())
}

/// The functions that the kernel calls must take and return nothing.
fn check_entries(module: &Translated) -> Result<(), LoadError> {
    let wanted = match module.is_main() {
        true => ENTRY,
        false => INITIALIZE,
    };
    match module.inner.get_export(wanted) {
        Some(ExternType::Func(found)) if is_procedure(&found) => Ok(()),
        Some(ExternType::Func(found)) => Err(LoadError::EntryType {
            name: wanted,
            found: text::of_function(&found),
        }),
        _ if module.is_main() => Err(LoadError::NoEntry),
        _ => Ok(()),
    }
}

/// Whether a function takes and returns nothing.
pub(super) fn is_procedure(function: &FuncType) -> bool {
    function.params().is_empty() && function.results().is_empty()
}

/// Where a module stands while the order is being found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Unseen,
    /// On the path that is being followed.
    Open,
    Placed,
}

/// Places of the modules in an order in which each comes after those that it imports from. The
/// program comes as late as it may: libraries that nothing imports from come before it.
fn order(set: &[Translated]) -> Result<Vec<usize>, SetError> {
    let imports: Vec<Vec<usize>> = set.iter().map(|module| imported(set, module)).collect();
    let mut marks = vec![Mark::Unseen; set.len()];
    let mut order = Vec::new();
    for root in (1..set.len()).chain([0]) {
        // The path from the root, each with how many of its imports were followed. No recursion:
        // the depth is the set's choice.
        let mut path: Vec<(usize, usize)> = Vec::new();
        if marks[root] == Mark::Unseen {
            marks[root] = Mark::Open;
            path.push((root, 0));
        }
        while let Some((module, followed)) = path.last_mut() {
            let Some(&next) = imports[*module].get(*followed) else {
                marks[*module] = Mark::Placed;
                order.push(*module);
                path.pop();
                continue;
            };
            *followed += 1;
            match marks[next] {
                Mark::Placed => {}
                Mark::Unseen => {
                    marks[next] = Mark::Open;
                    path.push((next, 0));
                }
                Mark::Open => {
                    let names = path.iter().map(|(module, _)| *module);
                    let circle = names.skip_while(|module| *module != next).chain([next]);
                    let names = circle.map(|module| set[module].source.name.clone());
                    return Err(SetError::Cycle(names.collect()));
                }
            }
        }
    }
    Ok(order)
}

/// Places of the modules that `module` imports from, in the order of its imports.
fn imported(set: &[Translated], module: &Translated) -> Vec<usize> {
    let mut places = Vec::new();
    for import in module.inner.imports() {
        let place = place(set, import.module()).filter(|place| !places.contains(place));
        places.extend(place);
    }
    places
}

fn place(set: &[Translated], name: &str) -> Option<usize> {
    if is_kernel(name) {
        return None;
    }
    set.iter().position(|module| &*module.source.name == name)
}

/// What each import of a module is, in the module's order.
fn resolve(set: &[Translated], module: &Translated) -> Result<Box<[Import]>, LoadError> {
    let imports = module.inner.imports();
    imports
        .map(|import| {
            let (from, name, wanted) = (import.module(), import.name(), import.ty());
            if is_kernel(from) {
                return resolve_call(from, name, wanted);
            }
            match place(set, from) {
                Some(place) => resolve_export(&set[place], place, name, wanted),
                None => Err(unknown_module(set, from, name, wanted)),
            }
        })
        .collect()
}

fn unknown_module(set: &[Translated], from: &str, name: &str, wanted: &ExternType) -> LoadError {
    let libraries = set.iter().map(|module| &*module.source.name);
    let known = || {
        let own = libraries.clone().filter(|name| *name != MAIN);
        own.chain([sos_abi::MODULE, wasi::MODULE])
    };
    let mut nearest = text::nearest(from, known());
    if nearest.is_empty() {
        nearest = known().take(8).map(Box::from).collect();
    }
    LoadError::UnknownModule {
        module: from.into(),
        name: name.into(),
        wanted: text::of_extern(wanted),
        nearest,
    }
}

/// Finds the host call that an import names.
fn resolve_call(from: &str, name: &str, wanted: &ExternType) -> Result<Import, LoadError> {
    let ExternType::Func(function) = wanted else {
        return Err(LoadError::ImportKind {
            module: from.into(),
            name: name.into(),
            kind: text::kind(wanted),
        });
    };
    let Some(call) = HostCall::from_import(from, name) else {
        let native = CallId::ALL.iter().copied().map(HostCall::from);
        let calls = native.chain(WasiCall::ALL.iter().copied().map(HostCall::from));
        let offered = calls.filter(|call| call.module() == from);
        return Err(LoadError::UnknownImport {
            module: from.into(),
            name: name.into(),
            wanted: text::of_extern(wanted),
            nearest: text::nearest(name, offered.map(HostCall::name)),
        });
    };
    if is_call(function, call) {
        Ok(Import::Host(call, function.clone()))
    } else {
        Err(LoadError::ImportType {
            call,
            wanted: text::of_function(function),
        })
    }
}

/// Whether `function` is of the type of `call`.
pub(super) fn is_call(function: &FuncType, call: HostCall) -> bool {
    let signature = call.signature();
    let parameters = signature.parameters.iter().copied().map(value_type);
    let results = signature.result.into_iter().map(value_type);
    function.params().iter().copied().eq(parameters)
        && function.results().iter().copied().eq(results)
}

/// Finds what another module of the set exports.
fn resolve_export(
    from: &Translated,
    place: usize,
    name: &str,
    wanted: &ExternType,
) -> Result<Import, LoadError> {
    let Some(found) = from.inner.get_export(name) else {
        return Err(LoadError::UnknownImport {
            module: from.source.name.clone(),
            name: name.into(),
            wanted: text::of_extern(wanted),
            nearest: text::nearest(name, from.inner.exports().map(|export| export.name())),
        });
    };
    if satisfies(&found, wanted) {
        Ok(Import::Export(place, name.into()))
    } else {
        Err(LoadError::ExportType {
            module: from.source.name.clone(),
            name: name.into(),
            wanted: text::of_extern(wanted),
            found: text::of_extern(&found),
        })
    }
}

/// Whether an export is what an import wants (WebAssembly 3.0, section 3.4.12 "Matching"). Sizes are those that
/// are declared: a memory that its module's start function would have to grow first is refused.
fn satisfies(found: &ExternType, wanted: &ExternType) -> bool {
    match (found, wanted) {
        (ExternType::Func(found), ExternType::Func(wanted)) => found == wanted,
        (ExternType::Global(found), ExternType::Global(wanted)) => found == wanted,
        (ExternType::Memory(found), ExternType::Memory(wanted)) => {
            found.is_64() == wanted.is_64()
                && found.page_bytes() == wanted.page_bytes()
                && found.minimum() >= wanted.minimum()
                && is_within(found.maximum(), wanted.maximum())
        }
        (ExternType::Table(found), ExternType::Table(wanted)) => {
            found.is_64() == wanted.is_64()
                && found.element() == wanted.element()
                && found.minimum() >= wanted.minimum()
                && is_within(found.maximum(), wanted.maximum())
        }
        (
            ExternType::Func(_)
            | ExternType::Global(_)
            | ExternType::Memory(_)
            | ExternType::Table(_),
            _,
        ) => false,
    }
}

/// Whether something that grows to `found` never exceeds `wanted`.
fn is_within(found: Option<u64>, wanted: Option<u64>) -> bool {
    match (found, wanted) {
        (_, None) => true,
        (Some(found), Some(wanted)) => found <= wanted,
        (None, Some(_)) => false,
    }
}

/// The engine's name of an ABI type.
fn value_type(value: ValueType) -> ValType {
    match value {
        ValueType::I32 => ValType::I32,
        ValueType::I64 => ValType::I64,
    }
}
