//! A manifest file is understood or refused in one line that names its place.

use std::path::Path;

use sos_core::image::{AddressSpec, Attachment, Autostart, RestartPolicy};

use super::*;

const DEMO: &str = r#"
name = "demo"
[switch.lan]
uplink = "nic0"
[link.backend]
[instance.web]
module = "web"
restart = "on-failure"
args = ["-v"]
[instance.web.limits]
memory = "16MiB"
log = 4096
[instance.web.port.eth0]
switch = "lan"
address = ["dhcp", "fd00::2/64"]
[instance.web.port.eth1]
link = "backend"
address = "10.1.0.1/24"
gateway = "10.1.0.2"
mac = "02:00:00:00:00:01"
[instance.web.config]
store = "10.1.0.2:7000"
threads = 4
[instance.store]
module = "./store.wasm"
autostart = false
port.eth0 = { link = "backend", address = "10.1.0.2/24" }
[[forward]]
host = 8080
to = "web:80"
"#;

fn draft(text: &str) -> Result<Draft> {
    parse(text, "demo.toml", Path::new("."))
}

/// What is said of the demo in which `from` was replaced by `to`.
fn refusal(from: &str, to: &str) -> String {
    assert!(DEMO.contains(from), "{from}");
    draft(&DEMO.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn every_key_reaches_its_place() {
    let manifest = draft(DEMO).unwrap().manifest;
    assert_eq!(
        (manifest.name.as_str(), manifest.switches.len()),
        ("demo", 1)
    );
    let web = manifest.instance("web").unwrap();
    assert_eq!(web.restart, RestartPolicy::OnFailure);
    assert_eq!(web.arguments, ["-v"]);
    assert_eq!(
        (web.limits.memory_bytes, web.limits.log_bytes),
        (16 << 20, 4096)
    );
    assert_eq!(web.ports[0].attach, Attachment::Switch("lan".into()));
    assert_eq!(web.ports[0].addresses[0], AddressSpec::Dhcp);
    assert_eq!(web.ports[0].addresses.len(), 2);
    assert_eq!(web.ports[1].mac, Some([2, 0, 0, 0, 0, 1]));
    assert_eq!(
        web.ports[1].gateways,
        ["10.1.0.2".parse::<std::net::IpAddr>().unwrap()]
    );
    let config = [("store", "10.1.0.2:7000"), ("threads", "4")];
    assert_eq!(
        web.config,
        config.map(|(key, value)| (key.to_string(), value.to_string()))
    );
    let store = manifest.instance("store").unwrap();
    assert_eq!(store.autostart, Autostart::Manual);
    assert_eq!(
        (
            manifest.forwards[0].host_port,
            manifest.forwards[0].instance_port
        ),
        (8080, 80)
    );
}

#[test]
fn instances_keep_the_order_of_the_file() {
    let names: Vec<_> = draft(DEMO).unwrap().manifest.instances;
    assert_eq!(
        names.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(),
        ["web", "store"]
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    let error = refusal("uplink =", "uplnik =");
    assert!(error.starts_with("demo.toml:4: "), "{error}");
    assert!(
        error.contains("`uplnik`") && error.contains("`uplink`"),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn unreadable_values_are_named_with_their_line() {
    for (from, to, line, words) in [
        ("\"16MiB\"", "\"16 apples\"", 11, "16 apples"),
        ("\"on-failure\"", "\"sometimes\"", 8, "sometimes"),
        ("10.1.0.1/24", "10.1.0.1", 18, "with its prefix"),
        ("02:00:00:00:00:01", "02:00", 20, "no MAC address"),
        ("web:80", "web", 30, "leads nowhere"),
        ("host = 8080", "host = 80800", 29, "80800"),
        ("log = 4096", "log = -1", 12, "negative"),
    ] {
        let error = refusal(from, to);
        assert!(error.starts_with(&format!("demo.toml:{line}: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn unsound_wiring_is_named_with_its_line() {
    for (from, to, line, words) in [
        (
            "switch = \"lan\"",
            "switch = \"wan\"",
            13,
            "`wan`, which does not exist",
        ),
        (
            "link = \"backend\", ",
            "switch = \"lan\", ",
            5,
            "1 of 2 ends",
        ),
        ("to = \"web:80\"", "to = \"shop:80\"", 28, "instance `shop`"),
        ("uplink = \"nic0\"", "uplink = \"eth0\"", 4, "`nic0`"),
        (
            "switch = \"lan\"\n",
            "switch = \"lan\"\nlink = \"backend\"\n",
            13,
            "both",
        ),
        ("switch = \"lan\"\n", "", 13, "neither"),
        (
            "memory = \"16MiB\"",
            "memory = \"16GiB\"",
            11,
            "out of range",
        ),
    ] {
        let error = refusal(from, to);
        assert!(error.starts_with(&format!("demo.toml:{line}: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_link_from_an_instance_to_itself_is_refused() {
    let error = refusal(
        "port.eth0 = { link = \"backend\", address = \"10.1.0.2/24\" }",
        "[instance.web.port.eth2]\nlink = \"backend\"",
    );
    assert!(
        error.starts_with("demo.toml:5: ") && error.contains("to itself"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = format!(
        "{:#}",
        read(Path::new("no-such-manifest.toml")).unwrap_err()
    );
    assert!(error.contains("no-such-manifest.toml"), "{error}");
}
