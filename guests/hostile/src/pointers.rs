//! Calls that the SDK does not let through: the imports themselves, with arguments that lie.

use sos_abi::{CallId, ErrorCode, ValueType};
use sos_sdk::net::{AsHandle, TcpListener};
use sos_sdk::{error, exit, info};

/// Ranges that lie outside every memory, whatever its size: null, past the end, wrapping.
const BAD_RANGES: [(i32, i32); 5] = [(0, 16), (-16, 16), (-1, 2), (16, -1), (i32::MIN, i32::MIN)];

/// Calls whose first two parameters, or second and third, are pointer and length.
const RANGE_CALLS: [(CallId, usize); 6] = [
    (CallId::Log, 1),
    (CallId::ConsoleWrite, 0),
    (CallId::ConsoleRead, 0),
    (CallId::Random, 0),
    (CallId::InstanceName, 0),
    (CallId::NodeName, 0),
];

/// Makes each call with each bad range; ends the instance with 1 at the first wrong answer.
pub fn check_all() {
    let mut count = 0;
    for (call, position) in RANGE_CALLS {
        for (pointer, length) in BAD_RANGES {
            let mut arguments = [0i64; 5];
            arguments[position] = i64::from(pointer);
            arguments[position + 1] = i64::from(length);
            expect_bad_pointer(call, arguments);
            count += 1;
        }
    }
    for (call, position) in [
        (CallId::TcpListen, 0),
        (CallId::TcpConnect, 0),
        (CallId::UdpBind, 0),
    ] {
        for pointer in [0, -1, -31, i32::MIN] {
            let mut arguments = [0i64; 5];
            arguments[position] = i64::from(pointer);
            expect_bad_pointer(call, arguments);
            count += 1;
        }
    }
    for (pointer, entries) in [(0, 1), (-4, 1), (16, 1024 * 1024)] {
        let result = invoke(CallId::Poll, [pointer, entries, 0, 0, 0]);
        if !matches!(
            ErrorCode::from_code(result),
            Some(ErrorCode::BadPointer | ErrorCode::InvalidArgument)
        ) {
            error!("poll({pointer}, {entries}) gave {result}");
            exit(1);
        }
        count += 1;
    }
    info!("{count} lies, each refused");
}

fn expect_bad_pointer(call: CallId, arguments: [i64; 5]) {
    let result = invoke(call, arguments);
    if result != ErrorCode::BadPointer.code() {
        error!(
            "{}({arguments:?}) gave {result}, not BAD_POINTER",
            call.name()
        );
        exit(1);
    }
}

/// Closes a listener's handle without the listener knowing.
pub fn close_behind(listener: &TcpListener) {
    let handle = listener.as_handle().number();
    invoke(CallId::Close, [i64::from(handle), 0, 0, 0, 0]);
}

/// Makes any call that gives an `i32`.
fn invoke(call: CallId, arguments: [i64; 5]) -> i32 {
    assert_eq!(
        call.signature().result,
        Some(ValueType::I32),
        "{}",
        call.name()
    );
    imports::invoke(call, arguments)
}

#[cfg(target_family = "wasm")]
mod imports {
    use sos_abi::CallId;

    macro_rules! import {
        ($({ $number:literal, $name:ident, $variant:ident,
             ($($parameter:ident: $type:ty),*), $result:ty, [$($error:ident),*], $doc:literal })*) => {
            mod raw {
                #[link(wasm_import_module = "sos")]
                unsafe extern "C" {
                    $(pub fn $name($($parameter: $type),*) -> $result;)*
                }
            }

            pub fn invoke(call: CallId, arguments: [i64; 5]) -> i32 {
                match call {
                    $(CallId::$variant => {
                        let mut rest = arguments.into_iter();
                        $(let $parameter = rest.next().unwrap_or(0) as $type;)*
                        let _ = &mut rest;
                        // SAFETY: none is claimed: the kernel must refuse each of these pointers,
                        // and a test fails when it does not.
                        let result = unsafe { raw::$name($($parameter),*) };
                        number(result)
                    })*
                }
            }
        };
    }

    sos_abi::host_calls!(import);

    /// Whatever a call gives, as a number.
    fn number(result: impl Number) -> i32 {
        result.number()
    }

    trait Number {
        fn number(self) -> i32;
    }

    impl Number for i32 {
        fn number(self) -> i32 {
            self
        }
    }

    impl Number for i64 {
        fn number(self) -> i32 {
            self as i32
        }
    }

    impl Number for () {
        fn number(self) -> i32 {
            0
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod imports {
    use sos_abi::{CallId, ErrorCode};

    /// There is no kernel to lie to.
    pub fn invoke(_: CallId, _: [i64; 5]) -> i32 {
        ErrorCode::Unsupported.code()
    }
}
