//! Call stacks that no program made: each is refused with the frame and the reason, or runs as the
//! well-typed program that it describes, to an end or a trap.
//!
//! `SOS_FRAMES_MUTATIONS=1000000 cargo test --release -p sos-engine --test frames_hostile` tries
//! more of them. Run it also with `--features portable`.

mod common;
#[path = "common/cycles.rs"]
mod cycles;

use cycles::{Captures, Program, World};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use sos_engine::frames::{At, CallStack, CaptureError, Frame, FrameFault, RestoreError, Restored};
use sos_engine::state::{FunctionRef, Value};
use sos_engine::{Module, ResumableCall, Segments, StackLimits, Val, ValType};

/// Mutated call stacks that plain `cargo test` tries.
const MUTATIONS: u64 = 6000;

/// Locals and operands of every type, loops, arms, calls of every kind.
const LIBRARY: &str = r#"(module (import "host" "read" (func $read (param i32) (result i32)))
    (table (export "t") 6 funcref) (memory (export "m") 2) (data $d "some bytes")
    (type $back (func (param i32) (result i32)))
    (func (export "tail") (param i32) (result i32) (return_call $read (local.get 0)))
    (export "plain" (func $read))
    (func (export "each") (param $n i32) (result i32) (local $i i32) (local $s i32)
        (loop $next
            (memory.fill (local.get $i) (local.get $s) (i32.const 70000))
            (memory.init $d (local.get $i) (i32.const 0) (i32.const 5))
            (local.set $s (i32.add (local.get $s)
                (call_indirect (type $back) (local.get $i) (i32.const 0))))
            (i32.store (local.get $i) (local.get $s))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                (local.get $n))))
        (local.get $s)))"#;
const MAIN: &str = r#"(module (import "m0" "tail" (func $tail (param i32) (result i32)))
    (import "m0" "plain" (func $plain (param i32) (result i32)))
    (import "m0" "each" (func $each (param i32) (result i32)))
    (import "m0" "t" (table 6 funcref)) (import "m0" "m" (memory 2))
    (elem (i32.const 0) $back $plain $tail $deeper2)
    (func $back (param i32) (result i32) (local v128 f64 f32 i64 funcref externref)
        (local.set 4 (i64.const -5)) (local.set 5 (ref.func $back))
        (i64.const 77) (v128.const i32x4 1 2 3 4) (local.get 5) (i64.extend_i32_u (local.get 0))
        (if (param i64) (result i32) (i32.and (local.get 0) (i32.const 1))
            (then (i32.wrap_i64) (call $tail (i32.add (local.get 0) (i32.const 1000))) (i32.add))
            (else (drop) (call $deeper (f32.const 1) (local.get 0))))
        (local.set 0) (drop) (drop) (drop)
        (f64.const 2.5) (local.get 2)
        (loop $more (param f64 f64) (result f64) (f64.add) (local.tee 2) (local.get 2)
            (br_if $more (f64.lt (local.get 2) (f64.const 8))) (drop))
        (drop) (local.get 0))
    (func $deeper2 (param i32) (result i32) (return_call $deeper (f32.const 3) (local.get 0)))
    (func $deeper (param f32 i32) (result i32)
        (i32.add (i32.const 5) (call_indirect (param i32) (result i32)
            (local.get 1) (i32.const 1))))
    (func (export "run") (result i32) (call $plain (i32.const 4)) (call $each (i32.const 4))
        (call $back (i32.const 6)) (i32.add) (i32.add)))"#;

fn program() -> Program {
    Program::new(&[LIBRARY, MAIN])
}

/// A call stack to be changed: its frames as a list, in the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Loose {
    root: FunctionRef,
    frames: Vec<Frame>,
    host_call: Option<FunctionRef>,
}

impl Loose {
    fn call_stack(&self) -> CallStack {
        CallStack {
            root: self.root,
            frames: self.frames.clone().into(),
            host_call: self.host_call,
        }
    }
}

/// Call stacks that the program really has.
fn genuine(program: &Program) -> Vec<Loose> {
    let ran = program.run("run", 1, Captures::Here);
    let stacks = ran
        .stacks
        .iter()
        .map(|bytes| postcard::from_bytes(bytes).unwrap());
    stacks.collect()
}

fn restore(world: &mut World, stack: &Loose) -> Result<Restored, RestoreError> {
    let mut references = world.references();
    stack
        .call_stack()
        .restore(&mut world.store, &mut references)
}

/// Runs what was restored until it ends, waits for the host too often, or has used its fuel.
fn run_on(world: &mut World, mut restored: Restored) {
    let mut outputs = [Val::I32(0)];
    for _ in 0..20 {
        world.store.set_fuel(5_000).unwrap();
        let next = match restored {
            Restored::OutOfFuel(call) => call.resume(&mut world.store, &mut outputs),
            Restored::HostCall(call) => {
                let results = call.host_func().ty(&world.store);
                let answers = results.results().iter();
                let answers: Vec<Val> = answers.map(|ty| Val::default_for_ty(*ty)).collect();
                call.resume(&mut world.store, &answers, &mut outputs)
            }
        };
        restored = match next {
            Ok(ResumableCall::OutOfFuel(call)) => Restored::OutOfFuel(call),
            Ok(ResumableCall::HostTrap(call)) => Restored::HostCall(call),
            Ok(ResumableCall::Finished) | Err(_) => return,
        };
    }
}

fn random_value(random: &mut SmallRng) -> Value {
    let function = || FunctionRef {
        module: 1,
        function: 3,
    };
    let reference = FunctionRef {
        module: random.random_range(0..3),
        function: random.random_range(0..12),
    };
    match random.random_range(0..9) {
        0 => Value::I32(random.random()),
        1 => Value::I64(random.random()),
        2 => Value::F32(random.random()),
        3 => Value::F64(random.random()),
        4 => Value::V128(random.random()),
        5 => Value::Function(Some(reference)),
        6 => Value::Function(Some(function())),
        7 => Value::External(Some(random.random())),
        _ => Value::Function(None),
    }
}

/// The same type with other bits, where it has bits.
fn other_bits(value: Value, random: &mut SmallRng) -> Value {
    match value {
        Value::I32(_) => Value::I32(random.random()),
        Value::I64(_) => Value::I64(random.random()),
        Value::F32(_) => Value::F32(random.random()),
        Value::F64(_) => Value::F64(random.random()),
        Value::V128(_) => Value::V128(random.random()),
        other => other,
    }
}

fn mutate_frame(frame: &mut Frame, random: &mut SmallRng) {
    let values = match random.random() {
        true => &mut frame.locals,
        false => &mut frame.operands,
    };
    match random.random_range(0..10) {
        0 => frame.function.module = random.random_range(0..3),
        1 => frame.function.function = random.random_range(0..12),
        2 => frame.operator = random.random_range(0..70),
        3 => frame.operator = random.random(),
        4 => {
            let kinds = [
                At::Entry,
                At::Loop,
                At::Then,
                At::Else,
                At::MissingElse,
                At::Again,
                At::Call,
            ];
            frame.at = kinds[random.random_range(0..kinds.len())];
        }
        5 => values.push(random_value(random)),
        6 => drop(values.pop()),
        7 if !values.is_empty() => {
            let index = random.random_range(0..values.len());
            values[index] = random_value(random);
        }
        _ if !values.is_empty() => {
            let index = random.random_range(0..values.len());
            values[index] = other_bits(values[index], random);
        }
        _ => {}
    }
}

fn mutate(stack: &mut Loose, others: &[Loose], random: &mut SmallRng) {
    let count = stack.frames.len();
    match random.random_range(0..8) {
        0 => stack.root.function = random.random_range(0..12),
        1 => {
            stack.host_call = random.random::<bool>().then(|| FunctionRef {
                module: random.random_range(0..3),
                function: random.random_range(0..9),
            });
        }
        2 if count > 0 => stack.frames.truncate(random.random_range(0..count)),
        3 if count > 0 => {
            let frame = stack.frames[random.random_range(0..count)].clone();
            let times = random.random_range(1..500);
            let at = random.random_range(0..=count);
            stack
                .frames
                .splice(at..at, std::iter::repeat_n(frame, times));
        }
        4 => {
            let other = &others[random.random_range(0..others.len())];
            let from = random.random_range(0..=other.frames.len());
            stack.frames.truncate(random.random_range(0..=count));
            stack.frames.extend_from_slice(&other.frames[from..]);
            stack.host_call = other.host_call;
        }
        _ if count > 0 => mutate_frame(&mut stack.frames[random.random_range(0..count)], random),
        _ => {}
    }
}

#[test]
fn mutated_call_stacks_are_refused_or_run() {
    let program = program();
    let stacks = genuine(&program);
    let mutations = std::env::var("SOS_FRAMES_MUTATIONS").ok();
    let mutations = mutations
        .and_then(|text| text.parse().ok())
        .unwrap_or(MUTATIONS);
    let mut random = SmallRng::seed_from_u64(42);
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    let mut world = program.world(Segments::Applied);
    for index in 0..mutations {
        if index % 500 == 0 {
            world = program.world(Segments::Applied);
        }
        let mut stack = stacks[random.random_range(0..stacks.len())].clone();
        for _ in 0..random.random_range(1..4) {
            mutate(&mut stack, &stacks, &mut random);
        }
        match restore(&mut world, &stack) {
            Ok(restored) => {
                accepted += 1;
                run_on(&mut world, restored);
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(
        accepted > mutations / 20 && refused > mutations / 20,
        "{accepted} {refused}"
    );
}

#[test]
fn mutated_bytes_are_refused_or_run() {
    let program = program();
    let stacks = genuine(&program);
    let mut random = SmallRng::seed_from_u64(7);
    let mut world = program.world(Segments::Applied);
    for _ in 0..MUTATIONS {
        let stack = &stacks[random.random_range(0..stacks.len())];
        let mut bytes = postcard::to_allocvec(stack).unwrap();
        for _ in 0..random.random_range(1..5) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let loose = postcard::from_bytes::<Loose>(&bytes);
        let flat = postcard::from_bytes::<CallStack>(&bytes);
        let same = loose.as_ref().map(Loose::call_stack);
        assert_eq!(
            same.ok(),
            flat.ok(),
            "the bytes are those of a list of frames"
        );
        if let Ok(stack) = loose
            && let Ok(restored) = restore(&mut world, &stack)
        {
            run_on(&mut world, restored);
        }
    }
}

/// Refuses each stack that `damage` makes of a genuine one for which it answers with the frame.
fn check_refused(damage: impl Fn(&mut Loose) -> Option<(usize, FrameFault)>) {
    let program = program();
    let mut world = program.world(Segments::Applied);
    let mut tried = 0;
    for mut stack in genuine(&program) {
        if let Some((frame, fault)) = damage(&mut stack) {
            let error = restore(&mut world, &stack).unwrap_err();
            assert_eq!(error, RestoreError::Frame { frame, fault }, "{stack:?}");
            tried += 1;
        }
    }
    assert!(tried > 0);
}

#[test]
fn frames_of_other_shape_are_refused_by_name() {
    check_refused(|stack| {
        let frame = stack.frames.last_mut()?;
        frame.locals.push(Value::I32(0));
        let expected = frame.locals.len() - 1;
        Some((stack.frames.len() - 1, FrameFault::LocalCount { expected }))
    });
    check_refused(|stack| {
        let frame = stack
            .frames
            .iter()
            .position(|frame| !frame.locals.is_empty())?;
        stack.frames[frame].locals[0] = Value::External(None);
        let (index, expected) = (0, ValType::I32);
        (frame == 1).then_some((frame, FrameFault::LocalType { index, expected }))
    });
    check_refused(|stack| {
        let frame = stack.frames.first_mut()?;
        let expected = frame.operands.len();
        frame.operands.push(Value::I32(0));
        Some((0, FrameFault::OperandCount { expected }))
    });
    check_refused(|stack| {
        let frame = stack.frames.first_mut()?;
        frame.operator += 1000;
        let (operator, at) = (frame.operator, frame.at);
        Some((0, FrameFault::NoSafepoint { operator, at }))
    });
    check_refused(|stack| {
        let frame = stack.frames.first_mut()?;
        frame.function.function = 999;
        Some((0, FrameFault::UnknownFunction(frame.function)))
    });
    check_refused(|stack| {
        let local = stack.frames.iter_mut().position(|frame| {
            let local = frame
                .locals
                .iter_mut()
                .find(|local| matches!(local, Value::Function(_)));
            local
                .map(|local| {
                    *local = Value::Function(Some(FunctionRef {
                        module: 9,
                        function: 0,
                    }))
                })
                .is_some()
        });
        Some((local?, FrameFault::UnknownReference))
    });
}

#[test]
fn a_frame_that_its_caller_does_not_call_is_refused() {
    // `run` calls `$each` of the library and `$back`: not itself.
    check_refused(|stack| {
        let outer = stack.frames.first()?.clone();
        if stack.frames.len() < 2 {
            return None;
        }
        stack.frames.insert(1, outer);
        Some((1, FrameFault::NotTheCallee))
    });
    check_refused(|stack| {
        if stack.host_call.is_some() || stack.frames.len() < 2 {
            return None;
        }
        stack.frames.truncate(1);
        Some((0, FrameFault::AtCall))
    });
    check_refused(|stack| {
        let inner = stack.frames.last()?.clone();
        if stack.host_call.is_some() {
            return None;
        }
        stack.frames.push(inner);
        Some((stack.frames.len() - 2, FrameFault::NotAtCall))
    });
}

#[test]
fn values_that_the_code_knows_are_not_replaced() {
    // The operand 77 is a constant of the code; another is the local itself.
    check_refused(|stack| {
        let index = stack
            .frames
            .iter()
            .position(|frame| frame.operands.first() == Some(&Value::I64(77)))?;
        stack.frames[index].operands[0] = Value::I64(78);
        Some((index, FrameFault::OperandValue { index: 0 }))
    });
    check_refused(|stack| {
        let depth = stack.frames.len().checked_sub(1)?;
        let frame = &mut stack.frames[depth];
        let (At::Then, 4, Some(Value::I64(value))) =
            (frame.at, frame.operands.len(), frame.operands.get_mut(3))
        else {
            return None;
        };
        *value |= 1 << 40;
        Some((depth, FrameFault::OperandValue { index: 3 }))
    });
}

#[test]
fn the_root_and_the_host_call_are_checked() {
    let program = program();
    let mut world = program.world(Segments::Applied);
    let stacks = genuine(&program);
    let waiting = stacks
        .iter()
        .find(|stack| stack.host_call.is_some())
        .unwrap();
    let nowhere = FunctionRef {
        module: 7,
        function: 0,
    };
    let damaged = |damage: &dyn Fn(&mut Loose)| {
        let mut stack = waiting.clone();
        damage(&mut stack);
        stack
    };
    let stack = damaged(&|stack| stack.root = nowhere);
    assert_eq!(
        restore(&mut world, &stack).unwrap_err(),
        RestoreError::UnknownRoot(nowhere)
    );
    let stack = damaged(&|stack| stack.host_call = Some(nowhere));
    assert_eq!(
        restore(&mut world, &stack).unwrap_err(),
        RestoreError::UnknownHostCall(nowhere)
    );
    let own = waiting.root;
    let stack = damaged(&|stack| stack.host_call = Some(own));
    assert_eq!(
        restore(&mut world, &stack).unwrap_err(),
        RestoreError::UnknownHostCall(own)
    );
    let stack = damaged(&|stack| stack.frames.clear());
    assert!(stack.call_stack().is_tail());
    assert_eq!(
        restore(&mut world, &stack).unwrap_err(),
        RestoreError::NoFrames
    );
}

#[test]
fn a_root_that_ends_with_a_host_call_is_checked_by_its_type() {
    let program = Program::new(&[r#"(module (import "host" "a" (func $a (result i32)))
        (import "host" "b" (func $b (result i64)))
        (func (export "run") (result i32) (return_call $a))
        (func (export "plain") (result i32) (i32.const 1)))"#]);
    let mut world = program.world(Segments::Applied);
    let mut references = world.references();
    let name = |function| FunctionRef {
        module: 0,
        function,
    };
    let mut check = |root, host| {
        CallStack::tail(name(root), name(host)).check_tail(&mut world.store, &mut references)
    };
    assert_eq!(check(2, 0), Ok(()));
    assert_eq!(check(0, 0), Ok(()));
    assert_eq!(check(2, 1), Err(RestoreError::OtherHostCall(name(1))));
    assert_eq!(check(3, 0), Err(RestoreError::OtherHostCall(name(0))));
}

#[test]
fn frames_beyond_the_limits_are_refused() {
    let program = Program::new(&[
        r#"(module (func $f (export "run") (param i64 i64 i64) (result i32)
        (i32.add (i32.const 1) (call $f (local.get 0) (local.get 1) (local.get 2)))))"#,
    ]);
    let mut world = program.world(Segments::Applied);
    let run = FunctionRef {
        module: 0,
        function: 0,
    };
    let frame = |at, operator, operands: &[Value]| Frame {
        function: run,
        operator,
        at,
        locals: vec![Value::I64(0); 3],
        operands: operands.to_vec(),
    };
    let stack = |depth| {
        let mut frames = vec![frame(At::Call, 4, &[Value::I32(1)]); depth];
        frames.push(frame(At::Entry, 0, &[]));
        Loose {
            root: run,
            frames,
            host_call: None,
        }
    };
    let too_deep = |frame| RestoreError::Frame {
        frame,
        fault: FrameFault::TooDeep,
    };
    assert!(restore(&mut world, &stack(399)).is_ok());
    assert_eq!(restore(&mut world, &stack(400)).unwrap_err(), too_deep(400));
    assert_eq!(
        restore(&mut world, &stack(1_000_000)).unwrap_err(),
        too_deep(400)
    );
    world.store.set_stack_limits(StackLimits {
        value_bytes: 400,
        call_depth: 400,
    });
    let RestoreError::Frame { frame, fault } = restore(&mut world, &stack(399)).unwrap_err() else {
        panic!("another error")
    };
    assert!(
        frame < 20 && fault == FrameFault::TooDeep,
        "{frame} {fault}"
    );
}

#[test]
fn a_frame_map_does_not_outgrow_the_code() {
    // Each `local.set` changes one operand below hundreds of others, and a call follows.
    const LOCALS: usize = 1500;
    let gets: String = (0..LOCALS).map(|i| format!("(local.get {i})")).collect();
    let calls: String = (0..LOCALS)
        .map(|i| format!("(local.set {i} (i32.const 1)) (call $nothing)"))
        .collect();
    let drops = "(drop)".repeat(LOCALS);
    let locals = "i32 ".repeat(LOCALS);
    let text = format!(
        "(module (func $nothing) (func (export \"run\") (local {locals}) {gets} {calls} {drops}))"
    );
    let module = Module::new(&common::engine(), wat::parse_str(&text).unwrap()).unwrap();
    let maps = module.frame_map_bytes();
    let code = module.translated_bytes() - maps;
    // As much as the code, and a KiB for each function.
    assert!(
        maps <= code + 2 * 1024,
        "{maps} bytes of maps for {code} bytes of code"
    );
    // All of its safepoints are there.
    let program = Program::new(&[&text]);
    let mut world = program.world(Segments::Applied);
    let function = world.export("run");
    world.store.set_fuel(1).unwrap();
    let mut suspended = function.call_resumable(&mut world.store, &[], &mut []);
    let mut captures = 0;
    let mut calls = 0;
    while let Ok(ResumableCall::OutOfFuel(call)) = suspended {
        let mut references = world.references();
        let fuel = match call.capture(&world.store, &references) {
            Ok(stack) => {
                captures += 1;
                let frames = stack.frames.iter();
                calls += frames.filter(|frame| frame.at == At::Call).count();
                let locals = stack.frames.iter().next().map(|frame| frame.locals.len());
                assert_eq!(locals, Some(LOCALS));
                assert!(stack.restore(&mut world.store, &mut references).is_ok());
                call.required_fuel()
            }
            Err(CaptureError::BetweenSafepoints { required_fuel }) => required_fuel,
            Err(error) => panic!("{error}"),
        };
        world.store.set_fuel(fuel).unwrap();
        suspended = call.resume(&mut world.store, &mut []);
    }
    assert!(
        matches!(suspended, Ok(ResumableCall::Finished)),
        "{suspended:?}"
    );
    assert!(
        captures > LOCALS && calls > LOCALS / 2,
        "{captures} {calls}"
    );
}
