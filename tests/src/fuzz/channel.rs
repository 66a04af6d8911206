//! Any bytes over the operator's channel (target `channel`): the node answers, refuses, or ends the conversation.

use super::mutate;
use super::restore;
use super::shape::Shape;
use crate::sim::channel::Outsider;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sos_core::control;
use sos_core::image::{InstanceSpec, blob_hash};
use sos_core::machine::Duration;
use sos_core::operator::{
    self, Bytes, Contents, Launch, Packing, StandardInput, ToNode, append_frame,
};

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;
/// Bytes that are sent at once.
const PIECE_BYTES: usize = 3000;

/// Says `bytes` to a node after the greeting.
///
/// # Panics
/// When the node is not there any more for others.
pub fn run(bytes: &[u8]) {
    let mut cluster = restore::node();
    let outsider = Outsider::greeted(&mut cluster, 0);
    for piece in bytes.chunks(PIECE_BYTES) {
        outsider.send(&mut cluster, piece);
        cluster.run_for(Duration::from_millis(1));
        cluster.nodes[0].machine.channel.from_node.clear();
        cluster.nodes[0].machine.channel.changed = true;
    }
    outsider.leave(&mut cluster);
    cluster.run_for(Duration::from_millis(2));
    // What an operator asks for, the end of the node included, is done.
    if cluster.nodes[0].ended.is_none() {
        let answer = cluster.shell(0, "ls");
        assert!(answer.contains("NAME"), "the shell says {answer:?}");
    }
}

/// The frames of a conversation, as far as lengths lead.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() {
        let length = (u32::from_le_bytes(*length) as usize).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

/// Another conversation like this one.
pub fn other(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut frames = frames(bytes);
    for _ in 0..random.random_range(1..4) {
        if frames.is_empty() {
            break;
        }
        let at = random.random_range(0..frames.len());
        match random.random_range(0..8) {
            0 => drop(frames.remove(at)),
            1 => {
                let to = random.random_range(0..frames.len());
                frames.swap(at, to);
            }
            2 => frames.insert(at, frames[at].clone()),
            _ => frames[at] = other_message(&frames[at], &mut random),
        }
    }
    let framed = |frame: &Vec<u8>| [&(frame.len() as u32).to_le_bytes()[..], frame].concat();
    frames.iter().flat_map(framed).collect()
}

fn other_message(frame: &[u8], random: &mut SmallRng) -> Vec<u8> {
    let inner: Vec<u8>;
    let message = match operator::decode::<ToNode<'_>>(frame) {
        // Requests lie within messages, in postcard of their own.
        Ok(ToNode::Control { request, data }) if random.random_ratio(3, 4) => {
            inner = mutate::data::<control::Request>(data.0, random);
            let data = Bytes(&inner);
            return operator::encode(&ToNode::Control { request, data });
        }
        Ok(ToNode::Launch { request, data }) if random.random_ratio(3, 4) => {
            inner = mutate::data::<Launch>(data.0, random);
            let data = Bytes(&inner);
            return operator::encode(&ToNode::Launch { request, data });
        }
        Ok(message) => message,
        Err(_) => return mutate::other_bytes(frame, random),
    };
    let mut shape = Shape::of(&message);
    shape.mutate(random);
    shape.to_bytes()
}

/// Conversations to begin with.
///
/// # Panics
/// When a message does not fit its frame.
pub fn seeds() -> Vec<Vec<u8>> {
    let module = wat::parse_str("(module (func (export \"_start\")))").expect("a module");
    let hash = blob_hash(&module);
    let launch = operator::encode(&Launch {
        spec: InstanceSpec::new("guest", hash, "guest.wasm"),
        input: StandardInput::Operator,
        output_room: [100, 100],
    });
    let control = |request: &control::Request| operator::encode(request);
    let requests = [
        control(&control::Request::Instances),
        control(&control::Request::Inspect {
            name: "neighbour".into(),
        }),
        control(&control::Request::Suspend {
            name: "neighbour".into(),
        }),
        control(&control::Request::Resume {
            name: "neighbour".into(),
        }),
    ];
    let requests = requests.iter().zip(50..);
    let asking: Vec<ToNode<'_>> = requests
        .map(|(data, request)| ToNode::Control {
            request,
            data: Bytes(data),
        })
        .collect();
    let launching = [
        ToNode::PutBlob {
            request: 1,
            hash,
            bytes: module.len() as u64,
        },
        ToNode::BlobData {
            request: 1,
            data: Bytes(&module),
        },
        ToNode::Launch {
            request: 2,
            data: Bytes(&launch),
        },
        ToNode::Input {
            request: 2,
            data: Bytes(b"words"),
        },
        ToNode::InputEnd { request: 2 },
    ];
    let carrying = [
        ToNode::Export {
            request: 7,
            snapshot: "claim",
            contents: Contents::SelfContained,
            packing: Packing::Plain,
        },
        ToNode::Import {
            request: 8,
            snapshot: "claim",
            bytes: 5,
        },
        ToNode::SnapshotData {
            request: 8,
            data: Bytes(b"bytes"),
        },
    ];
    let conversation = |messages: &[ToNode<'_>]| {
        let mut bytes = Vec::new();
        for message in messages {
            append_frame(&mut bytes, message).expect("a message that fits");
        }
        bytes
    };
    vec![
        conversation(&asking),
        conversation(&launching),
        conversation(&carrying),
    ]
}
