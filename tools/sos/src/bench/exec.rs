//! The rows of `exec`: a program on a node that stays, one on a node of its own, and a large module.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::linux::Linux;
use super::linux_kit::Kit;
use super::samples::Samples;
use super::statistics::median;
use super::system::{self, number_after};
use super::withheld::Withheld;
use crate::exec::nodes::{FreshNode, Wants};
use crate::exec::{self, Feed, Job, Outcome};

/// The rows.
pub const KEPT: &str = "wasi_hello_kept";
pub const FRESH: &str = "exec_hello_fresh";
pub const LARGE: &str = "module_load_20mb";
/// Runs on the node that stays whose median counts.
const KEPT_RUNS: usize = 21;
/// Name of that node, in a folder of its own.
const NODE: &str = "bench";
/// Most that a large module may take.
const LOAD_PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of the large module, about.
const LARGE_BYTES: usize = 20 << 20;
/// Additions in each of its functions.
const ADDITIONS: usize = 250;

/// What says hello the way any WASI program does.
const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\06\00\00\00")
  (data (i32.const 16) "hello\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// The programs, in a folder that vanishes.
struct Programs {
    folder: tempfile::TempDir,
}

impl Programs {
    fn new() -> Result<Programs> {
        let folder = tempfile::tempdir().context("make a folder for programs")?;
        std::fs::write(folder.path().join("hello.wasm"), wat::parse_str(HELLO)?)?;
        Ok(Programs { folder })
    }

    fn hello(&self) -> PathBuf {
        self.folder.path().join("hello.wasm")
    }

    fn large(&self) -> Result<PathBuf> {
        let file = self.folder.path().join("large.wasm");
        std::fs::write(&file, large_module()).context("write the large module")?;
        Ok(file)
    }
}

/// Measures the wanted rows on SOS.
pub fn on_sos(wanted: &[&str], samples: &mut Samples) -> Result<()> {
    let programs = Programs::new()?;
    if wanted.contains(&KEPT) {
        samples.add(KEPT, kept_ms(&programs)?);
    }
    if wanted.contains(&FRESH) {
        let begin = Instant::now();
        run_tool(&programs, &[], &programs.hello())?;
        samples.add(FRESH, begin.elapsed().as_secs_f64() * 1e3);
    }
    if wanted.contains(&LARGE) {
        samples.add(LARGE, load_ms(&programs.large()?)?);
    }
    Ok(())
}

/// Measures the wanted rows that have a peer on the peer: a machine that starts one process, and a
/// process that loads the large module.
pub fn on_linux(kit: &Kit, wanted: &[&str], samples: &mut Samples) -> Result<()> {
    let programs = Programs::new()?;
    if wanted.contains(&FRESH) {
        let hello = programs.hello();
        let begin = Instant::now();
        Linux::work(kit, &[("hello.wasm", &hello)], "peer.start=/hello.wasm,1")?;
        samples.add(FRESH, begin.elapsed().as_secs_f64() * 1e3);
    }
    if wanted.contains(&LARGE) {
        let large = programs.large()?;
        let (files, words) = (
            [("large.wasm", large.as_path())],
            "peer.start=/large.wasm,1",
        );
        let (lines, withheld) = Linux::watched_work(kit, &files, words, &["start "])?;
        let start_ns = lines.iter().find_map(|line| number_after(line, "start "));
        let start_ns = start_ns.with_context(|| format!("the Linux peer printed {lines:?}"))?;
        let start = Duration::from_nanos(start_ns).saturating_sub(withheld.iter().sum());
        samples.add(LARGE, start.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// From command to exit on a node that stays: the median.
fn kept_ms(programs: &Programs) -> Result<f64> {
    let keep = format!("--keep={NODE}");
    // The first run boots the node and translates the program, which the others share.
    run_tool(programs, &[&keep], &programs.hello())?;
    let mut runs_ms = Vec::new();
    for _ in 0..KEPT_RUNS {
        let begin = Instant::now();
        run_tool(programs, &[&keep], &programs.hello())?;
        runs_ms.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let stopped = tool(programs, &[&format!("--stop={NODE}")]).status();
    ensure!(
        stopped.context("stop the node")?.success(),
        "the node that stays does not end"
    );
    median(&runs_ms).context("no runs")
}

fn tool(programs: &Programs, options: &[&str]) -> Command {
    // Of this very program: what the user starts as `cargo sos`, without cargo's own time.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("exec")
        .args(options)
        .env("XDG_RUNTIME_DIR", programs.folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    command
}

fn run_tool(programs: &Programs, options: &[&str], program: &Path) -> Result<()> {
    let output = tool(programs, options)
        .arg(program)
        .output()
        .context("run exec")?;
    ensure!(
        output.status.success() && output.stdout == b"hello\n",
        "hello ended with {} and printed {:?}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

/// From the first byte sent to a node that is up to the end of a program that does nothing.
fn load_ms(program: &Path) -> Result<f64> {
    let job = Job::new(program, &[]).map_err(exec::Unusable::into_error)?;
    let wants = Wants {
        memory_mib: system::MEMORY_MIB,
        ..Wants::default()
    };
    let node = FreshNode::boot(wants, None)?;
    let mut client = node.connect()?;
    let (begin, watch) = (Instant::now(), Withheld::from_now(node.process_id()));
    match exec::run(&mut client, &job, Feed::Nothing, Some(LOAD_PATIENCE))? {
        Outcome::Exited(0) => {
            let elapsed = begin.elapsed().saturating_sub(watch.until_now());
            Ok(elapsed.as_secs_f64() * 1e3)
        }
        other => bail!("the large module ended so: {other:?}"),
    }
}

/// A module of many ordinary functions, none of which is called.
fn large_module() -> Vec<u8> {
    let mut body = vec![0];
    body.extend([0x20, 0]);
    for number in 0..ADDITIONS {
        // local.get 0, i32.const number, i32.add (WebAssembly 5.4).
        body.extend([0x41, (number % 64) as u8, 0x6a]);
    }
    body.push(0x0b);
    let functions = LARGE_BYTES / body.len();
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // Types: (i32) -> i32, and that of the entry.
    section(&mut module, 1, &[2, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0]);
    let mut types = Vec::new();
    length(&mut types, functions + 1);
    types.extend(std::iter::repeat_n(0, functions));
    types.push(1);
    section(&mut module, 3, &types);
    section(&mut module, 5, &[1, 0, 1]);
    let mut exports = vec![2, 6];
    exports.extend(b"memory\x02\0\x06_start\0");
    length(&mut exports, functions);
    section(&mut module, 7, &exports);
    let mut code = Vec::new();
    length(&mut code, functions + 1);
    for _ in 0..functions {
        length(&mut code, body.len());
        code.extend(&body);
    }
    code.extend([2, 0, 0x0b]);
    section(&mut module, 10, &code);
    module
}

fn section(module: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    module.push(number);
    length(module, bytes.len());
    module.extend(bytes);
}

/// An unsigned LEB128 number.
fn length(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::nodes::HostedNode;

    #[test]
    fn the_large_module_is_sound_and_as_large_as_it_is_called() {
        let programs = Programs::new().unwrap();
        let file = programs.large().unwrap();
        let bytes = std::fs::metadata(&file).unwrap().len() as usize;
        assert!(
            (LARGE_BYTES..LARGE_BYTES + LARGE_BYTES / 50).contains(&bytes),
            "{bytes}"
        );
        let job = Job::new(&file, &[])
            .map_err(exec::Unusable::into_error)
            .unwrap();
        let node = HostedNode::start(Wants {
            memory_mib: 4096,
            ..Wants::default()
        })
        .unwrap();
        let mut client = node.connect().unwrap();
        let outcome = exec::run(&mut client, &job, Feed::Nothing, None).unwrap();
        assert_eq!(outcome, Outcome::Exited(0));
    }
}
