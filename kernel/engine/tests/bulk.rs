//! Bulk operations in pieces: whatever the slices, the same memory, tables, locals and fuel; suspended in
//! bounded steps; traps before the first byte is written.

mod common;

use common::{Ran, Running, instantiate};
use sos_engine::{TrapCode, Val};

/// Fuel of the largest piece: 64 KiB, 64 bytes for each.
const PIECE_FUEL: u64 = 1024;

/// Two memories and two tables with a pattern in them, and every bulk operation on `(dst, src, len)`; each
/// gives its parameters back, which no suspension may change.
const TEXT: &str = r#"(module
    (memory $m (export "m") 10 10) (memory $n (export "n") 10 10) (memory $l (export "l") i64 10 10)
    (table $t (export "t") 70000 funcref) (table $u (export "u") 70000 funcref)
    (data $d "SEGMENT") (elem $e func ELEMENTS)
    (func $f0) (func $f1) (func $f2)
    (func (export "prepare") (local $i i32)
        (loop $next
            (i32.store $m (local.get $i) (i32.mul (local.get $i) (i32.const 0x9e3779b1)))
            (i64.store $l (i64.extend_i32_u (local.get $i)) (i64.extend_i32_u (i32.mul (local.get $i) (i32.const 77777))))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const 655352))))
        (table.fill $t (i32.const 0) (ref.func $f0) (i32.const 30000))
        (table.fill $t (i32.const 30000) (ref.func $f1) (i32.const 7))
        (table.fill $t (i32.const 40000) (ref.func $f2) (i32.const 29000)))
    (func (export "fill") (param i32 i32 i32) (result i32 i32 i32)
        (memory.fill $m (local.get 0) (local.get 1) (local.get 2)) (local.get 0) (local.get 1) (local.get 2))
    (func (export "copy") (param i32 i32 i32) (result i32 i32 i32)
        (memory.copy $m $m (local.get 0) (local.get 1) (local.get 2)) (local.get 0) (local.get 1) (local.get 2))
    (func (export "across") (param i32 i32 i32) (result i32 i32 i32)
        (memory.copy $n $m (local.get 0) (local.get 1) (local.get 2)) (local.get 0) (local.get 1) (local.get 2))
    (func (export "long") (param i32 i32 i32) (result i32 i32 i32)
        (memory.copy $l $l (i64.extend_i32_u (local.get 0)) (i64.extend_i32_u (local.get 1)) (i64.extend_i32_u (local.get 2)))
        (local.get 0) (local.get 1) (local.get 2))
    (func (export "init") (param i32 i32 i32) (result i32 i32 i32)
        (memory.init $m $d (local.get 0) (local.get 1) (local.get 2)) (local.get 0) (local.get 1) (local.get 2))
    (func (export "table_fill") (param i32 i32 i32) (result i32 i32 i32)
        (table.fill $t (local.get 0) (ref.func $f1) (local.get 2)) (local.get 0) (local.get 1) (local.get 2))
    (func (export "table_copy") (param i32 i32 i32) (result i32 i32 i32)
        (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)) (local.get 0) (local.get 1) (local.get 2))
    (func (export "table_across") (param i32 i32 i32) (result i32 i32 i32)
        (table.copy $u $t (local.get 0) (local.get 1) (local.get 2)) (local.get 0) (local.get 1) (local.get 2))
    (func (export "table_init") (param i32 i32 i32) (result i32 i32 i32)
        (table.init $t $e (local.get 0) (local.get 1) (local.get 2)) (local.get 0) (local.get 1) (local.get 2)))"#;

fn text() -> String {
    let segment: String = (0..200_000)
        .map(|i| char::from(b'A' + (i % 23) as u8))
        .collect();
    let elements = "$f0 $f1 $f2 $f2 $f1 ".repeat(8_000);
    TEXT.replace("SEGMENT", &segment)
        .replace("ELEMENTS", &elements)
}

/// Runs the export `name` with these parameters, in slices of `slice`. The fuel that it asks for at once
/// is at most that of a piece.
fn run(running: &mut Running<()>, name: &str, parameters: [i32; 3], slice: u64) -> Ran {
    let function = running.instance.get_func(&running.store, name).unwrap();
    let ran = running.run_with(function, &parameters.map(Val::I32), 3, slice);
    assert!(ran.most_required <= PIECE_FUEL);
    ran
}

fn bytes(running: &Running<()>, memory: &str) -> Vec<u8> {
    let memory = running.instance.get_memory(&running.store, memory).unwrap();
    memory.data(&running.store).to_vec()
}

/// The elements of a table as text: equal elements have equal text.
fn elements(running: &Running<()>, table: &str) -> Vec<String> {
    let table = running.instance.get_table(&running.store, table).unwrap();
    let element = |index| format!("{:?}", table.get(&running.store, index).unwrap());
    // Each store has its own identity: only what tells elements of one store apart is compared.
    let mut names: Vec<String> = Vec::new();
    let mut numbers = Vec::new();
    for index in 0..table.size(&running.store) {
        let name = element(index);
        let known = names.iter().position(|known| *known == name);
        numbers.push(
            known
                .unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                })
                .to_string(),
        );
    }
    numbers
}

#[test]
fn slices_change_neither_what_is_written_nor_fuel_nor_locals() {
    let cases: [(&str, [i32; 3]); 15] = [
        ("fill", [3, 0x5a, 300_001]),
        ("fill", [655_360, 1, 0]),
        ("copy", [5, 200_003, 300_000]),
        ("copy", [200_003, 5, 300_000]),
        ("copy", [70_001, 70_000, 500_000]),
        ("copy", [70_000, 70_001, 500_000]),
        ("copy", [9, 9, 200_000]),
        ("across", [1, 200_001, 400_000]),
        ("long", [100_000, 3, 555_000]),
        ("init", [17, 1, 199_999]),
        ("table_fill", [5, 0, 69_995]),
        ("table_copy", [1, 20_001, 49_999]),
        ("table_copy", [20_001, 1, 49_999]),
        ("table_across", [100, 20_000, 50_000]),
        ("table_init", [29_000, 1, 39_999]),
    ];
    let text = text();
    for (name, parameters) in cases {
        let mut expected = None;
        for slice in [u64::MAX / 2, 3000, 1] {
            let mut running = instantiate(&text);
            running.run_export("prepare", 0, 10_000_000).result.unwrap();
            let ran = run(&mut running, name, parameters, slice);
            let results = ran.result.unwrap();
            let results: Vec<i32> = results
                .iter()
                .map(|value| match value {
                    Val::I32(value) => *value,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(results, parameters, "{name}: its locals");
            assert!(
                parameters[2] == 0 || slice > 1 || ran.slices > 3,
                "{name}: {}",
                ran.slices
            );
            let memories = ["m", "n", "l"].map(|memory| bytes(&running, memory));
            let tables = ["t", "u"].map(|table| elements(&running, table));
            let found = (ran.fuel, memories, tables);
            let expected = expected.get_or_insert_with(|| found.clone());
            assert!(
                *expected == found,
                "{name} {parameters:?} in slices of {slice}"
            );
        }
    }
}

#[test]
fn copies_are_those_of_the_model() {
    let mut running = instantiate(&text());
    running.run_export("prepare", 0, 10_000_000).result.unwrap();
    let mut model = bytes(&running, "m");
    for (dst, src, len) in [
        (200_003, 5, 300_000),
        (70_000, 70_001, 500_000),
        (70_001, 70_000, 400_000),
    ] {
        run(&mut running, "copy", [dst, src, len], 1)
            .result
            .unwrap();
        let (dst, src, len) = (dst as usize, src as usize, len as usize);
        model.copy_within(src..src + len, dst);
        assert!(bytes(&running, "m") == model, "{dst} {src} {len}");
    }
}

#[test]
fn out_of_bounds_traps_before_anything_is_written() {
    let cases = [
        ("fill", [400_000, 1, 255_361], TrapCode::MemoryOutOfBounds),
        ("fill", [655_361, 1, 0], TrapCode::MemoryOutOfBounds),
        ("copy", [400_000, 0, 255_361], TrapCode::MemoryOutOfBounds),
        ("copy", [0, 400_000, 255_361], TrapCode::MemoryOutOfBounds),
        ("copy", [0, -1, 2], TrapCode::MemoryOutOfBounds),
        ("across", [400_000, 0, 255_361], TrapCode::MemoryOutOfBounds),
        ("across", [0, 655_361, 0], TrapCode::MemoryOutOfBounds),
        ("init", [0, 1, 200_000], TrapCode::MemoryOutOfBounds),
        ("init", [500_000, 0, 155_361], TrapCode::MemoryOutOfBounds),
        ("table_fill", [5, 0, 69_996], TrapCode::TableOutOfBounds),
        ("table_fill", [70_001, 0, 0], TrapCode::TableOutOfBounds),
        (
            "table_copy",
            [1, 20_001, 50_000],
            TrapCode::TableOutOfBounds,
        ),
        ("table_copy", [-1, 0, 1], TrapCode::TableOutOfBounds),
        (
            "table_across",
            [20_001, 1, 50_000],
            TrapCode::TableOutOfBounds,
        ),
        ("table_init", [0, 1, 40_000], TrapCode::TableOutOfBounds),
    ];
    let text = text();
    let mut running = instantiate(&text);
    running.run_export("prepare", 0, 10_000_000).result.unwrap();
    let memories = |running: &Running<()>| ["m", "n"].map(|memory| bytes(running, memory));
    let tables = |running: &Running<()>| ["t", "u"].map(|table| elements(running, table));
    let (memories_before, tables_before) = (memories(&running), tables(&running));
    for (name, parameters, code) in cases {
        let error = run(&mut running, name, parameters, 1).result.unwrap_err();
        assert_eq!(error.as_trap_code(), Some(code), "{name} {parameters:?}");
        assert!(
            memories(&running) == memories_before,
            "{name} {parameters:?}"
        );
    }
    assert!(tables(&running) == tables_before);
}
