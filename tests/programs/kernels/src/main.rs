//! The bench's kernels as a WASI program: the integer kernel and the floating-point kernel, whose
//! sources are those of the guests `coremark` and `nbody`.
//!
//! Argument: iterations of each (20). The checksums go to standard output, the times to standard
//! error.

use std::time::Instant;

fn main() {
    let iterations = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    run("coremark", iterations, coremark::run);
    run("nbody", iterations, nbody::run);
}

fn run(name: &str, iterations: u32, kernel: fn(u32) -> u32) {
    let began = Instant::now();
    let checksum = kernel(iterations);
    println!("{name}: {iterations} iterations checksum {checksum:08x}");
    eprintln!("kernels: {name} in {} ns", began.elapsed().as_nanos());
}
