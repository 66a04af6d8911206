//! Closed connections that a late segment may still name (RFC 9293 section 3.10.7.4, TIME-WAIT).
//!
//! A record of their addresses takes the place of a socket with its buffers: all that TIME-WAIT
//! must do is acknowledge a FIN that comes again, and the answer follows from that segment alone.

use super::header::{Segment, Tuple};
use crate::limits;
use crate::machine::{Duration, Time};
use crate::net::fabric::{Checksums, Fabric, LinkProperties, PortId};
use crate::net::frame::{self, ETHERNET_HEADER_BYTES};
use alloc::collections::VecDeque;
use hashbrown::HashTable;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, IpRepr, TcpControl, TcpPacket,
    TcpRepr, TcpSeqNumber,
};

/// How long a record is kept. As in smoltcp: short, since a node's peers are near.
pub(super) const DURATION: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct TimeWait {
    /// In order of their ends, which is that of their beginnings.
    order: VecDeque<(Time, Tuple)>,
    index: HashTable<(Time, Tuple)>,
    key: u64,
}

impl TimeWait {
    pub(super) fn new(key: u64) -> TimeWait {
        TimeWait {
            order: VecDeque::new(),
            index: HashTable::new(),
            key,
        }
    }

    /// Remembers a connection; the oldest record goes when there is no room.
    pub(super) fn insert(&mut self, tuple: Tuple, now: Time) {
        self.expire(now);
        if self.order.len() >= limits::TIME_WAIT_RECORDS
            && let Some((end, oldest)) = self.order.pop_front()
        {
            self.remove_if(&oldest, |other| other == end);
        }
        self.remove(&tuple);
        let end = now + DURATION;
        self.order.push_back((end, tuple));
        let key = self.key;
        self.index
            .insert_unique(tuple.hash(key), (end, tuple), |(_, tuple)| tuple.hash(key));
    }

    /// Remembers a connection until `end`. Records come in the order of their ends.
    pub(super) fn restore(&mut self, tuple: Tuple, end: Time) {
        self.order.push_back((end, tuple));
        let key = self.key;
        self.index
            .insert_unique(tuple.hash(key), (end, tuple), |(_, tuple)| tuple.hash(key));
    }

    /// The records in the order of their ends.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Time, Tuple)> {
        self.order.iter().copied().filter(|(end, tuple)| {
            let found = self
                .index
                .find(tuple.hash(self.key), |other| other == &(*end, *tuple));
            found.is_some()
        })
    }

    pub(super) fn contains(&self, tuple: &Tuple) -> bool {
        self.index
            .find(tuple.hash(self.key), |(_, other)| other == tuple)
            .is_some()
    }

    /// Forgets a record: the peer opens a new connection from the same port.
    pub(super) fn remove(&mut self, tuple: &Tuple) {
        self.remove_if(tuple, |_| true);
    }

    pub(super) fn expire(&mut self, now: Time) {
        while let Some((end, tuple)) = self.order.front().copied()
            && end <= now
        {
            self.order.pop_front();
            self.remove_if(&tuple, |other| other == end);
        }
    }

    /// Forgets the record of `tuple` that ends when `ends` says: a later one may have replaced it.
    fn remove_if(&mut self, tuple: &Tuple, ends: impl Fn(Time) -> bool) {
        let found = self.index.find_entry(tuple.hash(self.key), |(end, other)| {
            other == tuple && ends(*end)
        });
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}

/// Acknowledges a segment of a connection in TIME-WAIT. A bare acknowledgement and an RST get no
/// answer (RFC 1337 section 3 for the latter).
pub(super) fn answer(
    fabric: &mut Fabric,
    port: PortId,
    properties: LinkProperties,
    now: Time,
    received: &[u8],
    segment: &Segment,
) {
    let length = segment.payload_bytes + usize::from(segment.control.fin);
    if length == 0 || segment.control.rst {
        return;
    }
    let Some((own, peer)) = frame::addresses(received) else {
        return;
    };
    let tcp = TcpRepr {
        src_port: segment.local.port(),
        dst_port: segment.remote.port(),
        control: TcpControl::None,
        seq_number: TcpSeqNumber(segment.acknowledgement as i32),
        ack_number: Some(TcpSeqNumber(segment.sequence as i32) + length),
        window_len: u16::MAX,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None, None, None],
        timestamp: None,
        payload: &[],
    };
    let (source, destination) = (segment.local.ip().into(), segment.remote.ip().into());
    let ip = IpRepr::new(
        source,
        destination,
        IpProtocol::Tcp,
        tcp.buffer_len(),
        HOP_LIMIT,
    );
    let checksums = match properties.checksums {
        Checksums::Computed => ChecksumCapabilities::default(),
        Checksums::Omitted => ChecksumCapabilities::ignored(),
    };
    let mut frame = fabric.blank_frame(ETHERNET_HEADER_BYTES + ip.buffer_len());
    let mut ethernet = EthernetFrame::new_unchecked(frame.bytes_mut());
    ethernet.set_src_addr(EthernetAddress(own));
    ethernet.set_dst_addr(EthernetAddress(peer));
    ethernet.set_ethertype(if segment.local.is_ipv4() {
        EthernetProtocol::Ipv4
    } else {
        EthernetProtocol::Ipv6
    });
    let payload = ethernet.payload_mut();
    ip.emit(&mut *payload, &checksums);
    let mut packet = TcpPacket::new_unchecked(&mut payload[ip.header_len()..]);
    tcp.emit(&mut packet, &source, &destination, &checksums);
    fabric.transmit(port, frame, now);
}

/// RFC 1700's default TTL.
const HOP_LIMIT: u8 = 64;
