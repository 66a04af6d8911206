//! A machine's serial console: what it has printed, waiting for words, typing.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How much of the transcript an error shows.
const SHOWN_LINES: usize = 60;
/// Bytes of transcript that are kept; a machine that prints without end fills no memory.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// The console of a running machine; clones speak to the same one.
#[derive(Clone)]
pub struct Console {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    input: Mutex<Option<Box<dyn Write + Send>>>,
}

#[derive(Default)]
struct State {
    /// Everything printed, as it came.
    printed: Vec<u8>,
    /// Bytes that `expect` has passed.
    passed: usize,
    /// What QEMU itself said on standard error.
    complaints: String,
    /// Nothing more will be printed; the reason, for errors.
    closed: Option<String>,
}

/// Why waiting for the console failed.
#[derive(Debug)]
pub enum ConsoleError {
    /// The words did not come in time.
    Timeout {
        /// The words.
        wanted: String,
        /// How long was waited.
        limit: Duration,
        /// The end of what was printed instead.
        transcript: String,
    },
    /// The machine ended before the words came.
    Ended {
        /// The words.
        wanted: String,
        /// How it ended.
        reason: String,
        /// The end of what was printed instead.
        transcript: String,
    },
    /// The machine takes no more input.
    Input(io::Error),
}

impl Console {
    /// A console that types into `input`; what is printed comes by [`Console::follow`].
    pub(crate) fn new(input: impl Write + Send + 'static) -> Console {
        Console {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
                input: Mutex::new(Some(Box::new(input))),
            }),
        }
    }

    /// Takes in what the machine prints until it stops, handing each piece to `copy` as well.
    pub(super) fn follow(&self, mut output: impl Read, mut copy: impl FnMut(&[u8])) {
        let mut buffer = [0; 4096];
        loop {
            match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    copy(&buffer[..length]);
                    self.printed(&buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    /// Takes in what QEMU says beside the console.
    pub(super) fn follow_complaints(&self, mut output: impl Read) {
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            let mut state = self.state();
            if state.complaints.len() < KEPT_BYTES {
                state
                    .complaints
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
    }

    /// Marks that nothing more will be printed.
    pub(crate) fn close(&self, reason: String) {
        self.state().closed.get_or_insert(reason);
        *self.input() = None;
        self.shared.changed.notify_all();
    }

    /// Takes in a piece of what the machine prints.
    pub(crate) fn printed(&self, bytes: &[u8]) {
        let mut state = self.state();
        let room = KEPT_BYTES.saturating_sub(state.printed.len());
        state
            .printed
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits until `wanted` is printed after what the last call passed, and returns all up to and
    /// with it.
    pub fn expect(&self, wanted: &str, limit: Duration) -> Result<String, ConsoleError> {
        self.expect_any(&[wanted], limit).map(|(_, text)| text)
    }

    /// Waits until one of `wanted` is printed; returns which, and all up to and with it. Of several
    /// the one that ends first wins.
    pub fn expect_any(
        &self,
        wanted: &[&str],
        limit: Duration,
    ) -> Result<(usize, String), ConsoleError> {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        loop {
            let unread = &state.printed[state.passed..];
            let first = wanted.iter().enumerate().filter_map(|(index, words)| {
                find(unread, words.as_bytes()).map(|start| (start + words.len(), index))
            });
            if let Some((end, index)) = first.min() {
                let text = String::from_utf8_lossy(&unread[..end]).into_owned();
                state.passed += end;
                return Ok((index, text));
            }
            let wanted = || wanted.join("` or `");
            if let Some(reason) = &state.closed {
                let (wanted, reason) = (wanted(), reason.clone());
                return Err(ConsoleError::Ended {
                    wanted,
                    reason,
                    transcript: state.tail(),
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (wanted, transcript) = (wanted(), state.tail());
                return Err(ConsoleError::Timeout {
                    wanted,
                    limit,
                    transcript,
                });
            }
            let woken = self.shared.changed.wait_timeout(state, left);
            state = woken.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// Waits until the machine has printed anything at all, or has ended.
    pub fn wait_for_output(&self) {
        let mut state = self.state();
        while state.printed.is_empty() && state.closed.is_none() {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Types bytes as they are.
    pub fn send(&self, bytes: &[u8]) -> Result<(), ConsoleError> {
        match self.input().as_mut() {
            None => Err(ConsoleError::Input(io::ErrorKind::BrokenPipe.into())),
            Some(input) => input
                .write_all(bytes)
                .and_then(|()| input.flush())
                .map_err(ConsoleError::Input),
        }
    }

    /// Types a line and the Enter key.
    pub fn send_line(&self, line: &str) -> Result<(), ConsoleError> {
        self.send(format!("{line}\r").as_bytes())
    }

    /// Everything printed so far.
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.state().printed).into_owned()
    }

    /// What QEMU itself said on standard error so far.
    pub fn complaints(&self) -> String {
        self.state().complaints.clone()
    }

    /// The end of the transcript with QEMU's complaints, for errors.
    pub fn tail(&self) -> String {
        self.state().tail()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn input(&self) -> MutexGuard<'_, Option<Box<dyn Write + Send>>> {
        self.shared
            .input
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn tail(&self) -> String {
        let text = String::from_utf8_lossy(&self.printed);
        let lines: Vec<&str> = text.lines().collect();
        let mut tail = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        if !self.complaints.is_empty() {
            tail.push_str("\nqemu: ");
            tail.push_str(self.complaints.trim_end());
        }
        tail
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Console").finish_non_exhaustive()
    }
}

impl std::error::Error for ConsoleError {}

impl fmt::Display for ConsoleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConsoleError::Timeout {
                wanted,
                limit,
                transcript,
            } => write!(
                formatter,
                "the console did not print `{wanted}` within {limit:?}; its end:\n{transcript}"
            ),
            ConsoleError::Ended {
                wanted,
                reason,
                transcript,
            } => write!(
                formatter,
                "the machine ended ({reason}) before it printed `{wanted}`; its console's end:\n{transcript}"
            ),
            ConsoleError::Input(error) => write!(formatter, "the machine takes no input: {error}"),
        }
    }
}

fn find(text: &[u8], words: &[u8]) -> Option<usize> {
    if words.is_empty() {
        return Some(0);
    }
    text.windows(words.len()).position(|window| window == words)
}
