//! The program itself: `proc_raise`, `sched_yield`, `random_get`.

use rand_core::RngCore;
use sos_abi::wasi::Errno;

use super::memory::bytes_mut;
use super::{Progress, WasiResult};
use crate::host::guest::Guest;
use crate::host::memory::Arguments;
use crate::host::pending::Wait;
use crate::host::random::COPIES;
use crate::limits;

/// What a raised signal adds to its number to give the exit status, as shells show it.
const SIGNALLED: i32 = 128;

/// What a program that has no handlers does with a signal ("signal" of the specification).
enum Disposition {
    Ignored,
    Ends,
    Stops,
}

pub(super) fn proc_raise(arguments: Arguments<'_>) -> WasiResult {
    let signal = arguments.u32(0);
    match disposition(signal)? {
        Disposition::Ignored => Ok(Progress::Done),
        Disposition::Ends => Ok(Progress::Exit(SIGNALLED + signal as i32)),
        // Only an operator's `resume` could continue it.
        Disposition::Stops => Err(Errno::NotSup),
    }
}

fn disposition(signal: u32) -> Result<Disposition, Errno> {
    match signal {
        // none, pipe, chld, cont, urg, winch
        0 | 13 | 16 | 17 | 22 | 27 => Ok(Disposition::Ignored),
        // stop, tstp, ttin, ttou
        18..=21 => Ok(Disposition::Stops),
        1..=12 | 14 | 15 | 23..=26 | 28..=30 => Ok(Disposition::Ends),
        _ => Err(Errno::Inval),
    }
}

pub(super) fn sched_yield(wait: Option<Wait>) -> Progress {
    match wait {
        None => Progress::Wait(Wait::Turn),
        Some(_) => Progress::Done,
    }
}

impl Guest {
    /// Fills the whole buffer, piece by piece with others' turns between.
    pub(super) fn random_get(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> WasiResult {
        let buffer = bytes_mut(memory, arguments.u32(0), arguments.u32(1))?;
        let moved = match wait {
            Some(Wait::Piece { moved }) => moved,
            _ => 0,
        };
        // The memory never shrinks, but what says how far the call came may be a hostile snapshot.
        let rest = buffer.get_mut(moved as usize..).ok_or(Errno::Fault)?;
        let length = rest.len().min(limits::HOST_CALL_BYTES);
        let (piece, later) = rest.split_at_mut(length);
        self.random.fill_bytes(piece);
        self.charge_bytes(length * COPIES);
        Ok(match later.is_empty() {
            true => Progress::Done,
            false => Progress::Wait(Wait::Piece {
                moved: moved + length as u32,
            }),
        })
    }
}
