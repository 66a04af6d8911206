//! Following hand-overs to their end: `sos ctl migrate` and `sos ctl evacuate`.
//!
//! The node begins a hand-over and answers at once. What became of it stands in its events, and how far it is in its
//! list of hand-overs; both are asked for again and again, and in between a node's channel is left to others.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use sos_core::control::{MigrationRow, Request};
use sos_core::shell::render;

use crate::exec::Client;
use crate::snapshot::transfer;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long a doubt may last that may end by itself, as when a link comes back.
const DOUBT: Duration = Duration::from_secs(15);
/// What was not begun when nothing has been under way for so long is not begun any more.
const QUIET: Duration = Duration::from_secs(3);

/// A line of the shell that hands instances over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handing {
    /// These, by name.
    Named(Vec<String>),
    /// All that run.
    All,
}

impl Handing {
    /// Whether the line begins hand-overs, and of what.
    pub fn of(words: &[String]) -> Option<Handing> {
        let (verb, rest) = words.split_first()?;
        let others = ["--cancel", "--resolve", "--help"];
        if rest.iter().any(|word| others.contains(&word.as_str())) {
            return None;
        }
        let mut names = Vec::new();
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--bandwidth" | "--downtime" => {
                    rest.next();
                }
                word if word.starts_with("--") => {}
                name => names.push(name.to_string()),
            }
        }
        // The last is the node.
        names.pop()?;
        match verb.as_str() {
            "migrate" if !names.is_empty() => Some(Handing::Named(names)),
            "evacuate" => Some(Handing::All),
            _ => None,
        }
    }
}

/// What became of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// The instance.
    pub name: String,
    /// What.
    pub outcome: Outcome,
    /// The node's words about it: where to, how much, how long it stood; or why not.
    pub detail: String,
    /// The last that was seen of the hand-over while it was under way.
    pub last: Option<MigrationRow>,
}

/// What can become of a hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The other node runs it.
    Moved,
    /// It runs on where it was.
    NotMoved,
    /// It stands until the nodes meet or an operator decides.
    InDoubt,
    /// It ended, or was taken away, meanwhile.
    Gone,
}

/// Hand-overs that are followed.
pub struct Following {
    /// Events from this number on count.
    since: u64,
    wanted: BTreeMap<String, Watched>,
    quiet_since: Instant,
    screen: Screen,
}

#[derive(Default)]
struct Watched {
    last: Option<MigrationRow>,
    doubted: Option<(Instant, String)>,
    end: Option<(Outcome, String)>,
}

impl Following {
    /// To be called before the hand-overs begin.
    ///
    /// # Errors
    /// The node is gone or refuses to tell.
    pub fn before(client: &mut Client, handing: &Handing) -> Result<Following> {
        let names = match handing {
            Handing::Named(names) => names.clone(),
            Handing::All => {
                let rows = list(client, &Request::Instances)?;
                let runs = |row: &&Value| row["state"] == "running" || row["state"] == "waiting";
                rows.iter()
                    .filter(runs)
                    .map(|row| text(&row["name"]))
                    .collect()
            }
        };
        let events = ask(client, &Request::Events { since: u64::MAX })?;
        Ok(Following {
            since: events["next"].as_u64().unwrap_or(0),
            wanted: names
                .into_iter()
                .map(|name| (name, Watched::default()))
                .collect(),
            quiet_since: Instant::now(),
            screen: Screen::new(),
        })
    }

    /// Looks until all are over; tells what became of each. `client` gives a conversation for each look.
    ///
    /// # Errors
    /// The node is gone.
    pub fn until_over(
        mut self,
        mut client: impl FnMut(&mut dyn FnMut(&mut Client) -> Result<()>) -> Result<()>,
    ) -> Result<Vec<End>> {
        loop {
            client(&mut |client| self.look(client))?;
            if self.wanted.values().all(|it| it.end.is_some()) {
                break;
            }
            std::thread::sleep(INTERVAL);
        }
        self.screen.clear();
        let ends = self.wanted.into_iter().map(|(name, watched)| {
            let (outcome, detail) = watched.end.unwrap_or((Outcome::Gone, String::new()));
            End {
                name,
                outcome,
                detail,
                last: watched.last,
            }
        });
        Ok(ends.collect())
    }

    fn look(&mut self, client: &mut Client) -> Result<()> {
        let rows = transfer::ask(client, &Request::Migrations)?;
        let rows: Vec<MigrationRow> =
            serde_json::from_slice(&rows).context("understand the node's list of hand-overs")?;
        let events = ask(client, &Request::Events { since: self.since })?;
        self.since = events["next"].as_u64().unwrap_or(self.since);
        for event in events["entries"].as_array().into_iter().flatten() {
            self.happened(event);
        }
        let leaving = rows
            .into_iter()
            .filter(|row| row.direction == "to" && row.stage != "handed-over");
        let leaving: Vec<MigrationRow> = leaving.collect();
        self.screen.show(&leaving);
        if !leaving.is_empty() {
            self.quiet_since = Instant::now();
        }
        for row in leaving {
            if let Some(watched) = self.wanted.get_mut(&row.name) {
                watched.last = Some(row);
            }
        }
        let is_quiet = self.quiet_since.elapsed() > QUIET;
        for watched in self.wanted.values_mut() {
            watched.settle(is_quiet);
        }
        Ok(())
    }

    fn happened(&mut self, event: &Value) {
        let Some(watched) = self.wanted.get_mut(&text(&event["instance"])) else {
            return;
        };
        let detail = text(&event["detail"]);
        match event["kind"].as_str().unwrap_or_default() {
            "moved" => watched.end = Some((Outcome::Moved, detail)),
            "not-moved" => watched.end = Some((Outcome::NotMoved, detail)),
            "in-doubt" => watched.doubted = Some((Instant::now(), detail)),
            "exited" | "trapped" | "out-of-memory" | "stopped" | "killed" | "unhealthy" => {
                let detail = format!("it ended meanwhile: {detail}");
                watched.end = Some((Outcome::Gone, detail));
            }
            _ => {}
        }
    }
}

impl Watched {
    /// Decides what no event will.
    fn settle(&mut self, is_quiet: bool) {
        if self.end.is_some() {
            return;
        }
        if let Some((begin, why)) = &self.doubted
            && begin.elapsed() > DOUBT
        {
            let detail = format!(
                "{why}; it stands until the nodes meet, or until `migrate --resolve` says where it is to run"
            );
            self.end = Some((Outcome::InDoubt, detail));
        } else if is_quiet && self.doubted.is_none() {
            let detail =
                "the node did not begin with it, or lost its track: see `dmesg` and `events`";
            self.end = Some((Outcome::NotMoved, detail.into()));
        }
    }
}

/// What is under way, on standard error: in place on a terminal, else a line whenever a round begins.
struct Screen {
    is_terminal: bool,
    lines: usize,
    rounds: BTreeMap<String, (String, u32)>,
}

impl Screen {
    fn new() -> Screen {
        Screen {
            is_terminal: std::io::stderr().is_terminal(),
            lines: 0,
            rounds: BTreeMap::new(),
        }
    }

    fn show(&mut self, rows: &[MigrationRow]) {
        if self.is_terminal {
            self.clear();
            rows.iter().for_each(|row| eprintln!("{}", line(row)));
            self.lines = rows.len();
            return;
        }
        for row in rows {
            let state = (row.stage.clone(), row.rounds);
            if self.rounds.insert(row.name.clone(), state.clone()) != Some(state) {
                eprintln!("{}", line(row));
            }
        }
    }

    /// Takes away what is in place.
    fn clear(&mut self) {
        let mut out = std::io::stderr().lock();
        for _ in 0..std::mem::take(&mut self.lines) {
            // One up, and that line empty (ECMA-48, 8.3.22 and 8.3.41).
            let _ = out.write_all(b"\x1b[A\r\x1b[K");
        }
        let _ = out.flush();
    }
}

/// How far a hand-over is, in one line.
fn line(row: &MigrationRow) -> String {
    let mut line = format!(
        "{} to {}: {}, round {}, {} sent",
        row.name,
        row.peer,
        row.stage,
        row.rounds,
        render::bytes(row.sent_bytes)
    );
    if row.dirty_rate > 0 {
        line.push_str(&format!(", changes {}/s", render::bytes(row.dirty_rate)));
    }
    if let Some(rate) = row.bandwidth.filter(|rate| *rate > 0) {
        let left = Duration::from_secs_f64(row.dirty_bytes as f64 / rate as f64);
        line.push_str(&format!(
            ", link {}/s, {} left: about {:.1} s; would stand {:.1} ms",
            render::bytes(rate),
            render::bytes(row.dirty_bytes),
            left.as_secs_f64(),
            row.expected_downtime_nanos as f64 / 1e6
        ));
    }
    if row.share_ppm > 0 && row.share_ppm < 1_000_000 {
        line.push_str(&format!(
            ", held to {:.2} % of its CPU time",
            f64::from(row.share_ppm) / 1e4
        ));
    }
    if !row.doubt.is_empty() {
        line.push_str(&format!(", in doubt: {}", row.doubt));
    }
    line
}

/// What became of an instance, in one line.
pub fn verdict(end: &End) -> String {
    let name = &end.name;
    match end.outcome {
        Outcome::Moved => format!("{name} moved {}", end.detail),
        Outcome::NotMoved => format!("{name} was not moved: {}", end.detail),
        Outcome::InDoubt => format!("{name} is in doubt: {}", end.detail),
        Outcome::Gone => format!("{name} was not moved: {}", end.detail),
    }
}

fn ask(client: &mut Client, request: &Request) -> Result<Value> {
    let answer = transfer::ask(client, request)?;
    serde_json::from_slice(&answer).context("understand the node's answer")
}

fn list(client: &mut Client, request: &Request) -> Result<Vec<Value>> {
    Ok(ask(client, request)?
        .as_array()
        .cloned()
        .unwrap_or_default())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handing(line: &str) -> Option<Handing> {
        let words: Vec<String> = line.split(' ').map(str::to_string).collect();
        Handing::of(&words)
    }

    #[test]
    fn lines_that_begin_hand_overs_are_told_from_others() {
        let named = |names: &[&str]| {
            Some(Handing::Named(
                names.iter().map(|name| name.to_string()).collect(),
            ))
        };
        assert_eq!(handing("migrate web node2"), named(&["web"]));
        assert_eq!(
            handing("migrate --bandwidth 10 web node2 --cold --json"),
            named(&["web"])
        );
        assert_eq!(
            handing("migrate --group web store node2"),
            named(&["web", "store"])
        );
        assert_eq!(handing("evacuate node2 node3"), Some(Handing::All));
        for line in [
            "migrate",
            "migrate --json",
            "migrate --cancel web",
            "ls",
            "migrate --resolve web here",
        ] {
            assert_eq!(handing(line), None, "{line}");
        }
    }

    fn following(name: &str) -> Following {
        Following {
            since: 0,
            wanted: [(name.to_string(), Watched::default())].into(),
            quiet_since: Instant::now(),
            screen: Screen::new(),
        }
    }

    #[test]
    fn an_event_of_the_instance_ends_the_following_and_one_of_another_does_not() {
        let mut following = following("web");
        let mut tell = |instance: &str, kind: &str| {
            following.happened(
                &serde_json::json!({ "instance": instance, "kind": kind, "detail": "why" }),
            );
            following.wanted["web"].end.clone()
        };
        assert_eq!(tell("store", "moved"), None);
        assert_eq!(tell("web", "frozen"), None);
        assert_eq!(
            tell("web", "not-moved"),
            Some((Outcome::NotMoved, "why".into()))
        );
    }

    #[test]
    fn what_was_never_begun_is_not_waited_for() {
        let mut watched = Watched::default();
        watched.settle(false);
        assert!(watched.end.is_none());
        watched.settle(true);
        assert_eq!(
            watched.end.map(|(outcome, _)| outcome),
            Some(Outcome::NotMoved)
        );
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let row = MigrationRow {
            name: "web".into(),
            instance: String::new(),
            epoch: 1,
            direction: "to".into(),
            peer: "node2".into(),
            group: String::new(),
            stage: "copying".into(),
            doubt: String::new(),
            rounds: 2,
            sent_bytes: 3 << 20,
            dirty_bytes: 1 << 20,
            dirty_rate: 1 << 20,
            bandwidth: Some(2 << 20),
            expected_downtime_nanos: 500_000_000,
            share_ppm: 500_000,
        };
        assert_eq!(
            line(&row),
            "web to node2: copying, round 2, 3.0 MiB sent, changes 1.0 MiB/s, link 2.0 MiB/s, 1.0 MiB left: about \
             0.5 s; would stand 500.0 ms, held to 50.00 % of its CPU time"
        );
    }
}
