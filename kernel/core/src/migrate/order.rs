//! What operators say and see: [`Order`], [`Answer`], [`Row`].

use super::convergence::Goals;
use super::group::GroupId;
use super::ledger::Role;
use super::source::Progress;
use super::{Doubt, HandoverId, InstanceId, NodeId, Offer};

/// A connection between this node and another, numbered by the driver in the order in which they were
/// opened; no number is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// How an instance is migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It runs while its memories are copied.
    Live,
    /// It stands from the first byte on.
    Cold,
}

/// An operator's wish to migrate an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The instance.
    pub instance: InstanceId,
    /// Its present epoch.
    pub epoch: u64,
    /// Where to.
    pub peer: NodeId,
    /// How.
    pub mode: Mode,
    /// What counts as near enough.
    pub goals: Goals,
    /// What the target is told first.
    pub offer: Offer,
}

/// An operator's word on who has an instance that is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This node shall run it: the other one does not.
    Here,
    /// The other node runs it, or shall; this one's copy is dropped.
    There,
    /// This node's copy is dropped, whatever the other one has.
    Drop,
}

/// Where a hand-over is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The target has not agreed.
    Offering,
    /// The instance runs at the source, and is copied.
    Copying,
    /// It stands at the source; the rest is copied.
    Stopped,
    /// Source: the others of its group are not as far.
    Waiting,
    /// Target: it waits for COMMIT.
    Prepared,
    /// COMMIT was said.
    Committed,
    /// The target runs it.
    HandedOver,
    /// Nobody knows whether the other node runs it; here it stands.
    InDoubt(Doubt),
}

/// One hand-over as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The attempt.
    pub handover: HandoverId,
    /// This node's part.
    pub role: Role,
    /// The other node.
    pub peer: NodeId,
    /// Where it is.
    pub stage: Stage,
    /// How far it is; nothing at a target.
    pub progress: Progress,
    /// Source: the group that it waits for.
    pub group: Option<GroupId>,
}
