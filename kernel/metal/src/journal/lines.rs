//! Lines of text with their times in a buffer of fixed size. Pure: no clock, no lock.

use core::fmt::{self, Write};

/// Room for lines that were not taken: those of a boot are some twenty.
const BUFFER_BYTES: usize = 8 << 10;
/// Longest line that is kept whole, in bytes.
pub const LINE_BYTES_MAX: usize = 256;
/// Bytes in front of each line: its time and its length.
const HEADER_BYTES: usize = 8 + 2;

/// Lines, one behind the other.
pub struct Lines {
    bytes: [u8; BUFFER_BYTES],
    /// What was taken, and what is filled.
    start: usize,
    end: usize,
    /// Lines that found no room.
    lost: u32,
}

impl Lines {
    /// No lines.
    pub const fn new() -> Self {
        Self {
            bytes: [0; BUFFER_BYTES],
            start: 0,
            end: 0,
            lost: 0,
        }
    }

    /// Keeps a line, or counts it as lost.
    pub fn push(&mut self, time_ns: u64, text: fmt::Arguments<'_>) {
        if BUFFER_BYTES - self.end < HEADER_BYTES + LINE_BYTES_MAX {
            self.lost += 1;
            return;
        }
        let (header, room) = self.bytes[self.end..].split_at_mut(HEADER_BYTES);
        let mut line = Line::new(&mut room[..LINE_BYTES_MAX]);
        // What does not fit is cut.
        let _ = line.write_fmt(text);
        header[..8].copy_from_slice(&time_ns.to_le_bytes());
        header[8..].copy_from_slice(&(line.length as u16).to_le_bytes());
        self.end += HEADER_BYTES + line.length;
    }

    /// Moves the oldest line to `text`: its time and its length.
    pub fn pop(&mut self, text: &mut [u8; LINE_BYTES_MAX]) -> Option<(u64, usize)> {
        let bytes = &self.bytes[self.start..self.end];
        let (time_ns, bytes) = bytes.split_first_chunk()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length));
        text[..length].copy_from_slice(&bytes[..length]);
        self.start += HEADER_BYTES + length;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        Some((u64::from_le_bytes(*time_ns), length))
    }

    /// How many lines were lost since this was last asked.
    pub fn take_lost(&mut self) -> u32 {
        core::mem::take(&mut self.lost)
    }
}

/// A line that is being written; what does not fit is left out.
pub struct Line<'room> {
    room: &'room mut [u8],
    length: usize,
}

impl<'room> Line<'room> {
    /// An empty line in this room.
    pub fn new(room: &'room mut [u8]) -> Self {
        Self { room, length: 0 }
    }

    /// Bytes written.
    pub fn length(&self) -> usize {
        self.length
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.room[self.length..];
        let count = text.floor_char_boundary(room.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        if count < text.len() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    fn drain(lines: &mut Lines) -> Vec<(u64, String)> {
        let mut text = [0; LINE_BYTES_MAX];
        let mut found = Vec::new();
        while let Some((time_ns, length)) = lines.pop(&mut text) {
            let text = core::str::from_utf8(&text[..length]).expect("text");
            found.push((time_ns, text.to_string()));
        }
        found
    }

    #[test]
    fn lines_come_out_in_order_and_the_room_is_used_again() {
        let mut lines = Lines::new();
        for round in 0..1000 {
            lines.push(round, format_args!("line {round}"));
            lines.push(round + 1, format_args!(""));
            let expected = [(round, format!("line {round}")), (round + 1, String::new())];
            assert_eq!(drain(&mut lines), expected);
        }
        assert_eq!(lines.take_lost(), 0);
    }

    #[test]
    fn long_lines_are_cut_between_letters_and_lines_without_room_are_counted() {
        let mut lines = Lines::new();
        let long = "ä".repeat(LINE_BYTES_MAX);
        lines.push(1, format_args!("x{long}"));
        let found = drain(&mut lines);
        assert_eq!(found[0].1, format!("x{}", "ä".repeat(127)));
        for round in 0..100 {
            lines.push(round, format_args!("{long}"));
        }
        let kept = drain(&mut lines).len();
        assert!((20..40).contains(&kept), "{kept}");
        assert_eq!(lines.take_lost() as usize, 100 - kept);
    }
}
