//! The quickest machine that this QEMU has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{paths, process};

/// PCI Express, ACPI and MSI-X, and nothing that no driver uses: the firmware would look for it.
pub(super) const MACHINE: &str = "q35,smm=off,sata=off,usb=off,smbus=off,vmport=off";
/// A firmware that does only what a kernel given by `-kernel` needs, some 100 ms quicker than the
/// default. It comes with QEMU for the machine `microvm`.
const QUICK_FIRMWARE: &str = "qboot.rom";

/// The name of a firmware to be preferred to the machine's own, where QEMU has it.
pub(super) fn quick_firmware(qemu: &Path) -> Option<&'static str> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| is_known(qemu).unwrap_or_else(|| ask(qemu)));
    found.then_some(QUICK_FIRMWARE)
}

/// What was found out about this very file, if anything: starting QEMU only to ask it takes as long as
/// booting half a node.
fn is_known(qemu: &Path) -> Option<bool> {
    let kept = std::fs::read_to_string(finding()?).ok()?;
    let answer = kept.strip_prefix(&version(qemu)?)?;
    Some(answer == " yes")
}

fn ask(qemu: &Path) -> bool {
    // Whoever cannot say where its data is is not asked for more than it does by itself.
    let found = process::output(Command::new(qemu).args(["-L", "help"]))
        .is_ok_and(|text| holds(data_folders(&text), QUICK_FIRMWARE));
    if let (Some(file), Some(version)) = (finding(), version(qemu)) {
        let answer = if found { "yes" } else { "no" };
        // Whoever cannot keep it asks again.
        let _ = std::fs::write(file, format!("{version} {answer}"));
    }
    found
}

fn finding() -> Option<PathBuf> {
    Some(paths::cache().ok()?.join("firmware"))
}

/// Which QEMU it is.
fn version(qemu: &Path) -> Option<String> {
    let data = qemu.metadata().ok()?;
    let changed = data.modified().ok()?;
    let changed = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
    let (bytes, nanos) = (data.len(), changed.as_nanos());
    Some(format!("{} {bytes} {nanos}", qemu.display()))
}

/// What `-L help` prints: a folder in each line.
fn data_folders(text: &str) -> impl Iterator<Item = PathBuf> {
    text.lines().map(|line| PathBuf::from(line.trim()))
}

fn holds(mut folders: impl Iterator<Item = PathBuf>, file: &str) -> bool {
    folders.any(|folder| folder.join(file).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_is_looked_for_in_every_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("/nowhere/at/all\n{}\n", folder.path().display());
        assert!(!holds(data_folders(&text), QUICK_FIRMWARE));
        std::fs::write(folder.path().join(QUICK_FIRMWARE), b"").unwrap();
        assert!(holds(data_folders(&text), QUICK_FIRMWARE));
    }
}
