//! The standard streams of an instance: input, output and errors.
//!
//! On the console, which is the usual place, output never waits: a ring keeps the last bytes for an
//! operator to read, and both outputs share it. Attached to somebody who reads and feeds them
//! (`exec`), they are bounded pipes: a writer waits while its pipe is full, a reader sees the end,
//! and nothing is lost. Native calls and WASI's descriptors 0 to 2 go through the same functions.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::ring::ByteRing;
use crate::limits;
use crate::plain::Bytes;

/// One of the two streams that a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputStream {
    /// Standard output, WASI's descriptor 1.
    Output,
    /// Standard error, WASI's descriptor 2.
    Error,
}

/// What a read of standard input found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing yet.
    Empty,
    /// Nothing ever again.
    End,
}

/// Where an instance's standard streams lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamsTo {
    /// To the instance's console.
    Console,
    /// To somebody who takes all of it.
    Pipes,
}

/// The standard streams of one instance.
#[derive(Debug, Clone)]
pub struct Streams {
    /// What was written to the console.
    pub console: ByteRing,
    input: VecDeque<u8>,
    /// Whether no more input comes.
    input_ended: bool,
    /// Output and errors, when they are pipes.
    pipes: Option<[VecDeque<u8>; 2]>,
}

impl Streams {
    /// Empty streams.
    pub fn new(to: StreamsTo) -> Streams {
        Streams {
            console: ByteRing::new(limits::CONSOLE_OUTPUT_BYTES),
            input: VecDeque::new(),
            input_ended: false,
            pipes: match to {
                StreamsTo::Console => None,
                StreamsTo::Pipes => Some(Default::default()),
            },
        }
    }

    /// Whether they lead to the console.
    pub fn is_console(&self) -> bool {
        self.pipes.is_none()
    }

    /// Writes as much of `bytes` as fits and tells how much that was. None of some: the pipe is full,
    /// and an event tells of room.
    pub fn write(&mut self, stream: OutputStream, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.output_room(stream));
        match &mut self.pipes {
            None => self.console.push(bytes),
            Some(pipes) => pipes[stream as usize].extend(&bytes[..taken]),
        }
        taken
    }

    /// How many bytes a write takes now.
    pub fn output_room(&self, stream: OutputStream) -> usize {
        match &self.pipes {
            None => usize::MAX,
            Some(pipes) => limits::STREAM_BYTES.saturating_sub(pipes[stream as usize].len()),
        }
    }

    /// Reads what there is of standard input into `buffer`, which is not empty.
    pub fn read(&mut self, buffer: &mut [u8]) -> Input {
        match self.input.len().min(buffer.len()) {
            0 if self.input_ended => Input::End,
            0 => Input::Empty,
            length => {
                for (to, from) in buffer.iter_mut().zip(self.input.drain(..length)) {
                    *to = from;
                }
                Input::Bytes(length)
            }
        }
    }

    /// How many bytes a read gives at once, 0 at the end of the input; `None` when it would wait.
    pub fn input_ready(&self) -> Option<usize> {
        (self.input_ended || !self.input.is_empty()).then_some(self.input.len())
    }

    /// Feeds standard input: returns how many bytes were taken, fewer when the guest does not read.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.input_room());
        self.input.extend(&bytes[..taken]);
        taken
    }

    /// How many bytes standard input takes now.
    pub fn input_room(&self) -> usize {
        let most = match self.pipes {
            None => limits::CONSOLE_INPUT_BYTES,
            Some(_) => limits::STREAM_BYTES,
        };
        most.saturating_sub(self.input.len())
    }

    /// Lets the program see the end of its input once it has read all of it.
    pub fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// Takes at most `most` bytes that were written to a pipe.
    pub fn take(&mut self, stream: OutputStream, most: usize) -> Vec<u8> {
        let Some(pipes) = &mut self.pipes else {
            return Vec::new();
        };
        let pipe = &mut pipes[stream as usize];
        let length = pipe.len().min(most);
        pipe.drain(..length).collect()
    }

    /// How many bytes wait in a pipe.
    pub fn waiting(&self, stream: OutputStream) -> usize {
        self.pipes
            .as_ref()
            .map_or(0, |pipes| pipes[stream as usize].len())
    }
}

/// Streams as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamsState {
    /// Number of the oldest byte that the console keeps.
    pub(super) console_first: u64,
    #[serde(with = "crate::plain")]
    pub(super) console: Vec<u8>,
    #[serde(with = "crate::plain")]
    pub(super) input: Vec<u8>,
    input_ended: bool,
    pub(super) pipes: Option<[Bytes; 2]>,
}

impl Streams {
    /// The streams as plain data.
    pub fn capture(&self) -> StreamsState {
        let bytes = |pipe: &VecDeque<u8>| Bytes(pipe.iter().copied().collect());
        StreamsState {
            console_first: self.console.first_number(),
            console: self.console.since(0),
            input: bytes(&self.input).0,
            input_ended: self.input_ended,
            pipes: self.pipes.as_ref().map(|pipes| pipes.each_ref().map(bytes)),
        }
    }

    /// The streams that `state` claims to be, leading to `to`; none when it holds more than streams do.
    /// Where pipes were and a console is, what nobody took from them is on the console.
    pub fn restore(state: StreamsState, to: StreamsTo) -> Option<Streams> {
        let StreamsState {
            console_first,
            console,
            input,
            input_ended,
            pipes,
        } = state;
        let input_most = match pipes {
            None => limits::CONSOLE_INPUT_BYTES,
            Some(_) => limits::STREAM_BYTES,
        };
        let pipes_fit = pipes
            .iter()
            .flatten()
            .all(|pipe| pipe.0.len() <= limits::STREAM_BYTES);
        if input.len() > input_most || !pipes_fit {
            return None;
        }
        let most = limits::CONSOLE_OUTPUT_BYTES;
        let mut console = ByteRing::resume(most, console_first, console)?;
        let pipes = match (to, pipes) {
            (StreamsTo::Pipes, None) => Some(Default::default()),
            (StreamsTo::Pipes, Some(pipes)) => Some(pipes.map(|pipe| pipe.0.into())),
            (StreamsTo::Console, pipes) => {
                let untaken = pipes.iter().flatten();
                untaken.for_each(|pipe| console.push(&pipe.0));
                None
            }
        };
        Some(Streams {
            console,
            input: input.into(),
            input_ended,
            pipes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_takes_everything_and_keeps_the_end() {
        let mut streams = Streams::new(StreamsTo::Console);
        let lots = alloc::vec![b'x'; 2 * limits::CONSOLE_OUTPUT_BYTES];
        assert_eq!(streams.write(OutputStream::Output, &lots), lots.len());
        assert_eq!(streams.write(OutputStream::Error, b"end"), 3);
        let kept = streams.console.since(0);
        assert_eq!(kept.len(), limits::CONSOLE_OUTPUT_BYTES);
        assert!(kept.ends_with(b"xend"));
        assert_eq!(streams.waiting(OutputStream::Output), 0);
    }

    #[test]
    fn a_pipe_takes_no_more_than_its_bound_and_loses_nothing() {
        let mut streams = Streams::new(StreamsTo::Pipes);
        let sent: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let (mut written, mut received) = (0, Vec::new());
        while received.len() < sent.len() {
            let taken = streams.write(OutputStream::Output, &sent[written..]);
            written += taken;
            assert!(streams.waiting(OutputStream::Output) <= limits::STREAM_BYTES);
            assert!(written == sent.len() || streams.output_room(OutputStream::Output) == 0);
            received.extend(streams.take(OutputStream::Output, 7000));
        }
        assert_eq!(received, sent);
        assert_eq!(streams.write(OutputStream::Error, b"apart"), 5);
        assert!(streams.take(OutputStream::Output, 10).is_empty());
        assert_eq!(streams.take(OutputStream::Error, 10), b"apart");
    }

    #[test]
    fn input_ends_after_its_last_byte() {
        let mut streams = Streams::new(StreamsTo::Pipes);
        let mut buffer = [0; 4];
        assert_eq!(streams.read(&mut buffer), Input::Empty);
        assert_eq!(streams.input_ready(), None);
        assert_eq!(streams.feed(b"hello"), 5);
        streams.end_input();
        assert_eq!(streams.input_ready(), Some(5));
        assert_eq!(streams.read(&mut buffer), Input::Bytes(4));
        assert_eq!(streams.read(&mut buffer), Input::Bytes(1));
        assert_eq!(buffer[0], b'o');
        assert_eq!(streams.read(&mut buffer), Input::End);
        assert_eq!(streams.input_ready(), Some(0));
    }

    #[test]
    fn input_takes_no_more_than_its_bound() {
        let mut streams = Streams::new(StreamsTo::Pipes);
        let lots = alloc::vec![0; 3 * limits::STREAM_BYTES];
        assert_eq!(streams.feed(&lots), limits::STREAM_BYTES);
        assert_eq!((streams.feed(b"x"), streams.input_room()), (0, 0));
    }
}
