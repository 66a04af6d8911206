//! The kernel's own log (`dmesg`) and its events (`events`): two bounded rings of numbered entries.
//!
//! Entries are numbered from 0 for ever, so that a follower asks for "what came since n" and sees
//! by a gap how much it missed.

use crate::limits;
use crate::machine::Time;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;
use serde::Serialize;

/// How much an entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something an operator must look at.
    Error,
    /// Something unexpected that was coped with.
    Warning,
    /// A milestone.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        })
    }
}

/// One line of the kernel log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// When, since the node started.
    pub time: Time,
    /// How much it matters.
    pub severity: Severity,
    /// The text, one line.
    pub text: String,
}

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, since the node started.
    pub time: Time,
    /// The instance.
    pub instance: String,
    /// What: `started`, `exited`, `trapped`, …
    pub kind: EventKind,
    /// Particulars, one line, may be empty.
    pub detail: String,
}

/// The kinds of [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// It was made and runs.
    Started,
    /// It could not be made.
    StartFailed,
    /// Its program ended by itself.
    Exited,
    /// Its program did what WebAssembly forbids.
    Trapped,
    /// It touched more memory than the node has.
    OutOfMemory,
    /// It reached a limit of its manifest that makes its calls fail.
    LimitReached,
    /// A health check failed, and not yet too often.
    CheckFailed,
    /// A health check succeeded after others had failed.
    Recovered,
    /// Its health check failed too often.
    Unhealthy,
    /// An operator stopped it.
    Stopped,
    /// An operator ended it at once.
    Killed,
    /// It no longer gets the CPU.
    Paused,
    /// It gets the CPU again.
    Resumed,
    /// Its restart policy will start it again.
    RestartScheduled,
    /// A snapshot of it was taken.
    Snapshot,
    /// It was made of a snapshot of itself.
    Restored,
    /// It was made of another instance or its snapshot.
    Cloned,
    /// It was taken out of the node's memory but for its data, and can go on.
    Suspended,
    /// It is being handed over to another node.
    Migrating,
    /// It stands, to be handed over.
    Frozen,
    /// Another node runs it.
    Moved,
    /// It came from another node and runs here.
    Arrived,
    /// A hand-over came to nothing.
    NotMoved,
    /// It stands, and nobody knows whether another node runs it.
    InDoubt,
    /// It was not started at boot, because it lives on another node.
    Elsewhere,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            EventKind::Started => "started",
            EventKind::StartFailed => "start-failed",
            EventKind::Exited => "exited",
            EventKind::Trapped => "trapped",
            EventKind::OutOfMemory => "out-of-memory",
            EventKind::LimitReached => "limit-reached",
            EventKind::CheckFailed => "check-failed",
            EventKind::Recovered => "recovered",
            EventKind::Unhealthy => "unhealthy",
            EventKind::Stopped => "stopped",
            EventKind::Killed => "killed",
            EventKind::Paused => "paused",
            EventKind::Resumed => "resumed",
            EventKind::RestartScheduled => "restart-scheduled",
            EventKind::Snapshot => "snapshot",
            EventKind::Restored => "restored",
            EventKind::Cloned => "cloned",
            EventKind::Suspended => "suspended",
            EventKind::Migrating => "migrating",
            EventKind::Frozen => "frozen",
            EventKind::Moved => "moved",
            EventKind::Arrived => "arrived",
            EventKind::NotMoved => "not-moved",
            EventKind::InDoubt => "in-doubt",
            EventKind::Elsewhere => "elsewhere",
        })
    }
}

/// A bounded ring whose entries keep their numbers.
#[derive(Debug, Clone)]
pub struct NumberedRing<T> {
    entries: VecDeque<T>,
    first: u64,
    capacity: usize,
}

impl<T> NumberedRing<T> {
    /// An empty ring of at most `capacity` entries.
    pub fn new(capacity: usize) -> NumberedRing<T> {
        NumberedRing {
            entries: VecDeque::new(),
            first: 0,
            capacity,
        }
    }

    /// Appends, dropping the oldest entry when full.
    pub fn push(&mut self, entry: T) {
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(entry);
    }

    /// The number that the next entry will get.
    pub fn next_number(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entries from number `number` on that are still there.
    pub fn since(&self, number: u64) -> impl Iterator<Item = &T> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip)
    }
}

/// The kernel's log and events.
#[derive(Debug)]
pub struct Journal {
    /// `dmesg`.
    pub log: NumberedRing<LogEntry>,
    /// `events`.
    pub events: NumberedRing<Event>,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal {
            log: NumberedRing::new(limits::KERNEL_LOG_LINES),
            events: NumberedRing::new(limits::EVENTS),
        }
    }
}

impl Journal {
    /// Adds a line to the kernel log.
    pub fn log(&mut self, time: Time, severity: Severity, text: String) {
        self.log.push(LogEntry {
            time,
            severity,
            text,
        });
    }

    /// Adds an event of `instance`.
    pub fn event(&mut self, time: Time, instance: &str, kind: EventKind, detail: String) {
        self.events.push(Event {
            time,
            instance: instance.into(),
            kind,
            detail,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn ring_keeps_numbers_when_old_entries_fall_out() {
        let mut ring = NumberedRing::new(3);
        for value in 0..5 {
            ring.push(value);
        }
        assert_eq!(ring.next_number(), 5);
        assert_eq!(ring.since(0).copied().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(ring.since(4).copied().collect::<Vec<_>>(), [4]);
        assert_eq!(ring.since(9).count(), 0);
    }
}
