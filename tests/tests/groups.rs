//! Groups on simulated nodes: several instances cut, restored and cloned at one instant, with their connections
//! to each other; clones and their addresses; frames for suspended instances.

use sos_core::control::Request;
use sos_core::machine::Duration;
use sos_core::operator::{Bytes, Contents, Refusal, ToNode, ToOperator, encode};
use sos_tests::programs::{COUNTING_ECHO, asks};
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::{Cluster, Station};
use sos_tests::sim::image::{ImageBuilder, link, switch};

const SECOND: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);

/// `web` asks `store` over a link of their own; `store` answers on the LAN as well.
fn image() -> ImageBuilder {
    ImageBuilder::new("shop")
        .switch("lan", Some("nic0"))
        .link("back")
        .instance("store", COUNTING_ECHO)
        .port("eth0", link("back"), "10.1.0.2/24")
        .port("eth1", switch("lan"), "10.0.0.2/24")
        .instance("web", asks([10, 1, 0, 2]))
        .port("eth0", link("back"), "10.1.0.1/24")
}

fn shop() -> (Cluster, usize) {
    let (mut cluster, client) = Cluster::beside_client(image().build());
    cluster.run_for(HALF);
    assert!(cluster.ticks(0, "web") > 10);
    (cluster, client)
}

/// A node that has nothing but a switch.
fn empty_node(cluster: &mut Cluster) -> usize {
    let image = ImageBuilder::new("empty").switch("lan", Some("nic0"));
    cluster.boot("node2", image.build())
}

/// Runs a verb that must not fail; what it printed.
fn done(cluster: &mut Cluster, line: &str) -> String {
    done_at(cluster, 0, line)
}

fn done_at(cluster: &mut Cluster, node: usize, line: &str) -> String {
    let text = cluster.shell(node, line);
    assert!(!text.contains("error"), "{text}");
    text
}

fn refused(cluster: &mut Cluster, line: &str, why: &str) {
    let text = cluster.shell(0, line);
    assert!(text.contains("error: ") && text.contains(why), "{text}");
}

/// Whether an instance of [`asks`] goes on over its one connection.
fn assert_asks(cluster: &mut Cluster, node: usize, name: &str) {
    let before = cluster.ticks(node, name);
    cluster.run_for(HALF);
    let state = cluster.state(node, name);
    assert!(["running", "waiting"].contains(&&state.0[..]), "{state:?}");
    let after = cluster.ticks(node, name);
    assert!(after > before + 10, "{name}: {before} {after}");
}

/// The interfaces of an instance.
fn interface(cluster: &mut Cluster, name: &str, number: usize) -> (String, String, String) {
    let detail = cluster.json(0, &format!("info {name} --json"));
    let interface = &detail["network"]["interfaces"][number];
    let text = |key: &str| interface[key].as_str().expect(key).to_string();
    let addresses = interface["addresses"].as_array().expect("addresses");
    let mut addresses = addresses.iter().filter_map(|it| it.as_str());
    let address = addresses.find(|it| !it.starts_with("fe80"));
    (
        text("segment"),
        text("mac"),
        address.unwrap_or("").to_string(),
    )
}

#[test]
fn connections_within_a_group_outlive_a_rollback_of_all() {
    let (mut cluster, _) = shop();
    for round in 0..20 {
        let name = format!("cut{round}");
        done(
            &mut cluster,
            &format!("snapshot --group web store to {name}"),
        );
        let ticks = cluster.ticks(0, "web");
        assert_asks(&mut cluster, 0, "web");
        cluster.run_for(Duration::from_millis(3 * round + 1));
        done(&mut cluster, "kill web store");
        let text = done(&mut cluster, &format!("restore {name}"));
        assert!(text.contains("\nweb\nstore\n"), "{text}");
        let back = cluster.ticks(0, "web");
        assert!((ticks - 10..=ticks + 10).contains(&back), "{ticks} {back}");
        assert_asks(&mut cluster, 0, "web");
        done(&mut cluster, &format!("snapshot rm {name}"));
    }
}

#[test]
fn a_group_is_listed_and_its_members_are_snapshots() {
    let (mut cluster, _) = shop();
    done(&mut cluster, "snapshot --group web store to both");
    let rows = cluster.json(0, "snapshots --json");
    let names: Vec<_> = rows.as_array().expect("rows").iter().collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0]["name"], "both.store");
    assert_eq!(names[1]["name"], "both.web");
    assert_eq!(names[0]["group"], "both");
    assert_eq!(names[0]["wall_nanos"], names[1]["wall_nanos"]);
    refused(&mut cluster, "snapshot web to both", "exists already");
    refused(&mut cluster, "snapshot --group web web to x", "named twice");
    refused(&mut cluster, "restore both", "'web' runs already");
    done(&mut cluster, "kill web store");
    done(&mut cluster, "snapshot rm both.store");
    refused(
        &mut cluster,
        "restore both",
        "the group 'both' lacks the snapshots of 'store'",
    );
    done(&mut cluster, "restore both.web");
    done(&mut cluster, "snapshot rm both");
    assert_eq!(cluster.shell(0, "snapshots").lines().nth(1), Some("none"));
}

#[test]
fn a_group_that_cannot_be_cut_or_restored_changes_nothing() {
    let (mut cluster, _) = shop();
    done(&mut cluster, "snapshot --group web store to good");
    done(&mut cluster, "kill web");
    refused(
        &mut cluster,
        "snapshot --group store web to bad --stop",
        "'web' does not run",
    );
    let rows = cluster.json(0, "snapshots --json");
    assert_eq!(rows.as_array().expect("rows").len(), 2);
    assert_eq!(cluster.state(0, "store").0, "waiting");
    refused(&mut cluster, "restore good", "'store' runs already");
    refused(
        &mut cluster,
        "clone --group store web",
        "'web' does not run",
    );
    done(&mut cluster, "kill store");
    // Its link has one end left: the first member finds it, the second does not.
    done(&mut cluster, "restore good.store as holder");
    let before = cluster.json(0, "info web --json");
    refused(&mut cluster, "restore good", "'store' could not be made");
    refused(&mut cluster, "restore good", "link 'back' has two ends");
    assert_eq!(cluster.json(0, "info web --json"), before);
    assert_eq!(cluster.state(0, "store").0, "stopped");
    let ports = cluster.json(0, "link --json");
    assert_eq!(ports[0]["ports"].as_array().expect("ports").len(), 1);
    done(&mut cluster, "kill holder");
    done(&mut cluster, "restore good");
    assert_asks(&mut cluster, 0, "web");
}

#[test]
fn a_stopped_group_goes_on_with_its_clients() {
    let (mut cluster, client) = shop();
    let socket = cluster.connect(client, "10.0.0.2:7").expect("a connection");
    let state = cluster.ticks(0, "web");
    done(&mut cluster, "snapshot --group web store to night --stop");
    assert_eq!(cluster.state(0, "web").0, "stopped");
    cluster.run_for(3 * SECOND);
    done(&mut cluster, "restore night");
    assert!(cluster.ticks(0, "web") < state + 20);
    assert_asks(&mut cluster, 0, "web");
    cluster.close(socket);
}

#[test]
fn a_group_goes_on_at_a_node_that_has_neither_its_programs_nor_its_link() {
    let (mut cluster, _) = shop();
    let second = empty_node(&mut cluster);
    done(&mut cluster, "snapshot --group web store to travel --stop");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let files = ["travel.web", "travel.store"].map(|name| {
        outsider
            .export(&mut cluster, name, Contents::SelfContained)
            .expect("a file")
    });
    outsider.leave(&mut cluster);
    let mut outsider = Outsider::greeted(&mut cluster, second);
    outsider
        .import(&mut cluster, "travel.web", &files[0])
        .expect("the first");
    let text = cluster.shell(second, "restore travel");
    assert!(text.contains("lacks the snapshots of 'store'"), "{text}");
    outsider
        .import(&mut cluster, "its.store", &files[1])
        .expect("the second");
    done_at(&mut cluster, second, "restore travel");
    cluster.run_for(SECOND);
    assert_asks(&mut cluster, second, "web");
    let links = cluster.json(second, "link --json");
    assert_eq!(links[0]["name"], "back");
    done_at(&mut cluster, second, "restore travel as copy");
    cluster.run_for(SECOND);
    assert_asks(&mut cluster, second, "copy-web");
    assert_asks(&mut cluster, second, "web");
}

#[test]
fn clones_of_a_group_are_joined_to_each_other() {
    let (mut cluster, client) = shop();
    let text = done(&mut cluster, "clone --group web store as test");
    assert!(text.contains("\ntest-web\ntest-store"), "{text}");
    assert!(
        text.contains("eth1"),
        "the address on the LAN is taken: {text}"
    );
    let (segment, mac, address) = interface(&mut cluster, "test-web", 0);
    assert_eq!((&segment[..], &address[..]), ("test-back", "10.1.0.1/24"));
    assert_ne!(mac, interface(&mut cluster, "web", 0).1);
    assert_eq!(interface(&mut cluster, "test-store", 1).0, "lan");
    assert_asks(&mut cluster, 0, "test-web");
    assert_asks(&mut cluster, 0, "web");
    // The originals end, the clones go on.
    done(&mut cluster, "kill web store");
    assert_asks(&mut cluster, 0, "test-web");
    done(
        &mut cluster,
        "clone --group test-web test-store --count 2 --address test-store.eth1=10.0.0.50/24",
    );
    for number in [2, 3] {
        assert_asks(&mut cluster, 0, &format!("test-web-{number}"));
    }
    for address in ["10.0.0.50:7", "10.0.0.51:7"] {
        cluster.connect(client, address).expect(address);
    }
}

#[test]
fn a_group_restored_as_others_runs_beside_the_originals() {
    let (mut cluster, _) = shop();
    done(&mut cluster, "snapshot --group web store to both");
    done(
        &mut cluster,
        "restore both as a --address store.eth1=10.0.0.7/24",
    );
    done(&mut cluster, "restore both as b --address store.eth1=dhcp");
    for name in ["web", "a-web", "b-web"] {
        assert_asks(&mut cluster, 0, name);
    }
    assert_eq!(interface(&mut cluster, "a-store", 1).2, "10.0.0.7/24");
    refused(&mut cluster, "restore both as a", "exists already");
    refused(
        &mut cluster,
        "restore both as c --address store.eth1=10.0.0.7/24",
        "10.0.0.7 is the address of 'a-store'",
    );
    refused(
        &mut cluster,
        "restore both as c --address store.eth0=10.1.0.9/24",
        "no clone has a port 'eth0' that wants an address",
    );
    refused(
        &mut cluster,
        "restore both as c --address eth1=10.1.0.9/24",
        "no clone has a port 'eth1'",
    );
    let segments = cluster.shell(0, "link");
    assert!(!segments.contains("c-back"), "{segments}");
}

#[test]
fn frames_for_a_suspended_instance_wait_for_it() {
    let (mut cluster, client) = shop();
    let socket = cluster.connect(client, "10.0.0.2:7").expect("a connection");
    done(&mut cluster, "kill web");
    cluster.run_for(SECOND);
    done(&mut cluster, "suspend store");
    let received = |cluster: &mut Cluster| {
        let rows = cluster.json(0, "switch --json");
        let port = rows[0]["ports"][0].clone();
        assert_eq!(port["name"], "store.eth1");
        let count = |key: &str| port[key].as_u64().expect(key);
        (count("received_frames"), count("received_drops"))
    };
    let (before, _) = received(&mut cluster);
    cluster.write_all(socket, b"a").expect("written");
    cluster.run_for(Duration::from_millis(5));
    assert!(received(&mut cluster).0 > before);
    refused(&mut cluster, "switch rm lan", "still has ports");
    // Nothing comes from the client any more: what waits is all there is.
    cluster.run_for(SECOND);
    cluster.faults.loss_permille = 1000;
    cluster.run_for(HALF);
    done(&mut cluster, "resume store");
    cluster.faults.loss_permille = 0;
    assert_eq!(cluster.read(socket).expect("an answer"), b"b");

    // More than there is room for is dropped, counted, and told.
    done(&mut cluster, "suspend store");
    let mac = store_mac(&mut cluster);
    for _ in 0..600 {
        let mut frame = vec![0; 60];
        frame[..6].copy_from_slice(&mac);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
        cluster.send(Station::Stranger, frame);
    }
    cluster.run_for(SECOND);
    assert!(received(&mut cluster).1 >= 88);
    done(&mut cluster, "resume store");
    let events = cluster.shell(0, "events");
    assert!(
        events.contains("dropped while it was suspended"),
        "{events}"
    );
    cluster.write_all(socket, b"a").expect("written");
    assert_eq!(cluster.read(socket).expect("an answer"), b"c");
    // One that is given up leaves its place.
    done(&mut cluster, "suspend store");
    done(&mut cluster, "kill store");
    done(&mut cluster, "switch rm lan");
    done(&mut cluster, "link rm back");
}

#[test]
fn clones_are_plugged_in_and_get_the_addresses_they_are_given() {
    let (mut cluster, client) = shop();
    let text = done(&mut cluster, "clone store as one");
    assert!(
        text.contains("unplugged, as its link has no free end: eth0"),
        "{text}"
    );
    assert!(
        text.contains("--address PORT=ADDRESS/LENGTH: eth1"),
        "{text}"
    );
    assert_eq!(interface(&mut cluster, "one", 0).0, "unplugged");
    assert_eq!(interface(&mut cluster, "one", 1).0, "lan");
    done(
        &mut cluster,
        "clone store as two --address eth1=10.0.0.51/24",
    );
    cluster.connect(client, "10.0.0.51:7").expect("a clone");
    // One address of three is taken: none is made.
    refused(
        &mut cluster,
        "clone store --count 3 --address eth1=10.0.0.50/24",
        "10.0.0.51 is the address of 'two'",
    );
    let rows = cluster.json(0, "ls --json");
    assert_eq!(rows.as_array().expect("rows").len(), 4);
    let events = cluster.shell(0, "events");
    let is_told = |line: &str| line.contains("store-2") && line.contains("cloned");
    assert!(!events.lines().any(is_told), "{events}");
    refused(
        &mut cluster,
        "clone store --count 10 --address eth1=10.0.0.250/24",
        "there are addresses for 5 clones; begin lower",
    );
    refused(
        &mut cluster,
        "clone store --address eth7=10.0.0.250/24",
        "no clone has a port 'eth7'",
    );
    refused(
        &mut cluster,
        "clone store --address eth1=0.0.0.0/24",
        "did not start",
    );
    let made = cluster.json(
        0,
        "clone store --count 2 --address eth1=10.0.0.60/24 --json",
    );
    assert_eq!(made[1]["name"], "store-3");
    assert_eq!(made[1]["unplugged"][0], "eth0");
    for address in ["10.0.0.60:7", "10.0.0.61:7"] {
        cluster.connect(client, address).expect(address);
    }
    // The other end of a link that is free is a clone's to have, unless the original is on it.
    done(&mut cluster, "kill web");
    let text = done(&mut cluster, "clone store as three");
    assert!(text.contains("unplugged"), "{text}");
    done(&mut cluster, "snapshot store to kept --stop");
    done(&mut cluster, "restore kept as four");
    assert_eq!(interface(&mut cluster, "four", 0).0, "back");
}

#[test]
fn a_group_of_none_is_refused() {
    let (mut cluster, _) = shop();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let (names, to, addresses) = (Vec::new(), None, Vec::new());
    let request = Request::CloneGroup {
        names,
        to,
        count: 1,
        addresses,
    };
    let data = encode(&request);
    let request = 1;
    let data = Bytes(&data);
    outsider.say(&mut cluster, &ToNode::Control { request, data });
    outsider.expect(&mut cluster, |message| {
        let ToOperator::Refused { refusal, .. } = message else {
            panic!("{message:?}");
        };
        assert!(refusal.to_string().contains("0 instances"), "{refusal}");
    });
}

#[test]
fn lines_of_the_shell_come_over_the_channel() {
    let (mut cluster, _) = shop();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let mut run = |cluster: &mut Cluster, line: &str| {
        let request = 5;
        outsider.say(cluster, &ToNode::Line { request, line });
        let mut result = Ok(String::new());
        let mut complete = false;
        while !complete {
            outsider.expect(cluster, |message| match message {
                ToOperator::Report { last, data, .. } => {
                    let text = String::from_utf8_lossy(data.0);
                    result.as_mut().expect("a report").push_str(&text);
                    complete = *last;
                }
                ToOperator::Refused {
                    refusal: Refusal::Control(text),
                    ..
                } => {
                    result = Err(text.clone());
                    complete = true;
                }
                other => panic!("{other:?}"),
            });
        }
        result
    };
    let list = run(&mut cluster, "ls").expect("a list");
    assert!(list.contains("store"), "{list}");
    run(&mut cluster, "suspend store").expect("done");
    let again = run(&mut cluster, "suspend store").expect_err("suspended");
    assert!(again.starts_with("error: "), "{again}");
    run(&mut cluster, "resume store").expect("done");
    let made = run(&mut cluster, "clone --group web store --json").expect("clones");
    assert!(made.starts_with("[{\"name\":\"web-2\""), "{made}");
    assert_asks(&mut cluster, 0, "web-2");
}

/// The station address of the store's second port.
fn store_mac(cluster: &mut Cluster) -> [u8; 6] {
    let rows = cluster.json(0, "switch --json");
    let text = rows[0]["ports"][0]["mac"].as_str().expect("mac");
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"))
        .collect();
    bytes.try_into().expect("six bytes")
}
