//! Announcing new IPv4 addresses (RFC 5227 section 2.3): who waits for the address need not ask again,
//! and who knew it at another station learns that it moved.

use super::interface::Interface;
use crate::machine::Time;
use crate::net::fabric::Fabric;
use crate::net::frame::ETHERNET_HEADER_BYTES;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr,
};

impl Interface {
    /// Sends what is due, as far as the port takes it.
    pub(super) fn announce(&mut self, fabric: &mut Fabric, now: Time) {
        while fabric.transmit_room(self.port) > 0
            && let Some(address) = self.unannounced.pop()
        {
            let station = EthernetAddress(self.mac);
            let announcement = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Request,
                source_hardware_addr: station,
                source_protocol_addr: address,
                target_hardware_addr: EthernetAddress([0; 6]),
                target_protocol_addr: address,
            };
            let header = EthernetRepr {
                src_addr: station,
                dst_addr: EthernetAddress::BROADCAST,
                ethertype: EthernetProtocol::Arp,
            };
            let mut frame = fabric.blank_frame(ETHERNET_HEADER_BYTES + announcement.buffer_len());
            header.emit(&mut EthernetFrame::new_unchecked(frame.bytes_mut()));
            announcement.emit(&mut ArpPacket::new_unchecked(
                &mut frame.bytes_mut()[ETHERNET_HEADER_BYTES..],
            ));
            fabric.transmit(self.port, frame, now);
        }
    }
}
