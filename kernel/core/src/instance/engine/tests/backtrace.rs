//! Where a program trapped: the calls, innermost first, by name.

use super::*;

/// The lines of the backtrace that `text` traps with.
fn lines(text: &str, answers: &[Outcome]) -> Vec<alloc::string::String> {
    let mut execution = start(text, answers);
    match run(&mut execution, 1000).0 {
        Stop::Trapped(trap) => trap.backtrace.lines().collect(),
        stop => panic!("it did not trap: {stop:?}"),
    }
}

#[test]
fn a_trap_names_the_calls_that_led_to_it() {
    let text = r#"(module
        (import "sos" "yield_now" (func $yield (result i32)))
        (table funcref (elem $_ZN4data5parse17h0123456789abcdefE))
        (func $_ZN4data5parse17h0123456789abcdefE (param i32) (result i32)
            (i32.div_u (i32.const 1) (local.get 0)))
        (func (param i32) (result i32) (local i32)
            (loop $spin (br_if $spin (i32.lt_u
                (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 2000))))
            (i32.add (i32.const 1) (call_indirect (param i32) (result i32)
                (local.get 0) (i32.const 0))))
        (func $outer (drop (call $yield)) (drop (call 2 (i32.const 0))))
        (func (export "_start") (call $outer)))"#;
    let expected = [
        "#0  data::parse (function 1)",
        "#1  (function 2)",
        "#2  outer (function 3)",
        "#3  _start (function 4)",
    ];
    assert_eq!(lines(text, &[]), expected, "out of fuel in between");
    let mut execution = start(text, &[Outcome::Blocked, Outcome::Done(0)]);
    assert_eq!(execution.run(1000), Stop::Blocked);
    let waiting: Vec<_> = execution.backtrace().lines().collect();
    let waits = [
        "#0  sos.yield_now (host call)",
        "#1  outer (function 3)",
        "#2  _start (function 4)",
    ];
    assert_eq!(waiting, waits, "where a call waits can be asked");
    assert_eq!(execution.retry(), Retry::Ready);
    let Stop::Trapped(trap) = run(&mut execution, 1000).0 else {
        panic!("it did not trap");
    };
    let resumed: Vec<_> = trap.backtrace.lines().collect();
    assert_eq!(resumed, expected, "after it was suspended");
}

#[test]
fn tail_calls_leave_no_frame_and_returned_calls_neither() {
    let text = r#"(module (func $aborts (unreachable)) (func $quick)
        (func $hop (return_call $aborts))
        (func (export "_start") (call $quick) (call $hop)))"#;
    let expected = ["#0  aborts (function 0)", "#1  _start (function 3)"];
    assert_eq!(lines(text, &[]), expected);
}

#[test]
fn a_trap_in_a_host_call_names_the_call() {
    let text = r#"(module (import "sos" "yield_now" (func $yield (result i32)))
        (func $inner (drop (call $yield))) (func (export "_start") (call $inner)))"#;
    let expected = [
        "#0  sos.yield_now (host call)",
        "#1  inner (function 1)",
        "#2  _start (function 2)",
    ];
    let fault = Outcome::Fault(HostFault::NothingBlocked);
    assert_eq!(lines(text, &[fault]), expected, "in the call itself");
    let retried = lines_after_retry(text, &[Outcome::Blocked, fault]);
    assert_eq!(retried, expected, "in its retry");
}

fn lines_after_retry(text: &str, answers: &[Outcome]) -> Vec<alloc::string::String> {
    let mut execution = start(text, answers);
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.retry(), Retry::Ready);
    match execution.run(1000) {
        Stop::Trapped(trap) => trap.backtrace.lines().collect(),
        stop => panic!("it did not trap: {stop:?}"),
    }
}

#[test]
fn an_exhausted_stack_keeps_both_ends_of_the_chain() {
    let text = r#"(module (func $deep (call $deep)) (func $begin (call $deep))
        (func (export "_start") (call $begin)))"#;
    let mut execution = start(text, &[]);
    let Stop::Trapped(trap) = run(&mut execution, 1_000_000).0 else {
        panic!("it did not trap");
    };
    assert_eq!(trap.reason, TrapReason::CallStackExhausted);
    let depth = usize::try_from(small().call_depth).unwrap();
    assert_eq!(trap.backtrace.depth(), depth);
    let lines: Vec<_> = trap.backtrace.lines().collect();
    assert_eq!(lines.len(), 48 + 1 + 16);
    assert_eq!(lines[0], "#0  deep (function 0)");
    assert_eq!(lines[48], format!("... {} calls left out ...", depth - 64));
    assert_eq!(lines[63], format!("#{:<3}begin (function 1)", depth - 2));
    assert_eq!(lines[64], format!("#{:<3}_start (function 2)", depth - 1));
}

#[test]
fn a_trapping_start_function_and_a_module_without_names_are_told_too() {
    let text = "(module (func $init unreachable) (start $init) (func (export \"_start\")))";
    assert_eq!(lines(text, &[]), ["#0  init (function 0)"]);
    let bare = r#"(module (func unreachable) (func (export "_start") (call 0)))"#;
    let expected = ["#0  (function 0)", "#1  _start (function 1)"];
    assert_eq!(lines(bare, &[]), expected, "exports are names as well");
}
