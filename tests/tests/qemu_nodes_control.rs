//! Real nodes commanded over the network by `cargo sos ctl --node ADDRESS:PORT`: listings, moves that are followed to their
//! end, and what becomes of one that is cancelled.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sos_tests::qemu::{Manifest, PATIENCE, TestNodes, eventually, kernel};
use sos_tests::tool;

/// A service that holds enough that a slow move of it takes a while, and a program that computes.
const MANIFEST: &str = r#"
name = "commanded"
[switch.lan]
uplink = "nic0"

[instance.holder]
module = "holder"
limits.memory = "16MiB"
port.eth0 = { switch = "lan", address = "dhcp" }
config = { mebibytes = "8" }

[instance.spinner]
module = "spinner"
node = "node2"

[[forward]]
host = 9003
to = "holder:9003"
"#;

/// A node as a script commands it.
struct Remote {
    address: String,
    key: String,
}

impl Remote {
    fn of(nodes: &TestNodes, number: usize) -> Remote {
        Remote {
            address: nodes.control(number).to_string(),
            key: nodes.cluster_key().display().to_string(),
        }
    }

    fn arguments<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let node = ["ctl", "--node", &self.address, "--cluster-key", &self.key];
        [&node[..], words].concat()
    }

    fn run(&self, words: &[&str]) -> Output {
        tool::run(&self.arguments(words))
    }

    fn json(&self, words: &[&str]) -> Value {
        let text = tool::succeeds(&self.arguments(words));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    fn instances(&self) -> Vec<String> {
        let rows = self.json(&["ls", "--json"]);
        let rows = rows.as_array().cloned().unwrap_or_default();
        let name = |row: &Value| row["name"].as_str().unwrap_or_default().to_string();
        rows.iter().map(name).collect()
    }
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Sends a little to the holder and gets it back.
fn exchange(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("it takes a little");
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, text);
}

#[test]
fn a_script_commands_nodes_over_the_network_and_follows_their_moves() {
    // What is built is built before the nodes' watchdogs run.
    tool::program();
    let image = Manifest::new(MANIFEST).build();
    let nodes = TestNodes::start(&image, 2, &[]);
    let (one, two) = (Remote::of(&nodes, 1), Remote::of(&nodes, 2));
    // The manifest says where things start.
    assert_eq!(one.instances(), ["holder"]);
    assert_eq!(two.instances(), ["spinner"]);
    nodes.until_linked(1, 1);
    let mut client = eventually("the holder listens", || {
        let mut stream =
            TcpStream::connect(("127.0.0.1", nodes.port(0))).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut back = [0; 1];
        let asked = stream
            .write_all(b"?")
            .and_then(|()| stream.read_exact(&mut back));
        asked.map(|()| stream).map_err(|error| error.to_string())
    });

    // A move that ends well, told as text and as data, with what was seen on the way.
    let moved = one.run(&["migrate", "holder", "node2"]);
    let (out, errors) = said(&moved);
    assert!(moved.status.success(), "{errors}");
    assert!(out.starts_with("holder moved to node2: "), "{out}");
    assert_eq!(two.instances(), ["holder", "spinner"]);
    exchange(&mut client, b"on node2");
    let ends = two.json(&["migrate", "holder", "node1", "--json"]);
    assert_eq!(ends[0]["name"], "holder");
    assert_eq!(ends[0]["outcome"], "moved");
    exchange(&mut client, b"on node1 again");

    // What cannot begin fails with the node's words, and so does what does not end well.
    let refused = one.run(&["migrate", "holder", "node9"]);
    assert!(!refused.status.success());
    assert!(said(&refused).1.contains("node9"), "{:?}", said(&refused));
    let mut slow = Command::new(tool::program());
    slow.args(one.arguments(&["migrate", "holder", "node2", "--bandwidth", "1"]));
    let slow = slow.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut slow = slow.expect("the tool");
    let mut errors = BufReader::new(slow.stderr.take().expect("it is piped"));
    let mut told = String::new();
    while !told.contains("holder to node2: copying") {
        let length = errors.read_line(&mut told).expect("text");
        assert_ne!(length, 0, "it ended while the move was under way: {told}");
    }
    tool::succeeds(&one.arguments(&["migrate", "--cancel", "holder"]));
    errors.read_to_string(&mut told).expect("text");
    assert!(!slow.wait().expect("its end").success(), "{told}");
    assert!(told.contains("sos: holder was not moved: "), "{told}");
    exchange(&mut client, b"still on node1");

    // Who does not want to wait does not, and all of a node can be told to leave.
    tool::succeeds(&two.arguments(&["migrate", "spinner", "node1", "--no-wait"]));
    eventually("the spinner runs on node1", || {
        let rows = one.json(&["ls", "--json"]);
        let mut listed = rows.as_array().into_iter().flatten();
        match listed.any(|row| row["name"] == "spinner" && row["state"] == "running") {
            true => Ok(()),
            false => Err(rows.to_string()),
        }
    });
    let left = one.json(&["evacuate", "node2", "--json"]);
    let names: Vec<&str> = left
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|end| end["name"].as_str())
        .collect();
    assert_eq!(names, ["holder", "spinner"], "{left}");
    assert!(one.instances().is_empty());
    exchange(&mut client, b"evacuated");
}

#[test]
fn each_console_has_a_window_of_tmux() {
    if Command::new("tmux").arg("-V").output().is_err() {
        println!("proves nothing here: no tmux");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("sos.toml");
    let text = "name = \"two\"\n[switch.lan]\nuplink = \"nic0\"\n[instance.spinner]\nmodule = \"spinner\"\nautostart = false\n";
    std::fs::write(&manifest, text).expect("write the manifest");
    let server = folder.path().join("tmux.sock");
    let tmux = |words: &[&str]| {
        let mut command = Command::new("tmux");
        command
            .arg("-S")
            .arg(&server)
            .args(["-f", "/dev/null"])
            .args(words);
        let output = command.output().expect("tmux");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // What is built is built before anybody waits for a window.
    kernel();
    let program = tool::program().to_str().expect("a path");
    let file = manifest.to_str().expect("a path");
    let start = [
        "new-session",
        "-d",
        "-x",
        "120",
        "-y",
        "40",
        "--",
        program,
        "run",
        "--nodes",
        "2",
        "--tmux",
    ];
    tmux(&[&start[..], &["--memory", "128MiB", file]].concat());
    let shows = |window: &str, words: &str| {
        eventually(words, || {
            let text = tmux(&["capture-pane", "-p", "-t", window]);
            match text.contains(words) {
                true => Ok(()),
                false => Err(text),
            }
        });
    };
    shows(":node2", "node2>");
    shows(":node1", "node1>");
    tmux(&["send-keys", "-t", ":node1", "ls", "Enter"]);
    shows(":node1", "spinner");
    tmux(&["send-keys", "-t", ":node1", "poweroff", "Enter"]);
    tmux(&["send-keys", "-t", ":node2", "poweroff", "Enter"]);
    eventually("the session ends with its nodes", || {
        match tmux(&["list-windows", "-a"]) {
            windows if windows.is_empty() => Ok(()),
            windows => Err(windows),
        }
    });
}
