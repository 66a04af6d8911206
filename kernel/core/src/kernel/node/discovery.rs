//! [`Discovery`]: the node tells its LAN that it is there, and hears of others (multicast DNS, RFC 6762).
//!
//! It has a port of its own beside the node's stack, for frames to the group alone: smoltcp is built without
//! multicast. What it hears are claims; a connection proves them or not.

use crate::cluster::discovery::{GROUP, TTL_SECONDS};
use crate::machine::{Duration, Time};
use crate::net::fabric::{Fabric, PortId, SegmentId};
use crate::net::frame::{ETHERNET_HEADER_BYTES, Frame};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// Where frames to the group go (RFC 1112, section 6.4).
const GROUP_STATION: [u8; 6] = [0x01, 0x00, 0x5e, 0, 0, 251];
/// Frames looked at in one turn.
const FRAMES_PER_TURN: usize = 16;
/// The second time that a node says that it is there, after the first (RFC 6762, section 8.3).
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// From then on: well within what is said holds.
const INTERVAL: Duration = Duration::from_secs(TTL_SECONDS as u64 / 4);
/// Answers are no nearer to each other (RFC 6762, section 6).
const ANSWER_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of the headers of IPv4 and UDP.
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;

/// Announcements and questions on a node's LAN.
pub(super) struct Discovery {
    pub port: PortId,
    station: [u8; 6],
    /// When it speaks next by itself.
    pub due: Time,
    spoken: u32,
    answered: Option<Time>,
}

impl Discovery {
    /// Plugs in beside a node of this station address.
    pub fn open(segment: SegmentId, node: [u8; 6], fabric: &mut Fabric) -> Option<Discovery> {
        let mut station = node;
        station[5] ^= 1;
        let port = fabric.attach(segment, "node-discovery", station).ok()?;
        Some(Discovery {
            port,
            station,
            due: Time::ZERO,
            spoken: 0,
            answered: None,
        })
    }

    /// Messages that came.
    pub fn receive(&mut self, fabric: &mut Fabric) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        for _ in 0..FRAMES_PER_TURN {
            let Some(frame) = fabric.take_received(self.port) else {
                break;
            };
            messages.extend(payload(frame.bytes()).map(<[u8]>::to_vec));
            fabric.recycle(frame);
        }
        messages
    }

    /// Whether the node is to speak by itself now.
    pub fn is_due(&mut self, now: Time) -> bool {
        if self.due > now {
            return false;
        }
        self.spoken = self.spoken.saturating_add(1);
        self.due = now
            + match self.spoken {
                1 => FIRST_INTERVAL,
                _ => INTERVAL,
            };
        true
    }

    /// Whether a question is to be answered now.
    pub fn may_answer(&mut self, now: Time) -> bool {
        let soon = |last: Time| now.since(last) < ANSWER_INTERVAL;
        if self.answered.is_some_and(soon) {
            return false;
        }
        self.answered = Some(now);
        true
    }

    /// Sends a message to everybody on the LAN.
    pub fn send(&mut self, from: Ipv4Addr, message: &[u8], now: Time, fabric: &mut Fabric) {
        let bytes = self.frame(from, message);
        fabric.transmit(self.port, Frame::from_bytes(bytes), now);
    }

    /// A datagram to the group in a frame (RFC 791, RFC 768).
    fn frame(&self, from: Ipv4Addr, message: &[u8]) -> Vec<u8> {
        let udp_bytes = UDP_BYTES + message.len();
        let mut ip = [0; IP_BYTES];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&((IP_BYTES + udp_bytes) as u16).to_be_bytes());
        // It is not to be cut in pieces, and came from this network (RFC 6762, section 11).
        ip[6] = 0x40;
        ip[8] = 255;
        ip[9] = 17;
        ip[12..16].copy_from_slice(&from.octets());
        ip[16..20].copy_from_slice(&GROUP.ip().octets());
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut bytes = Vec::with_capacity(ETHERNET_HEADER_BYTES + IP_BYTES + udp_bytes);
        bytes.extend_from_slice(&GROUP_STATION);
        bytes.extend_from_slice(&self.station);
        bytes.extend_from_slice(&[0x08, 0x00]);
        bytes.extend_from_slice(&ip);
        // No checksum, which UDP over IPv4 leaves to the sender.
        for field in [GROUP.port(), GROUP.port(), udp_bytes as u16, 0] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(message);
        bytes
    }
}

/// What a frame's datagram to the group holds.
fn payload(frame: &[u8]) -> Option<&[u8]> {
    let (ethernet, ip) = frame.split_at_checked(ETHERNET_HEADER_BYTES)?;
    if ethernet[..6] != GROUP_STATION || ethernet[12..] != [0x08, 0x00] {
        return None;
    }
    let number = |bytes: &[u8], at: usize| -> Option<u16> {
        Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    };
    let first = *ip.first()?;
    let header_bytes = usize::from(first & 15) * 4;
    // Version 4, UDP, no piece of a larger packet, to the group, and not from beyond a router.
    let is_whole = number(ip, 6)? & 0x3fff == 0;
    let to_group = ip.get(16..20)? == GROUP.ip().octets();
    if first >> 4 != 4 || header_bytes < IP_BYTES || !is_whole || !to_group {
        return None;
    }
    if *ip.get(9)? != 17 || *ip.get(8)? != 255 {
        return None;
    }
    let udp = ip.get(header_bytes..)?;
    if number(udp, 2)? != GROUP.port() {
        return None;
    }
    udp.get(UDP_BYTES..usize::from(number(udp, 4)?))
}

/// The Internet's checksum (RFC 1071) of a header whose own is zero.
fn checksum(bytes: &[u8]) -> u16 {
    let (words, _) = bytes.as_chunks::<2>();
    let words = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::discovery::{self, Heard};

    fn pair() -> (Fabric, Discovery, Discovery) {
        let mut fabric = Fabric::new();
        let lan = fabric.add_switch("lan", None).unwrap();
        let one = Discovery::open(lan, [2, 0, 0, 0, 0, 2], &mut fabric).unwrap();
        let other = Discovery::open(lan, [2, 0, 0, 0, 0, 4], &mut fabric).unwrap();
        (fabric, one, other)
    }

    #[test]
    fn what_one_says_the_other_hears() {
        let (mut fabric, mut one, mut other) = pair();
        let from = Ipv4Addr::new(10, 0, 0, 1);
        one.send(from, &discovery::question(), Time::ZERO, &mut fabric);
        let heard = other.receive(&mut fabric);
        assert_eq!(heard.len(), 1);
        assert_eq!(discovery::read(&heard[0]), Heard::Question);
        assert!(one.receive(&mut fabric).is_empty());
    }

    #[test]
    fn spoiled_frames_are_passed_over() {
        let (_, one, _) = pair();
        let frame = one.frame(Ipv4Addr::new(10, 0, 0, 1), b"message");
        assert_eq!(payload(&frame), Some(&b"message"[..]));
        for length in 0..frame.len() {
            assert_eq!(payload(&frame[..length]), None, "{length}");
        }
        for (at, byte) in [
            (0, 3),
            (13, 6),
            (14, 0x65),
            (14, 0x41),
            (20, 0x20),
            (22, 1),
            (23, 6),
            (37, 0),
        ] {
            let mut spoiled = frame.clone();
            spoiled[at] = byte;
            assert_eq!(payload(&spoiled), None, "{at}");
        }
        assert_eq!(checksum(&frame[14..34]), 0);
    }

    #[test]
    fn it_speaks_now_and_then_and_answers_once_a_second() {
        let (_, mut one, _) = pair();
        let mut now = Time::ZERO;
        assert!(one.is_due(now) && !one.is_due(now));
        now = now + FIRST_INTERVAL;
        assert!(one.is_due(now));
        assert_eq!(one.due, now + INTERVAL);
        assert!(one.may_answer(now) && !one.may_answer(now));
        assert!(one.may_answer(now + ANSWER_INTERVAL));
    }
}
