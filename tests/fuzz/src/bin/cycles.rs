//! Random modules, captured at every safepoint into new engines, until there were so many captures; and each run
//! compared with the same in another engine (wasmtime): results, traps, the host's calls, and all that is exported.
//!
//! `cycles [CAPTURES] [SEED]`: 100 000 and 0 without a word. What is wrong ends it with the seed.

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use sos_fuzz::oracle;
use sos_tests::fuzz::random_module::{Figures, outcomes, program};

/// Bytes that a module is made of.
const BYTES: std::ops::Range<usize> = 500..6000;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut next = |default| {
        arguments
            .next()
            .map_or(default, |number| number.expect("a number"))
    };
    let (captures, first) = (next(100_000), next(0));
    let (mut figures, mut compared, mut skipped, mut modules) = (Figures::default(), 0, 0, 0);
    for seed in first.. {
        if figures.captures as u64 >= captures {
            break;
        }
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bytes = vec![0; random.random_range(BYTES)];
        random.fill_bytes(&mut bytes);
        let Some(program) = program(&bytes) else {
            continue;
        };
        modules += program.modules.len();
        for (name, outcome) in outcomes(&program, &mut figures) {
            match oracle::compare(&program.modules, &name, &outcome) {
                Ok(oracle::Verdict::Equal) => compared += 1,
                Ok(oracle::Verdict::Incomparable) => skipped += 1,
                Err(difference) => panic!("seed {seed}, {name:?}: {difference}"),
            }
        }
    }
    println!(
        "{} captures in {} runs of {modules} modules; {compared} runs are those of the other engine, {skipped} \
         ended where engines may differ",
        figures.captures, figures.runs
    );
}
