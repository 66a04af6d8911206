//! The machine that SOS boots on here: `qemu-system-x86_64`.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::NO_INSTALL;
use super::install::{self, Manager};
use crate::paths;

/// The program's name.
pub const QEMU: &str = "qemu-system-x86_64";

/// The program, if it is there.
pub fn find() -> Option<PathBuf> {
    paths::program(QEMU)
}

/// The program, installed where it was missing.
pub fn ensure() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let Some(manager) = Manager::find() else {
        bail!(
            "{QEMU} is missing and this system's package manager is not known: \
             install QEMU for x86_64 so that `{QEMU}` is in PATH"
        );
    };
    install::install(
        manager,
        &[manager.qemu_package()],
        &format!("QEMU ({QEMU})"),
    )?;
    match find() {
        Some(found) => Ok(found),
        None => bail!(
            "{} was installed and `{QEMU}` is still not in PATH: add its folder, or install QEMU \
             another way and set {NO_INSTALL}=1",
            manager.qemu_package()
        ),
    }
}
