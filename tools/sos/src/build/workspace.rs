//! The Rust workspace around a manifest, as cargo describes it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::setup::WasmTarget;
use crate::{paths, process};

/// The packages of a workspace that are programs.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    programs: Vec<Program>,
}

/// One program of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Package that it belongs to.
    pub package: String,
    /// Its own name, which is that of the file.
    pub name: String,
    /// What it is compiled for: the native ABI unless its package says
    /// `[package.metadata.sos] target = "wasm32-wasip1"`.
    pub target: WasmTarget,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    /// What packages say to tools, each to its own.
    metadata: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Workspace {
    /// The workspace that `folder` lies in, if it lies in one.
    pub fn around(folder: &Path) -> Result<Option<Workspace>> {
        let folder = std::path::absolute(folder).context("find the manifest's folder")?;
        match folder
            .ancestors()
            .find(|folder| folder.join("Cargo.toml").is_file())
        {
            Some(root) => Workspace::read(root).map(Some),
            None => Ok(None),
        }
    }

    /// The workspace of SOS itself, whose guests are its services.
    pub fn of_sos() -> Result<Workspace> {
        Workspace::read(&paths::workspace()?)
    }

    fn read(folder: &Path) -> Result<Workspace> {
        let mut command = process::clean_cargo("cargo", &[]);
        command
            .args(["metadata", "--no-deps", "--format-version=1", "--quiet"])
            .current_dir(folder);
        let text = process::output(&mut command)
            .with_context(|| format!("read the Rust workspace at {}", folder.display()))?;
        let metadata: Metadata =
            serde_json::from_str(&text).context("understand what `cargo metadata` prints")?;
        let programs = metadata
            .packages
            .iter()
            .flat_map(Package::programs)
            .collect();
        Ok(Workspace {
            root: metadata.workspace_root,
            programs,
        })
    }

    /// Whether this is the workspace of SOS.
    pub fn is_sos(&self) -> bool {
        paths::workspace().is_ok_and(|sos| self.root.canonicalize().ok() == sos.canonicalize().ok())
    }

    /// The guest of this name.
    pub fn guest(&self, name: &str) -> Option<&Program> {
        self.guests().find(|program| program.name == name)
    }

    /// Every program that can be a guest: in SOS those under `guests`, in a project all.
    pub fn guests(&self) -> impl Iterator<Item = &Program> {
        let folder = if self.is_sos() {
            self.root.join("guests")
        } else {
            self.root.clone()
        };
        self.programs
            .iter()
            .filter(move |program| program.folder.starts_with(&folder))
    }
}

impl Package {
    fn programs(&self) -> impl Iterator<Item = Program> {
        let folder = self.manifest_path.parent().unwrap_or(&self.manifest_path);
        let wanted = self
            .metadata
            .as_ref()
            .and_then(|metadata| metadata["sos"]["target"].as_str());
        let target = match wanted {
            Some(wanted) if wanted == WasmTarget::Wasi.triple() => WasmTarget::Wasi,
            Some(_) | None => WasmTarget::Sos,
        };
        let programs = self
            .targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"));
        programs.map(move |program| Program {
            package: self.name.clone(),
            name: program.name.clone(),
            target,
            folder: folder.to_path_buf(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_of_sos_lie_under_guests_and_the_tool_is_none() {
        let workspace = Workspace::of_sos().unwrap();
        assert!(workspace.is_sos());
        assert!(workspace.guest("hello").is_some());
        assert!(workspace.guest("sos").is_none());
        let target = |name| workspace.guest(name).unwrap().target;
        assert_eq!(target("hello"), WasmTarget::Sos);
        assert_eq!(target("fetch"), WasmTarget::Wasi);
    }

    #[test]
    fn a_folder_outside_any_workspace_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Workspace::around(folder.path()).unwrap().is_none());
    }
}
