//! Whether the peer of a restored connection has gone on without it.
//!
//! A cut that is restored after its original ran on is a rollback (D5): the peer knows bytes that this side has not
//! sent, or forgot bytes that this side has not received. Neither mends itself, and nothing would end it: so such
//! a connection is broken off, and the guest sees an error.

use super::super::facts::Facts;
use super::super::header::Segment;
use crate::machine::{Duration, Time};
use smoltcp::socket::tcp::Socket;

/// How long the peer may leave a gap while it sends what follows. One that still has the bytes sends them again
/// after a second or two, and again.
const GAP: Duration = Duration::from_secs(30);

/// What speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    Together,
    /// Break it off.
    Apart,
}

/// What a restored connection has noticed.
#[derive(Debug, Default)]
pub(in super::super) struct Rollback {
    /// Since when the peer sends only what lies behind a gap.
    gap_since: Option<Time>,
}

impl Rollback {
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
