//! The operator's shell on the console: bytes typed in, text out, requests to [`Control`] between.
//!
//! [`Shell`] is a state machine without I/O. It is at the prompt, or in one of the modes that last
//! ([`follow::Mode`]: following a log, a console, `top`, a ping), which [`Shell::tick`] drives.

mod command;
mod editor;
mod follow;
mod render;
#[cfg(test)]
mod tests;
mod verbs;

pub use verbs::{VERBS, Verb};

use crate::control::{Control, ControlError, Report, Request};
use crate::limits;
use crate::machine::Time;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use command::{Action, Command, Format, Kind, parse};
use editor::{Edit, Editor};
use follow::{Mode, Progress};
use verbs::Operand;

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
        let command = match parse(line) {
            Ok(command) => command,
            Err(error) => return self.print(&format!("error: {error}\n")),
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
            None => run_once(&command, control, &mut text),
        };
        if let Err(error) = result {
            text.push_str(&format!("error: {error}\n"));
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

/// What `word` after `head` may become, in order.
fn candidates(head: &str, word: &str, control: &dyn Control) -> Vec<String> {
    let verb_names = || VERBS.iter().map(|verb| verb.name.into()).collect();
    let mut all: Vec<String> = match head.split_whitespace().next() {
        None => verb_names(),
        Some(verb) => match verbs::find(verb).map(|verb| verb.operand) {
            Some(Operand::Instance) => control.instance_names(),
            Some(Operand::Segment) => {
                let mut names = control.segment_names();
                names.extend(["add", "rm", "up", "down"].map(String::from));
                names
            }
            Some(Operand::Snapshot) => control.snapshot_names(),
            Some(Operand::SnapshotOrInstance) => match head.split_whitespace().nth(1) {
                None => {
                    let mut names = control.instance_names();
                    names.push("rm".into());
                    names
                }
                Some("rm") => control.snapshot_names(),
                Some(_) => ["to", "--stop", "--incremental"].map(String::from).into(),
            },
            Some(Operand::Verb) => verb_names(),
            Some(Operand::None) | None => Vec::new(),
        },
    };
    all.retain(|candidate| candidate.starts_with(word));
    all.sort();
    all
}

/// `report` as one line of JSON.
fn json(report: &Report, text: &mut String) {
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
) -> Result<(), ControlError> {
    let (request, format) = match command {
        Command::Nothing => return Ok(()),
        Command::Clear => {
            text.push_str("\x1b[H\x1b[2J");
            return Ok(());
        }
        Command::Help(verb) => {
            help(*verb, text);
            return Ok(());
        }
        Command::Act(action, names) => return act(*action, names, control, text),
        Command::List(format) => (Request::Instances, *format),
        Command::Info(name, format) => (Request::Inspect { name: name.clone() }, *format),
        Command::Net(name, format) => (Request::Network { name: name.clone() }, *format),
        Command::Segments(_, format) => (Request::Segments, *format),
        Command::Uptime(format) => (Request::Node, *format),
        Command::AddSegment {
            kind: Kind::Switch,
            name,
            uplink,
        } => (
            Request::AddSwitch {
                name: name.clone(),
                uplink: *uplink,
            },
            Format::Table,
        ),
        Command::AddSegment {
            kind: Kind::Link,
            name,
            ..
        } => (Request::AddLink { name: name.clone() }, Format::Table),
        Command::RemoveSegment(name) => {
            (Request::RemoveSegment { name: name.clone() }, Format::Table)
        }
        Command::SetSegment(name, state) => (
            Request::SetSegment {
                name: name.clone(),
                state: *state,
            },
            Format::Table,
        ),
        Command::Snapshots(format) => (Request::Snapshots, *format),
        Command::Snapshot {
            name,
            to,
            cut,
            extent,
        } => (
            Request::Snapshot {
                name: name.clone(),
                to: to.clone(),
                cut: *cut,
                extent: *extent,
            },
            Format::Table,
        ),
        Command::Restore { snapshot, to } => (
            Request::Restore {
                snapshot: snapshot.clone(),
                to: to.clone(),
            },
            Format::Table,
        ),
        Command::Clone { name, to, count } => (
            Request::Clone {
                name: name.clone(),
                to: to.clone(),
                count: *count,
            },
            Format::Table,
        ),
        Command::PowerOff => (Request::PowerOff, Format::Table),
        Command::Reboot => (Request::Reboot, Format::Table),
        // The lasting ones are handled by `Mode`.
        Command::Console(_)
        | Command::Logs { .. }
        | Command::Top { .. }
        | Command::Ping { .. }
        | Command::Events(..)
        | Command::KernelLog(..) => return Ok(()),
    };
    let mut report = control.execute(request)?;
    if let (Command::Segments(kind, _), Report::Segments(rows)) = (command, &mut report) {
        let wanted = match kind {
            Kind::Switch => "switch",
            Kind::Link => "link",
        };
        rows.retain(|row| row.kind == wanted);
    }
    match format {
        Format::Json => json(&report, text),
        Format::Table => table(&report, text),
    }
    Ok(())
}

fn table(report: &Report, text: &mut String) {
    match report {
        Report::Instances(rows) => text.push_str(&render::instances(rows)),
        Report::Instance(detail) => text.push_str(&render::instance(detail)),
        Report::Segments(rows) => text.push_str(&render::segments(rows)),
        Report::Network(details) => text.push_str(&render::network(details)),
        Report::Node(node) => text.push_str(&render::node(node)),
        Report::Snapshots(rows) => text.push_str(&render::snapshots(rows)),
        Report::Made(rows) => text.push_str(&render::made(rows)),
        Report::Done
        | Report::Logs(_)
        | Report::Console(_)
        | Report::PingStarted { .. }
        | Report::PingReplies(_)
        | Report::Events(_)
        | Report::KernelLog(_) => {}
    }
}

fn act(
    action: Action,
    names: &[String],
    control: &mut dyn Control,
    text: &mut String,
) -> Result<(), ControlError> {
    for name in names {
        let name = name.clone();
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
        if let Err(error) = control.execute(request) {
            text.push_str(&format!("error: {error}\n"));
        }
    }
    Ok(())
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
