//! The operator's end of the conversation with a node ([`sos_core::operator`]), over a stream.
//!
//! A thread reads frames; whoever else has something to say to the program's course (standard input, a
//! signal) puts it into the same queue, so that one loop sees everything in order. The queue needs no
//! bound of its own: a node sends no more than it was given leave for.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sos_core::limits;
use sos_core::operator::{self, ToNode, ToOperator};

/// What happens while a program runs.
#[derive(Debug)]
pub enum Event {
    /// The node said something: the body of a frame.
    Frame(Vec<u8>),
    /// The connection ended, and why.
    Gone(String),
    /// Bytes for the program's standard input; none at its end.
    Typed(Vec<u8>),
    /// The user wants it to end.
    Interrupt,
}

/// A conversation with a node.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    events: Receiver<Event>,
    sender: Sender<Event>,
    next_request: u32,
    frame: Vec<u8>,
}

impl Client {
    /// Begins a conversation: waits for the node's greeting and answers it. After `early` without one
    /// `waiting` is called, once.
    ///
    /// # Errors
    /// When there is no greeting within `patience`, or one of another version.
    pub fn open(
        stream: UnixStream,
        patience: Duration,
        early: Duration,
        waiting: impl FnOnce(),
    ) -> Result<Client> {
        let (sender, events) = channel();
        let reader = stream.try_clone().context("use the node's channel")?;
        let frames = sender.clone();
        std::thread::spawn(move || read_frames(reader, &frames));
        let mut client = Client {
            stream,
            events,
            sender,
            next_request: 0,
            frame: Vec::new(),
        };
        let begin = Instant::now();
        let greeting = match client.events.recv_timeout(early.min(patience)) {
            Err(RecvTimeoutError::Timeout) => {
                waiting();
                client
                    .events
                    .recv_timeout(patience - begin.elapsed().min(patience))
            }
            other => other,
        };
        match greeting {
            Ok(Event::Frame(body)) => client.answer(&body)?,
            Ok(Event::Gone(why)) => bail!("the node left before it said anything: {why}"),
            Ok(Event::Typed(_) | Event::Interrupt) | Err(_) => {
                bail!("the node said nothing for {} s", patience.as_secs())
            }
        }
        Ok(client)
    }

    fn answer(&mut self, greeting: &[u8]) -> Result<()> {
        match operator::decode(greeting)? {
            ToOperator::Greeting { version, .. } if version != operator::VERSION => {
                Err(operator::Violation::Version { theirs: version })?
            }
            ToOperator::Greeting { .. } => self.say(&ToNode::Hello {
                magic: operator::MAGIC,
                version: operator::VERSION,
            }),
            other => bail!("the node began with {other:?}"),
        }
    }

    /// A number that no request had before.
    pub fn number(&mut self) -> u32 {
        self.next_request += 1;
        self.next_request
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn say(&mut self, message: &ToNode<'_>) -> Result<()> {
        self.frame.clear();
        operator::append_frame(&mut self.frame, message)?;
        let sent = self.stream.write_all(&self.frame);
        sent.context("speak to the node, which is gone")
    }

    /// Sends a request that may need several frames; `last` makes the message of the last part.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn say_in_parts<'a>(
        &mut self,
        request: u32,
        bytes: &'a [u8],
        last: impl FnOnce(operator::Bytes<'a>) -> ToNode<'a>,
    ) -> Result<()> {
        let mut rest = bytes;
        while rest.len() > limits::OPERATOR_PIECE_BYTES {
            let (part, after) = rest.split_at(limits::OPERATOR_PIECE_BYTES);
            let data = operator::Bytes(part);
            self.say(&ToNode::More { request, data })?;
            rest = after;
        }
        self.say(&last(operator::Bytes(rest)))
    }

    /// The next thing that happens; none at the deadline.
    pub fn next(&self, deadline: Option<Instant>) -> Option<Event> {
        match deadline {
            None => self.events.recv().ok(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.events.recv_timeout(left).ok()
            }
        }
    }

    /// Where others put what happens.
    pub fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The reading thread shares the connection; it ends with it.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn read_frames(stream: UnixStream, frames: &Sender<Event>) {
    let mut stream = io::BufReader::with_capacity(128 << 10, stream);
    let why = match skip_to_greeting(&mut stream).and_then(|length| {
        let mut length = length;
        loop {
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            if frames.send(Event::Frame(body)).is_err() {
                return Ok(());
            }
            length = read_length(&mut stream)?;
        }
    }) {
        Ok(()) => return,
        Err(error) => error.to_string(),
    };
    // Whoever does not listen any more does not want to know.
    let _ = frames.send(Event::Gone(why));
}

fn read_length(stream: &mut impl Read) -> io::Result<usize> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    bounded_length(length)
}

fn bounded_length(length: [u8; 4]) -> io::Result<usize> {
    match u32::from_le_bytes(length) as usize {
        length if length <= limits::OPERATOR_FRAME_BYTES => Ok(length),
        length => Err(io::Error::other(format!(
            "the node sent a frame of {length} bytes"
        ))),
    }
}

/// Finds the first frame: what comes before it belongs to somebody who had the channel before us.
/// Returns its length, with the stream at its body.
fn skip_to_greeting(stream: &mut io::BufReader<UnixStream>) -> io::Result<usize> {
    // A length, the number of the greeting among the messages, its first field.
    const START_BYTES: usize = 4 + 1 + operator::MAGIC.len();
    loop {
        // A greeting comes in one piece and is longer than its start.
        let held = io::BufRead::fill_buf(stream)?;
        if held.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = held
            .windows(START_BYTES)
            .position(|window| window[4] == 0 && window[5..] == operator::MAGIC);
        match start {
            Some(start) => {
                io::BufRead::consume(stream, start);
                return read_length(stream);
            }
            None => {
                let dropped = held.len();
                io::BufRead::consume(stream, dropped);
            }
        }
    }
}
