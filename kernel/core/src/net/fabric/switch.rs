//! What a switch remembers: which station lives where (IEEE 802.1D, learning and ageing).

use super::{PortId, RemoteId};
use crate::limits;
use crate::machine::{Duration, Time};
use crate::net::frame::MacAddress;
use alloc::collections::BTreeMap;

/// Where a station was last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// Behind a port of this node.
    Port(PortId),
    /// Beyond the NIC.
    Uplink,
    /// On another node.
    Remote(RemoteId),
}

#[derive(Debug, Clone, Copy)]
struct Learned {
    location: Location,
    seen: Time,
}

/// Least time between two sweeps of a full table, so that a flood of invented addresses costs no
/// sweep each.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
const AGEING: Duration = Duration::from_secs(limits::SWITCH_AGEING_SECONDS);

/// The address table of one switch.
#[derive(Debug, Default)]
pub(super) struct AddressTable {
    stations: BTreeMap<MacAddress, Learned>,
    swept: Option<Time>,
    /// Stations that found no room.
    pub(super) refused: u64,
}

impl AddressTable {
    /// Notes that `station` was heard at `location`; the latest place wins.
    pub(super) fn learn(&mut self, station: MacAddress, location: Location, now: Time) {
        let learned = Learned {
            location,
            seen: now,
        };
        if let Some(entry) = self.stations.get_mut(&station) {
            *entry = learned;
            return;
        }
        if self.stations.len() >= limits::SWITCH_ADDRESSES {
            self.sweep(now);
        }
        if self.stations.len() >= limits::SWITCH_ADDRESSES {
            self.refused += 1;
            return;
        }
        self.stations.insert(station, learned);
    }

    /// Where `station` was heard within the ageing time.
    pub(super) fn find(&self, station: MacAddress, now: Time) -> Option<Location> {
        let learned = self.stations.get(&station)?;
        (now.since(learned.seen) < AGEING).then_some(learned.location)
    }

    /// Forgets every station behind `location`.
    pub(super) fn forget(&mut self, location: Location) {
        self.stations
            .retain(|_, learned| learned.location != location);
    }

    /// The stations heard within the ageing time, in order of address.
    pub(super) fn stations(
        &self,
        now: Time,
    ) -> impl Iterator<Item = (MacAddress, Location, Duration)> + '_ {
        self.stations.iter().filter_map(move |(station, learned)| {
            let age = now.since(learned.seen);
            (age < AGEING).then_some((*station, learned.location, age))
        })
    }

    fn sweep(&mut self, now: Time) {
        if self
            .swept
            .is_some_and(|swept| now.since(swept) < SWEEP_INTERVAL)
        {
            return;
        }
        self.swept = Some(now);
        self.stations
            .retain(|_, learned| now.since(learned.seen) < AGEING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn station(number: u32) -> MacAddress {
        let [a, b, c, d] = number.to_be_bytes();
        [2, 0, a, b, c, d]
    }

    #[test]
    fn a_station_is_forgotten_after_the_ageing_time() {
        let mut table = AddressTable::default();
        table.learn(station(1), Location::Uplink, at(0));
        assert_eq!(table.find(station(1), at(299)), Some(Location::Uplink));
        assert_eq!(table.find(station(1), at(300)), None);
    }

    #[test]
    fn the_latest_place_of_a_station_wins() {
        let mut table = AddressTable::default();
        table.learn(station(1), Location::Port(PortId(1)), at(0));
        table.learn(station(1), Location::Port(PortId(2)), at(1));
        assert_eq!(
            table.find(station(1), at(2)),
            Some(Location::Port(PortId(2)))
        );
    }

    #[test]
    fn a_full_table_refuses_and_makes_room_when_entries_age() {
        let mut table = AddressTable::default();
        for number in 0..limits::SWITCH_ADDRESSES as u32 {
            table.learn(station(number), Location::Uplink, at(0));
        }
        table.learn(station(1_000_000), Location::Uplink, at(1));
        assert_eq!(table.find(station(1_000_000), at(1)), None);
        assert_eq!(table.refused, 1);
        table.learn(station(1_000_000), Location::Uplink, at(400));
        assert_eq!(
            table.find(station(1_000_000), at(400)),
            Some(Location::Uplink)
        );
        assert_eq!(table.stations(at(400)).count(), 1);
    }
}
