//! DHCPv4: what a lease changes on an interface, and the host name that requests carry.
//!
//! smoltcp's client borrows its extra options for as long as it lives, which for a socket in a set
//! is the life of the program. So it is given blank options of the right length from a table, and the name is
//! written into each request on its way out.

use super::interface::Interface;
use super::types::DhcpState;
use crate::limits;
use crate::machine::Time;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::dhcpv4;
use smoltcp::wire::{
    DhcpOption, EthernetFrame, EthernetProtocol, IpCidr, IpProtocol, Ipv4Packet, UdpPacket,
};

/// RFC 2132 section 3.14.
const OPTION_HOST_NAME: u8 = 12;
/// RFC 2132 section 3.1 and 3.2: the two options without a length.
const OPTION_PAD: u8 = 0;
const OPTION_END: u8 = 255;
/// RFC 2131 section 2: fixed fields and the magic cookie precede the options.
const OPTIONS_OFFSET: usize = 240;
const CLIENT_PORT: u16 = 68;

static BLANK: [u8; limits::NAME_BYTES] = [0; limits::NAME_BYTES];
static OPTIONS: [[DhcpOption<'static>; 1]; limits::NAME_BYTES + 1] = {
    let mut options = [const {
        [DhcpOption {
            kind: OPTION_HOST_NAME,
            data: &[],
        }]
    }; limits::NAME_BYTES + 1];
    let mut length = 0;
    while length <= limits::NAME_BYTES {
        options[length][0].data = BLANK.split_at(length).0;
        length += 1;
    }
    options
};

/// A client that announces a host name as long as `hostname`.
pub(super) fn socket(hostname: &str) -> dhcpv4::Socket<'static> {
    let mut socket = dhcpv4::Socket::new();
    if !hostname.is_empty() {
        socket.set_outgoing_options(&OPTIONS[hostname.len().min(limits::NAME_BYTES)]);
    }
    socket
}

/// Writes `hostname` into the blank option of an outgoing DHCP request; leaves every other frame
/// alone. The checksum follows by the sum of what was added, as the blank added nothing.
pub(super) fn fill_hostname(frame: &mut [u8], hostname: &str) {
    let mut frame = EthernetFrame::new_unchecked(frame);
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return;
    }
    let Ok(mut packet) = Ipv4Packet::new_checked(frame.payload_mut()) else {
        return;
    };
    if packet.next_header() != IpProtocol::Udp {
        return;
    }
    let Ok(mut datagram) = UdpPacket::new_checked(packet.payload_mut()) else {
        return;
    };
    if datagram.src_port() != CLIENT_PORT {
        return;
    }
    let checksum = datagram.checksum();
    let Some((offset, blank)) = find_blank(datagram.payload_mut()) else {
        return;
    };
    let length = blank.len().min(hostname.len());
    blank[..length].copy_from_slice(&hostname.as_bytes()[..length]);
    if checksum != 0 {
        let added = ones_complement_sum(&hostname.as_bytes()[..length], offset);
        let sum = fold(u32::from(!checksum) + u32::from(added));
        // RFC 768: a computed zero is sent as all ones.
        datagram.set_checksum(if sum == 0xFFFF { 0xFFFF } else { !sum });
    }
}

/// The blank host name option's data and their offset in the datagram.
fn find_blank(message: &mut [u8]) -> Option<(usize, &mut [u8])> {
    let mut at = OPTIONS_OFFSET;
    loop {
        match *message.get(at)? {
            OPTION_PAD => at += 1,
            OPTION_END => return None,
            kind => {
                let length = usize::from(*message.get(at + 1)?);
                let data = at + 2;
                if kind == OPTION_HOST_NAME {
                    let blank = message.get_mut(data..data + length)?;
                    return blank.iter().all(|byte| *byte == 0).then_some((data, blank));
                }
                at = data + length;
            }
        }
    }
}

/// RFC 1071's sum of `bytes` that begin `offset` bytes into the checked data.
fn ones_complement_sum(bytes: &[u8], offset: usize) -> u16 {
    let mut sum = 0u32;
    for (index, byte) in bytes.iter().enumerate() {
        let high = (offset + index).is_multiple_of(2);
        sum += if high {
            u32::from(*byte) << 8
        } else {
            u32::from(*byte)
        };
    }
    fold(sum)
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

impl Interface {
    /// Applies what the DHCP client learned since it was last asked.
    pub(super) fn apply_lease(&mut self, handle: SocketHandle, now: Time) {
        let event = self.services.get_mut::<dhcpv4::Socket>(handle).poll();
        let (lease, state) = match event {
            None => return,
            Some(dhcpv4::Event::Deconfigured) => (Lease::default(), DhcpState::Searching),
            Some(dhcpv4::Event::Configured(config)) => {
                let identifier = Some(config.server.identifier);
                let state = DhcpState::Bound {
                    server: IpAddr::V4(config.server.address),
                    since: now,
                };
                let lease = Lease {
                    // A server's word is not trusted to be an address that smoltcp takes.
                    address: is_usable(IpAddr::V4(config.address.address()))
                        .then_some(IpCidr::Ipv4(config.address)),
                    // Nor that its router is one that has a station.
                    router: config.router.map(IpAddr::V4).filter(|it| is_usable(*it)),
                    identifier,
                    servers: config.dns_servers.iter().copied().map(IpAddr::V4).collect(),
                };
                (lease, state)
            }
        };
        self.dhcp_state = state;
        self.lease = lease;
        self.configure();
    }
}

/// What DHCP gave to an interface.
#[derive(Debug, Default)]
pub(super) struct Lease {
    pub(super) address: Option<IpCidr>,
    pub(super) router: Option<IpAddr>,
    /// What the server calls itself.
    pub(super) identifier: Option<Ipv4Addr>,
    pub(super) servers: Vec<IpAddr>,
}

/// Whether an interface may have this address.
pub(super) fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.is_unspecified() || address.is_broadcast() || address.is_multicast())
        }
        IpAddr::V6(address) => !(address.is_unspecified() || address.is_multicast()),
    }
}
