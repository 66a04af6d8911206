//! A [`Source`] as a member of a group.

use super::state::{State, Step};
use super::{LastLook, Source};
use crate::machine::Time;
use crate::migrate::context::Context;
use crate::migrate::group::{GroupId, Readiness, left_behind};
use crate::migrate::{Mode, Outcome, Reason, timing};

impl Source {
    /// The group that it waits for, or waited for until it was over.
    pub fn group(&self) -> Option<GroupId> {
        self.group
    }

    /// How far it is, for the others of its group.
    pub fn readiness(&self) -> Readiness {
        match self.state {
            State::Copying(_, Step::Gate { .. }) => Readiness::Near,
            State::Dialing
            | State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_) => Readiness::Under,
            State::Ready(_) => Readiness::Prepared,
            State::Committed { .. } | State::Forwarding | State::Over(_) => Readiness::Gone,
        }
    }

    /// Why the others of its group do not move, if it does not.
    pub fn stays_because(&self) -> Option<Reason> {
        match &self.state {
            State::Over(Outcome::Stayed(reason)) => {
                Some(left_behind(&self.order.offer.name, reason))
            }
            State::Over(_)
            | State::Dialing
            | State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_)
            | State::Committed { .. }
            | State::Forwarding => None,
        }
    }

    /// All of its group are near enough: it is stopped.
    pub fn freeze_with_group(&mut self, cx: &mut Context<'_>) {
        if let State::Copying(connection, Step::Gate { .. }) = self.state {
            self.freeze(connection, cx);
        }
    }

    /// Whether it has waited for so long that it is looked at once more before it is stopped.
    pub fn is_stale(&self, now: Time) -> bool {
        match self.state {
            State::Copying(_, Step::Gate { since }) => {
                let is_due = self.order.mode == Mode::Live && self.last_look == LastLook::No;
                is_due && now.since(since) >= timing::FRESH
            }
            State::Copying(..)
            | State::Dialing
            | State::Offered(_)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_)
            | State::Committed { .. }
            | State::Forwarding
            | State::Over(_) => false,
        }
    }

    /// All of its group could be stopped, and it or another was not looked at for a while.
    pub fn look_with_group(&mut self, cx: &mut Context<'_>) {
        if let State::Copying(connection, Step::Gate { .. }) = self.state
            && self.is_stale(cx.now)
        {
            self.look_again(LastLook::Yes, connection, cx);
        }
    }

    /// All of its group are prepared: it is handed over.
    pub fn commit_with_group(&mut self, cx: &mut Context<'_>) {
        self.group = None;
        if let State::Ready(_) = self.state {
            self.commit(cx);
        }
    }

    /// Its group does not move. If it has not been handed over it does not move either.
    pub fn leave_group(&mut self, reason: &Reason, cx: &mut Context<'_>) {
        self.group = None;
        match self.state {
            State::Dialing
            | State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_) => self.stay(reason.clone(), cx),
            State::Committed { .. } | State::Forwarding | State::Over(_) => {}
        }
    }
}
