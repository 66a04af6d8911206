//! Calls of the console: output that never waits, input that does.

use sos_abi::{ErrorCode, NONBLOCK};

use super::guest::Guest;
use super::memory::Arguments;
use super::pending::{Step, StepResult, Wait, done_bytes};

impl Guest {
    pub(super) fn console_write(&mut self, memory: &[u8], arguments: Arguments<'_>) -> StepResult {
        let bytes = arguments.slice(0).get_bounded(memory)?;
        self.console_output.push(bytes);
        let taken = bytes.len();
        self.charge_bytes(taken);
        Ok(done_bytes(taken))
    }

    pub(super) fn console_read(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> StepResult {
        let buffer = arguments.slice(0).get_bounded_mut(memory)?;
        let flags = arguments.flags(2, NONBLOCK)?;
        if buffer.is_empty() {
            return Ok(Step::Done(0));
        }
        if self.console_input.is_empty() {
            return if flags & NONBLOCK != 0 {
                Err(ErrorCode::WouldBlock)
            } else {
                Ok(Step::Wait(Wait::Event))
            };
        }
        let length = buffer.len().min(self.console_input.len());
        for (to, from) in buffer.iter_mut().zip(self.console_input.drain(..length)) {
            *to = from;
        }
        self.charge_bytes(length);
        Ok(done_bytes(length))
    }
}
