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
//!   the instance runs, so that the way of that word is in it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::pair::{Move, Pair};
use super::probe::{Prober, Visitor};
use super::story::blackouts_ns;
use super::{BLACKOUT, GAP_LARGE, GAP_SMALL, MOVES, milliseconds, share_of, wants};
use crate::bench::attempts::Attempts;
use crate::bench::samples::Samples;
use crate::bench::sos_node::Kit;
use crate::bench::statistics::{median, percentile};
use crate::bench::system::Service;
use crate::lan::Forward;
use crate::process::say;

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
pub fn on_sos(
    kit: &Kit,
    wanted: &[&str],
    runs: u32,
    samples: &mut Samples,
    attempts: &mut Attempts,
) {
    for (row, mebibytes) in [(GAP_SMALL, 1), (GAP_LARGE, 64)] {
        if wants(wanted, &[row, BLACKOUT]) {
            attempts.run(&format!("SOS's moves of {mebibytes} MiB"), || {
                let seen = move_under_clients(kit, mebibytes, share_of(MOVES, runs))?;
                seen.add_to(row, wanted, samples);
                Ok(())
            });
        }
    }
}

fn manifest(mebibytes: u64) -> String {
    format!(
        "name = \"bench\"\n[switch.lan]\nuplink = \"nic0\"\n\
         [instance.{INSTANCE}]\nmodule = \"holder\"\nlimits.memory = \"{}MiB\"\n\
         [instance.{INSTANCE}.config]\nmebibytes = \"{mebibytes}\"\n\
         [instance.{INSTANCE}.port.eth0]\nswitch = \"lan\"\naddress = \"{ADDRESS}/24\"\n",
        mebibytes + 8
    )
}

/// What some moves have shown.
struct Seen {
    mebibytes: u64,
    moves: Vec<Move>,
    gaps: Vec<Duration>,
    controls: Vec<Duration>,
}

/// Moves an instance to and fro while clients are connected.
fn move_under_clients(kit: &Kit, mebibytes: u64, count: usize) -> Result<Seen> {
    let echo = Forward::to_address(IpAddr::V4(ADDRESS), Service::Echo.port());
    let mut pair = Pair::start(kit, &manifest(mebibytes), vec![echo])?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, pair.port(0)));
    let first = Visitor::connect_until(address, Instant::now() + BOOT_PATIENCE)?;
    let mut silent = vec![first];
    while silent.len() < SILENT {
        silent.push(Visitor::connect(address)?);
    }
    // The first move brings the module to the target, where it stays.
    pair.move_from(0, INSTANCE).context("the first move")?;
    pair.move_from(1, INSTANCE).context("the first move back")?;
    let prober = Prober::start(address)?;
    let (mut moves, mut windows, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count {
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
    let longest = |times: &[(Instant, Instant)]| {
        let trips = times
            .iter()
            .map(|&(from, until)| trips.longest(from, until));
        trips.collect::<Option<Vec<Duration>>>().context("no trip")
    };
    Ok(Seen {
        mebibytes,
        moves,
        gaps: longest(&windows)?,
        controls: longest(&quiet)?,
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
        let of = |times: &[Duration]| times.iter().map(|it| milliseconds(*it)).collect::<Vec<_>>();
        let (gaps, controls) = (of(&self.gaps), of(&self.controls));
        say(format!(
            "bench: {} moves of {} MiB: gap {}; without a move {}; blackout {}; \"stood for\" {}; {}",
            self.moves.len(),
            self.mebibytes,
            spread(&gaps),
            spread(&controls),
            spread(&blackouts),
            spread(&stood),
            self.sizes()
        ));
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

/// Median, 95th percentile and the largest of some milliseconds.
fn spread(values: &[f64]) -> String {
    let at = |percent| percentile(values, percent).unwrap_or_default();
    format!(
        "p50 {:.1} p95 {:.1} max {:.1} ms",
        median(values).unwrap_or_default(),
        at(95.0),
        at(100.0)
    )
}
