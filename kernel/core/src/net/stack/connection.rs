//! One TCP connection: a smoltcp socket in a set of its own, and what smoltcp does not keep.
//!
//! A set of its own lets the stack find a segment's socket by its addresses, and lets it touch
//! only the sockets with something to do: smoltcp walks a whole set for every packet.

use super::capture::{Rollback, Verdict};
use super::facts::Facts;
use super::header::{Segment, Tuple};
use super::mirror::{Mirror, Unacknowledged};
use super::types::{NetError, SocketId};
use crate::machine::{Duration, Time};
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

/// How long a passive handshake may take before the peer is forgotten.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an active handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long sent bytes may stay unacknowledged (RFC 9293 section 3.8.3 asks for at least 100 s).
const USER_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest time between two retransmissions (smoltcp's bound). A connection that owes something and
/// has no earlier timer than this will not retransmit at all.
const LONGEST_RETRANSMISSION: Duration = Duration::from_secs(60);
/// Time between two questions to the peer of a restored connection.
const QUESTION_INTERVAL: Duration = Duration::from_secs(1);
/// Keep-alive probes that may stay unanswered.
const KEEPALIVE_PROBES: u32 = 4;

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A listener's, in its handshake.
    Handshake(SocketId),
    /// A listener's, waiting to be accepted.
    Queued(SocketId),
    /// The guest's.
    Guest,
    /// Nobody's: the guest closed it and the peer is not done.
    Lingering,
}

/// Whether the guest still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Bytes are kept for the guest.
    Open,
    /// Bytes are thrown away.
    Shut,
}

pub(super) struct Connection {
    pub(super) owner: Owner,
    pub(super) interface: usize,
    pub(super) tuple: Tuple,
    pub(super) reading: Reading,
    /// Why it ended, when not by both sides' FIN.
    pub(super) failure: Option<NetError>,
    /// When a lingering connection is given up.
    pub(super) linger_until: Option<Time>,
    /// When it was first seen in TIME-WAIT.
    pub(super) time_wait_since: Option<Time>,
    pub(super) keepalive: Option<Duration>,
    pub(super) facts: Facts,
    /// None where no cut is ever taken.
    mirror: Option<Mirror>,
    /// Of a restored connection: whether its peer is where it was.
    pub(super) rollback: Option<Rollback>,
    /// The state at the last look, to tell what changed.
    seen: State,
    /// In the queue of connections that want to send.
    pub(super) touched: bool,
    /// Was ever established: its neighbour was found.
    was_open: bool,
    /// Whether the guest has ended its direction and the socket is told later (see [`Self::end_writing`]).
    fin_waits: bool,
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
}

impl Connection {
    /// A connection around `spare`, not yet listening or connecting.
    pub(super) fn new(spare: SpareSocket, owner: Owner, interface: usize, tuple: Tuple) -> Self {
        let mut connection = Connection {
            owner,
            interface,
            tuple,
            reading: Reading::Open,
            failure: None,
            linger_until: None,
            time_wait_since: None,
            keepalive: None,
            facts: Facts::default(),
            mirror: spare.mirror,
            rollback: None,
            seen: State::Closed,
            touched: false,
            was_open: false,
            fin_waits: false,
            set: spare.set,
            handle: spare.handle,
        };
        let timeout = match owner {
            Owner::Handshake(_) => HANDSHAKE_TIMEOUT,
            Owner::Queued(_) | Owner::Guest | Owner::Lingering => CONNECT_TIMEOUT,
        };
        let socket = connection.socket_mut();
        // Guests write whole answers; holding back their last part until the peer's delayed
        // acknowledgement would cost 10 to 200 ms each (RFC 1122 section 4.2.3.4).
        socket.set_nagle_enabled(false);
        socket.set_keep_alive(None);
        socket.set_timeout(Some(timeout.into()));
        connection
    }

    pub(super) fn socket(&self) -> &Socket<'static> {
        self.set.get(self.handle)
    }

    pub(super) fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Its state as the guest knows it.
    pub(super) fn state(&self) -> State {
        match self.socket().state() {
            State::CloseWait if self.fin_waits => State::LastAck,
            state => state,
        }
    }

    /// Whether the guest may still write, now or later.
    pub(super) fn may_send(&self) -> bool {
        self.socket().may_send() && !self.fin_waits
    }

    /// Ends the guest's direction: a FIN goes out behind what was written.
    ///
    /// In LAST-ACK smoltcp 0.14 answers an acknowledgement that moves nothing before it reads its window, so it would
    /// never learn that a full peer has room again. So there the socket is told only when the peer has room for all
    /// that waits.
    pub(super) fn end_writing(&mut self) {
        let waits = self.socket().send_queue() > self.facts.window_bytes as usize;
        if self.socket().state() == State::CloseWait && waits {
            self.hold_fin();
        } else {
            self.socket_mut().close();
        }
    }

    /// Has the FIN wait for the peer's window.
    pub(super) fn hold_fin(&mut self) {
        self.fin_waits = true;
    }

    /// Tells the socket of an end that waited, when the peer has room for all before it.
    fn release_fin(&mut self) {
        if core::mem::take(&mut self.fin_waits) && self.socket().state() == State::CloseWait {
            self.end_writing();
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.state(), State::SynSent | State::SynReceived)
    }

    /// Notes the state in which a connection begins, so that its end is told from it.
    pub(super) fn begin(&mut self) {
        self.seen = self.state();
    }

    /// Goes on from where it was brought, with what was known of it.
    pub(super) fn resume(&mut self, facts: Facts) {
        self.facts = facts;
        self.begin();
        self.was_open = self.facts.sequence.is_some()
            && !self.is_handshaking()
            && self.state() != State::Closed;
        if !self.is_handshaking() {
            self.update_timeout();
        }
    }

    /// Breaks a restored connection off whose peer has gone on without it.
    pub(super) fn judge(&mut self, segment: &Segment, now: Time) {
        let socket = self.set.get::<Socket>(self.handle);
        let Some(rollback) = &mut self.rollback else {
            return;
        };
        let was_waiting = rollback.is_waiting();
        let verdict = rollback.judge(segment, &self.facts, socket, now);
        let is_trusted = was_waiting && !rollback.is_waiting();
        if verdict == Verdict::Apart {
            self.abort();
        } else if is_trusted {
            self.set_keepalive(self.keepalive);
        }
    }

    /// Asks the peer of a restored connection for a sign of where it stands, and sends nothing new before.
    pub(super) fn distrust(&mut self) {
        let Some(rollback) = &mut self.rollback else {
            return;
        };
        rollback.distrust();
        self.update_timeout();
        // One is due at once: what it asks is answered, an acknowledgement alone is not.
        self.socket_mut()
            .set_keep_alive(Some(QUESTION_INTERVAL.into()));
    }

    /// Whether what the guest writes must wait for a sign of the peer.
    pub(super) fn is_waiting_for_peer(&self) -> bool {
        self.rollback.as_ref().is_some_and(Rollback::is_waiting)
    }

    /// Whether an RST waits to be sent: smoltcp keeps the addresses until then. A peer that never
    /// answered is owed none: it may not exist, and looking for it for ever would keep the interface,
    /// which looks for one neighbour at a time, from finding others.
    pub(super) fn owes_reset(&self) -> bool {
        self.was_open && self.state() == State::Closed && self.socket().local_endpoint().is_some()
    }

    /// Whether our FIN is not acknowledged.
    fn owes_fin(&self) -> bool {
        matches!(
            self.state(),
            State::FinWait1 | State::Closing | State::LastAck
        )
    }

    /// Has a FIN sent again that smoltcp 0.14 has forgotten: tells whether it had.
    ///
    /// Three duplicate acknowledgements while only the FIN is out make smoltcp stop its
    /// retransmission timer in favour of a fast retransmission, which it then skips for want of
    /// bytes. Whatever it sends next is that FIN, so a due keep-alive brings it forth.
    pub(super) fn remind_of_fin(&mut self, now: Time, wanted: Option<Time>) -> bool {
        let is_timed = wanted.is_some_and(|at| at.since(now) <= LONGEST_RETRANSMISSION);
        if is_timed || !self.owes_fin() || self.socket().send_queue() > 0 {
            return false;
        }
        let keepalive = self.keepalive;
        let socket = self.socket_mut();
        // Setting it makes one due at once; setting it back leaves that one due.
        socket.set_keep_alive(Some(LONGEST_RETRANSMISSION.into()));
        socket.set_keep_alive(keepalive.map(|interval| interval.into()));
        true
    }

    pub(super) fn set_keepalive(&mut self, interval: Option<Duration>) {
        self.keepalive = interval;
        self.socket_mut()
            .set_keep_alive(interval.map(|interval| interval.into()));
        self.update_timeout();
    }

    /// Takes note of a segment that the socket, in state `before`, has just processed.
    pub(super) fn note(&mut self, segment: &Segment, frame: &[u8], before: State) {
        let socket = self.set.get::<Socket>(self.handle);
        self.facts.note(segment, frame, before, socket);
    }

    /// Takes note of what a segment or a timer did. `reset` tells that the segment was an RST.
    pub(super) fn observe(&mut self, reset: Reset) {
        self.release_fin();
        if self.reading == Reading::Shut && self.socket().can_recv() {
            self.discard_received();
            // Nobody will read, and what was to be said is said: the peer must not go on.
            if self.owner == Owner::Lingering && self.state() == State::FinWait2 {
                self.abort();
            }
        }
        let state = self.state();
        // A first look may find it half closed already.
        self.was_open |= !matches!(
            state,
            State::Closed | State::Listen | State::SynSent | State::SynReceived
        );
        if state == State::Closed && self.seen != State::Closed && self.failure.is_none() {
            self.failure = match (reset, self.seen) {
                (Reset::Received, State::SynSent) => Some(NetError::ConnectionRefused),
                (Reset::Received, State::LastAck | State::TimeWait | State::Closing) => None,
                (Reset::Received, _) => Some(NetError::ConnectionReset),
                (Reset::None, State::LastAck | State::TimeWait) => None,
                (Reset::None, _) => Some(NetError::TimedOut),
            };
        }
        self.seen = state;
        if !self.is_handshaking() {
            self.update_timeout();
        }
    }

    /// smoltcp's timeout runs on an idle connection too; so it is set only while bytes or the FIN
    /// are unacknowledged or keep-alive probes must be answered.
    fn update_timeout(&mut self) {
        let is_owing = self.owes_fin() || self.socket().send_queue() > 0;
        let timeout = match self.keepalive {
            Some(interval) => Some(interval.saturating_mul(KEEPALIVE_PROBES)),
            None if is_owing || self.is_waiting_for_peer() => Some(USER_TIMEOUT),
            None => None,
        };
        self.socket_mut()
            .set_timeout(timeout.map(|timeout| timeout.into()));
    }

    /// Breaks the connection off: one RST goes out with the next poll.
    pub(super) fn abort(&mut self) {
        if self.failure.is_none() {
            self.failure = Some(NetError::ConnectionReset);
        }
        self.socket_mut().abort();
        self.seen = State::Closed;
    }

    /// Takes bytes from the socket.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let read = self.socket_mut().recv_slice(buffer).unwrap_or(0);
        self.facts.read_bytes += read as u64;
        read
    }

    /// Shows bytes of the socket in place; as many are taken as `take` says.
    pub(super) fn read_with(&mut self, take: impl FnOnce(&[u8]) -> usize) -> usize {
        let show = |bytes: &mut [u8]| {
            let taken = take(bytes).min(bytes.len());
            (taken, taken)
        };
        let read = self.socket_mut().recv(show).unwrap_or(0);
        self.facts.read_bytes += read as u64;
        read
    }

    /// Gives bytes to the socket: how many it took.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let socket = self.set.get_mut::<Socket>(self.handle);
        let (queued, most) = (socket.send_queue(), socket.send_capacity());
        let written = socket.send_slice(bytes).unwrap_or(0);
        if let Some(mirror) = &mut self.mirror {
            mirror.push(&bytes[..written], queued, most);
        }
        self.facts.accepted_bytes += written as u64;
        written
    }

    /// The bytes that the peer has not acknowledged.
    pub(super) fn unacknowledged(&self) -> Unacknowledged {
        let queued = self.socket().send_queue();
        let mirror = self.mirror.as_ref();
        mirror.map_or_else(Unacknowledged::default, |mirror| mirror.bytes(queued))
    }

    /// Heap that those keep at most in a cut.
    pub(super) fn unacknowledged_bytes(&self) -> usize {
        self.mirror.as_ref().map_or(0, Mirror::shared_bytes)
    }

    pub(super) fn discard_received(&mut self) {
        let socket = self.set.get_mut::<Socket>(self.handle);
        while let Ok(read @ 1..) = socket.recv(|bytes| (bytes.len(), bytes.len())) {
            self.facts.read_bytes += read as u64;
        }
    }

    /// The socket, for another connection.
    pub(super) fn into_spare(mut self) -> SpareSocket {
        self.socket_mut().abort();
        if !self.was_open {
            // The set may still hold the socket back for a neighbour that was never found.
            let socket = self.set.remove(self.handle);
            self.set = SocketSet::new(Vec::with_capacity(1));
            if let smoltcp::socket::Socket::Tcp(socket) = socket {
                self.handle = self.set.add(socket);
            }
        }
        if let Some(mirror) = &mut self.mirror {
            mirror.clear();
        }
        SpareSocket {
            set: self.set,
            handle: self.handle,
            mirror: self.mirror,
        }
    }
}

/// Whether the segment at hand was an RST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    Received,
    None,
}

/// A socket without a connection. Its buffers are kept, so that a new connection need not fill
/// fresh ones with zeros.
pub(super) struct SpareSocket {
    set: SocketSet<'static>,
    handle: SocketHandle,
    mirror: Option<Mirror>,
}

/// Whether cuts are taken of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cuts {
    /// What its connections were given to send is remembered.
    Possible,
    /// It is the node's own.
    Never,
}

impl Cuts {
    /// Buffers of a socket's size that a spare may come to hold: both of its queues, and the mirror.
    pub(super) fn buffers(self) -> usize {
        match self {
            Cuts::Possible => 3,
            Cuts::Never => 2,
        }
    }
}

impl SpareSocket {
    /// Bytes of each of its buffers.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.set.get::<Socket>(self.handle).send_capacity()
    }

    pub(super) fn new(buffer_bytes: usize, cuts: Cuts) -> SpareSocket {
        let buffer = || SocketBuffer::new(vec![0; buffer_bytes]);
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(Socket::new(buffer(), buffer()));
        SpareSocket {
            set,
            handle,
            mirror: (cuts == Cuts::Possible).then(Mirror::default),
        }
    }
}
