//! The web service as its clients see it, on a simulated node, with the store and without.

use sos_sdk::net::TcpStream;
use sos_sdk::testing::{Instance, Node};
use sos_sdk::time::{Duration, Instant};

/// A web and its store.
fn start(node: &Node) -> (Instance, Instance) {
    let store = node.spawn("store", store::serve);
    // The web does not try its store again before it is asked for something.
    node.settle();
    let web = node
        .instance("web")
        .config("store", "store:7000")
        .spawn(web::serve);
    (web, store)
}

/// Sends a request and gives status and body of the response.
fn ask(stream: &TcpStream, method: &str, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: web\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (
        head[9..12].parse().unwrap(),
        String::from_utf8(body).unwrap(),
    )
}

#[test]
fn a_value_goes_to_the_store_and_comes_back() {
    let node = Node::new();
    let (web, _store) = start(&node);
    let client = node.connect("web:80").unwrap();
    assert_eq!(
        ask(&client, "GET", "/", ""),
        (200, "hello from SOS\n".into())
    );
    assert_eq!(
        ask(&client, "PUT", "/kv/a", "one"),
        (200, "stored\n".into())
    );
    assert_eq!(ask(&client, "GET", "/kv/a", ""), (200, "one".into()));
    assert_eq!(
        ask(&client, "DELETE", "/kv/a", ""),
        (200, "deleted\n".into())
    );
    assert_eq!(ask(&client, "GET", "/kv/a", "").0, 404);
    assert!(web.has_logged("connected to the store"));
}

#[test]
fn without_a_store_keys_are_unavailable() {
    let node = Node::new();
    let web = node.instance("web").config("port", 8080).spawn(web::serve);
    let client = node.connect("web:8080").unwrap();
    assert_eq!(ask(&client, "GET", "/kv/a", "").0, 503);
    assert!(web.has_logged("no store is configured"));
}

#[test]
fn a_store_that_vanishes_is_given_up_after_its_time() {
    let node = Node::new();
    let (web, store) = start(&node);
    let client = node.connect("web:80").unwrap();
    assert_eq!(ask(&client, "PUT", "/kv/a", "one").0, 200);
    store.kill();
    assert_eq!(ask(&client, "GET", "/kv/a", "").0, 503);
    // Nobody answers any more where the store was: the web waits as long as it says, in no time.
    let began = Instant::now();
    assert_eq!(ask(&client, "GET", "/kv/a", "").0, 503);
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(web.has_logged("it says nothing"));
    assert_eq!(ask(&client, "GET", "/", "").0, 200);
}
