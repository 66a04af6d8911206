//! WASI preview 1: what programs of any toolchain ask of the kernel (the table is `sos_abi::wasi`).

use sos_abi::wasi::{Errno, WasiCall};

use super::guest::Guest;
use super::memory::Arguments;
use super::pending::{Step, StepResult, Wait};

impl Guest {
    /// One attempt at a WASI function; `wait` is where the last one stopped.
    pub(super) fn attempt_wasi(
        &mut self,
        _memory: &mut [u8],
        call: WasiCall,
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> StepResult {
        match call {
            WasiCall::ProcExit => Ok(Step::Exit(arguments.u32(0) as i32)),
            WasiCall::SchedYield => self.yield_now(wait),
            _ => Ok(Step::Done(i32::from(Errno::NoSys.number()))),
        }
    }
}
