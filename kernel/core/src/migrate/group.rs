//! Groups: instances that are handed over together.
//!
//! A group changes nothing for a target, and nothing of who runs an instance: each member is an attempt of its own. Its
//! sources wait for each other twice. Nobody is frozen before all are near enough, so that what is on its way between
//! them is cut at one instant; and COMMIT is said for none before all are prepared. Whoever fails before that
//! takes the others along; from the first COMMIT on each is alone.

use super::context::Context;
use super::migrations::Migrations;
use super::source::Source;
use super::{HandoverId, MigrateError, Order, Reason};
use crate::limits;
use crate::machine::Time;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

/// A group on its node, for as long as its members wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId(pub u64);

/// All groups of a node whose members wait for each other.
#[derive(Debug, Default)]
pub(super) struct Groups {
    members: BTreeMap<GroupId, Vec<HandoverId>>,
    next: u64,
}

/// How far a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It is not as far as any gate.
    Under,
    /// It could be frozen.
    Near,
    /// Its target is prepared.
    Prepared,
    /// It is out of the group's hands.
    Gone,
}

impl Migrations {
    /// Begins to migrate instances that run here, together.
    ///
    /// # Errors
    /// [`MigrateError`] and the number of the order that it is about: nothing has changed.
    pub fn begin_group(
        &mut self,
        now: Time,
        orders: Vec<Order>,
    ) -> Result<Vec<HandoverId>, (usize, MigrateError)> {
        if self.machines() + orders.len() > limits::MIGRATIONS {
            return Err((0, MigrateError::TooMany));
        }
        for (number, order) in orders.iter().enumerate() {
            let mut earlier = orders[..number].iter();
            if earlier.any(|it| it.instance == order.instance) {
                return Err((number, MigrateError::UnderWay));
            }
            self.check(order).map_err(|error| (number, error))?;
        }
        let group = GroupId(self.groups.next);
        self.groups.next += 1;
        let mut members = Vec::new();
        for (number, order) in orders.into_iter().enumerate() {
            let begun = self.start(now, order, Some(group));
            members.push(begun.map_err(|error| (number, error))?);
        }
        self.groups.members.insert(group, members.clone());
        Ok(members)
    }

    /// A member of a group has moved on, or is over for this reason: lets the others go on with it, or ends them.
    pub(super) fn attend_group(&mut self, now: Time, group: GroupId, over: Option<Reason>) {
        // While it is looked at it is not here: what is done to its members leads back here.
        let Some(members) = self.groups.members.remove(&group) else {
            return;
        };
        let readiness = |id: &HandoverId| match self.sources.get(id) {
            Some(source) => source.readiness(),
            None => Readiness::Gone,
        };
        let ready: Vec<Readiness> = members.iter().map(readiness).collect();
        let all = |wanted: Readiness| ready.iter().all(|&it| it == wanted);
        if ready.contains(&Readiness::Gone) {
            let reason = over.unwrap_or_else(|| {
                Reason::local("one of its group runs on the target by an operator's word")
            });
            self.each(now, &members, |source, cx| source.leave_group(&reason, cx));
        } else if all(Readiness::Prepared) {
            self.each(now, &members, Source::commit_with_group);
        } else {
            if all(Readiness::Near) {
                let of_group = |id: &HandoverId| self.sources.get(id);
                let is_stale = members
                    .iter()
                    .filter_map(of_group)
                    .any(|it| it.is_stale(now));
                match is_stale {
                    true => self.each(now, &members, Source::look_with_group),
                    false => self.each(now, &members, Source::freeze_with_group),
                }
            }
            self.groups.members.insert(group, members);
        }
    }

    fn each(
        &mut self,
        now: Time,
        members: &[HandoverId],
        mut act: impl FnMut(&mut Source, &mut Context<'_>),
    ) {
        for &id in members {
            self.with_source(now, id, |source, cx| act(source, cx));
        }
    }
}

/// What the others of a group hear of one that stays.
pub(super) fn left_behind(name: &str, reason: &Reason) -> Reason {
    Reason::local(&format!("'{name}' of its group does not move: {reason}"))
}
