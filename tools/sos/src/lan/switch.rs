//! The learning table: which port leads to which station (IEEE 802.1D-2004, 7.8 and 7.9).
//!
//! Sans-I/O; [`super::fabric`] moves the frames.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use smoltcp::wire::EthernetAddress;

use super::fabric::PortId;

/// Stations that are remembered; frames to further ones are flooded.
const STATIONS_MAX: usize = 4096;
/// How long a silent station is remembered (802.1D-2004 table 7-5: 300 s).
const AGEING: Duration = Duration::from_secs(300);
/// A full table is searched for aged stations at most this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

struct Station {
    port: PortId,
    seen: Instant,
}

/// Learns stations from the frames that they send.
#[derive(Default)]
pub(super) struct MacTable {
    stations: HashMap<EthernetAddress, Station>,
    swept: Option<Instant>,
}

impl MacTable {
    /// Notes that `mac` sent a frame through `port`.
    pub(super) fn learn(&mut self, mac: EthernetAddress, port: PortId, now: Instant) {
        if !mac.is_unicast() {
            return;
        }
        if let Some(station) = self.stations.get_mut(&mac) {
            *station = Station { port, seen: now };
            return;
        }
        if self.stations.len() >= STATIONS_MAX {
            self.sweep(now);
        }
        if self.stations.len() < STATIONS_MAX {
            self.stations.insert(mac, Station { port, seen: now });
        }
    }

    /// The port that leads to `mac`, if known and not aged.
    pub(super) fn port_of(&self, mac: EthernetAddress, now: Instant) -> Option<PortId> {
        let station = self.stations.get(&mac)?;
        (now.saturating_duration_since(station.seen) < AGEING).then_some(station.port)
    }

    /// Forgets all stations behind `port`, and names them.
    pub(super) fn forget_port(&mut self, port: PortId) -> Vec<EthernetAddress> {
        self.stations
            .extract_if(|_, station| station.port == port)
            .map(|(mac, _)| mac)
            .collect()
    }

    /// The stations behind `port`, in order.
    pub(super) fn stations_of(&self, port: PortId) -> Vec<EthernetAddress> {
        let mut macs: Vec<_> = self
            .stations
            .iter()
            .filter(|(_, station)| station.port == port)
            .map(|(mac, _)| *mac)
            .collect();
        macs.sort();
        macs
    }

    fn sweep(&mut self, now: Instant) {
        if self
            .swept
            .is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP_INTERVAL)
        {
            return;
        }
        self.swept = Some(now);
        self.stations
            .retain(|_, station| now.saturating_duration_since(station.seen) < AGEING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: u32) -> EthernetAddress {
        let [a, b, c, d] = number.to_be_bytes();
        EthernetAddress([2, 0, a, b, c, d])
    }

    #[test]
    fn a_station_follows_its_frames_and_ages() {
        let mut table = MacTable::default();
        let start = Instant::now();
        table.learn(mac(1), PortId(1), start);
        assert_eq!(table.port_of(mac(1), start), Some(PortId(1)));
        table.learn(mac(1), PortId(2), start);
        assert_eq!(table.port_of(mac(1), start), Some(PortId(2)));
        assert_eq!(table.port_of(mac(1), start + AGEING), None);
        assert_eq!(table.port_of(mac(2), start), None);
    }

    #[test]
    fn group_addresses_are_not_learnt() {
        let mut table = MacTable::default();
        let now = Instant::now();
        table.learn(EthernetAddress::BROADCAST, PortId(1), now);
        assert_eq!(table.port_of(EthernetAddress::BROADCAST, now), None);
    }

    #[test]
    fn a_full_table_stays_bounded_and_makes_room_by_age() {
        let mut table = MacTable::default();
        let start = Instant::now();
        for number in 0..STATIONS_MAX as u32 + 10 {
            table.learn(mac(number), PortId(1), start);
        }
        assert_eq!(table.stations.len(), STATIONS_MAX);
        let later = start + AGEING + SWEEP_INTERVAL;
        table.learn(mac(9_999), PortId(3), later);
        assert_eq!(table.port_of(mac(9_999), later), Some(PortId(3)));
    }

    #[test]
    fn an_unplugged_port_takes_its_stations_along() {
        let mut table = MacTable::default();
        let now = Instant::now();
        table.learn(mac(1), PortId(1), now);
        table.learn(mac(2), PortId(2), now);
        assert_eq!(table.forget_port(PortId(1)), [mac(1)]);
        assert_eq!(table.port_of(mac(1), now), None);
        assert_eq!(table.stations_of(PortId(2)), [mac(2)]);
    }
}
