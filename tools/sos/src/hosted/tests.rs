//! A hosted node boots, runs programs, speaks over console and channel, and ends without a trace.

use std::io::{Read, Write};
use std::time::Duration;

use sos_core::machine::Machine;

use super::*;
use crate::image;

const LONG: Duration = Duration::from_secs(60);

/// A node with one instance of a module in text form.
fn node(module: &str) -> Node {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("program.wat"), module).unwrap();
    let text = "name = \"hosted\"\n[instance.program]\nmodule = \"program.wat\"\n";
    let image = image::from_text(text, folder.path()).unwrap();
    Node::start(Some(Vec::leak(image.bytes)), Options::default()).unwrap()
}

/// Whether a thread of this process has this name.
fn has_thread(name: &str) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.any(|found| found.trim() == name)
}

#[test]
fn a_program_runs_and_the_node_switches_off() {
    let node = node(
        r#"(module
            (import "sos" "log" (func $log (param i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "hello from a process")
            (func (export "_start")
                (drop (call $log (i32.const 2) (i32.const 16) (i32.const 20)))))"#,
    );
    let console = node.console();
    console.expect("hosted> ", LONG).unwrap();
    console.send_line("logs -f program").unwrap();
    console.expect("hello from a process", LONG).unwrap();
    // Ctrl-C ends the listing.
    console.send(b"\x03").unwrap();
    console.expect("hosted> ", LONG).unwrap();
    console.send_line("poweroff").unwrap();
    assert_eq!(node.wait(LONG).unwrap(), End::Poweroff);
    assert!(console.send(b"x").is_err());
}

#[test]
fn a_reboot_is_another_life() {
    let node = Node::start(None, Options::default()).unwrap();
    let console = node.console();
    for _ in 0..2 {
        console.expect("no boot image", LONG).unwrap();
        console.expect("sos> ", LONG).unwrap();
        console.send_line("reboot").unwrap();
    }
    console.expect("sos> ", LONG).unwrap();
    assert_eq!(node.end(), None);
}

#[test]
fn a_dropped_node_leaves_no_thread_even_while_a_program_computes() {
    let name = "last-of-them";
    let folder = tempfile::tempdir().unwrap();
    let spin = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;
    std::fs::write(folder.path().join("spin.wat"), spin).unwrap();
    let text = "name = \"busy\"\n[instance.spin]\nmodule = \"spin.wat\"\n";
    let image = image::from_text(text, folder.path()).unwrap();
    let options = Options {
        name: Some(name.into()),
        ..Options::default()
    };
    let node = Node::start(Some(Vec::leak(image.bytes)), options).unwrap();
    node.console().expect("last-of-them> ", LONG).unwrap();
    assert!(has_thread(name));
    drop(node);
    assert!(!has_thread(name));
}

/// A kernel that only sends back what comes over the channel, until a connection brings `Q`.
fn echo(shared: &Arc<Shared>) {
    let mut machine = HostMachine::new(shared.clone(), MEMORY_BYTES);
    let mut greeted = None;
    let mut bytes = Vec::new();
    loop {
        machine.begin_turn();
        let connection = machine.channel_connection();
        if connection != greeted {
            greeted = connection;
            bytes = connection.map_or(Vec::new(), |number| vec![number as u8]);
        }
        if bytes.is_empty() {
            bytes.resize(100_000, 0);
            let count = machine.read_channel(&mut bytes);
            bytes.truncate(count);
        }
        if bytes == b"Q" {
            return;
        }
        let taken = machine.write_channel(&bytes);
        bytes.drain(..taken);
        machine.end_turn();
        if !machine.has_events() {
            machine.idle(None);
        }
    }
}

#[test]
fn the_channel_carries_bytes_for_one_host_after_the_other() {
    let shared = Shared::new().unwrap();
    let mut waiting = shared.connect().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| echo(&shared));
        for number in 1..=3 {
            let mut stream = std::mem::replace(&mut waiting, shared.connect().unwrap());
            let mut greeting = [0];
            stream.read_exact(&mut greeting).unwrap();
            assert_eq!(greeting, [number]);
            let sent: Vec<u8> = (0..4_000_000_u32)
                .map(|place| (place * 7 + place / 251) as u8)
                .collect();
            let mut sender = stream.try_clone().unwrap();
            let mut received = vec![0; sent.len()];
            std::thread::scope(|scope| {
                scope.spawn(|| sender.write_all(&sent).unwrap());
                stream.read_exact(&mut received).unwrap();
            });
            assert!(received == sent);
            // It leaves in the midst of things; what it sends now nobody reads.
            stream.write_all(&[7; 1000]).unwrap();
        }
        waiting.read_exact(&mut [0]).unwrap();
        waiting.write_all(b"Q").unwrap();
    });
}

#[test]
fn bytes_that_the_kernel_does_not_take_are_an_event_once() {
    let shared = Shared::new().unwrap();
    let mut machine = HostMachine::new(shared.clone(), MEMORY_BYTES);
    let mut host = shared.connect().unwrap();
    machine.begin_turn();
    assert_eq!(machine.channel_connection(), Some(1));
    machine.end_turn();
    // What a kernel does in each of its turns.
    assert_eq!(machine.read_console(&mut [0]), 0);
    assert!(!machine.has_events());
    host.write_all(b"abc").unwrap();
    assert!(machine.has_events());
    machine.begin_turn();
    machine.end_turn();
    assert!(!machine.has_events());
    let mut bytes = [0; 8];
    assert_eq!(machine.read_channel(&mut bytes[..2]), 2);
    assert!(!machine.has_events());
    assert_eq!(machine.read_channel(&mut bytes), 1);
    host.write_all(b"d").unwrap();
    assert!(machine.has_events());
    drop(host);
    machine.begin_turn();
    assert_eq!(machine.channel_connection(), None);
    assert_eq!(machine.write_channel(b"x"), 0);
    assert!(!machine.has_events());
}
