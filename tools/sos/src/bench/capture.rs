//! The rows of captured programs: what frame maps cost running code and translation, how long a capture
//! takes, and how soon an operator's request freezes a program that never waits.
//!
//! The first three have one way of measuring, `kernel/engine/examples/frame_figures.rs`: wasmi as
//! published and ours in one process, in turns, in the kernel's profile. The last is the kernel's own
//! clock in a machine, from the interrupt that brings the request to the end of the cut.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

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

/// A program that never waits.
struct Hostile {
    name: &'static str,
    /// Limits in the manifest.
    limits: &'static str,
    text: fn() -> String,
}

const HOSTILE: [Hostile; 6] = [
    Hostile {
        name: "endless",
        limits: "limits.memory = \"1MiB\"",
        text: || r#"(module (func (export "_start") (loop $again (br $again))))"#.into(),
    },
    // All of its memory is touched, and written again and again, by one operator each time.
    Hostile {
        name: "filling",
        limits: "limits.memory = \"256MiB\"",
        text: || {
            r#"(module (memory 4096) (func (export "_start") (local $byte i32) (loop $again
            (memory.fill (i32.const 0) (local.tee $byte (i32.add (local.get $byte) (i32.const 1)))
                (i32.const 0x1000_0000))
            (br $again))))"#
                .into()
        },
    },
    // As deep as calls may be by default.
    Hostile {
        name: "deep",
        limits: "limits.memory = \"1MiB\"",
        text: || {
            r#"(module (func $down (param i32 i64 f64) (local i32 i64)
            (if (i32.eqz (local.get 0)) (then (loop $again (br $again))))
            (call $down (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (local.get 2)))
            (func (export "_start") (call $down (i32.const 9900) (i64.const 1) (f64.const 2))))"#
                .into()
        },
    },
    // As many elements of tables as there may be by default, no two neighbours alike.
    Hostile {
        name: "elements",
        limits: "limits.memory = \"1MiB\"",
        text: || {
            r#"(module (table $t 100000 funcref) (elem declare func $a $b)
            (func $a) (func $b) (func (export "_start") (local $i i32)
                (loop $next
                    (table.set $t (local.get $i) (select (result funcref)
                        (ref.func $a) (ref.func $b) (i32.and (local.get $i) (i32.const 1))))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                        (i32.const 100000))))
                (loop $again (br $again))))"#
                .into()
        },
    },
    // As deep, and back to as many places as can be told apart: their maps are read for each call anew.
    Hostile {
        name: "scattered",
        limits: "limits.memory = \"1MiB\"",
        text: scattered,
    },
    // As many things as the modules of an instance may hold by default that are looked at one by one.
    Hostile {
        name: "holding",
        limits: "limits.memory = \"1MiB\"",
        text: holding,
    },
];

/// Calls in one function, of which each nested call takes the next.
const PLACES: usize = 3000;

fn scattered() -> String {
    let mut text = String::from(
        r#"(module (func (export "_start") (call $down (i32.const 9900) (i64.const 1)))
        (func $down (param i32 i64) (if (i32.eqz (local.get 0)) (then (loop $again (br $again))))
        block $out "#,
    );
    text += &"block ".repeat(PLACES);
    text += "local.get 0 i32.const 3000 i32.rem_u br_table";
    (0..PLACES).for_each(|place| text += &format!(" {place}"));
    for place in 0..PLACES {
        text += &format!(
            " end i64.const {place} local.get 0 i32.const 1 i32.sub local.get 1 call $down drop br {}",
            PLACES - 1 - place
        );
    }
    text + " end))"
}

fn holding() -> String {
    let globals = "(global (mut i64) (i64.const 1))".repeat(2_400);
    let segments = "(data \"a\")".repeat(11_250);
    let elements = "(elem func $a)".repeat(11_250);
    format!(
        r#"(module (func $a) {globals} {segments} {elements}
        (func (export "_start") (data.drop 7) (elem.drop 9) (loop $again (br $again))))"#
    )
}

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
    let manifest = format!(
        "name = \"bench\"\n[instance.{name}]\nmodule = \"{}\"\n{}\n",
        module(hostile)?.display(),
        hostile.limits
    );
    let image = kit.image(name, &manifest)?;
    let node = system::machine(kit.kernel(), &image).name("SOS").spawn()?;
    node.console().expect(PROMPT, ANSWER_TIMEOUT)?;
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
fn module(hostile: &Hostile) -> Result<PathBuf> {
    let file = paths::cache()?.join(format!("bench-{}.wasm", hostile.name));
    let bytes = wat::parse_str((hostile.text)()).context("assemble a program")?;
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
        }
    }
}
