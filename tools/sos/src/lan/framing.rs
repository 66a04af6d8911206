//! QEMU's stream framing: each frame follows its length, 32 bits big endian (QEMU `net/stream.c`).
//!
//! [`FrameReader`] takes many frames from one read, [`FrameQueue`] gives many to one write. QEMU's
//! datagram back end was rejected: it reads one frame per turn of QEMU's main loop and Linux bounds
//! a datagram socket to ten frames, where the stream back end takes 68 KiB of frames per read.

use std::io::{self, Read, Write};
use std::ops::Range;

/// The longest frame: an IP packet of 65535 bytes behind a tagged Ethernet header.
pub const FRAME_BYTES_MAX: usize = 65_535 + 18;

const HEADER_BYTES: usize = 4;
const READ_BYTES: usize = 256 * 1024;
/// Sent bytes at the head of a queue that are worth moving the rest for.
const COMPACT_BYTES: usize = 256 * 1024;

/// A length that no frame has: the stream cannot be understood any more.
#[derive(Debug, PartialEq, Eq)]
pub struct FrameTooLong(pub usize);

/// What one read brought.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Fill {
    /// Bytes, and the source may have more.
    More,
    /// Bytes, and the source had no more at that moment.
    Drained,
    /// Nothing at this moment.
    Empty,
    /// The other side is gone.
    Closed,
}

/// Cuts a byte stream into frames.
#[derive(Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameReader {
    /// Reads once from `source`. Frames taken before are gone after this.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<Fill> {
        if self.bytes.is_empty() {
            self.bytes.resize(READ_BYTES, 0);
        }
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = &mut self.bytes[self.end..];
        let room_bytes = room.len();
        match source.read(room) {
            Ok(0) => Ok(Fill::Closed),
            Ok(count) => {
                self.end += count;
                Ok(if count == room_bytes {
                    Fill::More
                } else {
                    Fill::Drained
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Fill::Empty),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Fill::More),
            Err(error) => Err(error),
        }
    }

    /// Where the next whole frame lies, see [`FrameReader::frame`].
    pub fn next_frame(&mut self) -> Result<Option<Range<usize>>, FrameTooLong> {
        let Some((header, rest)) =
            self.bytes[self.start..self.end].split_first_chunk::<HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let frame_bytes = u32::from_be_bytes(*header) as usize;
        if frame_bytes > FRAME_BYTES_MAX {
            return Err(FrameTooLong(frame_bytes));
        }
        if rest.len() < frame_bytes {
            return Ok(None);
        }
        let from = self.start + HEADER_BYTES;
        self.start = from + frame_bytes;
        Ok(Some(from..self.start))
    }

    /// The bytes of a frame that [`FrameReader::next_frame`] found.
    pub fn frame(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}

/// A bounded queue of frames on their way to one stream.
pub struct FrameQueue {
    bytes: Vec<u8>,
    head: usize,
    limit_bytes: usize,
}

impl FrameQueue {
    /// A queue that takes frames while it holds less than `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            head: 0,
            limit_bytes,
        }
    }

    /// Bytes that wait.
    pub fn backlog_bytes(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Whether the next frame is refused.
    pub fn is_full(&self) -> bool {
        self.backlog_bytes() >= self.limit_bytes
    }

    /// Appends a frame, unless the queue is full.
    pub fn push(&mut self, frame: &[u8]) -> Result<(), QueueFull> {
        self.push_with(frame.len(), |bytes| bytes.copy_from_slice(frame))
    }

    /// Appends a frame of `frame_bytes` that `write` fills in, unless the queue is full.
    pub fn push_with<R>(
        &mut self,
        frame_bytes: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, QueueFull> {
        if self.is_full() {
            return Err(QueueFull);
        }
        Ok(self.push_beyond_limit(frame_bytes, write))
    }

    /// Appends a frame that `write` fills in, for callers that asked for room before.
    pub fn push_beyond_limit<R>(
        &mut self,
        frame_bytes: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if self.head >= COMPACT_BYTES && self.head * 2 >= self.bytes.len() {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        self.bytes
            .extend_from_slice(&(frame_bytes as u32).to_be_bytes());
        let from = self.bytes.len();
        self.bytes.resize(from + frame_bytes, 0);
        write(&mut self.bytes[from..])
    }

    /// Writes as much as `sink` takes.
    pub fn flush(&mut self, sink: &mut impl Write) -> io::Result<()> {
        while self.head < self.bytes.len() {
            match sink.write(&self.bytes[self.head..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.head += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.head = 0;
        Ok(())
    }
}

/// The queue holds its limit.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueFull;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_cut_anywhere_come_out_whole() {
        let frames: Vec<Vec<u8>> = [14, 60, 1514, FRAME_BYTES_MAX, 0, 100]
            .map(|len| vec![len as u8; len])
            .to_vec();
        let mut queue = FrameQueue::new(1 << 20);
        for frame in &frames {
            queue.push(frame).unwrap();
        }
        let mut stream = Vec::new();
        queue.flush(&mut stream).unwrap();
        for piece in [1, 3, 1000, 1 << 20] {
            let mut reader = FrameReader::default();
            let mut out = Vec::new();
            for mut part in stream.chunks(piece) {
                reader.fill(&mut part).unwrap();
                while let Some(range) = reader.next_frame().unwrap() {
                    out.push(reader.frame(range).to_vec());
                }
            }
            assert_eq!(out, frames, "pieces of {piece}");
        }
    }

    #[test]
    fn an_impossible_length_is_refused() {
        let mut reader = FrameReader::default();
        reader.fill(&mut &[0, 1, 0, 17][..]).unwrap();
        assert_eq!(reader.next_frame(), Ok(None));
        let mut reader = FrameReader::default();
        reader.fill(&mut &[0, 1, 0, 18][..]).unwrap();
        assert_eq!(reader.next_frame(), Err(FrameTooLong(65_554)));
    }

    #[test]
    fn a_full_queue_refuses_and_recovers() {
        let mut queue = FrameQueue::new(100);
        queue.push(&[0; 96]).unwrap();
        assert_eq!(queue.push(&[0; 10]), Err(QueueFull));
        queue.flush(&mut Vec::new()).unwrap();
        assert_eq!(queue.push(&[0; 10]), Ok(()));
        assert_eq!(queue.backlog_bytes(), 14);
    }
}
