//! Calls for who the instance is and where it runs.

use alloc::string::String;

use super::guest::Guest;
use super::memory::{Arguments, copy_out};
use super::pending::{Step, StepResult};

/// Who an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The instance's name.
    pub instance: String,
    /// The name of the node that runs it.
    pub node: String,
    /// Changes whenever the instance becomes a copy of another state.
    pub generation: u64,
}

impl Guest {
    pub(super) fn instance_name(&self, memory: &mut [u8], arguments: Arguments<'_>) -> StepResult {
        copy_out(
            memory,
            arguments.slice(0),
            self.identity.instance.as_bytes(),
        )
        .map(Step::Done)
    }

    pub(super) fn node_name(&self, memory: &mut [u8], arguments: Arguments<'_>) -> StepResult {
        copy_out(memory, arguments.slice(0), self.identity.node.as_bytes()).map(Step::Done)
    }

    pub(super) fn generation(&self) -> StepResult {
        Ok(Step::DoneLong(self.identity.generation as i64))
    }
}
