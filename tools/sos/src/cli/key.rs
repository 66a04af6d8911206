//! `sos key`: a project's cluster key, made and shown.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use super::default_manifest;
use crate::cluster::keys;
use crate::process::say;

/// What is wanted of the key.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The key is a file of the user's alone, .sos/cluster.key beside the manifest; `cargo sos run --nodes`
makes it when it is missing and gives it to every node. Who has it may command all of them."
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Make a key
    New {
        /// Replace the one that is there: nodes that run with it then refuse this machine
        #[arg(long)]
        force: bool,
        /// The project's manifest; without it ./sos.toml, or else the demo
        manifest: Option<PathBuf>,
    },
    /// Print the key, for another machine's .sos/cluster.key
    Show {
        /// The project's manifest; without it ./sos.toml, or else the demo
        manifest: Option<PathBuf>,
    },
}

/// Makes or shows the key.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.verb {
        Verb::New { force, manifest } => {
            let file = file_of(manifest.as_ref())?;
            if file.exists() {
                if !force {
                    bail!("{} exists already: --force replaces it", file.display());
                }
                fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
            }
            keys::make(&file)?;
            say(format!("made {}", file.display()));
        }
        Verb::Show { manifest } => {
            let key = keys::read(&file_of(manifest.as_ref())?)?;
            println!("{}", keys::digits(&key));
        }
    }
    Ok(())
}

fn file_of(manifest: Option<&PathBuf>) -> Result<PathBuf> {
    let manifest = match manifest {
        Some(manifest) => manifest.clone(),
        None => default_manifest()?,
    };
    if !manifest.is_file() {
        bail!("no manifest {}: name the project's", manifest.display());
    }
    Ok(keys::cluster_key_file(&keys::state_folder(&manifest)?))
}
