//! Calls for arguments and configuration: what the manifest says to the instance.

use sos_abi::ErrorCode;

use super::guest::Guest;
use super::memory::{Arguments, copy_out};
use super::pending::{Step, StepResult};

impl Guest {
    pub(super) fn args_count(&self) -> StepResult {
        Ok(Step::Done(
            i32::try_from(self.arguments.len()).unwrap_or(i32::MAX),
        ))
    }

    pub(super) fn arg_get(&self, memory: &mut [u8], arguments: Arguments<'_>) -> StepResult {
        let value = self
            .arguments
            .get(arguments.u32(0) as usize)
            .ok_or(ErrorCode::NotFound)?;
        copy_out(memory, arguments.slice(1), value.as_bytes()).map(Step::Done)
    }

    pub(super) fn config_get(&self, memory: &mut [u8], arguments: Arguments<'_>) -> StepResult {
        let key = arguments.slice(0).get(memory)?;
        let index = self
            .config
            .binary_search_by(|(name, _)| name.as_bytes().cmp(key))
            .map_err(|_| ErrorCode::NotFound)?;
        copy_out(memory, arguments.slice(2), self.config[index].1.as_bytes()).map(Step::Done)
    }

    pub(super) fn config_key(&self, memory: &mut [u8], arguments: Arguments<'_>) -> StepResult {
        let (key, _) = self
            .config
            .get(arguments.u32(0) as usize)
            .ok_or(ErrorCode::NotFound)?;
        copy_out(memory, arguments.slice(1), key.as_bytes()).map(Step::Done)
    }
}
