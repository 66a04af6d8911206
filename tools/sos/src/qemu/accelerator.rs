//! KVM where it works, emulation elsewhere.
//!
//! `/dev/kvm` can exist on a machine that cannot run guests with it; so the CPU must have the
//! feature *and* a boot sector of five bytes must run to its end. The finding is kept until the
//! host boots again.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{paths, process, setup};

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's CPU.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accelerator {
    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        }
    }

    /// The most capable CPU that it offers.
    pub fn cpu_model(self) -> &'static str {
        match self {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => "max",
        }
    }
}

/// The one to use on this machine.
pub fn accelerator() -> Result<Accelerator> {
    if !cpu_can_virtualise(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()) {
        return Ok(Accelerator::Tcg);
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let finding = paths::cache()?.join("accelerator");
    let kept = std::fs::read_to_string(&finding).unwrap_or_default();
    for known in [Accelerator::Kvm, Accelerator::Tcg] {
        if !boot.is_empty() && kept == format!("{} {boot}", known.name()) {
            return Ok(known);
        }
    }
    let qemu = setup::ensure_qemu()?;
    let found = match trial_boot(&qemu, Accelerator::Kvm, Duration::from_secs(5))? {
        Trial::Ran => Accelerator::Kvm,
        Trial::Failed => Accelerator::Tcg,
    };
    std::fs::write(&finding, format!("{} {boot}", found.name()))
        .context("keep what was found out about KVM")?;
    Ok(found)
}

/// Whether the CPU has Intel's or AMD's virtualisation, as `/proc/cpuinfo` tells.
fn cpu_can_virtualise(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    flags
        .flat_map(str::split_ascii_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm")
}

/// How a trial boot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    Ran,
    Failed,
}

/// Boots a sector that leaves QEMU at once with a status of its own.
fn trial_boot(qemu: &Path, accelerator: Accelerator, limit: Duration) -> Result<Trial> {
    // mov al, 0x10; out 0xf4, al; hlt -- then the mark of a boot sector at its end.
    let mut sector = [0_u8; 512];
    sector[..5].copy_from_slice(&[0xb0, 0x10, 0xe6, 0xf4, 0xf4]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut disk = tempfile::NamedTempFile::new().context("make a disk for a trial boot")?;
    disk.write_all(&sector)
        .context("write a disk for a trial boot")?;

    let mut command = Command::new(qemu);
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-m",
            "16M",
        ])
        .args([
            "-accel",
            accelerator.name(),
            "-cpu",
            accelerator.cpu_model(),
        ])
        .args([
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=0x04",
            "-drive",
        ])
        .arg(format!("file={},format=raw,if=ide", disk.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = process::spawn_bound(command).context("start QEMU for a trial boot")?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().context("wait for a trial boot")? {
            let ran = status.code() == Some(super::PANIC_STATUS);
            return Ok(if ran { Trial::Ran } else { Trial::Failed });
        }
        if Instant::now() >= deadline {
            child.kill().context("end a trial boot")?;
            child.wait().context("wait for a trial boot")?;
            return Ok(Trial::Failed);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cpu_flags_count() {
        assert!(cpu_can_virtualise("flags\t\t: fpu vmx sse2\n"));
        assert!(cpu_can_virtualise("flags : svm\n"));
        assert!(!cpu_can_virtualise(
            "flags : fpu\nmodel name : svm vmx\nvmx flags : vnmi\n"
        ));
    }

    #[test]
    fn a_trial_boot_tells_a_machine_that_runs_from_one_that_does_not() {
        let qemu = setup::ensure_qemu().unwrap();
        let limit = Duration::from_secs(60);
        assert_eq!(
            trial_boot(&qemu, Accelerator::Tcg, limit).unwrap(),
            Trial::Ran
        );
        let hung = trial_boot(&qemu, Accelerator::Tcg, Duration::ZERO).unwrap();
        assert_eq!(hung, Trial::Failed);
        let broken = paths::program("false").unwrap();
        assert_eq!(
            trial_boot(&broken, Accelerator::Tcg, limit).unwrap(),
            Trial::Failed
        );
    }
}
