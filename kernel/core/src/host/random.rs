//! The call for random numbers.

use rand_core::RngCore;

use super::guest::Guest;
use super::memory::Arguments;
use super::pending::{StepResult, done_bytes};

/// Making a byte takes about as long as copying this many: some cycles (ChaCha12 without vector
/// registers), against a fraction of one.
pub(super) const COPIES: usize = 8;

impl Guest {
    pub(super) fn random(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> StepResult {
        let buffer = arguments.slice(0).get_bounded_mut(memory)?;
        self.random.fill_bytes(buffer);
        let filled = buffer.len();
        self.charge_bytes(filled * COPIES);
        Ok(done_bytes(filled))
    }
}
