//! The state of a clone: the same sockets, another station (D6).
//!
//! The original's connections are the original's: in the clone their handles fail, and no peer hears of it.
//! Listeners, UDP sockets and what they received stay. Addresses are given anew, by DHCP or by the operator.
//!
//! Of instances that are cloned together, networks may come along whose every station is one of them: there the
//! addresses and the connections stay too, since both ends of each are from the same instant.

use super::super::neighbours::Neighbour;
use super::super::types::{AddressSpec, InterfaceConfig, NetError};
use super::error::RestoreError;
use super::state::{
    ConnectionState, EntryState, InterfaceState, Phase, QueryState, StackState, UdpState,
};
use crate::net::frame::MacAddress;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// What becomes of the network that an interface of the original is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// The clone is elsewhere, or a newcomer there.
    New,
    /// All its stations are cloned with it.
    Cloned,
}

/// A clone's interfaces, and what comes along with it.
#[derive(Debug, Clone, Copy)]
pub struct CloneNetwork<'a> {
    /// Instead of the original's, in their order.
    pub interfaces: &'a [InterfaceConfig],
    /// The network of each; [`Surroundings::New`] for those that are not named.
    pub surroundings: &'a [Surroundings],
    /// The stations that are cloned together: the old address and the new one.
    pub stations: &'a BTreeMap<MacAddress, MacAddress>,
}

impl<'a> CloneNetwork<'a> {
    /// Of a clone that comes alone.
    pub fn alone(interfaces: &'a [InterfaceConfig]) -> CloneNetwork<'a> {
        const NOBODY: &BTreeMap<MacAddress, MacAddress> = &BTreeMap::new();
        CloneNetwork {
            interfaces,
            surroundings: &[],
            stations: NOBODY,
        }
    }

    fn comes_along(&self, interface: usize) -> bool {
        self.surroundings.get(interface) == Some(&Surroundings::Cloned)
    }

    /// Whether a connection is the clone's as well.
    fn keeps(&self, interface: u32, local: SocketAddr) -> bool {
        self.comes_along(interface as usize) && !is_of_station(local.ip())
    }
}

impl StackState {
    /// The state for a clone with these interfaces.
    ///
    /// # Errors
    /// [`RestoreError::Interfaces`] for another number of them; [`RestoreError::AddressOfOriginal`] when one has a
    /// station or static address of the original's.
    pub fn into_clone(mut self, network: CloneNetwork<'_>) -> Result<StackState, RestoreError> {
        let interfaces = network.interfaces;
        if interfaces.len() != self.interfaces.len() {
            return Err(RestoreError::Interfaces {
                given: interfaces.len(),
                wanted: self.interfaces.len(),
            });
        }
        let mut renamed = BTreeMap::new();
        for (number, (old, new)) in self.interfaces.iter().zip(interfaces).enumerate() {
            let comes_along = network.comes_along(number);
            check_differs(old, new, comes_along)?;
            if comes_along {
                continue;
            }
            let (before, after) = (fixed(&old.addresses), fixed(&new.addresses));
            let lease = old.lease.as_ref().map(|lease| IpAddr::V4(lease.address));
            for (index, address) in before.iter().chain(&lease).enumerate() {
                let same_kind = |other: &&IpAddr| other.is_ipv4() == address.is_ipv4();
                renamed.insert(*address, after.get(index).filter(same_kind).copied());
            }
        }
        for (number, config) in interfaces.iter().enumerate() {
            let old = &mut self.interfaces[number];
            *old = match network.comes_along(number) {
                true => moved(config, old, network.stations),
                false => fresh(config),
            };
        }
        let keeps = |it: &ConnectionState| network.keeps(it.interface, it.local);
        self.lingering.retain(keeps);
        self.time_wait
            .retain(|it| network.keeps(it.interface, it.local));
        for place in &mut self.handles {
            match &mut place.entry {
                Some(EntryState::Connection(connection)) if !keeps(connection) => {
                    break_off(connection);
                }
                Some(EntryState::Connection(_)) => {}
                Some(EntryState::Listener(listener)) => {
                    listener.queue.retain(keeps);
                    listener.handshakes.retain(keeps);
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

/// A station address belongs to one, and a static address does to one of a network.
fn check_differs(
    old: &InterfaceState,
    new: &InterfaceConfig,
    comes_along: bool,
) -> Result<(), RestoreError> {
    let held = fixed(&old.addresses);
    let mut addresses = fixed(&new.addresses).into_iter();
    let is_shared = !comes_along && addresses.any(|address| held.contains(&address));
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

/// Whether an address follows from the station address, so that a clone has another.
fn is_of_station(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// An interface whose neighbours are cloned too.
fn moved(
    config: &InterfaceConfig,
    old: &InterfaceState,
    stations: &BTreeMap<MacAddress, MacAddress>,
) -> InterfaceState {
    let neighbours = old.neighbours.iter();
    let neighbours = neighbours.filter(|neighbour| !is_of_station(neighbour.address));
    let neighbours = neighbours.filter_map(|neighbour| {
        let mac = *stations.get(&neighbour.mac)?;
        let address = neighbour.address;
        Some(Neighbour { address, mac })
    });
    InterfaceState {
        lease: old.lease.clone(),
        neighbours: neighbours.collect(),
        ..fresh(config)
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
