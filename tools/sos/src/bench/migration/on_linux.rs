//! The peer's rows: a Linux machine goes from one QEMU on this host to the next, as `virsh migrate --live`
//! has it done: both have the same devices on the same LAN, pages go over a Unix socket, bandwidth is
//! unlimited (libvirt's default as well), QEMU's other parameters are its own (300 ms of downtime), and QEMU
//! announces the machine where it arrived (RARP).
//!
//! - `migrate_gap_1m`, `migrate_gap_64m`: the same client as SOS's, watched until the machine answers
//!   another one again, and a while longer;
//! - `migrate_blackout`: QEMU's own `downtime`, which it tells in whole milliseconds;
//! - `migrate_total`: QEMU's own `total-time`, while nobody asks anything of the machine;
//! - `migrate_hot`: as the total, of a machine whose process writes to its 64 MiB without a pause, when no
//!   more than SOS's gap is allowed; given up after a while.
//!
//! The QEMU that takes the machine is started beforehand, and the time for that is not counted.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::probe::{Prober, Visitor};
use super::{BLACKOUT, GAP_LARGE, GAP_SMALL, HELD_MIB, HOT, HOT_GAP_MS, TOTAL, spread, wants};
use crate::bench::attempts::Attempts;
use crate::bench::linux::Linux;
use crate::bench::linux_kit::Kit;
use crate::bench::samples::Samples;
use crate::bench::services::{Machine, await_boot};
use crate::bench::snapshots::qmp::{self, Qmp};
use crate::bench::statistics::median;
use crate::bench::system::Service;
use crate::process::say;

/// Moves under clients, for each size: fewer than SOS's, as each needs another QEMU.
const MOVES: usize = 10;
/// Machines that may be lost on the way, for each measurement: not all survive their move between emulators.
const LOST_MAX: usize = 3;
/// Idle moves.
const IDLE_MOVES: usize = 3;
/// How long a client is watched after the machine answers again.
const AFTERMATH: Duration = Duration::from_millis(100);
/// Between two looks whether the machine has moved.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// How long a move may take,
const PATIENCE: Duration = Duration::from_secs(60);
/// and how long that of a machine that never stops writing.
const HOT_PATIENCE: Duration = Duration::from_secs(20);

/// Measures the wanted rows.
pub fn on_linux(kit: &Kit, wanted: &[&str], samples: &mut Samples, attempts: &mut Attempts) {
    let peer = &kit.name;
    for (row, mebibytes) in [(GAP_SMALL, 1), (GAP_LARGE, HELD_MIB)] {
        if wants(wanted, &[row, BLACKOUT]) {
            attempts.run(&format!("{peer}'s moves of {mebibytes} MiB"), || {
                under_clients(kit, (row, mebibytes), wanted, samples)
            });
        }
    }
    if wanted.contains(&TOTAL) {
        attempts.run(&format!("{peer}'s idle moves"), || idle(kit, samples));
    }
    if wanted.contains(&HOT) {
        attempts.run(&format!("{peer}'s move while it writes"), || {
            hot(kit, samples)
        });
    }
}

/// A machine, and how its QEMU is spoken to.
struct Traveller<'a> {
    kit: &'a Kit,
    words: String,
    machine: Linux,
    qmp: Qmp,
    folder: TempDir,
    /// QEMUs that it has had.
    count: usize,
}

/// A move, as QEMU tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Told {
    total_ms: f64,
    downtime_ms: f64,
    bytes: u64,
}

impl Told {
    fn read(state: &Value) -> Option<Told> {
        Some(Told {
            total_ms: state["total-time"].as_f64()?,
            downtime_ms: state["downtime"].as_f64()?,
            bytes: state["ram"]["transferred"].as_u64()?,
        })
    }
}

impl<'a> Traveller<'a> {
    fn start(kit: &'a Kit, words: String) -> Result<Traveller<'a>> {
        let folder = tempfile::tempdir().context("make a folder for QEMU's sockets")?;
        let socket = folder.path().join("qmp-0");
        let machine = Linux::keep(kit, &words, qmp::arguments(&socket))?;
        await_boot(machine.services())?;
        Ok(Traveller {
            kit,
            words,
            machine,
            qmp: Qmp::connect(&socket)?,
            folder,
            count: 1,
        })
    }

    /// Moves the machine to a new QEMU; none if it did not go within the time. The old QEMU is there
    /// until `then` has returned.
    fn move_on<T>(
        &mut self,
        patience: Duration,
        then: impl FnOnce(Instant, Option<Told>) -> Result<T>,
    ) -> Result<T> {
        let path = |name: &str| self.folder.path().join(format!("{name}-{}", self.count));
        let (socket, way) = (path("qmp"), path("way"));
        let arguments = qmp::arguments(&socket);
        let next = self.machine.successor(self.kit, &self.words, arguments)?;
        let mut qmp = Qmp::connect(&socket)?;
        let uri = json!({ "uri": format!("unix:{}", way.display()) });
        qmp.execute("migrate-incoming", uri.clone())?;
        let asked = Instant::now();
        self.qmp.execute("migrate", uri)?;
        let told = self.await_end(asked + patience)?;
        let seen = then(asked, told);
        if told.is_some() {
            self.machine.succeed(next);
            self.qmp = qmp;
        }
        self.count += 1;
        seen
    }

    /// Says why a move failed, and what the machine said last: emulated machines do not all survive it.
    fn say_why(&self, error: &anyhow::Error) {
        let last = self.machine.last_words();
        say(format!(
            "bench: the peer's machine was lost: {error:#}; its console's end:\n{last}"
        ));
    }

    /// Waits until the machine has gone; calls it off at the deadline.
    fn await_end(&mut self, deadline: Instant) -> Result<Option<Told>> {
        loop {
            let state = self.qmp.execute("query-migrate", json!({}))?;
            match state["status"].as_str() {
                Some("completed") => {
                    let told = Told::read(&state);
                    return told.map(Some).with_context(|| format!("read `{state}`"));
                }
                Some("failed" | "cancelled") => bail!("QEMU did not migrate: {state}"),
                _ if Instant::now() > deadline => break,
                _ => std::thread::sleep(POLL_INTERVAL),
            }
        }
        self.qmp.execute("migrate_cancel", json!({}))?;
        Ok(None)
    }
}

/// A move under clients.
struct Seen {
    told: Told,
    gap_ms: f64,
    control_ms: f64,
}

/// Moves the machine while clients are connected.
fn under_clients(
    kit: &Kit,
    (row, mebibytes): (&'static str, u64),
    wanted: &[&str],
    samples: &mut Samples,
) -> Result<()> {
    let (mut seen, mut lost) = (Vec::new(), 0);
    while seen.len() < MOVES {
        let mut traveller = Traveller::start(kit, format!("peer.hold={mebibytes}"))?;
        while seen.len() < MOVES {
            match under_client(&mut traveller) {
                Ok(one) => seen.push(one),
                Err(error) if lost < LOST_MAX => {
                    lost += 1;
                    traveller.say_why(&error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    let of = |figure: fn(&Seen) -> f64| seen.iter().map(figure).collect::<Vec<_>>();
    let (gaps, controls) = (of(|it| it.gap_ms), of(|it| it.control_ms));
    let downtimes = of(|it| it.told.downtime_ms);
    say(format!(
        "bench: {MOVES} moves of a machine with {mebibytes} MiB: gap {}; without a move {}; downtime {}; \
         {:.0} KiB, {:.0} ms in all; {lost} machines were lost",
        spread(&gaps),
        spread(&controls),
        spread(&downtimes),
        median(&of(|it| it.told.bytes as f64 / 1024.0)).unwrap_or_default(),
        median(&of(|it| it.told.total_ms)).unwrap_or_default(),
    ));
    if wanted.contains(&row) {
        gaps.iter().for_each(|gap| samples.add(row, *gap));
        controls.iter().for_each(|it| samples.add_control(row, *it));
    }
    if wanted.contains(&BLACKOUT) {
        downtimes.iter().for_each(|it| samples.add(BLACKOUT, *it));
    }
    Ok(())
}

/// One move, and as long a time without one.
fn under_client(traveller: &mut Traveller<'_>) -> Result<Seen> {
    let address = traveller.machine.services().address(Service::Echo);
    let mut visitor = Visitor::connect(address)?;
    let prober = Prober::start(address)?;
    let (told, moving, quiet) = traveller.move_on(PATIENCE, |asked, told| {
        let told = told.context("it did not move in time")?;
        visitor.ask().context("a connection from before the move")?;
        std::thread::sleep(AFTERMATH);
        let end = Instant::now();
        std::thread::sleep(end - asked);
        Ok((told, (asked, end), (end, Instant::now())))
    })?;
    let longest = prober.finish()?.each_ms(&[moving, quiet])?;
    Ok(Seen {
        told,
        gap_ms: longest[0],
        control_ms: longest[1],
    })
}

/// Moves the machine while nobody asks anything of it.
fn idle(kit: &Kit, samples: &mut Samples) -> Result<()> {
    let mut traveller = Traveller::start(kit, format!("peer.hold={HELD_MIB}"))?;
    for _ in 0..IDLE_MOVES {
        let told = traveller.move_on(PATIENCE, |_, told| told.context("it did not move"));
        let told = match told {
            Ok(told) => told,
            Err(error) if samples.runs(TOTAL) > 0 => {
                traveller.say_why(&error);
                break;
            }
            Err(error) => return Err(error),
        };
        say(format!(
            "bench: an idle machine with {HELD_MIB} MiB moved in {:.0} ms, {:.1} MiB",
            told.total_ms,
            told.bytes as f64 / f64::from(1 << 20)
        ));
        samples.add(TOTAL, told.total_ms);
    }
    Ok(())
}

/// Moves the machine while it writes without a pause. A machine that QEMU loses has no figure.
fn hot(kit: &Kit, samples: &mut Samples) -> Result<()> {
    let words = format!("peer.hold={HELD_MIB} peer.hot=1");
    for _ in 0..=LOST_MAX {
        let mut traveller = Traveller::start(kit, words.clone())?;
        let most = json!({ "downtime-limit": HOT_GAP_MS });
        traveller.qmp.execute("migrate-set-parameters", most)?;
        match hot_move(&mut traveller) {
            Ok(seconds) => {
                samples.add(HOT, seconds);
                return Ok(());
            }
            Err(error) => traveller.say_why(&error),
        }
    }
    Ok(())
}

/// How long it took, in seconds; without an end if it did not go.
fn hot_move(traveller: &mut Traveller<'_>) -> Result<f64> {
    let address = traveller.machine.services().address(Service::Echo);
    let prober = Prober::start(address)?;
    let moved = traveller.move_on(HOT_PATIENCE, |asked, told| {
        std::thread::sleep(AFTERMATH);
        Ok((told, (asked, Instant::now())))
    });
    let (told, window) = moved?;
    let gap_ms = prober.finish()?.each_ms(&[window])?[0];
    let Some(told) = told else {
        let patience_s = HOT_PATIENCE.as_secs();
        say(format!(
            "bench: the machine that writes did not move within {patience_s} s"
        ));
        return Ok(f64::INFINITY);
    };
    say(format!(
        "bench: the machine that writes moved in {:.0} ms, {:.0} MiB, downtime {:.0} ms; its client waited \
         {gap_ms:.0} ms at most",
        told.total_ms,
        told.bytes as f64 / f64::from(1 << 20),
        told.downtime_ms
    ));
    Ok(told.total_ms / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemu_tells_of_a_move_is_read() {
        let state = json!({
            "status": "completed", "total-time": 812, "downtime": 9, "setup-time": 1,
            "ram": { "transferred": 70_000_000_u64, "normal": 17_000 },
        });
        let told = Told {
            total_ms: 812.0,
            downtime_ms: 9.0,
            bytes: 70_000_000,
        };
        assert_eq!(Told::read(&state), Some(told));
        assert_eq!(Told::read(&json!({ "status": "active" })), None);
    }
}
