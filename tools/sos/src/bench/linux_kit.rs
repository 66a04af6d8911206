//! Makes the Linux that SOS is measured against: a distribution's kernel and our `sos-peer`.
//!
//! The kernel is Debian's package for virtual machines, fetched as it is; only the modules of the
//! NIC are packed, and the kernel is decompressed beforehand ([`super::vmlinux`]). [`Kit`] holds
//! the parts; [`super::linux`] starts the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use super::vmlinux;
use crate::{paths, process};

/// The package whose dependency is the newest kernel without drivers for real hardware.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// The variable that names a kernel package file instead, for machines without Debian's archive.
pub const PACKAGE_VARIABLE: &str = "SOS_PEER_KERNEL_DEB";
/// The modules of a virtio network card, each behind those that it needs.
const MODULES: [&str; 8] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];
const CONSOLE_DEVICE: (u32, u32) = (5, 1);
const PEER_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Which of the peer's programs is process 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Serves on the network.
    Serve,
    /// Runs modules, without a network.
    Compute,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Serve => "sos-peer",
            Program::Compute => "sos-peer-compute",
        }
    }
}

/// The parts of the Linux peer.
pub struct Kit {
    /// The kernel, as QEMU takes it.
    pub kernel: PathBuf,
    /// Its name and release, for the reports.
    pub name: String,
    modules: Vec<(String, PathBuf)>,
    programs: PathBuf,
    folder: PathBuf,
}

impl Kit {
    /// Fetches the kernel and builds the init, as far as that was not done before.
    pub fn prepare() -> Result<Kit> {
        let folder = paths::cache()?.join("peer");
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let package = package_file(&folder)?;
        let root = unpacked(&package)?;
        let release = only_entry(&root.join("lib/modules"))?;
        let tree = root.join("lib/modules").join(&release).join("kernel");
        let modules = MODULES.iter().enumerate().map(|(order, path)| {
            let file = tree.join(format!("{path}.ko"));
            let name = path.rsplit('/').next().unwrap_or(path);
            (format!("{order:02}-{name}.ko"), file)
        });
        Ok(Kit {
            kernel: plain_kernel(&root, &release)?,
            name: format!("Linux {release}"),
            modules: modules.collect(),
            programs: build_programs()?,
            folder,
        })
    }

    /// Another of the peer's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Writes an initramfs with `program` as its init and these further files at its root.
    pub fn initramfs(&self, program: Program, files: &[(&str, &Path)]) -> Result<PathBuf> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
        let mut archive = Archive::default();
        for directory in ["dev", "proc", "modules"] {
            archive.directory(directory);
        }
        archive.character_device("dev/console", CONSOLE_DEVICE);
        archive.file("init", &read(&self.programs.join(program.name()))?);
        if program == Program::Serve {
            for (name, path) in &self.modules {
                archive.file(&format!("modules/{name}"), &read(path)?);
            }
        }
        for (name, path) in files {
            archive.file(name, &read(path)?);
        }
        let path = self.folder.join(format!("{}.cpio", program.name()));
        fs::write(&path, archive.finish()).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// The kernel's package file: the named one, one fetched before, or a fresh one.
fn package_file(folder: &Path) -> Result<PathBuf> {
    if let Some(file) = std::env::var_os(PACKAGE_VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(file));
    }
    if paths::program("apt-get").is_none() {
        bail!(
            "the Linux peer is a Debian kernel and this system has no apt-get: fetch a \
             linux-image-*-cloud-amd64 package and name its file in {PACKAGE_VARIABLE}"
        );
    }
    let listing = process::output(Command::new("apt-cache").args(["depends", META_PACKAGE]))
        .with_context(|| format!("find the package {META_PACKAGE}: run `apt-get update` first"))?;
    let concrete = listing
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: linux-image-"))
        .with_context(|| {
            format!("{META_PACKAGE} is not in the package lists: run `apt-get update`")
        })?;
    let prefix = format!("linux-image-{concrete}_");
    if let Some(file) = entry_with_prefix(folder, &prefix)? {
        return Ok(file);
    }
    process::say(format!(
        "fetching linux-image-{concrete} for the Linux peer"
    ));
    let mut fetch = Command::new("apt-get");
    fetch
        .args(["download", &format!("linux-image-{concrete}")])
        .current_dir(folder);
    process::output(&mut fetch).context("fetch the peer's kernel: run `apt-get update` first")?;
    entry_with_prefix(folder, &prefix)?
        .with_context(|| format!("apt-get left no {prefix}*.deb in {}", folder.display()))
}

fn entry_with_prefix(folder: &Path, prefix: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(".deb") {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// The folder that a package's files are in; unpacked beside the package.
fn unpacked(package: &Path) -> Result<PathBuf> {
    let folder = package.with_extension("");
    if folder.is_dir() {
        return Ok(folder);
    }
    // Renamed when complete, so that an interrupted run leaves nothing that looks complete.
    let scratch = package.with_extension("partial");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))?;
    }
    process::run(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(package)
            .arg(&scratch),
    )?;
    fs::rename(&scratch, &folder).with_context(|| format!("rename {}", scratch.display()))?;
    Ok(folder)
}

fn only_entry(folder: &Path) -> Result<String> {
    let mut entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let entry = entries
        .next()
        .with_context(|| format!("{} is empty", folder.display()))??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

/// The kernel as an ELF file, or the boot file itself where it cannot be unpacked beforehand.
fn plain_kernel(root: &Path, release: &str) -> Result<PathBuf> {
    let boot_file = root.join("boot").join(format!("vmlinuz-{release}"));
    let plain = root.join("boot").join(format!("vmlinux-{release}"));
    if plain.is_file() {
        return Ok(plain);
    }
    let bytes = fs::read(&boot_file).with_context(|| format!("read {}", boot_file.display()))?;
    match vmlinux::unpack(&bytes) {
        Ok(kernel) => {
            fs::write(&plain, kernel).with_context(|| format!("write {}", plain.display()))?;
            Ok(plain)
        }
        Err(reason) => {
            process::say(format!(
                "the peer boots from its compressed kernel: {reason}"
            ));
            Ok(boot_file)
        }
    }
}

/// Builds the peer with the kernel's own profile, so that both engines are compiled alike; returns
/// the folder of its programs.
fn build_programs() -> Result<PathBuf> {
    let flags = [
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
        "-Cstrip=symbols",
    ];
    let folder = paths::target()?.join("peer");
    let mut command = process::clean_cargo("cargo", &flags.map(String::from));
    command
        .args([
            "build",
            "--package",
            "sos-peer",
            "--profile",
            "kernel",
            "--target",
            PEER_TARGET,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .current_dir(paths::workspace()?)
        .stdout(std::io::stderr());
    process::run(&mut command).context("build the Linux peer")?;
    Ok(folder.join(PEER_TARGET).join("kernel"))
}
