//! `cargo sos new`: a service project of its own, from the templates beside this crate.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sos_core::image::{LinkSpec, Manifest};

use crate::paths;

/// What a new project begins as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// An HTTP service in Rust
    #[default]
    Http,
    /// A TCP service in Rust, with asynchronous tasks
    Async,
    /// A program of Rust's standard library, for WASI
    Wasi,
    /// A service in C
    C,
}

/// Where a file goes, and its text.
type File = (&'static str, &'static str);

/// The text of a template's own file.
macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../template/", $path))
    };
}

/// Files of every project.
const COMMON: [File; 2] = [
    (".cargo/config.toml", template!(".cargo/config.toml")),
    (".gitignore", template!("gitignore")),
];
/// What a package says to this tool when it is compiled for WASI.
const WASI_METADATA: &str = "
[package.metadata.sos]
target = \"wasm32-wasip1\"
";

impl Template {
    /// The template's own files.
    fn files(self) -> Vec<File> {
        let cargo = ("Cargo.toml", template!("Cargo.toml"));
        match self {
            Template::Http => vec![
                cargo,
                ("src/main.rs", template!("http/main.rs")),
                ("sos.toml", template!("http/sos.toml")),
                ("README.md", template!("http/README.md")),
            ],
            Template::Async => vec![
                cargo,
                ("src/main.rs", template!("async/main.rs")),
                ("sos.toml", template!("async/sos.toml")),
                ("README.md", template!("async/README.md")),
            ],
            Template::Wasi => vec![
                cargo,
                ("src/main.rs", template!("wasi/main.rs")),
                ("sos.toml", template!("wasi/sos.toml")),
                ("README.md", template!("wasi/README.md")),
            ],
            Template::C => vec![
                ("main.c", template!("c/main.c")),
                ("sos.toml", template!("c/sos.toml")),
                ("README.md", template!("c/README.md")),
            ],
        }
    }

    /// The SDK's features that the template uses, as `Cargo.toml` writes them.
    fn features(self) -> &'static str {
        match self {
            Template::Http => ", features = [\"http\"]",
            Template::Async | Template::Wasi | Template::C => "",
        }
    }

    fn metadata(self) -> &'static str {
        match self {
            Template::Wasi => WASI_METADATA,
            Template::Http | Template::Async | Template::C => "",
        }
    }
}

/// The compiler is part of the agreement with the SDK.
const TOOLCHAIN: &str = "rust-toolchain.toml";

/// Makes the project `folder`, named for its last part, and returns that name.
pub fn create(folder: &Path, template: Template) -> Result<String> {
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
    for (path, text) in COMMON.into_iter().chain(template.files()) {
        let text = text
            .replace("{{features}}", template.features())
            .replace("{{metadata}}", template.metadata());
        write(&folder.join(path), &fill(&text, &name, &clone))?;
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
    use crate::setup::WasmTarget;
    use clap::ValueEnum;

    #[test]
    fn a_new_project_is_a_workspace_with_a_sound_manifest() {
        for template in Template::value_variants() {
            let folder = tempfile::tempdir().unwrap();
            let project = folder.path().join("my-service");
            assert_eq!(create(&project, *template).unwrap(), "my-service");
            let draft = manifest::read(&project.join("sos.toml")).unwrap();
            let module = &draft.manifest.instances[0].module_name;
            match Workspace::around(&project).unwrap() {
                Some(workspace) => {
                    assert!(!workspace.is_sos());
                    let program = workspace.guest(module).expect("its program");
                    let is_wasi = *template == Template::Wasi;
                    assert_eq!(program.target == WasmTarget::Wasi, is_wasi);
                }
                None => assert_eq!((*template, &module[..]), (Template::C, "./main.c")),
            }
            for (path, _) in COMMON.into_iter().chain(template.files()) {
                let text = std::fs::read_to_string(project.join(path)).unwrap();
                assert!(!text.contains("{{"), "{path} has an unfilled place");
            }
            let again = create(&project, *template).unwrap_err().to_string();
            assert!(again.contains("exists already"), "{again}");
        }
    }

    #[test]
    fn names_that_no_crate_or_instance_can_have_are_refused() {
        for name in ["", "My", "1st", "a b", "-a"] {
            assert!(require_name(name).is_err(), "{name}");
        }
        require_name("web-2").unwrap();
    }
}
