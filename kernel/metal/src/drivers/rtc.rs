//! Reads the real-time clock (MC146818A and its descendants), once at the start: from then on the
//! kernel's own clock runs on. Neighbour: `calendar`, which makes seconds of the registers.

use super::calendar::{BadClock, ClockRegisters};
use x86_64::instructions::port::{Port, PortWriteOnly};

/// The register that names the century where the firmware names none: the PC's custom.
const CENTURY_DEFAULT: u8 = 0x32;
const REGISTER_A: u8 = 0x0A;
const REGISTER_B: u8 = 0x0B;
/// Register A: the clock is about to change its registers.
const UPDATE_IN_PROGRESS: u8 = 1 << 7;
/// An update takes at most 2228 us (data sheet, "Update cycle"); a port read takes about 1 us.
const UPDATE_READS_MAX: usize = 10_000;
/// How often the registers are read until two readings agree.
const READINGS_MAX: usize = 4;

/// Seconds since 1970-01-01 00:00 UTC, by the machine's clock.
///
/// # Errors
///
/// The registers, when they show no possible date.
pub fn read_unix_seconds(century_register: Option<u8>) -> Result<u64, BadClock> {
    let century = century_register.unwrap_or(CENTURY_DEFAULT);
    let mut last = read_registers(century);
    for _ in 0..READINGS_MAX {
        let next = read_registers(century);
        if next == last {
            break;
        }
        last = next;
    }
    last.unix_seconds()
}

fn read_registers(century: u8) -> ClockRegisters {
    for _ in 0..UPDATE_READS_MAX {
        if read(REGISTER_A) & UPDATE_IN_PROGRESS == 0 {
            break;
        }
    }
    ClockRegisters {
        second: read(0x00),
        minute: read(0x02),
        hour: read(0x04),
        day: read(0x07),
        month: read(0x08),
        year: read(0x09),
        century: read(century & 0x7F),
        format: read(REGISTER_B),
    }
}

fn read(register: u8) -> u8 {
    // Bit 7 of the selector keeps non-maskable interrupts on while it is clear.
    // SAFETY: these two ports are the clock of every PC, only this function uses them, and reading
    // the registers named here changes nothing.
    unsafe {
        PortWriteOnly::<u8>::new(0x70).write(register);
        Port::<u8>::new(0x71).read()
    }
}
