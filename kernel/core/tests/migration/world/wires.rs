//! Connections between nodes, and what goes over them.

use super::{Arriving, Connection, End, World, driver, node_id, pair};
use sos_core::machine::{Duration, Time};
use sos_core::migrate::{ConnectionId, Delivery, Message};

impl World {
    pub(super) fn cut_link(&mut self, a: usize, b: usize, arriving: Arriving) -> bool {
        for connection in self.connections.values_mut() {
            let nodes = pair(connection.ends[0].node, connection.ends[1].node);
            if connection.broken || nodes != pair(a, b) {
                continue;
            }
            connection.broken = true;
            for end in &mut connection.ends {
                let arrives = match arriving {
                    Arriving::None => false,
                    Arriving::To(node) => end.node == node,
                    Arriving::All => true,
                };
                if !arrives {
                    end.arriving.clear();
                }
            }
        }
        self.cut.insert(pair(a, b))
    }

    /// Heals all links.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Opens a connection between each two nodes, for whatever reason.
    pub fn meet(&mut self) {
        for to in 0..self.nodes.len() {
            for from in 0..to {
                self.connect(from, to);
            }
        }
    }

    pub(super) fn connect(&mut self, from: usize, to: usize) {
        self.next_connection += 1;
        let id = ConnectionId(self.next_connection);
        let end = |node| End {
            node,
            ..End::default()
        };
        let connection = Connection {
            ends: [end(from), end(to)],
            broken: false,
        };
        self.connections.insert(id, connection);
        for (number, peer) in [(from, to), (to, from)] {
            let machines = &mut self.nodes[number].machines;
            machines.connected(id, node_id(peer));
            self.carry_out(number);
        }
    }

    pub(super) fn lose(&mut self, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.ends[side].gone = true;
        let number = connection.ends[side].node;
        if connection.ends.iter().all(|end| end.gone) {
            self.connections.remove(&id);
        }
        let now = self.now;
        self.nodes[number].machines.disconnected(now, id);
        self.carry_out(number);
    }

    pub(super) fn deliver(&mut self, id: ConnectionId, side: usize) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = &mut connection.ends[side];
        let number = end.node;
        let Some(bytes) = end.arriving.pop_front() else {
            return;
        };
        let is_hello = matches!(Message::decode(&bytes), Ok(Message::Hello { .. }));
        let times = match core::mem::take(&mut self.repeat) && !is_hello {
            true => 2,
            false => 1,
        };
        for _ in 0..times {
            let now = self.now;
            let node = &mut self.nodes[number];
            let mut must_arrive = false;
            if let Ok(Message::Frame {
                handover, bytes, ..
            }) = Message::decode(&bytes)
            {
                let sent = Time::ZERO + driver::frame_sent(bytes);
                must_arrive = node.must_take_frames(handover, now)
                    && now.since(sent) < Duration::from_secs(1)
                    && !(self.was_reset || self.worded);
            }
            match node.machines.receive(now, id, &bytes) {
                Some((handover, delivery)) => {
                    node.store(handover, &delivery);
                    let is_frame = matches!(delivery, Delivery::Frame { .. });
                    self.frames_arrived += usize::from(is_frame);
                }
                None => assert!(!must_arrive, "a frame is dropped"),
            }
            self.carry_out(number);
        }
    }

    /// A frame reaches a port at which the instance was: it is passed on.
    pub(super) fn frame_reaches(&mut self, number: usize) -> bool {
        let forwarding = self.nodes[number].forwarding.clone();
        for (&handover, &to) in &forwarding {
            self.forward_frame(number, handover, to);
        }
        !forwarding.is_empty()
    }

    pub(super) fn send(&mut self, from: usize, id: ConnectionId, message: &Message<'_>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let bytes = message.encode().expect("a message of bounded length");
        let side = usize::from(connection.ends[0].node == from);
        assert_eq!(
            connection.ends[1 - side].node,
            from,
            "somebody else's connection"
        );
        if !connection.broken {
            connection.ends[side].arriving.push_back(bytes);
        }
    }
}
