//! Names of functions, read from a module's bytes when somebody asks: after a trap, not at load.

use alloc::vec::Vec;
use wasmparser::{
    ExportSectionReader, ExternalKind, KnownCustom, Name, NameSectionReader, Parser, Payload,
};

/// A longer list of names is not searched: reading it would hold the caller up for too long.
const MAXIMUM_NAME_BYTES: usize = 8 * 1024 * 1024;

/// The names of the functions `wanted`, in their order: from the `name` section, or else the first
/// name under which the function is exported. What cannot be read gives no names.
pub fn function_names<'a>(wasm: &'a [u8], wanted: &[u32]) -> Vec<Option<&'a str>> {
    let mut names = alloc::vec![None; wanted.len()];
    let mut exports = names.clone();
    for payload in sections(wasm) {
        match payload {
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(section) = section.as_known() {
                    read_names(section, wanted, &mut names);
                }
            }
            Payload::ExportSection(section) => read_exports(section, wanted, &mut exports),
            _ => {}
        }
    }
    let either = names.into_iter().zip(exports);
    either.map(|(name, export)| name.or(export)).collect()
}

/// The sections around the code section, which is skipped in one step, and before the first error.
fn sections(wasm: &[u8]) -> impl Iterator<Item = Payload<'_>> {
    let mut parser = Parser::new(0);
    let mut rest = wasm;
    core::iter::from_fn(move || {
        let chunk = parser.parse(rest, true).ok()?;
        let wasmparser::Chunk::Parsed { consumed, payload } = chunk else {
            return None;
        };
        rest = &rest[consumed..];
        match payload {
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                rest = rest.get(size as usize..)?;
            }
            Payload::End(_) => return None,
            _ => {}
        }
        Some(payload)
    })
}

fn read_names<'a>(section: NameSectionReader<'a>, wanted: &[u32], names: &mut [Option<&'a str>]) {
    for part in section.into_iter().map_while(Result::ok) {
        let Name::Function(map) = part else {
            continue;
        };
        if map.range().len() > MAXIMUM_NAME_BYTES {
            continue;
        }
        for naming in map.into_iter().map_while(Result::ok) {
            set(wanted, names, naming.index, naming.name);
        }
    }
}

fn read_exports<'a>(
    section: ExportSectionReader<'a>,
    wanted: &[u32],
    names: &mut [Option<&'a str>],
) {
    for export in section.into_iter().map_while(Result::ok) {
        if export.kind == ExternalKind::Func {
            set(wanted, names, export.index, export.name);
        }
    }
}

/// The first name of a function stands.
fn set<'a>(wanted: &[u32], names: &mut [Option<&'a str>], index: u32, name: &'a str) {
    for (wanted, slot) in wanted.iter().zip(names) {
        if *wanted == index {
            slot.get_or_insert(name);
        }
    }
}
