//! The load generator against a tiny server of the test's own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::*;

/// Answers every request on every connection with `answer`.
fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                while stream.read(&mut request).is_ok_and(|read| read > 0)
                    && stream.write_all(answer).is_ok()
                {}
            });
        }
    });
    address
}

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const SHORT: Duration = Duration::from_millis(200);

#[test]
fn every_loop_counts_complete_answers() {
    let address = server(GOOD);
    for connections in [1, 16] {
        let answers = closed_loop(address, connections, SHORT).unwrap();
        assert!(!answers.latencies_ms.is_empty() && answers.rate() > 0.0);
    }
    assert!(
        !connection_loop(address, 2, SHORT)
            .unwrap()
            .latencies_ms
            .is_empty()
    );
    first_answer(address, Instant::now() + Duration::from_secs(20)).unwrap();
}

#[test]
fn an_open_loop_asks_exactly_as_often_as_told() {
    let answers = open_loop(server(GOOD), 100, SHORT).unwrap();
    assert_eq!(answers.latencies_ms.len(), 20);
}

#[test]
fn another_status_is_an_error() {
    let address = server(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let error = closed_loop(address, 1, SHORT).unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
}

#[test]
fn more_bytes_than_the_answer_are_an_error() {
    let address = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!");
    assert!(closed_loop(address, 1, SHORT).is_err());
}

#[test]
fn a_response_is_complete_only_with_its_whole_body() {
    for end in 0..GOOD.len() {
        assert_eq!(
            complete_response(&GOOD[..end]).unwrap(),
            None,
            "cut at {end}"
        );
    }
    assert_eq!(complete_response(GOOD).unwrap(), Some((GOOD.len(), 5)));
}
