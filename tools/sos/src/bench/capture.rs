//! The rows of captured programs: what frame maps cost running code and translation, how long a capture
//! takes, and how soon an operator's request freezes a program that never waits.
//!
//! The first three have one way of measuring, `kernel/engine/examples/frame_figures.rs`: wasmi as
//! published and ours in one process, in turns, in the kernel's profile. The last is the kernel's own
//! clock in a machine, from the interrupt that brings the request to the end of the cut.

mod programs;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::programs::{Beside, HOSTILE, Hostile};
use super::samples::Samples;
use super::sos_node::{self, ANSWER_TIMEOUT, PROMPT, ask};
use super::statistics::median;
use super::system::{self, number_after};
use crate::process::say;
use crate::{build, paths, process};

/// The rows that one process measures.
pub const RUN: &str = "capture_run";
pub const TRANSLATE: &str = "capture_translate";
pub const FRAMES: &str = "capture_frames";
/// The row that a machine measures.
pub const FREEZE: &str = "capture_freeze";
/// What is translated: a server, a computation and a program with a library.
const TRANSLATED: [&str; 4] = ["web", "coremark", "store", "proxy"];
/// How often each program is frozen.
const FREEZES: u32 = 15;
/// Time between two of them, which is no multiple of a slice.
const BETWEEN: Duration = Duration::from_micros(61_237);

/// Measures the wanted rows that compare engines.
pub fn on_host(wanted: &[&str], samples: &mut Samples) -> Result<()> {
    let modules = match wanted.contains(&TRANSLATE) {
        true => build::guests(&TRANSLATED)?,
        false => Vec::new(),
    };
    let mut command = process::clean_cargo("cargo", &[]);
    command
        .args(["run", "--quiet", "--profile", "kernel"])
        .args(["--package", "sos-engine", "--example", "frame_figures"])
        .arg("--target-dir")
        .arg(paths::target()?)
        .arg("--")
        .args(modules)
        .current_dir(paths::workspace()?);
    let text = process::output(&mut command).context("compare the engines")?;
    text.lines()
        .filter(|line| !line.starts_with("row "))
        .for_each(|line| say(format!("bench: {line}")));
    for row in [RUN, TRANSLATE, FRAMES] {
        if wanted.contains(&row) {
            let figure = figure_of(&text, row);
            samples.add(
                row,
                figure.with_context(|| format!("no `{row}` in {text}"))?,
            );
        }
    }
    Ok(())
}

/// The figure in the line of a row.
fn figure_of(text: &str, row: &str) -> Option<f64> {
    let lines = text.lines();
    let mut rests = lines.filter_map(|line| line.strip_prefix("row ")?.strip_prefix(row));
    rests.find_map(|rest| rest.trim().parse().ok())
}

/// Freezes programs that never wait: the median of each, of which the slowest counts, in milliseconds.
/// What is above a median is mostly the host's, which lets the machine wait.
pub fn freeze_ms(kit: &sos_node::Kit) -> Result<f64> {
    let mut slowest_ms: f64 = 0.0;
    for hostile in &HOSTILE {
        let times_ms = freezes_ms(kit, hostile)?;
        let median_ms = median(&times_ms).context("no freeze")?;
        let most_ms = times_ms.iter().copied().fold(0.0, f64::max);
        say(format!(
            "bench: {} froze {median_ms:.3} ms after the request on the median, {most_ms:.3} ms at worst",
            hostile.name,
        ));
        slowest_ms = median_ms.max(slowest_ms);
    }
    Ok(slowest_ms)
}

/// Suspends one program again and again: milliseconds from each request to the cut.
fn freezes_ms(kit: &sos_node::Kit, hostile: &Hostile) -> Result<Vec<f64>> {
    let name = hostile.name;
    let mut manifest = format!(
        "name = \"bench\"\n[instance.{name}]\nmodule = \"{}\"\n{}\n",
        module(name, &(hostile.text)())?.display(),
        hostile.limits
    );
    if let Some(Beside { name, text, rest }) = &hostile.beside {
        let file = module(name, text)?;
        manifest += &format!(
            "[instance.{name}]\nmodule = \"{}\"\n{rest}\n",
            file.display()
        );
    }
    let image = kit.image(name, &manifest)?;
    let machine = system::machine(kit.kernel(), &image).name("SOS");
    let machine = machine.arguments(system::PREALLOCATED.map(str::to_owned));
    let node = machine.spawn()?;
    node.console().expect(PROMPT, ANSWER_TIMEOUT)?;
    std::thread::sleep(hostile.settling);
    let mut times_ms = Vec::new();
    for _ in 0..FREEZES {
        std::thread::sleep(BETWEEN);
        ask(&node, &format!("suspend {name}"))?;
        let detail = ask(&node, &format!("info {name} --json"))?;
        ensure!(detail.contains("\"suspended\""), "{name} goes on: {detail}");
        let freeze_ns = number_after(&detail, "\"freeze_nanos\":");
        times_ms.push(freeze_ns.with_context(|| format!("read `{detail}`"))? as f64 / 1e6);
        ask(&node, &format!("resume {name}"))?;
    }
    Ok(times_ms)
}

/// The file of a program.
fn module(name: &str, text: &str) -> Result<PathBuf> {
    let file = paths::cache()?.join(format!("bench-{name}.wasm"));
    let bytes = wat::parse_str(text).context("assemble a program")?;
    std::fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{HOSTILE, figure_of};

    #[test]
    fn a_figure_is_found_by_its_row() {
        let text = "running: speed 0.99\nrow capture_run 0.9912\nrow capture_frames 12.5\n";
        assert_eq!(figure_of(text, "capture_run"), Some(0.9912));
        assert_eq!(figure_of(text, "capture_frames"), Some(12.5));
        assert_eq!(figure_of(text, "capture_translate"), None);
    }

    #[test]
    fn programs_that_never_wait_are_sound() {
        for hostile in &HOSTILE {
            assert!(wat::parse_str((hostile.text)()).is_ok(), "{}", hostile.name);
            if let Some(beside) = &hostile.beside {
                assert!(wat::parse_str(beside.text).is_ok(), "{}", beside.name);
            }
        }
    }
}
