//! Frames: a length of four bytes, little end first, and so many bytes of postcard.

use super::Violation;
use crate::limits;
use alloc::vec::Vec;
use serde::Serialize;
use serde::de::Deserialize;

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// Puts received bytes together to frames. Holds one frame at most, and what follows it in one read.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    /// Where the next frame begins.
    start: usize,
}

impl FrameReader {
    /// How many bytes [`push`](Self::push) takes: never so many that more than one frame of full
    /// length waits.
    pub fn room(&self) -> usize {
        let held = self.bytes.len() - self.start;
        (LENGTH_BYTES + limits::OPERATOR_FRAME_BYTES).saturating_sub(held)
    }

    /// Appends bytes that arrived, at most [`room`](Self::room).
    ///
    /// # Errors
    /// [`Violation::Flood`] when there are more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if bytes.len() > self.room() {
            return Err(Violation::Flood);
        }
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether a whole frame waits.
    pub fn has_frame(&self) -> bool {
        matches!(self.split(), Ok(Some(_)) | Err(_))
    }

    /// The next message, if all of its bytes are there; it borrows from them.
    ///
    /// # Errors
    /// [`Violation`] when the bytes are no message: nothing after them can be trusted.
    pub fn next<'a, M: Deserialize<'a>>(&'a mut self) -> Result<Option<M>, Violation> {
        let Some(length) = self.split()? else {
            return Ok(None);
        };
        let begin = self.start + LENGTH_BYTES;
        self.start = begin + length;
        let body = &self.bytes[begin..self.start];
        decode(body).map(Some)
    }

    /// Length of the next frame's body, if all of it is there.
    fn split(&self) -> Result<Option<usize>, Violation> {
        let held = &self.bytes[self.start..];
        let Some((length, body)) = held.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > limits::OPERATOR_FRAME_BYTES {
            return Err(Violation::FrameTooLong { bytes: length });
        }
        Ok((length <= body.len()).then_some(length))
    }
}

/// Appends the frame of a message to `out`.
///
/// # Errors
/// [`Violation::FrameTooLong`] when it is longer than a frame may be; nothing was appended.
pub fn append_frame(out: &mut Vec<u8>, message: &impl Serialize) -> Result<(), Violation> {
    let before = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let body = before + LENGTH_BYTES;
    let frame = core::mem::take(out);
    match postcard::to_extend(message, frame) {
        Ok(frame) => *out = frame,
        // An allocating sink takes everything and every message has a known length.
        Err(_) => return Err(Violation::NoMessage),
    }
    let bytes = out.len() - body;
    if bytes > limits::OPERATOR_FRAME_BYTES {
        out.truncate(before);
        return Err(Violation::FrameTooLong { bytes });
    }
    out[before..body].copy_from_slice(&(bytes as u32).to_le_bytes());
    Ok(())
}

/// Appends the frame of a message that ends with so many bytes of data: `message` has none, and `fill`
/// appends them, so that they need not lie in one row before.
///
/// # Errors
/// As [`append_frame`]; nothing was appended.
pub fn append_data_frame(
    out: &mut Vec<u8>,
    message: &impl Serialize,
    bytes: usize,
    fill: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Violation> {
    let before = out.len();
    append_frame(out, message)?;
    // The length of the data, which postcard writes as it writes any number, is the last that is there.
    debug_assert_eq!(out.last(), Some(&0));
    out.pop();
    let frame = core::mem::take(out);
    *out = postcard::to_extend(&bytes, frame).map_err(|_| Violation::NoMessage)?;
    let length = out.len() + bytes - before - LENGTH_BYTES;
    if length > limits::OPERATOR_FRAME_BYTES {
        out.truncate(before);
        return Err(Violation::FrameTooLong { bytes: length });
    }
    let end = out.len() + bytes;
    fill(out);
    debug_assert_eq!(out.len(), end);
    out.resize(end, 0);
    out[before..before + LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

/// A message or request from the bytes of one frame.
///
/// # Errors
/// [`Violation::NoMessage`] when they are none.
pub fn decode<'a, M: Deserialize<'a>>(body: &'a [u8]) -> Result<M, Violation> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(Violation::NoMessage),
    }
}

/// The bytes of a [`super::Launch`] or of a [`crate::control::Request`].
pub fn encode(request: &impl Serialize) -> Vec<u8> {
    // An allocating sink takes everything and every request has a known length.
    postcard::to_allocvec(request).unwrap_or_default()
}
