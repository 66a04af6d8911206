//! A [`Target`] from outside: what operators see and say of it, and what others ask.

use super::Target;
use super::state::{Authority, State};
use crate::machine::Time;
use crate::migrate::context::Context;
use crate::migrate::{Answer, Doubt, Effect, MigrateError, Outcome, Reason, Stage};

impl Target {
    /// An operator cancels.
    pub fn cancel(&mut self, cx: &mut Context<'_>) -> Result<(), MigrateError> {
        match self.state {
            State::Describing(..)
            | State::Admitting(_)
            | State::Receiving(_)
            | State::Preparing(_)
            | State::Prepared { .. } => {
                self.refuse(Reason::Cancelled, cx);
                Ok(())
            }
            // The source is not told any more: an operator knows that it does not come back.
            State::Running {
                by: Authority::Operator,
                ..
            } => {
                self.over(Outcome::Arrived, cx);
                Ok(())
            }
            State::Starting(_)
            | State::Running {
                by: Authority::Commit,
                ..
            } => Err(MigrateError::TooLate),
            State::Tailing | State::Fenced | State::Over(_) => Err(MigrateError::NotUnderWay),
        }
    }

    /// An operator says who has the instance.
    pub fn resolve(&mut self, answer: Answer, cx: &mut Context<'_>) -> Result<(), MigrateError> {
        match (&self.state, answer) {
            (State::Prepared { doubt: Some(_), .. }, Answer::Here) => {
                self.start(Authority::Operator, cx);
            }
            (State::Prepared { doubt: Some(_), .. }, Answer::There | Answer::Drop) => {
                self.refuse(Reason::Dropped, cx);
            }
            (State::Fenced, Answer::Here) => {
                cx.push(Effect::Unfence { handover: self.id });
                self.over(Outcome::Arrived, cx);
            }
            (State::Fenced, Answer::There | Answer::Drop) => {
                self.drop_fenced(Reason::Dropped, cx);
            }
            (
                State::Prepared { doubt: None, .. }
                | State::Describing(..)
                | State::Admitting(_)
                | State::Receiving(_)
                | State::Preparing(_)
                | State::Starting(_)
                | State::Running { .. }
                | State::Tailing
                | State::Over(_),
                Answer::Here | Answer::There | Answer::Drop,
            ) => return Err(MigrateError::NotInDoubt),
        }
        Ok(())
    }

    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Whether the copy may run here now.
    pub fn owns_instance(&self) -> bool {
        matches!(
            self.state,
            State::Starting(_) | State::Running { .. } | State::Tailing
        )
    }

    /// When it wants a tick.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Over(_) => None,
            // Only the driver helps, or an operator.
            State::Starting(_)
            | State::Fenced
            | State::Prepared {
                doubt: Some(Doubt::PeerReset | Doubt::PeerForgot | Doubt::Fenced),
                ..
            } => None,
            State::Describing(..)
            | State::Admitting(_)
            | State::Receiving(_)
            | State::Preparing(_)
            | State::Prepared {
                doubt: None | Some(Doubt::LinkLost | Doubt::NoAnswer),
                ..
            }
            | State::Running { .. }
            | State::Tailing => Some(self.deadline),
        }
    }

    /// What an operator sees.
    pub fn stage(&self) -> Stage {
        match self.state {
            State::Describing(..) | State::Admitting(_) => Stage::Offering,
            State::Receiving(_) => Stage::Copying,
            State::Preparing(_) => Stage::Stopped,
            State::Prepared { doubt: None, .. } => Stage::Prepared,
            State::Prepared {
                doubt: Some(doubt), ..
            } => Stage::InDoubt(doubt),
            State::Starting(_) => Stage::Committed,
            State::Running { .. } | State::Tailing | State::Over(_) => Stage::HandedOver,
            State::Fenced => Stage::InDoubt(Doubt::Fenced),
        }
    }
}
