//! What the machines ask of the driver, and what the driver reports.

use super::{ConnectionId, Doubt, HandoverId, Message, NodeId, Offer, Reason, Violation};
use crate::image::BlobHash;
use alloc::vec::Vec;

/// Something to be done, in the order in which they are given. Each may fail only by a [`Done::Failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Try to connect to a node, once, unless that is being tried.
    Dial {
        /// The node.
        peer: NodeId,
    },
    /// Close a connection.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why, for the log.
        violation: Violation,
    },
    /// Send a message; it may be lost with the connection.
    Send {
        /// By this connection.
        connection: ConnectionId,
        /// The message.
        message: Message<'static>,
    },

    // -- at the source
    /// Send the instance's description, as an object of kind "about".
    Describe {
        /// The attempt.
        handover: HandoverId,
        /// By this connection.
        connection: ConnectionId,
    },
    /// Send the blobs that the target named: [`Done::BlobsQueued`].
    SendBlobs {
        /// The attempt.
        handover: HandoverId,
        /// By this connection.
        connection: ConnectionId,
    },
    /// Freeze the memories as they are and count what differs from the round that was sent last:
    /// [`Done::Measured`]. The instance runs on.
    Measure {
        /// The attempt.
        handover: HandoverId,
    },
    /// Send the memories as they were measured last, what differs from the round before:
    /// [`Done::RoundQueued`].
    SendRound {
        /// The attempt.
        handover: HandoverId,
        /// By this connection.
        connection: ConnectionId,
    },
    /// Give the instance this much of the CPU time that it would have.
    Throttle {
        /// The attempt.
        handover: HandoverId,
        /// Parts of a million, from 1 on; [`super::FULL_SHARE_PPM`] is all of it.
        share_ppm: u32,
    },
    /// Stop the instance, cut it, send what its memories have changed since the last round that was
    /// sent, and its state: [`Done::StateQueued`]. Frames that reach it from now on wait.
    Freeze {
        /// The attempt.
        handover: HandoverId,
        /// By this connection.
        connection: ConnectionId,
    },
    /// Let the instance run on here at full speed, in this epoch; frames that waited are its own.
    Resume {
        /// The attempt, which is void.
        handover: HandoverId,
        /// The instance's epoch from now on.
        epoch: u64,
    },
    /// Send the frames that wait and those that still come, by whatever connection there is to the node.
    ForwardFrames {
        /// The attempt.
        handover: HandoverId,
        /// The node that runs the instance, or will.
        peer: NodeId,
    },
    /// Forget the instance's copy without a word to its peers; its ports stay for forwarding until the
    /// attempt is [`Effect::Over`].
    Release {
        /// The attempt.
        handover: HandoverId,
    },

    // -- at the target
    /// Its description came: can the instance run here, and which blobs are missing?
    /// [`Done::Admitted`] or [`Done::Failed`]. Copies of it that stand here do not hinder it: they are
    /// released or discarded before one is run.
    Admit {
        /// The attempt.
        handover: HandoverId,
        /// The source.
        peer: NodeId,
        /// What it says.
        offer: Offer,
    },
    /// All blobs were delivered: have the program translated: [`Done::Ready`].
    MakeReady {
        /// The attempt.
        handover: HandoverId,
    },
    /// All pages of a round were delivered: [`Done::RoundStored`].
    FinishRound {
        /// The attempt.
        handover: HandoverId,
        /// The round.
        round: u32,
    },
    /// All was delivered: make the instance, so that nothing but the word is missing for it to run:
    /// [`Done::Prepared`].
    Prepare {
        /// The attempt.
        handover: HandoverId,
    },
    /// Run the copy, announce its addresses, hand over frames that wait: [`Done::Running`], or
    /// [`Done::Failed`] if not one of its instructions was run.
    Run {
        /// The attempt.
        handover: HandoverId,
        /// The instance's epoch from now on.
        epoch: u64,
    },
    /// Drop what there is of the copy.
    Discard {
        /// The attempt.
        handover: HandoverId,
    },
    /// Stop the instance where it is and keep it: it runs elsewhere by an operator's word. If it is not
    /// here any more: [`Done::Ended`].
    Fence {
        /// The attempt.
        handover: HandoverId,
    },
    /// Let a fenced instance run on.
    Unfence {
        /// The attempt.
        handover: HandoverId,
    },

    // -- at both
    /// Tell the operator that it is not known who runs the instance.
    Doubted {
        /// The attempt.
        handover: HandoverId,
        /// Why.
        doubt: Doubt,
    },
    /// The attempt is over here: drop what was kept for it.
    Over {
        /// The attempt.
        handover: HandoverId,
        /// How it ended.
        outcome: Outcome,
    },
}

/// How an attempt ended on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Source: the instance runs on the target.
    Moved,
    /// Source: the instance goes on here.
    Stayed(Reason),
    /// Source: its copy was given up by an operator's word.
    Dropped,
    /// Target: the instance runs here.
    Arrived,
    /// Target: the copy is gone, and was not run.
    NotArrived(Reason),
}

/// What a driver reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Bytes went to the connection; more of what was asked for last follow.
    Progressed,
    /// All blobs that were missing are with the connection.
    BlobsQueued,
    /// What a round would have to send.
    Measured {
        /// Bytes of pages that differ from the round before.
        dirty_bytes: u64,
        /// Bytes of state besides the memories, about.
        state_bytes: u64,
    },
    /// All pages of a round are with the connection.
    RoundQueued {
        /// Bytes of messages.
        bytes: u64,
    },
    /// All pages and states of the stopped instance are with the connection.
    StateQueued {
        /// Bytes of messages.
        bytes: u64,
    },
    /// The instance can come.
    Admitted {
        /// Blobs that the node does not have.
        missing: Vec<BlobHash>,
    },
    /// The program is translated.
    Ready,
    /// A round is stored.
    RoundStored {
        /// Which.
        round: u32,
    },
    /// The instance is made, and stands.
    Prepared,
    /// The instance runs.
    Running,
    /// What was asked for last cannot be done.
    Failed(Reason),
    /// The instance ended or was stopped before it was to be frozen or fenced.
    Ended,
}
