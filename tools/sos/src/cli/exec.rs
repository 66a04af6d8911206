//! `sos exec`: one program on a node, as if it were run here.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::exec::nodes::{FreshNode, HostedNode, Wants};
use crate::exec::{self, Feed, Job, Outcome, SharedDirectory, Unusable};
use crate::manifest::parse_size;
use crate::process::say;

/// What a user of `timeout` and `env` knows: the time was up; the tool failed; the program cannot be
/// run; it is not there.
const TIMED_OUT: u8 = 124;
const OWN_FAILURE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// What a shell reports of a program that a signal ended: 128 and the signal's number.
const INTERRUPTED: u8 = 128 + libc::SIGINT as u8;
const TRAPPED: u8 = 128 + libc::SIGABRT as u8;
const KILLED: u8 = 128 + libc::SIGKILL as u8;
const BROKEN_PIPE: u8 = 128 + libc::SIGPIPE as u8;
/// Memory of the machine beside that of the program.
const MACHINE_MEMORY: u64 = 512 << 20;

/// What is run, and how.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Exit status:
  that of the program, or
  124  the time of --timeout was up
  125  sos itself failed: no node, no such option, files that cannot be copied
  126  the program is no WebAssembly, or the node refuses it
  127  the program is not there
  130  interrupted by Ctrl-C
  134  the program trapped; the reason and its calls are on standard error
  137  the program was killed at the node, or the node had no memory for it
  141  nobody reads what it writes

Examples:
  cargo sos exec hello.wasm one two
  cargo sos exec --dir .::/work --env HOME=/work tool.wasm /work/input.txt
  cargo sos exec --hosted --timeout 5 --stdin questions.txt answer.wasm")]
pub struct Arguments {
    /// Copy a directory in, and what the program changes in it out again; GUEST is its name there
    #[arg(long, value_name = "HOST[::GUEST]", value_parser = parse_directory)]
    dir: Vec<SharedDirectory>,
    /// Set a variable of the environment; without a value, as it is here
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Take standard input from a file
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Kill the program after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,
    /// Most memory of the program, such as 64MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// A module that the program imports from by this name
    #[arg(long, value_name = "NAME=FILE")]
    library: Vec<String>,
    /// Run it in this process, on the simulated machine, without QEMU
    #[arg(long)]
    hosted: bool,
    /// The program: a WebAssembly module, or one in text form (.wat)
    program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs a program and gives the status to end with.
pub fn run(arguments: &Arguments) -> ExitCode {
    ExitCode::from(status(arguments))
}

fn status(arguments: &Arguments) -> u8 {
    let job = match Job::new(&arguments.program, &arguments.arguments) {
        Ok(job) => job,
        Err(unusable) => {
            let status = match &unusable {
                Unusable::Missing(_) => NOT_FOUND,
                Unusable::NotWasm(_) => NOT_RUNNABLE,
            };
            say(format!("error: {:#}", unusable.into_error()));
            return status;
        }
    };
    let outcome = complete(arguments, job).and_then(|(job, feed)| execute(arguments, &job, feed));
    match outcome {
        Ok(outcome) => report(outcome),
        Err(error) => {
            say(format!("error: {error:#}"));
            OWN_FAILURE
        }
    }
}

/// Adds to a program what it is given.
fn complete(arguments: &Arguments, mut job: Job) -> Result<(Job, Feed)> {
    for text in &arguments.env {
        job.add_variable(text)?;
    }
    for text in &arguments.library {
        job.add_library(text)?;
    }
    for directory in &arguments.dir {
        job.add_directory(directory)?;
    }
    if let Some(bytes) = arguments.memory {
        job.spec.limits.memory_bytes = bytes;
    }
    let feed = match &arguments.stdin {
        Some(file) => exec::open_input(file)?,
        None => Feed::Own,
    };
    Ok((job, feed))
}

fn execute(arguments: &Arguments, job: &Job, feed: Feed) -> Result<Outcome> {
    let wants = Wants {
        memory_mib: (MACHINE_MEMORY + arguments.memory.unwrap_or(0)) >> 20,
    };
    if arguments.hosted {
        let node = HostedNode::start(wants)?;
        return exec::run(&mut node.connect()?, job, feed, arguments.timeout);
    }
    let node = FreshNode::boot(wants)?;
    exec::run(&mut node.connect()?, job, feed, arguments.timeout)
}

/// Says what is to be said of an end and gives its status.
fn report(outcome: Outcome) -> u8 {
    match outcome {
        // As a shell sees it: the low byte.
        Outcome::Exited(status) => status as u8,
        Outcome::Trapped { reason, backtrace } => {
            say(format!("trap: {reason}"));
            if !backtrace.is_empty() {
                eprintln!("backtrace, innermost first:");
            }
            for line in backtrace {
                eprintln!("  {line}");
            }
            TRAPPED
        }
        Outcome::OutOfMemory => {
            say("the node ran out of memory for the program");
            KILLED
        }
        Outcome::Refused(reason) => {
            say(format!("error: {reason}"));
            NOT_RUNNABLE
        }
        Outcome::TimedOut(limit) => {
            say(format!(
                "killed: it ran longer than {} s (--timeout)",
                limit.as_secs_f64()
            ));
            TIMED_OUT
        }
        Outcome::Interrupted => INTERRUPTED,
        Outcome::Killed => {
            say("killed at the node");
            KILLED
        }
        Outcome::BrokenPipe => BROKEN_PIPE,
    }
}

fn parse_directory(text: &str) -> Result<SharedDirectory, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST::GUEST, or HOST where both have one name".to_string());
    }
    Ok(SharedDirectory {
        host: host.into(),
        guest: guest.to_string(),
    })
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limit.ok_or_else(|| format!("`{text}` is no number of seconds"))
}
