//! The state of a clone: the same sockets, another station (D6).
//!
//! The original's connections are the original's: in the clone their handles fail, and no peer hears of it.
//! Listeners, UDP sockets and what they received stay. Addresses are given anew, by DHCP or by the operator.

use super::super::types::{AddressSpec, InterfaceConfig, NetError};
use super::error::RestoreError;
use super::state::{
    ConnectionState, EntryState, InterfaceState, Phase, QueryState, StackState, UdpState,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;

impl StackState {
    /// The state for a clone with these interfaces instead of the original's, in their order.
    ///
    /// # Errors
    /// [`RestoreError::Interfaces`] for another number of them; [`RestoreError::AddressOfOriginal`] when one has a
    /// station or static address of the original's.
    pub fn into_clone(
        mut self,
        interfaces: &[InterfaceConfig],
    ) -> Result<StackState, RestoreError> {
        if interfaces.len() != self.interfaces.len() {
            return Err(RestoreError::Interfaces {
                given: interfaces.len(),
                wanted: self.interfaces.len(),
            });
        }
        let mut renamed = BTreeMap::new();
        for (old, new) in self.interfaces.iter().zip(interfaces) {
            check_differs(old, new)?;
            let (before, after) = (fixed(&old.addresses), fixed(&new.addresses));
            let lease = old.lease.as_ref().map(|lease| IpAddr::V4(lease.address));
            for (index, address) in before.iter().chain(&lease).enumerate() {
                let same_kind = |other: &&IpAddr| other.is_ipv4() == address.is_ipv4();
                renamed.insert(*address, after.get(index).filter(same_kind).copied());
            }
        }
        self.interfaces = interfaces.iter().map(fresh).collect();
        self.lingering.clear();
        self.time_wait.clear();
        for place in &mut self.handles {
            match &mut place.entry {
                Some(EntryState::Connection(connection)) => break_off(connection),
                Some(EntryState::Listener(listener)) => {
                    listener.queue.clear();
                    listener.handshakes.clear();
                }
                Some(EntryState::Udp(_) | EntryState::Query(_)) | None => {}
            }
        }
        self.rename(&renamed);
        Ok(self)
    }

    /// Moves what is bound to one of the original's addresses to the clone's, or to all where that is not known. Of
    /// several that would so come to share a port the first moves; the others stay where nobody reaches them.
    fn rename(&mut self, renamed: &BTreeMap<IpAddr, Option<IpAddr>>) {
        let mut listening = BTreeSet::new();
        let mut bound = BTreeSet::new();
        let place =
            |taken: &mut BTreeSet<(u16, Option<IpAddr>)>, local: &mut Option<IpAddr>, port: u16| {
                let wanted = match local {
                    Some(address) => renamed.get(address).copied().unwrap_or(*local),
                    None => None,
                };
                let is_taken = match wanted {
                    Some(_) => taken.contains(&(port, wanted)) || taken.contains(&(port, None)),
                    None => taken.iter().any(|(other, _)| *other == port),
                };
                if !is_taken {
                    *local = wanted;
                }
                taken.insert((port, *local));
            };
        for handle in &mut self.handles {
            match &mut handle.entry {
                Some(EntryState::Listener(listener)) => {
                    place(&mut listening, &mut listener.local, listener.port);
                }
                Some(EntryState::Udp(UdpState { local, port, .. })) => {
                    place(&mut bound, local, *port);
                }
                Some(EntryState::Query(QueryState { .. }) | EntryState::Connection(_)) | None => {}
            }
        }
    }
}

/// A station address, or a static address, belongs to one.
fn check_differs(old: &InterfaceState, new: &InterfaceConfig) -> Result<(), RestoreError> {
    let held = fixed(&old.addresses);
    let is_shared = fixed(&new.addresses)
        .iter()
        .any(|address| held.contains(address));
    if is_shared || old.mac == new.mac {
        return Err(RestoreError::AddressOfOriginal);
    }
    Ok(())
}

fn fixed(addresses: &[AddressSpec]) -> Vec<IpAddr> {
    let fixed = addresses.iter().filter_map(|spec| match spec {
        AddressSpec::Static { address, .. } => Some(*address),
        AddressSpec::Dhcp => None,
    });
    fixed.collect()
}

fn fresh(config: &InterfaceConfig) -> InterfaceState {
    InterfaceState {
        name: config.name.clone(),
        mac: config.mac,
        addresses: config.addresses.clone(),
        gateways: config.gateway.clone(),
        servers: config.dns.clone(),
        hostname: config.hostname.clone(),
        lease: None,
        neighbours: Vec::new(),
    }
}

fn break_off(connection: &mut ConnectionState) {
    // One that is over for another reason keeps that.
    if !matches!(connection.phase, Phase::Ended { .. }) {
        connection.failure = Some(NetError::ConnectionReset);
        connection.phase = Phase::Ended { unread: Vec::new() };
    }
    connection.linger_until = None;
    connection.time_wait_since = None;
}
