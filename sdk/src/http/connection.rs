//! One client: bytes that are not yet a request, bytes that are not yet sent.

use alloc::vec::Vec;

use super::repeated::RepeatedHead;
use super::request::{Limits, Parsed, Request};
use super::response::{Persistence, Response};
use super::server::Answer;
use crate::error::Result;
use crate::net::TcpStream;
use crate::poll::Interest;

/// What the connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The client's next request.
    Reading,
    /// The service's answer; nothing is read meanwhile.
    Answering(Persistence),
    /// The last answer to be sent; then it ends.
    Closing,
    /// Nothing: it is over.
    Over,
}

/// Answers one request; the number is that of the request on its connection.
pub type Handler<'h> = dyn FnMut(&Request<'_>, Response<'_>, u32) -> Answer + 'h;

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Received bytes of requests that are not complete or not due yet.
    input: Vec<u8>,
    /// Bytes of `input` before which it is not worth looking.
    needed_bytes: usize,
    /// Bytes that the socket has not taken yet.
    unsent: Vec<u8>,
    pub phase: Phase,
    /// Whether anything happened since the server last looked for idle clients.
    pub was_active: bool,
    has_continued: bool,
    repeated: RepeatedHead,
    /// Counts requests, so that a late answer does not meet another request.
    pub requests: u32,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            input: Vec::new(),
            needed_bytes: 0,
            unsent: Vec::new(),
            phase: Phase::Reading,
            was_active: true,
            has_continued: false,
            repeated: RepeatedHead::default(),
            requests: 0,
        }
    }

    /// What the poller shall wait for.
    pub fn interest(&self) -> Interest {
        if !self.unsent.is_empty() {
            return Interest::WRITABLE;
        }
        match self.phase {
            Phase::Reading => Interest::READABLE,
            Phase::Answering(_) | Phase::Closing | Phase::Over => Interest::NONE,
        }
    }

    /// Reads once and answers every whole request. `scratch` and `output` are the server's, empty
    /// between calls in effect, so that a usual request allocates nothing.
    pub fn receive(
        &mut self,
        scratch: &mut [u8],
        output: &mut Vec<u8>,
        limits: &Limits,
        handle: &mut Handler<'_>,
    ) {
        let read = match self.stream.read(scratch) {
            Ok(0) => return self.phase = Phase::Over,
            Ok(read) => read,
            Err(error) if error.is_would_block() => return,
            Err(_) => return self.phase = Phase::Over,
        };
        if self.input.is_empty() {
            let taken = self.answer_all(&scratch[..read], output, limits, handle);
            self.input.extend_from_slice(&scratch[taken..read]);
        } else {
            self.input.extend_from_slice(&scratch[..read]);
            self.answer_input(output, limits, handle);
        }
        self.transmit(output);
    }

    /// Goes on with what was received before an answer came.
    pub fn resume(&mut self, output: &mut Vec<u8>, limits: &Limits, handle: &mut Handler<'_>) {
        self.answer_input(output, limits, handle);
        self.transmit(output);
    }

    fn answer_input(&mut self, output: &mut Vec<u8>, limits: &Limits, handle: &mut Handler<'_>) {
        if self.input.len() < self.needed_bytes {
            return;
        }
        let mut input = core::mem::take(&mut self.input);
        let taken = self.answer_all(&input, output, limits, handle);
        input.drain(..taken);
        self.input = input;
    }

    /// Answers requests until the input or the service's readiness ends; gives the bytes used up.
    fn answer_all(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        limits: &Limits,
        handle: &mut Handler<'_>,
    ) -> usize {
        let mut taken = 0;
        while self.phase == Phase::Reading && taken < input.len() {
            match self.repeated.parse(&input[taken..], limits) {
                Parsed::Complete(request, bytes) => {
                    taken += bytes;
                    self.answer_one(&request, output, handle);
                }
                Parsed::Incomplete {
                    needed_bytes,
                    expects_continue,
                } => {
                    self.needed_bytes = needed_bytes;
                    if expects_continue && !self.has_continued {
                        self.has_continued = true;
                        output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    }
                    return taken;
                }
                Parsed::Refused(status) => {
                    Response::new(output, Persistence::Close).refuse(status);
                    self.phase = Phase::Closing;
                    return input.len();
                }
            }
        }
        self.needed_bytes = 0;
        taken
    }

    fn answer_one(
        &mut self,
        request: &Request<'_>,
        output: &mut Vec<u8>,
        handle: &mut Handler<'_>,
    ) {
        let persistence = if request.keep_alive {
            Persistence::KeepAlive
        } else {
            Persistence::Close
        };
        self.has_continued = false;
        self.requests = self.requests.wrapping_add(1);
        let before = output.len();
        match handle(request, Response::new(output, persistence), self.requests) {
            Answer::Later => {
                // A response that was begun nevertheless is not sent.
                output.truncate(before);
                self.phase = Phase::Answering(persistence);
            }
            Answer::Now if persistence == Persistence::Close => self.phase = Phase::Closing,
            Answer::Now => {}
        }
    }

    /// Writes an answer that comes later.
    pub fn respond(&mut self, output: &mut Vec<u8>, write: impl FnOnce(Response<'_>)) {
        let Phase::Answering(persistence) = self.phase else {
            return;
        };
        write(Response::new(output, persistence));
        self.phase = match persistence {
            Persistence::KeepAlive => Phase::Reading,
            Persistence::Close => Phase::Closing,
        };
        self.transmit(output);
    }

    /// Hands `output` to the socket and keeps what it does not take; leaves `output` empty.
    fn transmit(&mut self, output: &mut Vec<u8>) {
        let sent = match self.unsent.is_empty() {
            true => self.write(output),
            false => Ok(0),
        };
        match sent {
            Ok(sent) => self.unsent.extend_from_slice(&output[sent..]),
            Err(_) => self.phase = Phase::Over,
        }
        output.clear();
        self.finish();
    }

    /// The socket takes bytes again.
    pub fn flush(&mut self) {
        let unsent = core::mem::take(&mut self.unsent);
        match self.write(&unsent) {
            Ok(sent) => {
                self.unsent = unsent;
                self.unsent.drain(..sent);
            }
            Err(_) => self.phase = Phase::Over,
        }
        self.finish();
    }

    fn write(&self, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.stream.write(bytes) {
            Err(error) if error.is_would_block() => Ok(0),
            result => result,
        }
    }

    fn finish(&mut self) {
        if self.phase == Phase::Closing && self.unsent.is_empty() {
            self.phase = Phase::Over;
        }
    }

    /// Whether received bytes wait that may be whole requests, and answers to them could be sent.
    pub fn has_input(&self) -> bool {
        self.phase == Phase::Reading && self.unsent.is_empty() && !self.input.is_empty()
    }
}
