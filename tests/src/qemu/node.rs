//! A node under test: how it is booted and how one talks to its shell.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use sos::image::BootImage;
use sos::lan::{Forward, Lan, LanConfig};
use sos::qemu::{Accelerator, Console, Node, NodeBuilder, channel};
use sos::{build, setup};
use tempfile::TempDir;

use super::{Monitor, PATIENCE, WATCHDOG, demo, http};

/// The card's station address; each test has a LAN of its own.
const NIC_MAC: &str = "02:53:4f:53:00:01";

/// Names a kernel's file that is tested in place of one that is built.
pub(super) const KERNEL: &str = "SOS_TEST_KERNEL";
/// Names the kernel's file that stands for another build.
const OTHER_KERNEL: &str = "SOS_TEST_OTHER_KERNEL";

/// The kernel's file, built once per test program.
///
/// # Panics
/// When it cannot be built.
pub fn kernel() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| given_or_built(KERNEL, build::kernel))
}

fn given_or_built(name: &str, build: fn() -> anyhow::Result<PathBuf>) -> PathBuf {
    setup::ensure().expect("tools");
    match std::env::var_os(name) {
        Some(given) => given.into(),
        None => build().unwrap_or_else(|error| panic!("{error:#}")),
    }
}

/// The file of a kernel of another build: without one that is given, one that keeps what it has in other orders.
///
/// # Panics
/// When it cannot be built.
pub fn other_kernel() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| given_or_built(OTHER_KERNEL, build::shuffled_kernel))
}

/// The network card of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nic {
    /// There is none, nor a LAN.
    None,
    /// One on the LAN, with these further properties, such as `,vectors=0`.
    OnLan(String),
}

/// What to boot.
pub struct Boot {
    name: String,
    image: Option<Vec<u8>>,
    forwards: Vec<Forward>,
    nic: Nic,
    lan: Option<Lan>,
    channel: bool,
    machine: Option<String>,
    memory_mib: u64,
    options: Vec<String>,
    arguments: Vec<String>,
    watchdog: Duration,
}

impl Boot {
    /// The demo, on a LAN.
    pub fn demo() -> Boot {
        Boot::image(demo())
    }

    /// An image, on a LAN that forwards what its manifest says, from free ports.
    pub fn image(image: &BootImage) -> Boot {
        let forwards = image.manifest.forwards.iter();
        let forwards = forwards.map(|spec| Forward::to_name(&spec.instance, spec.instance_port));
        Boot {
            forwards: forwards.collect(),
            image: Some(image.bytes.clone()),
            nic: Nic::OnLan(String::new()),
            ..Boot::bare(&image.manifest.name)
        }
    }

    /// The bytes of something that need not be an image, without a LAN.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Boot {
        Boot {
            image: Some(bytes.into()),
            ..Boot::bare("sos")
        }
    }

    /// The kernel alone, which prompts with this name.
    pub fn bare(name: &str) -> Boot {
        Boot {
            name: name.to_string(),
            image: None,
            forwards: Vec::new(),
            nic: Nic::None,
            lan: None,
            channel: false,
            machine: None,
            memory_mib: 128,
            options: Vec::new(),
            arguments: Vec::new(),
            watchdog: WATCHDOG,
        }
    }

    /// The name that the prompt will show.
    pub fn named(mut self, name: &str) -> Boot {
        self.name = name.to_string();
        self
    }

    /// Another card than the usual one.
    pub fn nic(mut self, nic: Nic) -> Boot {
        self.nic = nic;
        self
    }

    /// On a LAN that another node has [left](TestNode::leave_lan).
    pub fn on_lan(mut self, lan: Lan) -> Boot {
        self.nic = Nic::OnLan(String::new());
        self.lan = Some(lan);
        self
    }

    /// With a channel to the host.
    pub fn with_channel(mut self) -> Boot {
        self.channel = true;
        self
    }

    /// Another machine type than the usual one.
    pub fn machine(mut self, machine: &str) -> Boot {
        self.machine = Some(machine.to_string());
        self
    }

    /// Memory of the machine.
    pub fn memory_mib(mut self, memory_mib: u64) -> Boot {
        self.memory_mib = memory_mib;
        self
    }

    /// Words for the kernel's command line.
    pub fn append(mut self, options: &str) -> Boot {
        self.options.push(options.to_string());
        self
    }

    /// Further arguments for QEMU.
    pub fn arguments(mut self, arguments: &[&str]) -> Boot {
        self.arguments
            .extend(arguments.iter().map(|word| word.to_string()));
        self
    }

    /// How long the node may live.
    pub fn watchdog(mut self, limit: Duration) -> Boot {
        self.watchdog = limit;
        self
    }

    /// Starts the machine and waits for the shell.
    ///
    /// # Panics
    /// When the prompt does not come.
    pub fn start(self) -> TestNode {
        let node = self.spawn();
        node.until_prompt();
        node
    }

    /// Starts the machine.
    ///
    /// # Panics
    /// When QEMU or the LAN cannot be started.
    pub fn spawn(self) -> TestNode {
        let folder = tempfile::tempdir().expect("a folder");
        let monitor = folder.path().join("monitor.sock");
        let mut builder = NodeBuilder::new(kernel())
            .name(&self.name)
            .accelerator(sos::qemu::accelerator().unwrap_or(Accelerator::Tcg))
            .memory_mib(self.memory_mib)
            .watchdog(self.watchdog)
            .arguments(Monitor::arguments(&monitor));
        if let Some(bytes) = &self.image {
            let file = folder.path().join("image.sosimg");
            std::fs::write(&file, bytes).expect("write the image");
            builder = builder.image(&file);
        }
        if let Some(machine) = &self.machine {
            builder = builder.machine(machine);
        }
        for options in &self.options {
            builder = builder.append(options);
        }
        if self.channel {
            builder = builder.channel(&channel_socket(&folder));
        }
        let mut lan = None;
        if let Nic::OnLan(properties) = &self.nic {
            let config = LanConfig {
                forwards: self.forwards,
                ..LanConfig::default()
            };
            let started = self
                .lan
                .unwrap_or_else(|| Lan::start(config).unwrap_or_else(|error| panic!("{error}")));
            let mut arguments = started.qemu_netdev_args("net0", NIC_MAC);
            if let Some(device) = arguments.last_mut() {
                device.push_str(properties);
            }
            builder = builder.arguments(arguments);
            lan = Some(started);
        }
        let node = builder
            .arguments(self.arguments)
            .spawn()
            .unwrap_or_else(|error| panic!("{error:#}"));
        TestNode {
            prompt: format!("\r{}> \x1b[K", self.name),
            node,
            lan,
            folder,
        }
    }
}

fn channel_socket(folder: &TempDir) -> PathBuf {
    folder.path().join("channel.sock")
}

/// A running node. Dropping it ends QEMU and the LAN.
pub struct TestNode {
    prompt: String,
    node: Node,
    lan: Option<Lan>,
    folder: TempDir,
}

impl TestNode {
    /// The machine.
    pub fn machine(&self) -> &Node {
        &self.node
    }

    /// Its LAN.
    ///
    /// # Panics
    /// When it was started without one.
    pub fn lan(&self) -> &Lan {
        self.lan.as_ref().expect("a node on a LAN")
    }

    /// Its serial console.
    pub fn console(&self) -> &Console {
        self.node.console()
    }

    /// The host's port that leads to the first forward of the manifest.
    pub fn port(&self) -> u16 {
        self.lan().forward_port(0)
    }

    /// The socket of its channel.
    pub fn channel_socket(&self) -> PathBuf {
        channel_socket(&self.folder)
    }

    /// A connection to its channel.
    ///
    /// # Panics
    /// When it was started without one.
    pub fn channel(&self) -> UnixStream {
        let stream = channel::connect(&channel_socket(&self.folder), PATIENCE).expect("a channel");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// A connection to QEMU's monitor.
    pub fn monitor(&self) -> Monitor {
        Monitor::connect(&self.folder.path().join("monitor.sock"))
    }

    /// Waits for words on the console; returns all that came before, and them.
    ///
    /// # Panics
    /// When they do not come.
    pub fn expect(&self, words: &str) -> String {
        let found = self.console().expect(words, PATIENCE);
        found.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits for the prompt; returns what was printed before it.
    ///
    /// # Panics
    /// When it does not come.
    pub fn until_prompt(&self) -> String {
        let text = self.expect(&self.prompt);
        text[..text.len() - self.prompt.len()].replace("\r\n", "\n")
    }

    /// Types bytes as they are.
    ///
    /// # Panics
    /// When the machine has ended.
    pub fn keys(&self, bytes: &[u8]) {
        let sent = self.console().send(bytes);
        sent.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Types a line; its echo is passed over.
    pub fn line(&self, line: &str) {
        self.keys(format!("{line}\r").as_bytes());
        self.expect(&format!("{line}\r\n"));
    }

    /// Runs a shell line to its end; returns what it printed.
    pub fn shell(&self, line: &str) -> String {
        self.line(line);
        self.until_prompt()
    }

    /// Runs a shell line that prints nothing when it succeeds.
    ///
    /// # Panics
    /// When it prints something.
    pub fn quietly(&self, line: &str) {
        assert_eq!(self.shell(line), "", "{line}");
    }

    /// Runs a listing verb with `--json` and parses what it printed.
    ///
    /// # Panics
    /// When that is not one line of JSON.
    pub fn json(&self, line: &str) -> Value {
        let text = self.shell(&format!("{line} --json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    }

    /// State and detail of an instance.
    pub fn state(&self, instance: &str) -> (String, String) {
        let detail = self.json(&format!("info {instance}"));
        let text = |key: &str| detail[key].as_str().unwrap_or_default().to_string();
        (text("state"), text("detail"))
    }

    /// Looks until an instance is in this state; returns the state's detail.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn until_state(&self, instance: &str, wanted: &str) -> String {
        super::eventually(&format!("{instance} becomes {wanted}"), || {
            match self.state(instance) {
                (state, detail) if state == wanted => Ok(detail),
                (state, detail) => Err(format!("it is {state} ({detail})")),
            }
        })
    }

    /// The texts of an instance's log.
    pub fn log(&self, instance: &str) -> Vec<String> {
        let rows = self.json(&format!("logs {instance}"));
        let rows = rows["entries"].as_array().cloned().unwrap_or_default();
        let text = |row: &Value| row["text"].as_str().unwrap_or_default().to_string();
        rows.iter().map(text).collect()
    }

    /// Asks the first forwarded service until it answers with `status`.
    pub fn ask_until(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        status: u16,
    ) -> http::Response {
        http::ask_until(self.port(), method, target, body, status)
    }

    /// Waits until `web` serves its greeting.
    ///
    /// # Panics
    /// When it does not.
    pub fn web_serves(&self) {
        let response = self.ask_until("GET", "/", b"", 200);
        assert_eq!(response.text(), "hello from SOS\n");
    }

    /// Switches the node off and gives its LAN to the next one.
    ///
    /// # Panics
    /// When it does not end as it should, or was started without a LAN.
    pub fn leave_lan(mut self) -> Lan {
        let lan = self.lan.take().expect("a node on a LAN");
        self.power_off();
        lan
    }

    /// Switches the node off by its shell.
    ///
    /// # Panics
    /// When it does not end, or not as it should.
    pub fn power_off(self) {
        self.line("poweroff");
        let end = self.node.wait(PATIENCE);
        let end = end.unwrap_or_else(|error| panic!("{error:#}"));
        assert!(end.is_poweroff(), "{end}\n{}", self.console().tail());
    }
}
