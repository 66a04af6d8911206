//! Private networks of instances on several nodes: which node has ends of which, and which nodes carry frames to
//! each other.
//!
//! Each node tells those that it is linked with what it has ([`Networks`], a message between those of the migrations). Two that have
//! ends of the same network open a channel for [`Protocol::Tunnel`](super::channel::Protocol), by which its frames
//! go. A node that ceases to be linked has nothing. [`Carrier`] is what one node knows of all
//! that, and decides with whom it opens channels and which it closes; it does nothing itself.
//!
//! - `message`: what nodes say.

mod message;
#[cfg(test)]
mod tests;

pub use message::{Carried, Networks};

use super::NodeId;
use crate::limits;
use crate::machine::{Duration, Time};
use crate::net::fabric::{NetworkId, Presence};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How long the one of two nodes that is not to open the channel waits for the other, which may not know where it is.
const COURTESY: Duration = Duration::from_millis(500);
/// First pause after a try that failed, doubled after each,
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How long a channel without a common network is kept.
const IDLE: Duration = Duration::from_secs(10);
/// Frames that nobody here wanted, after which that is told,
const STRAYS_TOLD: u64 = 64;
/// once in so long.
const STRAYS_PERIOD: Duration = Duration::from_secs(10);

/// Who has which networks, and the channels by which their frames go.
#[derive(Debug, Default)]
pub struct Carrier {
    own: BTreeMap<NetworkId, Presence>,
    version: u64,
    peers: BTreeMap<NodeId, Peer>,
    /// Whether somebody has told something since [`Carrier::take_news`].
    has_news: bool,
}

/// What is known of one other node.
#[derive(Debug, Default)]
struct Peer {
    /// Connections by which it is linked.
    links: u32,
    has: BTreeMap<NetworkId, Presence>,
    /// Channels that are open, the latest last.
    channels: Vec<u64>,
    dial: Dial,
    /// Since when there has been nothing to carry, as far as was looked.
    idle_since: Option<Time>,
    strays: Strays,
}

/// Opening a channel.
#[derive(Debug, Default, Clone, Copy)]
struct Dial {
    /// When it is tried; none: it is not wanted, or being tried.
    due: Option<Time>,
    is_tried: bool,
    failures: u32,
}

/// Frames of networks that are not here.
#[derive(Debug, Default, Clone, Copy)]
struct Strays {
    since: Time,
    count: u64,
    is_told: bool,
}

impl Carrier {
    /// Says what this node has. Answers whether that is news.
    pub fn set_own(&mut self, networks: Vec<(NetworkId, Presence)>) -> bool {
        let own: BTreeMap<NetworkId, Presence> = networks.into_iter().collect();
        let is_new = own != self.own;
        if is_new {
            self.own = own;
            self.version += 1;
        }
        is_new
    }

    /// A number that changes with what this node has; 0 while it never had anything.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What this node tells the others.
    pub fn announcement(&self) -> Networks {
        let own = self.own.iter().take(limits::SEGMENTS);
        Networks(
            own.map(|(&network, &presence)| (network, presence))
                .collect(),
        )
    }

    /// A node is linked.
    pub fn linked(&mut self, peer: NodeId) {
        self.peers.entry(peer).or_default().links += 1;
    }

    /// One link with a node is lost. With the last one it has nothing any more.
    pub fn unlinked(&mut self, peer: NodeId) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.links = known.links.saturating_sub(1);
        if known.links == 0 {
            known.has.clear();
            self.has_news = true;
        }
    }

    /// A linked node told what it has.
    pub fn heard(&mut self, peer: NodeId, networks: Networks) {
        if let Some(known) = self.peers.get_mut(&peer)
            && known.links > 0
        {
            let networks = networks.0.into_iter().take(limits::SEGMENTS);
            known.has = networks.collect();
            self.has_news = true;
        }
    }

    /// Whether a node is linked.
    pub fn is_linked(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.links > 0)
    }

    /// Whether anybody has told anything since this was asked.
    pub fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.has_news)
    }

    /// The nodes that have ends of a network.
    pub fn ends_of(&self, network: NetworkId) -> impl Iterator<Item = NodeId> {
        let has_ends = move |peer: &Peer| peer.has.get(&network) == Some(&Presence::Ends);
        let peers = self.peers.iter();
        peers.filter_map(move |(&id, peer)| has_ends(peer).then_some(id))
    }

    /// Nodes that are known, with the latest channel to each.
    pub fn channels(&self) -> impl Iterator<Item = (NodeId, Option<u64>)> {
        let peers = self.peers.iter();
        peers.map(|(&id, peer)| (id, peer.channels.last().copied()))
    }

    /// Whether this node and another have something of one network, which may be carried soon.
    fn shares(&self, peer: &Peer) -> bool {
        self.own
            .keys()
            .any(|network| peer.has.contains_key(network))
    }

    /// Looks at all nodes: who is to be connected with, and which channels carry nothing any more.
    pub fn review(&mut self, own: NodeId, now: Time) {
        let shares: Vec<bool> = self.peers.values().map(|peer| self.shares(peer)).collect();
        for ((&id, peer), shares) in self.peers.iter_mut().zip(shares) {
            if shares {
                peer.idle_since = None;
                if peer.channels.is_empty() && !peer.dial.is_tried && peer.dial.due.is_none() {
                    let wait = match own < id {
                        true => Duration::ZERO,
                        false => COURTESY,
                    };
                    peer.dial.due = Some(now + wait);
                }
            } else {
                peer.dial.due = None;
                peer.dial.failures = 0;
                peer.idle_since.get_or_insert(now);
            }
        }
        let is_known =
            |peer: &Peer| peer.links > 0 || !peer.channels.is_empty() || peer.dial.is_tried;
        self.peers.retain(|_, peer| is_known(peer));
    }

    /// A node that is to be connected with now. It counts as tried until it is [`opened`](Self::opened) or has
    /// [`failed`](Self::failed).
    pub fn take_dial(&mut self, now: Time) -> Option<NodeId> {
        let is_due = |peer: &Peer| peer.dial.due.is_some_and(|due| due <= now);
        let (&id, peer) = self.peers.iter_mut().find(|(_, peer)| is_due(peer))?;
        peer.dial.due = None;
        peer.dial.is_tried = true;
        Some(id)
    }

    /// A node could not be connected with.
    pub fn failed(&mut self, peer: NodeId, now: Time) {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        let pause = FIRST_PAUSE * (1 << peer.dial.failures.min(6));
        peer.dial = Dial {
            due: peer
                .idle_since
                .is_none()
                .then(|| now + pause.min(LONGEST_PAUSE)),
            is_tried: false,
            failures: peer.dial.failures.saturating_add(1),
        };
    }

    /// A channel with a node is open, whoever opened it.
    pub fn opened(&mut self, peer: NodeId, channel: u64) {
        let known = self.peers.entry(peer).or_default();
        known.channels.push(channel);
        known.idle_since = None;
        known.dial = Dial::default();
        self.has_news = true;
    }

    /// A channel is over.
    pub fn closed(&mut self, peer: NodeId, channel: u64, now: Time) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.channels.retain(|&other| other != channel);
            let is_wanted = known.idle_since.is_none();
            if known.channels.is_empty() && !known.dial.is_tried && is_wanted {
                known.dial.due = Some(now + FIRST_PAUSE);
            }
        }
    }

    /// Channels that are to be closed: nothing is carried by them, or a later one does.
    pub fn idle(&self, now: Time) -> Vec<u64> {
        let mut idle = Vec::new();
        for peer in self.peers.values() {
            let is_idle = peer
                .idle_since
                .is_some_and(|since| now.since(since) >= IDLE);
            if is_idle {
                idle.extend(&peer.channels);
            }
        }
        idle
    }

    /// When there is something to do though nothing happens.
    pub fn due(&self) -> Option<Time> {
        let dials = self.peers.values().filter_map(|peer| peer.dial.due);
        let channels = self.peers.values().filter(|peer| !peer.channels.is_empty());
        let idle = channels.filter_map(|peer| Some(peer.idle_since? + IDLE));
        dials.chain(idle).min()
    }

    /// A node sent a frame of a network that is not here. Answers with how many that were, when it is to be told.
    pub fn stray(&mut self, peer: NodeId, now: Time) -> Option<u64> {
        let strays = &mut self.peers.get_mut(&peer)?.strays;
        if now.since(strays.since) >= STRAYS_PERIOD {
            *strays = Strays {
                since: now,
                ..Strays::default()
            };
        }
        strays.count += 1;
        // Some are on their way whenever an instance moves.
        let is_news = strays.count >= STRAYS_TOLD && !strays.is_told;
        strays.is_told |= is_news;
        is_news.then_some(strays.count)
    }
}
