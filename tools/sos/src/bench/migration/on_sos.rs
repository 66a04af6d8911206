//! SOS's rows: an instance goes to and fro between two nodes that share this host's processors.
//!
//! - `migrate_gap_1m`, `migrate_gap_64m`: for each move the longest round trip of a client that sends 8
//!   bytes every millisecond through a forwarded port, from the order until a while after the source has
//!   heard that the instance runs at the target. Other clients stay connected and silent, and are answered at
//!   the end over the same connections. The control is the longest round trip of as long a time without a
//!   move. Nothing is taken off: what this host withheld from the two machines and the client is in it;
//! - `migrate_blackout`: for each move of the gaps from the freeze at the source to the moment from which the
//!   instance runs at the target, by the nodes' own events ([`blackouts_ns`] says how that needs no common
//!   clock). What the source itself calls "stood for" is told beside: it ends when the source hears that
//!   the instance runs, so that the way of that word is in it;
//! - `migrate_total`: by the source's clock from the order until it has heard that the instance runs at the
//!   target, of 64 MiB of which nobody asks anything; `migrate_bytes`: all bytes that such a move sent, pages
//!   that were sent again and the state included, over those of the pages that the instance has touched;
//! - `migrate_hot`: the same time of an instance that writes to its 64 MiB without a pause, and is slowed down
//!   by the node when the link does not keep up. The longest round trip of its client and the blackout
//!   are told beside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sos_core::control::Request;

use super::evacuation;
use super::pair::{Move, Pair};
use super::probe::{Prober, Visitor};
use super::story::blackouts_ns;
use super::timeline::Picture;
use super::{
    BLACKOUT, BYTES, EVACUATE, GAP_LARGE, GAP_SMALL, HELD_MIB, HOT, HOT_GAP_MS, TOTAL,
    milliseconds, spread, wants,
};
use crate::bench::attempts::Attempts;
use crate::bench::samples::Samples;
use crate::bench::sos_node::Kit;
use crate::bench::statistics::median;
use crate::bench::system::Service;
use crate::lan::Forward;
use crate::process::say;

/// Moves under clients, for each size.
const MOVES: usize = 30;
/// Idle moves.
const IDLE_MOVES: usize = 5;
/// Moves while the instance writes.
const HOT_MOVES: usize = 2;
const INSTANCE: &str = "holder";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// How long a service may take to answer first.
const BOOT_PATIENCE: Duration = Duration::from_secs(60);
/// How long a client is watched after a move: the instance is announced again meanwhile.
const AFTERMATH: Duration = Duration::from_millis(100);
/// Clients that stay connected and silent.
const SILENT: usize = 8;
/// A time without a move is watched after each so many moves.
const CONTROL_EVERY: usize = 3;

/// Measures the wanted rows, each with nodes of its own.
pub fn on_sos(kit: &Kit, wanted: &[&str], samples: &mut Samples, attempts: &mut Attempts) {
    for (row, mebibytes) in [(GAP_SMALL, 1), (GAP_LARGE, HELD_MIB)] {
        if wants(wanted, &[row, BLACKOUT]) {
            attempts.run(&format!("SOS's moves of {mebibytes} MiB"), || {
                let seen = move_under_clients(kit, mebibytes)?;
                seen.add_to(row, wanted, samples);
                Ok(())
            });
        }
    }
    if wants(wanted, &[TOTAL, BYTES]) {
        attempts.run("SOS's idle moves", || idle(kit, wanted, samples));
    }
    if wanted.contains(&HOT) {
        attempts.run("SOS's moves while it writes", || hot(kit, samples));
    }
    if wanted.contains(&EVACUATE) {
        attempts.run("SOS's evacuations", || evacuation::measure(kit, samples));
    }
}

/// Whether the instance writes while nobody asks anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    Idle,
    Hot,
}

fn manifest(mebibytes: u64, temper: Temper) -> String {
    format!(
        "name = \"bench\"\n[switch.lan]\nuplink = \"nic0\"\n\
         [instance.{INSTANCE}]\nmodule = \"holder\"\nlimits.memory = \"{}MiB\"\n\
         [instance.{INSTANCE}.config]\nmebibytes = \"{mebibytes}\"\nhot = \"{}\"\n\
         [instance.{INSTANCE}.port.eth0]\nswitch = \"lan\"\naddress = \"{ADDRESS}/24\"\n",
        mebibytes + 8,
        u8::from(temper == Temper::Hot)
    )
}

/// Nodes with an instance that serves, and where its echo is on this host.
fn start(kit: &Kit, mebibytes: u64, temper: Temper) -> Result<(Pair, SocketAddr, Visitor)> {
    let echo = Forward::to_address(IpAddr::V4(ADDRESS), Service::Echo.port());
    let pair = Pair::start(kit, &manifest(mebibytes, temper), vec![echo])?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, pair.port(0)));
    let first = Visitor::connect_until(address, Instant::now() + BOOT_PATIENCE)?;
    Ok((pair, address, first))
}

/// What some moves have shown.
struct Seen {
    mebibytes: u64,
    /// The move with the median gap.
    picture: Picture,
    moves: Vec<Move>,
    gaps_ms: Vec<f64>,
    controls_ms: Vec<f64>,
}

/// Moves an instance to and fro while clients are connected.
fn move_under_clients(kit: &Kit, mebibytes: u64) -> Result<Seen> {
    let (mut pair, address, first) = start(kit, mebibytes, Temper::Idle)?;
    let mut silent = vec![first];
    while silent.len() < SILENT {
        silent.push(Visitor::connect(address)?);
    }
    // The first move brings the module to the target, where it stays.
    pair.move_from(0, INSTANCE).context("the first move")?;
    pair.move_from(1, INSTANCE).context("the first move back")?;
    let prober = Prober::start(address)?;
    let (mut moves, mut windows, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..MOVES {
        let moved = pair.move_from(number % 2, INSTANCE);
        let moved = moved.with_context(|| format!("move {number}"))?;
        std::thread::sleep(AFTERMATH);
        let end = Instant::now();
        windows.push((moved.asked, end));
        if number % CONTROL_EVERY == 0 {
            std::thread::sleep(end - moved.asked);
            quiet.push((end, Instant::now()));
        }
        moves.push(moved);
    }
    let trips = prober.finish()?;
    for visitor in &mut silent {
        visitor
            .ask()
            .context("a connection from before the moves")?;
    }
    let gaps_ms = trips.each_ms(&windows)?;
    let mut by_gap: Vec<usize> = (0..MOVES).collect();
    by_gap.sort_by(|a, b| gaps_ms[*a].total_cmp(&gaps_ms[*b]));
    let usual = by_gap[MOVES / 2];
    let (from, until) = windows[usual];
    let picture = Picture {
        watched_ms: milliseconds(until - from),
        trips_ms: trips.between_ms(from, until),
        departure: moves[usual].departure,
    };
    Ok(Seen {
        mebibytes,
        picture,
        moves,
        gaps_ms,
        controls_ms: trips.each_ms(&quiet)?,
    })
}

impl Seen {
    fn add_to(&self, row: &'static str, wanted: &[&str], samples: &mut Samples) {
        let crossings: Vec<_> = self.moves.iter().map(|it| it.crossing).collect();
        let blackouts: Vec<f64> = blackouts_ns(&crossings).iter().map(|ns| ns / 1e6).collect();
        let stood = self
            .moves
            .iter()
            .map(|it| it.departure.stood_ns as f64 / 1e6);
        let stood: Vec<f64> = stood.collect();
        let (gaps, controls) = (&self.gaps_ms, &self.controls_ms);
        say(format!(
            "bench: {} moves of {} MiB: gap {}; without a move {}; blackout {}; \"stood for\" {}; {}",
            self.moves.len(),
            self.mebibytes,
            spread(gaps),
            spread(controls),
            spread(&blackouts),
            spread(&stood),
            self.sizes()
        ));
        say(format!("bench: such a move:\n{}", self.picture.draw()));
        if wanted.contains(&row) {
            gaps.iter().for_each(|gap| samples.add(row, *gap));
            controls.iter().for_each(|it| samples.add_control(row, *it));
        }
        if wanted.contains(&BLACKOUT) {
            blackouts.iter().for_each(|it| samples.add(BLACKOUT, *it));
        }
    }

    /// Medians of what was sent.
    fn sizes(&self) -> String {
        let of = |figure: fn(&Move) -> u64| {
            let figures: Vec<f64> = self.moves.iter().map(|it| figure(it) as f64).collect();
            median(&figures).unwrap_or_default()
        };
        format!(
            "{:.0} KiB in {:.0} rounds, {:.0} KiB of pages left at the freeze, {:.0} ms in all",
            of(|it| it.departure.kib),
            of(|it| it.departure.rounds),
            of(|it| it.departure.last_kib),
            of(|it| it.departure.told_ns.saturating_sub(it.departure.asked_ns)) / 1e6
        )
    }
}

/// Moves an instance of which nobody asks anything.
fn idle(kit: &Kit, wanted: &[&str], samples: &mut Samples) -> Result<()> {
    let (mut pair, _, mut visitor) = start(kit, HELD_MIB, Temper::Idle)?;
    let name = INSTANCE.into();
    let detail = pair.ask(0, &Request::Inspect { name })?;
    let touched = detail["resident_bytes"].as_u64();
    let touched = touched.with_context(|| format!("no `resident_bytes` in {detail}"))?;
    ensure!(
        touched > HELD_MIB << 20,
        "only {touched} bytes were touched"
    );
    // The first move brings the module to the target, where it stays.
    pair.move_from(0, INSTANCE).context("the first move")?;
    for number in 0..IDLE_MOVES {
        let moved = pair.move_from((number + 1) % 2, INSTANCE)?.departure;
        let total_ms = moved.total_ms();
        let factor = (moved.kib * 1024) as f64 / touched as f64;
        say(format!(
            "bench: {:.1} MiB of touched pages moved idle in {total_ms:.0} ms, {:.1} MiB in {} rounds",
            touched as f64 / f64::from(1 << 20),
            moved.kib as f64 / 1024.0,
            moved.rounds
        ));
        if wanted.contains(&TOTAL) {
            samples.add(TOTAL, total_ms);
        }
        if wanted.contains(&BYTES) {
            samples.add(BYTES, factor);
        }
    }
    visitor.ask().context("a connection from before the moves")
}

/// Moves an instance that writes without a pause.
fn hot(kit: &Kit, samples: &mut Samples) -> Result<()> {
    let (mut pair, address, mut visitor) = start(kit, HELD_MIB, Temper::Hot)?;
    let prober = Prober::start(address)?;
    let (mut moves, mut windows) = (Vec::new(), Vec::new());
    for number in 0..HOT_MOVES {
        let moved = pair.move_from(number % 2, INSTANCE)?;
        std::thread::sleep(AFTERMATH);
        windows.push((moved.asked, Instant::now()));
        moves.push(moved);
    }
    visitor
        .ask()
        .context("a connection from before the moves")?;
    let gaps_ms = prober.finish()?.each_ms(&windows)?;
    for (moved, gap_ms) in moves.iter().zip(gaps_ms) {
        let departure = moved.departure;
        say(format!(
            "bench: an instance that writes moved in {:.0} ms, {:.0} MiB in {} rounds, stood for {:.1} ms; its \
             client waited {gap_ms:.1} ms at most (to be {HOT_GAP_MS})",
            departure.total_ms(),
            departure.kib as f64 / 1024.0,
            departure.rounds,
            departure.stood_ns as f64 / 1e6
        ));
        samples.add(HOT, departure.total_ms() / 1e3);
    }
    Ok(())
}
