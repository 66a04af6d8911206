//! One connection from its facts: a handshake and what followed are played to a fresh socket.

use super::super::connection::{Connection, Owner, SpareSocket};
use super::super::facts::{Facts, Opening};
use super::super::header::Tuple;
use super::error::RestoreError;
use super::rollback::Rollback;
use super::script::{Line, Script};
use super::seed::seed_for;
use super::state::{ConnectionState, Ends, OpenState, Pace, Phase, Reading, Unacknowledged};
use crate::machine::Time;
use core::net::SocketAddr;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpEndpoint, IpListenEndpoint, TcpControl};

/// Bytes of one played segment: any that fits an IP packet would do.
const PIECE_BYTES: usize = 32 * 1024;
/// A window that does not matter: no byte is sent before the peer names another one.
const ANY_WINDOW: u16 = u16::MAX;

/// Makes the connection that `state` describes of `spare`. `seed` gives what the state leaves open.
pub(super) fn rebuild(
    state: &ConnectionState,
    owner: Owner,
    spare: SpareSocket,
    now: Time,
    seed: u64,
) -> Result<Connection, RestoreError> {
    let interface = state.interface as usize;
    let tuple = Tuple::new(interface, state.local, state.remote);
    let mut connection = Connection::new(spare, owner, interface, tuple);
    connection.reading = match state.reading {
        Reading::Open => super::super::connection::Reading::Open,
        Reading::Shut => super::super::connection::Reading::Shut,
    };
    connection.failure = state.failure;
    connection.linger_until = state.linger_until;
    connection.time_wait_since = state.time_wait_since;
    let ends = [state.local, state.remote];
    let facts = match &state.phase {
        Phase::Connecting { sequence } => {
            let mut script = script(ends, *sequence, seed, now);
            connect(&mut connection, &mut script, ends)?;
            Facts {
                sequence: *sequence,
                ..Facts::default()
            }
        }
        Phase::Answering { sequence, opening } => {
            let mut script = script(ends, *sequence, seed, now);
            match owner {
                Owner::Handshake(_) => listen(&mut connection, ends[0])?,
                // Both sides began at once.
                Owner::Guest | Owner::Queued(_) | Owner::Lingering => {
                    connect(&mut connection, &mut script, ends)?;
                }
            }
            script.open(&mut connection.set, opening, ANY_WINDOW);
            expect(&connection, State::SynReceived, 0, 0)?;
            Facts {
                sequence: *sequence,
                opening: Some(*opening),
                ..Facts::default()
            }
        }
        Phase::Open(open) => {
            play(&mut connection, open, ends, now)?;
            connection.rollback = Some(Rollback::default());
            Facts {
                sequence: Some(open.sequence),
                opening: Some(open.opening),
                accepted_bytes: open.accepted_bytes,
                read_bytes: open.read_bytes,
                window_bytes: open.window_bytes,
            }
        }
        Phase::Ended { unread } => {
            if !unread.is_empty() {
                play_end(&mut connection, unread, ends, now)?;
            }
            Facts::default()
        }
    };
    connection.resume(facts);
    let socket = connection.socket_mut();
    socket.set_nagle_enabled(state.pace == Pace::Gathered);
    if state.keepalive.is_some() {
        connection.set_keepalive(state.keepalive);
    }
    Ok(connection)
}

/// A script whose socket begins with `sequence`, or anywhere.
fn script(ends: [SocketAddr; 2], sequence: Option<u32>, seed: u64, now: Time) -> Script {
    Script::new(ends[0], ends[1], sequence.map_or(seed, seed_for), now)
}

fn listen(connection: &mut Connection, local: SocketAddr) -> Result<(), RestoreError> {
    let endpoint = IpListenEndpoint {
        addr: Some(local.ip().into()),
        port: local.port(),
    };
    let listening = connection.socket_mut().listen(endpoint);
    listening.map_err(|_| RestoreError::Diverged)
}

fn connect(
    connection: &mut Connection,
    script: &mut Script,
    [local, remote]: [SocketAddr; 2],
) -> Result<(), RestoreError> {
    let connected = connection.socket_mut().connect(
        script.context(),
        IpEndpoint::new(remote.ip().into(), remote.port()),
        IpEndpoint::new(local.ip().into(), local.port()),
    );
    connected.map_err(|_| RestoreError::Diverged)
}

/// Brings a socket to where an open connection stood. At the end it owes the peer an acknowledgement, so that
/// its first word tells where it stands; but not when both sides have ended.
fn play(
    connection: &mut Connection,
    open: &OpenState,
    ends: [SocketAddr; 2],
    now: Time,
) -> Result<(), RestoreError> {
    let acknowledged_bytes = open.accepted_bytes - open.unacknowledged.len() as u64;
    let our_next = open
        .sequence
        .wrapping_add(1)
        .wrapping_add(acknowledged_bytes as u32);
    let their_next = open
        .opening
        .sequence
        .wrapping_add(1)
        .wrapping_add(open.read_bytes as u32);
    // Where nothing was received that is not acknowledged, the byte before it is received once more.
    let has_fin = matches!(
        open.ends,
        Ends::Theirs | Ends::BothUnacknowledged | Ends::TheirsThenOurs | Ends::Both
    );
    let filler = u32::from(open.unread.is_empty() && !has_fin);
    let shift = open.opening.window_shift.unwrap_or(0);
    let mut peer = Peer {
        script: Script::new(ends[0], ends[1], seed_for(our_next.wrapping_sub(1)), now),
        next: their_next.wrapping_sub(filler),
        acknowledgement: our_next,
        window: u16::try_from(open.window_bytes >> shift).unwrap_or(u16::MAX),
    };
    connection.socket_mut().set_ack_delay(None);
    listen(connection, ends[0])?;
    peer.shake_hands(connection, &open.opening)?;
    if filler > 0 {
        peer.send(connection, &[0])?;
        let _ = connection.socket_mut().recv(|_| (1, ()));
    } else {
        peer.send(connection, &open.unread)?;
    }
    let close = |connection: &mut Connection| connection.socket_mut().close();
    match open.ends {
        Ends::None => send(connection, &open.unacknowledged),
        Ends::OursUnacknowledged => {
            send(connection, &open.unacknowledged);
            close(connection);
        }
        Ends::Ours => {
            close(connection);
            peer.acknowledge_fin(connection);
        }
        Ends::Theirs => {
            peer.finish(connection);
            send(connection, &open.unacknowledged);
        }
        Ends::BothUnacknowledged => {
            send(connection, &open.unacknowledged);
            close(connection);
            peer.finish(connection);
        }
        Ends::TheirsThenOurs => {
            peer.finish(connection);
            send(connection, &open.unacknowledged);
            // One that did not fit its peer's window had not sent its FIN either.
            if open.unacknowledged.len() > open.window_bytes as usize {
                connection.hold_fin();
            } else {
                close(connection);
            }
        }
        Ends::Both => {
            close(connection);
            peer.acknowledge_fin(connection);
            peer.finish(connection);
            // A peer that is through would answer an acknowledgement with RST; one that is not asks for it.
            peer.open_window(connection);
        }
    }
    connection
        .socket_mut()
        .set_ack_delay(Some(ACK_DELAY.into()));
    let (unread, queued) = (open.unread.len(), open.unacknowledged.len());
    expect(connection, open.ends.state(), unread, queued)
}

/// smoltcp's own.
const ACK_DELAY: crate::machine::Duration = crate::machine::Duration::from_millis(10);

/// Leaves bytes to be read in a socket that is closed.
fn play_end(
    connection: &mut Connection,
    unread: &[u8],
    ends: [SocketAddr; 2],
    now: Time,
) -> Result<(), RestoreError> {
    let opening = Opening {
        sequence: 0,
        segment_bytes: None,
        window_shift: None,
        selective: false,
    };
    let mut peer = Peer {
        script: Script::new(ends[0], ends[1], seed_for(0), now),
        next: 1,
        acknowledgement: 1,
        window: ANY_WINDOW,
    };
    listen(connection, ends[0])?;
    peer.shake_hands(connection, &opening)?;
    peer.send(connection, unread)?;
    peer.say(connection, TcpControl::Rst, &[]);
    expect(connection, State::Closed, unread.len(), 0)
}

fn send(connection: &mut Connection, bytes: &Unacknowledged) {
    for part in bytes.parts() {
        connection.write(part);
    }
}

fn expect(
    connection: &Connection,
    state: State,
    unread: usize,
    queued: usize,
) -> Result<(), RestoreError> {
    let socket = connection.socket();
    let is_as_wanted = connection.state() == state
        && socket.recv_queue() == unread
        && socket.send_queue() == queued;
    is_as_wanted.then_some(()).ok_or(RestoreError::Diverged)
}

/// The peer's side of a play.
struct Peer {
    script: Script,
    /// Its next sequence number.
    next: u32,
    /// What it acknowledges.
    acknowledgement: u32,
    window: u16,
}

impl Peer {
    /// SYN and acknowledgement. The socket takes the latter only if its sequence number is the one that was
    /// wanted, so a wrong seed is found out here.
    fn shake_hands(
        &mut self,
        connection: &mut Connection,
        opening: &Opening,
    ) -> Result<(), RestoreError> {
        let opening = Opening {
            sequence: self.next.wrapping_sub(1),
            ..*opening
        };
        self.script.open(&mut connection.set, &opening, ANY_WINDOW);
        self.say(connection, TcpControl::None, &[]);
        expect(connection, State::Established, 0, 0)?;
        self.open_window(connection);
        Ok(())
    }

    /// Sends bytes, which the socket has room for.
    fn send(&mut self, connection: &mut Connection, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = connection.socket().recv_queue();
            let piece = &rest[..rest.len().min(PIECE_BYTES)];
            if before > 0 {
                self.open_window(connection);
            }
            self.say(connection, TcpControl::None, piece);
            let taken = connection.socket().recv_queue() - before;
            if taken == 0 || taken > rest.len() {
                return Err(RestoreError::Diverged);
            }
            self.next = self.next.wrapping_add(taken as u32);
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// An old byte once more: the socket does not take it, but says what it takes, and holds to that.
    fn open_window(&mut self, connection: &mut Connection) {
        let line = Line {
            control: TcpControl::None,
            sequence: self.next.wrapping_sub(1),
            acknowledgement: Some(self.acknowledgement),
            window: self.window,
            payload: &[0],
        };
        self.script.say(&mut connection.set, &line);
    }

    fn finish(&mut self, connection: &mut Connection) {
        self.say(connection, TcpControl::Fin, &[]);
        self.next = self.next.wrapping_add(1);
    }

    fn acknowledge_fin(&mut self, connection: &mut Connection) {
        self.acknowledgement = self.acknowledgement.wrapping_add(1);
        self.say(connection, TcpControl::None, &[]);
    }

    fn say(&mut self, connection: &mut Connection, control: TcpControl, payload: &[u8]) {
        let line = Line {
            control,
            sequence: self.next,
            acknowledgement: Some(self.acknowledgement),
            window: self.window,
            payload,
        };
        self.script.say(&mut connection.set, &line);
    }
}

impl Ends {
    /// smoltcp's word.
    pub(super) fn state(self) -> State {
        match self {
            Ends::None => State::Established,
            Ends::OursUnacknowledged => State::FinWait1,
            Ends::Ours => State::FinWait2,
            Ends::Theirs => State::CloseWait,
            Ends::BothUnacknowledged => State::Closing,
            Ends::TheirsThenOurs => State::LastAck,
            Ends::Both => State::TimeWait,
        }
    }

    /// From smoltcp's word; nothing for a connection that is not open.
    pub(super) fn of(state: State) -> Option<Ends> {
        match state {
            State::Closed | State::Listen | State::SynSent | State::SynReceived => None,
            State::Established => Some(Ends::None),
            State::FinWait1 => Some(Ends::OursUnacknowledged),
            State::FinWait2 => Some(Ends::Ours),
            State::CloseWait => Some(Ends::Theirs),
            State::Closing => Some(Ends::BothUnacknowledged),
            State::LastAck => Some(Ends::TheirsThenOurs),
            State::TimeWait => Some(Ends::Both),
        }
    }
}
