//! One script of host calls runs under the kernel and on the SDK's simulated node, and sees the same.

use sos_core::machine::Duration;
use sos_sdk::testing::Node;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use std::net::IpAddr;

/// The instances, each with its address; that of the first is also fd00::2.
const ROLES: [(&str, &str); 3] = [
    ("server", "10.0.0.2"),
    ("echo", "10.0.0.3"),
    ("client", "10.0.0.4"),
];
const CLIENT_SOCKETS: u32 = 8;

/// The transcripts under the kernel, in the order of the roles.
fn under_the_kernel() -> [String; 3] {
    let [module] = sos_tests::guests(["conformance"]);
    let mut image = ImageBuilder::new("node1").switch("lan", Some("nic0"));
    for (role, address) in ROLES {
        image = image
            .instance(role, &module)
            .port("eth0", switch("lan"), &format!("{address}/24"))
            .config("key", "value")
            .with(|spec| {
                let last = address.rsplit('.').next().expect("a number");
                let v6: IpAddr = format!("fd00::{last}").parse().expect("an address");
                spec.ports[0].addresses.push(static_v6(v6));
                spec.arguments = vec![role.into(), "second".into()];
                if role == "client" {
                    spec.limits.sockets = CLIENT_SOCKETS;
                }
            });
    }
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    let is_over = cluster.run_until(Duration::from_secs(300), |cluster| {
        cluster.state(0, "client").0 == "exited"
    });
    assert!(is_over, "{}", cluster.shell(0, "logs client"));
    ROLES.map(|(role, _)| transcript(&cluster.shell(0, &format!("logs {role}"))))
}

fn static_v6(address: IpAddr) -> sos_core::image::AddressSpec {
    sos_core::image::AddressSpec::Static {
        address,
        prefix_length: 64,
    }
}

/// The same on the simulated node.
fn on_the_simulated_node() -> [String; 3] {
    let node = Node::new();
    let instances = ROLES.map(|(role, address)| {
        let instance = node
            .instance(role)
            .config("key", "value")
            .argument(role)
            .argument("second");
        let instance = match role {
            "client" => instance.sockets(CLIENT_SOCKETS as usize),
            _ => instance,
        };
        let instance = instance.spawn(conformance::run);
        assert_eq!(instance.address().to_string(), address);
        instance
    });
    instances[2].join();
    instances.map(|instance| {
        let lines: Vec<String> = instance.log().iter().map(ToString::to_string).collect();
        transcript(&lines.join("\n"))
    })
}

/// The marked parts of a log's lines.
fn transcript(log: &str) -> String {
    let lines = log
        .lines()
        .filter_map(|line| Some(line.split_once(conformance::MARK)?.1));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_simulated_node_answers_as_the_kernel_does() {
    let expected = under_the_kernel();
    let seen = on_the_simulated_node();
    assert!(
        expected[2].ends_with("the script: \"is over\""),
        "{}",
        expected[2]
    );
    for (expected, seen) in expected.iter().zip(&seen) {
        let pairs = expected.lines().zip(seen.lines());
        let differences: Vec<_> = { pairs }
            .filter(|(expected, seen)| expected != seen)
            .collect();
        assert!(
            differences.is_empty(),
            "kernel, simulated node: {differences:#?}"
        );
        assert_eq!(seen.lines().count(), expected.lines().count());
    }
}
