//! The ports of the LAN and the way of a frame between them.
//!
//! [`Fabric::submit`] takes a frame from a port or from the gateway, learns its sender, lets the
//! faults decide and queues it at the ports that it goes to. A port that does not keep up loses
//! frames, counted, and holds up nobody.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use smoltcp::wire::EthernetAddress;

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

pub(super) struct Port {
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
    delayed: BTreeMap<(Instant, u64), (Origin, Vec<u8>)>,
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
            delayed_serial: 0,
            pcap,
            ports_made: 0,
        }
    }

    /// Plugs a stream in as a new port.
    pub(super) fn plug(&mut self, stream: UnixStream) -> PortId {
        self.ports_made += 1;
        let id = PortId(self.ports_made);
        let port = Port {
            stream,
            reader: FrameReader::default(),
            queue: FrameQueue::new(PORT_QUEUE_BYTES_MAX),
            link: LinkState::Up,
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

    pub(super) fn port_infos(&self) -> Vec<PortInfo> {
        self.ports
            .iter()
            .map(|(&id, port)| PortInfo {
                id,
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
            Fate::Delay(delay) if self.delayed.len() < DELAYED_FRAMES_MAX => {
                self.delayed_serial += 1;
                let key = (now + delay, self.delayed_serial);
                self.delayed.insert(key, (origin, frame.to_vec()));
                0
            }
            Fate::Lose | Fate::Delay(_) => {
                self.counters.lost_faults += 1;
                0
            }
        }
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
                self.enqueue(port, frame);
            }
            return 0;
        }
        self.counters.flooded += 1;
        let ids: Vec<PortId> = self.ports.keys().copied().collect();
        for id in ids {
            if origin != Origin::Port(id) {
                self.enqueue(id, frame);
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

    /// The next delayed frame whose time has come; it is to be forwarded.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Origin, Vec<u8>)> {
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

    fn enqueue(&mut self, id: PortId, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        if port.link == LinkState::Cut {
            port.counters.lost_cut += 1;
        } else if port.queue.push(frame).is_err() {
            port.counters.dropped_full += 1;
        } else {
            port.counters.frames_out += 1;
            port.counters.bytes_out += frame.len() as u64;
            if !port.unflushed {
                port.unflushed = true;
                self.unflushed.push(id);
            }
        }
    }
}
