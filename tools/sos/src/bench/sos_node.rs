//! Runs SOS for the bench: the images, the machines and what its shell tells.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::compute::{Kernel, Outcome, STARTED_GUEST, STARTS};
use super::services::Machine;
use super::sqlite;
use super::statistics::median;
use super::suite;
use super::system::{self, Services};
use super::withheld::Withheld;
use crate::lan::Lan;
use crate::qemu::Node;
use crate::{build, image, paths};

/// The end of the shell's prompt; the node's name stands before it.
pub const PROMPT: &str = "> ";
/// Ctrl-C, which ends a following verb.
const INTERRUPT: &[u8] = b"\x03";
/// How long the shell may take to answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const COMPUTE_TIMEOUT: Duration = Duration::from_secs(180);
/// The addresses of `web` and of `bench`, which has the byte streams.
const WEB: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const STREAMS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 16);

/// The services on static addresses, as the peer's.
const SERVICES_MANIFEST: &str = r#"
name = "bench"
[switch.lan]
uplink = "nic0"
[instance.web]
module = "web"
limits.memory = "24MiB"
[instance.web.port.eth0]
switch = "lan"
address = "10.0.2.15/24"
[instance.bench]
module = "bench"
limits.memory = "24MiB"
[instance.bench.port.eth0]
switch = "lan"
address = "10.0.2.16/24"
"#;

/// What competes with `web` in the spinner's row.
const SPINNER_MANIFEST: &str = r#"
[instance.spinner]
module = "spinner"
limits.memory = "4MiB"
"#;

/// The kernel, built once, and the folder of the images.
pub struct Kit {
    kernel: PathBuf,
    folder: PathBuf,
}

/// Whether a machine that serves has a compute-bound instance beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// The services alone.
    Alone,
    /// With the spinner.
    Spinner,
}

impl Kit {
    /// Builds the kernel.
    pub fn prepare() -> Result<Kit> {
        Ok(Kit {
            kernel: build::kernel()?,
            folder: paths::cache()?,
        })
    }

    /// The kernel's file.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// Makes a boot image of a manifest.
    pub fn image(&self, name: &str, manifest: &str) -> Result<PathBuf> {
        let file = self.folder.join(format!("bench-{name}.sosimg"));
        image::from_text(manifest, &paths::workspace()?)?.write(&file)?;
        Ok(file)
    }
}

/// A SOS machine that serves.
pub struct Sos {
    node: Node,
    /// The LAN lives as long as the machine.
    _lan: Lan,
    started: Instant,
    services: Services,
}

impl Sos {
    /// Boots with the services; returns at once, while the machine boots.
    pub fn serve(kit: &Kit, company: Company) -> Result<Sos> {
        let image = match company {
            Company::Alone => kit.image("services", SERVICES_MANIFEST)?,
            Company::Spinner => {
                kit.image("spinner", &format!("{SERVICES_MANIFEST}{SPINNER_MANIFEST}"))?
            }
        };
        let addresses = [WEB, STREAMS, STREAMS, STREAMS].map(IpAddr::V4);
        let (lan, services) = system::start_lan(addresses)?;
        let machine = system::machine(&kit.kernel, &image)
            .name("SOS")
            .arguments(system::nic(&lan));
        let started = Instant::now();
        Ok(Sos {
            node: machine.spawn()?,
            _lan: lan,
            started,
            services,
        })
    }

    /// Boots with the instances of a manifest, the first of which has all services, and with an
    /// operator's channel at `socket`.
    pub fn hold(kit: &Kit, manifest: &str, socket: &Path) -> Result<Sos> {
        let image = kit.image("holder", manifest)?;
        let (lan, services) = system::start_lan([IpAddr::V4(WEB); 4])?;
        let machine = system::machine(&kit.kernel, &image)
            .name("SOS")
            .channel(socket)
            .arguments(system::PREALLOCATED.map(str::to_owned))
            .arguments(system::nic(&lan));
        let started = Instant::now();
        Ok(Sos {
            node: machine.spawn()?,
            _lan: lan,
            started,
            services,
        })
    }

    /// Types a line into the shell and returns what comes until the next prompt.
    pub fn ask(&self, line: &str) -> Result<String> {
        ask(&self.node, line)
    }
}

impl Machine for Sos {
    fn started(&self) -> Instant {
        self.started
    }

    fn services(&self) -> &Services {
        &self.services
    }

    fn memory_before_bytes(&mut self) -> Result<u64> {
        let log = self.ask("dmesg")?;
        let used_kib = system::number_after(&log, "KiB given, ");
        Ok(used_kib.context("the kernel log does not say how much memory is used")? << 10)
    }

    fn process_id(&self) -> u32 {
        self.node.process_id()
    }
}

/// Types a line into a node's shell and returns what comes until the next prompt.
pub fn ask(node: &Node, line: &str) -> Result<String> {
    let console = node.console();
    // A prompt from before the echo of the line must not count as the end of its answer.
    console.send_line(line)?;
    console.expect(line, ANSWER_TIMEOUT)?;
    Ok(console.expect(PROMPT, ANSWER_TIMEOUT)?)
}

/// Runs a kernel on a machine of its own and returns what it said.
pub fn compute(kit: &Kit, kernel: Kernel) -> Result<Outcome> {
    let Kernel {
        guest, iterations, ..
    } = kernel;
    let manifest = format!(
        "name = \"bench\"\n[instance.{guest}]\nmodule = \"{guest}\"\nrestart = \"never\"\n\
         [instance.{guest}.config]\niterations = \"{iterations}\"\n"
    );
    let image = kit.image(guest, &manifest)?;
    let node = system::machine(&kit.kernel, &image).name("SOS").spawn()?;
    // The instance has begun a moment before.
    node.console().expect(PROMPT, ANSWER_TIMEOUT)?;
    let watch = Withheld::from_now(node.process_id());
    node.console().send_line(&format!("logs {guest} -f"))?;
    node.console().expect("iterations in ", COMPUTE_TIMEOUT)?;
    let withheld = watch.until_now();
    let rest = node.console().expect("\n", ANSWER_TIMEOUT)?;
    let line = format!("iterations in {rest}");
    let outcome = Outcome::read(&line).with_context(|| format!("read `{}`", line.trim()))?;
    outcome.without(withheld)
}

/// A run of SQLite.
pub struct SqliteRun {
    /// From `start` to its end, without what the host withheld.
    pub elapsed: Duration,
    /// What it found out.
    pub findings: Vec<String>,
}

/// Starts SQLite on a machine of its own and waits for its end.
pub fn sqlite(kit: &Kit) -> Result<SqliteRun> {
    let module = sqlite::module()?;
    let manifest = format!(
        "name = \"bench\"\n[instance.sqlite]\nmodule = \"{}\"\nargs = [\"/data/a.db\", \"{}\"]\n\
         preopen = [\"/data\"]\nrestart = \"never\"\nautostart = false\nlimits.memory = \"64MiB\"\n",
        module.display(),
        sqlite::ORDERS,
    );
    let image = kit.image("sqlite", &manifest)?;
    let node = system::machine(&kit.kernel, &image).name("SOS").spawn()?;
    node.console().expect(PROMPT, ANSWER_TIMEOUT)?;
    let began = Instant::now();
    let watch = Withheld::from_now(node.process_id());
    node.console().send_line("start sqlite")?;
    // Silent until the program has ended, so that the shell takes nothing from it meanwhile.
    node.console().send_line("events -f")?;
    node.console().expect("exited", sqlite::TIMEOUT)?;
    let elapsed = began.elapsed().checked_sub(watch.until_now());
    let elapsed = elapsed.context("the host withheld more than all of the time")?;
    node.console().send(INTERRUPT)?;
    node.console().expect(PROMPT, ANSWER_TIMEOUT)?;
    node.console().send_line("console sqlite")?;
    let text = node.console().expect("does not run", ANSWER_TIMEOUT)?;
    let findings = sqlite::findings(&text);
    Ok(SqliteRun {
        elapsed,
        findings: findings.into_iter().map(str::to_owned).collect(),
    })
}

/// Runs the specification's suite inside the kernel.
pub fn suite(kit: &Kit) -> Result<suite::Verdict> {
    let node = system::machine(&kit.kernel, &suite::bundle()?)
        .name("SOS")
        .append("test=spec")
        .watchdog(suite::TIMEOUT)
        .spawn()?;
    node.console().expect(suite::FINISHED, suite::TIMEOUT)?;
    let line = node.console().expect("\n", ANSWER_TIMEOUT)?;
    suite::Verdict::read(&line).with_context(|| format!("read `{}`", line.trim()))
}

/// Starts an instance again and again; milliseconds from `start` to its first instruction.
pub fn start_ms(kit: &Kit) -> Result<f64> {
    let manifest = format!(
        "name = \"bench\"\n[instance.{STARTED_GUEST}]\nmodule = \"{STARTED_GUEST}\"\nrestart = \"never\"\n\
         autostart = false\n"
    );
    let image = kit.image("start", &manifest)?;
    let node = system::machine(&kit.kernel, &image).name("SOS").spawn()?;
    node.console().expect(PROMPT, ANSWER_TIMEOUT)?;
    // The first start translates the module, which later ones share.
    ask(&node, &format!("start {STARTED_GUEST}"))?;
    let mut starts_ms = Vec::new();
    for _ in 0..STARTS {
        ask(&node, &format!("start {STARTED_GUEST}"))?;
        let detail = ask(&node, &format!("info {STARTED_GUEST} --json"))?;
        let start_ns = system::number_after(&detail, "\"start_nanos\":");
        starts_ms.push(start_ns.with_context(|| format!("read `{detail}`"))? as f64 / 1e6);
    }
    ensure!(
        starts_ms.iter().all(|&start_ms| start_ms > 0.0),
        "a start without a time: {starts_ms:?}"
    );
    median(&starts_ms).context("no start")
}
