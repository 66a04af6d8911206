//! What smoltcp does not tell of a connection, noted as it happens, so that the connection can be rebuilt (D5).
//!
//! Both initial sequence numbers, what the peer offered in its SYN, and how many bytes went each way: with the
//! socket's own queues, and the bytes that are not acknowledged (`mirror`), these say where each direction stands.

use super::header::{self, Segment};
use serde::{Deserialize, Serialize};
use smoltcp::socket::tcp::{Socket, State};

/// What the peer said in its SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Its initial sequence number.
    pub sequence: u32,
    /// Largest segment that it takes.
    pub segment_bytes: Option<u16>,
    /// The shift of the windows that it announces later (RFC 7323).
    pub window_shift: Option<u8>,
    /// Whether it understands selective acknowledgements (RFC 2018).
    pub selective: bool,
}

/// What is noted of one connection.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Our initial sequence number, once it was sent.
    pub(super) sequence: Option<u32>,
    pub(super) opening: Option<Opening>,
    /// Bytes that the socket was given to send.
    pub(super) accepted_bytes: u64,
    /// Bytes that were taken from the socket.
    pub(super) read_bytes: u64,
    /// The peer's window in bytes, by the last segment that counted.
    pub(super) window_bytes: u32,
}

impl Facts {
    /// Takes note of a segment that the socket has just processed, in state `before`.
    pub(super) fn note(
        &mut self,
        segment: &Segment,
        frame: &[u8],
        before: State,
        socket: &Socket<'_>,
    ) {
        let state = socket.state();
        if segment.control.syn
            && matches!(before, State::Listen | State::SynSent)
            && matches!(state, State::SynReceived | State::Established)
        {
            self.opening = header::opening(frame);
            self.window_bytes = segment.window.into();
        }
        if !segment.control.ack || segment.control.rst {
            return;
        }
        if matches!(before, State::SynSent | State::SynReceived)
            && !matches!(
                state,
                State::SynSent | State::SynReceived | State::Closed | State::Listen
            )
        {
            self.sequence = Some(segment.acknowledgement.wrapping_sub(1));
        }
        // A segment that is older than another's word, or unacceptable, acknowledges something else.
        if !segment.control.syn && self.unacknowledged_from(socket) == Some(segment.acknowledgement)
        {
            let shift = self.opening.and_then(|opening| opening.window_shift);
            self.window_bytes = u32::from(segment.window) << shift.unwrap_or(0);
        }
    }

    /// The first sequence number that the peer has not acknowledged.
    pub(super) fn unacknowledged_from(&self, socket: &Socket<'_>) -> Option<u32> {
        let acknowledged = self.accepted_bytes - socket.send_queue() as u64;
        let fin = u32::from(is_fin_acknowledged(socket.state()));
        // SYN, bytes and FIN each take their place in the sequence (RFC 9293 section 3.4).
        Some(
            self.sequence?
                .wrapping_add(1 + fin)
                .wrapping_add(acknowledged as u32),
        )
    }

    /// The sequence number after the last that this side may ever have used.
    pub(super) fn sent_up_to(&self, state: State) -> Option<u32> {
        let fin = u32::from(is_fin_sent(state));
        Some(
            self.sequence?
                .wrapping_add(1 + fin)
                .wrapping_add(self.accepted_bytes as u32),
        )
    }

    /// The next sequence number that is expected of the peer.
    pub(super) fn expected(&self, socket: &Socket<'_>) -> Option<u32> {
        let fin = u32::from(is_fin_received(socket.state()));
        let received = self.read_bytes + socket.recv_queue() as u64;
        Some(
            self.opening?
                .sequence
                .wrapping_add(1 + fin)
                .wrapping_add(received as u32),
        )
    }
}

/// Whether the guest ended its direction, in a state in which the peer may still have to be told.
pub(super) fn is_fin_sent(state: State) -> bool {
    matches!(state, State::FinWait1 | State::Closing | State::LastAck) || is_fin_acknowledged(state)
}

/// Whether the peer has acknowledged our FIN.
pub(super) fn is_fin_acknowledged(state: State) -> bool {
    matches!(state, State::FinWait2 | State::TimeWait)
}

/// Whether the peer's FIN was received.
pub(super) fn is_fin_received(state: State) -> bool {
    matches!(
        state,
        State::CloseWait | State::Closing | State::LastAck | State::TimeWait
    )
}
