//! The SDK's examples, as they are, on a simulated node; and the proxy with many connections.

use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;
use std::sync::LazyLock;

/// Every example, and the proxy with what it leads to.
const NAMES: [&str; 15] = [
    "bench",
    "example-arguments",
    "example-configuration",
    "example-console",
    "example-dns",
    "example-http",
    "example-identity",
    "example-log-levels",
    "example-many-connections",
    "example-random",
    "example-tcp-client",
    "example-timers",
    "example-udp",
    "fetch",
    "proxy",
];
static MODULES: LazyLock<[Vec<u8>; NAMES.len()]> = LazyLock::new(|| sos_tests::guests(NAMES));

fn module(name: &str) -> &'static [u8] {
    let index = NAMES.iter().position(|other| *other == name);
    &MODULES[index.expect("a name of the list")]
}

/// Boots an image beside one client.
fn boot(image: ImageBuilder) -> (Cluster, usize) {
    Cluster::beside_client(image.build())
}

/// One example on the wire at 10.0.0.1.
fn alone(name: &str) -> ImageBuilder {
    ImageBuilder::new("node1")
        .switch("lan", Some("nic0"))
        .instance("it", module(name))
        .port("eth0", switch("lan"), "10.0.0.1/24")
}

/// What an example logs until it ends, which it must with this status.
fn log_of(image: ImageBuilder, status: &str) -> String {
    let (mut cluster, _) = boot(image);
    cluster.run_until(Duration::from_secs(10), |cluster| {
        cluster.state(0, "it").0 == "exited"
    });
    let log = cluster.shell(0, "logs it");
    assert_eq!(
        cluster.state(0, "it"),
        ("exited".into(), status.into()),
        "{log}"
    );
    log
}

/// Sends `request` on a new connection and receives `length` bytes.
fn exchange(cluster: &mut Cluster, socket: PeerSocket, request: &[u8], length: usize) -> String {
    cluster
        .write_all(socket, request)
        .expect("the service reads");
    let mut answer = Vec::new();
    while answer.len() < length {
        let part = cluster.read(socket).expect("the service answers");
        assert!(!part.is_empty(), "the service closed");
        answer.extend(part);
    }
    String::from_utf8(answer).expect("text")
}

#[test]
fn examples_of_facts_log_what_the_manifest_says() {
    let arguments = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        alone("example-arguments").with(|spec| spec.arguments = arguments)
    };
    let log = log_of(arguments(&["one", "two"]), "status 0");
    assert!(log.contains("the first is one, then come 1"), "{log}");
    assert!(log_of(arguments(&[]), "status 2").contains("give at least one"));

    let image = alone("example-configuration")
        .config("limit", "many")
        .config("a", "b");
    let log = log_of(image, "status 0");
    assert!(
        log.contains("a = b") && log.contains("the limit is 10"),
        "{log}"
    );
    assert!(log.contains("limit = \"many\" cannot be read"), "{log}");

    assert!(log_of(alone("example-identity"), "status 0").contains("it on node1"));
    let log = log_of(alone("example-random"), "status 0");
    assert!(
        log.contains("a key of 16 bytes") && log.contains("dice: ["),
        "{log}"
    );
    let log = log_of(alone("example-log-levels"), "status 0");
    for level in ["error", "warn", "info", "debug"] {
        assert!(log.contains(&format!(" {level} ")), "{level}: {log}");
    }
    assert!(log_of(alone("example-dns"), "status 0").contains("no name server is known"));
}

#[test]
fn the_example_of_timers_ticks_and_gives_up() {
    let log = log_of(alone("example-timers"), "status 0");
    let order = ["tick 1", "tick 2", "given up: the time is over", "tick 3"];
    let places = order.map(|text| log.find(text).unwrap_or_else(|| panic!("{text}: {log}")));
    assert!(places.is_sorted(), "{log}");
}

#[test]
fn the_example_of_http_answers() {
    let (mut cluster, client) = boot(alone("example-http"));
    let socket = cluster.connect(client, "10.0.0.1:80").unwrap();
    let request =
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde";
    cluster.write_all(socket, request).unwrap();
    let answer = String::from_utf8(cluster.read_to_end(socket).unwrap()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nabcde"),
        "{answer}"
    );
}

#[test]
fn the_example_of_udp_sends_back() {
    let (mut cluster, client) = boot(alone("example-udp"));
    let socket = cluster.udp_bind(client).unwrap();
    cluster.send_to(socket, b"ping", "10.0.0.1:9").unwrap();
    assert_eq!(cluster.receive_from(socket).unwrap().0, b"ping");
}

#[test]
fn the_example_of_the_console_asks_and_greets() {
    let (mut cluster, _) = boot(alone("example-console"));
    assert!(cluster.shell(0, "console it").contains("name? "));
    cluster.shell(0, "Ada");
    cluster.run_for(Duration::from_secs(1));
    let text = cluster.nodes[0].console();
    assert!(text.contains("hello Ada\r\nname? "), "{text:?}");
    cluster.shell(0, "bye\r\x1d");
    assert_eq!(cluster.state(0, "it"), ("exited".into(), "status 0".into()));
}

#[test]
fn examples_of_many_connections_and_of_a_client_meet() {
    let image = alone("example-many-connections")
        .instance("talker", module("example-tcp-client"))
        .port("eth0", switch("lan"), "10.0.0.2/24")
        .config("peer", "10.0.0.1:7");
    let (mut cluster, client) = boot(image);
    cluster.run_until(Duration::from_secs(5), |cluster| {
        cluster.state(0, "talker").0 == "exited"
    });
    let log = cluster.shell(0, "logs talker");
    assert!(log.contains("10.0.0.1:7 answers hello"), "{log}");
    // Its connection ended in good order though it ended itself at once.
    let log = cluster.shell(0, "logs it");
    assert!(log.contains("has left: Ok(())"), "{log}");
    let sockets: Vec<PeerSocket> = (0..20)
        .map(|_| cluster.connect(client, "10.0.0.1:7").unwrap())
        .collect();
    cluster.run_for(Duration::from_millis(50));
    for (number, &socket) in sockets.iter().enumerate() {
        let text = format!("{number:02}");
        assert_eq!(exchange(&mut cluster, socket, text.as_bytes(), 2), text);
        for (other, &socket) in sockets.iter().enumerate() {
            if other != number {
                assert_eq!(exchange(&mut cluster, socket, b"", 2), text);
            }
        }
    }
}

#[test]
fn one_proxy_holds_many_connections_under_the_kernel() {
    const CLIENTS: u8 = 60;
    let image = alone("proxy")
        .config("to", "10.0.0.2:9003")
        .instance("echo", module("bench"))
        .port("eth0", switch("lan"), "10.0.0.2/24");
    let (mut cluster, client) = boot(image);
    let sockets: Vec<PeerSocket> = (0..CLIENTS)
        .map(|_| cluster.connect(client, "10.0.0.1:7000").unwrap())
        .collect();
    for round in 0..3 {
        for (&socket, number) in sockets.iter().zip(0..) {
            cluster.write_all(socket, &[round, number]).unwrap();
        }
        for (&socket, number) in sockets.iter().zip(0..) {
            let answer = exchange(&mut cluster, socket, b"", 2);
            assert_eq!(answer.as_bytes(), [round, number]);
        }
    }
    // A connection's end passes too, and the others stay.
    cluster.finish_writing(sockets[0]).unwrap();
    assert_eq!(cluster.read_to_end(sockets[0]).unwrap(), b"");
    assert_eq!(exchange(&mut cluster, sockets[1], b"on", 2), "on");
}

#[test]
fn a_program_of_the_standard_library_for_wasi_fetches_by_native_calls() {
    let image = alone("example-http")
        .instance("fetch", module("fetch"))
        .with(|spec| spec.arguments = vec!["10.0.0.1:80".into(), "/".into()])
        .port("eth0", switch("lan"), "10.0.0.2/24");
    let (mut cluster, _) = boot(image);
    cluster.run_until(Duration::from_secs(10), |cluster| {
        cluster.state(0, "fetch").0 == "exited"
    });
    let console = cluster.shell(0, "console fetch");
    assert!(console.contains("hello\n"), "{console}");
    assert_eq!(
        cluster.state(0, "fetch"),
        ("exited".into(), "status 0".into())
    );
}
