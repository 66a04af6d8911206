//! All connections: found by their addresses, advanced when they have work, timed and bounded.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpAddress, TcpPacket, TcpRepr};

use super::Surroundings;
use super::connection::{Connection, Stage, Standing};
use super::directory::Directory;
use super::emit::ETHERNET_HEADER_BYTES;
use super::stack::{Egress, Exit, Stack, StackSettings};
use crate::lan::config::{Forward, LanConfig, LogSink};
use crate::lan::fabric::Origin;
use crate::lan::framing::FRAME_BYTES_MAX;
use crate::lan::poll::{Interest, Readiness, Token};

/// Stacks kept for further connections.
const SPARE_STACKS_MAX: usize = 64;
/// The gateway's own ports for connections to services; lower ones can be exposed.
const LOCAL_PORTS: std::ops::RangeInclusive<u16> = 10_000..=65_535;
/// How often a waiting connection asks the LAN again for its service.
const WAIT_STEP: Duration = Duration::from_millis(250);
/// The shortest timer: one that is due already must not spin.
const TIMER_MIN: Duration = Duration::from_millis(1);

/// Names a connection; the generation tells apart those that use one place after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lan) struct ConnectionId {
    pub(in crate::lan) index: u32,
    /// 24 bits.
    pub(in crate::lan) generation: u32,
}

impl ConnectionId {
    /// The id as a number of 56 bits.
    pub(in crate::lan) fn pack(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(in crate::lan) fn unpack(number: u64) -> Self {
        Self {
            index: number as u32,
            generation: (number >> 32) as u32 & 0x00ff_ffff,
        }
    }
}

/// What tells a connection's packets from others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) remote: IpAddr,
    pub(super) remote_port: u16,
    pub(super) local_port: u16,
}

/// A TCP segment for the gateway.
pub(super) struct Segment<'a> {
    pub(super) sender: EthernetAddress,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// The IP packet, without padding.
    pub(super) packet: &'a [u8],
    pub(super) header_bytes: usize,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
    queued: bool,
    timer: Option<Instant>,
}

/// The table of connections.
pub(in crate::lan) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    flows: HashMap<Flow, ConnectionId>,
    /// Connections that have work now.
    queued: Vec<ConnectionId>,
    /// Connections that wait for room at a port.
    blocked: BTreeSet<ConnectionId>,
    /// Connections whose service is not known yet.
    waiting: BTreeSet<ConnectionId>,
    timers: BTreeSet<(Instant, ConnectionId)>,
    spare: Vec<Stack>,
    scratch: Vec<u8>,
    settings: StackSettings,
    expose: Vec<u16>,
    connect_wait: Duration,
    connections_max: usize,
    next_port: u16,
    random: std::collections::hash_map::RandomState,
    stacks_made: u64,
    log: LogSink,
}

impl Connections {
    pub(super) fn new(config: &LanConfig) -> Self {
        let random = std::collections::hash_map::RandomState::new();
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            flows: HashMap::new(),
            queued: Vec::new(),
            blocked: BTreeSet::new(),
            waiting: BTreeSet::new(),
            timers: BTreeSet::new(),
            spare: Vec::new(),
            scratch: vec![0; FRAME_BYTES_MAX],
            settings: StackSettings {
                subnet: config.subnet,
                mtu: config.mtu,
                silence: config.silence,
                start: Instant::now(),
            },
            expose: config.expose.clone(),
            connect_wait: config.connect_wait,
            connections_max: config.connections_max,
            next_port: *LOCAL_PORTS.start(),
            random,
            stacks_made: 0,
            log: config.log.clone(),
        }
    }

    /// Connections open now.
    pub(in crate::lan) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether a further connection fits.
    pub(in crate::lan) fn has_room(&self) -> bool {
        self.len() < self.connections_max
    }

    /// Whether [`Connections::run`] has work at once.
    pub(in crate::lan) fn has_work(&self) -> bool {
        !self.queued.is_empty()
    }

    /// When [`Connections::run`] has work next.
    pub(in crate::lan) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Lets a host's connection to `forward` in.
    pub(in crate::lan) fn accept(
        &mut self,
        stream: TcpStream,
        forward: &Forward,
        around: &mut Surroundings<'_>,
    ) {
        around.fabric.counters.accepted += 1;
        let _ = stream.set_nodelay(true);
        let (service, port) = (forward.service.clone(), forward.port);
        let stage = Stage::Waiting {
            service,
            port,
            until: around.now + self.connect_wait,
        };
        let id = self.insert(Connection::new(stage, stream));
        self.register(id, around);
        self.queue(id);
    }

    /// Notes what became possible on the host's side.
    pub(in crate::lan) fn host_event(&mut self, id: ConnectionId, ready: Readiness) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let host = &mut connection.host;
        host.readable |= ready.readable;
        host.writable |= ready.writable;
        host.hung_up |= ready.hung_up;
        host.failed |= ready.failed;
        self.queue(id);
    }

    /// Takes a segment from the LAN.
    pub(super) fn input(
        &mut self,
        segment: &Segment<'_>,
        directory: &mut Directory,
        around: &mut Surroundings<'_>,
    ) {
        let Ok(header) = TcpPacket::new_checked(&segment.packet[segment.header_bytes..]) else {
            around.fabric.counters.malformed += 1;
            return;
        };
        let (source, destination) = (
            IpAddress::from(segment.source),
            IpAddress::from(segment.destination),
        );
        if !header.verify_checksum(&source, &destination) {
            around.fabric.counters.bad_checksum += 1;
            return;
        }
        let flow = Flow {
            remote: segment.source,
            remote_port: header.src_port(),
            local_port: header.dst_port(),
        };
        let Some(&id) = self.flows.get(&flow) else {
            return self.input_unknown(segment, flow, &header, directory, around);
        };
        let Some(connection) = self.slots[id.index as usize].connection.as_mut() else {
            return;
        };
        connection.peer_mac = Some(segment.sender);
        let Some(stack) = connection.stack.as_mut() else {
            return;
        };
        let mut exit = Exit {
            fabric: around.fabric,
            scratch: &mut self.scratch,
            from: directory.mac,
            to: segment.sender,
            now: around.now,
        };
        stack.input(segment.packet, &mut exit);
        self.queue(id);
    }

    /// A segment without a connection: the request for an exposed port, or a stray one.
    fn input_unknown(
        &mut self,
        segment: &Segment<'_>,
        flow: Flow,
        header: &TcpPacket<&[u8]>,
        directory: &Directory,
        around: &mut Surroundings<'_>,
    ) {
        let is_request = header.syn() && !header.ack() && !header.rst();
        if is_request && self.expose.contains(&flow.local_port) && self.has_room() {
            match call_host(flow.local_port) {
                Ok(stream) => {
                    around.fabric.counters.exposed += 1;
                    let (request, sender) = (segment.packet.to_vec(), segment.sender);
                    let mut connection =
                        Connection::new(Stage::HostCalling { request, sender }, stream);
                    connection.flow = Some(flow);
                    let id = self.insert(connection);
                    self.flows.insert(flow, id);
                    self.register(id, around);
                    return;
                }
                Err(error) => (self.log)(&format!("host port {}: {error}", flow.local_port)),
            }
        }
        self.refuse(segment, directory, around);
    }

    /// Answers a segment with a reset, unless it is one.
    fn refuse(
        &mut self,
        segment: &Segment<'_>,
        directory: &Directory,
        around: &mut Surroundings<'_>,
    ) {
        let Ok(packet) = TcpPacket::new_checked(&segment.packet[segment.header_bytes..]) else {
            return;
        };
        let (source, destination) = (segment.source, segment.destination);
        let addresses = (IpAddress::from(source), IpAddress::from(destination));
        let checksums = ChecksumCapabilities::ignored();
        let Ok(repr) = TcpRepr::parse(&packet, &addresses.0, &addresses.1, &checksums) else {
            return;
        };
        if packet.rst() {
            return;
        }
        let frame = directory
            .towards(segment.sender)
            .tcp_reset(destination, source, &repr);
        around.fabric.submit(Origin::Gateway, &frame, around.now);
    }

    /// Looks again after all connections that wait for their service.
    pub(super) fn wake_waiting(&mut self) {
        for id in std::mem::take(&mut self.waiting) {
            self.queue(id);
        }
    }

    /// Lets connections that wait for room at a port try again.
    pub(in crate::lan) fn unblock(&mut self) {
        for id in std::mem::take(&mut self.blocked) {
            self.queue(id);
        }
    }

    /// Advances every connection that has work or whose time has come.
    pub(super) fn run(&mut self, directory: &mut Directory, around: &mut Surroundings<'_>) {
        while let Some(&(due, id)) = self.timers.first() {
            if due > around.now {
                break;
            }
            self.timers.pop_first();
            let slot = &mut self.slots[id.index as usize];
            if slot.generation == id.generation {
                slot.timer = None;
                self.queue(id);
            }
        }
        let mut queued = std::mem::take(&mut self.queued);
        for id in queued.drain(..) {
            let slot = &mut self.slots[id.index as usize];
            if slot.generation != id.generation {
                continue;
            }
            slot.queued = false;
            // Taken out while it works, so that the table can be used.
            if let Some(mut connection) = slot.connection.take() {
                if self.advance(id, &mut connection, directory, around) {
                    self.slots[id.index as usize].connection = Some(connection);
                } else {
                    self.remove(id, *connection);
                }
            }
        }
        // Keeps the larger allocation; connections that were queued meanwhile stay.
        if self.queued.is_empty() {
            self.queued = queued;
        }
        around.fabric.counters.open = self.len() as u64;
    }

    /// Does what a connection can do now. Returns whether it goes on.
    fn advance(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        directory: &mut Directory,
        around: &mut Surroundings<'_>,
    ) -> bool {
        if let Stage::Waiting { .. } = connection.stage
            && !self.find_service(id, connection, directory, around)
        {
            return !connection.host.failed && !self.expired(connection, around);
        }
        if let Stage::HostCalling { .. } = connection.stage {
            if !connection.host.writable && !connection.host.failed {
                return true;
            }
            if !self.answer_request(connection, directory, around) {
                return false;
            }
        }
        let Some(peer) = connection.peer() else {
            return false;
        };
        // The neighbour table knows first when a service has moved; the last sender does when the
        // table has forgotten.
        let known = directory.mac_of(peer, around.fabric, around.now);
        let Some(to) = known.or(connection.peer_mac) else {
            return false;
        };
        let spliced = connection.splice();
        let Some(stack) = connection.stack.as_mut() else {
            return false;
        };
        if spliced.is_err() {
            stack.socket().abort();
        }
        let mut exit = Exit {
            fabric: around.fabric,
            scratch: &mut self.scratch,
            from: directory.mac,
            to,
            now: around.now,
        };
        let egress = stack.output(&mut exit);
        let state = stack.socket().state();
        let standing = match spliced {
            Ok(()) => connection.standing(),
            Err(_) => Standing::ResetByHost,
        };
        match standing {
            Standing::Alive => {}
            Standing::Complete if egress == Egress::Blocked => {}
            Standing::Complete => return false,
            Standing::ResetByHost => {
                around.fabric.counters.reset += 1;
                return false;
            }
            Standing::ResetByPeer => {
                around.fabric.counters.reset += 1;
                if let Stage::Calling { .. } = connection.stage {
                    self.log_refusal(connection, around);
                }
                connection.host.reset();
                return false;
            }
        }
        if let Stage::Calling { until } = connection.stage {
            if !matches!(state, tcp::State::SynSent | tcp::State::SynReceived) {
                connection.stage = Stage::Open;
            } else if self.expired(connection, around) {
                return false;
            } else {
                self.set_timer(id, until);
            }
        }
        match egress {
            Egress::Blocked => {
                self.blocked.insert(id);
            }
            Egress::Until(Some(due)) => self.set_timer(id, due.max(around.now + TIMER_MIN)),
            Egress::Until(None) => {}
        }
        true
    }

    /// Looks for the service of a waiting connection and calls it. Returns whether it was found.
    fn find_service(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        directory: &mut Directory,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let Stage::Waiting {
            service,
            port,
            until,
        } = &connection.stage
        else {
            return true;
        };
        let found = directory.address_of(service).and_then(|address| {
            let mac = directory.mac_of(address, around.fabric, around.now)?;
            Some((address, mac))
        });
        let (until, port) = (*until, *port);
        let Some((address, mac)) = found else {
            if around.now < until {
                self.waiting.insert(id);
                self.set_timer(id, until.min(around.now + WAIT_STEP));
            }
            return false;
        };
        let Some(flow) = self.unused_flow(address, port) else {
            return false;
        };
        let mut stack = self.take_stack();
        if stack.connect((address, port), flow.local_port).is_err() {
            return false;
        }
        self.flows.insert(flow, id);
        connection.flow = Some(flow);
        connection.peer_mac = Some(mac);
        connection.stack = Some(stack);
        connection.stage = Stage::Calling { until };
        true
    }

    /// The host has answered or refused a call from the LAN: so does the gateway.
    fn answer_request(
        &mut self,
        connection: &mut Connection,
        directory: &Directory,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let stage = std::mem::replace(&mut connection.stage, Stage::Open);
        let (Stage::HostCalling { request, sender }, Some(flow)) = (stage, connection.flow) else {
            return true;
        };
        let destination = self.settings.subnet.gateway_for(flow.remote);
        let failed =
            connection.host.failed || !matches!(connection.host.stream.take_error(), Ok(None));
        let mut stack = self.take_stack();
        if failed || stack.listen((destination, flow.local_port)).is_err() {
            let header_bytes = match flow.remote {
                IpAddr::V4(_) => usize::from(request[0] & 15) * 4,
                IpAddr::V6(_) => 40,
            };
            let source = flow.remote;
            let segment = Segment {
                sender,
                source,
                destination,
                packet: &request,
                header_bytes,
            };
            self.refuse(&segment, directory, around);
            return false;
        }
        let _ = connection.host.stream.set_nodelay(true);
        connection.peer_mac = Some(sender);
        let mut exit = Exit {
            fabric: around.fabric,
            scratch: &mut self.scratch,
            from: directory.mac,
            to: sender,
            now: around.now,
        };
        stack.input(&request, &mut exit);
        connection.stack = Some(stack);
        true
    }

    /// Whether a connection has waited too long for its service; says so and resets the host.
    fn expired(&self, connection: &Connection, around: &mut Surroundings<'_>) -> bool {
        let until = match &connection.stage {
            Stage::Waiting { until, .. } | Stage::Calling { until } => *until,
            Stage::HostCalling { .. } | Stage::Open => return false,
        };
        if around.now < until {
            return false;
        }
        around.fabric.counters.unreachable += 1;
        match (&connection.stage, connection.flow) {
            (Stage::Waiting { service, .. }, _) => {
                (self.log)(&format!(
                    "service {service} did not appear on the LAN in time"
                ));
            }
            (_, Some(flow)) => (self.log)(&format!(
                "{} port {} did not answer in time",
                flow.remote, flow.remote_port
            )),
            (_, None) => {}
        }
        connection.host.reset();
        true
    }

    fn log_refusal(&self, connection: &Connection, around: &mut Surroundings<'_>) {
        around.fabric.counters.unreachable += 1;
        if let Some(flow) = connection.flow {
            let (remote, port) = (flow.remote, flow.remote_port);
            (self.log)(&format!("{remote} refused the connection to port {port}"));
        }
    }

    fn unused_flow(&mut self, remote: IpAddr, remote_port: u16) -> Option<Flow> {
        for _ in LOCAL_PORTS {
            let local_port = self.next_port;
            self.next_port = if local_port == *LOCAL_PORTS.end() {
                *LOCAL_PORTS.start()
            } else {
                local_port + 1
            };
            let flow = Flow {
                remote,
                remote_port,
                local_port,
            };
            if !self.flows.contains_key(&flow) && !self.expose.contains(&local_port) {
                return Some(flow);
            }
        }
        None
    }

    fn take_stack(&mut self) -> Stack {
        if let Some(stack) = self.spare.pop() {
            return stack;
        }
        self.stacks_made += 1;
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.stacks_made);
        Stack::new(self.settings, hasher.finish())
    }

    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation {
            slot.connection.as_deref_mut()
        } else {
            None
        }
    }

    fn queue(&mut self, id: ConnectionId) {
        let slot = &mut self.slots[id.index as usize];
        if slot.generation == id.generation && !slot.queued {
            slot.queued = true;
            self.queued.push(id);
        }
    }

    /// Sets the timer, unless it rings earlier anyway: then the connection sets it anew.
    fn set_timer(&mut self, id: ConnectionId, due: Instant) {
        let slot = &mut self.slots[id.index as usize];
        if slot.timer.is_some_and(|timer| timer <= due) {
            return;
        }
        if let Some(timer) = slot.timer.replace(due) {
            self.timers.remove(&(timer, id));
        }
        self.timers.insert((due, id));
    }

    fn insert(&mut self, connection: Connection) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.connection = Some(Box::new(connection));
        ConnectionId {
            index,
            generation: slot.generation,
        }
    }

    fn register(&mut self, id: ConnectionId, around: &Surroundings<'_>) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let host = &mut connection.host;
        let fd = host.stream.as_fd();
        // A connection that cannot be watched fails at its first step.
        host.failed |= around
            .poller
            .add(fd, Token::Connection(id), Interest::Edges)
            .is_err();
    }

    fn remove(&mut self, id: ConnectionId, connection: Connection) {
        if let Some(flow) = connection.flow {
            self.flows.remove(&flow);
        }
        if let Some(stack) = connection.stack
            && self.spare.len() < SPARE_STACKS_MAX
        {
            self.spare.push(stack);
        }
        let slot = &mut self.slots[id.index as usize];
        if let Some(timer) = slot.timer.take() {
            self.timers.remove(&(timer, id));
        }
        *slot = Slot {
            generation: (slot.generation + 1) & 0x00ff_ffff,
            ..Slot::default()
        };
        self.free.push(id.index);
    }
}

/// Starts a connection to a port of the host's loopback.
fn call_host(port: u16) -> std::io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

const _: () = assert!(FRAME_BYTES_MAX >= ETHERNET_HEADER_BYTES + 65_535);
