//! `sos snapshot`: snapshots of a node's instances, and their files on this host.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use sos_core::control::{
    CutMode, Extent, MadeRow, PortAddress, RemovedReport, Request, SnapshotRow,
};
use sos_core::operator::{Contents, Packing};
use sos_core::shell::render;

use super::default_manifest;
use crate::cluster::{keys, remote};
use crate::exec::Client;
use crate::exec::keep::KeptNode;
use crate::process::say;
use crate::snapshot::files::{self, OutFile};
use crate::snapshot::progress::{Bar, Total};
use crate::snapshot::transfer::{self, Arrived};
use crate::snapshot::{Inspection, key};

/// Most that a node that is reached by its channel's socket may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// After which a node that says nothing is mentioned.
const EARLY: Duration = Duration::from_secs(1);

/// What is done with snapshots.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo sos snapshot take web monday           keep web as it is now, on its node
  cargo sos snapshot export monday -o m.snap   bring it to this host
  cargo sos snapshot inspect m.snap            say what is in it
  cargo sos snapshot import m.snap             give it to a node
  cargo sos snapshot import both.*.snap        give it the members of a group
  cargo sos snapshot restore monday            let web go on from there
  cargo sos snapshot restore monday --to web2 --address eth0=10.0.2.20/24
                                               make another web with an address of its own
  cargo sos snapshot take web store both       keep both as they are at one instant: both.web, both.store

A file that is exported appears when it is complete; Ctrl-C leaves none. A file is read through before it is
given to a node, and the node checks it once more.")]
pub struct Arguments {
    /// The node: its name, as `cargo sos exec --list` has it; without it the only one that runs
    #[arg(long, global = true, value_name = "NAME")]
    node: Option<String>,
    /// The node, by the socket of its channel
    #[arg(long, global = true, value_name = "SOCKET", conflicts_with = "node")]
    channel: Option<PathBuf>,
    /// Print JSON on one line, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Say what is in a file, without believing it
    Inspect {
        /// The file
        file: PathBuf,
        /// Say whether a node with the secret in this file made it
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
    /// Take a snapshot of an instance and keep it on the node, or of several at one instant
    Take {
        /// The instances
        #[arg(required = true)]
        instances: Vec<String>,
        /// The snapshot's name; of several, that of the group
        snapshot: String,
        /// End the instance there, without a word to its peers
        #[arg(long)]
        stop: bool,
        /// Let the file hold only what changed since the instance's last snapshot
        #[arg(long)]
        incremental: bool,
    },
    /// List the snapshots of a node
    List,
    /// Make an instance of a snapshot, or all of a group
    Restore {
        /// The snapshot or group
        snapshot: String,
        /// Make another instance of this name
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        /// Give the other instance an address: [INSTANCE.]PORT=ADDRESS/BITS, or PORT=dhcp
        #[arg(long, value_name = "PORT=ADDRESS", requires = "to", value_parser = parse_address)]
        address: Vec<PortAddress>,
    },
    /// Forget a snapshot, or all of a group
    Rm {
        /// The snapshot
        snapshot: String,
    },
    /// Write a snapshot of a node to a file, or each of a group
    Export {
        /// The snapshot or group
        snapshot: String,
        /// The file, `-` for standard output; without it the snapshot's name with the ending .snap. Of a group: the
        /// folder of its files
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Compress pages
        #[arg(long)]
        compress: bool,
        /// Leave out modules and files, for a node that has them
        #[arg(long)]
        state_only: bool,
    },
    /// Give files to a node, which keeps each as a snapshot
    Import {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The snapshot's name; without it the file's without its ending
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
    },
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Carries out one of them.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let format = match arguments.json {
        true => Format::Json,
        false => Format::Text,
    };
    if let Action::Inspect { file, key_file } = &arguments.action {
        return inspect(file, key_file.as_deref(), format);
    }
    files::end_when_interrupted();
    if let Action::Import { files, to } = &arguments.action {
        check(files, to.as_deref())?;
    }
    let mut client = connect(
        arguments.node.as_deref(),
        arguments.channel.as_deref(),
        None,
    )?;
    act(&mut client, &arguments.action, format)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that all files can be given to a node, before it is bothered with the first.
fn check(files: &[PathBuf], to: Option<&str>) -> Result<()> {
    if let (Some(name), [_, _, ..]) = (to, files) {
        bail!(
            "--to names one snapshot, '{name}', and there are {} files",
            files.len()
        );
    }
    let mut names = BTreeSet::new();
    for file in files {
        let name = snapshot_name(file, to)?;
        if !names.insert(name.clone()) {
            bail!(
                "two of the files would be the snapshot '{name}'; import them one by one, with --to"
            );
        }
        let bytes = file.metadata().map_or(0, |data| data.len());
        let mut bar = Bar::new(labelled("check", file), Total::Exactly(bytes));
        files::check(file, None, &mut |done| bar.show(done))?;
    }
    Ok(())
}

/// What a file is called on a node.
fn snapshot_name(file: &Path, to: Option<&str>) -> Result<String> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy());
    match (to, stem) {
        (Some(name), _) => Ok(name.to_string()),
        (None, Some(stem)) => Ok(stem.into_owned()),
        (None, None) => bail!("{} has no name; give one with --to", file.display()),
    }
}

/// What stands before a bar.
fn labelled(verb: &str, file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    format!("{verb} {}", name.to_string_lossy())
}

/// Reads what stands behind `--address`.
fn parse_address(text: &str) -> Result<PortAddress, String> {
    PortAddress::parse(text).ok_or_else(|| {
        format!("'{text}' is not like eth0=10.0.0.9/24, eth0=dhcp or web.eth0=10.0.0.9/24")
    })
}

fn inspect(file: &Path, key_file: Option<&Path>, format: Format) -> Result<ExitCode> {
    let keys = key_file.map(key::read).transpose()?;
    let key = keys.map(|keys| keys.snapshots());
    let inspection = Inspection::new(files::summary(file, key, &mut |_| ())?);
    match format {
        Format::Json => println!("{}", inspection.json()),
        Format::Text => print!("{}", inspection.text()),
    }
    Ok(match inspection.summary.complete {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The node that is named, or the only one that runs.
pub(super) fn connect(
    node: Option<&str>,
    channel: Option<&Path>,
    cluster_key: Option<&Path>,
) -> Result<Client> {
    if let Some(socket) = channel {
        let shown = socket.display();
        let stream =
            UnixStream::connect(socket).with_context(|| format!("no node listens at {shown}"))?;
        return Client::open(stream, PATIENCE, EARLY, || {
            say(format!(
                "waiting for the node at {shown} (it boots or is busy)"
            ));
        });
    }
    if let Some(node) = node
        && let Some(address) = remote::address_of(node)?
    {
        let key = cluster_key_for(cluster_key)?;
        return Client::open(remote::connect(address, key)?, PATIENCE, EARLY, || {
            say(format!("waiting for the node at {address} (it is busy)"));
        });
    }
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

/// The key in a file, or else that of the project in this folder.
fn cluster_key_for(file: Option<&Path>) -> Result<[u8; keys::KEY_BYTES]> {
    match file {
        Some(file) => keys::read(file),
        None => keys::read(&keys::cluster_key_file(&keys::state_folder(
            &default_manifest()?,
        )?))
        .context("the project's own cluster key; another one by --cluster-key FILE"),
    }
}

fn act(client: &mut Client, action: &Action, format: Format) -> Result<()> {
    match action {
        // It needs no node.
        Action::Inspect { .. } => Ok(()),
        Action::Take {
            instances,
            snapshot,
            stop,
            incremental,
        } => {
            let cut = match stop {
                true => CutMode::Stopping,
                false => CutMode::Running,
            };
            let extent = match incremental {
                true => Extent::Incremental,
                false => Extent::Full,
            };
            let to = snapshot.clone();
            let request = match &instances[..] {
                [name] => Request::Snapshot {
                    name: name.clone(),
                    to,
                    cut,
                    extent,
                },
                names => Request::SnapshotGroup {
                    names: names.to_vec(),
                    to,
                    cut,
                    extent,
                },
            };
            transfer::ask(client, &request)?;
            let rows = transfer::list(client)?;
            let is_taken = |row: &SnapshotRow| row.name == *snapshot || row.group == *snapshot;
            let taken = rows.into_iter().filter(is_taken);
            show_rows(&taken.collect::<Vec<_>>(), format)
        }
        Action::List => show_rows(&transfer::list(client)?, format),
        Action::Restore {
            snapshot,
            to,
            address,
        } => {
            let request = Request::Restore {
                snapshot: snapshot.clone(),
                to: to.clone(),
                addresses: address.clone(),
            };
            let made = transfer::ask(client, &request)?;
            let made: Vec<MadeRow> =
                serde_json::from_slice(&made).context("understand what the node made")?;
            match format {
                Format::Json => println!("{}", json!(made)),
                Format::Text => print!("{}", render::made(&made)),
            }
            Ok(())
        }
        Action::Rm { snapshot } => {
            let request = Request::RemoveSnapshot {
                name: snapshot.clone(),
            };
            let removed = transfer::ask(client, &request)?;
            let removed: RemovedReport =
                serde_json::from_slice(&removed).context("understand what the node did")?;
            match format {
                Format::Json => println!("{}", json!(removed)),
                Format::Text => print!("{}", render::removed(&removed)),
            }
            Ok(())
        }
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
            let rows = transfer::list(client)?;
            let members = rows.iter().filter(|row| row.group == *snapshot);
            let members: Vec<&str> = members.map(|row| &row.name[..]).collect();
            let is_one = members.is_empty() || rows.iter().any(|row| row.name == *snapshot);
            let file = |name: &str| PathBuf::from(format!("{name}.snap"));
            if is_one {
                let output = output.clone().unwrap_or_else(|| file(snapshot));
                return export(client, snapshot, contents, packing, &output, format);
            }
            let folder = output.clone().unwrap_or_default();
            for member in members {
                let output = folder.join(file(member));
                export(client, member, contents, packing, &output, format)?;
            }
            Ok(())
        }
        Action::Import { files, to } => {
            let mut files = files.iter();
            files.try_for_each(|file| import(client, file, to.as_deref(), format))
        }
    }
}

fn show_rows(rows: &[SnapshotRow], format: Format) -> Result<()> {
    match format {
        Format::Json => println!("{}", json!(rows)),
        Format::Text => print!("{}", render::snapshots(rows)),
    }
    Ok(())
}

fn export(
    client: &mut Client,
    snapshot: &str,
    contents: Contents,
    packing: Packing,
    output: &Path,
    format: Format,
) -> Result<()> {
    let rows = transfer::list(client)?;
    // Modules come on top of it, equal and compressed pages are saved.
    let about = rows.iter().find(|row| row.name == snapshot);
    let about = about.map_or(0, |row| row.memory_bytes + row.state_bytes);
    let mut bar = Bar::new(format!("export {snapshot}"), Total::About(about));
    let mut progress = |arrived: Arrived| {
        arrived
            .whole
            .into_iter()
            .for_each(|bytes| bar.expect(Total::Exactly(bytes)));
        bar.show(arrived.bytes);
    };
    if output == Path::new("-") {
        let mut out = BufWriter::new(std::io::stdout().lock());
        transfer::export(client, snapshot, contents, packing, &mut out, &mut progress)?;
        return out.flush().context("write the snapshot");
    }
    let mut out = BufWriter::new(OutFile::create(output)?);
    let bytes = transfer::export(client, snapshot, contents, packing, &mut out, &mut progress)?;
    let out = out.into_inner().map_err(|error| error.into_error());
    out.context("write the snapshot")?.commit()?;
    drop(bar);
    match format {
        Format::Json => println!(
            "{}",
            json!({ "snapshot": snapshot, "file": output, "bytes": bytes })
        ),
        Format::Text => say(format!(
            "wrote {} ({})",
            output.display(),
            render::bytes(bytes)
        )),
    }
    Ok(())
}

fn import(client: &mut Client, file: &Path, to: Option<&str>, format: Format) -> Result<()> {
    let name = snapshot_name(file, to)?;
    let context = || format!("read {}", file.display());
    let source = File::open(file).with_context(context)?;
    let bytes = source.metadata().with_context(context)?.len();
    let mut bar = Bar::new(labelled("import", file), Total::Exactly(bytes));
    let mut source = BufReader::with_capacity(1 << 20, source);
    transfer::import(client, &name, &mut source, bytes, &mut |done| {
        bar.show(done)
    })?;
    drop(bar);
    match format {
        Format::Json => println!("{}", json!({ "snapshot": name, "bytes": bytes })),
        Format::Text => say(format!("the node keeps it as {name}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_would_share_a_name_are_refused_before_any_is_read() {
        let files = ["a/x.snap", "b/x.snap"].map(PathBuf::from);
        let error = check(&files, Some("y")).unwrap_err().to_string();
        assert!(error.contains("2 files"), "{error}");
        let missing = check(&files, None).unwrap_err().to_string();
        assert!(missing.contains("a/x.snap"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.snap");
        std::fs::write(&file, b"no snapshot").unwrap();
        let error = check(&[file], None).unwrap_err().to_string();
        assert!(error.contains("no sound snapshot"), "{error}");
        assert_eq!(
            snapshot_name(Path::new("b/web.1.snap"), None).unwrap(),
            "web.1"
        );
    }

    #[test]
    fn addresses_are_read_as_the_shell_reads_them() {
        let address = parse_address("web.eth0=10.0.2.20/24").unwrap();
        assert_eq!(address.instance.as_deref(), Some("web"));
        assert_eq!(address.port, "eth0");
        assert!(parse_address("eth0=dhcp").is_ok());
        assert!(parse_address("eth0=10.0.2.20").is_err());
    }
}
