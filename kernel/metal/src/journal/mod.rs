//! What the machine's own parts said, kept until the kernel takes it into its log (`dmesg`).
//!
//! [`crate::log!`] writes each line to the console at once and here. The buffer has a fixed size, as
//! the first lines come before there is a heap; lines that find no room are counted.

mod lines;

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

use crate::cpu::clock;
use lines::{LINE_BYTES_MAX, Line, Lines};

static LINES: Mutex<Lines> = Mutex::new(Lines::new());
/// Whether there is anything to take.
static HAS_LINES: AtomicBool = AtomicBool::new(false);

/// Keeps a line.
pub fn record(line: fmt::Arguments<'_>) {
    LINES.lock().push(clock::now_ns(), line);
    HAS_LINES.store(true, Ordering::Release);
}

/// Hands over what was kept since the last call, oldest first, with the time of each line.
pub fn take(sink: &mut dyn FnMut(u64, &str)) {
    if !HAS_LINES.swap(false, Ordering::Acquire) {
        return;
    }
    let mut text = [0; LINE_BYTES_MAX];
    // The lock is not held while the sink, which allocates, has the line.
    let next = |text: &mut [u8; LINE_BYTES_MAX]| LINES.lock().pop(text);
    while let Some((time_ns, length)) = next(&mut text) {
        sink(
            time_ns,
            core::str::from_utf8(&text[..length]).unwrap_or("?"),
        );
    }
    let lost = LINES.lock().take_lost();
    if lost > 0 {
        let mut line = Line::new(&mut text);
        // What does not fit is cut.
        let _ = write!(line, "{lost} lines of the machine's were lost");
        let length = line.length();
        sink(
            clock::now_ns(),
            core::str::from_utf8(&text[..length]).unwrap_or("?"),
        );
    }
}
