//! Programs captured and restored: through bytes, into a new engine, at every slice. They go on as if nothing had
//! happened, and what is not a program's state is refused or runs as something well-typed.

use super::sets::{EXIT, set};
use super::*;
use alloc::string::String;
use sos_engine::ExternType;
use sos_engine::state::TableState;

mod segments;

/// A set, by names and texts.
type Set<'a> = &'a [(&'a str, &'a str)];

/// Limits under which the tests' memories stay small.
fn limits() -> EngineLimits {
    EngineLimits {
        memory_bytes: 8 * 65_536,
        ..EngineLimits::default()
    }
}

/// What a program did.
#[derive(Debug, PartialEq, Eq)]
struct Did {
    stop: Stop,
    calls: Vec<(HostCall, Vec<u64>)>,
    fuel: u64,
    memories: Vec<Vec<u8>>,
}

fn begin(modules: Set<'_>, answers: &[Outcome]) -> Execution<Script> {
    let program = set(modules).unwrap_or_else(|error| panic!("{error}"));
    let script = Script {
        answers: answers.iter().copied().collect(),
        ..Script::default()
    };
    Execution::instantiate(&program, &mut heap, script, &limits()).unwrap()
}

/// The bytes of each memory that is there, in the order in which they came to be.
fn memories(execution: &Execution<Script>) -> Vec<Vec<u8>> {
    let mut memories = Vec::new();
    for &place in &execution.program.order {
        let Some(instance) = execution.setup.instances[place] else {
            continue;
        };
        let module = &execution.program.modules[place].translated.inner;
        let imported = module.imports();
        let imported = imported.filter(|import| matches!(import.ty(), ExternType::Memory(_)));
        let first = imported.count() as u32;
        for index in (first..).take(module.defined_memories().len()) {
            let memory = instance.memory(&execution.store, index).unwrap();
            memories.push(memory.data(&execution.store).to_vec());
        }
    }
    memories
}

/// An execution of `program` from `state` and the bytes of its memories.
fn restore(
    program: &Arc<Program>,
    state: &ExecutionState,
    memories: &[Vec<u8>],
    guest: Script,
) -> Result<Execution<Script>, RestoreError> {
    let mut supply = |request: MemoryRequest, number: Option<usize>| {
        let mut bytes = vec![0; usize::try_from(request.maximum_bytes).unwrap()];
        if let Some(number) = number {
            let pages = &memories[number];
            bytes[..pages.len()].copy_from_slice(pages);
        }
        Ok(GuestMemory::from_vec(bytes))
    };
    Execution::restore(program, &mut supply, guest, &limits(), state)
}

/// Heap that the calls and tables of a state take.
fn heap_bytes(state: &ExecutionState) -> u64 {
    let calls = match &state.progress {
        ProgressState::OutOfFuel { calls, .. } | ProgressState::HostCall { calls, .. } => {
            calls.frames.heap_bytes()
        }
        _ => 0,
    };
    let modules = state.store.modules.iter().flatten();
    let runs = modules
        .flat_map(|module| &module.tables)
        .map(|table| match table {
            TableState::Functions(runs) => size_of_val(runs.as_slice()),
            TableState::Externals(runs) => size_of_val(runs.as_slice()),
        });
    (calls + runs.sum::<usize>()) as u64
}

/// The same execution in a new engine, by way of bytes.
fn moved(modules: Set<'_>, mut execution: Execution<Script>) -> Execution<Script> {
    let state = execution.capture().unwrap();
    assert!(execution.capture_bytes() >= heap_bytes(&state));
    let stored = postcard::to_allocvec(&state).unwrap();
    let told: ExecutionState = postcard::from_bytes(&stored).unwrap();
    assert_eq!(told, state);
    let pages = memories(&execution);
    let sizes: Vec<u64> = pages.iter().map(|pages| pages.len() as u64).collect();
    let has_ended = matches!(state.progress, ProgressState::Ended(_));
    assert!(state.memory_bytes == sizes || has_ended && state.memory_bytes.is_empty());
    let program = set(modules).unwrap_or_else(|error| panic!("{error}"));
    let mut restored = restore(&program, &told, &pages, execution.into_guest()).unwrap();
    assert_eq!(
        restored.capture().unwrap(),
        state,
        "what is restored is what was captured"
    );
    restored
}

/// Runs to the end, moved after every slice if `is_moved`; blocked calls are retried.
fn run_moved(modules: Set<'_>, answers: &[Outcome], slice: u64, is_moved: bool) -> (Did, u64) {
    let mut execution = begin(modules, answers);
    let mut moves = 0;
    for _ in 0..1_000_000 {
        if is_moved {
            execution = moved(modules, execution);
            moves += 1;
        }
        let mut stop = execution.run(slice);
        if stop == Stop::OutOfFuel && is_moved {
            // What it asked for is not told: the first slice may be too small for anything.
            stop = execution.run(slice);
        }
        match stop {
            Stop::OutOfFuel => {}
            Stop::Blocked => {
                if is_moved {
                    execution = moved(modules, execution);
                }
                let _ = execution.retry();
            }
            stop => {
                if is_moved {
                    execution = moved(modules, execution);
                    assert_eq!(execution.run(slice), stop, "it stays ended");
                }
                let did = Did {
                    stop,
                    fuel: execution.fuel_used(),
                    memories: match is_moved {
                        // One that is over has none any more.
                        true => Vec::new(),
                        false => memories(&execution),
                    },
                    calls: execution.into_guest().calls,
                };
                return (did, moves);
            }
        }
    }
    panic!("it does not stop");
}

/// That `modules` do the same moved as not moved, in these slices, and are moved at least so often.
fn check(modules: Set<'_>, answers: &[Outcome], slices: &[u64], least: u64) {
    let (expected, _) = run_moved(modules, answers, 1_000_000, false);
    for &slice in slices {
        let (mut did, moves) = run_moved(modules, answers, slice, true);
        did.memories.clone_from(&expected.memories);
        assert_eq!(did, expected, "in slices of {slice}");
        assert!(moves >= least, "moved {moves} times in slices of {slice}");
    }
}

/// Computes with everything that a state has: locals and operands of all types, calls of all kinds, several
/// results, tables that change, private globals, two memories, bulk operations and segments.
const EVERYTHING: &str = r#"(module
    (import "sos" "exit" (func $mark (param i32)))
    (import "sos" "clock_monotonic" (func $now (result i64)))
    (memory 1 3) (memory $second 1 1) (data $text "some text that is there") (data $gone "x")
    (table $t 4 8 funcref) (elem (table $t) (i32.const 0) func $half $triple) (elem $more func $half $triple)
    (table $r 2 4 externref)
    (global $count (mut i32) (i32.const 0)) (global $v (mut v128) (v128.const i32x4 1 2 3 4))
    (global $d (mut f64) (f64.const 1.5)) (global $last (mut i64) (i64.const 0)) (global $g (mut funcref) (ref.func $half))
    (type $unary (func (param i64) (result i64)))
    (func $half (type $unary) (i64.shr_u (local.get 0) (i64.const 1)))
    (func $triple (type $unary) (i64.add (i64.const 1) (i64.mul (local.get 0) (i64.const 3))))
    (func $pair (param i32 f32) (result f32 i32)
        (f32.add (local.get 1) (f32.const 0.25)) (i32.xor (local.get 0) (i32.const 0x55)))
    (func $down (param i32 i64) (result i64)
        (if (result i64) (local.get 0)
            (then (return_call $down (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 3))))
            (else (local.get 1))))
    (func $deep (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
            (else (i32.add (local.get 0) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
    (func $fill (param i32)
        (memory.fill (i32.const 100) (local.get 0) (i32.const 65000))
        (memory.copy $second 0 (i32.const 0) (i32.const 50) (i32.const 65000))
        (memory.copy (i32.const 1) (i32.const 0) (i32.const 65000))
        (memory.init $text (local.get 0) (i32.const 0) (i32.const 23)))
    (func $kind (param i32) (result i32)
        (block $c (block $b (block $a (br_table $a $b $c (local.get 0))) (return (i32.const 11))) (return (i32.const 22)))
        (i32.const 33))
    (func (export "_start") (local $i i32) (local $x i64) (local $f f32) (local $w v128) (local $p funcref)
        (local.set $x (i64.const 27))
        (local.set $p (ref.func $triple))
        (loop $next
            ;; Operands of several types lie on the stack while others are computed.
            (local.get $x) (f64.convert_i32_u (local.get $i)) (local.get $w)
            (local.set $x (call_indirect $t (type $unary) (local.get $x) (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 1))))
            (global.get $v) i32x4.add (global.set $v)
            (global.get $d) f64.add (f64.const 1000) f64.min (global.set $d)
            (global.set $last)
            (local.set $w (i32x4.splat (local.get $i)))
            (call $pair (local.get $i) (local.get $f)) (global.set $count) (local.set $f)
            (f32.store (i32.const 4) (f32.add (local.get $f) (f32.const 0.5)))
            (i64.store $second (i32.shl (local.get $i) (i32.const 3)) (local.get $x))
            (global.set $count (i32.add (global.get $count) (call $kind (local.get $i))))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 40))))
        (call $mark (i32.wrap_i64 (local.get $x)))
        (call $mark (i32.wrap_i64 (call $down (i32.const 30) (i64.const 5))))
        (call $mark (call $deep (i32.const 25)))
        (drop (memory.grow (i32.const 1)))
        (drop (table.grow $t (ref.func $half) (i32.const 2)))
        (drop (table.grow $r (ref.null extern) (i32.const 1)))
        (table.set $t (i32.const 2) (global.get $g))
        (table.init $t $more (i32.const 3) (i32.const 0) (i32.const 2)) (elem.drop $more) (data.drop $gone)
        (call $fill (i32.const 7))
        (call $mark (i32.load (i32.const 64000)))
        (call $mark (i32.load $second (i32.const 51)))
        (call $mark (i32.wrap_i64 (i64.mul (call $now) (i64.add (call $now) (call_indirect $t (type $unary) (i64.const 100) (i32.const 4))))))
        (table.set $t (i32.const 0) (local.get $p))
        (call $mark (i32.wrap_i64 (call_indirect $t (type $unary) (i64.const 5) (i32.const 0))))
        (call $mark (i32.wrap_i64 (global.get $last))) (call $mark (i32x4.extract_lane 2 (global.get $v)))
        (call $mark (i32.trunc_sat_f64_s (f64.mul (global.get $d) (f64.const 1000))))
        (call $mark (i32.add (global.get $count) (i32.add (table.size $t) (i32.add (table.size $r) (memory.size)))))))"#;

#[test]
fn a_program_with_everything_goes_on_after_every_slice() {
    let answers = [
        Outcome::Done(0),
        Outcome::Done(0),
        Outcome::Done(0),
        Outcome::Done(0),
        Outcome::Done(0),
        Outcome::Blocked,
        Outcome::Blocked,
        Outcome::Done(77),
        Outcome::Done(5),
    ];
    check(&[("main", EVERYTHING)], &answers, &[1, 13, 100, 5000], 2);
    let (did, _) = run_moved(&[("main", EVERYTHING)], &answers, 7, true);
    assert_eq!(did.stop, Stop::Finished);
    assert_eq!(did.calls.len(), 13, "{:?}", did.calls);
}

#[test]
fn sets_go_on_in_the_midst_of_their_setup() {
    let library = |imports: &str, start: u32, initialize: u32| {
        format!(
            r#"(module {EXIT} {imports} (memory (export "memory") 1 2) (table (export "table") 2 10 funcref)
                (global $own (mut i32) (i32.const {start})) (data (i32.const 3) "\07\08")
                (elem (i32.const 1) func $f)
                (func $f (export "f") (param i32) (result i32)
                    (global.set $own (i32.add (global.get $own) (local.get 0)))
                    (i32.add (global.get $own) (i32.load8_u (i32.const 3))))
                (func $start (local i32)
                    (i32.store8 (i32.const 3) (i32.const 40)) (drop (memory.grow (i32.const 1)))
                    (drop (table.grow (ref.func $f) (i32.const 3)))
                    (loop $l (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))
                        (i32.const 50))))
                    (call $mark (i32.const {start})))
                (start $start)
                (func (export "_initialize") (call $mark (i32.const {initialize}))))"#
        )
    };
    let b = library(r#"(import "a" "f" (func (param i32) (result i32)))"#, 3, 4);
    let a = library("", 1, 2);
    let main = format!(
        r#"(module {EXIT} (import "b" "f" (func $g (param i32) (result i32)))
            (import "a" "f" (func $f (param i32) (result i32))) (import "a" "memory" (memory 1 2))
            (import "b" "table" (table 2 10 funcref)) (elem (i32.const 3) func $hook)
            (data (i32.const 3) "\20") (memory $own 1 1)
            (func $hook (param i32) (result i32) (call $f (i32.mul (local.get 0) (i32.const 2))))
            (func $start (call $mark (i32.const 7)) (i32.store $own (i32.const 0) (i32.const 9))) (start $start)
            (func (export "_start") (local $i i32)
                (loop $l
                    (call $mark (call $f (local.get $i)))
                    (call $mark (call $g (call_indirect (param i32) (result i32) (local.get $i) (i32.const 3))))
                    (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
                (call $mark (i32.add (memory.size) (i32.load $own (i32.const 0))))))"#
    );
    let modules = [("main", &*main), ("b", &*b), ("a", &*a)];
    check(&modules, &[], &[1, 20, 100], 6);
    let blocked = [
        Outcome::Blocked,
        Outcome::Blocked,
        Outcome::Done(0),
        Outcome::Blocked,
    ];
    check(&modules, &blocked, &[30], 6);
}

#[test]
fn blocked_calls_go_on_with_their_memory_and_their_result() {
    let text = r#"(module (import "sos" "clock_monotonic" (func $now (result i64)))
        (import "sos" "exit" (func $exit (param i32))) (memory 1)
        (func $a (result i64) (i64.add (call $now) (i64.const 1)))
        (func $b (result i64) (i64.mul (call $a) (i64.const 2)))
        (func $c (result i64) (i64.add (call $b) (call $b)))
        (func $tail (result i64) (return_call $now))
        (func (export "_start") (call $exit (i32.wrap_i64 (i64.add (call $c) (call $tail))))))"#;
    let blocked = Outcome::Blocked;
    let answers = [
        blocked,
        blocked,
        Outcome::Done(10),
        blocked,
        Outcome::Done(20),
        blocked,
        blocked,
        Outcome::Done(u64::MAX),
        Outcome::Exit(3),
    ];
    check(&[("main", text)], &answers, &[1000], 4);
    // A hundred times within one call, and once more with its result at hand.
    let modules = [("main", text)];
    let mut execution = begin(&modules, &answers[..1]);
    assert_eq!(execution.run(1000), Stop::Blocked);
    for _ in 0..100 {
        execution = moved(&modules, execution);
        assert_eq!(execution.run(1000), Stop::Blocked);
        assert_eq!(
            execution.backtrace().frames().len(),
            5,
            "the host call and its calls"
        );
    }
    execution.guest_mut().answers = answers[2..].iter().copied().collect();
    assert_eq!(execution.retry(), Retry::Ready);
    execution = moved(&modules, execution);
    assert_eq!(
        memories(&execution)[0][0],
        1,
        "the retry wrote to the caller's memory"
    );
    assert_eq!(execution.guest().calls.len(), 1);
    assert_eq!(execution.run(1000), Stop::Blocked);
}

#[test]
fn a_root_that_ends_with_a_host_call_goes_on() {
    let text = r#"(module (import "sos" "exit" (func $exit (param i32)))
        (func (export "_start") (return_call $exit (i32.const 4))))"#;
    let modules = [("main", text)];
    let answers = [Outcome::Blocked, Outcome::Blocked, Outcome::Done(0)];
    check(&modules, &answers, &[1000], 2);
    let mut execution = begin(&modules, &answers[..1]);
    assert_eq!(execution.run(1000), Stop::Blocked);
    let state = execution.capture().unwrap();
    let result = None;
    let root = Root::Entry;
    assert_eq!(state.progress, ProgressState::TailCall { root, result });
}

#[test]
fn what_was_reached_and_how_it_ended_is_kept() {
    let text = r#"(module (import "sos" "exit" (func $exit (param i32))) (memory 1)
        (func (export "_start") (drop (memory.grow (i32.const 100))) (call $exit (i32.const 0)) (unreachable)))"#;
    let modules = [("main", text)];
    let mut execution = begin(&modules, &[Outcome::Blocked]);
    assert_eq!(execution.run(1000), Stop::Blocked);
    let execution = moved(&modules, execution);
    let limits: Vec<_> = execution.reached_limits().iter().collect();
    assert_eq!(limits, [crate::instance::Limit::Memory]);
    check(&modules, &[], &[1, 1000], 1);
    check(&modules, &[Outcome::Exit(-3)], &[1000], 1);
}

/// A state with the bytes of its memories.
type Taken = (ExecutionState, Vec<Vec<u8>>);

/// States of all kinds: of the program with everything at many places, blocked, and in the setup.
fn states() -> (Arc<Program>, Vec<Taken>) {
    let lib = r#"(module (memory (export "m") 1 1) (global (mut i64) (i64.const 4)) (table 3 funcref) (elem (i32.const 0) func $start)
        (func $start (local v128 f32 funcref) (local.set 2 (ref.func $start)) (loop $l)) (start $start))"#;
    let main = r#"(module (import "sos" "clock_monotonic" (func $now (result i64))) (import "lib" "m" (memory 1 1))
        (func $f (param i32) (result i64 i32) (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 60000)))
            (call $now) (local.get 0))
        (func (export "_start") (drop (drop (call $f (i32.const 5))))))"#;
    let modules = [("main", main), ("lib", lib)];
    let mut execution = begin(&modules, &[Outcome::Blocked, Outcome::Done(3)]);
    let program = set(&modules).unwrap_or_else(|error| panic!("{error}"));
    let mut states = Vec::new();
    loop {
        let state = execution.capture().unwrap();
        states.push((state, memories(&execution)));
        match execution.run(1) {
            Stop::OutOfFuel => {}
            Stop::Blocked => {
                let state = execution.capture().unwrap();
                states.push((state, memories(&execution)));
                let _ = execution.retry();
            }
            _ => return (program, states),
        }
    }
}

#[test]
fn a_mutated_state_is_refused_or_runs_as_a_program() {
    let (program, states) = states();
    assert!(states.len() > 8, "{}", states.len());
    let (mut refused, mut ran) = (0, 0);
    for (state, pages) in &states {
        let stored = postcard::to_allocvec(state).unwrap();
        for position in 0..stored.len() {
            for bit in 0..8 {
                let mut mutated = stored.clone();
                mutated[position] ^= 1 << bit;
                let Ok(told) = postcard::from_bytes::<ExecutionState>(&mutated) else {
                    continue;
                };
                let Ok(mut execution) = restore(&program, &told, pages, Script::default()) else {
                    refused += 1;
                    continue;
                };
                ran += 1;
                for _ in 0..8 {
                    let _ = execution.run(500);
                    let _ = execution.retry();
                    let _ = execution.backtrace();
                }
                let _ = execution.capture();
            }
        }
    }
    assert!(refused > 100 && ran > 100, "refused {refused}, ran {ran}");
}

#[test]
fn contradictions_are_refused_by_name() {
    let (program, states) = states();
    let find = |wanted: fn(&ProgressState) -> bool| {
        let mut found = states.iter().filter(|(state, _)| wanted(&state.progress));
        found.next_back().unwrap().clone()
    };
    let blocked = find(|progress| matches!(progress, ProgressState::HostCall { .. }));
    let paused = find(|progress| matches!(progress, ProgressState::OutOfFuel { .. }));
    let refused =
        |(state, pages): &Taken| restore(&program, state, pages, Script::default()).unwrap_err();
    let mut state = paused.clone();
    state.0.stages_left = 9;
    assert_eq!(refused(&state), RestoreError::Stages { told: 9 });
    let mut state = paused.clone();
    state.0.reached = 0x80;
    assert_eq!(refused(&state), RestoreError::Limits);
    let mut state = paused.clone();
    state.0.caller = Some(2);
    assert_eq!(refused(&state), RestoreError::Caller(2));
    let mut state = paused.clone();
    state.0.memory_bytes[0] += 1;
    assert_eq!(refused(&state), RestoreError::Memories);
    let mut state = paused.clone();
    state.0.progress = ProgressState::Ended(Stop::Blocked);
    assert_eq!(refused(&state), RestoreError::Progress);
    let mut state = paused;
    state.0.store.modules[1] = None;
    assert!(matches!(refused(&state), RestoreError::Store(_)));
    let mut state = blocked.clone();
    let ProgressState::HostCall { root, calls, .. } = state.0.progress else {
        unreachable!()
    };
    state.0.progress = ProgressState::OutOfFuel {
        root,
        calls: calls.clone(),
    };
    assert_eq!(refused(&state), RestoreError::Progress);
    let mut calling = calls.clone();
    calling.host_call = None;
    state.0.progress = ProgressState::OutOfFuel {
        root,
        calls: calling,
    };
    assert!(matches!(refused(&state), RestoreError::Calls(_)));
    let call = CallId::Exit.into();
    let result = None;
    state.0.progress = ProgressState::HostCall {
        root,
        call,
        calls: calls.clone(),
        result,
    };
    assert_eq!(refused(&state), RestoreError::HostCall(call));
    let function = sos_engine::state::FunctionRef {
        module: 0,
        function: 1,
    };
    state.0.progress = ProgressState::Begin { root, function };
    assert_eq!(
        refused(&state),
        RestoreError::Root(function),
        "it has parameters"
    );
    let small = EngineLimits {
        memory_bytes: 1,
        ..limits()
    };
    let mut supply = |_: MemoryRequest, _: Option<usize>| Ok(GuestMemory::zeroed(1 << 16));
    let tight = Execution::restore(&program, &mut supply, Script::default(), &small, &blocked.0);
    assert!(matches!(
        tight.unwrap_err(),
        RestoreError::Start(StartError::Memory { .. })
    ));
}
