//! What nodes tell of a move: their events, read, and the time between events of two nodes whose clocks
//! are not the same.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::bench::statistics::median;
use crate::bench::system::number_after;

/// Events of a node from some number on.
#[derive(Debug, Clone, Deserialize)]
pub struct Events {
    /// Oldest first.
    pub entries: Vec<Event>,
    /// The number to ask for next.
    pub next: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// Nanoseconds of the node's own clock.
    pub time: u64,
    /// The instance.
    pub instance: String,
    /// What happened to it.
    pub kind: String,
    /// Particulars.
    pub detail: String,
}

/// How an instance left a node, by that node's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// When it was asked to,
    pub asked_ns: u64,
    /// when the instance was frozen,
    pub frozen_ns: u64,
    /// and when this node heard that it runs at the target.
    pub told_ns: u64,
    /// Rounds of copies while it ran.
    pub rounds: u64,
    /// All that was sent.
    pub kib: u64,
    /// What of it was left when it was frozen, without its state.
    pub last_kib: u64,
    /// From its freeze until this node heard that it runs: the way back of that word is in it.
    pub stood_ns: u64,
}

impl Departure {
    /// From the order until the source knew that the instance runs at the target.
    pub fn total_ms(&self) -> f64 {
        self.told_ns.saturating_sub(self.asked_ns) as f64 / 1e6
    }

    /// Reads what a node's events tell of the last move of an instance; none while it has not left.
    ///
    /// # Errors
    /// When it stayed, or is in doubt, or an event has not the words that are expected.
    pub fn read(events: &[Event], instance: &str) -> Result<Option<Departure>> {
        let its = |kind: &str| {
            let mut events = events.iter().rev();
            events.find(|event| event.instance == instance && event.kind == kind)
        };
        for kind in ["not-moved", "in-doubt"] {
            if let Some(event) = its(kind) {
                bail!("{instance} is {kind}: {}", event.detail);
            }
        }
        let Some(moved) = its("moved") else {
            return Ok(None);
        };
        let frozen = its("frozen").context("it moved and was never frozen")?;
        let figure = |event: &Event, label: &str| {
            let figure = number_after(&event.detail, label);
            figure.with_context(|| format!("read `{}`", event.detail))
        };
        Ok(Some(Departure {
            asked_ns: its("migrating").context("it moved unasked")?.time,
            frozen_ns: frozen.time,
            told_ns: moved.time,
            rounds: figure(moved, ": ")?,
            kib: figure(moved, "rounds, ")?,
            last_kib: figure(frozen, "KiB; ")?,
            stood_ns: figure(moved, "stood for ")?,
        }))
    }
}

/// How the instances of a node left it, by that node's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evacuation {
    /// How many have left.
    pub left: u32,
    /// When the first was asked to,
    pub asked_ns: u64,
    /// and when the node heard that the last one runs at its target.
    pub told_ns: u64,
    /// All that was sent.
    pub kib: u64,
    /// The longest time that one stood.
    pub longest_stood_ns: u64,
}

impl Evacuation {
    /// From the first order until the node knew that the last one runs elsewhere.
    pub fn total_ms(&self) -> f64 {
        self.told_ns.saturating_sub(self.asked_ns) as f64 / 1e6
    }

    /// Reads what a node's events tell.
    ///
    /// # Errors
    /// When one stayed or is in doubt, or an event has not the words that are expected.
    pub fn read(events: &[Event]) -> Result<Evacuation> {
        let mut all = Evacuation::default();
        let mut names: Vec<&str> = events.iter().map(|event| &*event.instance).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let Some(one) = Departure::read(events, name)? else {
                continue;
            };
            all = Evacuation {
                left: all.left + 1,
                asked_ns: match all.left {
                    0 => one.asked_ns,
                    _ => all.asked_ns.min(one.asked_ns),
                },
                told_ns: all.told_ns.max(one.told_ns),
                kib: all.kib + one.kib,
                longest_stood_ns: all.longest_stood_ns.max(one.stood_ns),
            };
        }
        Ok(all)
    }
}

/// When an instance ran at its target, by the target's clock.
pub fn arrival_ns(events: &[Event], instance: &str) -> Option<u64> {
    let mut events = events.iter().rev();
    let arrived = events.find(|event| event.instance == instance && event.kind == "arrived")?;
    Some(arrived.time)
}

/// The freeze of one move and the first moment at the target, each by that node's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// Which of the two nodes it left.
    pub from: usize,
    /// By that node's clock.
    pub frozen_ns: u64,
    /// By the other one's.
    pub arrived_ns: u64,
}

/// How long each move took from freeze to first moment, in nanoseconds.
///
/// The two clocks count alike and began at different times. Of a move to and the next one fro, the
/// difference of clocks is in the one with its sign turned: the mean of both is that of two blackouts
/// whatever the difference is, and half of what they differ by is the difference itself, but for what
/// the two moves were unlike. It is followed along the moves, as clocks that each node has measured
/// itself drift: the difference of a move is the median of those of six pairs of moves around it.
/// So medians are those of the moves; a single figure may be off by half of what moves to and moves fro
/// differ by in their medians.
pub fn blackouts_ns(crossings: &[Crossing]) -> Vec<f64> {
    const AROUND: usize = 6;
    // By the first node's clock and then the second's, as if both were one.
    let seen = |it: &Crossing| it.arrived_ns as f64 - it.frozen_ns as f64;
    let ahead: Vec<f64> = crossings
        .windows(2)
        .filter(|pair| pair[0].from != pair[1].from)
        .map(|pair| match pair[0].from {
            0 => (seen(&pair[0]) - seen(&pair[1])) / 2.0,
            _ => (seen(&pair[1]) - seen(&pair[0])) / 2.0,
        })
        .collect();
    let blackout = |(number, it): (usize, &Crossing)| {
        let first = number.saturating_sub(AROUND / 2);
        let first = first.min(ahead.len().saturating_sub(AROUND));
        let last = (first + AROUND).min(ahead.len());
        let difference = median(&ahead[first..last])?;
        Some(match it.from {
            0 => seen(it) - difference,
            _ => seen(it) + difference,
        })
    };
    crossings.iter().enumerate().filter_map(blackout).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: u64, kind: &str, detail: &str) -> Event {
        Event {
            time,
            instance: "holder".into(),
            kind: kind.into(),
            detail: detail.into(),
        }
    }

    #[test]
    fn a_move_is_read_of_its_events() {
        let mut events = vec![
            event(5, "arrived", "from node2"),
            event(10, "migrating", "to node2"),
            event(
                30,
                "frozen",
                "after 2 rounds and 1040 KiB; 12 KiB of pages are left",
            ),
        ];
        assert_eq!(Departure::read(&events, "holder").unwrap(), None);
        events.push(event(
            50,
            "moved",
            "to node2: 2 rounds, 1062 KiB, stood for 20 ns",
        ));
        let departure = Departure::read(&events, "holder").unwrap().unwrap();
        let expected = Departure {
            asked_ns: 10,
            frozen_ns: 30,
            told_ns: 50,
            rounds: 2,
            kib: 1062,
            last_kib: 12,
            stood_ns: 20,
        };
        assert_eq!(departure, expected);
        assert_eq!(Departure::read(&events, "other").unwrap(), None);
        assert_eq!(arrival_ns(&events, "holder"), Some(5));
        events.push(event(60, "not-moved", "the target refused"));
        let error = Departure::read(&events, "holder").unwrap_err().to_string();
        assert_eq!(error, "holder is not-moved: the target refused");
    }

    #[test]
    fn an_evacuation_lasts_from_the_first_order_to_the_last_word() {
        let of = |name: &str, times: [u64; 3]| {
            let details = [
                "to node2",
                "after 1 rounds and 1040 KiB; 12 KiB of pages are left",
                "to node2: 1 rounds, 1060 KiB, stood for 20 ns",
            ];
            let kinds = ["migrating", "frozen", "moved"];
            let events = times.into_iter().zip(kinds).zip(details);
            let events = events.map(|((time, kind), detail)| Event {
                instance: name.into(),
                ..event(time, kind, detail)
            });
            events.collect::<Vec<_>>()
        };
        let events = [of("b", [7, 9, 30]), of("a", [5, 8, 20])].concat();
        let all = Evacuation::read(&events).unwrap();
        assert_eq!((all.left, all.asked_ns, all.told_ns), (2, 5, 30));
        assert_eq!((all.kib, all.longest_stood_ns), (2120, 20));
        assert_eq!(Evacuation::read(&events[..4]).unwrap().left, 1);
    }

    #[test]
    fn events_are_read_as_nodes_write_them() {
        let text = r#"{"entries":[{"time":7,"instance":"a","kind":"moved","detail":""}],"next":3}"#;
        let events: Events = serde_json::from_str(text).unwrap();
        assert_eq!((events.entries[0].time, events.next), (7, 3));
    }

    /// Moves to and fro of these blackouts; the second clock is `ahead` of the first, and drifts.
    fn crossings(blackouts: &[u64], ahead: u64, drift: u64) -> Vec<Crossing> {
        let make = |(number, blackout): (usize, &u64)| {
            let (now, from) = (1_000_000 + number as u64 * 1000, number % 2);
            let ahead = ahead + drift * number as u64;
            let clocks = [0, ahead];
            Crossing {
                from,
                frozen_ns: now + clocks[from],
                arrived_ns: now + blackout + clocks[1 - from],
            }
        };
        blackouts.iter().enumerate().map(make).collect()
    }

    #[test]
    fn blackouts_do_not_need_a_common_clock() {
        for ahead in [0, 77_777] {
            let found = blackouts_ns(&crossings(&[50, 50, 50, 90, 50, 50, 50], ahead, 0));
            assert_eq!(found, [50.0, 50.0, 50.0, 90.0, 50.0, 50.0, 50.0]);
        }
        let found = blackouts_ns(&crossings(&[500; 9], 1000, 2));
        assert!(found.iter().all(|it| (it - 500.0).abs() < 9.0), "{found:?}");
        assert_eq!(blackouts_ns(&[]), Vec::<f64>::new());
        assert_eq!(blackouts_ns(&crossings(&[5], 3, 0)), Vec::<f64>::new());
    }
}
