//! [`Peers`]: the nodes that this one knows of, where they are, and when they are tried again.

use super::status::Status;
use crate::cluster::discovery::Announcement;
use crate::limits;
use crate::machine::{Duration, Time};
use crate::migrate::NodeId;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// First pause between two tries, doubled after each that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How this node came to know another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It was told where it is: it keeps trying.
    Configured,
    /// The other one says on the LAN that it is there: it is tried when it says so.
    Announced,
    /// The other one connected: it is tried when it is wanted.
    Heard,
}

/// One other node.
#[derive(Debug)]
pub(super) struct Known {
    /// Its own, never used again.
    pub number: u64,
    pub address: SocketAddr,
    pub source: Source,
    /// None before it has proved who it is.
    pub id: Option<NodeId>,
    pub name: String,
    pub status: Option<Status>,
    /// When anything of it was heard last.
    pub seen: Option<Time>,
    /// Connections with it that are open.
    pub links: u32,
    /// Whether it is being tried.
    pub is_tried: bool,
    /// When it is tried next; none: when somebody wants it.
    pub next_try: Option<Time>,
    /// Tries that failed in a row.
    pub failures: u32,
    /// Why the last one failed.
    pub problem: String,
}

/// All of them, in the order in which they became known, and the number of the next one.
#[derive(Debug, Default)]
pub(super) struct Peers(Vec<Known>, u64);

impl Peers {
    /// A node that is to be connected with.
    pub fn configure(&mut self, address: SocketAddr) {
        if self.0.len() < limits::CLUSTER_NODES && !self.0.iter().any(|it| it.address == address) {
            self.add(address, Source::Configured, Some(Time::ZERO));
        }
    }

    /// A node says that it is there. Of two that hear of each other, the one with the smaller number
    /// connects, so that they do not both.
    pub fn announced(&mut self, said: &Announcement, own: NodeId, now: Time) {
        if said.id == own {
            return;
        }
        let address = SocketAddr::V4(said.address);
        let same = |it: &Known| it.id == Some(said.id) || it.address == address;
        let at = match self.0.iter().position(same) {
            Some(at) => at,
            None => {
                if self.0.len() >= limits::CLUSTER_NODES && !self.forget_one() {
                    return;
                }
                self.add(address, Source::Announced, None)
            }
        };
        let known = &mut self.0[at];
        if known.links > 0 || known.is_tried || known.source == Source::Configured {
            return;
        }
        // It is a claim, which a connection proves or not.
        known.address = address;
        known.source = Source::Announced;
        known.id = Some(said.id);
        known.name = said.name.clone();
        known.status = Some(Status::announced(said));
        known.seen = Some(now);
        if own < said.id {
            known.next_try = Some(now);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.0.iter()
    }

    pub fn at(&mut self, address: SocketAddr) -> Option<&mut Known> {
        self.0.iter_mut().find(|it| it.address == address)
    }

    pub fn entry(&mut self, number: u64) -> Option<&mut Known> {
        self.0.iter_mut().find(|it| it.number == number)
    }

    /// The node of a name, or whose number begins with these digits; none if there are several.
    pub fn find(&self, wanted: &str) -> Option<NodeId> {
        let named = self.0.iter().filter(|it| it.name == wanted);
        let mut ids = named.filter_map(|it| it.id).collect::<Vec<_>>();
        if ids.is_empty() && wanted.len() >= 4 {
            let known = self.0.iter().filter_map(|it| it.id);
            ids.extend(known.filter(|id| alloc::format!("{id}").starts_with(wanted)));
        }
        ids.sort();
        ids.dedup();
        match ids[..] {
            [id] => Some(id),
            _ => None,
        }
    }

    /// Where a node that is linked listens.
    pub fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        let mut linked = self.0.iter().filter(|it| it.id == Some(id) && it.links > 0);
        linked.next().map(|it| it.address)
    }

    /// What a node calls itself.
    pub fn name_of(&self, id: NodeId) -> Option<&str> {
        let mut known = self.0.iter().filter(|it| it.id == Some(id));
        known.next().map(|it| it.name.as_str())
    }

    /// A connection with a node is open: `address` is where it listens, if it was found there. Returns the
    /// entry that it is counted with.
    pub fn linked(
        &mut self,
        id: NodeId,
        name: &str,
        address: Option<SocketAddr>,
        heard_from: SocketAddr,
        now: Time,
    ) -> Option<u64> {
        // It may be known under two addresses; each entry counts the connections that were found under it.
        let position = |peers: &Peers, test: &dyn Fn(&Known) -> bool| peers.0.iter().position(test);
        let at = address.and_then(|address| position(self, &|it| it.address == address));
        let at = at.or_else(|| position(self, &|it| it.id == Some(id)));
        let at = at.or_else(|| self.only_unproved_at(heard_from.ip()));
        let at = match at {
            Some(at) => at,
            None => {
                if self.0.len() >= limits::CLUSTER_NODES && !self.forget_one() {
                    return None;
                }
                self.add(heard_from, Source::Heard, None)
            }
        };
        let known = &mut self.0[at];
        if known.id != Some(id) {
            known.id = Some(id);
            known.status = None;
        }
        known.name = name.into();
        known.seen = Some(now);
        known.links += 1;
        known.failures = 0;
        known.is_tried &= address.is_none();
        known.next_try = None;
        known.problem.clear();
        Some(known.number)
    }

    /// The one entry of this host of which nobody has proved who it is, if there are not several.
    fn only_unproved_at(&self, host: IpAddr) -> Option<usize> {
        let entries = self.0.iter().enumerate();
        let mut found = entries.filter(|(_, it)| it.id.is_none() && it.address.ip() == host);
        match (found.next(), found.next()) {
            (Some((at, _)), None) => Some(at),
            _ => None,
        }
    }

    fn add(&mut self, address: SocketAddr, source: Source, next_try: Option<Time>) -> usize {
        let number = self.1;
        self.1 += 1;
        self.0.push(Known::new(number, address, source, next_try));
        self.0.len() - 1
    }

    /// One connection is over that was counted with this entry.
    pub fn unlinked(&mut self, number: u64, now: Time) {
        let Some(known) = self.entry(number) else {
            return;
        };
        known.links = known.links.saturating_sub(1);
        if known.links == 0 && known.source == Source::Configured {
            known.next_try = Some(now + FIRST_PAUSE);
        }
    }

    /// A try failed.
    pub fn failed(&mut self, address: SocketAddr, problem: String, jitter: u32, now: Time) {
        let Some(known) = self.at(address) else {
            return;
        };
        known.is_tried = false;
        known.problem = problem;
        let pause = FIRST_PAUSE * (1 << known.failures.min(10));
        known.failures = known.failures.saturating_add(1);
        // A tenth at random, so that two nodes do not meet in each other's way again and again.
        let pause = pause.min(LONGEST_PAUSE);
        let pause = pause + pause / 1000 * (jitter % 100);
        let again = known.source == Source::Configured && known.links == 0;
        known.next_try = again.then(|| now + pause);
    }

    /// A node is wanted: it is tried at once.
    pub fn want(&mut self, id: NodeId, now: Time) {
        let same = |it: &&mut Known| it.id == Some(id);
        if self.0.iter_mut().filter(same).any(|it| it.links > 0) {
            return;
        }
        for known in self.0.iter_mut().filter(same).filter(|it| !it.is_tried) {
            known.next_try = Some(now);
        }
    }

    /// The next one to be tried now.
    pub fn take_due(&mut self, now: Time) -> Option<&mut Known> {
        let due = |it: &&mut Known| !it.is_tried && it.next_try.is_some_and(|at| at <= now);
        let known = self.0.iter_mut().find(due)?;
        known.is_tried = true;
        known.next_try = None;
        Some(known)
    }

    /// When the next one is to be tried.
    pub fn next_try(&self) -> Option<Time> {
        let waiting = self.0.iter().filter(|it| !it.is_tried);
        waiting.filter_map(|it| it.next_try).min()
    }

    /// Forgets the node that was heard of longest ago, if one may be.
    fn forget_one(&mut self) -> bool {
        let idle = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, it)| it.source != Source::Configured && it.links == 0 && !it.is_tried);
        let oldest = idle.min_by_key(|(_, it)| it.seen).map(|(at, _)| at);
        oldest.map(|at| self.0.remove(at)).is_some()
    }
}

impl Known {
    /// Whether it should be there: this node was told so, or has heard so.
    pub fn is_expected(&self) -> bool {
        match self.source {
            Source::Configured | Source::Announced => true,
            Source::Heard => self.links > 0,
        }
    }

    fn new(number: u64, address: SocketAddr, source: Source, next_try: Option<Time>) -> Known {
        Known {
            number,
            address,
            source,
            id: None,
            name: String::new(),
            status: None,
            seen: None,
            links: 0,
            is_tried: false,
            next_try,
            failures: 0,
            problem: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 7600))
    }

    fn id(number: u16) -> NodeId {
        let mut id = NodeId::default();
        id.0[..2].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn a_configured_node_is_tried_again_and_again_with_growing_pauses() {
        let mut peers = Peers::default();
        peers.configure(address(1));
        peers.configure(address(1));
        let mut now = Time::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert!(peers.take_due(now).is_some());
            assert!(peers.take_due(now).is_none());
            peers.failed(address(1), "no answer".into(), 0, now);
            let next = peers.next_try().unwrap();
            pauses.push(next.since(now));
            now = next;
        }
        assert_eq!(pauses[..2], [FIRST_PAUSE, FIRST_PAUSE * 2]);
        assert_eq!(pauses[11], LONGEST_PAUSE);
        peers.take_due(now);
        let number = peers.linked(id(1), "one", Some(address(1)), address(1), now);
        assert_eq!(peers.next_try(), None);
        peers.unlinked(number.unwrap(), now);
        assert_eq!(peers.next_try(), Some(now + FIRST_PAUSE));
    }

    #[test]
    fn of_two_nodes_that_hear_of_each_other_one_connects_and_claims_are_bounded() {
        let said = |number: u16| Announcement {
            name: "heard".into(),
            id: id(number),
            address: match address(number) {
                SocketAddr::V4(v4) => v4,
                SocketAddr::V6(_) => panic!("not IPv4"),
            },
            version: "1".into(),
            memory_mib: 1,
            free_mib: 1,
            load_permille: 0,
        };
        let mut peers = Peers::default();
        peers.configure(address(9));
        peers.take_due(Time::ZERO);
        peers.announced(&said(5), id(5), Time::ZERO);
        assert_eq!(peers.iter().count(), 1);
        peers.announced(&said(4), id(5), Time::ZERO);
        assert_eq!(peers.next_try(), None);
        peers.announced(&said(6), id(5), Time::ZERO);
        assert_eq!(peers.take_due(Time::ZERO).unwrap().address, address(6));
        for number in 10..2000 {
            peers.announced(&said(number), id(5), Time::from_nanos(number.into()));
        }
        assert_eq!(peers.iter().count(), limits::CLUSTER_NODES);
        assert!(peers.at(address(9)).is_some());
    }

    #[test]
    fn a_node_of_two_addresses_is_tried_at_each_that_is_lost() {
        let mut peers = Peers::default();
        let now = Time::ZERO;
        let numbers = [1, 2].map(|number| {
            peers.configure(address(number));
            peers.take_due(now);
            let entry = peers.linked(id(7), "both", Some(address(number)), address(number), now);
            entry.unwrap()
        });
        for number in numbers {
            peers.unlinked(number, now);
        }
        assert!(
            peers
                .iter()
                .all(|known| known.links == 0 && known.next_try.is_some())
        );
        // Behind one host's address nobody is taken for somebody else.
        let host = |port| SocketAddr::from(([10, 9, 9, 9], port));
        peers.configure(host(1));
        peers.configure(host(2));
        peers.linked(id(8), "first", None, host(5000), now);
        assert!(peers.at(host(1)).unwrap().id.is_none());
    }

    #[test]
    fn nodes_are_found_by_name_and_number_if_that_is_one_alone() {
        let mut peers = Peers::default();
        for (number, name) in [(1, "one"), (2, "two"), (3, "two")] {
            peers.linked(id(number), name, None, address(number), Time::ZERO);
        }
        assert_eq!(peers.find("one"), Some(id(1)));
        assert_eq!(peers.find("two"), None);
        assert_eq!(peers.find("0003"), Some(id(3)));
        assert_eq!(peers.find("000"), None);
    }

    #[test]
    fn nodes_that_are_only_heard_of_are_bounded_and_make_room_for_each_other() {
        let mut peers = Peers::default();
        peers.configure(address(1));
        for number in 2..2000 {
            let now = Time::from_nanos(number.into());
            let entry = peers.linked(id(number), "heard", None, address(number), now);
            peers.unlinked(entry.unwrap(), now);
        }
        assert_eq!(peers.iter().count(), limits::CLUSTER_NODES);
        assert!(peers.at(address(1)).is_some());
        assert!(peers.iter().any(|known| known.id == Some(id(1999))));
    }
}
