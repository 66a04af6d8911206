//! The specification's suite in the kernel's own runner, in an ordinary process: what `test=spec` does on
//! metal. Argument: the file of the bundle of test scripts.

use std::io;

use sos_core::conformance::{self, Bundle};
use sos_engine::GuestMemory;
use sos_peer::machine::monotonic_ns;

fn main() {
    let outcome = std::env::args()
        .nth(1)
        .ok_or_else(|| io::Error::other("which bundle of test scripts?"))
        .and_then(std::fs::read)
        .and_then(|bytes| run(&bytes));
    if let Err(error) = outcome {
        eprintln!("peer: failed: {error}");
        std::process::exit(1);
    }
}

fn run(bytes: &[u8]) -> io::Result<()> {
    let mut bundle = Bundle::open(bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let began_ns = monotonic_ns();
    let environment = bundle.environment();
    let (mut files, mut whole, mut passed) = (0, 0, 0);
    for script in &mut bundle {
        let script = script.map_err(|error| io::Error::other(error.to_string()))?;
        let verdict = conformance::run(&script, environment, &mut |request| {
            // Pages that are not touched are not there, as on metal.
            Ok(GuestMemory::zeroed(request.maximum_bytes as usize))
        });
        files += 1;
        passed += verdict.passed;
        whole += usize::from(verdict.failures.is_empty());
    }
    let elapsed_ms = (monotonic_ns() - began_ns) / 1_000_000;
    println!("{whole} of {files} files whole, {passed} commands passed in {elapsed_ms} ms");
    Ok(())
}
