//! Sets of modules: linked by name, prepared in order, with memories and limits in common.

use super::*;

/// A set of `main` and libraries, as text.
pub(super) fn set(modules: &[(&str, &str)]) -> Result<Arc<Program>, SetError> {
    let sources = modules.iter().map(|(name, text)| Source {
        name: (*name).into(),
        file: format!("{name}.wasm").into(),
        bytes: crate::image::BlobBytes::Held(wat::parse_str(text).unwrap().into()),
    });
    Engine::new().load(sources.collect())
}

fn start_set(modules: &[(&str, &str)], answers: &[Outcome]) -> Execution<Script> {
    let program = set(modules).unwrap_or_else(|error| panic!("{error}"));
    let mut execution =
        Execution::instantiate(&program, &mut heap, Script::default(), &small()).unwrap();
    execution.guest_mut().answers = answers.iter().copied().collect();
    execution
}

/// The first arguments of the calls that a finished set made.
fn marks(modules: &[(&str, &str)], slice: u64) -> Vec<u64> {
    let mut execution = start_set(modules, &[]);
    assert_eq!(run(&mut execution, slice).0, Stop::Finished);
    let calls = &execution.guest().calls;
    calls.iter().map(|(_, arguments)| arguments[0]).collect()
}

/// What is said of a set that is refused.
fn refusal(modules: &[(&str, &str)]) -> alloc::string::String {
    set(modules).unwrap_err().to_string()
}

pub(super) const EXIT: &str = r#"(import "sos" "exit" (func $mark (param i32)))"#;

#[test]
fn functions_memories_tables_and_globals_are_shared_by_import() {
    let main = format!(
        r#"(module {EXIT}
            (import "lib" "double" (func $double (param i32) (result i32)))
            (import "lib" "memory" (memory 1 2))
            (import "lib" "table" (table 2 funcref))
            (import "lib" "base" (global $base i32))
            (import "lib" "count" (global $count (mut i32)))
            (elem (i32.const 1) $seven) (func $seven (result i32) (i32.const 7))
            (data (i32.const 8) "\05")
            (func (export "_start")
                (call $mark (call $double (i32.const 21)))
                (call $mark (i32.load8_u (i32.const 4)))
                (call $mark (call_indirect (result i32) (i32.const 0)))
                (call $mark (global.get $base))
                (global.set $count (i32.add (global.get $count) (i32.const 1)))
                (call $mark (call $double (i32.const 0)))))"#
    );
    let lib = r#"(module (memory (export "memory") 1 2) (table (export "table") 2 2 funcref)
        (global (export "base") i32 (i32.const 1000)) (global $count (export "count") (mut i32) (i32.const 0))
        (elem (i32.const 0) $six) (func $six (result i32) (i32.const 6))
        (data (i32.const 4) "\03")
        (func (export "double") (param i32) (result i32)
            (if (global.get $count) (then
                (return (i32.add (call_indirect (result i32) (i32.const 1))
                    (i32.load8_u (i32.const 8))))))
            (i32.mul (local.get 0) (i32.const 2))))"#;
    for slice in [1, 1000] {
        assert_eq!(
            marks(&[("main", &main), ("lib", lib)], slice),
            [42, 3, 6, 1000, 12]
        );
    }
}

#[test]
fn modules_are_prepared_in_the_order_of_their_imports() {
    // `b` and `a` are given before what they need; `spare` is needed by nobody.
    let library = |imports: &str, start: u32, initialize: u32| {
        format!(
            r#"(module {EXIT} {imports} (func (export "f"))
                (func $start (local i32)
                    (loop $l (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))
                        (i32.const 300))))
                    (call $mark (i32.const {start})))
                (start $start)
                (func (export "_initialize") (call $mark (i32.const {initialize}))))"#
        )
    };
    let b = library(r#"(import "a" "f" (func))"#, 3, 4);
    let a = library("", 1, 2);
    let spare = library("", 5, 6);
    let main = format!(
        r#"(module {EXIT} (import "b" "f" (func)) (import "a" "f" (func $f))
            (func $start (call $mark (i32.const 7))) (start $start)
            (func (export "_initialize") unreachable)
            (func (export "_start") (call $f) (call $mark (i32.const 8))))"#
    );
    let modules = [("main", &*main), ("b", &*b), ("a", &*a), ("spare", &*spare)];
    for slice in [1, 50, 100_000] {
        assert_eq!(marks(&modules, slice), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
    let mut execution = start_set(&modules, &[]);
    let (_, slices) = run(&mut execution, 100);
    assert!(slices > 5, "start functions run in slices too: {slices}");
}

#[test]
fn a_library_may_import_from_the_program() {
    let main = format!(
        r#"(module {EXIT} (memory (export "memory") 1) (func (export "triple") (param i32) (result i32)
                (i32.mul (local.get 0) (i32.const 3)))
            (table (export "hooks") 1 funcref)
            (func (export "_start")
                (call $mark (call_indirect (result i32) (i32.const 0)))))"#
    );
    let plugin = r#"(module (import "main" "triple" (func $triple (param i32) (result i32)))
        (import "main" "hooks" (table 1 funcref))
        (elem (i32.const 0) $hook) (func $hook (result i32) (call $triple (i32.const 5))))"#;
    assert_eq!(marks(&[("main", &main), ("plugin", plugin)], 1000), [15]);
}

#[test]
fn circles_are_refused_by_name() {
    let module = |from: &str| {
        format!(
            r#"(module (import "{from}" "f" (func)) (func (export "f")) (func (export "_start")))"#
        )
    };
    let circle = |modules: &[(&str, &str)]| {
        let modules: Vec<_> = modules
            .iter()
            .map(|(name, from)| (*name, module(from)))
            .collect();
        let modules: Vec<_> = modules
            .iter()
            .map(|(name, text)| (*name, &**text))
            .collect();
        refusal(&modules)
    };
    let error = circle(&[("main", "a"), ("a", "b"), ("b", "a")]);
    assert!(error.contains("in a circle: a -> b -> a;"), "{error}");
    let error = circle(&[("main", "a"), ("a", "main")]);
    assert!(error.contains("a -> main -> a;"), "{error}");
    let error = circle(&[("main", "main")]);
    assert!(error.contains("main -> main;"), "{error}");
}

#[test]
fn a_host_call_reads_and_writes_the_memory_of_the_module_that_makes_it() {
    let main = r#"(module (import "lib" "wait" (func $wait (result i32)))
        (import "sos" "exit" (func $mark (param i32)))
        (import "sos" "yield_now" (func $yield (result i32))) (memory 3)
        (func (export "_start")
            (call $mark (call $wait)) (call $mark (i32.load8_u (i32.const 0)))
            (drop (call $yield)) (call $mark (i32.load8_u (i32.const 0)))))"#;
    let lib = r#"(module (import "sos" "yield_now" (func $yield (result i32))) (memory 1)
        (func (export "wait") (result i32)
            (drop (call $yield)) (i32.load8_u (i32.const 0))))"#;
    let (done, blocked) = (Outcome::Done(0), Outcome::Blocked);
    let mut execution = start_set(
        &[("main", main), ("lib", lib)],
        &[blocked, done, done, done, blocked, done],
    );
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.guest().memory_bytes, 65_536, "the library's");
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.guest().memory_bytes, 3 * 65_536, "the program's");
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(execution.run(1000), Stop::Finished);
    let calls = &execution.guest().calls;
    let marks = calls
        .iter()
        .filter(|(call, _)| *call == CallId::Exit.into());
    let marks: Vec<u64> = marks.map(|(_, arguments)| arguments[0]).collect();
    assert_eq!(marks, [1, 0, 1], "each retry wrote to its caller's memory");
}

#[test]
fn a_tail_call_and_a_library_without_memory_lend_the_right_bytes() {
    let main = r#"(module (import "lib" "run" (func $run)) (memory 2)
        (export "_start" (func $run)))"#;
    let lib = r#"(module (import "sos" "exit" (func $exit (param i32))) (memory 1)
        (func (export "run") (return_call $exit (i32.const 0))))"#;
    let mut execution = start_set(&[("main", main), ("lib", lib)], &[]);
    assert_eq!(execution.run(1000), Stop::Finished);
    assert_eq!(execution.guest().memory_bytes, 65_536, "the library's");
    // A library without a memory has nothing that a call could read or write.
    let bare = lib.replace("(memory 1)", "");
    let mut execution = start_set(&[("main", main), ("lib", &bare)], &[]);
    execution.guest_mut().memory_bytes = 1;
    assert_eq!(execution.run(1000), Stop::Finished);
    assert_eq!(execution.guest().memory_bytes, 0);
}

#[test]
fn a_later_modules_segments_follow_the_start_functions_before_it() {
    let lib = r#"(module (memory (export "memory") 1)
        (func $start (i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 1) (i32.const 1)))
        (start $start))"#;
    let main = format!(
        r#"(module {EXIT} (import "lib" "memory" (memory 1)) (data (i32.const 1) "\09")
            (func (export "_start")
                (call $mark (i32.load8_u (i32.const 0))) (call $mark (i32.load8_u (i32.const 1)))))"#
    );
    assert_eq!(marks(&[("main", &main), ("lib", lib)], 1000), [1, 9]);
    let outside = main.replace("(i32.const 1) \"", "(i32.const 65536) \"");
    let mut execution = start_set(&[("main", &outside), ("lib", lib)], &[]);
    assert_eq!(trapped(execution.run(1000)), Some(TrapReason::Segment));
}

#[test]
fn limits_count_the_memories_and_tables_of_all_modules() {
    let main = format!(
        r#"(module {EXIT} (import "lib" "grow" (func $grow (param i32) (result i32))) (memory 2)
            (func (export "_start")
                (call $mark (call $grow (i32.const 1)))
                (call $mark (memory.grow (i32.const 1)))))"#
    );
    let lib = r#"(module (memory 1) (func (export "grow") (param i32) (result i32)
        (memory.grow (local.get 0))))"#;
    let none = u64::from(u32::MAX);
    assert_eq!(marks(&[("main", &main), ("lib", lib)], 1000), [1, none]);
    let instantiate = |lib: &str, limits: &EngineLimits| {
        let program = set(&[("main", &main), ("lib", lib)]).unwrap();
        Execution::instantiate(&program, &mut heap, Script::default(), limits).unwrap_err()
    };
    let error = instantiate(&lib.replace("(memory 1)", "(memory 3)"), &small());
    let (wanted_bytes, limit_bytes) = (5 * 65_536, 4 * 65_536);
    let expected = StartError::Memory {
        wanted_bytes,
        limit_bytes,
    };
    assert_eq!(error, expected);
    let few = EngineLimits {
        table_elements: 15,
        ..small()
    };
    let tables = lib.replace(
        "(memory 1)",
        "(memory 1) (table 10 funcref) (table 6 funcref)",
    );
    assert!(matches!(
        instantiate(&tables, &few),
        StartError::Tables { .. }
    ));
}

#[test]
fn a_missing_import_lists_the_nearest_names() {
    let main = |import: &str| format!(r#"(module {import} (func (export "_start")))"#);
    let lib =
        r#"(module (func (export "compress")) (func (export "decompres")) (func (export "zzz")))"#;
    let said = |import: &str| refusal(&[("main", &main(import)), ("zip", lib)]);
    let error = said(r#"(import "zip" "compres" (func (param i32)))"#);
    for words in [
        "module 'main.wasm' is refused",
        "zip.compres, a function (i32) -> ()",
        "near it are compress, decompres",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = said(r#"(import "zip" "qqqqqqqq" (memory 1 2))"#);
    assert!(error.contains("a memory of 1 to 2 pages"), "{error}");
    assert!(error.contains("no name there is near it"), "{error}");
    let error = said(r#"(import "zpi" "compress" (func))"#);
    assert!(error.contains("no module 'zpi': there are zip;"), "{error}");
    let error = said(r#"(import "env" "f" (global (mut i64)))"#);
    assert!(error.contains("a mutable global i64"), "{error}");
    assert!(
        error.contains("zip, sos, wasi_snapshot_preview1"),
        "{error}"
    );
    let error = said(r#"(import "sos" "tcp_reed" (func))"#);
    assert!(error.contains("near it are tcp_read"), "{error}");
    let error = said(r#"(import "wasi_snapshot_preview1" "fd_raed" (func))"#);
    assert!(error.contains("near it are fd_read"), "{error}");
    let library = refusal(&[
        ("main", &main("")),
        ("bad", &main(r#"(import "zip" "f" (func))"#)),
    ]);
    assert!(
        library.contains("library 'bad' (module 'bad.wasm') is refused"),
        "{library}"
    );
}

#[test]
fn a_mismatch_names_both_types() {
    let lib = r#"(module (func (export "f") (param i32)) (memory (export "m") 1)
        (table (export "t") 4 8 funcref) (global (export "g") i32 (i32.const 0)))"#;
    for (import, wanted, found) in [
        (
            r#""f" (func (param i64))"#,
            "a function (i64) -> ()",
            "a function (i32) -> ()",
        ),
        (
            r#""f" (memory 1)"#,
            "a memory of 1 or more pages",
            "a function (i32) -> ()",
        ),
        (
            r#""m" (memory 2)"#,
            "memory of 2 or more",
            "memory of 1 or more",
        ),
        (
            r#""m" (memory 1 9)"#,
            "memory of 1 to 9",
            "memory of 1 or more",
        ),
        (
            r#""m" (memory i64 1)"#,
            "64-bit memory",
            "a memory of 1 or more",
        ),
        (
            r#""t" (table 4 7 funcref)"#,
            "table of 4 to 7 funcref",
            "table of 4 to 8 funcref",
        ),
        (r#""t" (table 4 8 externref)"#, "externref", "funcref"),
        (
            r#""g" (global (mut i32))"#,
            "a mutable global i32",
            "a global i32",
        ),
        (r#""g" (global i64)"#, "a global i64", "a global i32"),
    ] {
        let main = format!(r#"(module (import "lib" {import}) (func (export "_start")))"#);
        let error = refusal(&[("main", &main), ("lib", lib)]);
        assert!(
            error.contains(wanted) && error.contains(found),
            "{import}: {error}"
        );
    }
    let prepared = r#"(module (func (export "_initialize") (param i32)))"#;
    let main = r#"(module (func (export "_start")))"#;
    let error = refusal(&[("main", main), ("lib", prepared)]);
    assert!(
        error.contains("the module's _initialize has type (i32) -> ()"),
        "{error}"
    );
}

#[test]
fn a_trap_in_a_library_names_its_module() {
    let main = r#"(module (import "lib" "f" (func $f)) (func (export "_start") (call $f)))"#;
    let lib = r#"(module (func (export "f") (call $broken)) (func $broken unreachable))"#;
    let mut execution = start_set(&[("main", main), ("lib", lib)], &[]);
    let Stop::Trapped(trap) = run(&mut execution, 1000).0 else {
        panic!("it did not trap");
    };
    let lines: Vec<_> = trap.backtrace.lines().collect();
    let expected = [
        "#0  broken (function 1 of module 'lib')",
        "#1  f (function 0 of module 'lib')",
        "#2  _start (function 1 of module 'main')",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_set_of_the_most_modules_is_linked_and_runs() {
    let main = r#"(module (import "l0" "f" (func $f (result i32))) (import "sos" "exit" (func $mark (param i32)))
        (func (export "_start") (call $mark (call $f))))"#;
    let names: Vec<_> = (0..crate::limits::LIBRARIES)
        .map(|n| format!("l{n}"))
        .collect();
    let last = names.len() - 1;
    let texts: Vec<_> = (0..=last)
        .map(|n| match n == last {
            true => {
                r#"(module (memory 0) (func (export "f") (result i32) (i32.const 1)))"#.to_string()
            }
            false => format!(
                r#"(module (import "l{}" "f" (func $f (result i32))) (memory 0)
                    (func (export "f") (result i32) (i32.add (call $f) (i32.const 1))))"#,
                n + 1
            ),
        })
        .collect();
    let libraries = names
        .iter()
        .zip(&texts)
        .map(|(name, text)| (&**name, &**text));
    let modules: Vec<_> = [("main", main)].into_iter().chain(libraries).collect();
    assert_eq!(marks(&modules, 1000), [names.len() as u64]);
}
