//! A JSON tool: jaq's compiler, interpreter and libraries, unchanged, as `jq` is used.
//!
//! Arguments: a filter, and files to read; without files it reads standard input. Every value that
//! the filter yields is printed on a line of its own. The status is 5 when the filter fails for some
//! input, 3 when it is none, 2 when a file is unreadable (as `jq` has it).

use std::io::{self, Read, Write};
use std::process::ExitCode;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};

type Filter = jaq_core::compile::Filter<jaq_core::Native<data::JustLut<Val>>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(code) = arguments.next() else {
        return failed(2, "usage: json FILTER [FILE...]");
    };
    let filter = match compile(&code) {
        Ok(filter) => filter,
        Err(error) => return failed(3, &error),
    };
    let files: Vec<String> = arguments.collect();
    let texts = if files.is_empty() {
        read_input().map(|text| vec![text])
    } else {
        files.iter().map(|path| read_file(path)).collect()
    };
    match texts {
        Err(error) => failed(2, &error),
        Ok(texts) => match texts.iter().try_for_each(|text| run(&filter, text)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(5, &error),
        },
    }
}

fn failed(status: u8, error: &str) -> ExitCode {
    eprintln!("json: {error}");
    ExitCode::from(status)
}

fn read_input() -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    match io::stdin().read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("standard input: {error}")),
    }
}

fn read_file(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

fn compile(code: &str) -> Result<Filter, String> {
    let definitions = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let functions = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(definitions)
        .load(&arena, File { code, path: () })
        .map_err(|errors| format!("{code}: not a filter: {errors:?}"))?;
    Compiler::default()
        .with_funs(functions)
        .compile(modules)
        .map_err(|errors| format!("{code}: unknown in the filter: {errors:?}"))
}

fn run(filter: &Filter, text: &[u8]) -> Result<(), String> {
    let mut output = io::stdout().lock();
    for input in read::parse_many(text) {
        let input = input.map_err(|error| format!("not JSON: {error}"))?;
        let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
        for value in filter.id.run((context, input)).map(unwrap_valr) {
            let value = value.map_err(|error| error.to_string())?;
            writeln!(output, "{value}").map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
