//! The row of the WebAssembly specification's suite: inside the kernel, and by the same runner in a Linux
//! process.
//!
//! Both count from the first script to the end of the last and must come to the same verdict.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::linux::Linux;
use super::linux_kit::Kit;
use super::samples::Samples;
use super::sos_node;
use super::system::number_after;
use crate::{paths, process};

/// The row.
pub const ROW: &str = "spec_suite_s";
/// How long one run may take.
pub const TIMEOUT: Duration = Duration::from_secs(600);
/// What stands before the verdict in the kernel's line.
pub const FINISHED: &str = "spec: finished: ";
/// The program of the peer.
const PROGRAM: &str = "sos-peer-spec";

/// What a run found, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Files and commands that passed, in words.
    pub findings: String,
    elapsed_ms: u64,
}

impl Verdict {
    /// Reads the line of a run, from the verdict on.
    pub fn read(line: &str) -> Option<Verdict> {
        let (findings, _) = line.split_once(" in ")?;
        Some(Verdict {
            findings: findings.to_owned(),
            elapsed_ms: number_after(line, "passed in ")?,
        })
    }

    fn add_to(&self, samples: &mut Samples) {
        samples.add(ROW, self.elapsed_ms as f64 / 1e3);
    }
}

/// The scripts in one file, made by the tests' crate, which has the suite.
pub fn bundle() -> Result<PathBuf> {
    let file = paths::cache()?.join("bench-suite.spec");
    let mut command = process::clean_cargo("cargo", &[]);
    command
        .args(["run", "--quiet", "--package", "sos-tests"])
        .args(["--example", "spec_bundle", "--"])
        .arg(&file)
        .current_dir(paths::workspace()?)
        .stdout(std::io::stderr());
    process::run(&mut command).context("pack the specification's suite")?;
    Ok(file)
}

/// Runs it on the peer and returns what was found.
pub fn on_linux(kit: &Kit, samples: &mut Samples) -> Result<String> {
    let program = kit.program(PROGRAM);
    let bundle = bundle()?;
    let files = [("suite", program.as_path()), ("suite.spec", &bundle)];
    let lines = Linux::work_for(kit, &files, "peer.execute=/suite,/suite.spec", TIMEOUT)?;
    let printed = lines.iter().find_map(|line| line.strip_prefix("printed "));
    let verdict = printed
        .and_then(Verdict::read)
        .with_context(|| format!("the Linux peer printed {lines:?}"))?;
    verdict.add_to(samples);
    Ok(verdict.findings)
}

/// Runs it on SOS, which must find the same.
pub fn on_sos(kit: &sos_node::Kit, expected: &str, samples: &mut Samples) -> Result<()> {
    let verdict = sos_node::suite(kit)?;
    ensure!(
        expected.is_empty() || verdict.findings == expected,
        "SOS found {:?} and the peer {expected:?}",
        verdict.findings
    );
    verdict.add_to(samples);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn a_verdict_is_read_without_its_time() {
        let line = "211 of 211 files whole, 50123 commands passed in 9876 ms\r";
        let verdict = Verdict::read(line).unwrap();
        assert_eq!(
            verdict.findings,
            "211 of 211 files whole, 50123 commands passed"
        );
        assert_eq!(verdict.elapsed_ms, 9876);
        assert_eq!(Verdict::read("spec: the bundle is truncated"), None);
    }
}
