//! The 16550 serial port COM1: the console.
//!
//! Output before the kernel runs, and an epitaph, is written by polling; afterwards it goes through
//! a ring that the transmitter drains at its own pace. Input is moved into a ring by the interrupt.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;
use x86_64::instructions::port::Port;

/// First port of COM1.
const BASE: u16 = 0x3f8;
/// Registers, as offsets (National Semiconductor PC16550D data sheet, table II).
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
/// Line status: a byte has arrived.
const DATA_READY: u8 = 1;
/// Line status: the transmitter takes a byte.
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Polls for an empty transmitter before a byte is dropped: a slow line needs some 10 000.
const POLLS_MAX: u32 = 1_000_000;

/// Set once the port was found dead, so that nothing waits for it again.
static DEAD: AtomicBool = AtomicBool::new(false);
static WRITER: Mutex<()> = Mutex::new(());

fn read(register: u16) -> u8 {
    // SAFETY: reading a register of COM1 has no effect on memory.
    unsafe { Port::new(BASE + register).read() }
}

fn write(register: u16, value: u8) {
    // SAFETY: writing a register of COM1 has no effect on memory.
    unsafe { Port::new(BASE + register).write(value) }
}

/// Sets the port up: 115200 baud, 8N1, FIFOs on, no interrupts.
pub fn init() {
    write(INTERRUPT_ENABLE, 0);
    write(LINE_CONTROL, 0x80);
    write(DATA, 1);
    write(INTERRUPT_ENABLE, 0);
    write(LINE_CONTROL, 0x03);
    write(FIFO_CONTROL, 0x07);
    write(MODEM_CONTROL, 0x0b);
}

/// Writes a byte, waiting a bounded time for the transmitter.
fn write_polled(byte: u8) {
    if DEAD.load(Ordering::Relaxed) {
        return;
    }
    for _ in 0..POLLS_MAX {
        if read(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
            write(DATA, byte);
            return;
        }
    }
    DEAD.store(true, Ordering::Relaxed);
}

/// Writes text by polling, with line ends as terminals want them.
pub struct Polled;

impl fmt::Write for Polled {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                write_polled(b'\r');
            }
            write_polled(byte);
        }
        Ok(())
    }
}

/// Writes formatted text by polling; what [`crate::log`] expands to.
pub fn print(arguments: fmt::Arguments<'_>) {
    let _writer = WRITER.lock();
    let _ = fmt::Write::write_fmt(&mut Polled, arguments);
}

/// Writes a line to the console at once: for the boot sequence, before the kernel's log exists.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::console::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}
