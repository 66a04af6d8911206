//! What the user types while several nodes run, and for whom it is.
//!
//! On a terminal [`Typing`] finds the keys that switch between nodes; in a pipe [`Lines`] gives each line
//! to the node that it names.

use std::mem::take;

/// What the keys are, for the banner and the help.
pub const KEYS_HELP: &str = "Ctrl-A 1..8 shows that node, Ctrl-A n the next, Ctrl-A : takes an order \
                             (cut, heal, loss, delay, rate, reset, kill), Ctrl-] leaves";
/// Bytes of a line for the tool.
const ORDER_BYTES_MAX: usize = 200;

const CONTROL_A: u8 = 0x01;
const CONTROL_RIGHT_BRACKET: u8 = 0x1d;
const ESCAPE: u8 = 0x1b;

/// What a key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keystroke {
    /// Bytes for the node that is shown.
    Text(Vec<u8>),
    /// Show the node of this index.
    Show(usize),
    /// Show the next node.
    Next,
    /// So much of an order has been typed.
    Ordering(String),
    /// An order is complete, or given up when it is empty.
    Order(String),
    /// End the run.
    Quit,
}

/// Sorts the bytes that come from a terminal.
#[derive(Debug, Default)]
pub struct Typing {
    mode: Mode,
}

#[derive(Debug, Default)]
enum Mode {
    #[default]
    Plain,
    /// After `Ctrl-A`.
    Prefixed,
    /// After `Ctrl-A :`.
    Ordering(String),
}

impl Typing {
    /// What was typed, in order. `Ctrl-A` twice sends it once.
    pub fn sort(&mut self, bytes: &[u8]) -> Vec<Keystroke> {
        let mut strokes = Vec::new();
        let mut text = Vec::new();
        for &byte in bytes {
            if byte == CONTROL_RIGHT_BRACKET {
                flush(&mut text, &mut strokes);
                strokes.push(Keystroke::Quit);
                return strokes;
            }
            self.mode = match take(&mut self.mode) {
                Mode::Plain if byte == CONTROL_A => Mode::Prefixed,
                Mode::Plain => {
                    text.push(byte);
                    Mode::Plain
                }
                Mode::Prefixed => {
                    flush(&mut text, &mut strokes);
                    prefixed(byte, &mut strokes)
                }
                Mode::Ordering(line) => {
                    flush(&mut text, &mut strokes);
                    ordering(byte, line, &mut strokes)
                }
            };
        }
        flush(&mut text, &mut strokes);
        strokes
    }
}

fn flush(text: &mut Vec<u8>, strokes: &mut Vec<Keystroke>) {
    if !text.is_empty() {
        strokes.push(Keystroke::Text(take(text)));
    }
}

fn prefixed(byte: u8, strokes: &mut Vec<Keystroke>) -> Mode {
    match byte {
        b'1'..=b'8' => strokes.push(Keystroke::Show(usize::from(byte - b'1'))),
        b'n' | b'N' | b' ' => strokes.push(Keystroke::Next),
        b'x' | b'X' => strokes.push(Keystroke::Quit),
        b':' => {
            strokes.push(Keystroke::Ordering(String::new()));
            return Mode::Ordering(String::new());
        }
        CONTROL_A => strokes.push(Keystroke::Text(vec![CONTROL_A])),
        byte => strokes.push(Keystroke::Text(vec![CONTROL_A, byte])),
    }
    Mode::Plain
}

fn ordering(byte: u8, mut line: String, strokes: &mut Vec<Keystroke>) -> Mode {
    match byte {
        b'\r' | b'\n' => {
            strokes.push(Keystroke::Order(line));
            return Mode::Plain;
        }
        ESCAPE | 0x03 => {
            strokes.push(Keystroke::Order(String::new()));
            return Mode::Plain;
        }
        0x7f | 0x08 => {
            line.pop();
        }
        b' '..=b'~' if line.len() < ORDER_BYTES_MAX => line.push(char::from(byte)),
        _ => {}
    }
    strokes.push(Keystroke::Ordering(line.clone()));
    Mode::Ordering(line)
}

/// Whom a line of a pipe is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The node of this index.
    Node(usize),
    /// Every node.
    All,
    /// The tool: an order.
    Tool,
}

/// A line of a pipe with whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// Whom it is for.
    pub target: Target,
    /// The line without address and end.
    pub text: String,
}

/// Reads lines such as `@node2 ls`, `@all ls` and `!cut node2`; a line without address goes to the first node.
#[derive(Debug)]
pub struct Lines {
    names: Vec<String>,
}

impl Lines {
    /// For nodes of these names.
    pub fn new(names: &[String]) -> Lines {
        Lines {
            names: names.to_vec(),
        }
    }

    /// Whom a line is for.
    ///
    /// # Errors
    /// When it names no node: what to say.
    pub fn address(&self, line: &str) -> Result<Addressed, String> {
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(order) = line.strip_prefix('!') {
            return Ok(Addressed {
                target: Target::Tool,
                text: order.trim().to_string(),
            });
        }
        let Some(rest) = line.strip_prefix('@') else {
            return Ok(Addressed {
                target: Target::Node(0),
                text: line.to_string(),
            });
        };
        let (name, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let index = self.names.iter().position(|known| known == name);
        let target = match index {
            Some(index) => Target::Node(index),
            None if name == "all" => Target::All,
            None => {
                let known = self.names.join(", ");
                return Err(format!("no node `{name}`: the nodes are {known}, or all"));
            }
        };
        Ok(Addressed {
            target,
            text: text.trim_start().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Keystroke::{Next, Order, Ordering, Quit, Show, Text};

    #[test]
    fn the_keys_that_switch_are_found_even_across_reads() {
        let mut typing = Typing::default();
        let text = |bytes: &[u8]| Text(bytes.to_vec());
        assert_eq!(typing.sort(b"ls\r\x01"), [text(b"ls\r")]);
        assert_eq!(typing.sort(b"2ps\x01n"), [Show(1), text(b"ps"), Next]);
        assert_eq!(typing.sort(b"\x01\x01e"), [text(b"\x01"), text(b"e")]);
        assert_eq!(typing.sort(b"\x01e"), [text(b"\x01e")]);
        assert_eq!(typing.sort(b"a\x1db"), [text(b"a"), Quit]);
        assert_eq!(typing.sort(b"\x01x"), [Quit]);
    }

    #[test]
    fn an_order_is_typed_edited_and_given_up() {
        let mut typing = Typing::default();
        let order = |text: &str| Ordering(text.to_string());
        assert_eq!(typing.sort(b"\x01:a"), [order(""), order("a")]);
        assert_eq!(typing.sort(b"\x7fb"), [order(""), order("b")]);
        assert_eq!(
            typing.sort(b"\rx"),
            [Order("b".into()), Text(b"x".to_vec())]
        );
        assert_eq!(typing.sort(b"\x01:\x1b"), [order(""), Order(String::new())]);
    }

    #[test]
    fn lines_go_where_they_say() {
        let lines = Lines::new(&["node1", "node2"].map(str::to_string));
        let address = |line: &str| {
            let it = lines.address(line).unwrap();
            (it.target, it.text)
        };
        assert_eq!(address("ls\n"), (Target::Node(0), "ls".into()));
        assert_eq!(
            address("@node2 ls --json\r\n"),
            (Target::Node(1), "ls --json".into())
        );
        assert_eq!(address("@all ls"), (Target::All, "ls".into()));
        assert_eq!(address("!cut node2"), (Target::Tool, "cut node2".into()));
        assert!(
            lines
                .address("@node3 ls")
                .unwrap_err()
                .contains("node1, node2")
        );
    }
}
