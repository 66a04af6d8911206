//! Entry point and end of a service.

use core::fmt;

use crate::sys;

/// Makes a function the service's entry point.
///
/// The function takes nothing and returns `()`, `Result<(), E>` with an `E` that can be displayed,
/// or an `i32` status. An error is logged and ends the instance with status 1. The function must not
/// be called `main`.
///
/// ```no_run
/// fn start() {
///     sos_sdk::info!("hello");
/// }
///
/// sos_sdk::main!(start);
/// ```
#[macro_export]
macro_rules! main {
    ($function:path) => {
        // Under WASI the standard library has a `_start` of its own, which calls `main`.
        #[cfg(all(target_family = "wasm", target_os = "unknown"))]
        #[unsafe(export_name = "_start")]
        extern "C" fn sos_start() {
            $crate::runtime::run($function);
        }

        // Also what the target's own start code and other targets call.
        #[allow(dead_code)]
        fn main() {
            $crate::runtime::run($function);
        }
    };
}

/// What an entry point may return.
pub trait Termination {
    /// Reports a failure and gives the instance's status.
    fn status(self) -> i32;
}

impl Termination for () {
    fn status(self) -> i32 {
        0
    }
}

impl Termination for i32 {
    fn status(self) -> i32 {
        self
    }
}

impl<T: Termination, E: fmt::Display> Termination for Result<T, E> {
    fn status(self) -> i32 {
        match self {
            Ok(value) => value.status(),
            Err(error) => {
                crate::error!("{error}");
                1
            }
        }
    }
}

impl Termination for core::convert::Infallible {
    fn status(self) -> i32 {
        match self {}
    }
}

/// Runs an entry point and gives the instance's status.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn run_to_status<T: Termination>(entry: impl FnOnce() -> T) -> i32 {
    entry().status()
}

/// Runs an entry point; [`main!`](crate::main) calls it.
pub fn run<T: Termination>(entry: fn() -> T) {
    // Under WASI panics go to standard error, which is the log's too.
    #[cfg(all(feature = "std", target_family = "wasm", target_os = "unknown"))]
    std::panic::set_hook(std::boxed::Box::new(|information| {
        crate::error!("{information}");
    }));
    match entry().status() {
        0 => {}
        status => exit(status),
    }
}

/// Logs the panic and traps.
#[cfg(all(not(feature = "std"), target_family = "wasm"))]
#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    crate::error!("{information}");
    core::arch::wasm32::unreachable()
}

/// Ends the instance with `status`; 0 means success.
pub fn exit(status: i32) -> ! {
    sys::exit(status);
    // Elsewhere than under SOS the call comes back.
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    std::process::exit(status);
    #[cfg(not(all(feature = "std", not(target_family = "wasm"))))]
    unreachable!("the kernel ends the instance in `exit`");
}

/// Lets other instances run, then continues.
pub fn yield_now() {
    sys::yield_now();
}
