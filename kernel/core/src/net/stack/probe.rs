//! The node's own way into a stack: a loopback interface that only it uses, to ask whether the guest
//! still serves.
//!
//! A connection of the probe is an ordinary one from `127.0.0.1`, through the same listeners and tables as a
//! peer's, so it finds what a peer would find, backlog and all. It needs no address of the guest's network,
//! leaves no frame on a wire and does not count against the guest's sockets. The guest cannot use the
//! interface: routes, listings and datagram sockets leave it out. The alternative, a stack of the kernel's at
//! the other end of a private link, could not reach a service that listens at one address only, and would not
//! know what this one sees: whether the *program* took the connection, or only its stack.

use super::connection::Owner;
use super::handles::Entry;
use super::header::Tuple;
use super::types::{AddressSpec, InterfaceConfig, NetError, SocketId};
use super::{Stack, interface};
use crate::machine::Time;
use crate::net::fabric::{LinkProperties, PortId};
use crate::net::frame::MacAddress;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use smoltcp::wire::IpCidr;

/// Station address of the interface, at both ends of nothing. Locally administered.
pub const PROBE_MAC: MacAddress = [0x02, 0, 0, 0, 0, 1];
/// Where the probe asks from, and a service that listens everywhere is asked at.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How far a connection of the probe has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The handshake is not done.
    Handshaking,
    /// The connection waits for the guest to accept it.
    Queued,
    /// The guest took it.
    Accepted,
}

impl Stack {
    /// Gives the node an interface of its own, at a loopback port. It is the last one.
    ///
    /// # Errors
    /// As [`Stack::add_interface`], and [`NetError::AlreadyConnected`] when there is one.
    pub fn add_probe(&mut self, port: PortId, now: Time) -> Result<(), NetError> {
        if self.probe.is_some() {
            return Err(NetError::AlreadyConnected);
        }
        let config = InterfaceConfig {
            name: "probe".into(),
            port,
            mac: PROBE_MAC,
            properties: LinkProperties::PRIVATE,
            addresses: vec![AddressSpec::Static {
                address: LOOPBACK,
                prefix_length: 8,
            }],
            gateway: Vec::new(),
            dns: Vec::new(),
            hostname: "".into(),
        };
        self.probe = Some(self.push_interface(config, now)?);
        Ok(())
    }

    /// Begins a connection of the probe to the guest's listener on `port`, wherever it listens.
    ///
    /// # Errors
    /// [`NetError::Unreachable`] without a probe, [`NetError::ConnectionRefused`] when nobody listens,
    /// [`NetError::TooManySockets`] when there is no room for another connection.
    pub fn probe_connect(&mut self, port: u16, now: Time) -> Result<SocketId, NetError> {
        self.now = self.now.max(now);
        let number = self.probe.ok_or(NetError::Unreachable)?;
        let listener = self
            .listeners_of(port)
            .map(|listener| listener.local)
            .next();
        let address = match listener {
            None => return Err(NetError::ConnectionRefused),
            Some(None) => LOOPBACK,
            Some(Some(address)) => address,
        };
        self.interfaces[number].answer_at(address);
        let slot = self.connect_from(number, core::net::SocketAddr::new(address, port))?;
        self.handles.set_of_node(1);
        let id = self.handles.insert(Entry::Connection(slot));
        self.of_node = Some(id);
        Ok(id)
    }

    /// Ends the connection of the probe. There is one at a time.
    pub fn probe_close(&mut self, id: SocketId) {
        self.handles.set_of_node(0);
        self.of_node = None;
        self.close(id);
    }

    /// How far a connection of the probe has come.
    ///
    /// # Errors
    /// As [`Stack::tcp_connected`].
    pub fn probe_answer(&mut self, id: SocketId) -> Result<Answer, NetError> {
        if !self.tcp_connected(id)? {
            return Ok(Answer::Handshaking);
        }
        let slot = self.handles.connection(id)?;
        let connection = self.connections.get(slot).ok_or(NetError::BadHandle)?;
        let tuple = connection.tuple;
        // The other end is in this stack too.
        let other = Tuple::new(connection.interface, tuple.remote(), tuple.local());
        let other = self.connections.find(&other);
        let owner = other.and_then(|slot| Some(self.connections.get(slot)?.owner));
        Ok(match owner {
            Some(Owner::Handshake(_) | Owner::Queued(_)) => Answer::Queued,
            // What is gone was taken and closed.
            Some(Owner::Guest | Owner::Lingering) | None => Answer::Accepted,
        })
    }
}

impl interface::Interface {
    /// Takes one more address, so that a listener at it alone is reached; the one of the last time goes.
    fn answer_at(&mut self, address: IpAddr) {
        if self.has_address(address) {
            return;
        }
        let length = if address.is_ipv4() { 32 } else { 128 };
        self.inner.update_ip_addrs(|list| {
            // Link-local and loopback stay.
            list.truncate(2);
            let _ = list.push(IpCidr::new(address.into(), length));
        });
    }
}
