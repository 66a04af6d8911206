//! The instance's log: lines with level and time in a ring bounded by bytes.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use sos_abi::{ErrorCode, LOG_DEBUG, LOG_ERROR, LOG_INFORMATION, LOG_WARNING};

use super::guest::Guest;
use super::memory::Arguments;
use super::pending::{StepResult, done_bytes};
use crate::limits;
use crate::machine::{Duration, Time};

/// How much a line of an instance's log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// The service cannot do what it was asked to do.
    Error,
    /// Something is odd but the service goes on.
    Warning,
    /// What an operator wants to see.
    Information,
    /// What a developer wants to see.
    Debug,
}

impl LogLevel {
    /// The level that a guest means by `number`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] when there is none.
    pub fn from_number(number: u32) -> Result<LogLevel, ErrorCode> {
        match number {
            LOG_ERROR => Ok(LogLevel::Error),
            LOG_WARNING => Ok(LogLevel::Warning),
            LOG_INFORMATION => Ok(LogLevel::Information),
            LOG_DEBUG => Ok(LogLevel::Debug),
            _ => Err(ErrorCode::InvalidArgument),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            LogLevel::Error => "error",
            LogLevel::Warning => "warn",
            LogLevel::Information => "info",
            LogLevel::Debug => "debug",
        })
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, since the node started.
    pub time: Time,
    /// How much it matters.
    pub level: LogLevel,
    /// The text: valid, without line ends and other control characters.
    pub text: String,
}

impl LogLine {
    /// What the line counts against the ring's bound, its own structure included, so that empty
    /// lines are bounded too.
    fn cost_bytes(&self) -> u64 {
        (self.text.len() + size_of::<LogLine>()) as u64
    }
}

/// The last lines of an instance's log. Lines are numbered from 0 for ever.
#[derive(Debug)]
pub struct LogRing {
    lines: VecDeque<LogLine>,
    first: u64,
    used_bytes: u64,
    capacity_bytes: u64,
    dropped_bytes: u64,
}

impl LogRing {
    /// An empty ring that keeps at most `capacity_bytes`.
    pub fn new(capacity_bytes: u64) -> LogRing {
        LogRing {
            lines: VecDeque::new(),
            first: 0,
            used_bytes: 0,
            capacity_bytes,
            dropped_bytes: 0,
        }
    }

    /// Appends a line, dropping the oldest ones as needed.
    pub fn push(&mut self, line: LogLine) {
        self.used_bytes += line.cost_bytes();
        self.lines.push_back(line);
        while self.used_bytes > self.capacity_bytes {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.used_bytes -= oldest.cost_bytes();
            self.dropped_bytes += oldest.text.len() as u64;
            self.first += 1;
        }
    }

    /// Number that the next line will get.
    pub fn next_number(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// The lines from number `number` on that are still there.
    pub fn since(&self, number: u64) -> impl Iterator<Item = &LogLine> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.lines.iter().skip(skip)
    }

    /// Bytes that are kept at most.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Lines dropped because the ring was full.
    pub fn dropped_lines(&self) -> u64 {
        self.first
    }

    /// Bytes of text dropped because the ring was full.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }
}

/// A log as plain data: its bound comes from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogState {
    /// Number of the oldest line that is kept.
    pub(super) first: u64,
    dropped_bytes: u64,
    pub(super) lines: Vec<LogLineState>,
}

/// A line as plain data. Nodes count their time from their own start, so that of a line is wall time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogLineState {
    wall_nanos: u64,
    level: LogLevel,
    pub(super) text: String,
}

/// Most lines, and bytes, that are believed to have gone through a log.
const LOGGED_MOST: u64 = 1 << 62;
/// Bytes of the longest line: each byte of a guest's may have become a character of three, and the
/// kernel's own name a function.
const STORED_LINE_BYTES: usize = 4 * limits::LOG_LINE_BYTES;

impl LogRing {
    /// The log as plain data, on a node whose time is `now` and whose wall time is `wall_nanos`.
    pub fn capture(&self, now: Time, wall_nanos: u64) -> LogState {
        let line = |line: &LogLine| LogLineState {
            wall_nanos: wall_nanos.saturating_sub(nanos(now.since(line.time))),
            level: line.level,
            text: line.text.clone(),
        };
        LogState {
            first: self.first,
            dropped_bytes: self.dropped_bytes,
            lines: self.lines.iter().map(line).collect(),
        }
    }

    /// The log that `state` claims to be, on a node with these times: lines from before its start seem
    /// to come from its start. What does not fit `capacity_bytes` is dropped. None when there are
    /// lines that no log has.
    pub fn restore(
        state: LogState,
        capacity_bytes: u64,
        now: Time,
        wall_nanos: u64,
    ) -> Option<LogRing> {
        if state.first > LOGGED_MOST || state.dropped_bytes > LOGGED_MOST {
            return None;
        }
        let mut ring = LogRing {
            first: state.first,
            dropped_bytes: state.dropped_bytes,
            ..LogRing::new(capacity_bytes)
        };
        for LogLineState {
            wall_nanos: line_nanos,
            level,
            text,
        } in state.lines
        {
            if text.len() > STORED_LINE_BYTES || !text.chars().all(is_kept) {
                return None;
            }
            let age = Duration::from_nanos(wall_nanos.saturating_sub(line_nanos));
            let time = now - age;
            ring.push(LogLine { time, level, text });
        }
        Some(ring)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Fuel that one line is worth beside its bytes: an allocation and a slot in the ring.
const LINE_FUEL: u64 = 100;

impl Guest {
    pub(super) fn log(&mut self, memory: &[u8], arguments: Arguments<'_>) -> StepResult {
        let level = LogLevel::from_number(arguments.u32(0))?;
        let text = arguments.slice(1).get_bounded(memory)?;
        self.log_text(level, text);
        let taken = text.len();
        self.charge_bytes(taken);
        Ok(done_bytes(taken))
    }

    /// Appends the lines of `text`; one that is too long is split.
    pub(super) fn log_text(&mut self, level: LogLevel, text: &[u8]) {
        let time = self.clock.node_now();
        let lines = text
            .strip_suffix(b"\n")
            .unwrap_or(text)
            .split(|&byte| byte == b'\n');
        for mut line in lines {
            loop {
                let (head, rest) = line.split_at(split_point(line));
                self.log.push(LogLine {
                    time,
                    level,
                    text: printable(head),
                });
                self.charge(LINE_FUEL);
                if rest.is_empty() {
                    break;
                }
                line = rest;
            }
        }
    }
}

/// Where a line is cut: at its end or, when it is too long, between two characters.
pub(super) fn split_point(line: &[u8]) -> usize {
    if line.len() <= limits::LOG_LINE_BYTES {
        return line.len();
    }
    let is_continuation = |&at: &usize| line[at] & 0xc0 == 0x80;
    // A character has at most three continuation bytes (RFC 3629); more are no UTF-8 anyway.
    let back = (0..3)
        .take_while(|step| is_continuation(&(limits::LOG_LINE_BYTES - step)))
        .count();
    limits::LOG_LINE_BYTES - back
}

/// Whether a character may stand in a line.
fn is_kept(character: char) -> bool {
    character == '\t' || !character.is_control()
}

/// The text without what would act on an operator's terminal.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_suffix('\r').unwrap_or(&text);
    if text.chars().all(is_kept) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if is_kept(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}
