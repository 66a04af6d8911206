//! Names for the addresses in an epitaph, from the kernel's ELF symbol table.
//!
//! The layout is that of the System V ABI's ELF-64 object file format: header, section headers,
//! `.symtab` (type 2) and the string table that it links to.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

/// Section type of a symbol table.
const SYMBOL_TABLE: u32 = 2;
/// Symbol type of a function, in the low four bits of `st_info`.
const FUNCTION: u8 = 2;
/// Bytes of a section header and of a symbol.
const SECTION_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;

/// The functions of an ELF file, by address.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    functions: Vec<Function>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    start: u64,
    size: u64,
    name: String,
}

impl Symbols {
    /// Reads the symbols of the ELF file at `path`.
    pub fn read(path: &Path) -> Result<Symbols> {
        let context = || format!("read the symbols of {}", path.display());
        let bytes = std::fs::read(path).with_context(context)?;
        Symbols::parse(&bytes).with_context(context)
    }

    /// Reads the symbols of an ELF file's bytes.
    fn parse(elf: &[u8]) -> Result<Symbols> {
        anyhow::ensure!(
            elf.starts_with(b"\x7fELF\x02\x01"),
            "not a little-endian ELF-64 file"
        );
        let table = usize::try_from(word(elf, 0x28)?)?;
        let count = usize::from(u16::from_le_bytes(array(elf, 0x3c)?));
        let mut functions = Vec::new();
        for index in 0..count {
            let section = table + index * SECTION_BYTES;
            if u32::from_le_bytes(array(elf, section + 4)?) != SYMBOL_TABLE {
                continue;
            }
            let link = u32::from_le_bytes(array(elf, section + 40)?) as usize;
            let symbols = section_bytes(elf, section)?;
            let names = section_bytes(elf, table + link * SECTION_BYTES)?;
            for symbol in symbols.chunks_exact(SYMBOL_BYTES) {
                functions.extend(function(symbol, names)?);
            }
        }
        functions.sort();
        Ok(Symbols { functions })
    }

    /// The function that an address lies in, and how far.
    pub fn lookup(&self, address: u64) -> Option<(&str, u64)> {
        let after = self
            .functions
            .partition_point(|function| function.start <= address);
        let function = self.functions.get(after.checked_sub(1)?)?;
        let offset = address - function.start;
        (offset < function.size.max(1)).then_some((function.name.as_str(), offset))
    }

    /// A line for each address in `text` that lies in a function, each once, in order.
    pub fn explain(&self, text: &str) -> String {
        let mut explained = String::new();
        let mut seen = Vec::new();
        for address in addresses(text) {
            if let Some((name, offset)) = self.lookup(address)
                && !seen.contains(&address)
            {
                seen.push(address);
                // Writing to a string cannot fail.
                let _ = writeln!(explained, "  {address:#x} {name}+{offset:#x}");
            }
        }
        explained
    }
}

/// Hexadecimal numbers that a text writes as `0x…`.
fn addresses(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split("0x").skip(1).filter_map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_hexdigit() && c != '_')
            .unwrap_or(rest.len());
        u64::from_str_radix(&rest[..end].replace('_', ""), 16).ok()
    })
}

fn function(symbol: &[u8], names: &[u8]) -> Result<Option<Function>> {
    if symbol[4] & 0xf != FUNCTION {
        return Ok(None);
    }
    let name = u32::from_le_bytes(array(symbol, 0)?) as usize;
    let name = names.get(name..).context("a name outside its table")?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = format!(
        "{:#}",
        rustc_demangle::demangle(&String::from_utf8_lossy(name))
    );
    Ok(Some(Function {
        start: word(symbol, 8)?,
        size: word(symbol, 16)?,
        name,
    }))
}

fn section_bytes(elf: &[u8], section: usize) -> Result<&[u8]> {
    let start = usize::try_from(word(elf, section + 24)?)?;
    let size = usize::try_from(word(elf, section + 32)?)?;
    let end = start
        .checked_add(size)
        .context("a section that is too large")?;
    elf.get(start..end).context("a section outside the file")
}

fn word(bytes: &[u8], offset: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(array(bytes, offset)?))
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N]> {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    found.copied().context("the ELF file is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn known_function() -> u64 {
        known_function as fn() -> u64 as usize as u64
    }

    #[test]
    fn this_program_finds_its_own_functions() {
        let symbols = Symbols::read(&std::env::current_exe().unwrap()).unwrap();
        let wanted = "symbols::tests::known_function";
        let function = symbols
            .functions
            .iter()
            .find(|function| function.name.ends_with(wanted))
            .unwrap();
        // The program is loaded at an address of the system's choice, a multiple of the page size.
        assert_eq!(function.start % 4096, known_function() % 4096);
        let (name, offset) = symbols.lookup(function.start + 1).unwrap();
        assert!(name.ends_with(wanted) && offset == 1);
        let text = format!(
            "rip 0x{:016x} and again {:#x}, 0x1",
            function.start, function.start
        );
        assert_eq!(symbols.explain(&text).lines().count(), 1);
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(Symbols::parse(b"#!/bin/sh").is_err());
        assert!(Symbols::parse(b"\x7fELF\x02\x01").is_err());
    }
}
