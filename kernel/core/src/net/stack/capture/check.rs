//! What a state must be like before anything is made of it: every byte of it is a claim.

use super::super::StackLimits;
use super::super::dhcp::is_usable;
use super::super::ports::EphemeralPorts;
use super::super::time_wait;
use super::error::{Part, RestoreError};
use super::state::*;
use crate::limits;
use crate::machine::Duration;
use alloc::collections::BTreeSet;
use alloc::vec;
use core::net::{IpAddr, SocketAddr};

/// The largest window shift (RFC 7323 section 2.3).
const WINDOW_SHIFT_MOST: u8 = 14;
/// Longer than any that a guest can ask for.
const KEEPALIVE_MOST: Duration = Duration::from_secs(u32::MAX as u64);
/// What was counted since a beginning: more than could be, and far from the end of the numbers.
const COUNTED_MOST: u64 = u64::MAX / 2;
/// Bits of an IPv4 address.
const IPV4_BITS: u8 = 32;
/// Name servers of a lease that smoltcp reads.
const LEASE_SERVERS: usize = 3;

/// What was seen so far, to find what must not repeat.
struct Check<'a> {
    state: &'a StackState,
    tuples: BTreeSet<(u32, SocketAddr, SocketAddr)>,
    connections: usize,
}

/// Checks all of a state against itself and the bounds.
pub(super) fn check(state: &StackState, limits: &StackLimits) -> Result<(), RestoreError> {
    let buffer_bytes = state.buffer_bytes as usize;
    at_most(buffer_bytes, limits::TCP_BUFFER_BYTES_MOST, Part::Buffers)?;
    valid(buffer_bytes > 0, Part::Buffers)?;
    let count = state.interfaces.len();
    at_most(count, limits::PORTS_PER_INSTANCE, Part::Interface)?;
    state.interfaces.iter().try_for_each(check_interface)?;
    valid(EphemeralPorts::is_valid(state.next_port), Part::Port)?;
    valid(state.dropped_syns <= COUNTED_MOST, Part::Listener)?;
    check_handles(state, limits)?;
    let mut check = Check {
        state,
        tuples: BTreeSet::new(),
        connections: 0,
    };
    for place in &state.handles {
        match &place.entry {
            None => {}
            Some(EntryState::Listener(listener)) => check.listener(listener, limits)?,
            Some(EntryState::Connection(connection)) => check.connection(connection)?,
            Some(EntryState::Udp(socket)) => check.udp(socket)?,
            Some(EntryState::Query(query)) => check.query(query)?,
        }
    }
    check.ports()?;
    check.lingering()?;
    let most = limits.sockets as usize + limits::LINGERING_CONNECTIONS;
    at_most(check.connections, most, Part::Connection)?;
    check.time_wait()
}

fn check_interface(interface: &InterfaceState) -> Result<(), RestoreError> {
    let lists = [
        interface.addresses.len(),
        interface.gateways.len(),
        interface.servers.len(),
    ];
    for length in lists {
        at_most(length, limits::PORT_ADDRESSES, Part::Interface)?;
    }
    for name in [&interface.name, &interface.hostname] {
        at_most(name.len(), limits::NAME_BYTES, Part::Interface)?;
    }
    at_most(
        interface.neighbours.len(),
        limits::NEIGHBOURS,
        Part::Neighbour,
    )?;
    let mut addresses = BTreeSet::new();
    for neighbour in &interface.neighbours {
        let is_station = !crate::net::frame::is_group(neighbour.mac);
        valid(is_usable(neighbour.address) && is_station, Part::Neighbour)?;
        once(addresses.insert(neighbour.address), Part::Neighbour)?;
    }
    let Some(lease) = &interface.lease else {
        return Ok(());
    };
    at_most(lease.servers.len(), LEASE_SERVERS, Part::Lease)?;
    let is_wanted = interface
        .addresses
        .contains(&super::super::AddressSpec::Dhcp);
    let mut addresses = [lease.server, lease.address]
        .into_iter()
        .chain(lease.router)
        .chain(lease.servers.iter().copied());
    let are_usable = addresses.all(|address| is_usable(IpAddr::V4(address)));
    valid(
        is_wanted && are_usable && lease.prefix_length <= IPV4_BITS,
        Part::Lease,
    )
}

/// That each empty place is in the list of empty ones, and nothing else is.
fn check_handles(state: &StackState, limits: &StackLimits) -> Result<(), RestoreError> {
    // A place more, for the node's own handle.
    let most = (limits.sockets as usize).min(usize::from(u16::MAX) - 1) + 1;
    at_most(state.handles.len(), most, Part::Handle)?;
    let open = state.handles.iter().filter(|place| place.entry.is_some());
    at_most(open.count(), limits.sockets as usize, Part::Handle)?;
    let mut is_free = vec![false; state.handles.len()];
    for &slot in &state.free {
        let place = state.handles.get(usize::from(slot));
        valid(
            place.is_some_and(|place| place.entry.is_none()),
            Part::Handle,
        )?;
        once(!is_free[usize::from(slot)], Part::Handle)?;
        is_free[usize::from(slot)] = true;
    }
    let empty = state.handles.iter().filter(|place| place.entry.is_none());
    valid(empty.count() == state.free.len(), Part::Handle)
}

impl Check<'_> {
    fn listener(
        &mut self,
        listener: &ListenerState,
        limits: &StackLimits,
    ) -> Result<(), RestoreError> {
        let is_sound = listener.port != 0
            && listener.local.is_none_or(is_plain)
            && listener.backlog > 0
            && listener.backlog as usize <= limits::ACCEPT_BACKLOG;
        valid(is_sound, Part::Listener)?;
        // A few handshakes may have come through after the queue was full.
        let most = listener.backlog as usize + limits.listen_pool;
        at_most(listener.queue.len(), most, Part::Connection)?;
        at_most(
            listener.handshakes.len(),
            limits.listen_pool,
            Part::Connection,
        )?;
        for connection in &listener.queue {
            let has_begun = matches!(connection.phase, Phase::Open(_) | Phase::Ended { .. });
            valid(has_begun, Part::Connection)?;
            self.connection(connection)?;
        }
        for connection in &listener.handshakes {
            let is_handshake = matches!(connection.phase, Phase::Answering { .. });
            valid(is_handshake, Part::Connection)?;
            self.connection(connection)?;
        }
        Ok(())
    }

    fn connection(&mut self, connection: &ConnectionState) -> Result<(), RestoreError> {
        let (local, remote) = (connection.local, connection.remote);
        let ends = [local, remote];
        let is_sound = ends.iter().all(|end| end.port() != 0 && is_plain(end.ip()))
            && local.is_ipv4() == remote.is_ipv4();
        valid(is_sound, Part::Connection)?;
        let tuple = (connection.interface, local, remote);
        once(self.tuples.insert(tuple), Part::Connection)?;
        self.connections += 1;
        if connection
            .keepalive
            .is_some_and(|time| time.is_zero() || time > KEEPALIVE_MOST)
        {
            return Err(RestoreError::Invalid(Part::Connection));
        }
        let buffer_bytes = self.state.buffer_bytes as usize;
        match &connection.phase {
            // One of the node's own interface, which is not restored, may be left.
            Phase::Ended { unread } => {
                valid(unread.len() <= buffer_bytes, Part::Connection)?;
                let most = limits::PORTS_PER_INSTANCE;
                return at_most(connection.interface as usize, most, Part::Interface);
            }
            Phase::Connecting { .. } => valid(connection.failure.is_none(), Part::Connection)?,
            Phase::Answering { opening, .. } => {
                let shift = opening.window_shift.unwrap_or(0);
                valid(shift <= WINDOW_SHIFT_MOST, Part::Connection)?;
            }
            Phase::Open(open) => valid(is_sound_open(open, buffer_bytes), Part::Connection)?,
        }
        self.interface(connection.interface, Part::Connection)
    }

    fn lingering(&mut self) -> Result<(), RestoreError> {
        let state = self.state;
        let most = limits::LINGERING_CONNECTIONS;
        at_most(state.lingering.len(), most, Part::Connection)?;
        for connection in &state.lingering {
            let is_open = matches!(connection.phase, Phase::Open(_));
            valid(
                is_open && connection.linger_until.is_some(),
                Part::Connection,
            )?;
            self.connection(connection)?;
        }
        Ok(())
    }

    fn udp(&self, socket: &UdpState) -> Result<(), RestoreError> {
        let is_sound = socket.port != 0 && socket.local.is_none_or(is_plain);
        valid(is_sound, Part::Udp)?;
        let is_ascending = socket.interfaces.is_sorted_by(|one, next| one < next);
        valid(is_ascending, Part::Udp)?;
        for number in &socket.interfaces {
            self.interface(*number, Part::Udp)?;
        }
        at_most(socket.datagrams.len(), limits::UDP_DATAGRAMS, Part::Udp)?;
        let bytes = socket.datagrams.iter().map(|datagram| datagram.bytes.len());
        at_most(bytes.sum(), limits::UDP_BUFFER_BYTES, Part::Udp)
    }

    fn query(&self, query: &QueryState) -> Result<(), RestoreError> {
        at_most(query.name.len(), limits::DOMAIN_NAME_BYTES, Part::Query)?;
        at_most(query.addresses.len(), limits::NAME_ADDRESSES, Part::Query)?;
        let is_sound = query.pending.len() <= 2
            && (query.pending.len() < 2 || query.pending[0] != query.pending[1])
            && query.started <= query.ended
            && query.ended <= self.state.now;
        valid(is_sound, Part::Query)?;
        if query.pending.is_empty() {
            return Ok(());
        }
        self.interface(query.interface, Part::Query)
    }

    /// That no two listeners, and no two UDP sockets, are at the same address. One at all addresses gets what the
    /// others leave: a clone may come to that.
    fn ports(&self) -> Result<(), RestoreError> {
        let mut listening = BTreeSet::new();
        let mut bound = BTreeSet::new();
        for place in &self.state.handles {
            match &place.entry {
                Some(EntryState::Listener(listener)) => {
                    let is_new = listening.insert((listener.port, listener.local));
                    once(is_new, Part::Listener)?;
                }
                Some(EntryState::Udp(socket)) => {
                    once(bound.insert((socket.port, socket.local)), Part::Udp)?;
                }
                Some(EntryState::Connection(_) | EntryState::Query(_)) | None => {}
            }
        }
        Ok(())
    }

    fn time_wait(&self) -> Result<(), RestoreError> {
        let records = &self.state.time_wait;
        at_most(records.len(), limits::TIME_WAIT_RECORDS, Part::TimeWait)?;
        let is_ascending = records.is_sorted_by_key(|record| record.end);
        valid(is_ascending, Part::TimeWait)?;
        // Those that come later end later.
        let latest = self.state.now + time_wait::DURATION;
        valid(
            records.iter().all(|record| record.end <= latest),
            Part::TimeWait,
        )?;
        let mut tuples = BTreeSet::new();
        for record in records {
            let tuple = (record.interface, record.local, record.remote);
            once(tuples.insert(tuple), Part::TimeWait)?;
            let is_sound = is_plain(record.local.ip()) && is_plain(record.remote.ip());
            valid(is_sound, Part::TimeWait)?;
        }
        Ok(())
    }

    fn interface(&self, number: u32, part: Part) -> Result<(), RestoreError> {
        valid((number as usize) < self.state.interfaces.len(), part)
    }
}

fn is_sound_open(open: &OpenState, buffer_bytes: usize) -> bool {
    let shift = open.opening.window_shift.unwrap_or(0);
    let all_acknowledged = open.unacknowledged.is_empty();
    shift <= WINDOW_SHIFT_MOST
        && open.window_bytes <= u32::from(u16::MAX) << shift
        && open.unread.len() <= buffer_bytes
        && open.unacknowledged.len() <= buffer_bytes
        && open.unacknowledged.len() as u64 <= open.accepted_bytes
        && open.accepted_bytes <= COUNTED_MOST
        && open.read_bytes <= COUNTED_MOST
        && (all_acknowledged || !matches!(open.ends, Ends::Ours | Ends::Both))
}

/// Whether a socket can have this address. One of IPv4 in IPv6's form would be two names for one.
fn is_plain(address: IpAddr) -> bool {
    is_usable(address) && address == address.to_canonical()
}

fn at_most(number: usize, most: usize, part: Part) -> Result<(), RestoreError> {
    (number <= most)
        .then_some(())
        .ok_or(RestoreError::TooMany(part))
}

fn valid(is_valid: bool, part: Part) -> Result<(), RestoreError> {
    is_valid.then_some(()).ok_or(RestoreError::Invalid(part))
}

fn once(is_new: bool, part: Part) -> Result<(), RestoreError> {
    is_new.then_some(()).ok_or(RestoreError::Repeated(part))
}
