//! The same run in another engine: wasmtime, which compiles.
//!
//! What the two may do differently is left out: which functions references are (only whether they are null), how deep
//! calls go, and functions of the host that are called as exports. NaNs are made canonical by the modules themselves.

use sos_tests::fuzz::cycles::Outcome;
use wasmtime::{
    Config, Engine, Extern, Func, FuncType, HeapType, Instance, Module, Ref, Store, Trap, Val,
    ValType,
};

/// Bytes of wasmtime's stack: deeper than ours.
const STACK_BYTES: usize = 1 << 20;

/// What the host was asked.
type HostCalls = Vec<Vec<u64>>;

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Both did the same.
    Equal,
    /// It ended where they may differ.
    Incomparable,
}

/// Runs the export `name` of the last of `modules` and compares.
///
/// # Errors
/// What is different.
pub fn compare(modules: &[Vec<u8>], name: &str, ours: &Outcome) -> Result<Verdict, String> {
    let is_deep = |text: &str| text.contains("call stack exhausted");
    // A function of the host that is exported again has no caller here that it could suspend.
    let is_host = |text: &str| text.contains("Exited with");
    let differs = |text: &String| is_deep(text) || is_host(text);
    if ours.result.as_ref().is_err_and(differs) {
        return Ok(Verdict::Incomparable);
    }
    let theirs = run(modules, name).map_err(|error| format!("the other engine: {error:?}"))?;
    if theirs.result.as_ref().is_err_and(|text| is_deep(text)) {
        return Ok(Verdict::Incomparable);
    }
    // The message carries a number that is not meant.
    let plain = |text: &String| text.replace("uninitialized element 2", "uninitialized element");
    let result = match &ours.result {
        Ok(values) => Ok(values.iter().map(|text| blind(text)).collect::<Vec<_>>()),
        Err(text) => Err(plain(text)),
    };
    let mut visible: Vec<String> = ours.visible.iter().map(|text| blind(text)).collect();
    visible.sort_unstable();
    let same = [
        (
            "result",
            format!("{result:?}"),
            format!("{:?}", theirs.result),
        ),
        (
            "exports",
            format!("{visible:?}"),
            format!("{:?}", theirs.visible),
        ),
        (
            "host calls",
            format!("{:?}", ours.host_calls),
            format!("{:?}", theirs.host_calls),
        ),
    ];
    for (what, ours, theirs) in same {
        if ours != theirs {
            return Err(format!("{what}: {ours} here, {theirs} there"));
        }
    }
    Ok(Verdict::Equal)
}

/// What can be seen of a run.
struct Seen {
    result: Result<Vec<String>, String>,
    visible: Vec<String>,
    host_calls: HostCalls,
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .max_wasm_stack(STACK_BYTES)
        .wasm_memory64(true)
        .wasm_multi_memory(true)
        .wasm_tail_call(true)
        .wasm_backtrace_max_frames(None);
    Engine::new(&config)
}

fn run(modules: &[Vec<u8>], name: &str) -> wasmtime::Result<Seen> {
    let engine = engine()?;
    let mut store = Store::new(&engine, HostCalls::new());
    let mut instances: Vec<Instance> = Vec::new();
    for bytes in modules {
        let module = Module::new(&engine, bytes)?;
        let mut imports = Vec::new();
        for import in module.imports() {
            let place = import
                .module()
                .strip_prefix('m')
                .and_then(|place| place.parse::<usize>().ok());
            let found = match place {
                Some(place) => instances[place].get_export(&mut store, import.name()),
                None => import
                    .ty()
                    .func()
                    .map(|ty| host(&mut store, ty.clone()).into()),
            };
            imports.push(found.ok_or_else(|| wasmtime::Error::msg("an import that is not there"))?);
        }
        instances.push(Instance::new(&mut store, &module, &imports)?);
    }
    let main = instances.last().copied();
    let function = main.and_then(|main| main.get_func(&mut store, name));
    let function = function.ok_or_else(|| wasmtime::Error::msg("an export that is not there"))?;
    let ty = function.ty(&store);
    let arguments: Vec<Val> = ty.params().map(|ty| default(&ty)).collect();
    let mut outputs: Vec<Val> = ty.results().map(|ty| default(&ty)).collect();
    let result = match function.call(&mut store, &arguments, &mut outputs) {
        Ok(()) => Ok(outputs.iter().map(show).collect()),
        Err(error) => Err(match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string().replace("wasm trap: ", ""),
            None => return Err(error),
        }),
    };
    let mut visible = Vec::new();
    for instance in instances {
        visible.extend(exports(&mut store, instance));
    }
    visible.sort_unstable();
    Ok(Seen {
        result,
        visible,
        host_calls: store.into_data(),
    })
}

/// A host function that answers as that of the engine's tests does.
fn host(store: &mut Store<HostCalls>, ty: FuncType) -> Func {
    let types: Vec<ValType> = ty.results().collect();
    Func::new(store, ty, move |mut caller, arguments, results| {
        let bits = |value: &Val| match value {
            Val::I32(value) => u64::from(*value as u32),
            Val::I64(value) => *value as u64,
            Val::F32(bits) => u64::from(*bits),
            Val::F64(bits) => *bits,
            _ => 0,
        };
        let calls = caller.data_mut();
        calls.push(arguments.iter().map(bits).collect());
        let count = calls.len();
        for (index, (result, ty)) in results.iter_mut().zip(&types).enumerate() {
            *result = match ty {
                ValType::I32 => Val::I32(count as i32 * 7 + index as i32),
                ValType::I64 => Val::I64(count as i64 * 11),
                other => default(other),
            };
        }
        Ok(())
    })
}

fn default(ty: &ValType) -> Val {
    match ty {
        ValType::I32 => Val::I32(0),
        ValType::I64 => Val::I64(0),
        ValType::F32 => Val::F32(0),
        ValType::F64 => Val::F64(0),
        ValType::V128 => Val::V128(0.into()),
        ValType::Ref(ty) => match ty.heap_type() {
            HeapType::Func => Val::FuncRef(None),
            _ => Val::ExternRef(None),
        },
    }
}

fn exports(store: &mut Store<HostCalls>, instance: Instance) -> Vec<String> {
    let all: Vec<(String, Extern)> = instance
        .exports(&mut *store)
        .map(|export| (export.name().into(), export.into_extern()))
        .collect();
    let mut visible = Vec::new();
    for (name, export) in all {
        let shown = match export {
            Extern::Global(global) => show(&global.get(&mut *store)),
            Extern::Memory(memory) => {
                let bytes = memory.data(&*store);
                let sum = bytes.iter().fold(bytes.len() as u64, |sum, byte| {
                    sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte)
                });
                format!("{sum:x}")
            }
            Extern::Table(table) => {
                let elements = 0..table.size(&*store);
                let shown = elements.map(|index| table.get(&mut *store, index).map(show_reference));
                format!(
                    "{:?}",
                    shown.map(Option::unwrap_or_default).collect::<Vec<_>>()
                )
            }
            _ => continue,
        };
        visible.push(format!("{name}={shown}"));
    }
    visible
}

fn show(value: &Val) -> String {
    match value {
        Val::F32(bits) => format!("f32 {bits:x}"),
        Val::F64(bits) => format!("f64 {bits:x}"),
        Val::V128(bits) => format!("{:?}", sos_engine::Val::V128(bits.as_u128().into())),
        Val::FuncRef(function) => show_reference(Ref::Func(*function)),
        Val::ExternRef(external) => show_reference(Ref::Extern(*external)),
        other => format!("{other:?}"),
    }
}

fn show_reference(reference: Ref) -> String {
    match reference {
        Ref::Func(Some(_)) => "function".into(),
        Ref::Func(None) => "null".into(),
        Ref::Extern(external) => format!("external, null: {}", external.is_none()),
        _ => "another".into(),
    }
}

/// The text without the names of functions.
fn blind(text: &str) -> String {
    const BEGIN: &str = "Some(FunctionRef {";
    const END: &str = "})";
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        out += before;
        out += "function";
        rest = behind.split_once(END).map_or("", |(_, behind)| behind);
    }
    out + rest
}
