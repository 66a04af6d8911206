//! `sos snapshot`: snapshots of a node's instances, and their files on this host.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use sos_core::control::{CutMode, Extent, Request};
use sos_core::operator::{Contents, Packing};

use crate::exec::Client;
use crate::exec::keep::KeptNode;
use crate::process::say;
use crate::snapshot::{Inspection, transfer};

/// What is done with snapshots.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo sos snapshot take web monday           keep web as it is now, on its node
  cargo sos snapshot export monday -o m.snap   bring it to this host
  cargo sos snapshot inspect m.snap            say what is in it
  cargo sos snapshot import m.snap             give it to a node
  cargo sos snapshot restore monday            let web go on from there")]
pub struct Arguments {
    /// The node: its name, as `cargo sos exec --list` has it; without it the only one that runs
    #[arg(long, global = true, value_name = "NAME")]
    node: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Say what is in a file, without believing it
    Inspect {
        /// The file
        file: PathBuf,
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a snapshot of an instance and keep it on the node
    Take {
        /// The instance
        instance: String,
        /// The snapshot's name
        snapshot: String,
        /// End the instance there, without a word to its peers
        #[arg(long)]
        stop: bool,
        /// Let the file hold only what changed since the instance's last snapshot
        #[arg(long)]
        incremental: bool,
    },
    /// List the snapshots of a node, as JSON
    List,
    /// Make an instance of a snapshot
    Restore {
        /// The snapshot
        snapshot: String,
        /// Make another instance of this name
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
    },
    /// Forget a snapshot
    Rm {
        /// The snapshot
        snapshot: String,
    },
    /// Write a snapshot of a node to a file
    Export {
        /// The snapshot
        snapshot: String,
        /// The file; without it the snapshot's name with the ending .snap
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Compress pages
        #[arg(long)]
        compress: bool,
        /// Leave out modules and files, for a node that has them
        #[arg(long)]
        state_only: bool,
    },
    /// Give a file to a node, which keeps it as a snapshot
    Import {
        /// The file
        file: PathBuf,
        /// The snapshot's name; without it the file's without its ending
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
    },
}

/// Carries out one of them.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Action::Inspect { file, json } = &arguments.action {
        return inspect(file, *json);
    }
    let mut client = connect(arguments.node.as_deref())?;
    act(&mut client, &arguments.action)?;
    Ok(ExitCode::SUCCESS)
}

fn inspect(file: &PathBuf, json: bool) -> Result<ExitCode> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let inspection = Inspection::of(&bytes);
    match json {
        true => println!("{}", inspection.json()),
        false => print!("{}", inspection.text()),
    }
    Ok(match inspection.summary.complete {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The node of this name, or the only one that runs.
fn connect(node: Option<&str>) -> Result<Client> {
    let name = match node {
        Some(name) => name.to_string(),
        None => {
            let mut running = KeptNode::running()?;
            match (running.pop(), running.len()) {
                (Some(only), 0) => only,
                (None, _) => bail!("no node runs; `cargo sos run` starts one"),
                (Some(last), _) => bail!(
                    "several nodes run; name one with --node: {}, {last}",
                    running.join(", ")
                ),
            }
        }
    };
    KeptNode::named(&name)?.connect_running()
}

fn act(client: &mut Client, action: &Action) -> Result<()> {
    let request = match action {
        Action::Inspect { .. } => return Ok(()),
        Action::Take {
            instance,
            snapshot,
            stop,
            incremental,
        } => Request::Snapshot {
            name: instance.clone(),
            to: snapshot.clone(),
            cut: match stop {
                true => CutMode::Stopping,
                false => CutMode::Running,
            },
            extent: match incremental {
                true => Extent::Incremental,
                false => Extent::Full,
            },
        },
        Action::List => Request::Snapshots,
        Action::Restore { snapshot, to } => Request::Restore {
            snapshot: snapshot.clone(),
            to: to.clone(),
            addresses: Vec::new(),
        },
        Action::Rm { snapshot } => Request::RemoveSnapshot {
            name: snapshot.clone(),
        },
        Action::Export {
            snapshot,
            output,
            compress,
            state_only,
        } => {
            let packing = match compress {
                true => Packing::Compressed,
                false => Packing::Plain,
            };
            let contents = match state_only {
                true => Contents::StateOnly,
                false => Contents::SelfContained,
            };
            let output = output.clone();
            let output = output.unwrap_or_else(|| format!("{snapshot}.snap").into());
            return export(client, snapshot, contents, packing, &output);
        }
        Action::Import { file, to } => return import(client, file, to.as_deref()),
    };
    let report = transfer::ask(client, &request)?;
    // What is done says so with nothing.
    if report != b"null" {
        println!("{}", String::from_utf8_lossy(&report));
    }
    Ok(())
}

fn export(
    client: &mut Client,
    snapshot: &str,
    contents: Contents,
    packing: Packing,
    output: &PathBuf,
) -> Result<()> {
    // Beside the file that is wanted, so that no half of one is ever taken for it.
    let partial = output.with_added_extension("part");
    let file = File::create(&partial).with_context(|| format!("write {}", partial.display()))?;
    let mut out = BufWriter::new(file);
    let result = transfer::export(client, snapshot, contents, packing, &mut out)
        .and_then(|bytes| out.flush().context("write the snapshot").map(|()| bytes));
    match result {
        Ok(bytes) => {
            fs::rename(&partial, output).with_context(|| format!("write {}", output.display()))?;
            say(format!("wrote {} ({bytes} bytes)", output.display()));
            Ok(())
        }
        Err(error) => {
            // It is of no use; that it cannot be removed is not what went wrong.
            let _ = fs::remove_file(&partial);
            Err(error)
        }
    }
}

fn import(client: &mut Client, file: &PathBuf, to: Option<&str>) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy());
    let name = match (to, stem) {
        (Some(name), _) => name.to_string(),
        (None, Some(stem)) => stem.into_owned(),
        (None, None) => bail!("{} has no name; give one with --to", file.display()),
    };
    transfer::import(client, &name, &bytes)?;
    say(format!("the node keeps it as {name}"));
    Ok(())
}
