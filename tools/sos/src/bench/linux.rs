//! Runs the Linux peer: boots it on the same machine and path as SOS and reads its console.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::linux_kit::{Kit, Program};
use super::services::Machine;
use super::system::{self, Services};
use super::withheld::Withheld;
use crate::lan::Lan;
use crate::qemu::{Node, NodeBuilder};

/// The address of all its services.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// A machine that has not done its work by then is hung.
const WORK_TIMEOUT: Duration = Duration::from_secs(180);
/// What makes this kernel boot faster without making it serve differently: no probing of absent
/// keyboards, no self-tests of unused ciphers, no check of a timer that emulation has. Security
/// mitigations stay at the kernel's default (`auto`).
const TUNING: &str = "console=ttyS0 quiet panic=-1 cryptomgr.notests tsc=reliable no_timer_check \
    i8042.noaux i8042.nokbd i8042.nopnp 8250.nr_uarts=1 random.trust_cpu=on \
    rcupdate.rcu_expedited=1 audit=0 apparmor=0";

/// A Linux machine that serves.
pub struct Linux {
    node: Node,
    /// The LAN lives as long as the machine.
    lan: Lan,
    started: Instant,
    services: Services,
}

impl Linux {
    /// Boots with the services; returns at once, while the machine boots.
    pub fn serve(kit: &Kit) -> Result<Linux> {
        let initramfs = kit.initramfs(Program::Serve, &[])?;
        let (lan, services) = system::start_lan([IpAddr::V4(ADDRESS); 4])?;
        let words = format!("peer.address={ADDRESS} peer.prefix=24");
        let machine = builder(kit, &initramfs, &words).arguments(system::nic(&lan));
        let started = Instant::now();
        Ok(Linux {
            node: machine.spawn()?,
            lan,
            started,
            services,
        })
    }

    /// Boots with the services and with so much memory that is touched and written ([`super::snapshots`]).
    pub fn hold(
        kit: &Kit,
        mebibytes: u64,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Linux> {
        Linux::keep(kit, &held(mebibytes), arguments)
    }

    /// Boots with the services and these words for the peer.
    pub fn keep(
        kit: &Kit,
        words: &str,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Linux> {
        let (lan, services) = system::start_lan([IpAddr::V4(ADDRESS); 4])?;
        let machine = server(kit, &lan, words)?.arguments(arguments);
        let started = Instant::now();
        Ok(Linux {
            node: machine.spawn()?,
            lan,
            started,
            services,
        })
    }

    /// Ends the emulator and starts another one of the same machine on the same LAN, which waits for
    /// what it is to go on from.
    pub fn replace(
        &mut self,
        kit: &Kit,
        mebibytes: u64,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<()> {
        self.node.kill();
        self.node = self.successor(kit, &held(mebibytes), arguments)?;
        Ok(())
    }

    /// Starts another emulator of the machine that has these words, on the same LAN, which waits for what
    /// it is to go on from.
    pub fn successor(
        &self,
        kit: &Kit,
        words: &str,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Node> {
        let machine = server(kit, &self.lan, words)?.arguments(arguments);
        let waiting = ["-incoming", "defer"];
        machine.arguments(waiting).spawn()
    }

    /// The machine runs in this emulator from now on; ends the one that it was in.
    pub fn succeed(&mut self, node: Node) {
        self.node = node;
    }

    /// The end of what the console and the emulator said.
    pub fn last_words(&self) -> String {
        self.node.console().tail()
    }

    /// Boots for work without a network, with these files at the root, and returns the lines that
    /// the peer has said once the machine has ended.
    pub fn work(kit: &Kit, files: &[(&str, &Path)], words: &str) -> Result<Vec<String>> {
        Linux::work_for(kit, files, words, WORK_TIMEOUT)
    }

    /// As [`Linux::work`], for work that may take this long.
    pub fn work_for(
        kit: &Kit,
        files: &[(&str, &Path)],
        words: &str,
        timeout: Duration,
    ) -> Result<Vec<String>> {
        let node = Linux::worker(kit, files, words, timeout)?;
        said_by(&node, timeout)
    }

    /// As [`Linux::work`], and how long the host withheld the processor from each piece of the work:
    /// from where the peer says that it begins to where the console shows the piece's last word.
    pub fn watched_work(
        kit: &Kit,
        files: &[(&str, &Path)],
        words: &str,
        last_words: &[&str],
    ) -> Result<(Vec<String>, Vec<Duration>)> {
        let node = Linux::worker(kit, files, words, WORK_TIMEOUT)?;
        let mut withheld = Vec::new();
        for last in last_words {
            node.console().expect("peer: begins", WORK_TIMEOUT)?;
            let watch = Withheld::from_now(node.process_id());
            node.console().expect(last, WORK_TIMEOUT)?;
            withheld.push(watch.until_now());
        }
        Ok((said_by(&node, WORK_TIMEOUT)?, withheld))
    }

    fn worker(kit: &Kit, files: &[(&str, &Path)], words: &str, limit: Duration) -> Result<Node> {
        let initramfs = kit.initramfs(Program::Compute, files)?;
        builder(kit, &initramfs, words).watchdog(limit).spawn()
    }
}

/// The lines that the peer has said, once its machine has ended.
fn said_by(node: &Node, timeout: Duration) -> Result<Vec<String>> {
    let end = node.wait(timeout)?;
    let transcript = node.console().transcript();
    let said: Vec<String> = transcript
        .lines()
        .filter_map(|line| Some(line.split_once("peer: ")?.1.trim().to_owned()))
        .collect();
    if let Some(reason) = said.iter().find(|line| line.starts_with("failed")) {
        bail!("the Linux peer {reason}");
    }
    ensure!(
        end.is_poweroff(),
        "the Linux peer ended: {end}\n{}",
        node.console().tail()
    );
    Ok(said)
}

/// The words for a peer that holds so much memory.
fn held(mebibytes: u64) -> String {
    format!("peer.hold={mebibytes}")
}

/// A machine that serves.
fn server(kit: &Kit, lan: &Lan, words: &str) -> Result<NodeBuilder> {
    let initramfs = kit.initramfs(Program::Serve, &[])?;
    let words = format!("peer.address={ADDRESS} peer.prefix=24 {words}");
    let machine = builder(kit, &initramfs, &words).arguments(system::nic(lan));
    Ok(machine.arguments(system::PREALLOCATED.map(str::to_owned)))
}

fn builder(kit: &Kit, initramfs: &Path, words: &str) -> NodeBuilder {
    system::machine(&kit.kernel, initramfs)
        .name("Linux")
        .append(TUNING)
        .append(words)
}

impl Machine for Linux {
    fn started(&self) -> Instant {
        self.started
    }

    fn services(&self) -> &Services {
        &self.services
    }

    fn memory_before_bytes(&mut self) -> Result<u64> {
        let console = self.node.console();
        console.expect("peer: memory ", WORK_TIMEOUT)?;
        let line = console.expect("\n", WORK_TIMEOUT)?;
        let kib =
            |label| system::number_after(&line, label).with_context(|| format!("read `{line}`"));
        // Free is the larger figure where the reserve of the page allocator counts.
        let unused_kib = kib("available ")?.max(kib("free ")?);
        Ok((system::MEMORY_MIB << 20).saturating_sub(unused_kib << 10))
    }

    fn process_id(&self) -> u32 {
        self.node.process_id()
    }
}
