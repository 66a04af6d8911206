//! Pages and states of instances that leave, on their way to the connections: as much in a turn as there is
//! room for.

use super::super::Kernel;
use super::pace::Pace;
use crate::machine::{FrozenMemory, Time};
use crate::migrate::{ConnectionId, Done, HandoverId, Next, Outgoing, Role};
use crate::snapshot::parts::CutPages;
use alloc::vec::Vec;

/// Steps that one instance's contents may take in one turn; each looks at a bounded number of pages.
const STEPS_PER_TURN: usize = 64;

/// Something that is being sent.
pub(super) struct Sending {
    connection: ConnectionId,
    outgoing: Outgoing,
    pages: CutPages,
    what: What,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Description,
    Blobs,
    Round,
    State,
}

impl Sending {
    fn new(connection: ConnectionId, outgoing: Outgoing, pages: CutPages, what: What) -> Sending {
        Sending {
            connection,
            outgoing,
            pages,
            what,
            bytes: 0,
        }
    }

    pub fn description(connection: ConnectionId, outgoing: Outgoing) -> Sending {
        Sending::new(connection, outgoing, no_pages(), What::Description)
    }

    pub fn blobs(connection: ConnectionId, outgoing: Outgoing) -> Sending {
        Sending::new(connection, outgoing, no_pages(), What::Blobs)
    }

    pub fn round(connection: ConnectionId, outgoing: Outgoing, pages: CutPages) -> Sending {
        Sending::new(connection, outgoing, pages, What::Round)
    }

    pub fn state(connection: ConnectionId, outgoing: Outgoing, pages: CutPages) -> Sending {
        Sending::new(connection, outgoing, pages, What::State)
    }

    /// What the protocol hears when all of it was sent.
    fn done(&self) -> Option<Done> {
        let bytes = self.bytes;
        match self.what {
            What::Description => None,
            What::Blobs => Some(Done::BlobsQueued),
            What::Round => Some(Done::RoundQueued { bytes }),
            What::State => Some(Done::StateQueued { bytes }),
        }
    }
}

fn no_pages() -> CutPages {
    CutPages::new(Vec::<FrozenMemory>::new(), None)
}

impl Kernel {
    /// Whether something can be sent at once.
    pub(super) fn has_contents_to_send(&self, now: Time) -> bool {
        let mut leaving = self.moves.leaving.values();
        leaving.any(|leaving| {
            leaving.sending.as_ref().is_some_and(|sending| {
                self.has_room(sending.connection) && leaving.pace.due(now).is_none()
            })
        })
    }

    /// When more may be sent of what is held back for its pace.
    pub(super) fn contents_due(&self) -> Option<Time> {
        let now = self.clock.now();
        let held_back = self.moves.leaving.values();
        let held_back = held_back.filter(|leaving| leaving.sending.is_some());
        held_back
            .filter_map(|leaving| Pace::due(&leaving.pace, now))
            .min()
    }

    /// Sends as much as there is room for.
    pub(super) fn send_contents(&mut self) {
        let sending = self.moves.leaving.iter();
        let sending = sending.filter(|(_, leaving)| leaving.sending.is_some());
        let mut sending: Vec<HandoverId> = sending.map(|(&handover, _)| handover).collect();
        // Who comes first takes what room the connection has, so it is the next one in each turn.
        let served = self.moves.served;
        let next = sending.partition_point(|handover| Some(*handover) <= served);
        let count = sending.len().max(1);
        sending.rotate_left(next % count);
        self.moves.served = sending.first().copied();
        for handover in sending {
            if let Some(done) = self.send_some(handover) {
                self.report(Role::Source, handover, &done);
            }
        }
    }

    /// Sends some of what an instance sends; answers with what is to be reported of it.
    fn send_some(&mut self, handover: HandoverId) -> Option<Done> {
        let now = self.clock.now();
        let mut sending = self.moves.leaving.get_mut(&handover)?.sending.take()?;
        let (mut messages, mut done) = (0, None);
        for _ in 0..STEPS_PER_TURN {
            let leaving = self.moves.leaving.get(&handover)?;
            // The connection's room bounds what one turn sends.
            if leaving.pace.due(now).is_some() || !self.has_room(sending.connection) {
                break;
            }
            match sending.outgoing.step(&sending.pages) {
                Next::Working => {}
                Next::Message(bytes) => {
                    messages += 1;
                    sending.bytes += bytes.len() as u64;
                    let leaving = self.moves.leaving.get_mut(&handover)?;
                    leaving.bytes += bytes.len() as u64;
                    leaving.pace.spend(bytes.len(), now);
                    // There is room.
                    let _ = self.node.links.send(sending.connection, bytes);
                }
                Next::End => {
                    done = Some(sending.done());
                    break;
                }
            }
        }
        match done {
            Some(done) => {
                if sending.what == What::State {
                    let leaving = self.moves.leaving.get_mut(&handover)?;
                    leaving.stop.sent = Some(self.clock.now());
                }
                done
            }
            None => {
                self.moves.leaving.get_mut(&handover)?.sending = Some(sending);
                (messages > 0).then_some(Done::Progressed)
            }
        }
    }
}
