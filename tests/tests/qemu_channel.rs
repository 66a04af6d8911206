//! The byte channel between a program on the host and the kernel, by the kernel's own test program
//! (`kernel/metal/src/self_test/channel.rs`): exact, never in the way, there again for the next.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use sos_tests::qemu::{Boot, TestNode, cpu_time};

const GREETING: &[u8] = b"sos channel\n";
const MIB: usize = 1 << 20;

/// A node that serves the channel instead of instances.
fn node() -> TestNode {
    let node = Boot::bare("sos")
        .with_channel()
        .append("test=channel")
        .spawn();
    node.expect("channel: ready");
    node
}

/// Connects and hears the greeting.
fn connect(node: &TestNode) -> UnixStream {
    let mut stream = node.channel();
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(greeting, GREETING);
    stream
}

fn command(stream: &mut UnixStream, kind: char, bytes: usize) {
    write!(stream, "{kind}{bytes:08}").expect("a command sent");
}

/// Bytes without a period that any buffer has.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Sends bytes and gets them back, both at the same time.
fn echo(stream: &mut UnixStream, length: usize) {
    let sent = noise(length);
    command(stream, 'E', length);
    let mut sender = stream.try_clone().expect("a second handle");
    let mut received = vec![0; length];
    std::thread::scope(|scope| {
        scope.spawn(|| sender.write_all(&sent).expect("bytes sent"));
        stream.read_exact(&mut received).expect("bytes back");
    });
    if let Some(at) = (0..length).find(|&at| received[at] != sent[at]) {
        panic!(
            "of {length} bytes number {at} came back as {} instead of {}",
            received[at], sent[at]
        );
    }
}

fn speed(bytes: usize, start: Instant) -> f64 {
    bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
}

#[test]
fn bytes_come_back_as_they_were_sent() {
    let node = node();
    let mut stream = connect(&node);
    // Lengths about those of the buffers.
    for length in [1, 9, 4095, 4096, 4097, 32 << 10, (256 << 10) + 1, 8 * MIB] {
        echo(&mut stream, length);
    }
    let bytes = noise(32 * MIB);
    let start = Instant::now();
    command(&mut stream, 'R', bytes.len());
    stream.write_all(&bytes).expect("bytes sent");
    stream.read_exact(&mut [0]).expect("the end");
    println!("to the node: {:.0} MB/s", speed(32 * MIB, start));
    let start = Instant::now();
    command(&mut stream, 'S', 32 * MIB);
    let mut received = vec![0; 32 * MIB];
    stream.read_exact(&mut received).expect("bytes");
    println!("from the node: {:.0} MB/s", speed(32 * MIB, start));
    let exact = received.iter().zip((0..251).cycle()).all(|(&a, b)| a == b);
    assert!(exact, "the pattern differs");
    let start = Instant::now();
    for _ in 0..100 {
        echo(&mut stream, 100);
    }
    println!("100 bytes and back: {:?}", start.elapsed() / 100);
    command(&mut stream, 'Q', 0);
    node.until_prompt();
    node.power_off();
}

#[test]
fn a_host_that_left_is_followed_by_the_next() {
    let node = node();
    for number in 1..=5 {
        let mut stream = connect(&node);
        node.expect(&format!("channel: connection {number}\r\n"));
        echo(&mut stream, 100_000);
        // It leaves in the midst of things: bytes lie in both directions.
        command(&mut stream, 'E', 8 * MIB);
        stream.write_all(&noise(100_000)).expect("bytes sent");
        drop(stream);
        node.expect("channel: the host left");
    }
    let mut stream = connect(&node);
    echo(&mut stream, MIB);
    command(&mut stream, 'Q', 0);
    node.until_prompt();
    node.power_off();
}

#[test]
fn a_node_whose_bytes_nobody_reads_waits_asleep_and_loses_none() {
    let node = node();
    let mut stream = connect(&node);
    command(&mut stream, 'S', 4 * MIB);
    node.expect("channel: full after ");
    // It sleeps, and goes on where it was once it is read.
    let before = cpu_time(node.machine().process_id());
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(2));
    let used = cpu_time(node.machine().process_id()) - before;
    let share = used.as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share < 0.20, "{:.1} % of a CPU", share * 100.0);
    let mut received = vec![0; 4 * MIB];
    stream.read_exact(&mut received).expect("bytes");
    let exact = received.iter().zip((0..251).cycle()).all(|(&a, b)| a == b);
    assert!(exact, "the pattern differs");
    // A host that leaves without reading holds nothing up either.
    command(&mut stream, 'S', 4 * MIB);
    node.expect("channel: full after ");
    drop(stream);
    node.expect("channel: the host left");
    let mut stream = connect(&node);
    command(&mut stream, 'Q', 0);
    node.until_prompt();
    node.power_off();
}

#[test]
fn a_channel_by_line_interrupts_carries_bytes() {
    let node = Boot::bare("sos")
        .with_channel()
        .append("test=channel")
        .arguments(&["-global", "virtio-serial-pci.vectors=0"])
        .spawn();
    let mut stream = connect(&node);
    echo(&mut stream, MIB);
    command(&mut stream, 'Q', 0);
    node.until_prompt();
    node.power_off();
}
