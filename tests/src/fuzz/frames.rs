//! Canonical frames and stores of any values, restored into an engine (target `frames`).
//!
//! What is restored is what was told: a capture of it tells the same. Then it runs, to an end, a trap or the end
//! of its fuel.

use super::cycles::{Program, World};
use super::mutate;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use sos_engine::frames::{CallStack, CaptureError, Frame, Restored};
use sos_engine::state::{
    FunctionRef, Member, References, Run, StateError, StoreState, TableState, Value,
};
use sos_engine::{Error, Func, ResumableCall, Segments, Val};
use std::collections::BTreeSet;

/// Slices for which a restored program runs, and the fuel of each.
const SLICES: usize = 6;
const FUEL: u64 = 3_000;

/// Calls of every kind, across modules; every kind of safepoint; operands of every type.
const LIBRARY: &str = r#"(module
    (import "host" "ask" (func $ask (param i32) (result i32)))
    (table (export "table") 8 20 funcref) (memory (export "memory") 2 3) (memory $other i64 1 2)
    (global $depth (export "depth") (mut i32) (i32.const 3)) (global (mut v128) (v128.const i64x2 8 9))
    (global (mut externref) (ref.null extern))
    (data $text "some bytes") (elem $passive funcref (ref.func $leaf) (ref.null func))
    (table $objects 3 9 externref)
    (func $leaf (export "leaf") (param i32) (result i32) (return_call $ask (local.get 0)))
    (func $two (export "two") (param i32 f32) (result f32 i32)
        (memory.init $text (i32.const 8) (i32.const 0) (i32.const 9))
        (memory.copy $other 0 (i64.const 5) (i32.const 0) (i32.const 300))
        (table.init $passive (i32.const 0) (i32.const 0) (i32.const 2))
        (table.fill $objects (i32.const 0) (table.get $objects (i32.const 1)) (i32.const 2))
        (f32.neg (local.get 1)) (call $leaf (local.get 0)))
    (func (export "rounds") (param $n i32) (result i64) (local $sum i64) (local v128 externref f64)
        (loop $again
            (memory.fill (i32.const 0) (local.get $n) (i32.const 66000))
            (call $two (local.get $n) (f32.const 1.25)) (drop) (drop)
            (block $a (block $b (block $c
                (br_table $a $b $c (i32.and (local.get $n) (i32.const 3))))
                (local.set $sum (i64.add (local.get $sum) (i64.const 1))))
                (local.set 2 (i32x4.splat (local.get $n))))
            (local.set $sum (i64.xor (local.get $sum) (i64.extend_i32_u (local.get $n))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;
const MAIN: &str = r#"(module
    (import "m0" "leaf" (func $leaf (param i32) (result i32)))
    (import "m0" "two" (func $two (param i32 f32) (result f32 i32)))
    (import "m0" "rounds" (func $rounds (param i32) (result i64)))
    (import "m0" "table" (table 8 funcref)) (import "m0" "memory" (memory 2))
    (import "m0" "depth" (global $depth (mut i32)))
    (type $unary (func (param i32) (result i32)))
    (elem (i32.const 2) $leaf $nest $choose $start)
    (global $own (mut funcref) (ref.func $nest))
    (func $start (global.set $depth (i32.const 4)))
    (func $nest (param i32) (result i32) (local i64 v128 f64 funcref)
        (local.set 1 (i64.const -5)) (local.set 4 (ref.func $choose))
        (i64.const 77) (v128.const i32x4 1 2 3 4) (local.get 4)
        (if (param funcref) (result i32) (i32.eqz (local.get 0))
            (then (drop) (call $leaf (i32.const 12)))
            (else (drop) (call_indirect (type $unary) (i32.sub (local.get 0) (i32.const 1)) (i32.const 3))))
        (i32.const 2) (i32.mul) (local.set 0) (drop) (drop) (local.get 0))
    (func $choose (param i32) (result i32)
        (if (local.get 0) (then (global.set $own (ref.null func))))
        (loop $more (param) (result i32)
            (call $two (local.get 0) (f32.const 4)) (local.set 0) (drop)
            (br_if $more (i32.gt_u (local.get 0) (i32.const 2))) (local.get 0)))
    (func (export "run") (result i32)
        (call $nest (global.get $depth)) (i32.wrap_i64 (call $rounds (i32.const 3)))
        (call $choose (i32.const 5)) (i32.add) (i32.add)
        (return_call_indirect (type $unary) (i32.const 2))))"#;

/// What is tried: what a store holds, and what it is in the midst of.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Scene {
    /// None: as the modules begin.
    store: Option<StoreState>,
    /// The call.
    stack: CallStack,
}

/// Restores a scene from its bytes and lets it run.
///
/// # Panics
/// When what was restored is not what was told.
pub fn run(bytes: &[u8]) {
    if let Ok((scene, [])) = postcard::take_from_bytes::<Scene>(bytes) {
        try_scene(&scene);
    }
}

/// Whether all of a scene is restored; what is runs for a while.
fn try_scene(scene: &Scene) -> bool {
    let segments = match scene.store {
        Some(_) => Segments::Skipped,
        None => Segments::Applied,
    };
    let mut world = Program::new(&[LIBRARY, MAIN]).world(segments);
    let mut references = world.references();
    if let Some(state) = &scene.store {
        match restore_store(&mut world, state) {
            Ok(restored) => references = restored,
            Err(_) => return false,
        }
    }
    let Ok(restored) = scene.stack.restore(&mut world.store, &mut references) else {
        return false;
    };
    let again = capture(&world, &references, &restored).expect("restored a moment ago");
    let mut told = scene.stack.clone();
    rename_stack(&mut told, &|name| own_name(&world, &references, name));
    assert_eq!(again, told);
    let Some(root) = references.function(&world.store, scene.stack.root) else {
        panic!("the root that was restored is not there");
    };
    let mut restored = Some(restored);
    for _ in 0..SLICES {
        restored = restored.and_then(|call| advance(&mut world, root, call, FUEL).ok()?);
    }
    true
}

fn members(world: &World) -> Vec<Member<'_>> {
    let pairs = world.modules.iter().zip(&world.instances);
    let member = |(module, instance): (_, &sos_engine::Instance)| Member {
        module,
        instance: Some(*instance),
    };
    pairs.map(member).collect()
}

/// Restores what the store holds; what it holds then is what was told.
fn restore_store(world: &mut World, state: &StoreState) -> Result<References, StateError> {
    let modules = world.modules.clone();
    let pairs = modules.iter().zip(world.instances.clone());
    let member = |(module, instance)| Member {
        module,
        instance: Some(instance),
    };
    let set: Vec<Member<'_>> = pairs.map(member).collect();
    let references = state.restore(&mut world.store, &set)?;
    let again = StoreState::capture(&world.store, &set).expect("restored a moment ago");
    let mut told = state.clone();
    normalise(&mut told, &|name| own_name(world, &references, name));
    assert_eq!(again, told);
    Ok(references)
}

/// The name of a function where it is defined: a module may also call it by its import.
fn own_name(world: &World, references: &References, name: FunctionRef) -> FunctionRef {
    let function = references.function(&world.store, name);
    let own = function.and_then(|function| references.name_of(&world.store, &function));
    own.expect("a name that was restored")
}

fn rename(value: &mut Value, own_name: &impl Fn(FunctionRef) -> FunctionRef) {
    if let Value::Function(Some(name)) = value {
        *name = own_name(*name);
    }
}

/// The call as a capture tells it.
fn rename_stack(stack: &mut CallStack, own_name: &impl Fn(FunctionRef) -> FunctionRef) {
    stack.root = own_name(stack.root);
    stack.host_call = stack.host_call.map(own_name);
    let mut frames: Vec<Frame> = (&stack.frames).into();
    for frame in &mut frames {
        frame.function = own_name(frame.function);
        let values = frame.locals.iter_mut().chain(&mut frame.operands);
        values.for_each(|value| rename(value, own_name));
    }
    stack.frames = frames.into();
}

/// A state as a capture tells it: equal elements of tables together, segments in order.
fn normalise(state: &mut StoreState, own_name: &impl Fn(FunctionRef) -> FunctionRef) {
    fn together<E: PartialEq>(runs: &mut Vec<Run<E>>) {
        runs.retain(|run| run.count > 0);
        runs.dedup_by(|next, first| {
            let equal = next.element == first.element;
            first.count += if equal { next.count } else { 0 };
            equal
        });
    }
    for module in state.modules.iter_mut().flatten() {
        let globals = module.globals.iter_mut();
        globals.for_each(|global| rename(global, own_name));
        for table in &mut module.tables {
            match table {
                TableState::Functions(runs) => {
                    let elements = runs.iter_mut().filter_map(|run| run.element.as_mut());
                    elements.for_each(|name| *name = own_name(*name));
                    together(runs);
                }
                TableState::Externals(runs) => together(runs),
            }
        }
        module.dropped_elements.sort_unstable();
        module.dropped_data.sort_unstable();
    }
}

fn capture(
    world: &World,
    references: &References,
    call: &Restored,
) -> Result<CallStack, CaptureError> {
    match call {
        Restored::OutOfFuel(call) => call.capture(&world.store, references),
        Restored::HostCall(call) => call.capture(&world.store, references),
    }
}

/// One slice of a call of `root`; none when it has come to its end.
fn advance(
    world: &mut World,
    root: Func,
    call: Restored,
    fuel: u64,
) -> Result<Option<Restored>, Error> {
    let defaults = |types: &[sos_engine::ValType]| -> Vec<Val> {
        types.iter().map(|ty| Val::default_for_ty(*ty)).collect()
    };
    let mut outputs = defaults(root.ty(&world.store).results());
    world.store.set_fuel(fuel)?;
    let next = match call {
        Restored::OutOfFuel(call) => call.resume(&mut world.store, &mut outputs),
        Restored::HostCall(call) => {
            let answers = defaults(call.host_func().ty(&world.store).results());
            call.resume(&mut world.store, &answers, &mut outputs)
        }
    };
    next.map(suspended)
}

fn suspended(call: ResumableCall) -> Option<Restored> {
    match call {
        ResumableCall::OutOfFuel(call) => Some(Restored::OutOfFuel(call)),
        ResumableCall::HostTrap(call) => Some(Restored::HostCall(call)),
        ResumableCall::Finished => None,
    }
}

/// Another scene like this one.
pub fn other(bytes: &[u8], seed: u64) -> Vec<u8> {
    mutate::data::<Scene>(bytes, &mut SmallRng::seed_from_u64(seed))
}

/// Scenes that the program really has: one for each place where it can be.
///
/// # Panics
/// When the program does not run.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut world = Program::new(&[LIBRARY, MAIN]).world(Segments::Applied);
    let root = world.export("run");
    world.store.set_fuel(1).expect("metered");
    let mut outputs = [Val::I32(0)];
    let call = root.call_resumable(&mut world.store, &[], &mut outputs);
    let mut call = suspended(call.expect("a start"));
    let (mut seeds, mut places) = (Vec::new(), BTreeSet::new());
    while let Some(now) = call {
        let mut fuel = 1;
        match capture(&world, &world.references(), &now) {
            Ok(stack) => {
                let innermost = stack.frames.iter().next_back();
                let place = innermost.map(|frame| (frame.function, frame.operator, frame.at));
                if places.insert((format!("{place:?}"), stack.host_call.is_some())) {
                    let store = StoreState::capture(&world.store, &members(&world));
                    let store = Some(store.expect("a store of the set"));
                    let scene = Scene { store, stack };
                    seeds.push(postcard::to_allocvec(&scene).expect("plain data"));
                }
            }
            Err(CaptureError::BetweenSafepoints { required_fuel }) => fuel = required_fuel,
            Err(error) => panic!("{error}"),
        }
        if let Restored::OutOfFuel(waiting) = &now {
            fuel = fuel.max(waiting.required_fuel());
        }
        // Where a host call is all that is left of it, it ends with the call.
        call = advance(&mut world, root, now, fuel).ok().flatten();
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genuine_scenes_are_restored_and_many_others_too() {
        let scene = |bytes: &[u8]| postcard::from_bytes::<Scene>(bytes).ok();
        let seeds = seeds();
        assert!(seeds.len() > 12, "{} places", seeds.len());
        assert!(seeds.iter().all(|seed| try_scene(&scene(seed).unwrap())));
        let others = (0..).zip(seeds.iter().cycle()).take(400);
        let others = others.filter_map(|(number, seed)| scene(&other(seed, number)));
        let restored = others.filter(try_scene).count();
        assert!(
            (20..380).contains(&restored),
            "{restored} of 400 are restored"
        );
    }
}
