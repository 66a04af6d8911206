//! `test=spec`: the boot module is a bundle of the WebAssembly specification's test scripts, which the
//! kernel's own engine runs over its own guest memories.

use alloc::boxed::Box;

use sos_core::conformance::{self, Bundle};
use sos_core::machine::{GuestMemory, ReserveError};

use crate::cpu::clock;
use crate::log;
use crate::mem::guest;

/// Runs every script and prints a line for each that fails, and one at the end.
pub fn run(bundle: &[u8]) {
    let mut bundle = match Bundle::open(bundle) {
        Ok(bundle) => bundle,
        Err(error) => {
            log!("spec: {error}");
            return;
        }
    };
    let began_ns = clock::now_ns();
    let environment = bundle.environment();
    let (mut files, mut whole, mut passed) = (0, 0, 0);
    for script in &mut bundle {
        let script = match script {
            Ok(script) => script,
            Err(error) => {
                log!("spec: {error}");
                return;
            }
        };
        let verdict = conformance::run(&script, environment, &mut |request| {
            let bytes = request.maximum_bytes;
            let range = guest::reserve(bytes).ok_or(ReserveError::Exhausted {
                wanted_bytes: bytes,
            })?;
            Ok(GuestMemory::new(Box::new(range)))
        });
        files += 1;
        passed += verdict.passed;
        match verdict.failures.first() {
            None => whole += 1,
            Some(first) => log!(
                "spec: {} line {}: {}",
                script.name,
                first.line,
                first.reason
            ),
        }
    }
    let elapsed_ms = (clock::now_ns() - began_ns) / 1_000_000;
    log!(
        "spec: finished: {whole} of {files} files whole, {passed} commands passed in {elapsed_ms} ms"
    );
}
