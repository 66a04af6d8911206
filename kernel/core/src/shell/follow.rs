//! The modes of the shell that last: following logs, a console, `top`, pings, and what takes several turns.

use super::command::{Command, Follow, Format};
use super::{LineResult, Order, json, push_text, render};
use crate::control::{Control, ControlError, InstanceRow, Numbered, Report, Request};
use crate::machine::{Duration, Time};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// How often a follower looks for news.
const FOLLOW_PERIOD: Duration = Duration::from_millis(100);
/// How often an attached console is looked at: typing should feel immediate.
const CONSOLE_PERIOD: Duration = Duration::from_millis(20);
/// How often `top` draws.
const TOP_PERIOD: Duration = Duration::from_secs(1);
/// Between two echo requests.
const PING_PERIOD: Duration = Duration::from_secs(1);
/// How long the last echo request is waited for.
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether something is done that takes several turns.
const ORDER_PERIOD: Duration = Duration::from_millis(2);
/// How often answers are looked for.
const PING_POLL: Duration = Duration::from_millis(5);

/// Whether a mode goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It does.
    Goes,
    /// The prompt comes next.
    Ended,
}

/// What the shell is doing.
#[derive(Debug)]
pub(super) enum Mode {
    /// Waiting for a line.
    Prompt,
    /// Printing numbered entries as they come.
    Entries(Entries),
    /// Joined to an instance's console.
    Console { name: String, since: u64, due: Time },
    /// `top`.
    Top(Top),
    /// `ping`.
    Ping(Ping),
    /// Waiting for what takes several turns.
    Order { order: Order, due: Time },
}

/// Where numbered entries come from.
#[derive(Debug, Clone)]
enum Source {
    Guest(String),
    Events,
    Kernel,
}

/// A follower of numbered entries.
#[derive(Debug)]
pub(super) struct Entries {
    source: Source,
    follow: Follow,
    format: Format,
    last: Option<usize>,
    since: u64,
    due: Time,
}

/// State of `top`.
#[derive(Debug)]
pub(super) struct Top {
    left: Option<u32>,
    format: Format,
    before: Vec<InstanceRow>,
    busy_before: u64,
    drawn: Time,
    due: Time,
}

/// State of `ping`.
#[derive(Debug)]
pub(super) struct Ping {
    from: String,
    to: IpAddr,
    ping: u32,
    count: u16,
    sent: u16,
    received: u16,
    round_trips_nanos: Vec<u64>,
    next_send: Time,
    due: Time,
}

impl Mode {
    /// The mode that `command` enters: at once, after a request, or none.
    pub(super) fn of(command: &Command, now: Time) -> Option<Result<Mode, Request>> {
        let entries = |source, follow, format, last| {
            Some(Ok(Mode::Entries(Entries {
                source,
                follow,
                format,
                last,
                since: 0,
                due: now,
            })))
        };
        match command {
            Command::Logs {
                name,
                follow,
                last,
                format,
            } => entries(Source::Guest(name.clone()), *follow, *format, *last),
            Command::Events(follow, format) => entries(Source::Events, *follow, *format, None),
            Command::KernelLog(follow, format) => entries(Source::Kernel, *follow, *format, None),
            Command::Top { times, format } => Some(Ok(Mode::Top(Top {
                left: match format {
                    Format::Json => Some(1),
                    Format::Table => *times,
                },
                format: *format,
                before: Vec::new(),
                busy_before: 0,
                drawn: Time::ZERO,
                due: now,
            }))),
            Command::Console(name) => Some(Err(Request::ConsoleRead {
                name: name.clone(),
                since: 0,
            })),
            Command::Ping { from, to, .. } => Some(Err(Request::PingStart {
                from: from.clone(),
                to: *to,
            })),
            _ => None,
        }
    }

    /// The mode after the request of [`Mode::of`] was carried out.
    pub(super) fn started(command: &Command, report: &Report, now: Time) -> Mode {
        match (command, report) {
            (Command::Console(name), Report::Console(_)) => Mode::Console {
                name: name.clone(),
                since: 0,
                due: now,
            },
            (Command::Ping { from, to, count }, Report::PingStarted { ping }) => Mode::Ping(Ping {
                from: from.clone(),
                to: *to,
                ping: *ping,
                count: *count,
                sent: 0,
                received: 0,
                round_trips_nanos: Vec::new(),
                next_send: now,
                due: now,
            }),
            _ => Mode::Prompt,
        }
    }

    /// When the mode wants [`Mode::advance`].
    pub fn next_tick(&self) -> Option<Time> {
        match self {
            Mode::Prompt => None,
            Mode::Entries(entries) => Some(entries.due),
            Mode::Console { due, .. } => Some(*due),
            Mode::Top(top) => Some(top.due),
            Mode::Ping(ping) => Some(ping.due),
            Mode::Order { due, .. } => Some(*due),
        }
    }

    /// Takes a byte typed while the mode lasts.
    pub fn input(&mut self, byte: u8, control: &mut dyn Control, out: &mut Vec<u8>) -> Progress {
        match self {
            Mode::Prompt => Progress::Ended,
            Mode::Console { name, .. } => {
                if byte == 0x1d {
                    push_text(out, "\n");
                    return Progress::Ended;
                }
                // A terminal's return key is a line end to a program.
                let byte = if byte == b'\r' { b'\n' } else { byte };
                push_text(out, core::str::from_utf8(&[byte]).unwrap_or(""));
                let request = Request::ConsoleWrite {
                    name: name.clone(),
                    bytes: alloc::vec![byte],
                };
                match control.execute(request) {
                    Ok(_) => Progress::Goes,
                    Err(error) => failed(&error, out),
                }
            }
            // It is carried out all the same.
            Mode::Entries(_) | Mode::Order { .. } if byte == 0x03 => interrupted(out),
            Mode::Top(_) if byte == 0x03 || byte == b'q' => interrupted(out),
            Mode::Ping(ping) if byte == 0x03 => {
                push_text(out, "^C\n");
                ping.finish(control, out)
            }
            Mode::Entries(_) | Mode::Top(_) | Mode::Ping(_) | Mode::Order { .. } => Progress::Goes,
        }
    }

    /// Prints what is new at `now`.
    pub fn advance(&mut self, now: Time, control: &mut dyn Control, out: &mut Vec<u8>) -> Progress {
        let result = match self {
            Mode::Prompt => return Progress::Goes,
            mode if mode.next_tick().is_some_and(|due| due > now) => return Progress::Goes,
            Mode::Entries(entries) => entries.advance(now, control, out),
            Mode::Console { name, since, due } => {
                *due = now + CONSOLE_PERIOD;
                advance_console(name, since, control, out)
            }
            Mode::Top(top) => top.advance(now, control, out),
            Mode::Ping(ping) => ping.advance(now, control, out),
            Mode::Order { order, due } => {
                *due = now + ORDER_PERIOD;
                Ok(match control.outcome(order.number) {
                    None => Progress::Goes,
                    Some(outcome) => ended(order.result(outcome), out),
                })
            }
        };
        match result {
            Ok(progress) => progress,
            Err(error) => failed(&error, out),
        }
    }
}

/// Prints what a line came to.
fn ended(result: LineResult, out: &mut Vec<u8>) -> Progress {
    if let LineResult::Done(text) | LineResult::Failed(text) = result {
        push_text(out, &text);
    }
    Progress::Ended
}

fn interrupted(out: &mut Vec<u8>) -> Progress {
    push_text(out, "^C\n");
    Progress::Ended
}

fn failed(error: &ControlError, out: &mut Vec<u8>) -> Progress {
    push_text(out, &format!("error: {error}\n"));
    Progress::Ended
}

fn advance_console(
    name: &str,
    since: &mut u64,
    control: &mut dyn Control,
    out: &mut Vec<u8>,
) -> Result<Progress, ControlError> {
    let request = Request::ConsoleRead {
        name: name.into(),
        since: *since,
    };
    let Report::Console(console) = control.execute(request)? else {
        return Ok(Progress::Ended);
    };
    *since = console.next;
    for byte in console.bytes {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    if console.live {
        return Ok(Progress::Goes);
    }
    push_text(out, &format!("\n['{name}' does not run any more]\n"));
    Ok(Progress::Ended)
}

impl Entries {
    fn advance(
        &mut self,
        now: Time,
        control: &mut dyn Control,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ControlError> {
        self.due = now + FOLLOW_PERIOD;
        let since = self.since;
        let report = control.execute(match &self.source {
            Source::Guest(name) => Request::Logs {
                name: name.clone(),
                since,
            },
            Source::Events => Request::Events { since },
            Source::Kernel => Request::KernelLog { since },
        })?;
        self.since = match (&report, self.format) {
            (Report::Logs(Numbered { next, .. }), Format::Json)
            | (Report::Events(Numbered { next, .. }), Format::Json)
            | (Report::KernelLog(Numbered { next, .. }), Format::Json) => {
                let mut text = String::new();
                if *next > since || self.follow == Follow::Once {
                    json(&report, &mut text);
                }
                push_text(out, &text);
                *next
            }
            (Report::Logs(rows), Format::Table) => {
                let line = |row: &crate::control::GuestLogRow| {
                    format!(
                        "{} {:<5} {}\n",
                        render::stamp(row.time_nanos),
                        row.level,
                        row.text
                    )
                };
                self.print(rows, line, out)
            }
            (Report::Events(rows), Format::Table) => {
                let line = |event: &crate::log::Event| {
                    let stamp = render::stamp(event.time.as_nanos());
                    format!(
                        "{stamp} {:<16} {:<16} {}\n",
                        event.instance, event.kind, event.detail
                    )
                };
                self.print(rows, line, out)
            }
            (Report::KernelLog(rows), Format::Table) => {
                let line = |entry: &crate::log::LogEntry| {
                    let stamp = render::stamp(entry.time.as_nanos());
                    match entry.severity {
                        crate::log::Severity::Info => format!("{stamp} {}\n", entry.text),
                        severity => format!("{stamp} {severity}: {}\n", entry.text),
                    }
                };
                self.print(rows, line, out)
            }
            _ => return Ok(Progress::Ended),
        };
        Ok(match self.follow {
            Follow::Once => Progress::Ended,
            Follow::Follow => Progress::Goes,
        })
    }

    fn print<T>(
        &mut self,
        rows: &Numbered<T>,
        line: impl Fn(&T) -> String,
        out: &mut Vec<u8>,
    ) -> u64 {
        let skip = match self.last.take() {
            Some(last) => rows.entries.len().saturating_sub(last),
            None => 0,
        };
        for row in &rows.entries[skip..] {
            push_text(out, &line(row));
        }
        rows.next
    }
}

impl Top {
    fn advance(
        &mut self,
        now: Time,
        control: &mut dyn Control,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ControlError> {
        let report = control.execute(Request::Instances)?;
        let Report::Node(node) = control.execute(Request::Node)? else {
            return Ok(Progress::Ended);
        };
        let mut text = String::new();
        match (&report, self.format) {
            (_, Format::Json) => json(&report, &mut text),
            (Report::Instances(rows), Format::Table) => {
                if self.left != Some(1) {
                    text.push_str("\x1b[H\x1b[2J");
                }
                let busy = node.busy_nanos.saturating_sub(self.busy_before);
                let elapsed = now.since(self.drawn).as_nanos() as u64;
                text.push_str(&render::top(&node, rows, &self.before, busy, elapsed));
            }
            (_, Format::Table) => return Ok(Progress::Ended),
        }
        push_text(out, &text);
        if let Report::Instances(rows) = report {
            self.before = rows;
        }
        self.busy_before = node.busy_nanos;
        self.drawn = now;
        self.due = now + TOP_PERIOD;
        Ok(match &mut self.left {
            None => Progress::Goes,
            Some(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    Progress::Ended
                } else {
                    Progress::Goes
                }
            }
        })
    }
}

impl Ping {
    fn advance(
        &mut self,
        now: Time,
        control: &mut dyn Control,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ControlError> {
        self.due = now + PING_POLL;
        let request = Request::PingPoll { ping: self.ping };
        if let Report::PingReplies(replies) = control.execute(request)? {
            for reply in replies {
                self.received += 1;
                self.round_trips_nanos.push(reply.round_trip_nanos);
                let span = render::span(reply.round_trip_nanos);
                push_text(
                    out,
                    &format!("from {}: seq={} time={span}\n", reply.from, reply.sequence),
                );
            }
        }
        if self.sent == self.count && (self.received == self.sent || now >= self.next_send) {
            return Ok(self.finish(control, out));
        }
        if self.sent < self.count && now >= self.next_send {
            let (ping, sequence) = (self.ping, self.sent);
            control.execute(Request::PingSend { ping, sequence })?;
            self.sent += 1;
            self.next_send = now
                + if self.sent < self.count {
                    PING_PERIOD
                } else {
                    PING_PATIENCE
                };
        }
        Ok(Progress::Goes)
    }

    fn finish(&mut self, control: &mut dyn Control, out: &mut Vec<u8>) -> Progress {
        let request = Request::PingStop { ping: self.ping };
        if let Err(error) = control.execute(request) {
            return failed(&error, out);
        }
        let lost = (u32::from(self.sent - self.received) * 100).checked_div(u32::from(self.sent));
        let mut line = format!(
            "{} to {}: {} sent, {} received, {}% lost",
            self.from,
            self.to,
            self.sent,
            self.received,
            lost.unwrap_or(0)
        );
        self.round_trips_nanos.sort_unstable();
        if let (Some(least), Some(most)) = (
            self.round_trips_nanos.first(),
            self.round_trips_nanos.last(),
        ) {
            let median = self.round_trips_nanos[self.round_trips_nanos.len() / 2];
            line.push_str(&format!(
                ", min/median/max {}/{}/{}",
                render::span(*least),
                render::span(median),
                render::span(*most)
            ));
        }
        line.push('\n');
        push_text(out, &line);
        Progress::Ended
    }
}
