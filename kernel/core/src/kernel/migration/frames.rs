//! Frames for an instance between two nodes: they wait where it stood, go after it, and the network is told
//! where it is now.

use super::super::Kernel;
use super::super::record::State;
use crate::machine::{Duration, Time};
use crate::migrate::{HandoverId, InstanceId, Message, NodeId};
use crate::net::fabric::PortId;
use alloc::vec::Vec;

/// Frames that one turn sends after one instance.
const FRAMES_PER_TURN: usize = 64;
/// When an instance that arrived is announced again: a frame may be lost, and switches learn late.
const ANNOUNCEMENTS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// An instance that arrived, and is announced again.
pub(super) struct Announcing {
    instance: InstanceId,
    /// How often it was.
    times: usize,
    pub due: Time,
}

impl Announcing {
    /// Whether it is this instance.
    pub fn is_of(&self, instance: InstanceId) -> bool {
        self.instance == instance
    }
}

impl Kernel {
    /// From now on frames go after the instance: those that the cut has are the cut's.
    pub(super) fn begin_forwarding(&mut self, handover: HandoverId, peer: NodeId) {
        let ports = self.ports_left(handover);
        let Some(leaving) = self.moves.leaving.get_mut(&handover) else {
            return;
        };
        leaving.forward_to = Some(peer);
        let taken = core::mem::take(&mut leaving.taken_frames);
        let mut kept = Vec::new();
        for (&port, count) in ports.iter().zip(taken) {
            for _ in 0..count {
                if let Some(frame) = self.fabric.take_received(port) {
                    kept.push((port, frame.bytes().to_vec()));
                    self.fabric.recycle(frame);
                }
            }
        }
        leaving.kept_frames = kept;
    }

    /// The ports of an instance that leaves or left.
    fn ports_left(&self, handover: HandoverId) -> Vec<PortId> {
        let Some(leaving) = self.moves.leaving.get(&handover) else {
            return Vec::new();
        };
        let record = self.key_of_move(handover);
        let record = record.map(|key| &self.records[key as usize]);
        match record.map(|record| (&record.state, record.spec.ports.len())) {
            Some((State::Live(live), count)) if leaving.ports.is_empty() => {
                live.ports.iter().take(count).copied().collect()
            }
            _ => leaving.ports.clone(),
        }
    }

    /// Whether frames wait that can be sent.
    pub(super) fn has_frames_to_forward(&self) -> bool {
        self.moves.leaving.iter().any(|(&handover, leaving)| {
            let link = leaving.forward_to.and_then(|peer| self.node.links.to(peer));
            link.is_some_and(|connection| self.has_room(connection))
                && self
                    .ports_left(handover)
                    .iter()
                    .any(|&port| self.fabric.has_received(port))
        })
    }

    /// Sends frames after the instances that they are for.
    pub(super) fn forward_frames(&mut self) {
        let leaving = self.moves.leaving.iter();
        let forwarding = leaving.filter_map(|(&id, leaving)| Some((id, leaving.forward_to?)));
        let forwarding: Vec<(HandoverId, NodeId)> = forwarding.collect();
        for (handover, peer) in forwarding {
            let Some(connection) = self.node.links.to(peer) else {
                continue;
            };
            let mut left = FRAMES_PER_TURN;
            for (number, port) in self.ports_left(handover).into_iter().enumerate() {
                while left > 0
                    && self.has_room(connection)
                    && let Some(frame) = self.fabric.take_received(port)
                {
                    left -= 1;
                    let message = Message::Frame {
                        handover,
                        port: number as u32,
                        bytes: frame.bytes(),
                    };
                    self.say(connection, &message);
                    self.fabric.recycle(frame);
                }
            }
        }
    }

    /// A frame came after its instance.
    pub(super) fn take_forwarded(&mut self, handover: HandoverId, port: u32, bytes: &[u8]) {
        let key = self.moves.coming.get(&handover).and_then(|it| it.key());
        // It may have moved on, and its place be another's.
        let key = key.filter(|&key| self.records[key as usize].instance == handover.instance);
        let Some(State::Live(live)) = key.map(|key| &self.records[key as usize].state) else {
            // It goes the way that the instance went.
            let mut left = self.moves.leaving.iter().filter(|(later, leaving)| {
                later.instance == handover.instance
                    && later.epoch > handover.epoch
                    && !leaving.ports.is_empty()
            });
            if let Some((_, leaving)) = left.next()
                && let Some(&port) = leaving.ports.get(port as usize)
            {
                self.fabric.put_frames(port, &[bytes.to_vec()]);
            }
            return;
        };
        let count = key.map_or(0, |key| self.records[key as usize].spec.ports.len());
        let ports = &live.ports[..count.min(live.ports.len())];
        if let Some(&port) = ports.get(port as usize) {
            self.fabric.put_frames(port, &[bytes.to_vec()]);
        }
    }

    /// An instance has arrived: it was announced once.
    pub(super) fn begin_announcing(&mut self, instance: InstanceId) {
        let due = self.clock.now() + ANNOUNCEMENTS[0];
        let announcing = &mut self.moves.announcing;
        announcing.retain(|other| other.instance != instance);
        let times = 0;
        announcing.push(Announcing {
            instance,
            times,
            due,
        });
    }

    /// Tells switches where the stations of an instance are, which may have no address to be announced by.
    pub(super) fn announce_stations(&mut self, key: u32) {
        let record = &self.records[key as usize];
        if let State::Live(live) = &record.state {
            let ports = live.ports.iter().take(record.spec.ports.len());
            ports.for_each(|&port| self.fabric.announce_station(port));
        }
    }

    /// Tells the network again where instances are that arrived.
    pub(super) fn announce_arrived(&mut self, now: Time) {
        if self.moves.announcing.iter().all(|it| it.due > now) {
            return;
        }
        let mut announcing = core::mem::take(&mut self.moves.announcing);
        let due = announcing.iter_mut().filter(|it| it.due <= now);
        for place in due {
            place.times += 1;
            let next = ANNOUNCEMENTS.get(place.times);
            place.due = next.map_or(now, |&wait| now + wait);
            let Some(key) = self.key_of_instance(place.instance) else {
                place.times = ANNOUNCEMENTS.len();
                continue;
            };
            if let Some(live) = self.records[key as usize].live() {
                live.execution.guest_mut().stack.announce();
            }
            self.announce_stations(key);
            self.poll_network(key);
        }
        announcing.retain(|place| place.times < ANNOUNCEMENTS.len());
        self.moves.announcing = announcing;
    }
}
