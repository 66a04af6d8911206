//! The row that compares whole WASI programs: SQLite on SOS, and under wasmi's own command line in a
//! Linux process.
//!
//! Both times go from the start to the end of the program and include the translation of its module
//! (a second start would find it translated on SOS alone). What both print must be equal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::linux::Linux;
use super::linux_kit::Kit;
use super::samples::Samples;
use super::system::number_after;
use crate::build::{self, Haste};
use crate::{paths, process};

/// The row.
pub const ROW: &str = "sqlite";
/// Orders that are put into the database: some seconds in an emulated machine.
pub const ORDERS: u32 = 6000;
/// How long one run may take.
pub const TIMEOUT: Duration = Duration::from_secs(180);
/// How the last line of the program begins.
const LAST_LINE: &str = "file of ";

/// The release of the command line, which is that of the engine.
const WASMI_VERSION: &str = "=2.0.0";
const PEER_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The program as a WASI module.
pub fn module() -> Result<PathBuf> {
    let mut files = build::wasi_programs(&["sqlite"], Haste::Bench)?;
    files.pop().context("no module")
}

/// What a run found out: its checksums and the size of its file, wherever they stand in a text.
pub fn findings(text: &str) -> Vec<&str> {
    let labels = ["checksum ", LAST_LINE];
    let finding = |line| {
        let start = labels.iter().find_map(|label| str::find(line, label))?;
        Some(line[start..].trim_end())
    };
    text.lines().filter_map(finding).collect()
}

/// Runs it on the peer and returns what it found out.
pub fn on_linux(kit: &Kit, samples: &mut Samples) -> Result<Vec<String>> {
    let files = [("wasmi", wasmi_command_line()?), ("sqlite.wasm", module()?)];
    let files = files.each_ref().map(|(name, path)| (*name, path.as_path()));
    let words = format!("peer.execute=/wasmi,run,--dir,/data,/sqlite.wasm,/data/a.db,{ORDERS}");
    let (lines, withheld) = Linux::watched_work(kit, &files, &words, &["executed in "])?;
    let text = lines.join("\n");
    ensure!(
        text.contains("exit status: 0"),
        "the Linux peer printed {lines:?}"
    );
    let elapsed_ns = number_after(&text, "executed in ").context("the peer names no time")?;
    let elapsed = Duration::from_nanos(elapsed_ns).saturating_sub(withheld.iter().sum());
    samples.add(ROW, elapsed.as_secs_f64() * 1e3);
    Ok(findings(&text).into_iter().map(str::to_owned).collect())
}

/// wasmi's command line from its registry, unchanged, made as quick as its authors advise: one
/// codegen unit and link-time optimisation, and static, since the machine has no libraries.
fn wasmi_command_line() -> Result<PathBuf> {
    let folder = paths::target()?.join("peer");
    let program = folder.join("bin/wasmi");
    if program.is_file() {
        return Ok(program);
    }
    process::say(format!(
        "building wasmi's command line {WASMI_VERSION} for the Linux peer"
    ));
    install(&folder)?;
    Ok(program)
}

fn install(folder: &Path) -> Result<()> {
    let flags = [
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
        "-Cstrip=symbols",
    ];
    let mut command = process::clean_cargo("cargo", &flags.map(String::from));
    command
        .args(["install", "wasmi_cli", "--locked", "--version"])
        .arg(WASMI_VERSION)
        .args(["--target", PEER_TARGET])
        .args(["--config", "profile.release.lto=\"fat\""])
        .args(["--config", "profile.release.codegen-units=1"])
        .arg("--root")
        .arg(folder)
        .arg("--target-dir")
        .arg(folder.join("wasmi_cli"))
        .current_dir(paths::workspace()?)
        .stdout(std::io::stderr());
    process::run(&mut command).context("build wasmi's command line")
}

#[cfg(test)]
mod tests {
    use super::findings;

    #[test]
    fn findings_are_the_same_behind_other_words() {
        let here = "4 purchases, checksum 0a1b\nplan: index\nfile of 8192 bytes\n";
        let there = "printed 4 purchases, checksum 0a1b\r\nprinted file of 8192 bytes\r";
        assert_eq!(findings(here), ["checksum 0a1b", "file of 8192 bytes"]);
        assert_eq!(findings(here), findings(there));
    }
}
