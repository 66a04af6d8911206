//! A store's state as plain data: everything comes back in another store, and nothing false is believed.

mod common;

use common::{Running, engine, instantiate_with};
use sos_engine::state::{
    FunctionRef, Item, Member, ModuleState, Problem, Run, StateError, StoreState, TableState, Value,
};
use sos_engine::{
    Engine, Error, Extern, ExternRef, Func, FuncType, GuestMemory, Instance, Module, Nullable,
    Segments, Store, Val,
};

/// A library with something of every kind that nothing exports, and a way to change it all.
const LIBRARY: &str = r#"(module
    (import "host" "f" (func $host))
    (memory $m 1 3) (memory $n 2)
    (global $i (mut i32) (i32.const 1)) (global $c i64 (i64.const 9)) (global $l (mut i64) (i64.const 2))
    (global $f (mut f32) (f32.const 3)) (global $d (mut f64) (f64.const 4))
    (global $v (mut v128) (v128.const i64x2 5 6))
    (global $r (mut funcref) (ref.null func)) (global $x (mut externref) (ref.null extern))
    (table $t (export "table") 4 20 funcref) (table $e 2 externref)
    (elem $active (table $t) (i32.const 1) func $one $host) (elem $kept func $one) (elem $gone func $one $one)
    (elem declare func $two)
    (data $first (memory $m) (i32.const 0) "active") (data $here "here") (data $away "away")
    (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
    (func (export "change") (param externref)
        (global.set $i (i32.const -7)) (global.set $l (i64.const -8)) (global.set $f (f32.const nan:0x200001))
        (global.set $d (f64.const -0.5)) (global.set $v (v128.const i64x2 -1 77))
        (global.set $r (ref.func $two)) (global.set $x (local.get 0))
        (drop (table.grow $t (ref.func $two) (i32.const 3)))
        (table.set $e (i32.const 1) (local.get 0))
        (drop (memory.grow $m (i32.const 2)))
        (elem.drop $gone) (data.drop $away))
    (func (export "sum") (result i64)
        (i64.add (global.get $l) (i64.add (i64x2.extract_lane 1 (global.get $v))
            (i64.extend_i32_u (i32.add (memory.size $m) (i32.add (memory.size $n) (i32.add (table.size $t)
                (i32.add (i32.reinterpret_f32 (global.get $f)) (global.get $i)))))))))
    (func (export "call") (param i32) (result i32) (call_indirect $t (result i32) (local.get 0)))
    (func (export "second") (result externref) (table.get $e (i32.const 1)))
    (func (export "kept") (table.init $t $kept (i32.const 0) (i32.const 0) (i32.const 1))
        (memory.init $m $here (i32.const 0) (i32.const 0) (i32.const 4)))
    (func (export "gone") (table.init $t $gone (i32.const 0) (i32.const 0) (i32.const 1)))
    (func (export "away") (memory.init $m $away (i32.const 0) (i32.const 0) (i32.const 1))))"#;

/// A program that puts a function of its own into the library's table.
const PROGRAM: &str = r#"(module
    (import "lib" "table" (table $t 4 funcref))
    (elem (table $t) (i32.const 3) func $own)
    (func $own (result i32) (i32.const 3)))"#;

struct Set {
    store: Store<()>,
    modules: Vec<Module>,
    instances: Vec<Instance>,
}

fn compile(engine: &Engine, text: &str) -> Module {
    Module::new(engine, wat::parse_str(text).unwrap()).unwrap()
}

/// The program and its library in a new store of a new engine.
fn make(segments: Segments) -> Set {
    let engine = engine();
    let (library, program) = (compile(&engine, LIBRARY), compile(&engine, PROGRAM));
    let mut store = Store::new(&engine, ());
    let host = Func::from_cells(&mut store, &FuncType::new([], []), |_, _| Ok(0));
    let memories = || vec![GuestMemory::zeroed(3 << 16), GuestMemory::zeroed(2 << 16)];
    let imports = vec![Extern::Func(host)];
    let (lib, _) = store
        .instantiate(&library, imports, memories(), segments)
        .unwrap();
    let table = vec![lib.get_export(&store, "table").unwrap()];
    let (main, _) = store
        .instantiate(&program, table, Vec::new(), segments)
        .unwrap();
    Set {
        store,
        modules: vec![program, library],
        instances: vec![main, lib],
    }
}

impl Set {
    fn members(&self) -> Vec<Member<'_>> {
        let members = self.modules.iter().zip(&self.instances);
        let member = |(module, instance): (_, &Instance)| Member {
            module,
            instance: Some(*instance),
        };
        members.map(member).collect()
    }

    fn capture(&self) -> StoreState {
        StoreState::capture(&self.store, &self.members()).unwrap()
    }

    fn restore(&mut self, state: &StoreState) -> Result<(), StateError> {
        let (modules, instances) = (self.modules.clone(), self.instances.clone());
        let members = modules.iter().zip(&instances);
        let member = |(module, instance): (_, &Instance)| Member {
            module,
            instance: Some(*instance),
        };
        let members: Vec<_> = members.map(member).collect();
        state.restore(&mut self.store, &members).map(drop)
    }

    fn call(&mut self, name: &str, arguments: &[Val], results: usize) -> Result<Vec<Val>, Error> {
        let mut outputs = vec![Val::I32(0); results];
        self.store.set_fuel(1_000_000).unwrap();
        let function = self.instances[1].get_func(&self.store, name).unwrap();
        function.call(&mut self.store, arguments, &mut outputs)?;
        Ok(outputs)
    }

    fn change(&mut self) {
        let object = ExternRef::new(&mut self.store, 4711_u32);
        self.call("change", &[Val::ExternRef(Nullable::Val(object))], 0)
            .unwrap();
    }
}

fn changed() -> StoreState {
    let mut set = make(Segments::Applied);
    set.change();
    set.capture()
}

#[test]
fn everything_comes_back_in_another_store() {
    let mut before = make(Segments::Applied);
    before.change();
    let state = before.capture();
    let bytes = postcard::to_allocvec(&state).unwrap();
    let state: StoreState = postcard::from_bytes(&bytes).unwrap();
    let mut after = make(Segments::Skipped);
    after.restore(&state).unwrap();
    assert_eq!(after.capture(), state);
    for set in [&mut before, &mut after] {
        let sum = set.call("sum", &[], 1).unwrap();
        let parts = 3 + 2 + 7 + 0x7fa0_0001 - 7;
        assert!(
            matches!(sum[0], Val::I64(sum) if sum == -8 + 77 + parts),
            "{sum:?}"
        );
        for (index, value) in [(1, 1), (3, 3), (4, 2), (6, 2)] {
            let called = set.call("call", &[Val::I32(index)], 1).unwrap();
            assert!(
                matches!(called[0], Val::I32(found) if found == value),
                "{index}: {called:?}"
            );
        }
        let object = set.call("second", &[], 1).unwrap();
        let Val::ExternRef(Nullable::Val(object)) = object[0] else {
            panic!("{object:?}")
        };
        assert_eq!(object.data(&set.store).downcast_ref(), Some(&4711_u32));
        set.call("kept", &[], 0).unwrap();
        set.call("gone", &[], 0).unwrap_err();
        set.call("away", &[], 0).unwrap_err();
    }
}

#[test]
fn the_state_names_what_it_holds() {
    let state = changed();
    let function = |module, function| Some(FunctionRef { module, function });
    let run = |count, element| Run { count, element };
    assert_eq!(state.modules.len(), 2);
    let program = state.modules[0].as_ref().unwrap();
    assert_eq!(program.tables, [], "what it imports is told by the library");
    let library = state.modules[1].as_ref().unwrap();
    let expected = ModuleState {
        globals: vec![
            Value::I32(-7_i32 as u32),
            Value::I64(-8_i64 as u64),
            Value::F32(0x7fa0_0001),
            Value::F64((-0.5_f64).to_bits()),
            Value::V128((77 << 64) | u128::from(u64::MAX)),
            Value::Function(function(1, 2)),
            Value::External(Some(4711)),
        ],
        tables: vec![
            TableState::Functions(vec![
                run(1, None),
                run(1, function(1, 1)),
                run(1, function(1, 0)),
                run(1, function(0, 0)),
                run(3, function(1, 2)),
            ]),
            TableState::Externals(vec![
                Run {
                    count: 1,
                    element: None,
                },
                Run {
                    count: 1,
                    element: Some(4711),
                },
            ]),
        ],
        memory_pages: vec![3, 2],
        dropped_elements: vec![2],
        dropped_data: vec![2],
    };
    assert_eq!(library, &expected);
}

#[test]
fn what_does_not_fit_is_refused_and_named() {
    let function = |module, function| Some(FunctionRef { module, function });
    type Change = fn(&mut ModuleState);
    let cases: [(Change, Item, u32, Problem); 14] = [
        (
            |state| state.globals.truncate(6),
            Item::Global,
            0,
            Problem::Count { found: 7, told: 6 },
        ),
        (
            |state| state.globals[1] = Value::I32(1),
            Item::Global,
            1,
            Problem::Type,
        ),
        (
            |state| state.globals[5] = Value::External(None),
            Item::Global,
            5,
            Problem::Type,
        ),
        (
            |state| {
                state.globals[5] = Value::Function(Some(FunctionRef {
                    module: 1,
                    function: 10,
                }))
            },
            Item::Global,
            5,
            Problem::Function(function(1, 10).unwrap()),
        ),
        (
            |state| state.tables.truncate(1),
            Item::Table,
            0,
            Problem::Count { found: 2, told: 1 },
        ),
        (
            |state| state.tables.swap(0, 1),
            Item::Table,
            0,
            Problem::Type,
        ),
        (
            |state| {
                state.tables[0] = TableState::Functions(vec![Run {
                    count: 3,
                    element: None,
                }])
            },
            Item::Table,
            0,
            Problem::Size {
                told: 3,
                least: 4,
                most: 20,
            },
        ),
        (
            |state| {
                let run = Run {
                    count: u64::MAX,
                    element: None,
                };
                state.tables[0] = TableState::Functions(vec![run, run]);
            },
            Item::Table,
            0,
            Problem::Size {
                told: u64::MAX,
                least: 4,
                most: 20,
            },
        ),
        (
            |state| {
                state.tables[1] = TableState::Externals(vec![Run {
                    count: 1 << 40,
                    element: None,
                }])
            },
            Item::Table,
            1,
            Problem::Limit { told: 1 << 40 },
        ),
        (
            |state| {
                let element = Some(FunctionRef {
                    module: 7,
                    function: 0,
                });
                state.tables[0] = TableState::Functions(vec![Run { count: 20, element }]);
            },
            Item::Table,
            0,
            Problem::Function(function(7, 0).unwrap()),
        ),
        (
            |state| state.memory_pages[1] = 3,
            Item::Memory,
            1,
            Problem::Size {
                told: 3,
                least: 2,
                most: 2,
            },
        ),
        (
            |state| state.memory_pages[0] = 0,
            Item::Memory,
            0,
            Problem::Size {
                told: 0,
                least: 1,
                most: 3,
            },
        ),
        (
            |state| state.dropped_data.push(0),
            Item::DataSegment,
            0,
            Problem::Segment,
        ),
        (
            |state| state.dropped_elements = vec![2, 2],
            Item::ElementSegment,
            2,
            Problem::Segment,
        ),
    ];
    for (change, item, index, problem) in cases {
        let mut state = changed();
        change(state.modules[1].as_mut().unwrap());
        let expected = StateError {
            module: 1,
            item,
            index,
            problem,
        };
        let found = make(Segments::Skipped).restore(&state).unwrap_err();
        assert_eq!(found, expected, "{found}");
    }
    let mut state = changed();
    state.modules[0] = None;
    let error = make(Segments::Skipped).restore(&state).unwrap_err();
    assert_eq!((error.module, error.problem), (0, Problem::Presence));
    state.modules.pop();
    let error = make(Segments::Skipped).restore(&state).unwrap_err();
    assert_eq!(error.problem, Problem::Count { found: 2, told: 1 });
}

#[test]
fn a_reference_out_of_the_set_is_not_captured() {
    let mut set = make(Segments::Applied);
    let stranger = ExternRef::new(&mut set.store, "no number");
    set.call("change", &[Val::ExternRef(Nullable::Val(stranger))], 0)
        .unwrap();
    let error = StoreState::capture(&set.store, &set.members()).unwrap_err();
    let expected = StateError {
        module: 1,
        item: Item::Global,
        index: 6,
        problem: Problem::Foreign,
    };
    assert_eq!(error, expected);
    // The library alone: its table refers to a function of the program.
    let alone = [Member {
        module: &set.modules[1],
        instance: Some(set.instances[1]),
    }];
    let error = StoreState::capture(&set.store, &alone).unwrap_err();
    assert_eq!(error.problem, Problem::Foreign);
}

#[test]
fn a_table_that_grew_before_its_segments_fit_comes_back() {
    let engine = engine();
    let library = compile(
        &engine,
        r#"(module (table (export "table") 1 funcref)
            (func (export "grow") (drop (table.grow (ref.null func) (i32.const 9)))))"#,
    );
    let text = r#"(module (import "lib" "table" (table 1 funcref)) (elem (i32.const 8) func $f) (func $f))"#;
    let program = compile(&engine, text);
    let mut running: Running<()> =
        instantiate_with(&engine, &library, (), |_| Vec::new(), Vec::new());
    running.run_export("grow", 0, 1000).result.unwrap();
    let table = running
        .instance
        .get_export(&running.store, "table")
        .unwrap();
    let made = running
        .store
        .instantiate(&program, vec![table], Vec::new(), Segments::Applied);
    let members = [
        Member {
            module: &program,
            instance: Some(made.unwrap().0),
        },
        Member {
            module: &library,
            instance: Some(running.instance),
        },
    ];
    let state = StoreState::capture(&running.store, &members).unwrap();
    let mut store = Store::new(&engine, ());
    let (lib, _) = store
        .instantiate(&library, Vec::new(), Vec::new(), Segments::Skipped)
        .unwrap();
    let table = lib.get_export(&store, "table").unwrap();
    let (main, _) = store
        .instantiate(&program, vec![table], Vec::new(), Segments::Skipped)
        .unwrap();
    let members = [
        Member {
            module: &program,
            instance: Some(main),
        },
        Member {
            module: &library,
            instance: Some(lib),
        },
    ];
    state.restore(&mut store, &members).unwrap();
    assert_eq!(StoreState::capture(&store, &members).unwrap(), state);
}
