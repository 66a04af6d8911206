//! All connections: found by their addresses, advanced when they have work, timed and bounded.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::Surroundings;
use super::connection::{Connection, Stage};
use super::directory::Directory;
use super::emit::ETHERNET_HEADER_BYTES;
use super::stack::{Stack, StackSettings};
use crate::lan::config::{Forward, LanConfig, LogSink};
use crate::lan::framing::FRAME_BYTES_MAX;
use crate::lan::poll::{Interest, Readiness, Token};

/// Stacks kept for further connections.
const SPARE_STACKS_MAX: usize = 64;
/// The gateway's own ports for connections to services; lower ones can be exposed.
const LOCAL_PORTS: std::ops::RangeInclusive<u16> = 10_000..=65_535;
/// How often a waiting connection asks the LAN again for its service.
pub(super) const WAIT_STEP: Duration = Duration::from_millis(250);
/// The shortest timer: one that is due already must not spin.
pub(super) const TIMER_MIN: Duration = Duration::from_millis(1);

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

#[derive(Default)]
pub(super) struct Slot {
    generation: u32,
    pub(super) connection: Option<Box<Connection>>,
    queued: bool,
    timer: Option<Instant>,
}

/// The table of connections.
pub(in crate::lan) struct Connections {
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<u32>,
    pub(super) flows: HashMap<Flow, ConnectionId>,
    /// Connections that have work now.
    pub(super) queued: Vec<ConnectionId>,
    /// Connections that wait for room at a port.
    pub(super) blocked: BTreeSet<ConnectionId>,
    /// Connections whose service is not known yet.
    pub(super) waiting: BTreeSet<ConnectionId>,
    pub(super) timers: BTreeSet<(Instant, ConnectionId)>,
    pub(super) spare: Vec<Stack>,
    pub(super) scratch: Vec<u8>,
    pub(super) settings: StackSettings,
    pub(super) expose: Vec<u16>,
    pub(super) connect_wait: Duration,
    pub(super) connections_max: usize,
    pub(super) next_port: u16,
    pub(super) random: std::collections::hash_map::RandomState,
    pub(super) stacks_made: u64,
    pub(super) log: LogSink,
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

    pub(super) fn unused_flow(&mut self, remote: IpAddr, remote_port: u16) -> Option<Flow> {
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

    pub(super) fn take_stack(&mut self) -> Stack {
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

    pub(super) fn queue(&mut self, id: ConnectionId) {
        let slot = &mut self.slots[id.index as usize];
        if slot.generation == id.generation && !slot.queued {
            slot.queued = true;
            self.queued.push(id);
        }
    }

    /// Sets the timer, unless it rings earlier anyway: then the connection sets it anew.
    pub(super) fn set_timer(&mut self, id: ConnectionId, due: Instant) {
        let slot = &mut self.slots[id.index as usize];
        if slot.timer.is_some_and(|timer| timer <= due) {
            return;
        }
        if let Some(timer) = slot.timer.replace(due) {
            self.timers.remove(&(timer, id));
        }
        self.timers.insert((due, id));
    }

    pub(super) fn insert(&mut self, connection: Connection) -> ConnectionId {
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

    pub(super) fn register(&mut self, id: ConnectionId, around: &Surroundings<'_>) {
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

const _: () = assert!(FRAME_BYTES_MAX >= ETHERNET_HEADER_BYTES + 65_535);
