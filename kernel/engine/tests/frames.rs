//! Canonical frames: programs that are captured at every safepoint, sent through bytes into a new
//! engine and store, and restored there, give what they give undisturbed.

mod common;
#[path = "common/cycles.rs"]
mod cycles;

use cycles::{Captures, Program, Ran};
use sos_engine::Segments;
use sos_engine::frames::At;

/// Runs `run` of the last module with captures everywhere, and compares. Returns a run with captures
/// at all safepoints.
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

/// The same, for a program that gives these results.
fn check_results(texts: &[&str], results: &[&str]) -> Ran {
    let ran = check(texts);
    let expected = results.iter().map(|result| result.to_string()).collect();
    assert_eq!(ran.outcome.result, Ok::<Vec<String>, String>(expected));
    ran
}

#[test]
fn loops_branches_and_calls_continue_after_a_capture() {
    let ran = check(&[
        r#"(module (memory 1) (global $g (export "g") (mut i64) (i64.const 3))
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
    // wasmi 2.0.0 as published answers 0 in the place of 77.
    check_results(
        &[r#"(module
            (func $pass (param $x i32) (param $c i32) (result i32)
                (local.get $x)
                (if (param i32) (result i32) (local.get $c) (then
                    (drop) (local.tee $x (i32.add (local.get $c) (i32.const 5))))))
            (func (export "run") (result i32 i32)
                (call $pass (i32.const 77) (i32.const 0)) (call $pass (i32.const 77) (i32.const 1))))"#],
        &["I32(77)", "I32(6)"],
    );
}

#[test]
fn blocks_with_parameters_and_branch_tables_continue() {
    check_results(
        &[r#"(module
            (func $pick (param i32) (result i32 i64 f64)
                (block $c (result i32 i64 f64) (block $b (result i32 i64 f64) (block $a (result i32 i64 f64)
                    (i32.const 1) (i64.const 2) (f64.const 3)
                    (br_table $a $b $c (local.get 0)))
                    (drop) (drop) (i64.const 20) (f64.const 30) (br $c))
                    (drop) (drop) (drop) (i32.const 100) (i64.const 200) (f64.const 300)))
            (func (export "run") (result i32 i64 f64 i32) (local $i i32) (local $s i64) (local $f f64) (local $t i32)
                (i32.const 5) (f32.const 2)
                (loop $next (param i32 f32) (result i32 f32)
                    (call $pick (i32.rem_u (local.get $i) (i32.const 4)))
                    (local.set $f (f64.add (local.get $f)))
                    (local.set $s (i64.add (local.get $s)))
                    (local.set $t (i32.add (local.get $t)))
                    (if (param i32 f32) (result i32 f32) (i32.and (local.get $i) (i32.const 1))
                        (then (f32.add (f32.const 1)))
                        (else (drop) (i32.add (i32.const 1)) (f32.const 4)))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                        (i32.const 9))))
                (i32.trunc_f32_s) (local.set $t (i32.add (local.get $t)))
                (local.set $t (i32.add (local.get $t)))
                (i32.const 1) (local.get $s) (local.get $f) (local.get $t)))"#],
        &["I32(1)", "I64(468)", "f64 4085f00000000000", "I32(221)"],
    );
}

#[test]
fn indirect_and_tail_calls_continue() {
    let ran = check_results(
        &[r#"(module
            (type $binary (func (param i64 i64) (result i64)))
            (table funcref (elem $sum $loop_sum $even))
            (func $sum (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
            (func $loop_sum (param i64 i64) (result i64)
                (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1)) (else
                    (return_call $loop_sum (i64.sub (local.get 0) (i64.const 1))
                        (i64.add (local.get 0) (local.get 1))))))
            (func $even (param i64 i64) (result i64)
                (if (i64.eqz (local.get 0)) (then (return (i64.const 1))))
                (return_call $odd (f64.const 2.5) (local.get 0) (local.get 1)))
            (func $odd (param f64 i64 i64) (result i64) (local i32 i32)
                (if (i64.eqz (local.get 1)) (then (return (i64.const 0))))
                (return_call_indirect (type $binary) (i64.sub (local.get 1) (i64.const 1))
                    (local.get 2) (i32.const 2)))
            (func (export "run") (result i64 i64) (local i32 i64)
                (loop $next
                    (local.set 1 (i64.add (local.get 1) (call_indirect (type $binary)
                        (i64.const 9) (i64.const 1) (local.get 0))))
                    (br_if $next (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))
                        (i32.const 3))))
                (local.get 1)
                (i64.mul (i64.const 3) (call $loop_sum (i64.const 4) (i64.const 0)))))"#],
        &["I64(57)", "I64(30)"],
    );
    assert_eq!(ran.deepest, 2);
}

#[test]
fn references_are_captured_by_name() {
    check_results(
        &[r#"(module
            (type $unary (func (param i32) (result i32)))
            (import "host" "log" (func $log (param i32) (result i32)))
            (table $t 4 funcref) (table $e 2 externref) (elem declare func $twice $square $log)
            (global $held (mut funcref) (ref.null func))
            (func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
            (func $square (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
            (func $apply (param funcref i32) (result i32)
                (table.set $t (i32.const 0) (local.get 0))
                (call_indirect $t (type $unary) (local.get 1) (i32.const 0)))
            (func (export "run") (result i32 i32 i32 funcref externref)
                (local $f funcref) (local $x externref)
                (local.set $f (ref.func $square))
                (global.set $held (ref.func $log))
                (call $apply (ref.func $twice) (i32.const 21))
                (call $apply (local.get $f) (i32.const 9))
                (call $apply (global.get $held) (i32.const 3))
                (table.get $t (i32.const 1)) (local.get $x)))"#],
        &[
            "I32(42)",
            "I32(81)",
            "I32(7)",
            "null",
            "external, null: true",
        ],
    );
}

#[test]
fn bulk_operations_are_captured_between_their_pieces() {
    let ran = check(&[
        r#"(module (memory $m (export "m") 6 8) (memory $n (export "n") 2)
        (data $d "abcdefgh") (table $t (export "t") 300 funcref)
        (func $f) (elem $e func $f $f $f $f $f $f $f $f $f $f)
        (func (export "run") (result i32) (local $dst i32)
            (local.set $dst (i32.const 7))
            (memory.fill $m (local.get $dst) (i32.const 3) (i32.const 200000))
            (memory.copy $m $m (i32.const 70001) (local.get $dst) (i32.const 150000))
            (memory.copy $m $m (local.get $dst) (i32.const 70001) (i32.const 150000))
            (memory.init $m $d (i32.const 9) (i32.const 0) (i32.const 8)) (data.drop $d)
            (memory.copy $n $m (i32.const 5) (i32.const 0) (i32.const 100000))
            (table.fill $t (i32.const 20) (ref.func $f) (i32.const 100))
            (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 10)) (elem.drop $e)
            (table.copy $t $t (i32.const 100) (i32.const 0) (i32.const 190))
            (drop (table.grow $t (ref.func $f) (i32.const 3)))
            (drop (memory.grow $m (i32.const 1)))
            (i32.add (local.get $dst) (i32.load8_u $m (i32.const 12)))))"#,
    ]);
    let again = |bytes: &Vec<u8>| {
        let stack: sos_engine::frames::CallStack = postcard::from_bytes(bytes).unwrap();
        stack.frames.iter().any(|frame| frame.at == At::Again)
    };
    assert!(ran.stacks.iter().any(again));
}

#[test]
fn vectors_and_large_memories_continue() {
    check(&[
        r#"(module (memory $m (export "m") i64 1 2) (memory $n (export "n") 1)
        (func $mix (param v128 i64 v128) (result v128 v128)
            (local.get 2) (i32x4.add (local.get 0) (i64x2.splat (local.get 1))))
        (func (export "run") (result v128 i64 v128) (local $v v128) (local $w v128) (local $i i64)
            (v128.const i64x2 0x1122334455667788 -2)
            (loop $next (param v128) (result v128)
                (local.set $v) (local.get $v)
                (call $mix (local.get $v) (local.get $i) (v128.const i32x4 1 2 3 4))
                (local.set $w)
                (if (param v128 v128) (result v128) (i64.eqz (i64.and (local.get $i) (i64.const 1)))
                    (then (i32x4.mul)) (else (i8x16.sub)))
                (v128.store $m (i64.shl (local.get $i) (i64.const 4)) (local.get $w))
                (v128.store $n (i32.const 3) (local.get $w))
                (br_if $next (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1)))
                    (i64.const 7))))
            (i64.load $m (i64.const 32)) (local.get $w)))"#,
    ]);
}

/// A library and a program that call each other.
const SET: [&str; 2] = [
    r#"(module (import "host" "read" (func $read (param i32) (result i32)))
        (table (export "t") 4 funcref) (memory (export "m") 1)
        (type $back (func (param i32) (result i32)))
        (func (export "read") (param i32) (result i32) (return_call $read (local.get 0)))
        (export "plain" (func $read))
        (func (export "each") (param $n i32) (result i32) (local $i i32) (local $s i32)
            (loop $next
                (local.set $s (i32.add (local.get $s)
                    (call_indirect (type $back) (local.get $i) (i32.const 0))))
                (i32.store (local.get $i) (local.get $s))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                    (local.get $n))))
            (local.get $s)))"#,
    r#"(module (import "m0" "read" (func $read (param i32) (result i32)))
        (import "m0" "plain" (func $plain (param i32) (result i32)))
        (import "m0" "each" (func $each (param i32) (result i32)))
        (import "m0" "t" (table 4 funcref)) (import "m0" "m" (memory 1))
        (global $count (export "count") (mut i64) (i64.const 0))
        (elem (i32.const 0) $back) (elem (i32.const 1) $plain)
        (func $back (param i32) (result i32)
            (global.set $count (i64.add (global.get $count) (i64.const 1)))
            (if (result i32) (i32.and (local.get 0) (i32.const 1))
                (then (call $read (i32.add (local.get 0) (i32.const 1000))))
                (else (return_call $deeper (f32.const 1) (local.get 0)))))
        (func $deeper (param f32 i32) (result i32)
            (i32.add (i32.const 5) (call_indirect (param i32) (result i32)
                (local.get 1) (i32.const 1))))
        (func (export "run") (result i32)
            (i32.add (call $plain (i32.const 4)) (call $each (i32.const 5)))))"#,
];

#[test]
fn calls_between_modules_and_of_the_host_continue() {
    let ran = check(&SET);
    assert!(ran.deepest >= 3, "{}", ran.deepest);
    assert_eq!(ran.outcome.host_calls.len(), 6);
}

/// A map that is read from many places: records are at irregular distances, of operands of several types.
#[test]
fn a_long_function_is_captured_at_each_of_its_calls() {
    let steps: String = (0..400_u64)
        .map(|step| match step % 5 {
            0 => format!("(local.set 0 (i32.add (call $f (local.get 0)) (i32.const {step})))"),
            1 => format!("(local.set 1 (i64.xor (call $g (local.get 1)) (i64.const {})))", step << 40),
            2 => "(local.set 1 (i64.add (i64.extend_i32_u (i32.mul (local.get 0) (i32.const 7)))
                (call $g (i64.extend_i32_s (call $f (local.get 0))))))"
                .into(),
            3 => "(local.set 2 (f64.add (f64.convert_i32_s (call $f (i32.wrap_i64 (local.get 1)))) (local.get 2)))".into(),
            _ => "(if (i32.and (local.get 0) (i32.const 1)) (then (local.set 0 (call $f (i32.const 2)))))".into(),
        })
        .collect();
    let ran = check(&[&format!(
        r#"(module (memory (export "m") 1)
        (func $f (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 1)))
        (func $g (param i64) (result i64) (i64.add (i64.rotl (local.get 0) (i64.const 5)) (i64.const 9)))
        (func (export "run") (local i32 i64 f64) {steps}
            (i32.store (i32.const 0) (local.get 0)) (i64.store (i32.const 8) (local.get 1))
            (f64.store (i32.const 16) (local.get 2))))"#
    )]);
    assert!(ran.captures > 400, "{}", ran.captures);
}

#[test]
fn a_start_function_in_progress_is_captured() {
    let program = Program::new(&[
        r#"(module (memory (export "m") 1) (global $g (export "g") (mut i32) (i32.const 0))
        (func $start (local i32)
            (loop $next
                (global.set $g (i32.add (global.get $g) (local.get 0)))
                (i32.store (local.get 0) (global.get $g))
                (br_if $next (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))
                    (i32.const 20)))))
        (start $start))"#,
    ]);
    let run = |slice, captures| {
        let world = program.world(Segments::Applied);
        let start = world.starts[0].unwrap();
        program.run_function(world, start, slice, captures)
    };
    let expected = run(10_000, Captures::Never);
    for captures in [Captures::Here, Captures::Elsewhere] {
        let ran = run(3, captures);
        assert!(ran.captures > 10);
        assert_eq!(ran.outcome, expected.outcome);
    }
}

#[test]
fn traps_after_a_restore_are_the_same() {
    for end in [
        "(unreachable)",
        "(drop (i32.div_u (i32.const 1) (local.get 0)))",
        "(call $f)",
    ] {
        check(&[&format!(
            r#"(module (memory 1) (func $f (export "run") (local i32) (local i64)
                (local.set 0 (i32.const 4))
                (loop $next (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                {end}))"#
        )]);
    }
}

#[test]
fn endless_recursion_overflows_as_it_would_without_captures() {
    let program = Program::new(&[r#"(module
        (func $f (export "run") (local i32 i64 v128) (call $f)))"#]);
    let expected = program.run("run", 1_000_000, Captures::Never).outcome;
    assert!(expected.result.is_err());
    assert_eq!(
        program.run("run", 97, Captures::Elsewhere).outcome,
        expected
    );
}

#[test]
fn deep_calls_are_captured_whole() {
    let program = Program::new(&[r#"(module
        (func $down (param i32 i64) (result i64)
            (if (result i64) (i32.eqz (local.get 0)) (then
                (loop $next (br_if $next (i64.ne (local.get 1)
                    (local.tee 1 (i64.or (local.get 1) (i64.const 1))))))
                (local.get 1))
            (else (i64.add (i64.extend_i32_u (local.get 0)) (call $down
                (i32.sub (local.get 0) (i32.const 1)) (i64.mul (local.get 1) (i64.const 3)))))))
        (func (export "run") (result i64) (call $down (i32.const 380) (i64.const 7))))"#]);
    let expected = program.run("run", 1_000_000, Captures::Never);
    for slice in [500, 1801] {
        let ran = program.run("run", slice, Captures::Elsewhere);
        assert_eq!(ran.outcome, expected.outcome);
        assert!(ran.deepest > 200, "{}", ran.deepest);
    }
}

#[test]
fn calls_that_hold_nothing_are_captured_whole() {
    check_results(
        &[r#"(module (global $left (mut i32) (i32.const 40))
        (func $down
            (global.set $left (i32.sub (global.get $left) (i32.const 1)))
            (if (global.get $left) (then (call $down))))
        (func (export "run") (result i32) (call $down) (global.get $left)))"#],
        &["I32(0)"],
    );
}
