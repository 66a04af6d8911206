//! HTTP/1.1 as `guests/web` speaks it: the same answers, byte for byte, from a map in memory.
//!
//! [`answer`] is a function from received bytes to sent bytes; the sockets are [`crate::server`]'s.

use std::collections::HashMap;

/// The longest request head that is read.
pub const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The largest value that PUT stores.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The most keys that are stored.
pub const MAX_KEYS: usize = 4096;

/// The stored values by key.
pub type Store = HashMap<Vec<u8>, Vec<u8>>;

/// What the page at `/` says.
pub const GREETING: &[u8] = b"hello from SOS\n";

/// What to do after one look at the received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The request is not complete; read on.
    NeedMore,
    /// One request of this many bytes was answered; the connection stays open.
    Answered(usize),
    /// The last answer of this connection is written; close after sending it.
    Close,
}

/// Answers the first request of `input`, if it is complete, into `output`.
pub fn answer(input: &[u8], store: &mut Store, output: &mut Vec<u8>) -> Progress {
    let Some(head_end) = find_head_end(input) else {
        if input.len() > MAX_HEAD_BYTES {
            return refuse(output, "431 Request Header Fields Too Large");
        }
        return Progress::NeedMore;
    };
    let Some(head) = Head::parse(&input[..head_end]) else {
        return refuse(output, "400 Bad Request");
    };
    if head.body_len > MAX_BODY_BYTES {
        return refuse(output, "413 Content Too Large");
    }
    let total = head_end + head.body_len;
    if input.len() < total {
        return Progress::NeedMore;
    }
    route(&head, &input[head_end..total], store, output);
    if head.keep_alive {
        Progress::Answered(total)
    } else {
        Progress::Close
    }
}

fn refuse(output: &mut Vec<u8>, status: &str) -> Progress {
    write_response(output, status, &status_line_body(status), KeepAlive::No);
    Progress::Close
}

/// The position behind the blank line that ends a head.
fn find_head_end(input: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = input[from..].iter().position(|&b| b == b'\n') {
        let next = from + at + 1;
        if input[next..].starts_with(b"\r\n") {
            return Some(next + 2);
        }
        from = next;
    }
    None
}

/// The parts of a request head that matter here.
struct Head<'a> {
    method: &'a [u8],
    path: &'a [u8],
    body_len: usize,
    keep_alive: bool,
}

impl<'a> Head<'a> {
    fn parse(head: &'a [u8]) -> Option<Head<'a>> {
        let mut lines = head
            .split(|&b| b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut words = lines.next()?.split(|&b| b == b' ');
        let (method, path, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with(b"HTTP/1.") || !path.starts_with(b"/") {
            return None;
        }
        let mut parsed = Head {
            method,
            path,
            body_len: 0,
            keep_alive: version == b"HTTP/1.1",
        };
        for line in lines.filter(|line| !line.is_empty()) {
            let colon = line.iter().position(|&b| b == b':')?;
            parsed.header(&line[..colon], line[colon + 1..].trim_ascii())?;
        }
        Some(parsed)
    }

    fn header(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        if name.eq_ignore_ascii_case(b"content-length") {
            self.body_len = std::str::from_utf8(value).ok()?.parse().ok()?;
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.keep_alive = !value.eq_ignore_ascii_case(b"close")
                && (self.keep_alive || value.eq_ignore_ascii_case(b"keep-alive"));
        }
        Some(())
    }
}

#[derive(Clone, Copy)]
enum KeepAlive {
    Yes,
    No,
}

fn route(head: &Head, body: &[u8], store: &mut Store, output: &mut Vec<u8>) {
    let keep = if head.keep_alive {
        KeepAlive::Yes
    } else {
        KeepAlive::No
    };
    if let Some(key) = head.path.strip_prefix(b"/kv/") {
        return route_key(head.method, key, body, store, output, keep);
    }
    match (head.path, head.method) {
        (b"/", b"GET") => write_response(output, "200 OK", GREETING, keep),
        (b"/", _) => refuse_method(output, "GET", keep),
        _ => fail(output, "404 Not Found", keep),
    }
}

fn route_key(
    method: &[u8],
    key: &[u8],
    body: &[u8],
    store: &mut Store,
    output: &mut Vec<u8>,
    keep: KeepAlive,
) {
    if key.is_empty() {
        return fail(output, "400 Bad Request", keep);
    }
    match method {
        b"GET" => match store.get(key) {
            Some(value) => write_response(output, "200 OK", value, keep),
            None => fail(output, "404 Not Found", keep),
        },
        b"PUT" if store.len() >= MAX_KEYS && !store.contains_key(key) => {
            fail(output, "507 Insufficient Storage", keep);
        }
        b"PUT" => {
            store.insert(key.to_vec(), body.to_vec());
            write_response(output, "200 OK", b"stored\n", keep);
        }
        b"DELETE" => match store.remove(key) {
            Some(_) => write_response(output, "200 OK", b"deleted\n", keep),
            None => fail(output, "404 Not Found", keep),
        },
        _ => refuse_method(output, "GET, PUT, DELETE", keep),
    }
}

fn fail(output: &mut Vec<u8>, status: &str, keep: KeepAlive) {
    write_response(output, status, &status_line_body(status), keep);
}

fn refuse_method(output: &mut Vec<u8>, allowed: &str, keep: KeepAlive) {
    let field = format!("\r\nAllow: {allowed}");
    let body = b"method not allowed\n";
    write_head(output, "405 Method Not Allowed", body.len(), keep, &field);
    output.extend_from_slice(body);
}

/// A body for an error: the reason in lower case on one line.
fn status_line_body(status: &str) -> Vec<u8> {
    let mut body = status
        .split_once(' ')
        .map_or(status, |(_, reason)| reason)
        .to_ascii_lowercase();
    body.push('\n');
    body.into_bytes()
}

fn write_response(output: &mut Vec<u8>, status: &str, body: &[u8], keep: KeepAlive) {
    write_head(output, status, body.len(), keep, "");
    output.extend_from_slice(body);
}

fn write_head(
    output: &mut Vec<u8>,
    status: &str,
    body_len: usize,
    keep: KeepAlive,
    further_field: &str,
) {
    output.extend_from_slice(b"HTTP/1.1 ");
    output.extend_from_slice(status.as_bytes());
    output.extend_from_slice(b"\r\nContent-Type: text/plain\r\nContent-Length: ");
    output.extend_from_slice(body_len.to_string().as_bytes());
    if matches!(keep, KeepAlive::No) {
        output.extend_from_slice(b"\r\nConnection: close");
    }
    output.extend_from_slice(further_field.as_bytes());
    output.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(input: &[u8], store: &mut Store) -> (Progress, String) {
        let mut output = Vec::new();
        let progress = answer(input, store, &mut output);
        (
            progress,
            String::from_utf8(output).expect("answers are text"),
        )
    }

    #[test]
    fn an_incomplete_request_waits() {
        let mut store = Store::new();
        let whole = b"PUT /kv/a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
        for end in 0..whole.len() {
            assert_eq!(
                one(&whole[..end], &mut store).0,
                Progress::NeedMore,
                "at {end}"
            );
        }
        assert_eq!(one(whole, &mut store).0, Progress::Answered(whole.len()));
    }

    #[test]
    fn keys_are_put_read_and_deleted() {
        let mut store = Store::new();
        one(
            b"PUT /kv/a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
            &mut store,
        );
        assert!(
            one(b"GET /kv/a HTTP/1.1\r\n\r\n", &mut store)
                .1
                .ends_with("\r\n\r\nhi")
        );
        one(b"DELETE /kv/a HTTP/1.1\r\n\r\n", &mut store);
        assert!(
            one(b"GET /kv/a HTTP/1.1\r\n\r\n", &mut store)
                .1
                .starts_with("HTTP/1.1 404")
        );
    }

    #[test]
    fn a_pipelined_request_is_left_for_the_next_call() {
        let first = b"GET / HTTP/1.1\r\n\r\n";
        let both = [&first[..], b"GET /x HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(
            one(&both, &mut Store::new()).0,
            Progress::Answered(first.len())
        );
    }

    #[test]
    fn nonsense_is_refused_and_closed() {
        for bad in [
            &b"\x00\x01\r\n\r\n"[..],
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        ] {
            let (progress, text) = one(bad, &mut Store::new());
            assert_eq!(progress, Progress::Close);
            assert!(text.starts_with("HTTP/1.1 400"), "{text}");
        }
    }

    #[test]
    fn version_and_connection_header_decide_whether_to_keep_the_connection() {
        let mut store = Store::new();
        let close = |input: &[u8], store: &mut Store| one(input, store).0 == Progress::Close;
        assert!(!close(b"GET / HTTP/1.1\r\n\r\n", &mut store));
        assert!(close(
            b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            &mut store
        ));
        assert!(close(b"GET / HTTP/1.0\r\n\r\n", &mut store));
        assert!(!close(
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            &mut store
        ));
    }

    #[test]
    fn answers_have_the_bytes_of_the_guest() {
        let mut store = Store::new();
        let (_, page) = one(b"GET / HTTP/1.1\r\n\r\n", &mut store);
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\n\
                        hello from SOS\n";
        assert_eq!(page, expected);
        let (_, refused) = one(b"POST / HTTP/1.0\r\n\r\n", &mut store);
        let expected = "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\n\
                        Content-Length: 19\r\nConnection: close\r\nAllow: GET\r\n\r\n\
                        method not allowed\n";
        assert_eq!(refused, expected);
    }
}
