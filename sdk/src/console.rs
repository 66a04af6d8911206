//! The instance's console, which `console NAME` in the shell attaches to.
//!
//! ```no_run
//! use sos_sdk::{console, print, println};
//!
//! # fn main() -> sos_sdk::Result<()> {
//! print!("name? ");
//! let name = console::read_line()?;
//! println!("hello {name}");
//! # Ok(())
//! # }
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error::Result;
use crate::sys;

/// Most bytes of a line that [`read_line`] gathers.
pub const LINE_BYTES: usize = 4096;

/// Writes all of `bytes`; waits only where a pipe takes the place of the console.
pub fn write(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match sys::console_write(bytes) {
            Ok(taken @ 1..) => bytes = &bytes[taken.min(bytes.len())..],
            // A console that takes nothing has nobody to tell.
            Ok(0) | Err(_) => break,
        }
    }
}

/// Reads what was typed; waits for at least one byte. 0 bytes are the end of the input.
///
/// # Errors
/// Those of the host call `console_read`.
pub fn read(buffer: &mut [u8]) -> Result<usize> {
    sys::console_read(buffer, 0)
}

/// Reads what was typed so far, without waiting.
///
/// # Errors
/// `WOULD_BLOCK` when nothing was.
pub fn try_read(buffer: &mut [u8]) -> Result<usize> {
    sys::console_read(buffer, sos_abi::NONBLOCK)
}

/// Reads up to a line end (carriage return or line feed), which is left out.
///
/// # Errors
/// Those of the host call `console_read`.
pub fn read_line() -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LINE_BYTES {
        if read(&mut byte)? == 0 {
            break;
        }
        match byte[0] {
            b'\r' | b'\n' => break,
            byte => line.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Writes formatted text; [`print!`](crate::print!) calls it.
pub fn print(text: fmt::Arguments<'_>) {
    match text.as_str() {
        Some(text) => write(text.as_bytes()),
        None => write(alloc::fmt::format(text).as_bytes()),
    }
}

/// Writes to the console; takes what `format!` takes.
#[macro_export]
macro_rules! print {
    ($($text:tt)+) => {
        $crate::console::print(format_args!($($text)+))
    };
}

/// Writes a line to the console; takes what `format!` takes. The line ends with `\n`: what a terminal
/// wants before it is the shell's affair.
#[macro_export]
macro_rules! println {
    () => {
        $crate::console::write(b"\n")
    };
    ($($text:tt)+) => {
        $crate::console::print(format_args!("{}\n", format_args!($($text)+)))
    };
}
