//! Health checks on a simulated node: what is noticed, what is forgiven, and what ends an instance.

use sos_core::image::{HealthCheck, HealthSpec, RestartPolicy};
use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

/// An HTTP service on port 8080 that does `act` between request and answer. `$count` counts requests from 1,
/// and the answer's place in memory is `$answer`: 100 is 200 OK, 200 is 500.
fn service(act: &str) -> String {
    format!(
        r#"(module
        (import "sos" "tcp_listen" (func $listen (param i32 i32) (result i32)))
        (import "sos" "tcp_accept" (func $accept (param i32 i32 i32) (result i32)))
        (import "sos" "tcp_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "sos" "tcp_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "sos" "close" (func $close (param i32) (result i32)))
        (import "sos" "sleep" (func $sleep (param i64) (result i32)))
        (memory (export "memory") 1)
        (global $count (mut i32) (i32.const 0)) (global $answer (mut i32) (i32.const 100))
        (data (i32.const 16) "\04\00\90\1f")
        (data (i32.const 100) "HTTP/1.1 200 OK\0d\0aContent-Length: 0\0d\0a\0d\0a")
        (data (i32.const 200) "HTTP/1.1 500 No\0d\0aContent-Length: 0\0d\0a\0d\0a")
        (func (export "_start") (local $listener i32) (local $peer i32)
            (local.set $listener (call $listen (i32.const 16) (i32.const 8)))
            (loop $serve
                (local.set $peer (call $accept (local.get $listener) (i32.const 0) (i32.const 0)))
                (global.set $count (i32.add (global.get $count) (i32.const 1)))
                (drop (call $read (local.get $peer) (i32.const 1024) (i32.const 4096) (i32.const 0)))
                {act}
                (drop (call $write (local.get $peer) (global.get $answer) (i32.const 38) (i32.const 0)))
                (drop (call $close (local.get $peer)))
                (br $serve))))"#
    )
}

/// `then` when the count of requests lies between these.
fn between(first: u32, last: u32, then: &str) -> String {
    format!(
        "(if (i32.and (i32.ge_u (global.get $count) (i32.const {first}))
                      (i32.le_u (global.get $count) (i32.const {last}))) (then {then}))"
    )
}

const HANGS: &str = "(loop $hang (br $hang))";
const ANSWERS_500: &str = "(global.set $answer (i32.const 200))";

fn http() -> HealthSpec {
    HealthSpec {
        check: HealthCheck::Http {
            port: 8080,
            path: "/health".into(),
        },
        interval_ms: 1000,
        timeout_ms: 200,
        failures: 3,
        grace_ms: 500,
    }
}

/// A node with one instance `web`, restarted on failure.
fn boot(module: impl AsRef<[u8]>, health: HealthSpec) -> Cluster {
    let image = ImageBuilder::new("health")
        .instance("web", module)
        .with(|spec| {
            spec.restart = RestartPolicy::OnFailure;
            spec.health = Some(health);
        });
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster
}

fn info(cluster: &mut Cluster) -> serde_json::Value {
    cluster.json(0, "info web --json")
}

fn events(cluster: &mut Cluster, kind: &str) -> Vec<String> {
    let text = cluster.shell(0, "events");
    let lines = text.lines().filter(|line| line.contains(kind));
    lines.map(str::to_string).collect()
}

#[test]
fn a_healthy_service_stays_and_says_so() {
    let mut cluster = boot(service(""), http());
    cluster.run_for(Duration::from_millis(100));
    assert_eq!(info(&mut cluster)["health"], "starting", "in its grace");
    cluster.run_for(Duration::from_secs(20));
    let detail = info(&mut cluster);
    assert_eq!(detail["health"], "healthy");
    assert_eq!(detail["restarts"], 0);
    assert_eq!(
        detail["sent_frames"], 0,
        "what the node asks is not traffic"
    );
    assert!(cluster.shell(0, "ls").contains("healthy"));
    let text = cluster.shell(0, "info web");
    assert!(
        text.contains("http on 8080 /health every 1000 ms"),
        "{text}"
    );
}

#[test]
fn a_service_that_hangs_is_ended_and_started_again() {
    let mut cluster = boot(service(&between(4, 4, HANGS)), http());
    cluster.run_for(Duration::from_secs(9));
    let detail = info(&mut cluster);
    assert_eq!(detail["restarts"], 1, "{detail}");
    assert_eq!(detail["last_end"], "unhealthy: no answer within 200 ms");
    let failed = events(&mut cluster, "check-failed");
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].contains("1 of 3: no answer within 200 ms"));
    assert_eq!(events(&mut cluster, "unhealthy").len(), 1);
    assert_eq!(events(&mut cluster, "restart-scheduled").len(), 1);
    // It has not hung again: that takes four more requests.
    assert_eq!(detail["health"], "healthy");
}

#[test]
fn a_service_that_hangs_in_a_call_is_noticed_as_well() {
    let waits = between(2, 2, "(drop (call $sleep (i64.const 1000000000000)))");
    let mut cluster = boot(service(&waits), http());
    cluster.run_for(Duration::from_secs(8));
    assert_eq!(info(&mut cluster)["restarts"], 1);
}

#[test]
fn a_slow_service_stays_while_it_answers_in_time() {
    let slow = "(drop (call $sleep (i64.const 150000000)))";
    let mut cluster = boot(service(slow), http());
    cluster.run_for(Duration::from_secs(20));
    let detail = info(&mut cluster);
    assert_eq!(detail["health"], "healthy");
    assert_eq!(detail["restarts"], 0);
    let too_slow = "(drop (call $sleep (i64.const 250000000)))";
    let mut cluster = boot(service(too_slow), http());
    cluster.run_for(Duration::from_secs(6));
    assert_eq!(info(&mut cluster)["restarts"], 1);
}

#[test]
fn an_error_status_counts_as_a_failure() {
    let mut cluster = boot(service(ANSWERS_500), http());
    cluster.run_for(Duration::from_millis(2800));
    assert_eq!(
        info(&mut cluster)["last_end"],
        "unhealthy: the answer has status 500",
        "after the third try"
    );
}

#[test]
fn recovery_resets_the_count() {
    // Two failures, one success, two failures, and so on: never three in a row.
    let act = "(global.set $answer (select (i32.const 100) (i32.const 200)
        (i32.eqz (i32.rem_u (global.get $count) (i32.const 3)))))";
    let mut cluster = boot(service(act), http());
    cluster.run_for(Duration::from_secs(20));
    let detail = info(&mut cluster);
    assert_eq!(detail["restarts"], 0, "{detail}");
    let recovered = events(&mut cluster, "recovered");
    assert!(recovered.len() >= 5, "{recovered:?}");
    assert!(recovered[0].contains("after 2 failures"));
}

#[test]
fn a_tcp_check_wants_the_program_to_accept() {
    let tcp = || HealthSpec {
        check: HealthCheck::Tcp { port: 8080 },
        ..http()
    };
    // The program takes the connection, and what it does with it is its own affair.
    let mut cluster = boot(service(""), tcp());
    cluster.run_for(Duration::from_secs(10));
    assert_eq!(info(&mut cluster)["health"], "healthy");
    // Its stack would still shake hands while the program hangs.
    let mut cluster = boot(service(&between(3, 3, HANGS)), tcp());
    cluster.run_for(Duration::from_secs(9));
    assert_eq!(info(&mut cluster)["restarts"], 1);
    let nobody = "(module (memory (export \"memory\") 1) (func (export \"_start\") (loop br 0)))";
    let mut cluster = boot(nobody, tcp());
    cluster.run_for(Duration::from_millis(2700));
    let expected = "unhealthy: nothing listens on port 8080";
    assert_eq!(info(&mut cluster)["last_end"], expected);
}

#[test]
fn a_service_that_listens_at_one_address_is_reached_there() {
    let module = service("").replace(
        "\\04\\00\\90\\1f",
        "\\04\\00\\90\\1f\\00\\00\\00\\00\\0a\\00\\00\\01",
    );
    let image = ImageBuilder::new("health")
        .switch("lan", None)
        .instance("web", module)
        .with(|spec| spec.health = Some(http()))
        .port("eth0", switch("lan"), "10.0.0.1/24");
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(info(&mut cluster)["health"], "healthy");
    let net = cluster.shell(0, "net web");
    assert!(
        !net.contains("probe"),
        "the node's interface is not the guest's: {net}"
    );
}

#[test]
fn time_in_a_pause_does_not_count() {
    let mut cluster = boot(service(""), http());
    cluster.run_for(Duration::from_secs(3));
    cluster.shell(0, "pause web");
    cluster.run_for(Duration::from_secs(30));
    cluster.shell(0, "resume web");
    cluster.run_for(Duration::from_secs(3));
    let detail = info(&mut cluster);
    assert_eq!(detail["health"], "healthy");
    assert!(events(&mut cluster, "check-failed").is_empty());
}

#[test]
fn an_instance_that_is_never_restarted_stays_unhealthy() {
    let image = ImageBuilder::new("health")
        .instance("web", service(&between(1, 9, HANGS)))
        .with(|spec| spec.health = Some(http()));
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_secs(5));
    let (state, detail) = cluster.state(0, "web");
    assert_eq!(
        (&*state, &*detail),
        ("unhealthy", "no answer within 200 ms")
    );
    let mut cluster = boot(service(&between(1, 9, HANGS)), http());
    cluster.run_for(Duration::from_millis(3300));
    let text = cluster.shell(0, "info web");
    assert!(text.contains("the next in"), "{text}");
}
