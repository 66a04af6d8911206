//! Does what a test on the host asks for over the channel, until it has had enough.
//!
//! The node greets each connection with [`GREETING`]. A command is a letter and a number of bytes,
//! eight digits: `E` sends them back, `R` takes them and says `r` at their end, `S` sends so many of the
//! pattern, `Q` ends the test.

use alloc::vec::Vec;

use sos_core::machine::{Duration, Machine, Time};

use crate::cpu::clock;
use crate::log;
use crate::machine::BareMachine;

const GREETING: &[u8] = b"sos channel\n";
const COMMAND_BYTES: usize = 9;
/// Most bytes that are moved at a time.
const PIECE_BYTES: usize = 64 << 10;
/// A host that takes nothing for so long is called slow.
const PATIENCE: Duration = Duration::from_millis(200);
/// Sent in a row: a loss or an exchange shows, as its length divides no buffer's.
const PATTERN_BYTES: usize = 251;

/// What the host asked for, with the bytes that are left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Command,
    Echo(usize),
    Receive(usize),
    Send(usize),
    Quit,
}

/// One connection.
struct Session {
    number: u64,
    task: Task,
    /// Came and not worked on.
    input: Vec<u8>,
    /// To be sent.
    output: Vec<u8>,
    /// Bytes of the pattern that were queued.
    sent: usize,
    taken: usize,
    last_progress: Time,
    is_stuck: bool,
}

/// Serves the host until it says `Q`.
pub fn serve(machine: &mut BareMachine) {
    log!("channel: ready");
    let mut session: Option<Session> = None;
    loop {
        machine.begin_round();
        let connection = machine.channel_connection();
        if session.as_ref().map(|it| it.number) != connection {
            if session.is_some() {
                log!("channel: the host left");
            }
            session = connection.map(Session::new);
        }
        let has_moved = session.as_mut().is_some_and(|it| it.step(machine));
        machine.end_round();
        if session.as_ref().is_some_and(|it| it.task == Task::Quit) {
            return;
        }
        if !has_moved {
            machine.idle(Some(now() + PATIENCE));
        }
    }
}

fn now() -> Time {
    Time::from_nanos(clock::now_ns())
}

impl Session {
    fn new(number: u64) -> Self {
        log!("channel: connection {number}");
        Self {
            number,
            task: Task::Command,
            input: Vec::new(),
            output: GREETING.to_vec(),
            sent: 0,
            taken: 0,
            last_progress: now(),
            is_stuck: false,
        }
    }

    /// Moves what can be moved; whether anything did.
    fn step(&mut self, machine: &mut BareMachine) -> bool {
        // A command may come in two parts.
        let kept = self.input.len();
        let mut read = 0;
        if kept < COMMAND_BYTES {
            self.input.resize(PIECE_BYTES, 0);
            read = machine.read_channel(&mut self.input[kept..]);
            self.input.truncate(kept + read);
        }
        self.work();
        let taken = machine.write_channel(&self.output);
        self.output.drain(..taken);
        self.taken += taken;
        if taken > 0 {
            self.last_progress = now();
            self.is_stuck = false;
        } else if !self.output.is_empty() && !self.is_stuck && self.waited_too_long() {
            self.is_stuck = true;
            log!("channel: full after {} bytes", self.taken);
        }
        taken > 0 || read > 0
    }

    fn waited_too_long(&self) -> bool {
        now().since(self.last_progress) >= PATIENCE
    }

    /// Does a piece of the task, if there is room for what comes of it.
    fn work(&mut self) {
        if !self.output.is_empty() {
            return;
        }
        match self.task {
            Task::Command => self.begin(),
            Task::Echo(left) => {
                let count = left.min(self.input.len());
                self.output.extend(self.input.drain(..count));
                self.task = next(left - count, Task::Echo);
            }
            Task::Receive(left) => {
                let count = left.min(self.input.len());
                self.input.drain(..count);
                self.task = next(left - count, Task::Receive);
                if self.task == Task::Command {
                    self.output.push(b'r');
                }
            }
            Task::Send(left) => {
                let count = left.min(PIECE_BYTES);
                let numbers = self.sent..self.sent + count;
                self.output
                    .extend(numbers.map(|number| (number % PATTERN_BYTES) as u8));
                self.sent += count;
                self.task = next(left - count, Task::Send);
            }
            Task::Quit => {}
        }
    }

    /// Reads a command, which comes whole or not yet.
    fn begin(&mut self) {
        let Some(command) = self.input.first_chunk::<COMMAND_BYTES>() else {
            return;
        };
        let (kind, digits) = (command[0], &command[1..]);
        let bytes = digits.iter().fold(0, |sum, digit| {
            sum * 10 + usize::from(digit.wrapping_sub(b'0'))
        });
        self.input.drain(..COMMAND_BYTES);
        self.sent = 0;
        self.taken = 0;
        self.task = match kind {
            b'E' => Task::Echo(bytes),
            b'R' => Task::Receive(bytes),
            b'S' => Task::Send(bytes),
            _ => Task::Quit,
        };
    }
}

fn next(left: usize, task: fn(usize) -> Task) -> Task {
    if left == 0 { Task::Command } else { task(left) }
}
