//! [`Source`]: the state machine of the node that has the instance.
//!
//! It owns the instance until it says COMMIT, in one place (`Source::commit`); every failure before lets
//! the instance run on. From then on the instance runs here again only when the target has refused, or by
//! an operator's word.

mod seen;
mod state;
mod together;

pub use state::Progress;
pub(super) use state::{Event, Heard};

use super::context::Context;
use super::convergence::{Convergence, Decision, FULL_SHARE_PPM};
use super::group::GroupId;
use super::ledger::{Settled, Verdict};
use super::{BootId, ConnectionId, Done, Doubt, Effect, HandoverId, Message, Mode, NodeId, Order};
use super::{ORIGINS_VERSION, Outcome, Reason, timing};
use crate::limits;
use crate::machine::Time;
use state::{State, Step};

/// One hand-over at its source.
#[derive(Debug)]
pub(super) struct Source {
    pub id: HandoverId,
    pub peer: NodeId,
    order: Order,
    state: State,
    /// The target's boot when the offer was made.
    peer_boot: Option<BootId>,
    /// Those that it waits for, as long as it does.
    group: Option<GroupId>,
    /// Whether it could have been stopped when it was looked at last, and was not,
    is_near: bool,
    /// and whether that was because all others could be.
    last_look: LastLook,
    /// Blobs that the target has named as missing.
    missing: usize,
    convergence: Convergence,
    progress: Progress,
    /// When the present state has lasted too long.
    deadline: Time,
}

/// Whether a member of a group is looked at because all others could be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastLook {
    Yes,
    No,
}

impl Source {
    /// Offers an instance, as soon as there is a connection; alone, or with a group.
    pub fn new(
        id: HandoverId,
        order: Order,
        group: Option<GroupId>,
        cx: &mut Context<'_>,
    ) -> Source {
        let mut source = Source {
            id,
            peer: order.peer,
            convergence: Convergence::new(order.goals, cx.now),
            order,
            state: State::Dialing,
            peer_boot: None,
            group,
            is_near: false,
            last_look: LastLook::No,
            missing: 0,
            progress: Progress {
                share_ppm: FULL_SHARE_PPM,
                ..Progress::default()
            },
            deadline: cx.now + timing::ADMISSION,
        };
        match cx.link {
            Some(_) => source.linked(cx),
            None => cx.dial(source.peer),
        }
        source
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
            Event::Superseded => match self.state {
                // A later epoch runs elsewhere, so this one was handed over.
                State::Committed { .. } => {
                    self.release(cx);
                    self.over(Outcome::Moved, cx);
                }
                // Whoever still sends here finds the instance here again soon.
                State::Forwarding => self.over(Outcome::Moved, cx),
                State::Dialing
                | State::Offered(_)
                | State::Copying(..)
                | State::Freezing(_)
                | State::Frozen(_)
                | State::Ready(_)
                | State::Over(_) => {}
            },
        }
    }

    fn linked(&mut self, cx: &mut Context<'_>) {
        let Some(link) = cx.link else {
            return;
        };
        match &mut self.state {
            State::Dialing => {
                self.peer_boot = Some(link.boot);
                self.state = State::Offered(link.connection);
                let (handover, connection) = (self.id, link.connection);
                let offer = self.order.offer.clone();
                cx.send(connection, Message::Offer { handover, offer });
                cx.push(Effect::Describe {
                    handover,
                    connection,
                });
            }
            State::Committed { doubt, asked } => {
                if self.peer_boot != Some(link.boot) {
                    return self.doubt(Doubt::PeerReset, cx);
                }
                match doubt {
                    Some(Doubt::PeerReset | Doubt::PeerForgot | Doubt::Fenced) => return,
                    // The target will answer: no word of an operator is taken meanwhile.
                    None | Some(Doubt::LinkLost | Doubt::NoAnswer) => (*doubt, *asked) = (None, 0),
                }
                self.ask(cx);
            }
            State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_)
            | State::Forwarding
            | State::Over(_) => {}
        }
    }

    fn unlinked(&mut self, lost: ConnectionId, cx: &mut Context<'_>) {
        match self.state {
            State::Offered(connection)
            | State::Copying(connection, _)
            | State::Freezing(connection)
            | State::Frozen(connection)
            | State::Ready(connection) => {
                if connection == lost {
                    self.stay(Reason::LinkLost, cx);
                }
            }
            State::Committed { doubt, .. } => {
                if cx.link.is_none() {
                    if doubt.is_none() {
                        self.doubt(Doubt::LinkLost, cx);
                    }
                    cx.dial(self.peer);
                } else {
                    self.ask(cx);
                }
            }
            State::Dialing | State::Forwarding | State::Over(_) => {}
        }
    }

    fn heard(&mut self, heard: Heard<'_>, cx: &mut Context<'_>) {
        let copying = match self.state {
            State::Offered(connection)
            | State::Copying(connection, _)
            | State::Freezing(connection)
            | State::Frozen(connection)
            | State::Ready(connection) => Some(connection),
            State::Dialing | State::Committed { .. } | State::Forwarding | State::Over(_) => None,
        };
        match heard {
            Heard::Missing(blobs) => match self.state {
                State::Offered(_) => {
                    self.missing += blobs;
                    if self.missing > limits::IMAGE_BLOBS {
                        self.stay(Reason::Protocol, cx);
                    }
                }
                // All of them are named before the offer is accepted.
                State::Copying(..) | State::Freezing(_) | State::Frozen(_) | State::Ready(_) => {
                    self.stay(Reason::Protocol, cx);
                }
                State::Dialing | State::Committed { .. } | State::Forwarding | State::Over(_) => {}
            },
            Heard::Accept => self.accepted(cx),
            Heard::Ready => self.ready(cx),
            Heard::RoundDone(round) => self.round_done(round, cx),
            Heard::Prepared => match self.state {
                State::Frozen(connection) => self.prepared(connection, cx),
                // Said again.
                State::Ready(_) => {}
                State::Committed { .. } => self.ask(cx),
                // A target that was prepared before its state came is no target.
                State::Offered(_) | State::Copying(..) | State::Freezing(_) => {
                    self.stay(Reason::Protocol, cx);
                }
                State::Dialing | State::Forwarding | State::Over(_) => {}
            },
            Heard::Refused(reason) => match self.state {
                // A target that was prepared writes a refusal down before it says it, so that the epoch is
                // void; it hears that it need not remember.
                State::Offered(_)
                | State::Copying(..)
                | State::Freezing(_)
                | State::Frozen(_)
                | State::Ready(_)
                | State::Committed { .. } => {
                    let (handover, reason) = (self.id, reason.clone());
                    self.resume(reason.clone(), Settled::Yes, cx);
                    cx.send_by_link(Message::Abandon { handover, reason });
                }
                State::Dialing | State::Forwarding | State::Over(_) => {}
            },
            Heard::Running => match self.state {
                State::Committed { .. } => self.release(cx),
                State::Forwarding => {
                    let handover = self.id;
                    cx.send_by_link(Message::Released { handover });
                }
                // It was prepared, lost the connection, and runs by an operator's word: the copy here
                // stands, and need not run.
                State::Frozen(_) | State::Ready(_) => self.release(cx),
                // It was told nothing of the kind.
                State::Offered(_) | State::Copying(..) | State::Freezing(_) => {
                    self.stay(Reason::Protocol, cx);
                }
                State::Dialing | State::Over(_) => {}
            },
            Heard::Status => match self.state {
                State::Committed { .. } | State::Forwarding => {
                    let handover = self.id;
                    cx.send_by_link(Message::Commit { handover });
                }
                // Not decided: it asks again.
                State::Ready(_) if cx.link.is_some_and(|link| link.version >= ORIGINS_VERSION) => {
                    let handover = self.id;
                    cx.send_by_link(Message::Undecided { handover });
                }
                State::Dialing
                | State::Offered(_)
                | State::Copying(..)
                | State::Freezing(_)
                | State::Frozen(_)
                | State::Ready(_)
                | State::Over(_) => {}
            },
            Heard::Unknown => match (&self.state, copying) {
                (State::Committed { .. }, _) => {
                    let doubt = match cx.link.map(|link| link.boot) == self.peer_boot {
                        true => Doubt::PeerForgot,
                        false => Doubt::PeerReset,
                    };
                    self.doubt(doubt, cx);
                }
                (_, Some(_)) => self.stay(Reason::Stale, cx),
                (_, None) => {}
            },
        }
    }

    fn accepted(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Offered(connection) => {
                self.state = State::Copying(connection, Step::Blobs);
                self.deadline = cx.now + timing::SILENCE;
                let handover = self.id;
                cx.push(Effect::SendBlobs {
                    handover,
                    connection,
                });
            }
            State::Dialing
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_)
            | State::Committed { .. }
            | State::Forwarding
            | State::Over(_) => {}
        }
    }

    /// The target has the program.
    fn ready(&mut self, cx: &mut Context<'_>) {
        match (&self.state, self.order.mode) {
            (&State::Copying(connection, Step::Ready), Mode::Live) => {
                self.convergence = Convergence::new(self.order.goals, cx.now);
                self.measure(connection, cx);
            }
            (&State::Copying(connection, Step::Ready), Mode::Cold) => self.near(connection, cx),
            // Not asked for, or said again.
            (_, Mode::Live | Mode::Cold) => {}
        }
    }

    fn round_done(&mut self, round: u32, cx: &mut Context<'_>) {
        match self.state {
            State::Copying(connection, Step::Stored { began, bytes })
                if round.checked_add(1) == Some(self.convergence.rounds()) =>
            {
                self.convergence.stored(bytes, cx.now.since(began));
                self.progress.bandwidth = self.convergence.bandwidth();
                self.measure(connection, cx);
            }
            // Not asked for, or said again.
            State::Dialing
            | State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_)
            | State::Ready(_)
            | State::Committed { .. }
            | State::Forwarding
            | State::Over(_) => {}
        }
    }

    fn done(&mut self, done: &Done, cx: &mut Context<'_>) {
        match (done, &self.state) {
            (Done::BlobsQueued, &State::Copying(connection, Step::Blobs)) => {
                self.state = State::Copying(connection, Step::Ready);
                self.deadline = cx.now + timing::TRANSLATION;
                let handover = self.id;
                cx.send(connection, Message::BlobsEnd { handover });
            }
            (Done::Progressed, State::Copying(_, Step::Blobs | Step::Queue { .. })) => {
                self.deadline = cx.now + timing::SILENCE;
            }
            (Done::Progressed, State::Freezing(_)) if self.order.mode == Mode::Cold => {
                self.deadline = cx.now + timing::SILENCE;
            }
            (
                &Done::Measured {
                    dirty_bytes,
                    state_bytes,
                },
                &State::Copying(connection, Step::Measure),
            ) => self.measured(connection, dirty_bytes, state_bytes, cx),
            (&Done::RoundQueued { bytes }, &State::Copying(connection, Step::Queue { began })) => {
                self.progress.sent_bytes += bytes;
                self.state = State::Copying(connection, Step::Stored { began, bytes });
                self.deadline = cx.now + timing::SILENCE;
                let (handover, round) = (self.id, self.convergence.rounds() - 1);
                cx.send(connection, Message::RoundEnd { handover, round });
            }
            (&Done::StateQueued { bytes }, &State::Freezing(connection)) => {
                self.progress.sent_bytes += bytes;
                self.state = State::Frozen(connection);
                self.deadline = cx.now
                    + match self.order.mode {
                        Mode::Live => timing::PREPARATION,
                        Mode::Cold => timing::SILENCE,
                    };
                let handover = self.id;
                cx.send(connection, Message::StateEnd { handover });
            }
            (
                Done::Failed(reason),
                State::Dialing
                | State::Offered(_)
                | State::Copying(..)
                | State::Freezing(_)
                | State::Frozen(_)
                | State::Ready(_),
            ) => self.stay(reason.clone(), cx),
            (Done::Ended, State::Dialing | State::Offered(_) | State::Copying(..)) => {
                self.stay(Reason::Ended, cx);
            }
            // What a driver reports of a step that is over already.
            _ => {}
        }
    }

    fn measure(&mut self, connection: ConnectionId, cx: &mut Context<'_>) {
        self.state = State::Copying(connection, Step::Measure);
        self.deadline = cx.now + timing::SILENCE;
        cx.push(Effect::Measure { handover: self.id });
    }

    /// Looks once more at what an instance that waits has changed.
    fn look_again(&mut self, last: LastLook, connection: ConnectionId, cx: &mut Context<'_>) {
        self.last_look = last;
        self.measure(connection, cx);
    }

    fn measured(
        &mut self,
        connection: ConnectionId,
        dirty_bytes: u64,
        state_bytes: u64,
        cx: &mut Context<'_>,
    ) {
        let before = self.convergence.share_ppm();
        let decision = match self.is_near {
            true => self.convergence.waited(cx.now, dirty_bytes, state_bytes),
            false => self.convergence.measured(cx.now, dirty_bytes, state_bytes),
        };
        self.is_near = false;
        self.progress = Progress {
            rounds: self.convergence.rounds(),
            sent_bytes: self.progress.sent_bytes,
            dirty_bytes,
            dirty_rate: self.convergence.dirty_rate(),
            bandwidth: self.convergence.bandwidth(),
            expected_downtime: self.convergence.expected_downtime(),
            share_ppm: self.convergence.share_ppm(),
        };
        match decision {
            Decision::Copy { share_ppm } => {
                self.last_look = LastLook::No;
                let handover = self.id;
                if share_ppm != before {
                    cx.push(Effect::Throttle {
                        handover,
                        share_ppm,
                    });
                }
                self.state = State::Copying(connection, Step::Queue { began: cx.now });
                self.deadline = cx.now + timing::SILENCE;
                cx.push(Effect::SendRound {
                    handover,
                    connection,
                });
            }
            Decision::Stop => self.near(connection, cx),
            Decision::GiveUp => self.stay(Reason::NotConverging, cx),
        }
    }

    /// Nothing is left to do but to stop the instance: at once, or when all of its group are as far.
    fn near(&mut self, connection: ConnectionId, cx: &mut Context<'_>) {
        match self.group {
            None => self.freeze(connection, cx),
            Some(_) => {
                self.is_near = true;
                self.state = State::Copying(connection, Step::Gate { since: cx.now });
                self.deadline = cx.now + timing::GATE;
            }
        }
    }

    /// The target is prepared: the instance is handed over at once, or when all of its group are prepared.
    fn prepared(&mut self, connection: ConnectionId, cx: &mut Context<'_>) {
        match self.group {
            None => self.commit(cx),
            Some(_) => {
                self.state = State::Ready(connection);
                self.deadline = cx.now + timing::SILENCE;
            }
        }
    }

    fn freeze(&mut self, connection: ConnectionId, cx: &mut Context<'_>) {
        self.state = State::Freezing(connection);
        self.deadline = cx.now
            + match self.order.mode {
                // However the link stalls, the instance stands for so long at most.
                Mode::Live => self.order.goals.most_downtime + timing::PREPARATION,
                Mode::Cold => timing::SILENCE,
            };
        let handover = self.id;
        cx.push(Effect::Freeze {
            handover,
            connection,
        });
    }

    /// The point of no return: the only place where COMMIT is decided. The instance stands, and the
    /// target has said that its copy is complete.
    fn commit(&mut self, cx: &mut Context<'_>) {
        self.state = State::Committed {
            doubt: None,
            asked: 0,
        };
        let (handover, peer) = (self.id, self.peer);
        self.ask(cx);
        cx.push(Effect::ForwardFrames { handover, peer });
    }

    /// Says COMMIT (again): whatever the answer, it tells what became of the attempt.
    fn ask(&mut self, cx: &mut Context<'_>) {
        let State::Committed { doubt, asked } = &mut self.state else {
            return;
        };
        let handover = self.id;
        cx.send_by_link(Message::Commit { handover });
        self.deadline = cx.now + timing::question(*asked);
        *asked = asked.saturating_add(1);
        if *asked > timing::QUESTIONS && doubt.is_none() {
            self.doubt(Doubt::NoAnswer, cx);
        }
    }

    fn late(&mut self, cx: &mut Context<'_>) {
        match self.state {
            // The others are late in their own time. It changes its memories meanwhile.
            State::Copying(connection, Step::Gate { .. }) => match self.order.mode {
                Mode::Live => self.look_again(LastLook::No, connection, cx),
                Mode::Cold => self.deadline = cx.now + timing::GATE,
            },
            State::Dialing
            | State::Offered(_)
            | State::Copying(..)
            | State::Freezing(_)
            | State::Frozen(_) => self.stay(Reason::TimedOut, cx),
            // Those that it waits for have their own time.
            State::Ready(_) => self.deadline = cx.now + timing::SILENCE,
            State::Committed { .. } => {
                self.ask(cx);
                if cx.link.is_none() {
                    cx.dial(self.peer);
                }
            }
            State::Forwarding => self.over(Outcome::Moved, cx),
            State::Over(_) => {}
        }
    }

    /// Gives the attempt up before COMMIT.
    fn stay(&mut self, reason: Reason, cx: &mut Context<'_>) {
        let told = !matches!(self.state, State::Dialing);
        if told {
            let abandon = Message::Abandon {
                handover: self.id,
                reason: reason.clone(),
            };
            cx.send_by_link(abandon);
        }
        let settled = match told {
            true => Settled::No,
            false => Settled::Yes,
        };
        self.resume(reason, settled, cx);
    }

    /// Lets the instance run on here; the attempt is void.
    fn resume(&mut self, reason: Reason, settled: Settled, cx: &mut Context<'_>) {
        cx.write(self.id, self.peer, Verdict::Void, settled);
        let (handover, epoch) = (self.id, self.id.epoch);
        cx.push(Effect::Resume { handover, epoch });
        self.over(Outcome::Stayed(reason), cx);
    }

    /// The target runs the instance.
    fn release(&mut self, cx: &mut Context<'_>) {
        cx.write(self.id, self.peer, Verdict::Moved, Settled::Yes);
        let handover = self.id;
        cx.push(Effect::Release { handover });
        cx.send_by_link(Message::Released { handover });
        self.state = State::Forwarding;
        self.deadline = cx.now + timing::FORWARDING;
    }

    fn doubt(&mut self, why: Doubt, cx: &mut Context<'_>) {
        if let State::Committed { doubt, .. } = &mut self.state
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
