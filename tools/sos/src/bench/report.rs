//! The bench's two outputs: an aligned table for people, one JSON object for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rows::{Peer, Row, Setting};
use super::samples::Samples;
use super::statistics::{Better, ratio};

/// The figures of all systems.
#[derive(Debug, Default)]
pub struct Figures {
    /// SOS.
    pub sos: Samples,
    /// The peer.
    pub peer: Samples,
    /// The path between the load generator and the machine, without a machine.
    pub ceiling: Samples,
    /// What the peer is.
    pub peer_name: String,
}

/// One row as programs read it. A figure that was not measured is `null`.
#[derive(Debug, Serialize)]
pub struct RowResult {
    sos: Option<f64>,
    peer: Option<f64>,
    peer_name: String,
    unit: &'static str,
    better: Better,
    ratio: Option<f64>,
    target: Option<f64>,
    runs: usize,
    /// Of rows whose figures are told apart.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    spread: Option<Spread>,
}

/// How far single figures of SOS are from their median, and what is seen when nothing is done.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    p95: Option<f64>,
    max: Option<f64>,
    control: Option<f64>,
}

impl Spread {
    fn of(row: &Row, samples: &Samples) -> Spread {
        Spread {
            p95: samples.percentile(row.name, 95.0),
            max: samples.percentile(row.name, 100.0),
            control: samples.control(row.name),
        }
    }
}

fn result(row: &Row, figures: &Figures) -> RowResult {
    let sos = figures.sos.median(row.name);
    let (peer, peer_name) = match row.peer {
        Peer::Linux => (figures.peer.median(row.name), figures.peer_name.clone()),
        Peer::Target(value) => (Some(value), "target".to_owned()),
    };
    let ratio = sos
        .zip(peer)
        .map(|(sos, peer)| ratio(sos, peer, row.better))
        .filter(|ratio| ratio.is_finite());
    let runs = figures.sos.runs(row.name).max(figures.peer.runs(row.name));
    RowResult {
        sos,
        peer,
        peer_name,
        unit: row.unit,
        better: row.better,
        ratio,
        target: row.target,
        runs,
        spread: (row.setting == Setting::Migration).then(|| Spread::of(row, &figures.sos)),
    }
}

/// The JSON object, by row name.
pub fn json(rows: &[&Row], figures: &Figures) -> serde_json::Result<String> {
    let results: BTreeMap<&str, RowResult> = rows
        .iter()
        .map(|row| (row.name, result(row, figures)))
        .collect();
    serde_json::to_string_pretty(&results)
}

/// The table.
pub fn table(rows: &[&Row], figures: &Figures) -> String {
    let heading = [
        "row", "sos", "peer", "ratio", "target", "unit", "better", "path", "runs", "peer is",
    ];
    let mut lines = vec![heading.map(str::to_owned)];
    for row in rows {
        let result = result(row, figures);
        lines.push([
            row.name.to_owned(),
            figure(result.sos),
            figure(result.peer),
            figure(result.ratio),
            figure(result.target),
            result.unit.to_owned(),
            match result.better {
                Better::Lower => "lower".to_owned(),
                Better::Higher => "higher".to_owned(),
            },
            figure(figures.ceiling.median(row.name)),
            result.runs.to_string(),
            result.peer_name,
        ]);
    }
    align(&lines)
        + &spreads(rows, figures)
        + "\nratio: times by which SOS is ahead (above 1 = better than the peer); \
                     target: what SOS is to reach whatever the peer does; path: the ceiling of the LAN and \
                     gateway alone\n\
                     coremark, float_kernel, sqlite, module_load_20mb, snapshot_pause: without the time \
                     that this host withheld from QEMU; capture_run, capture_translate (best of several) and \
                     capture_frames (median) are measured on this host, without QEMU\n"
}

/// A line for each row of moves: single moves matter as much as their median.
fn spreads(rows: &[&Row], figures: &Figures) -> String {
    let heading = ["moves", "p50", "p95", "max", "without", "count"];
    let mut lines = vec![heading.map(str::to_owned)];
    let moves = rows.iter().filter(|row| row.setting == Setting::Migration);
    for row in moves {
        for (system, samples) in [("sos", &figures.sos), ("peer", &figures.peer)] {
            if samples.runs(row.name) > 1 {
                let spread = Spread::of(row, samples);
                lines.push([
                    format!("{} {system}", row.name),
                    figure(samples.median(row.name)),
                    figure(spread.p95),
                    figure(spread.max),
                    figure(spread.control),
                    samples.runs(row.name).to_string(),
                ]);
            }
        }
    }
    match lines.len() {
        1 => String::new(),
        _ => format!("\n{}", align(&lines)),
    }
}

/// Three or more significant digits, a dash for what was not measured.
fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(f64::INFINITY) => "never".to_owned(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// Columns of words, all to the left.
pub fn align_words(lines: &[[String; 3]]) -> String {
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    let line = |[a, b, c]: &[String; 3]| format!("{a:<first$}  {b:<second$}  {c}\n");
    lines.iter().map(line).collect()
}

/// Columns of equal width: words to the left, figures (columns 1 to 4, 7 and 8) to the right.
fn align<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            let last = column + 1 == COLUMNS;
            match column {
                _ if last => text.push_str(cell),
                1..=4 | 7 | 8 => text.push_str(&format!("{cell:>width$}  ")),
                _ => text.push_str(&format!("{cell:<width$}  ")),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::rows::rows;
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures {
            peer_name: "Linux 6".to_owned(),
            ..Figures::default()
        };
        for value in [100.0, 300.0, 200.0] {
            figures.sos.add("boot_http", value);
        }
        figures.peer.add("boot_http", 1000.0);
        figures
    }

    #[test]
    fn json_has_the_medians_and_the_times_that_sos_is_ahead() {
        let text = json(&[&rows()[0]], &figures()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({"boot_http": {
            "sos": 200.0, "peer": 1000.0, "peer_name": "Linux 6", "unit": "ms",
            "better": "lower", "ratio": 5.0, "target": null, "runs": 3,
        }});
        assert_eq!(value, expected);
    }

    #[test]
    fn what_was_not_measured_is_null_and_a_dash() {
        let row = &rows()[1];
        let text = json(&[row], &figures()).unwrap();
        assert!(
            text.contains("\"sos\": null") && text.contains("\"ratio\": null"),
            "{text}"
        );
        let table = table(&[row], &figures());
        assert!(table.lines().nth(1).unwrap().starts_with("http_rps_1"));
        assert!(table.contains(" - "));
    }
}
