//! The SDK's examples in C, on a simulated node: one without a C library, one with WASI's and the
//! native calls beside it.

use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

/// The module of `sdk/c/examples/NAME`.
fn module(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/c/examples");
    let copies = tempfile::tempdir().expect("a folder");
    let source = copies.path().join(name);
    std::fs::copy(format!("{folder}/{name}"), &source).expect("the example");
    let file = sos::build::c_service(&source).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    std::fs::read(file).expect("the module")
}

#[test]
fn a_service_and_a_program_in_c_talk_to_each_other() {
    let image = ImageBuilder::new("node1")
        .switch("lan", Some("nic0"))
        .instance("echo", module("echo.c"))
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .instance("client", module("client.c"))
        .with(|spec| spec.arguments = vec!["10.0.0.1".into(), "7".into()])
        .port("eth0", switch("lan"), "10.0.0.2/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_until(Duration::from_secs(10), |cluster| {
        cluster.state(0, "client").0 == "exited"
    });
    let console = cluster.shell(0, "console client");
    assert!(console.contains("answer: hello from C\n"), "{console}");
    assert_eq!(
        cluster.state(0, "client"),
        ("exited".into(), "status 0".into())
    );
    let log = cluster.shell(0, "logs echo");
    assert!(log.contains("echoing on port 7"), "{log}");
    let client = cluster.add_peer("10.0.0.100/24");
    let socket = cluster.connect(client, "10.0.0.1:7").expect("it listens");
    cluster.write_all(socket, b"again").unwrap();
    assert_eq!(cluster.read(socket).unwrap(), b"again");
}
