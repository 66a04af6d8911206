//! smoltcp's view of a port: one frame in, any number of frames out, none copied on the way.

use super::{dhcp, header};
use crate::machine::Time;
use crate::net::fabric::{Checksums, Fabric, LinkProperties, PortId};
use crate::net::frame::ETHERNET_HEADER_BYTES;
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// A port for the length of one call into smoltcp.
pub(super) struct Wire<'a> {
    pub(super) fabric: &'a mut Fabric,
    pub(super) port: PortId,
    pub(super) properties: LinkProperties,
    pub(super) now: Time,
    /// The frame to be received, if any.
    pub(super) frame: Option<&'a [u8]>,
    /// Frames that may still be sent.
    pub(super) room: usize,
    /// What goes into the host name option of DHCP requests.
    pub(super) hostname: &'a str,
    /// Where the sequence number of a SYN that is sent is noted, if it is wanted.
    pub(super) syn: Option<&'a mut Option<u32>>,
}

impl phy::Device for Wire<'_> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Sending<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let frame = self.frame.take()?;
        let received = Received { bytes: frame };
        Some((received, self.sending()))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        (self.room > 0).then(|| self.sending())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.properties)
    }
}

impl Wire<'_> {
    fn sending(&mut self) -> Sending<'_> {
        Sending {
            fabric: self.fabric,
            port: self.port,
            now: self.now,
            room: &mut self.room,
            hostname: self.hostname,
            syn: self.syn.as_deref_mut(),
        }
    }
}

/// What smoltcp is told of a segment.
pub(super) fn capabilities(properties: LinkProperties) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = properties.mtu + ETHERNET_HEADER_BYTES;
    capabilities.checksum = match properties.checksums {
        Checksums::Computed => ChecksumCapabilities::default(),
        Checksums::Omitted => ChecksumCapabilities::ignored(),
    };
    capabilities
}

/// Lends the frame's bytes to smoltcp.
pub(super) struct Received<'a> {
    bytes: &'a [u8],
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.bytes)
    }
}

/// Lets smoltcp write into a pooled frame and sends it.
pub(super) struct Sending<'a> {
    fabric: &'a mut Fabric,
    port: PortId,
    now: Time,
    room: &'a mut usize,
    hostname: &'a str,
    syn: Option<&'a mut Option<u32>>,
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = self.fabric.blank_frame(length);
        let result = write(frame.bytes_mut());
        if !self.hostname.is_empty() {
            dhcp::fill_hostname(frame.bytes_mut(), self.hostname);
        }
        if let Some(noted) = self.syn {
            *noted = header::syn_sequence(frame.bytes()).or(*noted);
        }
        *self.room = self.room.saturating_sub(1);
        self.fabric.transmit(self.port, frame, self.now);
        result
    }
}
