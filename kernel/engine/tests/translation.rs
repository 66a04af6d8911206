//! Translation in steps gives what translation in one go gives: the same programs, the same errors.

mod common;

use common::{engine, instantiate_with};
use sos_engine::{Engine, Error, GuestMemory, Module, Translation, Upcoming, Val};

/// Uses each section, nested blocks, tables of branches, vectors, locals and segments of all kinds.
const PROGRAM: &str = r#"(module
    (type $unary (func (param i64) (result i64)))
    (memory 1 2) (table 4 funcref) (global $count (mut i64) (i64.const 5))
    (data (i32.const 8) "active") (data $passive "passive bytes")
    (elem (i32.const 0) $twice $count_down) (elem $late func $twice)
    (func $twice (type $unary) (i64.add (local.get 0) (local.get 0)))
    (func $count_down (type $unary) (local $sum i64)
        (block $out (loop $next
            (br_if $out (i64.eqz (local.get 0)))
            (local.set $sum (i64.add (local.get $sum) (local.get 0)))
            (local.set 0 (i64.sub (local.get 0) (i64.const 1)))
            (br $next)))
        (local.get $sum))
    (func $choose (param i32) (result i64)
        (block $a (block $b (block $c (br_table $a $b $c (local.get 0)))
            (return (i64.const 30))) (return (i64.const 20)))
        (i64.const 10))
    (func $start (global.set $count (i64.const 7))) (start $start)
    (func (export "run") (result i64) (local $v v128)
        (memory.init $passive (i32.const 100) (i32.const 0) (i32.const 7))
        (local.set $v (v128.load (i32.const 96)))
        (i64.add (i64x2.extract_lane 0 (local.get $v))
            (i64.add (call_indirect (type $unary) (i64.const 100) (i32.const 1))
                (i64.add (call $choose (i32.const 1))
                    (i64.add (global.get $count) (i64.load (i32.const 8))))))))"#;

/// Translates in steps of `budget` bytes; how many there were.
fn in_steps(engine: &Engine, wasm: &[u8], budget: usize) -> (Result<Module, Error>, usize) {
    let mut translation = Translation::new(engine);
    for steps in 1.. {
        let before = translation.position();
        match translation.step(wasm, budget) {
            Ok(Some(module)) => return (Ok(module), steps),
            Ok(None) => assert!(translation.position() >= before, "it goes forward"),
            Err(error) => return (Err(error), steps),
        }
    }
    unreachable!()
}

/// What `run` returns, and the fuel that it took.
fn outcome(engine: &Engine, module: &Module) -> (Val, u64) {
    let memories = vec![GuestMemory::zeroed(2 * 65_536)];
    let mut running = instantiate_with(engine, module, (), |_| Vec::new(), memories);
    let start = running.start.take().unwrap();
    running.run(start, 0, 1000).result.unwrap();
    let ran = running.run_export("run", 1, 50);
    (ran.result.unwrap()[0].clone(), ran.fuel)
}

#[test]
fn steps_of_any_size_give_the_same_program_for_the_same_fuel() {
    let wasm = wat::parse_str(PROGRAM).unwrap();
    let whole = engine();
    let module = Module::new(&whole, &wasm).unwrap();
    let (value, fuel) = outcome(&whole, &module);
    let mut counts = Vec::new();
    for budget in [1, 2, 17, 1_000_000] {
        let engine = engine();
        let (stepped, steps) = in_steps(&engine, &wasm, budget);
        let stepped = stepped.unwrap();
        let (stepped_value, stepped_fuel) = outcome(&engine, &stepped);
        assert_eq!(format!("{stepped_value:?}"), format!("{value:?}"));
        assert_eq!(stepped_fuel, fuel, "nothing is translated while it runs");
        assert_eq!(stepped.translated_bytes(), module.translated_bytes());
        counts.push(steps);
    }
    assert!(
        counts.is_sorted_by(|more, fewer| more > fewer),
        "{counts:?}"
    );
    assert!(
        counts[0] > 3 * counts[3],
        "operators are left and entered again: {counts:?}"
    );
}

#[test]
fn what_is_wrong_is_told_in_the_same_words() {
    let good = wat::parse_str(PROGRAM).unwrap();
    let text = |result: Result<(), Error>| result.map_err(|error| error.to_string());
    let mut refused = 0;
    for at in 8..good.len() {
        for flip in [0x01, 0x10, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let whole = Module::new(&engine(), &bad).map(|_| ());
            let (stepped, _) = in_steps(&engine(), &bad, 3);
            refused += usize::from(whole.is_err());
            assert_eq!(
                text(stepped.map(|_| ())),
                text(whole),
                "byte {at} ^ {flip:#x}"
            );
        }
    }
    for length in 0..good.len() {
        let whole = Module::new(&engine(), &good[..length]).map(|_| ());
        let (stepped, _) = in_steps(&engine(), &good[..length], 3);
        assert_eq!(text(stepped.map(|_| ())), text(whole), "{length} bytes");
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn what_comes_next_is_named_before_it_is_begun() {
    let wasm = wat::parse_str(PROGRAM).unwrap();
    let engine = engine();
    let mut translation = Translation::new(&engine);
    let (mut functions, mut data) = (Vec::new(), 0);
    loop {
        match translation.upcoming(&wasm) {
            Upcoming::Function(index, range) => {
                assert_eq!(wasm[range.end - 1], 0x0b, "a body ends with `end`");
                functions.push(index);
            }
            Upcoming::Data(range) => data += range.len(),
            Upcoming::Types(_) | Upcoming::Section(_) | Upcoming::Rest => {}
        }
        if translation.step(&wasm, usize::MAX).unwrap().is_some() {
            break;
        }
    }
    assert_eq!(functions, [0, 1, 2, 3, 4]);
    assert!(data > "activepassive bytes".len());
    assert!(translation.step(&wasm, 1).is_err(), "it is over");
}
