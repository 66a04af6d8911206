//! Random modules that are captured at every safepoint into new engines (target `random_module`): what they
//! return, show and ask of the host is the same as without.

use super::cycles::{Captures, Outcome, Program};
use arbitrary::Unstructured;
use sos_engine::{ExternType, Module, Segments};
use wasm_smith::Config;

/// Functions of each module that are run.
const FUNCTIONS: usize = 4;
/// Runs that take more fuel are left out: they may be endless.
const FUEL_MOST: u64 = 50_000;
/// Captures of a run, about.
const CAPTURES: u64 = 40;

/// What the modules may import; of the second also what the first exports.
const HOST: &str = r#"
    (import "host" "a" (func (param i32) (result i32)))
    (import "host" "b" (func (param f64 i64) (result i64)))
    (import "host" "c" (func))"#;

/// All that the engine runs. NaNs are canonical, so that another engine computes the same bits.
fn config(imports: &str) -> Config {
    let imports = wat::parse_str(format!("(module {imports})")).expect("imports");
    Config {
        available_imports: Some(imports),
        allow_start_export: false,
        canonicalize_nans: true,
        compact_imports_enabled: false,
        exceptions_enabled: false,
        export_everything: true,
        extended_const_enabled: false,
        gc_enabled: false,
        max_imports: 6,
        max_instructions: 250,
        max_memories: 3,
        max_memory32_bytes: 1 << 17,
        max_memory64_bytes: 1 << 17,
        max_table_elements: 50,
        max_tables: 3,
        memory_max_size_required: true,
        min_funcs: 3,
        min_memories: 1,
        min_tables: 1,
        relaxed_simd_enabled: false,
        table_max_size_required: true,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

/// A set of one or two modules from random bytes, if they make modules that the engine takes.
pub fn program(bytes: &[u8]) -> Option<Program> {
    let mut bytes = Unstructured::new(bytes);
    let wants_set: bool = bytes.arbitrary().ok()?;
    let library = module(HOST, &mut bytes)?;
    let mut modules = vec![library];
    if wants_set && let Some(main) = module(&imports_of(&modules[0]), &mut bytes) {
        modules.push(main);
    }
    Some(Program { modules })
}

fn module(imports: &str, bytes: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let wasm = wasm_smith::Module::new(config(imports), bytes)
        .ok()?
        .to_bytes();
    Module::new(&super::common::engine(), &wasm).ok()?;
    Some(wasm)
}

/// The functions that `wasm` exports, as imports of `m0`, before those of the host.
fn imports_of(wasm: &[u8]) -> String {
    let module = Module::new(&super::common::engine(), wasm).expect("it was one before");
    let mut imports = String::new();
    for export in module.exports() {
        let ExternType::Func(signature) = export.ty() else {
            continue;
        };
        let list = |types: &[sos_engine::ValType]| {
            let names = types.iter().map(|ty| format!("{ty:?}").to_lowercase());
            names.collect::<Vec<_>>().join(" ")
        };
        let (parameters, results) = (list(signature.params()), list(signature.results()));
        // Names are random characters: only the plain ones are taken.
        if export.name().chars().all(|c| c.is_ascii_alphanumeric()) {
            let name = export.name();
            imports += &format!(
                "(import \"m0\" \"{name}\" (func (param {parameters}) (result {results})))\n"
            );
        }
    }
    imports + HOST
}

/// How the runs of a program's exports end: the functions' names and what can be seen.
///
/// # Panics
/// When a run with captures ends otherwise than one without.
pub fn outcomes(program: &Program, figures: &mut Figures) -> Vec<(String, Outcome)> {
    let Ok(world) = program.try_world(Segments::Applied) else {
        return Vec::new();
    };
    let mut outcomes = Vec::new();
    for name in world.function_exports().into_iter().take(FUNCTIONS) {
        let undisturbed = program.run(&name, 1_000_000, Captures::Never).outcome;
        if undisturbed.fuel > FUEL_MOST {
            continue;
        }
        let slice = 1.max(undisturbed.fuel / CAPTURES);
        let ran = program.run(&name, slice, Captures::Elsewhere);
        assert_eq!(ran.outcome, undisturbed, "{name:?}, slices of {slice}");
        figures.runs += 1;
        figures.captures += ran.captures;
        outcomes.push((name, undisturbed));
    }
    outcomes
}

/// What was done.
#[derive(Debug, Default)]
pub struct Figures {
    /// Runs that were compared with the same undisturbed.
    pub runs: usize,
    /// Captures in them, each restored in a new engine.
    pub captures: usize,
}

/// Runs what `bytes` make, with captures and without.
///
/// # Panics
/// When that makes a difference.
pub fn run(bytes: &[u8]) {
    if let Some(program) = program(bytes) {
        outcomes(&program, &mut Figures::default());
    }
}
