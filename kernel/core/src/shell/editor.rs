//! The shell's line editor: bytes of a terminal in, echo bytes and finished lines out.
//!
//! It speaks what every VT100-like terminal does (ECMA-48 control sequences) and holds no I/O, so
//! that a test types at it as a person would. The keys are those of readline's Emacs mode.

use crate::limits;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// What a byte led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Nothing that the shell needs to know.
    Continue,
    /// A finished line.
    Line(String),
    /// A finished line that cannot be used.
    Refused(LineError),
    /// Ctrl-C: the line was given up.
    Interrupted,
    /// Ctrl-D on an empty line.
    EndOfInput,
    /// Tab: the text before the cursor shall be completed.
    Complete,
}

/// Why a finished line cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineError {
    /// It has more bytes than [`limits::SHELL_LINE_BYTES`].
    TooLong,
    /// It is not UTF-8.
    NotText,
}

impl core::fmt::Display for LineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            LineError::TooLong => write!(
                f,
                "the line has more than {} bytes; nothing was done",
                limits::SHELL_LINE_BYTES
            ),
            LineError::NotText => {
                f.write_str("the line holds bytes that are not UTF-8 text; nothing was done")
            }
        }
    }
}

/// Where the decoder stands in an escape sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Started,
    /// After `ESC [` or `ESC O`, with the first parameter so far.
    Sequence(u16),
}

/// One line being edited, and the lines before it.
#[derive(Debug)]
pub struct Editor {
    line: Vec<char>,
    cursor: usize,
    /// Bytes of an unfinished UTF-8 character.
    partial: Vec<u8>,
    escape: Escape,
    defect: Option<LineError>,
    history: VecDeque<String>,
    /// How far back in the history the shown line is; 0 is the line being typed.
    recalled: usize,
    typed: Vec<char>,
    last_was_return: bool,
}

impl Default for Editor {
    fn default() -> Editor {
        Editor {
            line: Vec::new(),
            cursor: 0,
            partial: Vec::new(),
            escape: Escape::None,
            defect: None,
            history: VecDeque::new(),
            recalled: 0,
            typed: Vec::new(),
            last_was_return: false,
        }
    }
}

impl Editor {
    /// Takes one byte from the terminal; what the terminal shall show is appended to `echo`.
    pub fn input(&mut self, byte: u8, prompt: &str, echo: &mut Vec<u8>) -> Edit {
        let after_return = core::mem::replace(&mut self.last_was_return, byte == b'\r');
        match self.escape {
            Escape::Started => {
                self.escape_started(byte, prompt, echo);
                return Edit::Continue;
            }
            Escape::Sequence(parameter) => {
                self.escape_sequence(byte, parameter, prompt, echo);
                return Edit::Continue;
            }
            Escape::None => {}
        }
        match byte {
            b'\n' if after_return => Edit::Continue,
            b'\r' | b'\n' => self.finish(echo),
            0x01 => self.go_to(0, prompt, echo),
            0x02 => self.go_to(self.cursor.saturating_sub(1), prompt, echo),
            0x03 => {
                echo.extend_from_slice(b"^C\r\n");
                self.reset();
                Edit::Interrupted
            }
            0x04 if self.line.is_empty() && self.defect.is_none() => Edit::EndOfInput,
            0x04 => self.delete_range(self.cursor, self.cursor + 1, prompt, echo),
            0x05 => self.go_to(self.line.len(), prompt, echo),
            0x06 => self.go_to(self.cursor + 1, prompt, echo),
            0x08 | 0x7f => {
                self.delete_range(self.cursor.saturating_sub(1), self.cursor, prompt, echo)
            }
            b'\t' => Edit::Complete,
            0x0b => self.delete_range(self.cursor, self.line.len(), prompt, echo),
            0x0c => {
                echo.extend_from_slice(b"\x1b[H\x1b[2J");
                self.redraw(prompt, echo);
                Edit::Continue
            }
            0x0e => self.recall(self.recalled.saturating_sub(1), prompt, echo),
            0x10 => self.recall(self.recalled + 1, prompt, echo),
            0x15 => self.delete_range(0, self.cursor, prompt, echo),
            0x17 => self.delete_range(self.word_start(), self.cursor, prompt, echo),
            0x1b => {
                self.escape = Escape::Started;
                Edit::Continue
            }
            0x20..=0x7e => self.insert(char::from(byte), prompt, echo),
            0x80.. => self.insert_partial(byte, prompt, echo),
            _ => Edit::Continue,
        }
    }

    /// The text before the cursor, for completion.
    pub fn before_cursor(&self) -> String {
        self.line[..self.cursor].iter().collect()
    }

    /// Inserts text at the cursor, as completion does.
    pub fn insert_text(&mut self, text: &str, prompt: &str, echo: &mut Vec<u8>) {
        for character in text.chars() {
            self.insert(character, prompt, echo);
        }
    }

    /// Draws prompt and line anew, cursor included.
    pub fn redraw(&self, prompt: &str, echo: &mut Vec<u8>) {
        echo.push(b'\r');
        echo.extend_from_slice(prompt.as_bytes());
        let mut utf8 = [0; 4];
        for character in &self.line {
            echo.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        }
        echo.extend_from_slice(b"\x1b[K");
        let back = self.line.len() - self.cursor;
        if back > 0 {
            echo.extend_from_slice(alloc::format!("\x1b[{back}D").as_bytes());
        }
    }

    fn escape_started(&mut self, byte: u8, prompt: &str, echo: &mut Vec<u8>) {
        self.escape = Escape::None;
        match byte {
            b'[' | b'O' => self.escape = Escape::Sequence(0),
            b'b' => {
                self.go_to(self.word_start(), prompt, echo);
            }
            b'f' => {
                self.go_to(self.word_end(), prompt, echo);
            }
            _ => {}
        }
    }

    fn escape_sequence(&mut self, byte: u8, parameter: u16, prompt: &str, echo: &mut Vec<u8>) {
        self.escape = Escape::None;
        match byte {
            b'0'..=b'9' => {
                let digit = u16::from(byte - b'0');
                let parameter = parameter.saturating_mul(10).saturating_add(digit);
                self.escape = Escape::Sequence(parameter);
            }
            b';' => self.escape = Escape::Sequence(0),
            b'A' => {
                self.recall(self.recalled + 1, prompt, echo);
            }
            b'B' => {
                self.recall(self.recalled.saturating_sub(1), prompt, echo);
            }
            b'C' => {
                self.go_to(self.cursor + 1, prompt, echo);
            }
            b'D' => {
                self.go_to(self.cursor.saturating_sub(1), prompt, echo);
            }
            b'H' => {
                self.go_to(0, prompt, echo);
            }
            b'F' => {
                self.go_to(self.line.len(), prompt, echo);
            }
            // The editing keypad: 1 and 7 Home, 3 Delete, 4 and 8 End.
            b'~' => {
                match parameter {
                    1 | 7 => self.go_to(0, prompt, echo),
                    3 => self.delete_range(self.cursor, self.cursor + 1, prompt, echo),
                    4 | 8 => self.go_to(self.line.len(), prompt, echo),
                    _ => Edit::Continue,
                };
            }
            _ => {}
        }
    }

    fn finish(&mut self, echo: &mut Vec<u8>) -> Edit {
        echo.extend_from_slice(b"\r\n");
        if !self.partial.is_empty() {
            self.defect = Some(LineError::NotText);
        }
        let defect = self.defect;
        let line: String = self.line.iter().collect();
        self.reset();
        if let Some(defect) = defect {
            return Edit::Refused(defect);
        }
        if !line.trim().is_empty() && self.history.front() != Some(&line) {
            self.history.truncate(limits::SHELL_HISTORY - 1);
            self.history.push_front(line.clone());
        }
        Edit::Line(line)
    }

    fn reset(&mut self) {
        self.line.clear();
        self.partial.clear();
        self.typed.clear();
        self.cursor = 0;
        self.recalled = 0;
        self.defect = None;
        self.escape = Escape::None;
    }

    fn insert(&mut self, character: char, prompt: &str, echo: &mut Vec<u8>) -> Edit {
        // A char takes at most 4 bytes in UTF-8; counting chars keeps the bound simple.
        if self.line.len() >= limits::SHELL_LINE_BYTES {
            self.defect = Some(LineError::TooLong);
            return Edit::Continue;
        }
        self.line.insert(self.cursor, character);
        self.cursor += 1;
        if self.cursor == self.line.len() {
            echo.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.redraw(prompt, echo);
        }
        Edit::Continue
    }

    fn insert_partial(&mut self, byte: u8, prompt: &str, echo: &mut Vec<u8>) -> Edit {
        self.partial.push(byte);
        match core::str::from_utf8(&self.partial) {
            Ok(text) => {
                let character = text.chars().next();
                self.partial.clear();
                if let Some(character) = character {
                    self.insert(character, prompt, echo);
                }
            }
            Err(error) if error.error_len().is_some() => {
                self.partial.clear();
                self.defect = Some(LineError::NotText);
            }
            Err(_) => {}
        }
        Edit::Continue
    }

    fn delete_range(&mut self, from: usize, to: usize, prompt: &str, echo: &mut Vec<u8>) -> Edit {
        let to = to.min(self.line.len());
        if from < to {
            let at_end = to == self.line.len() && to - from == 1 && self.cursor == to;
            self.line.drain(from..to);
            self.cursor = from;
            if at_end {
                echo.extend_from_slice(b"\x08 \x08");
            } else {
                self.redraw(prompt, echo);
            }
        }
        Edit::Continue
    }

    fn go_to(&mut self, position: usize, prompt: &str, echo: &mut Vec<u8>) -> Edit {
        let position = position.min(self.line.len());
        if position != self.cursor {
            self.cursor = position;
            self.redraw(prompt, echo);
        }
        Edit::Continue
    }

    fn recall(&mut self, back: usize, prompt: &str, echo: &mut Vec<u8>) -> Edit {
        if back > self.history.len() || back == self.recalled {
            return Edit::Continue;
        }
        if self.recalled == 0 {
            self.typed = core::mem::take(&mut self.line);
        }
        self.recalled = back;
        self.line = match back {
            0 => core::mem::take(&mut self.typed),
            back => self.history[back - 1].chars().collect(),
        };
        self.cursor = self.line.len();
        self.redraw(prompt, echo);
        Edit::Continue
    }

    fn word_start(&self) -> usize {
        let mut at = self.cursor;
        while at > 0 && self.line[at - 1] == ' ' {
            at -= 1;
        }
        while at > 0 && self.line[at - 1] != ' ' {
            at -= 1;
        }
        at
    }

    fn word_end(&self) -> usize {
        let mut at = self.cursor;
        while at < self.line.len() && self.line[at] == ' ' {
            at += 1;
        }
        while at < self.line.len() && self.line[at] != ' ' {
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_bytes(editor: &mut Editor, bytes: &[u8]) -> Vec<Edit> {
        let mut echo = Vec::new();
        bytes
            .iter()
            .map(|&byte| editor.input(byte, "> ", &mut echo))
            .filter(|edit| *edit != Edit::Continue)
            .collect()
    }

    fn check(typed: &[u8], expected: &str) {
        let edits = type_bytes(&mut Editor::default(), typed);
        assert_eq!(edits, [Edit::Line(expected.into())]);
    }

    #[test]
    fn keys_edit_as_in_readline() {
        check(b"ls\r", "ls");
        check(b"lx\x7fs\r", "ls");
        check(b"s\x01l\r", "ls");
        check(b"s\x1b[Dl\x1b[C!\r", "ls!");
        check(b"info web\x17store\r", "info store");
        check(b"abc\x15def\r", "def");
        check(b"abc\x01\x0bx\r", "x");
        check(b"abc\x1b[H\x1b[3~\r", "bc");
        check("st\u{e4}rt\r".as_bytes(), "st\u{e4}rt");
        check(b"a b\x1bbX\r", "a Xb");
    }

    #[test]
    fn history_is_walked_both_ways() {
        let mut editor = Editor::default();
        type_bytes(&mut editor, b"one\rtwo\r");
        let edits = type_bytes(&mut editor, b"dra\x1b[A\x1b[A\x1b[B\r");
        assert_eq!(edits, [Edit::Line("two".into())]);
        let edits = type_bytes(&mut editor, b"draft\x1b[A\x1b[B\r");
        assert_eq!(edits, [Edit::Line("draft".into())]);
    }

    #[test]
    fn carriage_return_and_line_feed_end_one_line() {
        let edits = type_bytes(&mut Editor::default(), b"a\r\nb\n");
        assert_eq!(edits, [Edit::Line("a".into()), Edit::Line("b".into())]);
    }

    #[test]
    fn overlong_and_binary_lines_are_refused_whole() {
        let mut editor = Editor::default();
        let mut long = alloc::vec![b'x'; 10_000];
        long.push(b'\r');
        assert_eq!(
            type_bytes(&mut editor, &long),
            [Edit::Refused(LineError::TooLong)]
        );
        assert_eq!(
            type_bytes(&mut editor, b"ls \xff\xfe\r"),
            [Edit::Refused(LineError::NotText)]
        );
        assert_eq!(type_bytes(&mut editor, b"ls\r"), [Edit::Line("ls".into())]);
    }

    #[test]
    fn every_byte_sequence_is_survived() {
        let mut editor = Editor::default();
        let mut state = 1u32;
        let noise: Vec<u8> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        type_bytes(&mut editor, &noise);
        type_bytes(&mut editor, b"\x1b\x1b\x03");
        type_bytes(&mut editor, b"\x03");
        assert_eq!(type_bytes(&mut editor, b"ls\r"), [Edit::Line("ls".into())]);
    }
}
