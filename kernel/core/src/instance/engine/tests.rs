//! Tests of the seam: with a guest whose host calls answer from a script.

mod backtrace;
mod capture;
mod sets;

use super::*;
use crate::instance::{HostFault, HostState, Outcome};
use crate::machine::ReserveError;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use sos_abi::{CallId, HostCall};
use sos_engine::GuestMemory;

/// Answers host calls in order; what it was asked is kept.
#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Outcome>,
    calls: Vec<(HostCall, Vec<u64>)>,
    cost: u64,
    memory_bytes: usize,
}

impl HostState for Script {
    fn call(&mut self, memory: &mut [u8], call: HostCall, arguments: &[u64]) -> Outcome {
        self.memory_bytes = memory.len();
        self.calls.push((call, arguments.to_vec()));
        self.answers.pop_front().unwrap_or(Outcome::Done(0))
    }

    fn retry(&mut self, memory: &mut [u8]) -> Outcome {
        if let Some(byte) = memory.first_mut() {
            *byte += 1;
        }
        self.answers.pop_front().unwrap_or(Outcome::Done(0))
    }

    fn cost(&self) -> u64 {
        self.cost
    }
}

fn compile(text: &str) -> Arc<Program> {
    Engine::new()
        .compile(&wat::parse_str(text).unwrap())
        .unwrap()
}

fn refused(text: &str) -> LoadError {
    let wasm = wat::parse_str(text).unwrap();
    match Engine::new().compile(&wasm).unwrap_err() {
        SetError::Module { error, .. } => error,
        SetError::Cycle(names) => panic!("a circle of {names:?}"),
    }
}

/// Heap bytes for whatever is asked.
fn heap(request: MemoryRequest) -> Result<GuestMemory, ReserveError> {
    Ok(GuestMemory::zeroed(
        usize::try_from(request.maximum_bytes).unwrap(),
    ))
}

/// Limits under which a test's memories stay small.
fn small() -> EngineLimits {
    EngineLimits {
        memory_bytes: 4 * 65_536,
        ..EngineLimits::default()
    }
}

fn start_with(text: &str, limits: &EngineLimits) -> Result<Execution<Script>, StartError> {
    let module = compile(text);
    Execution::instantiate(&module, &mut heap, Script::default(), limits)
}

fn start(text: &str, answers: &[Outcome]) -> Execution<Script> {
    let mut execution = start_with(text, &small()).unwrap();
    execution.guest_mut().answers = answers.iter().copied().collect();
    execution
}

/// Runs in slices of `slice` until something other than fuel stops it.
fn run(execution: &mut Execution<Script>, slice: u64) -> (Stop, u64) {
    for slices in 1..1_000_000 {
        match execution.run(slice) {
            Stop::OutOfFuel => {}
            stop => return (stop, slices),
        }
    }
    panic!("it does not stop");
}

/// The reason of a trap.
fn trapped(stop: Stop) -> Option<TrapReason> {
    match stop {
        Stop::Trapped(trap) => Some(trap.reason),
        _ => None,
    }
}

/// Exits with 1 unless `condition` (text of an `i32`) holds.
fn checked(body: &str, condition: &str) -> alloc::string::String {
    format!(
        r#"(module (import "sos" "exit" (func $exit (param i32))) (memory 1 3)
            {body} (func (export "_start")
                (if (i32.eqz {condition}) (then (call $exit (i32.const 1))))))"#
    )
}

#[test]
fn a_program_runs_to_its_end_in_any_slices() {
    let text = r#"(module (func (export "_start") (local i32)
        (loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get 0) (i32.const 1000))))))"#;
    let mut used = Vec::new();
    for slice in [1, 100, 1_000_000] {
        let mut execution = start(text, &[]);
        let (stop, slices) = run(&mut execution, slice);
        assert_eq!(stop, Stop::Finished);
        assert_eq!(slices == 1, slice == 1_000_000);
        assert_eq!(execution.run(slice), Stop::Finished, "it stays finished");
        used.push(execution.fuel_used());
    }
    assert!(
        used[0] > 1000 && used.iter().all(|fuel| *fuel == used[0]),
        "{used:?}"
    );
}

#[test]
fn an_endless_loop_is_preempted_for_ever() {
    let mut execution = start(
        r#"(module (func (export "_start") (loop $l (br $l))))"#,
        &[],
    );
    for _ in 0..100 {
        assert_eq!(execution.run(1000), Stop::OutOfFuel);
    }
    let used = execution.fuel_used();
    assert!(used > 90_000 && used <= 100_000, "{used}");
}

#[test]
fn the_start_function_runs_first_and_can_be_preempted() {
    let text = r#"(module (import "sos" "exit" (func $exit (param i32)))
        (global $g (mut i32) (i32.const 0))
        (func $start (loop $l (global.set $g (i32.add (global.get $g) (i32.const 1)))
            (br_if $l (i32.lt_u (global.get $g) (i32.const 500)))))
        (start $start)
        (func (export "_start") (call $exit (global.get $g))))"#;
    let mut execution = start(text, &[Outcome::Exit(500)]);
    let (stop, slices) = run(&mut execution, 100);
    assert_eq!(stop, Stop::Exited(500));
    assert!(slices > 5);
    assert_eq!(execution.guest().calls, [(CallId::Exit.into(), vec![500])]);
    assert_eq!(execution.run(100), Stop::Exited(500), "it stays exited");
}

#[test]
fn a_blocked_call_resumes_with_its_value_five_frames_deep() {
    let text = r#"(module (import "sos" "clock_monotonic" (func $now (result i64)))
        (import "sos" "exit" (func $exit (param i32))) (memory 1)
        (func $a (result i64) (i64.add (call $now) (i64.const 1)))
        (func $b (result i64) (i64.mul (call $a) (i64.const 2)))
        (func $c (result i64) (i64.add (call $b) (call $b)))
        (func $d (result i64) (call $c))
        (func (export "_start") (call $exit (i32.wrap_i64 (call $d)))))"#;
    let blocked = Outcome::Blocked;
    let answers = [
        blocked,
        blocked,
        Outcome::Done(10),
        blocked,
        Outcome::Done(20),
        Outcome::Exit(7),
    ];
    let mut execution = start(text, &answers);
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(
        execution.run(1000),
        Stop::Blocked,
        "it waits until the retry"
    );
    assert_eq!(execution.retry(), Retry::StillBlocked);
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(
        execution.retry(),
        Retry::Ready,
        "the call is not made twice"
    );
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(execution.run(1000), Stop::Exited(7));
    let calls = &execution.guest().calls;
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[2], (CallId::Exit.into(), vec![11 * 2 + 21 * 2]));
}

#[test]
fn a_blocked_call_in_tail_position_ends_the_program_with_it() {
    let text = r#"(module (import "sos" "exit" (func $call (param i32)))
        (func $start (return_call $call (i32.const 1))) (start $start)
        (func (export "_start") (return_call $call (i32.const 2))))"#;
    let answers = [
        Outcome::Blocked,
        Outcome::Done(0),
        Outcome::Blocked,
        Outcome::Done(0),
    ];
    let mut execution = start(text, &answers);
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(
        execution.run(1000),
        Stop::Blocked,
        "the start function's, then the entry's"
    );
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(execution.run(1000), Stop::Finished);
    assert_eq!(execution.guest().calls.len(), 2);
}

#[test]
fn exit_and_fault_are_obeyed_in_a_retry_too() {
    let text = r#"(module (import "sos" "yield_now" (func $yield (result i32)))
        (func (export "_start") (drop (call $yield)) (drop (call $yield))))"#;
    let mut execution = start(text, &[Outcome::Blocked, Outcome::Exit(3)]);
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(execution.run(1000), Stop::Exited(3));
    let fault = HostFault::NothingBlocked;
    let mut execution = start(text, &[Outcome::Blocked, Outcome::Fault(fault)]);
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(trapped(execution.run(1000)), Some(TrapReason::Host(fault)));
    let mut execution = start(text, &[Outcome::Fault(fault)]);
    assert_eq!(trapped(execution.run(1000)), Some(TrapReason::Host(fault)));
}

#[test]
fn host_calls_are_charged_and_end_the_slice() {
    let text = r#"(module (import "sos" "yield_now" (func $yield (result i32)))
        (func (export "_start") (loop $l (drop (call $yield)) (br $l))))"#;
    let mut execution = start(text, &[]);
    execution.guest_mut().cost = 300;
    assert_eq!(execution.run(1000), Stop::OutOfFuel);
    assert_eq!(execution.guest().calls.len(), 4);
    let used = execution.fuel_used();
    assert!(
        used >= 1200,
        "what was beyond the slice is counted too: {used}"
    );
}

#[test]
fn a_host_call_sees_the_memory_as_it_is_now_and_writes_to_it() {
    let text = r#"(module (import "sos" "yield_now" (func $yield (result i32))) (import "sos" "exit" (func $exit (param i32)))
        (memory 1 3)
        (func (export "_start")
            (drop (memory.grow (i32.const 2))) (drop (call $yield))
            (call $exit (i32.load8_u (i32.const 0)))))"#;
    let mut execution = start(text, &[Outcome::Blocked, Outcome::Done(0)]);
    assert_eq!(execution.run(1000), Stop::Blocked);
    assert_eq!(execution.guest().memory_bytes, 3 * 65_536);
    assert_eq!(execution.memory_bytes(), 3 * 65_536);
    assert_eq!(execution.retry(), Retry::Ready);
    assert_eq!(execution.run(1000), Stop::Finished);
    assert_eq!(
        execution.guest().calls[1],
        (CallId::Exit.into(), vec![1]),
        "the retry wrote it"
    );
}

#[test]
fn memory_grows_to_the_limit_and_no_further() {
    let limit = checked(
        "",
        "(i32.and (i32.eq (memory.grow (i32.const 2)) (i32.const 1))
            (i32.and (i32.eq (memory.grow (i32.const 1)) (i32.const -1))
                (i32.eq (memory.size) (i32.const 3))))",
    );
    let mut execution = start(&limit, &[Outcome::Exit(1)]);
    assert_eq!(run(&mut execution, 1000).0, Stop::Finished);
    let below = EngineLimits {
        memory_bytes: 2 * 65_536,
        ..small()
    };
    let text = checked("", "(i32.eq (memory.grow (i32.const 2)) (i32.const -1))");
    let mut execution = start_with(&text, &below).unwrap();
    assert_eq!(run(&mut execution, 1000).0, Stop::Finished);
}

#[test]
fn several_memories_share_the_limit() {
    let text = r#"(module (import "sos" "exit" (func $exit (param i32)))
        (memory $a 1) (memory $b 1)
        (func (export "_start")
            (drop (memory.grow $a (i32.const 1)))
            (drop (memory.grow $b (i32.const 2)))
            (drop (memory.grow $b (i32.const 1)))
            (call $exit (i32.add (i32.mul (memory.size $a) (i32.const 10)) (memory.size $b)))))"#;
    let mut execution = start(text, &[]);
    assert_eq!(run(&mut execution, 1000).0, Stop::Finished);
    assert_eq!(execution.guest().calls, [(CallId::Exit.into(), vec![22])]);
    assert_eq!(execution.memory_bytes(), 4 * 65_536);
}

#[test]
fn tables_grow_to_the_limit_also_when_fuel_ends_in_between() {
    let text = checked(
        "(table $t 10 funcref) (table $u 0 funcref)",
        "(i32.and (i32.eq (table.grow $t (ref.null func) (i32.const 900)) (i32.const 10))
            (i32.and (i32.eq (table.grow $u (ref.null func) (i32.const 91)) (i32.const -1))
                (i32.eq (table.grow $u (ref.null func) (i32.const 90)) (i32.const 0))))",
    );
    let limits = EngineLimits {
        table_elements: 1000,
        ..small()
    };
    for slice in [1, 1_000_000] {
        let mut execution = start_with(&text, &limits).unwrap();
        execution.guest_mut().answers.push_back(Outcome::Exit(1));
        assert_eq!(run(&mut execution, slice).0, Stop::Finished);
    }
}

#[test]
fn a_bulk_operation_larger_than_a_slice_is_granted_and_counted() {
    let text = checked(
        r#"(func $fill (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)))"#,
        "(block (result i32) (call $fill) (i32.load8_u (i32.const 65535)))",
    );
    let mut execution = start(&text, &[Outcome::Exit(1)]);
    assert_eq!(run(&mut execution, 10).0, Stop::Finished);
    let used = execution.fuel_used();
    assert!((1024..2000).contains(&used), "64 bytes each: {used}");
}

#[test]
fn traps_name_their_reason_and_leave_other_instances_working() {
    let cases = [
        ("(unreachable)", TrapReason::Unreachable),
        (
            "(drop (i32.load (i32.const 65536)))",
            TrapReason::MemoryOutOfBounds,
        ),
        (
            "(table.set (i32.const 9) (ref.null func))",
            TrapReason::TableOutOfBounds,
        ),
        ("(call_indirect (i32.const 0))", TrapReason::NullCall),
        (
            "(drop (call_indirect (result i32) (i32.const 1)))",
            TrapReason::CallType,
        ),
        (
            "(drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))",
            TrapReason::DivisionByZero,
        ),
        (
            "(drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.load (i32.const 0)) (i32.const 1))))",
            TrapReason::IntegerOverflow,
        ),
        (
            "(drop (i32.trunc_f32_s (f32.div (f32.load (i32.const 0)) (f32.load (i32.const 0)))))",
            TrapReason::ConversionToInteger,
        ),
        ("(call $deep)", TrapReason::CallStackExhausted),
    ];
    let engine = Engine::new();
    for (body, reason) in cases {
        let text = format!(
            r#"(module (import "sos" "random" (func $choose (param i32 i32) (result i32)))
                (memory 1) (table 2 funcref) (elem (i32.const 1) func $deep)
                (func $deep (call $deep))
                (func (export "_start")
                    (if (call $choose (i32.const 0) (i32.const 0)) (then {body}))))"#
        );
        let module = engine.compile(&wat::parse_str(&text).unwrap()).unwrap();
        let make = |answer| {
            let script = Script {
                answers: [Outcome::Done(answer)].into(),
                ..Script::default()
            };
            Execution::instantiate(&module, &mut heap, script, &small()).unwrap()
        };
        let (mut bad, mut good) = (make(1), make(0));
        assert_eq!(trapped(run(&mut bad, 1000).0), Some(reason), "{body}");
        assert_eq!(trapped(bad.run(1000)), Some(reason), "it stays trapped");
        assert_eq!(run(&mut good, 1000).0, Stop::Finished, "{body}");
    }
}

#[test]
fn the_stack_is_bounded_by_depth_and_by_bytes() {
    let text = r#"(module (func $down (param i32) (if (local.get 0)
            (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
        (func (export "_start") (call $down (i32.const 50))))"#;
    let depth = EngineLimits {
        call_depth: 40,
        ..small()
    };
    let bytes = EngineLimits {
        stack_bytes: 256,
        ..small()
    };
    for (limits, fits) in [(small(), true), (depth, false), (bytes, false)] {
        let mut execution = start_with(text, &limits).unwrap();
        let stop = run(&mut execution, 1000).0;
        match fits {
            true => assert_eq!(stop, Stop::Finished),
            false => assert_eq!(trapped(stop), Some(TrapReason::CallStackExhausted)),
        }
    }
}

#[test]
fn a_refused_reservation_and_too_large_a_beginning_are_errors() {
    let module = compile(r#"(module (memory 3) (func (export "_start")))"#);
    let refusal = ReserveError::Exhausted { wanted_bytes: 5 };
    let mut requests = Vec::new();
    let mut machine = |request| {
        requests.push(request);
        Err(refusal)
    };
    let error = Execution::instantiate(&module, &mut machine, Script::default(), &small());
    assert_eq!(error.unwrap_err(), StartError::Reserve(refusal));
    let request = MemoryRequest {
        minimum_bytes: 3 * 65_536,
        maximum_bytes: 4 * 65_536,
    };
    assert_eq!(requests, [request]);
    let tight = EngineLimits {
        memory_bytes: 65_536,
        ..small()
    };
    let error = start_with(r#"(module (memory 3) (func (export "_start")))"#, &tight);
    assert_eq!(
        error.unwrap_err(),
        StartError::Memory {
            wanted_bytes: 3 * 65_536,
            limit_bytes: 65_536
        }
    );
    let tables = r#"(module (table 2000000 funcref) (func (export "_start")))"#;
    let limit_elements = small().table_elements;
    assert_eq!(
        start_with(tables, &small()).unwrap_err(),
        StartError::Tables { limit_elements }
    );
    let huge = r#"(module (memory i64 0x800000000000) (func (export "_start")))"#;
    assert!(matches!(
        start_with(huge, &small()).unwrap_err(),
        StartError::Memory { .. }
    ));
    let segment = r#"(module (memory 1) (data (i32.const 65535) "ab") (func (export "_start")))"#;
    assert_eq!(
        start_with(segment, &small()).unwrap_err(),
        StartError::Segment
    );
    let segment = r#"(module (table 1 funcref) (elem (i32.const 1) func $f)
        (func $f (export "_start")))"#;
    assert_eq!(
        start_with(segment, &small()).unwrap_err(),
        StartError::Segment
    );
}

#[test]
fn unknown_and_mistyped_imports_are_refused_by_name() {
    let error = refused(
        r#"(module (import "env" "printf" (func (param i32 i64) (result f32)))
            (func (export "_start")))"#,
    );
    let text = error.to_string();
    assert!(
        text.contains("env.printf, a function (i32, i64) -> (f32)"),
        "{text}"
    );
    let error =
        refused(r#"(module (import "sos" "exit" (func (param i64))) (func (export "_start")))"#);
    let text = error.to_string();
    assert!(text.contains("sos.exit as (i64) -> ()"), "{text}");
    assert!(text.contains("(i32) -> ()"), "{text}");
    let error = refused(r#"(module (import "sos" "memory" (memory 1)) (func (export "_start")))"#);
    assert!(
        matches!(error, LoadError::ImportKind { kind: "memory", .. }),
        "{error}"
    );
}

#[test]
fn a_module_needs_an_entry_of_the_right_type() {
    assert_eq!(refused("(module)"), LoadError::NoEntry);
    assert_eq!(
        refused(r#"(module (memory (export "_start") 1))"#),
        LoadError::NoEntry
    );
    let error = refused(r#"(module (func (export "_start") (param i32)))"#);
    assert!(error.to_string().contains("(i32) -> ()"), "{error}");
}

#[test]
fn invalid_truncated_and_oversized_modules_are_refused() {
    let engine = Engine::new();
    let good = wat::parse_str(r#"(module (memory 1) (func (export "_start")))"#).unwrap();
    for length in 0..good.len() {
        assert!(
            engine.compile(&good[..length]).is_err(),
            "cut to {length} bytes"
        );
    }
    for position in 0..good.len() {
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[position] ^= 1 << bit;
            let _ = engine.compile(&flipped);
        }
    }
    let bytes = crate::limits::MODULE_BYTES + 1;
    let error = engine.compile(&vec![0; bytes]).unwrap_err();
    let too_large = LoadError::TooLarge { bytes };
    assert!(matches!(error, SetError::Module { error, .. } if error == too_large));
    let error = refused(r#"(module (func (export "_start") (i32.add)))"#);
    assert!(matches!(error, LoadError::Invalid { .. }));
}

#[test]
fn too_many_items_are_refused_by_kind() {
    let memories = "(memory 0)".repeat(crate::limits::MODULE_MEMORIES as usize + 1);
    let tables = "(table 0 funcref)".repeat(crate::limits::MODULE_TABLES as usize + 1);
    let globals = "(global i32 (i32.const 0))".repeat(crate::limits::MODULE_GLOBALS as usize + 1);
    let segments = "(data \"a\")".repeat(crate::limits::SET_ITEMS);
    let elements = " $f".repeat(crate::limits::PASSIVE_ELEMENTS / 2 + 1);
    let elements = format!("(func $f) (elem func {elements}) (elem func {elements})");
    for (items, item) in [
        (format!("(table 0 funcref) {segments}"), Item::SetItems),
        (elements, Item::PassiveElements),
        (memories, Item::Memories),
        (tables, Item::Tables),
        (globals, Item::Globals),
    ] {
        let error = refused(&format!(r#"(module {items} (func (export "_start")))"#));
        assert!(
            matches!(error, LoadError::TooMany { item: found, .. } if found == item),
            "{error}"
        );
    }
}

#[test]
fn an_execution_may_move_between_cpus_and_gives_its_guest_back() {
    fn assert_send<T: Send>(_: &T) {}
    let execution = start(r#"(module (func (export "_start")))"#, &[Outcome::Done(5)]);
    assert_send(&execution);
    assert_eq!(execution.into_guest().answers, [Outcome::Done(5)]);
}

#[test]
fn a_module_goes_with_its_last_user() {
    let module = compile(r#"(module (func (export "_start")))"#);
    let code = module.modules[0].translated.inner.engine().weak();
    let script = Script::default();
    let mut execution = Execution::instantiate(&module, &mut heap, script, &small()).unwrap();
    drop(module);
    assert_eq!(execution.run(1000), Stop::Finished);
    assert!(code.upgrade().is_some());
    drop(execution);
    assert!(code.upgrade().is_none(), "translated code is released");
}
