//! Instances of this node that live on another one, which a node has forgotten when it lost its power.
//!
//! A node that boots starts no instance of its image before the nodes that it knows of have told what of its own they
//! have (`kernel/node/visitors.rs`), but waits for that only so long. One that lives elsewhere is not started; it may come back to the place that it left.

use super::super::Kernel;
use super::super::node::{Visitor, Visitors};
use super::super::record::{Ended, MovingStage, Record, State};
use crate::limits;
use crate::log::{EventKind, Severity};
use crate::machine::{Duration, Time};
use crate::migrate::{InstanceId, NodeId};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

/// For how long a node that boots waits for the others, at most.
const PATIENCE: Duration = Duration::from_millis(limits::HOME_WAIT_MILLIS);
/// For how long it listens who is on the LAN.
const LISTENING: Duration = Duration::from_millis(limits::HOME_LISTEN_MILLIS);

/// What a node that boots hears of its instances.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Home {
    /// When it first looked,
    began: Option<Time>,
    /// and when it could be reached.
    reachable: Option<Time>,
    /// Those that have told what of this node's they have.
    answered: BTreeSet<NodeId>,
    /// Nobody is waited for any more.
    is_over: bool,
}

impl Home {
    /// When it waits no longer, whoever has answered.
    fn deadline(&self) -> Option<Time> {
        self.began.map(|began| began + PATIENCE)
    }
}

impl Kernel {
    /// Whether instances of the image wait for word whether they live elsewhere.
    pub(in crate::kernel) fn awaits_word_from_home(&self) -> bool {
        self.carries_networks() && !self.moves.home.is_over && !self.autostart.is_empty()
    }

    /// When that is looked at again, if nothing happens.
    pub(in crate::kernel) fn word_from_home_due(&self) -> Option<Time> {
        if !self.awaits_word_from_home() {
            return None;
        }
        let home = &self.moves.home;
        let listened = home.reachable.map(|at| at + LISTENING);
        // What lies behind needs no other look.
        let listened = listened.filter(|at| *at > self.clock.now());
        [home.deadline(), listened].into_iter().flatten().min()
    }

    /// Takes what other nodes say that they have of this node's.
    pub(in crate::kernel) fn hear_of_instances(&mut self, now: Time) {
        for (peer, visitors) in self.node.take_visitors() {
            if !self.moves.home.is_over {
                self.moves.home.answered.insert(peer);
            }
            self.note_lodgings(peer, &visitors);
        }
        if self.moves.home.is_over {
            return;
        }
        let is_reachable = self.node.is_reachable();
        let home = &mut self.moves.home;
        home.began.get_or_insert(now);
        if is_reachable {
            home.reachable.get_or_insert(now);
        }
        let (node, answered) = (&self.node, &home.answered);
        let has_answered = |peer: NodeId| {
            let is_linked = || node.linked_nodes().contains(&peer);
            answered.contains(&peer) || is_linked() && !node.tells_visitors(peer)
        };
        let has_listened = home.reachable.is_some_and(|at| now.since(at) >= LISTENING);
        let is_late = home.deadline().is_some_and(|deadline| now >= deadline);
        if is_late || has_listened && !node.awaits_others(has_answered) {
            let silent = node.awaits_others(has_answered);
            self.moves.home.is_over = true;
            self.moves.home.answered.clear();
            if silent && !self.autostart.is_empty() {
                let text = "not all other nodes have told whether instances of this one are there: starting them";
                self.log(Severity::Warning, text.into());
            }
        }
    }

    /// A node says which instances of this one it has.
    fn note_lodgings(&mut self, peer: NodeId, Visitors(visitors): &Visitors) {
        let keys: Vec<u32> = self.occupied().map(|(key, _)| key).collect();
        for key in keys {
            let record = &self.records[key as usize];
            let mut there = visitors.iter();
            let there = there.find(|visitor| visitor.name == record.spec.name);
            match there {
                Some(visitor) => self.note_lodging(key, peer, visitor.instance),
                None if record.lives_on == Some(peer) => {
                    self.records[key as usize].lives_on = None;
                }
                None => {}
            }
        }
    }

    fn note_lodging(&mut self, key: u32, peer: NodeId, instance: InstanceId) {
        let record = &self.records[key as usize];
        if record.instance == instance || record.moving.is_some() || record.lives_on == Some(peer) {
            return;
        }
        let (name, node) = (record.spec.name.clone(), self.node_name(peer));
        let is_unused = record.is_unused();
        self.records[key as usize].lives_on = Some(peer);
        if !is_unused {
            let text = format!(
                "'{name}' went from here and is on node '{node}', and there is another '{name}' here; if they are to be one, \
                 stop one of them"
            );
            return self.log(Severity::Warning, text);
        }
        if self.cancel_autostart(key) {
            let now = self.clock.now();
            let detail = format!("on {node}; `start {name}` starts another one here");
            self.journal.event(now, &name, EventKind::Elsewhere, detail);
            let text = format!("'{name}' is not started: it lives on node '{node}'");
            self.log(Severity::Info, text);
        }
    }

    /// Says which instances of each linked node are here.
    pub(in crate::kernel) fn renew_visitors(&mut self) {
        let linked = self.node.linked_nodes();
        let visitors = linked.into_iter().map(|peer| {
            let its = self
                .occupied()
                .filter(|(_, record)| record.origin == Some(peer));
            let its = its.filter(|(_, record)| record.is_lodger());
            let visitors = its.map(|(_, record)| Visitor {
                instance: record.instance,
                name: record.spec.name.clone(),
            });
            (peer, Visitors(visitors.take(limits::VISITORS).collect()))
        });
        let visitors: Vec<(NodeId, Visitors)> = visitors.collect();
        self.node.set_visitors(visitors);
    }

    /// Takes the place away that waits for an instance which lives elsewhere and comes back now.
    pub(super) fn take_empty_place(&mut self, name: &str) -> Option<Record> {
        let mut records = self.records.iter_mut();
        let place = records.find(|record| record.waits_for(name))?;
        Some(core::mem::replace(place, Record::vacant()))
    }
}

impl Record {
    /// Whether it has not been started, and nothing is about to be made of it.
    fn is_unused(&self) -> bool {
        matches!(self.state, State::Ended(Ended::NeverStarted, _))
            && self.suspended.is_none()
            && self.former.is_none()
            && self.moving.is_none()
    }

    /// Whether it is the place of an instance of this name that lives elsewhere.
    pub(super) fn waits_for(&self, name: &str) -> bool {
        self.lives_on.is_some() && self.spec.name == name && self.is_unused()
    }

    /// Whether it has an instance, or may have it when the word comes.
    fn is_lodger(&self) -> bool {
        let is_arriving =
            |moving: super::super::record::Moving| moving.stage == MovingStage::Arriving;
        let is_coming = self.moving.is_some_and(is_arriving);
        !is_coming || matches!(self.state, State::Live(_))
    }
}
