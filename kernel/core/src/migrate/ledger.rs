//! [`Ledger`]: what a node remembers of hand-overs that are over for it, to answer the other node.
//!
//! Bounded. To forget is always safe: whoever asks about something forgotten hears that it is unknown,
//! which leaves a copy that stands in doubt; it never makes one run. So what both nodes know is forgotten
//! first, then the oldest.

use super::{HandoverId, InstanceId, NodeId};
use crate::limits;
use alloc::collections::BTreeMap;
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
    /// Source: the attempt is void, the instance went on here.
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

    /// The other node knows how it ended.
    pub fn settle(&mut self, role: Role, handover: HandoverId) {
        if let Some(entry) = self.entries.get_mut(&(role, handover)) {
            entry.settled = Settled::Yes;
        }
    }

    /// The latest epoch of an instance that is remembered.
    pub fn latest_epoch(&self, instance: InstanceId) -> Option<u64> {
        let latest = |role| {
            let first = HandoverId { instance, epoch: 0 };
            let epoch = u64::MAX;
            let last = HandoverId { instance, epoch };
            let mut range = self.entries.range((role, first)..=(role, last));
            range.next_back().map(|((_, handover), _)| handover.epoch)
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
        ledger.settle(Role::Source, handover(7));
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
