//! SOS's rows: a node with an instance of 64 MiB and one of 1 MiB, asked over its operator's channel.
//!
//! - `snapshot_pause`: the longest round trip of a client from the request until a while after the answer.
//!   The node keeps an earlier snapshot of the instance meanwhile. Of each trip is taken off the longer of
//!   what this host had QEMU's processor and the client wait, as is for the peer; what a client saw with
//!   it is told beside, and so is the same where the snapshot's file is brought to this host meanwhile;
//! - `snapshot_save`: from the request for a snapshot, whose answer is followed by the request for its file,
//!   to the node's word that the file is drafted: all bytes of it are there in the node's memory, checksums
//!   and table of sections included, pages by reference, but for the footer's SHA-256, which a file gets as
//!   it leaves. A client is connected and asks nothing meanwhile; modules are left out, as the node has them;
//! - `snapshot_export`: the same until the file, with its seal, was written to this host's disk (not
//!   flushed, as the peer's is not);
//! - `restore_http`: from the request, on a node that runs, to an HTTP answer over a connection that is
//!   older than the snapshot;
//! - `restore_small`, `clone_first`, `clone_200`: what the node itself timed, from the request to an
//!   instance's first instruction (`start_nanos`), of 200 clones the last one's. Nothing is taken off;
//! - `clone_bytes`: how much less memory the node has free, heap that it holds in reserve not counted as
//!   free, without the guests' pages;
//! - `snapshot_size`: the file's bytes beyond those of the pages in it, without modules. Nothing is queued
//!   in the instance's sockets.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sos_core::control::{CutMode, Extent, Request};
use sos_core::operator::{Contents, Packing};
use sos_core::snapshot::format::Summary;

use super::clients::{Longest, Pinger, Visitor};
use super::{
    CLONE_BYTES, CLONE_FIRST, CLONE_MANY, EXPORT, HELD_MIB, PAUSE, RESTORE, RESTORE_SMALL, SAVE,
    SIZE, milliseconds, wants,
};
use crate::bench::attempts::Attempts;
use crate::bench::samples::Samples;
use crate::bench::services::{Machine, await_boot};
use crate::bench::sos_node::{Kit, Sos};
use crate::bench::statistics::median;
use crate::bench::system::Service;
use crate::bench::withheld::Withheld;
use crate::exec::Client;
use crate::process::say;
use crate::qemu::channel;
use crate::snapshot::transfer::{self, Arrived};

/// Snapshots and restores whose medians count.
const ROUNDS: usize = 11;
/// Files whose medians count.
const FILES: usize = 5;
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

/// What follows a snapshot while a client is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aftermath {
    Quiet,
    /// Its file comes to this host.
    Export,
}

/// Measures what belongs together.
type Measure = fn(&mut Holder<'_>, &mut Samples) -> Result<()>;

/// What fills which rows.
const MEASURES: [(&[&str], Measure); 7] = [
    (&[SAVE, EXPORT], |node, samples| node.measure_files(samples)),
    (&[PAUSE], |node, samples| node.measure_snapshots(samples)),
    (&[SIZE], |node, samples| node.measure_size(samples)),
    (&[RESTORE], |node, samples| node.measure_restores(samples)),
    (&[RESTORE_SMALL], |node, samples| {
        node.measure_small_restores(samples)
    }),
    (&[CLONE_FIRST], |node, samples| {
        node.measure_first_clone(samples)
    }),
    (&[CLONE_MANY, CLONE_BYTES], |node, samples| {
        node.measure_clones(samples)
    }),
];

/// Measures the wanted rows on one node; after a failure the next ones get a new one.
pub fn on_sos(kit: &Kit, wanted: &[&str], samples: &mut Samples, attempts: &mut Attempts) {
    let mut rest = MEASURES.iter().filter(|(rows, _)| wants(wanted, rows));
    while let Some(next) = rest.next() {
        attempts.run("SOS's snapshots", || {
            on_one_node(kit, next, &mut rest, samples)
        });
    }
}

/// Measures with one node until something fails.
fn on_one_node<'a>(
    kit: &Kit,
    first: &'a (&[&str], Measure),
    rest: &mut impl Iterator<Item = &'a (&'a [&'a str], Measure)>,
    samples: &mut Samples,
) -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder for the node's channel")?;
    let socket = folder.path().join("channel");
    let sos = Sos::hold(kit, &manifest(), &socket)?;
    await_boot(sos.services())?;
    let mut node = Holder::connect(&sos, socket)?;
    let mut next = Some(first);
    while let Some((rows, measure)) = next {
        measure(&mut node, samples).with_context(|| rows.join(", "))?;
        next = rest.next();
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
        self.snapshot_to(EARLIER, LARGE, CutMode::Running)?;
        let pause_ms = self.watch(echo, ROUNDS, Aftermath::Quiet)?;
        self.watch(echo, FILES, Aftermath::Export)?;
        self.forget(EARLIER)?;
        samples.add(PAUSE, pause_ms);
        Ok(())
    }

    /// Takes snapshots while a client asks; the median of its longest round trips in milliseconds, without what the
    /// host withheld.
    fn watch(&mut self, echo: SocketAddr, rounds: usize, aftermath: Aftermath) -> Result<f64> {
        let (mut pauses, mut controls) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let pinger = Pinger::start(echo, self.sos.process_id())?;
            std::thread::sleep(AFTERMATH);
            let begin = Instant::now();
            self.snapshot(LARGE, CutMode::Running)?;
            if aftermath == Aftermath::Export {
                export(&mut self.client, &mut std::io::sink(), &mut |_| ())?;
            }
            std::thread::sleep(AFTERMATH);
            let watched = begin.elapsed();
            std::thread::sleep(watched);
            let trips = pinger.finish()?;
            let longest = |from| trips.longest(from, from + watched);
            pauses.push(longest(begin).context("no round trip during a snapshot")?);
            controls.extend(longest(begin + watched));
            self.forget(SNAPSHOT)?;
        }
        let (pause_ms, seen_ms) = medians_ms(&pauses).context("no snapshot")?;
        let (control_ms, control_seen_ms) = medians_ms(&controls).context("no snapshot")?;
        let what = match aftermath {
            Aftermath::Quiet => "with a snapshot",
            Aftermath::Export => "with a snapshot and its file's way to this host",
        };
        say(format!(
            "bench: longest round trip {seen_ms:.2} ms {what}, {control_seen_ms:.2} ms without; \
             {pause_ms:.2} and {control_ms:.2} ms without what this host withheld"
        ));
        Ok(pause_ms)
    }

    /// Snapshots of the running instance whose files are brought to this host.
    fn measure_files(&mut self, samples: &mut Samples) -> Result<()> {
        let folder = tempfile::tempdir().context("make a folder for files")?;
        let path = folder.path().join("file");
        let (mut kept_ms, mut saves_ms, mut exports_ms) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..FILES {
            let mut file = File::create(&path).context("make a file")?;
            let begin = Instant::now();
            self.snapshot(LARGE, CutMode::Running)?;
            kept_ms.push(milliseconds(begin.elapsed()));
            let mut drafted = None;
            let mut progress = |arrived: Arrived| {
                let whole = arrived.whole.map(|bytes| (bytes, begin.elapsed()));
                drafted = drafted.or(whole);
            };
            let bytes = export(&mut self.client, &mut file, &mut progress)?;
            exports_ms.push(milliseconds(begin.elapsed()));
            let (whole, drafted) = drafted.context("the node did not draft the file")?;
            ensure!(
                whole == bytes && bytes > HELD_MIB << 20,
                "a file of {bytes} bytes, of which the node drafted {whole}"
            );
            saves_ms.push(milliseconds(drafted));
            self.forget(SNAPSHOT)?;
        }
        let save_ms = median(&saves_ms).context("no file")?;
        say(format!(
            "bench: a snapshot is kept after {:.1} ms, its file drafted after {save_ms:.1} ms",
            median(&kept_ms).unwrap_or_default()
        ));
        samples.add(SAVE, save_ms);
        samples.add(EXPORT, median(&exports_ms).context("no file")?);
        Ok(())
    }

    /// What a snapshot's file has beyond its pages.
    fn measure_size(&mut self, samples: &mut Samples) -> Result<()> {
        self.snapshot(LARGE, CutMode::Running)?;
        let mut file = Vec::new();
        export(&mut self.client, &mut file, &mut |_| ())?;
        let summary = Summary::read(&file);
        ensure!(summary.complete, "the file is unsound: {:?}", summary.error);
        let pages: u64 = summary.memories.iter().map(|it| it.stored_bytes).sum();
        ensure!(
            pages > HELD_MIB << 20,
            "the file has {pages} bytes of pages"
        );
        self.forget(SNAPSHOT)?;
        samples.add(SIZE, (summary.file_bytes - pages) as f64 / 1024.0);
        Ok(())
    }

    /// Stopping snapshots and their restores, until the client that stayed connected is answered.
    fn measure_restores(&mut self, samples: &mut Samples) -> Result<()> {
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
        samples.add(RESTORE, time_ms);
        Ok(())
    }

    fn measure_small_restores(&mut self, samples: &mut Samples) -> Result<()> {
        let mut starts_ms = Vec::new();
        for _ in 0..ROUNDS {
            self.snapshot(SMALL, CutMode::Stopping)?;
            self.restore()?;
            starts_ms.push(self.start_ms(SMALL)?);
            self.forget(SNAPSHOT)?;
        }
        samples.add(RESTORE_SMALL, median(&starts_ms).context("no restore")?);
        Ok(())
    }

    fn measure_first_clone(&mut self, samples: &mut Samples) -> Result<()> {
        let mut starts_ms = Vec::new();
        for _ in 0..ROUNDS {
            for name in self.clone_large(1)? {
                starts_ms.push(self.start_ms(&name)?);
                self.ask(&Request::Kill { name })?;
            }
        }
        samples.add(CLONE_FIRST, median(&starts_ms).context("no clone")?);
        Ok(())
    }

    /// Many clones at once.
    fn measure_clones(&mut self, samples: &mut Samples) -> Result<()> {
        let before = self.used_bytes()?;
        let (begin, watch) = (Instant::now(), Withheld::from_now(self.sos.process_id()));
        let names = self.clone_large(CLONES)?;
        let (took, withheld) = (begin.elapsed(), watch.until_now());
        let mut last_ms: f64 = 0.0;
        for name in &names {
            last_ms = last_ms.max(self.start_ms(name)?);
        }
        let after = self.used_bytes()?;
        self.visitor.ask().context("after the clones")?;
        say(format!(
            "bench: {CLONES} clones answered for after {:.1} ms, of which this host withheld {:.1} ms; the \
             last one ran after {last_ms:.1} ms; each {:.1} KiB of frames, {:.1} KiB of heap, {:.1} KiB of \
             its own pages",
            milliseconds(took),
            milliseconds(withheld),
            kib_each(after.frames, before.frames),
            kib_each(after.heap, before.heap),
            kib_each(after.guest, before.guest)
        ));
        samples.add(CLONE_MANY, last_ms);
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

/// Brings the snapshot's file to this host.
fn export(
    client: &mut Client,
    file: &mut impl Write,
    progress: &mut dyn FnMut(Arrived),
) -> Result<u64> {
    let (contents, packing) = (Contents::StateOnly, Packing::Plain);
    transfer::export(client, SNAPSHOT, contents, packing, file, progress)
}

/// Medians of round trips, without what the host withheld and with it.
fn medians_ms(trips: &[Longest]) -> Option<(f64, f64)> {
    let of = |time: fn(&Longest) -> Duration| {
        let times_ms = trips.iter().map(|trip| milliseconds(time(trip)));
        median(&times_ms.collect::<Vec<_>>())
    };
    of(|trip| trip.without_waits).zip(of(|trip| trip.seen))
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
