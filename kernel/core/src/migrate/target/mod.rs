//! [`Target`]: the state machine of the node that gets the instance.
//!
//! It runs its copy on COMMIT of exactly this attempt from its source, or by an operator's word while
//! that is in doubt, and in no other way. Once it has said that it is prepared it drops the copy only when
//! the source says that the attempt is void, when a later epoch is offered, or by an operator's word; what
//! it dropped it refuses for ever, since no attempt is made twice.

mod seen;
mod state;

pub(super) use state::{Data, Event, Heard};

use super::context::Context;
use super::ledger::{Settled, Verdict};
use super::{BootId, ConnectionId, Done, Doubt, Effect, HandoverId, Message, NodeId, Offer};
use super::{Outcome, Reason, timing};
use crate::image::BlobHash;
use crate::machine::Time;
use alloc::collections::BTreeSet;
use state::{Authority, State};

/// One hand-over at its target.
#[derive(Debug)]
pub(super) struct Target {
    pub id: HandoverId,
    pub peer: NodeId,
    state: State,
    /// The source's boot when the offer came.
    peer_boot: BootId,
    /// Blobs that were asked for and have not come.
    missing: BTreeSet<BlobHash>,
    deadline: Time,
}

impl Target {
    /// An offer came by this connection.
    pub fn new(
        id: HandoverId,
        peer: NodeId,
        offer: Offer,
        (connection, boot): (ConnectionId, BootId),
        now: Time,
    ) -> Target {
        Target {
            id,
            peer,
            state: State::Describing(connection, offer),
            peer_boot: boot,
            missing: BTreeSet::new(),
            deadline: now + timing::SILENCE,
        }
    }

    /// It ran here by this attempt, and its source runs it too, by an operator's word.
    pub fn fenced(id: HandoverId, peer: NodeId, peer_boot: BootId, cx: &mut Context<'_>) -> Target {
        let mut target = Target {
            id,
            peer,
            state: State::Fenced,
            peer_boot,
            missing: BTreeSet::new(),
            deadline: cx.now,
        };
        target.fence(cx);
        target
    }

    /// The one transition function.
    pub fn step(&mut self, event: Event<'_>, cx: &mut Context<'_>) {
        match event {
            Event::Linked => self.linked(cx),
            Event::Unlinked(connection) => self.unlinked(connection, cx),
            Event::Heard(heard) => self.heard(heard, cx),
            Event::Done(done) => self.done(done, cx),
            Event::Tick if self.deadline().is_some_and(|deadline| cx.now >= deadline) => {
                self.late(cx)
            }
            Event::Tick => {}
            Event::Superseded { by } => match self.state {
                State::Describing(..)
                | State::Admitting(_)
                | State::Receiving(_)
                | State::Preparing(_)
                | State::Prepared { .. } => {
                    let reason = match by < self.id.epoch {
                        true => Reason::AlreadyHere,
                        false => Reason::Stale,
                    };
                    self.refuse(reason, cx);
                }
                State::Fenced => self.drop_fenced(Reason::Dropped, cx),
                State::Running { .. } | State::Tailing => self.over(Outcome::Arrived, cx),
                State::Starting(_) | State::Over(_) => {}
            },
        }
    }

    /// Whether what was sent is to be stored; a breach of the order ends the attempt.
    pub fn accepts(&mut self, data: Data, cx: &mut Context<'_>) -> bool {
        let in_order = match (&self.state, data) {
            (State::Describing(..), Data::Description { last }) => {
                self.deadline = cx.now + timing::SILENCE;
                if let State::Describing(connection, offer) = &self.state
                    && last
                {
                    // The driver admits it after it has stored these bytes.
                    let offer = offer.clone();
                    let (handover, peer) = (self.id, self.peer);
                    self.state = State::Admitting(*connection);
                    cx.push(Effect::Admit {
                        handover,
                        peer,
                        offer,
                    });
                }
                true
            }
            (State::Receiving(_), Data::Description { .. } | Data::Contents) => {
                self.deadline = cx.now + timing::SILENCE;
                true
            }
            (State::Receiving(_), Data::Blob { hash, last }) => {
                self.deadline = cx.now + timing::SILENCE;
                match last {
                    true => self.missing.remove(&hash),
                    false => self.missing.contains(&hash),
                }
            }
            (
                State::Prepared { .. }
                | State::Starting(_)
                | State::Running { .. }
                | State::Tailing,
                Data::Frame,
            ) => true,
            // They come late, or twice; a frame is never worth an attempt.
            (_, Data::Frame) | (State::Over(_) | State::Fenced | State::Tailing, _) => {
                return false;
            }
            (
                State::Describing(..)
                | State::Admitting(_)
                | State::Preparing(_)
                | State::Prepared { .. }
                | State::Starting(_)
                | State::Running { .. },
                _,
            ) => false,
        };
        if !in_order && self.is_receiving() {
            self.refuse(Reason::Protocol, cx);
        }
        in_order
    }

    /// Whether it has not said that it is prepared: nothing is lost with it.
    pub fn is_receiving(&self) -> bool {
        match self.state {
            State::Describing(..)
            | State::Admitting(_)
            | State::Receiving(_)
            | State::Preparing(_) => true,
            State::Prepared { .. }
            | State::Starting(_)
            | State::Running { .. }
            | State::Tailing
            | State::Fenced
            | State::Over(_) => false,
        }
    }

    /// Whether COMMIT makes it run.
    pub fn is_prepared(&self) -> bool {
        matches!(self.state, State::Prepared { .. })
    }

    fn linked(&mut self, cx: &mut Context<'_>) {
        let Some(link) = cx.link else {
            return;
        };
        match &mut self.state {
            State::Prepared { .. } if link.boot != self.peer_boot => {
                self.doubt(Doubt::PeerReset, cx);
            }
            State::Prepared {
                doubt: Some(Doubt::PeerForgot | Doubt::PeerReset | Doubt::Fenced),
                ..
            } => {}
            State::Prepared { doubt, asked } => {
                // The source will answer: no word of an operator is taken meanwhile.
                (*doubt, *asked) = (None, 0);
                self.ask(cx);
            }
            State::Running { .. } => self.tell(cx),
            State::Describing(..)
            | State::Admitting(_)
            | State::Receiving(_)
            | State::Preparing(_)
            | State::Starting(_)
            | State::Tailing
            | State::Fenced
            | State::Over(_) => {}
        }
    }

    fn unlinked(&mut self, lost: ConnectionId, cx: &mut Context<'_>) {
        match self.state {
            State::Describing(connection, _)
            | State::Admitting(connection)
            | State::Receiving(connection)
            | State::Preparing(connection) => {
                // The source gives the attempt up as well: it was not told that this node is prepared.
                if connection == lost {
                    self.discard(Reason::LinkLost, Settled::Yes, cx);
                }
            }
            State::Prepared { doubt, .. } => {
                if cx.link.is_some() {
                    self.ask(cx);
                } else {
                    if doubt.is_none() {
                        self.doubt(Doubt::LinkLost, cx);
                    }
                    cx.dial(self.peer);
                }
            }
            State::Running { .. } => {
                if cx.link.is_none() {
                    cx.dial(self.peer);
                }
            }
            State::Starting(_) | State::Tailing | State::Fenced | State::Over(_) => {}
        }
    }

    fn heard(&mut self, heard: Heard<'_>, cx: &mut Context<'_>) {
        match heard {
            Heard::BlobsEnd | Heard::RoundEnd(_) | Heard::StateEnd => self.end_heard(&heard, cx),
            Heard::Commit => match self.state {
                State::Prepared { .. } => self.start(Authority::Commit, cx),
                State::Running { .. } => self.tell(cx),
                State::Tailing => {
                    let handover = self.id;
                    cx.send_by_link(Message::Running { handover });
                }
                // Not asked for: nothing is complete.
                State::Describing(..)
                | State::Admitting(_)
                | State::Receiving(_)
                | State::Preparing(_) => self.refuse(Reason::Protocol, cx),
                // The answer comes when it runs.
                State::Starting(_) => {}
                State::Fenced | State::Over(_) => {}
            },
            Heard::Abandon(reason) => match self.state {
                State::Describing(..)
                | State::Admitting(_)
                | State::Receiving(_)
                | State::Preparing(_)
                | State::Prepared { .. } => {
                    let handover = self.id;
                    let reason = reason.clone();
                    self.discard(reason.clone(), Settled::Yes, cx);
                    cx.send_by_link(Message::Refused { handover, reason });
                }
                // Who gave his copy up says nothing of this one.
                State::Running { .. } | State::Tailing if *reason == Reason::Dropped => {}
                State::Running { .. } | State::Tailing => self.fence(cx),
                State::Fenced => self.answer_unknown(cx),
                // It hears what is said when it tells that it runs.
                State::Starting(_) | State::Over(_) => {}
            },
            Heard::Released => match self.state {
                State::Running { .. } => {
                    cx.settle(self.id, self.peer);
                    self.state = State::Tailing;
                    self.deadline = cx.now + timing::TAILING;
                }
                State::Describing(..)
                | State::Admitting(_)
                | State::Receiving(_)
                | State::Preparing(_)
                | State::Prepared { .. }
                | State::Starting(_)
                | State::Tailing
                | State::Fenced
                | State::Over(_) => {}
            },
            Heard::Undecided => match &mut self.state {
                // It answers, so that no word of an operator is taken; it is asked again.
                State::Prepared {
                    doubt: doubt @ (None | Some(Doubt::LinkLost | Doubt::NoAnswer)),
                    asked,
                } => {
                    *doubt = None;
                    *asked = (*asked).min(timing::QUESTIONS - 1);
                }
                State::Prepared { .. }
                | State::Describing(..)
                | State::Admitting(_)
                | State::Receiving(_)
                | State::Preparing(_)
                | State::Starting(_)
                | State::Running { .. }
                | State::Tailing
                | State::Fenced
                | State::Over(_) => {}
            },
            Heard::Unknown => match self.state {
                State::Prepared { .. } => {
                    let doubt = match cx.link.is_some_and(|link| link.boot == self.peer_boot) {
                        true => Doubt::PeerForgot,
                        false => Doubt::PeerReset,
                    };
                    self.doubt(doubt, cx);
                }
                // It has nothing left to release.
                State::Running { .. } => {
                    cx.settle(self.id, self.peer);
                    self.over(Outcome::Arrived, cx);
                }
                State::Describing(..)
                | State::Admitting(_)
                | State::Receiving(_)
                | State::Preparing(_)
                | State::Starting(_)
                | State::Tailing
                | State::Fenced
                | State::Over(_) => {}
            },
        }
    }

    /// An end of blobs, of a round or of all.
    fn end_heard(&mut self, heard: &Heard<'_>, cx: &mut Context<'_>) {
        let handover = self.id;
        match self.state {
            State::Receiving(connection) => {
                self.deadline = cx.now + timing::TRANSLATION + timing::SILENCE;
                cx.push(match *heard {
                    Heard::RoundEnd(round) => Effect::FinishRound { handover, round },
                    Heard::StateEnd => {
                        self.state = State::Preparing(connection);
                        Effect::Prepare { handover }
                    }
                    Heard::BlobsEnd
                    | Heard::Commit
                    | Heard::Abandon(_)
                    | Heard::Released
                    | Heard::Undecided
                    | Heard::Unknown => Effect::MakeReady { handover },
                });
            }
            State::Describing(..) | State::Admitting(_) => self.refuse(Reason::Protocol, cx),
            // Said again.
            State::Preparing(_)
            | State::Prepared { .. }
            | State::Starting(_)
            | State::Running { .. }
            | State::Tailing
            | State::Fenced
            | State::Over(_) => {}
        }
    }

    fn done(&mut self, done: &Done, cx: &mut Context<'_>) {
        let handover = self.id;
        match (done, &self.state) {
            (Done::Admitted { missing }, &State::Admitting(connection)) => {
                self.state = State::Receiving(connection);
                self.missing = missing.iter().copied().collect();
                self.deadline = cx.now + timing::SILENCE;
                for hashes in missing.chunks(crate::limits::MIGRATION_MISSING_BLOBS) {
                    let hashes = hashes.into();
                    cx.send(connection, Message::Missing { handover, hashes });
                }
                cx.send(connection, Message::Accept { handover });
            }
            (Done::Ready, &State::Receiving(connection)) => {
                self.deadline = cx.now + timing::SILENCE;
                cx.send(connection, Message::Ready { handover });
            }
            (&Done::RoundStored { round }, &State::Receiving(connection)) => {
                self.deadline = cx.now + timing::SILENCE;
                cx.send(connection, Message::RoundDone { handover, round });
            }
            (Done::Prepared, &State::Preparing(connection)) => {
                self.state = State::Prepared {
                    doubt: None,
                    asked: 0,
                };
                self.deadline = cx.now + timing::question(0);
                cx.send(connection, Message::Prepared { handover });
            }
            (Done::Running, &State::Starting(by)) => {
                cx.write(self.id, self.peer, Verdict::Ran, Settled::No);
                self.state = State::Running {
                    by,
                    until: cx.now + timing::TELLING,
                    asked: 0,
                };
                self.tell(cx);
            }
            (
                Done::Failed(reason),
                State::Describing(..)
                | State::Admitting(_)
                | State::Receiving(_)
                | State::Preparing(_)
                | State::Starting(_),
            ) => self.refuse(reason.clone(), cx),
            (Done::Ended, State::Fenced) => self.drop_fenced(Reason::Ended, cx),
            // What a driver reports of a step that is over already.
            _ => {}
        }
    }

    fn late(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Describing(..)
            | State::Admitting(_)
            | State::Receiving(_)
            | State::Preparing(_) => self.refuse(Reason::TimedOut, cx),
            State::Prepared { .. } => {
                self.ask(cx);
                if cx.link.is_none() {
                    cx.dial(self.peer);
                }
            }
            State::Running { by, until, .. } => {
                if by == Authority::Commit && cx.now >= until {
                    // The source still asks, if it comes back: the ledger answers.
                    return self.over(Outcome::Arrived, cx);
                }
                self.tell(cx);
                if cx.link.is_none() {
                    cx.dial(self.peer);
                }
            }
            State::Tailing => self.over(Outcome::Arrived, cx),
            State::Starting(_) | State::Fenced | State::Over(_) => {}
        }
    }

    /// Asks the source what became of the attempt.
    fn ask(&mut self, cx: &mut Context<'_>) {
        let State::Prepared { doubt, asked } = &mut self.state else {
            return;
        };
        let handover = self.id;
        cx.send_by_link(Message::Status { handover });
        self.deadline = cx.now + timing::question(*asked);
        *asked = asked.saturating_add(1);
        if *asked > timing::QUESTIONS && doubt.is_none() {
            self.doubt(Doubt::NoAnswer, cx);
        }
    }

    /// Runs the copy: on COMMIT, or by an operator's word.
    fn start(&mut self, by: Authority, cx: &mut Context<'_>) {
        self.state = State::Starting(by);
        let (handover, epoch) = (self.id, self.id.epoch);
        cx.push(Effect::Run { handover, epoch });
    }

    /// Tells the source that the instance runs.
    fn tell(&mut self, cx: &mut Context<'_>) {
        let State::Running { asked, .. } = &mut self.state else {
            return;
        };
        let handover = self.id;
        cx.send_by_link(Message::Running { handover });
        self.deadline = cx.now + timing::question(*asked);
        *asked = asked.saturating_add(1);
        if cx.link.is_none() && *asked == 1 {
            cx.dial(self.peer);
        }
    }

    /// The source runs the instance by an operator's word, though this node does too: the source's is
    /// the one.
    fn fence(&mut self, cx: &mut Context<'_>) {
        // What it says once is heard: an operator may let the copy run on.
        cx.write(self.id, self.peer, Verdict::Void, Settled::Yes);
        self.state = State::Fenced;
        let handover = self.id;
        cx.push(Effect::Fence { handover });
        let doubt = Doubt::Fenced;
        cx.push(Effect::Doubted { handover, doubt });
        self.answer_unknown(cx);
    }

    /// The source need not say again that the attempt is void.
    fn answer_unknown(&self, cx: &mut Context<'_>) {
        let (handover, asked) = (self.id, cx.role);
        cx.send_by_link(Message::Unknown { handover, asked });
    }

    /// Refuses this epoch for ever, and says so. It has not run here.
    fn refuse(&mut self, reason: Reason, cx: &mut Context<'_>) {
        let refused = Message::Refused {
            handover: self.id,
            reason: reason.clone(),
        };
        // Written down before it is said.
        self.discard(reason, Settled::No, cx);
        cx.send_by_link(refused);
    }

    /// Drops the copy. If the source may ask for it, it hears that this epoch is refused.
    fn discard(&mut self, reason: Reason, settled: Settled, cx: &mut Context<'_>) {
        if !self.is_receiving() {
            cx.write(self.id, self.peer, Verdict::Refused, settled);
        }
        cx.push(Effect::Discard { handover: self.id });
        self.over(Outcome::NotArrived(reason), cx);
    }

    /// Gives a fenced copy up. It ran here: nothing is written that says that it did not.
    fn drop_fenced(&mut self, reason: Reason, cx: &mut Context<'_>) {
        cx.push(Effect::Discard { handover: self.id });
        self.over(Outcome::NotArrived(reason), cx);
    }

    fn doubt(&mut self, why: Doubt, cx: &mut Context<'_>) {
        if let State::Prepared { doubt, .. } = &mut self.state
            && *doubt != Some(why)
        {
            *doubt = Some(why);
            let handover = self.id;
            cx.push(Effect::Doubted {
                handover,
                doubt: why,
            });
        }
    }

    fn over(&mut self, outcome: Outcome, cx: &mut Context<'_>) {
        self.state = State::Over(outcome.clone());
        let handover = self.id;
        cx.push(Effect::Over { handover, outcome });
    }
}
