//! Finds the folder of wasmi's source: what Cargo downloaded for our build dependency.
//!
//! Cargo tells a build script nothing about where its dependencies lie. It is asked through a
//! scratch manifest that names only wasmi: the whole workspace may name packages that were never
//! downloaded. The workspace's lock file goes with it, so that the answer needs no index and is
//! the release that was verified. Vendored and replaced sources are found the same way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The folder that holds wasmi's `src`.
pub fn wasmi_source(out: &Path, version: &str) -> Result<PathBuf, String> {
    let asked = ask_cargo(out, version);
    let refusal = match asked {
        Ok(folder) => return Ok(folder),
        Err(refusal) => refusal,
    };
    search_registry(version).ok_or_else(|| {
        format!(
            "cargo said \"{}\", and no registry below the Cargo home holds it; \
             run `cargo fetch` in the workspace and build again",
            refusal.trim()
        )
    })
}

/// Asks `cargo metadata`, offline, about a package that depends on nothing but wasmi.
fn ask_cargo(out: &Path, version: &str) -> Result<PathBuf, String> {
    let scratch = out.join("locate");
    fs::create_dir_all(scratch.join("src")).map_err(|error| error.to_string())?;
    let manifest = format!(
        "[package]\nname = \"locate\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         [dependencies]\nwasmi = {{ version = \"={version}\", default-features = false }}\n\
         [workspace]\n"
    );
    let manifest_path = scratch.join("Cargo.toml");
    fs::write(&manifest_path, manifest).map_err(|error| error.to_string())?;
    fs::write(scratch.join("src/lib.rs"), "").map_err(|error| error.to_string())?;
    if let Some(lock) = workspace_lock() {
        println!("cargo::rerun-if-changed={}", lock.display());
        fs::write(
            scratch.join("Cargo.lock"),
            fs::read(&lock).map_err(|error| error.to_string())?,
        )
        .map_err(|error| error.to_string())?;
    }
    // The workspace's folder, so that its `.cargo/config.toml` (source replacement) applies.
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "metadata",
            "--offline",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(&manifest_path)
        .current_dir(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into()))
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let ending = format!("wasmi-{version}");
    manifest_paths(&text)
        .filter_map(|path| path.parent().map(Path::to_path_buf))
        .find(|folder| {
            folder
                .file_name()
                .is_some_and(|name| name == ending.as_str() || name == "wasmi")
                && is_source(folder, version)
        })
        .ok_or_else(|| "cargo metadata does not name it".to_string())
}

/// Every `manifest_path` in the JSON of `cargo metadata`. Cargo writes them without spaces; the
/// escapes of JSON that can occur in a path are undone.
fn manifest_paths(json: &str) -> impl Iterator<Item = PathBuf> {
    json.split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| {
            let end = rest.find("Cargo.toml\"")?;
            let path = format!("{}Cargo.toml", &rest[..end]);
            Some(PathBuf::from(
                path.replace("\\\\", "\\").replace("\\\"", "\""),
            ))
        })
}

/// The lock file of the workspace that this crate is built in, if there is one.
fn workspace_lock() -> Option<PathBuf> {
    let start = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    start
        .ancestors()
        .map(|folder| folder.join("Cargo.lock"))
        .find(|lock| lock.is_file())
}

/// Looks where a plain Cargo unpacks downloads, for the case that asking failed.
fn search_registry(version: &str) -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))?;
    let mut registries: Vec<PathBuf> = fs::read_dir(home.join("registry/src"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    registries.sort();
    registries
        .into_iter()
        .map(|registry| registry.join(format!("wasmi-{version}")))
        .find(|folder| is_source(folder, version))
}

/// Whether `folder` holds wasmi in this version.
fn is_source(folder: &Path, version: &str) -> bool {
    let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else {
        return false;
    };
    let has = |line: &str| manifest.lines().any(|found| found.trim() == line);
    has("name = \"wasmi\"")
        && has(&format!("version = \"{version}\""))
        && folder.join("src/lib.rs").is_file()
}
