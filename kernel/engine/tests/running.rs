//! Running in slices: fuel, long loops on a small native stack, recursion, start functions, and
//! host calls that suspend. The expected values are the same for both dispatchers.

mod common;

use common::{Running, engine, instantiate, instantiate_with};
use sos_engine::{
    Error, Extern, ExternType, Func, GuestMemory, Module, ResumableCall, TrapCode, Val,
    errors::ErrorKind,
};

/// A mixing loop of `$rounds`, about 20 operators each: integers, floats, memory, a call and
/// an indirect call. The two results are checksums.
const MIXER: &str = r#"(module
    (memory 1) (table funcref (elem $odd $even))
    (func $odd (param i64) (result i64) (i64.xor (local.get 0) (i64.const 0x5555)))
    (func $even (param i64) (result i64) (i64.rotl (local.get 0) (i64.const 7)))
    (func (export "mix") (result i64 f64)
        (local $i i32) (local $x i64) (local $f f64)
        (local.set $x (i64.const 88172645463325252))
        (loop $next
            (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
            (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
            (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
            (local.set $x (call_indirect (param i64) (result i64)
                (local.get $x) (i32.and (local.get $i) (i32.const 1))))
            (i64.store (i32.and (local.get $i) (i32.const 0xfff8)) (local.get $x))
            (local.set $f (f64.add (f64.mul (local.get $f) (f64.const 0.5))
                (f64.convert_i32_u (i32.load16_u (i32.and (local.get $i) (i32.const 0xfff8))))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const ROUNDS))))
        (local.get $x) (local.get $f)))"#;

/// The same in Rust, as the oracle.
fn mix(rounds: u32) -> (i64, f64) {
    let mut memory = vec![0_u64; 8192];
    let (mut x, mut f) = (88_172_645_463_325_252_u64, 0.0_f64);
    for i in 0..rounds {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x = if i & 1 == 0 {
            x ^ 0x5555
        } else {
            x.rotate_left(7)
        };
        let cell = (i & 0xfff8) as usize / 8;
        memory[cell] = x;
        f = f * 0.5 + f64::from(memory[cell] as u16);
    }
    (x as i64, f)
}

/// Runs `body` on a thread whose stack is 128 KiB.
fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(body)
        .unwrap();
    thread.join().unwrap();
}

#[test]
fn long_loops_do_not_grow_the_native_stack() {
    const ROUNDS: u32 = 2_000_000;
    let mut running = instantiate(&MIXER.replace("ROUNDS", &ROUNDS.to_string()));
    let function = running.instance.get_func(&running.store, "mix").unwrap();
    on_a_small_stack(move || {
        // One slice: nothing comes back to the host in between.
        let ran = running.run(function, 2, u64::MAX / 2);
        assert_eq!(ran.slices, 1);
        assert!(ran.fuel > 20_000_000, "fuel: {}", ran.fuel);
        let (x, f) = mix(ROUNDS);
        let results = ran.result.unwrap();
        assert!(
            matches!(results[0], Val::I64(value) if value == x),
            "{results:?}"
        );
        assert!(matches!(results[1], Val::F64(value) if value.to_bits() == f.to_bits()));
    });
}

#[test]
fn slices_change_neither_result_nor_fuel() {
    let text = MIXER.replace("ROUNDS", "5000");
    let (x, f) = mix(5000);
    let mut fuel = Vec::new();
    for slice in [1, 7, 1000, 1_000_000] {
        let ran = instantiate(&text).run_export("mix", 2, slice);
        let results = ran.result.unwrap();
        assert!(
            matches!(results[0], Val::I64(value) if value == x),
            "{results:?}"
        );
        assert!(matches!(results[1], Val::F64(value) if value.to_bits() == f.to_bits()));
        assert!(slice > 1000 || ran.slices > 10);
        fuel.push(ran.fuel);
    }
    assert!(fuel.iter().all(|amount| *amount == fuel[0]), "{fuel:?}");
}

#[test]
fn a_table_grow_out_of_fuel_is_resumed_once() {
    let mut running = instantiate(
        r#"(module (table 1 funcref)
            (func (export "grow") (result i32)
                (drop (table.grow (ref.null func) (i32.const 1000)))
                (drop (table.grow (ref.null func) (i32.const 5000)))
                (table.size)))"#,
    );
    // Less than the operation costs, so that it is refused, granted and executed again.
    let ran = running.run_export("grow", 1, 3);
    assert!(matches!(ran.result.unwrap()[0], Val::I32(6001)));
    assert!(ran.slices > 1 && ran.slices < 20, "slices: {}", ran.slices);
}

#[test]
fn bulk_operations_out_of_fuel_are_resumed() {
    let mut running = instantiate(
        r#"(module (memory 2 4) (data $d "abcdefgh")
            (table $t 200 funcref) (func $f) (elem $e func $f $f $f $f $f $f $f $f $f $f)
            (func (export "bulk") (result i32)
                (memory.init $d (i32.const 0) (i32.const 0) (i32.const 8))
                (memory.fill (i32.const 8) (i32.const 3) (i32.const 65536))
                (memory.copy (i32.const 70000) (i32.const 0) (i32.const 60000))
                (table.fill $t (i32.const 20) (ref.func $f) (i32.const 100))
                (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 10))
                (table.copy $t $t (i32.const 100) (i32.const 0) (i32.const 90))
                (drop (memory.grow (i32.const 1)))
                (i32.add (memory.size) (i32.load8_u (i32.const 70009)))))"#,
    );
    let ran = running.run_export("bulk", 1, 3);
    assert!(matches!(ran.result.unwrap()[0], Val::I32(6)));
    assert!(ran.fuel > 1900 && ran.fuel < 4000, "fuel: {}", ran.fuel);
}

#[test]
fn a_start_function_is_returned_and_can_be_preempted() {
    let mut running = instantiate("(module (func $spin (loop $l (br $l))) (start $spin))");
    let start = running.start.take().unwrap();
    running.store.set_fuel(10_000).unwrap();
    let call = start
        .call_resumable(&mut running.store, &[], &mut [])
        .unwrap();
    let ResumableCall::OutOfFuel(call) = call else {
        panic!("it ended: {call:?}")
    };
    running.store.set_fuel(10_000).unwrap();
    assert!(matches!(
        call.resume(&mut running.store, &mut []).unwrap(),
        ResumableCall::OutOfFuel(_)
    ));
}

#[test]
fn endless_recursion_traps_and_the_instance_still_answers() {
    let mut running = instantiate(
        r#"(module
            (func $down (export "down") (param $unused i64) (result i32)
                (i32.add (call $down (local.get 0)) (i32.const 1)))
            (func (export "narrow") (result i32) (call $down (i64.const 1)))
            (func (export "five") (result i32) (i32.const 5)))"#,
    );
    let error = running
        .run_export("narrow", 1, 1_000_000)
        .result
        .unwrap_err();
    assert_eq!(error.as_trap_code(), Some(TrapCode::StackOverflow));
    assert_eq!(running.integer("five"), 5);
}

/// Instantiates `text`, whose imports all suspend and name themselves in the host data.
fn with_suspending_imports(text: &str) -> Running<Vec<(String, Vec<u64>)>> {
    let engine = engine();
    let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let imports = |store: &mut _| {
        let mut imports = Vec::new();
        for import in module.imports() {
            let ExternType::Func(signature) = import.ty() else {
                panic!("not a function")
            };
            let name = import.name().to_string();
            let function = Func::from_cells(store, signature, move |mut caller, arguments| {
                let calls: &mut Vec<(String, Vec<u64>)> = caller.data_mut();
                calls.push((name.clone(), arguments.to_vec()));
                Err(Error::i32_exit(99))
            });
            imports.push(Extern::Func(function));
        }
        imports
    };
    instantiate_with(&engine, &module, Vec::new(), imports, Vec::new())
}

#[test]
fn a_suspended_host_call_resumes_with_its_value_five_frames_deep() {
    let mut running = with_suspending_imports(
        r#"(module (import "sos" "read" (func $read (param i32 f64 i64 f32) (result i64)))
            (func $a (param i64) (result i64)
                (i64.add (local.get 0) (call $read
                    (i32.const -1) (f64.const 1.5) (i64.const -2) (f32.const 2.5))))
            (func $b (param i64) (result i64) (i64.mul (call $a (i64.const 5)) (local.get 0)))
            (func $c (result i64) (i64.sub (call $b (i64.const 3)) (call $b (i64.const 2))))
            (func $d (result i64) (local i64) (local.set 0 (call $c)) (local.get 0))
            (func (export "run") (result i64) (call $d)))"#,
    );
    let function = running.instance.get_func(&running.store, "run").unwrap();
    let mut outputs = [Val::I64(0)];
    running.store.set_fuel(100_000).unwrap();
    let mut call = function
        .call_resumable(&mut running.store, &[], &mut outputs)
        .unwrap();
    for value in [100, 1000] {
        let ResumableCall::HostTrap(suspended) = call else {
            panic!("not suspended: {call:?}")
        };
        assert!(matches!(
            suspended.host_error().kind(),
            ErrorKind::I32ExitStatus(99)
        ));
        call = suspended
            .resume(&mut running.store, &[Val::I64(value)], &mut outputs)
            .unwrap();
    }
    assert!(matches!(call, ResumableCall::Finished));
    assert!(matches!(outputs[0], Val::I64(value) if value == 105 * 3 - 1005 * 2));
    let arguments = vec![
        0xffff_ffff,
        1.5_f64.to_bits(),
        -2_i64 as u64,
        u64::from(2.5_f32.to_bits()),
    ];
    assert_eq!(running.store.data()[0], ("read".to_string(), arguments));
}

#[test]
fn a_tail_called_host_function_suspends_below_the_root_frame() {
    let mut running = with_suspending_imports(
        r#"(module (import "sos" "read" (func $read (param i32) (result i32)))
            (func $tail (param i64 i32) (result i32) (return_call $read (local.get 1)))
            (func (export "run") (result i32)
                (i32.add (call $tail (i64.const 1) (i32.const 7)) (i32.const 1))))"#,
    );
    let function = running.instance.get_func(&running.store, "run").unwrap();
    let mut outputs = [Val::I32(0)];
    running.store.set_fuel(100_000).unwrap();
    let call = function
        .call_resumable(&mut running.store, &[], &mut outputs)
        .unwrap();
    let ResumableCall::HostTrap(suspended) = call else {
        panic!("not suspended: {call:?}")
    };
    let call = suspended
        .resume(&mut running.store, &[Val::I32(41)], &mut outputs)
        .unwrap();
    assert!(matches!(call, ResumableCall::Finished));
    assert!(matches!(outputs[0], Val::I32(42)), "{outputs:?}");
    assert_eq!(running.store.data()[0].1, [7]);
}

#[test]
fn a_trap_in_one_store_leaves_another_of_the_same_module_working() {
    let engine = engine();
    let text = r#"(module (func (export "trap") (unreachable))
        (func (export "five") (result i32) (i32.const 5)))"#;
    let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let make = || instantiate_with(&engine, &module, (), |_| Vec::new(), Vec::new());
    let (mut bad, mut good) = (make(), make());
    let error = bad.run_export("trap", 0, 100).result.unwrap_err();
    assert_eq!(error.as_trap_code(), Some(TrapCode::UnreachableCodeReached));
    assert_eq!(good.integer("five"), 5);
}

#[test]
fn a_store_and_a_suspended_call_may_move_between_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<sos_engine::Store<()>>();
    assert_send::<ResumableCall>();
}

/// Operators by the handler that could fail to jump: each is run many times in one slice.
const OPERATORS: &[&str] = &[
    "(drop (memory.grow $m (i32.const 0)))",
    "(drop (memory.grow $n (i32.const 0)))",
    "(drop (memory.grow $m (i32.const 9)))",
    "(drop (memory.size $m))",
    "(memory.copy $m $m (i32.const 8) (i32.const 0) (i32.const 4))",
    "(memory.copy $m $n (i32.const 8) (i32.const 0) (i32.const 4))",
    "(memory.fill $m (i32.const 8) (i32.const 0) (i32.const 4))",
    "(memory.init $m $d (i32.const 0) (i32.const 0) (i32.const 0))",
    "(data.drop $d)",
    "(drop (table.grow $t (ref.null func) (i32.const 0)))",
    "(drop (table.grow $t (ref.null func) (i32.const 9999)))",
    "(drop (table.size $t))",
    "(table.set $t (i32.const 1) (table.get $t (i32.const 0)))",
    "(table.fill $t (i32.const 1) (ref.func $f) (i32.const 1))",
    "(table.copy $t $t (i32.const 2) (i32.const 0) (i32.const 2))",
    "(table.copy $t $u (i32.const 2) (i32.const 0) (i32.const 2))",
    "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))",
    "(elem.drop $e)",
    "(drop (ref.is_null (ref.func $f)))",
    "(drop (call $f (i32.const 1)))",
    "(drop (call $g (i32.const 1)))",
    "(drop (call $h (i32.const 1)))",
    "(drop (call $host (i32.const 1)))",
    "(drop (call $tail_host (i32.const 1)))",
    "(drop (call_indirect $t (type $ii) (i32.const 1) (i32.const 0)))",
    "(drop (call_indirect $u (type $ii) (i32.const 1) (i32.const 3)))",
    "(drop (call_indirect $t (type $ii) (i32.const 1) (i32.and (local.get $i) (i32.const 1))))",
    "(drop (call_indirect $u (type $ii) (i32.const 1) (i32.and (local.get $i) (i32.const 3))))",
    "(block $x (block $y (br_table $x $y (i32.and (local.get $i) (i32.const 1)))))",
    "(if (i32.and (local.get $i) (i32.const 1)) (then (global.set $c (i64.const 1))) \
         (else (global.set $c (i64.const 2))))",
    "(global.set $c (i64.mul (global.get $c) (i64.const 3)))",
    "(drop (i32.div_s (local.get $i) (i32.const 7)))",
    "(drop (i64.rem_u (i64.extend_i32_u (local.get $i)) (i64.const 7)))",
    "(drop (f64.sqrt (f64.ceil (f64.convert_i32_u (local.get $i)))))",
    "(drop (f32.nearest (f32.floor (f32.convert_i32_u (local.get $i)))))",
    "(drop (f64.trunc (f64.copysign (f64.const 1) (f64.convert_i32_u (local.get $i)))))",
    "(drop (i32.trunc_f64_u (f64.convert_i32_u (local.get $i))))",
    "(drop (i64.trunc_sat_f32_s (f32.convert_i32_u (local.get $i))))",
    "(f64.store $n (i32.const 8) (f64.load $n (i32.const 0)))",
    "(i32.store16 $m (i32.const 8) (i32.load8_s $m (i32.const 0)))",
    "(i32.store (i32.and (local.get $i) (i32.const 0xfff0)) (i32.load (i32.const 4)))",
    "(drop (select (i32.const 1) (local.get $i) (i32.and (local.get $i) (i32.const 1))))",
    "(drop (i64.popcnt (i64.extend_i32_u (i32.clz (local.get $i)))))",
    "(v128.store (i32.const 16) (i32x4.add (v128.load (i32.const 0)) \
         (i32x4.splat (local.get $i))))",
    "(drop (i8x16.extract_lane_u 3 (i8x16.swizzle (v128.load (i32.const 0)) \
         (v128.const i32x4 1 2 3 4))))",
    "(drop (f64x2.extract_lane 1 (f64x2.mul (v128.load (i32.const 0)) \
         (f64x2.splat (f64.const 2)))))",
    "(drop (v128.any_true (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 \
         (v128.load (i32.const 0)) (v128.load (i32.const 16)))))",
    "(drop (i32x4.bitmask (v128.load32_lane 1 (i32.const 0) (v128.load (i32.const 16)))))",
];

#[test]
fn no_operator_grows_the_native_stack() {
    let engine = engine();
    for operator in OPERATORS {
        let text = format!(
            r#"(module (type $ii (func (param i32) (result i32)))
                (import "sos" "host" (func $host (type $ii)))
                (memory $m 1 2) (memory $n 1 2) (data $d "abc")
                (table $t 8 20 funcref) (table $u 8 funcref)
                (global $c (mut i64) (i64.const 1))
                (elem $e func $f $g) (elem (table $t) (i32.const 0) func $f $g $h $host)
                (elem (table $u) (i32.const 0) func $f $g $h $host)
                (func $f (type $ii) (local.get 0))
                (func $g (type $ii) (return_call $f (local.get 0)))
                (func $h (type $ii) (return_call_indirect $t (type $ii) (local.get 0) (i32.const 0)))
                (func $tail_host (type $ii) (return_call $host (local.get 0)))
                (func (export "run") (local $i i32)
                    (loop $next {operator}
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (br_if $next (i32.lt_u (local.get $i) (i32.const 30000))))))"#
        );
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{operator}: {error}"));
        let module = Module::new(&engine, wasm).unwrap();
        let imports = |store: &mut _| {
            let ExternType::Func(signature) = module.imports().next().unwrap().ty().clone() else {
                panic!("not a function")
            };
            let host = Func::from_cells(store, &signature, |_: sos_engine::Caller<'_, ()>, a| {
                Ok(a[0])
            });
            vec![Extern::Func(host)]
        };
        let memories = (0..2).map(|_| GuestMemory::zeroed(2 * 65536)).collect();
        let mut running = instantiate_with(&engine, &module, (), imports, memories);
        let function = running.instance.get_func(&running.store, "run").unwrap();
        println!("{operator}");
        on_a_small_stack(move || {
            let ran = running.run(function, 0, u64::MAX / 2);
            ran.result.unwrap();
            assert_eq!(ran.slices, 1);
        });
    }
}
