//! Calls of time: both clocks, sleeping, giving way.

use sos_abi::ErrorCode;

use super::guest::Guest;
use super::memory::Arguments;
use super::pending::{Step, StepResult, Wait};
use crate::machine::{Duration, Time};

impl Guest {
    pub(super) fn clock_monotonic(&self) -> StepResult {
        Ok(long(self.clock.now().as_nanos()))
    }

    pub(super) fn clock_wall(&self) -> StepResult {
        Ok(long(self.clock.wall_nanos()))
    }

    pub(super) fn sleep(&self, arguments: Arguments<'_>, wait: Option<Wait>) -> StepResult {
        let now = self.clock.now();
        let deadline = match wait {
            Some(Wait::Until(deadline)) => deadline,
            _ => {
                let duration_ns =
                    u64::try_from(arguments.i64(0)).map_err(|_| ErrorCode::InvalidArgument)?;
                now + Duration::from_nanos(duration_ns)
            }
        };
        Ok(due(now, deadline))
    }

    pub(super) fn yield_now(&self, wait: Option<Wait>) -> StepResult {
        Ok(match wait {
            None => Step::Wait(Wait::Turn),
            Some(_) => Step::Done(0),
        })
    }
}

/// Done when `deadline` has come, else waits for it.
pub(super) fn due(now: Time, deadline: Time) -> Step {
    if now >= deadline {
        Step::Done(0)
    } else {
        Step::Wait(Wait::Until(deadline))
    }
}

fn long(value: u64) -> Step {
    Step::DoneLong(i64::try_from(value).unwrap_or(i64::MAX))
}
