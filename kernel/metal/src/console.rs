//! The 16550 serial port COM1: the console.
//!
//! Output before the kernel runs, and an epitaph, is written by polling; afterwards it goes through
//! a ring that [`pump`] empties at the transmitter's pace, woken by its interrupt. Input is moved
//! into a ring by the interrupt.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;
use x86_64::instructions::port::Port;

use crate::sync::ByteRing;

/// First port of COM1.
const BASE: u16 = 0x3f8;
/// Registers, as offsets (National Semiconductor PC16550D data sheet, table II).
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
/// Interrupt causes to enable: a byte has arrived; the transmitter is empty.
const ON_ARRIVAL: u8 = 1;
const ON_EMPTY: u8 = 2;
/// Identifies the interrupt's cause when read, which also ends the transmitter's.
const INTERRUPT_CAUSE: u16 = 2;
/// Line status: a byte has arrived.
const DATA_READY: u8 = 1;
/// Line status: the transmitter takes a byte.
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Polls for an empty transmitter before a byte is dropped: a slow line needs some 10 000.
const POLLS_MAX: u32 = 1_000_000;

/// Bytes that the transmitter takes once it is empty.
const FIFO_BYTES: usize = 16;
/// Most bytes that one call of [`pump`] writes, so that it stays short.
const PUMP_BYTES: usize = 1024;
/// Most bytes that one interrupt takes in.
const ARRIVALS_MAX: usize = 1024;

/// What waits to be written, and what was typed.
static OUTPUT: ByteRing<16384> = ByteRing::new();
static INPUT: ByteRing<4096> = ByteRing::new();
/// Whether the transmitter's interrupt is on.
static AWAITS_EMPTY: AtomicBool = AtomicBool::new(false);

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

/// Writes a line by polling.
pub fn print_line(line: fmt::Arguments<'_>) {
    let _writer = WRITER.lock();
    let _ = fmt::Write::write_fmt(&mut Polled, format_args!("{line}\n"));
}

/// Turns the interrupt for arriving bytes on; its line must lead to [`on_interrupt`].
pub fn enable_input() {
    write(INTERRUPT_ENABLE, ON_ARRIVAL);
}

/// Called by the interrupt: takes in what arrived.
pub fn on_interrupt() {
    read(INTERRUPT_CAUSE);
    for _ in 0..ARRIVALS_MAX {
        if read(LINE_STATUS) & DATA_READY == 0 {
            break;
        }
        // A full ring loses what is typed; its reader is hopelessly behind then.
        let _ = INPUT.push(read(DATA));
    }
}

/// Takes what was typed: returns how many bytes of `out` were filled.
pub fn read_input(out: &mut [u8]) -> usize {
    let filled = out
        .iter_mut()
        .map_while(|place| INPUT.pop().map(|byte| *place = byte));
    filled.count()
}

/// Whether something was typed and not read.
pub fn has_input() -> bool {
    !INPUT.is_empty()
}

/// Queues bytes for the transmitter: returns how many were taken.
pub fn queue_output(bytes: &[u8]) -> usize {
    let taken = bytes.iter().take_while(|&&byte| OUTPUT.push(byte)).count();
    pump();
    taken
}

/// Writes what is queued, as far as the transmitter takes it without waiting. The main loop calls
/// this each time round.
pub fn pump() {
    if OUTPUT.is_empty() && !AWAITS_EMPTY.load(Ordering::Relaxed) {
        return;
    }
    // Else every byte written would raise it.
    await_empty(false);
    let mut budget = PUMP_BYTES;
    while budget > 0 && !OUTPUT.is_empty() && read(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
        for byte in (0..FIFO_BYTES).map_while(|_| OUTPUT.pop()) {
            write(DATA, byte);
        }
        budget = budget.saturating_sub(FIFO_BYTES);
    }
    await_empty(!OUTPUT.is_empty());
}

/// Turns the transmitter's interrupt on or off.
fn await_empty(waits: bool) {
    if AWAITS_EMPTY.swap(waits, Ordering::Relaxed) != waits {
        write(
            INTERRUPT_ENABLE,
            if waits {
                ON_ARRIVAL | ON_EMPTY
            } else {
                ON_ARRIVAL
            },
        );
    }
}

/// Writes everything queued, by polling: before the machine is powered off or dies.
pub fn drain() {
    while let Some(byte) = OUTPUT.pop() {
        write_polled(byte);
    }
}

/// Writes a line to the console at once, and keeps it for the kernel's log ([`crate::journal`]): for
/// the boot sequence, before that exists, and for devices that fail.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {{
        $crate::console::print_line(format_args!($($argument)*));
        $crate::journal::record(format_args!($($argument)*));
    }};
}
