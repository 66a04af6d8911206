//! Calls of the console, which are the native way to the standard streams.

use sos_abi::{ErrorCode, NONBLOCK};

use super::guest::Guest;
use super::memory::Arguments;
use super::pending::{Step, StepResult, Wait, done_bytes};
use super::streams::{Input, OutputStream};

impl Guest {
    pub(super) fn console_write(&mut self, memory: &[u8], arguments: Arguments<'_>) -> StepResult {
        let bytes = arguments.slice(0).get_bounded(memory)?;
        let taken = self.streams.write(OutputStream::Output, bytes);
        if taken == 0 && !bytes.is_empty() {
            return Ok(Step::Wait(Wait::Event));
        }
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
        match self.streams.read(buffer) {
            Input::Bytes(length) => {
                self.charge_bytes(length);
                Ok(done_bytes(length))
            }
            Input::End => Ok(Step::Done(0)),
            Input::Empty if flags & NONBLOCK != 0 => Err(ErrorCode::WouldBlock),
            Input::Empty => Ok(Step::Wait(Wait::Event)),
        }
    }
}
