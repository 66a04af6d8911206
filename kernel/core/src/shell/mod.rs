//! The operator's shell on the console: bytes typed in, text out, requests to [`Control`] between.
//!
//! [`Shell`] is a state machine without I/O. It is at the prompt, or in one of the modes that last
//! ([`follow::Mode`]: following a log, a console, `top`, a ping), which [`Shell::tick`] drives.

mod command;
mod completion;
mod editor;
mod follow;
pub mod render;
#[cfg(test)]
mod tests;
mod verbs;

pub use verbs::{VERBS, Verb};

use crate::control::{Control, ControlError, Report, Request};
use crate::limits;
use crate::machine::Time;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use command::{Action, Command, Format, Kind, parse};
use completion::candidates;
use core::fmt;
use editor::{Edit, Editor};
use follow::{Mode, Progress};
use serde::Serialize;

/// One console's shell.
#[derive(Debug)]
pub struct Shell {
    prompt: String,
    editor: Editor,
    mode: Mode,
    output: VecDeque<u8>,
    /// Bytes that did not fit the output since that was last said.
    dropped_bytes: u64,
}

impl Shell {
    /// A shell that prompts with `name`; it prints nothing until [`Shell::greet`].
    pub fn new(name: &str) -> Shell {
        Shell {
            prompt: format!("{name}> "),
            editor: Editor::default(),
            mode: Mode::Prompt,
            output: VecDeque::new(),
            dropped_bytes: 0,
        }
    }

    /// Prints a greeting and the first prompt.
    pub fn greet(&mut self, text: &str) {
        self.print(text);
        self.show_prompt();
    }

    /// Takes what was typed.
    pub fn input(&mut self, bytes: &[u8], now: Time, control: &mut dyn Control) {
        for &byte in bytes {
            match self.mode {
                Mode::Prompt => self.input_at_prompt(byte, now, control),
                _ => self.input_in_mode(byte, control),
            }
        }
    }

    /// Lets a lasting mode print what is new.
    pub fn tick(&mut self, now: Time, control: &mut dyn Control) {
        if self.advance(now, control) == Progress::Ended {
            self.show_prompt();
        }
    }

    /// Lets the mode print; when it ends, the prompt is the caller's to show.
    fn advance(&mut self, now: Time, control: &mut dyn Control) -> Progress {
        // A console that cannot keep up slows the mode down instead of losing its output.
        if self.output.len() > limits::SHELL_OUTPUT_BYTES / 2 {
            return Progress::Goes;
        }
        let mut mode = core::mem::replace(&mut self.mode, Mode::Prompt);
        let mut text = Vec::new();
        let progress = mode.advance(now, control, &mut text);
        self.write(&text);
        if progress == Progress::Goes {
            self.mode = mode;
        }
        progress
    }

    /// When [`Shell::tick`] wants to be called, if at all.
    pub fn next_tick(&self) -> Option<Time> {
        self.mode.next_tick()
    }

    /// Bytes for the console; those taken are removed by [`Shell::consume`].
    pub fn output(&mut self) -> &[u8] {
        self.output.make_contiguous()
    }

    /// Whether bytes wait for the console.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Removes the first `count` bytes of [`Shell::output`].
    pub fn consume(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
        if self.output.is_empty() && self.dropped_bytes > 0 {
            let lost = core::mem::take(&mut self.dropped_bytes);
            self.print(&format!(
                "[{lost} bytes of output dropped: the console is too slow]\n"
            ));
        }
    }

    fn input_at_prompt(&mut self, byte: u8, now: Time, control: &mut dyn Control) {
        let mut echo = Vec::new();
        let edit = self.editor.input(byte, &self.prompt, &mut echo);
        self.write(&echo);
        match edit {
            Edit::Continue => {}
            Edit::Line(line) => {
                self.run_line(&line, now, control);
                if matches!(self.mode, Mode::Prompt) {
                    self.show_prompt();
                }
            }
            Edit::Refused(error) => {
                self.print(&format!("error: {error}\n"));
                self.show_prompt();
            }
            Edit::Interrupted => self.show_prompt(),
            Edit::EndOfInput => {
                self.print(
                    "\nthis shell is the node's console and stays; `poweroff` ends the node\n",
                );
                self.show_prompt();
            }
            Edit::Complete => self.complete(control),
        }
    }

    fn input_in_mode(&mut self, byte: u8, control: &mut dyn Control) {
        let mut text = Vec::new();
        let progress = self.mode.input(byte, control, &mut text);
        self.write(&text);
        if progress == Progress::Ended {
            self.mode = Mode::Prompt;
            self.show_prompt();
        }
    }

    fn run_line(&mut self, line: &str, now: Time, control: &mut dyn Control) {
        let format = format_of(line);
        let command = match parse(line) {
            Ok(command) => command,
            Err(error) => return self.print(&error_text(&error, format)),
        };
        let mut text = String::new();
        let result = match Mode::of(&command, now) {
            Some(Ok(mode)) => {
                self.mode = mode;
                self.advance(now, control);
                return;
            }
            Some(Err(request)) => control.execute(request).map(|report| {
                self.mode = Mode::started(&command, &report, now);
            }),
            None => run_once(&command, control, &mut text).map(|acts| match acts {
                Acts::AllDone | Acts::SomeFailed => {}
                Acts::Ordered(order) => self.mode = Mode::Order { order, due: now },
            }),
        };
        if let Err(error) = result {
            text.push_str(&error_text(&error, format));
        }
        self.print(&text);
        if !matches!(self.mode, Mode::Prompt) {
            self.advance(now, control);
        }
    }

    fn complete(&mut self, control: &dyn Control) {
        let before = self.editor.before_cursor();
        let start = before.rfind(' ').map_or(0, |blank| blank + 1);
        let (head, word) = before.split_at(start);
        let candidates = candidates(head.trim(), word, control);
        let Some(first) = candidates.first() else {
            return;
        };
        let common = candidates
            .iter()
            .skip(1)
            .fold(first.as_str(), |common, candidate| {
                common_prefix(common, candidate)
            });
        let mut rest: String = common[word.len()..].into();
        if candidates.len() == 1 {
            rest.push(' ');
        }
        let mut echo = Vec::new();
        if rest.is_empty() {
            self.print(&format!("\n{}\n", candidates.join("  ")));
            self.editor.redraw(&self.prompt, &mut echo);
        } else {
            self.editor.insert_text(&rest, &self.prompt, &mut echo);
        }
        self.write(&echo);
    }

    fn show_prompt(&mut self) {
        let mut echo = Vec::new();
        self.editor.redraw(&self.prompt, &mut echo);
        self.write(&echo);
    }

    /// Appends text, with the line ends that a raw terminal wants.
    fn print(&mut self, text: &str) {
        let mut bytes = Vec::with_capacity(text.len() + 16);
        push_text(&mut bytes, text);
        self.write(&bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        let room = limits::SHELL_OUTPUT_BYTES - self.output.len().min(limits::SHELL_OUTPUT_BYTES);
        let taken = bytes.len().min(room);
        self.output.extend(&bytes[..taken]);
        self.dropped_bytes += (bytes.len() - taken) as u64;
    }
}

/// Appends `text` with `\r\n` for each line end.
fn push_text(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
}

fn common_prefix<'a>(left: &'a str, right: &str) -> &'a str {
    let same = left
        .chars()
        .zip(right.chars())
        .take_while(|(left, right)| left == right);
    &left[..same.map(|(character, _)| character.len_utf8()).sum()]
}

/// What came of a line that an operator elsewhere gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineResult {
    /// What it printed.
    Done(String),
    /// It was not carried out, or not for all names: what it printed.
    Failed(String),
    /// It takes several turns.
    Ordered(Order),
}

/// What a line asked for that takes several turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Names it ([`Control::outcome`]).
    pub number: u32,
    format: Format,
}

impl Order {
    /// What the line came to, when that is known.
    pub fn result(self, outcome: Result<Report, ControlError>) -> LineResult {
        match outcome {
            Ok(report) => {
                let mut text = String::new();
                show(&report, self.format, &mut text);
                LineResult::Done(text)
            }
            Err(error) => LineResult::Failed(error_text(&error, self.format)),
        }
    }
}

/// Runs one line for an operator elsewhere. Verbs that go on until they are interrupted are the console's.
pub fn run_line(line: &str, now: Time, control: &mut dyn Control) -> LineResult {
    let format = format_of(line);
    if line.len() > limits::SHELL_LINE_BYTES {
        let error = format!("the line has more than {} bytes", limits::SHELL_LINE_BYTES);
        return LineResult::Failed(error_text(&error, format));
    }
    let command = match parse(line) {
        Ok(command) => command,
        Err(error) => return LineResult::Failed(error_text(&error, format)),
    };
    let mut text = String::new();
    let lasting = || {
        let error = "it goes on until it is interrupted; use the node's console for that";
        LineResult::Failed(error_text(&error, format))
    };
    match Mode::of(&command, now) {
        Some(Ok(mut mode)) => {
            let mut bytes = Vec::new();
            match mode.advance(now, control, &mut bytes) {
                Progress::Ended => {
                    LineResult::Done(String::from_utf8_lossy(&bytes).replace('\r', ""))
                }
                Progress::Goes => lasting(),
            }
        }
        Some(Err(_)) => lasting(),
        None => match run_once(&command, control, &mut text) {
            Ok(Acts::AllDone) => LineResult::Done(text),
            Ok(Acts::SomeFailed) => LineResult::Failed(text),
            Ok(Acts::Ordered(order)) => LineResult::Ordered(order),
            Err(error) => LineResult::Failed(error_text(&error, format)),
        },
    }
}

/// Whether what was asked of several names was done to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acts {
    AllDone,
    SomeFailed,
    /// It is being done.
    Ordered(Order),
}

/// How the answer to a line is printed, and what is wrong with it.
fn format_of(line: &str) -> Format {
    match line.split_whitespace().any(|word| word == "--json") {
        true => Format::Json,
        false => Format::Table,
    }
}

/// `report` as one line of JSON.
fn json(report: &impl Serialize, text: &mut String) {
    // Reports are plain data with string keys, which serde_json always renders.
    if let Ok(line) = serde_json::to_string(report) {
        text.push_str(&line);
        text.push('\n');
    }
}

/// Runs a command that ends at once, appending what it prints.
fn run_once(
    command: &Command,
    control: &mut dyn Control,
    text: &mut String,
) -> Result<Acts, ControlError> {
    let (request, format) = match command {
        Command::Nothing => return Ok(Acts::AllDone),
        Command::Clear => {
            text.push_str("\x1b[H\x1b[2J");
            return Ok(Acts::AllDone);
        }
        Command::Help(verb) => {
            help(*verb, text);
            return Ok(Acts::AllDone);
        }
        Command::Act(action, names, format) => {
            return Ok(act(*action, names, *format, control, text));
        }
        Command::Do(request, format) => (request.clone(), *format),
        Command::List(format) => (Request::Instances, *format),
        Command::Info(name, format) => (Request::Inspect { name: name.clone() }, *format),
        Command::Net(name, format) => (Request::Network { name: name.clone() }, *format),
        Command::Segments(_, format) => (Request::Segments, *format),
        Command::Uptime(format) => (Request::Node, *format),
        Command::Nodes(format) => (Request::Nodes, *format),
        Command::Snapshots(format) => (Request::Snapshots, *format),
        // The lasting ones are handled by `Mode`.
        Command::Console(_)
        | Command::Logs { .. }
        | Command::Top { .. }
        | Command::Ping { .. }
        | Command::Events(..)
        | Command::KernelLog(..) => return Ok(Acts::AllDone),
    };
    let mut report = control.execute(request)?;
    if let (Command::Segments(kind, _), Report::Segments(rows)) = (command, &mut report) {
        let wanted = match kind {
            Kind::Switch => "switch",
            Kind::Link => "link",
        };
        rows.retain(|row| row.kind == wanted);
    }
    if let Report::Ordered { order: number } = report {
        return Ok(Acts::Ordered(Order { number, format }));
    }
    show(&report, format, text);
    Ok(Acts::AllDone)
}

fn show(report: &Report, format: Format, text: &mut String) {
    match format {
        Format::Json => json(report, text),
        Format::Table => table(report, text),
    }
}

fn table(report: &Report, text: &mut String) {
    match report {
        Report::Instances(rows) => text.push_str(&render::instances(rows)),
        Report::Instance(detail) => text.push_str(&render::instance(detail)),
        Report::Segments(rows) => text.push_str(&render::segments(rows)),
        Report::Network(details) => text.push_str(&render::network(details)),
        Report::Node(node) => text.push_str(&render::node(node)),
        Report::Snapshots(rows) => text.push_str(&render::snapshots(rows)),
        Report::Nodes(rows) => text.push_str(&render::nodes(rows)),
        Report::Made(rows) => text.push_str(&render::made(rows)),
        Report::Kept(rows) => text.push_str(&render::kept(rows)),
        Report::Removed(removed) => text.push_str(&render::removed(removed)),
        Report::Migrations(rows) => text.push_str(&render::migrations(rows)),
        Report::Done
        | Report::Ordered { .. }
        | Report::Logs(_)
        | Report::Console(_)
        | Report::PingStarted { .. }
        | Report::PingReplies(_)
        | Report::Events(_)
        | Report::KernelLog(_) => {}
    }
}

/// What became of one of the names behind a verb.
#[derive(Serialize)]
struct Acted<'a> {
    name: &'a str,
    /// What was done, if there is more to say than that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
    /// Why it was not done.
    error: Option<String>,
}

fn act(
    action: Action,
    names: &[String],
    format: Format,
    control: &mut dyn Control,
    text: &mut String,
) -> Acts {
    let mut acted = Vec::new();
    let mut all = Acts::AllDone;
    for name in names {
        let (asked, name) = (name, name.clone());
        let request = match action {
            Action::Start => Request::Start { name },
            Action::Stop => Request::Stop { name },
            Action::Kill => Request::Kill { name },
            Action::Pause => Request::Pause { name },
            Action::Resume => Request::Resume { name },
            Action::Restart => Request::Restart { name },
            Action::Suspend => Request::Suspend { name },
            Action::RemoveSnapshot => Request::RemoveSnapshot { name },
        };
        // One that fails does not keep the others from being done.
        let result = control.execute(request);
        if result.is_err() {
            all = Acts::SomeFailed;
        }
        match (format, result) {
            (Format::Json, result) => acted.push(Acted {
                name: asked,
                error: result.as_ref().err().map(ToString::to_string),
                report: result.ok().filter(|report| *report != Report::Done),
            }),
            (Format::Table, Ok(report)) => table(&report, text),
            (Format::Table, Err(error)) => text.push_str(&error_text(&error, format)),
        }
    }
    if format == Format::Json {
        json(&acted, text);
    }
    all
}

/// An error as it is printed: with `--json` as an object.
fn error_text(error: &dyn fmt::Display, format: Format) -> String {
    #[derive(Serialize)]
    struct Failed {
        error: String,
    }
    let mut text = String::new();
    match format {
        Format::Table => text = format!("error: {error}\n"),
        Format::Json => json(
            &Failed {
                error: error.to_string(),
            },
            &mut text,
        ),
    }
    text
}

fn help(verb: Option<&'static Verb>, text: &mut String) {
    match verb {
        Some(verb) => {
            text.push_str(&format!(
                "{} {}\n  {}\n",
                verb.name, verb.usage, verb.summary
            ));
            if !verb.detail.is_empty() {
                text.push_str(&format!("  {}\n", verb.detail));
            }
        }
        None => {
            for verb in VERBS {
                text.push_str(&format!("  {:<9} {}\n", verb.name, verb.summary));
            }
            text.push_str(
                "`help VERB` explains one. Tab completes, arrows recall, Ctrl-C interrupts.\n",
            );
        }
    }
}
