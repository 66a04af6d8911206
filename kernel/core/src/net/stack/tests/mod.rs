//! The stack as a whole: two of them on a link, with faults between, and fake servers.

mod capture;
mod listen;
mod misuse;
mod probe;
mod routes;
mod services;
mod tcp;

use super::*;
use crate::machine::Duration;
use crate::net::fabric::{Checksums, LinkProperties, PortId};
use crate::net::frame::Frame;
use alloc::string::{String, ToString};
use alloc::vec;
use core::net::SocketAddr;

const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0xA];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0xB];
const A: usize = 0;
const B: usize = 1;

/// What happens to frames between two stacks, in percent, from one seed.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    lost: u64,
    doubled: u64,
    delayed: u64,
}

/// Relays frames between two links, with faults.
struct Relay {
    ends: [PortId; 2],
    faults: Faults,
    random: u64,
    /// Frames that are held back, and the end to which they go.
    held: Vec<(usize, Frame)>,
    /// The end whose frames are all lost.
    deaf: Option<usize>,
    /// Every frame that passed.
    seen: Vec<Vec<u8>>,
}

impl Relay {
    fn percent(&mut self) -> u64 {
        self.random = scramble(self.random);
        self.random % 100
    }

    fn relay(&mut self, fabric: &mut Fabric, now: Time) {
        let held = core::mem::take(&mut self.held);
        for end in 0..2 {
            while let Some(frame) = fabric.take_received(self.ends[end]) {
                self.seen.push(frame.bytes().to_vec());
                let to = self.ends[1 - end];
                if self.percent() < self.faults.lost || self.deaf == Some(end) {
                    continue;
                }
                if self.percent() < self.faults.doubled {
                    fabric.transmit(to, frame.clone(), now);
                }
                if self.percent() < self.faults.delayed {
                    self.held.push((1 - end, frame));
                } else {
                    fabric.transmit(to, frame, now);
                }
            }
        }
        for (end, frame) in held {
            fabric.transmit(self.ends[end], frame, now);
        }
    }
}

/// Some stacks on a fabric, and the time.
struct World {
    fabric: Fabric,
    stacks: Vec<Stack>,
    relay: Option<Relay>,
    now: Time,
    /// The time is not moved beyond this.
    horizon: Time,
}

fn config(port: PortId, properties: LinkProperties, last: u8) -> InterfaceConfig {
    let fixed = |address: &str, prefix_length| AddressSpec::Static {
        address: address.parse().unwrap(),
        prefix_length,
    };
    InterfaceConfig {
        name: String::from("eth0"),
        port,
        mac: [2, 0, 0, 0, 0, last],
        properties,
        addresses: vec![
            fixed(&alloc::format!("10.0.0.{last}"), 24),
            fixed(&alloc::format!("fd00::{last:x}"), 64),
        ],
        gateway: Vec::new(),
        dns: Vec::new(),
        hostname: String::new(),
    }
}

fn address(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], port))
}

impl World {
    /// Stacks A (10.0.0.10) and B (10.0.0.11) on one link.
    fn linked(limits: StackLimits) -> World {
        let mut world = World::empty();
        let link = world.fabric.add_link("link").unwrap();
        for (number, mac) in [MAC_A, MAC_B].into_iter().enumerate() {
            let port = world.fabric.attach(link, "port", mac).unwrap();
            world.add_stack(limits, number as u64, port, mac[5]);
        }
        world
    }

    /// Stacks A and B with a relay between them, over segments with these properties.
    fn relayed(limits: StackLimits, faults: Faults, seed: u64, checksums: Checksums) -> World {
        let mut world = World::empty();
        let mut ends = Vec::new();
        for (number, mac) in [MAC_A, MAC_B].into_iter().enumerate() {
            let name = alloc::format!("segment{number}");
            let segment = match checksums {
                Checksums::Omitted => world.fabric.add_link(&name),
                Checksums::Computed => world.fabric.add_switch(&name, Some(number)),
            };
            let segment = segment.unwrap();
            let port = world.fabric.attach(segment, "port", mac).unwrap();
            ends.push(world.fabric.attach(segment, "relay", [2; 6]).unwrap());
            world.add_stack(limits, seed + number as u64, port, mac[5]);
        }
        world.relay = Some(Relay {
            ends: [ends[0], ends[1]],
            faults,
            random: seed,
            held: Vec::new(),
            deaf: None,
            seen: Vec::new(),
        });
        world
    }

    fn empty() -> World {
        World {
            fabric: Fabric::new(),
            stacks: Vec::new(),
            relay: None,
            now: Time::from_nanos(1_000_000),
            horizon: Time::from_nanos(u64::MAX),
        }
    }

    fn add_stack(&mut self, limits: StackLimits, seed: u64, port: PortId, last: u8) {
        let mut stack = Stack::new(limits, seed);
        let properties = self.fabric.properties(port);
        stack
            .add_interface(config(port, properties, last), self.now)
            .unwrap();
        self.stacks.push(stack);
    }

    /// Polls every stack once, relays, and moves the time to the next thing to do.
    fn step(&mut self) {
        for stack in &mut self.stacks {
            stack.poll(self.now, &mut self.fabric);
        }
        let mut idle = self
            .relay
            .as_ref()
            .is_none_or(|relay| relay.held.is_empty());
        if let Some(relay) = &mut self.relay {
            relay.relay(&mut self.fabric, self.now);
        }
        let mut ready = Vec::new();
        self.fabric.take_ready_ports(&mut ready);
        idle &= ready.is_empty();
        for nic in 0..2 {
            while self.fabric.next_uplink_frame(nic).is_some() {
                self.fabric.pop_uplink_frame(nic);
            }
        }
        let soon = self.now + Duration::from_micros(20);
        let now = self.now;
        let wanted = self
            .stacks
            .iter_mut()
            .filter_map(|stack| stack.next_poll(now));
        let wanted = wanted.min().unwrap_or(now + Duration::from_millis(100));
        let next = if idle { wanted.max(soon) } else { soon };
        self.now = next.min(self.horizon);
    }

    /// Steps until `done`; fails when that takes longer than any test should.
    fn run(&mut self, mut done: impl FnMut(&mut World) -> bool) {
        for _ in 0..200_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("nothing more happens at {:?}", self.now);
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.horizon = end;
        self.run(|world| world.now >= end);
        self.horizon = Time::from_nanos(u64::MAX);
    }

    /// A connection from B to a listener of A on port 80: A's end, B's end, the listener.
    fn connected(&mut self) -> (SocketId, SocketId, SocketId) {
        let listener = self.stacks[A].tcp_listen(None, 80, 16).unwrap();
        let client = self.stacks[B]
            .tcp_connect(address(10, 80), self.now)
            .unwrap();
        let mut server = None;
        self.run(|world| {
            server = server.or(world.stacks[A].tcp_accept(listener).unwrap());
            server.is_some() && world.stacks[B].tcp_connected(client) == Ok(true)
        });
        (server.unwrap().0, client, listener)
    }

    /// The frames of TCP segments with RST that the relay saw.
    fn resets(&self) -> usize {
        let seen = &self.relay.as_ref().unwrap().seen;
        // Ethernet 14, IPv4 20, then the flags in the fourteenth octet of TCP.
        seen.iter()
            .filter(|frame| frame[12..14] == [8, 0] && frame[23] == 6 && frame[47] & 4 != 0)
            .count()
    }
}

/// Bytes that differ at every offset and from stream to stream.
fn pattern(stream: u64, length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|index| scramble((index / 7) ^ (stream << 40)) as u8 ^ index as u8)
        .collect()
}
