//! What several consoles print, on one terminal: [`Screen`].
//!
//! On a terminal one node is shown as it is, key by key; lines of the others come between, with their
//! node's name. In a pipe every line has its node's name, so that a script can tell them apart.

use std::io::Write;

/// Bytes of one line that are kept until it ends; a longer one is broken.
const LINE_BYTES_MAX: usize = 4096;
/// Back to the line's begin, and away with what is in it (ECMA-48, 8.3.41).
const CLEAR_LINE: &[u8] = b"\r\x1b[K";

/// Whom the screen is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A person: one node at a time, its keys and colours as they are.
    Terminal,
    /// A program: whole lines, each with its node's name.
    Lines,
}

/// The consoles of several nodes, joined.
pub struct Screen {
    view: View,
    shown: usize,
    nodes: Vec<Part>,
    out: Box<dyn Write + Send>,
}

/// One node's console.
struct Part {
    name: String,
    /// What came since the last line's end, as it came.
    raw: Vec<u8>,
}

impl Screen {
    /// A screen for nodes of these names, the first of which is shown.
    pub fn new(view: View, names: &[String], out: impl Write + Send + 'static) -> Screen {
        let part = |name: &String| Part {
            name: name.clone(),
            raw: Vec::new(),
        };
        Screen {
            view,
            shown: 0,
            nodes: names.iter().map(part).collect(),
            out: Box::new(out),
        }
    }

    /// The node that is shown.
    pub fn shown(&self) -> usize {
        self.shown
    }

    /// Takes in what a node has printed.
    pub fn printed(&mut self, node: usize, bytes: &[u8]) {
        let is_shown = self.view == View::Terminal && node == self.shown;
        if is_shown {
            self.write(bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(part) = self.nodes.get_mut(node) else {
                return;
            };
            part.raw.extend_from_slice(piece);
            if piece.ends_with(b"\n") || part.raw.len() >= LINE_BYTES_MAX {
                let line = std::mem::take(&mut part.raw);
                if !is_shown {
                    self.line(node, &line);
                }
            }
        }
        self.flush();
    }

    /// A node prints nothing more: what it left of a line is shown.
    pub fn ended(&mut self, node: usize) {
        let Some(part) = self.nodes.get_mut(node) else {
            return;
        };
        let line = std::mem::take(&mut part.raw);
        if self.view == View::Lines || node != self.shown {
            self.line(node, &line);
        }
        self.flush();
    }

    /// Shows another node; in a pipe all of them are.
    pub fn show(&mut self, node: usize) {
        let Some(part) = self.nodes.get(node) else {
            return;
        };
        self.shown = node;
        if self.view == View::Terminal {
            let heading = format!("-- {} --\r\n", part.name);
            let rest = part.raw.clone();
            self.write(CLEAR_LINE);
            self.write(heading.as_bytes());
            self.write(&rest);
            self.flush();
        }
    }

    /// Says something between the nodes' lines.
    pub fn say(&mut self, text: &str) {
        match self.view {
            View::Lines => self.write(format!("sos: {text}\n").as_bytes()),
            View::Terminal => {
                self.write(CLEAR_LINE);
                self.write(format!("sos: {text}\r\n").as_bytes());
                self.restore();
            }
        }
        self.flush();
    }

    /// Prints what the user types for the tool itself.
    pub fn echo(&mut self, text: &str) {
        self.write(CLEAR_LINE);
        self.write(text.as_bytes());
        self.flush();
    }

    /// A whole line of a node that is not shown as it is.
    fn line(&mut self, node: usize, raw: &[u8]) {
        let text = seen(raw);
        let Some(part) = self.nodes.get(node) else {
            return;
        };
        if text.is_empty() {
            return;
        }
        let name = &part.name;
        match self.view {
            View::Lines => self.write(format!("{name}| {text}\n").as_bytes()),
            View::Terminal => {
                let line = format!("{name}| {text}\r\n");
                self.write(CLEAR_LINE);
                self.write(line.as_bytes());
                self.restore();
            }
        }
    }

    /// Draws the begun line of the node that is shown once more.
    fn restore(&mut self) {
        if let Some(part) = self.nodes.get(self.shown) {
            let rest = part.raw.clone();
            self.write(&rest);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        // Whoever closed our output does not read the consoles; the nodes go on without.
        let _ = self.out.write_all(bytes);
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }
}

/// What is left to be seen of a line when all of it was printed: a return to its begin starts it anew, and
/// of control sequences only the erasing of what follows is used by the shell.
fn seen(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let text = text.trim_end_matches(['\r', '\n']);
    let last = text.rsplit('\r').find(|piece| !piece.is_empty());
    let mut left = String::new();
    let mut characters = last.unwrap_or_default().chars();
    while let Some(character) = characters.next() {
        match character {
            // A control sequence ends with its first character from `@` on (ECMA-48, 5.4).
            '\x1b' => {
                let mut rest = characters.by_ref().skip_while(|it| *it == '[');
                rest.find(|it| ('@'..='~').contains(it));
            }
            '\x08' => {
                left.pop();
            }
            character if character.is_control() && character != '\t' => {}
            character => left.push(character),
        }
    }
    left.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn screen(view: View) -> (Screen, Paper) {
        let paper = Paper::default();
        let names = ["node1", "node2"].map(str::to_string);
        (Screen::new(view, &names, paper.clone()), paper)
    }

    #[test]
    fn in_a_pipe_every_line_has_its_nodes_name() {
        let (mut screen, paper) = screen(View::Lines);
        screen.printed(0, b"boot\r\n\rnode1> \x1b[Kls");
        screen.printed(1, b"hel");
        assert_eq!(paper.take(), "node1| boot\n");
        screen.printed(1, b"lo\r\n\r\n");
        screen.printed(0, b"\r\nNAME\r\n");
        assert_eq!(
            paper.take(),
            "node2| hello\nnode1| node1> ls\nnode1| NAME\n"
        );
        screen.printed(1, b"last");
        screen.ended(1);
        assert_eq!(paper.take(), "node2| last\n");
    }

    #[test]
    fn on_a_terminal_one_is_raw_and_others_come_between_its_lines() {
        let (mut screen, paper) = screen(View::Terminal);
        screen.printed(0, b"\rnode1> \x1b[Kl");
        assert_eq!(paper.take(), "\rnode1> \x1b[Kl");
        screen.printed(1, b"\rnode2> \x1b[K");
        assert_eq!(paper.take(), "");
        screen.printed(1, b"\r\x1b[Kit fell\r\n\rnode2> \x1b[K");
        assert_eq!(paper.take(), "\r\x1b[Knode2| it fell\r\n\rnode1> \x1b[Kl");
        screen.show(1);
        assert_eq!(paper.take(), "\r\x1b[K-- node2 --\r\n\rnode2> \x1b[K");
        screen.printed(1, b"x");
        assert_eq!((paper.take().as_str(), screen.shown()), ("x", 1));
    }

    #[test]
    fn a_line_without_end_is_broken() {
        let (mut screen, paper) = screen(View::Lines);
        screen.printed(0, &[b'x'; LINE_BYTES_MAX + 10]);
        assert_eq!(paper.take().len(), "node1| \n".len() + LINE_BYTES_MAX + 10);
    }
}
