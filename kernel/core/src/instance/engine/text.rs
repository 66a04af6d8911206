//! Types and names of imports and exports, for people.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sos_abi::HostCall;
use sos_engine::{ExternType, FuncType, Mutability, RefType, ValType};

/// Names that are offered when one was not found.
const NEAREST_NAMES: usize = 3;
/// Names that are compared with it: a module may export very many.
const COMPARED_NAMES: usize = 4096;
/// Bytes of a name that are compared.
const COMPARED_BYTES: usize = 64;

/// A type with its kind: `function (i32) -> ()`, `memory of 1 to 2 pages`.
pub(super) fn of_extern(item: &ExternType) -> Box<str> {
    match item {
        ExternType::Func(function) => format!("function {}", of_function(function)),
        ExternType::Global(global) => {
            let mutable = match global.mutability() {
                Mutability::Var => "mutable ",
                Mutability::Const => "",
            };
            format!("{mutable}global {}", value_name(global.content()))
        }
        ExternType::Memory(memory) => {
            let wide = if memory.is_64() { "64-bit " } else { "" };
            let range = range(memory.minimum(), memory.maximum());
            let pages = match memory.page_bytes() {
                65_536 => "pages".into(),
                bytes => format!("pages of {bytes} bytes"),
            };
            format!("{wide}memory of {range} {pages}")
        }
        ExternType::Table(table) => {
            let wide = if table.is_64() { "64-bit " } else { "" };
            let range = range(table.minimum(), table.maximum());
            let element = match table.element() {
                RefType::Func => "funcref",
                RefType::Extern => "externref",
            };
            format!("{wide}table of {range} {element}")
        }
    }
    .into_boxed_str()
}

/// The kind alone.
pub(super) fn kind(item: &ExternType) -> &'static str {
    match item {
        ExternType::Func(_) => "function",
        ExternType::Global(_) => "global",
        ExternType::Memory(_) => "memory",
        ExternType::Table(_) => "table",
    }
}

fn range(minimum: u64, maximum: Option<u64>) -> String {
    match maximum {
        Some(maximum) => format!("{minimum} to {maximum}"),
        None => format!("{minimum} or more"),
    }
}

/// A function type as the text format writes it: `(i32, i64) -> (i32)`.
pub(super) fn of_function(function: &FuncType) -> Box<str> {
    let names =
        |types: &[ValType]| -> Vec<&str> { types.iter().copied().map(value_name).collect() };
    write(&names(function.params()), &names(function.results()))
}

/// The type of a host call.
pub(super) fn of_call(call: HostCall) -> Box<str> {
    let signature = call.signature();
    let parameters: Vec<&str> = signature
        .parameters
        .iter()
        .map(|value| value.name())
        .collect();
    let results: Vec<&str> = signature.result.iter().map(|value| value.name()).collect();
    write(&parameters, &results)
}

fn write(parameters: &[&str], results: &[&str]) -> Box<str> {
    format!("({}) -> ({})", parameters.join(", "), results.join(", ")).into_boxed_str()
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

/// Those of `offered` that are nearly `wanted`, the nearest first: within a third of its length.
pub(super) fn nearest<'a>(wanted: &str, offered: impl Iterator<Item = &'a str>) -> Box<[Box<str>]> {
    let bound = (wanted.len().min(COMPARED_BYTES) / 3).max(2);
    let mut found: Vec<(usize, &str)> = offered
        .take(COMPARED_NAMES)
        .map(|name| (distance(wanted.as_bytes(), name.as_bytes()), name))
        .filter(|(distance, _)| *distance <= bound)
        .collect();
    found.sort_unstable();
    let found = found.into_iter().take(NEAREST_NAMES);
    found.map(|(_, name)| name.into()).collect()
}

/// How many bytes must be changed, put in or left out to get from one name to the other
/// (Levenshtein), of their first bytes.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let left = &left[..left.len().min(COMPARED_BYTES)];
    let right = &right[..right.len().min(COMPARED_BYTES)];
    let mut row: [usize; COMPARED_BYTES + 1] = core::array::from_fn(|column| column);
    for (line, &byte) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, &other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(byte != other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_changes() {
        for (left, right, changes) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("tcp_read", "tcp_reed", 1),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(left.as_bytes(), right.as_bytes()), changes);
        }
    }

    #[test]
    fn only_near_names_are_offered_and_few_of_them() {
        let offered = [
            "tcp_read",
            "tcp_write",
            "udp_bind",
            "tcp_real",
            "tcp_rear",
            "tcp_ready",
        ];
        let found = nearest("tcp_reed", offered.into_iter());
        assert_eq!(found.len(), NEAREST_NAMES);
        assert_eq!(&*found[0], "tcp_read");
        assert!(nearest("zzzzzz", offered.into_iter()).is_empty());
    }
}
