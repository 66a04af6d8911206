//! A node as a QEMU machine: how it is started, spoken to and ended.
//!
//! [`NodeBuilder`] says what to start, [`Node`] is the running machine with its [`Console`],
//! [`channel`] leads into its kernel, `accelerator` decides between KVM and emulation, `machine` for
//! the quickest firmware.

mod accelerator;
pub mod channel;
mod console;
mod machine;
mod node;

#[cfg(test)]
mod tests;

pub use accelerator::{Accelerator, accelerator};
pub use console::{Console, ConsoleError};
pub use node::{End, Node};

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::setup;

/// Status with which QEMU leaves when the kernel wrote its failure code to `isa-debug-exit`
/// (the device turns a value `v` into the status `2 v + 1`; the kernel writes 0x10).
pub const PANIC_STATUS: i32 = 0x21;
/// Memory of a node that asks for nothing else.
const MEMORY_MIB: u64 = 256;
/// How long a node may live that asks for nothing else.
const WATCHDOG: Duration = Duration::from_secs(300);

/// What to start.
///
/// ```no_run
/// use std::time::Duration;
/// let kernel = sos::build::kernel()?;
/// let node = sos::qemu::NodeBuilder::new(&kernel).memory_mib(64).spawn()?;
/// node.console().expect("> ", Duration::from_secs(30))?;
/// node.console().send_line("poweroff")?;
/// assert!(node.wait(Duration::from_secs(10))?.is_poweroff());
/// # anyhow::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    name: String,
    kernel: PathBuf,
    image: Option<PathBuf>,
    channel: Option<PathBuf>,
    machine: Option<String>,
    memory_mib: u64,
    cpus: u32,
    cpu_model: Option<String>,
    options: Vec<String>,
    arguments: Vec<String>,
    watchdog: Option<Duration>,
    accelerator: Option<Accelerator>,
}

impl NodeBuilder {
    /// A node that boots the kernel at this path.
    pub fn new(kernel: &Path) -> NodeBuilder {
        NodeBuilder {
            name: "node".to_string(),
            kernel: kernel.to_path_buf(),
            image: None,
            channel: None,
            machine: None,
            memory_mib: MEMORY_MIB,
            cpus: 1,
            cpu_model: None,
            options: Vec::new(),
            arguments: Vec::new(),
            watchdog: Some(WATCHDOG),
            accelerator: None,
        }
    }

    /// What the node is called in errors.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.to_string();
        self
    }

    /// The boot image, handed over as the boot module (`-initrd`).
    pub fn image(mut self, image: &Path) -> Self {
        self.image = Some(image.to_path_buf());
        self
    }

    /// A file with the node's secret, which other programs of this host do not see on QEMU's command line
    /// (QEMU, docs/specs/fw_cfg.rst).
    pub fn secret(self, file: &Path) -> Self {
        self.firmware_file("secret", file)
    }

    /// A file with whom the node trusts, an encoded `sos_core::cluster::Trust`.
    pub fn trust(self, file: &Path) -> Self {
        self.firmware_file("cluster", file)
    }

    fn firmware_file(self, name: &str, file: &Path) -> Self {
        // A comma in a value is written twice.
        let file = file.display().to_string().replace(',', ",,");
        let value = format!("name=opt/sos/{name},file={file}");
        self.arguments(["-fw_cfg".to_string(), value])
    }

    /// Gives the machine a channel to programs on this host: [`channel::connect`] finds it at `socket`.
    /// Its folder should be the user's alone, as whoever reaches the socket commands the node.
    pub fn channel(mut self, socket: &Path) -> Self {
        self.channel = Some(socket.to_path_buf());
        self
    }

    /// QEMU's machine type with its options, and that machine's own firmware; without it a `q35` that
    /// starts as quickly as this QEMU can make it.
    pub fn machine(mut self, machine: &str) -> Self {
        self.machine = Some(machine.to_string());
        self
    }

    /// Memory of the machine.
    pub fn memory_mib(mut self, memory_mib: u64) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Number of CPUs.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// QEMU's CPU model; without it the most capable one of the accelerator.
    pub fn cpu_model(mut self, model: &str) -> Self {
        self.cpu_model = Some(model.to_string());
        self
    }

    /// Words for the kernel's command line; later calls add to it.
    pub fn append(mut self, options: &str) -> Self {
        self.options.push(options.to_string());
        self
    }

    /// Further arguments for QEMU, such as those of a network card (`Lan::qemu_netdev_args`).
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// How long the node may live before it is killed and its log shown.
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.watchdog = Some(limit);
        self
    }

    /// Lets the node live as long as it likes.
    pub fn without_watchdog(mut self) -> Self {
        self.watchdog = None;
        self
    }

    /// Fixes the accelerator instead of finding out.
    pub fn accelerator(mut self, accelerator: Accelerator) -> Self {
        self.accelerator = Some(accelerator);
        self
    }

    /// Starts the machine.
    pub fn spawn(self) -> Result<Node> {
        self.spawn_copying(|_| {})
    }

    /// Starts the machine and hands what it prints to `copy` as well, piece by piece.
    pub fn spawn_copying(self, copy: impl FnMut(&[u8]) + Send + 'static) -> Result<Node> {
        let command = self.command()?;
        Node::spawn(self.name, command, self.watchdog, copy)
    }

    /// The command that starts the machine, its serial console on standard input and output.
    pub fn command(&self) -> Result<Command> {
        let qemu = setup::ensure_qemu()?;
        let mut command = Command::new(&qemu);
        let chosen = match self.accelerator {
            Some(chosen) => chosen,
            None => accelerator()?,
        };
        let model = self.cpu_model.as_deref().unwrap_or(chosen.cpu_model());
        command
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args([
                "-machine",
                self.machine.as_deref().unwrap_or(machine::MACHINE),
                "-accel",
                chosen.name(),
                "-cpu",
                model,
            ])
            .args([
                "-smp",
                &self.cpus.to_string(),
                "-m",
                &format!("{}M", self.memory_mib),
            ])
            // Without `signal=off` a Ctrl-C of the user would end QEMU instead of reaching SOS.
            .args([
                "-chardev",
                "stdio,id=console,signal=off",
                "-serial",
                "chardev:console",
            ])
            // The way out of a kernel that died.
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
            .args(["-device", "virtio-rng-pci"])
            .arg("-kernel")
            .arg(&self.kernel);
        if self.machine.is_none()
            && let Some(firmware) = machine::quick_firmware(&qemu)
        {
            command.args(["-bios", firmware]);
        }
        if let Some(image) = &self.image {
            command.arg("-initrd").arg(image);
        }
        if !self.options.is_empty() {
            command.args(["-append", &self.options.join(" ")]);
        }
        if let Some(socket) = &self.channel {
            command.args(channel::arguments(socket)?);
        }
        command.args(&self.arguments);
        Ok(command)
    }
}
