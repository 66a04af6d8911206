//! The call that waits for many sockets at once. It allocates nothing.

use sos_abi::{ErrorCode, POLL_CLOSED, POLL_FAILED, POLL_READABLE, POLL_WRITABLE, PollEntry};

use super::guest::Guest;
use super::handles::Handle;
use super::memory::{Arguments, GuestSlice};
use super::pending::{Step, StepResult, Wait};
use super::time::due;
use crate::limits;
use crate::machine::Duration;

/// Fuel that looking at one entry is worth.
const ENTRY_FUEL: u64 = 30;

impl Guest {
    pub(super) fn poll(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> StepResult {
        let count = arguments.u32(1);
        if count as usize > limits::POLL_ENTRIES {
            return Err(ErrorCode::InvalidArgument);
        }
        self.charge(u64::from(count) * ENTRY_FUEL);
        let claim = GuestSlice::new(arguments.u32(0), count * PollEntry::BYTES as u32);
        let entries = claim.get_mut(memory)?;
        let mut ready_count = 0;
        let (entries, _) = entries.as_chunks_mut::<{ PollEntry::BYTES }>();
        for bytes in entries {
            let entry = PollEntry::decode(bytes);
            let ready = self.readiness(entry)?;
            ready_count += i32::from(ready != 0);
            bytes[PollEntry::READY_OFFSET..].copy_from_slice(&ready.to_le_bytes());
        }
        if ready_count > 0 {
            return Ok(Step::Done(ready_count));
        }
        self.poll_again(arguments.i64(2), wait)
    }

    /// What is the case for one entry.
    fn readiness(&mut self, entry: PollEntry) -> Result<u32, ErrorCode> {
        if entry.interest & !(POLL_READABLE | POLL_WRITABLE) != 0 {
            return Err(ErrorCode::InvalidArgument);
        }
        let Ok(socket) = self.handles.get(Handle(entry.handle)) else {
            return Ok(POLL_FAILED);
        };
        let state = self.stack.readiness(socket);
        let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        let wanted = (bit(state.readable, POLL_READABLE) | bit(state.writable, POLL_WRITABLE))
            & entry.interest;
        Ok(wanted | bit(state.closed, POLL_CLOSED) | bit(state.failed, POLL_FAILED))
    }

    fn poll_again(&self, timeout_ns: i64, wait: Option<Wait>) -> StepResult {
        if let Some(Wait::Until(deadline)) = wait {
            return Ok(due(self.clock.now(), deadline));
        }
        match u64::try_from(timeout_ns) {
            Ok(0) => Ok(Step::Done(0)),
            Ok(timeout_ns) => Ok(Step::Wait(Wait::Until(
                self.clock.now() + Duration::from_nanos(timeout_ns),
            ))),
            // Below zero: no limit.
            Err(_) => Ok(Step::Wait(Wait::Event)),
        }
    }
}
