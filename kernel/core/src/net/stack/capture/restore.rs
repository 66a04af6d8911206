//! A stack from a state.

use super::super::allowance::Allowance;
use super::super::connection::{Cuts, Owner, SpareSocket};
use super::super::dns::Query;
use super::super::handles::{Entry, Handles};
use super::super::header::Tuple;
use super::super::listen::Listener;
use super::super::ports::EphemeralPorts;
use super::super::types::{InterfaceConfig, NetError, SocketId};
use super::super::{Stack, StackLimits, scramble};
use super::check::check;
use super::error::RestoreError;
use super::rebuild::rebuild;
use super::state::{
    ConnectionState, EntryState, InterfaceState, ListenerState, Phase, QueryState, StackState,
    UdpState,
};
use crate::machine::{Duration, Time};
use crate::net::fabric::{LinkProperties, PortId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What the place where a stack comes to life again gives to it.
#[derive(Debug, Clone)]
pub struct StackRevival<'a> {
    /// The instance's bounds. Its socket buffers are as the state says, since its peers were told of them.
    pub limits: StackLimits,
    /// New randomness.
    pub seed: u64,
    /// What its sockets may take of the node's memory.
    pub allowance: Allowance,
    /// Where its interfaces are plugged in, in their order.
    pub ports: &'a [RevivedPort],
    /// The instance's time.
    pub now: Time,
}

/// A port for an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevivedPort {
    /// The fabric's.
    pub port: PortId,
    /// MTU and checksums of the segment.
    pub properties: LinkProperties,
}

/// A lookup that failed after this long did so for want of an answer.
const UNANSWERED: Duration = Duration::from_secs(10);

impl Stack {
    /// A stack that goes on from a cut. It has said nothing yet; its first poll tells its peers.
    ///
    /// Frames that waited in its ports belong there before that poll.
    ///
    /// # Errors
    /// [`RestoreError`]: the state is checked wholly before anything is made of it.
    pub fn restore(state: &StackState, revival: StackRevival<'_>) -> Result<Stack, RestoreError> {
        check(state, &revival.limits)?;
        if revival.ports.len() != state.interfaces.len() {
            return Err(RestoreError::Interfaces {
                given: revival.ports.len(),
                wanted: state.interfaces.len(),
            });
        }
        let limits = StackLimits {
            tcp_buffer_bytes: state.buffer_bytes as usize,
            ..revival.limits
        };
        let mut stack = Stack::new(limits, revival.seed).with_allowance(revival.allowance);
        stack.now = state.now.max(revival.now);
        stack.dropped_syns = state.dropped_syns;
        stack.ports = EphemeralPorts::at(state.next_port);
        for (interface, port) in state.interfaces.iter().zip(revival.ports) {
            stack.restore_interface(interface, *port)?;
        }
        for record in &state.time_wait {
            let tuple = Tuple::new(record.interface as usize, record.local, record.remote);
            stack.time_wait.restore(tuple, record.end);
        }
        stack.restore_handles(state)?;
        for connection in &state.lingering {
            let slot = stack.restore_connection(connection, Owner::Lingering)?;
            let tuple = Tuple::new(
                connection.interface as usize,
                connection.local,
                connection.remote,
            );
            stack.lingering.push_back((slot, tuple));
        }
        stack.connections.touch_all();
        Ok(stack)
    }

    fn restore_interface(
        &mut self,
        state: &InterfaceState,
        port: RevivedPort,
    ) -> Result<(), RestoreError> {
        let now = self.now;
        let config = InterfaceConfig {
            name: state.name.clone(),
            port: port.port,
            mac: state.mac,
            properties: port.properties,
            addresses: state.addresses.clone(),
            gateway: state.gateways.clone(),
            dns: state.servers.clone(),
            hostname: state.hostname.clone(),
        };
        let number = self.add_interface(config, now)?;
        let interface = &mut self.interfaces[number];
        if let Some(lease) = &state.lease {
            interface.hold_lease(lease, now)?;
        }
        interface.meet(&state.neighbours, now);
        Ok(())
    }

    fn restore_handles(&mut self, state: &StackState) -> Result<(), RestoreError> {
        let generations = state.handles.iter().map(|place| place.generation);
        self.handles = Handles::restore(self.limits.sockets, generations, &state.free);
        for (slot, place) in state.handles.iter().enumerate() {
            let Some(entry) = &place.entry else { continue };
            let id = SocketId(u32::from(place.generation) << 16 | slot as u32);
            let entry = match entry {
                EntryState::Listener(listener) => {
                    Entry::Listener(self.restore_listener(id, listener)?)
                }
                EntryState::Connection(connection) => {
                    Entry::Connection(self.restore_connection(connection, Owner::Guest)?)
                }
                EntryState::Udp(socket) => self.restore_udp(socket)?,
                EntryState::Query(query) => Entry::Query(self.restore_query(query)?),
            };
            self.handles.fill(slot, entry);
        }
        Ok(())
    }

    fn restore_listener(
        &mut self,
        id: SocketId,
        state: &ListenerState,
    ) -> Result<Listener, RestoreError> {
        let mut queue = VecDeque::new();
        for connection in &state.queue {
            queue.push_back(self.restore_connection(connection, Owner::Queued(id))?);
        }
        for connection in &state.handshakes {
            self.restore_connection(connection, Owner::Handshake(id))?;
        }
        self.listening.entry(state.port).or_default().push(id);
        Ok(Listener {
            local: state.local,
            port: state.port,
            backlog: state.backlog as usize,
            half_open: state.handshakes.len(),
            queue,
        })
    }

    fn restore_connection(
        &mut self,
        state: &ConnectionState,
        owner: Owner,
    ) -> Result<u32, RestoreError> {
        if !self.connections.has_room() {
            return Err(RestoreError::NoMemory);
        }
        // What has ended needs room for what is left to be read only.
        let bytes = match &state.phase {
            Phase::Ended { unread } => unread.len().max(1),
            Phase::Connecting { .. } | Phase::Answering { .. } | Phase::Open(_) => {
                self.limits.tcp_buffer_bytes
            }
        };
        let cuts = Cuts::Possible;
        if !self.allowance().take(cuts.buffers().saturating_mul(bytes)) {
            return Err(RestoreError::NoMemory);
        }
        let seed = scramble(self.seed ^ scramble(self.connections.iter().count() as u64));
        let spare = SpareSocket::new(bytes, cuts);
        let connection = rebuild(state, owner, spare, self.now, seed)?;
        Ok(self.connections.insert(connection))
    }

    fn restore_udp(&mut self, state: &UdpState) -> Result<Entry, RestoreError> {
        let numbers: Vec<usize> = state.interfaces.iter().map(|it| *it as usize).collect();
        let mut socket = self.bind_on(&numbers, state.local, state.port)?;
        socket.turn = state.turn as usize % numbers.len().max(1);
        for datagram in &state.datagrams {
            socket.held.push(&datagram.bytes, datagram.from);
        }
        Ok(Entry::Udp(socket))
    }

    /// Asks again for what was not answered.
    fn restore_query(&mut self, state: &QueryState) -> Result<Query, RestoreError> {
        let interface = state.interface as usize;
        if state.pending.is_empty() {
            return Ok(Query::answered(interface, &state.name, state));
        }
        // An interface whose name servers are not known yet fails at once, not for want of a name.
        let started = if self.interfaces[interface].servers.is_empty() {
            self.now - UNANSWERED
        } else {
            state.started
        };
        match self.look_up(interface, &state.name, &state.pending, self.now) {
            Ok(query) => Ok(Query {
                addresses: state.addresses.clone(),
                started,
                ended: state.ended.max(started),
                ..query
            }),
            Err(NetError::TooManySockets) => Err(RestoreError::NoMemory),
            Err(error) => Err(error.into()),
        }
    }
}
