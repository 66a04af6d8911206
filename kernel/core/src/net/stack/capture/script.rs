//! A peer that is played: segments by which a fresh socket comes to stand where another stood.
//!
//! The socket sees an interface of its own, with a seed that makes it choose the sequence number that it is to have.
//! What it says goes nowhere. (smoltcp has no other way in, and D5 forgoes the layout of its structs.)

use super::super::device::Wire;
use super::super::facts::Opening;
use super::super::interface::instant;
use crate::machine::Time;
use crate::net::fabric::{Checksums, Fabric, LinkProperties, PortId};
use crate::net::frame::{ETHERNET_HEADER_BYTES, MacAddress};
use alloc::vec::Vec;
use core::net::SocketAddr;
use smoltcp::iface::{Config, Context, Interface, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, IpCidr, IpProtocol, IpRepr,
    TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

const OWN_MAC: MacAddress = [2, 0, 0, 0, 0, 1];
const PEER_MAC: MacAddress = [2, 0, 0, 0, 0, 2];
/// Nobody looks at it.
const HOP_LIMIT: u8 = 64;
/// A segment that is not for a wire: nothing is checked, and nothing leaves.
const PROPERTIES: LinkProperties = LinkProperties {
    mtu: crate::limits::PRIVATE_MTU,
    checksums: Checksums::Omitted,
};

/// What the peer says next.
pub(super) struct Line<'a> {
    pub(super) control: TcpControl,
    pub(super) sequence: u32,
    pub(super) acknowledgement: Option<u32>,
    pub(super) window: u16,
    pub(super) payload: &'a [u8],
}

/// One connection's peer.
pub(super) struct Script {
    interface: Interface,
    fabric: Fabric,
    local: SocketAddr,
    remote: SocketAddr,
    now: Time,
    frame: Vec<u8>,
}

impl Script {
    /// A peer at `remote` of a socket at `local`, on an interface with this seed.
    pub(super) fn new(local: SocketAddr, remote: SocketAddr, seed: u64, now: Time) -> Script {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(OWN_MAC)));
        config.random_seed = seed;
        let mut fabric = Fabric::new();
        let mut wire = wire(&mut fabric, now, None);
        let mut interface = Interface::new(config, &mut wire, instant(now));
        let length = if local.is_ipv4() { 32 } else { 128 };
        interface.update_ip_addrs(|list| {
            // The list is empty and has room.
            let _ = list.push(IpCidr::new(local.ip().into(), length));
        });
        Script {
            interface,
            fabric,
            local,
            remote,
            now,
            frame: Vec::new(),
        }
    }

    /// What smoltcp wants to know of the interface when a socket connects.
    pub(super) fn context(&mut self) -> &mut Context {
        self.interface.context()
    }

    /// The peer's SYN, as an answer if it acknowledges something.
    pub(super) fn open(&mut self, set: &mut SocketSet<'static>, opening: &Opening, window: u16) {
        let line = Line {
            control: TcpControl::Syn,
            sequence: opening.sequence,
            acknowledgement: None,
            window,
            payload: &[],
        };
        self.send(set, &line, Some(opening));
    }

    /// Any other segment.
    pub(super) fn say(&mut self, set: &mut SocketSet<'static>, line: &Line<'_>) {
        self.send(set, line, None);
    }

    fn send(&mut self, set: &mut SocketSet<'static>, line: &Line<'_>, opening: Option<&Opening>) {
        let segment = TcpRepr {
            src_port: self.remote.port(),
            dst_port: self.local.port(),
            control: line.control,
            seq_number: TcpSeqNumber(line.sequence as i32),
            ack_number: line.acknowledgement.map(|ack| TcpSeqNumber(ack as i32)),
            window_len: line.window,
            window_scale: opening.and_then(|opening| opening.window_shift),
            max_seg_size: opening.and_then(|opening| opening.segment_bytes),
            sack_permitted: opening.is_some_and(|opening| opening.selective),
            sack_ranges: [None, None, None],
            timestamp: None,
            payload: line.payload,
        };
        self.write(&segment);
        let mut wire = wire(&mut self.fabric, self.now, Some(&self.frame));
        self.interface
            .poll_ingress_single(instant(self.now), &mut wire, set);
    }

    /// Puts a segment into the frame.
    fn write(&mut self, segment: &TcpRepr<'_>) {
        let (from, to) = (self.remote.ip().into(), self.local.ip().into());
        let length = segment.buffer_len();
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, length, HOP_LIMIT);
        self.frame.clear();
        self.frame
            .resize(ETHERNET_HEADER_BYTES + ip.buffer_len(), 0);
        let mut ethernet = EthernetFrame::new_unchecked(&mut self.frame[..]);
        ethernet.set_src_addr(EthernetAddress(PEER_MAC));
        ethernet.set_dst_addr(EthernetAddress(OWN_MAC));
        ethernet.set_ethertype(if self.local.is_ipv4() {
            EthernetProtocol::Ipv4
        } else {
            EthernetProtocol::Ipv6
        });
        let checksums = ChecksumCapabilities::ignored();
        let payload = ethernet.payload_mut();
        ip.emit(&mut *payload, &checksums);
        let mut packet = TcpPacket::new_unchecked(&mut payload[ip.header_len()..]);
        segment.emit(&mut packet, &from, &to, &checksums);
    }
}

/// A port that no fabric has: what is sent there is gone.
fn wire<'a>(fabric: &'a mut Fabric, now: Time, frame: Option<&'a [u8]>) -> Wire<'a> {
    Wire {
        fabric,
        port: PortId(0),
        properties: PROPERTIES,
        now,
        frame,
        room: 0,
        hostname: "",
        syn: None,
    }
}
