//! Segments that go on on other nodes: what is carried there, what comes, and that nothing goes in circles.

use super::*;
use crate::net::fabric::{FabricError, SegmentInfo};

const NOW: Time = Time::ZERO;
const BROADCAST: MacAddress = [0xff; 6];
const NETWORK: NetworkId = NetworkId([3; 16]);
const THERE: RemoteId = RemoteId([1; 16]);
const ELSEWHERE: RemoteId = RemoteId([2; 16]);

fn mac(number: u8) -> MacAddress {
    [2, 0, 0, 0, 0, number]
}

fn bytes(to: MacAddress, from: MacAddress) -> Vec<u8> {
    let mut bytes = alloc::vec![0; 60];
    bytes[..6].copy_from_slice(&to);
    bytes[6..12].copy_from_slice(&from);
    bytes
}

fn send(fabric: &mut Fabric, port: PortId, to: MacAddress, from: MacAddress) {
    fabric.transmit(port, Frame::from_bytes(bytes(to, from)), NOW);
}

fn came(fabric: &mut Fabric, remote: RemoteId, to: MacAddress, from: MacAddress) {
    let taken = fabric.receive_from_remote(remote, NETWORK, &bytes(to, from), NOW);
    assert_eq!(taken, Ok(()));
}

/// How many frames wait in ports, and for nodes.
fn waiting<const P: usize>(fabric: &mut Fabric, ports: [PortId; P]) -> ([usize; P], [usize; 2]) {
    let in_ports = ports.map(|port| core::iter::from_fn(|| fabric.take_received(port)).count());
    let for_nodes = [THERE, ELSEWHERE].map(|remote| {
        let mut count = 0;
        while fabric.next_remote_frame(remote).is_some() {
            fabric.pop_remote_frame(remote);
            count += 1;
        }
        count
    });
    (in_ports, for_nodes)
}

/// A link with one port, whose other end is on another node.
fn link() -> (Fabric, SegmentId, PortId) {
    let mut fabric = Fabric::new();
    let link = fabric.add_link("back").unwrap();
    fabric.set_network(link, NETWORK);
    let port = fabric.attach(link, "one.eth0", mac(1)).unwrap();
    fabric.set_remotes(link, &[THERE]);
    (fabric, link, port)
}

fn info(fabric: &Fabric) -> SegmentInfo {
    fabric.segments(NOW).next().unwrap()
}

#[test]
fn a_link_carries_frames_to_its_end_on_another_node_and_back() {
    let (mut fabric, link, port) = link();
    assert_eq!(fabric.presences(), [(NETWORK, Presence::Ends)]);
    send(&mut fabric, port, mac(2), mac(1));
    let (network, frame) = fabric.next_remote_frame(THERE).unwrap();
    assert_eq!(
        (network, frame.bytes()),
        (NETWORK, &bytes(mac(2), mac(1))[..])
    );
    came(&mut fabric, THERE, mac(1), mac(2));
    assert_eq!(waiting(&mut fabric, [port]), ([1], [1, 0]));
    let counters = info(&fabric).remotes[0].counters;
    assert_eq!((counters.sent_frames, counters.received_frames), (1, 1));
    // It has both its ends, unless the one there comes here.
    let third = fabric.attach(link, "third", mac(3));
    assert_eq!(third, Err(FabricError::LinkFull(String::from("back"))));
    fabric.await_ports(&[link]);
    // An end that is here is nearer.
    let other = fabric.attach(link, "two.eth0", mac(2)).unwrap();
    send(&mut fabric, port, mac(2), mac(1));
    assert_eq!(waiting(&mut fabric, [port, other]), ([0, 1], [0, 0]));
    fabric.detach(other);
    fabric.set_remotes(link, &[]);
    send(&mut fabric, port, mac(2), mac(1));
    assert_eq!(fabric.counters(port).sent_drops, 1);
}

#[test]
fn what_waits_for_a_node_is_bounded_and_lost_with_it() {
    let (mut fabric, _, port) = link();
    for _ in 0..limits::TUNNEL_QUEUE_FRAMES + 10 {
        send(&mut fabric, port, mac(2), mac(1));
    }
    assert_eq!(info(&fabric).remotes[0].counters.sent_drops, 10);
    fabric.keep_remotes(|_| true);
    assert!(fabric.next_remote_frame(THERE).is_some());
    fabric.keep_remotes(|remote| remote != THERE);
    assert!(fabric.next_remote_frame(THERE).is_none());
    let long = alloc::vec![0; 14 + limits::PRIVATE_MTU];
    for _ in 0..limits::TUNNEL_QUEUE_FRAMES {
        fabric.transmit(port, Frame::from_bytes(long.clone()), NOW);
    }
    let (_, [queued, _]) = waiting(&mut fabric, [port]);
    assert_eq!(queued, limits::TUNNEL_QUEUE_BYTES / long.len());
}

#[test]
fn what_waits_for_too_long_is_dropped_and_what_is_fresh_goes() {
    let (mut fabric, _, port) = link();
    let later = NOW + Duration::from_millis(limits::TUNNEL_QUEUE_MILLIS);
    for _ in 0..limits::TUNNEL_QUEUE_FRAMES {
        send(&mut fabric, port, mac(2), mac(1));
    }
    fabric.set_now(later);
    send(&mut fabric, port, mac(3), mac(1));
    let (_, frame) = fabric.next_remote_frame(THERE).unwrap();
    assert_eq!(frame.bytes()[..6], mac(3));
    assert_eq!(waiting(&mut fabric, [port]), ([0], [1, 0]));
    let drops = info(&fabric).remotes[0].counters.sent_drops;
    assert_eq!(drops, limits::TUNNEL_QUEUE_FRAMES as u64);
}

#[test]
fn what_waits_for_all_nodes_is_bounded_together() {
    let (mut fabric, link, port) = link();
    let remotes: Vec<RemoteId> = (1..=20).map(|number| RemoteId([number; 16])).collect();
    fabric.set_remotes(link, &remotes);
    let long = alloc::vec![0; 14 + limits::PRIVATE_MTU];
    let fill = |fabric: &mut Fabric| {
        for _ in 0..limits::TUNNEL_QUEUE_FRAMES {
            fabric.transmit(port, Frame::from_bytes(long.clone()), NOW);
        }
    };
    let drain = |fabric: &mut Fabric| {
        let mut bytes = 0;
        for &remote in &remotes {
            while let Some((_, frame)) = fabric.next_remote_frame(remote) {
                bytes += frame.bytes().len();
                fabric.pop_remote_frame(remote);
            }
        }
        bytes
    };
    for _ in 0..3 {
        fill(&mut fabric);
        let bytes = drain(&mut fabric);
        assert!(bytes <= limits::TUNNEL_QUEUES_BYTES, "{bytes}");
        assert!(bytes + long.len() > limits::TUNNEL_QUEUES_BYTES, "{bytes}");
        fill(&mut fabric);
        fabric.keep_remotes(|_| false);
    }
}

#[test]
fn two_nodes_that_claim_the_other_end_of_a_link_both_get_its_frames_until_one_withdraws() {
    let (mut fabric, link, port) = link();
    fabric.set_remotes(link, &[THERE, ELSEWHERE]);
    send(&mut fabric, port, mac(2), mac(1));
    assert_eq!(waiting(&mut fabric, [port]), ([0], [1, 1]));
    fabric.set_remotes(link, &[ELSEWHERE]);
    send(&mut fabric, port, mac(2), mac(1));
    assert_eq!(waiting(&mut fabric, [port]), ([0], [0, 1]));
    let counters = info(&fabric).remotes[0].counters;
    assert_eq!(counters.sent_frames, 2);
}

#[test]
fn a_switch_learns_on_which_node_stations_are_and_passes_nothing_from_node_to_node() {
    let mut fabric = Fabric::new();
    let switch = fabric.add_switch("back", None).unwrap();
    fabric.set_network(switch, NETWORK);
    let ports = [1, 2].map(|number| fabric.attach(switch, "port", mac(number)).unwrap());
    fabric.set_remotes(switch, &[THERE, ELSEWHERE]);
    send(&mut fabric, ports[0], BROADCAST, mac(1));
    assert_eq!(waiting(&mut fabric, ports), ([0, 1], [1, 1]));
    came(&mut fabric, THERE, BROADCAST, mac(7));
    assert_eq!(waiting(&mut fabric, ports), ([1, 1], [0, 0]));
    send(&mut fabric, ports[0], mac(7), mac(1));
    assert_eq!(waiting(&mut fabric, ports), ([0, 0], [1, 0]));
    // One node does not reach another by way of this one.
    came(&mut fabric, ELSEWHERE, mac(7), mac(8));
    assert_eq!(waiting(&mut fabric, ports), ([0, 0], [0, 0]));
    came(&mut fabric, ELSEWHERE, mac(9), mac(8));
    assert_eq!(waiting(&mut fabric, ports), ([1, 1], [0, 0]));
    // The station moves on, and what was learned of a node goes with it.
    came(&mut fabric, ELSEWHERE, mac(1), mac(7));
    send(&mut fabric, ports[0], mac(7), mac(1));
    assert_eq!(waiting(&mut fabric, ports), ([1, 0], [0, 1]));
    fabric.set_remotes(switch, &[THERE]);
    send(&mut fabric, ports[0], mac(7), mac(1));
    assert_eq!(waiting(&mut fabric, ports), ([0, 1], [1, 0]));
}

#[test]
fn a_node_without_ends_and_one_that_claims_a_station_which_is_here_change_no_way() {
    let mut fabric = Fabric::new();
    let switch = fabric.add_switch("back", None).unwrap();
    fabric.set_network(switch, NETWORK);
    let ports = [1, 2].map(|number| fabric.attach(switch, "port", mac(number)).unwrap());
    fabric.set_remotes(switch, &[THERE]);
    // It is heard, and not sent to.
    came(&mut fabric, ELSEWHERE, BROADCAST, mac(7));
    assert_eq!(waiting(&mut fabric, ports), ([1, 1], [0, 0]));
    send(&mut fabric, ports[0], mac(7), mac(1));
    assert_eq!(waiting(&mut fabric, ports), ([0, 1], [1, 0]));
    send(&mut fabric, ports[1], BROADCAST, mac(2));
    waiting(&mut fabric, ports);
    came(&mut fabric, THERE, BROADCAST, mac(2));
    waiting(&mut fabric, ports);
    send(&mut fabric, ports[0], mac(2), mac(1));
    assert_eq!(waiting(&mut fabric, ports), ([0, 1], [0, 0]));
}

#[test]
fn frames_of_unknown_networks_and_of_those_with_an_uplink_are_nobodys() {
    let (mut fabric, _, port) = link();
    let other = NetworkId([9; 16]);
    let frame = bytes(mac(1), mac(2));
    assert_eq!(
        fabric.receive_from_remote(THERE, other, &frame, NOW),
        Err(Stray)
    );
    let lan = fabric.add_switch("lan", Some(0)).unwrap();
    fabric.set_network(lan, other);
    assert_eq!(
        fabric.receive_from_remote(THERE, other, &frame, NOW),
        Err(Stray)
    );
    assert_eq!(
        (fabric.network(lan), fabric.find_network(other)),
        (None, None)
    );
    // Neither what is too long, nor what is no frame, reaches a port.
    let long = alloc::vec![0; limits::TUNNEL_FRAME_BYTES + 1];
    for bytes in [&frame[..13], &long] {
        assert_eq!(
            fabric.receive_from_remote(THERE, NETWORK, bytes, NOW),
            Ok(())
        );
    }
    assert_eq!(waiting(&mut fabric, [port]), ([0], [0, 0]));
    assert_eq!(info(&fabric).remotes[0].counters.received_drops, 2);
}

#[test]
fn a_port_that_was_left_sends_after_its_instance_until_the_node_there_is_reached() {
    let mut fabric = Fabric::new();
    let link = fabric.add_link("back").unwrap();
    fabric.set_network(link, NETWORK);
    let [one, left] = [1, 2].map(|number| fabric.attach(link, "end", mac(number)).unwrap());
    fabric.hold(left);
    fabric.depart(left, THERE);
    send(&mut fabric, one, mac(2), mac(1));
    assert_eq!(waiting(&mut fabric, [one, left]), ([0, 1], [0, 0]));
    fabric.set_remotes(link, &[THERE]);
    send(&mut fabric, one, mac(2), mac(1));
    assert_eq!(waiting(&mut fabric, [one, left]), ([0, 0], [1, 0]));
    fabric.set_remotes(link, &[ELSEWHERE]);
    send(&mut fabric, one, mac(2), mac(1));
    assert_eq!(waiting(&mut fabric, [one, left]), ([0, 1], [0, 1]));
    fabric.set_remotes(link, &[THERE]);
    // What the instance says there does not come back to it by the port that it left.
    came(&mut fabric, THERE, mac(1), mac(2));
    assert_eq!(waiting(&mut fabric, [one, left]), ([1, 0], [0, 0]));
    // It takes no end of the link, so that the instance may come back at once.
    fabric.await_ports(&[link]);
    let again = fabric.attach(link, "end", mac(2)).unwrap();
    fabric.hold_arriving(again);
    assert_eq!(fabric.presences(), [(NETWORK, Presence::Ends)]);
    let third = fabric.attach(link, "third", mac(3));
    assert_eq!(third, Err(FabricError::LinkFull(String::from("back"))));
    fabric.detach(one);
    fabric.await_ports(&[]);
    assert_eq!(fabric.presences(), [(NETWORK, Presence::Awaited)]);
    // Whoever does not know yet that it moved on sends here.
    fabric.detach(again);
    came(&mut fabric, ELSEWHERE, mac(2), mac(1));
    assert_eq!(waiting(&mut fabric, [left]), ([1], [0, 0]));
}

#[test]
fn a_switch_sends_after_an_instance_that_left_and_says_nothing_twice() {
    let mut fabric = Fabric::new();
    let switch = fabric.add_switch("back", None).unwrap();
    fabric.set_network(switch, NETWORK);
    let [one, left] = [1, 2].map(|number| fabric.attach(switch, "end", mac(number)).unwrap());
    send(&mut fabric, left, BROADCAST, mac(2));
    waiting(&mut fabric, [one]);
    fabric.hold(left);
    fabric.depart(left, THERE);
    send(&mut fabric, one, mac(2), mac(1));
    send(&mut fabric, one, BROADCAST, mac(1));
    assert_eq!(waiting(&mut fabric, [one, left]), ([0, 2], [0, 0]));
    fabric.set_remotes(switch, &[THERE, ELSEWHERE]);
    send(&mut fabric, one, mac(2), mac(1));
    send(&mut fabric, one, BROADCAST, mac(1));
    assert_eq!(waiting(&mut fabric, [one, left]), ([0, 0], [2, 2]));
    came(&mut fabric, ELSEWHERE, mac(2), mac(5));
    came(&mut fabric, ELSEWHERE, BROADCAST, mac(5));
    assert_eq!(waiting(&mut fabric, [one, left]), ([1, 1], [0, 0]));
    came(&mut fabric, THERE, BROADCAST, mac(2));
    assert_eq!(waiting(&mut fabric, [one, left]), ([1, 0], [0, 0]));
    // It comes back: what is for it does not go by the port that it left as well.
    fabric.set_remotes(switch, &[]);
    let again = fabric.attach(switch, "end", mac(2)).unwrap();
    send(&mut fabric, one, BROADCAST, mac(1));
    send(&mut fabric, one, mac(2), mac(1));
    assert_eq!(
        waiting(&mut fabric, [one, left, again]),
        ([0, 0, 2], [0, 0])
    );
    fabric.set_remotes(switch, &[ELSEWHERE]);
    came(&mut fabric, ELSEWHERE, mac(2), mac(5));
    assert_eq!(waiting(&mut fabric, [left, again]), ([0, 1], [0, 0]));
}

#[test]
fn a_segment_for_those_that_came_is_left_with_the_last_of_them() {
    let mut fabric = Fabric::new();
    let link = fabric.add_link("back").unwrap();
    fabric.set_visiting(link);
    let before = fabric.wiring();
    fabric.await_ports(&[link]);
    assert_ne!(fabric.wiring(), before);
    assert!(fabric.left_networks().is_empty());
    fabric.await_ports(&[]);
    assert_eq!(fabric.left_networks(), ["back"]);
    let port = fabric.attach(link, "end", mac(1)).unwrap();
    assert!(fabric.left_networks().is_empty());
    fabric.detach(port);
    assert_eq!(fabric.left_networks(), ["back"]);
}
