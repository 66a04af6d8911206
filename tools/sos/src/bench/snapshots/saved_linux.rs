//! The peer's rows: QEMU saves a Linux machine to a file on this host and loads it into another QEMU.
//!
//! - `snapshot_pause`: the longest round trip of a client while the machine is stopped, saved and let go
//!   on;
//! - `snapshot_save` and `snapshot_export`: from the request to stop the machine until its file is written on
//!   this host; it has neither checksums nor a seal;
//! - `restore_http`: from the request to load the file, in a QEMU that waits for it, to an HTTP answer over
//!   a connection that is older than the file. The time that QEMU takes to start is not in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::clients::{Pinger, Visitor};
use super::qmp::{self, Qmp};
use super::{EXPORT, HELD_MIB, PAUSE, RESTORE, SAVE, milliseconds, wants};
use crate::bench::linux::Linux;
use crate::bench::linux_kit::Kit;
use crate::bench::samples::Samples;
use crate::bench::services::{Machine, await_boot};
use crate::bench::statistics::median;
use crate::bench::system::Service;
use crate::process::say;

/// Saves whose medians count.
const SAVES: usize = 5;
/// How long a client is watched after a save.
const AFTERMATH: Duration = Duration::from_millis(100);

/// Measures the wanted rows.
pub fn on_linux(kit: &Kit, wanted: &[&str], samples: &mut Samples) -> Result<()> {
    if !wants(wanted, &[PAUSE, SAVE, EXPORT, RESTORE]) {
        return Ok(());
    }
    let folder = tempfile::tempdir().context("make a folder for a saved machine")?;
    let socket = folder.path().join("first");
    let file = folder.path().join("machine");
    let mut machine = Linux::hold(kit, HELD_MIB, qmp::arguments(&socket))?;
    await_boot(machine.services())?;
    let mut qmp = Qmp::connect(&socket)?;
    let saves = save(&machine, &mut qmp, &file)?;
    if wanted.contains(&PAUSE) {
        samples.add(PAUSE, median(&saves.pauses_ms).context("no save")?);
    }
    for row in [SAVE, EXPORT] {
        if wanted.contains(&row) {
            samples.add(row, median(&saves.times_ms).context("no save")?);
        }
    }
    if wanted.contains(&RESTORE) {
        samples.add(RESTORE, restore_ms(kit, &mut machine, qmp, folder.path())?);
    }
    Ok(())
}

#[derive(Default)]
struct Saves {
    /// Longest round trips without what the host withheld,
    pauses_ms: Vec<f64>,
    /// and with it.
    seen_ms: Vec<f64>,
    times_ms: Vec<f64>,
}

/// Saves the machine again and again while a client asks.
fn save(machine: &Linux, qmp: &mut Qmp, file: &Path) -> Result<Saves> {
    let mut saves = Saves::default();
    for _ in 0..SAVES {
        let echo = machine.services().address(Service::Echo);
        let pinger = Pinger::start(echo, machine.process_id())?;
        let begin = Instant::now();
        qmp.save(file)?;
        saves.times_ms.push(milliseconds(begin.elapsed()));
        qmp.execute("cont", json!({}))?;
        std::thread::sleep(AFTERMATH);
        let trips = pinger.finish()?;
        let pause = trips.longest(begin, begin + begin.elapsed());
        let pause = pause.context("no round trip during a save")?;
        saves.pauses_ms.push(milliseconds(pause.without_waits));
        saves.seen_ms.push(milliseconds(pause.seen));
    }
    let bytes = std::fs::metadata(file).context("look at the file")?.len();
    say(format!(
        "bench: the saved machine has {:.1} MiB; longest round trip {:.2} ms during a save, {:.2} ms \
         without what this host withheld",
        bytes as f64 / f64::from(1 << 20),
        median(&saves.seen_ms).unwrap_or_default(),
        median(&saves.pauses_ms).unwrap_or_default(),
    ));
    Ok(saves)
}

/// Saves the machine and loads it into another QEMU; the median of several times.
fn restore_ms(kit: &Kit, machine: &mut Linux, mut qmp: Qmp, folder: &Path) -> Result<f64> {
    let mut visitor = Visitor::connect(machine.services().address(Service::Http))?;
    let (mut times_ms, mut file) = (Vec::new(), PathBuf::new());
    for round in 0..SAVES {
        visitor.ask().context("before the machine is saved")?;
        // The files of earlier rounds would fill the disk.
        let _ = std::fs::remove_file(&file);
        file = folder.join(format!("machine-{round}"));
        qmp.save(&file)?;
        let socket = folder.join(format!("next-{round}"));
        machine.replace(kit, HELD_MIB, qmp::arguments(&socket))?;
        qmp = Qmp::connect(&socket)?;
        let begin = Instant::now();
        qmp.load(&file)?;
        visitor.ask().context("after the machine was loaded")?;
        times_ms.push(milliseconds(begin.elapsed()));
    }
    median(&times_ms).context("no restore")
}
