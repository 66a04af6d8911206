//! The command line: what `sos` (and `cargo sos`) understands.
//!
//! One file per verb that is more than a call into the library: `run` (`nodes` for several), `exec`, `snapshot`,
//! `key`, `make` (build, image, new).

mod ctl;
mod exec;
mod follow;
mod key;
mod make;
mod nodes;
mod run;
mod snapshot;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench;
use crate::cluster;
use crate::process::say;
use crate::setup::{self, WasmTarget};

/// Build, pack and run services on SOS, an operating system whose instances are WebAssembly.
///
/// Without a verb, the demo is built and run: `sos run`.
#[derive(Debug, Parser)]
#[command(
    name = "sos",
    version,
    after_help = "Environment:
  SOS_NO_INSTALL=1         install nothing; say what to install instead
  SOS_WASM_TOOLCHAIN=NAME  compile guests with `rustup` or with `debian` packages
  CARGO_TARGET_DIR=FOLDER  put everything that is built there

Examples:
  cargo sos run                           the demo: curl http://127.0.0.1:8080/
  cargo sos run --forward 9000:web:80     the same, reached at port 9000
  cargo sos new my-service                a service project of your own
  cargo sos image sos.toml -o my.sosimg   pack a boot image
  cargo sos image --inspect my.sosimg     say what is in it"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build and boot a manifest in QEMU, its console on this terminal
    Run(run::Arguments),
    /// Run one program on a node: its streams, status and files as if it ran here
    Exec(exec::Arguments),
    /// One line of a node's shell: list, start, suspend, clone and all its other verbs
    Ctl(ctl::Arguments),
    /// Snapshots of a node's instances, and their files here
    Snapshot(snapshot::Arguments),
    /// The cluster key of a project, by which its nodes and operators accept each other
    Key(key::Arguments),
    /// Build the kernel, and the guests of a manifest or all guests
    Build(make::BuildArguments),
    /// Pack a boot image, or say what is in one
    Image(make::ImageArguments),
    /// Make a service project from a template
    New(make::NewArguments),
    /// Lint the kernel and the guests of SOS, each for its own target
    Lint,
    /// Measure SOS against Linux on the same machine
    Bench(bench::Arguments),
    /// Join this terminal to a console of `run --tmux`
    #[command(hide = true)]
    Attend {
        /// Where the console is offered
        socket: PathBuf,
    },
    /// Find or install what SOS needs, and say what was found
    Setup {
        /// Also what tests and WASI programs need, which is otherwise installed when it is used
        #[arg(long)]
        all: bool,
    },
}

/// Runs the tool with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let result = match arguments.verb {
        None => run::run(&run::Arguments::demo()),
        Some(Verb::Run(arguments)) => run::run(&arguments),
        Some(Verb::Exec(arguments)) => Ok(exec::run(&arguments)),
        Some(Verb::Ctl(arguments)) => ctl::run(&arguments),
        Some(Verb::Snapshot(arguments)) => snapshot::run(&arguments),
        Some(Verb::Key(arguments)) => key::run(&arguments).map(done),
        Some(Verb::Build(arguments)) => make::build(&arguments).map(done),
        Some(Verb::Image(arguments)) => make::image(&arguments).map(done),
        Some(Verb::New(arguments)) => make::new(&arguments).map(done),
        Some(Verb::Lint) => make::lint().map(done),
        Some(Verb::Bench(arguments)) => bench::run(&arguments).map(done),
        Some(Verb::Attend { socket }) => cluster::attend_console(&socket).map(done),
        Some(Verb::Setup { all }) => show_setup(all).map(done),
    };
    result.unwrap_or_else(|error| {
        say(format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Says what is wrong with the command line, or the help that was asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    // Where it cannot be said there is nobody to be told so.
    let _ = error.print();
    // The status of `exec` is a program's; its own failures are told apart.
    let is_exec = std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == "exec");
    ExitCode::from(match error.exit_code() {
        0 => 0,
        _ if is_exec => exec::OWN_FAILURE,
        status => status as u8,
    })
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn show_setup(all: bool) -> Result<()> {
    let tools = setup::ensure()?;
    println!("QEMU         {}", tools.qemu.display());
    println!("accelerator  {}", crate::qemu::accelerator()?.name());
    println!("WebAssembly  {}", tools.wasm);
    if all {
        println!("WASI         {}", setup::ensure_wasm(WasmTarget::Wasi)?);
        println!("C for WASI   {}", setup::ensure_clang()?);
    }
    Ok(())
}

/// The manifest that is meant when none is named: that of the current folder, or else the demo.
fn default_manifest() -> Result<PathBuf> {
    let own = PathBuf::from("sos.toml");
    if own.is_file() {
        return Ok(own);
    }
    Ok(crate::paths::workspace()?.join("guests/demo.toml"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_verb_means_the_demo() {
        assert!(Arguments::try_parse_from(["sos"]).unwrap().verb.is_none());
    }
}
