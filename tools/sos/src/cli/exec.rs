//! `sos exec`: one program on a node, as if it were run here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::exec::keep::KeptNode;
use crate::exec::nodes::{FreshNode, HostedNode, Wants};
use crate::exec::{self, Client, Feed, Job, Outcome, SharedDirectory, Signals, Unusable};
use crate::lan::{Forward, Lan, LanConfig, Service};
use crate::manifest::parse_size;
use crate::process::say;

/// What a user of `timeout` and `env` knows: the time was up; the tool failed; the program cannot be
/// run; it is not there.
const TIMED_OUT: u8 = 124;
pub(super) const OWN_FAILURE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// What a shell reports of a program that a signal ended: 128 and the signal's number.
const INTERRUPTED: u8 = 128 + libc::SIGINT as u8;
const TRAPPED: u8 = 128 + libc::SIGABRT as u8;
const KILLED: u8 = 128 + libc::SIGKILL as u8;
const BROKEN_PIPE: u8 = 128 + libc::SIGPIPE as u8;
/// Name of a node that stays, when none is given.
const KEPT_NAME: &str = "kept";
/// Port in the instance when the host's may be any.
const ANY_LISTENER: u16 = 8080;
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
  cargo sos exec --dir .::/data --env HOME=/data tool.wasm /data/input.txt
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
    /// Let the program find a listening socket open, which this host reaches at ADDRESS; port 0 is any
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Run it on a node that stays for the next programs, booted if it does not run yet
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true,
          default_missing_value = KEPT_NAME, conflicts_with = "hosted")]
    keep: Option<String>,
    /// End a node that stays
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true,
          default_missing_value = KEPT_NAME, conflicts_with_all = ["program", "keep"])]
    stop: Option<String>,
    /// List the nodes that stay
    #[arg(long, conflicts_with_all = ["program", "keep", "stop"])]
    list: bool,
    /// Memory of a machine that is booted; without it that of the program and 512 MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    machine_memory: Option<u64>,
    /// The secret of a node that is booted: a file of 32 bytes or 64 hexadecimal digits, for this node alone
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Run it in this process, on the simulated machine, without QEMU
    #[arg(long)]
    hosted: bool,
    /// The program: a WebAssembly module, or one in text form (.wat)
    #[arg(required_unless_present_any = ["stop", "list"])]
    program: Option<PathBuf>,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs a program and gives the status to end with.
pub fn run(arguments: &Arguments) -> ExitCode {
    ExitCode::from(status(arguments))
}

fn status(arguments: &Arguments) -> u8 {
    let Some(program) = &arguments.program else {
        return manage(arguments).unwrap_or_else(fail);
    };
    let signals = Signals::block();
    let job = match Job::new(program, &arguments.arguments) {
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
    complete(arguments, job)
        .and_then(|(job, feed)| execute(arguments, &job, feed, signals))
        .map_or_else(fail, report)
}

fn fail(error: anyhow::Error) -> u8 {
    say(format!("error: {error:#}"));
    OWN_FAILURE
}

/// Ends or lists nodes that stay.
fn manage(arguments: &Arguments) -> Result<u8> {
    match &arguments.stop {
        Some(name) if KeptNode::named(name)?.stop()? => say(format!("node {name} ended")),
        Some(name) => say(format!("node {name} does not run")),
        None => KeptNode::running()?
            .iter()
            .for_each(|name| println!("{name}")),
    }
    Ok(0)
}

/// Adds to a program what it is given.
fn complete(arguments: &Arguments, mut job: Job) -> Result<(Job, Feed)> {
    refuse_listeners_without_network(arguments)?;
    for text in &arguments.env {
        job.add_variable(text)?;
    }
    for text in &arguments.library {
        job.add_library(text)?;
    }
    for directory in &arguments.dir {
        job.add_directory(directory)?;
    }
    for (host, spare) in arguments.listen.iter().zip(ANY_LISTENER..) {
        job.add_listener(match host.port() {
            0 => spare,
            port => port,
        });
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

/// Only a machine that is booted for the program has a LAN that leads to it.
fn refuse_listeners_without_network(arguments: &Arguments) -> Result<()> {
    let why = if arguments.keep.is_some() {
        "a node that stays (--keep) was booted without a network"
    } else if arguments.hosted {
        "a hosted node (--hosted) has no network"
    } else {
        return Ok(());
    };
    ensure!(
        arguments.listen.is_empty(),
        "--listen: {why}: leave that option out, and the program gets a machine of its own whose LAN leads to it"
    );
    Ok(())
}

fn execute(arguments: &Arguments, job: &Job, feed: Feed, signals: Signals) -> Result<Outcome> {
    let wanted = arguments.memory.unwrap_or(0) + MACHINE_MEMORY;
    let memory_mib = arguments.machine_memory.unwrap_or(wanted) >> 20;
    let wants = Wants {
        memory_mib,
        secret: arguments.key_file.clone(),
    };
    let run = |mut client: Client| {
        signals.send_to(client.sender());
        exec::run(&mut client, job, feed, arguments.timeout)
    };
    if let Some(name) = &arguments.keep {
        return run(KeptNode::named(name)?.connect(wants)?);
    }
    if arguments.hosted {
        let node = HostedNode::start(wants)?;
        return run(node.connect()?);
    }
    let lan = match job.spec.listeners.is_empty() {
        true => None,
        false => Some(start_lan(arguments, job)?),
    };
    let node = FreshNode::boot(wants, lan.as_ref())?;
    run(node.connect()?)
}

/// The LAN that leads from this host to the program's listening sockets.
fn start_lan(arguments: &Arguments, job: &Job) -> Result<Lan> {
    let pairs = arguments.listen.iter().zip(&job.spec.listeners);
    let forwards = pairs.map(|(host, listener)| Forward {
        host: *host,
        service: Service::Name(job.spec.name.clone()),
        port: listener.port,
    });
    let config = LanConfig {
        forwards: forwards.collect(),
        ..LanConfig::default()
    };
    let lan = Lan::start(config).context("start the LAN for --listen")?;
    for (index, host) in arguments.listen.iter().enumerate() {
        if host.port() == 0 {
            let port = lan.forward_port(index);
            say(format!("{}:{port} leads to the program", host.ip()));
        }
    }
    Ok(lan)
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
