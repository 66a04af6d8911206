//! Calls for who the instance is, where it runs, and what became of it since it started.

use alloc::string::String;

use serde::{Deserialize, Serialize};
use sos_abi::{REVIVAL_ANY, REVIVAL_CLONED, REVIVAL_RESTORED, REVIVAL_RESUMED};

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

/// What becomes of an instance that goes on after a cut or a pause, as its program is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revival {
    /// It goes on, here or elsewhere, and nobody went on from the same cut: random numbers too.
    Continued,
    /// It went on from this cut before, perhaps: random numbers are drawn anew.
    Restored,
    /// It is a copy of another instance: random numbers are drawn anew.
    Cloned,
}

/// How often an instance went on, in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revivals {
    resumed: u64,
    restored: u64,
    cloned: u64,
}

impl Revivals {
    /// Counts one more.
    pub(super) fn count(&mut self, revival: Revival) {
        let count = match revival {
            Revival::Continued => &mut self.resumed,
            Revival::Restored => &mut self.restored,
            Revival::Cloned => &mut self.cloned,
        };
        *count = count.saturating_add(1);
    }

    /// How many of one kind, as the table of calls numbers them.
    fn of_kind(self, kind: u32) -> u64 {
        match kind {
            REVIVAL_ANY => {
                let all = self.resumed.saturating_add(self.restored);
                all.saturating_add(self.cloned)
            }
            REVIVAL_RESUMED => self.resumed,
            REVIVAL_RESTORED => self.restored,
            REVIVAL_CLONED => self.cloned,
            _ => 0,
        }
    }
}

impl Guest {
    /// Lets guest time go on after a pause; does nothing when it runs.
    pub fn resume(&mut self) {
        if self.clock.is_paused() {
            self.clock.resume();
            self.look_again = true;
            self.revivals.count(Revival::Continued);
        }
    }

    pub(super) fn revivals(&self, arguments: Arguments<'_>) -> StepResult {
        let count = self.revivals.of_kind(arguments.u32(0));
        Ok(Step::DoneLong(i64::try_from(count).unwrap_or(i64::MAX)))
    }

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
