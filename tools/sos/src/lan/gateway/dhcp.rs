//! The DHCP server (RFC 2131, options RFC 2132): addresses by MAC, stable while the LAN lives.
//!
//! Sans-I/O. A lease keeps the host name that its client sent, which is how services are found.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};

use crate::lan::config::Subnet;

/// Leases at one time; the subnet may bound them further.
const LEASES_MAX: usize = 4096;
/// First host number of the pool; lower ones are for static addresses.
const POOL_FIRST: u32 = 15;
/// How long a lease lasts.
const LEASE_TIME: Duration = Duration::from_secs(3600);
/// How long an offer is kept for its client.
const OFFER_TIME: Duration = Duration::from_secs(10);
/// How long an address that a client found in use is left alone.
const DECLINED_TIME: Duration = Duration::from_secs(600);

const OPTION_DNS_SERVER: u8 = 6;
const OPTION_HOST_NAME: u8 = 12;
const OPTION_DOMAIN_NAME: u8 = 15;
const OPTION_INTERFACE_MTU: u8 = 26;
/// The MTU that a client assumes unasked.
const ETHERNET_MTU: usize = 1500;
/// The shortest message that every client takes (RFC 1542, 2.1).
const MESSAGE_BYTES_MIN: usize = 300;

/// A station's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The station.
    pub mac: EthernetAddress,
    /// Its address.
    pub address: Ipv4Addr,
    /// The host name that it sent, in lower case.
    pub name: Option<String>,
    /// When it was last acknowledged; of two stations with one name the later has it.
    pub acknowledged: Instant,
}

struct Entry {
    address: Ipv4Addr,
    name: Option<String>,
    acknowledged: Option<Instant>,
    until: Instant,
}

/// What the server sends back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The UDP payload.
    pub(super) payload: Vec<u8>,
    /// The station that gets it, or all.
    pub(super) mac: EthernetAddress,
    /// The IP destination.
    pub(super) address: Ipv4Addr,
}

/// The server's state.
pub(super) struct DhcpServer {
    subnet: Subnet,
    mtu: usize,
    entries: BTreeMap<EthernetAddress, Entry>,
    declined: BTreeMap<Ipv4Addr, Instant>,
}

enum Answer {
    Offer(Ipv4Addr),
    Acknowledge(Ipv4Addr),
    Refuse,
}

impl DhcpServer {
    pub(super) fn new(subnet: Subnet, mtu: usize) -> Self {
        Self {
            subnet,
            mtu,
            entries: BTreeMap::new(),
            declined: BTreeMap::new(),
        }
    }

    /// The acknowledged leases, in the order of their stations' addresses.
    pub(super) fn leases(&self) -> Vec<Lease> {
        self.entries
            .iter()
            .filter_map(|(&mac, entry)| {
                let acknowledged = entry.acknowledged?;
                Some(Lease {
                    mac,
                    address: entry.address,
                    name: entry.name.clone(),
                    acknowledged,
                })
            })
            .collect()
    }

    /// The address of the station that last took a lease under `name`.
    pub(super) fn address_of(&self, name: &str) -> Option<Ipv4Addr> {
        self.entries
            .values()
            .filter(|entry| {
                entry
                    .name
                    .as_deref()
                    .is_some_and(|n| n.eq_ignore_ascii_case(name))
            })
            .filter_map(|entry| Some((entry.acknowledged?, entry.address)))
            .max()
            .map(|(_, address)| address)
    }

    /// Handles the payload of a datagram to the server's port.
    pub(super) fn handle(&mut self, payload: &[u8], now: Instant) -> Option<Reply> {
        let packet = DhcpPacket::new_checked(payload).ok()?;
        let request = DhcpRepr::parse(&packet).ok()?;
        let mac = request.client_hardware_address;
        if !mac.is_unicast() {
            return None;
        }
        let name = packet
            .options()
            .find(|option| option.kind == OPTION_HOST_NAME)
            .and_then(|option| host_name(option.data));
        let wanted = request
            .requested_ip
            .or((!request.client_ip.is_unspecified()).then_some(request.client_ip));
        let answer = match request.message_type {
            DhcpMessageType::Discover => Answer::Offer(self.offer(mac, wanted, now)?),
            DhcpMessageType::Request => {
                if request
                    .server_identifier
                    .is_some_and(|id| id != self.subnet.gateway)
                {
                    return None;
                }
                self.request(mac, wanted?, name, now)
            }
            DhcpMessageType::Decline => {
                self.decline(mac, wanted?, now);
                return None;
            }
            DhcpMessageType::Release => {
                if let Some(entry) = self.entries.get_mut(&mac) {
                    entry.until = now;
                    entry.acknowledged = None;
                }
                return None;
            }
            DhcpMessageType::Inform => Answer::Acknowledge(Ipv4Addr::UNSPECIFIED),
            _ => return None,
        };
        self.reply(&request, &answer)
    }

    fn offer(
        &mut self,
        mac: EthernetAddress,
        wanted: Option<Ipv4Addr>,
        now: Instant,
    ) -> Option<Ipv4Addr> {
        if let Some(entry) = self.entries.get_mut(&mac) {
            entry.until = entry.until.max(now + OFFER_TIME);
            return Some(entry.address);
        }
        let address = wanted
            .filter(|address| self.is_free(*address, now))
            .or_else(|| self.free_address(now))
            .or_else(|| self.reclaim(now))?;
        let entry = Entry {
            address,
            name: None,
            acknowledged: None,
            until: now + OFFER_TIME,
        };
        self.entries.insert(mac, entry);
        Some(address)
    }

    fn request(
        &mut self,
        mac: EthernetAddress,
        wanted: Ipv4Addr,
        name: Option<String>,
        now: Instant,
    ) -> Answer {
        // A client of an earlier LAN that reboots asks for what it had: keep it, if nobody has it.
        if !self.entries.contains_key(&mac) && self.offer(mac, Some(wanted), now).is_none() {
            return Answer::Refuse;
        }
        match self.entries.get_mut(&mac) {
            Some(entry) if entry.address == wanted => {
                entry.until = now + LEASE_TIME;
                entry.acknowledged = Some(now);
                entry.name = name.or(entry.name.take());
                Answer::Acknowledge(wanted)
            }
            _ => Answer::Refuse,
        }
    }

    fn decline(&mut self, mac: EthernetAddress, address: Ipv4Addr, now: Instant) {
        if self
            .entries
            .get(&mac)
            .is_some_and(|entry| entry.address == address)
        {
            self.entries.remove(&mac);
            self.declined.insert(address, now + DECLINED_TIME);
        }
    }

    fn pool(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let network = self.subnet.gateway.to_bits() & self.subnet.netmask().to_bits();
        let hosts = self.subnet.broadcast().to_bits() - network;
        let gateway = self.subnet.gateway;
        (POOL_FIRST.min(hosts / 2)..hosts)
            .map(move |host| Ipv4Addr::from_bits(network + host))
            .filter(move |address| *address != gateway)
            .take(LEASES_MAX)
    }

    fn is_free(&self, address: Ipv4Addr, now: Instant) -> bool {
        self.pool().any(|candidate| candidate == address)
            && self
                .declined
                .get(&address)
                .is_none_or(|until| *until <= now)
            && !self.entries.values().any(|entry| entry.address == address)
    }

    fn free_address(&self, now: Instant) -> Option<Ipv4Addr> {
        let mut used: Vec<Ipv4Addr> = self.entries.values().map(|entry| entry.address).collect();
        used.extend(
            self.declined
                .iter()
                .filter(|(_, until)| **until > now)
                .map(|(ip, _)| *ip),
        );
        used.sort_unstable();
        self.pool()
            .find(|address| used.binary_search(address).is_err())
    }

    /// Takes the address of the entry that ran out first.
    fn reclaim(&mut self, now: Instant) -> Option<Ipv4Addr> {
        let (&mac, _) = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.until <= now)
            .min_by_key(|(_, entry)| entry.until)?;
        self.entries.remove(&mac).map(|entry| entry.address)
    }

    fn reply(&self, request: &DhcpRepr<'_>, answer: &Answer) -> Option<Reply> {
        let (message_type, your_ip) = match *answer {
            Answer::Offer(address) => (DhcpMessageType::Offer, address),
            Answer::Acknowledge(address) => (DhcpMessageType::Ack, address),
            Answer::Refuse => (DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED),
        };
        let refused = matches!(answer, Answer::Refuse);
        let mtu = (self.mtu as u16).to_be_bytes();
        let dns_server = self.subnet.gateway.octets();
        let mut additional = vec![
            DhcpOption {
                kind: OPTION_DNS_SERVER,
                data: &dns_server,
            },
            DhcpOption {
                kind: OPTION_DOMAIN_NAME,
                data: b"sos",
            },
        ];
        if self.mtu != ETHERNET_MTU {
            additional.push(DhcpOption {
                kind: OPTION_INTERFACE_MTU,
                data: &mtu,
            });
        }
        if refused {
            additional.clear();
        }
        let granted = !refused && !your_ip.is_unspecified();
        let response = DhcpRepr {
            message_type,
            transaction_id: request.transaction_id,
            secs: 0,
            client_hardware_address: request.client_hardware_address,
            client_ip: if refused {
                Ipv4Addr::UNSPECIFIED
            } else {
                request.client_ip
            },
            your_ip,
            server_ip: self.subnet.gateway,
            router: (!refused).then_some(self.subnet.gateway),
            subnet_mask: (!refused).then_some(self.subnet.netmask()),
            relay_agent_ip: request.relay_agent_ip,
            broadcast: request.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.subnet.gateway),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: granted.then_some(LEASE_TIME.as_secs() as u32),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &additional,
        };
        // RFC 2131, 4.1: to ciaddr if the client has one; else to all, or to the station alone
        // when it did not ask for broadcast. An IP broadcast in a unicast frame suits every client.
        let (mac, address) = if refused || (request.client_ip.is_unspecified() && request.broadcast)
        {
            (EthernetAddress::BROADCAST, Ipv4Addr::BROADCAST)
        } else if request.client_ip.is_unspecified() {
            (request.client_hardware_address, Ipv4Addr::BROADCAST)
        } else {
            (request.client_hardware_address, request.client_ip)
        };
        let mut payload = vec![0; response.buffer_len().max(MESSAGE_BYTES_MIN)];
        response
            .emit(&mut DhcpPacket::new_unchecked(&mut payload[..]))
            .ok()?;
        Some(Reply {
            payload,
            mac,
            address,
        })
    }
}

/// A host name that DNS can carry, in lower case (RFC 1123, 2.1); its first label counts.
fn host_name(data: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(data).ok()?.trim_end_matches('\0');
    let label = text.split('.').next()?.to_ascii_lowercase();
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    (!label.is_empty() && label.len() <= 63 && label.bytes().all(allowed)).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
    const OTHER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);

    struct Ask {
        kind: DhcpMessageType,
        mac: EthernetAddress,
        address: Option<Ipv4Addr>,
        name: &'static str,
    }

    fn ask(server: &mut DhcpServer, ask: Ask, now: Instant) -> Option<(DhcpMessageType, Ipv4Addr)> {
        let name = [DhcpOption {
            kind: OPTION_HOST_NAME,
            data: ask.name.as_bytes(),
        }];
        let request = DhcpRepr {
            message_type: ask.kind,
            transaction_id: 99,
            secs: 0,
            client_hardware_address: ask.mac,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: ask.address,
            client_identifier: None,
            server_identifier: None,
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: if ask.name.is_empty() { &[] } else { &name },
        };
        let mut payload = vec![0; request.buffer_len()];
        request
            .emit(&mut DhcpPacket::new_unchecked(&mut payload[..]))
            .unwrap();
        let reply = server.handle(&payload, now)?;
        let packet = DhcpPacket::new_checked(&reply.payload[..]).unwrap();
        let reply = DhcpRepr::parse(&packet).unwrap();
        assert_eq!(
            (reply.transaction_id, reply.client_hardware_address),
            (99, ask.mac)
        );
        Some((reply.message_type, reply.your_ip))
    }

    fn lease(server: &mut DhcpServer, mac: EthernetAddress, name: &'static str) -> Ipv4Addr {
        let now = Instant::now();
        let discover = Ask {
            kind: DhcpMessageType::Discover,
            mac,
            address: None,
            name,
        };
        let (kind, address) = ask(server, discover, now).unwrap();
        assert_eq!(kind, DhcpMessageType::Offer);
        let request = Ask {
            kind: DhcpMessageType::Request,
            mac,
            address: Some(address),
            name,
        };
        assert_eq!(
            ask(server, request, now),
            Some((DhcpMessageType::Ack, address))
        );
        address
    }

    #[test]
    fn leases_are_stable_and_found_by_name() {
        let mut server = DhcpServer::new(Subnet::default(), 1500);
        let first = lease(&mut server, MAC, "Web.example");
        assert_eq!(first, Ipv4Addr::new(10, 0, 2, 15));
        assert_ne!(lease(&mut server, OTHER, ""), first);
        assert_eq!(lease(&mut server, MAC, ""), first);
        assert_eq!(server.address_of("WEB"), Some(first));
        assert_eq!(server.leases().len(), 2);
    }

    #[test]
    fn the_later_of_two_stations_has_the_name() {
        let mut server = DhcpServer::new(Subnet::default(), 1500);
        lease(&mut server, MAC, "web");
        let second = lease(&mut server, OTHER, "web");
        assert_eq!(server.address_of("web"), Some(second));
    }

    #[test]
    fn what_is_taken_or_foreign_is_refused() {
        let mut server = DhcpServer::new(Subnet::default(), 1500);
        let taken = lease(&mut server, MAC, "web");
        let now = Instant::now();
        for address in [
            taken,
            Ipv4Addr::new(192, 168, 0, 1),
            Ipv4Addr::new(10, 0, 2, 255),
        ] {
            let kind = DhcpMessageType::Request;
            let request = Ask {
                kind,
                mac: OTHER,
                address: Some(address),
                name: "",
            };
            let answer = ask(&mut server, request, now);
            assert_eq!(answer, Some((DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED)));
        }
    }

    #[test]
    fn a_rebooting_client_keeps_its_free_address() {
        let mut server = DhcpServer::new(Subnet::default(), 1500);
        let kind = DhcpMessageType::Request;
        let address = Ipv4Addr::new(10, 0, 2, 77);
        let request = Ask {
            kind,
            mac: MAC,
            address: Some(address),
            name: "web",
        };
        let answer = ask(&mut server, request, Instant::now());
        assert_eq!(answer, Some((DhcpMessageType::Ack, address)));
    }

    #[test]
    fn an_exhausted_pool_reuses_what_ran_out() {
        let subnet = Subnet {
            prefix_len: 29,
            gateway: Ipv4Addr::new(10, 0, 2, 1),
            ..Subnet::default()
        };
        let mut server = DhcpServer::new(subnet, 1500);
        let start = Instant::now();
        let mut given = Vec::new();
        for number in 0..20 {
            let mac = EthernetAddress([2, 0, 0, 0, 1, number]);
            let kind = DhcpMessageType::Discover;
            let discover = Ask {
                kind,
                mac,
                address: None,
                name: "",
            };
            given.extend(ask(&mut server, discover, start).map(|(_, address)| address));
        }
        assert_eq!(given.len(), server.pool().count());
        let kind = DhcpMessageType::Discover;
        let discover = Ask {
            kind,
            mac: MAC,
            address: None,
            name: "",
        };
        assert!(ask(&mut server, discover, start + OFFER_TIME).is_some());
    }

    #[test]
    fn names_that_dns_cannot_carry_are_ignored() {
        assert_eq!(host_name(b"Web-1\x00"), Some("web-1".to_owned()));
        assert_eq!(host_name(b"a b"), None);
        assert_eq!(host_name(&[0xff, 0xfe]), None);
        assert_eq!(host_name(&[b'a'; 64]), None);
    }
}
