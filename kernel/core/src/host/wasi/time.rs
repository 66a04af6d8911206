//! Clocks: `clock_res_get`, `clock_time_get`.

use sos_abi::wasi::Errno;

use super::memory::Out;
use super::wire::clock_id;
use super::{Progress, WasiResult};
use crate::host::guest::Guest;
use crate::host::memory::Arguments;

/// Every clock counts nanoseconds.
const RESOLUTION_NS: u64 = 1;

impl Guest {
    pub(super) fn clock_res_get(&self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        self.clock_nanos(arguments.u32(0))?;
        Out::<8>::new(memory, arguments.u32(1))?.write_u64(memory, RESOLUTION_NS)?;
        Ok(Progress::Done)
    }

    /// The precision that a program is content with is not looked at: the clocks are cheap.
    pub(super) fn clock_time_get(&self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let nanos = self.clock_nanos(arguments.u32(0))?;
        Out::<8>::new(memory, arguments.u32(2))?.write_u64(memory, nanos)?;
        Ok(Progress::Done)
    }

    fn clock_nanos(&self, clock: u32) -> Result<u64, Errno> {
        match clock {
            clock_id::REALTIME => Ok(self.clock.wall_nanos()),
            clock_id::MONOTONIC => Ok(self.clock.now().as_nanos()),
            clock_id::PROCESS_CPU | clock_id::THREAD_CPU => {
                let used = self.cpu.used(self.clock.node_now());
                Ok(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX))
            }
            _ => Err(Errno::Inval),
        }
    }
}
