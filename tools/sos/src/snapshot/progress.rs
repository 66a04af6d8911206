//! [`Bar`]: how far a long transfer is, on a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use sos_core::shell::render;

/// What takes no longer shows nothing.
const QUIET: Duration = Duration::from_millis(300);
/// Between two looks of it.
const INTERVAL: Duration = Duration::from_millis(100);
/// Characters of the bar itself.
const WIDTH: u64 = 24;

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// So many bytes.
    Exactly(u64),
    /// Not many more bytes than these.
    About(u64),
}

/// One transfer's bar on standard error; nothing where that is no terminal.
#[derive(Debug)]
pub struct Bar {
    label: String,
    total: Total,
    begin: Instant,
    /// When it was last drawn.
    drawn: Option<Instant>,
    is_terminal: bool,
}

impl Bar {
    /// A bar that begins with these words.
    pub fn new(label: impl Into<String>, total: Total) -> Bar {
        Bar {
            label: label.into(),
            total,
            begin: Instant::now(),
            drawn: None,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// There is so much to do, it turns out.
    pub fn expect(&mut self, total: Total) {
        self.total = total;
    }

    /// So many bytes are done.
    pub fn show(&mut self, done: u64) {
        let now = Instant::now();
        let last = self.drawn.unwrap_or(self.begin + QUIET - INTERVAL);
        if !self.is_terminal || now < last + INTERVAL {
            return;
        }
        self.drawn = Some(now);
        let line = line(&self.label, self.total, done, now - self.begin);
        let mut out = std::io::stderr().lock();
        // Whoever closed it does not want to see it.
        let _ = write!(out, "\r{line}\x1b[K").and_then(|()| out.flush());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

fn line(label: &str, total: Total, done: u64, elapsed: Duration) -> String {
    let (about, bytes) = match total {
        Total::Exactly(bytes) => ("", bytes),
        Total::About(bytes) => ("about ", bytes.max(done)),
    };
    let filled = (done * WIDTH).checked_div(bytes).unwrap_or(0).min(WIDTH);
    let rate = (done as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    format!(
        "{label}  [{}{}] {} of {about}{}, {}/s",
        "#".repeat(filled as usize),
        ".".repeat((WIDTH - filled) as usize),
        render::bytes(done),
        render::bytes(bytes),
        render::bytes(rate),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let total = Total::Exactly(8 << 20);
        assert_eq!(
            line("import", total, 2 << 20, Duration::from_secs(2)),
            "import  [######..................] 2.0 MiB of 8.0 MiB, 1.0 MiB/s"
        );
        let more = line("export", Total::About(10), 20, Duration::from_secs(1));
        assert!(more.ends_with("20 B of about 20 B, 20 B/s"), "{more}");
        assert!(!line("export", Total::Exactly(0), 0, Duration::ZERO).contains('#'));
    }
}
