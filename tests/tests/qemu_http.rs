//! The demo's HTTP service from outside a real node: every answer it has, keep-alive, pipelining,
//! large values, a store that goes and comes back, and a neighbour that takes all of the CPU.

use sos_tests::qemu::http::{self, Connection};
use sos_tests::qemu::{Boot, TestNode, eventually};

fn open(node: &TestNode) -> Connection {
    Connection::open(node.port()).expect("a connection")
}

#[test]
fn web_and_store_answer_on_one_connection_after_another() {
    let node = Boot::demo().start();
    node.web_serves();
    keys_are_put_read_and_deleted(&node);
    large_values_come_back_whole(&node);
    requests_may_be_pipelined(&node);
    what_is_refused_says_why(&node);
    many_connections_are_served_at_once(&node);
    node.web_serves();
    node.power_off();
}

fn keys_are_put_read_and_deleted(node: &TestNode) {
    let mut connection = open(node);
    let mut ask = |method, target: &str, body: &[u8]| {
        let response = connection.ask(method, target, body).expect(target);
        (response.status, response.text())
    };
    assert_eq!(ask("GET", "/kv/a%20b", b"").0, 404);
    assert_eq!(ask("PUT", "/kv/a%20b", b"one"), (200, "stored\n".into()));
    assert_eq!(ask("GET", "/kv/a%20b", b""), (200, "one".into()));
    assert_eq!(ask("PUT", "/kv/a%20b", b"two"), (200, "stored\n".into()));
    assert_eq!(ask("GET", "/kv/a%20b?x=1", b""), (200, "two".into()));
    assert_eq!(ask("GET", "/", b""), (200, "hello from SOS\n".into()));
    assert_eq!(ask("DELETE", "/kv/a%20b", b""), (200, "deleted\n".into()));
    assert_eq!(ask("DELETE", "/kv/a%20b", b"").0, 404);
    assert_eq!(ask("GET", "/kv/a%20b", b"").0, 404);
}

fn large_values_come_back_whole(node: &TestNode) {
    let mut connection = open(node);
    for length in [0, 1, 1460, 16 * 1024 + 1, 65_000] {
        let value: Vec<u8> = (0..length)
            .map(|index| (index * 31 + index / 256) as u8)
            .collect();
        let stored = connection.ask("PUT", "/kv/large", &value).expect("PUT");
        assert_eq!(stored.status, 200, "{length} bytes: {}", stored.text());
        let read = connection.ask("GET", "/kv/large", b"").expect("GET");
        assert_eq!(read.status, 200);
        assert!(read.body == value, "{length} bytes came back changed");
    }
}

fn requests_may_be_pipelined(node: &TestNode) {
    let mut connection = open(node);
    let mut requests = Vec::new();
    for number in 0..20 {
        let target = format!("/kv/p{number}");
        requests.extend(http::request(
            "PUT",
            &target,
            format!("v{number}").as_bytes(),
        ));
        requests.extend(http::request("GET", "/", b""));
        requests.extend(http::request("GET", &target, b""));
    }
    connection.send(&requests).expect("60 requests");
    for number in 0..20 {
        assert_eq!(connection.read().expect("PUT").text(), "stored\n");
        assert_eq!(connection.read().expect("/").text(), "hello from SOS\n");
        assert_eq!(connection.read().expect("GET").text(), format!("v{number}"));
    }
}

fn what_is_refused_says_why(node: &TestNode) {
    let long = "x".repeat(4000);
    let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: sos\r\n{fields}\r\n");
    let cases = [
        (400, "\0\u{1}\u{2} nonsense\r\n\r\n".to_string()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_string()),
        (400, head("GET /", "Content-Length: many\r\n")),
        (400, head("GET /kv/%zz", "")),
        (400, head("GET /kv/", "")),
        (400, head(&format!("GET /kv/{}", "k".repeat(251)), "")),
        (404, head("GET /nowhere", "")),
        (405, head("POST /", "Content-Length: 0\r\n")),
        (405, head("POST /kv/a", "Content-Length: 0\r\n")),
        (411, head("PUT /kv/a", "Transfer-Encoding: chunked\r\n")),
        (413, head("PUT /kv/a", "Content-Length: 70000\r\n")),
        (
            413,
            head("PUT /kv/a", "Content-Length: 99999999999999999999\r\n"),
        ),
        (414, head(&format!("GET /{long}"), "")),
        (
            431,
            head("GET /", &format!("A: {long}\r\nB: {long}\r\nC: {long}\r\n")),
        ),
        (431, head("GET /", &"N: v\r\n".repeat(100))),
        (505, "GET / HTTP/3.0\r\nHost: sos\r\n\r\n".to_string()),
    ];
    for (status, request) in cases {
        let mut connection = open(node);
        connection.send(request.as_bytes()).expect("send");
        let response = connection.read();
        let shown: String = request.chars().take(60).collect();
        let response = response.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
        assert_eq!(response.status, status, "{shown:?}: {}", response.text());
        assert!(!response.body.is_empty(), "{shown:?}: no reason is given");
        if status == 405 {
            let allowed = response.field("allow").unwrap_or_default();
            assert!(allowed.starts_with("GET"), "{allowed}");
        }
    }
}

fn many_connections_are_served_at_once(node: &TestNode) {
    let mut connections: Vec<Connection> = (0..64).map(|_| open(node)).collect();
    for connection in &mut connections {
        connection
            .send(&http::request("GET", "/", b""))
            .expect("send");
    }
    for connection in &mut connections {
        assert_eq!(connection.read().expect("an answer").status, 200);
    }
    // Half of a request, and then nothing: nobody else waits for it.
    let mut idle = open(node);
    idle.send(b"GET / HT").expect("send");
    assert_eq!(http::ask(node.port(), "GET", "/", b"").unwrap().status, 200);
    // A client that ends its side is still answered, then let go.
    let mut last = open(node);
    last.send(b"GET / HTTP/1.1\r\nHost: sos\r\nConnection: close\r\n\r\n")
        .expect("send");
    last.finish().expect("end of requests");
    assert_eq!(last.read().expect("an answer").status, 200);
    assert!(last.is_closed(), "the connection stays open after `close`");
}

#[test]
fn a_store_that_is_away_gives_503_and_recovers() {
    let node = Boot::demo().start();
    node.web_serves();
    let put = |key: &str| node.ask_until("PUT", &format!("/kv/{key}"), b"value", 200);
    put("a");
    // Stopped: the connection is closed and none is accepted.
    node.quietly("stop store");
    node.until_state("store", "stopped");
    node.ask_until("GET", "/kv/a", b"", 503);
    node.web_serves();
    node.quietly("start store");
    node.ask_until("GET", "/kv/a", b"", 404);
    put("b");
    // Killed: nobody says goodbye.
    node.quietly("kill store");
    node.ask_until("GET", "/kv/b", b"", 503);
    node.quietly("start store");
    put("c");
    // The link cut, as if by its cable: what was stored is there when it is mended.
    node.quietly("link down backend");
    node.ask_until("GET", "/kv/c", b"", 503);
    node.quietly("link up backend");
    let found = node.ask_until("GET", "/kv/c", b"", 200);
    assert_eq!(found.text(), "value");
    // Paused: it is silent, but alive.
    node.quietly("pause store");
    node.ask_until("GET", "/kv/c", b"", 503);
    node.quietly("resume store");
    node.ask_until("GET", "/kv/c", b"", 200);
    node.power_off();
}

#[test]
fn web_keeps_answering_while_spinner_takes_the_cpu() {
    let node = Boot::demo().start();
    node.web_serves();
    let busy = || {
        let detail = node.json("info spinner");
        detail["cpu_nanos"].as_u64().expect("CPU time")
    };
    let before = busy();
    let mut connection = open(&node);
    for _ in 0..200 {
        let response = connection.ask("GET", "/", b"").expect("an answer");
        assert_eq!(response.status, 200);
    }
    eventually("spinner gets on", || match busy() {
        now if now > before => Ok(()),
        now => Err(format!("{now} ns of CPU")),
    });
    assert_eq!(node.state("spinner").0, "running");
    node.power_off();
}
