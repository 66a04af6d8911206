//! `cargo sos new`: a service project of its own, from the template beside this crate.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sos_core::image::{LinkSpec, Manifest};

use crate::paths;

/// The template: where each file goes, and its text.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml")),
    ("src/main.rs", include_str!("../template/src/main.rs")),
    ("sos.toml", include_str!("../template/sos.toml")),
    ("README.md", include_str!("../template/README.md")),
    (
        ".cargo/config.toml",
        include_str!("../template/.cargo/config.toml"),
    ),
    (".gitignore", include_str!("../template/gitignore")),
];
/// The compiler is part of the agreement with the SDK.
const TOOLCHAIN: &str = "rust-toolchain.toml";

/// Makes the project `folder`, named for its last part, and returns that name.
pub fn create(folder: &Path) -> Result<String> {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_string();
    require_name(&name)?;
    if folder.exists() {
        bail!(
            "{} exists already: choose another name, or remove it",
            folder.display()
        );
    }
    let clone = paths::workspace()?;
    for (path, text) in FILES {
        write(&folder.join(path), &fill(text, &name, &clone))?;
    }
    let toolchain = clone.join(TOOLCHAIN);
    if toolchain.is_file() {
        std::fs::copy(&toolchain, folder.join(TOOLCHAIN)).context("copy the toolchain file")?;
    }
    Ok(name)
}

fn fill(text: &str, name: &str, clone: &Path) -> String {
    let sdk: PathBuf = clone.join("sdk");
    text.replace("{{name}}", name)
        .replace("{{sdk}}", &sdk.display().to_string())
        .replace("{{clone}}", &clone.display().to_string())
}

/// A project's name is that of its crate and of its instance, so it must suit both.
fn require_name(name: &str) -> Result<()> {
    let link = LinkSpec {
        name: name.to_string(),
        mtu_bytes: None,
    };
    let probe = Manifest {
        name: name.to_string(),
        links: vec![link],
        ..Manifest::default()
    };
    let named = |error| matches!(error, sos_core::image::ManifestError::BadName { .. });
    let digit = name.starts_with(|first: char| first.is_ascii_digit());
    if probe.validate().is_err_and(named) || digit {
        bail!(
            "`{name}` cannot name a service: use lower-case letters, digits and inner hyphens, \
             starting with a letter"
        );
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .with_context(|| format!("make the folder {}", folder.display()))?;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Workspace;
    use crate::manifest;

    #[test]
    fn a_new_project_is_a_workspace_with_a_sound_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("my-service");
        assert_eq!(create(&project).unwrap(), "my-service");
        let draft = manifest::read(&project.join("sos.toml")).unwrap();
        assert_eq!(draft.manifest.instances[0].module_name, "my-service");
        let workspace = Workspace::around(&project).unwrap().unwrap();
        assert!(!workspace.is_sos() && workspace.guest("my-service").is_some());
        for (path, _) in FILES {
            let text = std::fs::read_to_string(project.join(path)).unwrap();
            assert!(!text.contains("{{"), "{path} has an unfilled place");
        }
        assert!(
            create(&project)
                .unwrap_err()
                .to_string()
                .contains("exists already")
        );
    }

    #[test]
    fn names_that_no_crate_or_instance_can_have_are_refused() {
        for name in ["", "My", "1st", "a b", "-a"] {
            assert!(require_name(name).is_err(), "{name}");
        }
        require_name("web-2").unwrap();
    }
}
