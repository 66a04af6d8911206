//! [`Ledger`]: what a node remembers of hand-overs that are over for it, to answer the other node.
//!
//! Bounded. To forget is always safe: whoever asks about something forgotten hears that it is unknown,
//! which leaves a copy that stands in doubt; it never makes one run. So what both nodes know is forgotten
//! first, then the oldest.

use super::{HandoverId, InstanceId, NodeId};
use crate::limits;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A node's part in a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// It had the instance.
    Source,
    /// It gets the instance.
    Target,
}

/// How a hand-over ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Source: the attempt is void, the instance went on here, or should not have been handed over.
    /// Target: it ran here, and the source has said that it should not have.
    Void,
    /// Source: the instance was given up by an operator's word; the attempt is void.
    Dropped,
    /// Source: the instance is the target's.
    Moved,
    /// Target: it ran here.
    Ran,
    /// Target: it has not run here in this epoch and never will.
    Refused,
}

/// Whether the other node knows it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It does, or need not.
    Yes,
    /// It may ask.
    No,
}

/// Where a copy is that ran here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// Here, if it has not ended.
    Here,
    /// It was handed to this node by that attempt.
    PassedOn(HandoverId, NodeId),
    /// It ended: the instance came again since, or was given up.
    Gone,
}

#[derive(Debug)]
struct Entry {
    peer: NodeId,
    verdict: Verdict,
    settled: Settled,
    /// Counts entries, to know the oldest.
    number: u64,
}

/// Hand-overs that are over.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<(Role, HandoverId), Entry>,
    written: u64,
}

impl Ledger {
    /// Writes down how a hand-over ended. What was forgotten for it, if anything was not settled, is
    /// counted by nobody: see above.
    pub fn write(
        &mut self,
        role: Role,
        handover: HandoverId,
        peer: NodeId,
        verdict: Verdict,
        settled: Settled,
    ) {
        self.written += 1;
        let entry = Entry {
            peer,
            verdict,
            settled,
            number: self.written,
        };
        self.entries.insert((role, handover), entry);
        if self.entries.len() > limits::MIGRATION_LEDGER {
            self.forget_one();
        }
    }

    /// How a hand-over between this node and `peer` ended, if it is remembered.
    pub fn verdict(&self, role: Role, handover: HandoverId, peer: NodeId) -> Option<Verdict> {
        let entry = self.entries.get(&(role, handover))?;
        (entry.peer == peer).then_some(entry.verdict)
    }

    /// The other node, which is `peer`, knows how it ended.
    pub fn settle(&mut self, role: Role, handover: HandoverId, peer: NodeId) {
        let entry = self.entries.get_mut(&(role, handover));
        if let Some(entry) = entry.filter(|entry| entry.peer == peer) {
            entry.settled = Settled::Yes;
        }
    }

    /// Whether anything is remembered of a hand-over.
    pub fn knows(&self, role: Role, handover: HandoverId) -> bool {
        self.entries.contains_key(&(role, handover))
    }

    /// The latest attempts that are void though the target, which is `peer`, may not know it: so many at
    /// most.
    pub fn void_unsettled(&self, peer: NodeId, most: usize) -> Vec<HandoverId> {
        let lines = self.entries.iter().filter(|((role, _), entry)| {
            let open = (*role, entry.verdict, entry.settled);
            entry.peer == peer && open == (Role::Source, Verdict::Void, Settled::No)
        });
        let mut lines: Vec<(u64, HandoverId)> = lines
            .map(|((_, handover), entry)| (entry.number, *handover))
            .collect();
        lines.sort_unstable_by_key(|&(number, _)| core::cmp::Reverse(number));
        let latest = lines.into_iter().take(most);
        latest.map(|(_, handover)| handover).collect()
    }

    /// The nodes that are targets of attempts that are void though they may not know it.
    pub fn untold(&self) -> BTreeSet<NodeId> {
        let lines = self.entries.iter().filter(|((role, _), entry)| {
            let open = (*role, entry.verdict, entry.settled);
            open == (Role::Source, Verdict::Void, Settled::No)
        });
        lines.map(|(_, entry)| entry.peer).collect()
    }

    /// Where a copy is that ran here by this attempt.
    pub fn whereabouts(&self, came: HandoverId) -> Whereabouts {
        let later = |role| {
            let epoch = u64::MAX;
            let last = HandoverId { epoch, ..came };
            let lines = self.entries.range((role, came)..=(role, last));
            let lines = lines.filter(move |((_, handover), _)| handover.epoch > came.epoch);
            // A source's void attempts left it here; what was refused never was here.
            let mut lines = lines.filter(move |(_, entry)| match entry.verdict {
                Verdict::Void => role == Role::Target,
                Verdict::Refused => false,
                Verdict::Dropped | Verdict::Moved | Verdict::Ran => true,
            });
            lines.next()
        };
        let (left, came_anew) = (later(Role::Source), later(Role::Target));
        let Some(((_, handover), entry)) = left else {
            return match came_anew {
                Some(_) => Whereabouts::Gone,
                None => Whereabouts::Here,
            };
        };
        let anew = came_anew.is_some_and(|((_, anew), _)| anew.epoch < handover.epoch);
        match anew || entry.verdict != Verdict::Moved {
            true => Whereabouts::Gone,
            false => Whereabouts::PassedOn(*handover, entry.peer),
        }
    }

    /// The latest epoch that is remembered of those in which an instance was here. What was refused never
    /// was: its epochs are anybody's claims.
    pub fn latest_epoch(&self, instance: InstanceId) -> Option<u64> {
        let latest = |role| {
            let first = HandoverId { instance, epoch: 0 };
            let epoch = u64::MAX;
            let last = HandoverId { instance, epoch };
            let range = self.entries.range((role, first)..=(role, last));
            let mut was_here = range
                .rev()
                .filter(|(_, entry)| entry.verdict != Verdict::Refused);
            was_here.next().map(|((_, handover), _)| handover.epoch)
        };
        latest(Role::Source).max(latest(Role::Target))
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn forget_one(&mut self) {
        let rank = |entry: &Entry| (entry.settled == Settled::No, entry.number);
        let oldest = self.entries.iter().min_by_key(|(_, entry)| rank(entry));
        if let Some(key) = oldest.map(|(&key, _)| key) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handover(number: u64) -> HandoverId {
        HandoverId {
            instance: InstanceId([1; 16]),
            epoch: number,
        }
    }

    #[test]
    fn it_is_bounded_and_forgets_what_is_settled_first() {
        let mut ledger = Ledger::default();
        let peer = NodeId([2; 16]);
        let most = limits::MIGRATION_LEDGER as u64;
        for number in 0..most {
            let handover = handover(number);
            ledger.write(Role::Source, handover, peer, Verdict::Void, Settled::No);
        }
        // What other nodes say of it counts nothing.
        ledger.settle(Role::Source, handover(3), NodeId([9; 16]));
        ledger.settle(Role::Source, handover(7), peer);
        for number in most..most + 2 {
            let handover = handover(number);
            ledger.write(Role::Source, handover, peer, Verdict::Moved, Settled::No);
        }
        assert_eq!(ledger.len() as u64, most);
        let verdict = |number| ledger.verdict(Role::Source, handover(number), peer);
        assert_eq!(verdict(7), None);
        assert_eq!(verdict(0), None);
        assert_eq!(verdict(1), Some(Verdict::Void));
        assert_eq!(verdict(most + 1), Some(Verdict::Moved));
        assert_eq!(ledger.latest_epoch(InstanceId([1; 16])), Some(most + 1));
        assert_eq!(ledger.latest_epoch(InstanceId([3; 16])), None);
    }

    #[test]
    fn what_was_refused_says_nothing_of_the_instances_epoch() {
        let mut ledger = Ledger::default();
        let (peer, instance) = (NodeId([2; 16]), InstanceId([1; 16]));
        let mut write = |role, epoch, verdict| {
            ledger.write(role, handover(epoch), peer, verdict, Settled::No);
            ledger.latest_epoch(instance)
        };
        assert_eq!(write(Role::Target, u64::MAX - 1, Verdict::Refused), None);
        assert_eq!(write(Role::Target, 4, Verdict::Ran), Some(4));
        assert_eq!(write(Role::Source, 5, Verdict::Moved), Some(5));
        assert!(ledger.knows(Role::Target, handover(u64::MAX - 1)));
    }

    #[test]
    fn it_knows_where_the_instance_went_after_it_came() {
        let mut ledger = Ledger::default();
        let (peer, next) = (NodeId([2; 16]), NodeId([3; 16]));
        let mut write = |role, epoch, peer, verdict| {
            ledger.write(role, handover(epoch), peer, verdict, Settled::No);
        };
        write(Role::Target, 2, peer, Verdict::Ran);
        write(Role::Source, 3, next, Verdict::Void);
        write(Role::Source, 4, next, Verdict::Moved);
        write(Role::Target, 5, next, Verdict::Ran);
        let passed_on = Whereabouts::PassedOn(handover(4), next);
        assert_eq!(ledger.whereabouts(handover(2)), passed_on);
        assert_eq!(ledger.whereabouts(handover(5)), Whereabouts::Here);
        // It ended here without a word before it came again.
        ledger.write(Role::Target, handover(8), next, Verdict::Ran, Settled::No);
        assert_eq!(ledger.whereabouts(handover(5)), Whereabouts::Gone);
        assert_eq!(ledger.whereabouts(handover(2)), passed_on);
        assert_eq!(ledger.void_unsettled(next, 9), [handover(3)]);
        assert_eq!(ledger.void_unsettled(next, 0), []);
        ledger.settle(Role::Source, handover(3), next);
        assert_eq!(ledger.void_unsettled(next, 9), []);
    }

    #[test]
    fn it_answers_only_the_node_and_the_role_that_it_was_about() {
        let mut ledger = Ledger::default();
        let (peer, other) = (NodeId([2; 16]), NodeId([3; 16]));
        ledger.write(Role::Target, handover(1), peer, Verdict::Ran, Settled::No);
        assert_eq!(ledger.verdict(Role::Target, handover(1), other), None);
        assert_eq!(ledger.verdict(Role::Source, handover(1), peer), None);
        let verdict = ledger.verdict(Role::Target, handover(1), peer);
        assert_eq!(verdict, Some(Verdict::Ran));
    }
}
