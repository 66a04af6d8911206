//! A stack as plain data, and a stack from it (D5).
//!
//! [`Stack::capture`] writes a [`StackState`] down (`state`) without disturbing anything; [`Stack::restore`] checks
//! one (`check`), makes interfaces (`interface`, `lease`) and sockets, and plays each TCP connection to where it
//! stood (`rebuild`, with the peer of `script` and the numbers of `seed`). `identity` makes a clone's state;
//! `rollback` watches restored connections for peers that have gone on. Nothing here sends a frame: the first poll
//! does, and by it the peers learn where things stand.

mod check;
mod error;
mod identity;
mod interface;
mod lease;
mod rebuild;
mod restore;
mod rollback;
mod script;
mod seed;
pub mod state;

pub use error::{Part, RestoreError};
pub use identity::{CloneNetwork, Surroundings};
pub use restore::{RevivedPort, StackRevival};
pub(super) use rollback::{Rollback, Verdict};
pub use state::StackState;

use super::connection::{self, Connection, Owner};
use super::handles::Entry;
use super::types::{NetError, SocketId};
use super::{Stack, udp};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use smoltcp::socket::tcp::State;
use state::{
    ConnectionState, DatagramState, Ends, EntryState, HandleState, ListenerState, OpenState, Pace,
    Phase, QueryState, Reading, TimeWaitState, UdpState,
};

/// Bytes of a connection, of a handle, or of a record, that are not in a queue; more than they are.
const ITEM_BYTES: usize = 512;

impl Stack {
    /// The whole stack as plain data. The stack goes on as if nothing had been asked.
    ///
    /// What the guest has said since the last poll is in it too, but for datagrams and pings: poll once before a
    /// cut that ends the instance. The node's own probe and the pings of operators are not the instance's.
    pub fn capture(&mut self) -> StackState {
        self.hold_datagrams();
        let (handles, free) = self.capture_handles();
        let interfaces = self.guest_interfaces();
        StackState {
            now: self.now,
            buffer_bytes: self.connections.buffer_bytes() as u32,
            interfaces: interfaces.iter().map(|it| it.capture()).collect(),
            handles,
            free,
            lingering: self.capture_lingering(),
            time_wait: self
                .time_wait
                .iter()
                .map(|(end, tuple)| TimeWaitState {
                    end,
                    interface: tuple.interface,
                    local: tuple.local(),
                    remote: tuple.remote(),
                })
                .collect(),
            next_port: self.ports.next(),
            dropped_syns: self.dropped_syns,
        }
    }

    /// Bytes of memory that [`Stack::capture`] takes at most.
    pub fn capture_bytes(&self) -> usize {
        let connections = self.connections.iter().map(|(_, connection)| {
            let socket = connection.socket();
            socket.recv_queue() + connection.unacknowledged_bytes() + ITEM_BYTES
        });
        let handles = self.handles.places().map(|(_, entry)| match entry {
            Some(Entry::Udp(socket)) => self.udp_queues(socket).0 + 2 * ITEM_BYTES,
            Some(Entry::Listener(_) | Entry::Connection(_) | Entry::Query(_) | Entry::Ping(_))
            | None => 2 * ITEM_BYTES,
        });
        let interfaces = self.interfaces.len() * 8 * ITEM_BYTES;
        let records = self.time_wait.iter().count() * ITEM_BYTES;
        connections.sum::<usize>() + handles.sum::<usize>() + interfaces + records
    }

    /// Lets go of everything without a word to any peer: the instance goes on elsewhere, from a cut. The other way
    /// is [`Stack::shutdown_all`].
    pub fn detach(self) {
        // A stack that is dropped sends nothing; what it had queued in the fabric is on its way.
        drop(self);
    }

    /// Has a restored stack hear each peer before it sends anything new: for a cut after which the original ran on.
    /// A peer that knows of that is found out before bytes of the one past take the place of bytes of the other.
    ///
    /// Not asked are peers that go on from the same instant: those at the other ends of connections among `together`,
    /// given by their own address and their peer's.
    pub fn distrust_peers(&mut self, together: &BTreeSet<(SocketAddr, SocketAddr)>) {
        self.connections.for_each(|connection| {
            let tuple = connection.tuple;
            if !together.contains(&(tuple.remote(), tuple.local())) {
                connection.distrust();
            }
        });
        self.connections.touch_all();
    }

    /// Takes received datagrams to where they can be looked at, as many as one queue has room for.
    fn hold_datagrams(&mut self) {
        for entry in self.handles.entries_mut() {
            let Entry::Udp(socket) = entry else { continue };
            for (number, handle) in &socket.sockets {
                let services = &mut self.interfaces[*number].services;
                socket.held.take_from(services.get_mut(*handle));
            }
        }
    }

    /// The places of handles, and the empty ones in the order of their next use.
    fn capture_handles(&mut self) -> (Vec<HandleState>, Vec<u16>) {
        let mut handshakes: BTreeMap<SocketId, Vec<u32>> = BTreeMap::new();
        for (slot, connection) in self.connections.iter() {
            if let Owner::Handshake(listener) = connection.owner {
                handshakes.entry(listener).or_default().push(slot);
            }
        }
        let mut free: Vec<u16> = self.handles.free().map(|slot| slot as u16).collect();
        let mut places = Vec::new();
        for slot in 0..self.handles.count() {
            let (id, entry) = self.handles.place(slot);
            let generation = (id.0 >> 16) as u16;
            let state = match entry {
                None => {
                    places.push(HandleState {
                        generation,
                        entry: None,
                    });
                    continue;
                }
                Some(_) if Some(id) == self.of_node => None,
                Some(Entry::Ping(_)) => None,
                Some(Entry::Listener(listener)) => {
                    let (local, port) = (listener.local, listener.port);
                    let backlog = listener.backlog as u32;
                    let queue: Vec<u32> = listener.queue.iter().copied().collect();
                    let half_open = handshakes.remove(&id).unwrap_or_default();
                    Some(EntryState::Listener(ListenerState {
                        local,
                        port,
                        backlog,
                        queue: self.capture_waiting(&queue),
                        handshakes: self.capture_waiting(&half_open),
                    }))
                }
                Some(Entry::Connection(slot)) => {
                    let slot = *slot;
                    self.capture_connection(slot).map(EntryState::Connection)
                }
                Some(Entry::Udp(socket)) => Some(EntryState::Udp(capture_udp(socket))),
                Some(Entry::Query(query)) => Some(EntryState::Query(QueryState {
                    interface: query.interface as u32,
                    name: query.name.clone(),
                    pending: query.families().collect(),
                    addresses: query.addresses.clone(),
                    started: query.started,
                    ended: query.ended,
                })),
            };
            // A handle that is left out is as one that was closed.
            if state.is_none() {
                free.push(slot as u16);
            }
            places.push(HandleState {
                generation: generation.wrapping_add(u16::from(state.is_none())),
                entry: state,
            });
        }
        (places, free)
    }

    /// Connections of a listener; those of the node's own interface are left out.
    fn capture_waiting(&mut self, slots: &[u32]) -> Vec<ConnectionState> {
        let mut list = Vec::new();
        for &slot in slots {
            let is_of_node = self
                .connections
                .get(slot)
                .is_none_or(|connection| Some(connection.interface) == self.probe);
            if !is_of_node {
                list.extend(self.capture_connection(slot));
            }
        }
        list
    }

    fn capture_lingering(&mut self) -> Vec<ConnectionState> {
        let mut slots: Vec<u32> = Vec::new();
        for (slot, tuple) in &self.lingering {
            let is_its = self.connections.get(*slot).is_some_and(|connection| {
                connection.owner == Owner::Lingering && connection.tuple == *tuple
            });
            if is_its && !slots.contains(slot) {
                slots.push(*slot);
            }
        }
        let mut list = self.capture_waiting(&slots);
        // What has ended owes at most an RST, which the peer gets if it asks.
        list.retain(|connection| matches!(connection.phase, Phase::Open(_)));
        list
    }

    fn capture_connection(&mut self, slot: u32) -> Option<ConnectionState> {
        let probe = self.probe;
        let connection = self.connections.get_mut(slot)?;
        // The node's probe ends with the cut, without a failure of the guest's.
        let is_of_node = Some(connection.interface) == probe;
        let phase = if is_of_node {
            Phase::Ended {
                unread: connection.unread(),
            }
        } else {
            phase(connection)
        };
        let failure = match (&phase, connection.failure) {
            (_, Some(failure)) => Some(failure),
            // It must have been noticed, but a state that says nothing would have the guest wait.
            (Phase::Ended { .. }, None) if connection.is_handshaking() && !is_of_node => {
                Some(NetError::ConnectionReset)
            }
            (_, None) => None,
        };
        Some(ConnectionState {
            interface: connection.interface as u32,
            local: connection.tuple.local(),
            remote: connection.tuple.remote(),
            phase,
            reading: match connection.reading {
                connection::Reading::Open => Reading::Open,
                connection::Reading::Shut => Reading::Shut,
            },
            failure,
            keepalive: connection.keepalive,
            pace: if connection.socket().nagle_enabled() {
                Pace::Gathered
            } else {
                Pace::Immediate
            },
            linger_until: connection.linger_until,
            time_wait_since: connection.time_wait_since,
        })
    }
}

impl StackState {
    /// Bytes of memory that a copy takes at most.
    pub fn copy_bytes(&self) -> u64 {
        let places = self.handles.iter().filter_map(|place| place.entry.as_ref());
        let handles = places.map(|entry| match entry {
            EntryState::Connection(connection) => connection.copy_bytes(),
            EntryState::Listener(listener) => {
                let waiting = listener.queue.iter().chain(&listener.handshakes);
                waiting.map(ConnectionState::copy_bytes).sum()
            }
            EntryState::Udp(socket) => {
                let bytes = socket.datagrams.iter().map(|it| it.bytes.len());
                bytes.map(|length| length + ITEM_BYTES).sum()
            }
            EntryState::Query(query) => query.name.len(),
        });
        let lingering = self.lingering.iter().map(ConnectionState::copy_bytes);
        let neighbours = self.interfaces.iter().map(|it| it.neighbours.len());
        let items = self.handles.len()
            + self.time_wait.len()
            + 8 * self.interfaces.len()
            + neighbours.sum::<usize>();
        (handles.sum::<usize>() + lingering.sum::<usize>() + items * ITEM_BYTES) as u64
    }
}

impl ConnectionState {
    fn copy_bytes(&self) -> usize {
        let queues = match &self.phase {
            Phase::Open(open) => open.unread.len() + open.unacknowledged.len(),
            Phase::Ended { unread } => unread.len(),
            Phase::Connecting { .. } | Phase::Answering { .. } => 0,
        };
        queues + ITEM_BYTES
    }
}

/// How far a connection has come.
fn phase(connection: &mut Connection) -> Phase {
    let unread = connection.unread();
    let (state, facts) = (connection.state(), &connection.facts);
    match (state, Ends::of(state), facts.sequence, facts.opening) {
        (State::SynSent, _, sequence, _) => Phase::Connecting { sequence },
        (State::SynReceived, _, sequence, Some(opening)) => Phase::Answering { sequence, opening },
        (_, Some(ends), Some(sequence), Some(opening)) => Phase::Open(OpenState {
            ends,
            sequence,
            opening,
            accepted_bytes: facts.accepted_bytes,
            read_bytes: facts.read_bytes,
            window_bytes: facts.window_bytes,
            unread,
            unacknowledged: connection.unacknowledged(),
        }),
        _ => Phase::Ended { unread },
    }
}

fn capture_udp(socket: &udp::UdpSocket) -> UdpState {
    let datagrams = socket.held.iter().map(|(bytes, from)| DatagramState {
        from,
        bytes: bytes.to_vec(),
    });
    UdpState {
        local: socket.local,
        port: socket.port,
        interfaces: socket.sockets.iter().map(|(it, _)| *it as u32).collect(),
        turn: socket.turn as u32,
        datagrams: datagrams.collect(),
    }
}

impl Connection {
    /// The bytes that the guest has not read.
    fn unread(&mut self) -> Vec<u8> {
        let socket = self.socket_mut();
        let queued = socket.recv_queue();
        // Mostly they lie in one piece, and need not be copied over zeros.
        let mut bytes = Vec::new();
        match socket.peek(queued) {
            Ok(whole) if whole.len() == queued => bytes.extend_from_slice(whole),
            _ => {
                bytes.resize(queued, 0);
                let length = socket.peek_slice(&mut bytes).unwrap_or(0);
                bytes.truncate(length);
            }
        }
        bytes
    }
}
