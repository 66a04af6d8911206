//! Groups that move: linked instances at one instant, with their streams to each other; all of them or none.

use super::{HALF, SECOND, arrives, done, has_event, runs_on};
use sos_core::cluster::Trust;
use sos_core::machine::Duration;
use sos_tests::programs::{COUNTING_ECHO, asks, sends_stream, takes_stream, ticks};
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, link};

const PATIENCE: Duration = Duration::from_secs(20);
const ALL: [&str; 4] = ["web", "store", "taker", "sender"];

/// `web` asks `store`, and `sender` sends a stream to `taker`, each pair over a link of its own.
fn shop(image: ImageBuilder) -> ImageBuilder {
    image
        .link("back")
        .link("bulk")
        .instance("store", COUNTING_ECHO)
        .port("eth0", link("back"), "10.1.0.2/24")
        .instance("web", asks([10, 1, 0, 2]))
        .port("eth0", link("back"), "10.1.0.1/24")
        .instance("taker", takes_stream())
        .port("eth0", link("bulk"), "10.2.0.2/24")
        .instance("sender", sends_stream([10, 2, 0, 2]))
        .port("eth0", link("bulk"), "10.2.0.1/24")
}

/// Linked nodes of one cluster, the first with the shop.
fn members(count: usize) -> Cluster {
    members_beside(count, |node| node)
}

/// The same, with something on each of the others.
fn members_beside(count: usize, add: impl Fn(ImageBuilder) -> ImageBuilder) -> Cluster {
    let node = |number: usize| {
        ImageBuilder::new("member")
            .switch("lan", Some("nic0"))
            .node("lan", &format!("10.0.0.{}/24", 10 + number))
    };
    let peers = (1..=count).map(|number| format!("10.0.0.{}:7600", 10 + number));
    let trust = Trust {
        peers: peers.map(|peer| peer.parse().unwrap()).collect(),
        ..Trust::in_cluster([9; 32])
    };
    let mut cluster = Cluster::new(11);
    for number in 1..=count {
        let image = match number {
            1 => shop(node(1)),
            _ => add(node(number)),
        };
        let name = format!("node{number}");
        cluster.boot_member(&name, image.build(), number as u8, &trust);
    }
    let are_linked = |cluster: &mut Cluster| {
        (0..count).all(|node| {
            let text = cluster.shell(node, "nodes");
            text.matches("linked").count() == count - 1
        })
    };
    assert!(cluster.run_until(PATIENCE, are_linked));
    cluster.run_for(HALF);
    cluster
}

/// How many lines an instance has logged.
fn logged(cluster: &mut Cluster, node: usize, name: &str) -> u64 {
    let log = cluster.json(node, &format!("logs {name} --json"));
    log["next"].as_u64().expect("a number")
}

/// That both streams go on, wherever their takers are.
fn streams_go_on(cluster: &mut Cluster, case: &str) {
    for name in ["web", "taker"] {
        let place = runs_on(cluster, name);
        assert_eq!(place.len(), 1, "{case}: {name} {place:?}");
        let wanted = logged(cluster, place[0], name) + 10;
        let goes_on = |cluster: &mut Cluster| logged(cluster, place[0], name) >= wanted;
        assert!(cluster.run_until(3 * SECOND, goes_on), "{case}: {name}");
    }
}

/// When each instance was frozen on a node, the last time.
fn frozen_at(cluster: &mut Cluster, node: usize) -> Vec<u64> {
    let events = cluster.json(node, "events --json");
    let events = events["entries"].as_array().expect("events");
    let frozen = |name: &&str| {
        let mut its = events
            .iter()
            .filter(|it| it["kind"] == "frozen" && it["instance"] == *name);
        let time = its.next_back().map(|it| it["time"].as_u64());
        time.flatten().unwrap_or_else(|| panic!("{events:?}"))
    };
    ALL.iter().map(frozen).collect()
}

#[test]
fn a_group_moves_at_one_instant_and_its_streams_go_on() {
    let mut cluster = members(2);
    streams_go_on(&mut cluster, "before");
    for (number, how) in ["", "--cold", ""].iter().enumerate() {
        let (from, to) = (number % 2, (number + 1) % 2);
        let line = format!("migrate --group {} node{} {how}", ALL.join(" "), to + 1);
        let text = cluster.shell(from, &line);
        assert!(!text.contains("error"), "{text}");
        for name in ALL {
            arrives(&mut cluster, name, to);
        }
        streams_go_on(&mut cluster, how);
        let times = frozen_at(&mut cluster, from);
        assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
        let events = cluster.shell(from, "events");
        assert!(
            events.contains("as one of web store taker sender"),
            "{events}"
        );
        cluster.run_for(PATIENCE);
        assert_eq!(cluster.json(from, "ls --json"), serde_json::json!([]));
    }
}

#[test]
fn operators_see_a_group_that_moves_and_cancel_all_of_it_with_one() {
    let mut cluster = members(2);
    cluster.faults.delay = Duration::from_millis(50);
    done(
        &mut cluster,
        0,
        "migrate --group web store node2 --bandwidth 1",
    );
    let text = cluster.shell(0, "migrate");
    assert!(text.contains("together: web store"), "{text}");
    let rows = cluster.json(0, "migrate --json");
    assert_eq!(rows[0]["group"], "web store");
    cluster.shell(0, "migrate --cancel store");
    cluster.faults.delay = Duration::from_micros(20);
    cluster.run_for(HALF);
    let log = cluster.shell(0, "dmesg");
    assert!(log.contains("'web' was not migrated"), "{log}");
    assert!(log.contains("'store' of its group does not move"), "{log}");
    streams_go_on(&mut cluster, "cancelled");
    for (line, why) in [
        ("migrate --group web web node2", "named twice"),
        ("migrate --group web nobody node2", "nobody"),
        ("migrate --group web store nowhere", "nowhere"),
    ] {
        let text = cluster.shell(0, line);
        assert!(
            text.contains("error") && text.contains(why),
            "{line}: {text}"
        );
    }
    assert!(cluster.shell(0, "migrate").contains("none"));
}

#[test]
fn a_group_of_which_one_cannot_go_stays_whole() {
    let mut cluster = members(2);
    // Somebody is called so there.
    done(&mut cluster, 0, "clone store as spare");
    done(&mut cluster, 0, "migrate spare node2");
    arrives(&mut cluster, "spare", 1);
    done(&mut cluster, 0, "clone store as spare");
    done(&mut cluster, 0, "migrate --group spare store web node2");
    cluster.run_for(SECOND);
    for name in ["store", "web"] {
        assert_eq!(runs_on(&mut cluster, name), [0], "{name}");
    }
    let log = cluster.shell(0, "dmesg");
    assert!(log.contains("'spare' of its group does not move"), "{log}");
    streams_go_on(&mut cluster, "refused");
}

#[test]
fn an_evacuation_takes_linked_instances_to_the_same_node() {
    let mut cluster = members(3);
    done(&mut cluster, 0, "evacuate node2 node3");
    for (name, node) in [("web", 1), ("store", 1), ("taker", 2), ("sender", 2)] {
        arrives(&mut cluster, name, node);
    }
    streams_go_on(&mut cluster, "evacuated");
}

#[test]
fn an_evacuation_of_which_one_cannot_go_takes_all_others_along() {
    // Somebody is called so there.
    let mut cluster = members_beside(2, |node| node.instance("web", ticks(SECOND)));
    done(&mut cluster, 0, "evacuate node2");
    for name in ["store", "taker", "sender"] {
        arrives(&mut cluster, name, 1);
    }
    assert_eq!(runs_on(&mut cluster, "web"), [0, 1]);
    for (name, node) in [("web", 0), ("taker", 1)] {
        let wanted = logged(&mut cluster, node, name) + 10;
        let goes_on = |cluster: &mut Cluster| logged(cluster, node, name) >= wanted;
        assert!(cluster.run_until(3 * SECOND, goes_on), "{name}");
    }
    let log = cluster.shell(0, "dmesg");
    assert!(log.contains("'web' of its group does not move"), "{log}");
    cluster.run_for(10 * SECOND);
    assert!(cluster.shell(0, "migrate").contains("none"));
    assert_eq!(runs_on(&mut cluster, "web"), [0, 1]);
}

/// Two nodes without a network of their own, with the same links.
fn wired() -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", shop(ImageBuilder::new("node1")).build());
    cluster.boot("node2", super::empty("node2"));
    cluster.join(0, 1);
    cluster.run_for(HALF);
    for name in ["back", "bulk"] {
        done(&mut cluster, 1, &format!("link add {name}"));
    }
    cluster
}

const ORDER: &str = "migrate --group web store taker sender node2";

#[test]
fn a_group_whose_link_is_lost_at_any_message_moves_whole_or_stays_whole() {
    let messages = {
        let mut cluster = wired();
        let before = cluster.wires.carried;
        done(&mut cluster, 0, ORDER);
        for name in ALL {
            arrives(&mut cluster, name, 1);
        }
        cluster.run_for(HALF);
        cluster.wires.carried - before
    };
    assert!(messages > 60, "{messages}");
    let mut moved = 0;
    for lost in (0..messages).step_by(2) {
        let mut cluster = wired();
        cluster.part_after(lost);
        cluster.type_text(0, &format!("{ORDER}\r"));
        cluster.run_for(HALF);
        cluster.join(0, 1);
        cluster.run_for(2 * SECOND);
        let places = ALL.map(|name| runs_on(&mut cluster, name));
        assert!(
            places.iter().all(|place| *place == places[0]) && places[0].len() == 1,
            "{lost}: {places:?}"
        );
        moved += places[0][0];
        assert_eq!(has_event(&mut cluster, 0, "not-moved"), places[0] == [0]);
        streams_go_on(&mut cluster, &format!("{lost}"));
    }
    assert!(moved > 0 && moved < messages as usize / 2, "{moved}");
}
