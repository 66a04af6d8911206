//! Snapshots on a real node: a client's TCP connection outlives a cut, a suspension, and a restore.

use sos_tests::qemu::{Boot, TestNode, eventually, http};

/// Asks over an open connection and expects this answer.
fn answers(client: &mut http::Connection, method: &str, target: &str, body: &str, expected: &str) {
    let answer = client.ask(method, target, body.as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
    assert!(answer.text().contains(expected), "{}", answer.text());
}

/// Runs a shell line that has nothing to say but what it made.
fn succeeds(node: &TestNode, line: &str) {
    let said = node.shell(line);
    assert!(!said.contains("error"), "{line}: {said}");
}

#[test]
fn a_connection_outlives_snapshot_suspension_and_restore() {
    let node = Boot::demo().start();
    node.web_serves();
    let mut client = http::Connection::open(node.port()).expect("web listens");
    answers(&mut client, "PUT", "/kv/greeting", "hello", "stored");

    succeeds(&node, "snapshot web to running");
    answers(&mut client, "GET", "/kv/greeting", "", "hello");

    succeeds(&node, "suspend web");
    assert_eq!(node.state("web").0, "suspended");
    succeeds(&node, "resume web");
    answers(&mut client, "GET", "/kv/greeting", "", "hello");

    succeeds(&node, "snapshot web to stopped --stop");
    assert_eq!(node.state("web").0, "stopped");
    succeeds(&node, "restore stopped");
    answers(&mut client, "GET", "/kv/greeting", "", "hello");
    answers(&mut client, "PUT", "/kv/greeting", "again", "stored");
    answers(&mut client, "GET", "/kv/greeting", "", "again");

    let rows = node.json("snapshots");
    let names = rows.as_array().expect("an array").iter();
    let names: Vec<_> = names.filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["running", "stopped"]);
    node.power_off();
}

#[test]
fn clones_run_beside_the_original_with_addresses_of_their_own() {
    let node = Boot::demo().start();
    node.web_serves();
    let mut client = http::Connection::open(node.port()).expect("web listens");
    succeeds(&node, "clone web --count 3");
    answers(&mut client, "PUT", "/kv/greeting", "hello", "stored");
    let addresses = eventually("every clone has an address", || {
        let rows = node.json("ls");
        let rows = rows.as_array().expect("an array").iter();
        let webs = rows.filter(|row| row["module"] == "web");
        let addresses = webs.map(|row| row["addresses"][0].as_str().unwrap_or_default().into());
        let addresses: Vec<String> = addresses.collect();
        match addresses
            .iter()
            .all(|address| address.starts_with("10.0.2."))
        {
            true => Ok(addresses),
            false => Err(format!("{addresses:?}")),
        }
    });
    let mut distinct = addresses.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((addresses.len(), distinct.len()), (4, 4), "{addresses:?}");
    // The one that computes goes on computing in its clone.
    succeeds(&node, "clone spinner");
    node.until_state("spinner-2", "running");
    answers(&mut client, "GET", "/kv/greeting", "", "hello");
    node.power_off();
}
