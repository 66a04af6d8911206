//! Moving frames: each goes to the connection it names, then those with something to say speak.

use super::Stack;
use super::connection::{Owner, Reset};
use super::header::{self, Kind, Segment, Tuple};
use super::interface::{instant, time};
use super::listen::Admission;
use super::time_wait;
use crate::limits;
use crate::machine::{Duration, Time};
use crate::net::fabric::Fabric;
use smoltcp::iface::PollResult;
use smoltcp::socket::tcp::State;

/// Frames taken from each port in one poll.
const INGRESS_FRAMES: usize = 64;
/// Segments that one connection may send before others get their turn: a window of 64 KiB in
/// ordinary segments, so that a bulk sender needs one poll for it.
const CONNECTION_EGRESS_FRAMES: usize = 48;
/// How long a socket may still speak in TIME-WAIT: a little less than smoltcp's ten seconds.
const TIME_WAIT_SPEECH: Duration = Duration::from_secs(9);
/// Segments that all connections together may send in one poll.
const EGRESS_FRAMES: usize = 256;

impl Stack {
    /// Takes frames from the instance's ports, runs the protocols and sends frames into the
    /// fabric. The work is bounded; [`Stack::next_poll`] tells whether some is left.
    pub fn poll(&mut self, now: Time, fabric: &mut Fabric) {
        self.now = self.now.max(now);
        let now = self.now;
        self.more = false;
        self.blocked = false;
        self.time_wait.expire(now);
        self.connections.touch_due(now);
        for number in 0..self.interfaces.len() {
            self.ingress(number, fabric, now);
        }
        for interface in &mut self.interfaces {
            interface.poll_services(fabric, now);
        }
        self.drop_unsendable(fabric, now);
        self.egress(fabric, now);
    }

    /// When the stack wants to be polled even if no frame arrives and the guest calls nothing.
    pub fn next_poll(&mut self, now: Time) -> Option<Time> {
        let busy = self.connections.touched() > 0
            || self.interfaces.iter().any(|interface| interface.touched);
        if self.more || (busy && !self.blocked) {
            return Some(now);
        }
        let retry = busy.then(|| now + limits::STACK_RETRY);
        let services = self.interfaces.iter().filter_map(|place| place.deadline);
        services
            .chain(self.connections.earliest())
            .chain(retry)
            .chain(self.udp_due)
            .min()
    }

    fn ingress(&mut self, number: usize, fabric: &mut Fabric, now: Time) {
        let (port, mac) = (self.interfaces[number].port, self.interfaces[number].mac);
        let mut neighbour = false;
        for _ in 0..INGRESS_FRAMES {
            let Some(frame) = fabric.take_received(port) else {
                break;
            };
            match header::classify(frame.bytes(), mac) {
                Kind::Foreign => {}
                Kind::Tcp(segment) => self.segment(number, frame.bytes(), &segment, fabric, now),
                Kind::Neighbour => {
                    neighbour = true;
                    self.interfaces[number].learn(frame.bytes());
                    self.interfaces[number].receive(fabric, now, frame.bytes());
                }
                Kind::Other => self.interfaces[number].receive(fabric, now, frame.bytes()),
            }
            fabric.recycle(frame);
        }
        if neighbour {
            self.connections.touch_interface(number);
        }
        self.more |= fabric.has_received(port);
    }

    /// Hands a segment to its connection, or to a listener, or has it refused.
    fn segment(
        &mut self,
        number: usize,
        frame: &[u8],
        segment: &Segment,
        fabric: &mut Fabric,
        now: Time,
    ) {
        let tuple = Tuple::new(number, segment.local, segment.remote);
        if let Some(slot) = self.connections.find(&tuple) {
            return self.feed(slot, frame, segment, fabric, now);
        }
        let interface = &mut self.interfaces[number];
        if self.time_wait.contains(&tuple) {
            if !segment.is_opening() {
                let (port, properties) = (interface.port, interface.properties);
                return time_wait::answer(fabric, port, properties, now, frame, segment);
            }
            self.time_wait.remove(&tuple);
        }
        if !segment.is_opening() {
            return interface.refuse(fabric, now, frame, &mut self.nobody);
        }
        match self.admit(tuple, segment) {
            Admission::Admitted(slot) => self.feed(slot, frame, segment, fabric, now),
            Admission::Dropped => {}
            Admission::Refused => {
                self.interfaces[number].refuse(fabric, now, frame, &mut self.nobody);
            }
        }
    }

    fn feed(&mut self, slot: u32, frame: &[u8], segment: &Segment, fabric: &mut Fabric, now: Time) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let interface = &mut self.interfaces[connection.interface];
        let before = connection.state();
        let mut wire = interface.wire(fabric, now, Some(frame), usize::MAX);
        interface
            .inner
            .poll_ingress_single(instant(now), &mut wire, &mut connection.set);
        connection.note(segment, frame, before);
        let reset = if segment.control.rst {
            Reset::Received
        } else {
            Reset::None
        };
        if connection.state() != State::Closed {
            connection.judge(segment, now);
        }
        connection.observe(reset);
        self.connections.touch(slot);
        self.advance(slot);
    }

    /// Acts on what a segment or a timer did to a connection.
    fn advance(&mut self, slot: u32) {
        if let Some(connection) = self.connections.get(slot)
            && let Owner::Handshake(listener) = connection.owner
        {
            self.advance_handshake(slot, listener);
        }
    }

    fn egress(&mut self, fabric: &mut Fabric, now: Time) {
        let mut budget = EGRESS_FRAMES;
        // Connections that are touched meanwhile wait for the next poll.
        for _ in 0..self.connections.touched() {
            if budget == 0 {
                break;
            }
            let Some(slot) = self.connections.next_touched() else {
                break;
            };
            budget = budget.saturating_sub(self.speak(slot, fabric, now));
        }
    }

    /// Lets one connection send: returns how many frames it sent.
    fn speak(&mut self, slot: u32, fabric: &mut Fabric, now: Time) -> usize {
        let Some(connection) = self.connections.get_mut(slot) else {
            return 0;
        };
        if connection.linger_until.is_some_and(|until| until <= now) {
            connection.linger_until = None;
            connection.abort();
        }
        if connection.state() == State::TimeWait {
            let since = *connection.time_wait_since.get_or_insert(now);
            // At its end smoltcp empties the receive buffer, which the guest may still want to
            // read: so the socket rests as it is until the guest closes it.
            if connection.owner == Owner::Guest && now.since(since) >= TIME_WAIT_SPEECH {
                return 0;
            }
        }
        // One of the node's own that ended may have outlived the node's interface.
        let Some(interface) = self.interfaces.get_mut(connection.interface) else {
            return 0;
        };
        let room = fabric
            .transmit_room(interface.port)
            .min(CONNECTION_EGRESS_FRAMES);
        let mut syn = None;
        let is_handshaking = connection.is_handshaking();
        let mut wire = interface.wire(fabric, now, None, room);
        wire.syn = is_handshaking.then_some(&mut syn);
        while wire.room > 0 {
            // One packet at most comes out of each round.
            let sent = interface
                .inner
                .poll_egress(instant(now), &mut wire, &mut connection.set);
            if sent == PollResult::None {
                break;
            }
        }
        let pause = match (wire.room, room) {
            (1.., _) => Pause::Silent,
            (0, CONNECTION_EGRESS_FRAMES) => Pause::Quota,
            (0, _) => Pause::Blocked,
        };
        let sent = room - wire.room;
        connection.facts.sequence = connection.facts.sequence.or(syn);
        if sent > 0
            && let Some(rollback) = &mut connection.rollback
        {
            rollback.spoke();
        }
        connection.observe(Reset::None);
        self.advance(slot);
        self.rest(slot, pause, now);
        sent
    }

    /// Decides when a connection that has spoken is visited again, or whether it is over.
    fn rest(&mut self, slot: u32, pause: Pause, now: Time) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        match pause {
            Pause::Silent => {}
            Pause::Quota => return self.connections.touch(slot),
            Pause::Blocked => {
                self.blocked = true;
                return self.connections.touch(slot);
            }
        }
        let interface = &mut self.interfaces[connection.interface];
        let wanted = interface.inner.poll_at(instant(now), &connection.set);
        let wanted = wanted.map(|at| time(at).max(now + limits::STACK_RETRY));
        if connection.remind_of_fin(now, wanted) {
            let soon = now + limits::STACK_RETRY;
            return self.connections.set_deadline(slot, Some(soon));
        }
        let (owner, state) = (connection.owner, connection.state());
        if owner == Owner::Lingering && state == State::Closed && !connection.owes_reset() {
            return self.connections.remove(slot);
        }
        // Only its last timer runs: the FIN is acknowledged.
        let acknowledged = wanted.is_none_or(|at| at.since(now) > TIME_WAIT_SPEECH / 2);
        if state == State::TimeWait && acknowledged {
            if owner == Owner::Lingering {
                self.time_wait.insert(connection.tuple, now);
                return self.connections.remove(slot);
            }
            return self.connections.set_deadline(slot, None);
        }
        let deadline = wanted.into_iter().chain(connection.linger_until).min();
        self.connections.set_deadline(slot, deadline);
    }
}

/// Why a connection stopped sending.
enum Pause {
    /// It had nothing more to say.
    Silent,
    /// Others get their turn.
    Quota,
    /// The NIC's queue is full.
    Blocked,
}
