//! The user's terminal in raw mode: every key reaches the guest, and the mode is given back on
//! every way out.

use std::io::{self, IsTerminal};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The mode before it was changed; signal handlers need it without a lock.
static BEFORE: OnceLock<libc::termios> = OnceLock::new();
/// Signals that end a program that does not expect them.
const ENDING_SIGNALS: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT];

/// Raw mode for as long as it lives.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Switches the terminal on standard input to raw mode; nothing if there is none.
    pub fn enter() -> io::Result<Option<RawMode>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let mut mode = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: standard input is open and `mode` is large enough for what tcgetattr writes.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, mode.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: tcgetattr has succeeded and filled it.
        let before = unsafe { mode.assume_init() };
        let before = *BEFORE.get_or_init(|| before);
        for signal in ENDING_SIGNALS {
            let handler = restore_and_end as extern "C" fn(libc::c_int);
            // SAFETY: the handler makes only async-signal-safe calls.
            unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        }
        let mut raw = before;
        // SAFETY: `raw` is a valid termios, which cfmakeraw only changes.
        unsafe { libc::cfmakeraw(&mut raw) };
        // Output keeps its newline translation: what the tool itself prints stays readable.
        raw.c_oflag = before.c_oflag;
        set_mode(&raw)?;
        Ok(Some(RawMode(())))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was, if it was ever changed.
fn restore() {
    if let Some(before) = BEFORE.get() {
        // There is nobody left to tell if this fails.
        let _ = set_mode(before);
    }
}

fn set_mode(mode: &libc::termios) -> io::Result<()> {
    // SAFETY: `mode` is a valid termios and the call does not keep the pointer.
    match unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, mode) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn restore_and_end(signal: libc::c_int) {
    restore();
    // SAFETY: _exit is async-signal-safe; children die with us (`process::spawn_bound`).
    unsafe { libc::_exit(128 + signal) }
}

/// Watches what the user types for the keys that leave QEMU: `Ctrl-]`, or `Ctrl-A` then `x`.
#[derive(Debug, Default)]
pub struct Keys {
    prefixed: bool,
}

/// What the user typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Bytes for the guest.
    Text(Vec<u8>),
    /// Bytes for the guest, then the wish to leave.
    Quit(Vec<u8>),
}

impl Keys {
    const CONTROL_A: u8 = 0x01;
    const CONTROL_RIGHT_BRACKET: u8 = 0x1d;

    /// Sorts the bytes that came from the terminal; `Ctrl-A` twice sends it once.
    pub fn sort(&mut self, bytes: &[u8]) -> Typed {
        let mut text = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let prefixed = std::mem::take(&mut self.prefixed);
            match byte {
                Self::CONTROL_RIGHT_BRACKET => return Typed::Quit(text),
                b'x' | b'X' if prefixed => return Typed::Quit(text),
                Self::CONTROL_A if !prefixed => self.prefixed = true,
                Self::CONTROL_A => text.push(byte),
                _ if prefixed => text.extend([Self::CONTROL_A, byte]),
                _ => text.push(byte),
            }
        }
        Typed::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_leave_are_found_even_across_reads() {
        let mut keys = Keys::default();
        assert_eq!(keys.sort(b"ls\r"), Typed::Text(b"ls\r".to_vec()));
        assert_eq!(keys.sort(b"ab\x1dcd"), Typed::Quit(b"ab".to_vec()));
        assert_eq!(keys.sort(b"\x01"), Typed::Text(Vec::new()));
        assert_eq!(keys.sort(b"x"), Typed::Quit(Vec::new()));
    }

    #[test]
    fn control_a_reaches_the_guest_when_it_leads_nowhere() {
        let mut keys = Keys::default();
        assert_eq!(keys.sort(b"\x01\x01x"), Typed::Text(b"\x01x".to_vec()));
        assert_eq!(keys.sort(b"\x01e"), Typed::Text(b"\x01e".to_vec()));
    }
}
