//! The rows that compare engines: what runs, how often, and how results are read.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::linux::Linux;
use super::linux_kit::Kit;
use super::samples::Samples;
use super::statistics::median;
use super::system::number_after;
use crate::build;

/// A kernel that both systems run in wasmi.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// The row that it fills.
    pub row: &'static str,
    /// The guest that holds it.
    pub guest: &'static str,
    /// What its `run` is given: about two seconds in an emulated machine.
    pub iterations: u32,
}

/// Both kernels.
pub const KERNELS: [Kernel; 2] = [
    Kernel {
        row: "coremark",
        guest: "coremark",
        iterations: 1000,
    },
    Kernel {
        row: "float_kernel",
        guest: "nbody",
        iterations: 1000,
    },
];

/// Fuel of one slice on the peer: what SOS's own slices of 250 microseconds come to under emulation
/// (`info`), so that both stop equally often.
const SLICE_FUEL: u64 = 68_000;
/// Starts whose median counts.
pub const STARTS: usize = 21;
/// What is started; the same module on both systems.
pub const STARTED_GUEST: &str = "hello";

/// What a kernel says when it is done: `N iterations in M ns checksum X`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How long it ran, without what the host withheld.
    pub elapsed_ns: u64,
    /// What it computed, which must be the same on both systems.
    pub checksum: String,
}

impl Outcome {
    /// Reads the line of a kernel.
    pub fn read(line: &str) -> Option<Outcome> {
        let checksum = line
            .split_once("checksum ")?
            .1
            .split_ascii_whitespace()
            .next()?;
        Some(Outcome {
            elapsed_ns: number_after(line, "iterations in ")?,
            checksum: checksum.to_owned(),
        })
    }

    /// Takes off what the host withheld meanwhile.
    ///
    /// # Errors
    /// When that is as much as all of the time: then it was not withheld from the kernel alone.
    pub fn without(mut self, withheld: Duration) -> Result<Outcome> {
        let rest_ns = self.elapsed_ns.checked_sub(withheld.as_nanos() as u64);
        self.elapsed_ns = rest_ns
            .filter(|&rest_ns| rest_ns > 0)
            .with_context(|| format!("the host withheld {withheld:?} of {} ns", self.elapsed_ns))?;
        Ok(self)
    }
}

/// Runs the wanted kernels on the peer, one boot for all.
pub fn on_linux(kit: &Kit, wanted: &[Kernel], samples: &mut Samples) -> Result<Vec<Outcome>> {
    let names: Vec<&str> = wanted.iter().map(|kernel| kernel.guest).collect();
    let modules = build::guests(&names)?;
    let names: Vec<String> = names.iter().map(|name| format!("{name}.wasm")).collect();
    let files: Vec<_> = names
        .iter()
        .map(String::as_str)
        .zip(modules.iter().map(PathBuf::as_path))
        .collect();
    let work = wanted
        .iter()
        .map(|kernel| format!("/{}.wasm,{},{SLICE_FUEL}", kernel.guest, kernel.iterations));
    let words = format!("peer.compute={}", work.collect::<Vec<_>>().join(";"));
    let last_words = vec!["checksum "; wanted.len()];
    let (lines, withheld) = Linux::watched_work(kit, &files, &words, &last_words)?;
    let outcomes: Vec<_> = lines
        .iter()
        .filter_map(|line| Outcome::read(line))
        .zip(withheld)
        .map(|(outcome, withheld)| outcome.without(withheld))
        .collect::<Result<_>>()?;
    ensure!(
        outcomes.len() == wanted.len(),
        "the Linux peer printed {lines:?}"
    );
    for (kernel, outcome) in wanted.iter().zip(&outcomes) {
        samples.add(kernel.row, outcome.elapsed_ns as f64 / 1e6);
    }
    Ok(outcomes)
}

/// Starts processes that instantiate a module on the peer.
pub fn starts_on_linux(kit: &Kit, samples: &mut Samples) -> Result<()> {
    let modules = build::guests(&[STARTED_GUEST])?;
    let file = format!("{STARTED_GUEST}.wasm");
    let words = format!("peer.start=/{file},{STARTS}");
    let lines = Linux::work(kit, &[(&file, &modules[0])], &words)?;
    let starts_ms: Vec<f64> = lines
        .iter()
        .filter_map(|line| Some(number_after(line, "start ")? as f64 / 1e6))
        .collect();
    ensure!(
        starts_ms.len() == STARTS,
        "the Linux peer printed {lines:?}"
    );
    samples.add("start_instance", median(&starts_ms).context("no start")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_off_than_there_is() {
        let outcome = |elapsed_ns| Outcome {
            elapsed_ns,
            checksum: String::new(),
        };
        let withheld = Duration::from_nanos(300);
        assert_eq!(outcome(1000).without(withheld).unwrap(), outcome(700));
        assert!(outcome(300).without(withheld).is_err());
    }

    #[test]
    fn a_kernels_line_is_read_wherever_it_stands() {
        let line = "[1.5] coremark: 1000 iterations in 2613816760 ns checksum 1f93cd74\r";
        let expected = Outcome {
            elapsed_ns: 2_613_816_760,
            checksum: "1f93cd74".to_owned(),
        };
        assert_eq!(Outcome::read(line), Some(expected));
        assert_eq!(Outcome::read("coremark: started"), None);
    }
}
