//! Runs the integer kernel and says how long it took. Configuration: `iterations` (1000).
//!
//! The module also exports the kernel itself as `run`, so that the bench's Linux peer runs the very
//! same code in the same engine.

use sos_sdk::time::Instant;
use sos_sdk::{config, info};

/// The kernel alone, for another host.
#[unsafe(no_mangle)]
pub extern "C" fn run(iterations: u32) -> u32 {
    coremark::run(iterations)
}

fn start() {
    let iterations = config::parse("iterations").unwrap_or(1000);
    let began = Instant::now();
    let checksum = coremark::run(iterations);
    let elapsed_ns = began.elapsed().as_nanos();
    info!("coremark: {iterations} iterations in {elapsed_ns} ns checksum {checksum:08x}");
}

sos_sdk::main!(start);
