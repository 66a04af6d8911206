//! A JavaScript engine in Rust (boa, unchanged) that runs a script.
//!
//! Arguments: the script file; without one, a script that is built in. `print` writes a line. The
//! status is 1 when the script throws.

use std::process::ExitCode;

use boa_engine::{Context, JsResult, JsValue, NativeFunction, Source, js_string};

const BUILT_IN: &str = include_str!("../script.js");

fn main() -> ExitCode {
    let script = match std::env::args().nth(1) {
        None => BUILT_IN.to_owned(),
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(script) => script,
            Err(error) => {
                eprintln!("javascript: {path}: {error}");
                return ExitCode::from(2);
            }
        },
    };
    match run(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Behind the first line stand the calls that led to it.
            let error = error.to_string();
            eprintln!("javascript: {}", error.lines().next().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn run(script: &str) -> JsResult<()> {
    let mut context = Context::default();
    context.register_global_callable(js_string!("print"), 1, NativeFunction::from_fn_ptr(print))?;
    context.eval(Source::from_bytes(script))?;
    context.run_jobs()
}

fn print(_this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let words = arguments
        .iter()
        .map(|value| Ok(value.to_string(context)?.to_std_string_escaped()))
        .collect::<JsResult<Vec<_>>>()?;
    println!("{}", words.join(" "));
    Ok(JsValue::undefined())
}
