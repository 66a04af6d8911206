//! The system's package manager: which one there is, what packages are called, how to call it.

use std::io::IsTerminal;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::NO_INSTALL;
use crate::paths;
use crate::process::{run, say, shown};

/// A package manager that the tool knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu and their kin.
    Apt,
    /// Fedora and its kin.
    Dnf,
    /// Arch and its kin.
    Pacman,
    /// openSUSE.
    Zypper,
    /// Alpine.
    Apk,
}

impl Manager {
    const ALL: [Manager; 5] = [
        Manager::Apt,
        Manager::Dnf,
        Manager::Pacman,
        Manager::Zypper,
        Manager::Apk,
    ];

    /// The one of this machine.
    pub fn find() -> Option<Manager> {
        Manager::ALL
            .into_iter()
            .find(|manager| paths::program(manager.program()).is_some())
    }

    fn program(self) -> &'static str {
        match self {
            Manager::Apt => "apt-get",
            Manager::Dnf => "dnf",
            Manager::Pacman => "pacman",
            Manager::Zypper => "zypper",
            Manager::Apk => "apk",
        }
    }

    /// What `qemu-system-x86_64` is packaged as.
    pub fn qemu_package(self) -> &'static str {
        match self {
            Manager::Apt | Manager::Pacman => "qemu-system-x86",
            Manager::Dnf => "qemu-system-x86-core",
            Manager::Zypper => "qemu-x86",
            Manager::Apk => "qemu-system-x86_64",
        }
    }

    fn install_arguments(self) -> &'static [&'static str] {
        match self {
            Manager::Apt => &["install", "--yes", "--no-install-recommends"],
            Manager::Dnf => &["install", "--assumeyes", "--setopt=install_weak_deps=False"],
            Manager::Pacman => &["--sync", "--noconfirm", "--needed"],
            Manager::Zypper => &["--non-interactive", "install", "--no-recommends"],
            Manager::Apk => &["add"],
        }
    }

    /// The command that installs `packages`, with `sudo` where the user is not root.
    fn install_command(self, packages: &[&str]) -> Command {
        let mut command = self.command();
        command.args(self.install_arguments()).args(packages);
        command
    }

    fn command(self) -> Command {
        // SAFETY: geteuid has no preconditions and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        let mut command = if root {
            Command::new(self.program())
        } else {
            let mut sudo = Command::new("sudo");
            if !std::io::stdin().is_terminal() {
                // Nobody is there to type a password.
                sudo.arg("--non-interactive");
            }
            sudo.arg(self.program());
            sudo
        };
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// Whether the user forbids installing.
pub fn forbidden() -> bool {
    std::env::var_os(NO_INSTALL).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Installs `packages` for `purpose`, or says what to install.
pub fn install(manager: Manager, packages: &[&str], purpose: &str) -> Result<()> {
    let mut command = manager.install_command(packages);
    let typed = shown(&command);
    if forbidden() {
        bail!("{purpose} is missing and {NO_INSTALL} forbids installing it: run `{typed}`");
    }
    say(format!("installing {purpose}: {typed}"));
    let first = run(silence(&mut command));
    if first.is_err() && manager == Manager::Apt {
        // A fresh machine has no package lists yet.
        let mut update = manager.command();
        update.arg("update");
        say(format!("trying again after `{}`", shown(&update)));
        run(silence(&mut update))?;
        run(silence(&mut manager.install_command(packages)))
    } else {
        first
    }
    .with_context(|| {
        format!(
            "{purpose} could not be installed: install {}",
            packages.join(", ")
        )
    })
}

/// Moves what a package manager prints to standard error: standard output belongs to the guest.
fn silence(command: &mut Command) -> &mut Command {
    command
        .stdin(std::process::Stdio::inherit())
        .stdout(std::io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manager_installs_without_asking() {
        for manager in Manager::ALL {
            let typed = shown(&manager.install_command(&[manager.qemu_package()]));
            assert!(
                typed.contains(manager.program()) && typed.contains("qemu"),
                "{typed}"
            );
            let quiet = ["yes", "noconfirm", "non-interactive", "apk add"];
            assert!(quiet.iter().any(|word| typed.contains(word)), "{typed}");
        }
    }
}
