//! A [`Source`] from outside: what operators see and say of it, and what others ask.

use super::state::{State, Step};
use super::{Progress, Source};
use crate::machine::Time;
use crate::migrate::context::Context;
use crate::migrate::ledger::{Settled, Verdict};
use crate::migrate::{Answer, Doubt, Effect, MigrateError, Outcome, Reason, Stage};

impl Source {
    /// An operator cancels.
    pub fn cancel(&mut self, cx: &mut Context<'_>) -> Result<(), MigrateError> {
        match self.state {
            State::Dialing
            | State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_) => {
                self.stay(Reason::Cancelled, cx);
                Ok(())
            }
            State::Committed { .. } | State::Forwarding => Err(MigrateError::TooLate),
            State::Over(_) => Err(MigrateError::NotUnderWay),
        }
    }

    /// An operator says who has the instance.
    pub fn resolve(&mut self, answer: Answer, cx: &mut Context<'_>) -> Result<(), MigrateError> {
        let State::Committed { doubt: Some(_), .. } = self.state else {
            return Err(MigrateError::NotInDoubt);
        };
        match answer {
            Answer::Here => {
                cx.write(self.id, self.peer, Verdict::Void, Settled::No);
                let handover = self.id;
                // A later epoch than the target may have.
                let epoch = self.id.epoch + 1;
                cx.push(Effect::Resume { handover, epoch });
                self.over(Outcome::Stayed(Reason::Superseded), cx);
            }
            Answer::There => {
                // A target that is prepared and asks is told to run it.
                cx.write(self.id, self.peer, Verdict::Moved, Settled::No);
                cx.push(Effect::Release { handover: self.id });
                self.over(Outcome::Moved, cx);
            }
            Answer::Drop => {
                cx.write(self.id, self.peer, Verdict::Dropped, Settled::No);
                cx.push(Effect::Release { handover: self.id });
                self.over(Outcome::Dropped, cx);
            }
        }
        Ok(())
    }

    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Whether the instance may be running here, or will run on after a failure.
    pub fn owns_instance(&self) -> bool {
        match self.state {
            State::Dialing
            | State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_) => true,
            State::Committed { .. } | State::Forwarding | State::Over(_) => false,
        }
    }

    /// Whether it waits for what the target lacks.
    pub fn is_offered(&self) -> bool {
        matches!(self.state, State::Offered(_))
    }

    /// Whether COMMIT was said and not answered.
    pub fn is_committed(&self) -> bool {
        matches!(self.state, State::Committed { .. })
    }

    /// When it wants a tick.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Over(_) => None,
            // Only an operator helps.
            State::Committed {
                doubt: Some(Doubt::PeerReset | Doubt::PeerForgot | Doubt::Fenced),
                ..
            } => None,
            State::Dialing
            | State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_)
            | State::Committed {
                doubt: None | Some(Doubt::LinkLost | Doubt::NoAnswer),
                ..
            }
            | State::Forwarding => Some(self.deadline),
        }
    }

    /// What an operator sees.
    pub fn stage(&self) -> Stage {
        match self.state {
            State::Dialing | State::Offered(_) => Stage::Offering,
            State::Copying(_, Step::Gate { .. }) | State::Ready(_) => Stage::Waiting,
            State::Copying(..) => Stage::Copying,
            State::Freezing(_) | State::Frozen(_) => Stage::Stopped,
            State::Committed { doubt: None, .. } => Stage::Committed,
            State::Committed {
                doubt: Some(doubt), ..
            } => Stage::InDoubt(doubt),
            State::Forwarding | State::Over(_) => Stage::HandedOver,
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }
}
