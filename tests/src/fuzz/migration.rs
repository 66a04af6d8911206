//! Any messages of another node that has proved who it is (target `migration`): what it says is refused or
//! believed, and the node and its other instances go on.
//!
//! An input is a byte that tells who the other node is, and then its messages, each behind its length. As a
//! source it offers an instance; as a target it is sent the neighbour. Messages name their attempt by
//! [`PLACEHOLDER`], since the instance of the latter draws its name anew.

use super::file::{kind, pages_checksum};
use super::mutate;
use super::restore;
use super::shape::Shape;
use super::{guests, restore::NEIGHBOUR};
use crate::programs::ticks;
use crate::sim::cluster::Cluster;
use crate::sim::image::ImageBuilder;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sos_core::cluster::Trust;
use sos_core::host::GuestState;
use sos_core::instance::engine::ExecutionState;
use sos_core::machine::Duration;
use sos_core::migrate::{ConnectionId, Message, NetworkKind, NodeId, PortNetwork};
use sos_core::net::fabric::NetworkId;
use sos_core::net::stack::StackState;
use sos_core::snapshot::About;
use std::sync::OnceLock;

/// First bytes of inputs: the other node is the source, or the target.
const SOURCE: u8 = 0;
const TARGET: u8 = 1;
/// Stands for the instance of an attempt.
const PLACEHOLDER: [u8; 16] = *b"the instance id.";
/// Bytes of a message's length.
const LENGTH_BYTES: usize = 4;
/// Messages that one input has at most.
const MESSAGES: usize = 200;
/// Time that a node has for a message, and for what follows.
const MOMENT: Duration = Duration::from_millis(1);
const AFTERMATH: Duration = Duration::from_millis(5);
/// Time in which a member of a cluster has listened for others and started its instance; and in which all guests start.
const BOOTING: Duration = Duration::from_millis(520);
const STARTING: Duration = Duration::from_millis(60);
/// Moments in which two nodes greet each other.
const GREETINGS: usize = 5;
/// Time in which a move of any guest ends.
const MOMENTS_OF_A_MOVE: usize = 400;

/// Says the messages of `bytes` to a node.
///
/// # Panics
/// When the node or its neighbour is not as it was.
pub fn run(bytes: &[u8]) {
    let Some((&role, bytes)) = bytes.split_first() else {
        return;
    };
    let mut cluster = node(role);
    let started = cluster.now();
    let link = say_all(&mut cluster, role, bytes);
    for line in ["ls", "migrate", "events"] {
        restore::answer(&mut cluster, line);
    }
    cluster.hang_up_by_hand(0, link);
    cluster.run_for(AFTERMATH);
    match role {
        // Whoever receives the neighbour has it.
        TARGET => assert!(cluster.nodes[0].ended.is_none()),
        _ => restore::check_neighbour_since(&mut cluster, started),
    }
}

/// A node with nothing but the neighbour. One that is offered something carries private networks, and has one; one with
/// keys hands nothing to a node that has none.
fn node(role: u8) -> Cluster {
    if role == TARGET {
        return restore::node();
    }
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let image = ImageBuilder::new("node").switch("lan", Some("nic0"));
        let image = image.node("lan", "10.0.0.11/24").switch("back", None);
        let image = image.instance(NEIGHBOUR, ticks(restore::PERIOD));
        image
            .with(|spec| spec.limits.memory_bytes = 1 << 20)
            .build()
    });
    let mut cluster = Cluster::new(1);
    cluster.boot_member_from("node", image, 1, &Trust::in_cluster([9; 32]));
    let memory = &mut cluster.nodes[0].machine.memory;
    memory.set_total_bytes(restore::NODE_BYTES);
    cluster.run_for(BOOTING);
    cluster
}

/// Links a node with another one, which says all messages of `bytes` to it.
fn say_all(cluster: &mut Cluster, role: u8, bytes: &[u8]) -> ConnectionId {
    let link = cluster.link_by_hand(0, "other");
    let mut instance = None;
    for (number, message) in messages(bytes).iter().enumerate() {
        // They have greeted each other.
        if role == TARGET && number == 1 {
            cluster.type_text(0, &format!("migrate {NEIGHBOUR} other\r"));
            cluster.run_for(MOMENT);
        }
        for heard in cluster.take_by_hand(0, link) {
            instance = instance.or(offered(&heard));
        }
        let instance = instance.unwrap_or(PLACEHOLDER);
        cluster.say_by_hand(0, link, renamed(message, &PLACEHOLDER, &instance));
        cluster.run_for(MOMENT);
    }
    cluster.run_for(AFTERMATH);
    link
}

fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>()
        && messages.len() < MESSAGES
    {
        let length = (u32::from_le_bytes(*length) as usize).min(rest.len());
        let (message, rest) = rest.split_at(length);
        messages.push(message.to_vec());
        bytes = rest;
    }
    messages
}

fn framed(role: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![role];
    for message in messages {
        bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        bytes.extend_from_slice(message);
    }
    bytes
}

/// The instance that a message offers.
fn offered(message: &[u8]) -> Option<[u8; 16]> {
    match Message::decode(message) {
        Ok(Message::Offer { handover, .. }) => Some(handover.instance.0),
        _ => None,
    }
}

/// A message with another instance wherever it named this one.
fn renamed(message: &[u8], from: &[u8; 16], to: &[u8; 16]) -> Vec<u8> {
    let mut renamed = message.to_vec();
    for at in 0..renamed.len().saturating_sub(from.len() - 1) {
        if renamed[at..].starts_with(from) {
            renamed[at..at + to.len()].copy_from_slice(to);
        }
    }
    renamed
}

/// Other messages like these.
pub fn other(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(seed);
    let Some((&role, bytes)) = bytes.split_first() else {
        return vec![SOURCE];
    };
    let mut messages = messages(bytes);
    for _ in 0..random.random_range(1..3) {
        if messages.is_empty() {
            break;
        }
        let at = random.random_range(0..messages.len());
        match random.random_range(0..12) {
            0 => drop(messages.remove(at)),
            1 => {
                let to = random.random_range(0..messages.len());
                messages.swap(at, to);
            }
            2 => {
                let to = random.random_range(0..=messages.len());
                messages.insert(to, messages[at].clone());
            }
            _ => messages[at] = other_message(&messages[at], &mut random),
        }
    }
    framed(role, &messages)
}

fn other_message(bytes: &[u8], random: &mut SmallRng) -> Vec<u8> {
    let Ok(message) = Message::decode(bytes) else {
        return mutate::other_bytes(bytes, random);
    };
    let inner: Vec<u8>;
    let message = match message {
        // What messages carry has forms and checksums of its own.
        Message::Object {
            handover,
            kind,
            version,
            last: true,
            bytes,
        } if random.random_ratio(7, 8) => {
            inner = other_object(kind, bytes, random);
            Message::Object {
                handover,
                kind,
                version,
                last: true,
                bytes: &inner,
            }
        }
        Message::Pages {
            handover, payload, ..
        } if random.random_ratio(7, 8) => {
            inner = mutate::other_bytes(payload, random);
            Message::Pages {
                handover,
                checksum: pages_checksum(&inner).unwrap_or(0),
                payload: &inner,
            }
        }
        message => {
            let mut shape = Shape::of(&message);
            shape.mutate(random);
            return shape.to_bytes();
        }
    };
    message.encode().unwrap_or_else(|_| bytes.to_vec())
}

fn other_object(number: u16, bytes: &[u8], random: &mut SmallRng) -> Vec<u8> {
    match number {
        kind::ABOUT => mutate::data::<About>(bytes, random),
        kind::EXECUTION => mutate::data::<ExecutionState>(bytes, random),
        kind::GUEST => mutate::data::<GuestState>(bytes, random),
        kind::NETWORK => mutate::data::<StackState>(bytes, random),
        _ => mutate::other_bytes(bytes, random),
    }
}

/// What both nodes said while an instance moved from the first to the second: `[source, target]`.
fn conversation(mut cluster: Cluster, name: &str) -> [Vec<Vec<u8>>; 2] {
    let target = cluster.boot_from("other", restore::empty_image());
    cluster.run_for(STARTING);
    let links = [
        cluster.link_by_hand(0, "other"),
        cluster.link_by_hand(target, "node"),
    ];
    let ends = [0, target];
    let mut said = [Vec::new(), Vec::new()];
    for moment in 0..MOMENTS_OF_A_MOVE {
        if moment == GREETINGS {
            cluster.type_text(0, &format!("migrate {name} other\r"));
        }
        cluster.run_for(MOMENT);
        for (from, to) in [(0, 1), (1, 0)] {
            for message in cluster.take_by_hand(ends[from], links[from]) {
                cluster.say_by_hand(ends[to], links[to], message.clone());
                said[from].push(message);
            }
        }
    }
    let instance = said[0].iter().find_map(|message| offered(message));
    let instance = instance.expect("an offer");
    said.map(|messages| {
        let renamed = |message: &Vec<u8>| renamed(message, &instance, &PLACEHOLDER);
        messages.iter().map(renamed).collect()
    })
}

/// Has a source say where its instance is from and on which networks it is, as nodes do that are linked by their own
/// connections: these are on a switch with an uplink, and a port that is not there on a link.
fn add_places(said: &mut Vec<Vec<u8>>) {
    let places = said.iter().enumerate().find_map(|(at, message)| {
        let Ok(Message::Offer { handover, .. }) = Message::decode(message) else {
            return None;
        };
        let on = |port: u32, kind: NetworkKind| PortNetwork {
            port,
            network: NetworkId([port as u8; 16]),
            kind,
            mtu_bytes: 1500,
        };
        let networks = vec![
            on(0, NetworkKind::Uplinked),
            on(1, NetworkKind::Uplinked),
            on(7, NetworkKind::Link),
        ];
        let origin = NodeId([3; 16]);
        Some((
            at + 1,
            [
                Message::Origin { handover, origin },
                Message::Networks { handover, networks },
            ],
        ))
    });
    let (at, places) = places.expect("an offer");
    let places = places.map(|message| message.encode().expect("a message"));
    said.splice(at..at, places);
}

/// Conversations of real moves, to begin with.
///
/// # Panics
/// When an instance does not move.
pub fn seeds() -> Vec<Vec<u8>> {
    // The program of the sleeper is the neighbour's: it would not be sent.
    let names = guests::NAMES.iter().filter(|name| **name != "sleeper");
    let sources = names.map(|name| {
        let [mut source, _] = conversation(guests::running(), name);
        add_places(&mut source);
        framed(SOURCE, &source)
    });
    let [_, target] = conversation(node(TARGET), NEIGHBOUR);
    sources.chain([framed(TARGET, &target)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node that is told all of `bytes` has in its list of events.
    fn events(bytes: &[u8]) -> String {
        let mut cluster = node(bytes[0]);
        say_all(&mut cluster, bytes[0], &bytes[1..]);
        cluster.shell(0, "events")
    }

    #[test]
    fn networks_of_an_offer_are_judged() {
        let with_ports = |seed: &&Vec<u8>| seed[0] == SOURCE;
        let seeds = seeds();
        let seed = seeds.iter().find(with_ports).expect("a source");
        let said = messages(&seed[1..]).into_iter().map(|message| {
            let Ok(Message::Networks {
                handover,
                mut networks,
            }) = Message::decode(&message)
            else {
                return message;
            };
            networks[0].kind = NetworkKind::Switch;
            let other = Message::Networks { handover, networks };
            other.encode().expect("a message")
        });
        let said: Vec<Vec<u8>> = said.collect();
        let events = events(&framed(SOURCE, &said));
        assert!(!events.contains("arrived"), "{events}");
    }

    #[test]
    fn genuine_conversations_move_their_instance() {
        let seeds = seeds();
        for seed in &seeds {
            let wanted = match seed[0] {
                TARGET => "moved",
                _ => "arrived",
            };
            let events = events(seed);
            assert!(events.contains(wanted), "{events}");
        }
        let others = (0..).zip(seeds.iter().cycle()).take(100);
        let others = others.map(|(number, seed)| events(&other(seed, number)));
        let moved = others.filter(|it| it.contains("arrived") || it.contains("moved"));
        let moved = moved.count();
        assert!((5..95).contains(&moved), "{moved} of 100 moved");
    }
}
