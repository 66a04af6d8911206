//! One program's course: launch, streams, end, files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sos_core::host::OutputStream;
use sos_core::image::BlobHash;
use sos_core::limits;
use sos_core::operator::{
    self, Ended, Launch, Refusal, RunEnd, StandardInput, ToNode, ToOperator, Usage,
};

use super::client::{Client, Event};
use super::files_in::below;
use super::files_out::Restorer;
use super::job::Job;
use crate::process::say;

/// Bytes of each output stream that the node may send ahead of what was written here.
const OUTPUT_ROOM: u32 = 256 << 10;
/// Leave for output is renewed when so much of it is used up.
const RENEWED_ROOM: u32 = OUTPUT_ROOM / 4;
/// Bytes read from standard input at once.
const INPUT_BYTES: usize = 32 << 10;
/// How long a program that was killed may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// How long after the node's end the signal may come that ended both.
const SIGNAL_PATIENCE: Duration = Duration::from_millis(100);
/// Times that blobs are sent which the node says are missing.
const LAUNCH_ATTEMPTS: u32 = 3;

/// Where a program's standard input comes from.
#[derive(Debug)]
pub enum Feed {
    /// From the tool's own.
    Own,
    /// From this file.
    File(File),
    /// It is empty.
    Nothing,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this status.
    Exited(i32),
    /// It did what it must not: in words, with the functions that it was inside of.
    Trapped {
        /// What it did.
        reason: String,
        /// Where, one call in a line.
        backtrace: Vec<String>,
    },
    /// The node had no memory for it.
    OutOfMemory,
    /// The node refused it: why.
    Refused(String),
    /// It took longer than it was given.
    TimedOut(Duration),
    /// The user ended it.
    Interrupted,
    /// Somebody else ended it, at the node.
    Killed,
    /// Nobody reads what it writes.
    BrokenPipe,
}

/// Runs a program to its end.
///
/// # Errors
/// When the node is gone, or files cannot be copied back.
pub fn run(
    client: &mut Client,
    job: &Job,
    feed: Feed,
    timeout: Option<Duration>,
) -> Result<Outcome> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut course = Course {
        request: client.number(),
        client,
        deadline,
        reason: None,
        input: Input::new(feed),
        taken: [0; 2],
    };
    if let Some(refused) = course.launch(job)? {
        return Ok(refused);
    }
    let ended = course.follow()?;
    let outcome = match (course.reason.take(), ended.end) {
        (Some(Reason::Timeout), _) => Outcome::TimedOut(timeout.unwrap_or_default()),
        (Some(Reason::Interrupt), _) => Outcome::Interrupted,
        (Some(Reason::BrokenPipe), _) => Outcome::BrokenPipe,
        (None, RunEnd::Exited(status)) => Outcome::Exited(status),
        (None, RunEnd::Trapped { reason, backtrace }) => Outcome::Trapped { reason, backtrace },
        (None, RunEnd::OutOfMemory) => Outcome::OutOfMemory,
        (None, RunEnd::Killed) => Outcome::Killed,
        (None, RunEnd::NotStarted(reason)) => return Ok(Outcome::Refused(reason)),
    };
    if outcome == Outcome::Interrupted {
        return Ok(outcome);
    }
    for shared in &job.directories {
        let others = job.directories.iter().filter_map(|other| {
            let path = below(&shared.inside, &other.inside)?;
            (!path.is_empty()).then(|| path.to_string())
        });
        let mut restorer = Restorer::open(&shared.host, others.collect())?;
        course.fetch(&shared.inside, &mut restorer)?;
    }
    Ok(outcome)
}

/// Why the program is being killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Timeout,
    Interrupt,
    BrokenPipe,
}

/// A program that runs.
struct Course<'a> {
    client: &'a mut Client,
    request: u32,
    deadline: Option<Instant>,
    reason: Option<Reason>,
    input: Input,
    /// Bytes of each output stream for which leave was not renewed.
    taken: [u32; 2],
}

impl Course<'_> {
    /// Launches the program, sending what the node does not have. An outcome: it refused.
    fn launch(&mut self, job: &Job) -> Result<Option<Outcome>> {
        let launch = operator::encode(&Launch {
            spec: job.spec.clone(),
            input: match self.input.feed {
                Some(_) => StandardInput::Operator,
                None => StandardInput::Nothing,
            },
            output_room: [OUTPUT_ROOM; 2],
        });
        for _ in 0..LAUNCH_ATTEMPTS {
            let request = self.request;
            self.client
                .say_in_parts(request, &launch, |data| ToNode::Launch { request, data })?;
            let mut missing = Vec::new();
            match self.await_launch(&mut missing)? {
                None => return Ok(None),
                Some(Refusal::MissingBlobs) => self.put(&job.blobs, &missing)?,
                Some(refusal) => return Ok(Some(Outcome::Refused(refusal.to_string()))),
            }
        }
        bail!("the node does not keep the program's files; give it more memory (--machine-memory)")
    }

    fn await_launch(&mut self, missing: &mut Vec<BlobHash>) -> Result<Option<Refusal>> {
        loop {
            let body = self.frame()?;
            match operator::decode(&body)? {
                ToOperator::Launched { .. } => return Ok(None),
                ToOperator::Missing { hashes, .. } => missing.extend(hashes),
                ToOperator::Refused { refusal, .. } => return Ok(Some(refusal)),
                other => unexpected(&other)?,
            }
        }
    }

    fn put(&mut self, blobs: &BTreeMap<BlobHash, Vec<u8>>, missing: &[BlobHash]) -> Result<()> {
        let mut progress = Progress::new();
        let wanted = missing.iter().filter_map(|hash| blobs.get(hash));
        let all_bytes: usize = wanted.map(Vec::len).sum();
        let mut sent_bytes = 0;
        let mut unanswered = 0_u32;
        for hash in missing {
            let Some(bytes) = blobs.get(hash) else {
                bail!("the node asks for a file {hash} that is none of the program's");
            };
            let request = self.client.number();
            self.client.say(&ToNode::PutBlob {
                request,
                hash: *hash,
                bytes: bytes.len() as u64,
            })?;
            unanswered += 1;
            for piece in bytes.chunks(limits::OPERATOR_PIECE_BYTES) {
                let data = operator::Bytes(piece);
                self.client.say(&ToNode::BlobData { request, data })?;
                sent_bytes += piece.len();
                progress.show(sent_bytes, all_bytes);
            }
        }
        progress.clear();
        while unanswered > 0 {
            let body = self.frame()?;
            match operator::decode(&body)? {
                ToOperator::Done { .. } => unanswered -= 1,
                ToOperator::Refused { refusal, .. } => bail!("send the program: {refusal}"),
                other => unexpected(&other)?,
            }
        }
        Ok(())
    }

    /// The next frame, while no program runs. Input that comes then is nobody's.
    fn frame(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.client.next(self.deadline) {
                Some(Event::Frame(body)) => return Ok(body),
                Some(Event::Typed(_)) => {}
                Some(Event::Gone(why)) => bail!("the node is gone: {why}"),
                Some(Event::Interrupt) => bail!("interrupted"),
                None => bail!("the time was up before the program ran"),
            }
        }
    }

    /// Carries the program's streams until it ended.
    fn follow(&mut self) -> Result<Ended> {
        self.input.start(self.client.sender());
        loop {
            let Some(event) = self.client.next(self.deadline) else {
                if self.reason.is_some() {
                    bail!("the node does not end the program");
                }
                self.kill(Reason::Timeout)?;
                continue;
            };
            match event {
                // A Ctrl-C that reaches the tool reaches the node's process too.
                Event::Gone(_) if self.reason.is_some() || self.is_interrupted() => {
                    self.reason.get_or_insert(Reason::Interrupt);
                    return Ok(killed());
                }
                Event::Gone(why) => bail!("the node is gone: {why}"),
                Event::Interrupt if self.reason.is_none() => self.kill(Reason::Interrupt)?,
                Event::Interrupt => bail!("interrupted twice"),
                Event::Typed(bytes) => {
                    self.input.hold(bytes);
                    self.feed()?;
                }
                Event::Frame(body) => match operator::decode(&body)? {
                    ToOperator::Output { stream, data, .. } => self.write(stream, data.0)?,
                    ToOperator::InputRoom { bytes, .. } => {
                        self.input.room += bytes as usize;
                        self.feed()?;
                    }
                    ToOperator::Ended { ended, .. } => return Ok(ended),
                    other => unexpected(&other)?,
                },
            }
        }
    }

    /// Whether the user's wish to end comes right behind.
    fn is_interrupted(&self) -> bool {
        let soon = Instant::now() + SIGNAL_PATIENCE;
        matches!(self.client.next(Some(soon)), Some(Event::Interrupt))
    }

    fn kill(&mut self, reason: Reason) -> Result<()> {
        self.reason = Some(reason);
        self.deadline = Some(Instant::now() + KILL_PATIENCE);
        let request = self.request;
        self.client.say(&ToNode::Kill { request })
    }

    fn write(&mut self, stream: OutputStream, bytes: &[u8]) -> Result<()> {
        let written = match stream {
            OutputStream::Output => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            OutputStream::Error => io::stderr().write_all(bytes),
        };
        if written.is_err() && self.reason.is_none() {
            self.kill(Reason::BrokenPipe)?;
        }
        let taken = &mut self.taken[stream as usize];
        *taken += bytes.len() as u32;
        if *taken >= RENEWED_ROOM {
            let bytes = std::mem::take(taken);
            let request = self.request;
            self.client.say(&ToNode::Room {
                request,
                stream,
                bytes,
            })?;
        }
        Ok(())
    }

    /// Sends what there is of the input and may be sent.
    fn feed(&mut self) -> Result<()> {
        let request = self.request;
        while let Some(piece) = self.input.take() {
            let data = operator::Bytes(&piece);
            self.client.say(&ToNode::Input { request, data })?;
        }
        if self.input.is_over() {
            self.client.say(&ToNode::InputEnd { request })?;
        }
        Ok(())
    }

    /// Copies what the program changed below a directory of its own back to the host.
    fn fetch(&mut self, inside: &str, restorer: &mut Restorer) -> Result<()> {
        self.deadline = None;
        let request = self.request;
        let directory = inside;
        self.client.say(&ToNode::Fetch { request, directory })?;
        loop {
            let body = self.frame()?;
            match operator::decode(&body)? {
                ToOperator::Change { path, change, .. } => restorer.change(path, &change)?,
                ToOperator::ChangeData { data, .. } => restorer.data(data.0)?,
                ToOperator::ChangeHole { bytes, .. } => restorer.hole(bytes)?,
                ToOperator::Done { .. } => return restorer.finish(),
                // The program removed it: nothing is taken from the host.
                ToOperator::Refused {
                    refusal: Refusal::NoDirectory(_),
                    ..
                } => {
                    say(format!(
                        "the program removed {inside}; it is left as it was"
                    ));
                    return Ok(());
                }
                ToOperator::Refused { refusal, .. } => bail!("copy {inside} back: {refusal}"),
                // Leave for input may cross with the program's end.
                ToOperator::InputRoom { .. } => {}
                other => unexpected(&other)?,
            }
        }
    }
}

/// The end of a program whose node is gone, as the user wished.
fn killed() -> Ended {
    Ended {
        end: RunEnd::Killed,
        usage: Usage::default(),
    }
}

/// The error of a message that is not expected.
fn unexpected(message: &ToOperator<'_>) -> Result<()> {
    match message {
        ToOperator::Broken(violation) => bail!("the node ended the conversation: {violation}"),
        other => bail!("the node said something unexpected: {other:?}"),
    }
}

/// Standard input on its way to the program.
struct Input {
    feed: Option<Feed>,
    /// Asks the reading thread for the next bytes; one piece is under way at a time.
    wanted: Option<Sender<()>>,
    held: Vec<u8>,
    /// What the node takes.
    room: usize,
    end: InputEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputEnd {
    NotYet,
    Reached,
    Told,
}

impl Input {
    fn new(feed: Feed) -> Input {
        let feed = match feed {
            Feed::Nothing => None,
            feed => Some(feed),
        };
        Input {
            feed,
            wanted: None,
            held: Vec::new(),
            room: 0,
            end: InputEnd::NotYet,
        }
    }

    /// Starts to read.
    fn start(&mut self, events: Sender<Event>) {
        let (wanted, asked) = channel();
        match self.feed.take() {
            None | Some(Feed::Nothing) => return,
            Some(Feed::Own) => {
                std::thread::spawn(move || read_input(io::stdin(), &asked, &events));
            }
            Some(Feed::File(file)) => {
                std::thread::spawn(move || read_input(file, &asked, &events));
            }
        }
        // The thread ends when its input does, and asks for nothing then.
        let _ = wanted.send(());
        self.wanted = Some(wanted);
    }

    fn hold(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            self.end = InputEnd::Reached;
        }
        self.held = bytes;
    }

    /// The next bytes that may be sent.
    fn take(&mut self) -> Option<Vec<u8>> {
        let count = self.held.len().min(self.room);
        if count == 0 {
            return None;
        }
        self.room -= count;
        let rest = self.held.split_off(count);
        let piece = std::mem::replace(&mut self.held, rest);
        if self.held.is_empty()
            && let Some(wanted) = &self.wanted
        {
            let _ = wanted.send(());
        }
        Some(piece)
    }

    /// Whether the end is to be told now.
    fn is_over(&mut self) -> bool {
        let over = self.end == InputEnd::Reached && self.held.is_empty();
        if over {
            self.end = InputEnd::Told;
        }
        over
    }
}

fn read_input(mut input: impl Read, asked: &Receiver<()>, events: &Sender<Event>) {
    while asked.recv().is_ok() {
        let mut bytes = vec![0; INPUT_BYTES];
        let length = loop {
            match input.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Input that cannot be read is at its end, as for any program.
                Err(_) => break 0,
                Ok(length) => break length,
            }
        };
        bytes.truncate(length);
        if events.send(Event::Typed(bytes)).is_err() || length == 0 {
            return;
        }
    }
}

/// Opens the file that becomes standard input.
///
/// # Errors
/// When it cannot be read.
pub fn open_input(path: &std::path::Path) -> Result<Feed> {
    let file = File::open(path).with_context(|| format!("--stdin {}", path.display()))?;
    Ok(Feed::File(file))
}

/// A line on a terminal that tells of a long copy.
struct Progress {
    begin: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Copies that take less are not mentioned.
    const QUIET: Duration = Duration::from_millis(500);
    const INTERVAL: Duration = Duration::from_millis(100);

    fn new() -> Progress {
        Progress {
            begin: Instant::now(),
            shown: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, done: usize, all: usize) {
        let now = Instant::now();
        let due = self.shown.unwrap_or(self.begin + Self::QUIET) <= now;
        if self.is_terminal && due {
            eprint!("\rsos: {} of {} KiB sent ", done >> 10, all >> 10);
            self.shown = Some(now + Self::INTERVAL);
        }
    }

    fn clear(&self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
