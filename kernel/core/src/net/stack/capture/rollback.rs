//! Whether the peer of a restored connection has gone on without it.
//!
//! A cut that is restored after its original ran on is a rollback (D5): the peer knows bytes that this side has not
//! sent, or forgot bytes that this side has not received. Neither mends itself, and nothing would end it: so such
//! a connection is broken off, and the guest sees an error.

use super::super::facts::Facts;
use super::super::header::Segment;
use crate::machine::{Duration, Time};
use smoltcp::socket::tcp::Socket;

/// How long the peer may leave a gap while it speaks of what follows. One that still has the bytes sends them again:
/// after a second or two, and after two minutes at most (RFC 6298 section 2.5 asks for one at least, Linux has two).
const GAP: Duration = Duration::from_secs(150);

/// What speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    Together,
    /// Break it off.
    Apart,
}

/// Whether new bytes may be sent. Bytes that take the place of others which the peer has heard would be
/// acknowledged like those, and be lost unnoticed: so a peer that may know better is heard first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Trust {
    /// The original said nothing more after the cut.
    #[default]
    Given,
    /// The peer is to be asked.
    Wanted,
    /// It was asked; what it says next is an answer.
    Asked,
}

/// What a restored connection has noticed.
#[derive(Debug, Default)]
pub(in super::super) struct Rollback {
    trust: Trust,
    /// Since when the peer speaks only of what lies behind a gap.
    gap_since: Option<Time>,
}

impl Rollback {
    /// Nothing is believed of the peer before it was heard.
    pub(in super::super) fn distrust(&mut self) {
        self.trust = Trust::Wanted;
    }

    /// Whether new bytes must wait.
    pub(in super::super) fn is_waiting(&self) -> bool {
        self.trust != Trust::Given
    }

    /// Takes note of a segment to the peer.
    pub(in super::super) fn spoke(&mut self) {
        if self.trust == Trust::Wanted {
            self.trust = Trust::Asked;
        }
    }

    /// Looks at a segment that the socket has processed.
    pub(in super::super) fn judge(
        &mut self,
        segment: &Segment,
        facts: &Facts,
        socket: &Socket<'_>,
        now: Time,
    ) -> Verdict {
        let control = segment.control;
        if !control.ack || control.syn || control.rst {
            return Verdict::Together;
        }
        let is_after = |one: u32, other: u32| one.wrapping_sub(other) as i32 > 0;
        if let Some(sent) = facts.sent_up_to(socket.state())
            && is_after(segment.acknowledgement, sent)
        {
            return Verdict::Apart;
        }
        if facts
            .expected(socket)
            .is_none_or(|expected| !is_after(segment.sequence, expected))
        {
            self.gap_since = None;
            if self.trust == Trust::Asked {
                self.trust = Trust::Given;
            }
            return Verdict::Together;
        }
        // A peer that has nothing to send is no sign of anything, unless it answers so to the question where it stands:
        // what it holds for received is gone, and it may wait for ever for what would follow.
        if segment.payload_bytes == 0 && self.trust == Trust::Given {
            return Verdict::Together;
        }
        let since = *self.gap_since.get_or_insert(now);
        if now.since(since) < GAP {
            Verdict::Together
        } else {
            Verdict::Apart
        }
    }
}
