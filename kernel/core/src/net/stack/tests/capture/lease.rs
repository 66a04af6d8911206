//! A lease that is held across a cut, and confirmed.

use super::super::services::{dhcp_reply, parse_dhcp};
use super::*;
use smoltcp::wire::DhcpMessageType;

/// A stack that asks a server at the other port of a switch.
struct Leased {
    world: World,
    server: PortId,
    /// What the server was sent, and how often.
    requests: usize,
}

impl Leased {
    fn new() -> Leased {
        let mut world = World::empty();
        let switch = world.fabric.add_switch("link", Some(0)).unwrap();
        let port = world.fabric.attach(switch, "web", MAC_A).unwrap();
        let server = world.fabric.attach(switch, "server", [2; 6]).unwrap();
        let mut stack = Stack::new(StackLimits::default(), 1);
        let mut config = config(port, world.fabric.properties(port), 10);
        config.addresses = vec![AddressSpec::Dhcp];
        config.hostname = String::from("web");
        stack.add_interface(config, world.now).unwrap();
        world.stacks.push(stack);
        Leased {
            world,
            server,
            requests: 0,
        }
    }

    /// Answers everything, or nothing; ARP for the server too.
    fn serve(world: &mut World, server: PortId, requests: &mut usize) {
        while let Some(frame) = world.fabric.take_received(server) {
            let now = world.now;
            let Some((kind, transaction, name)) = parse_dhcp(frame.bytes()) else {
                continue;
            };
            assert_eq!(name.as_deref(), Some("web"));
            *requests += 1;
            let kind = match kind {
                DhcpMessageType::Discover => DhcpMessageType::Offer,
                _ => DhcpMessageType::Ack,
            };
            let reply = Frame::from_bytes(dhcp_reply(kind, transaction));
            world.fabric.transmit(server, reply, now);
        }
    }

    fn run(&mut self, mut done: impl FnMut(&mut World, usize) -> bool) {
        let (server, requests) = (self.server, &mut self.requests);
        self.world.run(|world| {
            Leased::serve(world, server, requests);
            done(world, *requests)
        });
    }
}

fn bind(leased: &mut Leased) {
    leased.run(|world, _| {
        matches!(
            world.stacks[0].interfaces()[0].dhcp,
            DhcpState::Bound { .. }
        )
    });
}

#[test]
fn a_lease_is_held_and_confirmed_at_once() {
    let mut leased = Leased::new();
    bind(&mut leased);
    // The server is known as a neighbour, so that the question can go to it alone.
    let neighbour = crate::net::stack::neighbours::Neighbour {
        address: address(1, 0).ip(),
        mac: [2; 6],
    };
    leased.world.stacks[0].interfaces[0].meet(&[neighbour], leased.world.now);
    let before = leased.world.stacks[0].interfaces();
    let asked = leased.requests;
    leased.world.recut(0);
    let mut after = leased.world.stacks[0].interfaces();
    after[0].port = before[0].port;
    assert_eq!(after, before);
    leased.run(|_, requests| requests > asked);
    let now = leased.world.now;
    leased.run(|world, _| world.now.since(now) > Duration::from_secs(560));
    // Asked at once, and then as the server's answer says: after half of 600 seconds, which nobody hears, as no
    // station here answers for the server's address; and after seven eighths.
    assert_eq!(leased.requests, asked + 2);
    let mut after = leased.world.stacks[0].interfaces();
    after[0].port = before[0].port;
    assert_eq!(after, before);
}

#[test]
fn a_lease_that_nobody_confirms_is_given_up() {
    let mut leased = Leased::new();
    bind(&mut leased);
    leased.world.recut(0);
    let begin = leased.world.now;
    let server = leased.server;
    leased.world.run(|world| {
        while world.fabric.take_received(server).is_some() {}
        world.stacks[0].interfaces()[0].dhcp == DhcpState::Searching
    });
    let took = leased.world.now.since(begin);
    assert!((590..=610).contains(&took.as_secs()), "{took:?}");
    let leased_address = address(50, 0).ip();
    assert!(!leased.world.stacks[0].interfaces[0].has_address(leased_address));
}

#[test]
fn a_client_that_has_no_lease_goes_on_asking() {
    let mut leased = Leased::new();
    leased.world.recut(0);
    bind(&mut leased);
}
