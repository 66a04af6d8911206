//! `cargo sos bench`: SOS and Linux on the same emulated machine, over the same path, in turns.
//!
//! [`rows`] says what there is, [`run`] measures. Network rows go through the LAN and gateway of
//! [`crate::lan`] for both systems; the ceiling of that path alone stands beside them. Neighbours:
//! `tools/peer` is the program inside the Linux machine, `guests/bench` its equal on SOS.

mod attempts;
mod capture;
mod ceiling;
mod compute;
mod cpio;
mod exec;
mod linux;
mod linux_kit;
mod load;
mod migration;
mod report;
mod rows;
mod samples;
mod services;
mod snapshots;
mod sos_node;
mod sqlite;
mod statistics;
mod stream_load;
mod suite;
mod system;
mod vmlinux;
mod withheld;

use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::process::say;
use attempts::Attempts;
use compute::{KERNELS, Kernel, Outcome};
use linux::Linux;
use report::Figures;
use samples::Samples;
use services::Machine;
use sos_node::{Company, Sos};

pub use rows::{Peer, Row, Setting, rows};
pub use statistics::Better;

/// Which systems are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// SOS and the peer, in turns.
    Both,
    /// The peer alone.
    Peer,
    /// SOS alone: what it computes is compared with nothing.
    Sos,
}

/// What `bench` is asked for.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Rows to measure; all when none is named.
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Names every row and ends.
    #[arg(long)]
    list: bool,
    /// Prints one JSON object instead of the table.
    #[arg(long)]
    json: bool,
    /// Turns of each system; the medians are reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Which systems are measured.
    #[arg(long, value_enum, default_value_t = Side::Both)]
    side: Side,
}

/// Measures what is asked for and prints it on standard output; progress goes to standard error.
pub fn run(arguments: &Arguments) -> Result<()> {
    let chosen = chosen_rows(&arguments.rows)?;
    if arguments.list {
        let lines = chosen
            .iter()
            .map(|row| [row.name, row.unit, row.description].map(str::to_owned));
        print!("{}", report::align_words(&lines.collect::<Vec<_>>()));
        return Ok(());
    }
    let mut attempts = Attempts::default();
    let figures = measure(&chosen, arguments.runs, arguments.side, &mut attempts)?;
    if arguments.json {
        println!("{}", report::json(&chosen, &figures)?);
    } else {
        print!("{}", report::table(&chosen, &figures));
    }
    attempts.finish()
}

fn chosen_rows(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(rows().iter().collect());
    }
    let find = |name: &String| match rows().iter().find(|row| row.name == name) {
        Some(row) => Ok(row),
        None => {
            let known: Vec<_> = rows().iter().map(|row| row.name).collect();
            bail!("no bench row `{name}`: choose from {}", known.join(", "))
        }
    };
    names.iter().map(find).collect()
}

/// The systems that take turns.
struct Systems {
    peer: Option<linux_kit::Kit>,
    sos: Option<sos_node::Kit>,
}

/// Measures all rows in turns. What fails is left out, and kept in `attempts`.
fn measure(chosen: &[&Row], runs: u32, side: Side, attempts: &mut Attempts) -> Result<Figures> {
    let systems = Systems {
        peer: match side {
            Side::Both | Side::Peer => Some(linux_kit::Kit::prepare()?),
            Side::Sos => None,
        },
        sos: match side {
            Side::Both | Side::Sos => Some(sos_node::Kit::prepare()?),
            Side::Peer => None,
        },
    };
    let peer_name = systems.peer.as_ref().map(|kit| kit.name.clone());
    let mut figures = Figures {
        peer_name: peer_name.unwrap_or_else(|| "not measured".to_owned()),
        ..Figures::default()
    };
    let network = names_of(chosen, Setting::Services);
    for run in 1..=runs {
        if !network.is_empty() {
            attempts.run("the path without a machine", || {
                let station = ceiling::Station::start()?;
                services::measure_network(&station.services, &network, &mut figures.ceiling)
            });
        }
        let turn = Instant::now();
        let expected = match &systems.peer {
            None => Expected::default(),
            Some(kit) => measure_peer(kit, chosen, &mut figures.peer, attempts),
        };
        let moves = match run {
            1 => names_of(chosen, Setting::Migration),
            _ => Vec::new(),
        };
        if let Some(kit) = systems.peer.as_ref().filter(|_| !moves.is_empty()) {
            say(format!("bench: {} moves between two QEMUs", kit.name));
            migration::on_linux(kit, &moves, &mut figures.peer, attempts);
        }
        if let Some(kit) = &systems.sos {
            measure_sos(kit, chosen, &mut figures.sos, &expected, attempts);
            if !moves.is_empty() {
                say("bench: SOS's instances move between two nodes");
                migration::on_sos(kit, &moves, &mut figures.sos, attempts);
            }
        }
        say(format!(
            "bench: run {run} of {runs} took {:.0} s",
            turn.elapsed().as_secs_f64()
        ));
    }
    Ok(figures)
}

fn names_of(chosen: &[&Row], setting: Setting) -> Vec<&'static str> {
    chosen
        .iter()
        .filter(|row| row.setting == setting)
        .map(|row| row.name)
        .collect()
}

fn kernels_of(chosen: &[&Row]) -> Vec<Kernel> {
    let wanted = names_of(chosen, Setting::Compute);
    KERNELS
        .into_iter()
        .filter(|kernel| wanted.contains(&kernel.row))
        .collect()
}

/// What the peer found out in one turn, which SOS must find out too; empty without a peer.
#[derive(Default)]
struct Expected {
    kernels: Vec<Outcome>,
    sqlite: Vec<String>,
    suite: String,
}

/// One turn of the peer.
fn measure_peer(
    kit: &linux_kit::Kit,
    chosen: &[&Row],
    samples: &mut Samples,
    attempts: &mut Attempts,
) -> Expected {
    let mut expected = Expected::default();
    let peer = &kit.name;
    let mut step = |what: &str, measure: &mut dyn FnMut() -> Result<()>| {
        say(format!("bench: {peer} {what}"));
        attempts.run(&format!("{peer} {what}"), measure);
    };
    let wanted = names_of(chosen, Setting::Services);
    if !wanted.is_empty() {
        step("serves", &mut || {
            services::measure(&mut Linux::serve(kit)?, &wanted, samples)
        });
    }
    let wanted = names_of(chosen, Setting::Exec);
    if wanted.iter().any(|row| *row != exec::KEPT) {
        step("executes programs", &mut || {
            exec::on_linux(kit, &wanted, samples)
        });
    }
    if !names_of(chosen, Setting::Start).is_empty() {
        step("starts processes", &mut || {
            compute::starts_on_linux(kit, samples)
        });
    }
    let wanted = names_of(chosen, Setting::Snapshots);
    if !wanted.is_empty() {
        step("is saved and loaded", &mut || {
            snapshots::on_linux(kit, &wanted, samples)
        });
    }
    let kernels = kernels_of(chosen);
    if !kernels.is_empty() {
        step("computes", &mut || {
            expected.kernels = compute::on_linux(kit, &kernels, samples)?;
            Ok(())
        });
    }
    if !names_of(chosen, Setting::Program).is_empty() {
        step("runs SQLite in wasmi", &mut || {
            expected.sqlite = sqlite::on_linux(kit, samples)?;
            Ok(())
        });
    }
    if !names_of(chosen, Setting::Suite).is_empty() {
        step("runs the specification's suite", &mut || {
            expected.suite = suite::on_linux(kit, samples)?;
            Ok(())
        });
    }
    expected
}

/// One turn of SOS.
fn measure_sos(
    kit: &sos_node::Kit,
    chosen: &[&Row],
    samples: &mut Samples,
    expected: &Expected,
    attempts: &mut Attempts,
) {
    let snapshots = names_of(chosen, Setting::Snapshots);
    let mut step = |what: &str, measure: &mut dyn FnMut() -> Result<()>| {
        say(format!("bench: {what}"));
        attempts.run(what, measure);
    };
    let wanted = names_of(chosen, Setting::Services);
    if !wanted.is_empty() {
        step("SOS serves", &mut || {
            services::measure(&mut Sos::serve(kit, Company::Alone)?, &wanted, samples)
        });
    }
    if !names_of(chosen, Setting::Start).is_empty() {
        step("SOS starts instances", &mut || {
            samples.add("start_instance", sos_node::start_ms(kit)?);
            Ok(())
        });
    }
    for (number, kernel) in kernels_of(chosen).into_iter().enumerate() {
        step(&format!("SOS computes {}", kernel.row), &mut || {
            let outcome = sos_node::compute(kit, kernel)?;
            same(
                kernel.guest,
                &outcome.checksum,
                expected.kernels.get(number).map(|peer| &peer.checksum),
            )?;
            samples.add(kernel.row, outcome.elapsed_ns as f64 / 1e6);
            Ok(())
        });
    }
    if !names_of(chosen, Setting::Program).is_empty() {
        step("SOS runs SQLite", &mut || {
            let run = sos_node::sqlite(kit)?;
            let peer = Some(&expected.sqlite).filter(|peer| !peer.is_empty());
            same("SQLite", &run.findings, peer)?;
            samples.add(sqlite::ROW, run.elapsed.as_secs_f64() * 1e3);
            Ok(())
        });
    }
    if !names_of(chosen, Setting::Suite).is_empty() {
        step("SOS runs the specification's suite", &mut || {
            suite::on_sos(kit, &expected.suite, samples)
        });
    }
    let wanted = names_of(chosen, Setting::Exec);
    if !wanted.is_empty() {
        step("SOS executes programs", &mut || {
            exec::on_sos(&wanted, samples)
        });
    }
    let wanted = names_of(chosen, Setting::Engines);
    if !wanted.is_empty() {
        step("the engines compute and translate", &mut || {
            capture::on_host(&wanted, samples)
        });
    }
    if !names_of(chosen, Setting::Freeze).is_empty() {
        step("SOS freezes programs that never wait", &mut || {
            samples.add(capture::FREEZE, capture::freeze_ms(kit)?);
            Ok(())
        });
    }
    if !names_of(chosen, Setting::Spinner).is_empty() {
        step("SOS serves beside a spinner", &mut || {
            samples.add("spinner_p99", spinner_factor(kit)?);
            Ok(())
        });
    }
    if !snapshots.is_empty() {
        say("bench: SOS takes snapshots, restores and clones");
        snapshots::on_sos(kit, &snapshots, samples, attempts);
    }
}

/// Both systems must find out the same; without a peer there is nothing to compare with.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, sos: &T, peer: Option<&T>) -> Result<()> {
    match peer {
        Some(peer) if peer != sos => bail!("{what} found {sos:?} on SOS and {peer:?} on the peer"),
        _ => Ok(()),
    }
}

/// How many times longer the slow answers of `web` take while the spinner runs.
fn spinner_factor(kit: &sos_node::Kit) -> Result<f64> {
    let sos = Sos::serve(kit, Company::Spinner)?;
    services::await_boot(sos.services())?;
    sos.ask("stop spinner")?;
    let alone_ms = services::web_p99_ms(sos.services())?;
    sos.ask("start spinner")?;
    let beside_ms = services::web_p99_ms(sos.services())?;
    say(format!(
        "bench: p99 of web {alone_ms:.2} ms alone, {beside_ms:.2} ms beside the spinner"
    ));
    Ok(beside_ms / alone_ms)
}
