//! Where things lie: the workspace and what is built in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The SOS workspace: the one this tool was built from, or else the one around the current folder.
pub fn workspace() -> Result<PathBuf> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if is_workspace(&built_from) {
        return built_from.canonicalize().context("find the SOS workspace");
    }
    let here = std::env::current_dir().context("find the current folder")?;
    match here.ancestors().find(|folder| is_workspace(folder)) {
        Some(folder) => Ok(folder.to_path_buf()),
        None => bail!(
            "no SOS workspace found around {}: run this inside a clone of the SOS repository",
            here.display()
        ),
    }
}

/// The folder for all that is built: `CARGO_TARGET_DIR` where set, else `target` in the workspace.
pub fn target() -> Result<PathBuf> {
    target_of(&workspace()?)
}

/// As [`target`], for the workspace at `root`, which need not be that of SOS.
pub fn target_of(root: &Path) -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()) {
        Some(folder) => std::path::absolute(folder).context("find the target folder"),
        None => Ok(root.join("target")),
    }
}

/// The tool's own corner of the target folder (locks, cached findings, images); it is made here.
pub fn cache() -> Result<PathBuf> {
    let folder = target()?.join("sos");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(folder)
}

/// The program `name` in `PATH`.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// Whether `file` is a program that may be run.
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn is_workspace(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file() && folder.join("kernel/metal/Cargo.toml").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_one_that_holds_this_file() {
        assert!(
            workspace()
                .unwrap()
                .join("tools/sos/src/paths.rs")
                .is_file()
        );
    }

    #[test]
    fn programs_are_found_in_the_path_only_if_they_run() {
        assert!(program("sh").is_some());
        assert!(program("no-such-program-anywhere").is_none());
        assert!(!is_executable(&workspace().unwrap().join("Cargo.toml")));
    }
}
