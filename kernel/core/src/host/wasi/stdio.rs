//! Descriptors 0 to 2: the standard streams (`host::streams`) as WASI sees them.
//!
//! What a program writes to standard error goes line by line to its log too, as warnings.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sos_abi::wasi::Errno;

use super::poll::{Ready, State};
use super::wire::FileType;
use crate::host::guest::Guest;
use crate::host::log::{LogLevel, split_point};
use crate::host::streams::{Input, OutputStream};
use crate::limits;

/// One of a program's standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// What the program reads.
    Input,
    /// What it writes.
    Output(OutputStream),
}

/// The part of a line of standard error that has come so far.
#[derive(Debug, Clone, Default)]
pub struct ErrorLine(Vec<u8>);

impl ErrorLine {
    /// The bytes that have come.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A line of which these bytes have come; none when they are a line, or more.
    pub fn resume(bytes: Vec<u8>) -> Option<ErrorLine> {
        let is_part = bytes.len() <= limits::LOG_LINE_BYTES && !bytes.contains(&b'\n');
        is_part.then_some(ErrorLine(bytes))
    }
}

impl Guest {
    /// Writes to a standard stream: how many bytes were taken.
    pub(super) fn write_stream(&mut self, stream: Stream, bytes: &[u8]) -> Result<usize, Errno> {
        let Stream::Output(output) = stream else {
            return Err(Errno::BadF);
        };
        let taken = self.streams.write(output, bytes);
        if taken == 0 && !bytes.is_empty() {
            return Err(Errno::Again);
        }
        if output == OutputStream::Error {
            self.log_error_lines(&bytes[..taken]);
        }
        Ok(taken)
    }

    /// Reads from a standard stream: how many bytes came, 0 at the end.
    pub(super) fn read_stream(
        &mut self,
        stream: Stream,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let Stream::Input = stream else {
            return Err(Errno::BadF);
        };
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.streams.read(buffer) {
            Input::Bytes(length) => Ok(length),
            Input::End => Ok(0),
            Input::Empty => Err(Errno::Again),
        }
    }

    /// How a standard stream stands for `poll_oneoff`.
    pub(super) fn stream_state(&self, stream: Stream) -> State {
        match stream {
            Stream::Input => match self.streams.input_ready() {
                None => State::Waits,
                Some(0) => State::Ready(Ready::hangup()),
                Some(bytes) => State::Ready(Ready::bytes(bytes)),
            },
            Stream::Output(output) => match self.streams.output_room(output) {
                0 => State::Waits,
                room => State::Ready(Ready::bytes(room.min(limits::HOST_CALL_BYTES))),
            },
        }
    }

    /// What a standard stream is, as programs are told: a terminal or not.
    pub(super) fn stream_type(&self) -> FileType {
        match self.streams.is_console() {
            true => FileType::CharacterDevice,
            false => FileType::Unknown,
        }
    }

    /// The program is over: what it left of a line goes to the log.
    pub fn finish_error_line(&mut self) {
        let rest = core::mem::take(&mut self.error_line.0);
        if !rest.is_empty() {
            self.log_text(LogLevel::Warning, &rest);
        }
    }

    /// Logs the lines that `bytes` end; one that is too long is split.
    fn log_error_lines(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut line = core::mem::take(&mut self.error_line.0);
            // One byte more than a line may have says that it must be split.
            let room = limits::LOG_LINE_BYTES + 1 - line.len();
            let near = &rest[..rest.len().min(room)];
            let end = near.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(near.len(), |end| end + 1);
            line.extend_from_slice(&near[..taken]);
            rest = &rest[taken..];
            if end.is_some() {
                self.log_text(LogLevel::Warning, &line);
                line.clear();
            } else if line.len() > limits::LOG_LINE_BYTES {
                let head = split_point(&line);
                self.log_text(LogLevel::Warning, &line[..head]);
                line.drain(..head);
            }
            // The next part goes on in the same allocation.
            self.error_line.0 = line;
        }
    }
}
