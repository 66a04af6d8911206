//! The ports of the LAN and the way of a frame between them.
//!
//! [`Fabric::submit`] takes a frame from a port or from the gateway, learns its sender, lets the
//! faults decide and queues it at the ports that it goes to. A port that does not keep up loses
//! frames, counted, and holds up nobody. Ports at named outlets have a cable (`cable`).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use smoltcp::wire::EthernetAddress;

use super::cable::{Arrivals, Cable, CableState, Way};
use super::counters::{Counters, PortCounters};
use super::faults::{Fate, FaultSource, Faults};
use super::framing::{FrameQueue, FrameReader};
use super::pcap::PcapWriter;
use super::switch::MacTable;

/// Bytes that may wait for one port; the frame after that is dropped.
const PORT_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes at which the gateway stops sending towards a port, so that its own frames are never lost.
const GATEWAY_BACKLOG_BYTES: usize = 256 * 1024;
/// Frames that the delay fault may hold.
const DELAYED_FRAMES_MAX: usize = 16 * 1024;
/// Shortest frame that is switched: an Ethernet header.
const ETHERNET_HEADER_BYTES: usize = 14;

/// Names a port as long as the LAN lives; numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u32);

/// Whether a port carries frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Frames pass.
    Up,
    /// As if the cable was cut: frames from and to the port are lost, the connection stays.
    Cut,
}

/// A port as its users see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// Its name.
    pub id: PortId,
    /// The outlet that it is plugged in at, if that has a name.
    pub outlet: Option<Arc<str>>,
    /// Whether it carries frames.
    pub link: LinkState,
    /// The stations that were heard behind it.
    pub stations: Vec<EthernetAddress>,
    /// What passed.
    pub counters: PortCounters,
}

/// Where a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Port(PortId),
    Gateway,
}

/// A frame on its way through faults.
pub(super) enum Held {
    /// It comes out of its sender's cable.
    Entering(PortId, Vec<u8>),
    /// It was held back in the switch.
    Switched(Origin, Vec<u8>),
    /// It comes out of its receiver's cable.
    Leaving(PortId, Vec<u8>),
}

pub(super) struct Port {
    outlet: Option<Arc<str>>,
    pub(super) stream: UnixStream,
    pub(super) reader: FrameReader,
    pub(super) queue: FrameQueue,
    pub(super) link: LinkState,
    pub(super) counters: PortCounters,
    /// Whether the event loop waits for this port to take more.
    pub(super) awaits_room: bool,
    unflushed: bool,
}

/// All ports and what happens between them.
pub(super) struct Fabric {
    pub(super) ports: BTreeMap<PortId, Port>,
    pub(super) counters: Counters,
    /// Ports that were given frames since the last flush.
    pub(super) unflushed: Vec<PortId>,
    macs: MacTable,
    gateway_mac: EthernetAddress,
    faults: Option<FaultSource>,
    delayed: BTreeMap<(Instant, u64), Held>,
    /// By the outlet's name; an outlet that is not here has a good one.
    cables: BTreeMap<Arc<str>, CableState>,
    delayed_serial: u64,
    pcap: Option<PcapWriter>,
    ports_made: u32,
}

impl Fabric {
    pub(super) fn new(gateway_mac: EthernetAddress, pcap: Option<PcapWriter>) -> Self {
        Self {
            ports: BTreeMap::new(),
            counters: Counters::default(),
            unflushed: Vec::new(),
            macs: MacTable::default(),
            gateway_mac,
            faults: None,
            delayed: BTreeMap::new(),
            cables: BTreeMap::new(),
            delayed_serial: 0,
            pcap,
            ports_made: 0,
        }
    }

    /// Plugs a stream in as a new port, at an outlet.
    pub(super) fn plug(&mut self, stream: UnixStream, outlet: Option<Arc<str>>) -> PortId {
        self.ports_made += 1;
        let id = PortId(self.ports_made);
        let cable = outlet.as_ref().and_then(|name| self.cables.get(name));
        let link = cable.map_or(LinkState::Up, |state| state.cable.link);
        let port = Port {
            outlet,
            stream,
            reader: FrameReader::default(),
            queue: FrameQueue::new(PORT_QUEUE_BYTES_MAX),
            link,
            counters: PortCounters::default(),
            awaits_room: false,
            unflushed: false,
        };
        self.ports.insert(id, port);
        id
    }

    /// Removes a port and names the stations that went with it.
    pub(super) fn unplug(&mut self, id: PortId) -> Vec<EthernetAddress> {
        self.ports.remove(&id);
        self.macs.forget_port(id)
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = (faults != Faults::default()).then(|| FaultSource::new(faults));
    }

    /// Lays another cable at an outlet.
    pub(super) fn set_cable(&mut self, outlet: &str, cable: Cable) {
        let outlet: Arc<str> = outlet.into();
        for port in self.ports.values_mut() {
            if port.outlet.as_ref() == Some(&outlet) {
                port.link = cable.link;
            }
        }
        match cable == Cable::default() {
            true => self.cables.remove(&outlet),
            false => self.cables.insert(outlet, CableState::new(cable)),
        };
    }

    pub(super) fn port_infos(&self) -> Vec<PortInfo> {
        self.ports
            .iter()
            .map(|(&id, port)| PortInfo {
                id,
                outlet: port.outlet.clone(),
                link: port.link,
                stations: self.macs.stations_of(id),
                counters: port.counters,
            })
            .collect()
    }

    /// Takes a frame and sends it on its way. Returns how many copies the gateway is to get.
    pub(super) fn submit(&mut self, origin: Origin, frame: &[u8], now: Instant) -> usize {
        if frame.len() < ETHERNET_HEADER_BYTES {
            self.counters.malformed += 1;
            return 0;
        }
        if let Origin::Port(id) = origin {
            let Some(port) = self.ports.get_mut(&id) else {
                return 0;
            };
            if port.link == LinkState::Cut {
                port.counters.lost_cut += 1;
                return 0;
            }
            port.counters.frames_in += 1;
            port.counters.bytes_in += frame.len() as u64;
            if let Some(arrivals) = self.carry(id, Way::In, frame.len(), now) {
                for at in arrivals.into_iter().flatten() {
                    self.hold(at, Held::Entering(id, frame.to_vec()));
                }
                return 0;
            }
        }
        self.switch(origin, frame, now)
    }

    /// Learns a frame's sender and lets the switch's faults decide.
    fn switch(&mut self, origin: Origin, frame: &[u8], now: Instant) -> usize {
        if let Origin::Port(id) = origin {
            let sender = EthernetAddress::from_bytes(&frame[6..12]);
            if sender == self.gateway_mac {
                self.counters.malformed += 1;
                return 0;
            }
            self.macs.learn(sender, id, now);
        }
        self.record(frame);
        match self.faults.as_mut().map_or(Fate::Pass, FaultSource::draw) {
            Fate::Pass => self.forward(origin, frame, now),
            Fate::Duplicate => self.forward(origin, frame, now) + self.forward(origin, frame, now),
            Fate::Delay(delay) => {
                self.hold(now + delay, Held::Switched(origin, frame.to_vec()));
                0
            }
            Fate::Lose => {
                self.counters.lost_faults += 1;
                0
            }
        }
    }

    /// When a frame comes out of a port's cable, or nothing if that is a good one.
    fn carry(
        &mut self,
        id: PortId,
        way: Way,
        frame_bytes: usize,
        now: Instant,
    ) -> Option<Arrivals> {
        let outlet = self.ports.get(&id)?.outlet.as_ref()?;
        let arrivals = self.cables.get_mut(outlet)?.carry(way, frame_bytes, now);
        if arrivals == [None; 2] {
            self.counters.lost_faults += 1;
        }
        Some(arrivals)
    }

    fn hold(&mut self, until: Instant, held: Held) {
        if self.delayed.len() >= DELAYED_FRAMES_MAX {
            self.counters.lost_faults += 1;
            return;
        }
        self.delayed_serial += 1;
        self.delayed.insert((until, self.delayed_serial), held);
    }

    /// Lets a frame that was held go on. Returns how many copies the gateway is to get.
    pub(super) fn release(&mut self, held: &Held, now: Instant) -> usize {
        match held {
            // Its port may be gone by now, and what it sent with it.
            Held::Entering(id, frame) if self.is_up(*id) => {
                self.switch(Origin::Port(*id), frame, now)
            }
            Held::Switched(origin, frame) => self.forward(*origin, frame, now),
            Held::Leaving(id, frame) if self.is_up(*id) => {
                self.push(*id, frame);
                0
            }
            Held::Entering(..) | Held::Leaving(..) => 0,
        }
    }

    fn is_up(&self, id: PortId) -> bool {
        self.ports
            .get(&id)
            .is_some_and(|port| port.link == LinkState::Up)
    }

    /// Queues a frame at its destinations. Returns how many copies the gateway is to get.
    pub(super) fn forward(&mut self, origin: Origin, frame: &[u8], now: Instant) -> usize {
        let destination = EthernetAddress::from_bytes(&frame[..6]);
        if destination == self.gateway_mac {
            return usize::from(origin != Origin::Gateway);
        }
        if destination.is_unicast()
            && let Some(port) = self.macs.port_of(destination, now)
        {
            if origin != Origin::Port(port) {
                self.enqueue(port, frame, now);
            }
            return 0;
        }
        self.counters.flooded += 1;
        let ids: Vec<PortId> = self.ports.keys().copied().collect();
        for id in ids {
            if origin != Origin::Port(id) {
                self.enqueue(id, frame, now);
            }
        }
        usize::from(!destination.is_unicast() && origin != Origin::Gateway)
    }

    /// Whether the gateway may send to `mac` without risk of loss.
    pub(super) fn has_room_towards(&self, mac: EthernetAddress, now: Instant) -> bool {
        self.macs
            .port_of(mac, now)
            .is_none_or(|id| self.has_room_at(id))
    }

    /// Whether the gateway may send to this port without risk of loss.
    pub(super) fn has_room_at(&self, id: PortId) -> bool {
        self.ports
            .get(&id)
            .is_none_or(|p| p.queue.backlog_bytes() < GATEWAY_BACKLOG_BYTES)
    }

    /// The next held frame whose time has come; it is to be released.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Held> {
        let first = self.delayed.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When [`Fabric::take_due`] has something next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|(key, _)| key.0)
    }

    /// Writes what waits at a port. An error means that the port is gone.
    pub(super) fn flush(&mut self, id: PortId) -> io::Result<()> {
        let Some(port) = self.ports.get_mut(&id) else {
            return Ok(());
        };
        port.unflushed = false;
        port.queue.flush(&mut &port.stream)
    }

    /// Brings the recording up to date.
    pub(super) fn flush_recording(&mut self) {
        if self.pcap.as_mut().is_some_and(|pcap| pcap.flush().is_err()) {
            self.pcap = None;
        }
    }

    fn record(&mut self, frame: &[u8]) {
        if self
            .pcap
            .as_mut()
            .is_some_and(|pcap| pcap.record(frame).is_err())
        {
            self.pcap = None;
        }
    }

    fn enqueue(&mut self, id: PortId, frame: &[u8], now: Instant) {
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        if port.link == LinkState::Cut {
            port.counters.lost_cut += 1;
        } else if let Some(arrivals) = self.carry(id, Way::Out, frame.len(), now) {
            for at in arrivals.into_iter().flatten() {
                self.hold(at, Held::Leaving(id, frame.to_vec()));
            }
        } else {
            self.push(id, frame);
        }
    }

    fn push(&mut self, id: PortId, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        if port.queue.push(frame).is_err() {
            port.counters.dropped_full += 1;
            return;
        }
        port.counters.frames_out += 1;
        port.counters.bytes_out += frame.len() as u64;
        if !port.unflushed {
            port.unflushed = true;
            self.unflushed.push(id);
        }
    }
}

impl Held {
    /// The frame.
    pub(super) fn frame(&self) -> &[u8] {
        match self {
            Held::Entering(_, frame) | Held::Switched(_, frame) | Held::Leaving(_, frame) => frame,
        }
    }
}
