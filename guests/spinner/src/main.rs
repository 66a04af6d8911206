//! Counts primes for ever and says now and then how far it came. It never waits, so that it takes
//! every moment that others leave. Configuration: `report_ms` (60000).

use sos_sdk::time::{Duration, Instant};
use sos_sdk::{config, info};

/// Numbers sieved between two looks at the clock.
const WINDOW: u64 = 1 << 16;

fn spin() {
    let report = Duration::from_millis(config::parse("report_ms").unwrap_or(60_000));
    let mut last_report = Instant::now();
    let mut primes = 0u64;
    let mut sieve = vec![true; WINDOW as usize];
    for start in (0u64..).step_by(WINDOW as usize) {
        primes += count_primes(start, &mut sieve);
        if last_report.elapsed() >= report {
            last_report = Instant::now();
            info!("{primes} primes below {}", start + WINDOW);
        }
    }
}

/// The primes from `start` on, as many numbers as the sieve holds (sieve of Eratosthenes, in
/// windows).
fn count_primes(start: u64, sieve: &mut [bool]) -> u64 {
    sieve.fill(true);
    let end = start + sieve.len() as u64;
    let mut divisor = 2;
    while divisor * divisor < end {
        let first = (divisor * divisor).max(start.div_ceil(divisor) * divisor);
        for composite in (first..end).step_by(divisor as usize) {
            sieve[(composite - start) as usize] = false;
        }
        divisor += 1;
    }
    let below_two = 2u64.saturating_sub(start).min(sieve.len() as u64);
    sieve
        .iter()
        .skip(below_two as usize)
        .filter(|&&is_prime| is_prime)
        .count() as u64
}

sos_sdk::main!(spin);
