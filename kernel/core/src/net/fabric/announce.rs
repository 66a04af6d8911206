//! Telling switches where a station is now, whatever addresses it has: RARP (RFC 903), as hypervisors send it for a machine
//! that has moved.

use super::{Fabric, PortId, SegmentKind};
use crate::net::frame::MacAddress;

/// Ethernet's type of RARP.
const RARP: [u8; 2] = [0x80, 0x35];
/// Hardware is Ethernet, the protocol IPv4, addresses of six and four bytes.
const KINDS: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Somebody asks for the address of a station, here for its own.
const REQUEST: [u8; 2] = [0, 3];
const FRAME_BYTES: usize = 42;

impl Fabric {
    /// Has the switch of a port, and those behind it, learn that its station is here.
    pub fn announce_station(&mut self, port: PortId) {
        let Some(entry) = self.ports.get(&port) else {
            return;
        };
        let (mac, segment) = (entry.mac, entry.segment);
        let kind = segment.and_then(|segment| self.kind(segment));
        if !matches!(kind, Some(SegmentKind::Switch { .. })) {
            return;
        }
        let mut frame = self.blank_frame(FRAME_BYTES);
        frame.bytes_mut().copy_from_slice(&request(mac));
        self.transmit(port, frame, self.now);
    }
}

/// Who am I? Sender and target are the station, and nobody knows an address.
fn request(mac: MacAddress) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&RARP);
    frame[14..20].copy_from_slice(&KINDS);
    frame[20..22].copy_from_slice(&REQUEST);
    frame[22..28].copy_from_slice(&mac);
    frame[32..38].copy_from_slice(&mac);
    frame
}
