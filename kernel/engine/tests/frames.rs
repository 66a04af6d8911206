//! Canonical frames: programs that are captured at every safepoint, sent through bytes into a new
//! engine and store, and restored there, give what they give undisturbed.

mod common;
#[path = "common/cycles.rs"]
mod cycles;

use cycles::{Captures, Program, Ran};

/// Runs `run` of the last module with captures everywhere, and compares. Returns the run with the
/// most captures.
fn check(texts: &[&str]) -> Ran {
    let program = Program::new(texts);
    let expected = program.run("run", 1_000_000, Captures::Never).outcome;
    assert!(
        !matches!(&expected.result, Err(error) if error == "endless"),
        "{expected:?}"
    );
    for slice in [1, 2, 5, 17] {
        for captures in [Captures::Never, Captures::Here, Captures::Elsewhere] {
            let ran = program.run("run", slice, captures);
            assert_eq!(ran.outcome, expected, "slices of {slice}, {captures:?}");
        }
    }
    let ran = program.run("run", 1, Captures::Here);
    assert!(ran.captures > 0, "nothing was captured");
    ran
}

#[test]
fn loops_branches_and_calls_continue_after_a_capture() {
    let ran = check(&[
        r#"(module (memory (export "m") 1) (global $g (export "g") (mut i64) (i64.const 3))
        (func $fib (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
                (then (local.get 0))
                (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                    (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "run") (result i32 i64 f32 f64)
            (local $i i32) (local $f f32) (local $d f64)
            (loop $next
                (i32.store (i32.shl (local.get $i) (i32.const 2)) (call $fib (local.get $i)))
                (global.set $g (i64.add (global.get $g) (i64.extend_i32_u (local.get $i))))
                (local.set $f (f32.add (local.get $f) (f32.const 1.5)))
                (local.set $d (f64.add (f64.const 0.1) (f64.mul (local.get $d) (f64.const 1.25))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $i) (i32.const 8))))
            (i32.load (i32.const 28)) (global.get $g) (local.get $f) (local.get $d)))"#,
    ]);
    assert!(
        ran.deepest > 5 && ran.captures > 100,
        "{} {}",
        ran.deepest,
        ran.captures
    );
}

#[test]
fn an_if_without_else_passes_its_operand_through() {
    // The operand is a local; where the arm is not taken, no register mirrors it.
    check(&[r#"(module
        (func $pass (param $x i32) (param $c i32) (result i32)
            (local.get $x)
            (if (param i32) (result i32) (local.get $c) (then
                (drop) (local.tee $x (i32.add (local.get $c) (i32.const 5))))))
        (func (export "run") (result i32 i32)
            (call $pass (i32.const 77) (i32.const 0)) (call $pass (i32.const 77) (i32.const 1))))"#]);
    let program = Program::new(&[r#"(module
        (func $pass (param $x i32) (param $c i32) (result i32)
            (local.get $x)
            (if (param i32) (result i32) (local.get $c) (then
                (drop) (local.tee $x (i32.add (local.get $c) (i32.const 5))))))
        (func (export "run") (result i32) (call $pass (i32.const 77) (i32.const 0))))"#]);
    let ran = program.run("run", 1000, Captures::Never);
    assert_eq!(ran.outcome.result.unwrap(), ["I32(77)"]);
}
