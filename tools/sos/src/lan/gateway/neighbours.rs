//! Which station has which address (ARP and NDP), and who was asked for recently.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use smoltcp::wire::EthernetAddress;

/// Addresses that are remembered.
const NEIGHBOURS_MAX: usize = 4096;
/// One address is asked for at most this often.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// An address not heard of for this long is asked for again, while it stays in use.
const STALE_AFTER: Duration = Duration::from_secs(30);

struct Neighbour {
    mac: EthernetAddress,
    heard: Instant,
}

/// The neighbour table.
#[derive(Default)]
pub(super) struct Neighbours {
    table: BTreeMap<IpAddr, Neighbour>,
    probed: BTreeMap<IpAddr, Instant>,
}

impl Neighbours {
    /// Notes that `address` is at `mac`. Returns whether that is news.
    pub(super) fn learn(&mut self, address: IpAddr, mac: EthernetAddress, now: Instant) -> bool {
        if !mac.is_unicast() || address.is_unspecified() || address.is_multicast() {
            return false;
        }
        self.probed.remove(&address);
        if let Some(neighbour) = self.table.get_mut(&address) {
            neighbour.heard = now;
            return std::mem::replace(&mut neighbour.mac, mac) != mac;
        }
        if self.table.len() >= NEIGHBOURS_MAX {
            let oldest = self
                .table
                .iter()
                .min_by_key(|(_, n)| n.heard)
                .map(|(ip, _)| *ip);
            oldest.and_then(|ip| self.table.remove(&ip));
        }
        self.table.insert(address, Neighbour { mac, heard: now });
        true
    }

    /// The station that has `address`.
    pub(super) fn mac_of(&self, address: IpAddr) -> Option<EthernetAddress> {
        self.table.get(&address).map(|neighbour| neighbour.mac)
    }

    /// Whether to ask for `address` now: it is unknown or stale and was not asked for just before.
    pub(super) fn wants_probe(&mut self, address: IpAddr, now: Instant) -> bool {
        let fresh = self
            .table
            .get(&address)
            .is_some_and(|n| now.saturating_duration_since(n.heard) < STALE_AFTER);
        let recent = |at: &Instant| now.saturating_duration_since(*at) < PROBE_INTERVAL;
        if fresh || self.probed.get(&address).is_some_and(recent) {
            return false;
        }
        if self.probed.len() >= NEIGHBOURS_MAX {
            self.probed.retain(|_, at| recent(at));
        }
        self.probed.insert(address, now);
        true
    }

    /// Forgets all addresses of these stations.
    pub(super) fn forget(&mut self, macs: &[EthernetAddress]) {
        self.table
            .retain(|_, neighbour| !macs.contains(&neighbour.mac));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));
    const ONE: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
    const TWO: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);

    #[test]
    fn an_address_that_moves_is_news() {
        let mut neighbours = Neighbours::default();
        let now = Instant::now();
        assert!(neighbours.learn(ADDRESS, ONE, now));
        assert!(!neighbours.learn(ADDRESS, ONE, now));
        assert!(neighbours.learn(ADDRESS, TWO, now));
        assert_eq!(neighbours.mac_of(ADDRESS), Some(TWO));
        neighbours.forget(&[TWO]);
        assert_eq!(neighbours.mac_of(ADDRESS), None);
    }

    #[test]
    fn probes_are_spaced_and_end_with_the_answer() {
        let mut neighbours = Neighbours::default();
        let start = Instant::now();
        assert!(neighbours.wants_probe(ADDRESS, start));
        assert!(!neighbours.wants_probe(ADDRESS, start));
        assert!(neighbours.wants_probe(ADDRESS, start + PROBE_INTERVAL));
        neighbours.learn(ADDRESS, ONE, start);
        assert!(!neighbours.wants_probe(ADDRESS, start));
        assert!(neighbours.wants_probe(ADDRESS, start + STALE_AFTER));
    }
}
