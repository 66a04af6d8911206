//! Random modules, captured at random points into new engines and stores: the results, all that is
//! exported, the calls of the host and the fuel are those of the same run undisturbed.
//!
//! `SOS_FRAMES_MODULES=20000 SOS_FRAMES_SEED=1 cargo test --release -p sos-engine --test
//! frames_random -- --nocapture` runs more of them, others, and prints how many captures there were.
//! Run it also with `--features portable`.

mod common;
#[path = "common/cycles.rs"]
mod cycles;

use arbitrary::Unstructured;
use cycles::{Captures, Program};
use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};
use sos_engine::{ExternType, Module, Segments};
use wasm_smith::Config;

/// Modules that plain `cargo test` tries.
const MODULES: u64 = 60;
/// Runs that take more fuel are left out: they may be endless.
const MAXIMUM_FUEL: u64 = 100_000;
/// Functions of each module that are run.
const FUNCTIONS: usize = 6;

/// What the modules may import, beside what the module before them exports.
const HOST: &str = r#"(module
    (import "host" "a" (func (param i32) (result i32)))
    (import "host" "b" (func (param f64 i64) (result i64)))
    (import "host" "c" (func))
    (import "host" "d" (func (result i32 f32))))"#;

fn config(imports: &str) -> Config {
    Config {
        available_imports: Some(wat::parse_str(imports).unwrap()),
        allow_start_export: false,
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

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or(default)
}

/// A random module, if its bytes make one that the engine takes.
fn random_module(random: &mut SmallRng, imports: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; random.random_range(500..6000)];
    random.fill_bytes(&mut bytes);
    let module = wasm_smith::Module::new(config(imports), &mut Unstructured::new(&bytes)).ok()?;
    let wasm = module.to_bytes();
    Module::new(&common::engine(), &wasm).ok()?;
    Some(wasm)
}

/// The functions that `wasm` exports, as imports of `m0`.
fn as_imports(wasm: &[u8]) -> String {
    let module = Module::new(&common::engine(), wasm).unwrap();
    let mut imports = String::new();
    for export in module.exports() {
        let ExternType::Func(signature) = export.ty() else {
            continue;
        };
        let list = |types: &[sos_engine::ValType]| {
            let names = types.iter().map(|ty| format!("{ty:?}").to_lowercase());
            names.collect::<Vec<_>>().join(" ")
        };
        // Names are random characters: only the plain ones are taken.
        if export.name().chars().all(|c| c.is_ascii_alphanumeric()) {
            imports += &format!(
                "(import \"m0\" \"{}\" (func (param {}) (result {})))\n",
                export.name(),
                list(signature.params()),
                list(signature.results()),
            );
        }
    }
    HOST.replace(
        "(import \"host\" \"a\"",
        &format!("{imports}(import \"host\" \"a\""),
    )
}

#[derive(Default)]
struct Figures {
    runs: usize,
    captures: usize,
    deepest: usize,
    largest: usize,
}

/// Runs some functions of the last module of `program` with and without captures.
fn compare(program: &Program, random: &mut SmallRng, figures: &mut Figures, context: &str) {
    let Ok(world) = program.try_world(Segments::Applied) else {
        return;
    };
    let exports = world.function_exports();
    for name in exports.iter().take(FUNCTIONS) {
        let undisturbed = program.run(name, 1_000_000, Captures::Never).outcome;
        if undisturbed.fuel > MAXIMUM_FUEL {
            continue;
        }
        let slice = [1, 3, 10, 40, 200][random.random_range(0..5)];
        let slice = slice.max(undisturbed.fuel / 60);
        for captures in [Captures::Here, Captures::Elsewhere] {
            let ran = program.run(name, slice, captures);
            assert_eq!(
                ran.outcome, undisturbed,
                "{context}, {name:?}, slices of {slice}, {captures:?}"
            );
            figures.runs += 1;
            figures.captures += ran.captures;
            figures.deepest = figures.deepest.max(ran.deepest);
            let largest = ran.stacks.iter().map(Vec::len).max().unwrap_or(0);
            figures.largest = figures.largest.max(largest);
        }
    }
}

#[test]
fn random_modules_continue_after_captures() {
    let (modules, first) = (
        setting("SOS_FRAMES_MODULES", MODULES),
        setting("SOS_FRAMES_SEED", 0),
    );
    let mut figures = Figures::default();
    for seed in first * 1_000_000..first * 1_000_000 + modules {
        let mut random = SmallRng::seed_from_u64(seed);
        let Some(library) = random_module(&mut random, HOST) else {
            continue;
        };
        let mut program = Program {
            modules: vec![library],
        };
        let context = format!("seed {seed}");
        compare(&program, &mut random, &mut figures, &context);
        let imports = as_imports(&program.modules[0]);
        let Some(main) = random_module(&mut random, &imports) else {
            continue;
        };
        program.modules.push(main);
        compare(
            &program,
            &mut random,
            &mut figures,
            &format!("{context}, set of two"),
        );
    }
    let Figures {
        runs,
        captures,
        deepest,
        largest,
    } = figures;
    println!("{runs} runs, {captures} captures, {deepest} frames at most, {largest} bytes at most");
    assert!(captures > 100, "only {captures} captures");
}
