//! SOS's rows: a node with an instance of 64 MiB and one of 1 MiB, asked over its operator's channel.
//!
//! - `snapshot_pause`: the longest round trip of a client from the request until a while after the answer.
//!   The node keeps an earlier snapshot of the instance meanwhile. Of each trip is taken off what this host
//!   had QEMU's processor and the client wait, as is for the peer;
//! - `snapshot_save`: from the request to its answer: the snapshot is whole then, in the node's memory, and
//!   nothing that happens later changes it. Its file is made when it leaves the node, which is told beside;
//! - `restore_http`: from the request, on a node that runs, to an HTTP answer over a connection that is
//!   older than the snapshot;
//! - `restore_small`, `clone_first`, `clone_200`: what the node itself timed, from the request to an
//!   instance's first instruction (`start_nanos`), of 200 clones the last one's, which takes long enough to
//!   take off what this host withheld from QEMU;
//! - `clone_bytes`: how much less memory the node has free, heap that it holds in reserve not counted as
//!   free, without the guests' pages;
//! - `snapshot_size`: the file's bytes beyond those of the pages in it, without modules. Nothing is queued
//!   in the instance's sockets.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sos_core::control::{CutMode, Extent, Request};
use sos_core::operator::{Contents, Packing};
use sos_core::snapshot::format::Summary;

use super::clients::{Pinger, Visitor};
use super::{
    CLONE_BYTES, CLONE_FIRST, CLONE_MANY, HELD_MIB, PAUSE, RESTORE, RESTORE_SMALL, SAVE, SIZE,
    milliseconds, wants,
};
use crate::bench::samples::Samples;
use crate::bench::services::{Machine, await_boot};
use crate::bench::sos_node::{Kit, Sos};
use crate::bench::statistics::median;
use crate::bench::system::Service;
use crate::bench::withheld::Withheld;
use crate::exec::Client;
use crate::process::say;
use crate::qemu::channel;
use crate::snapshot::transfer;

/// Snapshots and restores whose medians count.
const ROUNDS: usize = 11;
/// How long a client is watched after a snapshot's answer, while its instance writes to shared pages.
const AFTERMATH: Duration = Duration::from_millis(50);
const CLONES: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(60);
/// The instances.
const LARGE: &str = "holder";
const SMALL: &str = "small";
/// The snapshot, and one that is older.
const SNAPSHOT: &str = "kept";
const EARLIER: &str = "earlier";

/// Measures the wanted rows.
pub fn on_sos(kit: &Kit, wanted: &[&str], samples: &mut Samples) -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder for the node's channel")?;
    let socket = folder.path().join("channel");
    let sos = Sos::hold(kit, &manifest(), &socket)?;
    await_boot(sos.services())?;
    let mut node = Holder::connect(&sos, socket)?;
    if wants(wanted, &[PAUSE, SAVE]) {
        node.measure_snapshots(samples)?;
    }
    if wanted.contains(&SIZE) {
        samples.add(SIZE, node.excess_kib()?);
    }
    if wanted.contains(&RESTORE) {
        samples.add(RESTORE, node.restore_http_ms()?);
    }
    if wanted.contains(&RESTORE_SMALL) {
        samples.add(RESTORE_SMALL, node.restore_small_ms()?);
    }
    if wanted.contains(&CLONE_FIRST) {
        samples.add(CLONE_FIRST, node.clone_first_ms()?);
    }
    if wants(wanted, &[CLONE_MANY, CLONE_BYTES]) {
        node.measure_clones(samples)?;
    }
    Ok(())
}

fn manifest() -> String {
    let instance = |name: &str, mebibytes: u64, address: &str| {
        format!(
            "[instance.{name}]\nmodule = \"holder\"\nlimits.memory = \"{}MiB\"\n\
             [instance.{name}.config]\nmebibytes = \"{mebibytes}\"\n\
             [instance.{name}.port.eth0]\nswitch = \"lan\"\naddress = \"{address}/24\"\n",
            mebibytes + 8
        )
    };
    format!(
        "name = \"bench\"\n[switch.lan]\nuplink = \"nic0\"\n{}{}",
        instance(LARGE, HELD_MIB, "10.0.2.15"),
        instance(SMALL, 0, "10.0.2.16"),
    )
}

/// The node, and those who are connected to its large instance.
struct Holder<'a> {
    sos: &'a Sos,
    client: Client,
    visitor: Visitor,
}

impl Holder<'_> {
    fn connect(sos: &Sos, socket: PathBuf) -> Result<Holder<'_>> {
        let stream = channel::connect(&socket, PATIENCE).context("connect to the node")?;
        let mut holder = Holder {
            sos,
            client: Client::open(stream, PATIENCE, PATIENCE, || ())?,
            visitor: Visitor::connect(sos.services().address(Service::Http))?,
        };
        holder.visitor.ask()?;
        Ok(holder)
    }

    fn ask(&mut self, request: &Request) -> Result<Value> {
        let report = transfer::ask(&mut self.client, request)?;
        serde_json::from_slice(&report).context("read the node's answer")
    }

    fn snapshot(&mut self, name: &str, cut: CutMode) -> Result<()> {
        self.snapshot_to(SNAPSHOT, name, cut)
    }

    fn snapshot_to(&mut self, to: &str, name: &str, cut: CutMode) -> Result<()> {
        let request = Request::Snapshot {
            name: name.into(),
            to: to.into(),
            cut,
            extent: Extent::Full,
        };
        self.ask(&request).map(drop)
    }

    fn restore(&mut self) -> Result<()> {
        let request = Request::Restore {
            snapshot: SNAPSHOT.into(),
            to: None,
            addresses: Vec::new(),
        };
        self.ask(&request).map(drop)
    }

    fn clone_large(&mut self, count: u32) -> Result<Vec<String>> {
        let request = Request::Clone {
            name: LARGE.into(),
            to: None,
            count,
            addresses: Vec::new(),
        };
        let made = self.ask(&request)?;
        let names = made.as_array().into_iter().flatten();
        let names = names.filter_map(|row| row["name"].as_str().map(str::to_owned));
        let names: Vec<_> = names.collect();
        ensure!(names.len() == count as usize, "the node made {made}");
        Ok(names)
    }

    fn forget(&mut self, name: &str) -> Result<()> {
        let name = name.into();
        self.ask(&Request::RemoveSnapshot { name }).map(drop)
    }

    /// From the request to an instance's first instruction, as the node timed it; waits until it ran.
    fn start_ms(&mut self, name: &str) -> Result<f64> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let detail = self.ask(&Request::Inspect { name: name.into() })?;
            match detail["start_nanos"].as_u64() {
                Some(1..) => {
                    return Ok(detail["start_nanos"].as_f64().unwrap_or_default() / 1e6);
                }
                Some(0) => std::thread::sleep(Duration::from_millis(1)),
                None => break,
            }
        }
        anyhow::bail!("instance '{name}' was not started")
    }

    /// Snapshots of the running instance while a client asks, each beside as long a time without one.
    fn measure_snapshots(&mut self, samples: &mut Samples) -> Result<()> {
        let echo = self.sos.services().address(Service::Echo);
        let (mut pauses_ms, mut control_ms) = (Vec::new(), Vec::new());
        let mut times_ms = Vec::new();
        self.snapshot_to(EARLIER, LARGE, CutMode::Running)?;
        for _ in 0..ROUNDS {
            let pinger = Pinger::start(echo, self.sos.process_id())?;
            std::thread::sleep(AFTERMATH);
            let begin = Instant::now();
            self.snapshot(LARGE, CutMode::Running)?;
            let took = begin.elapsed();
            std::thread::sleep(AFTERMATH);
            let watched = begin.elapsed();
            std::thread::sleep(watched);
            let trips = pinger.finish()?;
            let longest = |from| trips.longest(from, from + watched).map(milliseconds);
            times_ms.push(milliseconds(took));
            pauses_ms.extend(longest(begin));
            control_ms.extend(longest(begin + watched));
            self.forget(SNAPSHOT)?;
        }
        self.forget(EARLIER)?;
        let (pause_ms, control_ms) = (median(&pauses_ms), median(&control_ms));
        let (pause_ms, control_ms) = pause_ms.zip(control_ms).context("no snapshot")?;
        say(format!(
            "bench: longest round trip {pause_ms:.2} ms with a snapshot, {control_ms:.2} ms without"
        ));
        samples.add(PAUSE, pause_ms);
        samples.add(SAVE, median(&times_ms).context("no snapshot")?);
        Ok(())
    }

    /// What a snapshot's file has beyond its pages.
    fn excess_kib(&mut self) -> Result<f64> {
        self.snapshot(LARGE, CutMode::Running)?;
        let begin = Instant::now();
        let mut file = Vec::new();
        let (contents, packing) = (Contents::StateOnly, Packing::Plain);
        let progress = &mut |_| ();
        transfer::export(
            &mut self.client,
            SNAPSHOT,
            contents,
            packing,
            &mut file,
            progress,
        )?;
        let took = begin.elapsed();
        let summary = Summary::read(&file);
        ensure!(summary.complete, "the file is unsound: {:?}", summary.error);
        let pages: u64 = summary.memories.iter().map(|it| it.stored_bytes).sum();
        ensure!(
            pages > HELD_MIB << 20,
            "the file has {pages} bytes of pages"
        );
        say(format!(
            "bench: the file of a snapshot, {} bytes, was on this host in {:.0} ms",
            summary.file_bytes,
            milliseconds(took)
        ));
        self.forget(SNAPSHOT)?;
        Ok((summary.file_bytes - pages) as f64 / 1024.0)
    }

    /// Stopping snapshots and their restores, until the client that stayed connected is answered.
    fn restore_http_ms(&mut self) -> Result<f64> {
        let (mut times_ms, mut starts_ms) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            self.visitor.ask().context("before the snapshot")?;
            self.snapshot(LARGE, CutMode::Stopping)?;
            let begin = Instant::now();
            self.restore()?;
            self.visitor.ask().context("after the restore")?;
            times_ms.push(milliseconds(begin.elapsed()));
            starts_ms.push(self.start_ms(LARGE)?);
            self.forget(SNAPSHOT)?;
        }
        let (time_ms, start_ms) = (median(&times_ms), median(&starts_ms));
        let (time_ms, start_ms) = time_ms.zip(start_ms).context("no restore")?;
        say(format!(
            "bench: restored after {start_ms:.2} ms by the node's clock, answered after {time_ms:.2} ms"
        ));
        Ok(time_ms)
    }

    fn restore_small_ms(&mut self) -> Result<f64> {
        let mut starts_ms = Vec::new();
        for _ in 0..ROUNDS {
            self.snapshot(SMALL, CutMode::Stopping)?;
            self.restore()?;
            starts_ms.push(self.start_ms(SMALL)?);
            self.forget(SNAPSHOT)?;
        }
        median(&starts_ms).context("no restore")
    }

    fn clone_first_ms(&mut self) -> Result<f64> {
        let mut starts_ms = Vec::new();
        for _ in 0..ROUNDS {
            for name in self.clone_large(1)? {
                starts_ms.push(self.start_ms(&name)?);
                self.ask(&Request::Kill { name })?;
            }
        }
        median(&starts_ms).context("no clone")
    }

    /// Many clones at once.
    fn measure_clones(&mut self, samples: &mut Samples) -> Result<()> {
        let before = self.used_bytes()?;
        let mut withheld_ms = 0.0;
        let (begin, watch) = (Instant::now(), Withheld::from_now(self.sos.process_id()));
        let names = self.clone_large(CLONES)?;
        let took = begin.elapsed();
        let mut last_ms: f64 = 0.0;
        for (number, name) in names.iter().rev().enumerate() {
            last_ms = last_ms.max(self.start_ms(name)?);
            if number == 0 {
                withheld_ms = milliseconds(watch.until_now());
            }
        }
        let after = self.used_bytes()?;
        self.visitor.ask().context("after the clones")?;
        say(format!(
            "bench: {CLONES} clones answered for after {:.1} ms, the last one ran after {last_ms:.1} ms, of \
             which this host withheld {withheld_ms:.1} ms; each {:.1} KiB of frames, {:.1} KiB of \
             heap, {:.1} KiB of its own pages",
            milliseconds(took),
            kib_each(after.frames, before.frames),
            kib_each(after.heap, before.heap),
            kib_each(after.guest, before.guest)
        ));
        samples.add(CLONE_MANY, (last_ms - withheld_ms).max(0.0));
        samples.add(CLONE_BYTES, kib_each(after.kernel(), before.kernel()));
        Ok(())
    }

    fn used_bytes(&mut self) -> Result<Used> {
        let node = self.ask(&Request::Node)?;
        let figure = |name: &str| {
            let figure = node["memory"][name].as_u64();
            figure.with_context(|| format!("the node does not tell `{name}`: {node}"))
        };
        let taken = figure("total_bytes")? - figure("free_bytes")?;
        Ok(Used {
            frames: taken - figure("heap_bytes")?,
            heap: figure("heap_used_bytes")?,
            guest: figure("guest_bytes")?,
        })
    }
}

/// Memory of the node that is in use.
#[derive(Clone, Copy)]
struct Used {
    /// In frames, the heap's apart.
    frames: u64,
    /// Handed out by the heap.
    heap: u64,
    /// In pages of guests, which are among the frames.
    guest: u64,
}

impl Used {
    /// All but the pages of guests.
    fn kernel(self) -> u64 {
        self.frames - self.guest + self.heap
    }
}

fn kib_each(after: u64, before: u64) -> f64 {
    (after as f64 - before as f64) / f64::from(CLONES) / 1024.0
}
