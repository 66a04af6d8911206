//! Manifests as people write them, in TOML; [`Draft`] is what one says once it is understood.
//!
//! ```toml
//! name = "demo"
//!
//! [switch.lan]                    # a learning Ethernet switch
//! uplink = "nic0"                 # joined to the machine's first NIC; optional
//! mtu = 1500                      # optional
//!
//! [link.backend]                  # a private Ethernet between two ports
//!
//! [instance.web]
//! module = "web"                  # a guest crate of the workspace, or the path of a .wasm or .wat file
//! libraries = { zip = "zip.wasm" } # modules that it, and they among themselves, import from by name
//! args = ["--verbose"]
//! env = { RUST_LOG = "info" }     # for WASI programs
//! preopen = { "." = "/data" }     # or a list of directories; without it "/"
//! listen = [":8080"]              # sockets that a WASI program finds listening, from descriptor 3 on
//! autostart = true
//! node = "node2"                  # where it starts when several nodes run; without it node1
//! restart = "on-failure"          # or "never", "always"
//!
//! [instance.web.limits]           # each is optional
//! memory = "16MiB"
//! cpu_shares = 100
//! sockets = 64
//! log = "64KiB"
//! tables = 10000
//! stack = "512KiB"
//! call_depth = 4000
//! file_bytes = "64MiB"            # what it writes
//! files = 16384                   # files, directories and links
//!
//! [instance.web.files]            # read-only below what it writes
//! "/etc/motd" = "motd.txt"        # a file of this machine, or a folder with all that is in it
//! "/etc/name" = { text = "web" }
//! "/bin/sh" = { symlink = "/bin/busybox" }
//! "/tmp" = { directory = {} }
//!
//! [instance.web.health]           # the node asks now and then; too many failures end the instance
//! http = "/health"                # a status from 200 to 399; or: tcp = true
//! port = 80
//! interval = "5s"                 # these are optional
//! timeout = "1s"
//! failures = 3                    # in a row
//! grace = "5s"                    # after the start
//!
//! [instance.web.port.eth0]
//! switch = "lan"                  # or: link = "backend"
//! address = "dhcp"                # or "10.0.2.15/24", or a list of such
//! gateway = "10.0.2.2"            # one of each address family, as a list
//! dns = ["10.0.2.3"]
//! mac = "02:00:00:00:00:01"       # better left out: then it is drawn
//!
//! [instance.web.config]           # text that the guest reads by key
//! store = "10.1.0.2:7000"
//!
//! [[forward]]
//! host = 8080                     # a port of this host on the loopback address
//! to = "web:80"
//! protocol = "tcp"                # or "udp"
//!
//! [node]                          # the node itself, for other nodes and for operators; optional
//! switch = "lan"
//! address = "dhcp"                # or "10.0.2.3/24", or a list of such; optional
//! gateway = "10.0.2.2"            # optional
//! port = 7600                     # optional
//! peers = ["10.0.2.4:7600"]       # other nodes, besides those that it hears of; optional
//! ```
//!
//! `file` mirrors that form, `guest` what is in it about the program, `placement` says where things start, `values` reads single values, `locate` finds the line of an error.

mod file;
mod guest;
mod locate;
mod placement;
mod values;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sos_core::image::Manifest;

use file::ManifestFile;
pub use guest::{FileSource, FileSources};
pub use placement::Placement;
pub use values::{Target, parse_size, parse_target};

/// A manifest that is sound but for its modules and files, which are not read yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it asks for; every hash is still zero, and every module name is as written.
    pub manifest: Manifest,
    /// Where the contents of its files are.
    pub files: FileSources,
    /// On which nodes of several its instances start, where it says so.
    pub placements: Vec<Placement>,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
}

/// Reads a manifest file.
pub fn read(path: &Path) -> Result<Draft> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read the manifest {}", path.display()))?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    parse(
        &text,
        &path.display().to_string(),
        folder.unwrap_or(Path::new(".")),
    )
}

/// Reads a manifest's text; `name` stands for its file in errors.
pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Draft> {
    let file: ManifestFile = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| locate::line_at(text, span.start));
        fault(name, line, text, error.message())
    })?;
    let placements = file.placements();
    let mut files = FileSources::new();
    let manifest = file.into_manifest(folder, &mut files).map_err(|error| {
        fault(
            name,
            locate::line_of(text, &error.path, None),
            text,
            &error.message,
        )
    })?;
    manifest.validate().map_err(|error| {
        let (path, element) = error.path();
        fault(
            name,
            locate::line_of(text, &path, element),
            text,
            &error.to_string(),
        )
    })?;
    Ok(Draft {
        manifest,
        files,
        placements,
        folder: folder.to_path_buf(),
    })
}

/// One line that names the place and the fault, and the line of the file it is about.
fn fault(name: &str, line: Option<usize>, text: &str, message: &str) -> anyhow::Error {
    let message = message.trim().replace('\n', ", ");
    match line {
        None => anyhow!("{name}: {message}"),
        Some(line) => {
            let shown = text.lines().nth(line - 1).unwrap_or_default().trim();
            anyhow!("{name}:{line}: {message} (here: `{shown}`)")
        }
    }
}
