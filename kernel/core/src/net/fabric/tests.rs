//! The fabric as a whole: wiring, switching, bounds.

use super::*;
use alloc::vec;

const NOW: Time = Time::ZERO;
const BROADCAST: MacAddress = [0xFF; 6];

fn mac(number: u8) -> MacAddress {
    [2, 0, 0, 0, 0, number]
}

fn bytes(to: MacAddress, from: MacAddress) -> Vec<u8> {
    let mut bytes = vec![0; 60];
    bytes[..6].copy_from_slice(&to);
    bytes[6..12].copy_from_slice(&from);
    bytes
}

fn frame(to: MacAddress, from: MacAddress) -> Frame {
    Frame::from_bytes(bytes(to, from))
}

/// A switch with three ports, whose stations are `mac(0)` to `mac(2)`.
fn switched(uplink: Option<usize>) -> (Fabric, [PortId; 3]) {
    let mut fabric = Fabric::new();
    let switch = fabric.add_switch("lan", uplink).unwrap();
    let ports = [0, 1, 2].map(|number| fabric.attach(switch, "port", mac(number)).unwrap());
    (fabric, ports)
}

/// Takes every frame that waits: how many each port had.
fn received(fabric: &mut Fabric, ports: &[PortId]) -> Vec<usize> {
    let count = |port: &PortId| core::iter::from_fn(|| fabric.take_received(*port)).count();
    ports.iter().map(count).collect()
}

fn on_uplink(fabric: &mut Fabric, nic: usize) -> usize {
    let mut count = 0;
    while fabric.next_uplink_frame(nic).is_some() {
        fabric.pop_uplink_frame(nic);
        count += 1;
    }
    count
}

#[test]
fn a_link_carries_frames_to_its_other_end_whatever_their_address() {
    let mut fabric = Fabric::new();
    let link = fabric.add_link("link").unwrap();
    let ends = [0, 1].map(|number| fabric.attach(link, "end", mac(number)).unwrap());
    fabric.transmit(ends[0], frame(mac(7), mac(0)), NOW);
    assert_eq!(received(&mut fabric, &ends), [0, 1]);
    assert_eq!(
        fabric.attach(link, "third", mac(3)),
        Err(FabricError::LinkFull(String::from("link")))
    );
    fabric.detach(ends[1]);
    fabric.transmit(ends[0], frame(mac(1), mac(0)), NOW);
    assert_eq!(fabric.counters(ends[0]).sent_drops, 1);
}

#[test]
fn a_switch_floods_unknown_stations_and_learns_known_ones() {
    let (mut fabric, ports) = switched(Some(0));
    fabric.transmit(ports[0], frame(mac(1), mac(0)), NOW);
    assert_eq!(received(&mut fabric, &ports), [0, 1, 1]);
    assert_eq!(on_uplink(&mut fabric, 0), 1);
    fabric.transmit(ports[1], frame(mac(0), mac(1)), NOW);
    assert_eq!(received(&mut fabric, &ports), [1, 0, 0]);
    fabric.transmit(ports[0], frame(BROADCAST, mac(0)), NOW);
    assert_eq!(received(&mut fabric, &ports), [0, 1, 1]);
    assert_eq!(on_uplink(&mut fabric, 0), 1);
    // To itself: nowhere.
    fabric.transmit(ports[0], frame(mac(0), mac(0)), NOW);
    assert_eq!(received(&mut fabric, &ports), [0, 0, 0]);
    // A station that moves takes its frames along.
    fabric.transmit(ports[2], frame(BROADCAST, mac(0)), NOW);
    received(&mut fabric, &ports);
    fabric.transmit(ports[1], frame(mac(0), mac(1)), NOW);
    assert_eq!(received(&mut fabric, &ports), [0, 0, 1]);
}

#[test]
fn a_group_as_source_is_not_learned() {
    let (mut fabric, ports) = switched(None);
    fabric.transmit(ports[0], frame(mac(1), [3, 0, 0, 0, 0, 0]), NOW);
    assert!(fabric.segments(NOW).next().unwrap().learned.is_empty());
}

#[test]
fn the_uplink_is_learned_like_a_port() {
    let (mut fabric, ports) = switched(Some(1));
    fabric.receive_from_uplink(1, &bytes(mac(0), mac(9)), NOW);
    assert_eq!(received(&mut fabric, &ports), [1, 1, 1]);
    fabric.transmit(ports[0], frame(mac(9), mac(0)), NOW);
    assert_eq!(received(&mut fabric, &ports), [0, 0, 0]);
    assert_eq!(on_uplink(&mut fabric, 1), 1);
    fabric.receive_from_uplink(1, &bytes(mac(0), mac(9)), NOW);
    assert_eq!(received(&mut fabric, &ports), [1, 0, 0]);
    // What lives beyond the uplink is not sent back there.
    fabric.receive_from_uplink(1, &bytes(mac(9), mac(8)), NOW);
    assert_eq!(on_uplink(&mut fabric, 1), 0);
    assert_eq!(received(&mut fabric, &ports), [0, 0, 0]);
    let learned = fabric.segments(NOW).next().unwrap().learned;
    let places: Vec<Location> = learned.iter().map(|entry| entry.location).collect();
    let expected = [Location::Port(ports[0]), Location::Uplink, Location::Uplink];
    assert_eq!(places, expected);
}

#[test]
fn learned_stations_age() {
    let (mut fabric, ports) = switched(None);
    fabric.transmit(ports[0], frame(BROADCAST, mac(0)), NOW);
    received(&mut fabric, &ports);
    let later = Time::from_nanos(limits::SWITCH_AGEING_SECONDS * 1_000_000_000);
    fabric.transmit(ports[1], frame(mac(0), mac(1)), later);
    assert_eq!(received(&mut fabric, &ports), [1, 0, 1]);
}

#[test]
fn a_full_port_queue_drops_and_counts() {
    let (mut fabric, ports) = switched(None);
    for _ in 0..limits::PORT_QUEUE_FRAMES + 3 {
        fabric.transmit(ports[0], frame(BROADCAST, mac(0)), NOW);
    }
    let counters = fabric.counters(ports[1]);
    assert_eq!(counters.received_frames, limits::PORT_QUEUE_FRAMES as u64);
    assert_eq!(counters.received_drops, 3);
    assert_eq!(fabric.segments(NOW).next().unwrap().drops, 6);
    let mut large = bytes(mac(1), mac(0));
    large.resize(limits::FRAME_BYTES, 0);
    received(&mut fabric, &ports);
    for _ in 0..limits::PORT_QUEUE_BYTES / limits::FRAME_BYTES + 1 {
        fabric.transmit(ports[0], Frame::from_bytes(large.clone()), NOW);
    }
    assert_eq!(fabric.counters(ports[1]).received_drops, 4);
    large.push(0);
    fabric.transmit(ports[0], Frame::from_bytes(large), NOW);
    assert_eq!(fabric.counters(ports[0]).sent_drops, 1);
}

#[test]
fn a_full_uplink_queue_drops_and_counts_and_shows_its_room() {
    let (mut fabric, ports) = switched(Some(0));
    assert_eq!(fabric.transmit_room(ports[0]), limits::UPLINK_QUEUE_FRAMES);
    for _ in 0..limits::UPLINK_QUEUE_FRAMES + 2 {
        fabric.transmit(ports[0], frame(mac(9), mac(0)), NOW);
    }
    assert_eq!(fabric.transmit_room(ports[0]), 0);
    assert_eq!(fabric.uplink_drops(0), 2);
    assert_eq!(on_uplink(&mut fabric, 0), limits::UPLINK_QUEUE_FRAMES);
    let (private, ports) = switched(None);
    assert_eq!(private.transmit_room(ports[0]), usize::MAX);
}

#[test]
fn ready_ports_are_named_once_in_their_order() {
    let (mut fabric, ports) = switched(None);
    let mut ready = vec![PortId(99)];
    fabric.transmit(ports[2], frame(BROADCAST, mac(2)), NOW);
    fabric.transmit(ports[0], frame(mac(2), mac(0)), NOW);
    fabric.transmit(ports[0], frame(mac(2), mac(0)), NOW);
    fabric.take_ready_ports(&mut ready);
    assert_eq!(ready, ports);
    fabric.take_ready_ports(&mut ready);
    assert!(ready.is_empty());
    fabric.transmit(ports[0], frame(mac(2), mac(0)), NOW);
    fabric.take_ready_ports(&mut ready);
    assert_eq!(ready, [ports[2]]);
}

#[test]
fn nothing_passes_a_port_or_segment_that_is_down() {
    let (mut fabric, ports) = switched(Some(0));
    fabric.set_port_up(ports[1], PortState::Down);
    fabric.transmit(ports[0], frame(BROADCAST, mac(0)), NOW);
    fabric.transmit(ports[1], frame(BROADCAST, mac(1)), NOW);
    assert_eq!(received(&mut fabric, &ports), [0, 0, 1]);
    fabric.set_port_up(ports[1], PortState::Up);
    fabric.set_segment_state("lan", PortState::Down).unwrap();
    fabric.transmit(ports[1], frame(BROADCAST, mac(1)), NOW);
    fabric.receive_from_uplink(0, &bytes(BROADCAST, mac(9)), NOW);
    assert_eq!(received(&mut fabric, &ports), [0, 0, 0]);
    assert_eq!(fabric.counters(ports[1]).sent_drops, 2);
}

#[test]
fn a_detached_port_takes_its_queue_and_its_learned_station_along() {
    let (mut fabric, ports) = switched(None);
    fabric.transmit(ports[1], frame(BROADCAST, mac(1)), NOW);
    received(&mut fabric, &ports);
    fabric.transmit(ports[0], frame(mac(1), mac(0)), NOW);
    fabric.detach(ports[1]);
    assert_eq!(fabric.take_received(ports[1]), None);
    assert!(!fabric.has_received(ports[1]));
    fabric.transmit(ports[1], frame(BROADCAST, mac(1)), NOW);
    fabric.transmit(ports[0], frame(mac(1), mac(0)), NOW);
    assert_eq!(received(&mut fabric, &[ports[0], ports[2]]), [0, 1]);
    let mut ready = Vec::new();
    fabric.take_ready_ports(&mut ready);
    assert!(ready.contains(&ports[2]));
}

#[test]
fn names_uplinks_and_segments_in_use_are_guarded() {
    let (mut fabric, ports) = switched(Some(0));
    let name = || String::from("lan");
    assert_eq!(fabric.add_link("lan"), Err(FabricError::NameTaken(name())));
    assert_eq!(
        fabric.add_switch("other", Some(0)),
        Err(FabricError::UplinkTaken(0))
    );
    assert!(matches!(
        fabric.add_switch("other", Some(limits::NICS)),
        Err(FabricError::TooMany(_))
    ));
    let in_use = Err(FabricError::InUse(name()));
    assert_eq!(fabric.remove_segment("lan"), in_use);
    assert_eq!(fabric.set_uplink("lan", None), in_use);
    assert_eq!(fabric.set_uplink("lan", Some(1)), Ok(()));
    assert_eq!(fabric.properties(ports[0]), LinkProperties::UPLINKED);
    for port in ports {
        fabric.detach(port);
    }
    assert_eq!(fabric.set_uplink("lan", None), Ok(()));
    assert_eq!(fabric.remove_segment("lan"), Ok(()));
    assert_eq!(
        fabric.remove_segment("lan"),
        Err(FabricError::NoSuchSegment(name()))
    );
    assert!(fabric.add_switch("lan", Some(1)).is_ok());
    fabric.add_link("link").unwrap();
    assert!(matches!(
        fabric.set_uplink("link", Some(2)),
        Err(FabricError::NotASwitch(_))
    ));
}

#[test]
fn frames_shorter_than_a_header_go_nowhere() {
    let (mut fabric, ports) = switched(Some(0));
    fabric.transmit(ports[0], Frame::from_bytes(vec![0; 13]), NOW);
    fabric.receive_from_uplink(0, &[0; 13], NOW);
    fabric.receive_from_uplink(7, &bytes(BROADCAST, mac(0)), NOW);
    assert_eq!(received(&mut fabric, &ports), [0, 0, 0]);
    assert_eq!(fabric.counters(ports[0]).sent_drops, 1);
}

#[test]
fn an_operators_mtu_holds_for_new_ports_within_bounds() {
    let (mut fabric, ports) = switched(None);
    fabric.set_mtu("lan", 9000).unwrap();
    let switch = fabric.find("lan").unwrap();
    let port = fabric.attach(switch, "new", mac(5)).unwrap();
    assert_eq!(fabric.properties(port).mtu, 9000);
    assert_eq!(fabric.properties(ports[0]).mtu, limits::PRIVATE_MTU);
    assert_eq!(
        fabric.set_mtu("lan", 1000),
        Err(FabricError::MtuTooSmall(1000))
    );
}

#[test]
fn an_unplugged_port_loses_what_it_sends() {
    let mut fabric = Fabric::new();
    let port = fabric.attach_unplugged("a", mac(0));
    fabric.transmit(port, frame(mac(1), mac(0)), NOW);
    assert_eq!(received(&mut fabric, &[port]), [0]);
    assert_eq!(fabric.counters(port).sent_drops, 1);
}

#[test]
fn waiting_frames_can_be_taken_along_to_another_port() {
    let (mut fabric, ports) = switched(None);
    fabric.transmit(ports[1], frame(BROADCAST, mac(1)), NOW);
    fabric.transmit(ports[2], frame(BROADCAST, mac(2)), NOW);
    let waiting = fabric.waiting_frames(ports[0]);
    assert_eq!(
        waiting,
        [bytes(BROADCAST, mac(1)), bytes(BROADCAST, mac(2))]
    );
    assert!(fabric.has_received(ports[0]));
    fabric.detach(ports[0]);
    let switch = fabric.find("lan").unwrap();
    let port = fabric.attach(switch, "again", mac(0)).unwrap();
    let mut ready = Vec::new();
    fabric.take_ready_ports(&mut ready);
    fabric.put_frames(port, &waiting);
    fabric.take_ready_ports(&mut ready);
    assert_eq!(ready, [port]);
    for frame in &waiting {
        let taken = fabric.take_received(port).unwrap();
        assert_eq!(taken.bytes(), &frame[..]);
    }
    assert!(fabric.waiting_frames(port).is_empty());
    assert_eq!(fabric.counters(port).received_frames, 0);
    // Claims are bounded as other frames are.
    fabric.put_frames(port, &vec![vec![0; 60]; limits::PORT_QUEUE_FRAMES + 3]);
    fabric.put_frames(port, &[vec![0; limits::FRAME_BYTES + 1]]);
    assert_eq!(fabric.waiting_frames(port).len(), limits::PORT_QUEUE_FRAMES);
    assert_eq!(fabric.counters(port).received_drops, 4);
    fabric.put_frames(PortId(99), &waiting);
}

#[test]
fn a_held_port_keeps_what_comes_and_tells_of_it_when_it_is_released() {
    let (mut fabric, ports) = switched(None);
    fabric.transmit(ports[1], frame(BROADCAST, mac(1)), NOW);
    received(&mut fabric, &ports);
    fabric.take_ready_ports(&mut Vec::new());
    fabric.hold(ports[1]);
    fabric.transmit(ports[0], frame(mac(1), mac(0)), NOW);
    assert!(!fabric.has_ready_ports(), "nobody is there");
    assert_eq!(fabric.release(ports[1]), 0);
    let mut ready = Vec::new();
    fabric.take_ready_ports(&mut ready);
    assert_eq!(ready, [ports[1]]);
    assert_eq!(received(&mut fabric, &ports), [0, 1, 0]);
}

#[test]
fn what_is_for_everybody_takes_half_of_a_held_port_and_the_loss_is_counted() {
    let (mut fabric, ports) = switched(None);
    fabric.transmit(ports[1], frame(BROADCAST, mac(1)), NOW);
    received(&mut fabric, &ports);
    fabric.hold(ports[1]);
    let half = limits::PORT_QUEUE_FRAMES / 2;
    for _ in 0..limits::PORT_QUEUE_FRAMES {
        fabric.transmit(ports[0], frame(BROADCAST, mac(0)), NOW);
    }
    for _ in 0..half + 3 {
        fabric.transmit(ports[0], frame(mac(1), mac(0)), NOW);
    }
    assert_eq!(fabric.release(ports[1]), half as u64 + 3);
    assert_eq!(
        received(&mut fabric, &ports[1..2]),
        [limits::PORT_QUEUE_FRAMES]
    );
    assert_eq!(fabric.release(ports[1]), 0);
}
