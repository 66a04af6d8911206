//! The guests, from outside: what their clients and their operator see on a simulated node.

use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, link, switch};
use sos_tests::sim::peer::PeerSocket;
use std::sync::LazyLock;
use store::{Answer, Frame, Operation, Request, Status};

/// The modules, built once.
static GUESTS: LazyLock<[Vec<u8>; 5]> =
    LazyLock::new(|| sos_tests::guests(["web", "store", "hello", "spinner", "hostile"]));

fn guest(name: &str) -> &'static [u8] {
    let names = ["web", "store", "hello", "spinner", "hostile"];
    let index = names.iter().position(|other| *other == name);
    &GUESTS[index.expect("a guest of this file")]
}

const WEB: &str = "10.0.0.1:80";
const STORE: &str = "10.0.0.2:7000";

/// A web and its store, both also on the wire.
fn services(name: &str) -> ImageBuilder {
    ImageBuilder::new(name)
        .switch("lan", Some("nic0"))
        .link("backend")
        .instance("store", guest("store"))
        .port("eth0", link("backend"), "10.1.0.2/24")
        .port("eth1", switch("lan"), "10.0.0.2/24")
        .instance("web", guest("web"))
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .port("eth1", link("backend"), "10.1.0.1/24")
        .config("store", "10.1.0.2:7000")
}

/// Boots an image beside one client.
fn boot(image: ImageBuilder) -> (Cluster, usize) {
    Cluster::beside_client(image.build())
}

/// An HTTP client's connection.
struct Http {
    socket: PeerSocket,
    input: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Http {
    fn connect(cluster: &mut Cluster, client: usize) -> Http {
        let socket = cluster.connect(client, WEB).expect("web listens");
        Http {
            socket,
            input: Vec::new(),
        }
    }

    fn send(&mut self, cluster: &mut Cluster, bytes: &[u8]) {
        cluster.write_all(self.socket, bytes).expect("web reads");
    }

    /// The next response.
    fn receive(&mut self, cluster: &mut Cluster) -> Response {
        loop {
            if let Some(response) = self.take_response() {
                return response;
            }
            let part = cluster.read(self.socket).expect("web answers");
            let so_far = String::from_utf8_lossy(&self.input);
            assert!(!part.is_empty(), "web closed after {so_far:?}");
            self.input.extend_from_slice(&part);
        }
    }

    fn take_response(&mut self) -> Option<Response> {
        let head_bytes = self.input.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(self.input[..head_bytes].to_vec()).expect("text");
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let body_bytes: usize = length.expect("a length").parse().expect("a number");
        let begin = head_bytes + 4;
        let body = self.input.get(begin..begin + body_bytes)?.to_vec();
        self.input.drain(..begin + body_bytes);
        Some(Response {
            status: status.expect("a status"),
            head,
            body,
        })
    }

    /// Whether the stream ends here.
    fn is_at_end(&mut self, cluster: &mut Cluster) -> bool {
        self.input.is_empty() && cluster.read(self.socket) == Ok(Vec::new())
    }

    /// Sends a request and receives its response.
    fn ask(&mut self, cluster: &mut Cluster, method: &str, path: &str, body: &[u8]) -> Response {
        self.send(cluster, &request(method, path, body));
        self.receive(cluster)
    }
}

fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: web\r\n").into_bytes();
    if !body.is_empty() {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}

/// Whether web greets over a new connection.
fn greets(cluster: &mut Cluster, client: usize) -> bool {
    let mut http = Http::connect(cluster, client);
    let response = http.ask(cluster, "GET", "/", b"");
    cluster.close(http.socket);
    (response.status, &response.body[..]) == (200, b"hello from SOS\n")
}

/// Method, path and body of a request; status and body of its response.
type Case<'a> = (&'a str, &'a str, &'a [u8], u16, &'a [u8]);

#[test]
fn web_answers_every_method_with_its_status() {
    let (mut cluster, client) = boot(services("web"));
    let mut http = Http::connect(&mut cluster, client);
    let big = vec![b'y'; 64 * 1024];
    let cases: [Case<'_>; 15] = [
        ("GET", "/", b"", 200, b"hello from SOS\n"),
        ("GET", "/?query", b"", 200, b"hello from SOS\n"),
        ("POST", "/", b"x", 405, b"method not allowed\n"),
        ("GET", "/nothing", b"", 404, b"not found\n"),
        ("GET", "/kv/a", b"", 404, b"not found\n"),
        ("PUT", "/kv/a", b"value", 200, b"stored\n"),
        ("GET", "/kv/a", b"", 200, b"value"),
        ("GET", "/kv/%61?query", b"", 200, b"value"),
        ("PUT", "/kv/big", &big, 200, b"stored\n"),
        ("GET", "/kv/big", b"", 200, &big),
        ("DELETE", "/kv/a", b"", 200, b"deleted\n"),
        ("DELETE", "/kv/a", b"", 404, b"not found\n"),
        ("POST", "/kv/a", b"", 405, b"method not allowed\n"),
        (
            "GET",
            "/kv/",
            b"",
            400,
            b"the key is empty: ask for /kv/KEY\n",
        ),
        (
            "GET",
            "/kv/%6",
            b"",
            400,
            b"the key has a malformed % escape\n",
        ),
    ];
    // One connection carries them all.
    for (method, path, body, status, answer) in cases {
        let response = http.ask(&mut cluster, method, path, body);
        assert_eq!(
            response.status, status,
            "{method} {path}: {}",
            response.head
        );
        assert!(
            response.body == answer,
            "{method} {path}: {}",
            response.head
        );
    }
    let refused = http.ask(&mut cluster, "POST", "/kv/a", b"");
    assert!(
        refused.head.contains("Allow: GET, PUT, DELETE"),
        "{}",
        refused.head
    );
    let long_key = format!("/kv/{}", "k".repeat(251));
    assert_eq!(http.ask(&mut cluster, "GET", &long_key, b"").status, 400);
}

#[test]
fn web_refuses_what_is_no_request_and_closes() {
    let (mut cluster, client) = boot(services("refusals"));
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(3000));
    let long_field = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "a".repeat(9000)
    );
    let cases = [
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (
            "PUT /kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            411,
        ),
        (
            "PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n",
            413,
        ),
        (&long_target, 414),
        (&long_field, 431),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    ];
    for (text, status) in cases {
        let mut http = Http::connect(&mut cluster, client);
        http.send(&mut cluster, text.as_bytes());
        let response = http.receive(&mut cluster);
        let start = &text[..text.len().min(60)];
        assert_eq!(response.status, status, "{start}");
        assert!(
            response.head.contains("Connection: close"),
            "{start}: {}",
            response.head
        );
        assert!(http.is_at_end(&mut cluster), "{start}");
        cluster.close(http.socket);
    }
    assert!(greets(&mut cluster, client));
}

#[test]
fn web_answers_pipelined_requests_in_their_order() {
    let (mut cluster, client) = boot(services("pipeline"));
    let mut http = Http::connect(&mut cluster, client);
    let value = vec![b'v'; 20_000];
    let mut all = request("PUT", "/kv/a", &value);
    // Answers that wait for the store stand between answers that do not.
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/kv/a"),
        ("GET", "/kv/b"),
        ("GET", "/"),
    ] {
        all.extend(request(method, path, b""));
    }
    all.extend_from_slice(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    all.extend(request("GET", "/kv/a", b""));
    http.send(&mut cluster, &all);
    let statuses: Vec<(u16, usize)> = (0..6)
        .map(|_| http.receive(&mut cluster))
        .map(|response| (response.status, response.body.len()))
        .collect();
    assert_eq!(
        statuses,
        [
            (200, 7),
            (200, 15),
            (200, 20_000),
            (404, 10),
            (200, 15),
            (200, 15)
        ]
    );
    // What came after `Connection: close` is not answered.
    assert!(http.is_at_end(&mut cluster));
}

#[test]
fn web_answers_503_while_the_store_is_stopped_and_recovers() {
    let (mut cluster, client) = boot(services("recovery"));
    let mut http = Http::connect(&mut cluster, client);
    assert_eq!(http.ask(&mut cluster, "PUT", "/kv/a", b"1").status, 200);
    cluster.shell(0, "stop store");
    for _ in 0..3 {
        assert_eq!(http.ask(&mut cluster, "GET", "/kv/a", b"").status, 503);
    }
    assert_eq!(http.ask(&mut cluster, "GET", "/", b"").status, 200);
    cluster.shell(0, "start store");
    let recovered = cluster.run_until(Duration::from_secs(10), |cluster| {
        let response = http.ask(cluster, "GET", "/kv/a", b"");
        // The new store is empty.
        response.status == 404
    });
    assert!(recovered);
    assert_eq!(http.ask(&mut cluster, "PUT", "/kv/a", b"2").status, 200);
    assert_eq!(http.ask(&mut cluster, "GET", "/kv/a", b"").body, b"2");
}

/// Sends requests to the store at once and receives as many answers.
fn ask_store(
    cluster: &mut Cluster,
    socket: PeerSocket,
    requests: &[Request<'_>],
) -> Vec<(Status, Vec<u8>)> {
    let mut bytes = Vec::new();
    for request in requests {
        store::encode_request(&mut bytes, request);
    }
    cluster.write_all(socket, &bytes).expect("the store reads");
    let mut answers = Vec::new();
    let mut input = Vec::new();
    while answers.len() < requests.len() {
        match store::next_answer(&input) {
            Frame::Complete(Answer { status, value }, taken) => {
                answers.push((status, value.to_vec()));
                input.drain(..taken);
            }
            Frame::Incomplete => {
                let part = cluster.read(socket).expect("the store answers");
                assert!(!part.is_empty(), "the store closed");
                input.extend_from_slice(&part);
            }
            Frame::Malformed => panic!("the store does not speak its protocol"),
        }
    }
    answers
}

fn store_request<'a>(operation: Operation, key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    Request {
        operation,
        key,
        value,
    }
}

#[test]
fn store_speaks_its_protocol() {
    let (mut cluster, client) = boot(services("store"));
    let socket = cluster.connect(client, STORE).expect("the store listens");
    let big = vec![b'b'; store::VALUE_BYTES];
    let requests = [
        store_request(Operation::Get, b"a", b""),
        store_request(Operation::Put, b"a", &big),
        store_request(Operation::Get, b"a", b""),
        store_request(Operation::Delete, b"a", b""),
        store_request(Operation::Delete, b"a", b""),
    ];
    let answers = ask_store(&mut cluster, socket, &requests);
    let expected = [
        (Status::NotFound, Vec::new()),
        (Status::Done, Vec::new()),
        (Status::Done, big),
        (Status::Done, Vec::new()),
        (Status::NotFound, Vec::new()),
    ];
    assert!(
        answers == expected,
        "{:?}",
        answers.iter().map(|a| a.0).collect::<Vec<_>>()
    );
    // A length beyond every request: one answer, then the end.
    cluster.write_all(socket, &[0xFF; 8]).unwrap();
    let rest = cluster.read_to_end(socket).unwrap();
    let Frame::Complete(answer, taken) = store::next_answer(&rest) else {
        panic!("no answer in {rest:?}");
    };
    assert_eq!((answer.status, taken), (Status::Malformed, rest.len()));
}

#[test]
fn a_full_store_says_so_and_lives_on() {
    let (mut cluster, client) = boot(services("full"));
    let socket = cluster.connect(client, STORE).expect("the store listens");
    let value = vec![b'f'; store::VALUE_BYTES];
    let count = store::TOTAL_BYTES / store::VALUE_BYTES;
    let answer_to = |cluster: &mut Cluster, number: usize| {
        let key = number.to_le_bytes();
        ask_store(
            cluster,
            socket,
            &[store_request(Operation::Put, &key, &value)],
        )[0]
        .0
    };
    let full = (0..count).find(|&number| answer_to(&mut cluster, number) == Status::Full);
    // Keys and overhead take the room of one value.
    assert_eq!(full, Some(count - 1));
    let mut http = Http::connect(&mut cluster, client);
    assert_eq!(
        http.ask(&mut cluster, "PUT", "/kv/another", &value).status,
        507
    );
    let key = 0usize.to_le_bytes();
    let freed = ask_store(
        &mut cluster,
        socket,
        &[store_request(Operation::Delete, &key, b"")],
    );
    assert_eq!(freed[0].0, Status::Done);
    assert_eq!(
        http.ask(&mut cluster, "PUT", "/kv/another", &value).status,
        200
    );
}

#[test]
fn hello_greets_on_log_and_console_and_ends() {
    let (mut cluster, _) = boot(ImageBuilder::new("node1").instance("greeter", guest("hello")));
    assert_eq!(
        cluster.state(0, "greeter"),
        ("exited".into(), "status 0".into())
    );
    let log = cluster.shell(0, "logs greeter");
    assert!(log.contains("hello from greeter\n"), "{log}");
    let console = cluster.shell(0, "console greeter");
    assert!(console.contains("hello from greeter on node1"), "{console}");
}

#[test]
fn web_answers_beside_a_spinner_that_computes_on() {
    let image = services("busy")
        .instance("spinner", guest("spinner"))
        .config("report_ms", "100");
    let (mut cluster, client) = boot(image);
    for _ in 0..20 {
        assert!(greets(&mut cluster, client));
        cluster.run_for(Duration::from_millis(20));
    }
    assert_eq!(cluster.state(0, "spinner").0, "running");
    let log = cluster.shell(0, "logs spinner");
    assert!(log.contains("primes below"), "{log}");
}

/// How a hostile guest is to end: its state, and what its detail or its log says.
enum End {
    /// It goes on; its operator kills it.
    Runs,
    /// State and detail.
    Ends(&'static str, &'static str),
    /// State and detail, and what it logged.
    Logs(&'static str, &'static str, &'static str),
}

/// Runs the hostile guest with an argument beside a web, which must answer before and after.
fn withstand(argument: &str, end: End) {
    let image = ImageBuilder::new("hostile")
        .switch("lan", Some("nic0"))
        .instance("web", guest("web"))
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .instance("hostile", guest("hostile"))
        .with(|spec| {
            spec.arguments = vec![argument.into()];
            spec.limits.memory_bytes = 4 << 20;
            spec.limits.sockets = 20;
        })
        .port("eth0", switch("lan"), "10.0.0.3/24");
    let (mut cluster, client) = boot(image);
    assert!(greets(&mut cluster, client), "{argument}: web beside it");
    if !matches!(end, End::Runs) {
        cluster.run_until(Duration::from_secs(5), |cluster| {
            cluster.state(0, "hostile").0 != "running"
        });
    }
    let (state, detail) = cluster.state(0, "hostile");
    let (expected_state, expected_detail, expected_log) = match end {
        End::Runs => ("running", "", ""),
        End::Ends(state, detail) => (state, detail, ""),
        End::Logs(state, detail, log) => (state, detail, log),
    };
    assert_eq!(state, expected_state, "{argument}: {detail}");
    assert!(detail.contains(expected_detail), "{argument}: {detail}");
    let log = cluster.shell(0, "logs hostile");
    assert!(log.contains(expected_log), "{argument}: {log}");
    if let End::Runs = end {
        cluster.shell(0, "kill hostile");
        assert_eq!(cluster.state(0, "hostile").1, "killed", "{argument}");
    }
    assert!(greets(&mut cluster, client), "{argument}: web after it");
    assert_eq!(cluster.state(0, "web").0, "waiting", "{argument}");
}

#[test]
fn hostile_floods_and_loops_leave_room_for_others() {
    for argument in ["loop", "log", "console", "calls", "copies"] {
        withstand(argument, End::Runs);
    }
}

#[test]
fn hostile_requests_are_answered_with_their_errors() {
    withstand(
        "pointers",
        End::Logs("exited", "status 0", "lies, each refused"),
    );
    withstand(
        "handles",
        End::Logs("exited", "status 0", "20 sockets, then"),
    );
    withstand("stale", End::Ends("exited", "status 0"));
}

#[test]
fn hostile_ends_are_named() {
    withstand(
        "panic",
        End::Logs("trapped", "unreachable", "hostile was told to panic"),
    );
    withstand("unreachable", End::Ends("trapped", "unreachable"));
    withstand("exit", End::Ends("exited", "status 7"));
    withstand(
        "nonsense",
        End::Logs("exited", "status 2", "unknown argument"),
    );
    withstand("recursion", End::Ends("trapped", "call stack exhausted"));
    withstand(
        "memory",
        End::Logs("exited", "status 0", "MiB, then no more"),
    );
}
