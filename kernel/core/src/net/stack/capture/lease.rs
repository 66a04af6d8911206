//! A DHCP client that holds a lease already: its server is played to it.
//!
//! How long the lease still runs is not in a cut: the server's clock went on while the instance stood still. The
//! client comes back in RENEWING, asks its server at once whether the address is still its own, and gives up what
//! nobody confirms (RFC 2131 section 4.4.5).

use super::super::interface::{Interface, instant};
use super::super::types::DhcpState;
use super::error::{Part, RestoreError};
use super::state::LeaseState;
use crate::machine::Time;
use crate::net::fabric::{Fabric, PortId};
use crate::net::frame::{ETHERNET_HEADER_BYTES, MacAddress};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr,
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Cidr, Ipv4Packet, Ipv4Repr,
    UdpPacket, UdpRepr,
};

/// RFC 2132 sections 9.11 and 9.12: T1 and T2.
const OPTION_RENEWAL_TIME: u8 = 58;
const OPTION_REBINDING_TIME: u8 = 59;
/// Seconds after which the lease's own server is asked: at once.
const RENEW_SECONDS: u32 = 0;
/// Seconds after which any server is asked.
const REBIND_SECONDS: u32 = 300;
/// Seconds after which a lease that nobody confirmed is given up.
const LEASE_SECONDS: u32 = 600;
/// Locally administered; nobody sees it.
const SERVER_MAC: MacAddress = [2, 0, 0, 0, 0, 2];

impl Interface {
    /// Brings the DHCP client to where it holds `lease`.
    pub(super) fn hold_lease(&mut self, lease: &LeaseState, now: Time) -> Result<(), RestoreError> {
        let handle = self.dhcp.ok_or(RestoreError::Invalid(Part::Lease))?;
        let mut server = Server {
            fabric: Fabric::new(),
            port: PortId(0),
            lease,
            client: self.mac,
        };
        // What is sent there comes back.
        server.port = server.fabric.attach_loopback("dhcp", SERVER_MAC);
        for answer in [DhcpMessageType::Offer, DhcpMessageType::Ack] {
            server.converse(self, answer, now)?;
        }
        self.apply_lease(handle, now);
        let is_bound = matches!(self.dhcp_state, DhcpState::Bound { .. });
        if !is_bound {
            return Err(RestoreError::Diverged);
        }
        self.dhcp_state = DhcpState::Bound {
            server: IpAddr::V4(lease.server),
            since: lease.since,
        };
        Ok(())
    }
}

/// The server's side of the play.
struct Server<'a> {
    fabric: Fabric,
    port: PortId,
    lease: &'a LeaseState,
    client: MacAddress,
}

impl Server<'_> {
    /// Takes what the client says and answers it.
    fn converse(
        &mut self,
        interface: &mut Interface,
        answer: DhcpMessageType,
        now: Time,
    ) -> Result<(), RestoreError> {
        let mut wire = interface.wire(&mut self.fabric, now, None, 1);
        wire.port = self.port;
        interface
            .inner
            .poll_egress(instant(now), &mut wire, &mut interface.services);
        let said = self.fabric.take_received(self.port);
        let transaction = said.and_then(|frame| transaction(frame.bytes()));
        let frame = self.frame(answer, transaction.ok_or(RestoreError::Diverged)?);
        let mut wire = interface.wire(&mut self.fabric, now, Some(&frame), 0);
        wire.port = self.port;
        interface
            .inner
            .poll_ingress_single(instant(now), &mut wire, &mut interface.services);
        Ok(())
    }

    /// A frame with an answer.
    fn frame(&self, kind: DhcpMessageType, transaction: u32) -> Vec<u8> {
        let lease = self.lease;
        let network = Ipv4Cidr::new(lease.address, lease.prefix_length);
        // smoltcp reads these two of a message and writes them only as options of their own.
        let (renewal, rebinding) = (RENEW_SECONDS.to_be_bytes(), REBIND_SECONDS.to_be_bytes());
        let times = [
            DhcpOption {
                kind: OPTION_RENEWAL_TIME,
                data: &renewal,
            },
            DhcpOption {
                kind: OPTION_REBINDING_TIME,
                data: &rebinding,
            },
        ];
        let mut message = DhcpRepr {
            message_type: kind,
            transaction_id: transaction,
            secs: 0,
            client_hardware_address: EthernetAddress(self.client),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: lease.address,
            server_ip: lease.server,
            router: lease.router,
            subnet_mask: Some(network.netmask()),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(lease.identifier),
            parameter_request_list: None,
            max_size: None,
            lease_duration: Some(LEASE_SECONDS),
            renew_duration: None,
            rebind_duration: None,
            dns_servers: Some(Default::default()),
            additional_options: &times,
        };
        if let Some(list) = &mut message.dns_servers {
            for server in &lease.servers {
                // `check` let no more pass than fit.
                let _ = list.push(*server);
            }
        }
        if lease.servers.is_empty() {
            message.dns_servers = None;
        }
        self.wrap(&message)
    }

    fn wrap(&self, message: &DhcpRepr<'_>) -> Vec<u8> {
        let udp = UdpRepr {
            src_port: DHCP_SERVER_PORT,
            dst_port: DHCP_CLIENT_PORT,
        };
        let ip = Ipv4Repr {
            src_addr: self.lease.server,
            dst_addr: Ipv4Addr::BROADCAST,
            next_header: IpProtocol::Udp,
            payload_len: udp.header_len() + message.buffer_len(),
            hop_limit: 64,
        };
        let mut frame = vec![0; ETHERNET_HEADER_BYTES + ip.buffer_len() + ip.payload_len];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
        ethernet.set_src_addr(EthernetAddress(SERVER_MAC));
        ethernet.set_dst_addr(EthernetAddress(self.client));
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let checksums = ChecksumCapabilities::default();
        let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet, &checksums);
        udp.emit(
            &mut UdpPacket::new_unchecked(packet.payload_mut()),
            &ip.src_addr.into(),
            &ip.dst_addr.into(),
            message.buffer_len(),
            |payload| {
                // The buffer is as long as the message.
                let _ = message.emit(&mut DhcpPacket::new_unchecked(payload));
            },
            &checksums,
        );
        frame
    }
}

/// The transaction that a client's message belongs to.
fn transaction(frame: &[u8]) -> Option<u32> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let message = DhcpPacket::new_checked(datagram.payload()).ok()?;
    Some(message.transaction_id())
}
