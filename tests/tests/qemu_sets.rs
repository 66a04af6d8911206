//! Module sets and health checks on a real node.

use sos_tests::qemu::{Boot, Manifest, eventually};

/// The example set with the library by hand, a service whose health is checked, and one that nobody can
/// reach: it computes and never listens.
const SETS: &str = r#"
    name = "sets"
    [switch.lan]
    uplink = "nic0"

    [instance.sums]
    module = "sums"
    libraries = { crc32 = "./crc32.wat" }
    args = ["123456789"]

    [instance.web]
    module = "web"
    port.eth0 = { switch = "lan", address = "dhcp" }
    [instance.web.health]
    http = "/"
    port = 80
    interval = "200ms"
    timeout = "10s"
    grace = "200ms"

    [instance.deaf]
    module = "spinner"
    restart = "on-failure"
    [instance.deaf.health]
    tcp = true
    port = 80
    interval = "100ms"
    failures = 2
    grace = "0ms"

    [[forward]]
    host = 1
    to = "web:80"
"#;

#[test]
fn a_set_runs_and_health_is_checked() {
    let library = include_str!("../../guests/sums/crc32/crc32.wat");
    let image = Manifest::new(SETS).file("crc32.wat", library).build();
    let node = Boot::image(&image).start();
    assert_eq!(node.until_state("sums", "exited"), "status 0");
    let log = node.log("sums");
    assert!(
        log.iter().any(|line| line == "cbf43926 123456789"),
        "{log:?}"
    );
    eventually("web is healthy", || {
        let health = node.json("info web")["health"].clone();
        match health.as_str() {
            Some("healthy") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    eventually("deaf is restarted", || {
        let detail = node.json("info deaf");
        match detail["restarts"].as_u64() {
            Some(1..) => Ok(()),
            _ => Err(detail.to_string()),
        }
    });
    let last_end = node.json("info deaf")["last_end"].clone();
    assert_eq!(last_end, "unhealthy: nothing listens on port 80");
    node.web_serves();
    assert_eq!(node.json("info web")["restarts"], 0);
    node.power_off();
}
