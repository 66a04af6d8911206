//! What canonical frames cost: speed of running code and of translation beside wasmi as published,
//! bytes of frame maps, time of a capture and a restore.
//!
//! `cargo run --profile kernel -p sos-engine --example frame_figures -- FILE.wasm ...` translates the
//! given modules too. Speeds are the best of several runs, the two engines in turn, in time of the CPU, so
//! that a busy machine matters less; captures and restores are medians. Lines that begin with `row` are for `cargo sos bench`, which
//! runs this: the name of a row and its figure.

use std::time::Duration;

const ROUNDS: usize = 15;
/// How often a call is captured; the median counts.
const CAPTURES: usize = 200;
/// How deep the calls are that are captured: the last as deep as the kernel lets calls go by default.
const DEPTHS: [u32; 4] = [1, 20, 300, 9_990];
/// The one whose time is the row `capture_frames`: of the stack whose calls are unlike.
const DEPTH_OF_ROW: u32 = 300;
/// Places from which calls go deeper in a stack of unlike calls: more than a capture remembers at once.
const PLACES: u32 = 64;

/// Programs whose `run` computes for a while, each with another kind of work.
const KERNELS: [(&str, &str); 5] = [
    (
        "calls",
        r#"(module (func $fib (export "fib") (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0)) (else
            (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "run") (result i64) (i64.extend_i32_u (call $fib (i32.const 30)))))"#,
    ),
    (
        "sieve",
        r#"(module (memory 32) (func (export "run") (result i64) (local $i i32) (local $j i32) (local $n i64)
        (local.set $i (i32.const 2))
        (loop $next
            (if (i32.eqz (i32.load8_u (local.get $i))) (then
                (local.set $n (i64.add (local.get $n) (i64.const 1)))
                (local.set $j (i32.shl (local.get $i) (i32.const 1)))
                (block $done (loop $strike
                    (br_if $done (i32.ge_u (local.get $j) (i32.const 2000000)))
                    (i32.store8 (local.get $j) (i32.const 1))
                    (local.set $j (i32.add (local.get $j) (local.get $i)))
                    (br $strike)))))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                (i32.const 2000000))))
        (local.get $n)))"#,
    ),
    (
        "mixing",
        r#"(module (func (export "run") (result i64) (local $x i64) (local $i i32)
        (local.set $x (i64.const 88172645463325252))
        (loop $next
            (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
            (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
            (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                (i32.const 5000000))))
        (local.get $x)))"#,
    ),
    (
        "floats",
        r#"(module (memory 16) (func (export "run") (result i64) (local $i i32) (local $k i32) (local $s f64)
        (loop $rows (local.set $k (i32.const 0)) (loop $next
            (local.set $s (f64.add (f64.mul (local.get $s) (f64.const 0.99)) (f64.load (local.get $k))))
            (f64.store (local.get $k) (f64.add (local.get $s) (f64.const 0.5)))
            (br_if $next (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 8)))
                (i32.const 800000))))
            (br_if $rows (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 30))))
        (i64.reinterpret_f64 (local.get $s))))"#,
    ),
    (
        "tables",
        r#"(module (table funcref (elem $a $b $c)) (type $f (func (param i64) (result i64)))
        (func $a (param i64) (result i64) (i64.add (local.get 0) (i64.const 3)))
        (func $b (param i64) (result i64) (i64.rotl (local.get 0) (i64.const 5)))
        (func $c (param i64) (result i64) (i64.xor (local.get 0) (i64.const 0x5555)))
        (func (export "run") (result i64) (local $x i64) (local $i i32)
            (loop $next
                (local.set $x (call_indirect (type $f) (local.get $x) (i32.rem_u (local.get $i) (i32.const 3))))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                    (i32.const 3000000))))
            (local.get $x)))"#,
    ),
];

/// The same steps for either engine, whose types differ.
macro_rules! engine {
    ($name:ident, $engine:ident, |$store:ident, $module:ident| $instantiate:expr) => {
        mod $name {
            use super::cpu_time;
            use std::time::Duration;
            use $engine::{CompilationMode, Config, Engine, Module, Store, Val};

            pub fn engine() -> Engine {
                let mut config = Config::default();
                config
                    .consume_fuel(true)
                    .compilation_mode(CompilationMode::Eager);
                Engine::new(&config)
            }

            /// How long `run` takes, and its result.
            pub fn run(wasm: &[u8]) -> (Duration, i64) {
                let engine = engine();
                let $module = Module::new(&engine, wasm).unwrap();
                let mut $store = Store::new(&engine, ());
                $store.set_fuel(u64::MAX / 2).unwrap();
                let instance = $instantiate;
                let function = instance.get_func(&$store, "run").unwrap();
                let mut results = [Val::I64(0)];
                let begun = cpu_time();
                function.call(&mut $store, &[], &mut results).unwrap();
                let taken = cpu_time() - begun;
                let Val::I64(result) = results[0] else {
                    panic!("{results:?}")
                };
                (taken, result)
            }

            /// How long translation takes.
            pub fn translate(wasm: &[u8]) -> Option<Duration> {
                let engine = engine();
                let begun = cpu_time();
                let module = Module::new(&engine, wasm).ok();
                module.map(|_| cpu_time() - begun)
            }
        }
    };
}

engine!(published, wasmi, |store, module| {
    wasmi::Instance::new(&mut store, &module, &[]).unwrap()
});
engine!(ours, sos_engine, |store, module| {
    let bytes = |memory: sos_engine::MemoryType| memory.minimum() as usize * 65536;
    let memories = module.defined_memories();
    let memories = memories.map(|memory| sos_engine::GuestMemory::zeroed(bytes(memory)));
    let memories = memories.collect();
    let made = store.instantiate(&module, Vec::new(), memories, sos_engine::Segments::Applied);
    made.unwrap().0
});

/// What this thread has used of the CPU.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live `timespec`, which is all that the call writes to.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(outcome, 0, "no clock of the thread");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The best times of both, run in turn.
fn best<A, B>(mut a: impl FnMut() -> A, mut b: impl FnMut() -> B) -> (A, B)
where
    A: PartialOrd,
    B: PartialOrd,
{
    let (mut best_a, mut best_b) = (a(), b());
    for _ in 1..ROUNDS {
        let (next_a, next_b) = (a(), b());
        best_a = if next_a < best_a { next_a } else { best_a };
        best_b = if next_b < best_b { next_b } else { best_b };
    }
    (best_a, best_b)
}

fn running() {
    let mut product = 1.0;
    for (name, text) in KERNELS {
        let wasm = wat::parse_str(text).unwrap();
        let (published, ours) = best(|| published::run(&wasm), || ours::run(&wasm));
        assert_eq!(published.1, ours.1, "{name}");
        let factor = published.0.as_secs_f64() / ours.0.as_secs_f64();
        println!(
            "running {name}: {:.1?} published, {:.1?} ours, speed {factor:.3}",
            published.0, ours.0
        );
        product *= factor;
    }
    let mean = product.powf(1.0 / KERNELS.len() as f64);
    println!("running: speed {mean:.3} (geometric mean)\nrow capture_run {mean:.4}");
}

/// How many times as long the translation of all files takes, on geometric average.
fn translating(paths: &[String]) {
    let factors: Vec<f64> = paths.iter().filter_map(|path| translation(path)).collect();
    if !factors.is_empty() {
        let mean = factors
            .iter()
            .product::<f64>()
            .powf(1.0 / factors.len() as f64);
        println!("translation: factor {mean:.3} (geometric mean)\nrow capture_translate {mean:.4}");
    }
}

fn translation(path: &str) -> Option<f64> {
    let wasm = std::fs::read(path).unwrap();
    let (published, ours) = best(|| published::translate(&wasm), || ours::translate(&wasm));
    let (Some(published), Some(ours)) = (published, ours) else {
        println!("{path}: refused");
        return None;
    };
    let engine = ours::engine();
    let module = sos_engine::Module::new(&engine, &wasm).unwrap();
    let (maps, all) = (module.frame_map_bytes(), module.translated_bytes());
    let factor = ours.as_secs_f64() / published.as_secs_f64();
    println!(
        "translation of {path}: {published:.1?} published, {ours:.1?} ours, factor {factor:.3}; \
         maps {:.3} bytes for each of {} bytes of WebAssembly, {:.3} of what is translated",
        maps as f64 / wasm.len() as f64,
        wasm.len(),
        maps as f64 / all as f64,
    );
    Some(factor)
}

/// What a stack of calls is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stack {
    /// All calls return to one place.
    Alike,
    /// The calls return to [`PLACES`] in turn, and each has operands that are live across it.
    Unlike,
}

impl Stack {
    /// The function `$down`, which calls itself to the depth of its first parameter, then never ends.
    fn function(self) -> String {
        let deeper = "(i32.sub (local.get 0) (i32.const 1)) (local.get 1) (f64.const 2)";
        let body = match self {
            Stack::Alike => {
                format!("(i64.add (i64.const 5) (i64.mul (local.get 1) (call $down {deeper})))")
            }
            Stack::Unlike => {
                let blocks = "(block ".repeat(PLACES as usize);
                let places: String = (0..PLACES).map(|place| format!(" {place}")).collect();
                // As many operands as the place's number says, of both kinds in turn.
                let place = |place: u32| {
                    let operands = place % 8;
                    let push = |at| match at % 2 {
                        0 => "(i64.mul (local.get 1) (i64.const 3))",
                        _ => "(f64.add (local.get 2) (f64.const 1))",
                    };
                    let pop = |at| match at % 2 {
                        0 => "(i64.add)",
                        _ => "(local.set 3) (local.set 2) (local.get 3)",
                    };
                    let pushed: String = (0..operands).map(push).collect();
                    let popped: String = (0..operands).rev().map(pop).collect();
                    format!(") {pushed} (call $down {deeper}) {popped} (return)")
                };
                let calls: String = (0..PLACES).map(place).collect();
                let chosen = format!("(i32.rem_u (local.get 0) (i32.const {PLACES}))");
                format!("{blocks} (br_table{places} {chosen}) {calls} (unreachable)")
            }
        };
        let locals = match self {
            Stack::Alike => "(local i32 i32 i64)",
            Stack::Unlike => "(local i64 i32 i32)",
        };
        format!(
            "(func $down (param i32 i64 f64) (result i64) {locals}
            (if (result i64) (i32.eqz (local.get 0)) (then (loop $l (br $l)) (unreachable)) (else {body})))"
        )
    }
}

/// Times captures and restores of a call `depth` deep.
fn capturing(depth: u32, stack: Stack) {
    use sos_engine::state::{Member, References};
    let text = format!(
        r#"(module {}
            (func (export "run") (result i64) (call $down (i32.const {depth}) (i64.const 3) (f64.const 1))))"#,
        stack.function()
    );
    let engine = ours::engine();
    let module = sos_engine::Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let mut store = sos_engine::Store::new(&engine, ());
    // The kernel's defaults.
    store.set_stack_limits(sos_engine::StackLimits {
        value_bytes: 1 << 20,
        call_depth: 10_000,
    });
    let made = store.instantiate(
        &module,
        Vec::new(),
        Vec::new(),
        sos_engine::Segments::Applied,
    );
    let instance = made.unwrap().0;
    let function = instance.get_func(&store, "run").unwrap();
    store.set_fuel(1_000_000).unwrap();
    let mut results = [sos_engine::Val::I64(0)];
    let call = function
        .call_resumable(&mut store, &[], &mut results)
        .unwrap();
    let sos_engine::ResumableCall::OutOfFuel(call) = call else {
        panic!("{call:?}")
    };
    let set = [Member {
        module: &module,
        instance: Some(instance),
    }];
    let begun = cpu_time();
    let references = References::new(&store, &set);
    call.capture(&store, &references).unwrap();
    let first = cpu_time() - begun;
    let (mut captures, mut restores) = (Vec::new(), Vec::new());
    let mut frames = 0;
    for _ in 0..CAPTURES {
        let begun = cpu_time();
        let mut references = References::new(&store, &set);
        let captured = call.capture(&store, &references).unwrap();
        captures.push(cpu_time() - begun);
        frames = captured.frames.len();
        let begun = cpu_time();
        captured.restore(&mut store, &mut references).unwrap();
        restores.push(cpu_time() - begun);
    }
    let (best, capture) = best_and_median(&mut captures);
    let (_, restore) = best_and_median(&mut restores);
    println!(
        "capture of {frames} frames, {stack:?}: {capture:.2?} on the median, {best:.2?} at best (the first \
         of the engine {first:.2?}), restore {restore:.2?}"
    );
    if depth == DEPTH_OF_ROW && stack == Stack::Unlike {
        println!("row capture_frames {:.3}", capture.as_secs_f64() * 1e6);
    }
}

fn best_and_median(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    (times[0], times[times.len() / 2])
}

/// Times what is done in one piece whatever the fuel: `run` of a module, its instantiation, and the longest piece of
/// its active segments; then the capture of what it holds.
fn in_one_piece(name: &str, wasm: &[u8]) {
    let engine = ours::engine();
    let module = sos_engine::Module::new(&engine, wasm).unwrap();
    let [mut making, mut applying, mut running, mut capturing] = [Duration::MAX; 4];
    for _ in 0..3 {
        let mut store = sos_engine::Store::new(&engine, ());
        store.set_fuel(u64::MAX / 2).unwrap();
        let memories = module
            .defined_memories()
            .map(|memory| sos_engine::GuestMemory::zeroed(memory.minimum() as usize * 65536));
        let memories = memories.collect();
        let begun = cpu_time();
        let made = store.instantiate(
            &module,
            Vec::new(),
            memories,
            sos_engine::Segments::Deferred,
        );
        let instance = made.unwrap().0;
        making = making.min(cpu_time() - begun);
        let mut position = sos_engine::SegmentPosition::default();
        let mut piece = Duration::ZERO;
        loop {
            let begun = cpu_time();
            let applied = store.apply_segments(&module, instance, &mut position, 0, &mut 0);
            piece = piece.max(cpu_time() - begun);
            if applied.unwrap() {
                break;
            }
        }
        applying = applying.min(piece);
        let function = instance.get_func(&store, "run").unwrap();
        let begun = cpu_time();
        function.call(&mut store, &[], &mut []).unwrap();
        running = running.min(cpu_time() - begun);
        let set = [sos_engine::state::Member {
            module: &module,
            instance: Some(instance),
        }];
        let begun = cpu_time();
        sos_engine::state::StoreState::capture(&store, &set).unwrap();
        capturing = capturing.min(cpu_time() - begun);
    }
    println!(
        "{name}: {making:.2?} to make, {applying:.2?} for the longest piece of its segments, {running:.2?} to run, \
         {capturing:.2?} to capture"
    );
}

fn pieces() {
    for elements in [100_000, 1_000_000] {
        let text = format!(
            r#"(module (table 0 funcref) (func $f (export "run")
                (drop (table.grow (ref.func $f) (i32.const {elements})))))"#
        );
        let wasm = wat::parse_str(text).unwrap();
        in_one_piece(&format!("table.grow by {elements}"), &wasm);
        let text = format!(
            r#"(module (table {elements} funcref) (elem declare func $f $g) (func $g)
                (func $f (export "run") (local $i i32) (loop $next
                    (table.set (local.get $i) (select (result funcref) (ref.func $f) (ref.func $g)
                        (i32.and (local.get $i) (i32.const 1))))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                        (i32.const {elements}))))))"#
        );
        let wasm = wat::parse_str(text).unwrap();
        in_one_piece(&format!("{elements} elements, no neighbours alike"), &wasm);
        let listed = "$f ".repeat(elements);
        let text = format!(
            r#"(module (table {elements} funcref) (elem (i32.const 0) {listed}) (func $f (export "run")))"#
        );
        let wasm = wat::parse_str(text).unwrap();
        in_one_piece(&format!("{elements} elements in an active segment"), &wasm);
    }
    let bytes = 32 << 20;
    let text = format!(
        r#"(module (memory 512) (data (i32.const 0) "{}") (func (export "run")))"#,
        "x".repeat(bytes)
    );
    let wasm = wat::parse_str(text).unwrap();
    in_one_piece(&format!("{} MiB in an active segment", bytes >> 20), &wasm);
    let functions = "(func)".repeat(99_999);
    let wasm = wat::parse_str(format!(r#"(module {functions} (func (export "run")))"#)).unwrap();
    in_one_piece("100000 functions", &wasm);
    let exports = (0..100_000).map(|name| format!("(export \"{name:x}\" (func 0))"));
    let exports: String = exports.collect();
    let wasm = wat::parse_str(format!(r#"(module (func (export "run")) {exports})"#)).unwrap();
    in_one_piece("100000 exports", &wasm);
    let functions = "$f ".repeat(100_000);
    let text = format!(r#"(module (elem func {functions}) (func $f (export "run")))"#);
    in_one_piece(
        "100000 elements in a passive segment",
        &wat::parse_str(text).unwrap(),
    );
}

fn main() {
    running();
    translating(&std::env::args().skip(1).collect::<Vec<_>>());
    for depth in DEPTHS {
        capturing(depth, Stack::Alike);
        // The deepest would not fit the stack with its operands.
        if depth <= DEPTH_OF_ROW {
            capturing(depth, Stack::Unlike);
        }
    }
    pieces();
}
