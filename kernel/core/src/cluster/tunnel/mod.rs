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
/// For how long frames are taken of a network of which their node says to have nothing any more: they go by another
/// connection than its word.
const LATE: Duration = Duration::from_secs(5);
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
    /// Connections by which it is linked, and what it has told by each: what came by the latest counts.
    links: BTreeMap<u64, Option<BTreeMap<NetworkId, Presence>>>,
    /// What it had until lately: frames may still be on their way.
    had: BTreeMap<NetworkId, Time>,
    /// Channels that are open, in the order in which they were.
    channels: Vec<Tunnel>,
    dial: Dial,
    /// Since when there has been nothing to carry, as far as was looked.
    idle_since: Option<Time>,
    strays: Strays,
}

/// Of two nodes that have dialled each other at once, whose channel stays.
fn kept_opener(own: NodeId, peer: NodeId) -> Opener {
    match own < peer {
        true => Opener::Here,
        false => Opener::There,
    }
}

impl Peer {
    /// Since when this node has opened a channel that nobody needs: the other one's is kept.
    fn spare_since(&self, own: NodeId, id: NodeId) -> Option<Time> {
        let opened_by = |opener| self.channels.iter().filter(move |it| it.opener == opener);
        if kept_opener(own, id) == Opener::Here {
            return None;
        }
        let kept = opened_by(Opener::There).map(|it| it.since).min()?;
        let spare = opened_by(Opener::Here).map(|it| it.since).min()?;
        Some(kept.max(spare))
    }

    /// What it has, as far as it has told.
    fn has(&self) -> Option<&BTreeMap<NetworkId, Presence>> {
        self.links.values().rev().find_map(Option::as_ref)
    }
}

/// A channel that is open.
#[derive(Debug, Clone, Copy)]
struct Tunnel {
    number: u64,
    opener: Opener,
    since: Time,
}

/// Who opened a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// This node.
    Here,
    /// The other one.
    There,
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

    /// A node is linked by this connection. Later ones have greater numbers.
    pub fn linked(&mut self, peer: NodeId, link: u64) {
        let known = self.peers.entry(peer).or_default();
        known.links.insert(link, None);
    }

    /// One link with a node is lost. With the last one it has nothing any more.
    pub fn unlinked(&mut self, peer: NodeId, link: u64) {
        if let Some(known) = self.peers.get_mut(&peer)
            && known.links.remove(&link).is_some()
        {
            self.has_news = true;
        }
    }

    /// A linked node told by this connection what it has.
    pub fn heard(&mut self, peer: NodeId, link: u64, networks: Networks, now: Time) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let had: Vec<NetworkId> = known
            .has()
            .into_iter()
            .flatten()
            .map(|(&id, _)| id)
            .collect();
        let Some(told) = known.links.get_mut(&link) else {
            return;
        };
        let networks = networks.0.into_iter().take(limits::SEGMENTS);
        *told = Some(networks.collect());
        known.had.retain(|_, until| *until > now);
        if known.had.len() <= limits::SEGMENTS {
            known.had.extend(had.into_iter().map(|id| (id, now + LATE)));
        }
        self.has_news = true;
    }

    /// Whether a node is linked.
    pub fn is_linked(&self, peer: NodeId) -> bool {
        let known = self.peers.get(&peer);
        known.is_some_and(|peer| !peer.links.is_empty())
    }

    /// Whether frames of a network may come from a node: it has said that it has something of it, will, or had lately.
    pub fn may_send(&self, peer: NodeId, network: NetworkId, now: Time) -> bool {
        self.peers.get(&peer).is_some_and(|known| {
            let has = known.has();
            has.is_some_and(|has| has.contains_key(&network))
                || known.had.get(&network).is_some_and(|until| *until > now)
        })
    }

    /// Whether anybody has told anything since this was asked.
    pub fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.has_news)
    }

    /// The nodes that have ends of a network.
    pub fn ends_of(&self, network: NetworkId) -> impl Iterator<Item = NodeId> {
        let has_ends = move |peer: &Peer| {
            let has = peer.has();
            has.is_some_and(|has| has.get(&network) == Some(&Presence::Ends))
        };
        let peers = self.peers.iter();
        peers.filter_map(move |(&id, peer)| has_ends(peer).then_some(id))
    }

    /// Nodes that are known, with the channel to each by which frames go: both ends prefer the same.
    pub fn channels(&self, own: NodeId) -> impl Iterator<Item = (NodeId, Option<u64>)> {
        let peers = self.peers.iter();
        peers.map(move |(&id, peer)| {
            let mut channels = peer.channels.iter().rev();
            let kept = channels.find(|it| it.opener == kept_opener(own, id));
            let channel = kept.or(peer.channels.last());
            (id, channel.map(|it| it.number))
        })
    }

    /// Whether this node and another have something of one network, which may be carried soon.
    fn shares(&self, peer: &Peer) -> bool {
        let has = peer.has();
        has.is_some_and(|has| self.own.keys().any(|network| has.contains_key(network)))
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
            |peer: &Peer| !peer.links.is_empty() || !peer.channels.is_empty() || peer.dial.is_tried;
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
    pub fn opened(&mut self, peer: NodeId, channel: u64, opener: Opener, now: Time) {
        let known = self.peers.entry(peer).or_default();
        known.channels.push(Tunnel {
            number: channel,
            opener,
            since: now,
        });
        known.idle_since = None;
        known.dial = Dial::default();
        self.has_news = true;
    }

    /// A channel is over.
    pub fn closed(&mut self, peer: NodeId, channel: u64, now: Time) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.channels.retain(|it| it.number != channel);
            let is_wanted = known.idle_since.is_none();
            if known.channels.is_empty() && !known.dial.is_tried && is_wanted {
                known.dial.due = Some(now + FIRST_PAUSE);
            }
        }
    }

    /// Channels that are to be closed: there has been no common network for a while, or another one is used by both.
    pub fn idle(&self, own: NodeId, now: Time) -> Vec<u64> {
        let mut idle = Vec::new();
        for (&id, peer) in &self.peers {
            let is_idle = peer
                .idle_since
                .is_some_and(|since| now.since(since) >= IDLE);
            let spare = peer.spare_since(own, id);
            let is_spared = spare.is_some_and(|since| now.since(since) >= IDLE);
            let closed = peer
                .channels
                .iter()
                .filter(|it| is_idle || is_spared && it.opener == Opener::Here);
            idle.extend(closed.map(|it| it.number));
        }
        idle
    }

    /// When there is something to do though nothing happens.
    pub fn due(&self, own: NodeId) -> Option<Time> {
        let spare = self.peers.iter();
        let spare = spare.filter_map(|(&id, peer)| Some(peer.spare_since(own, id)? + IDLE));
        let dials = self.peers.values().filter_map(|peer| peer.dial.due);
        let channels = self.peers.values().filter(|peer| !peer.channels.is_empty());
        let idle = channels.filter_map(|peer| Some(peer.idle_since? + IDLE));
        dials.chain(idle).chain(spare).min()
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
