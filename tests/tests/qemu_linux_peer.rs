//! A real Linux TCP at the other end: several connections, two of them full both ways, while their instance is cut,
//! suspended and restored. Every byte comes, in order; nobody says RST; nobody connects again.
//!
//! The peer is this host's own kernel, in a network namespace of the test's own (`unshare -Urn`, which ordinary users
//! may where user namespaces are allowed), joined to QEMU by a tap. Where that is not to be had, the test says so
//! and proves nothing. A hundred rounds:
//! `cargo test -p sos-tests --test qemu_linux_peer -- --ignored --nocapture`.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sos_tests::programs::ECHO_TO_MANY;
use sos_tests::qemu::linux::{
    Exchanges, Full, connect, exchange, in_a_network_of_its_own, interact, tcp_figure,
};
use sos_tests::qemu::{Boot, Manifest, Nic, TestNode};

const SERVICE: &str = "10.9.0.1:7";
/// Bytes that must have come on every full connection between one round and the next.
const PROGRESS_BYTES: u64 = 100_000;

/// Between two questions of an interactive client.
const PAUSE: Duration = Duration::from_millis(5);
/// The network of the test: a tap for the node's card.
const NETWORK: &[&str] = &[
    "ip tuntap add dev sos0 mode tap",
    "ip address add 10.9.0.2/24 dev sos0",
    "ip link set sos0 up",
];

const MANIFEST: &str = r#"
    name = "linux"
    [switch.lan]
    uplink = "nic0"
    [instance.echo]
    module = "./echo.wat"
    limits.memory = "4MiB"
    port.eth0 = { switch = "lan", address = "10.9.0.1/24" }
"#;

/// What is done to the instance in one round: lines at the shell.
const ROUNDS: &[&[&str]] = &[
    &["snapshot echo to cut", "snapshot rm cut"],
    &["suspend echo", "resume echo"],
    &[
        "snapshot echo to cut --stop",
        "restore cut",
        "snapshot rm cut",
    ],
];

#[test]
fn connections_with_linux_lose_nothing_through_ten_captures_under_load() {
    let name = "connections_with_linux_lose_nothing_through_ten_captures_under_load";
    in_a_network_of_its_own(name, NETWORK, || talk_through(10));
}

#[test]
#[ignore = "takes minutes; the command is above"]
fn connections_with_linux_lose_nothing_through_a_hundred_captures_under_load() {
    let name = "connections_with_linux_lose_nothing_through_a_hundred_captures_under_load";
    in_a_network_of_its_own(name, NETWORK, || talk_through(100));
}

fn boot() -> TestNode {
    let image = Manifest::new(MANIFEST)
        .file("echo.wat", ECHO_TO_MANY)
        .build();
    let card = "virtio-net-pci,netdev=net0,mac=02:53:4f:53:00:01,disable-legacy=on,romfile=";
    let netdev = "tap,id=net0,ifname=sos0,script=no,downscript=no";
    Boot::image(&image)
        .nic(Nic::None)
        .arguments(&["-netdev", netdev, "-device", card])
        .watchdog(Duration::from_secs(900))
        .start()
}

fn talk_through(captures: usize) {
    let node = boot();
    let mut idle: Vec<TcpStream> = (0..2).map(|_| connect(SERVICE)).collect();
    idle.iter_mut()
        .for_each(|stream| exchange(stream, b"before"));
    let stop = Arc::new(AtomicBool::new(false));
    let full: Vec<Full> = (1..3)
        .map(|seed| Full::start(SERVICE, seed, &stop))
        .collect();
    let interactive: Vec<_> = (0..2).map(|_| interact(SERVICE, PAUSE, &stop)).collect();
    for full in &full {
        full.progress(PROGRESS_BYTES);
    }
    let opened = tcp_figure("ActiveOpens");
    let mut longest = Duration::ZERO;
    for number in 0..captures {
        for line in ROUNDS[number % ROUNDS.len()] {
            let said = node.shell(line);
            assert!(!said.contains("error"), "capture {number}, {line}: {said}");
        }
        for full in &full {
            longest = longest.max(full.progress(PROGRESS_BYTES));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let exchanges: Vec<Exchanges> = interactive
        .into_iter()
        .map(|thread| thread.join().expect("answers"))
        .collect();
    let carried: Vec<u64> = full.into_iter().map(Full::finish).collect();
    idle.iter_mut()
        .for_each(|stream| exchange(stream, b"after"));
    assert!(exchanges.iter().all(|it| it.count > 0), "{exchanges:?}");
    assert_eq!(
        tcp_figure("ActiveOpens"),
        opened,
        "somebody connected again"
    );
    assert_eq!(tcp_figure("EstabResets"), 0, "a connection was reset");
    assert_eq!(tcp_figure("OutRsts"), 0, "Linux had to reset something");
    println!(
        "{captures} captures: {carried:?} bytes each way, {exchanges:?} exchanges, {} segments sent again, \
         at most {longest:?} for {PROGRESS_BYTES} bytes",
        tcp_figure("RetransSegs")
    );
    node.power_off();
}
